//! Opening a ledger: who we are, what has happened, and whether what is stored is what was written.
//!
//! The lines from the last snapshot of the book on are checked one by one: each is in its place, carries the hash
//! of the one before, and is of a version and a type that this program knows. The tree must lead to the root of the
//! last checkpoint. Whatever does not fit is told with its place, and nothing starts.

use std::sync::Arc;

use countersign_core::{At, Book};
use countersign_ledger::{Checkpoint, Ed25519Signer, Hash, Sign as _};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::content::{Contents, Texts};
use super::tree::{Published, Tree};
use super::work::{Deed, From, Note, Work};
use super::{Live, Writer};
use crate::house::House;
use crate::keys::{HouseKeys, KeysError};
use crate::line::{Header, Outcome, Stamp, State, Topic, feeds_the_book, read_event};
use crate::ports::Ports;
use crate::seal::Keyring;
use crate::settings::Settings;
use crate::store::{Drawer, Order, Put, Scan, Store, StoreError, StoredLine};

/// Where the tree's state is kept.
pub(crate) const TREE_KEY: &[u8] = b"tree";

/// Where the snapshot of the book is kept.
const BOOK_KEY: &[u8] = b"book";

/// Where the log's key is kept.
pub(crate) const LOG_KEY: &[u8] = b"log-key";
const ORIGIN: &[u8] = b"origin";
/// What tells whether the keys of the house are those that the store was made with.
pub(crate) const MASTER_CHECK: &[u8] = b"master-key";

/// How many lines are read at a time.
const READ_MAX: usize = 4_096;

/// Why the engine does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The store can't be read or written.
    #[error("the ledger can't be opened")]
    Store(#[from] StoreError),
    /// The master key is not the one that the store was made with.
    #[error(
        "the master key is not the one this ledger was made with; start with the key that lay beside it then"
    )]
    MasterKey,
    /// The keys of the house can't be had.
    #[error("the keys of the house can't be had")]
    Keys(#[source] KeysError),
    /// Another ledger than the settings say.
    #[error(
        "this ledger's origin is `{found}`, not `{expected}`; correct the setting, or use another folder"
    )]
    Origin {
        /// What the settings say.
        expected: String,
        /// What the store says.
        found: String,
    },
    /// The origin can't name a log.
    #[error("`{origin}` can't be the origin of a ledger: {why}")]
    BadOrigin {
        /// What the settings say.
        origin: String,
        /// Why not.
        why: String,
    },
    /// What is stored is not what was written.
    #[error("{0}")]
    Broken(#[from] Broken),
    /// The bundle in force is not there or can't be read.
    #[error("the bundle in force, `{0}`, is missing or does not compile; restore the store from a backup")]
    Bundle(countersign_core::BundleHash),
}

/// What is stored is not what was written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the ledger is broken at {place}: {what}; keep it as it is, verify an export, and restore a backup elsewhere"
)]
pub struct Broken {
    /// Where: a line, a checkpoint, the tree.
    pub place: String,
    /// What is wrong.
    pub what: String,
}

impl Broken {
    fn at(index: u64, what: impl Into<String>) -> Self {
        Self { place: format!("line {index}"), what: what.into() }
    }
}

/// The snapshot of the book: not the truth, only a shorter way to it.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Saved {
    /// The program that wrote it: another one may see the same events otherwise.
    version: String,
    index: u64,
    prev: Hash,
    at: At,
    decided: u64,
    book: Book,
}

/// A ledger whose keys were found, or made, and whose lines were not looked at yet.
pub(crate) struct Unread {
    pub(crate) house: Arc<House>,
    signer: Ed25519Signer,
    /// What the writer does wrong on purpose.
    #[cfg(any(test, feature = "testing"))]
    pub(crate) mistake: Option<crate::testing::Mistake>,
}

impl Unread {
    /// The ledger in `store`, or a new one.
    pub(crate) fn find(
        store: Arc<dyn Store>,
        keys: &HouseKeys,
        ports: Ports,
        settings: Settings,
    ) -> Result<Self, StartError> {
        let keyring = Keyring::new(&keys.ring);
        let signer = identity(&*store, &keyring, &ports, &settings)?;
        let house = Arc::new(House::new(store, keyring, ports, settings));
        Ok(Self {
            house,
            signer,
            #[cfg(any(test, feature = "testing"))]
            mistake: None,
        })
    }

