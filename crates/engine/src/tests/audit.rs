//! The ledger as others see it: tiles, checkpoints, proofs, search, disclosures; and that reading is recorded.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use countersign_core::Span;
use countersign_ledger::content::Record;
use countersign_ledger::proof::TlogProof;
use countersign_ledger::{Checkpoint, VerifierKey};

use super::{Bench, drop_table, select, until};
use crate::audit::{LedgerQuery, Stage};
use crate::follow::{FollowError, Follower, Handling};
use crate::line::Line;
use crate::store::{Drawer, Put, Scan, Store as _};
use crate::{Judgement, RefusedCode};

fn query() -> LedgerQuery {
    LedgerQuery { limit: 100, ..LedgerQuery::default() }
}

/// Lets a checkpoint be signed over everything that is there.
async fn publish(bench: &Bench) {
    let size = bench.store.next_index().unwrap();
    until(|| {
        bench.clock.advance(Span::seconds(1));
        bench.engine.ledger_state().published >= size
    })
    .await;
}

#[tokio::test]
async fn tiles_and_checkpoints_are_what_anybody_can_verify() {
    let bench = Bench::new().await;
    let session = bench.session("alice", "metrics-reader").await;
    for n in 0..700 {
        let Judgement::Allow(judged) = bench.engine.judge(&session, select(&format!("SELECT {n}"))) else {
            panic!()
        };
        let (_, pending) = bench.engine.record_read(judged).await.unwrap();
        pending.durable().await.unwrap();
        if n == 300 {
            publish(&bench).await;
        }
    }
    let retained = bench.engine.checkpoint().unwrap();
    until(|| bench.count("action.allowed") == 700).await;
    publish(&bench).await;
    check(&bench, &retained);
    let bench = bench.crash().await;
    publish(&bench).await;
    check(&bench, &retained);
}

#[tokio::test]
async fn lines_are_not_taken_by_the_tile_unrecorded() {
    let bench = Bench::new().await;
    publish(&bench).await;
    let (bob, dave) = (bench.caller("bob"), bench.caller("dave"));
    for (caller, records) in [(&bob, 1), (&bob, 1), (&dave, 2), (&bob, 2)] {
        bench.engine.taking_tiles(caller).await.unwrap();
        assert_eq!(bench.count("ledger.read"), records);
    }
    bench.clock.advance(Span::minutes(10));
    bench.engine.taking_tiles(&bob).await.unwrap();
    assert_eq!(bench.count("ledger.read"), 3);
    bench.clock.advance(Span::minutes(10));
    bench.store.fill(true);
    assert!(bench.engine.taking_tiles(&bob).await.is_err());
    bench.store.fill(false);
}

/// Fetches tiles as a verifier does, and proves the whole log with them.
fn check(bench: &Bench, retained: &str) {
    use countersign_ledger::export::{CHECKPOINT_PATH, VKEY_PATH};
    use countersign_ledger::tile::{Kind, TILE_LEVEL_MAX, Tile, count_on};
    let key: VerifierKey = bench.engine.vkey().parse().unwrap();
    let note = bench.engine.checkpoint().unwrap();
    let now = Checkpoint::open(note.as_bytes(), std::slice::from_ref(&key)).unwrap();
    let mut files = BTreeMap::from([
        (CHECKPOINT_PATH.to_owned(), note.into_bytes()),
        (VKEY_PATH.to_owned(), format!("{}\n", bench.engine.vkey()).into_bytes()),
    ]);
    let kinds = std::iter::once(Kind::Entries).chain((0..=TILE_LEVEL_MAX).map(Kind::Hashes));
    for kind in kinds {
        for index in 0..count_on(kind, now.size).div_ceil(256) {
            let tile = Tile::holding(kind, index * 256, now.size).unwrap().to_string();
            files.insert(tile.clone(), bench.engine.tile(&tile).expect(&tile));
        }
    }
    assert_eq!(bench.engine.tile("tile/0/x001/000"), None);
    assert_eq!(bench.engine.tile("tile/../countersign.db"), None);
    let old = Checkpoint::open(retained.as_bytes(), std::slice::from_ref(&key)).unwrap();
    // The partial tiles of an older checkpoint are still to be had.
    for kind in [Kind::Entries, Kind::Hashes(0)] {
        let tile = Tile::holding(kind, old.size - 1, old.size).unwrap();
        assert!(bench.engine.tile(&tile.to_string()).is_some(), "{tile}");
    }
    let keys = [key];
    let options = countersign_ledger::verify::Options {
        keys: &keys,
        retained: Some(retained.as_bytes()),
        layout: countersign_ledger::verify::Layout::Log,
    };
    let report = countersign_ledger::verify::verify(&files, &options);
    assert!(report.findings.is_empty(), "{:?}", report.findings);
    assert_eq!(report.size, now.size);
}

