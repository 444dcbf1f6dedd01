//! For tests: a clock in the test's hand, randomness from a seed, a store that fails when told to.

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use countersign_core::action::hash;
use countersign_core::{At, Span};
use tokio::sync::watch;
use zeroize::Zeroizing;

use crate::engine::Hall;
use crate::ports::{Clock, Entropy, Ports, SecretSource};
use crate::store::{Batch, Drawer, Pair, Put, Scan, Store, StoreError, StoredLine};
use crate::writer::Writer;
use crate::writer::queue::{Herald as _, Queue, turn};
use crate::writer::work::{Deed, From, Work};

/// 2026-03-03T09:30:00Z: a Tuesday morning.
pub const MORNING: At = At(1_772_530_200_000_000);

/// A clock that stands still until it is moved.
#[derive(Clone, Debug)]
pub struct ManualClock(watch::Sender<At>);

impl Default for ManualClock {
    fn default() -> Self {
        Self(watch::Sender::new(MORNING))
    }
}

impl ManualClock {
    /// Moves it on.
    pub fn advance(&self, span: Span) {
        self.0.send_modify(|now| *now = now.plus(span));
    }

    /// Sets it, also back.
    pub fn set(&self, at: At) {
        self.0.send_replace(at);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> At {
        *self.0.borrow()
    }

    fn sleep_until(&self, at: At) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        let mut now = self.0.subscribe();
        // The sender lives as long as any clone of the clock.
        let keep = self.0.clone();
        Box::pin(async move {
            let _woken = now.wait_for(|now| *now >= at).await.is_ok();
            drop(keep);
        })
    }
}

/// Bytes that follow from a seed.
#[derive(Debug)]
pub struct SeededEntropy {
    seed: u64,
    drawn: AtomicU64,
    ids: AtomicU64,
}

impl SeededEntropy {
    /// The bytes of this seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self { seed, drawn: AtomicU64::new(0), ids: AtomicU64::new(0) }
    }
}

impl Entropy for SeededEntropy {
    fn fill(&self, into: &mut [u8]) {
        for chunk in into.chunks_mut(32) {
            let drawn = self.drawn.fetch_add(1, Ordering::Relaxed);
            let block = hash(&[&self.seed.to_be_bytes(), &drawn.to_be_bytes()]);
            chunk.iter_mut().zip(block.0).for_each(|(slot, byte)| *slot = byte);
        }
    }

    fn id(&self) -> u128 {
        let count = self.ids.fetch_add(1, Ordering::Relaxed).saturating_add(1);
        (u128::from(self.seed) << 64) | u128::from(count)
    }
}

/// Secrets that are their own references: `env:NAME` is `secret behind env:NAME`.
#[derive(Debug)]
pub struct PlainSecrets;

impl SecretSource for PlainSecrets {
    fn resolve(&self, reference: &str) -> Result<Zeroizing<String>, String> {
        match reference.strip_prefix("env:MISSING") {
            Some(_) => Err(format!("the environment has no such variable for `{reference}`")),
            None => Ok(Zeroizing::new(format!("secret behind {reference}"))),
        }
    }
}

/// Ports of a test.
#[must_use]
pub fn ports(clock: &ManualClock, seed: u64) -> Ports {
    Ports {
        clock: Arc::new(clock.clone()),
        entropy: Arc::new(SeededEntropy::new(seed)),
        secrets: Arc::new(PlainSecrets),
    }
}

impl crate::Engine {
    /// A sign-in without a password, also of principals that have none.
    #[must_use]
    pub fn token_of(&self, principal: &countersign_core::PrincipalId) -> Zeroizing<String> {
        let (now, tokens) = (self.now(), &self.0.people.tokens);
        let (token, key, _) = tokens.mint(&self.0.house.ports, principal, now);
        tokens.admit(key, principal, now);
        token
    }
}

/// A store that fails when it is told to, before or after the batch was made durable.
pub struct Failing<S> {
    inner: S,
    full: AtomicBool,
    lies: Mutex<u32>,
}

