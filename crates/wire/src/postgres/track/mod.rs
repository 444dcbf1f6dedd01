//! What one session is doing: a follower of both directions that knows which answer belongs to which message.
//!
//! The gateway tells the [`Tracker`] every message before it forwards it, and every answer before it releases
//! it. The tracker keeps the queue of messages that wait for answers (clients pipeline), the transaction
//! status, the prepared statements and portals with what the gateway attached to them, and whether a `COPY`
//! is running. It says of each client message what to do with it ([`Route`]), and of each server message what
//! it means ([`Answer`]). An answer that the protocol does not allow at that point is a [`Desync`]: who
//! answers what is then unknown, and the session must end.
//!
//! Why so: a receipt is bound to one message, so the outcome of exactly that message must be found; and a
//! name (`Bind` to `S_1`) must stand for the statement that the *server* will take, also when earlier
//! messages of the same pipeline fail.
//!
//! What not: it forwards nothing, holds no bytes but names, and judges nothing. It sees only the protocol:
//! statements that change names by SQL (`PREPARE`, `DEALLOCATE`, `DECLARE`, functions that do so) must be
//! reported with [`Tracker::doubt_names`]. Replication (`CopyBothResponse`) is not carried.

mod answers;
mod names;
mod queue;
mod sends;

use std::collections::BTreeMap;
use std::ops::Range;

use thiserror::Error;

pub use names::Known;
pub use sends::Sent;

use names::Names;
use queue::Queue;

use super::TransactionStatus;

/// How many messages of one session may wait for answers. Beyond it the client is not read until the server
/// has caught up.
pub const PENDING_MAX: usize = 16_384;
/// How many prepared statements, and how many portals, one session may hold.
pub const NAMES_MAX: usize = 16_384;
/// The longest name of a prepared statement or portal, in bytes. A server cuts off what is longer, so that two
/// names of a client are one of the server's (`NAMEDATALEN`).
pub const NAME_BYTES_MAX: usize = 63;
/// What prepared statements and portals of one session may weigh together, in bytes of the messages that made
/// them.
pub const WEIGHT_BYTES_MAX: usize = 64 * 1024 * 1024;
/// How many settings a server may report; PostgreSQL reports about fifteen.
pub const SETTINGS_MAX: usize = 64;
/// The longest reported setting that is kept, in bytes of name and value together.
pub const SETTING_BYTES_MAX: usize = 8_192;

/// The number of a message that is answered: counts from zero in the order the server answers. Flush, copy
/// data and `Terminate` have none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(u64);

impl Ticket {
    /// The number.
    #[must_use]
    pub const fn number(self) -> u64 {
        self.0
    }
}

/// What to do with a client message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Route {
    /// Forward it; it is answered under this ticket, if at all.
    Forward(Option<Ticket>),
    /// Do not forward it: the server would ignore it (the rest of a failed batch, data of a `COPY` that is
    /// over).
    Drop,
    /// Ask again after the next server message, without reading on from the client: what it means depends on
    /// answers that are not there yet, or too many are waiting. Send the server a `Flush`, so that they come.
    Wait,
}

/// What a server message means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// It belongs to no message: a notice, a setting, a notification.
    Unrelated,
    /// A part of the answer to this message; more will come.
    Part(Ticket),
    /// The end of the answer to this message.
    Last(Ticket),
    /// An error. It ends the answer to this message, unless that is a `Query`, `FunctionCall` or `Sync`,
    /// whose answer ends with its own `Ready`. The messages in `skipped` will never be answered.
    Failed {
        /// The message that failed.
        ticket: Ticket,
        /// The messages of the same batch that the server skips.
        skipped: Range<u64>,
    },
    /// `ReadyForQuery`: the end of the answer to a `Query`, `FunctionCall` or `Sync`.
    Ready {
        /// The message.
        ticket: Ticket,
        /// The transaction status from here on.
        status: TransactionStatus,
    },
    /// The server ends the session with this error.
    Ended,
}

/// The client may not do this now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum Refused {
    /// Another message while the server waits for copy data: the server would end the session.
    #[error("a {0} message while a copy is running; finish the copy with CopyDone or CopyFail first")]
    DuringCopy(&'static str),
    /// A name that the server would take for another one.
    #[error("a prepared statement or portal has a name of more than {NAME_BYTES_MAX} bytes; shorten it")]
    NameLength,
    /// Too many names.
    #[error("more than {NAMES_MAX} prepared statements or portals in one session; close some")]
    Names,
    /// Too much held.
    #[error("prepared statements and portals of this session exceed {WEIGHT_BYTES_MAX} bytes; close some")]
    Weight,
}

