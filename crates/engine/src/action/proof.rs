//! Permissions as values: only the engine makes them, and using one consumes it.

use std::sync::Arc;

use bytes::Bytes;
use countersign_core::action::DataDigest;
use countersign_core::budget::{Limits, Longer};
use countersign_core::request::Bounds;
use countersign_core::session::Ending;
use countersign_core::{At, Digest, RequestId, ResourceId, RoleId, SessionId};

use super::again::Allowed;
use super::attempt::{Attempt, Completion};
use crate::line::{Policies, Statement};
use crate::session::Session;
use crate::words::Refused;
use crate::writer::entry::Entry;
use crate::writer::queue::Answering;
use crate::writer::work::{NotDone, Standing};

/// The engine's answer to an attempt.
#[derive(Debug)]
pub enum Judgement {
    /// It may happen, once it is recorded.
    Allow(Judged),
    /// It may not.
    Deny(Denied),
    /// It may, if somebody says yes.
    Hold(Held),
    /// It was not judged: the session is paused ([`crate::Engine::paused`]). It is judged when that is over.
    Paused,
}

/// An action that may happen, once it is recorded.
#[derive(Debug)]
pub struct Judged {
    pub(crate) statement: Arc<Statement>,
    pub(super) attempt: Attempt,
    pub(super) allowed: Allowed,
    pub(super) at: At,
}

/// An action that may not happen.
#[derive(Debug)]
pub struct Denied {
    pub(super) statement: Arc<Statement>,
    pub(super) attempt: Attempt,
    pub(super) policies: Arc<Policies>,
    pub(super) at: At,
    pub(super) why: Why,
    pub(super) refused: Refused,
}

/// Why an action may not happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Why {
    /// Policy says no.
    Policy,
    /// The session stands on nothing any more.
    Over(Ending),
}

/// An action that somebody must say yes to.
#[derive(Debug)]
pub struct Held {
    pub(super) session: Session,
    pub(super) statement: Arc<Statement>,
    pub(super) attempt: Attempt,
    pub(super) standing: Arc<Standing>,
    pub(super) reason: String,
}

/// An action that is in the ledger and not forwarded yet.
#[derive(Debug)]
pub struct Recorded {
    pub(super) bytes: Bytes,
    pub(super) ran: Ran,
}

/// The bytes of a provable read whose record is on its way. Its answer is to be [`Withheld`].
#[derive(Debug)]
pub struct Forward {
    pub(super) bytes: Bytes,
}

/// The record of a provable read, on its way.
#[derive(Debug)]
pub struct Pending {
    pub(super) ran: Ran,
    /// Nothing for a read that is recorded alongside: it is in the queue, in its place.
    pub(super) answering: Option<Answering>,
}

/// Where it can be told how a read ended while its record is on its way, so that one line tells both.
#[derive(Debug)]
pub struct Telling(Arc<Entry>);

/// Something that was forwarded after, or whose answer was released after, it was recorded.
#[derive(Debug)]
pub struct Ran {
    pub(super) statement: Arc<Statement>,
    pub(super) entry: Arc<Entry>,
    pub(super) used: Option<Used>,
    pub(super) bounds: Option<Bounds>,
    /// The salt of the request whose receipt it uses.
    pub(super) salt: Option<[u8; 16]>,
    /// The digest of what came after the yes.
    pub(super) data: Option<Digest>,
    /// What it gave back, if something of that is to be kept.
    pub(super) result: Option<Box<super::capture::Gave>>,
    /// The tool that is called, if it is a call of one.
    pub(super) tool: Option<Box<str>>,
}

/// A use of a receipt: what becomes of its transaction is said of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Used {
    pub(super) request: RequestId,
    pub(super) session: SessionId,
    pub(super) number: u32,
}

/// An answer that nobody may see before its record is durable.
#[derive(Debug)]
pub struct Withheld<T>(T);

/// Why an action is not in the ledger. It must not happen.
#[derive(Debug, thiserror::Error)]
pub enum Unrecorded {
    /// Grant or policy moved since it was judged: judge it again.
    #[error("grant or policy changed while this was being recorded")]
    Stale,
    /// The ledger can't take it now.
    #[error("the ledger can't take a record now, so nothing may happen")]
    Unavailable,
    /// It can't be written as a line.
    #[error("this can't be recorded, so it may not happen: {0}")]
    Unwritable(String),
    /// It is no provable read, so it must be recorded first.
    #[error("this is no provable read; it must be recorded before it is forwarded")]
    NotARead(Box<Judged>),
}

impl Denied {
    /// Why, in words.
    #[must_use]
    pub fn reason(&self) -> &str {
        &self.refused.message
    }

    /// Why the session is over, if that is the reason.
    #[must_use]
    pub fn ending(&self) -> Option<Ending> {
        match self.why {
            Why::Over(ending) => Some(ending),
            Why::Policy => None,
        }
    }
}

