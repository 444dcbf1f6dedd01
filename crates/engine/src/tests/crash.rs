//! Crashes, full disks, and a store that says otherwise than it does.

use countersign_core::Span;
use countersign_core::request::{Outcome, State};

use super::{Bench, open, select, settings, until};
use crate::store::{Drawer, Put, Store as _};
use crate::{Health, Judgement, MasterKey, RefusedCode, StartError, Unrecorded};

#[tokio::test]
async fn a_crash_changes_nothing_that_was_acknowledged() {
    let bench = Bench::new().await;
    let session = bench.session("alice", "shop-writer").await;
    let recorded = bench.run(&session, "DELETE FROM orders").await;
    let used = recorded.into_forward().1.request().unwrap();
    let waiting = bench.hold(&session, "DELETE FROM payments").await.id();
    let lives = bench.grant("bob", "metrics-reader").await;
    let before = bench.engine.snapshot();
    let bench = bench.crash().await;
    let after = bench.engine.snapshot();
    // An outcome that nobody can know is recorded as unknown, and never retried.
    let State::Approved(receipt) = &after.book.request(used).unwrap().state else { panic!() };
    assert_eq!((receipt.used, &receipt.outcome), (1, &Some(Outcome::Unknown)));
    assert_eq!(after.book.request(waiting).unwrap().state.as_str(), "withdrawn");
    assert!(after.book.sessions().next().is_none());
    assert!(after.book.grant(lives).unwrap().is_live(bench.engine.now()));
    assert_eq!(after.book.catalogue, before.book.catalogue);
    assert!(after.policy.is_some());
}

#[tokio::test]
async fn a_book_read_from_the_ledger_equals_the_one_that_lived() {
    let bench = Bench::new().await;
    for n in 0..20 {
        let session = bench.session("alice", "shop-writer").await;
        let waiting = bench.hold(&session, &format!("DELETE FROM orders WHERE id = {n}")).await;
        match n % 3 {
            0 => bench.engine.deny(&bench.caller("bob"), waiting.id(), Some("no".into())).await.unwrap(),
            1 => drop(waiting),
            _ => {
                bench.engine.approve(&bench.caller("bea"), waiting.id(), None, None).await.unwrap();
                let recorded = bench.engine.use_receipt(waiting, crate::Ground::default()).await.unwrap();
                drop(recorded);
            }
        }
        bench.pass(Span::minutes(7)).await;
    }
    let (folder, clock, seed) = bench.stop().await;
    // With the snapshot.
    let (engine, store) = open(folder.path(), &clock, seed + 1).unwrap();
    let with = engine.snapshot();
    let restarted = store.next_index().unwrap();
    engine.stop().await;
    drop(engine);
    let store = super::gone(store).await;
    // Without: everything from line zero, and the tree as well.
    store.put(&[Put::remove(Drawer::Cursors, *b"book"), Put::remove(Drawer::Cursors, *b"tree")]).unwrap();
    drop(store);
    let (engine, store) = open(folder.path(), &clock, seed + 2).unwrap();
    let without = engine.snapshot();
    assert_eq!(with.book, without.book);
    assert!(store.next_index().unwrap() > restarted);
    // A snapshot of nonsense is of no use, and no harm.
    engine.stop().await;
    drop(engine);
    let store = super::gone(store).await;
    store.put(&[Put::set(Drawer::Cursors, *b"book", *b"nonsense")]).unwrap();
    drop(store);
    let (engine, _store) = open(folder.path(), &clock, seed + 3).unwrap();
    assert_eq!(engine.snapshot().book, without.book);
}

#[tokio::test]
async fn a_full_disk_stops_actions_and_says_so_and_recovers() {
    let bench = Bench::new().await;
    let session = bench.session("alice", "shop-reader").await;
    let Judgement::Allow(judged) = bench.engine.judge(&session, select("SELECT 1")) else { panic!() };
    bench.store.fill(true);
    assert!(matches!(bench.engine.record(judged).await, Err(Unrecorded::Unavailable)));
    until(|| matches!(bench.engine.health(), Health::Degraded { .. })).await;
    let Health::Degraded { why, .. } = bench.engine.health() else { panic!() };
    assert!(why.contains("the disk is full"), "{why}");
    let refused =
        bench.engine.relinquish(&bench.caller("alice"), countersign_core::GrantId(1)).await.unwrap_err();
    assert_eq!(refused.code, RefusedCode::Unavailable);
    let allowed = bench.count("action.allowed");
    bench.store.fill(false);
    until(|| bench.engine.health() == Health::Ok).await;
    let kinds = bench.kinds();
    assert_eq!(kinds[kinds.len() - 2..], ["system.degraded", "system.recovered"]);
    assert_eq!(bench.count("action.allowed"), allowed);
    let Judgement::Allow(judged) = bench.engine.judge(&session, select("SELECT 1")) else { panic!() };
    bench.engine.record(judged).await.unwrap();
    let bench = bench.restart().await;
    assert_eq!(bench.count("system.recovered"), 1);
}

