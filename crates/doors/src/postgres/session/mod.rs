//! One session: two connections, one task, and everything that is between a statement and its answer.
//!
//! The session reads one client message at a time and does what it takes to forward it: classify, ask, record, wait.
//! While it waits for anything, both connections go on being driven ([`pump`]): answers reach the client, a cancel is
//! heeded, a cut is felt. The server's answers come in the order of what was sent; [`sent`] remembers for each message
//! what is to become of its answer. A refusal is, for the server too, a statement that failed: a stand-in that cannot but
//! fail takes the place of what was refused, so that an open transaction is aborted on both sides and a batch is skipped to
//! its `Sync`; the client reads our reason in place of the server's error.
//!
//! What not: no policy, no second task, no channel. The order of checks is [`crate::flow`]'s.

mod action;
mod acts;
mod answers;
mod bell;
mod bound;
mod call;
mod cancelling;
mod copy;
mod cursors;
mod cut;
mod extended;
mod kept;
mod lift;
mod limits;
mod locks;
mod masked;
mod meaning;
mod messages;
mod no;
mod own;
mod permit;
mod pump;
mod said;
mod sent;
mod simple;
mod steps;
mod tongue;
mod transaction;

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, OnceLock};

use bytes::{Bytes, BytesMut};
use countersign_core::BundleHash;
use countersign_core::action::DataDigest;
use countersign_core::session::Ending;
use countersign_engine as engine;
use countersign_engine::Parameter;
use countersign_wire::postgres::encode::Report;
use countersign_wire::postgres::track::Tracker;
use countersign_wire::postgres::{Format, Framer, Limits, Phase};
use tokio::sync::Notify;
use tokio_util::sync::ReusableBoxFuture;

use super::Shared;
use super::cancel::Registered;
use super::classify::{Statement, Understood};
use super::state::Known;
use super::stream::Link;
use super::target::Target;
use super::upstream::{CancelKey, Place};

use acts::Acts;
use bell::Bell;
use own::OwnAnswer;
use sent::SentQueue;
use transaction::Transactions;

type Ended = ReusableBoxFuture<'static, Ending>;
type Interrupted = ReusableBoxFuture<'static, ()>;

/// One session.
pub(super) struct Session {
    shared: Arc<Shared>,
    /// The engine again, by a reference that is counted for this session alone: counting one that all sessions share, for
    /// each statement, makes the processors wait for each other.
    engine: Arc<engine::Engine>,
    target: Arc<Target>,
    me: engine::Session,
    client: Link,
    server: Link,
    client_frames: Framer,
    server_frames: Framer,
    tracker: Tracker<Arc<Statement>, Arc<Portal>>,
    sent: SentQueue,
    acts: Acts,
    transactions: Transactions,
    known: Known,
    /// What was understood of new texts, the latest first.
    latest: VecDeque<Arc<Understood>>,
    /// Statements that were prepared by SQL, by name.
    prepared: BTreeMap<String, Arc<Statement>>,
    /// Cursors that were declared by SQL.
    cursors: cursors::Cursors,
    /// Functions of the server's own that were called without a statement, by OID.
    called: BTreeMap<u32, Arc<call::Called>>,
    /// A `Bind` that waits for its `Execute`.
    deferred: Option<extended::Deferred>,
    /// The answer to a question of our own.
    own: OwnAnswer,
    /// The end of an answer, kept back until it is known whether it stands.
    captured: bound::Captured,
    /// A long message is coming from the server, and where its pieces go.
    long_answer: Option<sent::Ticketed>,
    /// Something of the extended protocol was forwarded since the last `Sync`.
    batch_open: bool,
    /// The server was asked to send what it has.
    flushed: bool,
    /// The very server that this is a connection to.
    place: Place,
    cancel_key: CancelKey,
    _registered: Registered,
    notify: Arc<Notify>,
    interrupted: Interrupted,
    /// Resolves when an action has worked for as long as it may.
    due: Interrupted,
    /// When that is.
    due_at: Option<countersign_core::At>,
    /// Rings for the end and for the interruption.
    bell: Arc<Bell>,
    /// A transaction of our own, around a client's statement, is being committed.
    committing: bool,
    /// What the client has asked to cancel.
    cancelling: cancelling::Cancelling,
    /// Nothing more is said to the client.
    muted: bool,
    /// The digest of approved data that is coming from the client, and of which action it is.
    data: Option<(acts::ActId, DataDigest)>,
    /// A long copy message is coming from the client, and whether it goes on to the server.
    long_copy: bool,
    ended: Ended,
    /// The bundle under which what is masked was looked at last.
    masks_of: Option<BundleHash>,
    /// Under it there were columns that this session may not see.
    hides: bool,
    /// Under it results of this resource may have to be kept.
    keeps: bool,
    /// The masked column that the next statement which uses it is to be shown.
    wish: Option<Arc<lift::Lift>>,
}

