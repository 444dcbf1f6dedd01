//! What readers see: an immutable state, and word of what changed.

use std::sync::Arc;

use countersign_core::{At, Book, Event};
use countersign_policy::Compiled;

/// The whole live state at one instant. Reading it takes no lock, and it never changes.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// Everything that has happened.
    pub book: Book,
    /// The bundle in force, if there is one.
    pub policy: Option<Arc<Compiled>>,
    /// The index that the next line gets.
    pub index: u64,
    /// The index behind the last decision: as long as it is the same, the book is.
    pub decided: u64,
    /// The ledger's instant.
    pub at: At,
}

/// What changed last, by subject: the index behind the last line about it. Whoever keeps an earlier value sees
/// what is new even if some changes in between were not seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Changed {
    /// The index behind the last decision, or the size of the last checkpoint, whichever was last.
    pub index: u64,
    /// By subject.
    pub topics: Topics,
}

/// The index behind the last line about each subject.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Topics {
    /// Requests.
    pub requests: u64,
    /// Grants.
    pub grants: u64,
    /// Sessions.
    pub sessions: u64,
    /// Principals.
    pub principals: u64,
    /// The bundle.
    pub bundle: u64,
    /// The ledger: the size of the last checkpoint.
    pub ledger: u64,
}

impl Topics {
    pub(crate) fn mark(&mut self, event: &Event, index: u64) {
        match event {
            Event::Request(_) => self.requests = index,
            Event::Grant(_) => self.grants = index,
            Event::Session(_) => self.sessions = index,
            Event::Principal(_) | Event::Directory(_) => self.principals = index,
            Event::Bundle(_) => self.bundle = index,
        }
    }

    /// Anything but the ledger's checkpoint may have changed.
    pub(crate) fn mark_all(&mut self, index: u64) {
        let ledger = self.ledger;
        *self = Self {
            requests: index,
            grants: index,
            sessions: index,
            principals: index,
            bundle: index,
            ledger,
        };
    }

    pub(crate) fn mark_ledger(&mut self, size: u64) {
        self.ledger = size;
    }

    /// Whether nothing is marked.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// The names of the subjects that are newer here than in `earlier`.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Vec<&'static str> {
        let pairs = [
            ("requests", self.requests, earlier.requests),
            ("grants", self.grants, earlier.grants),
            ("sessions", self.sessions, earlier.sessions),
            ("principals", self.principals, earlier.principals),
            ("bundle", self.bundle, earlier.bundle),
            ("ledger", self.ledger, earlier.ledger),
        ];
        pairs.into_iter().filter(|(_, new, old)| new > old).map(|(name, _, _)| name).collect()
    }
}

impl Changed {
    pub(crate) fn add(&mut self, topics: Topics) {
        let mine = &mut self.topics;
        mine.requests = mine.requests.max(topics.requests);
        mine.grants = mine.grants.max(topics.grants);
        mine.sessions = mine.sessions.max(topics.sessions);
        mine.principals = mine.principals.max(topics.principals);
        mine.bundle = mine.bundle.max(topics.bundle);
        mine.ledger = mine.ledger.max(topics.ledger);
        let all = [mine.requests, mine.grants, mine.sessions, mine.principals, mine.bundle, mine.ledger];
        self.index = all.into_iter().max().unwrap_or_default();
    }
}

/// Whether the ledger takes records.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Health {
    /// It does.
    Ok,
    /// It does not; every action is refused until it does.
    Degraded {
        /// Since when.
        since: At,
        /// Why, for the operator.
        why: String,
    },
}