#[tokio::test]
async fn a_line_is_proved_by_itself() {
    let bench = Bench::new().await;
    let id = bench.ask("alice", "shop-writer").await;
    publish(&bench).await;
    let bob = bench.caller("bob");
    let index = bench.kinds().iter().position(|kind| kind == "request.created").unwrap() as u64;
    let detail = bench.engine.event(&bob, index).await.unwrap();
    assert_eq!(detail.event.line.request, Some(id));
    assert_eq!(detail.event.stage, Stage::Published);
    assert_eq!(detail.event.text.as_deref(), Some("repair the orders"));
    assert!(detail.event.controls.iter().any(|control| control == "AC-2e"));
    let [content] = detail.contents.as_slice() else { panic!("{:?}", detail.contents) };
    assert_eq!(content.pointer, "/data/content");
    assert!(content.kept.is_some());
    let key: VerifierKey = bench.engine.vkey().parse().unwrap();
    let proof = TlogProof::parse(detail.proof.unwrap().as_bytes()).unwrap();
    proof.verify(&detail.event.line.bytes, &[key]).unwrap();
    assert!(bench.engine.event(&bob, 10_000).await.is_err());
}

#[tokio::test]
async fn the_ledger_is_searched_and_that_is_recorded() {
    let bench = Bench::new().await;
    let session = bench.session("alice", "shop-writer").await;
    let Judgement::Deny(denied) = bench.engine.judge(&session, drop_table("DROP TABLE Particular")) else {
        panic!()
    };
    bench.engine.denied(denied).await.unwrap();
    let bob = bench.caller("bob");
    let kinds = async |query| {
        let page = bench.engine.search(&bob, query).await.unwrap();
        page.items.into_iter().map(|item| item.line.kind).collect::<Vec<_>>()
    };
    let by_text = |text: &str| LedgerQuery { text: Some(text.into()), ..query() };
    assert_eq!(kinds(by_text("particular")).await, ["action.blocked"]);
    assert_eq!(kinds(by_text("repair the ORDERS")).await, ["session.opened", "request.created"]);
    // What was searched for is content of the lines about searching: it is found as well.
    assert_eq!(kinds(by_text("particular")).await, ["ledger.read", "action.blocked"]);
    let of = |kind: &str| LedgerQuery { kind: Some(kind.into()), ..query() };
    assert_eq!(kinds(of("grant.")).await, ["grant.issued"]);
    assert_eq!(kinds(of("grant")).await, ["grant.issued"]);
    assert_eq!(kinds(of("gran")).await, [""; 0]);
    let in_session = LedgerQuery { session: Some(session.id()), ..query() };
    assert_eq!(kinds(in_session.clone()).await, ["action.blocked", "session.opened"]);
    let about = LedgerQuery { principal: Some(super::who("bob")), kind: Some("decision.".into()), ..query() };
    assert_eq!(kinds(about).await, ["decision.approved"]);
    let control =
        |control: &str| LedgerQuery { control: Some(control.into()), kind: Some("grant.".into()), ..query() };
    assert_eq!(kinds(control("AC-2")).await, ["grant.issued"]);
    assert_eq!(kinds(control("AC-24")).await, [""; 0]);
    let page = bench.engine.search(&bob, LedgerQuery { limit: 2, ..query() }).await.unwrap();
    let before = page.next;
    let next = bench.engine.search(&bob, LedgerQuery { limit: 2, before, ..query() }).await.unwrap();
    assert_eq!(next.items[0].line.index + 1, page.items[1].line.index);
    assert_eq!(bench.count("ledger.read"), 12, "once for each search");
    let refused = bench.engine.search(&bench.caller("carol"), query()).await.unwrap_err();
    assert_eq!(refused.code, RefusedCode::NotPermitted);
    // One's own session may be read by oneself.
    assert!(bench.engine.search(&bench.caller("alice"), in_session.clone()).await.is_ok());
    assert!(bench.engine.search(&bench.caller("carol"), in_session).await.is_err());
}

