//! Disabling, enabling, leaving.

use countersign_core::book::Standing;
use countersign_core::request::{Voidance, Withdrawal};
use countersign_core::session::Ending;
use countersign_core::{PersonId, PrincipalId, Refusal, RequestId, SessionId};

use crate::house::*;
use crate::world::{Law, World, who};

#[test]
fn disabling_ends_all_that_a_principal_answers_for() {
    house_with_session()
        .when(ask(2, "bot", access("writer", 60)))
        .happens()
        .when(approve(2, "bob"))
        .happens()
        .when(ask(3, "alice", act(1, 1, "sql.delete")))
        .happens()
        .when(ask(4, "bot", access("reader", 60)))
        .happens()
        .when(ask(5, "bot", access("writer", 60)))
        .happens()
        .when(ask(6, "erin", access("writer", 60)))
        .happens()
        .when(disable("alice", "bob"))
        .then([
            disabled("alice", "bob"),
            withdrawn(3, Withdrawal::PrincipalDisabled),
            withdrawn(5, Withdrawal::PrincipalDisabled),
            revoked(1, "bob"),
            revoked(2, "bob"),
            revoked(4, "bob"),
        ])
        .state(6, "pending")
        .when(ask(7, "alice", access("reader", 5)))
        .refused(Refusal::Disabled(who("alice")))
        .when(ask(7, "bot", access("reader", 5)))
        .refused(Refusal::Disabled(who("bot")))
        .when(disable("alice", "bob"))
        .refused(Refusal::Disabled(who("alice")))
        .when(enable("alice", "bob"))
        .happens()
        .holds(|book, now| !holds(book, "alice", "writer", now) && !holds(book, "bot", "reader", now))
        .when(enable("alice", "bob"))
        .refused(Refusal::NotDisabled(who("alice")));
}

#[test]
fn disabling_an_agent_leaves_its_owner_alone() {
    house_with_session()
        .when(disable("bot", "bob"))
        .then([disabled("bot", "bob")])
        .holds(|book, now| holds(book, "alice", "writer", now) && book.is_enabled(&who("alice")));
}

#[test]
fn who_is_disabled_decides_nothing() {
    house_with_session()
        .when(ask(2, "alice", act(1, 1, "sql.delete")))
        .happens()
        .when(disable("bob", "dave"))
        .happens()
        .when(approve(2, "bob"))
        .refused(Refusal::Disabled(who("bob")))
        .when(deny(2, "bob"))
        .refused(Refusal::Disabled(who("bob")))
        .when(revoke(1, "bob"))
        .refused(Refusal::Disabled(who("bob")))
        .when(disable("carol", "bob"))
        .refused(Refusal::Disabled(who("bob")))
        .when(enable("bob", "bob"))
        .refused(Refusal::Disabled(who("bob")))
        .when(activate(1, "bob", None))
        .refused(Refusal::AlreadyInForce);
}

#[test]
fn agents_and_strangers_disable_nobody() {
    house()
        .when(disable("bob", "bot"))
        .refused(Refusal::NotAUser(who("bot")))
        .when(disable("mallory", "bob"))
        .refused(Refusal::NoSuchPrincipal(who("mallory")))
        .when(disable("bob", "mallory"))
        .refused(Refusal::NoSuchPrincipal(who("mallory")))
        .when(enable("bob", "ci"))
        .refused(Refusal::NotAUser(who("ci")));
    let world = World::base().changed(2, |world| world.says("principal.disable", Law::NoPermit));
    house()
        .knows(&world)
        .when(activate(2, "dave", None))
        .happens()
        .when(disable("bob", "dave"))
        .refused_with("no policy permits it");
}

#[test]
fn no_bundle_lets_in_who_is_shut_out() {
    let without = World::base().changed(2, |world| {
        world.catalogue.principals.remove(&who("erin"));
    });
    let with = World::base().changed(3, |_| {});
    house()
        .knows(&without)
        .knows(&with)
        .when(disable("erin", "bob"))
        .happens()
        .when(activate(2, "dave", None))
        .happens()
        .when(activate(3, "dave", None))
        .happens()
        .when(ask(7, "erin", access("reader", 5)))
        .refused(Refusal::Disabled(who("erin")))
        .holds(|book, _| book.disabled().map(PrincipalId::as_str).eq(["erin"]));
}

