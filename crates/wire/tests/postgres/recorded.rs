//! Sessions of real clients with a real server (`recordings/`), as something between them saw them:
//! everything is understood, byte for byte, every answer finds its message, and the proofs of both sides are
//! the ones this crate computes.
//!
//! PostgreSQL 15; psql and pgbench 15, psycopg 3 (libpq 17), asyncpg, node-postgres. `recordings/record`
//! makes them, `recordings/clients/` are what was run.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use countersign_wire::postgres::backend::{self, Authentication};
use countersign_wire::postgres::frontend;
use countersign_wire::postgres::scram::{Server, ServerBinding, StoredKey, Verifiers};
use countersign_wire::postgres::startup::Opening;
use countersign_wire::postgres::track::{Answer, Route, Sent, Ticket, Tracker};
use countersign_wire::postgres::{Framer, Limits, Phase, Piece, md5};

/// One read of the relay: from the client, or from the server.
pub type Read = (bool, Vec<u8>);

pub fn recordings() -> Vec<(String, Vec<Read>)> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/postgres/recordings");
    let mut paths: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "rec"));
    paths.sort();
    paths.iter().map(|path| (path.file_stem().unwrap().to_str().unwrap().to_owned(), read(path))).collect()
}

fn read(path: &Path) -> Vec<Read> {
    let bytes = fs::read(path).unwrap();
    let (mut rest, mut reads) = (bytes.as_slice(), Vec::new());
    while let Some((mark, tail)) = rest.split_first() {
        let (len, tail) = tail.split_first_chunk().unwrap();
        let (data, tail) = tail.split_at(u32::from_be_bytes(*len) as usize);
        reads.push((*mark == b'>', data.to_vec()));
        rest = tail;
    }
    reads
}

/// What this crate makes of a session, and what it counts.
#[derive(Default)]
struct Seen {
    tracker: Tracker<Vec<u8>, Vec<u8>>,
    open: BTreeMap<Ticket, &'static str>,
    messages: BTreeMap<String, u32>,
    login: Login,
    ready: bool,
    authenticated: bool,
}

impl Seen {
    fn count(&mut self, what: &str) {
        *self.messages.entry(what.to_owned()).or_default() += 1;
    }
}

#[derive(Default)]
struct Login {
    user: Vec<u8>,
    scram: Vec<Vec<u8>>,
    salt: Option<[u8; 4]>,
    checked: bool,
}

struct Side {
    framer: Framer,
    buffer: Vec<u8>,
    forwarded: Vec<u8>,
    opened: bool,
}

impl Side {
    fn new(phase: Phase) -> Self {
        let opened = phase == Phase::ServerLogin;
        Self { framer: Framer::new(Limits::new(phase)), buffer: Vec::new(), forwarded: Vec::new(), opened }
    }
}

fn replay(name: &str, reads: &[Read]) -> Seen {
    let (mut client, mut server) = (Side::new(Phase::ClientLogin), Side::new(Phase::ServerLogin));
    let (mut seen, mut said) = (Seen::default(), (Vec::new(), Vec::new()));
    for (from_client, data) in reads {
        if *from_client {
            said.0.extend_from_slice(data);
            client.buffer.extend_from_slice(data);
        } else {
            said.1.extend_from_slice(data);
            server.buffer.extend_from_slice(data);
        }
        // Both sides go on as far as they can; what the client must wait with is asked again after each
        // answer.
        while hear_client(name, &mut client, &mut seen) || hear_server(name, &mut server, &mut seen) {}
    }
    assert!(client.forwarded == said.0 && server.forwarded == said.1, "{name}: forwarded is what was said");
    seen
}

/// Takes one message of the client; false if there is none, or if it must wait.
fn hear_client(name: &str, side: &mut Side, seen: &mut Seen) -> bool {
    if seen.authenticated {
        side.framer.enter(Phase::Client);
    }
    let used = if side.opened {
        let Some((piece, used)) = side.framer.next(&side.buffer).unwrap() else { return false };
        let Piece::Whole(frame) = piece else { panic!("{name}: no client recorded here sends that much") };
        let message = frontend::Message::of(frame).unwrap_or_else(|error| panic!("{name}: {error}"));
        if !client_message(name, message.body(), seen) {
            return false;
        }
        used
    } else {
        let Some((Opening::Startup(message), used)) = Opening::decode(&side.buffer).unwrap() else {
            return false;
        };
        seen.login.user = message.user().unwrap().to_vec();
        side.opened = true;
        used
    };
    side.forwarded.extend(side.buffer.drain(..used));
    true
}

