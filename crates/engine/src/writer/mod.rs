//! The only writer: looks up facts, decides, appends, applies, publishes.
//!
//! [`Writer::turn`] takes everything that waits, works through it on a book of its own, and writes one transaction.
//! Only when that is durable is anything published or answered. If it is not, the book is what it was before and
//! nobody was told otherwise. The thread that drives it ([`queue`]) adds nothing but waiting, so a test or a
//! simulation can drive the same code step by step.

mod activity;
mod content;
mod decisions;
pub(crate) mod entry;
mod facts;
pub(crate) mod open;
pub(crate) mod queue;
mod recovery;
pub(crate) mod tree;
pub(crate) mod work;

use std::collections::BTreeMap;
use std::sync::Arc;

use countersign_core::{At, Book, GrantId, RequestId, SessionId};
use countersign_ledger::{Ed25519Signer, Hash, Sign as _, VerifierKey};
use countersign_policy::Compiled;

use crate::line::{BadLine, Envelope, Place, Statement};
use crate::ports::Ports;
use crate::settings::{GIVE_WAY_EVERY, SNAPSHOT_EVERY};
use crate::sheet::Sheet;
use crate::snapshot::{Snapshot, Topics};
use crate::spending::Tally;
use crate::store::{Batch, Drawer, Put, Store, StoreError, StoredLine};
use content::{Contents, Texts};
pub(crate) use facts::Desk;
use tree::{Published, Tree};
use work::{NotDone, Reply, Standing, Work};

/// How many statements' contexts are kept for requests that wait.
const STANDING_MAX: usize = 65_536;

/// The only writer of a ledger.
pub(crate) struct Writer {
    store: Arc<dyn Store>,
    ports: Ports,
    pub(crate) house: Arc<crate::house::House>,
    signer: Ed25519Signer,
    live: Live,
    contents: Contents,
    texts: Texts,
    /// What requests that wait stand on.
    standing: BTreeMap<RequestId, Arc<Standing>>,
    tree: Tree,
    published: Option<Published>,
    checkpoint_tried: At,
    broken: Option<Broken>,
    /// The batch whose transaction failed last turned out to be durable after all.
    survived: bool,
    since_snapshot: u64,
    /// Nobody waits for what it writes next.
    unhurried: bool,
    /// What it does wrong on purpose.
    #[cfg(any(test, feature = "testing"))]
    pub(crate) mistake: Option<crate::testing::Mistake>,
}

/// The state that a failed transaction takes back.
#[derive(Clone)]
pub(crate) struct Live {
    pub(crate) book: Book,
    pub(crate) policy: Option<Arc<Compiled>>,
    /// The index that the next line gets.
    pub(crate) index: u64,
    /// Leaf hash of the last line.
    pub(crate) prev: Hash,
    /// The ledger's instant: that of the last line.
    pub(crate) at: At,
    /// The index behind the last decision.
    pub(crate) decided: u64,
}

/// Since when the store fails, and why.
#[derive(Clone, Debug)]
pub(crate) struct Broken {
    pub(crate) since: At,
    pub(crate) why: String,
    /// The first line of the batch that failed.
    from: u64,
    /// Whether that batch turned out to be durable after all, once that is known.
    survived: Option<bool>,
}

/// What a turn came to.
pub(crate) struct Turn {
    /// One for each piece of work, in order.
    pub(crate) replies: Vec<Reply>,
    /// The state that is now so, unless nothing was written.
    pub(crate) snapshot: Option<Arc<Snapshot>>,
    /// What changed.
    pub(crate) changed: Topics,
    /// A new checkpoint.
    pub(crate) published: Option<Published>,
}

/// What a turn gathers before it is durable.
#[derive(Default)]
struct Draft {
    batch: Batch,
    /// What is kept beside statements.
    sheet: Sheet,
    leaves: Vec<Hash>,
    topics: Topics,
    decisions: u64,
    /// What the sessions of statements stand on, until the next decision.
    claims: BTreeMap<SessionId, Option<GrantId>>,
    asked: Vec<(RequestId, Arc<Standing>)>,
    /// Under which grants something was spent.
    spent: BTreeMap<GrantId, Arc<Tally>>,
}

