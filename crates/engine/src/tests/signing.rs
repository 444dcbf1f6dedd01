//! Signed approvals: a yes that wants the approver's passkey, and everything that is no such yes.

use std::collections::BTreeMap;

use countersign_core::envelope::Terms;
use countersign_core::request::State;
use countersign_core::{RequestId, Span};

use super::passkeys::Device;
use super::{Bench, RULES, bundle, select};
use crate::webauthn::tests::Keys;
use crate::{Caller, Ground, Judgement, Means, PasskeyShown, Refused, RefusedCode, Yes};

/// The test's bundle, whose rules want every yes signed.
pub(crate) fn signed_bundle() -> BTreeMap<String, String> {
    let mut files = bundle();
    let rules = RULES
        .replace("[approval.shop-access]", "[approval.shop-access]\nsigned = true")
        .replace("[approval.prod-write]", "[approval.prod-write]\nsigned = true")
        .replace("uses = 1", "uses = 3");
    files.insert("rules.toml".into(), rules);
    files
}

/// A house whose rules want signatures, with somebody who has a passkey.
pub(crate) async fn house() -> (Bench, Device, Caller) {
    let bench = Bench::with_bundle(signed_bundle()).await;
    let mut device = Device::new(Keys::p256(), b"credential of bob");
    let bob = bench.caller("bob");
    device.bind(&bench, &bob).await;
    (bench, device, bob)
}

/// A yes that the device signed.
pub(crate) async fn signed(
    bench: &Bench,
    device: &Device,
    caller: &Caller,
    (id, terms): (RequestId, Terms),
) -> Yes {
    let asked = bench.engine.ask_signature(caller, id, (None, &terms)).await.unwrap();
    Yes { terms, assertion: Some(device.show(&asked.challenge, 0x05)), ..Yes::default() }
}

fn is_pending(bench: &Bench, id: RequestId) -> bool {
    bench.engine.snapshot().book.request(id).unwrap().state == State::Pending
}

fn with(assertion: PasskeyShown) -> Yes {
    Yes { assertion: Some(assertion), ..Yes::default() }
}

#[tokio::test]
async fn a_rule_may_want_the_approvers_passkey() {
    let (bench, device, bob) = house().await;
    let id = bench.ask("alice", "shop-writer").await;
    let view = bench.engine.request_view(&bob, id).unwrap();
    assert!(view.signed && view.can_approve);
    let refused = bench.engine.approve(&bob, id, None, Some("fine".into())).await.unwrap_err();
    assert_eq!(refused.code, RefusedCode::Unsigned);
    assert_eq!(
        refused.message,
        format!("request `{id}` is approved with a passkey: its rules want the yes signed")
    );
    assert!(refused.hint.unwrap().contains("console"));
    assert!(is_pending(&bench, id));

    let mut yes = signed(&bench, &device, &bob, (id, Terms::default())).await;
    yes.comment = Some("fine".into());
    bench.engine.approve_as(&bob, id, yes).await.unwrap();
    let view = bench.engine.request_view(&bob, id).unwrap();
    assert_eq!(view.state, "approved");
    assert!(view.approvals[0].signed);
    assert_eq!(view.approvals[0].comment.as_deref(), Some("fine"), "beside the signature");
    let bound = &bench.lines_of("authenticator.bound")[0].data;
    assert_eq!(bound["rp"], "localhost");
    let line = &bench.lines_of("decision.approved")[0];
    assert_eq!(line.data["signature"]["credential"], bound["authenticator"]);
    assert!(line.data["signature"]["assertion"].as_str().unwrap().starts_with("c1:"));
    let kept = bench.engine.0.house.content(line.index).unwrap();
    assert_eq!(kept.len(), 2, "the comment and the assertion");
    let text = String::from_utf8(line.bytes.clone()).unwrap();
    assert!(!text.contains("authenticator_data"), "the assertion is content");
    let before = bench.engine.snapshot();
    let bench = bench.restart().await;
    assert_eq!(bench.engine.snapshot().book.request(id), before.book.request(id));
}

