//! Putting a bundle in force: the first, a permitted one, one that needs a countersignature.

use countersign_core::{Event, Refusal, RequestId, bundle};

use crate::house::*;
use crate::world::{Law, World, bundle as bundle_hash, members, who};

/// A house where `policy.apply` is held by two keys; bundle 3 is ready.
fn gated() -> House {
    let gated = World::base().changed(2, |world| world.says("policy.apply", Law::Hold(vec!["two-keys"])));
    let next = gated.changed(3, |_| {});
    let other = gated.changed(4, |_| {});
    house().knows(&gated).knows(&next).knows(&other).when(activate(2, "dave", None)).happens()
}

/// The same, with request 7 of bob for bundle 3 approved by carol and erin.
fn lifted() -> House {
    gated()
        .when(ask(7, "bob", apply(3)))
        .happens()
        .when(approve(7, "carol"))
        .happens()
        .when(approve(7, "erin"))
        .then([approved(7, "erin"), quorum(7, 1, minutes(10))])
}

#[test]
fn the_first_bundle_is_a_one_time_act() {
    let house = house();
    let first = house.ledger.front().map(|(_, event)| event);
    let is_first =
        matches!(first, Some(Event::Bundle(bundle::Event::Activated { previous: None, version: 1, .. })));
    assert!(is_first, "{first:?}");
    house
        .when(activate(1, "dave", None))
        .refused(Refusal::AlreadyInForce)
        .knows(&World::base().changed(2, |_| {}))
        .when(activate(2, "mallory", None))
        .refused(Refusal::NoSuchPrincipal(who("mallory")))
        .when(activate(2, "bot", None))
        .refused(Refusal::NotAUser(who("bot")))
        .when(activate(2, "bob", None))
        .happens()
        .holds(|book, _| book.in_force.as_ref().is_some_and(|now| now.version == 2));
}

#[test]
fn no_request_can_have_allowed_the_first() {
    let mut house = house();
    house.book = countersign_core::Book::default();
    house.when(activate(1, "dave", Some(1))).refused(Refusal::NoSuchRequest(RequestId(1)));
}

#[test]
fn a_gated_bundle_goes_live_with_its_receipt_and_once() {
    let house = lifted()
        .when(activate(3, "bob", None))
        .refused(Refusal::Gated("`two-keys`".into()))
        .when(activate(3, "bob", Some(7)))
        .happens()
        .holds(|book, _| book.in_force.as_ref().is_some_and(|now| now.bundle == bundle_hash(3)));
    assert!(house.request(7).is_closed());
    house
        .when(activate(2, "bob", None))
        .refused(Refusal::Gated("`two-keys`".into()))
        .when(activate(2, "bob", Some(7)))
        .refused(Refusal::OtherAction);
}

#[test]
fn a_receipt_is_not_used_for_the_same_bundle_twice() {
    let house = lifted();
    // Between the two, the house goes back to the old bundle by another approved request.
    let house = house
        .when(activate(3, "bob", Some(7)))
        .happens()
        .when(ask(8, "bob", apply(2)))
        .happens()
        .when(approve(8, "carol"))
        .happens()
        .when(approve(8, "erin"))
        .happens()
        .when(activate(2, "bob", Some(8)))
        .happens();
    house.when(activate(3, "bob", Some(7))).refused(Refusal::ReceiptSpent(RequestId(7)));
}

#[test]
fn a_receipt_is_for_this_bundle_by_this_principal_in_its_time() {
    lifted()
        .when(activate(4, "bob", Some(7)))
        .refused(Refusal::OtherAction)
        .when(activate(3, "dave", Some(7)))
        .refused(Refusal::OtherAction)
        .when(activate(3, "bob", Some(9)))
        .refused(Refusal::NoSuchRequest(RequestId(9)))
        .after(10)
        .when(activate(3, "bob", Some(7)))
        .refused(Refusal::ReceiptSpent(RequestId(7)));
    gated()
        .when(ask(7, "bob", apply(3)))
        .happens()
        .when(activate(3, "bob", Some(7)))
        .refused(Refusal::NoReceipt(RequestId(7), "pending"));
}

#[test]
fn an_access_receipt_applies_nothing() {
    house_with_session()
        .knows(&World::base().changed(2, |_| {}))
        .when(activate(2, "alice", Some(1)))
        .refused(Refusal::OtherAction);
}

#[test]
fn agents_and_services_do_not_even_ask() {
    gated()
        .when(ask(7, "bot", apply(3)))
        .refused(Refusal::NotAUser(who("bot")))
        .when(ask(7, "ci", apply(3)))
        .refused(Refusal::NotAUser(who("ci")));
}

#[test]
fn what_got_stricter_in_between_asks_again() {
    let stricter = World::base().changed(5, |world| {
        world.says("policy.apply", Law::Hold(vec!["two-keys", "owner"]));
    });
    let still = World::base().changed(6, |world| world.says("policy.apply", Law::Hold(vec!["two-keys"])));
    let fewer = still.changed(5, |world| world.group("security").members = members(["bot"]));
    for (world, works) in [(stricter, false), (fewer, false), (still, true)] {
        let number = world.bundle.0[0];
        let house = lifted().knows(&world);
        // Somebody else's bundle goes live first, by a request of its own.
        let house = house
            .when(ask(8, "bob", apply(number)))
            .happens()
            .when(approve(8, "carol"))
            .happens()
            .when(approve(8, "erin"))
            .happens()
            .when(activate(number, "bob", Some(8)))
            .happens()
            .when(activate(3, "bob", Some(7)));
        if works {
            house.happens();
        } else {
            house.refused_with("has changed since this was approved; ask again");
        }
    }
}

#[test]
fn an_applier_who_is_disabled_applies_nothing() {
    lifted()
        .when(disable("bob", "dave"))
        .happens()
        .state(7, "withdrawn")
        .when(activate(3, "bob", Some(7)))
        .refused(Refusal::Disabled(who("bob")));
}

/// Bob applies a bundle that he is not in. His request is used, and not called void on top of that.
#[test]
fn an_applier_may_leave_by_the_bundle_that_he_applies() {
    let without = World::base().changed(3, |world| {
        world.catalogue.principals.remove(&who("bob"));
    });
    let house = lifted().knows(&without).when(activate(3, "bob", Some(7))).happens();
    assert_eq!(house.last().as_ref().map(Vec::len), Ok(1));
    house.state(7, "approved").holds(|book, _| !book.is_enabled(&who("bob")));
}
