//! What must always hold (design, section 3), along random walks: invariants 2, 3, 4, 5 and 9, as far as the
//! core answers for them. Each compares the book with the oracle in both directions, so that a book that
//! refuses everything fails too.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use countersign_core::catalogue::PrincipalKind;
use countersign_core::request::{self, Ask, State};
use countersign_core::{
    At, Book, Command, Event, Facts, GrantId, PrincipalId, RequestId, RoleId, decide, grant, session,
};
use proptest::prelude::*;
use proptest::test_runner::TestCaseResult;

use crate::oracle::{Answer, Asked, Oracle, lifts};
use crate::walk::{PEOPLE, ROLES, Step, walks};
use crate::world::who;

/// Invariant 2: access is exactly the union of live grants, at this instant and at others.
#[test]
fn access_is_the_union_of_live_grants() {
    walks(120, 70, |step| {
        let now = step.after.now;
        let elsewhere = [now.0 + 1, now.0 - 1, now.0 + 600_000_000, 0];
        let elsewhere = At(elsewhere[step.after.ledger.len() % elsewhere.len()]);
        for (at, person) in [now, elsewhere].into_iter().flat_map(|at| PEOPLE.map(|person| (at, person))) {
            let principal = who(person);
            let among = step.after.book.live_roles(&principal, at);
            for role in ROLES.map(RoleId::new) {
                let held = step.after.book.live_grant(&principal, &role, at);
                prop_assert_eq!(
                    held.is_some(),
                    step.learnt.holds(&principal, &role, at),
                    "{} {}",
                    principal,
                    role
                );
                if let Some(held) = held {
                    prop_assert!(held.principal == principal && held.role == role && held.is_live(at));
                }
                prop_assert_eq!(among.iter().any(|(one, _)| **one == role), held.is_some());
            }
        }
        for session in step.after.book.sessions() {
            let stands = step.after.book.standing(session, now);
            let expected = step.learnt.stands(&step.learnt.sessions[&session.opening.session], now);
            let stands = matches!(stands, countersign_core::book::Standing::On(_));
            prop_assert_eq!(stands, expected, "{:?}", session);
        }
        Ok(())
    });
}

/// Invariant 2: whatever happens, the grants that are live are those that were, less those that are said to
/// end, and those that are said to begin.
#[test]
fn the_end_of_one_grant_harms_no_other() {
    walks(120, 70, |step| {
        let live = |book: &Book| -> BTreeSet<GrantId> {
            book.grants().filter(|grant| grant.is_live(step.before.now)).map(|grant| grant.id).collect()
        };
        let mut expected = live(&step.before.book);
        for event in step.events() {
            if let Event::Grant(event) = event {
                match event {
                    grant::Event::Issued { grant, .. } => expected.insert(*grant),
                    grant::Event::Expired { grant }
                    | grant::Event::Revoked { grant, .. }
                    | grant::Event::Relinquished { grant } => expected.remove(grant),
                };
            }
        }
        prop_assert_eq!(live(&step.after.book), expected);
        Ok(())
    });
}

/// Invariant 3: the book's quorum is the one that trying everything finds; who is on the list of approvers
/// is who may be; the terms are those that were recorded when it was asked.
#[test]
fn the_quorum_is_a_matching_of_distinct_people_to_places() {
    walks(120, 70, |step| {
        let (book, now) = (&step.after.book, step.after.now);
        for request in book.requests().filter(|request| !request.is_closed()) {
            let asked = &step.learnt.requests[&request.id];
            prop_assert_eq!(request.gates.as_slice(), &*asked.gates);
            prop_assert_eq!((&request.person, request.lapses_at), (&asked.person, asked.lapses_at));
            let tally = book.tally(request, now);
            let seats: usize = tally.seated.iter().map(Vec::len).sum();
            prop_assert_eq!(seats, step.learnt.seated(asked, now), "{:?}", request);
            prop_assert_eq!(tally.is_complete(), step.learnt.is_complete(asked, now));
            let named: BTreeSet<PrincipalId> = book.approvers(request, now).into_iter().cloned().collect();
            prop_assert_eq!(named, step.learnt.may_answer(asked, now), "{:?}", request);
            prop_assert_eq!(book.can_be_satisfied(request), step.learnt.can_be_satisfied(asked));
        }
        Ok(())
    });
}