#[tokio::test]
async fn what_was_signed_for_something_else_does_not_count() {
    let (bench, device, bob) = house().await;
    let (id, other) = (bench.ask("alice", "shop-writer").await, bench.ask("alice", "shop-reader").await);
    let site = ("localhost", "http://localhost:8443");
    let request = |id| bench.engine.snapshot().book.request(id).unwrap().clone();
    let due = request(id).challenge(&Terms::default()).0;
    let rules: Vec<_> = request(id).gates.iter().map(|gate| gate.rule_hash).collect();
    let deny = countersign_core::action::challenge(&request(id).digest, "deny", b"{}", &rules).0;
    let mut stranger = Device::new(Keys::ed25519(), b"credential of bea");
    stranger.bind(&bench, &bench.caller("bea")).await;
    let forged = Device::new(Keys::p256(), b"credential of bob");
    let mut cut = device.show_at(&due, 0x05, site);
    cut.signature.pop();
    let cases: [(&str, PasskeyShown, &str); 9] = [
        (
            "of another request",
            device.show_at(&request(other).challenge(&Terms::default()).0, 0x05, site),
            "another request",
        ),
        ("of another verdict", device.show_at(&deny, 0x05, site), "another verdict"),
        ("a sign-in's", device.show(&bench.engine.ask_passkey().unwrap().challenge, 0x05), "another request"),
        ("nobody was verified", device.show_at(&due, 0x01, site), "who is there"),
        ("nobody was there", device.show_at(&due, 0x04, site), "who is there"),
        (
            "at another page",
            device.show_at(&due, 0x05, ("localhost", "https://evil.example")),
            "another page",
        ),
        ("for another site", device.show_at(&due, 0x05, ("evil.example", site.1)), "another site"),
        ("by another's passkey", stranger.show_at(&due, 0x05, site), "none of yours"),
        ("by another key", forged.show_at(&due, 0x05, site), "signature is not right"),
    ];
    for (what, assertion, why) in cases {
        let before = bench.count("decision.evaluated");
        let refused = bench.engine.approve_as(&bob, id, with(assertion)).await.unwrap_err();
        assert!(refused.message.contains(why), "{what}: {refused}");
        assert!(refused.link.unwrap().ends_with(&format!("/requests/{id}")), "{what}");
        assert_eq!(bench.count("decision.evaluated"), before + 1, "{what}: it is recorded");
        assert!(is_pending(&bench, id), "{what}");
    }
    assert!(bench.engine.approve_as(&bob, id, with(cut)).await.is_err());
    bench.engine.approve_as(&bob, id, with(device.show_at(&due, 0x05, site))).await.unwrap();
    // A no needs none.
    bench.engine.deny(&bob, other, None).await.unwrap();
}

#[tokio::test]
async fn a_signature_covers_what_is_said_with_it() {
    let (bench, device, bob) = house().await;
    let id = bench.ask("alice", "shop-writer").await;
    let yes = signed(&bench, &device, &bob, (id, Terms::default())).await;
    bench.engine.approve_as(&bob, id, yes).await.unwrap();
    let session = bench.connect("alice", "shop-writer").await;
    let waiting = bench.hold(&session, "DELETE FROM orders WHERE id = 7").await;
    let once = Terms { uses: Some(1), ..Terms::default() };
    let mut yes = signed(&bench, &device, &bob, (waiting.id(), once)).await;
    yes.terms = Terms { uses: Some(3), ..Terms::default() };
    let wider = bench.engine.approve_as(&bob, waiting.id(), yes.clone()).await.unwrap_err();
    assert!(wider.message.contains("other bounds"), "{wider}");
    yes.terms = once;
    bench.engine.approve_as(&bob, waiting.id(), yes).await.unwrap();
    bench.engine.use_receipt(waiting, Ground::default()).await.unwrap();
    let too_many = Terms { uses: Some(4), ..Terms::default() };
    let next = bench.hold(&session, "DELETE FROM orders WHERE id = 8").await;
    let asked = bench.engine.ask_signature(&bob, next.id(), (None, &too_many)).await.unwrap_err();
    assert_eq!(asked.code, RefusedCode::Invalid, "nobody signs what would be refused");
    let moved = bench.engine.request_view(&bob, id).unwrap().digest;
    let asked =
        bench.engine.ask_signature(&bob, next.id(), (Some(moved), &Terms::default())).await.unwrap_err();
    assert_eq!(asked.code, RefusedCode::Conflict, "nor what was not on the screen");
}

