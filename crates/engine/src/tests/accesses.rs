//! Who could, who did: what a report says is what the ledger says.

use countersign_core::{At, PersonId, ResourceId, Span};

use super::{Bench, drop_table, select};
use crate::accesses::{AccessQuery, AccessReport, AccessView};
use crate::{Completion, CompletionResult, Judgement, RefusedCode};

fn to_the_shop(bench: &Bench) -> AccessQuery {
    let now = bench.engine.now();
    let (from, until) = (now.plus(Span(-Span::hours(1).0)), now.plus(Span::hours(1)));
    AccessQuery { resource: Some(ResourceId::new("shop")), person: None, from, until, acts: 100 }
}

async fn told(bench: &Bench, query: AccessQuery) -> AccessReport {
    bench.engine.accesses(&bench.caller("bob"), query).await.unwrap()
}

fn texts(access: &AccessView) -> Vec<&str> {
    access.acts.iter().filter_map(|act| act.text.as_deref()).collect()
}

#[tokio::test]
async fn grants_approvals_and_acts_are_told_together() {
    let bench = Bench::new().await;
    let session = bench.session("alice", "shop-writer").await;
    let Judgement::Allow(judged) = bench.engine.judge(&session, select("select 1")) else { panic!() };
    let (_, ran) = bench.engine.record(judged).await.unwrap().into_forward();
    let (result, rows) = (CompletionResult::Done, Some(7));
    let completion = Completion { result, rows, bytes: 9, micros: 5, transaction: None };
    bench.engine.completed(ran, completion).await;
    let Judgement::Deny(denied) = bench.engine.judge(&session, drop_table("drop table orders")) else {
        panic!()
    };
    bench.engine.denied(denied).await.unwrap();
    bench.run(&session, "delete from orders").await;
    bench.session("carol", "metrics-reader").await;

    let reads = bench.count("ledger.read");
    let report = told(&bench, to_the_shop(&bench)).await;
    assert_eq!(bench.count("ledger.read"), reads + 1, "reading is recorded");
    assert!(report.whole && report.decided.is_empty());
    let [access] = report.items.as_slice() else { panic!("{:?}", report.items) };
    assert_eq!(
        (access.who.id.as_str(), access.role.as_str(), access.state),
        ("alice", "shop-writer", "live")
    );
    assert_eq!(access.purpose.as_deref(), Some("repair the orders"));
    assert_eq!(access.approvals[0].by.id.as_str(), "bob");
    let counts = access.counts;
    assert_eq!((counts.ran, counts.approved, counts.held, counts.refused, counts.rows), (2, 1, 1, 1, 7));
    assert_eq!(texts(access)[..3], ["select 1", "drop table orders", "delete from orders"]);
    assert_eq!(access.acts[0].ended.as_ref().and_then(|ended| ended.rows), Some(7), "its end is with it");
    assert!(access.sessions.contains(&session.id()));

    let few = told(&bench, AccessQuery { acts: 1, ..to_the_shop(&bench) }).await;
    assert_eq!((few.items[0].acts.len(), few.items[0].counts), (1, counts), "what is not shown is counted");
}

#[tokio::test]
async fn a_person_is_told_of_with_what_they_decided() {
    let bench = Bench::new().await;
    bench.session("alice", "shop-writer").await;
    let person = Some(PersonId::new("bob"));
    let report = told(&bench, AccessQuery { resource: None, person, ..to_the_shop(&bench) }).await;
    assert!(report.items.is_empty(), "bob held nothing: {:?}", report.items);
    let kinds: Vec<&str> = report.decided.iter().map(|one| one.line.kind.as_str()).collect();
    assert_eq!(kinds, ["decision.approved"]);
    let person = Some(PersonId::new("alice"));
    let report = told(&bench, AccessQuery { resource: None, person, ..to_the_shop(&bench) }).await;
    assert_eq!(report.items.len(), 1);
}

#[tokio::test]
async fn what_was_over_before_or_began_later_is_none_of_the_period() {
    let bench = Bench::new().await;
    let began = bench.engine.now();
    let id = bench.grant("alice", "shop-reader").await;
    bench.clock.advance(Span::minutes(5));
    bench.engine.revoke(&bench.caller("bob"), id, None).await.unwrap();
    bench.clock.advance(Span::minutes(5));
    let between = |from: i64, until: i64| {
        let at = |minutes| began.plus(Span::minutes(minutes));
        AccessQuery { from: at(from), until: at(until), ..to_the_shop(&bench) }
    };
    let during = told(&bench, between(1, 3)).await;
    assert_eq!((during.items[0].until, during.items[0].state), (began.plus(Span::minutes(5)), "revoked"));
    assert_eq!(during.items[0].ended_by.as_ref().unwrap().id.as_str(), "bob");
    assert!(told(&bench, between(6, 8)).await.items.is_empty(), "revoked before");
    assert!(told(&bench, between(-30, -1)).await.items.is_empty(), "not yet granted");
}

#[tokio::test]
async fn only_for_whoever_may_read_the_ledger_and_asks_for_something() {
    let bench = Bench::new().await;
    let query = to_the_shop(&bench);
    let refused = bench.engine.accesses(&bench.caller("alice"), query.clone()).await.unwrap_err();
    assert_eq!(refused.code, RefusedCode::NotPermitted);
    let bob = bench.caller("bob");
    let nothing = AccessQuery { resource: None, ..query.clone() };
    assert_eq!(bench.engine.accesses(&bob, nothing).await.unwrap_err().code, RefusedCode::Invalid);
    let backwards = AccessQuery { from: At(5), until: At(5), ..query };
    assert_eq!(bench.engine.accesses(&bob, backwards).await.unwrap_err().code, RefusedCode::Invalid);
}
