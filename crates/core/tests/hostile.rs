//! Whatever is asked at whatever time with whatever facts: an answer, never a panic. Whatever a ledger holds:
//! it can be folded, read, swept and written down again.

use std::sync::Arc;

use countersign_core::catalogue::{Catalogue, Ceiling, Escalation, Place, Rule, Stage};
use countersign_core::envelope::{Claim, Envelope, Reach, Terms};
use countersign_core::request::{
    self, Ask, Bounds, Fate, HoldsUp, Outcome, RowBound, Signature, Transaction, Voidance, Withdrawal,
};
use countersign_core::ruling::{Gate, Ruling};
use countersign_core::script::Step;
use countersign_core::session::{self, Ending};
use countersign_core::{
    ActionName, At, Book, Command, Digest, DirectoryName, Event, Facts, GrantId, GroupId, PersonId,
    PrincipalId, RequestId, ResourceId, RoleId, RuleName, SessionId, Span, bundle, decide, directory, grant,
    principal,
};
use proptest::prelude::*;

use crate::house::{access, house_with_session, opening};
use crate::walk::{PEOPLE, ROLES, run};
use crate::world::{World, agent, who};

#[test]
fn every_command_has_an_answer() {
    let steps = prop::collection::vec((a_command(), some_facts()), 1..40);
    run(250, steps, |steps| {
        let mut book = house_with_session().book;
        let (mut folded, mut ledger) = (book.clone(), vec![]);
        for (command, facts) in steps {
            let events = decide(&book, command, &facts).unwrap_or_default();
            for event in events {
                book.apply(&event, facts.now);
                ledger.push((event, facts.now));
            }
            let swept =
                decide(&book, Command::Sweep, &facts).map_err(|no| TestCaseError::fail(no.to_string()))?;
            for event in swept {
                book.apply(&event, facts.now);
                ledger.push((event, facts.now));
            }
            prop_assert!(
                book.next_deadline().is_none_or(|at| at > facts.now),
                "a sweep leaves something due"
            );
            read_all(&book, facts.now);
        }
        ledger.iter().for_each(|(event, at)| folded.apply(event, *at));
        prop_assert_eq!(folded, book);
        Ok(())
    });
}

#[test]
fn every_ledger_can_be_folded() {
    let events = prop::collection::vec((an_event(), an_instant(), any::<bool>()), 1..60);
    run(250, events, |events| {
        let mut book = house_with_session().book;
        for (event, at, sweeps) in events {
            let text = serde_json::to_string(&event).unwrap();
            prop_assert_eq!(&serde_json::from_str::<Event>(&text).unwrap(), &event);
            book.apply(&event, at);
            for command in [Command::Sweep, Command::Restart] {
                let facts = Facts { now: at, ..Facts::default() };
                let events = decide(&book, command, &facts).unwrap_or_default();
                if sweeps {
                    events.iter().for_each(|event| book.apply(event, at));
                }
            }
            read_all(&book, at);
        }
        let snapshot = serde_json::to_string(&book).unwrap();
        prop_assert_eq!(serde_json::from_str::<Book>(&snapshot).unwrap(), book);
        Ok(())
    });
}

fn read_all(book: &Book, now: At) {
    for request in book.requests() {
        let tally = book.tally(request, now);
        let _ = (tally.is_complete(), tally.missing(), book.approvers(request, now), book.is_locked(request));
    }
    for session in book.sessions() {
        let _ = book.standing(session, now);
    }
    for name in PEOPLE {
        let _ = (book.live_roles(&who(name), now), book.is_enabled(&who(name)), book.person(&who(name)));
    }
}

// Things that may come from anywhere. Small numbers meet what exists; the others are as odd as types allow.

fn number() -> impl Strategy<Value = u128> + Clone {
    prop_oneof![5 => 0..6u128, 1 => Just(u128::MAX), 1 => any::<u128>()]
}

