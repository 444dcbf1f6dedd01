//! Grants: the union of those that are live is what somebody has.

use countersign_core::request::Voidance;
use countersign_core::session::Ending;
use countersign_core::{Command, Event, GrantId, Refusal, RoleId, SessionId, Span, grant};

use crate::house::*;
use crate::world::who;

/// Grants 1 and 2 of alice overlap: 60 minutes, and 30 minutes. Session 1 was opened under the first.
fn overlapping() -> House {
    house_with_session()
        .when(ask(2, "alice", access("writer", 30)))
        .happens()
        .when(approve(2, "carol"))
        .happens()
}

#[test]
fn a_grant_holds_from_its_first_instant_until_before_its_last() {
    house_with_session()
        .holds(|book, _| holds(book, "alice", "writer", minutes(0)))
        .holds(|book, _| !holds(book, "alice", "writer", countersign_core::At(-1)))
        .holds(|book, _| holds(book, "alice", "writer", countersign_core::At(minutes(60).0 - 1)))
        .holds(|book, _| !holds(book, "alice", "writer", minutes(60)))
        .holds(|book, now| !holds(book, "alice-admin", "writer", now))
        .holds(|book, now| !holds(book, "alice", "reader", now))
        .after(60)
        .when(Command::Sweep)
        .then([expired(1)])
        .when(Command::Sweep)
        .then([])
        .when(revoke(1, "bob"))
        .refused(Refusal::GrantOver(GrantId(1), "expired"));
}

#[test]
fn the_end_of_one_grant_harms_no_other() {
    for (ending, other) in [(1, 2), (2, 1)] {
        let house = overlapping().when(revoke(ending, "bob")).then([revoked(ending, "bob")]);
        let live = house.book.live_grant(&who("alice"), &RoleId::new("writer"), house.now).unwrap();
        assert_eq!(live.id, GrantId(other));
        house.when(relinquish(other, "alice")).then([relinquished(other)]).holds(|book, now| {
            !holds(book, "alice", "writer", now) && book.live_roles(&who("alice"), now).is_empty()
        });
    }
}

#[test]
fn of_several_grants_the_longest_counts() {
    let house = overlapping();
    let roles = house.book.live_roles(&who("alice"), house.now);
    assert_eq!(
        roles.iter().map(|(role, grant)| (role.as_str(), grant.id)).collect::<Vec<_>>(),
        [("writer", GrantId(1))]
    );
}

#[test]
fn a_grant_is_revoked_by_a_permitted_user_and_given_back_by_its_holder() {
    house_with_session()
        .when(revoke(9, "bob"))
        .refused(Refusal::NoSuchGrant(GrantId(9)))
        .when(revoke(1, "bot"))
        .refused(Refusal::NotAUser(who("bot")))
        .when(revoke(1, "mallory"))
        .refused(Refusal::NoSuchPrincipal(who("mallory")))
        .when(relinquish(1, "bob"))
        .refused(Refusal::NotYourGrant(GrantId(1)))
        .when(relinquish(1, "alice"))
        .then([relinquished(1)])
        .when(revoke(1, "bob"))
        .refused(Refusal::GrantOver(GrantId(1), "relinquished"))
        .when(relinquish(1, "alice"))
        .refused(Refusal::GrantOver(GrantId(1), "relinquished"));
}

#[test]
fn what_waits_on_a_grant_ends_with_it_however_it_ends() {
    let waiting = || house_with_session().when(ask(2, "alice", act(1, 1, "sql.delete"))).happens();
    let cut = voided(2, Voidance::GrantOver);
    waiting().when(revoke(1, "bob")).then([revoked(1, "bob"), cut.clone()]);
    waiting().when(relinquish(1, "alice")).then([relinquished(1), cut.clone()]);
    house()
        .when(ask(1, "alice", access("writer", 2)))
        .happens()
        .when(approve(1, "bob"))
        .happens()
        .when(open(1, "alice", "writer", "shop"))
        .happens()
        .when(ask(2, "alice", act(1, 1, "sql.delete")))
        .happens()
        .when(approve(2, "bob"))
        .happens()
        .after(2)
        .when(Command::Sweep)
        .then([expired(1), cut])
        .when(use_receipt(2, 1))
        .refused(Refusal::NoReceipt(countersign_core::RequestId(2), "void"));
}

