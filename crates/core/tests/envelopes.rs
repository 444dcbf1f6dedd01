//! Approving less than the rules allow, and approving bounds instead of one text.

use countersign_core::envelope::{Claim, Envelope, Reach, Terms};
use countersign_core::request::{self, Ask, Bounds, Outcome, RowBound, Voidance};
use countersign_core::session::Ending;
use countersign_core::{Command, Digest, Event, Refusal, RequestId, Span};
use proptest::prelude::*;

use crate::house::*;
use crate::world::Law;

/// A statement of session 1 that does part 1 to one relation, and is known to do nothing else.
fn reaching(action: &str) -> Ask {
    match act(1, 1, action) {
        Ask::Act { session, grant, resource, action, bounds, .. } => {
            Ask::Act { session, grant, resource, action, bounds, reach: Some(reach(&[1, 2])) }
        }
        other => other,
    }
}

fn reach(parts: &[u8]) -> Reach {
    Reach { ground: Digest([50; 32]), parts: parts.iter().map(|part| Digest([*part; 32])).collect() }
}

fn envelope(rows: u64, total: u64) -> Terms {
    Terms { envelope: Some(Envelope { rows, total }), ..Terms::default() }
}

fn yes(by: &str, terms: Terms) -> Command {
    approve_saying(2, by, digest(2), terms)
}

/// Another text, with what it touches and how many rows that is known to be.
fn other(parts: &[u8], rows: Option<u64>) -> Command {
    use_claiming(2, 1, Claim { digest: digest(99), reach: Some(reach(parts)), rows })
}

fn waiting() -> House {
    house_with_session().when(ask(2, "alice", reaching("sql.copy"))).happens()
}

/// Two of the three places of rule `batch`: an envelope of so many rows for each statement and in all.
fn enveloped(rows: u64, total: u64) -> House {
    waiting()
        .when(yes("bob", envelope(rows, total)))
        .happens()
        .when(yes("carol", envelope(rows, total)))
        .happens()
}

fn set_aside(rows: u64) -> Event {
    let session = countersign_core::SessionId(1);
    Event::Request(request::Event::Used { request: RequestId(2), session, rows: Some(rows) })
}

#[test]
fn an_approver_may_give_less_than_the_rules_allow() {
    let less = Terms { uses: Some(2), valid_for: Some(Span::minutes(5)), envelope: None };
    waiting().when(yes("bob", Terms::default())).happens().when(yes("carol", less)).happens().holds(
        |book, _| {
            let given = receipt(book.request(RequestId(2)).unwrap());
            (given.uses, given.valid_until, given.envelope) == (2, minutes(5), None)
        },
    );
}

#[test]
fn an_approver_never_gives_more_than_the_rules_allow() {
    let saying = |uses: Option<u32>, minutes: Option<i64>| Terms {
        uses,
        valid_for: minutes.map(Span::minutes),
        envelope: None,
    };
    waiting()
        .when(yes("bob", saying(Some(4), None)))
        .refused_with("at most 3 times can be used")
        .when(yes("bob", saying(Some(0), None)))
        .refused_with("say at least 1")
        .when(yes("bob", saying(None, Some(61))))
        .refused_with("at most 1h")
        .when(yes("bob", saying(None, Some(0))))
        .refused_with("good for a while")
        .when(yes("bob", envelope(101, 200)))
        .refused_with("at most 100 rows")
        .when(yes("bob", envelope(100, 251)))
        .refused_with("at most 250 rows")
        .when(yes("bob", envelope(50, 40)))
        .refused_with("at most 40 rows")
        .when(yes("bob", envelope(0, 0)))
        .refused_with("say at least 1")
        .when(yes("bob", Terms { uses: Some(11), ..envelope(100, 250) }))
        .refused_with("at most 10 times")
        .when(yes("bob", Terms { valid_for: Some(Span::minutes(41)), ..envelope(100, 250) }))
        .refused_with("at most 40m")
        // The statement that waits touches twelve.
        .when(yes("bob", envelope(11, 250)))
        .refused_with("would touch 12 rows")
        .state(2, "pending");
}

#[test]
fn where_a_rule_gives_none_or_the_reach_is_not_known_there_is_no_envelope() {
    house_with_session()
        .when(ask(2, "alice", reaching("sql.delete")))
        .happens()
        .when(yes("bob", envelope(12, 12)))
        .refused_with("rule `prod-write` lets its approvers give none");
    house_with_session()
        .when(ask(2, "alice", act(1, 1, "sql.copy")))
        .happens()
        .when(yes("bob", envelope(12, 12)))
        .refused_with("not known for certain");
    house()
        .when(ask(2, "alice", access("writer", 30)))
        .happens()
        .when(yes("bob", envelope(1, 1)))
        .refused_with("only a held action");
}

#[test]
fn an_envelope_is_given_only_if_everybody_gives_one_and_then_the_least_of_each() {
    waiting()
        .when(yes("bob", envelope(100, 250)))
        .happens()
        .when(yes("carol", Terms::default()))
        .happens()
        .when(other(&[1], Some(1)))
        .refused(Refusal::OtherAction);
    waiting()
        .when(yes("bob", Terms { uses: Some(9), ..envelope(100, 150) }))
        .happens()
        .when(yes("carol", Terms { valid_for: Some(Span::minutes(7)), ..envelope(50, 250) }))
        .happens()
        .holds(|book, _| {
            let given = receipt(book.request(RequestId(2)).unwrap());
            let bounds = Some(Envelope { rows: 50, total: 150 });
            (given.uses, given.valid_until, given.envelope) == (9, minutes(7), bounds)
        });
}

