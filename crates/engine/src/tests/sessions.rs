//! An end is an end: whatever a session stands on, it is cut when that is gone.

use countersign_core::Span;
use countersign_core::session::Ending;

use super::{Bench, bundle, select, until, who};
use crate::{Answer, Applied, Judgement};
use countersign_core::request::Voidance;

#[tokio::test]
async fn revocation_ends_the_session_and_what_waits_in_it() {
    let bench = Bench::new().await;
    let session = bench.session("alice", "shop-writer").await;
    let mut waiting = bench.hold(&session, "DELETE FROM orders").await;
    assert_eq!(session.ending(), None);
    let grant = bench.engine.snapshot().book.grants().next().unwrap().id;
    bench.engine.revoke(&bench.caller("bob"), grant, Some("enough".into())).await.unwrap();
    assert_eq!(session.ended().await, Ending::Revoked);
    assert_eq!(waiting.answer().await, Answer::Void(Voidance::GrantOver));
    bench.engine.close_session(&session, Ending::Revoked).await;
    assert!(bench.engine.snapshot().book.sessions().next().is_none());
    let reason = bench
        .engine
        .0
        .house
        .content(bench.kinds().iter().position(|kind| kind == "grant.revoked").unwrap() as u64);
    assert_eq!(reason.unwrap()[0].bytes, b"enough");
}

#[tokio::test]
async fn expiry_ends_the_session_by_itself() {
    let bench = Bench::new().await;
    let session = bench.session("alice", "shop-writer").await;
    bench.pass(Span::minutes(29)).await;
    assert!(matches!(bench.engine.judge(&session, select("SELECT 1")), Judgement::Allow(_)));
    bench.pass(Span::minutes(1)).await;
    assert_eq!(session.ended().await, Ending::GrantEnd);
    let Judgement::Deny(denied) = bench.engine.judge(&session, select("SELECT 1")) else { panic!() };
    let refused = bench.engine.denied(denied).await.unwrap();
    assert_eq!(refused.message, "your grant of role `shop-writer` is over");
    assert_eq!(bench.count("grant.expired"), 1);
}

#[tokio::test]
async fn one_grant_ending_does_not_harm_another() {
    let bench = Bench::new().await;
    let session = bench.session("alice", "shop-writer").await;
    bench.clock.advance(Span::minutes(10));
    bench.grant("alice", "shop-writer").await;
    let first = bench.engine.snapshot().book.grants().next().unwrap().id;
    bench.engine.revoke(&bench.caller("bob"), first, None).await.unwrap();
    assert_eq!(session.ending(), None);
    bench.pass(Span::minutes(25)).await;
    assert!(matches!(bench.engine.judge(&session, select("SELECT 1")), Judgement::Allow(_)));
    bench.pass(Span::minutes(5)).await;
    assert_eq!(session.ended().await, Ending::GrantEnd);
}

#[tokio::test]
async fn an_hour_cuts_even_when_the_ledger_takes_nothing() {
    let bench = Bench::new().await;
    let session = bench.session("alice", "shop-writer").await;
    bench.store.fill(true);
    bench.clock.advance(Span::minutes(30));
    assert_eq!(session.ended().await, Ending::GrantEnd);
    assert!(matches!(bench.engine.judge(&session, select("SELECT 1")), Judgement::Deny(_)));
    bench.store.fill(false);
    until(|| {
        bench.clock.advance(Span::seconds(1));
        bench.count("grant.expired") == 1
    })
    .await;
}

#[tokio::test]
async fn disabling_ends_everything_of_a_person() {
    let bench = Bench::new().await;
    let session = bench.session("alice", "shop-writer").await;
    bench.engine.disable(&bench.caller("bob"), &who("alice"), Some("left".into())).await.unwrap();
    assert_eq!(session.ended().await, Ending::Disabled);
    let again = bench.engine.disable(&bench.caller("bob"), &who("alice"), None).await.unwrap_err();
    assert_eq!(again.message, "`alice` is disabled");
    bench.engine.enable(&bench.caller("bob"), &who("alice")).await.unwrap();
    // Nothing that was ended comes back.
    assert!(bench.engine.snapshot().book.live_roles(&who("alice"), bench.engine.now()).is_empty());
}

