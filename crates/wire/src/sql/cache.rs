//! Judgements that are kept, so that a text is parsed once.
//!
//! Only the classification is kept, never a verdict: every execution is judged anew. The key is everything a
//! judgement depends on, compared in full: a hash finds the place, equality decides, so two texts that hash alike
//! are still two texts. Texts that differ in plain values alone may share one judgement (see [`super::alike`]).

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, Mutex, PoisonError};

use super::alike::{Outline, Pins};
use super::facts::Facts;
use super::parse::Parsed;
use super::session::SessionState;

/// What a text longer than this costs to parse is small against what keeping it costs.
const KEPT_TEXT_BYTES_MAX: usize = 16 * 1024;
/// How many bytes of texts are kept on average. What is judged of a text grows with it, to some ten times its size.
const TEXT_BYTES_MEAN: usize = 1024;

/// Everything a judgement depends on.
#[derive(Clone, Copy, Debug)]
pub struct ClassKey<'a> {
    /// The statement text.
    pub text: &'a [u8],
    /// Parameter types declared in Parse.
    pub parameter_types: &'a [u32],
    /// The session's state; shared, so that keeping it costs nothing.
    pub session: &'a Arc<SessionState>,
    /// [`super::Catalogue::version`]; `None` where no catalogue is known.
    pub catalogue_version: Option<&'a Arc<str>>,
}

/// A bounded store of judgements, safe to share between the sessions of one database.
#[derive(Debug)]
pub struct ClassCache {
    entries_max: usize,
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    /// Where the entries are, by hash of their key. Alike hashes replace each other.
    places: BTreeMap<u64, usize>,
    entries: Vec<Entry>,
    /// Bytes of all their texts.
    bytes: usize,
    /// Where the search for an entry to give up goes on.
    hand: usize,
}

#[derive(Debug)]
struct Entry {
    hash: u64,
    /// The text, or the outline of all texts that are judged like it.
    text: Box<[u8]>,
    /// What the literals of a text with this outline have to be; nothing for one that is itself.
    pins: Option<Pins>,
    parameter_types: Box<[u32]>,
    session: Arc<SessionState>,
    catalogue_version: Option<Arc<str>>,
    facts: Arc<Facts>,
    used: bool,
}

impl ClassCache {
    /// A store of at most `entries_max` judgements (at least one), each with a text of up to 16 KiB, of 1 KiB on average.
    pub fn new(entries_max: usize) -> ClassCache {
        ClassCache { entries_max: entries_max.max(1), inner: Mutex::default() }
    }

    /// The judgement of a key, from the store or made now. `judge` runs without the store being locked.
    pub fn get_or_insert(&self, key: ClassKey<'_>, judge: impl FnOnce() -> Facts) -> Arc<Facts> {
        if let Some(facts) = self.get(key) {
            return facts;
        }
        let facts = Arc::new(judge());
        self.insert(key, Arc::clone(&facts));
        facts
    }

    /// The judgement of a key if it is stored, or that of a text that is judged alike.
    pub fn get(&self, key: ClassKey<'_>) -> Option<Arc<Facts>> {
        let outline = key.outline();
        let alike = outline.and_then(|outline| {
            let of_outline = ClassKey { text: &outline.rest, ..key };
            self.find(of_outline, true, |pins| pins.is_some_and(|pins| outline.fits(key.text, pins)))
        });
        alike.or_else(|| self.find(key, false, |pins| pins.is_none()))
    }

    fn find(
        &self,
        key: ClassKey<'_>,
        of_outline: bool,
        fits: impl FnOnce(Option<&Pins>) -> bool,
    ) -> Option<Arc<Facts>> {
        let hash = key.hash(of_outline);
        let mut inner = self.lock();
        let place = *inner.places.get(&hash)?;
        let entry = inner.entries.get_mut(place).filter(|e| e.matches(&key) && fits(e.pins.as_ref()))?;
        entry.used = true;
        Some(Arc::clone(&entry.facts))
    }

    /// Stores a judgement, giving up one that was not used for longest when full.
    pub fn insert(&self, key: ClassKey<'_>, facts: Arc<Facts>) {
        self.put(key, None, facts);
    }

