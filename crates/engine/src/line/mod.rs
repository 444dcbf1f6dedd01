//! Lines (v1): how events and activity are written into the ledger, and read back.
//!
//! A line is canonical JSON (RFC 8785): the shapes here have their members in the order of their names, and hold
//! nothing but strings, integers, booleans, arrays and such shapes. The vocabulary of core is not serialised
//! directly: what is in the ledger stays readable when core changes. Names, addresses, words and statements are
//! never in a line; a commitment (`c1:...`) stands for them.

mod activity;
mod decision;
mod shapes;
mod statement;

use countersign_core::{
    At, BundleHash, Digest, Event, GrantId, PersonId, PrincipalId, RequestId, ResourceId, RoleId, SessionId,
};
use countersign_ledger::Hash;
use countersign_ledger::content::Commitment;
use countersign_ledger::line::{LINE_BYTES_MAX, Ts};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

pub(crate) use activity::{
    Account, Allowed, Authenticator, Blocked, Completed, Configured, Count, Destroyed, Device, Exported,
    Minted, OverBudget, Refusing, SignIn, State, Statement, Topic, Within,
};
pub(crate) use decision::{Hydrate, Ran, encode_event, event_of};
pub(crate) use shapes::{PolicyShape, outcome_parts};
pub(crate) use statement::{Policies, Said};

/// The version of the shapes.
pub const VERSION: u32 = 1;

/// Most lines are shorter.
const USUAL_BYTES: usize = 1_024;

/// What every line has, and what many have. Members in the order of their names.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Envelope<D> {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) actor: Option<PrincipalId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) bundle: Option<BundleHash>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) chain: Vec<PrincipalId>,
    pub(crate) data: D,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) digest: Option<Digest>,
    pub(crate) epoch: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) grant: Option<GrantId>,
    pub(crate) node: std::sync::Arc<str>,
    pub(crate) outcome: Outcome,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) person: Option<PersonId>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) policies: Vec<PolicyShape>,
    pub(crate) prev: Hash,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) request: Option<RequestId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) resource: Option<ResourceId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) role: Option<RoleId>,
    pub(crate) seq: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) session: Option<SessionId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) subject: Option<PrincipalId>,
    pub(crate) ts: Stamp,
    #[serde(rename = "type")]
    pub(crate) kind: std::borrow::Cow<'static, str>,
    pub(crate) v: u32,
}

/// How it went, in one word.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// It was done.
    #[default]
    Success,
    /// It was refused, or went wrong.
    Failure,
    /// It waits.
    Pending,
}

/// An instant as lines have it: RFC 3339 in UTC with microseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stamp(pub(crate) At);

/// A commitment as lines have it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sealed(pub(crate) Digest);

/// Where a line goes: what the chain and the clock say.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    pub(crate) seq: u64,
    pub(crate) prev: Hash,
    pub(crate) at: At,
    pub(crate) epoch: u64,
    pub(crate) node: std::sync::Arc<str>,
}

/// A line as it was read.
#[derive(Clone, Debug)]
pub struct Line {
    /// Its place, from zero.
    pub index: u64,
    /// When.
    pub at: At,
    /// Its type, of the taxonomy of the ledger.
    pub kind: String,
    /// How it went.
    pub outcome: Outcome,
    /// Who did it.
    pub actor: Option<PrincipalId>,
    /// The person behind.
    pub person: Option<PersonId>,
    /// To whom.
    pub subject: Option<PrincipalId>,
    /// The request in question.
    pub request: Option<RequestId>,
    /// The grant in question.
    pub grant: Option<GrantId>,
    /// The session in question.
    pub session: Option<SessionId>,
    /// The resource in question.
    pub resource: Option<ResourceId>,
    /// The role in question.
    pub role: Option<RoleId>,
    /// Everything else the line says.
    pub data: serde_json::Value,
    /// Leaf hash of the line before.
    pub prev: Hash,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

/// Why bytes are no line of this version, or can't become one.
#[derive(Debug, thiserror::Error)]
pub enum BadLine {
    /// Not the JSON of a line.
    #[error("not a line of version {VERSION}")]
    Json(#[from] serde_json::Error),
    /// A version that this program does not know.
    #[error("line version {0} is not known; a newer program wrote it")]
    Version(u32),
    /// A type that this program does not know.
    #[error("line type `{0}` is not known; a newer program wrote it")]
    Type(String),
    /// A member that this type needs is missing or malformed.
    #[error("a line of type `{kind}` without a usable `{member}`")]
    Member {
        /// The type.
        kind: String,
        /// The member.
        member: &'static str,
    },
    /// It names a bundle that is not in the store.
    #[error("the bundle `{0}` is not in the store")]
    Bundle(BundleHash),
    /// Longer than a line may be.
    #[error("a line of {0} bytes is longer than {LINE_BYTES_MAX}")]
    TooLong(usize),
}

impl<D> Envelope<D> {
    /// An envelope of this type with every optional member absent.
    pub(crate) fn new(kind: &'static str, data: D) -> Self {
        Self {
            actor: None,
            bundle: None,
            chain: Vec::new(),
            data,
            digest: None,
            epoch: 0,
            grant: None,
            node: "".into(),
            outcome: Outcome::Success,
            person: None,
            policies: Vec::new(),
            prev: Hash([0; 32]),
            request: None,
            resource: None,
            role: None,
            seq: 0,
            session: None,
            subject: None,
            ts: Stamp(At(0)),
            kind: kind.into(),
            v: VERSION,
        }
    }

