//! Every event and every kind of activity as a line: golden bytes, canonical form, and back.

use std::sync::Arc;

use countersign_core::bundle::Event as BundleEvent;
use countersign_core::catalogue::{Catalogue, Escalation, Place, Rule, Stage};
use countersign_core::envelope::{Envelope, Reach, Terms};
use countersign_core::grant::Event as GrantEvent;
use countersign_core::principal::Event as PrincipalEvent;
use countersign_core::request::{
    Ask, Bounds, Event as RequestEvent, Fate, Outcome, RowBound, Signature, Transaction, Voidance, Withdrawal,
};
use countersign_core::ruling::{Gate, PolicyRef};
use countersign_core::script::Step;
use countersign_core::session::{Ending, Event as SessionEvent, Opening};
use countersign_core::{
    ActionName, At, DeviceId, Digest, DirectoryName, Event, GrantId, GroupId, PersonId, PolicyId, RequestId,
    ResourceId, RoleId, RuleName, SessionId, Span,
};
use countersign_ledger::{Hash, jcs};

use super::who;
use crate::line::{
    Authenticator, BadLine, Configured, Destroyed, Device, Envelope as Line, Exported, Header,
    Outcome as LineOutcome, Place as LinePlace, Ran, Sealed, Topic, encode_event, feeds_the_book, read,
    read_event,
};
use crate::testing::MORNING;

fn place() -> LinePlace {
    LinePlace { seq: 41, prev: Hash::empty(), at: MORNING, epoch: 0, node: "node-1".into() }
}

fn gate() -> Gate {
    let policy = PolicyRef {
        id: PolicyId::new("writes-need-the-dba"),
        hash: Digest([2; 32]),
        reason: Some("\"quoted\" and ünusual".into()),
    };
    let rule = Rule {
        stages: vec![Stage { need: 2, from: vec![Place::Group(GroupId::new("dba")), Place::Owner] }],
        pending_for: Span::minutes(15),
        valid_for: Span::minutes(10),
        uses: 1,
        escalate: vec![Escalation { after: Span::minutes(5), add: vec![Place::User(who("carol"))] }],
        envelope: None,
        pending_in_transaction: None,
        pending_with_locks: None,
        signed: false,
    };
    Gate {
        rule: RuleName::new("prod-write"),
        rule_hash: Digest([3; 32]),
        terms: Arc::new(rule),
        policies: vec![policy],
    }
}

fn asked(ask: Ask) -> Event {
    Event::Request(RequestEvent::Asked {
        request: RequestId(1),
        by: who("alice"),
        person: PersonId::new("alice"),
        ask,
        digest: Digest([4; 32]),
        content: Some(Digest([5; 32])),
        gates: vec![gate()],
        bundle: Digest([6; 32]),
        lapses_at: MORNING.plus(Span::minutes(15)),
        locked: false,
    })
}

fn act(rows: RowBound) -> Ask {
    Ask::Act {
        session: SessionId(2),
        grant: GrantId(3),
        resource: ResourceId::new("shop"),
        action: ActionName::new("sql.delete"),
        bounds: Bounds { rows },
        reach: None,
    }
}

/// Held under a rule that lets an envelope be given.
fn within_reach() -> Ask {
    match act(RowBound::AtMost(12)) {
        Ask::Act { session, grant, resource, action, bounds, reach: _ } => {
            let reach =
                Some(Reach { ground: Digest([8; 32]), parts: vec![Digest([9; 32]), Digest([10; 32])] });
            Ask::Act { session, grant, resource, action, bounds, reach }
        }
        other => other,
    }
}

/// Two steps, of which one is bounded.
fn script() -> Ask {
    let step = |digest, rows| Step { digest: Digest([digest; 32]), bounds: Bounds { rows } };
    Ask::Script {
        grant: GrantId(3),
        resource: ResourceId::new("shop"),
        steps: vec![step(12, RowBound::AtMost(12)), step(13, RowBound::Unbounded)],
    }
}