impl Writer {
    /// Works through `works` and makes what follows from them durable, in one transaction.
    pub(crate) fn turn(&mut self, works: &[Work]) -> Turn {
        if self.broken.is_some() {
            return Turn::failed(works.len());
        }
        let before = self.live.clone();
        let count = works.len();
        let mut draft = Draft::default();
        let mut replies: Vec<Reply> = Vec::with_capacity(count);
        draft.batch.unhurried = self.unhurried;
        for (nth, work) in works.iter().enumerate() {
            if nth % GIVE_WAY_EVERY == GIVE_WAY_EVERY - 1 {
                draft.batch.give_way();
            }
            let reply = self.work(work, &mut draft);
            if work.must_be_written() && matches!(reply, Err(NotDone::Unavailable)) {
                // It has happened: it waits for the store like everything else.
                self.fall_back(before, &StoreError::failed("read", "what a line needs could not be read"));
                return Turn::failed(count);
            }
            replies.push(reply);
        }
        let checkpoint = self.checkpoint_due().then(|| self.checkpoint(&mut draft)).flatten();
        self.snapshot_if_due(&mut draft);
        let spent = std::mem::take(&mut draft.spent);
        draft.batch.puts.extend(spent.into_iter().map(|(grant, tally)| tally.put(grant)));
        draft.batch.puts.extend(draft.sheet.put_away(&self.ports));
        if draft.batch.lines.is_empty() && draft.batch.puts.is_empty() {
            return Turn { replies, snapshot: None, changed: Topics::default(), published: None };
        }
        match self.commit(&before, draft, checkpoint) {
            Ok((changed, published)) => {
                Turn { replies, snapshot: Some(self.publishable()), changed, published }
            }
            Err(error) => {
                self.fall_back(before, &error);
                Turn::failed(count)
            }
        }
    }

    /// Since when the store fails, and why.
    pub(crate) fn broken(&self) -> Option<&Broken> {
        self.broken.as_ref()
    }

    /// Whether the batch that failed last turned out to be durable after all.
    pub(crate) fn survived(&self) -> bool {
        self.survived
    }

    /// The state as it is now.
    pub(crate) fn publishable(&self) -> Arc<Snapshot> {
        Arc::new(Snapshot {
            book: self.live.book.clone(),
            policy: self.live.policy.clone(),
            index: self.live.index,
            decided: self.live.decided,
            at: self.live.at,
        })
    }

    /// The key that the ledger's checkpoints are signed with.
    pub(crate) fn verifier(&self) -> &VerifierKey {
        self.signer.key()
    }

    /// The last checkpoint.
    pub(crate) fn published(&self) -> Option<&Published> {
        self.published.as_ref()
    }

    /// Makes the next turn sign a checkpoint if the ledger has grown, and store the book.
    pub(crate) fn settle(&mut self) -> Turn {
        self.checkpoint_tried = At(i64::MIN);
        self.since_snapshot = SNAPSHOT_EVERY;
        self.turn(&[])
    }

    fn work(&mut self, work: &Work, draft: &mut Draft) -> Reply {
        match work {
            Work::Deed(deed) => self.deed(deed, draft),
            Work::Statement(work) => self.statement(work, draft),
            Work::Note(note) => self.note(note, draft),
        }
    }

    fn append_line<D: serde::Serialize>(
        &mut self,
        line: Envelope<D>,
        at: At,
        decides: bool,
        draft: &mut Draft,
    ) -> Result<(), NotDone> {
        self.append_sealed(at, decides, draft, |place| line.seal(place))
    }

    fn append_sealed(
        &mut self,
        at: At,
        decides: bool,
        draft: &mut Draft,
        seal: impl FnOnce(&Place) -> Result<Vec<u8>, BadLine>,
    ) -> Result<(), NotDone> {
        let place = Place { at: at.max(self.live.at), ..self.place() };
        let bytes = seal(&place).map_err(|bad| NotDone::Unwritable(crate::line::chain(&bad)))?;
        let leaf = Hash::leaf(&bytes);
        draft.batch.lines.push(StoredLine { index: place.seq, decides, bytes });
        draft.leaves.push(leaf);
        self.live.index += 1;
        self.live.prev = leaf;
        self.live.at = place.at;
        Ok(())
    }

