//! What is spent under grants and in sessions: counted as it happens, kept with the lines that tell of it.
//!
//! A grant's count is one for all sessions under it. It is kept beside the chain, in the transaction that writes a line
//! about what was spent, so a restart makes no budget new; and it is at hand as long as somebody spends, so that judging
//! reads four numbers. A count that cannot be read is taken for the largest there is: what is not known to be left is
//! not left.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use countersign_core::GrantId;
use countersign_core::budget::Spent;

use crate::action::Completion;
use crate::store::{Drawer, Put, Store};

/// How many counts are looked after before those that nobody uses are dropped.
const SWEPT_AT: usize = 1_024;
/// Before the key of a grant's count.
const PREFIX: &[u8] = b"spent/";

/// The counts of grants.
pub(crate) struct Spending {
    store: Arc<dyn Store>,
    open: Mutex<BTreeMap<GrantId, Weak<Tally>>>,
}

/// One count, added to by whoever spends.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    statements: AtomicU64,
    rows: AtomicU64,
    bytes: AtomicU64,
    micros: AtomicU64,
}

impl Spending {
    pub(crate) fn new(store: Arc<dyn Store>) -> Self {
        Self { store, open: Mutex::default() }
    }

    /// The count of a grant, for whoever is about to spend.
    pub(crate) fn of(this: &Weak<Self>, grant: GrantId) -> Arc<Tally> {
        this.upgrade().map_or_else(|| Arc::new(Tally::from(ALL)), |spending| spending.open(grant))
    }

    fn open(&self, grant: GrantId) -> Arc<Tally> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(tally) = open.get(&grant).and_then(Weak::upgrade) {
            return tally;
        }
        let tally = Arc::new(Tally::from(self.kept(grant)));
        if open.len() >= SWEPT_AT {
            open.retain(|_, tally| tally.strong_count() > 0);
        }
        open.insert(grant, Arc::downgrade(&tally));
        tally
    }

    /// What was spent under a grant, to be shown.
    pub(crate) fn spent(&self, grant: GrantId) -> Spent {
        let open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let tally = open.get(&grant).and_then(Weak::upgrade);
        drop(open);
        tally.map_or_else(|| self.kept(grant), |tally| tally.spent())
    }

    fn kept(&self, grant: GrantId) -> Spent {
        match self.store.get(Drawer::Cursors, &key(grant)) {
            Ok(None) => Spent::default(),
            Ok(Some(bytes)) => read(&bytes).unwrap_or(ALL),
            Err(error) => {
                tracing::error!(%grant, %error, "what was spent cannot be read; it counts as everything");
                ALL
            }
        }
    }
}

impl Tally {
    /// Something runs.
    pub(crate) fn ran(&self) {
        add(&self.statements, 1);
    }

    /// It is over.
    pub(crate) fn ended(&self, how: &Completion) {
        add(&self.rows, how.rows.unwrap_or_default());
        add(&self.bytes, how.bytes);
        add(&self.micros, how.micros);
    }

    pub(crate) fn spent(&self) -> Spent {
        Spent {
            statements: self.statements.load(Relaxed),
            rows: self.rows.load(Relaxed),
            bytes: self.bytes.load(Relaxed),
            micros: self.micros.load(Relaxed),
        }
    }

    /// What is kept of it with the lines that tell of it.
    pub(crate) fn put(&self, grant: GrantId) -> Put {
        let Spent { statements, rows, bytes, micros } = self.spent();
        Put::set(
            Drawer::Cursors,
            key(grant),
            [statements, rows, bytes, micros].map(u64::to_be_bytes).concat(),
        )
    }
}

impl From<Spent> for Tally {
    fn from(spent: Spent) -> Self {
        Self {
            statements: spent.statements.into(),
            rows: spent.rows.into(),
            bytes: spent.bytes.into(),
            micros: spent.micros.into(),
        }
    }
}

/// As much as there can be.
const ALL: Spent = Spent { statements: u64::MAX, rows: u64::MAX, bytes: u64::MAX, micros: u64::MAX };

/// Adds, and stays at the largest there is.
fn add(count: &AtomicU64, more: u64) {
    let before = count.fetch_add(more, Relaxed);
    if before.checked_add(more).is_none() {
        count.store(u64::MAX, Relaxed);
    }
}

fn key(grant: GrantId) -> Vec<u8> {
    [PREFIX, &grant.0.to_be_bytes()].concat()
}

fn read(bytes: &[u8]) -> Option<Spent> {
    let (numbers, rest) = bytes.as_chunks::<8>();
    let [statements, rows, bytes, micros] = numbers.first_chunk::<4>()?.map(u64::from_be_bytes);
    (rest.is_empty() && numbers.len() == 4).then_some(Spent { statements, rows, bytes, micros })
}
