//! Asking, approving, denying, lapsing, withdrawing, voiding.

use std::sync::Arc;

use countersign_core::request::{Ask, Signature, Voidance, Withdrawal};
use countersign_core::ruling::Ruling;
use countersign_core::session::Ending;
use countersign_core::{
    At, Book, Command, Digest, Event, Facts, GrantId, PersonId, Refusal, RequestId, RoleId, SessionId, Span,
    decide, request,
};

use crate::house::*;
use crate::world::{Law, World, agent, group, members, stage, user, who};

#[test]
fn an_access_request_is_granted_by_one_dba_and_its_clock_starts_then() {
    house()
        .when(ask(7, "alice", access("writer", 30)))
        .happens()
        .state(7, "pending")
        .after(3)
        .when(approve(7, "bob"))
        .then([approved(7, "bob"), quorum(7, 1, minutes(13)), issued(7, "alice", "writer", minutes(3), 30)])
        .state(7, "approved")
        .holds(|book, now| holds(book, "alice", "writer", now))
        .when(approve(7, "carol"))
        .refused(Refusal::Decided(RequestId(7), "approved"));
}

#[test]
fn what_no_gate_holds_needs_nobody() {
    let house = house().when(ask(7, "alice", access("reader", 30))).happens();
    let Ok([asked, rest @ ..]) = house.last().as_deref() else { panic!("{:?}", house.last()) };
    assert!(
        matches!(asked, Event::Request(request::Event::Asked { gates, locked: false, .. }) if gates.is_empty())
    );
    assert_eq!(rest, [quorum(7, 1, minutes(1)), issued(7, "alice", "reader", minutes(0), 30)]);
}

#[test]
fn what_policy_forbids_or_does_not_permit_or_cannot_tell_is_denied() {
    house_with_session()
        .when(ask(2, "alice", act(1, 1, "sql.drop")))
        .refused_with("forbidden by `never`")
        .when(ask(2, "alice", act(1, 1, "sql.call")))
        .refused_with("no policy permits it")
        .when(ask(2, "alice", act(1, 1, "sql.unknown")))
        .refused_with("could not be evaluated");
}

#[test]
fn without_a_ruling_of_the_bundle_in_force_nothing_is_decided() {
    let house = house_with_session().when(ask(2, "alice", act(1, 1, "sql.delete"))).happens();
    let old = World::base().changed(9, |_| {}).ruling("sql.select");
    for ruling in [None, Some(old)] {
        let words = if ruling.is_none() { "policy was not asked" } else { "policy changed" };
        let facts = Facts { now: house.now, ruling: ruling.clone(), standing: None };
        for command in [
            ask(3, "alice", access("reader", 5)),
            approve(2, "bob"),
            deny(2, "bob"),
            revoke(1, "bob"),
            disable("alice", "bob"),
            end(1, "bob"),
            open(2, "alice", "writer", "shop"),
        ] {
            house.clone().when_given(command, facts.clone()).refused_with(words);
        }
        let facts = Facts { standing: ruling, ..house.facts(&approve(2, "bob")) };
        house.clone().when_given(approve(2, "bob"), facts).refused_with(words).state(2, "pending");
    }
}

#[test]
fn a_rule_may_want_every_yes_signed_and_no_no() {
    let with_signature = |id: u128, by: &str| match approve(id, by) {
        Command::Request(request::Command::Approve {
            request, by, digest, comment, terms, grant, ..
        }) => {
            let signature = Signature { credential: "aut_1".into(), assertion: "c1:AAAA".into() };
            let signature = Some(signature);
            Command::Request(request::Command::Approve {
                request,
                by,
                digest,
                comment,
                signature,
                terms,
                grant,
            })
        }
        other => other,
    };
    let asked = ask(7, "alice", access("writer", 30));
    let mut facts = house().facts(&asked);
    for gate in facts.ruling.iter_mut().flat_map(|ruling| &mut ruling.gates) {
        Arc::make_mut(&mut gate.terms).signed = true;
    }
    let signed = house().when_given(asked, facts).happens();
    signed
        .clone()
        .when(approve(7, "bob"))
        .refused(Refusal::Unsigned(RequestId(7)))
        .state(7, "pending")
        .when(with_signature(7, "bob"))
        .happens()
        .state(7, "approved");
    // Whoever may not answer is told that, and not to fetch a key.
    signed.clone().when(approve(7, "alice")).refused(Refusal::OwnRequest);
    signed.when(deny(7, "bob")).happens().state(7, "denied");
}

