//! The actions of a session that are on their way: recorded or being recorded, answered or not.
//!
//! Two things happen to each, in either order: its record becomes durable, and its answer comes. The answer of a
//! provable read is kept in a gate until its record is durable; whatever comes behind it waits behind it, so that the
//! client sees everything in order. When both have happened, the outcome is told to the engine, in order.

use std::collections::VecDeque;
use std::task::{Context, Poll};

use bytes::BytesMut;
use countersign_core::action::DataDigest;
use countersign_core::budget::{Limits, Spent};
use countersign_core::request::Transaction;
use countersign_core::{At, Digest};
use countersign_engine::{Completion, CompletionResult, Pending, Ran, Telling, Unrecorded, Used, Withheld};
use countersign_wire::sql::Facts;
use tokio_util::sync::ReusableBoxFuture;

use super::super::mask::Cover;
use super::action::Action;
use super::kept::Kept;
use super::transaction::Steps;

/// The number of an action, counted from one in the order of forwarding.
pub(super) type ActId = u64;

type Durable = ReusableBoxFuture<'static, Result<Ran, Unrecorded>>;

/// All actions that are on their way, and what is withheld for them.
#[derive(Default)]
pub(super) struct Acts {
    acts: VecDeque<Act>,
    gates: VecDeque<Gate>,
    next: ActId,
    /// The last action whose answer has begun.
    current: ActId,
    changing: usize,
    /// Whether the last one that ended was done.
    last_done: bool,
    /// The youngest that ended otherwise.
    last_failed: ActId,
    withheld_bytes: usize,
    /// Some action may not work for as long as it likes.
    timed: bool,
}

/// An action whose answer or record is still to come.
struct Act {
    id: ActId,
    ran: Option<Ran>,
    started: At,
    /// It may change what later statements mean.
    changing: bool,
    rows: Option<u64>,
    bytes: u64,
    outcome: Option<(CompletionResult, At)>,
    /// The line that records it tells the outcome.
    told: bool,
    /// What covers its answer, for a session that may not see all of it.
    cover: Option<Box<Cover>>,
    /// Code of users may say anything while it runs.
    foreign: bool,
    /// The transaction control in it, where that is followed.
    steps: Option<Box<Steps>>,
    /// Where the transaction stands that it was done in, if it is a use of a receipt.
    transaction: Option<Transaction>,
    /// What it may take.
    limits: Limits,
    /// How many rows it has given.
    given: u64,
    /// What it gives back, where that is to be kept.
    result: Option<Box<Kept>>,
    /// How many it may give, where somebody has said yes to so many.
    gives_max: Option<u64>,
}

/// What an action takes more of than it may.
pub(super) enum Exceeds {
    /// Of what its role lets one statement take, in words.
    Limit(String),
    /// Of the rows that somebody has said yes to.
    Approved(u64),
}

/// The answer of a read whose record is not durable yet, and whatever came behind it.
struct Gate {
    id: ActId,
    durable: Durable,
    telling: Telling,
    /// What it is, should it have to be judged again.
    action: Option<Action>,
    withheld: Withheld<BytesMut>,
    bytes: usize,
    /// It can't be judged again before its session goes on.
    put_off: bool,
}

impl Act {
    /// How it ended, if that is known.
    fn completion(&self) -> Option<Completion> {
        let (result, ended) = self.outcome.clone()?;
        let micros = u64::try_from(ended.since(self.started).0).unwrap_or(0);
        let (rows, bytes, transaction) = (self.rows, self.bytes, self.transaction);
        Some(Completion { result, rows, bytes, micros, transaction })
    }
}

impl Acts {
    /// An action whose record is durable is being forwarded.
    pub(super) fn recorded(&mut self, ran: Ran, now: At, changing: bool) -> ActId {
        let limits = ran.limits();
        self.begin(Some(ran), limits, now, changing)
    }