fn name(known: &'static [&'static str]) -> impl Strategy<Value = String> + Clone {
    prop_oneof![8 => prop::sample::select(known).prop_map(str::to_owned), 1 => "[a-z\u{0}\"ä/ ]{0,9}"]
}

fn principal() -> impl Strategy<Value = PrincipalId> + Clone {
    name(&PEOPLE).prop_map(|name| PrincipalId::new(&name))
}

fn a_person() -> impl Strategy<Value = PersonId> + Clone {
    name(&PEOPLE).prop_map(|name| PersonId::new(&name))
}

fn role() -> impl Strategy<Value = RoleId> + Clone {
    name(&ROLES).prop_map(|name| RoleId::new(&name))
}

fn odd() -> impl Strategy<Value = i64> + Clone {
    prop_oneof![
        2 => Just(i64::MIN), 2 => Just(i64::MAX), 1 => Just(-1), 1 => any::<i64>(),
        6 => 0..7_200_000_000i64,
    ]
}

fn an_instant() -> impl Strategy<Value = At> + Clone {
    odd().prop_map(At)
}

fn a_digest() -> impl Strategy<Value = Digest> + Clone {
    (0..4u8).prop_map(|byte| Digest([byte; 32]))
}

fn a_place() -> impl Strategy<Value = Place> + Clone {
    prop_oneof![
        principal().prop_map(Place::User),
        name(&["dba", "leads", "security", "everyone", "nobody"])
            .prop_map(|it| Place::Group(GroupId::new(&it))),
        Just(Place::Owner),
    ]
}

fn a_gate() -> BoxedStrategy<Gate> {
    let count = || prop_oneof![4 => 0..3u32, 1 => Just(u32::MAX)];
    let places = || prop::collection::vec(a_place(), 0..3);
    let stages = prop::collection::vec((count(), places()), 0..3);
    let steps = prop::collection::vec((odd(), places()), 0..3);
    (stages, steps, odd(), odd(), count(), 0..3u8)
        .prop_map(|(stages, steps, pending, valid, uses, hash)| Gate {
            rule: RuleName::new(["one", "two", "three"][usize::from(hash)]),
            rule_hash: Digest([hash; 32]),
            terms: Arc::new(Rule {
                stages: stages.into_iter().map(|(need, from)| Stage { need, from }).collect(),
                pending_for: Span(pending),
                valid_for: Span(valid),
                uses,
                pending_in_transaction: (uses == 1).then_some(Span(valid)),
                pending_with_locks: (hash == 1).then_some(Span(pending / 2)),
                envelope: (uses == 2).then_some(Ceiling { rows: 3, total: 3, uses, longest: Span(valid) }),
                signed: uses == 1,
                escalate: steps
                    .into_iter()
                    .map(|(after, add)| Escalation { after: Span(after), add })
                    .collect(),
            }),
            policies: vec![],
        })
        .boxed()
}

fn a_ruling() -> impl Strategy<Value = Ruling> + Clone {
    let gates = prop::collection::vec(a_gate(), 0..3);
    (gates, 0..12u8).prop_map(|(gates, odd)| {
        let mut ruling = World::base().ruling("anything");
        ruling.gates = gates;
        match odd {
            0 => ruling.permits.clear(),
            1 => ruling.errors.push(String::new()),
            2 => ruling.bundle = Digest([77; 32]),
            3 => ruling.forbids.clone_from(&ruling.permits),
            _ => {}
        }
        ruling
    })
}

fn some_facts() -> impl Strategy<Value = Facts> {
    let maybe = || {
        let plain = Just(Some(World::base().ruling("anything")));
        prop_oneof![3 => plain, 3 => a_ruling().prop_map(Some), 1 => Just(None)]
    };
    (an_instant(), maybe(), maybe()).prop_map(|(now, ruling, standing)| Facts { now, ruling, standing })
}