impl Held {
    /// Which rules hold it and why, in words.
    #[must_use]
    pub fn reason(&self) -> &str {
        &self.reason
    }

    /// On what.
    #[must_use]
    pub fn resource(&self) -> &ResourceId {
        &self.statement.resource
    }

    /// In which role.
    #[must_use]
    pub fn role(&self) -> &RoleId {
        &self.statement.role
    }
}

impl Judged {
    /// Whether its answer need not wait for the record to be durable.
    #[must_use]
    pub fn is_alongside(&self) -> bool {
        self.allowed.alongside && self.attempt.provable_read
    }
}

impl Recorded {
    /// The bytes that were judged, to be forwarded, and the proof that they are recorded.
    #[must_use]
    pub fn into_forward(self) -> (Bytes, Ran) {
        (self.bytes, self.ran)
    }
}

impl Forward {
    /// The bytes that were judged.
    #[must_use]
    pub fn into_bytes(self) -> Bytes {
        self.bytes
    }
}

impl Pending {
    /// The proof, if the answer may be released already: it is recorded alongside.
    ///
    /// # Errors
    /// The record must be waited for.
    pub fn at_once(self) -> Result<Ran, Self> {
        if self.answering.is_none() { Ok(self.ran) } else { Err(self) }
    }

    /// As [`Ran::limits`].
    #[must_use]
    pub fn limits(&self) -> Limits {
        self.ran.limits()
    }

    /// Where its outcome can be told while it is on its way.
    #[must_use]
    pub fn telling(&self) -> Telling {
        Telling(Arc::clone(&self.ran.entry))
    }

    /// Resolves once the answer may be released: when the record is durable, or, recorded alongside, at once.
    ///
    /// # Errors
    /// The record is not in the ledger; the answer must not be released.
    pub async fn durable(self) -> Result<Ran, Unrecorded> {
        if let Some(answering) = self.answering {
            answering.reply().await.map_err(Unrecorded::from)?;
        }
        Ok(self.ran)
    }
}

impl Telling {
    /// Tells how it ended. Whether its own line says so; if not, [`Engine::completed`](crate::Engine::completed) has to be told once
    /// the record is durable.
    #[must_use]
    pub fn tell(&self, completion: &Completion) -> bool {
        self.0.tell(completion.ended()).is_none()
    }
}

impl Ran {
    /// Its line in the ledger. For a read that is recorded alongside it is known once the line is written.
    #[must_use]
    pub fn index(&self) -> u64 {
        self.entry.index()
    }

    /// The request that it was allowed by.
    #[must_use]
    pub fn request(&self) -> Option<RequestId> {
        self.used.map(|used| used.request)
    }

    /// The use of a receipt that it is, if it is one.
    #[must_use]
    pub fn used(&self) -> Option<Used> {
        self.used
    }

    /// Digests the data that comes after the yes, if it is a use of a receipt.
    #[must_use]
    pub fn data_digest(&self) -> Option<DataDigest> {
        self.salt.as_ref().map(DataDigest::new)
    }

    /// What came after the yes had this digest.
    pub fn has_data(&mut self, digest: Digest) {
        self.data = Some(digest);
    }

    /// What one statement may take in its session before it is cut.
    #[must_use]
    pub fn limits(&self) -> Limits {
        let budget = self.statement.account.as_ref().and_then(|account| account.budget);
        let cuts = budget.filter(|budget| budget.statement_over == Longer::Cut);
        cuts.map(|budget| budget.statement).unwrap_or_default()
    }

    /// What the yes covers.
    #[must_use]
    pub fn bounds(&self) -> Option<Bounds> {
        self.bounds
    }
}

impl Used {
    /// The request.
    #[must_use]
    pub fn request(&self) -> RequestId {
        self.request
    }

    /// Which use of its receipt, counted from one.
    #[must_use]
    pub fn number(&self) -> u32 {
        self.number
    }
}

impl<T> Withheld<T> {
    /// Withholds.
    #[must_use]
    pub fn new(answer: T) -> Self {
        Self(answer)
    }

    /// To append to what is withheld.
    #[must_use]
    pub fn get_mut(&mut self) -> &mut T {
        &mut self.0
    }

    /// The answer, against the proof that it is recorded.
    #[must_use]
    pub fn release(self, proof: &Ran) -> T {
        let _recorded = proof;
        self.0
    }
}

impl From<NotDone> for Unrecorded {
    fn from(not: NotDone) -> Self {
        match not {
            NotDone::Stale => Self::Stale,
            NotDone::Unavailable => Self::Unavailable,
            NotDone::Unwritable(why) => Self::Unwritable(why),
            NotDone::Refused(refusal) => Self::Unwritable(refusal.to_string()),
        }
    }
}