#[tokio::test]
async fn what_has_happened_is_written_when_the_disk_is_back() {
    let bench = Bench::new().await;
    let session = bench.session("alice", "metrics-reader").await;
    let mut ran = Vec::new();
    bench.store.fill(true);
    for n in 0..5 {
        let Judgement::Allow(judged) = bench.engine.judge(&session, select(&format!("SELECT {n}"))) else {
            panic!()
        };
        let (_, pending) = bench.engine.record_read(judged).await.unwrap();
        ran.push(pending.durable().await.unwrap());
    }
    until(|| bench.engine.health() != Health::Ok).await;
    for (n, ran) in ran.into_iter().enumerate() {
        let outcome = crate::Completion {
            result: crate::CompletionResult::Done,
            rows: Some(n as u64),
            bytes: 0,
            micros: 0,
            transaction: None,
        };
        bench.engine.completed(ran, outcome).await;
    }
    bench.store.fill(false);
    until(|| bench.count("action.completed") == 5).await;
    assert_eq!(bench.count("action.allowed"), 5);
    let last = bench.engine.line(bench.kinds().len() as u64 - 1).unwrap();
    let of = bench.engine.line(last.data["of"].as_u64().unwrap()).unwrap();
    assert_eq!((of.kind.as_str(), last.data["rows"].as_u64()), ("action.allowed", Some(4)));
}

/// The lines of an attempt to recover that were durable after all are not those of the batch that failed.
#[tokio::test]
async fn what_has_happened_is_written_however_often_recovering_is_in_doubt() {
    let bench = Bench::new().await;
    let session = bench.session("alice", "metrics-reader").await;
    let Judgement::Allow(judged) = bench.engine.judge(&session, select("SELECT 1")) else { panic!() };
    bench.store.fill(true);
    bench.engine.record_read(judged).await.unwrap().1.durable().await.unwrap();
    until(|| bench.engine.health() != Health::Ok).await;
    bench.store.lie(1);
    bench.store.fill(false);
    until(|| bench.engine.health() == Health::Ok).await;
    until(|| bench.count("action.allowed") == 1).await;
    assert_eq!(bench.count("system.recovered"), 2);
}

#[tokio::test]
async fn a_batch_that_was_durable_after_all_is_learnt() {
    let bench = Bench::new().await;
    let id = bench.ask("alice", "shop-writer").await;
    bench.store.lie(1);
    let refused = bench.engine.approve(&bench.caller("bob"), id, None, None).await.unwrap_err();
    assert_eq!(refused.code, RefusedCode::Unavailable);
    until(|| bench.engine.health() == Health::Ok && bench.count("system.recovered") == 1).await;
    assert_eq!(bench.engine.snapshot().book.request(id).unwrap().state.as_str(), "approved");
    assert_eq!(bench.count("grant.issued"), 1);
    let live = bench.engine.snapshot();
    let bench = bench.restart().await;
    assert_eq!(bench.engine.snapshot().book.grants().count(), live.book.grants().count());
    let (folder, clock, seed) = bench.stop().await;
    assert!(open(folder.path(), &clock, seed + 1).is_ok());
}

#[tokio::test]
async fn time_never_goes_back_in_the_ledger() {
    let bench = Bench::new().await;
    bench.clock.advance(Span::hours(1));
    bench.ask("alice", "shop-writer").await;
    bench.clock.set(crate::testing::MORNING);
    let id = bench.ask("alice", "shop-reader").await;
    let snapshot = bench.engine.snapshot();
    assert_eq!(snapshot.book.request(id).unwrap().asked_at, crate::testing::MORNING.plus(Span::hours(1)));
    let bench = bench.restart().await;
    assert!(bench.engine.snapshot().book.request(id).is_some());
}

/// Writes into the stopped store as an intruder would, and tells how the start went.
async fn tampered(sql: &str) -> StartError {
    let bench = Bench::new().await;
    bench.ask("alice", "shop-writer").await;
    let bench = bench.restart().await;
    bench.ask("alice", "shop-reader").await;
    let bench = bench.crash().await;
    let (folder, clock, seed) = bench.stop().await;
    let database = rusqlite::Connection::open(folder.path().join("countersign.db")).unwrap();
    database.execute_batch(sql).unwrap();
    drop(database);
    match open(folder.path(), &clock, seed + 1) {
        Ok(_) => panic!("it started after `{sql}`"),
        Err(error) => error,
    }
}

