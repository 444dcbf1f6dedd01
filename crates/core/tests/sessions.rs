//! Sessions: they stand on a membership, and fall with it.

use countersign_core::book::Standing;
use countersign_core::request::{Outcome, Withdrawal};
use countersign_core::session::Ending;
use countersign_core::{Command, PersonId, Refusal, ResourceId, RoleId, SessionId};

use crate::house::*;
use crate::world::{Law, World, who};

#[track_caller]
fn over(house: &House, session: u128, ending: Ending) {
    let session = house.book.session(SessionId(session)).unwrap();
    assert_eq!(house.book.standing(session, house.now), Standing::Over(ending));
}

#[test]
fn a_session_opens_on_a_live_grant_that_reaches_the_resource() {
    let no_grant = Refusal::NoLiveGrant(RoleId::new("writer"));
    house()
        .when(open(1, "alice", "writer", "shop"))
        .refused(no_grant.clone())
        .when(ask(1, "alice", access("writer", 30)))
        .happens()
        .when(approve(1, "bob"))
        .happens()
        .when(open(1, "alice", "writer", "files"))
        .refused(no_grant.clone())
        .when(open(1, "alice", "writer", "moon"))
        .refused(Refusal::NoSuchResource(ResourceId::new("moon")))
        .when(open(1, "alice-admin", "writer", "shop"))
        .refused(no_grant.clone())
        .when(open(1, "alice", "writer", "shop"))
        .happens()
        .when(open(1, "alice", "writer", "shop"))
        .refused(Refusal::Exists(SessionId(1).to_string()))
        .after(30)
        .when(open(2, "alice", "writer", "shop"))
        .refused(no_grant);
}

#[test]
fn a_session_needs_policys_word_as_well() {
    let world = World::base().changed(2, |world| world.says("session.open", Law::NoPermit));
    house_with_session()
        .knows(&world)
        .when(activate(2, "dave", None))
        .happens()
        .when(open(2, "alice", "writer", "shop"))
        .refused_with("no policy permits it");
}

#[test]
fn a_session_says_how_the_ground_under_it_ended() {
    over(&house_with_session().after(60), 1, Ending::GrantEnd);
    over(&house_with_session().after(60).when(Command::Sweep).happens(), 1, Ending::GrantEnd);
    over(&house_with_session().when(revoke(1, "bob")).happens(), 1, Ending::Revoked);
    over(&house_with_session().when(relinquish(1, "alice")).happens(), 1, Ending::Revoked);
    over(&house_with_session().when(disable("alice", "bob")).happens(), 1, Ending::Disabled);
    over(&house_with_session().when(end(1, "bob")).happens(), 1, Ending::Kill);
    let unreached = World::base().changed(2, |world| world.role("writer").resources.clear());
    over(
        &house_with_session().knows(&unreached).when(activate(2, "dave", None)).happens(),
        1,
        Ending::Policy,
    );
    let gone = World::base().changed(2, |world| {
        world.catalogue.principals.remove(&who("alice"));
    });
    over(&house_with_session().knows(&gone).when(activate(2, "dave", None)).happens(), 1, Ending::Disabled);
    let somebody_else = World::base().changed(2, |world| {
        world.principal("alice").person = PersonId::new("allie");
    });
    let house = house_with_session().knows(&somebody_else).when(activate(2, "dave", None)).happens();
    over(&house, 1, Ending::Disabled);
}

/// It was opened under grant 1, which expired; it went on under grant 2, which was revoked.
#[test]
fn the_reason_is_that_of_the_grant_that_ended_last() {
    let house = house_with_session()
        .after(30)
        .when(ask(2, "alice", access("writer", 60)))
        .happens()
        .when(approve(2, "bob"))
        .happens()
        .after(31)
        .when(Command::Sweep)
        .then([expired(1)])
        .holds(|book, now| {
            let session = book.session(SessionId(1)).unwrap();
            matches!(book.standing(session, now), Standing::On(grant) if grant.id.0 == 2)
        })
        .when(revoke(2, "bob"))
        .happens();
    over(&house, 1, Ending::Revoked);
}