/// Invariant 3 and 11: who says yes is an enabled user of another person whom the rules name; the quorum is
/// said to be reached exactly when the last place is filled; a good yes is never turned away.
#[test]
fn a_yes_counts_exactly_if_it_may() {
    let taken = RefCell::new([0usize; 3]);
    walks(150, 70, |step| {
        let Command::Request(request::Command::Approve { request, by, digest, .. }) = &step.command else {
            prop_assert!(!step.events().iter().any(is_yes), "{:?} says yes", step.command);
            return Ok(());
        };
        let yes = step.events().iter().any(is_yes);
        let asked = step.known.requests.get(request);
        let may = asked.filter(|asked| may_approve(step, asked, by) && asked.digest == *digest);
        let Some(asked) = may else {
            prop_assert!(!yes, "{} may not say yes: {:?}", by, step.events());
            return Ok(());
        };
        let (before, after) = (step.known.seated(asked, step.before.now), with_yes(step, asked, by));
        let was_complete = step.known.is_complete(asked, step.before.now);
        let counts = after > before || was_complete;
        prop_assert_eq!(yes, counts && step.known.can_be_satisfied(asked), "{:?}", step.outcome);
        if yes {
            let quorum = step.events().iter().any(|event| is_quorum(event, *request));
            prop_assert_eq!(quorum, step.learnt.is_complete(&step.learnt.requests[request], step.before.now));
        }
        let mut taken = taken.borrow_mut();
        taken[0] += usize::from(yes);
        taken[1] += usize::from(!yes);
        taken[2] += usize::from(yes && asked.approvals.len() == 1);
        Ok(())
    });
    assert!(taken.borrow().iter().all(|times| *times >= 10), "{taken:?}");
}

/// Invariant 4: a receipt is used exactly if it was given, is not used up, its time has not come, it is for
/// this very action in this session, its ground holds under the bundle in force, and the people who said yes
/// may still say so.
#[test]
fn a_receipt_is_used_exactly_if_it_may() {
    let tried = RefCell::new([0usize; 2]);
    walks(200, 70, |step| {
        let uses: Vec<_> = step.events().iter().filter(|event| is_used(event)).collect();
        let Command::Request(request::Command::Use { request, session, claim }) = &step.command else {
            prop_assert!(uses.is_empty());
            return Ok(());
        };
        let may = step.known.requests.get(request).is_some_and(|asked| {
            let standing =
                step.facts.standing.as_ref().filter(|ruling| Some(ruling.bundle) == step.known.bundle);
            asked.digest == claim.digest
                && has_receipt(asked, step.before.now)
                && bound(&step.known, asked, *session)
                && ground_holds(&step.known, asked, *session, step.before.now)
                && step.known.sessions.get(session).is_some_and(|session| session.paused.is_none())
                && standing.is_some_and(|standing| lifts(asked, standing))
                && step.known.is_complete(asked, step.before.now)
        });
        prop_assert_eq!(uses.len(), usize::from(may), "{:?}", step.outcome);
        tried.borrow_mut()[usize::from(may)] += 1;
        Ok(())
    });
    assert!(tried.borrow().iter().all(|times| *times > 50), "{tried:?}");
}

