//! Random walks through the life of a house: people ask, approve, connect, use, revoke, disable, apply bundles,
//! and time passes. A walk is a list of small numbers, so that a failing one can be made shorter.
//!
//! Seeds are fixed, so a run is the same everywhere; `COUNTERSIGN_SEED` tries another and
//! `COUNTERSIGN_CASES` more of them. A failure prints its seed and the shortest walk that shows it.

use std::collections::BTreeSet;

use countersign_core::request::{Ask, Fate, Voidance, Withdrawal};
use countersign_core::session::Ending;
use countersign_core::{
    At, Book, Command, Digest, Event, Facts, PersonId, PrincipalId, Refusal, RequestId, Span, request,
};
use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestCaseResult, TestRng, TestRunner};

use crate::house::*;
use crate::oracle::Oracle;
use crate::world::{Law, World, agent, group, members, person, user, who};

/// One thing that is tried, as numbers that stand for whatever there is to choose from at the time.
#[derive(Clone, Copy, Debug)]
pub struct Move {
    pub what: What,
    pub who: u8,
    pub which: u8,
    pub also: u8,
    pub facts: u8,
    /// How much time goes by before, if any.
    pub wait: u8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    Sweep,
    Restart,
    AskAccess,
    AskAct,
    AskApply,
    Approve,
    Deny,
    Withdraw,
    Void,
    Use,
    Settle,
    Conclude,
    Open,
    Close,
    End,
    Pause,
    Resume,
    Revoke,
    Relinquish,
    Disable,
    Enable,
    Activate,
}

/// A step of a walk: what was known, what was tried, what came of it.
pub struct Step {
    pub command: Command,
    pub facts: Facts,
    pub before: House,
    pub known: Oracle,
    pub outcome: Result<Vec<Event>, Refusal>,
    pub after: House,
    pub learnt: Oracle,
}

impl Step {
    pub fn events(&self) -> &[Event] {
        self.outcome.as_deref().unwrap_or_default()
    }
}

pub const PEOPLE: [&str; 9] =
    ["alice", "bob", "carol", "dave", "erin", "alice-admin", "bot", "ci", "mallory"];
pub const ROLES: [&str; 4] = ["writer", "reader", "owner-only", "emperor"];
const ACTIONS: [&str; 9] = [
    "sql.delete",
    "sql.delete",
    "sql.update",
    "sql.merge",
    "sql.copy",
    "sql.copy",
    "sql.select",
    "sql.truncate",
    "sql.drop",
];

/// Walks `cases` times `length` steps at random and lets `check` look at every one.
pub fn walks(cases: u32, length: usize, check: impl Fn(&Step) -> TestCaseResult) {
    let strategy = prop::collection::vec(a_move(), length / 2..=length);
    run(cases, strategy, |moves| {
        let mut house = settled_house();
        let mut known = Oracle::default();
        house.ledger.iter().for_each(|(at, event)| known.learn(event, *at));
        for step in moves {
            let taken = take(house, known, step);
            check(&taken)?;
            (house, known) = (taken.after, taken.learnt);
        }
        Ok(())
    });
}

/// Runs a property from the printed seed.
pub fn run<S: Strategy>(cases: u32, strategy: S, check: impl Fn(S::Value) -> TestCaseResult)
where
    S::Value: std::fmt::Debug,
{
    let number = |name| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let seed = number("COUNTERSIGN_SEED").unwrap_or(1);
    let cases = number("COUNTERSIGN_CASES").and_then(|cases| cases.try_into().ok()).unwrap_or(cases);
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let config = Config { cases, failure_persistence: None, max_shrink_iters: 2_000, ..Config::default() };
    let mut runner = TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &bytes));
    if let Err(failure) = runner.run(&strategy, check) {
        panic!("COUNTERSIGN_SEED={seed} COUNTERSIGN_CASES={cases}\n{failure}");
    }
}

fn a_move() -> impl Strategy<Value = Move> {
    use What::*;
    let what = prop_oneof![
        4 => Just(Sweep), 1 => Just(Restart),
        4 => Just(AskAccess), 9 => Just(AskAct), 1 => Just(AskApply),
        20 => Just(Approve), 1 => Just(Deny), 1 => Just(Withdraw), 1 => Just(Void),
        14 => Just(Use), 7 => Just(Settle), 4 => Just(Conclude),
        4 => Just(Open), 1 => Just(Close), 1 => Just(End),
        2 => Just(Pause), 5 => Just(Resume),
        2 => Just(Revoke), 1 => Just(Relinquish),
        3 => Just(Disable), 3 => Just(Enable), 2 => Just(Activate),
    ];
    (what, any::<[u8; 5]>()).prop_map(|(what, [who, which, also, facts, wait])| Move {
        what,
        who,
        which,
        also,
        facts,
        wait,
    })
}

