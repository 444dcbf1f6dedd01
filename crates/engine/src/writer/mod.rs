//! The only writer: looks up facts, decides, appends, applies, publishes.
//!
//! [`Writer::turn`] takes everything that waits, works through it on a book of its own, and writes one transaction.
//! Only when that is durable is anything published or answered. If it is not, the book is what it was before and
//! nobody was told otherwise. The thread that drives it ([`queue`]) adds nothing but waiting, so a test or a
//! simulation can drive the same code step by step.

mod content;
mod facts;
pub(crate) mod open;
pub(crate) mod queue;
pub(crate) mod tree;
pub(crate) mod work;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use countersign_core::request::Command as RequestCommand;
use countersign_core::{
    ActionName, At, Book, Command, Event, PrincipalId, Refusal, RequestId, SessionId, decide,
};
use countersign_ledger::line::LINE_BYTES_MAX;
use countersign_ledger::{Ed25519Signer, Hash, Sign as _, VerifierKey};
use countersign_policy::Compiled;
use serde_json::value::RawValue;

use crate::index::history_puts;
use crate::line::{
    BadLine, Envelope, Outcome, Place, Refusing, Sealed, Stamp, State, Topic, encode_event, read_event,
};
use crate::ports::Ports;
use crate::seal::Field;
use crate::settings::SNAPSHOT_EVERY;
use crate::snapshot::{Snapshot, Topics};
use crate::store::{Batch, Drawer, Put, Store, StoreError, StoredLine};
use content::{Contents, Texts};
pub(crate) use facts::Desk;
use tree::{Published, Tree};
use work::{Deed, Done, NotDone, Note, Reply, Say, Standing, StatementWork, Work};

/// How many statements' contexts are kept for requests that wait.
const STANDING_MAX: usize = 65_536;