#[tokio::test]
async fn a_changed_ledger_does_not_start() {
    let whole = "DELETE FROM cursors WHERE key = CAST('book' AS BLOB);";
    let cases = [
        // The newest line is gone: the checkpoint knows better.
        ("DELETE FROM lines WHERE seq = (SELECT max(seq) FROM lines)".to_owned(), "the ledger was cut short"),
        // A line in the middle.
        (format!("{whole} DELETE FROM lines WHERE seq = 2"), "line 2: the line is missing"),
        // One byte.
        (
            format!("{whole} UPDATE lines SET line = CAST(replace(CAST(line AS TEXT), 'alice', 'alicf') AS BLOB) WHERE seq = 2"),
            "it does not follow the line before it",
        ),
        // Two lines in the wrong order.
        (
            format!("{whole} UPDATE lines SET seq = -1 WHERE seq = 2; UPDATE lines SET seq = 2 WHERE seq = 3; UPDATE lines SET seq = 3 WHERE seq = -1"),
            "line 2: it does not follow the line before it",
        ),
        // Filed as activity, so that the book does not see it.
        (format!("{whole} UPDATE lines SET decides = 0 WHERE seq = 2"), "filed as another kind of line"),
        // Another tree.
        (
            "UPDATE cursors SET value = zeroblob(length(value)) WHERE key = CAST('tree' AS BLOB); \
             UPDATE checkpoints SET value = CAST(replace(CAST(value AS TEXT), 'countersign.test', 'countersign.best') AS BLOB)"
                .to_owned(),
            "checkpoint",
        ),
        // The bundle in force.
        ("DELETE FROM bundles".to_owned(), "the bundle in force"),
        ("DELETE FROM meta".to_owned(), "the keys"),
    ];
    for (sql, told) in cases {
        let error = tampered(&sql).await;
        let text = error.to_string();
        assert!(text.contains(told), "{sql}: {text}");
    }
}

#[tokio::test]
async fn another_master_key_or_origin_does_not_start() {
    let bench = Bench::new().await;
    let (folder, clock, seed) = bench.stop().await;
    let start = |key: u8, origin: &str| {
        let store = crate::SqliteStore::open(&folder.path().join("countersign.db")).unwrap();
        let settings = crate::Settings { origin: origin.into(), ..settings() };
        let ports = crate::testing::ports(&clock, seed + 1);
        crate::Engine::start(std::sync::Arc::new(store), MasterKey::new([key; 32]), ports, settings)
    };
    assert!(matches!(start(8, "countersign.test/ledger"), Err(StartError::MasterKey)));
    assert!(matches!(start(7, "elsewhere.test/ledger"), Err(StartError::Origin { .. })));
}

/// Nothing is written until the stepper is told to, and the same steps write the same bytes.
#[tokio::test]
async fn stepped_runs_are_the_same_byte_for_byte() {
    use futures_step::drive;
    let run = async || {
        let folder = tempfile::TempDir::new().unwrap();
        let store = std::sync::Arc::new(crate::SqliteStore::open(&folder.path().join("l.db")).unwrap());
        let clock = crate::testing::ManualClock::default();
        let ports = crate::testing::ports(&clock, 5);
        let shared = std::sync::Arc::clone(&store) as std::sync::Arc<dyn crate::Store>;
        let (engine, mut stepper) =
            crate::Engine::start_stepped(shared, MasterKey::new([7; 32]), ports, settings()).unwrap();
        let before = store.next_index().unwrap();
        let dave = super::who("dave");
        let first = engine.first_bundle(super::bundle(), &dave);
        drive(first, || {
            assert_eq!(store.next_index().unwrap(), before);
            stepper.step()
        })
        .await
        .unwrap();
        clock.advance(Span::hours(1));
        stepper.tick();
        stepper.settle();
        assert!(!stepper.is_broken());
        let lines = store.read(0, 100).unwrap();
        (lines, engine.checkpoint().unwrap())
    };
    assert_eq!(run().await, run().await);
}

/// Polls a future, and steps whenever it waits.
mod futures_step {
    use std::future::Future;
    use std::pin::pin;
    use std::task::Poll;

    pub(super) async fn drive<F: Future>(future: F, mut step: impl FnMut() -> usize) -> F::Output {
        let mut future = pin!(future);
        loop {
            let polled = std::future::poll_fn(|cx| Poll::Ready(future.as_mut().poll(cx))).await;
            if let Poll::Ready(output) = polled {
                return output;
            }
            if step() == 0 {
                // Compiling goes on elsewhere.
                tokio::task::yield_now().await;
            }
        }
    }
}