/// Every variant, with optional parts there and absent.
fn events() -> Vec<(&'static str, Event)> {
    let request = RequestId(1);
    let comment = Some(Digest([5; 32]));
    let signature = Some(Signature { credential: "key-1".into(), assertion: "AAAA".into() });
    let settled = |outcome| Event::Request(RequestEvent::Settled { request, outcome, transaction: None });
    let settled_in = |transaction| {
        let outcome = Outcome::Done { rows: Some(12) };
        Event::Request(RequestEvent::Settled { request, outcome, transaction: Some(transaction) })
    };
    let concluded =
        |from, fate| Event::Request(RequestEvent::Concluded { request, session: SessionId(2), from, fate });
    let opening = |content| Opening {
        session: SessionId(2),
        principal: who("alice"),
        resource: ResourceId::new("shop"),
        role: RoleId::new("shop-writer"),
        door: "postgres".into(),
        content,
    };
    let opened = |content| {
        let (opening, person) = (opening(content), PersonId::new("alice"));
        Event::Session(SessionEvent::Opened { opening, person, grant: GrantId(3) })
    };
    let activated = |previous, by_request| {
        Event::Bundle(BundleEvent::Activated {
            bundle: Digest([6; 32]),
            previous,
            version: 2,
            catalogue: Arc::new(Catalogue::default()),
            by: who("dave"),
            request: by_request,
        })
    };
    vec![
        ("asked_access", asked(Ask::Access { role: RoleId::new("shop-writer"), lasting: Span::minutes(30) })),
        ("asked_act", asked(act(RowBound::AtMost(12)))),
        ("asked_act_unbounded", asked(act(RowBound::Unbounded))),
        ("asked_apply", asked(Ask::Apply { bundle: Digest([7; 32]) })),
        (
            "approved",
            Event::Request(RequestEvent::Approved {
                request,
                by: who("bob"),
                person: PersonId::new("bob"),
                comment,
                signature,
                terms: Terms::default(),
            }),
        ),
        (
            "approved_bare",
            Event::Request(RequestEvent::Approved {
                request,
                by: who("bob"),
                person: PersonId::new("bob"),
                comment: None,
                signature: None,
                terms: Terms::default(),
            }),
        ),
        (
            "quorum_reached",
            Event::Request(RequestEvent::QuorumReached {
                request,
                uses: 1,
                valid_until: MORNING,
                envelope: None,
            }),
        ),
        ("denied", Event::Request(RequestEvent::Denied { request, by: who("bob"), comment })),
        ("lapsed", Event::Request(RequestEvent::Lapsed { request })),
        ("withdrawn", Event::Request(RequestEvent::Withdrawn { request, why: Withdrawal::Cancelled })),
        ("voided", Event::Request(RequestEvent::Voided { request, why: Voidance::PolicyStricter })),
        ("escalated", Event::Request(RequestEvent::Escalated { request, step: 2 })),
        ("used", Event::Request(RequestEvent::Used { request, session: SessionId(2), rows: None })),
        ("settled_done", settled(Outcome::Done { rows: Some(12) })),
        ("settled_done_unknown_rows", settled(Outcome::Done { rows: None })),
        ("settled_failed", settled(Outcome::Failed { code: "23503".into() })),
        ("settled_beyond", settled(Outcome::BeyondBound { rows: 13 })),
        ("settled_unknown", settled(Outcome::Unknown)),
        (
            "issued",
            Event::Grant(GrantEvent::Issued {
                grant: GrantId(3),
                request,
                principal: who("alice"),
                person: PersonId::new("alice"),
                role: RoleId::new("shop-writer"),
                not_before: MORNING,
                not_after: MORNING.plus(Span::minutes(30)),
            }),
        ),
        ("expired", Event::Grant(GrantEvent::Expired { grant: GrantId(3) })),
        ("revoked", Event::Grant(GrantEvent::Revoked { grant: GrantId(3), by: who("bob"), reason: comment })),
        ("relinquished", Event::Grant(GrantEvent::Relinquished { grant: GrantId(3) })),
        ("opened", opened(comment)),
        ("opened_bare", opened(None)),
        ("end_ordered", Event::Session(SessionEvent::EndOrdered { session: SessionId(2), by: who("bob") })),
        (
            "locked",
            Event::Session(SessionEvent::Locked {
                session: SessionId(2),
                by: who("bob"),
                reason: Some(Digest([4; 32])),
            }),
        ),
        (
            "unlocked",
            Event::Session(SessionEvent::Unlocked { session: SessionId(2), by: who("bob"), reason: None }),
        ),
        ("closed", Event::Session(SessionEvent::Closed { session: SessionId(2), why: Ending::GrantEnd })),
        (
            "disabled",
            Event::Principal(PrincipalEvent::Disabled {
                principal: who("alice"),
                by: who("bob"),
                reason: comment,
            }),
        ),
        ("enabled", Event::Principal(PrincipalEvent::Enabled { principal: who("alice"), by: who("bob") })),
        ("activated", activated(Some(Digest([8; 32])), Some(request))),
        ("activated_first", activated(None, None)),
        ("asked_act_in_reach", asked(within_reach())),
        (
            "approved_with_terms",
            Event::Request(RequestEvent::Approved {
                request,
                by: who("bob"),
                person: PersonId::new("bob"),
                comment: None,
                signature: None,
                terms: Terms {
                    uses: Some(50),
                    valid_for: Some(Span::minutes(30)),
                    envelope: Some(Envelope { rows: 100, total: 1_000 }),
                },
            }),
        ),
        (
            "quorum_reached_with_an_envelope",
            Event::Request(RequestEvent::QuorumReached {
                request,
                uses: 50,
                valid_until: MORNING,
                envelope: Some(Envelope { rows: 100, total: 1_000 }),
            }),
        ),
        (
            "used_within_an_envelope",
            Event::Request(RequestEvent::Used { request, session: SessionId(2), rows: Some(100) }),
        ),
        ("settled_in_a_transaction", settled_in(Transaction::Open)),
        ("settled_and_committed", settled_in(Transaction::Over(Fate::Committed))),
        ("concluded_committed", concluded(1, Fate::Committed)),
        ("concluded_rolled_back", concluded(3, Fate::RolledBack)),
        ("concluded_unknown", concluded(1, Fate::Unknown)),
        ("asked_act_whose_rows_come_later", asked(act(RowBound::Later(100)))),
        ("settled_with_data", settled(Outcome::Done { rows: Some(12) })),
        ("settled_and_kept", settled(Outcome::Done { rows: Some(12) })),
        ("settled_with_digest", settled(Outcome::Done { rows: None })),
        ("asked_script", asked(script())),
        ("voided_script", Event::Request(RequestEvent::Voided { request, why: Voidance::Stopped })),
    ]
    .into_iter()
    .chain(directory_events())
    .collect()
}

