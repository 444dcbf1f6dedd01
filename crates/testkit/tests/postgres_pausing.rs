//! A paused session: its client stays, what it sends waits in place, and nothing of it reaches the server meanwhile.

use anyhow::{Context as _, Result, ensure};
use bytes::Bytes;
use countersign_core::{SessionId, Span};
use countersign_testkit::{House, Psql};
use futures_util::SinkExt as _;
use tokio_postgres::{Client, NoTls};

const WRITE: &str = "UPDATE products SET stock = 77 WHERE id = 1";

async fn house() -> Result<House> {
    let house = House::open().await?;
    house.grant("alice", "shop-writer", Span::minutes(30)).await?;
    Ok(house)
}

fn session(house: &House) -> Result<SessionId> {
    let snapshot = house.engine.snapshot();
    let open = snapshot.book.sessions().map(|open| open.opening.session).next();
    open.context("no session is open")
}

async fn pause(house: &House) -> Result<SessionId> {
    let (bob, session) = (house.person("bob").await?, session(house)?);
    house.engine.pause_session(&bob, session, "a look at this first".into()).await?;
    Ok(session)
}

async fn resume(house: &House, session: SessionId) -> Result<()> {
    let bob = house.person("bob").await?;
    Ok(house.engine.resume_session(&bob, session, None).await?)
}

/// How many products have the stock that is written here.
async fn written(house: &House) -> Result<i64> {
    let direct = house.database.direct().await?;
    Ok(direct.query_one("SELECT count(*) FROM products WHERE stock = 77", &[]).await?.get(0))
}