#[test]
fn whatever_is_inside_is_covered_and_nothing_else() {
    let house = enveloped(20, 100);
    house.clone().when(other(&[1], None)).then([set_aside(20)]);
    house.clone().when(other(&[2, 1], Some(20))).then([set_aside(20)]);
    house.clone().when(use_receipt(2, 1)).then([set_aside(20)]);
    house.clone().when(other(&[1, 3], None)).refused(Refusal::OtherAction);
    house.clone().when(other(&[], None)).refused(Refusal::OtherAction);
    house.clone().when(other(&[1], Some(21))).refused(Refusal::BeyondEnvelope(RequestId(2), 20));
    let elsewhere = Reach { ground: Digest([51; 32]), ..reach(&[1]) };
    let claim = Claim { digest: digest(99), reach: Some(elsewhere), rows: None };
    house.clone().when(use_claiming(2, 1, claim)).refused(Refusal::OtherAction);
    let unknown = Claim { digest: digest(99), reach: None, rows: Some(1) };
    house.clone().when(use_claiming(2, 1, unknown)).refused(Refusal::OtherAction);
    house.after(40).when(other(&[1], None)).refused(Refusal::ReceiptSpent(RequestId(2)));
}

#[test]
fn rows_are_set_aside_before_and_given_back_when_the_end_is_known() {
    enveloped(60, 100)
        .when(other(&[1], None))
        .then([set_aside(60)])
        .when(other(&[1], None))
        .refused(Refusal::ReceiptSpent(RequestId(2)))
        .when(settle(2, done(5)))
        .happens()
        .when(other(&[1], None))
        .then([set_aside(60)])
        .when(settle(2, Outcome::BeyondBound { rows: 70 }))
        .happens()
        .when(other(&[1], None))
        .then([set_aside(60)])
        // Nobody knows how that ended: all of it stays spent.
        .when(settle(2, Outcome::Unknown))
        .happens()
        .when(other(&[1], None))
        .then([set_aside(35)])
        .when(settle(2, Outcome::Done { rows: None }))
        .happens()
        .when(other(&[1], None))
        .refused(Refusal::ReceiptSpent(RequestId(2)))
        .holds(|book, _| book.request(RequestId(2)).unwrap().is_closed());
}

#[test]
fn an_envelope_outlives_the_session_that_waited_and_ends_with_its_grant() {
    let mine = |session| {
        let claim = Claim { digest: digest(99), reach: Some(reach(&[1])), rows: Some(1) };
        use_claiming(2, session, claim)
    };
    let house = enveloped(20, 100)
        .when(close(1, Ending::User))
        .happens()
        .when(open(3, "alice", "writer", "shop"))
        .happens();
    house.clone().when(mine(3)).happens();
    house
        .when(revoke(1, "bob"))
        .happens()
        .state(2, "void")
        .when(mine(3))
        .refused(Refusal::NoReceipt(RequestId(2), "void"));
}

#[test]
fn a_stricter_bundle_ends_an_envelope_at_its_next_use() {
    let house = enveloped(20, 100);
    let stricter = house.world().unwrap().changed(2, |world| world.says("sql.copy", Law::Forbid));
    house
        .knows(&stricter)
        .when(activate(2, "dave", None))
        .happens()
        .when(other(&[1], Some(1)))
        .then([voided(2, Voidance::PolicyStricter)]);
}

proptest! {
    /// However uses and their ends follow each other, what is known to have been written and what may have been is never
    /// more than was given in all, no statement may write more than was given for one, and no use more than the uses.
    #[test]
    fn an_envelope_is_never_exceeded(
        rows in 12..=100u64,
        more in 0..=150u64,
        uses in 1..=10u32,
        steps in prop::collection::vec((0..5u8, 0..140u64), 1..40),
    ) {
        let total = (rows + more).min(250);
        let terms = Terms { uses: Some(uses), ..envelope(rows, total) };
        let mut house =
            waiting().when(yes("bob", terms)).happens().when(yes("carol", terms)).happens();
        let (mut written, mut used) = (0, 0);
        for (end, number) in steps {
            house = house.when(other(&[1], (end == 0).then_some(number)));
            let Ok([Event::Request(request::Event::Used { rows: Some(aside), .. })]) = house.last().as_deref() else {
                prop_assert!(!matches!(house.last(), Ok(events) if !events.is_empty()));
                continue;
            };
            let aside = *aside;
            used += 1;
            prop_assert!(aside <= rows && written + aside <= total, "{written} + {aside}");
            let outcome = match end {
                0 | 1 => Outcome::Done { rows: Some(number.min(aside)) },
                2 => Outcome::Done { rows: None },
                3 => Outcome::BeyondBound { rows: number },
                _ => Outcome::Unknown,
            };
            written += match &outcome {
                Outcome::Done { rows: Some(rows) } => *rows,
                Outcome::BeyondBound { .. } => 0,
                _ => aside,
            };
            house = house.when(settle(2, outcome)).happens();
        }
        prop_assert!(written <= total && used <= uses);
    }
}

#[test]
fn what_cannot_be_bounded_cannot_be_enveloped_beyond_its_rows() {
    let Ask::Act { session, grant, resource, action, reach, .. } = reaching("sql.copy") else {
        panic!("no action")
    };
    let bounds = Bounds { rows: RowBound::Unbounded };
    let unknown = Ask::Act { session, grant, resource, action, bounds, reach };
    house_with_session()
        .when(ask(2, "alice", unknown))
        .happens()
        .when(yes("bob", envelope(20, 100)))
        .happens()
        .when(yes("carol", envelope(20, 100)))
        .happens()
        .when(use_receipt(2, 1))
        .then([set_aside(20)]);
}
