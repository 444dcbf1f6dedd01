//! The tracker in the situations that matter, one by one.

use countersign_wire::postgres::track::{
    Answer, Desync, Known, NAME_BYTES_MAX, NAMES_MAX, PENDING_MAX, Refused, Route, SETTINGS_MAX, Sent,
    Ticket, Tracker, WEIGHT_BYTES_MAX,
};
use countersign_wire::postgres::{Limits, Phase, Target, TransactionStatus, backend, frontend};

use bytes::BytesMut;
use countersign_wire::postgres::encode::{client, server};

use crate::vectors::VECTORS;

type Session = Tracker<&'static str, &'static str>;

fn parse(session: &mut Session, name: &[u8], text: &[u8], value: &'static str) -> Result<Route, Refused> {
    let mut out = BytesMut::new();
    client::parse(&mut out, name, text, &[]).unwrap();
    let (message, _) = frontend::Message::decode(&out, &Limits::new(Phase::Client)).unwrap().unwrap();
    let frontend::Body::Parse(parse) = message.body() else { panic!("not a Parse") };
    session.parse(parse, value)
}

fn bind(
    session: &mut Session,
    portal: &[u8],
    statement: &[u8],
    value: &'static str,
) -> Result<Route, Refused> {
    let mut out = BytesMut::new();
    client::bind(&mut out, &client::Binding { portal, statement, ..client::Binding::default() }).unwrap();
    let (message, _) = frontend::Message::decode(&out, &Limits::new(Phase::Client)).unwrap().unwrap();
    let frontend::Body::Bind(bind) = message.body() else { panic!("not a Bind") };
    session.bind(bind, value)
}

fn hear(session: &mut Session, bytes: &[u8]) -> Result<Answer, Desync> {
    let (message, used) = backend::Message::decode(bytes, &Limits::new(Phase::Server)).unwrap().unwrap();
    assert_eq!(used, bytes.len());
    session.answer(message.body())
}

/// Hears golden messages by name.
fn golden(session: &mut Session, name: &str) -> Result<Answer, Desync> {
    hear(session, VECTORS.iter().rev().find(|vector| vector.name == name).unwrap().bytes)
}

fn ticket(route: Result<Route, Refused>) -> Ticket {
    match route {
        Ok(Route::Forward(Some(ticket))) => ticket,
        other => panic!("not forwarded under a ticket: {other:?}"),
    }
}

const READY: &str = "ready-idle";

#[test]
fn a_simple_query_is_answered_to_its_ready() {
    let mut session = Session::new();
    assert!(session.is_quiet());
    let query = ticket(session.send(Sent::Query));
    assert!(!session.is_quiet());
    for name in
        ["row-description", "data-row", "notice", "data-row", "complete-delete", "complete-create-table"]
    {
        let expected = if name == "notice" { Answer::Unrelated } else { Answer::Part(query) };
        assert_eq!(golden(&mut session, name), Ok(expected), "{name}");
    }
    let ready = Answer::Ready { ticket: query, status: TransactionStatus::InTransaction };
    assert_eq!(golden(&mut session, "ready-in-transaction"), Ok(ready));
    assert_eq!((session.status(), session.pending()), (TransactionStatus::InTransaction, 0));
    assert!(!session.is_quiet(), "a refusal must fail the server's transaction");
}

#[test]
fn a_pipeline_finds_each_answer_and_an_error_skips_to_its_sync() {
    let mut session = Session::new();
    let a = ticket(parse(&mut session, b"", b"select 1", "one"));
    let b = ticket(bind(&mut session, b"", b"", "one"));
    let c = ticket(session.send(Sent::Execute));
    let d = ticket(session.send(Sent::Describe(Target::Statement(b"x"))));
    let e = ticket(session.send(Sent::Sync));
    let f = ticket(session.send(Sent::Query));
    assert_eq!(golden(&mut session, "parse-complete"), Ok(Answer::Last(a)));
    let failed = Answer::Failed { ticket: b, skipped: c.number()..e.number() };
    assert_eq!(golden(&mut session, "error"), Ok(failed));
    assert!(d > c && d < e);
    assert!(!session.is_skipping(), "the Sync is already on its way");
    assert!(matches!(golden(&mut session, READY), Ok(Answer::Ready { ticket, .. }) if ticket == e));
    assert_eq!(golden(&mut session, "empty-query"), Ok(Answer::Part(f)));
    assert!(matches!(golden(&mut session, READY), Ok(Answer::Ready { ticket, .. }) if ticket == f));
}

