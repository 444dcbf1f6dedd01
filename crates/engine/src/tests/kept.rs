//! Results that are kept, and the day on which they are not any more.

use countersign_core::Span;

use super::{Bench, bundle, select, until};
use crate::store::{Drawer, Put, Scan, Store as _};
use crate::{Completion, CompletionResult, Health, Judgement, LedgerQuery};

async fn bench() -> Bench {
    let mut files = bundle();
    let resources = files.get_mut("resources.toml").unwrap();
    resources.push_str("\n[resource.shop.capture]\ndays = 7\n");
    let policies = files.get_mut("house.cedar").unwrap();
    policies.push_str(
        "@id(\"kept\") permit (principal, action == Action::\"sql.capture\", resource);
        @id(\"read\") permit (principal == User::\"bob\", action == Action::\"session.results\", resource);
        @id(\"lines\") permit (principal == User::\"bob\", action == Action::\"ledger.read\", resource);",
    );
    Bench::with_bundle(files).await
}

#[tokio::test]
async fn the_key_is_destroyed_and_the_proof_stands() {
    let bench = bench().await;
    let session = bench.session("alice", "shop-reader").await;
    let attempt = select("SELECT 1");
    let keeping = bench.engine.keeps(&session, &attempt.context).unwrap();
    assert_eq!(keeping.bytes_max, 65_536);
    let Judgement::Allow(judged) = bench.engine.judge(&session, attempt) else { panic!() };
    let (_, pending) = bench.engine.record_read(judged).await.unwrap();
    let mut ran = pending.durable().await.unwrap();
    ran.has_result(b"{\"planted\":1}".to_vec(), keeping);
    let done = CompletionResult::Done;
    let ended = Completion { result: done, rows: Some(1), bytes: 1, micros: 1, transaction: None };
    bench.engine.completed(ran, ended).await;
    until(|| bench.count("action.completed") == 1).await;

    let bob = bench.caller("bob");
    let query = LedgerQuery { kind: Some("action.completed".into()), limit: 1, ..LedgerQuery::default() };
    let index = bench.engine.search(&bob, query).await.unwrap().items[0].line.index;
    let kept = async || {
        let detail = bench.engine.event(&bob, index).await.unwrap();
        let content = detail.contents.into_iter().find(|content| content.pointer == "/data/kept").unwrap();
        (content.kept.map(|kept| kept.bytes), content.withheld)
    };
    assert_eq!(kept().await, (Some(b"{\"planted\":1}".to_vec()), false));
    bench.clock.advance(Span::hours(24 * 7));
    assert_eq!(bench.engine.destroy_results().await.unwrap(), 0);
    assert!(kept().await.0.is_some(), "seven whole days");
    bench.clock.advance(Span::hours(24 * 2));
    until(|| bench.count("result.destroyed") == 1).await;
    assert_eq!(kept().await, (None, false), "gone, and not withheld");
    let told = bench.lines_of("result.destroyed").remove(0);
    assert_eq!(told.resource.as_ref().map(ToString::to_string).as_deref(), Some("shop"));
    assert_eq!((told.actor, told.data.to_string()), (None, "{\"due\":\"2026-03-11\"}".to_owned()));
    let query = LedgerQuery { kind: Some("result.destroyed".into()), limit: 2, ..LedgerQuery::default() };
    assert_eq!(bench.engine.search(&bob, query).await.unwrap().items.len(), 1, "the house did it by itself");
    assert_eq!(bench.engine.destroy_results().await.unwrap(), 0, "what is gone is not told again");
}

/// No key goes without the line that tells of it.
#[tokio::test]
async fn where_the_ledger_takes_nothing_no_key_is_destroyed() {
    let bench = bench().await;
    let names = ["result/shop/2026-03-01", "result/shop/2026-03-03", "result/shop/2999-01-01"];
    let puts = names.map(|name| Put::set(Drawer::Keys, name, b"a key".to_vec()));
    bench.store.put(&puts).unwrap();
    let left = || bench.store.scan(Drawer::Keys, &Scan::of(b"result/", 10)).unwrap().len();
    bench.store.fill(true);
    assert!(bench.engine.destroy_results().await.is_err());
    bench.store.fill(false);
    until(|| bench.engine.health() == Health::Ok).await;
    assert_eq!((left(), bench.count("result.destroyed")), (3, 0));
    assert_eq!(bench.engine.destroy_results().await.unwrap(), 2);
    assert_eq!((left(), bench.count("result.destroyed")), (1, 2));
}
