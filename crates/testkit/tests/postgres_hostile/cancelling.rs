//! A cancel request is for what was sent by then: it is neither lost nor is anything else hit by it.

use anyhow::{Result, ensure};
use countersign_testkit::clients::permissive;
use tokio_postgres::NoTls;

use crate::raw::{Raw, errors};
use crate::{is_free, number, with_sandbox};

const CANCELLED: &str = "canceling statement due to user request";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_bound_when_it_was_cancelled_does_not_run() -> Result<()> {
    let house = with_sandbox(|_| {}).await?;
    let mut raw = Raw::start(&house, "alice", &[]).await?;
    is_free(raw.parse("one", "UPDATE sandbox.orders SET status = status || '.' WHERE id = 1").sync()).await?;
    let (mut ran, mut cancelled) = (0, 0);
    for _ in 0..20 {
        raw.bind("", "one").flush().await?;
        raw.cancel().await?;
        let said = raw.execute("").sync().ready().await?;
        match errors(&said).as_slice() {
            [] => ran += 1,
            [one] if one == CANCELLED => cancelled += 1,
            other => anyhow::bail!("{other:?}"),
        }
        // The next batch is another one.
        is_free(raw.bind("", "one").execute("").sync()).await?;
        ran += 1;
    }
    // A request that overtakes the Bind, which is on another connection, cancels nothing.
    ensure!(cancelled > 10, "{cancelled} of 20");
    let dots = "SELECT length(status)::bigint - length('duplicate') FROM sandbox.orders WHERE id = 1";
    assert_eq!(number(&house, dots).await?, ran, "what was cancelled ran, or what was not did not");
    house.close().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_later_is_hit() -> Result<()> {
    let house = permissive().await?;
    let (client, connection) = house.login("alice").await?.connect(NoTls).await?;
    tokio::spawn(connection);
    let token = client.cancel_token();
    let mut hit = 0;
    for round in 0..60 {
        let nap = format!("SELECT pg_sleep({})", f64::from(round % 6) / 1_000.0);
        let (slept, asked) = tokio::join!(client.simple_query(&nap), token.cancel_query(NoTls));
        asked?;
        hit += usize::from(slept.is_err());
        for later in 0..3 {
            let said = client.simple_query("SELECT 1").await;
            ensure!(said.is_ok(), "round {round}, {later}: {:?}", said.err());
        }
    }
    println!("{hit} of 60 were cancelled in time");
    house.close().await;
    Ok(())
}