#[test]
fn after_an_error_the_rest_of_the_batch_is_not_forwarded() {
    let mut session = Session::new();
    ticket(parse(&mut session, b"s", b"select 1", "one"));
    golden(&mut session, "error").unwrap();
    assert!(session.is_skipping());
    assert_eq!(session.statement(b"s"), Known::Unknown);
    assert_eq!(parse(&mut session, b"s", b"delete", "two"), Ok(Route::Drop));
    for sent in [Sent::Execute, Sent::Query, Sent::FunctionCall, Sent::Flush, Sent::CopyData, Sent::CopyEnd] {
        assert_eq!(session.send(sent), Ok(Route::Drop), "{sent:?}");
    }
    assert_eq!(session.send(Sent::Terminate), Ok(Route::Forward(None)));
    ticket(session.send(Sent::Sync));
    assert_eq!(session.statement(b"s"), Known::Unknown, "what was dropped made nothing");
    golden(&mut session, READY).unwrap();
    assert!(session.is_quiet());
}

#[test]
fn a_name_that_may_fail_to_be_made_anew_is_unsettled_behind_the_sync() {
    let mut session = Session::new();
    ticket(parse(&mut session, b"s", b"delete from orders", "delete"));
    ticket(session.send(Sent::Sync));
    golden(&mut session, "parse-complete").unwrap();
    golden(&mut session, READY).unwrap();
    assert_eq!(session.statement(b"s"), Known::Certain(&"delete"));
    // The name exists, so this fails, and a Bind behind the Sync would take the DELETE.
    ticket(parse(&mut session, b"s", b"select 1", "select"));
    assert_eq!(session.statement(b"s"), Known::Certain(&"select"), "in the same batch, or it is skipped");
    ticket(session.send(Sent::Sync));
    assert_eq!(session.statement(b"s"), Known::Unsettled);
    golden(&mut session, "error").unwrap();
    assert_eq!(session.statement(b"s"), Known::Certain(&"delete"));
}

#[test]
fn names_reachable_by_sql_are_doubtful_until_made_anew() {
    let mut session = Session::new();
    ticket(parse(&mut session, b"s", b"select 1", "named"));
    ticket(parse(&mut session, b"", b"select 1", "unnamed"));
    ticket(bind(&mut session, b"p", b"s", "portal"));
    session.doubt_names();
    assert_eq!(session.statement(b"s"), Known::Doubtful(&"named"));
    assert_eq!(session.portal(b"p"), Known::Doubtful(&"portal"));
    assert_eq!(session.statement(b""), Known::Certain(&"unnamed"));
    ticket(parse(&mut session, b"s", b"select 2", "again"));
    assert_eq!(session.statement(b"s"), Known::Certain(&"again"));
}

#[test]
fn a_portal_stays_certain_while_it_runs_whatever_it_runs() {
    let mut session = Session::new();
    ticket(parse(&mut session, b"", b"select f()", "s"));
    ticket(bind(&mut session, b"p", b"", "runs"));
    ticket(bind(&mut session, b"q", b"", "other"));
    // On its way, and when it has arrived.
    session.doubt_names_but(b"p");
    assert_eq!(session.portal(b"p"), Known::Certain(&"runs"));
    assert_eq!(session.portal(b"q"), Known::Doubtful(&"other"));
    for name in ["parse-complete", "bind-complete", "bind-complete"] {
        golden(&mut session, name).unwrap();
    }
    assert_eq!(session.portal(b"p"), Known::Certain(&"runs"));
    session.doubt_names_but(b"p");
    assert_eq!(session.portal(b"p"), Known::Certain(&"runs"));
    assert_eq!(session.portal(b"q"), Known::Doubtful(&"other"));
    // What was doubtful before stays so.
    session.doubt_names();
    session.doubt_names_but(b"p");
    assert_eq!(session.portal(b"p"), Known::Doubtful(&"runs"));
}