#[test]
fn an_identifier_is_used_once() {
    house()
        .when(ask(7, "alice", access("writer", 30)))
        .happens()
        .when(ask(7, "erin", access("writer", 30)))
        .refused(Refusal::Exists(RequestId(7).to_string()));
}

#[test]
fn a_new_grant_never_takes_the_place_of_another() {
    let same_grant = Command::Request(request::Command::Approve {
        request: RequestId(8),
        by: who("bob"),
        digest: digest(8),
        comment: None,
        signature: None,
        terms: countersign_core::envelope::Terms::default(),
        grant: GrantId(1),
    });
    house_with_session()
        .when(ask(8, "erin", access("writer", 30)))
        .happens()
        .when(same_grant)
        .refused(Refusal::Exists(GrantId(1).to_string()))
        .holds(|book, now| holds(book, "alice", "writer", now));
}

#[test]
fn a_role_is_asked_for_within_its_bounds() {
    let too_long = Refusal::TooLong(RoleId::new("writer"), Span::hours(4));
    house()
        .when(ask(7, "alice", access("writer", 241)))
        .refused(too_long)
        .when(ask(7, "alice", access("writer", 0)))
        .refused_with("ask for a time such as `30m`")
        .when(ask(7, "alice", access("writer", -5)))
        .refused_with("ask for a time such as `30m`")
        .when(ask(7, "alice", access("emperor", 5)))
        .refused(Refusal::NoSuchRole(RoleId::new("emperor")))
        .when(ask(7, "mallory", access("writer", 5)))
        .refused(Refusal::NoSuchPrincipal(who("mallory")))
        .when(ask(7, "alice", access("writer", 240)))
        .happens();
}

#[test]
fn nothing_is_asked_before_a_bundle_is_in_force() {
    let refused = decide(&Book::default(), ask(1, "alice", access("writer", 5)), &Facts::default());
    assert_eq!(refused, Err(Refusal::NoBundle));
}

#[test]
fn nobody_approves_their_own_by_any_account_nor_do_agents_and_services() {
    for (asker, same_person) in [("alice", "alice-admin"), ("alice-admin", "alice"), ("bot", "alice-admin")] {
        house()
            .when(ask(7, asker, access("writer", 30)))
            .happens()
            .when(approve(7, same_person))
            .refused(Refusal::OwnRequest)
            .when(deny(7, same_person))
            .refused(Refusal::OwnRequest);
    }
    house()
        .when(ask(7, "alice", access("writer", 30)))
        .happens()
        .when(approve(7, "ci"))
        .refused(Refusal::NotAUser(who("ci")))
        .when(approve(7, "bot"))
        .refused(Refusal::NotAUser(who("bot")))
        .when(approve(7, "erin"))
        .refused(Refusal::NotAnApprover("1 of group:dba".into()))
        .when(approve(7, "mallory"))
        .refused(Refusal::NoSuchPrincipal(who("mallory")));
}

/// An account that is given to another human does not make its own request somebody else's.
#[test]
fn a_change_of_person_makes_nobody_their_own_approver() {
    let moved = World::base().changed(2, |world| {
        world.principal("alice").person = PersonId::new("alice-new");
        world.group("dba").members.insert(who("alice"));
    });
    let house = house().knows(&moved).when(ask(7, "alice", access("writer", 30))).happens();
    house
        .when(activate(2, "dave", None))
        .happens()
        .state(7, "void")
        .when(approve(7, "alice"))
        .refused(Refusal::Decided(RequestId(7), "void"));
}