/// False if the message must wait for answers.
fn client_message(name: &str, body: &frontend::Body<'_>, seen: &mut Seen) -> bool {
    let (kind, route) = match (body, Sent::of(body)) {
        (frontend::Body::Login(answer), _) => {
            login_answer(name, answer, &mut seen.login);
            return true;
        }
        (frontend::Body::Parse(parse), _) => ("Parse", seen.tracker.parse(parse, parse.text.to_vec())),
        (frontend::Body::Bind(bind), _) => {
            let statement = seen.tracker.statement(bind.statement).certain().cloned();
            (
                "Bind",
                seen.tracker
                    .bind(bind, statement.unwrap_or_else(|| panic!("{name}: what is bound is known"))),
            )
        }
        (_, Some(sent)) => {
            let line = crate::describe::frontend(body);
            let kind = line.split(' ').next().unwrap();
            seen.count(kind);
            let kind = ["Query", "Sync"].into_iter().find(|name| *name == kind).unwrap_or("extended");
            (kind, seen.tracker.send(sent))
        }
        (_, None) => panic!("{name}: {body:?}"),
    };
    match route {
        Ok(Route::Forward(Some(ticket))) => assert_eq!(seen.open.insert(ticket, kind), None, "{name}"),
        Ok(Route::Forward(None)) => {}
        // The data of a copy that has failed, and the rest of a failed batch.
        Ok(Route::Drop) => seen.count("dropped"),
        Ok(Route::Wait) => seen.count("waits"),
        Err(refused) => panic!("{name}: {refused} for {body:?}"),
    }
    route != Ok(Route::Wait)
}

/// Takes one piece of the server's; false if there is none.
fn hear_server(name: &str, side: &mut Side, seen: &mut Seen) -> bool {
    if seen.ready {
        side.framer.enter(Phase::Server);
    }
    let Some((piece, used)) = side.framer.next(&side.buffer).unwrap() else { return false };
    match piece {
        Piece::Whole(frame) => {
            let message = backend::Message::of(frame).unwrap_or_else(|error| panic!("{name}: {error}"));
            server_message(name, message.body(), seen);
        }
        Piece::Head(head, _) => {
            seen.count("streamed");
            assert!(matches!(seen.tracker.passed(head.tag()), Ok(Answer::Part(_))), "{name}");
        }
        Piece::Body { .. } => {}
    }
    side.forwarded.extend(side.buffer.drain(..used));
    true
}

fn server_message(name: &str, body: &backend::Body<'_>, seen: &mut Seen) {
    let kind = crate::describe::backend(body).split(' ').next().unwrap().to_owned();
    seen.count(&kind);
    match body {
        backend::Body::Authentication(Authentication::Ok) => seen.authenticated = true,
        backend::Body::Authentication(step) => server_step(name, step, &mut seen.login),
        _ if seen.ready => {
            match seen.tracker.answer(body).unwrap_or_else(|error| panic!("{name}: {error} at {body:?}")) {
                Answer::Last(ticket) | Answer::Ready { ticket, .. } => {
                    assert!(seen.open.remove(&ticket).is_some(), "{name}");
                }
                Answer::Failed { ticket, skipped } => {
                    // A Query or Sync that failed is answered by its own Ready.
                    seen.open.retain(|open, kind| {
                        !skipped.contains(&open.number())
                            && (*open != ticket || matches!(*kind, "Query" | "Sync"))
                    });
                }
                Answer::Part(ticket) => assert!(seen.open.contains_key(&ticket), "{name}"),
                Answer::Unrelated | Answer::Ended => {}
            }
        }
        backend::Body::ReadyForQuery(_) => seen.ready = true,
        _ => {}
    }
}