    /// The same with other data.
    pub(crate) fn with<E>(self, data: E) -> Envelope<E> {
        Envelope {
            actor: self.actor,
            bundle: self.bundle,
            chain: self.chain,
            data,
            digest: self.digest,
            epoch: self.epoch,
            grant: self.grant,
            node: self.node,
            outcome: self.outcome,
            person: self.person,
            policies: self.policies,
            prev: self.prev,
            request: self.request,
            resource: self.resource,
            role: self.role,
            seq: self.seq,
            session: self.session,
            subject: self.subject,
            ts: self.ts,
            kind: self.kind,
            v: self.v,
        }
    }
}

impl<D> Envelope<D> {
    /// The same, with its data where it is.
    pub(crate) fn borrowed(&self) -> Envelope<&D> {
        Envelope {
            actor: self.actor.clone(),
            bundle: self.bundle,
            chain: self.chain.clone(),
            data: &self.data,
            digest: self.digest,
            epoch: self.epoch,
            grant: self.grant,
            node: self.node.clone(),
            outcome: self.outcome,
            person: self.person.clone(),
            policies: self.policies.clone(),
            prev: self.prev,
            request: self.request,
            resource: self.resource.clone(),
            role: self.role.clone(),
            seq: self.seq,
            session: self.session,
            subject: self.subject.clone(),
            ts: self.ts,
            kind: self.kind.clone(),
            v: self.v,
        }
    }
}

impl<D: Serialize> Envelope<D> {
    /// The bytes of this line at this place.
    pub(crate) fn seal(mut self, place: &Place) -> Result<Vec<u8>, BadLine> {
        self.seq = place.seq;
        self.prev = place.prev;
        self.ts = Stamp(place.at);
        self.epoch = place.epoch;
        self.node = place.node.clone();
        let mut bytes = Vec::with_capacity(USUAL_BYTES);
        serde_json::to_writer(&mut bytes, &self)?;
        if bytes.len() > LINE_BYTES_MAX { Err(BadLine::TooLong(bytes.len())) } else { Ok(bytes) }
    }
}

/// What a line says of its own place: enough to check the chain.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Header {
    pub(crate) prev: Hash,
    pub(crate) seq: u64,
    pub(crate) ts: Stamp,
    #[serde(default)]
    request: Option<serde::de::IgnoredAny>,
    #[serde(rename = "type")]
    pub(crate) kind: String,
    pub(crate) v: u32,
}

/// Whether a line is a decision, by what it says itself.
pub(crate) fn feeds_the_book(header: &Header) -> bool {
    match header.kind.as_str() {
        // Statements are activity, unless a receipt is used or settled.
        "action.allowed" | "action.completed" => header.request.is_some(),
        kind => decision::KINDS.contains(&kind),
    }
}

/// A commitment as lines have it, as text.
pub(crate) fn commitment_text(digest: Digest) -> String {
    Commitment(Hash(digest.0)).to_string()
}

/// An error with all its causes.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(next) = cause {
        text.push_str(": ");
        text.push_str(&next.to_string());
        cause = next.source();
    }
    text
}

impl Header {
    pub(crate) fn read(bytes: &[u8]) -> Result<Self, BadLine> {
        let header: Self = serde_json::from_slice(bytes)?;
        if header.v != VERSION {
            return Err(BadLine::Version(header.v));
        }
        if countersign_ledger::events::find(&header.kind).is_none() {
            return Err(BadLine::Type(header.kind));
        }
        Ok(header)
    }
}

/// Reads a line.
///
/// # Errors
/// [`BadLine`].
pub fn read(bytes: Vec<u8>) -> Result<Line, BadLine> {
    Header::read(&bytes)?;
    let envelope: Envelope<serde_json::Value> = serde_json::from_slice(&bytes)?;
    Ok(Line {
        index: envelope.seq,
        at: envelope.ts.0,
        kind: envelope.kind.into_owned(),
        outcome: envelope.outcome,
        actor: envelope.actor,
        person: envelope.person,
        subject: envelope.subject,
        request: envelope.request,
        grant: envelope.grant,
        session: envelope.session,
        resource: envelope.resource,
        role: envelope.role,
        data: envelope.data,
        prev: envelope.prev,
        bytes,
    })
}

/// Reads the event of a line that feeds the book, and when it happened.
///
/// # Errors
/// [`BadLine`], also for a line that is activity.
pub(crate) fn read_event(bytes: &[u8], hydrate: Hydrate<'_>) -> Result<(Event, At), BadLine> {
    Header::read(bytes)?;
    let envelope: Envelope<Box<RawValue>> = serde_json::from_slice(bytes)?;
    let at = envelope.ts.0;
    Ok((event_of(envelope, hydrate)?, at))
}

impl Serialize for Stamp {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0.rfc3339())
    }
}

impl<'de> Deserialize<'de> for Stamp {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        let ts: Ts = text.parse().map_err(serde::de::Error::custom)?;
        Ok(Self(At(ts.micros())))
    }
}

impl Serialize for Sealed {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&Commitment(Hash(self.0.0)))
    }
}

impl<'de> Deserialize<'de> for Sealed {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        let commitment: Commitment = text.parse().map_err(serde::de::Error::custom)?;
        Ok(Self(Digest(commitment.0.0)))
    }
}