    /// A provable read is being forwarded whose record is on its way.
    pub(super) fn reading(&mut self, pending: Pending, action: Action, now: At, changing: bool) -> ActId {
        let pending = match pending.at_once() {
            Ok(ran) => return self.recorded(ran, now, changing),
            Err(pending) => pending,
        };
        let id = self.begin(None, pending.limits(), now, changing);
        let telling = pending.telling();
        let durable = Durable::new(pending.durable());
        let withheld = Withheld::new(BytesMut::new());
        let action = Some(action);
        self.gates.push_back(Gate { id, durable, telling, action, withheld, bytes: 0, put_off: false });
        id
    }

    /// What the oldest read is, whose record came too late for what it was judged under.
    pub(super) fn overtaken(&mut self) -> Option<Action> {
        self.gates.front_mut()?.action.take()
    }

    /// The oldest read was judged again, and its new record is on its way. Its answer goes on being withheld.
    pub(super) fn read_again(&mut self, pending: Pending, action: Action) {
        let Some(gate) = self.gates.front_mut() else { return };
        gate.telling = pending.telling();
        gate.durable = Durable::new(pending.durable());
        (gate.action, gate.put_off) = (Some(action), false);
        let id = gate.id;
        if let Some(act) = self.find(id) {
            act.told = false;
        }
    }

    /// The oldest read can't be judged again before `then`.
    pub(super) fn judged_later(
        &mut self,
        then: impl Future<Output = Result<Ran, Unrecorded>> + Send + 'static,
        action: Action,
    ) {
        let Some(gate) = self.gates.front_mut() else { return };
        gate.durable = Durable::new(then);
        (gate.action, gate.put_off) = (Some(action), true);
    }

    /// Whether the oldest read waits for its session to go on.
    pub(super) fn is_put_off(&self) -> bool {
        self.gates.front().is_some_and(|gate| gate.put_off)
    }

    fn begin(&mut self, ran: Option<Ran>, limits: Limits, started: At, changing: bool) -> ActId {
        self.next += 1;
        self.changing += usize::from(changing);
        self.timed |= limits.time.is_some();
        self.acts.push_back(Act {
            id: self.next,
            ran,
            started,
            changing,
            rows: None,
            bytes: 0,
            outcome: None,
            told: false,
            cover: None,
            foreign: false,
            steps: None,
            transaction: None,
            limits,
            given: 0,
            result: None,
            gives_max: None,
        });
        self.next
    }

    /// Whether something is on its way that may change what later statements mean.
    pub(super) const fn has_changing(&self) -> bool {
        self.changing > 0
    }

    /// How much is withheld, in bytes.
    pub(super) const fn withheld_bytes(&self) -> usize {
        self.withheld_bytes
    }

    /// The answer to this action has begun: what is appended from here on belongs to it or comes behind it.
    pub(super) fn enter(&mut self, id: ActId) {
        self.current = self.current.max(id);
    }

    /// Appends to what the client will see next: to `open` unless something in front is still withheld.
    pub(super) fn append(&mut self, open: &mut BytesMut, write: impl FnOnce(&mut BytesMut)) {
        let current = self.current;
        match self.gates.iter_mut().rev().find(|gate| gate.id <= current) {
            None => write(open),
            Some(gate) => {
                let buffer = gate.withheld.get_mut();
                write(buffer);
                let bytes = buffer.len();
                self.withheld_bytes += bytes.saturating_sub(gate.bytes);
                gate.bytes = bytes;
            }
        }
    }

    /// Ready when the record of the oldest read has become durable, or cannot.
    pub(super) fn poll_durable(&mut self, cx: &mut Context<'_>) -> Poll<Result<Ran, Unrecorded>> {
        match self.gates.front_mut() {
            Some(gate) => gate.durable.poll(cx),
            None => Poll::Pending,
        }
    }

    /// The record of the oldest read is durable: its answer may go.
    pub(super) fn release(&mut self, ran: Ran, open: &mut BytesMut) {
        let Some(gate) = self.gates.pop_front() else { return };
        self.withheld_bytes = self.withheld_bytes.saturating_sub(gate.bytes);
        let answer = gate.withheld.release(&ran);
        if open.is_empty() {
            *open = answer;
        } else {
            open.extend_from_slice(&answer);
        }
        if let Some(act) = self.find(gate.id) {
            act.ran = Some(ran);
        }
    }