    /// Reads it, checks it, and writes down that the gateway started.
    pub(crate) fn open(self) -> Result<Writer, StartError> {
        let Self { house, signer, .. } = self;
        let (live, tree, published) = rebuild(&house, &signer)?;
        let mut writer = Writer {
            store: Arc::clone(&house.store),
            ports: house.ports.clone(),
            house,
            signer,
            live,
            contents: Contents::default(),
            texts: Texts::default(),
            standing: std::collections::BTreeMap::new(),
            tree,
            published,
            checkpoint_tried: At(i64::MIN),
            broken: None,
            survived: false,
            since_snapshot: 0,
            unhurried: false,
            #[cfg(any(test, feature = "testing"))]
            mistake: self.mistake,
        };
        started(&mut writer)?;
        Ok(writer)
    }
}

/// The last line of a gateway that stopped in order.
pub(crate) const STOPPED: &str = "system.stopped";

/// What a crash may have cost, in the words of the line that tells of it.
const ABRUPT: &str = "the gateway before did not stop in order; reads that it recorded alongside in its last moments \
                      may be missing";

fn started(writer: &mut Writer) -> Result<(), StartError> {
    let (since, why) = abrupt_end(writer)?.unzip();
    let state = State { since, version: crate::VERSION, why };
    let mut note = Note::new("system.started", Topic::State(state));
    note.line.outcome = Outcome::Success;
    let restart = Deed::new(countersign_core::Command::Restart, From::HOUSE);
    writer.turn(&[Work::Note(Box::new(note)), Work::Deed(Box::new(restart))]);
    match writer.broken() {
        None => Ok(()),
        Some(broken) => Err(StoreError::failed("write the first line", broken.why.clone()).into()),
    }
}

/// Whether the gateway before went away without a word: when it was last heard of, and what that may have cost.
fn abrupt_end(writer: &Writer) -> Result<Option<(Stamp, String)>, StartError> {
    let Some(last) = writer.live.index.checked_sub(1) else { return Ok(None) };
    let line = writer.store.read(last, 1)?;
    let line = line.first().ok_or_else(|| Broken::at(last, "the line is missing"))?;
    let header = Header::read(&line.bytes).map_err(|bad| Broken::at(last, crate::line::chain(&bad)))?;
    Ok((header.kind != STOPPED).then(|| (Stamp(header.ts.0), ABRUPT.to_owned())))
}

/// The ledger's own key and name. They are made with the ledger and never again.
fn identity(
    store: &dyn Store,
    keyring: &Keyring,
    ports: &Ports,
    settings: &Settings,
) -> Result<Ed25519Signer, StartError> {
    let bad_origin = |error: countersign_ledger::note::KeyError| StartError::BadOrigin {
        origin: settings.origin.clone(),
        why: error.to_string(),
    };
    let Some(check) = store.get(Drawer::Meta, MASTER_CHECK)? else {
        if store.next_index()? > 0 {
            return Err(Broken { place: "the keys".into(), what: "they are missing".into() }.into());
        }
        let seed = Zeroizing::new(ports.random::<32>());
        let signer = Ed25519Signer::from_seed(&settings.origin, &seed).map_err(bad_origin)?;
        store.put(&[
            Put::new(Drawer::Meta, MASTER_CHECK, keyring.seal(ports, "master-key", b"this is it")),
            Put::new(Drawer::Meta, ORIGIN, settings.origin.as_bytes()),
            Put::new(Drawer::Meta, LOG_KEY, keyring.seal(ports, "log-key", seed.as_ref())),
        ])?;
        return Ok(signer);
    };
    keyring.open("master-key", &check).map_err(|_| StartError::MasterKey)?;
    let found = store.get(Drawer::Meta, ORIGIN)?.unwrap_or_default();
    if found != settings.origin.as_bytes() {
        let found = String::from_utf8_lossy(&found).into_owned();
        return Err(StartError::Origin { expected: settings.origin.clone(), found });
    }
    let sealed = store.get(Drawer::Meta, LOG_KEY)?.unwrap_or_default();
    let seed = Zeroizing::new(keyring.open("log-key", &sealed).map_err(|_| StartError::MasterKey)?);
    let seed: &[u8; 32] = seed.as_slice().try_into().map_err(|_| StartError::MasterKey)?;
    Ed25519Signer::from_seed(&settings.origin, seed).map_err(bad_origin)
}