fn login_answer(name: &str, answer: &frontend::LoginAnswer<'_>, login: &mut Login) {
    match (login.salt, login.scram.len()) {
        (Some(salt), _) => {
            let expected = md5::answer(&login.user, b"md5pass", salt);
            assert_eq!(answer.password(), Ok(expected.as_bytes()), "{name}");
            login.checked = true;
        }
        (None, 0) if login.user == b"plain" => {
            assert_eq!(answer.password(), Ok(b"plainpass".as_slice()), "{name}");
            login.checked = true;
        }
        (None, 0) => {
            let initial = answer.sasl_initial().unwrap();
            assert_eq!(initial.mechanism, b"SCRAM-SHA-256", "{name}");
            login.scram.push(initial.data.unwrap().to_vec());
        }
        _ => login.scram.push(answer.sasl_response().to_vec()),
    }
}

fn server_step(name: &str, step: &Authentication<'_>, login: &mut Login) {
    match step {
        Authentication::Md5Password(salt) => login.salt = Some(*salt),
        Authentication::SaslContinue(data) => login.scram.push(data.to_vec()),
        Authentication::SaslFinal(data) => {
            login.scram.push(data.to_vec());
            check_scram(name, login);
        }
        _ => {}
    }
}

/// In the server's place, with its nonce and the verifier it has, this crate says what the server said.
fn check_scram(name: &str, login: &mut Login) {
    let [first, reply, last, end] = login.scram.as_slice() else { panic!("{name}: four messages") };
    let salt = STANDARD.decode("W22ZaJ0SNY7soEsUEjb6gQ==").unwrap();
    let key = StoredKey::derive(b"pencil", &salt, 4096).unwrap();
    let verifiers = Verifiers::new(salt, 4096, vec![key]).unwrap();
    let nonce = |message: &[u8]| {
        let text = std::str::from_utf8(message).unwrap();
        text.split(',').find_map(|part| part.strip_prefix("r=")).unwrap().to_owned()
    };
    let (client_nonce, both) = (nonce(first), nonce(reply));
    let server_nonce = both.strip_prefix(&client_nonce).unwrap();
    let started = Server::start(b"SCRAM-SHA-256", first, &ServerBinding::None, verifiers, server_nonce);
    let (server, server_first) = started.unwrap();
    assert_eq!(&server_first, reply, "{name}");
    assert_eq!(&server.finish(last).unwrap().server_final, end, "{name}");
    login.checked = true;
}

#[test]
fn every_session_is_understood_to_its_end() {
    let all = recordings();
    assert!(all.len() >= 10);
    let mut kinds: BTreeMap<String, u32> = BTreeMap::new();
    for (name, reads) in all {
        let seen = replay(&name, &reads);
        if name.contains("wrong-password") {
            assert!(!seen.ready);
            continue;
        }
        assert!(seen.ready && seen.login.checked, "{name}");
        assert_eq!((seen.tracker.pending(), seen.open.len()), (0, 0), "{name}: {:?}", seen.open);
        assert!(seen.tracker.is_quiet(), "{name}");
        assert_eq!(seen.tracker.setting(b"client_encoding"), None, "reported before the tracker began");
        seen.messages.into_iter().for_each(|(kind, count)| *kinds.entry(kind).or_default() += count);
    }
    println!("{kinds:?}");
    // What the recordings are for is in them.
    for kind in [
        "CopyData",
        "CopyDone",
        "CopyFail",
        "Close",
        "Describe",
        "Execute",
        "Flush",
        "Query",
        "Sync",
        "Terminate",
        "BindComplete",
        "CloseComplete",
        "CommandComplete",
        "CopyInResponse",
        "CopyOutResponse",
        "DataRow",
        "EmptyQueryResponse",
        "ErrorResponse",
        "NoData",
        "NoticeResponse",
        "NotificationResponse",
        "ParameterDescription",
        "ParseComplete",
        "PortalSuspended",
        "ReadyForQuery",
        "RowDescription",
        "streamed",
        "waits",
    ] {
        assert!(kinds.contains_key(kind), "{kind}");
    }
}