/// How many lines tell of something that began.
async fn begun(house: &House) -> Result<usize> {
    let bob = house.person("bob").await?;
    let query = countersign_engine::LedgerQuery {
        kind: Some("action.allowed".into()),
        limit: 1_000,
        ..countersign_engine::LedgerQuery::default()
    };
    Ok(house.engine.search(&bob, query).await?.items.len())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_statement_waits_in_place_and_runs_afterwards() -> Result<()> {
    let house = house().await?;
    let mut psql = Psql::start(&house, "alice").await?;
    psql.send("SELECT 'before';").await?;
    psql.expect("before").await?;
    let session = pause(&house).await?;
    let before = begun(&house).await?;
    psql.send("SELECT 'be' || 'hind';").await?;
    let told = psql.expect("this session was paused by bob at").await?;
    ensure!(told.trim_end().ends_with("UTC: a look at this first"), "{told}");
    assert_eq!(begun(&house).await?, before, "nothing has begun");
    resume(&house, session).await?;
    psql.expect("this session goes on").await?;
    psql.expect("behind").await?;
    assert_eq!(begun(&house).await?, before + 1);
    house.close().await;
    Ok(())
}

/// Cancels until it ends.
async fn given_up<T>(
    client: &Client,
    asked: impl Future<Output = Result<T, tokio_postgres::Error>>,
) -> Result<String> {
    let (token, mut asked) = (client.cancel_token(), std::pin::pin!(asked));
    let answer = loop {
        tokio::select! {
            biased;
            answer = &mut asked => break answer,
            // One that comes before the statement is in hand is of no effect.
            cancelled = token.cancel_query(NoTls) => cancelled?,
        }
    };
    let error = answer.err().context("it ran")?;
    Ok(error.as_db_error().context("no words")?.message().to_owned())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_waits_may_give_it_up() -> Result<()> {
    const CANCELLED: &str = "canceling statement due to user request";
    let house = house().await?;
    let client = house.connect("alice").await?;
    client.batch_execute("SELECT 1").await?;
    let prepared = client.prepare("SELECT $1::bigint + 1").await?;
    let (session, before) = (pause(&house).await?, begun(&house).await?);
    assert_eq!(given_up(&client, client.batch_execute("SELECT 2")).await?, CANCELLED);
    assert_eq!(given_up(&client, client.query_one(&prepared, &[&41_i64])).await?, CANCELLED);
    assert_eq!(given_up(&client, client.query_one("SELECT $1::bigint + 2", &[&41_i64])).await?, CANCELLED);
    assert_eq!(begun(&house).await?, before, "nothing has begun");
    resume(&house, session).await?;
    assert_eq!(client.query_one(&prepared, &[&41_i64]).await?.get::<_, i64>(0), 42);
    client.batch_execute("SELECT 3").await?;
    house.close().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_runs_goes_on_to_its_end() -> Result<()> {
    let house = house().await?;
    let mut psql = Psql::start(&house, "alice").await?;
    psql.send("SELECT 'it' || ' ran', pg_sleep(1);").await?;
    house.approve(house.held().await?.id).await?;
    let direct = house.database.direct().await?;
    let sleeping = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'";
    while direct.query_one(sleeping, &[]).await?.get::<_, i64>(0) == 0 {
        tokio::task::yield_now().await;
    }
    let session = pause(&house).await?;
    psql.expect("it ran").await?;
    ensure!(house.engine.snapshot().book.session(session).is_some_and(|one| one.paused.is_some()));
    house.close().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_approved_meanwhile_runs_when_the_session_goes_on() -> Result<()> {
    let house = house().await?;
    let mut psql = Psql::start(&house, "alice").await?;
    psql.send(&format!("{WRITE};")).await?;
    psql.expect("this waits for an approval by").await?;
    let held = house.held().await?;
    let session = pause(&house).await?;
    house.approve(held.id).await?;
    psql.expect("this session was paused by bob at").await?;
    assert_eq!(written(&house).await?, 0);
    resume(&house, session).await?;
    psql.expect("UPDATE 1").await?;
    assert_eq!(written(&house).await?, 1);
    house.close().await;
    Ok(())
}

/// Prepared statements with parameters, sent at once: nothing of them reaches the server before its time.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_extended_protocol_waits_too() -> Result<()> {
    let house = house().await?;
    let client = house.connect("alice").await?;
    client.batch_execute("SELECT 1").await?;
    let session = pause(&house).await?;
    let before = begun(&house).await?;
    let asking = client.query_one("SELECT $1::bigint + 1", &[&41_i64]);
    let resuming = async {
        // Whoever waits has been told by then, or has not sent it yet: neither has begun.
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
        let meanwhile = begun(&house).await?;
        resume(&house, session).await?;
        Ok::<_, anyhow::Error>(meanwhile)
    };
    let (row, meanwhile) = tokio::join!(asking, resuming);
    assert_eq!((row?.get::<_, i64>(0), meanwhile?), (42, before));
    house.close().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn data_of_a_copy_waits_too() -> Result<()> {
    let house = house().await?;
    let direct = house.database.direct().await?;
    direct
        .batch_execute("CREATE TABLE tags (id bigint, name text); GRANT SELECT, INSERT ON tags TO shop_writer, shop_looker")
        .await?;
    let client = house.connect("alice").await?;
    let copying = client.copy_in::<_, Bytes>("COPY tags FROM STDIN");
    let approving = async { house.approve(house.held().await?.id).await };
    let (sink, approved) = tokio::join!(copying, approving);
    approved?;
    let mut sink = std::pin::pin!(sink?);
    sink.send(Bytes::from_static(b"1\tone\n")).await?;
    let session = pause(&house).await?;
    let finishing = async {
        sink.send(Bytes::from_static(b"2\ttwo\n")).await?;
        Ok::<_, anyhow::Error>(sink.finish().await?)
    };
    let mut finishing = std::pin::pin!(finishing);
    let early = tokio::time::timeout(std::time::Duration::from_millis(300), &mut finishing).await;
    ensure!(early.is_err(), "it was done while the session was paused: {early:?}");
    resume(&house, session).await?;
    assert_eq!(finishing.await?, 2);
    house.close().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_paused_session_is_ended_like_any_other() -> Result<()> {
    let house = house().await?;
    let mut psql = Psql::start(&house, "alice").await?;
    psql.send("SELECT 'before';").await?;
    psql.expect("before").await?;
    let session = pause(&house).await?;
    psql.send("SELECT 'be' || 'hind';").await?;
    psql.expect("this session was paused by bob at").await?;
    let bob = house.person("bob").await?;
    house.engine.end_session(&bob, session).await?;
    psql.expect("ended by somebody").await?;
    house.deserted().await?;
    ensure!(psql.seen().iter().all(|line| !line.contains("behind")), "{:?}", psql.seen());
    house.close().await;
    Ok(())
}