    /// Some of the answer has come.
    pub(super) fn came(&mut self, id: ActId, bytes: usize) {
        if let Some(act) = self.find(id) {
            act.bytes = act.bytes.saturating_add(bytes as u64);
        }
    }

    /// What it gives back is kept.
    pub(super) fn keeps(&mut self, id: ActId, result: Box<Kept>) {
        if let Some(act) = self.find(id) {
            act.result = Some(result);
        }
    }

    /// What is kept of what it gives back.
    pub(super) fn result(&mut self, id: ActId) -> Option<&mut Kept> {
        self.find(id)?.result.as_deref_mut()
    }

    /// It may give so many rows, and no more.
    pub(super) fn gives_at_most(&mut self, id: ActId, rows: u64) {
        if let Some(act) = self.find(id) {
            act.gives_max = Some(rows);
        }
    }

    /// It has given so many rows more: what it exceeds with that, if anything.
    pub(super) fn gave(&mut self, id: ActId, rows: u64) -> Option<Exceeds> {
        let act = self.find(id)?;
        act.given = act.given.saturating_add(rows);
        if let Some(most) = act.gives_max.filter(|most| act.given > *most) {
            return Some(Exceeds::Approved(most));
        }
        if act.limits.is_none() {
            return None;
        }
        let given = Spent { rows: act.given, bytes: act.bytes, ..Spent::default() };
        act.limits.exceeded(&given).map(Exceeds::Limit)
    }

    /// How many rows it has given.
    pub(super) fn given(&mut self, id: ActId) -> u64 {
        self.find(id).map_or(0, |act| act.given)
    }

    /// The first that has worked for longer than it may, and its limit.
    pub(super) fn overdue(&self, now: At) -> Option<(ActId, String)> {
        self.acts.iter().filter(|act| act.outcome.is_none()).find_map(|act| {
            let micros = u64::try_from(now.since(act.started).0).unwrap_or(0);
            Some((act.id, act.limits.exceeded(&Spent { micros, ..Spent::default() })?))
        })
    }

    /// When the first of those that go on has worked for as long as it may.
    pub(super) fn due(&self) -> Option<At> {
        if !self.timed {
            return None;
        }
        let open = self.acts.iter().filter(|act| act.outcome.is_none());
        open.filter_map(|act| Some(act.started.plus(act.limits.time?))).min()
    }

    /// A statement of it has said how many rows it touched or gave.
    pub(super) fn rows(&mut self, id: ActId, rows: u64) {
        if let Some(act) = self.find(id) {
            act.rows = Some(act.rows.unwrap_or(0).saturating_add(rows));
        }
    }

    /// It has ended. The first outcome counts.
    pub(super) fn end(&mut self, id: ActId, result: CompletionResult, now: At) {
        let Some(act) = self.find(id) else { return };
        if act.outcome.is_none() {
            let done = result == CompletionResult::Done;
            act.outcome = Some((result, now));
            let (changing, recorded, keeps) = (act.changing, act.ran.is_some(), act.result.is_some());
            if !recorded && !keeps {
                self.tell(id);
            }
            self.changing = self.changing.saturating_sub(usize::from(changing));
            self.last_done = done;
            if !done {
                self.last_failed = self.last_failed.max(id);
            }
        }
    }

    /// Tells how an action ended whose record is on its way, in the hope that one line tells both.
    fn tell(&mut self, id: ActId) {
        let Some(completion) = self.find(id).and_then(|act| act.completion()) else { return };
        let gate = self.gates.iter().find(|gate| gate.id == id);
        let told = gate.is_some_and(|gate| gate.telling.tell(&completion));
        if let Some(act) = self.find(id) {
            act.told = told;
        }
    }

    /// Nothing more will be heard of any of them.
    pub(super) fn end_all(&mut self, now: At) {
        for act in &mut self.acts {
            act.outcome.get_or_insert((CompletionResult::Unknown, now));
        }
        self.changing = 0;
    }