#[tokio::test]
async fn only_a_passkey_that_anybody_can_check_signs() {
    let bench = Bench::with_bundle(signed_bundle()).await;
    let id = bench.ask("alice", "shop-writer").await;
    let bob = bench.caller("bob");
    let none = async |caller: &Caller| -> Refused {
        bench.engine.ask_signature(caller, id, (None, &Terms::default())).await.unwrap_err()
    };
    let refused = none(&bob).await;
    assert_eq!(
        (refused.code, refused.message.as_str()),
        (RefusedCode::Unsigned, "you have no passkey to sign with")
    );
    assert!(refused.link.unwrap().ends_with("/account"));
    assert_eq!(none(&bench.caller("carol")).await.code, RefusedCode::NotFound, "it is none of hers");
    let mut device = Device::new(Keys::p256(), b"credential");
    device.count = 5;
    let view = device.bind(&bench, &bob).await;
    device.count = 6;
    let yes = signed(&bench, &device, &bob, (id, Terms::default())).await;
    let strong = bench.caller_with("bob", &[Means::Passkey]);
    bench.engine.unbind(&strong, view.id.unwrap()).await.unwrap();
    assert!(bench.engine.approve_as(&bob, id, yes).await.is_err(), "it was taken away");
    let mut device = Device::new(Keys::p256(), b"another");
    device.count = 5;
    device.bind(&bench, &bob).await;
    device.count = 5;
    let behind = signed(&bench, &device, &bob, (id, Terms::default())).await;
    let refused = bench.engine.approve_as(&bob, id, behind).await.unwrap_err();
    assert!(refused.message.contains("may be a copy"), "{refused}");
    device.count = 6;
    let yes = signed(&bench, &device, &bob, (id, Terms::default())).await;
    bench.engine.approve_as(&bob, id, yes).await.unwrap();
    assert!(device.sign_in(&bench).await.is_err(), "it counts on from the yes");
}

#[tokio::test]
async fn a_rule_that_comes_to_want_signatures_voids_what_is_not_signed() {
    let bench = Bench::new().await;
    let session = bench.session("alice", "shop-writer").await;
    let waiting = bench.hold(&session, "DELETE FROM orders").await;
    bench.engine.approve(&bench.caller("bob"), waiting.id(), None, None).await.unwrap();
    let applied = bench.engine.apply_bundle(&bench.caller("dave"), signed_bundle()).await.unwrap();
    let crate::Applied::Pending(change) = applied else { panic!("it is held") };
    bench.engine.approve(&bench.caller("carol"), change, None, None).await.unwrap();
    // It lets a yes be used more often as well, which the old rule's approvers have to say.
    assert!(is_pending(&bench, change));
    bench.engine.approve(&bench.caller("bob"), change, None, None).await.unwrap();
    let id = waiting.id();
    assert!(bench.engine.use_receipt(waiting, Ground::default()).await.is_err());
    assert!(matches!(bench.engine.snapshot().book.request(id).unwrap().state, State::Void { .. }));
}

#[tokio::test]
async fn how_old_a_sign_in_may_be_is_policys_word() {
    let mut files = bundle();
    let recent = r#"
@id("who-answers-signed-in-lately")
@reason("sign in again, then answer")
forbid (principal, action == Action::"request.approve", resource)
unless { context has auth_age && context.auth_age <= duration("15m") };
"#;
    files.get_mut("house.cedar").unwrap().push_str(recent);
    let bench = Bench::with_bundle(files).await;
    let id = bench.ask("alice", "shop-writer").await;
    let mut bob = bench.caller("bob");
    bob.proof.age = Span::minutes(16);
    assert!(!bench.engine.request_view(&bob, id).unwrap().can_approve);
    let refused = bench.engine.approve(&bob, id, None, None).await.unwrap_err();
    assert_eq!(refused.code, RefusedCode::NotPermitted);
    assert!(refused.message.contains("sign in again, then answer"), "{refused}");
    bob.proof.age = Span::minutes(15);
    bench.engine.approve(&bob, id, None, None).await.unwrap();
    let session = bench.connect("alice", "shop-writer").await;
    assert!(matches!(bench.engine.judge(&session, select("SELECT 1")), Judgement::Allow(_)));
}