impl<S> Failing<S> {
    /// Works until told otherwise.
    pub fn new(inner: S) -> Self {
        Self { inner, full: AtomicBool::new(false), lies: Mutex::new(0) }
    }

    /// Whether the disk is full.
    pub fn fill(&self, full: bool) {
        self.full.store(full, Ordering::SeqCst);
    }

    /// The next so many appends are made durable, but are said to have failed.
    pub fn lie(&self, times: u32) {
        *self.lies.lock().unwrap_or_else(PoisonError::into_inner) = times;
    }

    fn check(&self) -> Result<(), StoreError> {
        if self.full.load(Ordering::SeqCst) {
            return Err(StoreError::failed("make a batch durable", "the disk is full"));
        }
        Ok(())
    }
}

impl<S: Store> Store for Failing<S> {
    fn next_index(&self) -> Result<u64, StoreError> {
        self.inner.next_index()
    }

    fn append(&self, expected: u64, batch: &Batch) -> Result<(), StoreError> {
        self.check()?;
        self.inner.append(expected, batch)?;
        let mut lies = self.lies.lock().unwrap_or_else(PoisonError::into_inner);
        if *lies > 0 {
            *lies -= 1;
            return Err(StoreError::failed("make a batch durable", "the disk hesitated"));
        }
        Ok(())
    }

    fn read(&self, from: u64, count: usize) -> Result<Vec<StoredLine>, StoreError> {
        self.inner.read(from, count)
    }

    fn read_decisions(&self, from: u64, count: usize) -> Result<Vec<StoredLine>, StoreError> {
        self.inner.read_decisions(from, count)
    }

    fn get(&self, drawer: Drawer, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        self.inner.get(drawer, key)
    }

    fn scan(&self, drawer: Drawer, scan: &Scan<'_>) -> Result<Vec<Pair>, StoreError> {
        self.inner.scan(drawer, scan)
    }

    fn put(&self, puts: &[Put]) -> Result<(), StoreError> {
        self.check()?;
        self.inner.put(puts)
    }
}

/// Drives the writer by hand: each step is what its thread would have done next. Dropping it in between is a crash.
pub struct Stepper {
    writer: Writer,
    queue: Arc<Queue>,
    hall: Arc<Hall>,
}

impl Stepper {
    pub(crate) fn new(writer: Writer, queue: Arc<Queue>, hall: Arc<Hall>) -> Self {
        Self { writer, queue, hall }
    }

    /// Works through everything that is in the queue, in one turn; how much that was. A turn without work signs a
    /// checkpoint if one is due.
    pub fn step(&mut self) -> usize {
        turn(&mut self.writer, &self.queue, self.hall.as_ref(), self.queue.take_now())
    }

    /// Does what the hour brings: cuts sessions, and writes down what is over.
    pub fn tick(&mut self) {
        self.hall.patrol(false);
        let now = self.writer.house.ports.clock.now();
        if self.hall.snapshot.load().book.next_deadline().is_some_and(|at| at <= now) {
            let sweep = Deed::new(countersign_core::Command::Sweep, From::HOUSE);
            let swept = self.writer.turn(&[Work::Deed(Box::new(sweep))]);
            self.hall.publish(&self.writer, &swept);
        }
    }

    /// Whether the store failed and has not been tried again.
    #[must_use]
    pub fn is_broken(&self) -> bool {
        self.writer.broken().is_some()
    }

    /// Tries the store again; whether it works.
    pub fn recover(&mut self) -> bool {
        match self.writer.recover() {
            Ok(recovered) => {
                if let Some(recovered) = recovered {
                    self.hall.publish(&self.writer, &recovered);
                }
                self.hall.health(&self.writer);
                true
            }
            Err(_) => false,
        }
    }

    /// Signs a last checkpoint and stores the book, as a stop does.
    pub fn settle(&mut self) {
        let settled = self.writer.settle();
        self.hall.publish(&self.writer, &settled);
    }
}

impl std::fmt::Debug for Stepper {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Stepper")
    }
}