/// An agent whose account names another person than its owner's does not let the owner approve.
#[test]
fn the_whole_chain_of_an_agent_stands_on_its_side() {
    let odd = World::base().changed(2, |world| {
        world.principal("ci").person = PersonId::new("somebody");
    });
    house()
        .knows(&odd)
        .when(activate(2, "dave", None))
        .happens()
        .when(ask(7, "ci", access("writer", 30)))
        .happens()
        .when(approve(7, "bob"))
        .refused(Refusal::OwnRequest)
        .when(approve(7, "carol"))
        .happens()
        .state(7, "approved");
}

#[test]
fn an_approval_is_of_what_was_shown() {
    house()
        .when(ask(7, "alice", access("writer", 30)))
        .happens()
        .when(approve_seeing(7, "bob", Digest([9; 32])))
        .refused(Refusal::OtherAction)
        .state(7, "pending");
}

#[test]
fn an_approver_whom_policy_does_not_let_approve_approves_nothing() {
    let world = World::base().changed(2, |world| world.says("request.approve", Law::Forbid));
    house()
        .knows(&world)
        .when(ask(7, "alice", access("writer", 30)))
        .happens()
        .when(activate(2, "dave", None))
        .happens()
        .when(approve(7, "bob"))
        .refused_with("not permitted: forbidden by `never`")
        .when(deny(7, "bob"))
        .refused_with("not permitted");
    let world = World::base().changed(2, |world| world.says("request.approve", Law::Hold(vec!["two-keys"])));
    house()
        .knows(&world)
        .when(ask(7, "alice", access("writer", 30)))
        .happens()
        .when(activate(2, "dave", None))
        .happens()
        .when(approve(7, "bob"))
        .refused(Refusal::Gated("`two-keys`".into()));
}

#[test]
fn two_keys_are_two_persons() {
    house_with_session()
        .when(ask(2, "alice", act(1, 1, "sql.update")))
        .happens()
        .when(approve(2, "bob"))
        .then([approved(2, "bob")])
        .when(approve(2, "bob"))
        .refused(Refusal::ApprovedTwice)
        .when(approve(2, "carol"))
        .refused(Refusal::PlaceTaken("1 of group:security".into()))
        .when(approve(2, "erin"))
        .then([approved(2, "erin"), quorum(2, 1, minutes(10))]);
}

/// Dave fits both places; whoever comes, he makes room.
#[test]
fn an_approver_moves_to_make_room_for_another() {
    for second in ["bob", "erin"] {
        house_with_session()
            .when(ask(2, "alice", act(1, 1, "sql.update")))
            .happens()
            .when(approve(2, "dave"))
            .then([approved(2, "dave")])
            .when(approve(2, second))
            .then([approved(2, second), quorum(2, 1, minutes(10))]);
    }
}

#[test]
fn a_person_fills_one_place_for_all_gates_together() {
    house_with_session()
        .when(ask(2, "alice", act(1, 1, "sql.merge")))
        .happens()
        .when(approve(2, "bob"))
        .then([approved(2, "bob")])
        .when(approve(2, "bob"))
        .refused(Refusal::ApprovedTwice)
        .when(approve(2, "erin"))
        .then([approved(2, "erin")])
        .when(approve(2, "carol"))
        .then([approved(2, "carol"), quorum(2, 1, minutes(10))]);
}

/// Bob gets a second account. Both of his yeses are one person's.
#[test]
fn two_accounts_of_one_person_are_one_yes() {
    let world = World::base().changed(2, |world| {
        world.catalogue.principals.insert(who("bob-sec"), user("bob"));
        world.group("security").members.insert(who("bob-sec"));
    });
    house_with_session()
        .knows(&world)
        .when(activate(2, "dave", None))
        .happens()
        .when(ask(2, "alice", act(1, 1, "sql.update")))
        .happens()
        .when(approve(2, "bob"))
        .then([approved(2, "bob")])
        .when(approve(2, "bob-sec"))
        .refused(Refusal::ApprovedTwice);
}