/// A house where something goes on already: overlapping grants, sessions, bundles to come.
fn settled_house() -> House {
    let mut house = house();
    for world in worlds() {
        house = house.knows(&world);
    }
    for (id, by) in [(1, "alice"), (2, "alice"), (3, "bot"), (4, "ci")] {
        house = house.when(ask(id, by, access("writer", 20 * id as i64 + 40))).happens();
        house = house.when(approve(id, "carol")).happens();
    }
    for (id, by) in [(1, "alice"), (2, "alice"), (3, "bot"), (4, "ci")] {
        house = house.when(open(id, by, "writer", "shop")).happens();
    }
    house
}

/// The bundles that a walk may put in force, by number.
fn worlds() -> Vec<World> {
    let base = World::base();
    vec![
        base.changed(2, |world| world.says("policy.apply", Law::Hold(vec!["two-keys"]))),
        base.changed(3, |world| world.says("sql.delete", Law::Hold(vec!["prod-write", "two-keys"]))),
        base.changed(4, |world| world.rule("prod-write", |rule| rule.stages[0].need = 2)),
        base.changed(5, |world| world.group("dba").members = members(["carol", "erin", "alice-admin"])),
        base.changed(6, |world| world.principal("erin").person = PersonId::new("carol")),
        base.changed(7, |world| {
            world.catalogue.principals.remove(&who("bob"));
            world.role("writer").longest = Span::minutes(50);
        }),
        base.changed(8, |world| {
            world.says("sql.delete", Law::Permit);
            world.says("sql.update", Law::Errs);
        }),
        base.changed(9, |world| {
            world.catalogue.principals.insert(who("bot"), agent("erin"));
            world.catalogue.principals.insert(who("mallory"), user("dave"));
            world.group("dba").members.insert(who("mallory"));
        }),
        base.changed(10, |world| {
            world.principal("carol").person = person("caroline");
            world.catalogue.resources.values_mut().for_each(|one| one.owner = Some(group("leads")));
            world.role("writer").resources.clear();
        }),
    ]
}

fn take(before: House, known: Oracle, step: Move) -> Step {
    let mut before = before;
    before.now = before.now.plus(waited(&before, step.wait));
    let command = command(&before, step);
    let facts = facts(&before, &command, step.facts);
    let after = before.clone().when_given(command.clone(), facts.clone());
    let outcome = after.last().clone();
    let mut learnt = known.clone();
    outcome.iter().flatten().for_each(|event| learnt.learn(event, before.now));
    Step { command, facts, before, known, outcome, after, learnt }
}

/// Mostly nothing; else seconds, or exactly until something is due, or past that, or an hour. Nobody sweeps.
fn waited(house: &House, dice: u8) -> Span {
    let due = || house.book.next_deadline().map_or(Span(0), |at| at.since(house.now));
    match dice {
        0..24 => Span::seconds(i64::from(dice) * 10),
        24..40 => due(),
        40..52 => Span(due().0 + Span::seconds(1).0),
        52..54 => Span::hours(1),
        _ => Span(0),
    }
}

/// What the engine found out, or sometimes did not, or of a bundle that is no longer in force.
fn facts(house: &House, command: &Command, dice: u8) -> Facts {
    let proper = house.facts(command);
    let stale = |ruling: Option<countersign_core::ruling::Ruling>| {
        ruling.map(|ruling| countersign_core::ruling::Ruling { bundle: Digest([99; 32]), ..ruling })
    };
    match dice {
        0..3 => Facts { ruling: None, ..proper },
        3..6 => Facts { standing: None, ..proper },
        6..9 => Facts { ruling: stale(proper.ruling.clone()), ..proper },
        9..12 => Facts { standing: stale(proper.standing.clone()), ..proper },
        _ => proper,
    }
}

