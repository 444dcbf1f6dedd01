//! What stands between everybody and the writer: a bounded queue, and the thread that empties it.
//!
//! Whoever sends waits while the queue is full; nothing is dropped. Work that somebody waits for wakes the thread
//! at once. A record alongside wakes nobody: it lies for some milliseconds so that it rides with others, fewer where the disk is slow. The record of a
//! read whose answer waits for it goes at once too, unless many such records come: then each transaction waits for a
//! fraction of a millisecond, which the query takes anyway, so that it carries several.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Semaphore, oneshot, watch};

use super::work::{NotDone, Reply, Work};
use super::{Turn, Writer};
use crate::settings::{
    BATCH_BYTES_MAX, BATCH_MAX, CROWD_MIN, DURABLE_MS, GATHER_MICROS, LINGER_MS, QUEUE_MAX, SPARE_MS,
};

/// How long a failing store is left alone at first, and at most, before it is tried again.
const BACKOFF_MS: (u64, u64) = (50, 2_000);

/// The queue.
pub(crate) struct Queue {
    state: Mutex<State>,
    wake: Condvar,
    room: Semaphore,
    /// Nobody empties it any more.
    abandoned: watch::Sender<bool>,
}

#[derive(Default)]
struct State {
    items: VecDeque<Item>,
    /// Of the most urgent thing in it.
    urgency: Urgency,
    /// How many pieces of work of the last batch somebody waited for.
    crowd: usize,
    /// How long the slowest of the last batches took, in milliseconds.
    took_ms: u64,
    /// The hour has come for something that the writer does by itself.
    poked: bool,
    closed: bool,
}

/// How long work may lie.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
enum Urgency {
    /// Nobody waits for it.
    #[default]
    Lies,
    /// What somebody waits for is going on beside it.
    Soon,
    /// Somebody waits for nothing else.
    Now,
}

/// Work that waits, and whoever waits for it.
pub(crate) struct Item {
    work: Work,
    reply: Option<oneshot::Sender<Reply>>,
    /// Whether it holds a place in the queue; what had to be put back does not.
    placed: bool,
}

#[cfg(any(test, feature = "testing"))]
impl Item {
    /// Whether somebody waits for it.
    pub(crate) fn is_waited_for(&self) -> bool {
        self.reply.is_some()
    }
}

impl State {
    /// How long what is there may lie so that others can join it.
    fn lies_for(&self) -> Option<Duration> {
        match self.urgency {
            Urgency::Lies => {
                let spent = SPARE_MS.saturating_add(self.took_ms.saturating_mul(2));
                Some(Duration::from_millis(DURABLE_MS.saturating_sub(spent).clamp(LINGER_MS.0, LINGER_MS.1)))
            }
            Urgency::Soon if self.crowd >= CROWD_MIN => Some(Duration::from_micros(GATHER_MICROS)),
            Urgency::Soon | Urgency::Now => None,
        }
    }

    /// As much as rides in one transaction.
    fn batch(&mut self) -> Vec<Item> {
        self.poked = false;
        let (mut batch, mut weight) = (Vec::new(), 0usize);
        while batch.len() < BATCH_MAX && weight < BATCH_BYTES_MAX {
            let Some(item) = self.items.pop_front() else { break };
            weight = weight.saturating_add(item.work.weight());
            batch.push(item);
        }
        // Only an empty queue is certain to hold nothing urgent.
        if self.items.is_empty() {
            self.urgency = Urgency::Lies;
        }
        self.crowd = batch.iter().filter(|item| item.reply.is_some()).count();
        batch
    }
}

/// Where the answer to a piece of work comes.
#[derive(Debug)]
pub(crate) struct Answering(oneshot::Receiver<Reply>);

impl Answering {
    /// What became of it.
    pub(crate) async fn reply(self) -> Reply {
        // A writer that is gone has not written it.
        self.0.await.unwrap_or(Err(NotDone::Unavailable))
    }
}

impl Queue {
    pub(crate) fn new() -> Self {
        Self {
            state: Mutex::default(),
            wake: Condvar::new(),
            room: Semaphore::new(QUEUE_MAX),
            abandoned: watch::Sender::new(false),
        }
    }

    /// Sends work and waits for what became of it.
    pub(crate) async fn done(&self, work: Work) -> Reply {
        self.ask(work, Urgency::Now).await?.reply().await
    }

    /// Sends work whose answer is waited for later, when something else is done. Waits while the queue is full.
    pub(crate) async fn send(&self, work: Work) -> Result<Answering, NotDone> {
        self.ask(work, Urgency::Soon).await
    }