/// Carol and erin turn out to be one human: what they said together is one yes.
#[test]
fn persons_who_become_one_count_once() {
    let world = World::base().changed(2, |world| {
        world.principal("erin").person = PersonId::new("carol");
    });
    house_with_session()
        .knows(&world)
        .when(ask(2, "alice", act(1, 1, "sql.update")))
        .happens()
        .when(approve(2, "carol"))
        .happens()
        .when(approve(2, "erin"))
        .then([approved(2, "erin"), quorum(2, 1, minutes(10))])
        .when(activate(2, "dave", None))
        .happens()
        .when(use_receipt(2, 1))
        .then([voided(2, Voidance::ApproverNotEligible)]);
}

/// Carol's account passes to another person, who has said nothing yet: it is still one account's yes.
#[test]
fn an_account_that_changes_hands_does_not_say_yes_again() {
    let world = World::base().changed(2, |world| {
        world.principal("carol").person = PersonId::new("carla");
    });
    house_with_session()
        .knows(&world)
        .when(ask(2, "alice", act(1, 1, "sql.copy")))
        .happens()
        .when(approve(2, "carol"))
        .happens()
        .when(activate(2, "dave", None))
        .happens()
        .when(approve(2, "carol"))
        .refused(Refusal::ApprovedTwice);
}

#[test]
fn one_eligible_no_ends_it() {
    house_with_session()
        .when(ask(2, "alice", act(1, 1, "sql.update")))
        .happens()
        .when(approve(2, "bob"))
        .happens()
        .when(deny(2, "alice-admin"))
        .refused(Refusal::OwnRequest)
        .when(deny(2, "erin"))
        .then([denied(2, "erin")])
        .state(2, "denied")
        .when(approve(2, "dave"))
        .refused(Refusal::Decided(RequestId(2), "denied"));
}

#[test]
fn unanswered_it_lapses_and_is_over_before_that_is_written_down() {
    house()
        .when(ask(7, "alice", access("writer", 30)))
        .happens()
        .after(15)
        .when(approve(7, "bob"))
        .refused(Refusal::Decided(RequestId(7), "lapsed"))
        .when(deny(7, "bob"))
        .refused(Refusal::Decided(RequestId(7), "lapsed"))
        .when(Command::Sweep)
        .then([lapsed(7)])
        .state(7, "lapsed")
        .holds(|book, _| book.next_deadline().is_none());
}

#[test]
fn escalation_adds_people_and_is_announced_once() {
    house()
        .when(ask(7, "alice", access("writer", 30)))
        .happens()
        .when(approve(7, "dave"))
        .refused_with("do not name you: 1 of group:dba")
        .holds(|book, _| book.next_deadline() == Some(minutes(5)))
        .after(5)
        .when(Command::Sweep)
        .then([escalated(7, 1)])
        .when(Command::Sweep)
        .then([])
        .holds(|book, _| book.next_deadline() == Some(minutes(15)))
        .when(approve(7, "dave"))
        .then([approved(7, "dave"), quorum(7, 1, minutes(15)), issued(7, "alice", "writer", minutes(5), 30)]);
}

#[test]
fn escalated_people_may_answer_though_no_sweep_has_announced_them() {
    house()
        .when(ask(7, "alice", access("writer", 30)))
        .happens()
        .after(6)
        .when(approve(7, "dave"))
        .happens()
        .state(7, "approved");
}

/// The rule lists its steps out of order, and one of them after the request has lapsed.
#[test]
fn one_sweep_announces_every_step_that_is_due() {
    let house = house_with_session()
        .when(ask(2, "alice", act(1, 1, "sql.copy")))
        .happens()
        .after(25)
        .when(Command::Sweep)
        .then([escalated(2, 1), escalated(2, 2)]);
    assert_eq!(house.book.next_deadline(), Some(minutes(30)));
    house.after(30).when(Command::Sweep).happens().state(2, "lapsed");
}

