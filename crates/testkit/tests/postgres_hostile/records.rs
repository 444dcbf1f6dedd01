//! What ran is recorded, what is refused is recorded, and an end is an end.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use countersign_core::Span;
use countersign_engine::EventView;
use countersign_engine::audit::LedgerQuery;
use countersign_testkit::House;

use crate::raw::{Raw, completed, errors};
use crate::{is_free, is_held, number};

async fn lines(house: &House, kind: &str) -> Result<usize> {
    Ok(events(house, kind).await?.len())
}

async fn events(house: &House, kind: &str) -> Result<Vec<EventView>> {
    let bob = house.person("bob").await?;
    let query = LedgerQuery { kind: Some(kind.to_owned()), limit: 100, ..LedgerQuery::default() };
    Ok(house.engine.search(&bob, query).await?.items)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_server_skips_has_an_outcome_too() -> Result<()> {
    let house = House::open().await?;
    house.grant("alice", "shop-writer", Span::minutes(30)).await?;
    let mut raw = Raw::start(&house, "alice", &[]).await?;
    // The error of the batch comes while the query is being recorded: the server ignores it up to the `Sync`.
    let said = raw.parse("", "SELECT nothing FROM orders").query("SELECT 1").sync().ready().await?;
    assert_eq!(errors(&said).len(), 1, "{:?}", errors(&said));
    for _ in 0..3 {
        is_free(raw.query("SELECT 2")).await?;
    }
    let done = async {
        loop {
            // A read that was done before its line was written has both in that.
            let within =
                events(&house, "action.allowed").await?.iter().filter(|one| one.ended.is_some()).count();
            let (allowed, completed) =
                (lines(&house, "action.allowed").await?, lines(&house, "action.completed").await?);
            if allowed == completed + within && allowed >= 3 {
                return Ok::<_, anyhow::Error>(());
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(5), done).await.context("an outcome is missing")??;
    house.close().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_policy_denies_is_not_even_parsed() -> Result<()> {
    let house = House::open().await?;
    house.grant("alice", "shop-reader", Span::minutes(30)).await?;
    let mut raw = Raw::start(&house, "alice", &[]).await?;
    let said = raw.parse("", "DELETE FROM orders").describe("").sync().ready().await?;
    assert_eq!(errors(&said), ["role `shop-reader` does not permit `sql.write` on `shop`"]);
    assert!(said.iter().all(|(tag, _)| !matches!(tag, b'1' | b't')), "it was parsed");
    assert_eq!(lines(&house, "action.blocked").await?, 1);
    house.close().await;
    Ok(())
}

/// A call of a function without a statement.
#[expect(clippy::expect_used, reason = "a test that cannot say it has failed")]
fn call(function: u32, arguments: &[Option<&[u8]>]) -> Vec<u8> {
    use countersign_wire::postgres::{Format, encode::client};
    let mut out = bytes::BytesMut::new();
    let call = client::Call { function, formats: &[], arguments, result_format: Format::Text };
    client::function_call(&mut out, &call).expect("a call");
    out.to_vec()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn side_channels_are_judged_and_recorded_or_end_the_session() -> Result<()> {
    let house = House::open().await?;
    house.grant("alice", "shop-writer", Span::minutes(30)).await?;
    let mut raw = Raw::start(&house, "alice", &[]).await?;
    let (held, said) = is_held(&house, raw.bytes(&call(957, &[Some(b"1")]))).await?;
    assert_eq!(held.text.as_deref(), Some("-- called without a statement\npg_catalog.lo_creat($1)"));
    assert_eq!(held.parameters.len(), 1);
    assert_eq!(errors(&said), ["denied by bob: no"]);
    let objects = "SELECT count(*) FROM pg_largeobject_metadata";
    assert_eq!(number(&house, objects).await?, 0);
    // With a yes it is made, once, and what it answers is the server's.
    raw.bytes(&call(957, &[Some(b"1")])).flush().await?;
    house.approve(house.held().await?.id).await?;
    let said = is_free(&mut raw).await?;
    assert!(said.iter().any(|(tag, _)| *tag == b'V'), "no answer");
    assert_eq!(number(&house, objects).await?, 1);
    // A function that users made goes by its own name, whatever is first in the search path.
    let direct = house.database.direct().await?;
    direct
        .batch_execute("CREATE FUNCTION public.\"Odd one\"() RETURNS int LANGUAGE sql AS 'SELECT 1'")
        .await?;
    let oid = u32::try_from(number(&house, "SELECT '\"Odd one\"'::regproc::oid::bigint").await?)?;
    let (held, _) = is_held(&house, raw.bytes(&call(oid, &[]))).await?;
    assert_eq!(held.text.as_deref(), Some("-- called without a statement\npublic.\"Odd one\"()"));
    // One that is not there is nothing that anybody knows.
    let (held, _) = is_held(&house, raw.bytes(&call(4_000_000_000, &[None]))).await?;
    assert_eq!(held.action.as_str(), "sql.unknown");
    is_free(raw.query("SELECT 1")).await?;
    // What is no message at all ends the session.
    let said = raw.bytes(b"~\0\0\0\x04").ready().await?;
    ensure!(!errors(&said).is_empty(), "a message that does not exist was taken");
    house.close().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_client_leaves_behind_ends_with_its_grant() -> Result<()> {
    let house = House::open().await?;
    let grant = house.grant("alice", "shop-writer", Span::minutes(30)).await?;
    let mut raw = Raw::start(&house, "alice", &[]).await?;
    raw.query("SELECT sum(a.id * b.id) FROM orders a, orders b, orders c").flush().await?;
    let running = format!(
        "SELECT count(*) FROM pg_stat_activity WHERE usename = 'shop_writer' AND datname = '{}' AND state = 'active'",
        house.database.name
    );
    while number(&house, &running).await? == 0 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    drop(raw);
    tokio::time::sleep(Duration::from_millis(300)).await;
    house.engine.revoke(&house.person("bob").await?, grant, Some("enough".into())).await?;
    let gone = async {
        while number(&house, &running).await? > 0 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok::<_, anyhow::Error>(())
    };
    tokio::time::timeout(Duration::from_secs(2), gone).await.context("it runs on")??;
    house.close().await;
    Ok(())
}

/// Reads are forwarded while their records are on their way. When a bundle goes live in between, what it permits is
/// recorded under it, and nobody's session ends.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_read_that_is_overtaken_by_a_bundle_is_judged_again() -> Result<()> {
    let house = House::open().await?;
    house.grant("alice", "shop-reader", Span::minutes(30)).await?;
    let mut readers = Vec::new();
    for _ in 0..4 {
        let mut raw = Raw::start(&house, "alice", &[]).await?;
        readers.push(tokio::spawn(async move {
            for _ in 0..400 {
                is_free(raw.query("SELECT 1")).await?;
            }
            Ok::<_, anyhow::Error>(())
        }));
    }
    let (dave, carol) = (house.person("dave").await?, house.person("carol").await?);
    for round in 0..6 {
        let mut files = house.engine.bundle_files(&dave)?;
        files.insert("more.cedar".into(), format!("// Round {round}.\n"));
        if let countersign_engine::Applied::Pending(id) = house.engine.apply_bundle(&dave, files).await? {
            house.engine.approve(&carol, id, None, None).await?;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    for reader in readers {
        reader.await??;
    }
    house.close().await;
    Ok(())
}

/// What a pause catches between a read and its record is told like everything else that waits, and can be given up.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_read_that_is_overtaken_by_a_pause_says_so_and_can_be_given_up() -> Result<()> {
    let house = House::open().await?;
    house.grant("alice", "shop-reader", Span::minutes(30)).await?;
    let bob = house.person("bob").await?;
    let (mut overtaken, mut before) = (0, 0);
    while overtaken == 0 {
        ensure!(before < 200, "a pause never comes between");
        let mut raw = Raw::start(&house, "alice", &[]).await?;
        let session = house.engine.snapshot().book.sessions().map(|one| one.opening.session).next();
        let session = session.context("no session is open")?;
        let reading = async {
            loop {
                let said = raw.query("SELECT 1").until(|tag| matches!(tag, b'N' | b'Z')).await?;
                if let Some((_, words)) = said.last().filter(|(tag, _)| *tag == b'N') {
                    return Ok::<_, anyhow::Error>(String::from_utf8_lossy(words).into_owned());
                }
            }
        };
        let pausing = house.engine.pause_session(&bob, session, "a look at this first".into());
        let (told, paused) = tokio::join!(reading, pausing);
        let (told, ()) = (told?, paused?);
        ensure!(told.contains("this session was paused by bob"), "{told}");
        raw.cancel().await?;
        let said = if told.contains("ends the session") {
            overtaken += 1;
            raw.until(|_| false).await?
        } else {
            before += 1;
            raw.ready().await?
        };
        assert_eq!(errors(&said), ["canceling statement due to user request"]);
        drop(raw);
        house.deserted().await?;
    }
    house.close().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_has_said_all_it_wanted_still_gets_its_answers() -> Result<()> {
    let house = House::open().await?;
    house.grant("alice", "shop-writer", Span::minutes(30)).await?;
    let mut raw = Raw::start(&house, "alice", &[]).await?;
    raw.query("SELECT count(*) FROM orders a, orders b WHERE a.id < 500")
        .query("SELECT 1")
        .half_close()
        .await?;
    for _ in 0..2 {
        let said = raw.ready().await?;
        assert_eq!(completed(&said), ["SELECT 1"]);
    }
    house.deserted().await?;
    house.close().await;
    Ok(())
}