/// Whoever is paused by somebody else is let go on by somebody else: by no account, service or agent of the same person.
#[test]
fn nobody_lets_their_own_go_on() {
    let seen = RefCell::new([0usize; 3]);
    walks(200, 70, |step| {
        let Command::Session(session::Command::Resume { session, by, .. }) = &step.command else {
            return Ok(());
        };
        let Some(found) = step.known.sessions.get(session) else { return Ok(()) };
        let Some(pauser) = &found.paused else {
            prop_assert!(step.outcome.is_err(), "it was not paused");
            return Ok(());
        };
        let own = step.known.catalogue.principals.get(by).is_none_or(|by| by.person == found.person);
        let resumed = step.outcome.is_ok();
        prop_assert!(!resumed || !own || pauser == by, "{by} resumed what {pauser} had paused");
        prop_assert_eq!(step.learnt.sessions[session].paused.is_none(), resumed);
        seen.borrow_mut()[usize::from(resumed) + usize::from(resumed && own)] += 1;
        Ok(())
    });
    assert!(seen.borrow().iter().all(|times| *times > 2), "{seen:?}");
}

/// Invariant 4: over a whole life, no receipt is used more often than it says, nor before it was given, nor
/// at or after its time; and between two uses there is an outcome.
#[test]
fn the_ledger_never_shows_a_receipt_used_too_often() {
    let most = RefCell::new(0);
    walks(150, 70, |step| {
        if !step.events().iter().any(is_used) {
            return Ok(());
        }
        let mut receipts: BTreeMap<RequestId, (u32, At, bool)> = BTreeMap::new();
        for (at, event) in &step.after.ledger {
            match event {
                Event::Request(request::Event::QuorumReached { request, uses, valid_until, .. }) => {
                    prop_assert!(receipts.insert(*request, (*uses, *valid_until, false)).is_none());
                }
                Event::Request(request::Event::Used { request, .. }) => {
                    let Some((left, until, running)) = receipts.get_mut(request) else {
                        return Err(TestCaseError::fail(format!("{request} was used without a receipt")));
                    };
                    prop_assert!(*left > 0 && *at < *until && !*running, "{:?}", event);
                    (*left, *running) = (*left - 1, true);
                }
                Event::Request(request::Event::Settled { request, .. }) => {
                    let running = receipts.get_mut(request).map(|(_, _, running)| std::mem::take(running));
                    prop_assert_eq!(running, Some(true));
                }
                _ => {}
            }
        }
        let uses = step.after.ledger.iter().filter(|(_, event)| is_used(event)).count();
        let mut most = most.borrow_mut();
        *most = uses.max(*most);
        Ok(())
    });
    assert!(*most.borrow() >= 3, "{most:?}");
}

/// Invariant 4: what became of a transaction is said once, and never left open by a session that is gone.
#[test]
fn every_transaction_has_one_end() {
    let (said, left) = (RefCell::new(0), RefCell::new(0));
    walks(300, 80, |step| {
        let before = |id: RequestId| step.before.book.request(id);
        for event in step.events() {
            let Event::Request(request::Event::Concluded { request, session, from, fate }) = event else {
                continue;
            };
            let open = before(*request)
                .into_iter()
                .flat_map(|one| &one.uses)
                .filter(|used| used.is_open() && used.session == *session && used.number >= *from);
            prop_assert!(open.count() > 0, "{:?}", event);
            *said.borrow_mut() += 1;
            *left.borrow_mut() += usize::from(*fate == request::Fate::Unknown);
        }
        for request in step.after.book.requests() {
            for used in request.uses.iter().filter(|used| used.is_open()) {
                prop_assert!(step.after.book.session(used.session).is_some(), "{:?}", request);
                prop_assert!(!request.is_closed());
            }
        }
        Ok(())
    });
    assert!(*said.borrow() > 10 && *left.borrow() > 2, "{said:?} {left:?}");
}