#[test]
fn an_agent_falls_with_the_person_who_answers_for_it() {
    let house = house()
        .when(ask(1, "bot", access("writer", 60)))
        .happens()
        .when(approve(1, "bob"))
        .happens()
        .when(open(1, "bot", "writer", "shop"))
        .happens()
        .when(disable("alice", "bob"))
        .then([disabled("alice", "bob"), revoked(1, "bob")]);
    over(&house, 1, Ending::Disabled);
}

#[test]
fn closing_withdraws_what_waits_and_only_that() {
    house_with_session()
        .when(open(2, "alice", "writer", "shop"))
        .happens()
        .when(ask(3, "alice", act(1, 1, "sql.delete")))
        .happens()
        .when(ask(4, "alice", act(2, 1, "sql.delete")))
        .happens()
        .when(ask(5, "alice", access("writer", 30)))
        .happens()
        .when(close(1, Ending::User))
        .then([withdrawn(3, Withdrawal::SessionEnded), closed(1, Ending::User)])
        .state(4, "pending")
        .state(5, "pending")
        .when(close(1, Ending::User))
        .refused(Refusal::NoSuchSession(SessionId(1)));
}

#[test]
fn a_session_is_ended_by_its_principal_or_a_permitted_user() {
    house_with_session()
        .when(end(1, "bot"))
        .refused(Refusal::NotAUser(who("bot")))
        .when(end(9, "bob"))
        .refused(Refusal::NoSuchSession(SessionId(9)))
        .when(end(1, "bob"))
        .happens()
        .when(end(1, "alice"))
        .refused(Refusal::SessionEnding(SessionId(1)));
    let world = World::base().changed(2, |world| world.says("session.end", Law::Forbid));
    house_with_session()
        .knows(&world)
        .when(activate(2, "dave", None))
        .happens()
        .when(end(1, "bob"))
        .refused_with("not permitted")
        .when(end(1, "alice"))
        .happens();
}

#[test]
fn an_approval_does_not_revive_a_session_that_is_being_ended() {
    house_with_session()
        .when(ask(2, "alice", act(1, 1, "sql.delete")))
        .happens()
        .when(end(1, "bob"))
        .happens()
        .when(approve(2, "bob"))
        .then([withdrawn(2, Withdrawal::SessionEnded)]);
}

#[test]
fn a_restart_ends_what_the_gateway_left_open() {
    let house = house_with_session()
        .when(open(2, "alice", "writer", "shop"))
        .happens()
        .when(ask(3, "alice", act(1, 1, "sql.delete")))
        .happens()
        .when(ask(4, "alice", act(2, 1, "sql.delete")))
        .happens()
        .when(approve(4, "bob"))
        .happens()
        .when(use_receipt(4, 2))
        .happens()
        .when(ask(5, "alice", access("writer", 30)))
        .happens()
        .when(ask(6, "alice", act(1, 1, "sql.delete")))
        .happens()
        .when(approve(6, "carol"))
        .happens()
        .when(Command::Restart)
        .then([
            withdrawn(3, Withdrawal::GatewayRestarted),
            settled(4, Outcome::Unknown),
            withdrawn(6, Withdrawal::GatewayRestarted),
            closed(1, Ending::Gateway),
            closed(2, Ending::Gateway),
        ])
        .state(5, "pending")
        .holds(|book, now| holds(book, "alice", "writer", now) && book.sessions().count() == 0);
    house.when(Command::Restart).then([]);
}

#[test]
fn a_receipt_for_several_uses_survives_a_restart_one_use_short() {
    let house = house_with_session()
        .when(ask(2, "alice", act(1, 1, "sql.copy")))
        .happens()
        .when(approve(2, "bob"))
        .happens()
        .when(approve(2, "erin"))
        .happens()
        .when(use_receipt(2, 1))
        .happens()
        .when(Command::Restart)
        .then([settled(2, Outcome::Unknown), closed(1, Ending::Gateway)])
        .when(open(3, "alice", "writer", "shop"))
        .happens()
        .when(use_receipt(2, 3))
        .happens();
    assert_eq!(receipt(house.request(2)).used, 2);
}

