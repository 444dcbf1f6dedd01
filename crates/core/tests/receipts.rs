//! Using what was approved: once, as approved, where it was approved.

use countersign_core::request::{Fate, Outcome, Transaction, Voidance, Withdrawal};
use countersign_core::session::Ending;
use countersign_core::{Command, Digest, Refusal, RequestId, SessionId, Span};

use crate::house::*;
use crate::world::{Law, World, members};

/// Request 2 of alice's session 1 is approved by bob.
fn approved_delete() -> House {
    house_with_session()
        .when(ask(2, "alice", act(1, 1, "sql.delete")))
        .happens()
        .when(approve(2, "bob"))
        .happens()
}

/// Request 2 of alice's session 1 may run three times.
fn approved_batch() -> House {
    house_with_session()
        .when(ask(2, "alice", act(1, 1, "sql.copy")))
        .happens()
        .when(approve(2, "bob"))
        .happens()
        .when(approve(2, "carol"))
        .then([approved(2, "carol"), quorum(2, 3, minutes(60))])
}

#[test]
fn a_receipt_is_used_once() {
    let house = approved_delete()
        .when(use_receipt(2, 1))
        .then([used(2, 1)])
        .when(use_receipt(2, 1))
        .refused(Refusal::ReceiptSpent(RequestId(2)))
        .when(settle(2, done(12)))
        .then([settled(2, done(12))])
        .when(settle(2, done(12)))
        .refused(Refusal::ReceiptSpent(RequestId(2)))
        .when(use_receipt(2, 1))
        .refused(Refusal::ReceiptSpent(RequestId(2)));
    assert_eq!(receipt(house.request(2)).outcome, Some(done(12)));
    assert!(house.request(2).is_closed());
}

#[test]
fn a_receipt_covers_what_was_approved_where_it_was_approved() {
    approved_delete()
        .when(use_for(2, 1, Digest([9; 32])))
        .refused(Refusal::OtherAction)
        .when(open(3, "alice", "writer", "shop"))
        .happens()
        .when(use_receipt(2, 3))
        .refused(Refusal::OtherSession(RequestId(2)))
        .when(use_receipt(9, 1))
        .refused(Refusal::NoSuchRequest(RequestId(9)))
        .when(use_receipt(2, 1))
        .then([used(2, 1)]);
}

#[test]
fn there_is_no_receipt_before_the_quorum_nor_for_access() {
    house_with_session()
        .when(use_receipt(1, 1))
        .refused(Refusal::OtherSession(RequestId(1)))
        .when(ask(2, "alice", act(1, 1, "sql.update")))
        .happens()
        .when(approve(2, "bob"))
        .happens()
        .when(use_receipt(2, 1))
        .refused(Refusal::NoReceipt(RequestId(2), "pending"));
}

#[test]
fn a_yes_that_is_not_used_in_time_is_gone() {
    approved_delete()
        .after(10)
        .when(use_receipt(2, 1))
        .refused(Refusal::ReceiptSpent(RequestId(2)))
        .when(Command::Sweep)
        .then([lapsed(2)])
        .when(use_receipt(2, 1))
        .refused(Refusal::NoReceipt(RequestId(2), "lapsed"));
}

#[test]
fn a_use_under_way_does_not_lapse() {
    approved_delete()
        .when(use_receipt(2, 1))
        .happens()
        .holds(|book, _| book.next_deadline() == Some(minutes(60)))
        .after(20)
        .when(Command::Sweep)
        .then([])
        .when(settle(2, done(12)))
        .happens()
        .state(2, "approved");
}

#[test]
fn a_receipt_for_several_uses_is_used_so_often_and_one_at_a_time() {
    let mut house = approved_batch();
    for _ in 0..3 {
        house = house
            .when(use_receipt(2, 1))
            .then([used(2, 1)])
            .when(use_receipt(2, 1))
            .refused(Refusal::ReceiptSpent(RequestId(2)))
            .when(settle(2, done(1)))
            .happens();
    }
    house.when(use_receipt(2, 1)).refused(Refusal::ReceiptSpent(RequestId(2)));
}

#[test]
fn a_receipt_for_several_uses_belongs_to_the_principal_resource_and_role() {
    let house = approved_batch()
        .when(use_receipt(2, 1))
        .happens()
        .when(settle(2, done(1)))
        .happens()
        // The session that waited for it goes; the receipt stays.
        .when(close(1, Ending::User))
        .then([closed(1, Ending::User)])
        .when(use_receipt(2, 1))
        .refused(Refusal::NoSuchSession(SessionId(1)))
        .when(open(3, "alice", "writer", "shop"))
        .happens();
    let reader = ask(5, "alice", access("reader", 60));
    house
        .clone()
        .when(reader)
        .happens()
        .when(open(6, "alice", "reader", "shop"))
        .happens()
        .when(use_receipt(2, 6))
        .refused(Refusal::OtherSession(RequestId(2)))
        .when(open(7, "alice", "reader", "files"))
        .happens()
        .when(use_receipt(2, 7))
        .refused(Refusal::OtherSession(RequestId(2)));
    house
        .clone()
        .when(ask(5, "bot", access("writer", 60)))
        .happens()
        .when(approve(5, "bob"))
        .happens()
        .when(open(6, "bot", "writer", "shop"))
        .happens()
        .when(use_receipt(2, 6))
        .refused(Refusal::OtherSession(RequestId(2)));
    house.when(use_receipt(2, 3)).then([used(2, 3)]);
}