/// All that has happened, from the snapshot and the lines behind it.
fn rebuild(house: &House, signer: &Ed25519Signer) -> Result<(Live, Tree, Option<Published>), StartError> {
    let next = house.store.next_index()?;
    let mut live = saved(house, next)?.unwrap_or_else(Live::beginning);
    let (mut tree, mut published) = stored_tree(house, signer, next)?;
    let from = live.index.min(tree.size());
    let mut prev = leaf_before(house, from)?;
    let last = published.as_ref().map(|last| (last.size, last.root));
    let mut index = from;
    while index < next {
        let lines = house.store.read(index, READ_MAX)?;
        if lines.is_empty() {
            return Err(Broken::at(index, "the line is missing").into());
        }
        for line in &lines {
            if line.index != index {
                return Err(Broken::at(index, "the line is missing").into());
            }
            prev = follow(house, &mut live, &mut tree, line, prev)?;
            index += 1;
            if last.is_some_and(|(size, root)| size == tree.size() && size == index && root != tree.root()) {
                return Err(not_the_root(index).into());
            }
            if let Some(last) = published.as_mut().filter(|last| last.size == tree.size()) {
                last.partials = tree.partials().to_vec();
            }
        }
    }
    if let Some(in_force) = live.book.in_force.clone() {
        let bundle = in_force.bundle;
        live.policy = Some(house.compiled(&bundle).ok_or(StartError::Bundle(bundle))?);
    }
    Ok((live, tree, published))
}

/// Checks one line's place, and learns from it what is not known yet. Gives its hash.
fn follow(
    house: &House,
    live: &mut Live,
    tree: &mut Tree,
    line: &StoredLine,
    prev: Hash,
) -> Result<Hash, StartError> {
    let leaf = Hash::leaf(&line.bytes);
    if line.index >= live.index {
        learn(live, house, line)?;
    } else {
        let header =
            Header::read(&line.bytes).map_err(|bad| Broken::at(line.index, crate::line::chain(&bad)))?;
        if header.seq != line.index || header.prev != prev {
            return Err(Broken::at(line.index, "it does not follow the line before it").into());
        }
    }
    if line.index == tree.size() {
        tree.push(leaf);
    }
    Ok(leaf)
}

/// Learns the next line: it must follow the one before.
pub(super) fn learn(live: &mut Live, house: &House, line: &StoredLine) -> Result<(), Broken> {
    let broken = |what: String| Broken::at(line.index, what);
    let header = Header::read(&line.bytes).map_err(|bad| broken(crate::line::chain(&bad)))?;
    if header.seq != line.index || line.index != live.index || header.prev != live.prev {
        return Err(broken("it does not follow the line before it".into()));
    }
    if header.ts.0 < live.at {
        return Err(broken("it is older than the line before it".into()));
    }
    if feeds_the_book(&header) != line.decides {
        return Err(broken("it is filed as another kind of line than it is".into()));
    }
    live.at = header.ts.0;
    live.index += 1;
    live.prev = Hash::leaf(&line.bytes);
    if line.decides {
        let (event, at) = read_event(&line.bytes, &|bundle| house.catalogue(bundle))
            .map_err(|bad| broken(crate::line::chain(&bad)))?;
        live.book.apply(&event, at);
        live.decided = live.index;
        if let countersign_core::Event::Bundle(countersign_core::bundle::Event::Activated {
            bundle, ..
        }) = &event
        {
            // While starting, only the last bundle is compiled, at the end.
            live.policy = live.policy.is_some().then(|| house.compiled(bundle)).flatten();
        }
    }
    Ok(())
}

fn leaf_before(house: &House, index: u64) -> Result<Hash, StartError> {
    let Some(before) = index.checked_sub(1) else { return Ok(Hash::empty()) };
    let line = house.store.read(before, 1)?;
    let line = line.first().filter(|line| line.index == before);
    Ok(line.map(|line| Hash::leaf(&line.bytes)).ok_or_else(|| Broken::at(before, "the line is missing"))?)
}

