//! What becomes of the transactions in which approved statements run: what an approver is told is compared with what the
//! server has.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use countersign_core::request::{Fate, Outcome, State, Transaction};
use countersign_core::{RequestId, Span};
use countersign_engine::audit::LedgerQuery;
use countersign_testkit::House;
use tokio_postgres::Client;

/// What a client does next.
#[derive(Clone, Copy, Debug)]
enum Step {
    /// Something that needs nobody's yes.
    Says(&'static str),
    /// The same, and it fails.
    Fails(&'static str),
    /// Something that is held, and approved.
    Asks(&'static str),
    /// The same, and it fails when it runs.
    AsksInVain(&'static str),
}

use Step::{Asks, AsksInVain, Fails, Says};

/// How long something may take that happens at once.
const SOON: Duration = Duration::from_secs(10);
const ONE: &str = "UPDATE products SET stock = 1001 WHERE id = 1";
const TWO: &str = "UPDATE products SET stock = 1002 WHERE id = 2";

const COMMITTED: Option<Transaction> = Some(Transaction::Over(Fate::Committed));
const UNDONE: Option<Transaction> = Some(Transaction::Over(Fate::RolledBack));
const UNKNOWN: Option<Transaction> = Some(Transaction::Over(Fate::Unknown));

/// Steps, what is said of each that asked, and which rows the server has changed in the end.
type Case = (&'static [Step], &'static [Option<Transaction>], &'static [i64]);

const CASES: &[Case] = &[
    (&[Asks(ONE)], &[COMMITTED], &[1]),
    (&[Says("BEGIN"), Asks(ONE), Says("COMMIT")], &[COMMITTED], &[1]),
    (&[Says("BEGIN"), Asks(ONE), Says("ROLLBACK")], &[UNDONE], &[]),
    (&[Says("BEGIN"), Asks(ONE), Fails("SELEC 1"), Says("COMMIT")], &[UNDONE], &[]),
    (
        &[Says("BEGIN"), Asks(ONE), Says("SAVEPOINT a"), Asks(TWO), Says("ROLLBACK TO a"), Says("COMMIT")],
        &[COMMITTED, UNDONE],
        &[1],
    ),
    (
        &[Says("BEGIN"), Says("SAVEPOINT a"), Asks(ONE), Says("ROLLBACK TO a"), Asks(TWO), Says("COMMIT")],
        &[UNDONE, COMMITTED],
        &[2],
    ),
    (
        &[Says("BEGIN"), Asks(ONE), Says("SAVEPOINT a"), Asks(TWO), Says("RELEASE a"), Says("COMMIT")],
        &[COMMITTED, COMMITTED],
        &[1, 2],
    ),
    (
        &[
            Says("BEGIN"),
            Says("SAVEPOINT a"),
            Asks(ONE),
            Says("SAVEPOINT a"),
            Asks(TWO),
            Says("RELEASE a"),
            Says("ROLLBACK TO a"),
            Says("COMMIT"),
        ],
        &[UNDONE, UNDONE],
        &[],
    ),
    (
        &[
            Says("BEGIN"),
            Asks(ONE),
            Says("SAVEPOINT a"),
            Fails("SELEC 1"),
            Says("ROLLBACK TO a"),
            Says("COMMIT"),
        ],
        &[COMMITTED],
        &[1],
    ),
    (
        &[Says("BEGIN"), Asks(ONE), Says("COMMIT AND CHAIN"), Asks(TWO), Says("ROLLBACK")],
        &[COMMITTED, UNDONE],
        &[1],
    ),
    // A text of several statements is held whole.
    (&[Asks("BEGIN; UPDATE products SET stock = 1001 WHERE id = 1; COMMIT")], &[COMMITTED], &[1]),
    (&[Asks("BEGIN; UPDATE products SET stock = 1001 WHERE id = 1; ROLLBACK")], &[UNDONE], &[]),
    (&[Asks("BEGIN; UPDATE products SET stock = 1001 WHERE id = 1"), Says("ROLLBACK")], &[UNDONE], &[]),
    (&[Asks("UPDATE products SET stock = 1001 WHERE id = 1; SELECT 1")], &[COMMITTED], &[1]),
    (
        &[
            Says("BEGIN"),
            Asks("UPDATE products SET stock = 1001 WHERE id = 1; SAVEPOINT a; SELECT 1"),
            Says("ROLLBACK TO a"),
            Says("COMMIT"),
        ],
        &[UNKNOWN],
        &[1],
    ),
    (
        &[AsksInVain("BEGIN; UPDATE products SET stock = 1001 WHERE id = 1; COMMIT; SELECT 1/0")],
        &[UNKNOWN],
        &[1],
    ),
    (&[AsksInVain("UPDATE products SET stock = 1001 WHERE id = 1; SELECT 1/0")], &[None], &[]),
    // Whether this row may stay is asked at the end of the transaction.
    (&[Says("BEGIN"), Asks("UPDATE products SET stock = 666 WHERE id = 1"), Fails("COMMIT")], &[UNDONE], &[]),
];

async fn house() -> Result<House> {
    let house = House::open().await?;
    house.grant("alice", "shop-writer", Span::minutes(30)).await?;
    house
        .database
        .direct()
        .await?
        .batch_execute(
            "UPDATE products SET stock = 10;
             CREATE FUNCTION late() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
               IF NEW.stock = 666 THEN RAISE EXCEPTION 'not that many'; END IF; RETURN NULL; END $$;
             CREATE CONSTRAINT TRIGGER late AFTER UPDATE ON products DEFERRABLE INITIALLY DEFERRED
               FOR EACH ROW EXECUTE FUNCTION late()",
        )
        .await?;
    Ok(house)
}

/// Has a statement held, approved and run; whether it went well.
async fn asked(house: &House, client: &Client, text: &str, simple: bool) -> Result<(RequestId, bool)> {
    let runs = async {
        match simple {
            true => client.batch_execute(text).await,
            false => client.execute(text, &[]).await.map(|_| ()),
        }
    };
    let answers = async {
        let held = house.held().await.with_context(|| text.to_owned())?;
        house.approve(held.id).await?;
        Ok::<_, anyhow::Error>(held.id)
    };
    tokio::pin!(runs);
    let id = tokio::select! {
        ran = &mut runs => anyhow::bail!("`{text}` was not held: {ran:?}"),
        id = answers => id?,
    };
    let ran = tokio::time::timeout(SOON, runs).await.with_context(|| format!("`{text}` does not end"))?;
    Ok((id, ran.is_ok()))
}

/// Says something that needs nobody's yes.
async fn says(client: &Client, text: &str) -> Result<bool> {
    let said = tokio::time::timeout(SOON, client.batch_execute(text)).await;
    Ok(said.with_context(|| format!("`{text}` waits"))?.is_ok())
}

/// Waits until this is said of the last use of a request.
async fn becomes(house: &House, id: RequestId, wanted: Option<Transaction>) -> Result<()> {
    let mut changed = house.engine.changed();
    let told = || {
        let snapshot = house.engine.snapshot();
        let found = snapshot.book.request(id)?;
        let State::Approved(receipt) = &found.state else { return None };
        receipt.outcome.as_ref().map(|_| found.transaction())
    };
    let waiting = async {
        while told() != Some(wanted) {
            if changed.changed().await.is_err() {
                break;
            }
        }
    };
    let soon = tokio::time::timeout(SOON, waiting).await;
    ensure!(soon.is_ok(), "{:?} instead of {wanted:?}", told());
    Ok(())
}

/// The products whose stock is no longer what it was.
async fn changed(house: &House) -> Result<Vec<i64>> {
    let direct = house.database.direct().await?;
    let rows = direct.query("SELECT id::bigint FROM products WHERE stock <> 10 ORDER BY id", &[]).await?;
    Ok(rows.iter().map(|row| row.get(0)).collect())
}

async fn play(house: &House, (steps, said, rows): &Case, simple: bool) -> Result<()> {
    house.database.direct().await?.batch_execute("UPDATE products SET stock = 10").await?;
    let client = house.connect("alice").await?;
    let mut requests = Vec::new();
    for step in *steps {
        match step {
            Says(text) => ensure!(says(&client, text).await?, "`{text}` failed"),
            Fails(text) => ensure!(!says(&client, text).await?, "`{text}` went well"),
            Asks(text) | AsksInVain(text) => {
                let (id, well) = asked(house, &client, text, simple).await?;
                ensure!(well == matches!(step, Asks(_)), "`{text}`: {well}");
                if simple && matches!(steps.first(), Some(Says("BEGIN"))) {
                    becomes(house, id, Some(Transaction::Open)).await?;
                }
                requests.push(id);
            }
        }
    }
    for (id, wanted) in requests.iter().zip(*said) {
        becomes(house, *id, *wanted).await?;
    }
    ensure!(changed(house).await? == *rows, "{:?} instead of {rows:?}", changed(house).await?);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_said_of_a_transaction_is_what_became_of_it() -> Result<()> {
    let house = house().await?;
    for case in CASES {
        play(&house, case, true).await.with_context(|| format!("{case:?}"))?;
        let single = |step: &Step| matches!(step, Asks(text) | AsksInVain(text) if text.contains(';'));
        if !case.0.iter().any(single) {
            play(&house, case, false).await.with_context(|| format!("extended, {case:?}"))?;
        }
    }
    house.close().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_that_ends_undoes_what_was_not_committed() -> Result<()> {
    let house = house().await?;
    let client = house.connect("alice").await?;
    client.batch_execute("BEGIN").await?;
    let (left, _) = asked(&house, &client, ONE, true).await?;
    becomes(&house, left, Some(Transaction::Open)).await?;
    drop(client);
    becomes(&house, left, UNDONE).await?;
    // Or is ended.
    let client = house.connect("alice").await?;
    client.batch_execute("BEGIN").await?;
    let (cut, _) = asked(&house, &client, TWO, true).await?;
    let grant = house.engine.snapshot().book.grants().next_back().context("no grant")?.id;
    house.engine.revoke(&house.person("bob").await?, grant, None).await?;
    becomes(&house, cut, UNDONE).await?;
    ensure!(changed(&house).await?.is_empty());
    house.close().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_ledger_says_so_in_lines_of_their_own() -> Result<()> {
    let house = house().await?;
    let client = house.connect("alice").await?;
    client.batch_execute("BEGIN").await?;
    let (id, _) = asked(&house, &client, ONE, true).await?;
    becomes(&house, id, Some(Transaction::Open)).await?;
    client.batch_execute("COMMIT").await?;
    becomes(&house, id, COMMITTED).await?;
    let bob = house.person("bob").await?;
    let query = LedgerQuery { request: Some(id), limit: 100, ..LedgerQuery::default() };
    let lines = house.engine.search(&bob, query).await?.items;
    let about = |kind: &str| lines.iter().find(|view| view.line.kind == kind);
    let done = about("action.completed").context("no outcome")?;
    let over = about("action.concluded").context("no end")?;
    assert_eq!(done.transaction.as_deref(), Some("open"));
    assert_eq!(over.transaction.as_deref(), Some("committed"));
    assert_eq!(over.line.data["from"], 1);
    assert_eq!(over.line.actor.as_ref().map(ToString::to_string).as_deref(), Some("alice"));
    // As the approver is shown it.
    let shown = house.engine.request_view(&bob, id)?;
    assert_eq!(shown.outcome, Some(Outcome::Done { rows: Some(1) }));
    assert_eq!(shown.transaction, COMMITTED);
    house.close().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_exceeds_its_rows_is_said_to_have_been_undone_in_either_protocol() -> Result<()> {
    let house = house().await?;
    for simple in [true, false] {
        let client = house.connect("alice").await?;
        let more = "UPDATE products SET stock = stock + 1 WHERE stock < 20";
        let direct = house.database.direct().await?;
        direct.batch_execute("UPDATE products SET stock = CASE WHEN id = 1 THEN 10 ELSE 30 END").await?;
        let runs = async {
            match simple {
                true => client.batch_execute(more).await,
                false => client.execute(more, &[]).await.map(|_| ()),
            }
        };
        let answers = async {
            let held = house.held().await?;
            // While it waits, there comes to be more of what it changes.
            direct.batch_execute("UPDATE products SET stock = 10").await?;
            house.approve(held.id).await?;
            Ok::<_, anyhow::Error>(held.id)
        };
        let (ran, id) = tokio::join!(runs, answers);
        ensure!(ran.is_err(), "it touched more than was approved");
        let id = id?;
        becomes(&house, id, None).await?;
        let shown = house.engine.request_view(&house.person("bob").await?, id)?;
        ensure!(
            matches!(shown.outcome, Some(Outcome::BeyondBound { rows }) if rows > 1),
            "{:?}",
            shown.outcome
        );
        ensure!(changed(&house).await?.is_empty());
    }
    house.close().await;
    Ok(())
}
