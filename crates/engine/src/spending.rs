//! What is spent under grants and in sessions: counted as it happens, kept with the lines that tell of it.
//!
//! A grant's count is one for all sessions under it. It is kept beside the chain, in the transaction that writes a line
//! about what was spent, so a restart makes no budget new; and it is at hand as long as somebody spends, so that judging
//! reads four numbers. A count that cannot be read is taken for the largest there is: what is not known to be left is
//! not left. Different relations are counted where a budget limits them, by digests of their names.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use countersign_core::action::hash;
use countersign_core::budget::{Reached, Spent};
use countersign_core::question::{Context, Value};
use countersign_core::{Digest, GrantId};

use crate::action::Completion;
use crate::store::{Drawer, Put, Store};

/// How many counts are looked after before those that nobody uses are dropped.
const SWEPT_AT: usize = 1_024;
/// How many relations are told apart. More count as all there are.
const RELATIONS_MAX: usize = 4_096;
/// Schemas of the server's own, whose relations everybody's client reads.
const OF_THE_SERVER: &[&str] = &["pg_catalog.", "information_schema.", "pg_toast."];
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
    relations: Mutex<Relations>,
    /// Of a session: what was taken by calls of those tools that have limits of their own.
    tools: Mutex<BTreeMap<String, Spent>>,
    /// The limits of one statement that something has exceeded.
    flagged: Mutex<BTreeSet<String>>,
}

/// Different relations, by digests of their names.
#[derive(Debug, Default)]
struct Relations {
    known: BTreeSet<Name>,
    /// There may be others, which nobody can tell.
    lost: bool,
}

/// The digest of a relation's name.
type Name = [u8; 16];

/// The relations that an action touches.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Touched {
    names: BTreeSet<Name>,
    /// They are all.
    complete: bool,
}

impl Touched {
    /// As a door told it.
    pub(crate) fn by(context: &Context) -> Self {
        let complete = context.get("resolved") == Some(&Value::Bool(true));
        let Some(Value::Texts(touched)) = context.get("touches") else { return Self::default() };
        let own = |name: &&String| OF_THE_SERVER.iter().any(|schema| name.starts_with(schema));
        let names = touched.iter().filter(|name| !own(name)).map(|name| digest(name));
        Self { names: names.collect(), complete }
    }

    /// How many.
    pub(crate) fn count(&self) -> u64 {
        if self.complete { self.names.len() as u64 } else { u64::MAX }
    }
}

