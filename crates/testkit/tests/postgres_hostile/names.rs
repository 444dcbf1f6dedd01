//! One name, two statements: what a client prepares and what the server then runs.

use anyhow::Result;

use crate::raw::{Raw, errors};
use crate::{duplicates, free_calls, is_free, is_held, number, with_sandbox};

const DELETE: &str = "DELETE FROM orders WHERE status = 'duplicate'";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_name_longer_than_the_server_keeps_stands_for_nothing() -> Result<()> {
    let house = with_sandbox(|_| {}).await?;
    let mut raw = Raw::start(&house, "alice", &[]).await?;
    let name = |end: &str| format!("{}{end}", "n".repeat(63));
    // The server cuts names after 63 bytes: these three are one to it.
    let said = raw
        .parse(&name("a"), "SELECT 1")
        .close(&name("b"))
        .parse(&name("c"), "SELECT lo_create(0)")
        .bind("", &name("a"))
        .execute("")
        .sync()
        .ready()
        .await?;
    assert!(!errors(&said).is_empty(), "it ran");
    assert_eq!(number(&house, "SELECT count(*) FROM pg_largeobject_metadata").await?, 0);
    house.close().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_execute_runs_is_what_is_prepared_last_under_the_name() -> Result<()> {
    let house = with_sandbox(free_calls).await?;
    let mut raw = Raw::start(&house, "alice", &[]).await?;
    is_free(raw.query("PREPARE x AS SELECT 1")).await?;
    is_free(raw.query("EXECUTE x")).await?;
    is_free(raw.close("x").parse("x", DELETE).sync()).await?;
    is_held(&house, raw.query("EXECUTE x")).await?;
    // And by SQL under a name of the protocol's.
    is_free(raw.close("x").parse("y", "SELECT 1").sync()).await?;
    is_free(raw.query("EXECUTE y")).await?;
    is_free(raw.query("DEALLOCATE y")).await?;
    is_held(&house, raw.query(format!("PREPARE y AS {DELETE}"))).await?;
    assert_eq!(duplicates(&house).await?, 12);
    house.close().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn execute_hides_nothing_that_stands_beside_it() -> Result<()> {
    let house = with_sandbox(free_calls).await?;
    let mut raw = Raw::start(&house, "alice", &[]).await?;
    is_free(raw.parse("x", "SELECT 1").sync()).await?;
    is_free(raw.query("EXECUTE x")).await?;
    is_held(&house, raw.query(format!("EXECUTE x; {DELETE}"))).await?;
    is_held(&house, raw.query("CREATE TABLE made AS EXECUTE x")).await?;
    assert_eq!(duplicates(&house).await?, 12);
    house.close().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_approved_portal_is_not_run_by_anything_but_its_own_execute() -> Result<()> {
    let house = with_sandbox(free_calls).await?;
    let mut raw = Raw::start(&house, "alice", &[]).await?;
    is_free(raw.query("BEGIN")).await?;
    // FETCH would run it, and nobody would count its rows: a bound is kept only by Bind and Execute together.
    let said =
        raw.parse("d", format!("{DELETE} RETURNING id")).bind("p", "d").flush_server().sync().ready().await?;
    assert_eq!(errors(&said), ["what waits for an approval is bound and executed in one go"],);
    raw.query("ROLLBACK").ready().await?;
    assert_eq!(duplicates(&house).await?, 12);
    house.close().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_yes_is_for_one_execute_and_not_for_the_portions_behind_it() -> Result<()> {
    let house = with_sandbox(|_| {}).await?;
    let mut raw = Raw::start(&house, "alice", &[]).await?;
    is_free(raw.query("BEGIN")).await?;
    let text = "SELECT lo_create(0) FROM generate_series(1, 2)";
    raw.parse("", text).bind("p", "").execute_some("p", 1).flush_server().flush().await?;
    house.approve(house.held().await?.id).await?;
    assert_eq!(errors(&raw.until(|tag| matches!(tag, b's' | b'E')).await?), [""; 0]);
    let (held, said) = is_held(&house, raw.execute_some("p", 1).sync()).await?;
    assert_eq!((held.text.as_deref(), errors(&said)), (Some(text), vec!["denied by bob: no".to_owned()]));
    raw.query("ROLLBACK").ready().await?;
    house.close().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bind_is_kept_for_its_execute_but_not_for_ever() -> Result<()> {
    let house = with_sandbox(|_| {}).await?;
    let mut raw = Raw::start(&house, "alice", &[]).await?;
    let (_, said) =
        is_held(&house, raw.parse("", DELETE).bind("", "").describe_portal("").execute("").sync()).await?;
    assert_eq!(errors(&said), ["denied by bob: no"]);
    // Whoever describes a portal without end has it bound before.
    raw.parse("", DELETE).bind("", "").describe_portal("").describe_portal("").execute("").sync();
    assert_eq!(errors(&raw.ready().await?), ["what waits for an approval is bound and executed in one go"]);
    assert_eq!(duplicates(&house).await?, 12);
    house.close().await;
    Ok(())
}