fn an_ask() -> BoxedStrategy<Ask> {
    let rows = prop_oneof![any::<u64>().prop_map(RowBound::AtMost), Just(RowBound::Unbounded)];
    let resource = name(&["shop", "files", "attic"]);
    let action = name(&["sql.delete", "sql.copy"]);
    prop_oneof![
        (role(), odd()).prop_map(|(role, lasting)| Ask::Access { role, lasting: Span(lasting) }),
        Just(access("writer", 10)),
        (number(), number(), resource, action, rows, a_reach()).prop_map(
            |(session, grant, resource, action, rows, reach)| Ask::Act {
                session: SessionId(session),
                grant: GrantId(grant),
                resource: ResourceId::new(&resource),
                action: ActionName::new(&action),
                bounds: Bounds { rows },
                reach,
            }
        ),
        a_digest().prop_map(|bundle| Ask::Apply { bundle }),
        (number(), prop::collection::vec(a_digest(), 0..3)).prop_map(|(grant, digests)| {
            let bounds = Bounds { rows: RowBound::Unbounded };
            let steps = digests.into_iter().map(|digest| Step { digest, bounds }).collect();
            Ask::Script { grant: GrantId(grant), resource: ResourceId::new("shop"), steps }
        }),
    ]
    .boxed()
}

fn a_reach() -> impl Strategy<Value = Option<Reach>> + Clone {
    let parts = prop::collection::vec(a_digest(), 0..3);
    prop::option::of((a_digest(), parts).prop_map(|(ground, parts)| Reach { ground, parts }))
}

fn a_claim() -> BoxedStrategy<Claim> {
    let claim = (a_digest(), a_reach(), prop::option::of(any::<u64>()));
    claim.prop_map(|(digest, reach, rows)| Claim { digest, reach, rows }).boxed()
}

fn an_envelope() -> BoxedStrategy<Option<Envelope>> {
    let rows = || prop_oneof![0..4u64, Just(u64::MAX)];
    prop::option::of((rows(), rows()).prop_map(|(rows, total)| Envelope { rows, total })).boxed()
}

fn some_terms() -> BoxedStrategy<Terms> {
    let uses = prop::option::of(prop_oneof![0..3u32, Just(u32::MAX)]);
    let plain = Just(Terms::default());
    let odd = (uses, prop::option::of(odd()), an_envelope()).prop_map(|(uses, lasting, envelope)| Terms {
        uses,
        valid_for: lasting.map(Span),
        envelope,
    });
    prop_oneof![2 => plain, 1 => odd].boxed()
}

fn a_signature() -> impl Strategy<Value = Option<Signature>> + Clone {
    prop::option::of(
        any::<String>().prop_map(|credential| Signature { assertion: credential.clone(), credential }),
    )
}

fn an_outcome() -> impl Strategy<Value = Outcome> + Clone {
    prop_oneof![
        prop::option::of(any::<u64>()).prop_map(|rows| Outcome::Done { rows }),
        any::<String>().prop_map(|code| Outcome::Failed { code }),
        any::<u64>().prop_map(|rows| Outcome::BeyondBound { rows }),
        Just(Outcome::Unknown),
    ]
}

fn a_withdrawal() -> impl Strategy<Value = Withdrawal> + Clone {
    prop::sample::select(
        &[Withdrawal::ByRequester, Withdrawal::Disconnected, Withdrawal::GatewayRestarted][..],
    )
}

fn a_voidance() -> impl Strategy<Value = Voidance> + Clone {
    prop::sample::select(&[Voidance::MeaningChanged, Voidance::GrantOver, Voidance::PolicyStricter][..])
}

fn an_ending() -> impl Strategy<Value = Ending> + Clone {
    prop::sample::select(&[Ending::User, Ending::GrantEnd, Ending::Kill, Ending::Limit][..])
}