/// Between the uses the time runs out.
#[test]
fn several_uses_end_with_their_time() {
    approved_batch()
        .when(use_receipt(2, 1))
        .happens()
        .after(59)
        .when(settle(2, done(1)))
        .then([settled(2, done(1))])
        .holds(|book, _| book.next_deadline() == Some(minutes(60)))
        .after(1)
        .when(use_receipt(2, 1))
        .refused(Refusal::ReceiptSpent(RequestId(2)))
        .when(Command::Sweep)
        .then([lapsed(2), expired(1)]);
}

/// The grant ends while a use is under way: that one is left to end, the others are no more.
#[test]
fn several_uses_end_with_the_grant() {
    let running = || approved_batch().when(use_receipt(2, 1)).happens();
    let revoked = || running().when(revoke(1, "bob")).then([revoked(1, "bob")]);
    let cut = voided(2, Voidance::GrantOver);
    revoked().when(settle(2, done(1))).then([settled(2, done(1)), cut.clone()]);
    let unknown = settled(2, Outcome::Unknown);
    revoked().when(close(1, Ending::Revoked)).then([
        unknown.clone(),
        cut.clone(),
        closed(1, Ending::Revoked),
    ]);
    revoked().when(Command::Restart).then([unknown, cut, closed(1, Ending::Gateway)]);
}

#[test]
fn nobody_knows_how_a_use_ended_whose_session_went_away() {
    let unknown = settled(2, Outcome::Unknown);
    approved_delete()
        .when(use_receipt(2, 1))
        .happens()
        .when(close(1, Ending::Error))
        .then([unknown.clone(), closed(1, Ending::Error)])
        .when(settle(2, done(12)))
        .refused(Refusal::ReceiptSpent(RequestId(2)));
    // The use runs in another session than the one that waited.
    let house = approved_batch()
        .when(open(3, "alice", "writer", "shop"))
        .happens()
        .when(use_receipt(2, 3))
        .happens()
        .when(close(1, Ending::User))
        .then([closed(1, Ending::User)])
        .when(close(3, Ending::Upstream))
        .then([unknown, closed(3, Ending::Upstream)]);
    assert_eq!(receipt(house.request(2)).used, 1);
}

#[test]
fn an_approved_action_whose_session_ends_is_withdrawn() {
    approved_delete()
        .when(close(1, Ending::User))
        .then([withdrawn(2, Withdrawal::SessionEnded), closed(1, Ending::User)])
        .when(use_receipt(2, 1))
        .refused(Refusal::NoReceipt(RequestId(2), "withdrawn"));
}

#[test]
fn a_session_that_is_being_ended_uses_nothing() {
    approved_delete()
        .when(end(1, "bob"))
        .happens()
        .when(use_receipt(2, 1))
        .refused(Refusal::SessionEnding(SessionId(1)));
}

#[test]
fn an_approver_who_may_no_longer_approve_takes_the_yes_along() {
    approved_delete()
        .when(disable("bob", "dave"))
        .happens()
        .when(use_receipt(2, 1))
        .then([voided(2, Voidance::ApproverNotEligible)])
        .state(2, "void");
    let world = World::base().changed(2, |world| world.group("dba").members = members(["carol"]));
    approved_delete()
        .knows(&world)
        .when(activate(2, "dave", None))
        .happens()
        .when(use_receipt(2, 1))
        .then([voided(2, Voidance::ApproverNotEligible)]);
}

#[test]
fn an_escalated_approver_is_still_one_at_use() {
    house_with_session()
        .when(ask(2, "alice", act(1, 1, "sql.delete")))
        .happens()
        .after(6)
        .when(approve(2, "dave"))
        .happens()
        .when(use_receipt(2, 1))
        .then([used(2, 1)]);
}

#[test]
fn a_stricter_bundle_voids_at_use_and_an_unrelated_one_does_not() {
    let base = World::base();
    let unrelated = base.changed(2, |world| world.says("sql.truncate", Law::Forbid));
    let forbids = base.changed(3, |world| world.says("sql.delete", Law::Forbid));
    let no_permit = base.changed(4, |world| world.says("sql.delete", Law::NoPermit));
    let errs = base.changed(5, |world| world.says("sql.delete", Law::Errs));
    let more = base.changed(6, |world| world.says("sql.delete", Law::Hold(vec!["prod-write", "owner"])));
    let longer = base.changed(7, |world| world.rule("prod-write", |rule| rule.valid_for = Span::minutes(11)));
    let laxer = base.changed(8, |world| world.says("sql.delete", Law::Permit));
    let worlds = [
        (unrelated, true),
        (forbids, false),
        (no_permit, false),
        (errs, false),
        (more, false),
        (longer, false),
        (laxer, true),
    ];
    for (world, runs) in worlds {
        let number = world.bundle.0[0];
        let house = approved_delete().knows(&world).when(activate(number, "dave", None)).happens();
        let house = house.when(use_receipt(2, 1));
        if runs {
            house.then([used(2, 1)]);
        } else {
            house.then([voided(2, Voidance::PolicyStricter)]);
        }
    }
}

