//! Scripts: several actions that are approved as one, and run one by one, in order, each once, in one session.

use std::collections::BTreeSet;

use countersign_core::envelope::{Envelope, Terms};
use countersign_core::request::{Event as RequestEvent, Fate, Outcome, Voidance, Withdrawal};
use countersign_core::script::STEPS_MAX;
use countersign_core::session::Ending;
use countersign_core::{Command, Event, Refusal, RequestId, SessionId, Span};

use crate::house::*;

/// Request 2 of alice is a script of three steps, which bob has approved.
fn approved_script() -> House {
    house_with_session()
        .when(ask(2, "alice", script(1, 3)))
        .happens()
        .when(approve(2, "bob"))
        .then([approved(2, "bob"), quorum(2, 3, minutes(10))])
}

fn step(number: u128, session: u128) -> Command {
    use_for(2, session, digest(100 + number))
}

fn failed() -> Outcome {
    Outcome::Failed { code: "23505".into() }
}

#[test]
fn its_steps_are_run_in_order_and_each_once() {
    let mut house = approved_script();
    for number in 0..3 {
        for other in (0..3).filter(|other| *other != number) {
            house = house.when(step(other, 1)).refused(Refusal::OtherAction);
        }
        house = house
            .when(use_receipt(2, 1))
            .refused(Refusal::OtherAction)
            .when(step(number, 1))
            .then([used(2, 1)])
            .when(step(number, 1))
            .refused(Refusal::ReceiptSpent(RequestId(2)))
            .when(settle(2, done(4)))
            .then([settled(2, done(4))]);
    }
    for number in 0..3 {
        house = house.when(step(number, 1)).refused(Refusal::ReceiptSpent(RequestId(2)));
    }
    let progress = house.request(2).progress.clone().expect("it has begun");
    assert_eq!(progress.outcomes, [done(4), done(4), done(4)]);
    assert!(house.request(2).is_closed());
    assert_eq!(house.book.scripts().count(), 0);
}

#[test]
fn it_goes_on_in_the_session_that_it_began_in() {
    approved_script()
        .when(open(2, "alice", "writer", "shop"))
        .happens()
        .when(open(3, "alice", "writer", "shop"))
        .happens()
        .when(step(0, 3))
        .then([used(2, 3)])
        .when(step(1, 2))
        .refused(Refusal::OtherSession(RequestId(2)))
        .when(settle(2, done(1)))
        .happens()
        .when(step(1, 1))
        .refused(Refusal::OtherSession(RequestId(2)))
        .when(step(1, 3))
        .then([used(2, 3)]);
}

#[test]
fn a_step_that_does_not_end_well_ends_it() {
    for outcome in [failed(), Outcome::Unknown, Outcome::BeyondBound { rows: 13 }] {
        let house = approved_script()
            .when(step(0, 1))
            .happens()
            .when(settle(2, done(1)))
            .happens()
            .when(step(1, 1))
            .happens()
            .when(settle(2, outcome.clone()))
            .then([settled(2, outcome), voided(2, Voidance::Stopped)])
            .state(2, "void");
        assert_eq!(house.book.scripts().count(), 0);
        house.when(step(2, 1)).refused(Refusal::NoReceipt(RequestId(2), "void"));
    }
}

#[test]
fn the_last_step_may_fail_without_ending_anything() {
    approved_script()
        .when(step(0, 1))
        .happens()
        .when(settle(2, done(1)))
        .happens()
        .when(step(1, 1))
        .happens()
        .when(settle(2, done(1)))
        .happens()
        .when(step(2, 1))
        .happens()
        .when(settle(2, failed()))
        .then([settled(2, failed())])
        .state(2, "approved");
}

#[test]
fn it_ends_with_its_session_its_grant_and_its_hour() {
    let begun = || approved_script().when(step(0, 1)).happens().when(settle(2, done(1))).happens();
    begun()
        .when(close(1, Ending::User))
        .then([withdrawn(2, Withdrawal::SessionEnded), closed(1, Ending::User)])
        .when(open(2, "alice", "writer", "shop"))
        .happens()
        .when(step(1, 2))
        .refused(Refusal::NoReceipt(RequestId(2), "withdrawn"));
    begun()
        .when(Command::Restart)
        .then([withdrawn(2, Withdrawal::GatewayRestarted), closed(1, Ending::Gateway)]);
    begun().when(revoke(1, "dave")).then([revoked(1, "dave"), voided(2, Voidance::GrantOver)]);
    begun().after(10).when(step(1, 1)).refused(Refusal::ReceiptSpent(RequestId(2)));
    begun().after(10).when(Command::Sweep).then([lapsed(2)]);
    begun().when(disable("alice", "dave")).happens().state(2, "withdrawn");
}

#[test]
fn nobody_knows_how_a_step_ended_whose_session_went_away() {
    approved_script()
        .when(step(0, 1))
        .happens()
        .when(Command::Restart)
        .then([settled(2, Outcome::Unknown), voided(2, Voidance::Stopped), closed(1, Ending::Gateway)])
        .when(open(2, "alice", "writer", "shop"))
        .happens()
        .when(step(0, 2))
        .refused(Refusal::NoReceipt(RequestId(2), "void"));
}

#[test]
fn what_has_not_begun_waits_for_no_session() {
    approved_script()
        .when(Command::Restart)
        .then([closed(1, Ending::Gateway)])
        .when(open(2, "alice", "writer", "shop"))
        .happens()
        .when(step(0, 2))
        .then([used(2, 2)]);
    house_with_session()
        .when(ask(2, "alice", script(1, 3)))
        .happens()
        .when(close(1, Ending::User))
        .then([closed(1, Ending::User)])
        .state(2, "pending")
        .when(Command::Restart)
        .then([withdrawn(2, Withdrawal::GatewayRestarted)]);
}