#[tokio::test]
async fn disclosures_hold_and_exporting_is_recorded() {
    let bench = Bench::new().await;
    let session = bench.session("alice", "metrics-reader").await;
    for _ in 0..3 {
        let Judgement::Allow(judged) = bench.engine.judge(&session, select("SELECT again")) else { panic!() };
        bench.engine.record_read(judged).await.unwrap();
    }
    until(|| bench.count("action.allowed") == 3).await;
    let content = bench.engine.export_content(&bench.caller("bob"), 0..u64::MAX).await.unwrap();
    let mut texts = 0;
    for line in content.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
        let record = Record::parse(line).unwrap();
        let line = bench.engine.line(record.seq).unwrap();
        record.check(&serde_json::from_slice(&line.bytes).unwrap()).unwrap();
        texts += usize::from(record.bytes == b"SELECT again");
    }
    assert_eq!(texts, 3, "a text that is kept once is disclosed wherever it was run");
    assert_eq!(bench.count("ledger.exported"), 1);
    assert!(bench.engine.export_content(&bench.caller("alice"), 0..9).await.is_err());
}

#[tokio::test]
async fn erased_content_breaks_no_proof() {
    let bench = Bench::new().await;
    let id = bench.ask("alice", "shop-writer").await;
    let key = format!("request:{id}").into_bytes();
    bench.store.put(&[Put::remove(Drawer::Keys, key)]).unwrap();
    let view = bench.engine.request_view(&bench.caller("bob"), id).unwrap();
    assert!(view.erased && view.purpose.is_none());
    publish(&bench).await;
    let index = bench.kinds().iter().position(|kind| kind == "request.created").unwrap() as u64;
    let detail = bench.engine.event(&bench.caller("bob"), index).await.unwrap();
    assert!(detail.contents[0].kept.is_none() && detail.proof.is_some());
}

#[tokio::test]
async fn what_many_statements_say_is_kept_line_by_line_and_erased_by_session() {
    let bench = Bench::new().await;
    let sessions =
        [bench.session("alice", "metrics-reader").await, bench.session("bob", "metrics-reader").await];
    let (text, value) = (|n: usize| format!("SELECT {n}"), |n: usize| format!("value {n}").into_bytes());
    for n in 0..600 {
        let mut attempt = select(&text(n));
        if n % 3 == 0 {
            let parameter = crate::Parameter { binary: false, bytes: value(n).into() };
            attempt.parameters = [Some(parameter), None].into();
        }
        let Judgement::Allow(judged) = bench.engine.judge(&sessions[n % 2], attempt) else { panic!() };
        bench.engine.record_read(judged).await.unwrap();
    }
    until(|| bench.count("action.allowed") == 600).await;
    let kept = |line: &Line| {
        let kept = bench.engine.kept(line.index);
        kept.iter().for_each(|one| {
            let said = line.data.pointer(one.at.strip_prefix("/data").unwrap());
            let commitment =
                countersign_ledger::content::Commitment(countersign_ledger::Hash(one.commitment().0));
            assert_eq!(said.unwrap().as_str(), Some(&*commitment.to_string()));
        });
        kept.into_iter().map(|one| String::from_utf8(one.bytes).unwrap()).collect::<Vec<_>>()
    };
    let lines = bench.lines_of("action.allowed");
    for (n, line) in lines.iter().enumerate() {
        let mut expected = vec![text(n)];
        if n % 3 == 0 {
            let parameter = countersign_core::action::Action::parameter(false, &value(n));
            expected.push(format!("[\"{parameter}\",null]"));
        }
        assert_eq!(kept(line), expected);
    }
    let rows = |drawer| bench.store.scan(drawer, &Scan::of(b"", usize::MAX >> 1)).unwrap().len();
    assert!(rows(Drawer::Sheets) < 60, "{} rows", rows(Drawer::Sheets));
    let key = format!("session:{}", sessions[0].id()).into_bytes();
    bench.store.put(&[Put::remove(Drawer::Keys, key)]).unwrap();
    for (n, line) in lines.iter().enumerate() {
        assert_eq!(kept(line).is_empty(), n % 2 == 0);
    }
}