fn command(house: &House, step: Move) -> Command {
    let Move { what, who: dice, which, also, .. } = step;
    let by = PEOPLE[usize::from(dice) % PEOPLE.len()];
    let user = ["dave", "bob", "erin", by][usize::from(dice) % 4];
    let book = &house.book;
    match what {
        What::Sweep => Command::Sweep,
        What::Restart => Command::Restart,
        What::AskAccess => {
            let role = ROLES[usize::from(which) % 8 % ROLES.len()];
            ask(next_id(house, also), by, access(role, i64::from(also) - 5))
        }
        What::AskAct => ask_act(house, step),
        What::AskApply => ask(next_id(house, also), user, apply(which % 10 + 1)),
        What::Approve => {
            let id = some_request(book, which, |one| one.state == request::State::Pending);
            let by = approver(book, id, house.now, dice).unwrap_or_else(|| by.to_owned());
            if also.is_multiple_of(32) { approve_seeing(id, &by, digest(9_999)) } else { approve(id, &by) }
        }
        What::Deny => {
            let id = some_request(book, which, |one| one.state == request::State::Pending);
            let by = approver(book, id, house.now, dice).unwrap_or_else(|| by.to_owned());
            deny(id, &by)
        }
        What::Withdraw => withdraw(some_request(book, which, |_| true), Withdrawal::Cancelled),
        What::Void => void(some_request(book, which, |_| true), Voidance::MeaningChanged),
        What::Use => {
            let has_receipt = |one: &request::Request| {
                let approved = matches!(one.state, request::State::Approved(_));
                approved && matches!(one.ask, Ask::Act { .. }) && (also % 16 == 3 || !one.is_closed())
            };
            let id = some_request(book, which, has_receipt);
            let waiting = book.request(RequestId(id)).and_then(|found| match &found.ask {
                Ask::Act { session, .. } => Some(session.0),
                Ask::Access { .. } | Ask::Apply { .. } | Ask::Script { .. } => None,
            });
            let session =
                waiting.filter(|_| !also.is_multiple_of(4)).unwrap_or_else(|| some_session(book, also));
            if dice.is_multiple_of(32) {
                use_for(id, session, digest(9_999))
            } else {
                use_receipt(id, session)
            }
        }
        What::Settle if also % 3 != 0 => settle_open(some_request(book, which, is_running), u64::from(also)),
        What::Settle => settle(some_request(book, which, is_running), done(u64::from(also))),
        What::Conclude => {
            let id = some_request(book, which, |one| one.uses.iter().any(request::Use::is_open));
            let open =
                book.request(RequestId(id)).and_then(|one| one.uses.iter().find(|used| used.is_open()));
            let session = open.map_or_else(|| some_session(book, also), |used| used.session.0);
            let fates = [Fate::Committed, Fate::RolledBack, Fate::Unknown];
            let from = open.map_or(1, |used| used.number) + u32::from(also % 16 == 0);
            conclude(id, session, from, fates[usize::from(dice) % 3])
        }
        What::Open => {
            let grant = book.grants().filter(|one| one.is_live(house.now)).nth(usize::from(which) % 6);
            match grant.filter(|_| !also.is_multiple_of(8)) {
                Some(grant) => {
                    open(next_session(house), grant.principal.as_str(), grant.role.as_str(), "shop")
                }
                None => open(next_session(house), by, ROLES[usize::from(which) % 4], "files"),
            }
        }
        What::Close => close(some_session(book, which), Ending::User),
        What::End => end(some_session(book, which), by),
        What::Pause => pause(some_session(book, which), by),
        What::Resume => resume_some(book, which, by, also),
        What::Revoke => revoke(some_grant(house, which), user),
        What::Relinquish => {
            let id = some_grant(house, which);
            let holder = book.grant(countersign_core::GrantId(id)).map(|one| one.principal.to_string());
            relinquish(id, &holder.filter(|_| !also.is_multiple_of(4)).unwrap_or_else(|| by.to_owned()))
        }
        What::Disable => {
            // Half the time somebody whose yes is about to be used.
            let said = book.requests().rev().filter(|one| !one.is_closed() && also.is_multiple_of(2));
            let mut said = said.flat_map(|one| &one.approvals);
            disable(said.next().map_or(by, |given| given.by.as_str()), user)
        }
        What::Enable => {
            let disabled: Vec<&PrincipalId> = book.disabled().collect();
            let whom = disabled.get(usize::from(which) % disabled.len().max(1));
            enable(whom.map_or(by, |whom| whom.as_str()), user)
        }
        What::Activate => activate_some(house, step, user),
    }
}