/// Catalogues that no check would let pass: circles, names that lead nowhere.
fn a_catalogue() -> impl Strategy<Value = Arc<Catalogue>> + Clone {
    (0..5u8).prop_map(|which| {
        let mut world = World::base();
        match which {
            0 => return Arc::default(),
            1 => {
                world.group("dba").groups.insert(GroupId::new("everyone"));
                world.group("leads").groups.insert(GroupId::new("nowhere"));
                world.group("dba").members.insert(who("nobody"));
            }
            2 => {
                world.catalogue.principals.insert(who("bob"), agent("bot"));
                world.principal("bot").kind = agent("bob").kind;
                world.catalogue.principals.insert(who("dave"), agent("nobody"));
            }
            3 => {
                world.catalogue.resources.values_mut().for_each(|one| one.owner = Some(Place::Owner));
                world.catalogue.roles.values_mut().for_each(|one| one.longest = Span(i64::MIN));
            }
            _ => world.catalogue.roles.values_mut().for_each(|one| one.longest = Span(i64::MAX)),
        }
        Arc::new(world.catalogue)
    })
}

fn a_command() -> impl Strategy<Value = Command> {
    use request::Command as R;
    let id = || number().prop_map(RequestId);
    let ask =
        (id(), principal(), an_ask(), a_digest(), number()).prop_map(|(request, by, ask, digest, grant)| {
            let holds_up = [HoldsUp::Nothing, HoldsUp::Transaction, HoldsUp::Locks][(grant % 3) as usize];
            R::Ask { request, by, ask, digest, content: None, grant: GrantId(grant), holds_up }
        });
    let approve = (id(), principal(), a_digest(), a_signature(), some_terms(), number());
    let approve = approve.prop_map(|(request, by, digest, signature, terms, grant)| R::Approve {
        request,
        by,
        digest,
        comment: None,
        signature,
        terms,
        grant: GrantId(grant),
    });
    let requests = prop_oneof![
        3 => ask,
        4 => approve,
        1 => (id(), principal()).prop_map(|(request, by)| R::Deny { request, by, comment: None }),
        1 => (id(), a_withdrawal()).prop_map(|(request, why)| R::Withdraw { request, why }),
        1 => (id(), a_voidance()).prop_map(|(request, why)| R::Void { request, why }),
        3 => (id(), number(), a_claim())
            .prop_map(|(request, session, claim)| R::Use { request, session: SessionId(session), claim }),
        2 => (id(), an_outcome(), prop::option::of(a_transaction()))
            .prop_map(|(request, outcome, transaction)| R::Settle { request, outcome, transaction }),
        2 => (id(), number(), any::<u32>(), a_fate()).prop_map(|(request, session, from, fate)| {
            R::Conclude { request, session: SessionId(session), from, fate }
        }),
    ];
    prop_oneof![
        12 => requests.prop_map(Command::Request),
        2 => an_opening().prop_map(|opening| Command::Session(session::Command::Open(opening))),
        1 => (number(), an_ending()).prop_map(|(session, why)| {
            Command::Session(session::Command::Close { session: SessionId(session), why })
        }),
        1 => (number(), principal()).prop_map(|(session, by)| {
            Command::Session(session::Command::End { session: SessionId(session), by })
        }),
        1 => (number(), principal()).prop_map(|(session, by)| {
            Command::Session(session::Command::Pause { session: SessionId(session), by, reason: None })
        }),
        1 => (number(), principal()).prop_map(|(session, by)| {
            Command::Session(session::Command::Resume { session: SessionId(session), by, reason: None })
        }),
        1 => (number(), principal()).prop_map(|(grant, by)| {
            Command::Grant(grant::Command::Revoke { grant: GrantId(grant), by, reason: None })
        }),
        1 => (number(), principal()).prop_map(|(grant, by)| {
            Command::Grant(grant::Command::Relinquish { grant: GrantId(grant), by })
        }),
        1 => (principal(), principal()).prop_map(|(principal, by)| {
            Command::Principal(principal::Command::Disable { principal, by, reason: None })
        }),
        1 => (principal(), principal())
            .prop_map(|(principal, by)| Command::Principal(principal::Command::Enable { principal, by })),
        1 => (a_digest(), a_catalogue(), principal(), prop::option::of(number())).prop_map(
            |(bundle, catalogue, by, request)| {
                let request = request.map(RequestId);
                Command::Bundle(bundle::Command::Activate { bundle, catalogue, by, request })
            }
        ),
        2 => (a_directory(), prop::collection::vec((principal(), a_word()), 0..4)).prop_map(
            |(directory, accounts)| Command::Directory(directory::Command::Tell { directory, accounts })
        ),
        1 => (a_directory(), a_hearing())
            .prop_map(|(directory, hearing)| Command::Directory(directory::Command::Hear { directory, hearing })),
        1 => (a_directory(), number()).prop_map(|(directory, grant)| {
            Command::Directory(directory::Command::Unfound { directory, grant: GrantId(grant) })
        }),
        1 => Just(Command::Sweep),
        1 => Just(Command::Restart),
    ]
}