/// What a session starts with.
pub(super) struct Parts {
    pub(super) shared: Arc<Shared>,
    pub(super) target: Arc<Target>,
    pub(super) me: engine::Session,
    pub(super) client: Link,
    pub(super) server: Link,
    pub(super) place: Place,
    pub(super) cancel_key: CancelKey,
    pub(super) registered: Registered,
    pub(super) known: Known,
}

/// A portal: a statement with its parameters.
#[derive(Debug)]
pub(super) struct Portal {
    statement: Arc<Statement>,
    /// The name that the statement had when it was bound.
    prepared: Bytes,
    parameters: Arc<[Option<Parameter>]>,
    /// The formats that its results are wanted in: none, one for all, or one each.
    formats: Arc<[Format]>,
    /// What it does, as that was understood when it was bound.
    understood: OnceLock<Arc<Understood>>,
    /// The types of its parameters, where the client has left some to the server and more of it may be asked for.
    types: OnceLock<Arc<[u32]>>,
}

/// Why a session is over.
#[derive(Debug)]
pub(super) enum End {
    /// The client said goodbye or went away.
    Client,
    /// The server went away, or ended the session with its own words.
    Server,
    /// The ground it stood on is gone.
    Cut(Ending),
    /// Somebody broke the protocol or a limit; this is said to the client.
    Broken(Box<Report>),
    /// The record of a read could not be made durable: its answer is not released.
    Unrecorded,
}

impl Session {
    pub(super) fn new(parts: Parts) -> Self {
        let notify = parts.registered.notify();
        let (me, stopping) = (parts.me.clone(), parts.shared.stopping.clone());
        let ended = async move {
            tokio::select! {
                ending = me.ended() => ending,
                () = stopping.cancelled_owned() => Ending::Gateway,
            }
        };
        Self {
            ended: ReusableBoxFuture::new(ended),
            interrupted: ReusableBoxFuture::new(Arc::clone(&notify).notified_owned()),
            notify,
            due: ReusableBoxFuture::new(std::future::pending()),
            due_at: None,
            bell: Bell::new(),
            engine: Arc::new(parts.shared.engine.clone()),
            shared: parts.shared,
            target: parts.target,
            me: parts.me,
            client: parts.client,
            server: parts.server,
            client_frames: Framer::new(Limits::new(Phase::Client)),
            server_frames: Framer::new(Limits::new(Phase::Server)),
            tracker: Tracker::new(),
            sent: SentQueue::default(),
            acts: Acts::default(),
            transactions: Transactions::default(),
            known: parts.known,
            latest: VecDeque::new(),
            prepared: BTreeMap::new(),
            cursors: cursors::Cursors::default(),
            called: BTreeMap::new(),
            deferred: None,
            own: OwnAnswer::default(),
            captured: bound::Captured::default(),
            long_answer: None,
            batch_open: false,
            flushed: false,
            place: parts.place,
            cancel_key: parts.cancel_key,
            _registered: parts.registered,
            committing: false,
            cancelling: cancelling::Cancelling::default(),
            muted: false,
            data: None,
            long_copy: false,
            masks_of: None,
            hides: false,
            keeps: false,
            wish: None,
        }
    }

    /// Serves the client until the session is over, and ends it in good order.
    pub(super) async fn run(mut self: Box<Self>) {
        let end = self.serve().await;
        Box::pin(self.finish(end)).await;
    }

    async fn serve(&mut self) -> End {
        loop {
            let step = match self.next_message() {
                Ok(Some(message)) => self.message(message).await,
                Ok(None) if self.client.is_eof() => Err(End::Client),
                Ok(None) => self.turn().await,
                Err(end) => Err(end),
            };
            if let Err(end) = step {
                return end;
            }
            // What ended while a message was dealt with is told now: nothing more may come for long.
            self.report_outcomes().await;
        }
    }

    /// Appends to what the client will see next, behind everything that came before.
    fn say(&mut self, report: &Report) {
        if self.muted {
            return;
        }
        self.acts.append(&mut self.client.output, |out| {
            // Every text was cleaned of NULs when it was made; without one nothing can fail.
            let _ = report.encode(out);
        });
    }

    fn now(&self) -> countersign_core::At {
        self.shared.engine.now()
    }

    fn append(&mut self, bytes: &[u8]) {
        if self.muted {
            return;
        }
        self.acts.append(&mut self.client.output, |out: &mut BytesMut| out.extend_from_slice(bytes));
    }
}

/// A client message, whole or a piece of a long one.
pub(super) enum Incoming {
    /// A whole message.
    Whole(Bytes),
    /// The head of a long copy message.
    CopyHead(Bytes),
    /// Some of its body.
    CopyBody(Bytes),
}
