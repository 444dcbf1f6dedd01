//! Rows in portions: what goes on with a portal or a cursor is judged by what was begun, and by nothing else.

use std::collections::BTreeMap;

use anyhow::Result;

use crate::raw::{Raw, completed, errors};
use crate::{free_calls, is_free, is_held, with_sandbox};

/// In which the orders that are protected are not even read without a yes.
fn reads_are_held(files: &mut BTreeMap<String, String>) {
    let gate = "@id(\"orders-are-read-with-a-yes\")\n@gate(\"prod-write\")\n@reason(\"they are personal\")\n\
                forbid (principal, action in Action::\"sql.read\", resource)\n\
                when { context.reads.contains(\"public.orders\") };";
    files.insert("reads.cedar".to_owned(), gate.to_owned());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_portal_that_runs_anything_goes_on_to_its_end() -> Result<()> {
    let house = with_sandbox(free_calls).await?;
    let mut raw = Raw::start(&house, "alice", &[]).await?;
    is_free(raw.query("BEGIN")).await?;
    is_free(
        raw.parse("s", "SELECT lo_create(0) FROM generate_series(1, 7)")
            .bind("C_4", "s")
            .execute_some("C_4", 2)
            .sync(),
    )
    .await?;
    for _ in 0..3 {
        is_free(raw.execute_some("C_4", 1).sync()).await?;
        let said = is_free(raw.query("MOVE 1 IN \"C_4\"")).await?;
        assert!(
            completed(&said).contains(&"MOVE 1".to_owned())
                || completed(&said).contains(&"MOVE 0".to_owned())
        );
    }
    is_free(raw.query("COMMIT")).await?;
    house.close().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_types_of_a_portals_parameters_outlive_its_statement() -> Result<()> {
    let house = with_sandbox(reads_are_held).await?;
    let mut raw = Raw::start(&house, "alice", &[]).await?;
    is_free(raw.query("BEGIN")).await?;
    // The client leaves both types to the server, and reads the first portion with a yes.
    let text = "SELECT id FROM orders WHERE id > $1 AND status <> $2";
    let values: [Option<&[u8]>; 2] = [Some(&[0, 0, 0, 0, 0, 0, 0, 7]), Some(b"none")];
    raw.parse("", text).bind_binary("p", "", &values).execute_some("p", 1).sync().flush().await?;
    house.approve(house.held().await?.id).await?;
    is_free(&mut raw).await?;
    // The statement is gone by now, and an approver reads what was bound to it all the same.
    is_free(raw.parse("", "SELECT 1").bind("", "").execute("").sync()).await?;
    let (held, _) = is_held(&house, raw.execute_some("p", 1).sync()).await?;
    let types: Vec<u32> = held.parameters.iter().map(|one| one.type_id).collect();
    assert_eq!((held.text.as_deref(), types), (Some(text), vec![20, 25]));
    // The same where it was bound by itself, without anything to hold it at that time.
    raw.query("ROLLBACK").ready().await?;
    is_free(raw.query("BEGIN")).await?;
    is_free(raw.query("SET LOCAL search_path = sandbox")).await?;
    is_free(raw.parse("s", text).bind_binary("q", "s", &values).flush_server().close("s").sync()).await?;
    is_free(raw.execute_some("q", 1).sync()).await?;
    house.close().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_portal_whose_name_something_may_have_taken_is_unknown_and_shown_as_that() -> Result<()> {
    let house = with_sandbox(free_calls).await?;
    let mut raw = Raw::start(&house, "alice", &[]).await?;
    is_free(raw.query("BEGIN")).await?;
    is_free(raw.parse("s", "SELECT id FROM orders").bind("p", "s").execute_some("p", 2).sync()).await?;
    is_free(raw.query("SELECT lo_create(0)")).await?;
    let (held, said) = is_held(&house, raw.execute_some("p", 2).sync()).await?;
    let text = held.text.unwrap_or_default();
    assert!(
        text.starts_with("-- goes on with portal `p`") && text.ends_with("SELECT id FROM orders"),
        "{text}"
    );
    assert_eq!(errors(&said), ["denied by bob: no"]);
    is_free(raw.query("ROLLBACK")).await?;
    // A name that nobody has bound: SQL may have made it.
    let (held, _) = is_held(&house, raw.execute_some("q", 2).sync()).await?;
    assert_eq!(held.text.as_deref(), Some("-- goes on with portal `q`, of which nothing is known"));
    house.close().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fetching_from_a_provable_read_is_one() -> Result<()> {
    let house = with_sandbox(|_| {}).await?;
    let mut raw = Raw::start(&house, "alice", &[]).await?;
    is_free(raw.query("BEGIN")).await?;
    is_free(raw.parse("s", "SELECT id FROM orders").bind("p", "s").execute_some("p", 2).sync()).await?;
    assert_eq!(completed(&is_free(raw.query("FETCH 2 FROM p")).await?), ["FETCH 2"]);
    assert_eq!(completed(&is_free(raw.query("MOVE 3 IN p")).await?), ["MOVE 3"]);
    is_free(raw.execute_some("p", 2).sync()).await?;
    // A cursor of SQL's, and one that outlives the transaction.
    is_free(raw.query("DECLARE c CURSOR FOR SELECT id FROM orders")).await?;
    assert_eq!(completed(&is_free(raw.query("FETCH 2 FROM c")).await?), ["FETCH 2"]);
    // What stands beside it is judged by itself; and what is declared anew is another cursor.
    is_held(&house, raw.query("FETCH 2 FROM c; SELECT lo_create(0)")).await?;
    is_free(raw.query("ROLLBACK")).await?;
    is_free(raw.query("BEGIN")).await?;
    raw.query("DECLARE c CURSOR FOR SELECT lo_create(0) FROM orders").flush().await?;
    house.approve(house.held().await?.id).await?;
    is_free(&mut raw).await?;
    is_held(&house, raw.query("FETCH 2 FROM c")).await?;
    house.close().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_portal_keeps_the_meaning_that_its_names_had_when_it_was_bound() -> Result<()> {
    let house = with_sandbox(reads_are_held).await?;
    let mut raw = Raw::start(&house, "alice", &[]).await?;
    is_free(raw.query("BEGIN")).await?;
    raw.parse("s", "SELECT id FROM orders").bind("p", "s").execute_some("p", 1).sync().flush().await?;
    house.approve(house.held().await?.id).await?;
    is_free(&mut raw).await?;
    // By now the same text would mean another table.
    is_free(raw.query("SET search_path = sandbox")).await?;
    is_free(raw.query("SELECT id FROM orders")).await?;
    is_held(&house, raw.execute_some("p", 1).sync()).await?;
    raw.query("ROLLBACK").ready().await?;
    house.close().await;
    Ok(())
}
