//! Verdicts that are remembered, and when they are not.

use countersign_core::Span;
use countersign_core::session::Ending;

use super::{Bench, bundle, select, who, write};
use crate::{Applied, Judgement};

/// A policy that forbids reads, in the words of `when`.
async fn bench_with(when: &str) -> Bench {
    let mut files = bundle();
    let text =
        format!("@id(\"no-reads\") forbid (principal, action in Action::\"sql.read\", resource) {when};");
    files.insert("more.cedar".into(), text);
    Bench::with_bundle(files).await
}

#[tokio::test]
async fn the_same_is_allowed_again_until_policy_says_otherwise() {
    let bench = Bench::new().await;
    let session = bench.session("alice", "metrics-reader").await;
    let attempt = select("SELECT 1");
    let Judgement::Allow(first) = bench.engine.judge(&session, attempt.clone()) else { panic!() };
    assert!(session.again().find(&first.statement, &attempt).is_some(), "it is remembered");
    assert!(session.again().find(&first.statement, &select("SELECT 1")).is_none(), "by identity");
    assert!(session.again().find(&first.statement, &write("DELETE FROM a")).is_none());
    let Judgement::Allow(second) = bench.engine.judge(&session, attempt.clone()) else { panic!() };
    assert_eq!(second.is_alongside(), first.is_alongside());
    let written = |judged: crate::Judged| {
        let bench = &bench;
        async move {
            let recorded = bench.engine.record(judged).await.unwrap();
            let line = bench.engine.line(recorded.into_forward().1.index()).unwrap();
            serde_json::from_slice::<serde_json::Value>(&line.bytes).unwrap()["policies"].clone()
        }
    };
    assert_eq!(written(first).await, written(second).await);

    let mut files = bundle();
    let text = "@id(\"no-reads\") forbid (principal, action in Action::\"sql.read\", resource);";
    files.insert("more.cedar".into(), text.into());
    let applied = bench.engine.apply_bundle(&bench.caller("dave"), files).await.unwrap();
    let Applied::Pending(id) = applied else { panic!() };
    bench.engine.approve(&bench.caller("carol"), id, None, None).await.unwrap();
    assert!(matches!(bench.engine.judge(&session, attempt), Judgement::Deny(_)));
}

#[tokio::test]
async fn a_grant_that_ended_is_not_remembered() {
    let bench = Bench::new().await;
    let session = bench.session("alice", "metrics-reader").await;
    let attempt = select("SELECT 1");
    assert!(matches!(bench.engine.judge(&session, attempt.clone()), Judgement::Allow(_)));
    bench.clock.advance(Span::hours(5));
    let Judgement::Deny(denied) = bench.engine.judge(&session, attempt) else { panic!() };
    assert_eq!(denied.ending(), Some(Ending::GrantEnd));
}

#[tokio::test]
async fn whoever_is_disabled_is_not_remembered() {
    let bench = Bench::new().await;
    let session = bench.session("alice", "metrics-reader").await;
    let attempt = select("SELECT 1");
    assert!(matches!(bench.engine.judge(&session, attempt.clone()), Judgement::Allow(_)));
    bench.engine.disable(&bench.caller("bob"), &who("alice"), Some("enough".into())).await.unwrap();
    assert!(matches!(bench.engine.judge(&session, attempt), Judgement::Deny(_)));
}

#[tokio::test]
async fn what_depends_on_the_instant_is_asked_each_time() {
    let soon = Bench::empty().engine.now().plus(Span::minutes(5)).rfc3339();
    let soon = soon.get(..23).unwrap();
    let bench = bench_with(&format!("when {{ context.now >= datetime(\"{soon}Z\") }}")).await;
    let session = bench.session("alice", "metrics-reader").await;
    let attempt = select("SELECT 1");
    assert!(matches!(bench.engine.judge(&session, attempt.clone()), Judgement::Allow(_)));
    bench.clock.advance(Span::minutes(6));
    assert!(matches!(bench.engine.judge(&session, attempt), Judgement::Deny(_)));
}