#[tokio::test]
async fn what_the_book_forgot_is_still_shown() {
    let bench = Bench::new().await;
    let session = bench.session("alice", "shop-writer").await;
    let waiting = bench.hold(&session, "DELETE FROM orders").await;
    let id = waiting.id();
    bench.engine.deny(&bench.caller("bob"), id, Some("no".into())).await.unwrap();
    let known = bench.engine.request_view(&bench.caller("alice"), id).unwrap();
    // As many requests as the book remembers, so that it forgets this one.
    for _ in 0..countersign_core::book::REMEMBERED_MAX {
        let alice = bench.caller("alice");
        let ask = crate::AskAccess {
            role: countersign_core::RoleId::new("metrics-reader"),
            lasting: Span::minutes(1),
            purpose: "x".into(),
            ticket: None,
        };
        bench.engine.ask(&alice, ask).await.unwrap();
    }
    assert!(bench.engine.snapshot().book.request(id).is_none());
    let past = bench.engine.request_view(&bench.caller("alice"), id).unwrap();
    assert_eq!((past.text, past.denial, past.ended_at), (known.text, known.denial, known.ended_at));
    let filter = crate::RequestFilter { state: Some("denied"), ..crate::RequestFilter::default() };
    let views = bench.engine.request_views(&bench.caller("alice"), filter);
    assert_eq!(views.iter().map(|view| view.id).collect::<Vec<_>>(), [id]);
}

/// Fails now and then, and remembers what it was given.
struct Forgetful {
    seen: Arc<Mutex<Vec<u64>>>,
    calls: u64,
}

impl Follower for Forgetful {
    fn name(&self) -> &'static str {
        "forgetful"
    }

    fn handle<'a>(&'a mut self, lines: &'a [Line]) -> Handling<'a> {
        Box::pin(async move {
            self.calls += 1;
            if self.calls.is_multiple_of(2) {
                return Err(FollowError("not now".into()));
            }
            self.seen.lock().unwrap().extend(lines.iter().map(|line| line.index));
            Ok(())
        })
    }
}

#[tokio::test]
async fn a_follower_is_given_every_line_in_order() {
    let bench = Bench::new().await;
    let seen = Arc::new(Mutex::new(Vec::new()));
    bench.engine.follow(Forgetful { seen: Arc::clone(&seen), calls: 0 });
    bench.ask("alice", "shop-writer").await;
    bench.ask("alice", "shop-reader").await;
    until(|| {
        bench.clock.advance(Span::seconds(1));
        seen.lock().unwrap().len() as u64 >= 4
    })
    .await;
    let bench = bench.restart().await;
    bench.engine.follow(Forgetful { seen: Arc::clone(&seen), calls: 0 });
    let size = bench.store.next_index().unwrap();
    until(|| {
        bench.clock.advance(Span::seconds(1));
        seen.lock().unwrap().last().is_some_and(|last| last + 1 >= size)
    })
    .await;
    let mut once = seen.lock().unwrap().clone();
    assert!(once.is_sorted());
    once.dedup();
    assert!(once.iter().copied().eq(0..once.len() as u64), "{once:?}");
}