#[test]
fn nothing_is_used_in_a_paused_session() {
    house_with_session()
        .when(ask(2, "alice", act(1, 1, "sql.delete")))
        .happens()
        .when(pause(1, "bob"))
        .then([locked(1, "bob")])
        .when(approve(2, "bob"))
        .happens()
        .when(use_receipt(2, 1))
        .refused(Refusal::SessionPaused(SessionId(1)))
        .state(2, "approved")
        .when(resume(1, "carol"))
        .then([unlocked(1, "carol")])
        .when(use_receipt(2, 1))
        .happens();
}

#[test]
fn a_pause_is_neither_doubled_nor_outlived() {
    house_with_session()
        .when(resume(1, "bob"))
        .refused(Refusal::SessionNotPaused(SessionId(1)))
        .when(pause(9, "bob"))
        .refused(Refusal::NoSuchSession(SessionId(9)))
        .when(pause(1, "bob"))
        .happens()
        .when(pause(1, "bob"))
        .refused(Refusal::SessionPaused(SessionId(1)))
        .when(pause(1, "carol"))
        .refused(Refusal::SessionPaused(SessionId(1)))
        .when(end(1, "bob"))
        .happens()
        .when(resume(1, "bob"))
        .refused(Refusal::SessionEnding(SessionId(1)));
    over(&house_with_session().when(pause(1, "bob")).happens().after(60), 1, Ending::GrantEnd);
    house_with_session().after(60).when(pause(1, "bob")).refused(Refusal::SessionEnding(SessionId(1)));
}

/// What somebody else has paused, nobody resumes for their own person: not they, not their other account, not their agent.
#[test]
fn nobody_resumes_what_another_has_paused_of_theirs() {
    let another = Refusal::PausedByAnother(SessionId(1));
    house_with_session()
        .when(pause(1, "bob"))
        .happens()
        .when(resume(1, "alice"))
        .refused(another.clone())
        .when(resume(1, "alice-admin"))
        .refused(another)
        .when(resume(1, "bot"))
        .refused(Refusal::NotAUser(who("bot")))
        .when(resume(1, "bob"))
        .happens()
        .when(pause(1, "alice"))
        .happens()
        .when(pause(1, "bob"))
        .then([locked(1, "bob")])
        .when(resume(1, "alice"))
        .refused(Refusal::PausedByAnother(SessionId(1)))
        .when(resume(1, "carol"))
        .happens()
        .when(pause(1, "alice"))
        .happens()
        .when(resume(1, "alice"))
        .happens();
}

#[test]
fn an_agent_does_not_go_on_when_its_owner_has_paused_it() {
    house()
        .when(ask(1, "bot", access("writer", 60)))
        .happens()
        .when(approve(1, "bob"))
        .happens()
        .when(open(1, "bot", "writer", "shop"))
        .happens()
        .when(pause(1, "alice"))
        .happens()
        .when(resume(1, "bot"))
        .refused(Refusal::PausedByAnother(SessionId(1)))
        .when(resume(1, "alice"))
        .happens();
}

#[test]
fn pausing_is_policys_to_permit() {
    let world = World::base().changed(2, |world| {
        world.says("session.pause", Law::Forbid);
        world.says("session.resume", Law::NoPermit);
    });
    house_with_session()
        .knows(&world)
        .when(activate(2, "dave", None))
        .happens()
        .when(pause(1, "bob"))
        .refused_with("not permitted")
        .when(pause(1, "bot"))
        .refused(Refusal::NotAUser(who("bot")))
        .when(pause(1, "alice"))
        .happens()
        .when(resume(1, "bob"))
        .refused_with("no policy permits it")
        .when(resume(1, "alice"))
        .happens();
}