/// The approver saw the purpose of grant 1. The session goes on under grant 2; what waited does not.
#[test]
fn what_waits_does_not_pass_to_another_grant() {
    overlapping()
        .when(ask(3, "alice", act(1, 1, "sql.delete")))
        .happens()
        .when(revoke(1, "bob"))
        .then([revoked(1, "bob"), voided(3, Voidance::GrantOver)])
        .holds(|book, now| {
            let session = book.session(SessionId(1)).unwrap();
            matches!(book.standing(session, now), countersign_core::book::Standing::On(grant) if grant.id.0 == 2)
        });
}

/// Request and grant come to their end in the same sweep: one end is enough for the request.
#[test]
fn a_sweep_ends_everything_once() {
    let house = house()
        .when(ask(1, "alice", access("writer", 12)))
        .happens()
        .when(approve(1, "bob"))
        .happens()
        .when(open(1, "alice", "writer", "shop"))
        .happens()
        .when(ask(2, "alice", act(1, 1, "sql.delete")))
        .happens()
        .after(20);
    house.when(Command::Sweep).then([
        // The escalation was due after five minutes, the grant over after twelve, the request after fifteen:
        // at twenty only the ends are worth telling.
        lapsed(2),
        expired(1),
    ]);
}

#[test]
fn a_use_under_way_is_not_called_void_when_its_grant_ends() {
    house_with_session()
        .when(ask(2, "alice", act(1, 1, "sql.delete")))
        .happens()
        .when(approve(2, "bob"))
        .happens()
        .when(use_receipt(2, 1))
        .happens()
        .when(revoke(1, "bob"))
        .then([revoked(1, "bob")])
        .when(close(1, Ending::Revoked))
        .then([settled(2, countersign_core::request::Outcome::Unknown), closed(1, Ending::Revoked)]);
}

/// Nothing issues such grants at present; the ledger may hold them all the same.
#[test]
fn a_grant_that_has_not_begun_can_be_ended() {
    let tomorrow = || {
        let mut house = house();
        let issued = Event::Grant(grant::Event::Issued {
            grant: GrantId(5),
            request: countersign_core::RequestId(5),
            principal: who("alice"),
            person: countersign_core::PersonId::new("alice"),
            role: RoleId::new("writer"),
            not_before: house.now.plus(Span::hours(24)),
            not_after: house.now.plus(Span::hours(25)),
        });
        house.book.apply(&issued, house.now);
        house
    };
    tomorrow()
        .holds(|book, now| !holds(book, "alice", "writer", now))
        .when(revoke(5, "bob"))
        .then([revoked(5, "bob")]);
    tomorrow().when(relinquish(5, "alice")).then([relinquished(5)]);
    tomorrow().when(disable("alice", "bob")).then([disabled("alice", "bob"), revoked(5, "bob")]);
    tomorrow().after(24 * 60).holds(|book, now| holds(book, "alice", "writer", now));
}

#[test]
fn the_oldest_ended_grants_are_forgotten_and_live_ones_never() {
    let limit = u128::try_from(countersign_core::book::REMEMBERED_MAX).unwrap();
    let mut house = house_with_session();
    for id in 10..=limit + 10 {
        house = house
            .when(ask(id, "alice", access("reader", 30)))
            .happens()
            .when(relinquish(id, "alice"))
            .happens();
    }
    assert_eq!(house.book.grants().count(), countersign_core::book::REMEMBERED_MAX + 1);
    assert!(house.book.grant(GrantId(10)).is_none() && house.book.grant(GrantId(11)).is_some());
    assert!(holds(&house.book, "alice", "writer", house.now));
}

/// Before any sweep: grant 2 is over, grant 1 lives, and what was asked under grant 2 is not asked under 1.
#[test]
fn what_waits_on_a_grant_whose_hour_has_come_is_void() {
    overlapping()
        .after(20)
        .when(ask(3, "alice", act(1, 2, "sql.delete")))
        .happens()
        .after(10)
        .when(approve(3, "bob"))
        .then([voided(3, Voidance::GrantOver)])
        .when(ask(4, "alice", act(1, 2, "sql.delete")))
        .refused(Refusal::NoLiveGrant(RoleId::new("writer")));
}