#[tokio::test]
async fn lines_are_found_by_resource_relation_and_time() {
    let bench = Bench::new().await;
    let began = bench.engine.now();
    let session = bench.session("alice", "shop-writer").await;
    bench.run(&session, "delete from Orders where id = 1").await;
    bench.clock.advance(Span::minutes(10));
    let later = bench.engine.now();
    bench.hold(&session, "delete from reorders").await;
    let bob = bench.caller("bob");
    let found = async |query: LedgerQuery| {
        let page = bench.engine.search(&bob, query).await.unwrap();
        page.items.iter().filter(|one| one.line.kind.starts_with("action.")).count()
    };
    let acts = || LedgerQuery { kind: Some("action.held".into()), ..query() };
    assert_eq!(found(acts()).await, 2);
    assert_eq!(
        found(LedgerQuery { relation: Some("orders".into()), ..acts() }).await,
        1,
        "as a word of its own"
    );
    assert_eq!(found(LedgerQuery { relation: Some("order".into()), ..acts() }).await, 0);
    assert_eq!(found(LedgerQuery { from: Some(later), ..acts() }).await, 1);
    assert_eq!(found(LedgerQuery { until: Some(later), ..acts() }).await, 1);
    assert_eq!(found(LedgerQuery { from: Some(began), until: Some(began), ..acts() }).await, 0);
    let metrics = LedgerQuery { resource: Some(countersign_core::ResourceId::new("metrics")), ..acts() };
    assert_eq!(found(metrics).await, 0);
    let page = bench.engine.search(&bob, LedgerQuery { from: Some(later), ..query() }).await.unwrap();
    assert!(
        page.items.iter().all(|one| one.line.at >= later) && page.next.is_none(),
        "nothing before is looked at"
    );
}

#[tokio::test]
async fn a_session_is_followed_and_that_is_recorded_once() {
    let bench = Bench::new().await;
    let session = bench.session("alice", "shop-writer").await;
    let bob = bench.caller("bob");
    let refused = bench.engine.follow_session(&bench.caller("carol"), session.id(), None).await.unwrap_err();
    assert_eq!(refused.code, RefusedCode::NotPermitted);
    let reads = bench.count("ledger.read");
    let mut following = bench.engine.follow_session(&bob, session.id(), None).await.unwrap();
    let kinds = |followed: &crate::audit::Followed| -> Vec<String> {
        followed.lines.iter().map(|one| one.line.kind.clone()).collect()
    };
    assert_eq!(kinds(&following.look().unwrap()), ["session.opened"]);
    bench.run(&session, "delete from orders").await;
    let other = bench.session("carol", "metrics-reader").await;
    let Judgement::Deny(denied) = bench.engine.judge(&session, drop_table("drop table orders")) else {
        panic!()
    };
    bench.engine.denied(denied).await.unwrap();
    assert!(following.is_behind());
    let followed = following.look().unwrap();
    assert_eq!(
        kinds(&followed),
        ["action.held", "decision.approved", "decision.quorum_reached", "action.allowed", "action.blocked"]
    );
    assert!(!followed.over && !followed.more);
    assert!(following.look().unwrap().lines.is_empty());
    assert_eq!(bench.count("ledger.read"), reads + 1);

    // From where it was lost, and to its end.
    let mut again = bench.engine.follow_session(&bob, session.id(), Some(followed.next)).await.unwrap();
    bench.engine.close_session(&session, countersign_core::session::Ending::User).await;
    let last = again.look().unwrap();
    assert!(last.over && kinds(&last).contains(&"session.terminated".to_owned()), "{:?}", kinds(&last));
    drop(other);
}