fn digest(name: &str) -> Name {
    let Digest(bytes) = hash(&[b"countersign/relation/v1\n", name.as_bytes()]);
    let mut digest = Name::default();
    digest.iter_mut().zip(bytes).for_each(|(slot, byte)| *slot = byte);
    digest
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
        let tally = Arc::new(self.kept(grant));
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
        tally.map_or_else(|| self.kept(grant).spent(), |tally| tally.spent())
    }

    fn kept(&self, grant: GrantId) -> Tally {
        match self.store.get(Drawer::Cursors, &key(grant)) {
            Ok(None) => Tally::default(),
            Ok(Some(bytes)) => read(&bytes).unwrap_or_else(|| Tally::from(ALL)),
            Err(error) => {
                tracing::error!(%grant, %error, "what was spent cannot be read; it counts as everything");
                Tally::from(ALL)
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

    /// A tool is called.
    pub(crate) fn called(&self, tool: &str) {
        let mut tools = self.tools.lock().unwrap_or_else(PoisonError::into_inner);
        let spent = tools.entry(tool.to_owned()).or_default();
        spent.statements = spent.statements.saturating_add(1);
    }

    /// A call of a tool is over.
    pub(crate) fn answered(&self, tool: &str, how: &Completion) {
        let mut tools = self.tools.lock().unwrap_or_else(PoisonError::into_inner);
        let spent = tools.entry(tool.to_owned()).or_default();
        spent.bytes = spent.bytes.saturating_add(how.bytes);
        spent.micros = spent.micros.saturating_add(how.micros);
    }

    /// What was taken by calls of a tool.
    pub(crate) fn by(&self, tool: &str) -> Spent {
        let tools = self.tools.lock().unwrap_or_else(PoisonError::into_inner);
        tools.get(tool).copied().unwrap_or_default()
    }

    /// Something runs that touches these relations.
    pub(crate) fn touches(&self, touched: &Touched) {
        let mut relations = self.relations.lock().unwrap_or_else(PoisonError::into_inner);
        for name in &touched.names {
            if relations.known.len() >= RELATIONS_MAX && !relations.known.contains(name) {
                relations.lost = true;
                return;
            }
            relations.known.insert(*name);
        }
    }

    /// How many different relations are touched, these with them.
    pub(crate) fn spread(&self, touched: &Touched) -> u64 {
        let relations = self.relations.lock().unwrap_or_else(PoisonError::into_inner);
        if relations.lost || !touched.complete {
            return u64::MAX;
        }
        let new = touched.names.iter().filter(|name| !relations.known.contains(*name)).count();
        (relations.known.len() + new) as u64
    }

    /// A statement has exceeded these limits.
    pub(crate) fn flag(&self, exceeded: impl Iterator<Item = Reached>) {
        let mut exceeded = exceeded.peekable();
        if exceeded.peek().is_some() {
            let mut flagged = self.flagged.lock().unwrap_or_else(PoisonError::into_inner);
            flagged.extend(exceeded.map(|one| one.name()));
        }
    }

    /// What was exceeded so far.
    pub(crate) fn flagged(&self) -> BTreeSet<String> {
        self.flagged.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn spent(&self) -> Spent {
        let relations = self.relations.lock().unwrap_or_else(PoisonError::into_inner);
        Spent {
            relations: if relations.lost { u64::MAX } else { relations.known.len() as u64 },
            statements: self.statements.load(Relaxed),
            rows: self.rows.load(Relaxed),
            bytes: self.bytes.load(Relaxed),
            micros: self.micros.load(Relaxed),
        }
    }

    /// What is kept of it with the lines that tell of it.
    pub(crate) fn put(&self, grant: GrantId) -> Put {
        let Spent { statements, rows, bytes, micros, .. } = self.spent();
        let mut value = [statements, rows, bytes, micros].map(u64::to_be_bytes).concat();
        let relations = self.relations.lock().unwrap_or_else(PoisonError::into_inner);
        if !relations.known.is_empty() || relations.lost {
            value.push(u8::from(relations.lost));
            relations.known.iter().for_each(|name| value.extend_from_slice(name));
        }
        Put::set(Drawer::Cursors, key(grant), value)
    }
}

impl From<Spent> for Tally {
    fn from(spent: Spent) -> Self {
        Self {
            statements: spent.statements.into(),
            rows: spent.rows.into(),
            bytes: spent.bytes.into(),
            micros: spent.micros.into(),
            relations: Mutex::new(Relations { known: BTreeSet::new(), lost: spent.relations == u64::MAX }),
            tools: Mutex::default(),
            flagged: Mutex::default(),
        }
    }
}

/// As much as there can be.
const ALL: Spent =
    Spent { statements: u64::MAX, rows: u64::MAX, bytes: u64::MAX, micros: u64::MAX, relations: u64::MAX };

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

/// Four numbers; and where relations are counted, whether any are not told apart, and those that are.
fn read(bytes: &[u8]) -> Option<Tally> {
    let (numbers, rest) = bytes.split_first_chunk::<32>()?;
    let (numbers, _) = numbers.as_chunks::<8>();
    let [statements, rows, bytes, micros] = numbers.first_chunk::<4>()?.map(u64::from_be_bytes);
    let tally = Tally::from(Spent { statements, rows, bytes, micros, relations: 0 });
    if let Some((lost, names)) = rest.split_first() {
        let (names, rest) = names.as_chunks::<16>();
        if *lost > 1 || !rest.is_empty() {
            return None;
        }
        let mut relations = tally.relations.lock().unwrap_or_else(PoisonError::into_inner);
        *relations = Relations { known: names.iter().copied().collect(), lost: *lost == 1 };
        drop(relations);
    }
    Some(tally)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn touched(names: &[&str]) -> Touched {
        let names = names.iter().map(|name| (*name).to_owned()).collect();
        Touched::by(&Context::from([("resolved", Value::Bool(true)), ("touches", Value::Texts(names))]))
    }

    #[test]
    fn relations_are_told_apart_and_kept() {
        let tally = Tally::default();
        tally.touches(&touched(&["public.a", "public.b", "pg_catalog.pg_class"]));
        assert_eq!(tally.spread(&touched(&["public.b", "public.c"])), 3);
        let Some(kept) = tally.put(GrantId(1)).value.as_deref().and_then(read) else { panic!("unreadable") };
        assert_eq!((kept.spent().relations, kept.spread(&touched(&["public.a"]))), (2, 2));
        let unknown = Touched::by(&Context::from([("touches", Value::Texts(BTreeSet::new()))]));
        assert_eq!((kept.spread(&unknown), unknown.count()), (u64::MAX, u64::MAX));
        assert_eq!(Tally::from(ALL).spread(&touched(&[])), u64::MAX, "what can't be read is everything");
    }

    #[test]
    fn what_is_not_a_count_is_not_read() {
        let whole = Tally::default().put(GrantId(1)).value.unwrap_or_default();
        assert!(read(&whole).is_some());
        for broken in
            [&whole[..31], &[whole.as_slice(), &[2]].concat(), &[whole.as_slice(), &[0, 1]].concat()]
        {
            assert!(read(broken).is_none(), "{broken:?}");
        }
    }

    #[test]
    fn more_relations_than_are_told_apart_are_all_there_are() {
        let tally = Tally::default();
        let names: Vec<String> = (0..=RELATIONS_MAX).map(|number| format!("public.t{number}")).collect();
        tally.touches(&touched(&names.iter().map(String::as_str).collect::<Vec<_>>()));
        assert_eq!(tally.spent().relations, u64::MAX);
        let kept = tally.put(GrantId(1)).value.as_deref().and_then(read).map(|kept| kept.spent().relations);
        assert_eq!(kept, Some(u64::MAX));
    }
}