    async fn ask(&self, work: Work, urgency: Urgency) -> Result<Answering, NotDone> {
        self.take_room().await?;
        let (sender, receiver) = oneshot::channel();
        self.push(Item { work, reply: Some(sender), placed: true }, urgency)?;
        Ok(Answering(receiver))
    }

    /// Sends work that nobody waits for. It is written in order, soon. Waits while the queue is full.
    pub(crate) async fn send_alongside(&self, work: Work) -> Result<(), NotDone> {
        self.take_room().await?;
        self.push(Item { work, reply: None, placed: true }, Urgency::Lies)
    }

    /// Tells the writer that the hour has come for something that it does by itself.
    pub(crate) fn poke(&self) {
        self.state().poked = true;
        self.wake.notify_one();
    }

    /// No more work is taken. What is in the queue is done first.
    pub(crate) fn close(&self) {
        self.state().closed = true;
        self.room.close();
        self.wake.notify_one();
    }

    /// Refuses what is left: nobody empties it any more.
    fn abandon(&self) {
        self.close();
        drop(std::mem::take(&mut self.state().items));
        self.abandoned.send_replace(true);
    }

    /// Resolves when nobody empties it any more.
    pub(crate) async fn abandoned(&self) {
        let mut abandoned = self.abandoned.subscribe();
        drop(abandoned.wait_for(|gone| *gone).await);
    }

    async fn take_room(&self) -> Result<(), NotDone> {
        self.room.acquire().await.map_err(|_| NotDone::Unavailable)?.forget();
        Ok(())
    }

    fn push(&self, item: Item, urgency: Urgency) -> Result<(), NotDone> {
        let mut state = self.state();
        if state.closed {
            return Err(NotDone::Unavailable);
        }
        let wakes = state.items.is_empty() || state.urgency < urgency || state.items.len() + 1 == BATCH_MAX;
        state.items.push_back(item);
        state.urgency = state.urgency.max(urgency);
        drop(state);
        if wakes {
            self.wake.notify_one();
        }
        Ok(())
    }

    /// Waits for work and takes a batch of it. Nothing means that the queue is closed and empty.
    fn take(&self) -> Option<Vec<Item>> {
        let mut state = self.state();
        while state.items.is_empty() && !state.poked {
            if state.closed {
                return None;
            }
            state = self.wake.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        while let Some(limit) = state.lies_for() {
            let urgency = state.urgency;
            state = self.gather(state, urgency, limit);
            if state.urgency == urgency {
                break;
            }
        }
        let batch = state.batch();
        drop(state);
        self.make_room(&batch);
        Some(batch)
    }

    /// Lets others join what is there, as long as nothing is more urgent than that.
    fn gather<'a>(
        &'a self,
        state: MutexGuard<'a, State>,
        urgency: Urgency,
        limit: Duration,
    ) -> MutexGuard<'a, State> {
        let lies = |state: &mut State| {
            state.urgency == urgency && !state.poked && !state.closed && state.items.len() < BATCH_MAX
        };
        self.wake.wait_timeout_while(state, limit, lies).unwrap_or_else(PoisonError::into_inner).0
    }

    /// Takes a batch of what is there, without waiting.
    #[cfg(any(test, feature = "testing"))]
    pub(crate) fn take_now(&self) -> Vec<Item> {
        let batch = self.state().batch();
        self.make_room(&batch);
        batch
    }

    /// How much waits.
    #[cfg(any(test, feature = "testing"))]
    pub(crate) fn len(&self) -> usize {
        self.state().items.len()
    }

    fn make_room(&self, batch: &[Item]) {
        self.room.add_permits(batch.iter().filter(|item| item.placed).count());
    }

    /// How long the last batch took, in milliseconds. A slow one is forgotten within tens of batches.
    fn took(&self, ms: u64) {
        let mut state = self.state();
        state.took_ms = ms.max(state.took_ms - state.took_ms.div_ceil(8));
    }

    /// Waits, but not longer than this. Work that comes meanwhile stays where it is.
    fn rest(&self, millis: u64) {
        let state = self.state();
        let waited =
            self.wake.wait_timeout_while(state, Duration::from_millis(millis), |state| !state.closed);
        drop(waited);
    }

    /// Puts work in front of everything else.
    pub(crate) fn put_back(&self, mut kept: VecDeque<Item>) {
        let mut state = self.state();
        kept.append(&mut state.items);
        state.items = kept;
    }

    /// Refuses everything but what must be written.
    pub(crate) fn refuse(&self) {
        let mut state = self.state();
        state.poked = false;
        let items = std::mem::take(&mut state.items);
        let (kept, refused): (VecDeque<Item>, VecDeque<Item>) =
            items.into_iter().partition(|item| item.work.must_be_written());
        state.urgency = if kept.is_empty() { Urgency::Lies } else { Urgency::Now };
        state.items = kept;
        drop(state);
        self.room.add_permits(refused.iter().filter(|item| item.placed).count());
        for reply in refused.into_iter().filter_map(|item| item.reply) {
            let _gone = reply.send(Err(NotDone::Unavailable));
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whoever hears what a turn came to, before anybody is answered.
pub(crate) trait Herald: Send {
    /// It is durable.
    fn publish(&self, writer: &Writer, turn: &Turn);
    /// The store fails, or works again.
    fn health(&self, writer: &Writer);
}

/// Whoever empties the queue; with it goes all hope for what is still in it, however it ends.
struct Driver<'a>(&'a Queue);

impl Drop for Driver<'_> {
    fn drop(&mut self) {
        self.0.abandon();
    }
}