fn an_opening() -> impl Strategy<Value = session::Opening> + Clone {
    (number(), principal(), role(), name(&["shop", "files"]))
        .prop_map(|(id, by, role, resource)| opening(id, by.as_str(), role.as_str(), &resource))
}

fn an_event() -> impl Strategy<Value = Event> {
    prop_oneof![
        8 => a_request_event().prop_map(Event::Request),
        3 => a_grant_event().prop_map(Event::Grant),
        3 => a_session_event().prop_map(Event::Session),
        1 => (principal(), principal()).prop_map(|(principal, by)| {
            Event::Principal(principal::Event::Disabled { principal, by, reason: None })
        }),
        1 => (principal(), principal())
            .prop_map(|(principal, by)| Event::Principal(principal::Event::Enabled { principal, by })),
        2 => (a_directory(), principal(), an_account()).prop_map(|(directory, principal, account)| {
            let change = directory::Change::Updated;
            Event::Directory(directory::Event::Told { directory, principal, account, change })
        }),
        1 => (a_directory(), principal()).prop_map(|(directory, principal)| {
            Event::Directory(directory::Event::Removed { directory, principal })
        }),
        1 => (a_directory(), a_hearing())
            .prop_map(|(directory, hearing)| Event::Directory(directory::Event::Heard { directory, hearing })),
        1 => (a_digest(), any::<u64>(), a_catalogue(), principal(), number()).prop_map(
            |(bundle, version, catalogue, by, request)| {
                let request = Some(RequestId(request));
                let event = bundle::Event::Activated { bundle, previous: None, version, catalogue, by, request };
                Event::Bundle(event)
            }
        ),
    ]
}

fn a_directory() -> impl Strategy<Value = DirectoryName> + Clone {
    name(&["corp", "partners", "nowhere"]).prop_map(|name| DirectoryName::new(&name))
}

fn a_hearing() -> impl Strategy<Value = directory::Hearing> + Clone {
    use directory::Hearing::{Heard, Lost, Silent};
    prop::sample::select(vec![Heard, Silent, Lost])
}

fn an_account() -> impl Strategy<Value = directory::Account> + Clone {
    let groups = prop::collection::btree_set(name(&["dba", "leads", "nobody"]), 0..3);
    (a_digest(), a_person(), any::<bool>(), groups).prop_map(|(record, person, is_active, groups)| {
        let groups = groups.iter().map(|name| GroupId::new(name)).collect();
        directory::Account { record, person, is_active, groups }
    })
}

fn a_word() -> impl Strategy<Value = directory::Said> + Clone {
    prop_oneof![an_account().prop_map(directory::Said::There), Just(directory::Said::Gone)]
}

