//! The story, as plain clients live it: psql and tokio-postgres, a real server behind the door.

use std::time::Duration;

use anyhow::{Context as _, Result};
use countersign_core::{PrincipalId, Span};
use countersign_testkit::{House, Psql};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_grant_psql_is_told_why_and_what_to_do() -> Result<()> {
    let house = House::open().await?;
    let mut psql = Psql::start(&house, "alice").await?;
    psql.expect("FATAL:  you hold no live grant that reaches `shop`").await?;
    let hint = psql.expect("HINT:").await?;
    assert!(hint.contains("countersign request shop-"), "{hint}");
    assert!(hint.contains("http://localhost:1/ask?role="), "{hint}");
    house.close().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_delete_waits_and_runs_once_it_is_approved() -> Result<()> {
    let house = House::open().await?;
    house.grant("alice", "shop-writer", Span::minutes(30)).await?;
    let mut psql = Psql::start(&house, "alice").await?;
    psql.send("SELECT count(*) AS duplicates FROM orders WHERE status = 'duplicate';").await?;
    psql.expect("12").await?;
    psql.send("DELETE FROM orders WHERE status = 'duplicate';").await?;
    psql.expect("NOTICE:  this waits for an approval").await?;
    psql.expect("/requests/req_").await?;
    let held = house.held().await?;
    assert_eq!(held.text.as_deref(), Some("DELETE FROM orders WHERE status = 'duplicate';"));
    let rows = held.rows.as_ref().context("no rows")?;
    assert_eq!((rows.count, rows.bound), (Some(12), Some(12)), "{:?}", held.notes);
    assert!(held.relations.iter().any(|one| one.name == "public.orders"), "{:?}", held.relations);
    house.approve(held.id).await?;
    psql.expect("DELETE 12").await?;

    // A receipt is used once: the same statement is held again, and a no ends it cleanly.
    psql.send("DELETE FROM orders WHERE status = 'duplicate';").await?;
    let held = house.held().await?;
    house.deny(held.id, "not before the backup").await?;
    psql.expect("ERROR:  denied by bob: not before the backup").await?;
    psql.send("SELECT 'still here' AS state;").await?;
    psql.expect("still here").await?;

    // No gate, no approval.
    psql.send("DROP TABLE orders;").await?;
    psql.expect("no-drop-in-production").await?;
    drop(psql);
    house.deserted().await?;
    house.close().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn inside_a_transaction_a_no_aborts_it_and_a_yes_runs_in_it() -> Result<()> {
    let house = House::open().await?;
    house.grant("alice", "shop-writer", Span::minutes(30)).await?;
    let mut psql = Psql::start(&house, "alice").await?;
    psql.send("BEGIN;\nUPDATE products SET stock = stock + 1 WHERE id = 1;").await?;
    house.approve(house.held().await?.id).await?;
    psql.expect("UPDATE 1").await?;
    psql.send("UPDATE products SET stock = 0;").await?;
    house.deny(house.held().await?.id, "all of them?").await?;
    psql.expect("ERROR:  denied by bob: all of them?").await?;
    psql.send("SELECT 1;").await?;
    psql.expect("current transaction is aborted").await?;
    psql.send("COMMIT;").await?;
    psql.expect("ROLLBACK").await?;
    psql.send("SELECT 'usable' AS state;").await?;
    psql.expect("usable").await?;
    house.close().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ctrl_c_withdraws_what_waits_and_leaving_does_too() -> Result<()> {
    let house = House::open().await?;
    house.grant("alice", "shop-writer", Span::minutes(30)).await?;
    let mut psql = Psql::start(&house, "alice").await?;
    psql.send("DELETE FROM payments;").await?;
    let held = house.held().await?;
    psql.expect("NOTICE").await?;
    psql.interrupt()?;
    psql.expect("the request was withdrawn").await?;
    house.becomes(held.id, "withdrawn").await?;

    // A psql that reads a script ends with it; somebody else closes their terminal.
    let mut psql = Psql::start(&house, "alice").await?;
    psql.send("DELETE FROM payments;").await?;
    let held = house.held().await?;
    psql.kill().await?;
    house.becomes(held.id, "withdrawn").await?;
    house.deserted().await?;
    house.close().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_revoked_grant_ends_idle_busy_and_waiting_sessions() -> Result<()> {
    let house = House::open().await?;
    let bob = house.person("bob").await?;
    for work in ["", "SELECT sum(a.id * b.id) FROM orders a, orders b, orders c;", "DELETE FROM payments;"] {
        let grant = house.grant("alice", "shop-writer", Span::minutes(30)).await?;
        let mut psql = Psql::start(&house, "alice").await?;
        psql.send("SELECT 'in' AS state;").await?;
        psql.expect("in").await?;
        psql.send(work).await?;
        if work.starts_with("DELETE") {
            house.held().await?;
        } else if !work.is_empty() {
            tokio::time::sleep(Duration::from_millis(300)).await;
        }
        #[expect(clippy::disallowed_methods, reason = "how long a cut takes is what is tested")]
        let before = std::time::Instant::now();
        house.engine.revoke(&bob, grant, Some("enough".into())).await?;
        // An idle psql reads the end when it next writes; the gateway has said it long before.
        house.deserted().await?;
        let took = before.elapsed();
        assert!(took < Duration::from_secs(3), "{took:?} for `{work}`");
        // A psql that was told in the middle of a statement has ended.
        let _ = psql.send("SELECT 1;").await;
        psql.expect("FATAL:  your grant of role `shop-writer` was revoked by `bob`").await?;
        let direct = house.database.direct().await?;
        let left = direct
            .query_one(
                "SELECT count(*) FROM pg_stat_activity WHERE usename = 'shop_writer' AND datname = $1",
                &[&house.database.name],
            )
            .await?;
        assert_eq!(left.get::<_, i64>(0), 0, "`{work}` left a backend behind");
    }
    house.close().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_grant_ends_at_its_hour_and_a_disabled_account_at_once() -> Result<()> {
    let house = House::open().await?;
    house.grant("alice", "shop-writer", Span::seconds(3)).await?;
    let mut psql = Psql::start(&house, "alice").await?;
    psql.send("BEGIN;\nSELECT 'in' AS state;").await?;
    psql.expect("in").await?;
    house.deserted().await?;
    let _ = psql.send("SELECT 1;").await;
    psql.expect("FATAL:  your grant of role `shop-writer` is over").await?;
    psql.expect("the open transaction is rolled back").await?;

    house.grant("alice", "shop-writer", Span::minutes(30)).await?;
    let mut psql = Psql::start(&house, "alice").await?;
    psql.send("SELECT 'in' AS state;").await?;
    psql.expect("in").await?;
    let bob = house.person("bob").await?;
    house.engine.disable(&bob, &PrincipalId::new("alice"), Some("left".into())).await?;
    house.deserted().await?;
    let _ = psql.send("SELECT 1;").await;
    psql.expect("FATAL:  your account was disabled").await?;
    house.close().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unanswered_it_lapses_and_nobody_answers_their_own() -> Result<()> {
    let house = House::with(|files| {
        for text in files.values_mut() {
            *text = text
                .replace("pending_for = \"15m\"", "pending_for = \"3s\"")
                .replace("after = \"5m\"", "after = \"1s\"");
        }
    })
    .await?;
    house.grant("alice", "shop-writer", Span::minutes(30)).await?;
    let mut psql = Psql::start(&house, "alice").await?;
    psql.send("DELETE FROM payments;").await?;
    let held = house.held().await?;
    let alice = house.person("alice").await?;
    assert!(house.engine.approve(&alice, held.id, None, None).await.is_err());
    psql.expect("ERROR:  nobody answered in time, so it was not approved").await?;
    house.becomes(held.id, "lapsed").await?;
    psql.send("SELECT count(*) > 0 AS untouched FROM payments;").await?;
    psql.expect(" t").await?;
    house.close().await;
    Ok(())
}