#[tokio::test]
async fn somebody_ends_a_session() {
    let bench = Bench::new().await;
    let session = bench.session("alice", "shop-writer").await;
    let views = bench.engine.session_views(&bench.caller("bob"), None);
    assert_eq!(
        (views.len(), views[0].can_end, views[0].address.as_deref()),
        (1, true, Some("127.0.0.1:50000"))
    );
    assert_eq!(views[0].purpose.as_deref(), Some("repair the orders"));
    assert!(bench.engine.session_views(&bench.caller("carol"), None).is_empty());
    bench.engine.end_session(&bench.caller("bob"), session.id()).await.unwrap();
    assert_eq!(session.ended().await, Ending::Kill);
    bench.engine.close_session(&session, Ending::Kill).await;
    let views = bench.engine.session_views(&bench.caller("alice"), Some("ended"));
    assert_eq!(views[0].ended.unwrap().1, Ending::Kill);
}

#[tokio::test]
async fn a_role_that_is_gone_ends_its_sessions() {
    let bench = Bench::new().await;
    let session = bench.session("alice", "shop-writer").await;
    let mut files = bundle();
    let roles = files["roles.toml"].replace(
        "resources = [\"shop\"]\naccount = \"shop_writer\"",
        "resources = [\"metrics\"]\naccount = \"metrics_reader\"",
    );
    files.insert("roles.toml".into(), roles);
    let Applied::Pending(id) = bench.engine.apply_bundle(&bench.caller("dave"), files).await.unwrap() else {
        panic!()
    };
    bench.engine.approve(&bench.caller("carol"), id, None, None).await.unwrap();
    let wait = tokio::time::timeout(std::time::Duration::from_secs(2), session.ended()).await;
    if wait.is_err() {
        // The floor may demand more than security's yes; then nothing is in force and nothing is cut.
        let view = bench.engine.request_view(&bench.caller("dave"), id).unwrap();
        assert_eq!(view.state, "pending", "{view:?}");
        bench.engine.approve(&bench.caller("bob"), id, None, None).await.unwrap();
    }
    assert_eq!(session.ended().await, Ending::Policy);
}

/// Applies the sample bundle with a change, with everybody's yes that the floor asks for.
async fn changed(bench: &Bench, file: &str, from: &str, to: &str) {
    let mut files = bundle();
    let text = files[file].replacen(from, to, 1);
    assert_ne!(text, files[file]);
    files.insert(file.into(), text);
    let applied = bench.engine.apply_bundle(&bench.caller("dave"), files).await.unwrap();
    if let Applied::Pending(id) = applied {
        for person in ["carol", "bob"] {
            let _enough = bench.engine.approve(&bench.caller(person), id, None, None).await;
        }
        assert_eq!(bench.engine.request_view(&bench.caller("dave"), id).unwrap().state, "approved");
    }
}

#[tokio::test]
async fn a_session_does_not_go_on_under_another_account_or_elsewhere() {
    for (file, from, to) in [
        ("roles.toml", "account = \"shop_writer\"", "account = \"shop_reader\""),
        ("resources.toml", "database = \"shop\"", "database = \"elsewhere\""),
    ] {
        let bench = Bench::new().await;
        let session = bench.session("alice", "shop-writer").await;
        changed(&bench, "roles.toml", "Read metrics", "Read figures").await;
        assert_eq!(session.ending(), None, "what does not concern it leaves it alone");
        changed(&bench, file, from, to).await;
        let ended = tokio::time::timeout(std::time::Duration::from_secs(2), session.ended()).await;
        assert_eq!(ended.ok(), Some(Ending::Policy), "{file}");
    }
}

#[tokio::test]
async fn a_stop_ends_sessions_and_withdraws_what_waits() {
    let bench = Bench::new().await;
    let session = bench.session("alice", "shop-writer").await;
    let waiting = bench.hold(&session, "DELETE FROM orders").await;
    let id = waiting.id();
    drop(waiting);
    let bench = bench.restart().await;
    assert_eq!(session.ended().await, Ending::Gateway);
    let view = bench.engine.request_view(&bench.caller("alice"), id).unwrap();
    assert_eq!((view.state, view.why.as_deref()), ("withdrawn", Some("gateway_restarted")));
    // What the old engine handed out is worth nothing here.
    assert!(bench.engine.snapshot().book.sessions().next().is_none());
    assert!(matches!(bench.engine.judge(&session, select("SELECT 1")), Judgement::Deny(_)));
}