#[test]
fn portals_end_with_their_transaction_and_a_query_ends_the_unnamed() {
    let mut session = Session::new();
    ticket(parse(&mut session, b"", b"select 1", "s"));
    ticket(bind(&mut session, b"", b"", "unnamed"));
    ticket(bind(&mut session, b"p", b"", "named"));
    ticket(session.send(Sent::Sync));
    for name in ["parse-complete", "bind-complete", "bind-complete"] {
        golden(&mut session, name).unwrap();
    }
    assert_eq!(session.portal(b"p"), Known::Certain(&"named"));
    golden(&mut session, "ready-in-transaction").unwrap();
    assert_eq!(session.portal(b"p"), Known::Certain(&"named"));
    ticket(session.send(Sent::Query));
    assert_eq!((session.portal(b""), session.statement(b"")), (Known::Unknown, Known::Unknown));
    golden(&mut session, "complete-delete").unwrap();
    golden(&mut session, READY).unwrap();
    assert_eq!((session.portal(b"p"), session.statement(b"")), (Known::Unknown, Known::Unknown));
}

#[test]
fn a_copy_in_the_extended_protocol_swallows_the_sync_behind_it() {
    let mut session = Session::new();
    ticket(parse(&mut session, b"", b"copy t from stdin", "copy"));
    ticket(bind(&mut session, b"", b"", "copy"));
    let execute = ticket(session.send(Sent::Execute));
    ticket(session.send(Sent::Sync));
    assert_eq!(session.send(Sent::CopyData), Ok(Route::Wait), "it may belong to the copy that may start");
    golden(&mut session, "parse-complete").unwrap();
    golden(&mut session, "bind-complete").unwrap();
    assert_eq!(golden(&mut session, "copy-in"), Ok(Answer::Part(execute)));
    assert!(session.is_copying_in());
    assert_eq!(session.pending(), 1, "the server ignores that Sync");
    assert_eq!(session.send(Sent::CopyData), Ok(Route::Forward(None)));
    assert_eq!(session.send(Sent::Sync), Ok(Route::Drop));
    assert_eq!(session.send(Sent::Flush), Ok(Route::Drop));
    assert_eq!(session.send(Sent::Query), Err(Refused::DuringCopy("Query")));
    assert_eq!(golden(&mut session.clone_for_test(), "complete-delete"), Err(unexpected("CommandComplete")));
    assert_eq!(session.send(Sent::CopyEnd), Ok(Route::Forward(None)));
    assert_eq!(golden(&mut session, "complete-delete"), Ok(Answer::Last(execute)));
    assert!(!session.is_quiet(), "the copy is not committed before a Sync");
    ticket(session.send(Sent::Sync));
    golden(&mut session, READY).unwrap();
    assert!(session.is_quiet());
    assert_eq!(session.send(Sent::CopyData), Ok(Route::Drop), "belongs to no copy");
}

fn unexpected(got: &'static str) -> Desync {
    Desync::Unexpected { got }
}

/// A second session in the same state as far as the next answer is concerned.
trait CloneForTest {
    fn clone_for_test(&self) -> Session;
}

impl CloneForTest for Session {
    fn clone_for_test(&self) -> Session {
        let mut session = Session::new();
        ticket(session.send(Sent::Execute));
        golden(&mut session, "copy-in").unwrap();
        session
    }
}

#[test]
fn messages_sent_into_a_copy_end_the_session() {
    let mut session = Session::new();
    ticket(session.send(Sent::Query));
    ticket(session.send(Sent::Query));
    assert_eq!(golden(&mut session, "copy-in"), Err(Desync::SentIntoCopy));
}

#[test]
fn answers_that_answer_nothing_are_noticed() {
    let everything = VECTORS.iter().filter(|vector| vector.from == crate::vectors::From::Server);
    for vector in everything {
        let mut session = Session::new();
        let found = hear(&mut session, vector.bytes);
        match vector.name {
            "notice" | "parameter-status" | "notification" => assert_eq!(found, Ok(Answer::Unrelated)),
            "fatal" => {
                assert_eq!(found, Ok(Answer::Ended));
                assert_eq!(golden(&mut session, "notice"), Err(Desync::AfterEnd));
                assert_eq!(session.send(Sent::Query), Ok(Route::Drop));
            }
            name => assert!(matches!(found, Err(Desync::Unexpected { .. })), "{name}: {found:?}"),
        }
    }
}