#[test]
fn a_request_that_nobody_can_approve_is_locked_and_lapses() {
    let house = house().when(ask(7, "alice", access("owner-only", 30))).happens();
    assert!(house.request(7).locked);
    house
        .when(approve(7, "dave"))
        .refused(Refusal::NotAnApprover("1 of owner".into()))
        .holds(|book, _| book.is_locked(book.request(RequestId(7)).unwrap()))
        .after(15)
        .when(Command::Sweep)
        .then([lapsed(7)]);
}

/// One place can be filled, the other cannot. A yes is refused; a no is as good as any.
#[test]
fn a_locked_request_can_be_denied_by_those_its_rules_do_name() {
    let world = World::base().changed(2, |world| {
        world.group("security").members.clear();
        world.group("security").groups.clear();
    });
    let house = house()
        .knows(&world)
        .when(ask(1, "alice", access("writer", 60)))
        .happens()
        .when(approve(1, "bob"))
        .happens()
        .when(open(1, "alice", "writer", "shop"))
        .happens()
        .when(ask(2, "alice", act(1, 1, "sql.update")))
        .happens();
    assert!(!house.request(2).locked);
    house
        .when(activate(2, "dave", None))
        .happens()
        .holds(|book, _| book.is_locked(book.request(RequestId(2)).unwrap()))
        .when(approve(2, "bob"))
        .refused(Refusal::Locked(RequestId(2)))
        .when(ask(3, "alice", act(1, 1, "sql.update")))
        .happens()
        .holds(|book, _| book.request(RequestId(3)).unwrap().locked)
        .when(deny(2, "bob"))
        .then([denied(2, "bob")]);
}

/// A step that comes when the request has lapsed helps nobody: the request is locked from the start.
#[test]
fn an_escalation_that_comes_too_late_unlocks_nothing() {
    for (after, locked) in [(14, false), (15, true), (16, true)] {
        let world = World::base().changed(2, |world| {
            world.group("dba").members = members(["ci"]);
            world.rule("prod-write", |rule| rule.escalate[0].after = Span::minutes(after));
        });
        let house = house().knows(&world).when(activate(2, "dave", None)).happens();
        let house = house.when(ask(7, "alice", access("writer", 30))).happens();
        assert_eq!(house.request(7).locked, locked, "after {after} minutes");
    }
}

/// A rule without places is not a rule that is satisfied.
#[test]
fn a_rule_that_asks_for_nobody_locks() {
    for stages in [vec![], vec![stage(0, &[])], vec![stage(1, &[])], vec![stage(1, &[group("nobody")])]] {
        let world = World::base().changed(2, |world| {
            world.rule("prod-write", |rule| {
                rule.stages.clone_from(&stages);
                rule.escalate.clear();
            });
        });
        house_with_session()
            .knows(&world)
            .when(activate(2, "dave", None))
            .happens()
            .when(ask(2, "alice", act(1, 1, "sql.merge")))
            .happens()
            .holds(|book, _| book.request(RequestId(2)).unwrap().locked)
            .when(approve(2, "bob"))
            .refused(Refusal::Locked(RequestId(2)));
    }
    let world = World::base().changed(2, |world| {
        world.rule("prod-write", |rule| rule.stages = vec![stage(0, &[group("dba")])]);
    });
    house()
        .knows(&world)
        .when(activate(2, "dave", None))
        .happens()
        .when(ask(7, "alice", access("writer", 5)))
        .happens()
        .state(7, "pending")
        .when(approve(7, "bob"))
        .happens()
        .state(7, "approved");
}

#[test]
fn a_waiting_request_is_withdrawn_once() {
    for why in [Withdrawal::ByRequester, Withdrawal::Cancelled, Withdrawal::Disconnected] {
        house_with_session()
            .when(ask(2, "alice", act(1, 1, "sql.delete")))
            .happens()
            .when(withdraw(2, why))
            .then([withdrawn(2, why)])
            .when(withdraw(2, why))
            .refused(Refusal::Decided(RequestId(2), "withdrawn"))
            .when(approve(2, "bob"))
            .refused(Refusal::Decided(RequestId(2), "withdrawn"));
    }
}

