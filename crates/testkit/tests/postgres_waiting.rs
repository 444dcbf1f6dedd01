//! What a client hears while it waits, and how long it may, so that nobody else waits for it for long.

use anyhow::{Context as _, Result, ensure};
use countersign_core::{RequestId, Span};
use countersign_engine::testing::ManualClock;
use countersign_testkit::{House, Psql};
use tokio_postgres::Client;

const ONE: &str = "UPDATE products SET stock = 1 WHERE id = 1";
const TWO: &str = "UPDATE products SET stock = 1 WHERE id = 2";

/// A house whose rule for writes has these terms besides.
async fn house(terms: &'static str) -> Result<House> {
    let house = House::with(|files| {
        if let Some(rules) = files.get_mut("rules.toml") {
            *rules = rules.replace("uses = 1 #", &format!("{terms}\nuses = 1 #"));
        }
    })
    .await?;
    house.grant("alice", "shop-writer", Span::minutes(30)).await?;
    Ok(house)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_waits_is_told_at_once_and_every_half_minute() -> Result<()> {
    let clock = ManualClock::default();
    let house = House::on_clock(&clock, |_| {}).await?;
    house.grant("alice", "shop-writer", Span::hours(2)).await?;
    let mut psql = Psql::start(&house, "alice").await?;
    psql.send(&format!("{ONE};")).await?;
    let told = psql.expect("this waits for an approval by").await?;
    ensure!(told.contains("(bob)") && told.contains("(15m left)"), "{told}");
    for left in ["14m30s", "14m", "13m30s"] {
        clock.advance(Span::seconds(30));
        let told = psql.expect("still waiting for").await?;
        ensure!(told.trim_end().ends_with(&format!("it lapses in {left}")), "{told} instead of {left}");
    }
    // Whatever the clock jumps over is not said afterwards.
    clock.advance(Span::minutes(10));
    let told = psql.expect("still waiting for").await?;
    ensure!(told.trim_end().ends_with("it lapses in 3m30s"), "{told}");
    clock.advance(Span::minutes(4));
    psql.expect("nobody answered in time").await?;
    let said = psql.seen().iter().filter(|line| line.contains("waiting for")).count();
    assert_eq!(said, 4, "{:?}", psql.seen());
    psql.send("SELECT 'still here';").await?;
    psql.expect("still here").await?;
    house.close().await;
    Ok(())
}

/// Sends something that is held, and says how long it may wait, with the notes on it; then has it approved.
async fn held(house: &House, client: &Client, text: &str) -> Result<(Span, Vec<String>, RequestId)> {
    let answers = async {
        let held = house.held().await.with_context(|| text.to_owned())?;
        house.approve(held.id).await?;
        // The hour is that of the question, which is written a moment later.
        let left = Span::seconds((held.lapses_at.since(held.asked_at).0 + 999_999) / 1_000_000);
        Ok::<_, anyhow::Error>((left, held.notes, held.id))
    };
    let (ran, held) = tokio::join!(client.batch_execute(text), answers);
    ran?;
    held
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn inside_a_transaction_it_waits_no_longer_than_the_rule_says() -> Result<()> {
    let house = house("pending_in_transaction = \"2m\"\npending_with_locks = \"20s\"").await?;
    let client = house.connect("alice").await?;
    let (left, notes, _) = held(&house, &client, ONE).await?;
    assert_eq!(left, Span::minutes(15));
    ensure!(notes.iter().all(|note| !note.contains("inside a transaction")), "{notes:?}");
    client.batch_execute("BEGIN").await?;
    let (left, notes, _) = held(&house, &client, ONE).await?;
    assert_eq!(left, Span::minutes(2), "nothing is locked yet");
    ensure!(notes.iter().any(|note| note.contains("holds nobody else up")), "{notes:?}");
    let (left, notes, _) = held(&house, &client, TWO).await?;
    assert_eq!(left, Span::seconds(20));
    ensure!(notes.iter().any(|note| note.contains("public.products (RowExclusiveLock)")), "{notes:?}");
    client.batch_execute("COMMIT").await?;
    let (left, ..) = held(&house, &client, TWO).await?;
    assert_eq!(left, Span::minutes(15));
    house.close().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rule_may_let_nothing_wait_while_others_are_held_up() -> Result<()> {
    let house = house("wait_with_locks = false").await?;
    let client = house.connect("alice").await?;
    client.batch_execute("BEGIN").await?;
    held(&house, &client, ONE).await?;
    let error = client.batch_execute(TWO).await.err().context("it ran, or waited")?;
    let error = error.as_db_error().context("no words")?;
    assert_eq!(
        error.message(),
        "rule `prod-write` lets nothing wait for an approval in a transaction that holds locks"
    );
    ensure!(error.hint().is_some_and(|hint| hint.contains("end the transaction")), "{error:?}");
    // As with any statement that fails, the transaction has failed with it.
    client.batch_execute("ROLLBACK").await?;
    held(&house, &client, TWO).await?;
    house.close().await;

    let house = self::house("wait_in_transaction = false").await?;
    let client = house.connect("alice").await?;
    client.batch_execute("BEGIN").await?;
    let error = client.batch_execute(ONE).await.err().context("it ran, or waited")?;
    let error = error.as_db_error().context("no words")?;
    assert_eq!(error.message(), "rule `prod-write` lets nothing wait for an approval in an open transaction");
    house.close().await;
    Ok(())
}

/// Reads that policy gates wait like writes: nothing of their answers comes before the yes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reads_wait_too() -> Result<()> {
    let house = House::with(|files| {
        let gate = "\n@id(\"some-reads-wait\")\n@gate(\"prod-write\")\nforbid (principal, action in \
                    [Action::\"sql.copy_out\", Action::\"sql.explain\", Action::\"sql.select\"], resource);\n";
        files.insert("reads.cedar".into(), gate.into());
    })
    .await?;
    house.grant("alice", "shop-writer", Span::minutes(30)).await?;
    let mut psql = Psql::start(&house, "alice").await?;
    for (text, shown) in [
        ("SELECT 'se' || 'lected';", "selected"),
        ("COPY (SELECT 'co' || 'pied') TO STDOUT;", "copied"),
        ("EXPLAIN SELECT name FROM products ORDER BY name;", "Sort Key: name"),
    ] {
        for yes in [false, true] {
            psql.send(text).await?;
            psql.expect("this waits for an approval by").await?;
            let held = house.held().await?;
            assert_eq!(held.text.as_deref(), Some(text), "{held:?}");
            ensure!(psql.seen().iter().all(|line| !line.contains(shown)), "{:?}", psql.seen());
            if yes {
                house.approve(held.id).await?;
                psql.expect(shown).await.with_context(|| text.to_owned())?;
            } else {
                house.deny(held.id, "not this").await?;
                psql.expect("denied by bob: not this").await?;
            }
        }
    }
    house.close().await;
    Ok(())
}