/// Invariant 5: what the house writes down by itself gives nobody anything, and leaves nothing due; what
/// waits past its time cannot be answered, swept or not.
#[test]
fn time_alone_never_grants() {
    let swept = RefCell::new(0);
    walks(150, 70, |step| {
        let now = step.before.now;
        if step.command == Command::Sweep {
            let events = step.outcome.clone().map_err(|refusal| TestCaseError::fail(refusal.to_string()))?;
            *swept.borrow_mut() += events.len();
            for event in &events {
                prop_assert!(only_ends(event), "a sweep says {:?}", event);
            }
            prop_assert!(step.after.book.next_deadline().is_none_or(|at| at > now));
            for (principal, role) in pairs() {
                let holds = |book: &Book| book.live_grant(&principal, &role, now).is_some();
                prop_assert_eq!(holds(&step.before.book), holds(&step.after.book));
            }
            for request in step.after.book.requests().filter(|one| one.state == State::Pending) {
                prop_assert!(request.lapses_at > now);
            }
            for (_, given) in step.learnt.grants.iter().filter(|(_, given)| given.until <= now) {
                prop_assert!(given.ended);
            }
        }
        let late = |id: &RequestId| step.known.requests.get(id).is_some_and(|asked| asked.lapses_at <= now);
        if let Command::Request(
            request::Command::Approve { request, .. } | request::Command::Deny { request, .. },
        ) = &step.command
            && late(request)
        {
            prop_assert!(step.outcome.is_err());
        }
        for (principal, role) in pairs() {
            let held = |at: At| step.after.book.live_grant(&principal, &role, at).is_some();
            prop_assert!(
                held(now) || !held(At(now.0 + 1_000_000_000)),
                "{} gains {} by waiting",
                principal,
                role
            );
        }
        Ok(())
    });
    assert!(*swept.borrow() > 100, "{swept:?}");
}

/// Invariant 6, the model's part: when a grant ends, nothing that waited on it can still be approved or run.
#[test]
fn nothing_waits_on_a_grant_that_is_written_off() {
    let cut = RefCell::new(0);
    walks(120, 70, |step| {
        for request in step.after.book.requests() {
            let Ask::Act { grant, session, .. } = &request.ask else { continue };
            let waits = request.state == State::Pending
                || matches!(&request.state, State::Approved(one) if one.used < one.uses && one.running.is_none());
            let ended = step.learnt.grants[grant].ended;
            prop_assert!(!(waits && ended), "{:?} waits on a grant that was ended", request);
            if request.state == State::Pending {
                prop_assert!(step.learnt.sessions.contains_key(session), "{:?} waits in no session", request);
            }
            *cut.borrow_mut() += usize::from(ended);
        }
        Ok(())
    });
    assert!(*cut.borrow() > 50, "{cut:?}");
}

/// Invariant 9: a book folded from the events, from the events as they were written in JSON, and a book that
/// was itself written and read, all equal the one that lived.
#[test]
fn replay_equals_life() {
    let kinds = RefCell::new(BTreeSet::new());
    walks(60, 90, |step| {
        for event in step.events() {
            kinds.borrow_mut().insert(kind(event));
        }
        // The whole of it now and then; each single step is covered by the walks that end there.
        if !step.after.ledger.len().is_multiple_of(5) {
            return Ok(());
        }
        let (mut folded, mut read) = (Book::default(), Book::default());
        for (at, event) in &step.after.ledger {
            folded.apply(event, *at);
            let text = serde_json::to_string(event).unwrap();
            let again: Event = serde_json::from_str(&text).unwrap();
            prop_assert_eq!(&again, event);
            read.apply(&again, *at);
        }
        prop_assert_eq!(&folded, &step.after.book);
        prop_assert_eq!(&read, &step.after.book);
        let snapshot = serde_json::to_string(&step.after.book).unwrap();
        let restored: Book = serde_json::from_str(&snapshot).unwrap();
        prop_assert_eq!(&restored, &step.after.book);
        prop_assert_eq!(serde_json::to_string(&restored).unwrap(), snapshot);
        Ok(())
    });
    let kinds = kinds.into_inner();
    assert_eq!(kinds.len(), 23, "the walks do not come everywhere: {kinds:?}");
}