fn a_request_event() -> impl Strategy<Value = request::Event> {
    use request::Event as E;
    let id = || number().prop_map(RequestId);
    let asked =
        (id(), principal(), a_person(), an_ask(), prop::collection::vec(a_gate(), 0..3), an_instant());
    let asked = asked.prop_map(|(request, by, person, ask, gates, lapses_at)| E::Asked {
        request,
        by,
        person,
        ask,
        digest: Digest([1; 32]),
        content: Some(Digest([2; 32])),
        gates,
        bundle: Digest([1; 32]),
        lapses_at,
        locked: false,
    });
    let count = || prop_oneof![0..3u32, Just(u32::MAX)];
    prop_oneof![
        3 => asked,
        3 => (id(), principal(), a_person(), a_signature(), some_terms()).prop_map(|(request, by, person, signature, terms)| {
            E::Approved { request, by, person, comment: None, signature, terms }
        }),
        2 => (id(), count(), an_instant(), an_envelope()).prop_map(|(request, uses, valid_until, envelope)| {
            E::QuorumReached { request, uses, valid_until, envelope }
        }),
        1 => (id(), principal()).prop_map(|(request, by)| E::Denied { request, by, comment: None }),
        1 => id().prop_map(|request| E::Lapsed { request }),
        1 => (id(), a_withdrawal()).prop_map(|(request, why)| E::Withdrawn { request, why }),
        1 => (id(), a_voidance()).prop_map(|(request, why)| E::Voided { request, why }),
        1 => (id(), count()).prop_map(|(request, step)| E::Escalated { request, step }),
        2 => (id(), number(), prop::option::of(any::<u64>()))
            .prop_map(|(request, session, rows)| E::Used { request, session: SessionId(session), rows }),
        1 => (id(), an_outcome(), prop::option::of(a_transaction()))
            .prop_map(|(request, outcome, transaction)| E::Settled { request, outcome, transaction }),
        1 => (id(), number(), any::<u32>(), a_fate()).prop_map(|(request, session, from, fate)| {
            E::Concluded { request, session: SessionId(session), from, fate }
        }),
    ]
}

fn a_fate() -> impl Strategy<Value = Fate> {
    prop_oneof![Just(Fate::Committed), Just(Fate::RolledBack), Just(Fate::Unknown)]
}

fn a_transaction() -> impl Strategy<Value = Transaction> {
    prop_oneof![Just(Transaction::Open), a_fate().prop_map(Transaction::Over)]
}

fn a_grant_event() -> impl Strategy<Value = grant::Event> {
    use grant::Event as E;
    let id = || number().prop_map(GrantId);
    let issued = (id(), number(), principal(), a_person(), role(), an_instant(), an_instant());
    let issued = issued.prop_map(|(grant, request, principal, person, role, not_before, not_after)| {
        E::Issued { grant, request: RequestId(request), principal, person, role, not_before, not_after }
    });
    prop_oneof![
        3 => issued,
        1 => id().prop_map(|grant| E::Expired { grant }),
        1 => (id(), principal()).prop_map(|(grant, by)| E::Revoked { grant, by, reason: None }),
        1 => id().prop_map(|grant| E::Relinquished { grant }),
    ]
}

fn a_session_event() -> impl Strategy<Value = session::Event> {
    use session::Event as E;
    let id = || number().prop_map(SessionId);
    prop_oneof![
        2 => (an_opening(), a_person(), number())
            .prop_map(|(opening, person, grant)| E::Opened { opening, person, grant: GrantId(grant) }),
        1 => (id(), principal()).prop_map(|(session, by)| E::EndOrdered { session, by }),
        1 => (id(), principal()).prop_map(|(session, by)| E::Locked { session, by, reason: None }),
        1 => (id(), principal()).prop_map(|(session, by)| E::Unlocked { session, by, reason: None }),
        1 => (id(), an_ending()).prop_map(|(session, why)| E::Closed { session, why }),
    ]
}