#[test]
fn a_resource_that_the_role_no_longer_reaches_voids_at_use() {
    let world = World::base().changed(2, |world| world.role("writer").resources.clear());
    approved_delete()
        .knows(&world)
        .when(activate(2, "dave", None))
        .happens()
        .when(use_receipt(2, 1))
        .then([voided(2, Voidance::PolicyStricter)]);
}

/// At the grant's hour, before any sweep.
#[test]
fn nothing_runs_when_the_grant_is_over() {
    house()
        .when(ask(1, "alice", access("writer", 5)))
        .happens()
        .when(approve(1, "bob"))
        .happens()
        .when(open(1, "alice", "writer", "shop"))
        .happens()
        .when(ask(2, "alice", act(1, 1, "sql.delete")))
        .happens()
        .when(approve(2, "bob"))
        .happens()
        .after(5)
        .when(use_receipt(2, 1))
        .then([voided(2, Voidance::GrantOver)]);
}

#[test]
fn a_command_without_its_facts_leaves_the_receipt_alone() {
    let house = approved_delete();
    let mut facts = house.facts(&use_receipt(2, 1));
    facts.standing = None;
    house.when_given(use_receipt(2, 1), facts).refused_with("policy was not asked").state(2, "approved");
}

#[test]
fn what_was_done_in_a_transaction_is_over_when_that_is() {
    let open = approved_delete().when(use_receipt(2, 1)).happens().when(settle_open(2, 12)).happens();
    assert_eq!(open.request(2).transaction(), Some(Transaction::Open));
    assert!(!open.request(2).is_closed(), "it may still be undone");
    let house = open
        .when(conclude(2, 3, 1, Fate::Committed))
        .refused(Refusal::NothingOpen(RequestId(2), SessionId(3)))
        .when(conclude(2, 1, 2, Fate::Committed))
        .refused(Refusal::NothingOpen(RequestId(2), SessionId(1)))
        .when(conclude(9, 1, 1, Fate::Committed))
        .refused(Refusal::NoSuchRequest(RequestId(9)))
        .when(conclude(2, 1, 1, Fate::RolledBack))
        .then([concluded(2, 1, 1, Fate::RolledBack)])
        .when(conclude(2, 1, 1, Fate::Committed))
        .refused(Refusal::NothingOpen(RequestId(2), SessionId(1)));
    assert_eq!(house.request(2).transaction(), Some(Transaction::Over(Fate::RolledBack)));
    assert_eq!(receipt(house.request(2)).outcome, Some(done(12)), "it was done, and undone");
    assert!(house.request(2).is_closed());
    house.when(use_receipt(2, 1)).refused(Refusal::ReceiptSpent(RequestId(2)));
}

#[test]
fn nobody_knows_what_became_of_transactions_whose_session_went_away() {
    for (gone, why) in [(close(1, Ending::Upstream), Ending::Upstream), (Command::Restart, Ending::Gateway)] {
        let house = approved_delete()
            .when(use_receipt(2, 1))
            .happens()
            .when(settle_open(2, 12))
            .happens()
            .when(gone)
            .then([concluded(2, 1, 1, Fate::Unknown), closed(1, why)]);
        assert_eq!(house.request(2).transaction(), Some(Transaction::Over(Fate::Unknown)));
    }
}

#[test]
fn a_savepoint_parts_the_uses_of_one_transaction() {
    let mut house = approved_batch();
    for _ in 0..3 {
        house = house.when(use_receipt(2, 1)).happens().when(settle_open(2, 1)).happens();
    }
    let house = house
        .when(conclude(2, 1, 3, Fate::RolledBack))
        .then([concluded(2, 1, 3, Fate::RolledBack)])
        .holds(|book, _| !book.request(RequestId(2)).unwrap().is_closed())
        .when(conclude(2, 1, 1, Fate::Committed))
        .then([concluded(2, 1, 1, Fate::Committed)]);
    let last = house.request(2).transaction();
    assert_eq!(last, Some(Transaction::Over(Fate::RolledBack)), "of the last use");
    assert_eq!(house.request(2).uses.len(), 1, "no other is kept in mind");
    assert!(house.request(2).is_closed());
}

#[test]
fn a_receipt_that_ends_with_its_grant_leaves_its_transaction_to_end() {
    let house = approved_batch()
        .when(use_receipt(2, 1))
        .happens()
        .when(settle_open(2, 1))
        .happens()
        .when(revoke(1, "bob"))
        .happens()
        .state(2, "void");
    assert!(!house.request(2).is_closed());
    let house = house
        .when(conclude(2, 1, 1, Fate::RolledBack))
        .then([concluded(2, 1, 1, Fate::RolledBack)])
        .state(2, "void");
    assert!(house.request(2).is_closed());
}