/// Invariant 9: the deadlines and the list of grants that are held equal what is worked out from scratch.
#[test]
fn what_is_kept_in_order_is_what_would_be_worked_out() {
    walks(60, 90, |step| {
        let book = serde_json::to_value(&step.after.book).unwrap();
        let mut deadlines: Vec<(i64, serde_json::Value)> = vec![];
        for grant in step.after.book.grants().filter(|grant| grant.state == grant::State::Live) {
            deadlines.push((grant.not_after.0, serde_json::json!({ "Grant": grant.id })));
        }
        for request in step.after.book.requests() {
            let due = due(request);
            deadlines.extend(due.map(|at| (at.0, serde_json::json!({ "Request": request.id }))));
        }
        deadlines.sort_by_key(|(at, what)| (*at, what.to_string()));
        let mut kept: Vec<(i64, serde_json::Value)> =
            serde_json::from_value(book["deadlines"].clone()).unwrap();
        prop_assert_eq!(step.after.book.next_deadline().map(|at| at.0), kept.first().map(|(at, _)| *at));
        kept.sort_by_key(|(at, what)| (*at, what.to_string()));
        prop_assert_eq!(kept, deadlines);
        let mut held: Vec<(PrincipalId, RoleId, GrantId)> = step
            .after
            .book
            .grants()
            .filter(|grant| grant.state == grant::State::Live)
            .map(|grant| (grant.principal.clone(), grant.role.clone(), grant.id))
            .collect();
        held.sort();
        let kept: Vec<(PrincipalId, RoleId, GrantId)> = serde_json::from_value(book["held"].clone()).unwrap();
        prop_assert_eq!(kept, held);
        Ok(())
    });
}

/// A decision changes nothing, and the same question gets the same answer.
#[test]
fn deciding_is_a_pure_function() {
    walks(30, 50, |step| {
        let Command::Bundle(_) = &step.command else {
            let again = decide(&step.before.book, step.command.clone(), &step.facts);
            prop_assert_eq!(&again, &step.outcome);
            return Ok(());
        };
        Ok(())
    });
}

// What the oracle says of a step.

fn may_approve(step: &Step, asked: &Asked, by: &PrincipalId) -> bool {
    let (known, now) = (&step.known, step.before.now);
    let is_user = known.catalogue.principals.get(by).is_some_and(|found| found.kind == PrincipalKind::User);
    let session = match &asked.ask {
        Ask::Act { session, .. } => Some(*session),
        Ask::Access { .. } | Ask::Apply { .. } | Ask::Script { .. } => None,
    };
    asked.state == Answer::Waits
        && now < asked.lapses_at
        && is_user
        && known.may_answer(asked, now).contains(by)
        && fresh(known, &step.facts)
        && step.facts.standing.as_ref().is_some_and(|standing| lifts(asked, standing))
        && session.is_none_or(|session| ground_holds(known, asked, session, now))
        && belongs(known, asked)
        && still_offered(known, asked)
}

/// Both rulings are there and of the bundle in force. Policy lets everybody approve in these worlds.
fn fresh(known: &Oracle, facts: &Facts) -> bool {
    [&facts.ruling, &facts.standing]
        .iter()
        .all(|ruling| ruling.as_ref().is_some_and(|ruling| Some(ruling.bundle) == known.bundle))
}

fn still_offered(known: &Oracle, asked: &Asked) -> bool {
    match &asked.ask {
        Ask::Access { role, lasting } => {
            known.catalogue.roles.get(role).is_some_and(|role| *lasting <= role.longest)
        }
        Ask::Act { .. } | Ask::Apply { .. } | Ask::Script { .. } => true,
    }
}

fn belongs(known: &Oracle, asked: &Asked) -> bool {
    let person = known.catalogue.principals.get(&asked.by).map(|found| &found.person);
    known.enabled(&asked.by) && person == Some(&asked.person)
}

fn with_yes(step: &Step, asked: &Asked, by: &PrincipalId) -> usize {
    let mut with_this = asked.clone();
    let person = step.known.catalogue.principals[by].person.clone();
    with_this.approvals.push((by.clone(), person));
    step.known.seated(&with_this, step.before.now)
}