/// The snapshot of the book, if it is one of these very lines.
fn saved(house: &House, next: u64) -> Result<Option<Live>, StartError> {
    let Some(sealed) = house.store.get(Drawer::Cursors, BOOK_KEY)? else { return Ok(None) };
    let plain = house.keyring.open("book", &sealed).ok();
    let saved = plain.and_then(|plain| serde_json::from_slice::<Saved>(&plain).ok());
    let Some(saved) = saved.filter(|saved| saved.version == crate::VERSION && saved.index <= next) else {
        tracing::info!("the snapshot of the book is of no use; reading the whole ledger");
        return Ok(None);
    };
    if saved.index == 0 || leaf_before(house, saved.index)? != saved.prev {
        return Ok(None);
    }
    Ok(Some(Live {
        book: saved.book,
        policy: None,
        index: saved.index,
        prev: saved.prev,
        at: saved.at,
        decided: saved.decided,
    }))
}

/// The snapshot of the book as it is stored.
pub(super) fn snapshot_put(ports: &Ports, keyring: &Keyring, live: &Live) -> Result<Put, serde_json::Error> {
    let saved = Saved {
        version: crate::VERSION.to_owned(),
        index: live.index,
        prev: live.prev,
        at: live.at,
        decided: live.decided,
        book: live.book.clone(),
    };
    let plain = serde_json::to_vec(&saved)?;
    Ok(Put::set(Drawer::Cursors, BOOK_KEY, keyring.seal(ports, "book", &plain)))
}

/// The tree as it was at the last checkpoint. Without one it grows from nothing.
fn stored_tree(
    house: &House,
    signer: &Ed25519Signer,
    next: u64,
) -> Result<(Tree, Option<Published>), StartError> {
    let Some((checkpoint, note)) = last_checkpoint(&*house.store)? else {
        return Ok((Tree::default(), None));
    };
    let broken = |what: &str| Broken {
        place: format!("the checkpoint over {} lines", checkpoint.size),
        what: what.into(),
    };
    let opened = Checkpoint::open(note.as_bytes(), std::slice::from_ref(signer.key()))
        .map_err(|error| broken(&error.to_string()))?;
    if opened.origin != house.settings.origin {
        return Err(broken("it is of another ledger").into());
    }
    if checkpoint.size > next {
        return Err(broken("lines behind it are missing: the ledger was cut short").into());
    }
    let stored = house.store.get(Drawer::Cursors, TREE_KEY)?;
    let tree = stored.and_then(|bytes| Tree::from_bytes(&bytes).ok()).unwrap_or_default();
    if tree.size() == checkpoint.size && tree.root() != checkpoint.root {
        return Err(not_the_root(checkpoint.size).into());
    }
    // A state of another size is of no use, but the lines are there to make it again.
    let tree = if tree.size() == checkpoint.size { tree } else { Tree::default() };
    let partials = tree.partials().to_vec();
    let (size, root) = (checkpoint.size, checkpoint.root);
    Ok((tree, Some(Published { size, root, note, at: At(0), partials })))
}

fn not_the_root(size: u64) -> Broken {
    Broken {
        place: format!("one of the first {size} lines"),
        what: "the hash tree does not lead to the root of the last checkpoint".into(),
    }
}

/// The last checkpoint, unverified, with its note.
pub(super) fn last_checkpoint(store: &dyn Store) -> Result<Option<(Checkpoint, String)>, StoreError> {
    let scan = Scan { prefix: &[], after: None, order: Order::Down, count: 1 };
    let pairs = store.scan(Drawer::Checkpoints, &scan)?;
    let Some((_, note)) = pairs.into_iter().next() else { return Ok(None) };
    let checkpoint = Checkpoint::read_unverified(&note)
        .map_err(|error| StoreError::failed("read the last checkpoint", error))?;
    Ok(Some((checkpoint, String::from_utf8_lossy(&note).into_owned())))
}

impl Live {
    /// Before the first line.
    fn beginning() -> Self {
        Self {
            book: Book::default(),
            policy: None,
            index: 0,
            prev: Hash::empty(),
            at: At(i64::MIN),
            decided: 0,
        }
    }
}
