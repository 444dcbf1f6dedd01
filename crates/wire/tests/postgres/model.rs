//! The tracker beside a model of a server: whatever the client sends, whenever the server works and whenever
//! its answers arrive, no lawful answer surprises the tracker, every answer finds its message, and a name
//! that was certain is what the server took.
//!
//! The model knows the rules that PostgreSQL follows (`postgres.c`, `PostgresMain` and `SocketBackend`): a
//! failed batch is skipped to its `Sync`; a named statement can't be prepared twice; portals end with their
//! transaction; `Sync` and `Flush` are ignored while copy data is awaited, and anything else then ends the
//! connection.

use std::collections::{BTreeMap, VecDeque};

use bytes::BytesMut;
use countersign_wire::postgres::encode::client;
use countersign_wire::postgres::track::{Answer, Desync, Known, Refused, Route, Sent, Ticket, Tracker};
use countersign_wire::postgres::{Limits, Phase, TransactionStatus, backend, frontend};
use proptest::prelude::*;

use crate::vectors::{From, VECTORS};

/// What a statement does, in the model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Does {
    Rows(u8),
    Nothing,
    Empty,
    CopyIn,
    CopyOut,
    Begin,
    Commit,
    Fails,
    /// By SQL: every named statement and portal now is something else.
    Replaces,
}

const ALL: [Does; 9] = [
    Does::Rows(2),
    Does::Nothing,
    Does::Empty,
    Does::CopyIn,
    Does::CopyOut,
    Does::Begin,
    Does::Commit,
    Does::Fails,
    Does::Replaces,
];

/// A statement: what it does, and a number of its own.
type Statement = (Does, u64);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Message {
    Parse(u8, Does),
    Bind { portal: u8, statement: u8 },
    DescribeStatement(u8),
    DescribePortal(u8),
    Execute(u8),
    CloseStatement(u8),
    ClosePortal(u8),
    Query(Vec<Does>),
    FunctionCall(bool),
    Flush,
    Sync,
    CopyData { bad: bool },
    CopyDone,
    CopyFail,
}

/// A message on its way, with what the tracker said of it.
#[derive(Debug, Clone)]
struct Sending {
    message: Message,
    number: u64,
    ticket: Option<Ticket>,
    /// What a `Bind` or `Execute` must find, if the tracker was certain.
    certain: Option<Statement>,
}