/// Empties the queue until it is closed. Runs on a thread of its own.
pub(crate) fn drive(mut writer: Writer, queue: &Arc<Queue>, herald: &dyn Herald) {
    let _driver = Driver(queue);
    while let Some(batch) = queue.take() {
        let began = writer.clock();
        let kept = turn_or_keep(&mut writer, herald, batch);
        queue.took(writer.clock().since(began).millis().try_into().unwrap_or_default());
        let Some(kept) = kept else { continue };
        mend(&mut writer, queue, herald);
        if writer.broken().is_some() {
            tracing::error!(lost = kept.len(), "stopped while the ledger took no records");
            return;
        }
        if !writer.survived() {
            queue.put_back(kept);
        }
    }
    let turn = writer.settle();
    herald.publish(&writer, &turn);
}

/// One turn: everybody is answered. If the store fails, what must be written is given back.
pub(crate) fn turn_or_keep(
    writer: &mut Writer,
    herald: &dyn Herald,
    batch: Vec<Item>,
) -> Option<VecDeque<Item>> {
    let (works, replies): (Vec<Work>, Vec<_>) = batch.into_iter().map(|item| (item.work, item.reply)).unzip();
    writer.unhurried = replies.iter().all(Option::is_none);
    let turn = writer.turn(&works);
    if writer.broken().is_some() {
        herald.health(writer);
        return Some(refuse(works, replies));
    }
    herald.publish(writer, &turn);
    answer(replies, turn.replies);
    None
}

/// Tries the store again and again; whoever sends work meanwhile is refused at once.
fn mend(writer: &mut Writer, queue: &Arc<Queue>, herald: &dyn Herald) {
    let mut wait_ms = BACKOFF_MS.0;
    loop {
        queue.refuse();
        if queue.state().closed {
            return;
        }
        queue.rest(wait_ms.min(BACKOFF_MS.0));
        queue.refuse();
        match writer.recover() {
            Ok(turn) => {
                if let Some(turn) = turn {
                    herald.publish(writer, &turn);
                }
                herald.health(writer);
                tracing::info!("the ledger takes records again");
                return;
            }
            Err(error) => {
                tracing::warn!(error = %error.chain(), "the ledger still takes no records");
                let mut left = wait_ms;
                while left > 0 && !queue.state().closed {
                    let rest = left.min(BACKOFF_MS.0);
                    queue.rest(rest);
                    queue.refuse();
                    left -= rest;
                }
                wait_ms = (wait_ms * 2).min(BACKOFF_MS.1);
            }
        }
    }
}

/// Answers what could not be written, and gives back what must be.
fn refuse(works: Vec<Work>, replies: Vec<Option<oneshot::Sender<Reply>>>) -> VecDeque<Item> {
    let mut kept = VecDeque::new();
    for (work, reply) in works.into_iter().zip(replies) {
        if work.must_be_written() {
            kept.push_back(Item { work, reply, placed: false });
        } else if let Some(reply) = reply {
            let _gone = reply.send(Err(NotDone::Unavailable));
        }
    }
    kept
}

