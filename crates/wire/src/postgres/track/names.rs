//! One namespace of a session: what the server has confirmed, and what it will be if the messages on their
//! way succeed.
//!
//! A name is only ever answered for with certainty. Within one batch (up to a `Sync`) the last change sent
//! decides: if it fails, whatever relies on it is skipped by the server. Across batches that is not so: after
//! `Parse` of a name that exists, which fails, a `Bind` behind the `Sync` takes the *old* statement. Such a
//! name is [`Known::Unsettled`] until the answer is there.

use std::collections::BTreeMap;

use super::{NAMES_MAX, Refused, WEIGHT_BYTES_MAX};

/// What stands behind a name for a message that would be sent now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Known<'a, T> {
    /// Nothing that was made by the protocol; SQL may have made something.
    Unknown,
    /// This, or the message is skipped.
    Certain(&'a T),
    /// This when it was made; since then something ran that could have replaced it by SQL.
    Doubtful(&'a T),
    /// It depends on an answer that is not there yet: ask again when it is.
    Unsettled,
}

impl<'a, T> Known<'a, T> {
    /// It, if nothing else can be meant.
    #[must_use]
    pub const fn certain(self) -> Option<&'a T> {
        match self {
            Self::Certain(value) => Some(value),
            Self::Unknown | Self::Doubtful(_) | Self::Unsettled => None,
        }
    }
}

/// A change of one name, on its way to the server: made anew, or closed.
#[derive(Debug)]
pub(super) struct Change<T> {
    name: Vec<u8>,
    to: Option<Entry<T>>,
}

#[derive(Debug, Clone)]
struct Entry<T> {
    value: T,
    weight: usize,
    /// How often names had been doubted when it was made.
    doubts: u64,
}

/// The last change sent for a name that has changes on their way.
#[derive(Debug)]
struct Planned<T> {
    to: Option<Entry<T>>,
    in_flight: usize,
    batch: u64,
}

#[derive(Debug)]
pub(super) struct Names<T> {
    confirmed: BTreeMap<Vec<u8>, Entry<T>>,
    planned: BTreeMap<Vec<u8>, Planned<T>>,
    weight: usize,
    doubts: u64,
    batch: u64,
}

impl<T: Clone> Names<T> {
    pub(super) const fn new() -> Self {
        Self { confirmed: BTreeMap::new(), planned: BTreeMap::new(), weight: 0, doubts: 0, batch: 0 }
    }

    pub(super) fn known(&self, name: &[u8]) -> Known<'_, T> {
        let entry = match self.planned.get(name) {
            Some(planned) if planned.batch != self.batch => return Known::Unsettled,
            Some(planned) => planned.to.as_ref(),
            None => self.confirmed.get(name),
        };
        match entry {
            None => Known::Unknown,
            // SQL has no way to write the empty name.
            Some(entry) if name.is_empty() || entry.doubts == self.doubts => Known::Certain(&entry.value),
            Some(entry) => Known::Doubtful(&entry.value),
        }
    }

    pub(super) const fn doubt(&mut self) {
        self.doubts += 1;
    }

    /// The same, but for this name: what made the others doubtful can't have touched it.
    pub(super) fn doubt_others(&mut self, kept: &[u8]) {
        let before = self.doubts;
        self.doubts += 1;
        let planned = self.planned.get_mut(kept).and_then(|planned| planned.to.as_mut());
        for entry in planned.into_iter().chain(self.confirmed.get_mut(kept)) {
            if entry.doubts == before {
                entry.doubts = self.doubts;
            }
        }
    }

    /// A `Sync` was sent: what follows is no longer skipped with what was before.
    pub(super) const fn next_batch(&mut self) {
        self.batch += 1;
    }

    pub(super) const fn weight_bytes(&self) -> usize {
        self.weight
    }

    /// A change that makes a name, to be sent now; `others` weighs what the other namespace holds.
    pub(super) fn make(
        &mut self,
        name: &[u8],
        made: (T, usize),
        others: usize,
    ) -> Result<Change<T>, Refused> {
        let (value, weight) = made;
        let is_new = !self.confirmed.contains_key(name) && !self.planned.contains_key(name);
        if is_new && self.confirmed.len() + self.planned.len() >= NAMES_MAX {
            return Err(Refused::Names);
        }
        if self.weight.saturating_add(others).saturating_add(weight) > WEIGHT_BYTES_MAX {
            return Err(Refused::Weight);
        }
        let entry = Entry { value, weight, doubts: self.doubts };
        Ok(self.plan(Change { name: name.to_vec(), to: Some(entry) }))
    }

    /// A change that closes a name, to be sent now.
    pub(super) fn close(&mut self, name: &[u8]) -> Change<T> {
        self.plan(Change { name: name.to_vec(), to: None })
    }

    fn plan(&mut self, change: Change<T>) -> Change<T> {
        self.weight += change.to.as_ref().map_or(0, |entry| entry.weight);
        let new = Planned { to: None, in_flight: 0, batch: self.batch };
        let planned = self.planned.entry(change.name.clone()).or_insert(new);
        planned.to.clone_from(&change.to);
        planned.in_flight += 1;
        planned.batch = self.batch;
        change
    }

    /// The oldest change on its way has succeeded.
    pub(super) fn confirm(&mut self, change: Change<T>) {
        let doubts = self.arrive(&change.name);
        let replaced = match change.to {
            Some(entry) => {
                // It may have been kept out of a doubt while it was on its way.
                let doubts = doubts.unwrap_or(entry.doubts);
                self.confirmed.insert(change.name, Entry { doubts, ..entry })
            }
            None => self.confirmed.remove(&change.name),
        };
        self.release(replaced.as_ref());
    }

    /// The oldest change on its way has failed or was skipped.
    pub(super) fn abandon(&mut self, change: &Change<T>) {
        self.arrive(&change.name);
        self.release(change.to.as_ref());
    }

    /// What is planned is the *last* change sent, so it stands until that one has arrived too: then it says how often names
    /// had been doubted that it was not kept out of.
    fn arrive(&mut self, name: &[u8]) -> Option<u64> {
        let planned = self.planned.get_mut(name)?;
        planned.in_flight = planned.in_flight.saturating_sub(1);
        if planned.in_flight > 0 {
            return None;
        }
        self.planned.remove(name)?.to.map(|entry| entry.doubts)
    }

    fn release(&mut self, entry: Option<&Entry<T>>) {
        self.weight = self.weight.saturating_sub(entry.map_or(0, |entry| entry.weight));
    }

    /// The server has forgotten all names that it had confirmed.
    pub(super) fn forget_confirmed(&mut self) {
        for entry in std::mem::take(&mut self.confirmed).into_values() {
            self.release(Some(&entry));
        }
    }
}