fn directory_events() -> Vec<(&'static str, Event)> {
    use countersign_core::directory::{Account, Change, Event as DirectoryEvent, Hearing};
    let directory = DirectoryName::new("corp");
    let told = |change, is_active, groups: &[&str]| {
        Event::Directory(DirectoryEvent::Told {
            directory: directory.clone(),
            principal: who("zoe"),
            account: Account {
                record: Digest([11; 32]),
                person: PersonId::new("zoe"),
                is_active,
                groups: groups.iter().map(|name| GroupId::new(name)).collect(),
            },
            change,
        })
    };
    let heard = |hearing| Event::Directory(DirectoryEvent::Heard { directory: directory.clone(), hearing });
    vec![
        ("told_created", told(Change::Created, true, &["dba", "engineers"])),
        ("told_updated", told(Change::Updated, true, &[])),
        ("told_disabled", told(Change::Disabled, false, &["dba"])),
        ("told_enabled", told(Change::Enabled, true, &["dba"])),
        (
            "removed",
            Event::Directory(DirectoryEvent::Removed { directory: directory.clone(), principal: who("zoe") }),
        ),
        ("heard", heard(Hearing::Heard)),
        ("silent", heard(Hearing::Silent)),
        ("lost", heard(Hearing::Lost)),
    ]
}

#[test]
fn every_event_has_its_golden_line_and_reads_back() {
    let mut golden = String::new();
    for (name, event) in events() {
        let ran = name.starts_with("settled").then_some(Ran {
            bytes: 9,
            micros: 1_500,
            data: name.ends_with("data").then_some(Digest([14; 32])),
            kept: name.ends_with("kept").then_some(Digest([15; 32])),
            digest: name.ends_with("digest").then_some(Digest([16; 32])),
        });
        let bytes = encode_event(&event, ran).unwrap().seal(&place()).unwrap();
        assert!(jcs::is_canonical(&bytes), "{name} is not canonical");
        assert!(feeds_the_book(&Header::read(&bytes).unwrap()), "{name} does not feed the book");
        let (read, at) = read_event(&bytes, &|_| Some(Arc::default())).unwrap();
        assert_eq!((read, at), (event, MORNING), "{name}");
        golden.push_str(&format!("{name}\n{}\n\n", String::from_utf8(bytes).unwrap()));
    }
    insta::assert_snapshot!("decisions", golden);
}

#[test]
fn the_end_of_results_has_its_golden_line() {
    let mut line = Line::new("result.destroyed", Topic::Destroyed(Destroyed { due: "2026-03-03".into() }));
    line.resource = Some(ResourceId::new("shop"));
    let bytes = line.seal(&place()).unwrap();
    assert!(jcs::is_canonical(&bytes) && !feeds_the_book(&Header::read(&bytes).unwrap()));
    insta::assert_snapshot!(
        String::from_utf8(bytes).unwrap(),
        @r#"{"data":{"due":"2026-03-03"},"epoch":0,"node":"node-1","outcome":"success","prev":"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855","resource":"shop","seq":41,"ts":"2026-03-03T09:30:00.000000Z","type":"result.destroyed","v":1}"#
    );
}