/// An answer on its way: the name of its golden message, and the ticket of what it answers.
type Reply = (&'static str, Option<Ticket>);

#[derive(Debug, Default)]
struct Server {
    inbox: VecDeque<Sending>,
    outbox: VecDeque<Reply>,
    statements: BTreeMap<u8, Statement>,
    portals: BTreeMap<u8, Statement>,
    skipping: bool,
    block: Option<bool>,
    /// Waits for copy data: for which message, and what else its query does.
    copying: Option<(Option<Ticket>, Option<VecDeque<Statement>>)>,
    dead: bool,
}

impl Server {
    fn say(&mut self, ticket: Option<Ticket>, names: &[&'static str]) {
        self.outbox.extend(names.iter().map(|name| (*name, ticket)));
    }

    fn ready(&mut self, ticket: Option<Ticket>) {
        let name = match self.block {
            None => "ready-idle",
            Some(true) => "ready-in-transaction",
            Some(false) => "ready-failed",
        };
        if self.block.is_none() {
            self.portals.clear();
        }
        self.say(ticket, &[name]);
    }

    fn fail(&mut self, ticket: Option<Ticket>, simple: bool) {
        self.say(ticket, &["error"]);
        self.block = self.block.map(|_| false);
        if simple {
            self.ready(ticket);
        } else {
            self.skipping = true;
        }
    }

    /// Runs one statement; false if it failed.
    fn run(&mut self, ticket: Option<Ticket>, (does, _): Statement, simple: bool) -> bool {
        if self.block == Some(false) && does != Does::Commit {
            return false;
        }
        match does {
            Does::Fails => return false,
            Does::Rows(rows) => {
                if simple {
                    self.say(ticket, &["row-description"]);
                }
                (0..rows).for_each(|_| self.say(ticket, &["data-row"]));
                self.say(ticket, &["complete-delete"]);
            }
            Does::Nothing => self.say(ticket, &["notice", "complete-create-table"]),
            Does::Empty => self.say(ticket, &[if simple { "complete-delete" } else { "empty-query" }]),
            Does::CopyOut => {
                self.say(
                    ticket,
                    &["copy-out", "copy-out-data", "copy-out-data", "copy-out-done", "complete-delete"],
                );
            }
            Does::CopyIn => {
                self.say(ticket, &["copy-in"]);
                self.copying = Some((ticket, None));
            }
            Does::Begin => {
                self.block = Some(true);
                self.say(ticket, &["parameter-status", "complete-create-table"]);
            }
            Does::Commit => {
                self.block = None;
                self.portals.clear();
                self.say(ticket, &["complete-create-table"]);
            }
            Does::Replaces => {
                let evil = (Does::Nothing, u64::MAX);
                self.statements.iter_mut().filter(|(name, _)| **name != 0).for_each(|(_, it)| *it = evil);
                self.portals.iter_mut().filter(|(name, _)| **name != 0).for_each(|(_, it)| *it = evil);
                self.say(ticket, &["complete-create-table"]);
            }
        }
        true
    }

    fn run_query(&mut self, ticket: Option<Ticket>, mut rest: VecDeque<Statement>) {
        while let Some(statement) = rest.pop_front() {
            if !self.run(ticket, statement, true) {
                return self.fail(ticket, true);
            }
            if let Some((_, later)) = &mut self.copying {
                *later = Some(rest);
                return;
            }
        }
        self.ready(ticket);
    }

    fn work(&mut self) {
        let Some(sending) = self.inbox.pop_front() else { return };
        if self.dead {
            return;
        }
        if let Some((ticket, later)) = self.copying.take() {
            return self.work_on_copy(&sending.message, ticket, later);
        }
        let copy =
            matches!(sending.message, Message::CopyData { .. } | Message::CopyDone | Message::CopyFail);
        if !copy && (!self.skipping || sending.message == Message::Sync) {
            self.work_on(sending);
        }
    }

    fn work_on_copy(
        &mut self,
        message: &Message,
        ticket: Option<Ticket>,
        later: Option<VecDeque<Statement>>,
    ) {
        match message {
            Message::CopyData { bad: false } | Message::Flush | Message::Sync => {
                self.copying = Some((ticket, later));
            }
            Message::CopyData { bad: true } | Message::CopyFail => self.fail(ticket, later.is_some()),
            Message::CopyDone => {
                self.say(ticket, &["complete-delete"]);
                if let Some(rest) = later {
                    self.run_query(ticket, rest);
                }
            }
            _ => {
                self.dead = true;
                self.say(None, &["fatal"]);
            }
        }
    }

    fn work_on(&mut self, Sending { message, number, ticket, certain }: Sending) {
        let (aborted, find) = (self.block == Some(false), |it: Option<&Statement>| it.copied());
        match message {
            Message::Parse(name, does) => {
                let taken = name != 0 && self.statements.contains_key(&name);
                if name == 0 {
                    self.statements.remove(&0);
                }
                if taken || aborted {
                    return self.fail(ticket, false);
                }
                self.statements.insert(name, (does, number));
                self.say(ticket, &["parse-complete"]);
            }
            Message::Bind { portal, statement } => {
                let taken = portal != 0 && self.portals.contains_key(&portal);
                let Some(found) = find(self.statements.get(&statement)).filter(|_| !taken && !aborted) else {
                    return self.fail(ticket, false);
                };
                assert!(
                    certain.is_none_or(|expected| expected == found),
                    "bound {found:?}, certain was {certain:?}"
                );
                self.portals.insert(portal, found);
                self.say(ticket, &["bind-complete"]);
            }
            Message::DescribeStatement(name) => match find(self.statements.get(&name)) {
                Some((Does::Rows(_), _)) => self.say(ticket, &["parameter-description", "row-description"]),
                Some(_) => self.say(ticket, &["parameter-description", "no-data"]),
                None => self.fail(ticket, false),
            },
            Message::DescribePortal(name) => match find(self.portals.get(&name)) {
                Some((Does::Rows(_), _)) => self.say(ticket, &["row-description"]),
                Some(_) => self.say(ticket, &["no-data"]),
                None => self.fail(ticket, false),
            },
            Message::Execute(name) => {
                let Some(found) = find(self.portals.get(&name)) else { return self.fail(ticket, false) };
                assert!(
                    certain.is_none_or(|expected| expected == found),
                    "ran {found:?}, certain was {certain:?}"
                );
                if !self.run(ticket, found, false) {
                    self.fail(ticket, false);
                }
            }
            Message::CloseStatement(name) => {
                self.statements.remove(&name);
                self.say(ticket, &["close-complete"]);
            }
            Message::ClosePortal(name) => {
                self.portals.remove(&name);
                self.say(ticket, &["close-complete"]);
            }
            Message::Query(does) => {
                self.statements.remove(&0);
                self.portals.remove(&0);
                if does.is_empty() {
                    self.say(ticket, &["empty-query"]);
                }
                self.run_query(ticket, does.into_iter().map(|does| (does, number)).collect());
            }
            Message::FunctionCall(true) if !aborted => {
                self.say(ticket, &["function-result"]);
                self.ready(ticket);
            }
            Message::FunctionCall(_) => self.fail(ticket, true),
            Message::Sync => {
                self.skipping = false;
                self.ready(ticket);
            }
            Message::Flush | Message::CopyData { .. } | Message::CopyDone | Message::CopyFail => {}
        }
    }
}

fn name(number: u8) -> Vec<u8> {
    if number == 0 { Vec::new() } else { vec![b'a' + number] }
}

/// Client, tracker and server; what the tracker can't decide yet waits in `held`.
struct World {
    tracker: Tracker<Statement, Option<Statement>>,
    server: Server,
    held: VecDeque<Message>,
    next: u64,
    over: bool,
}

impl World {
    fn new() -> Self {
        Self {
            tracker: Tracker::new(),
            server: Server::default(),
            held: VecDeque::new(),
            next: 0,
            over: false,
        }
    }

    /// The gateway reads one more message, unless an earlier one waits.
    fn client(&mut self) {
        let Some(message) = self.held.front().cloned() else { return };
        self.next += 1;
        let (number, mut certain) = (self.next, None);
        let route = match &message {
            Message::Parse(name, does) => self.parse(*name, (*does, number)),
            Message::Bind { portal, statement } => match self.tracker.statement(&name(*statement)) {
                Known::Unsettled => Ok(Route::Wait),
                known => {
                    certain = known.certain().copied();
                    self.bind(*portal, *statement, certain)
                }
            },
            Message::Execute(portal) => match self.tracker.portal(&name(*portal)) {
                Known::Unsettled => Ok(Route::Wait),
                known => {
                    certain = known.certain().copied().flatten();
                    // It may do anything by SQL, and so may what is not certain.
                    let harmless = certain.is_some_and(|(does, _)| does != Does::Replaces);
                    let route = self.tracker.send(Sent::Execute);
                    if !harmless && matches!(route, Ok(Route::Forward(_))) {
                        self.tracker.doubt_names();
                    }
                    route
                }
            },
            other => self.other(other),
        };
        match route {
            Ok(Route::Wait) => return,
            Ok(Route::Drop) => {}
            Ok(Route::Forward(ticket)) => {
                self.server.inbox.push_back(Sending { message, number, ticket, certain });
            }
            Err(Refused::DuringCopy(_)) => self.over = true,
            Err(other) => panic!("no such limit is reached here: {other}"),
        }
        self.held.pop_front();
    }

    fn parse(&mut self, statement: u8, value: Statement) -> Result<Route, Refused> {
        let mut out = BytesMut::new();
        client::parse(&mut out, &name(statement), b"text", &[23]).unwrap();
        let (message, _) = frontend::Message::decode(&out, &Limits::new(Phase::Client)).unwrap().unwrap();
        let frontend::Body::Parse(parse) = message.body() else { panic!("not a Parse") };
        self.tracker.parse(parse, value)
    }

    fn bind(&mut self, portal: u8, statement: u8, value: Option<Statement>) -> Result<Route, Refused> {
        let mut out = BytesMut::new();
        let (portal, statement) = (name(portal), name(statement));
        let binding =
            client::Binding { portal: &portal, statement: &statement, ..client::Binding::default() };
        client::bind(&mut out, &binding).unwrap();
        let (message, _) = frontend::Message::decode(&out, &Limits::new(Phase::Client)).unwrap().unwrap();
        let frontend::Body::Bind(bind) = message.body() else { panic!("not a Bind") };
        self.tracker.bind(bind, value)
    }

    fn other(&mut self, message: &Message) -> Result<Route, Refused> {
        let mut out = BytesMut::new();
        use countersign_wire::postgres::Target::{Portal, Statement};
        match message {
            Message::DescribeStatement(it) => client::describe(&mut out, Statement(&name(*it))).unwrap(),
            Message::DescribePortal(it) => client::describe(&mut out, Portal(&name(*it))).unwrap(),
            Message::CloseStatement(it) => client::close(&mut out, Statement(&name(*it))).unwrap(),
            Message::ClosePortal(it) => client::close(&mut out, Portal(&name(*it))).unwrap(),
            Message::Query(_) => client::query(&mut out, b"text").unwrap(),
            Message::FunctionCall(_) => {
                let result_format = countersign_wire::postgres::Format::Text;
                let call = client::Call { function: 1, formats: &[], arguments: &[], result_format };
                client::function_call(&mut out, &call).unwrap();
            }
            Message::Flush => client::flush(&mut out),
            Message::Sync => client::sync(&mut out),
            Message::CopyData { .. } => client::copy_data(&mut out, b"x").unwrap(),
            Message::CopyDone => client::copy_done(&mut out),
            Message::CopyFail => client::copy_fail(&mut out, b"x").unwrap(),
            Message::Parse(..) | Message::Bind { .. } | Message::Execute(_) => panic!("has its own method"),
        }
        let (decoded, _) = frontend::Message::decode(&out, &Limits::new(Phase::Client)).unwrap().unwrap();
        let route = self.tracker.send(Sent::of(decoded.body()).unwrap());
        let replaces = matches!(message, Message::Query(does) if does.contains(&Does::Replaces));
        if replaces && matches!(route, Ok(Route::Forward(_))) {
            self.tracker.doubt_names();
        }
        route
    }

    /// One answer arrives.
    fn deliver(&mut self) {
        let Some((answer, ticket)) = self.server.outbox.pop_front() else { return };
        let bytes = VECTORS.iter().find(|v| v.name == answer && v.from == From::Server).unwrap().bytes;
        let (message, _) = backend::Message::decode(bytes, &Limits::new(Phase::Server)).unwrap().unwrap();
        let pending = self.tracker.pending();
        let found = match self.tracker.answer(message.body()) {
            Ok(found) => found,
            Err(Desync::SentIntoCopy) => {
                // Only when the server gives up too, now or when it gets there.
                assert_eq!(answer, "copy-in");
                (0..1_000).for_each(|_| self.server.work());
                assert!(self.server.dead, "the server would have gone on");
                self.over = true;
                return;
            }
            Err(surprise) => panic!("{answer}: {surprise}"),
        };
        match found {
            Answer::Unrelated => assert!(matches!(answer, "notice" | "parameter-status")),
            Answer::Part(it) | Answer::Last(it) => assert_eq!(Some(it), ticket, "{answer}"),
            Answer::Ready { ticket: it, .. } => assert_eq!(Some(it), ticket, "{answer}"),
            Answer::Failed { ticket: it, skipped } => {
                assert_eq!((answer, Some(it)), ("error", ticket));
                let gone = pending - self.tracker.pending();
                assert!((skipped.end - skipped.start) as usize <= gone, "what is skipped no longer waits");
            }
            Answer::Ended => self.over = true,
        }
    }
}

fn does() -> impl Strategy<Value = Does> {
    prop::sample::select(ALL.to_vec())
}

fn message() -> impl Strategy<Value = Message> {
    let it = 0..3_u8;
    prop_oneof![
        4 => (it.clone(), does()).prop_map(|(name, does)| Message::Parse(name, does)),
        4 => (it.clone(), it.clone()).prop_map(|(portal, statement)| Message::Bind { portal, statement }),
        6 => it.clone().prop_map(Message::Execute),
        1 => it.clone().prop_map(Message::DescribeStatement),
        1 => it.clone().prop_map(Message::DescribePortal),
        2 => it.clone().prop_map(Message::CloseStatement),
        1 => it.prop_map(Message::ClosePortal),
        3 => prop::collection::vec(does(), 0..3).prop_map(Message::Query),
        1 => any::<bool>().prop_map(Message::FunctionCall),
        1 => Just(Message::Flush),
        6 => Just(Message::Sync),
        3 => prop::bool::weighted(0.3).prop_map(|bad| Message::CopyData { bad }),
        3 => Just(Message::CopyDone),
        1 => Just(Message::CopyFail),
    ]
}

/// Whose turn it is.
fn turn() -> impl Strategy<Value = u8> {
    0..6_u8
}

fn play(script: Vec<Message>, turns: &[u8]) -> World {
    let mut world = World::new();
    world.held = script.into();
    for turn in turns {
        match turn {
            0..=2 => world.client(),
            3 => world.server.work(),
            _ => world.deliver(),
        }
        if world.over {
            return world;
        }
    }
    // Everything comes to rest.
    for _ in 0..5_000 {
        world.client();
        world.server.work();
        world.deliver();
        if world.over {
            return world;
        }
    }
    world
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4_000))]
    #[test]
    fn the_tracker_follows_a_lawful_server(
        script in prop::collection::vec(message(), 1..60),
        turns in prop::collection::vec(turn(), 0..300),
    ) {
        let world = play(script, &turns);
        if !world.over {
            prop_assert!(world.server.inbox.is_empty() && world.server.outbox.is_empty());
            let copying = world.server.copying.is_some();
            prop_assert_eq!(world.tracker.is_copying_in(), copying);
            prop_assert_eq!(world.tracker.pending(), usize::from(copying), "nothing waits for ever");
            prop_assert_eq!(world.tracker.is_skipping(), world.server.skipping);
            let quiet = world.tracker.is_quiet();
            prop_assert!(!quiet || (world.server.block.is_none() && !world.server.skipping));
            if !copying {
                prop_assert!(world.held.is_empty(), "nothing is held for ever");
            }
        }
    }
}