/// How much longer a line may get when its final place is written into it.
const PLACE_BYTES_MAX: usize = 64;

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
    leaves: Vec<Hash>,
    topics: Topics,
    decisions: u64,
    /// Standing of the session and bundle that statements claim, until the next decision.
    claims: BTreeMap<SessionId, bool>,
    asked: Vec<(RequestId, Arc<Standing>)>,
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
        for work in works {
            replies.push(self.work(work, &mut draft));
        }
        let checkpoint = self.checkpoint_due().then(|| self.checkpoint(&mut draft)).flatten();
        self.snapshot_if_due(&mut draft);
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

    /// Tries to write again after a failure. Gives what is now so, if it worked.
    pub(crate) fn recover(&mut self) -> Result<Option<Turn>, StoreError> {
        let Some(broken) = self.broken.clone() else { return Ok(None) };
        self.catch_up()?;
        let note = |kind, outcome, since| {
            let state = State { since, version: crate::VERSION, why: Some(broken.why.clone()) };
            let mut note = Note::new(kind, Topic::State(state));
            note.line.outcome = outcome;
            Work::Note(Box::new(note))
        };
        let since = Some(Stamp(broken.since));
        self.broken = None;
        let turn = self.turn(&[
            note("system.degraded", Outcome::Failure, since),
            note("system.recovered", Outcome::Success, since),
        ]);
        match self.broken.take() {
            None => Ok(Some(turn)),
            Some(again) => {
                let error = StoreError::failed("recover", again.why);
                self.broken = Some(broken);
                Err(error)
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

    fn deed(&mut self, deed: &Deed, draft: &mut Draft) -> Reply {
        let now = self.now();
        let facts = {
            let (live, standing, house) = (&self.live, &self.standing, &self.house);
            let desk = Desk { book: &live.book, policy: live.policy.as_deref(), now };
            let mut find = |request| {
                let found = desk.book.request(request)?;
                let standing = standing
                    .get(&request)
                    .cloned()
                    .or_else(|| draft.asked.iter().find(|(id, _)| *id == request).map(|(_, it)| it.clone()))
                    .or_else(|| house.standing(found).map(Arc::new))?;
                let proposed = match &*standing {
                    Standing::Apply { bundle, .. } => Some(house.compiled(bundle)?),
                    Standing::Access { .. } | Standing::Act { .. } => None,
                };
                desk.rule_standing(&found.by, &standing, proposed.as_deref())
            };
            desk.facts(deed, &mut find)
        };
        let events = match decide(&self.live.book, deed.command.clone(), &facts) {
            Ok(events) => events,
            Err(refusal) => return self.refused(deed, refusal, draft),
        };
        let lines = self.encode(&events, deed, now)?;
        if !deed.fields.is_empty() {
            // Made ready first: once a line of this command is appended, nothing may fail.
            self.contents.key(&self.house, &deed.key, &mut draft.batch.puts)?;
        }
        let index = (!lines.is_empty()).then_some(self.live.index);
        for (event, line) in events.iter().zip(lines) {
            self.append_decision(event, line, deed, draft)?;
        }
        draft.batch.puts.extend_from_slice(&deed.puts);
        if let (Command::Request(RequestCommand::Ask { request, .. }), Some(standing)) =
            (&deed.command, &deed.standing)
        {
            draft.asked.push((*request, Arc::clone(standing)));
        }
        Ok(Done { index, events })
    }

    /// A no to somebody who may sign in is recorded too, with its reason.
    fn refused(&mut self, deed: &Deed, refusal: Refusal, draft: &mut Draft) -> Reply {
        if let Some((actor, action)) = said_by(&deed.command) {
            let reason =
                Field::new(&self.ports, "/data/content", "refusal", refusal.to_string().into_bytes());
            let content = Sealed(reason.commitment());
            let topic = Topic::Refusing(Refusing { action: Some(action), content, unwritten: 0 });
            let mut note = Note::new("decision.evaluated", topic).failed();
            note.line.actor = Some(actor.clone());
            note.line.person = self.live.book.person(actor).cloned();
            note.key = format!("principal:{actor}").into();
            note.fields = vec![reason];
            self.note(&note, draft)?;
        }
        Err(NotDone::Refused(refusal))
    }

    /// The events of one command as lines, each read back before anything is applied: what can't be read at the
    /// next start must not be written now.
    fn encode(
        &self,
        events: &[Event],
        deed: &Deed,
        now: At,
    ) -> Result<Vec<Envelope<Box<RawValue>>>, NotDone> {
        let unwritable = |bad: BadLine| NotDone::Unwritable(crate::line::chain(&bad));
        let mut lines = Vec::with_capacity(events.len());
        for event in events {
            let mut line = encode_event(event, deed.ran).map_err(unwritable)?;
            crate::index::describe(&mut line, &self.live.book, event);
            let place = Place { at: now, ..self.place() };
            let bytes = line.clone().seal(&place).map_err(unwritable)?;
            if bytes.len() + PLACE_BYTES_MAX > LINE_BYTES_MAX {
                return Err(unwritable(BadLine::TooLong(bytes.len())));
            }
            let catalogue = crate::index::catalogue_in(event);
            let (read, _) = read_event(&bytes, &|_| catalogue.clone()).map_err(unwritable)?;
            if read != *event {
                return Err(NotDone::Unwritable(format!(
                    "a line of type `{}` reads back otherwise",
                    line.kind
                )));
            }
            lines.push(line);
        }
        Ok(lines)
    }

    fn append_decision(
        &mut self,
        event: &Event,
        line: Envelope<Box<RawValue>>,
        deed: &Deed,
        draft: &mut Draft,
    ) -> Result<(), NotDone> {
        let index = self.live.index;
        let committed = crate::index::commitment_in(event);
        let carried = deed.fields.iter().filter(|field| Some(field.commitment()) == committed);
        let fields: Vec<Field> = carried.cloned().collect();
        draft.batch.puts.extend(history_puts(event, &line, index));
        if !fields.is_empty() {
            let sealing = self.contents.key(&self.house, &deed.key, &mut draft.batch.puts)?;
            draft.batch.puts.push(content::sealed(&self.ports, &sealing, &deed.key, index, &fields));
        }
        self.append_line(line, self.now(), true, draft)?;
        self.live.book.apply(event, self.live.at);
        self.live.decided = self.live.index;
        if let Event::Bundle(_) = event {
            self.live.policy.clone_from(&deed.proposed);
        }
        draft.topics.mark(event, self.live.index);
        draft.decisions += 1;
        draft.claims.clear();
        Ok(())
    }

    fn statement(&mut self, work: &StatementWork, draft: &mut Draft) -> Reply {
        let said = self.say(work, draft);
        if said.is_err() {
            // A text that was to be kept beside this line is not.
            self.texts.forget(work.statement.session);
        }
        said
    }

    fn say(&mut self, work: &StatementWork, draft: &mut Draft) -> Reply {
        let StatementWork { statement, at, policies, say } = work;
        let at = *at;
        let index = self.live.index;
        match say {
            Say::Allowed { body, recorded, claims, index: told } => {
                if *claims && !self.stands(statement, draft) {
                    return Err(NotDone::Stale);
                }
                let text = self.texts.commit(&self.ports, statement.session, &body.text, index);
                let parameters = content::parameters(&self.ports, body);
                let data = crate::line::Allowed {
                    action: &body.action,
                    parameters: parameters.as_ref().map(|field| Sealed(field.commitment())),
                    recorded,
                    text: Sealed(text.commitment),
                    text_at: text.at,
                    verbs: &body.verbs,
                };
                let mut line = statement.envelope("action.allowed", Outcome::Success, data);
                line.policies.clone_from(policies);
                let fields: Vec<Field> = text.field.into_iter().chain(parameters).collect();
                self.append_with(line, at, (&statement.key, &fields), draft)?;
                told.store(index, Ordering::Release);
            }
            Say::Blocked { body, reason } => {
                let text = content::fresh(&self.ports, &body.text);
                let parameters = content::parameters(&self.ports, body);
                let data = crate::line::Blocked {
                    action: &body.action,
                    parameters: parameters.as_ref().map(|field| Sealed(field.commitment())),
                    reason,
                    text: Sealed(text.commitment),
                    verbs: &body.verbs,
                };
                let mut line = statement.envelope("action.blocked", Outcome::Failure, data);
                line.policies.clone_from(policies);
                let fields: Vec<Field> = text.field.into_iter().chain(parameters).collect();
                self.append_with(line, at, (&statement.key, &fields), draft)?;
            }
            Say::Completed { of, ended } => {
                let (outcome, data) = ended.line(of.load(Ordering::Acquire));
                let line = statement.envelope("action.completed", outcome, data);
                self.append_line(line, at, false, draft)?;
            }
        }
        Ok(Done { index: Some(index), events: Vec::new() })
    }

    fn note(&mut self, note: &Note, draft: &mut Draft) -> Reply {
        let index = self.live.index;
        let now = self.now();
        self.append_with(note.line.borrowed(), now, (&note.key, &note.fields), draft)?;
        draft.batch.puts.extend_from_slice(&note.puts);
        Ok(Done { index: Some(index), events: Vec::new() })
    }

    /// A line with content beside it.
    fn append_with<D: serde::Serialize>(
        &mut self,
        line: Envelope<D>,
        at: At,
        (key, fields): (&Arc<str>, &[Field]),
        draft: &mut Draft,
    ) -> Result<(), NotDone> {
        let index = self.live.index;
        if fields.is_empty() {
            return self.append_line(line, at, false, draft);
        }
        // The key is stored whatever becomes of the line: it is in the cache from here on.
        let sealing = self.contents.key(&self.house, key, &mut draft.batch.puts)?;
        let put = content::sealed(&self.ports, &sealing, key, index, fields);
        self.append_line(line, at, false, draft)?;
        draft.batch.puts.push(put);
        Ok(())
    }

    /// Whether a statement's session still stands, under the bundle that it was judged by.
    fn stands(&self, statement: &crate::line::Statement, draft: &mut Draft) -> bool {
        let live = &self.live;
        if live.book.in_force.as_ref().map(|found| found.bundle) != statement.bundle {
            return false;
        }
        let now = self.now();
        *draft.claims.entry(statement.session).or_insert_with(|| {
            let session = live.book.session(statement.session);
            session.is_some_and(|found| {
                matches!(live.book.standing(found, now), countersign_core::book::Standing::On(_))
            })
        })
    }

    fn append_line<D: serde::Serialize>(
        &mut self,
        line: Envelope<D>,
        at: At,
        decides: bool,
        draft: &mut Draft,
    ) -> Result<(), NotDone> {
        let place = Place { at: at.max(self.live.at), ..self.place() };
        let bytes = line.seal(&place).map_err(|bad| NotDone::Unwritable(crate::line::chain(&bad)))?;
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

    /// The ledger's instant: never before an earlier line's.
    fn now(&self) -> At {
        self.ports.clock.now().max(self.live.at)
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

    /// Nothing of the turn happened. Caches that it filled are emptied: what they name may not be stored.
    fn fall_back(&mut self, before: Live, error: &StoreError) {
        let why = error.chain();
        tracing::error!(error = %why, "the ledger can't take records; every action is refused until it can");
        self.live = before;
        self.contents.clear();
        self.texts.clear();
        self.since_snapshot = SNAPSHOT_EVERY;
        self.survived = false;
        self.broken = Some(Broken { since: self.now(), why });
    }

    /// A checkpoint that was made durable although the store said otherwise is the one of its size.
    fn learn_checkpoint(&mut self) -> Result<(), StoreError> {
        let Some((checkpoint, note)) = open::last_checkpoint(&*self.store)? else { return Ok(()) };
        let known = self.published.as_ref().map_or(0, |last| last.size);
        if checkpoint.size > known && checkpoint.size == self.tree.size() {
            let partials = self.tree.partials().to_vec();
            let (size, root, at) = (checkpoint.size, checkpoint.root, self.now());
            self.published = Some(Published { size, root, note, at, partials });
        }
        Ok(())
    }

    /// After a failure: lines that were made durable although the store said otherwise are learnt.
    fn catch_up(&mut self) -> Result<(), StoreError> {
        let next = self.store.next_index()?;
        self.learn_checkpoint()?;
        self.survived |= self.live.index < next;
        while self.live.index < next {
            let lines = self.store.read(self.live.index, 1_000)?;
            if lines.is_empty() {
                return Err(StoreError::failed("read lines", "lines are missing"));
            }
            for line in lines {
                open::learn(&mut self.live, &self.house, &line)
                    .map_err(|broken| StoreError::failed("read lines", broken.to_string()))?;
                self.tree.push(self.live.prev);
            }
        }
        if self.live.index != next {
            return Err(StoreError::Moved { expected: self.live.index, found: next });
        }
        Ok(())
    }
}

/// Who gave a command, and what it is called, for those that a person gives.
fn said_by(command: &Command) -> Option<(&PrincipalId, ActionName)> {
    use countersign_core::{bundle, grant, principal, request, session};
    let (by, action) = match command {
        Command::Request(request::Command::Ask { by, ask, .. }) => match ask {
            request::Ask::Access { .. } => (by, "access.request"),
            request::Ask::Apply { .. } => (by, "policy.apply"),
            request::Ask::Act { .. } => return None,
        },
        Command::Request(request::Command::Approve { by, .. }) => (by, "request.approve"),
        Command::Request(request::Command::Deny { by, .. }) => (by, "request.deny"),
        Command::Grant(grant::Command::Revoke { by, .. }) => (by, "grant.revoke"),
        Command::Grant(grant::Command::Relinquish { by, .. }) => (by, "grant.relinquish"),
        Command::Session(session::Command::End { by, .. }) => (by, "session.end"),
        Command::Principal(principal::Command::Disable { by, .. }) => (by, "principal.disable"),
        Command::Principal(principal::Command::Enable { by, .. }) => (by, "principal.enable"),
        Command::Bundle(bundle::Command::Activate { by, .. }) => (by, "policy.apply"),
        Command::Request(
            request::Command::Withdraw { .. }
            | request::Command::Use { .. }
            | request::Command::Settle { .. }
            | request::Command::Void { .. },
        )
        | Command::Session(session::Command::Open(_) | session::Command::Close { .. })
        | Command::Sweep
        | Command::Restart => return None,
    };
    Some((by, ActionName::new(action)))
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