/// Alice leaves and comes back, or somebody else gets her name: nothing waits for them.
#[test]
fn who_leaves_the_catalogue_finds_nothing_on_return() {
    let gone = World::base().changed(2, |world| {
        world.catalogue.principals.remove(&who("alice"));
    });
    let back = World::base().changed(3, |_| {});
    let house = house_with_session()
        .knows(&gone)
        .knows(&back)
        .when(ask(2, "alice", act(1, 1, "sql.delete")))
        .happens()
        .when(ask(3, "bot", access("writer", 30)))
        .happens()
        .when(activate(2, "dave", None))
        .happens();
    let Ok([_, ends @ ..]) = house.last().as_deref() else { panic!("{:?}", house.last()) };
    assert_eq!(
        ends,
        [
            revoked(1, "dave"),
            voided(2, Voidance::PrincipalDisabled),
            // Nobody answers for the agent any more.
            voided(3, Voidance::PrincipalDisabled),
        ]
    );
    house
        .when(disable("alice", "bob"))
        .refused(Refusal::NoSuchPrincipal(who("alice")))
        .when(activate(3, "dave", None))
        .happens()
        .holds(|book, now| !holds(book, "alice", "writer", now))
        .when(approve(2, "bob"))
        .refused(Refusal::Decided(RequestId(2), "void"));
}

#[test]
fn a_name_that_passes_to_another_human_takes_nothing_along() {
    let other = World::base().changed(2, |world| {
        world.principal("alice").person = PersonId::new("allie");
    });
    house_with_session()
        .knows(&other)
        .when(activate(2, "dave", None))
        .happens()
        .holds(|book, now| !holds(book, "alice", "writer", now));
}

/// Catalogues are checked before they are put in force, but a circle of owners must hang nobody.
#[test]
fn a_circle_of_owners_ends() {
    let circle = World::base().changed(2, |world| {
        world.principal("bot").kind = crate::world::agent("ci").kind;
        world.principal("ci").kind =
            countersign_core::catalogue::PrincipalKind::Service { owner: who("bot") };
    });
    house()
        .knows(&circle)
        .when(activate(2, "dave", None))
        .happens()
        .when(disable("ci", "dave"))
        .happens()
        .when(ask(7, "bot", access("reader", 5)))
        .refused(Refusal::Disabled(who("bot")));
}

/// The ends that go with a disabling or a new bundle are events of their own. A ledger that lacks them, cut off
/// in between or written by another hand, still lets nobody in.
#[test]
fn standing_does_not_rest_on_what_was_written_off() {
    let mut shut_out = house_with_session();
    shut_out.book.apply(&disabled("alice", "bob"), shut_out.now);
    let other = World::base().changed(2, |world| {
        world.principal("alice").person = PersonId::new("allie");
    });
    let waiting = house_with_session().when(ask(2, "alice", act(1, 1, "sql.delete"))).happens();
    let mut passed_on = waiting.knows(&other);
    let activated = passed_on.clone().when(activate(2, "dave", None)).happens().last().clone();
    passed_on.book.apply(&activated.unwrap()[0], passed_on.now);
    assert_eq!(passed_on.request(2).state.as_str(), "pending");
    for house in [shut_out, passed_on.clone()] {
        let (book, now) = (&house.book, house.now);
        assert!(!holds(book, "alice", "writer", now));
        assert!(book.live_roles(&who("alice"), now).is_empty());
        let session = book.session(SessionId(1)).unwrap();
        assert_eq!(book.standing(session, now), Standing::Over(Ending::Disabled));
    }
    passed_on.when(approve(2, "bob")).then([voided(2, Voidance::MeaningChanged)]);
}