/// Activity by its kind. Each is in the taxonomy, and so has its controls and its place in OCSF.
#[test]
fn what_people_carry_away_bind_and_set_up_has_its_golden_line() {
    let content = || Sealed(Digest([5; 32]));
    let device = || Topic::Device(Device { content: content(), device: DeviceId(7), via: "console" });
    let invited = Authenticator {
        authenticator: None,
        content: content(),
        key: None,
        means: "passkey",
        rp: None,
        via: "house",
    };
    let setup = |what| Topic::Configured(Configured { keeper: None, key: None, secret: None, what });
    let topics = [
        ("result.exported", Topic::Exported(Exported { content: content(), rows: 12 })),
        ("notification.device_added", device()),
        ("notification.device_removed", device()),
        ("notification.sent", device()),
        ("notification.failed", device()),
        ("authenticator.invited", Topic::Authenticator(invited)),
        ("config.changed", setup("setup_opened")),
        ("config.changed", setup("setup_database_tried")),
        ("config.changed", setup("setup_closed")),
    ];
    let mut golden = String::new();
    for (kind, topic) in topics {
        let found = countersign_ledger::events::find(kind).unwrap();
        let mut line = Line::new(kind, topic);
        line.actor = Some(who("alice"));
        if kind.ends_with("failed") {
            line.outcome = LineOutcome::Failure;
        }
        let bytes = line.seal(&place()).unwrap();
        assert!(jcs::is_canonical(&bytes) && !feeds_the_book(&Header::read(&bytes).unwrap()), "{kind}");
        let (controls, ocsf) = (found.controls.join(" "), found.ocsf.type_uid());
        golden.push_str(&format!("{controls}, OCSF {ocsf}\n{}\n\n", String::from_utf8(bytes).unwrap()));
    }
    insta::assert_snapshot!("activity", golden);
}

#[test]
fn every_reason_in_a_line_has_one_word() {
    let endings = [
        Ending::User,
        Ending::GrantEnd,
        Ending::Revoked,
        Ending::Disabled,
        Ending::Policy,
        Ending::Kill,
        Ending::Idle,
        Ending::Limit,
        Ending::Upstream,
        Ending::Error,
        Ending::Gateway,
    ];
    for why in endings {
        let event = Event::Session(SessionEvent::Closed { session: SessionId(2), why });
        let bytes = encode_event(&event, None).unwrap().seal(&place()).unwrap();
        assert!(String::from_utf8(bytes).unwrap().contains(&format!("{{\"why\":\"{}\"}}", why.as_str())));
    }
}

#[test]
fn lines_of_another_program_are_refused() {
    let event = Event::Grant(GrantEvent::Expired { grant: GrantId(3) });
    let good = String::from_utf8(encode_event(&event, None).unwrap().seal(&place()).unwrap()).unwrap();
    let broken = |from: &str, to: &str| {
        assert!(good.contains(from));
        read_event(good.replace(from, to).as_bytes(), &|_| None).map(|_| ())
    };
    assert!(broken("grant.expired", "grant.expired").is_ok());
    assert!(matches!(broken("\"v\":1", "\"v\":2"), Err(BadLine::Version(2))));
    assert!(matches!(broken("grant.expired", "grant.melted"), Err(BadLine::Type(_))));
    assert!(matches!(broken("\"data\":{}", "\"data\":{\"more\":1}"), Err(BadLine::Json(_))));
    assert!(matches!(broken("\"epoch\"", "\"epochs\""), Err(BadLine::Json(_))));
    assert!(matches!(broken("grant.expired", "grant.issued"), Err(BadLine::Json(_))));
    assert!(matches!(broken("grant.expired", "ledger.read"), Err(BadLine::Type(_))));
    let grant = format!("\"grant\":\"{}\",", GrantId(3));
    assert!(matches!(broken(&grant, ""), Err(BadLine::Member { member: "grant", .. })));
    assert!(read(b"{}".to_vec()).is_err());
}

#[test]
fn a_line_that_is_too_long_is_refused() {
    let mut gate = gate();
    gate.policies[0].reason = Some("x".repeat(70_000).into());
    let event = Event::Request(RequestEvent::Asked {
        request: RequestId(1),
        by: who("alice"),
        person: PersonId::new("alice"),
        ask: Ask::Apply { bundle: Digest([7; 32]) },
        digest: Digest([4; 32]),
        content: None,
        gates: vec![gate],
        bundle: Digest([6; 32]),
        lapses_at: At(0),
        locked: false,
    });
    let sealed = encode_event(&event, None).unwrap().seal(&place());
    assert!(matches!(sealed, Err(BadLine::TooLong(length)) if length > 70_000));
}
