//! Bundles: the first, the next, and what the floor demands.

use countersign_core::Span;

use super::{Bench, PEOPLE, RULES, bundle, who};
use crate::{Applied, ApplyError, PreviewVerdict, RefusedCode};

#[tokio::test]
async fn the_first_bundle_is_a_one_time_act() {
    let bench = Bench::empty();
    let mut broken = bundle();
    broken.insert("rules.toml".into(), "[approval.x]\nneeds = 1\n".into());
    let Err(ApplyError::Invalid(mistakes)) = bench.engine.first_bundle(broken, &who("dave")).await else {
        panic!()
    };
    assert!(mistakes.iter().any(|mistake| mistake.file == "rules.toml"), "{mistakes:?}");
    assert!(bench.engine.first_bundle(bundle(), &who("mallory")).await.is_err());
    let applied = bench.engine.first_bundle(bundle(), &who("dave")).await.unwrap();
    assert!(matches!(applied, Applied::Active { version: 1, .. }));
    assert!(bench.engine.first_bundle(bundle(), &who("dave")).await.is_err());
    assert_eq!(bench.count("policy.activated"), 1);
}

#[tokio::test]
async fn a_bundle_waits_for_its_approval_and_then_goes_live() {
    let bench = Bench::new().await;
    let mut files = bundle();
    files.insert("more.cedar".into(), "@id(\"more\") permit (principal in Group::\"security\", action == Action::\"ledger.read\", resource);".into());
    let dave = bench.caller("dave");
    let Applied::Pending(id) = bench.engine.apply_bundle(&dave, files.clone()).await.unwrap() else {
        panic!()
    };
    let again = bench.engine.apply_bundle(&dave, files.clone()).await.unwrap();
    assert_eq!(again, Applied::Pending(id), "asked once");
    assert!(bench.engine.approve(&dave, id, None, None).await.is_err());
    let bench = bench.restart().await;
    bench.engine.approve(&bench.caller("carol"), id, None, None).await.unwrap();
    assert_eq!(bench.engine.snapshot().book.in_force.as_ref().unwrap().version, 2);
    let carol = bench.caller("carol");
    assert!(bench.engine.permitted(&carol, &countersign_core::ActionName::new("ledger.read")));
    let Err(ApplyError::Refused(refused)) = bench.engine.apply_bundle(&bench.caller("dave"), files).await
    else {
        panic!()
    };
    assert_eq!(refused.message, "this bundle is in force already");
    let bench = bench.restart().await;
    assert!(
        bench.engine.permitted(&bench.caller("carol"), &countersign_core::ActionName::new("ledger.read"))
    );
}

#[tokio::test]
async fn a_gate_is_not_taken_away_by_whom_it_holds() {
    let bench = Bench::new().await;
    let mut files = bundle();
    // Only security is asked for policy changes; but this lets more people say yes to writes, so the DBA is too.
    files.insert(
        "people.toml".into(),
        PEOPLE.replace("members = [\"bob\", \"bea\"]", "members = [\"bob\", \"bea\", \"dave\"]"),
    );
    let Applied::Pending(id) = bench.engine.apply_bundle(&bench.caller("dave"), files).await.unwrap() else {
        panic!()
    };
    let view = bench.engine.request_view(&bench.caller("dave"), id).unwrap();
    let rules: Vec<&str> = view.gates.iter().map(|gate| gate.rule.as_str()).collect();
    assert!(rules.contains(&"policy-change") && rules.contains(&"prod-write"), "{rules:?}");
    bench.engine.approve(&bench.caller("carol"), id, None, None).await.unwrap();
    assert_eq!(bench.engine.snapshot().book.in_force.as_ref().unwrap().version, 1);
    let dba = bench.engine.request_view(&bench.caller("bob"), id).unwrap();
    assert!(dba.can_approve);
    bench.engine.approve(&bench.caller("bob"), id, None, None).await.unwrap();
    // Two rules name the DBA, and a person fills one place in the whole request.
    if bench.engine.snapshot().book.in_force.as_ref().unwrap().version == 1 {
        bench.engine.approve(&bench.caller("bea"), id, None, None).await.unwrap();
    }
    assert_eq!(bench.engine.snapshot().book.in_force.as_ref().unwrap().version, 2);
}

#[tokio::test]
async fn only_those_who_may_apply() {
    let bench = Bench::new().await;
    let mut files = bundle();
    files.insert("rules.toml".into(), RULES.replace("\"15m\"", "\"5m\""));
    let Err(ApplyError::Refused(refused)) = bench.engine.apply_bundle(&bench.caller("alice"), files).await
    else {
        panic!()
    };
    assert_eq!(refused.code, RefusedCode::NotPermitted);
    assert_eq!(bench.count("decision.evaluated"), 1);
}

#[tokio::test]
async fn a_preview_says_who_would_be_asked() {
    let bench = Bench::new().await;
    let preview = |name: &str, role: &str, lasting| {
        bench.engine.preview(&bench.caller(name), &countersign_core::RoleId::new(role), lasting)
    };
    let held = preview("alice", "shop-writer", Span::minutes(30));
    assert_eq!((held.verdict, held.asked), (PreviewVerdict::Hold, vec!["group:dba (bea, bob)".to_owned()]));
    assert_eq!(held.reason, "roles of the shop need a DBA");
    assert_eq!(preview("bob", "shop-writer", Span::minutes(30)).asked, ["group:dba (bea)"]);
    assert_eq!(preview("alice", "metrics-reader", Span::minutes(30)).verdict, PreviewVerdict::Allow);
    assert_eq!(preview("alice", "shop-writer", Span::hours(5)).verdict, PreviewVerdict::Deny);
    assert_eq!(preview("ci", "shop-writer", Span::minutes(5)).verdict, PreviewVerdict::Deny);
}

#[tokio::test]
async fn a_request_nobody_can_answer_is_locked() {
    let bench = Bench::empty();
    let mut files = bundle();
    files.insert("people.toml".into(), PEOPLE.replace("[\"bob\", \"bea\"]", "[\"bob\"]"));
    bench.engine.first_bundle(files, &who("dave")).await.unwrap();
    let id = bench.ask("bob", "shop-writer").await;
    let view = bench.engine.request_view(&bench.caller("bob"), id).unwrap();
    assert!(view.locked && view.state == "pending" && view.missing == "1 of group:dba", "{view:?}");
}