fn ask_act(house: &House, step: Move) -> Command {
    let book = &house.book;
    let id = next_id(house, step.also);
    let session = some_session(book, step.which);
    let found = book.session(countersign_core::SessionId(session));
    let grant = found.and_then(|found| {
        let grants = book.grants().filter(|one| one.is_live(house.now));
        let mine: Vec<u128> = grants
            .filter(|one| one.principal == found.opening.principal && one.role == found.opening.role)
            .map(|one| one.id.0)
            .collect();
        mine.get(usize::from(step.also) % mine.len().max(1)).copied()
    });
    let grant = grant.unwrap_or_else(|| some_grant(house, step.also));
    let by = found.filter(|_| step.who != 0).map(|found| found.opening.principal.to_string());
    let action = ACTIONS[usize::from(step.who) % ACTIONS.len()];
    ask(id, by.as_deref().unwrap_or("dave"), act(session, grant, action))
}

fn activate_some(house: &House, step: Move, user: &str) -> Command {
    let approved = house.book.requests().find_map(|one| match (&one.ask, &one.state) {
        (Ask::Apply { bundle }, request::State::Approved(_)) if !one.is_closed() => {
            Some((bundle.0[0], one.by.to_string(), one.id.0))
        }
        _ => None,
    });
    match approved.filter(|_| !step.also.is_multiple_of(4)) {
        Some((number, by, request)) => activate(number, &by, Some(request)),
        None => activate(step.which % 10 + 1, user, (step.also == 0).then_some(u128::from(step.which % 16))),
    }
}

/// Mostly a new one, seldom one that was used before.
fn next_id(house: &House, dice: u8) -> u128 {
    let highest = house.book.requests().map(|one| one.id.0).max().unwrap_or(0);
    if dice == 7 { highest } else { highest + 1 }
}

fn next_session(house: &House) -> u128 {
    let opened = house.ledger.iter().filter(|(_, event)| matches!(event, Event::Session(_))).count();
    u128::try_from(opened).unwrap() + 1
}

/// One of the latest that are worth trying, seldom any other.
fn some_request(book: &Book, dice: u8, worth: impl Fn(&request::Request) -> bool) -> u128 {
    let good: Vec<u128> =
        book.requests().rev().filter(|one| worth(one)).take(6).map(|one| one.id.0).collect();
    let any = || u128::from(dice % 16);
    if dice < 16 {
        any()
    } else {
        good.get(usize::from(dice) % good.len().max(1)).copied().unwrap_or_else(any)
    }
}

/// Lets a paused session go on, if there is one; half the time by whoever paused it.
fn resume_some(book: &Book, which: u8, by: &str, also: u8) -> Command {
    let paused: Vec<_> = book.sessions().filter_map(|one| Some((one, one.paused.as_ref()?))).collect();
    match paused.get(usize::from(which) % paused.len().max(1)) {
        Some((session, pause)) => {
            let by = if also.is_multiple_of(2) { pause.by.as_str() } else { by };
            resume(session.opening.session.0, by)
        }
        None => resume(some_session(book, which), by),
    }
}

fn some_session(book: &Book, dice: u8) -> u128 {
    let open: Vec<u128> = book.sessions().map(|one| one.opening.session.0).collect();
    if dice < 6 { 77 } else { open.get(usize::from(dice) % open.len().max(1)).copied().unwrap_or(77) }
}

fn some_grant(house: &House, dice: u8) -> u128 {
    let live: Vec<u128> =
        house.book.grants().filter(|one| one.is_live(house.now)).map(|one| one.id.0).collect();
    if dice < 6 { 77 } else { live.get(usize::from(dice) % live.len().max(1)).copied().unwrap_or(77) }
}

/// Mostly somebody who may answer and has not, so that quorums are reached.
fn approver(book: &Book, id: u128, now: At, dice: u8) -> Option<String> {
    let found = book.request(RequestId(id)).filter(|_| !dice.is_multiple_of(5))?;
    let heard: BTreeSet<&PrincipalId> = found.approvals.iter().map(|given| &given.by).collect();
    let fresh = book.approvers(found, now).into_iter().filter(|who| dice % 5 == 1 || !heard.contains(who));
    let fresh: Vec<&PrincipalId> = fresh.collect();
    fresh.get(usize::from(dice) % fresh.len().max(1)).map(ToString::to_string)
}

fn is_running(one: &request::Request) -> bool {
    matches!(&one.state, request::State::Approved(receipt) if receipt.running.is_some())
}