fn answer(waiting: Vec<Option<oneshot::Sender<Reply>>>, replies: Vec<Reply>) {
    for (waiting, reply) in waiting.into_iter().zip(replies) {
        if let Some(waiting) = waiting {
            // Whoever asked may have gone; what was done is done.
            let _gone = waiting.send(reply);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::line::{State as Told, Topic};
    use crate::writer::work::Note;

    fn work() -> Work {
        Work::Note(Box::new(Note::new(
            "system.stopped",
            Topic::State(Told { since: None, version: "1", why: None }),
        )))
    }

    fn put(queue: &Queue, urgency: Urgency) -> oneshot::Receiver<Reply> {
        let (sender, receiver) = oneshot::channel();
        let waits = (urgency > Urgency::Lies).then_some(sender);
        queue.push(Item { work: work(), reply: waits, placed: false }, urgency).unwrap();
        receiver
    }

    #[test]
    fn a_crowd_is_as_many_as_were_waited_for() {
        let queue = Queue::new();
        let kept = [Urgency::Soon, Urgency::Lies, Urgency::Now, Urgency::Soon, Urgency::Lies];
        let _kept: Vec<_> = kept.iter().map(|urgency| put(&queue, *urgency)).collect();
        assert_eq!(queue.state().urgency, Urgency::Now);
        assert_eq!(queue.take().unwrap().len(), 5);
        let state = queue.state();
        assert_eq!((state.crowd, state.urgency), (3, Urgency::Lies));
    }

    #[test]
    fn what_is_more_urgent_ends_the_gathering() {
        const FOR_EVER: Duration = Duration::from_secs(3_600);
        for (lying, urgent) in [(Urgency::Lies, Urgency::Soon), (Urgency::Soon, Urgency::Now)] {
            let queue = Arc::new(Queue::new());
            let _first = put(&queue, lying);
            let gathering = {
                let queue = Arc::clone(&queue);
                std::thread::spawn(move || {
                    let state = queue.gather(queue.state(), lying, FOR_EVER);
                    (state.items.len(), state.urgency)
                })
            };
            let _second = put(&queue, lying);
            assert!(!gathering.is_finished());
            let _third = put(&queue, urgent);
            assert_eq!(gathering.join().unwrap(), (3, urgent));
        }
    }

    #[test]
    fn whoever_comes_to_a_crowd_joins_it_and_whoever_comes_alone_waits_for_nobody() {
        let lies = |urgency, crowd| State { urgency, crowd, ..State::default() }.lies_for();
        assert_eq!(lies(Urgency::Soon, CROWD_MIN), Some(Duration::from_micros(GATHER_MICROS)));
        assert_eq!(lies(Urgency::Soon, CROWD_MIN - 1), None);
        assert_eq!(lies(Urgency::Now, CROWD_MIN), None);
        assert_eq!(lies(Urgency::Lies, 0), Some(Duration::from_millis(LINGER_MS.1)));
    }

    #[test]
    fn records_lie_shorter_where_the_disk_is_slow_and_longer_again_when_it_no_longer_is() {
        let queue = Queue::new();
        let lies = || queue.state().lies_for().unwrap().as_millis();
        assert_eq!(lies(), u128::from(LINGER_MS.1));
        queue.took(15);
        assert_eq!(lies(), 40, "twice 15 and what is spared are left");
        queue.took(10_000);
        assert_eq!(lies(), u128::from(LINGER_MS.0));
        (0..100).for_each(|_| queue.took(0));
        assert_eq!(lies(), u128::from(LINGER_MS.1));
    }

    #[test]
    fn a_whole_transaction_does_not_lie() {
        let queue = Arc::new(Queue::new());
        let _first: Vec<_> = (1..BATCH_MAX).map(|_| put(&queue, Urgency::Lies)).collect();
        let taking = {
            let queue = Arc::clone(&queue);
            std::thread::spawn(move || {
                queue.gather(queue.state(), Urgency::Lies, Duration::from_secs(3_600)).items.len()
            })
        };
        let _last = put(&queue, Urgency::Lies);
        assert_eq!(taking.join().unwrap(), BATCH_MAX);
    }

    #[tokio::test]
    async fn nobody_waits_for_a_driver_that_is_gone() {
        let queue = Arc::new(Queue::new());
        let waiting = put(&queue, Urgency::Now);
        let driver = {
            let queue = Arc::clone(&queue);
            std::thread::spawn(move || {
                let _driver = Driver(&queue);
                std::panic::resume_unwind(Box::new("a driver that fails"));
            })
        };
        queue.abandoned().await;
        driver.join().unwrap_err();
        waiting.await.unwrap_err();
        assert!(matches!(queue.done(work()).await, Err(NotDone::Unavailable)));
        assert!(matches!(queue.send_alongside(work()).await, Err(NotDone::Unavailable)));
    }

    #[test]
    fn what_waits_is_taken_when_it_has_lain() {
        let queue = Queue::new();
        queue.state().crowd = CROWD_MIN;
        let _one = put(&queue, Urgency::Soon);
        assert_eq!(queue.take().unwrap().len(), 1);
        let _other = put(&queue, Urgency::Lies);
        assert_eq!(queue.take().unwrap().len(), 1);
        queue.close();
        assert!(queue.take().is_none());
    }
}
