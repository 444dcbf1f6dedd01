//! Decisions: every event of the book as a line, and back.
//!
//! One function each way, both without a catch-all: a new event does not compile until it has its line.

mod data;
mod read;
mod write;

use std::sync::Arc;

use countersign_core::catalogue::Catalogue;
use countersign_core::{BundleHash, Digest};
use serde_json::value::RawValue;

pub(crate) use read::event_of;
pub(crate) use write::encode_event;

use super::Envelope;

/// Reads a catalogue back by the hash of its bundle.
pub(crate) type Hydrate<'a> = &'a dyn Fn(&BundleHash) -> Option<Arc<Catalogue>>;

/// The types whose lines are always decisions.
pub(super) const KINDS: [&str; 27] = [
    "action.concluded",
    "action.held",
    "decision.approved",
    "decision.denied",
    "decision.quorum_reached",
    "directory.heard",
    "directory.lost",
    "directory.silent",
    "grant.expired",
    "grant.issued",
    "grant.relinquished",
    "grant.revoked",
    "identity.created",
    "identity.disabled",
    "identity.enabled",
    "identity.removed",
    "identity.updated",
    "policy.activated",
    "request.created",
    "request.escalated",
    "request.expired",
    "request.voided",
    "request.withdrawn",
    "session.locked",
    "session.opened",
    "session.terminated",
    "session.unlocked",
];

/// A line whose data is not read yet.
pub(crate) type Raw = Envelope<Box<RawValue>>;

/// What is known of a run beyond its outcome. Recorded, no part of the book.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Ran {
    pub(crate) bytes: u64,
    pub(crate) micros: u64,
    /// The digest of data that came after the yes.
    pub(crate) data: Option<Digest>,
    /// The commitment to what it gave back, if that is kept.
    pub(crate) kept: Option<Digest>,
    /// The commitment to digest and size of that, where a door tells them.
    pub(crate) digest: Option<Digest>,
}