#[test]
fn what_changed_its_meaning_is_void() {
    house_with_session()
        .when(ask(2, "alice", act(1, 1, "sql.delete")))
        .happens()
        .when(void(2, Voidance::MeaningChanged))
        .then([voided(2, Voidance::MeaningChanged)])
        .when(void(2, Voidance::MeaningChanged))
        .refused(Refusal::Decided(RequestId(2), "void"))
        .when(approve(2, "bob"))
        .refused(Refusal::Decided(RequestId(2), "void"));
}

#[test]
fn a_stricter_bundle_voids_at_approval_and_an_unrelated_one_does_not() {
    let base = World::base();
    let unrelated = base.changed(2, |world| world.says("sql.truncate", Law::Forbid));
    let forbids = base.changed(3, |world| world.says("sql.delete", Law::Forbid));
    let another_gate =
        base.changed(4, |world| world.says("sql.delete", Law::Hold(vec!["prod-write", "batch"])));
    let another_rule = base.changed(5, |world| world.rule("prod-write", |rule| rule.stages[0].need = 2));
    let laxer = base.changed(6, |world| world.says("sql.delete", Law::Permit));
    for (world, approves) in
        [(unrelated, true), (forbids, false), (another_gate, false), (another_rule, false), (laxer, true)]
    {
        let number = world.bundle.0[0];
        let house = house_with_session()
            .knows(&world)
            .when(ask(2, "alice", act(1, 1, "sql.delete")))
            .happens()
            .when(activate(number, "dave", None))
            .happens()
            .when(approve(2, "bob"));
        if approves {
            house.then([approved(2, "bob"), quorum(2, 1, minutes(10))]);
        } else {
            house.then([voided(2, Voidance::PolicyStricter)]);
        }
    }
}

#[test]
fn a_role_that_is_gone_or_got_shorter_voids_what_was_asked_of_it() {
    let gone = World::base().changed(2, |world| {
        world.catalogue.roles.remove(&RoleId::new("writer"));
    });
    let shorter = World::base().changed(3, |world| world.role("writer").longest = Span::minutes(29));
    for world in [gone, shorter] {
        let number = world.bundle.0[0];
        house()
            .knows(&world)
            .when(ask(7, "alice", access("writer", 30)))
            .happens()
            .when(activate(number, "dave", None))
            .happens()
            .when(approve(7, "bob"))
            .then([voided(7, Voidance::PolicyStricter)]);
    }
}

#[test]
fn an_action_is_asked_for_in_ones_own_session_on_its_resource_under_its_grant() {
    let other_resource = Ask::Act {
        session: SessionId(1),
        grant: GrantId(1),
        resource: countersign_core::ResourceId::new("files"),
        action: countersign_core::ActionName::new("sql.truncate"),
        bounds: request::Bounds { rows: request::RowBound::Unbounded },
        reach: None,
    };
    house_with_session()
        .when(ask(2, "erin", act(1, 1, "sql.delete")))
        .refused(Refusal::NoSuchSession(SessionId(1)))
        .when(ask(2, "alice", act(9, 1, "sql.delete")))
        .refused(Refusal::NoSuchSession(SessionId(9)))
        .when(ask(2, "alice", other_resource))
        .refused(Refusal::NoSuchResource(countersign_core::ResourceId::new("files")))
        .when(ask(2, "alice", act(1, 9, "sql.delete")))
        .refused(Refusal::NoLiveGrant(RoleId::new("writer")))
        .after(60)
        .when(ask(2, "alice", act(1, 1, "sql.delete")))
        .refused(Refusal::NoLiveGrant(RoleId::new("writer")));
}

/// A yes given by somebody who was shut out and let in again counts again, but only a fresh yes says so.
#[test]
fn a_quorum_that_came_back_is_completed_by_the_next_yes() {
    let house = house_with_session()
        .when(ask(2, "alice", act(1, 1, "sql.update")))
        .happens()
        .when(approve(2, "bob"))
        .happens()
        .when(disable("bob", "dave"))
        .happens()
        .when(approve(2, "erin"))
        .then([approved(2, "erin")])
        .when(enable("bob", "dave"))
        .happens()
        .state(2, "pending");
    house.clone().when(approve(2, "erin")).then([approved(2, "erin"), quorum(2, 1, minutes(10))]);
    house.clone().when(approve(2, "carol")).then([approved(2, "carol"), quorum(2, 1, minutes(10))]);
    house.when(deny(2, "carol")).then([denied(2, "carol")]);
}