    /// Stores the judgement of what was parsed: for all texts that are judged alike, if there are any.
    pub fn learn(&self, key: ClassKey<'_>, parsed: &Parsed, facts: Arc<Facts>) {
        let alike = key.outline().and_then(|outline| {
            let pins = outline.pins(key.text, parsed, &facts)?;
            Some((outline.rest, pins))
        });
        match alike {
            Some((rest, pins)) => self.put(ClassKey { text: &rest, ..key }, Some(pins), facts),
            None => self.put(key, None, facts),
        }
    }

    fn put(&self, key: ClassKey<'_>, pins: Option<Pins>, facts: Arc<Facts>) {
        if key.text.len() > KEPT_TEXT_BYTES_MAX {
            return;
        }
        let entry = Entry {
            hash: key.hash(pins.is_some()),
            text: key.text.into(),
            pins,
            parameter_types: key.parameter_types.into(),
            session: Arc::clone(key.session),
            catalogue_version: key.catalogue_version.map(Arc::clone),
            facts,
            used: false,
        };
        self.lock().put(entry, self.entries_max);
    }

    /// How many judgements are stored.
    pub fn len(&self) -> usize {
        self.lock().entries.len()
    }

    /// Whether nothing is stored.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Inner> {
        // Nothing in here panics half-way; a poisoned lock holds whole entries.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ClassKey<'_> {
    fn outline(&self) -> Option<Outline> {
        if self.text.len() > KEPT_TEXT_BYTES_MAX { None } else { Outline::of(self.text) }
    }

    fn hash(&self, of_outline: bool) -> u64 {
        // The catalogue is one for all users of a store, but for the moment when it changes: compared, not hashed.
        let mut hasher = DefaultHasher::new();
        of_outline.hash(&mut hasher);
        self.text.hash(&mut hasher);
        self.parameter_types.hash(&mut hasher);
        self.session.hash(&mut hasher);
        hasher.finish()
    }
}

impl Entry {
    fn matches(&self, key: &ClassKey<'_>) -> bool {
        let same_catalogue = match (&self.catalogue_version, key.catalogue_version) {
            (None, None) => true,
            (Some(a), Some(b)) => Arc::ptr_eq(a, b) || a == b,
            _ => false,
        };
        same_catalogue
            && (Arc::ptr_eq(&self.session, key.session) || self.session == *key.session)
            && *self.parameter_types == *key.parameter_types
            && *self.text == *key.text
    }
}

impl Inner {
    fn put(&mut self, entry: Entry, entries_max: usize) {
        let bytes_max = entries_max.saturating_mul(TEXT_BYTES_MEAN).max(KEPT_TEXT_BYTES_MAX);
        if let Some(place) = self.places.get(&entry.hash).copied() {
            self.take(place);
        }
        while self.entries.len() >= entries_max || self.bytes.saturating_add(entry.text.len()) > bytes_max {
            let Some(place) = self.least_used() else { break };
            self.take(place);
        }
        self.bytes = self.bytes.saturating_add(entry.text.len());
        self.places.insert(entry.hash, self.entries.len());
        self.entries.push(entry);
    }

    /// Gives up the entry at `place`; the last one moves there.
    fn take(&mut self, place: usize) {
        if place >= self.entries.len() {
            return;
        }
        let gone = self.entries.swap_remove(place);
        self.bytes = self.bytes.saturating_sub(gone.text.len());
        self.places.remove(&gone.hash);
        if let Some(moved) = self.entries.get(place) {
            self.places.insert(moved.hash, place);
        }
    }

    /// The place of an entry that was not used since the hand last passed it.
    fn least_used(&mut self) -> Option<usize> {
        // Each step clears one mark, so at most one round is needed.
        for _ in 0..=self.entries.len() {
            let place = self.hand;
            self.hand = (self.hand + 1) % self.entries.len().max(1);
            let Some(entry) = self.entries.get_mut(place) else { continue };
            if !std::mem::take(&mut entry.used) {
                return Some(place);
            }
        }
        (!self.entries.is_empty()).then_some(0)
    }
}