    /// The oldest action, if both its record and its outcome are there, and whether the record tells the outcome.
    pub(super) fn next_done(&mut self) -> Option<(Ran, Completion, bool)> {
        let completion = self.acts.front().filter(|front| front.ran.is_some())?.completion()?;
        let act = self.acts.pop_front()?;
        let mut ran = act.ran?;
        if let Some((bytes, keeping)) = act.result.and_then(|result| result.finish()) {
            ran.has_result(bytes, keeping);
        }
        Some((ran, completion, act.told))
    }

    /// The record of the oldest read is durable, but nobody waits for its answer any more.
    pub(super) fn settle(&mut self, ran: Ran) {
        let Some(gate) = self.gates.pop_front() else { return };
        self.withheld_bytes = self.withheld_bytes.saturating_sub(gate.bytes);
        if let Some(act) = self.find(gate.id) {
            act.ran = Some(ran);
        }
    }

    /// Whether the last action that ended was done.
    pub(super) const fn last_was_done(&self) -> bool {
        self.last_done
    }

    /// Whether this action has ended otherwise than by being done.
    pub(super) const fn has_failed(&self, id: ActId) -> bool {
        self.last_failed >= id
    }

    /// Whether records are still on their way.
    pub(super) fn has_gates(&self) -> bool {
        !self.gates.is_empty()
    }

    /// The answer to this action is covered.
    pub(super) fn covered(&mut self, id: ActId, cover: Box<Cover>) {
        if let Some(act) = self.find(id) {
            act.cover = Some(cover);
        }
    }

    /// Code of users may say anything while this action runs.
    pub(super) fn runs_foreign_code(&mut self, id: ActId) {
        if let Some(act) = self.find(id) {
            act.foreign = true;
        }
    }

    /// Whether it may.
    pub(super) fn is_foreign(&mut self, id: ActId) -> bool {
        self.find(id).is_none_or(|act| act.foreign)
    }

    /// What covers the answer to this action.
    pub(super) fn cover(&mut self, id: ActId) -> Option<&mut Cover> {
        self.find(id)?.cover.as_deref_mut()
    }

    /// Its transaction control is followed.
    pub(super) fn follow(&mut self, id: ActId, facts: &Facts) {
        if let Some(act) = self.find(id) {
            let uses = act.ran.as_ref().is_some_and(|ran| ran.used().is_some());
            act.steps = Steps::of(facts, uses);
        }
    }

    /// What is followed of it.
    pub(super) fn steps(&mut self, id: ActId) -> Option<&mut Steps> {
        self.find(id)?.steps.as_deref_mut()
    }

    /// When it was sent.
    pub(super) fn started(&mut self, id: ActId) -> Option<At> {
        self.find(id).map(|act| act.started)
    }

    /// The use of a receipt that it is, as long as it has not ended.
    pub(super) fn used(&mut self, id: ActId) -> Option<Used> {
        let act = self.find(id).filter(|act| act.outcome.is_none())?;
        act.ran.as_ref()?.used()
    }

    /// Digests the data that comes with this action, if somebody's yes covers it.
    pub(super) fn data_digest(&mut self, id: ActId) -> Option<DataDigest> {
        self.find(id)?.ran.as_ref()?.data_digest()
    }

    /// The data that came with this action had this digest.
    pub(super) fn has_data(&mut self, id: ActId, digest: Digest) {
        if let Some(ran) = self.find(id).and_then(|act| act.ran.as_mut()) {
            ran.has_data(digest);
        }
    }

    /// Where its transaction stands. False: how it ended was told already.
    pub(super) fn stands(&mut self, id: ActId, transaction: Transaction) -> bool {
        let Some(act) = self.find(id) else { return false };
        act.transaction = Some(transaction);
        true
    }

    fn find(&mut self, id: ActId) -> Option<&mut Act> {
        let first = self.acts.front()?.id;
        self.acts.get_mut(usize::try_from(id.checked_sub(first)?).ok()?)
    }
}