#[test]
fn the_model_reaches_what_it_is_for() {
    // Certain names, failed batches, copies and transactions really occur, or the property above says little.
    use proptest::strategy::ValueTree;
    use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
    let mut runner =
        TestRunner::new_with_rng(Config::default(), TestRng::from_seed(RngAlgorithm::ChaCha, &[7; 32]));
    let (mut certain, mut over, mut failed, mut blocks) = (0, 0, 0, 0);
    for _ in 0..500 {
        let script = prop::collection::vec(message(), 1..60).new_tree(&mut runner).unwrap().current();
        let turns = prop::collection::vec(turn(), 0..300).new_tree(&mut runner).unwrap().current();
        let mut world = World::new();
        world.held = script.into();
        for turn in turns {
            match turn {
                0..=2 => world.client(),
                3 => world.server.work(),
                _ => world.deliver(),
            }
            certain += usize::from(world.server.inbox.back().is_some_and(|sent| sent.certain.is_some()));
            failed += usize::from(world.tracker.is_skipping());
            blocks += usize::from(world.tracker.status() != TransactionStatus::Idle);
            if world.over {
                over += 1;
                break;
            }
        }
    }
    assert!(certain > 200 && failed > 200 && blocks > 200, "{certain} {failed} {blocks}");
    assert!(over < 400, "{over}");
}