/// The server said something that answers nothing: which message was answered is unknown from here on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum Desync {
    /// A message that can't follow what was before.
    #[error("the server sent {got} where the protocol allows none; the session can't go on, connect again")]
    Unexpected {
        /// Documented name of the message.
        got: &'static str,
    },
    /// The client sent another message into what turned out to be a running copy: the server gives up the
    /// connection.
    #[error("messages were sent into a running copy; the session can't go on, connect again")]
    SentIntoCopy,
    /// More settings, or longer ones, than any server reports.
    #[error("the server reports too many or too long settings; check that the address is the right server's")]
    Settings,
    /// The session is over.
    #[error("the server went on after a fatal error; the session is over, connect again")]
    AfterEnd,
}

/// The follower of one session, from its first `ReadyForQuery` on. `S` is what the gateway attaches to a
/// prepared statement, `P` what it attaches to a portal: usually shared pointers.
#[derive(Debug)]
pub struct Tracker<S, P> {
    queue: Queue<S, P>,
    statements: Names<S>,
    portals: Names<P>,
    status: TransactionStatus,
    settings: BTreeMap<Vec<u8>, Vec<u8>>,
    /// The rest of a failed batch is dropped until the client's `Sync`.
    skipping: bool,
    /// Something was forwarded since the last `Sync` or `Query`.
    batch_open: bool,
    ended: bool,
}

impl<S: Clone, P: Clone> Default for Tracker<S, P> {
    fn default() -> Self {
        Self::new()
    }
}

impl<S: Clone, P: Clone> Tracker<S, P> {
    /// A session whose server has just said its first `ReadyForQuery`.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            queue: Queue::new(),
            statements: Names::new(),
            portals: Names::new(),
            status: TransactionStatus::Idle,
            settings: BTreeMap::new(),
            skipping: false,
            batch_open: false,
            ended: false,
        }
    }

    /// The transaction status last reported. It says nothing of messages that still wait for answers.
    #[must_use]
    pub const fn status(&self) -> TransactionStatus {
        self.status
    }

    /// How many messages wait for answers.
    #[must_use]
    pub fn pending(&self) -> usize {
        self.queue.len()
    }

    /// Whether everything that was forwarded is answered, no batch is open and no transaction runs: only then
    /// can a refusal be answered by the gateway alone. Otherwise forward a stand-in that fails
    /// ([`stand_in_query`](super::encode::client::stand_in_query)), so that the server's transaction fails
    /// too.
    #[must_use]
    pub fn is_quiet(&self) -> bool {
        self.queue.is_empty() && !self.batch_open && !self.skipping && self.status == TransactionStatus::Idle
    }

    /// Whether the rest of a batch is being dropped until its `Sync`.
    #[must_use]
    pub const fn is_skipping(&self) -> bool {
        self.skipping
    }

    /// Whether the server waits for copy data.
    #[must_use]
    pub fn is_copying_in(&self) -> bool {
        self.queue.copying_in()
    }

    /// Whether the server has ended the session.
    #[must_use]
    pub const fn has_ended(&self) -> bool {
        self.ended
    }

    /// A setting as the server last reported it. Names are the server's spelling.
    #[must_use]
    pub fn setting(&self, name: &[u8]) -> Option<&[u8]> {
        self.settings.get(name).map(Vec::as_slice)
    }

    /// A statement has been forwarded that may give names another meaning by SQL: `PREPARE`, `DEALLOCATE`,
    /// `DISCARD`, `DECLARE`, `CLOSE`, or anything that calls functions not known to be harmless. From here on
    /// every named statement and portal is [`Known::Doubtful`] until it is made anew. The unnamed ones can't
    /// be reached by SQL.
    pub fn doubt_names(&mut self) {
        self.statements.doubt();
        self.portals.doubt();
    }

    /// The same, if what was forwarded is the execution of this portal: while it runs, the server lets nobody close it,
    /// so that nothing else can take its name.
    pub fn doubt_names_but(&mut self, portal: &[u8]) {
        self.statements.doubt();
        self.portals.doubt_others(portal);
    }
}