/// Bob's account is out of the group; his other one is in it, and he may say yes again with that.
#[test]
fn a_yes_that_no_longer_counts_may_be_given_again_by_another_account() {
    let world = World::base().changed(2, |world| {
        world.catalogue.principals.insert(who("bob-dba"), user("bob"));
        world.group("dba").members = members(["bob-dba", "ci"]);
    });
    house_with_session()
        .knows(&world)
        .when(ask(2, "alice", act(1, 1, "sql.update")))
        .happens()
        .when(approve(2, "bob"))
        .happens()
        .when(activate(2, "dave", None))
        .happens()
        .when(approve(2, "bob"))
        .refused_with("do not name you")
        .when(approve(2, "bob-dba"))
        .happens()
        .when(approve(2, "erin"))
        .happens()
        .state(2, "approved");
}

#[test]
fn one_person_with_their_agents_has_a_limit_of_pending_requests() {
    let mut house = house();
    let limit = u128::try_from(countersign_core::book::PENDING_PER_PERSON_MAX).unwrap();
    for id in 0..limit {
        let by = if id % 2 == 0 { "alice" } else { "bot" };
        house = house.when(ask(id, by, access("writer", 30))).happens();
    }
    house
        .when(ask(limit, "alice-admin", access("writer", 30)))
        .refused_with("wait already; withdraw some first")
        .when(ask(limit, "erin", access("writer", 30)))
        .happens()
        .when(withdraw(0, Withdrawal::ByRequester))
        .happens()
        .when(ask(limit + 1, "bot", access("writer", 30)))
        .happens();
}

#[test]
fn the_oldest_closed_requests_are_forgotten_and_open_ones_never() {
    let limit = u128::try_from(countersign_core::book::REMEMBERED_MAX).unwrap();
    let mut house = house().when(ask(0, "erin", access("writer", 30))).happens();
    for id in 1..=limit + 1 {
        house = house
            .when(ask(id, "alice", access("writer", 30)))
            .happens()
            .when(withdraw(id, Withdrawal::ByRequester))
            .happens();
    }
    let known: Vec<u128> = house.book.requests().map(|found| found.id.0).collect();
    assert_eq!(known.len(), countersign_core::book::REMEMBERED_MAX + 1);
    assert_eq!((known[0], known[1]), (0, 2));
    house
        .when(approve(1, "bob"))
        .refused(Refusal::NoSuchRequest(RequestId(1)))
        .when(approve(2, "bob"))
        .refused(Refusal::Decided(RequestId(2), "withdrawn"))
        .when(approve(0, "bob"))
        .happens();
}

#[test]
fn an_agents_request_names_the_person_who_answers_for_it() {
    let house = house().when(ask(7, "bot", access("writer", 30))).happens();
    assert_eq!(house.request(7).person, PersonId::new("alice"));
    let world = World::base().changed(2, |world| {
        world.catalogue.principals.insert(who("bot"), agent("carol"));
    });
    // The agent passes to carol: the question was asked in alice's name and is void.
    house.knows(&world).when(activate(2, "dave", None)).happens().state(7, "void");
}

#[test]
fn the_ruling_is_recorded_with_the_request() {
    let house = house_with_session().when(ask(2, "alice", act(1, 1, "sql.merge"))).happens();
    let Ruling { gates, bundle, .. } = World::base().ruling("sql.merge");
    assert_eq!((&house.request(2).gates, house.request(2).bundle), (&gates, bundle));
    assert_eq!(house.request(2).lapses_at, At(0).plus(Span::minutes(15)), "the shortest of both rules");
    house
        .when(close(1, Ending::User))
        .then([withdrawn(2, Withdrawal::SessionEnded), closed(1, Ending::User)]);
}