fn has_receipt(asked: &Asked, now: At) -> bool {
    matches!(asked.state, Answer::Yes { uses, used, until, running } if used < uses && now < until && !running)
}

fn bound(known: &Oracle, asked: &Asked, session: countersign_core::SessionId) -> bool {
    let (Ask::Act { session: waiting, grant, resource, .. }, Some(using)) =
        (&asked.ask, known.sessions.get(&session))
    else {
        return false;
    };
    let Answer::Yes { uses, .. } = asked.state else { return false };
    let opening = &using.opening;
    let same = opening.principal == asked.by
        && opening.resource == *resource
        && opening.role == known.grants[grant].role;
    same && (uses > 1 || *waiting == session)
}

/// The requester is who they were and enabled, the session stands, and the very grant that was shown is live.
fn ground_holds(known: &Oracle, asked: &Asked, session: countersign_core::SessionId, now: At) -> bool {
    let Ask::Act { grant, .. } = &asked.ask else { return false };
    let given = &known.grants[grant];
    let live = given.from <= now && now < given.until && !given.ended;
    let stands = known.sessions.get(&session).is_some_and(|session| known.stands(session, now));
    live && stands && belongs(known, asked)
}

fn pairs() -> impl Iterator<Item = (PrincipalId, RoleId)> {
    PEOPLE.iter().flat_map(|person| ROLES.iter().map(|role| (who(person), RoleId::new(role))))
}

fn due(request: &request::Request) -> Option<At> {
    match &request.state {
        State::Pending => {
            let steps = request.gates.iter().flat_map(|gate| &gate.terms.escalate);
            let mut steps: Vec<At> = steps.map(|step| request.asked_at.plus(step.after)).collect();
            steps.sort_unstable();
            let next = steps.into_iter().nth(request.escalated as usize);
            next.into_iter().chain([request.lapses_at]).min()
        }
        State::Approved(one) => (one.running.is_none() && one.used < one.uses).then_some(one.valid_until),
        _ => None,
    }
}

fn is_yes(event: &Event) -> bool {
    matches!(event, Event::Request(request::Event::Approved { .. }))
}

fn is_quorum(event: &Event, id: RequestId) -> bool {
    matches!(event, Event::Request(request::Event::QuorumReached { request, .. }) if *request == id)
}

fn is_used(event: &Event) -> bool {
    matches!(event, Event::Request(request::Event::Used { .. }))
}

fn only_ends(event: &Event) -> bool {
    use request::Event as E;
    match event {
        Event::Request(E::Lapsed { .. } | E::Escalated { .. } | E::Voided { .. }) => true,
        Event::Grant(grant::Event::Expired { .. }) => true,
        Event::Request(_)
        | Event::Grant(_)
        | Event::Session(_)
        | Event::Principal(_)
        | Event::Directory(_)
        | Event::Bundle(_) => false,
    }
}

/// The variant of an event, as the ledger would name it.
fn kind(event: &Event) -> String {
    let value = serde_json::to_value(event).unwrap();
    let (subject, what) = value.as_object().unwrap().iter().next().unwrap();
    let what = what.as_object().unwrap().keys().next().unwrap();
    format!("{subject}.{what}")
}

#[test]
fn the_kinds_of_event_are_those_of_the_ledger() {
    let closed =
        session::Event::Closed { session: countersign_core::SessionId(1), why: session::Ending::User };
    assert_eq!(kind(&Event::Session(closed)), "Session.Closed");
}

/// Not a property of its own: without it the others would say nothing of what a check has failed to say.
#[test]
#[should_panic(expected = "COUNTERSIGN_SEED=1")]
fn a_property_that_does_not_hold_is_found_and_its_seed_printed() {
    walks(40, 40, |step| -> TestCaseResult {
        prop_assert!(!step.events().iter().any(is_used));
        Ok(())
    });
}