#[test]
fn answers_to_another_message_are_noticed() {
    // What may follow each message; everything else of the server's messages may not.
    let cases: &[(Sent<'_>, &[&str])] = &[
        (
            Sent::Query,
            &[
                "row-description",
                "row-description-without-columns",
                "complete",
                "empty-query",
                "copy-in",
                "copy-out",
            ],
        ),
        (Sent::Execute, &["data-row", "complete", "empty-query", "portal-suspended", "copy-in", "copy-out"]),
        (Sent::Sync, &["ready"]),
        (Sent::FunctionCall, &["function-result"]),
        (Sent::Describe(Target::Statement(b"")), &["parameter-description"]),
        (Sent::Describe(Target::Portal(b"")), &["row-description", "no-data"]),
        (Sent::Close(Target::Portal(b"")), &["close-complete"]),
        (Sent::Close(Target::Statement(b"")), &["close-complete"]),
    ];
    for (sent, lawful) in cases {
        for vector in VECTORS.iter().filter(|vector| vector.from == crate::vectors::From::Server) {
            let mut session = Session::new();
            ticket(session.send(*sent));
            let always = ["error", "fatal", "notice", "notification", "parameter-status"];
            let exact = matches!(vector.name, "copy-out-data" | "copy-out-done");
            let is_lawful = always.iter().any(|name| vector.name.starts_with(name))
                || (!exact && lawful.iter().any(|name| vector.name.starts_with(name)));
            let found = hear(&mut session, vector.bytes);
            assert_eq!(found.is_ok(), is_lawful, "{sent:?} {}: {found:?}", vector.name);
        }
    }
}

#[test]
fn rows_that_are_not_decoded_count_like_the_others() {
    let mut session = Session::new();
    let query = ticket(session.send(Sent::Query));
    assert_eq!(session.passed(b'D'), Err(unexpected("DataRow")), "not before their description");
    golden(&mut session, "row-description").unwrap();
    assert_eq!(session.passed(b'D'), Ok(Answer::Part(query)));
    golden(&mut session, "complete-delete").unwrap();
    golden(&mut session, "copy-out").unwrap();
    assert_eq!(session.passed(b'd'), Ok(Answer::Part(query)));
    assert_eq!(session.passed(b'V'), Err(unexpected("FunctionCallResponse")));
    assert!(session.passed(b'C').is_err(), "everything else is decoded");
    golden(&mut session, "copy-out-done").unwrap();
    assert_eq!(session.passed(b'd'), Err(unexpected("CopyData")), "not behind its end");
}

#[test]
fn a_function_call_is_answered_to_its_ready() {
    let mut session = Session::new();
    let call = ticket(session.send(Sent::FunctionCall));
    assert!(golden(&mut session.clone_for_call(), READY).is_err(), "not without a result");
    assert_eq!(session.passed(b'V'), Ok(Answer::Part(call)));
    assert!(matches!(golden(&mut session, READY), Ok(Answer::Ready { .. })));
    ticket(session.send(Sent::FunctionCall));
    assert!(matches!(golden(&mut session, "error"), Ok(Answer::Failed { .. })));
    assert!(matches!(golden(&mut session, READY), Ok(Answer::Ready { .. })));
}

trait CloneForCall {
    fn clone_for_call(&self) -> Session;
}

impl CloneForCall for Session {
    fn clone_for_call(&self) -> Session {
        let mut session = Session::new();
        ticket(session.send(Sent::FunctionCall));
        session
    }
}

#[test]
fn a_refusal_alone_drops_to_the_sync_and_only_when_quiet() {
    let mut session = Session::new();
    assert!(session.refuse_alone(true));
    assert!(session.is_quiet(), "a refused Query leaves nothing behind");
    assert!(session.refuse_alone(false));
    assert_eq!(session.send(Sent::Execute), Ok(Route::Drop));
    ticket(session.send(Sent::Sync));
    golden(&mut session, READY).unwrap();
    ticket(parse(&mut session, b"", b"select 1", "s"));
    assert!(!session.refuse_alone(false), "the batch did something that must be undone");
    golden(&mut session, "parse-complete").unwrap();
    assert!(!session.refuse_alone(false));
    assert!(!session.is_skipping());
}

#[test]
fn settings_are_followed_within_limits() {
    let mut session = Session::new();
    golden(&mut session, "parameter-status").unwrap();
    assert_eq!(session.setting(b"TimeZone"), Some(b"Etc/UTC".as_slice()));
    assert_eq!(session.setting(b"timezone"), None);
    let report = |session: &mut Session, name: &[u8], value: &[u8]| {
        let mut out = BytesMut::new();
        server::parameter_status(&mut out, name, value).unwrap();
        hear(session, &out)
    };
    assert_eq!(report(&mut session, b"long", &[b'x'; 8_192]), Err(Desync::Settings));
    for number in 1..SETTINGS_MAX {
        assert_eq!(report(&mut session, number.to_string().as_bytes(), b"x"), Ok(Answer::Unrelated));
    }
    assert_eq!(report(&mut session, b"one more", b"x"), Err(Desync::Settings));
    assert_eq!(report(&mut session, b"TimeZone", b"UTC"), Ok(Answer::Unrelated));
}

#[test]
fn a_client_that_never_reads_is_not_read_either() {
    let mut session = Session::new();
    for _ in 0..PENDING_MAX {
        ticket(session.send(Sent::Sync));
    }
    assert_eq!(session.send(Sent::Sync), Ok(Route::Wait));
    assert_eq!(session.send(Sent::Query), Ok(Route::Wait));
    golden(&mut session, READY).unwrap();
    ticket(session.send(Sent::Query));
}

#[test]
fn a_name_that_the_server_would_cut_off_is_refused() {
    let mut session = Session::new();
    let (short, long) = (vec![b'n'; NAME_BYTES_MAX], vec![b'n'; NAME_BYTES_MAX + 1]);
    ticket(parse(&mut session, &short, b"", "s"));
    assert_eq!(parse(&mut session, &long, b"", "s"), Err(Refused::NameLength));
    for target in [Target::Statement(&long), Target::Portal(&long)] {
        assert_eq!(session.send(Sent::Close(target)), Err(Refused::NameLength));
        assert_eq!(session.send(Sent::Describe(target)), Err(Refused::NameLength));
    }
    assert_eq!(bind(&mut session, &long, &short, "p"), Err(Refused::NameLength));
    assert_eq!(bind(&mut session, b"", &long, "p"), Err(Refused::NameLength));
    ticket(bind(&mut session, &short, &short, "p"));
}

#[test]
fn names_and_what_they_weigh_are_bounded() {
    let mut session = Session::new();
    for number in 0..NAMES_MAX {
        let name = number.to_string();
        ticket(parse(&mut session, name.as_bytes(), b"", "s"));
        golden(&mut session, "parse-complete").unwrap();
    }
    assert_eq!(parse(&mut session, b"one more", b"", "s"), Err(Refused::Names));
    ticket(parse(&mut session, b"7", b"", "an old name can be made anew"));
    golden(&mut session, "error").unwrap();

    let mut session = Session::new();
    let text = vec![b'x'; WEIGHT_BYTES_MAX / 8];
    for number in 0..7 {
        ticket(parse(&mut session, format!("s{number}").as_bytes(), &text, "s"));
        golden(&mut session, "parse-complete").unwrap();
    }
    assert_eq!(parse(&mut session, b"s7", &text, "s"), Err(Refused::Weight));
    ticket(session.send(Sent::Close(Target::Statement(b"s0"))));
    golden(&mut session, "close-complete").unwrap();
    ticket(parse(&mut session, b"s7", &text, "s"));
    golden(&mut session, "error").unwrap();
    ticket(session.send(Sent::Sync));
    golden(&mut session, READY).unwrap();
    ticket(parse(&mut session, b"s7", &text, "what failed weighs nothing"));
    ticket(session.send(Sent::Sync));
    golden(&mut session, "parse-complete").unwrap();
    golden(&mut session, READY).unwrap();
    assert_eq!(parse(&mut session, b"s8", &text, "s"), Err(Refused::Weight));
}