#[test]
fn it_stands_on_the_requesters_own_live_grant() {
    house_with_session()
        .when(ask(2, "bob", script(1, 3)))
        .refused_with("no live grant")
        .when(ask(2, "alice", script(9, 3)))
        .refused_with("no live grant")
        .after(60)
        .when(ask(2, "alice", script(1, 3)))
        .refused_with("no live grant");
    house_with_session()
        .when(ask(2, "alice", script(1, 3)))
        .happens()
        .when(relinquish(1, "alice"))
        .then([relinquished(1), voided(2, Voidance::GrantOver)]);
}

#[test]
fn nobody_approves_their_own_script() {
    house_with_session()
        .when(ask(2, "alice", script(1, 3)))
        .happens()
        .when(approve(2, "alice"))
        .refused(Refusal::OwnRequest);
}

#[test]
fn a_script_has_steps_and_not_too_many() {
    house_with_session()
        .when(ask(2, "alice", script(1, 0)))
        .refused_with("at least one statement")
        .when(ask(2, "alice", script(1, STEPS_MAX as u128 + 1)))
        .refused_with("put it forward in parts")
        .when(ask(2, "alice", script(1, STEPS_MAX as u128)))
        .happens();
}

#[test]
fn its_approver_may_shorten_its_time_and_say_nothing_else() {
    let say = |terms| approve_saying(2, "bob", digest(2), terms);
    let asked = || house_with_session().when(ask(2, "alice", script(1, 3))).happens();
    let envelope = Some(Envelope { rows: 1, total: 1 });
    asked()
        .when(say(Terms { uses: Some(1), ..Terms::default() }))
        .refused_with("run once")
        .when(say(Terms { envelope, ..Terms::default() }))
        .refused_with("run once")
        .when(say(Terms { valid_for: Some(Span::minutes(2)), ..Terms::default() }))
        .happens()
        .when(step(0, 1))
        .happens()
        .when(settle(2, done(1)))
        .happens()
        .after(2)
        .when(step(1, 1))
        .refused(Refusal::ReceiptSpent(RequestId(2)));
    let bounds = asked().request(2).bounds_canonical(&Terms::default());
    assert_eq!(String::from_utf8_lossy(&bounds), r#"{"steps":[12,12,12]}"#);
}

#[test]
fn what_became_of_each_steps_transaction_is_kept() {
    let house = approved_script()
        .when(step(0, 1))
        .happens()
        .when(settle_open(2, 1))
        .happens()
        .when(step(1, 1))
        .happens()
        .when(settle_open(2, 1))
        .happens()
        .when(conclude(2, 1, 1, Fate::Committed))
        .then([concluded(2, 1, 1, Fate::Committed)]);
    assert_eq!(house.request(2).uses.len(), 2);
}

/// Whatever happens in whatever order to a script of three steps: what is run is a beginning of it, in one session, each
/// step once, each only behind one that ended well, and nothing behind its end. Every order is tried, to a depth.
#[test]
fn no_order_of_events_runs_a_script_otherwise() {
    let start = house_with_session()
        .when(open(2, "alice", "writer", "shop"))
        .happens()
        .when(ask(2, "alice", script(1, 3)))
        .happens();
    let mut moves = vec![
        approve(2, "bob"),
        settle(2, done(1)),
        settle(2, failed()),
        withdraw(2, Withdrawal::ByRequester),
        void(2, Voidance::Stopped),
        close(1, Ending::User),
        close(2, Ending::User),
        revoke(1, "dave"),
        Command::Restart,
        Command::Sweep,
    ];
    moves.extend((0..3).flat_map(|number| [step(number, 1), step(number, 2)]));
    let (mut frontier, mut seen, mut whole) = (vec![start], BTreeSet::new(), 0);
    for depth in 0..9 {
        let mut next = Vec::new();
        for house in frontier {
            for command in &moves {
                let after = house.clone().when(command.clone());
                let is_new = seen.insert(format!("{:?}{:?}", after.book, is_run(&after)));
                if after.last().is_err() || !is_new {
                    continue;
                }
                whole += usize::from(is_run(&after) == 3);
                next.push(after);
            }
            if depth % 2 == 0 {
                next.push(house.after(6));
            }
        }
        frontier = next;
    }
    assert!(whole > 0, "no order ran it to its end");
    assert!(seen.len() > 300, "only {} states were reached", seen.len());
}

/// How many steps were run; checks that they are a beginning of the script, run as was approved.
fn is_run(house: &House) -> usize {
    let (mut run, mut settled, mut session, mut over, mut approved) = (0, 0, None, false, false);
    for (_, event) in &house.ledger {
        let Event::Request(event) = event else { continue };
        match event {
            RequestEvent::QuorumReached { request, .. } if *request == RequestId(2) => approved = true,
            RequestEvent::Used { request, session: in_session, .. } if *request == RequestId(2) => {
                assert!(approved && !over, "it was run without a yes, or behind its end");
                assert_eq!(run, settled, "a step was run before the one before it had ended");
                assert_eq!(*session.get_or_insert(*in_session), *in_session, "it went on elsewhere");
                assert!([SessionId(1), SessionId(2)].contains(in_session));
                run += 1;
            }
            RequestEvent::Settled { request, outcome, .. } if *request == RequestId(2) => {
                settled += 1;
                over |= !matches!(outcome, Outcome::Done { .. });
            }
            RequestEvent::Voided { request, .. }
            | RequestEvent::Withdrawn { request, .. }
            | RequestEvent::Lapsed { request }
                if *request == RequestId(2) =>
            {
                over = true;
            }
            _ => {}
        }
    }
    assert!(run <= 3, "a step was run twice");
    run
}