    fn place(&self) -> Place {
        Place {
            seq: self.live.index,
            prev: self.live.prev,
            at: self.live.at,
            epoch: 0,
            node: self.house.node.clone(),
        }
    }

    /// The clock's instant.
    pub(crate) fn clock(&self) -> At {
        self.ports.clock.now()
    }

    /// The ledger's instant: never before an earlier line's.
    fn now(&self) -> At {
        self.clock().max(self.live.at)
    }

    fn checkpoint_due(&self) -> bool {
        let size = self.published.as_ref().map_or(0, |last| last.size);
        self.tree.size() > size
            && self.checkpoint_tried.plus(self.house.settings.checkpoint_every) <= self.now()
    }

    /// Signs the tree as it is. What is signed is written in this very transaction, under a key that must be new:
    /// there are never two checkpoints of one size.
    fn checkpoint(&mut self, draft: &mut Draft) -> Option<Published> {
        let now = self.now();
        self.checkpoint_tried = now;
        let checkpoint = self.tree.checkpoint(&self.house.settings.origin);
        let note = match checkpoint.sign(&[&self.signer]) {
            Ok(note) => note,
            Err(error) => {
                tracing::error!(%error, "the ledger's checkpoint could not be signed");
                return None;
            }
        };
        let size = checkpoint.size.to_be_bytes();
        draft.batch.puts.push(Put::new(Drawer::Checkpoints, size, note.as_bytes()));
        draft.batch.puts.push(Put::set(Drawer::Cursors, open::TREE_KEY, self.tree.to_bytes()));
        let partials = self.tree.partials().to_vec();
        Some(Published { size: checkpoint.size, root: checkpoint.root, note, at: now, partials })
    }

    fn snapshot_if_due(&mut self, draft: &mut Draft) {
        self.since_snapshot = self.since_snapshot.saturating_add(draft.decisions);
        if self.since_snapshot < SNAPSHOT_EVERY {
            return;
        }
        match open::snapshot_put(&self.ports, &self.house.keyring, &self.live) {
            Ok(put) => {
                draft.batch.puts.push(put);
                self.since_snapshot = 0;
            }
            Err(error) => tracing::warn!(%error, "the book could not be stored; the next start takes longer"),
        }
    }

    /// Makes the draft durable; from then on it is so.
    fn commit(
        &mut self,
        before: &Live,
        mut draft: Draft,
        checkpoint: Option<Published>,
    ) -> Result<(Topics, Option<Published>), StoreError> {
        let tiles = self.tree.unsaved().len();
        draft.batch.puts.extend_from_slice(self.tree.unsaved());
        self.store.append(before.index, &draft.batch)?;
        self.tree.saved(tiles);
        draft.leaves.into_iter().for_each(|leaf| self.tree.push(leaf));
        if let Some(published) = &checkpoint {
            self.published = Some(published.clone());
            draft.topics.mark_ledger(published.size);
        }
        if self.standing.len() < STANDING_MAX {
            self.standing.extend(draft.asked);
        }
        if draft.topics.requests > 0 {
            let book = &self.live.book;
            self.standing.retain(|id, _| book.request(*id).is_some_and(|found| !found.is_closed()));
        }
        if draft.topics.sessions > 0 {
            let book = &self.live.book;
            self.texts.retain(|session| book.session(session).is_some());
        }
        Ok((draft.topics, checkpoint))
    }
}

impl Draft {
    /// What is spent is kept with what tells of it.
    fn spend(&mut self, statement: &Statement) {
        if let Some((grant, account)) = statement.grant.zip(statement.account.as_ref()) {
            self.spent.entry(grant).or_insert_with(|| Arc::clone(&account.grant));
        }
    }
}

impl Turn {
    fn failed(count: usize) -> Self {
        Self {
            replies: (0..count).map(|_| Err(NotDone::Unavailable)).collect(),
            snapshot: None,
            changed: Topics::default(),
            published: None,
        }
    }
}
