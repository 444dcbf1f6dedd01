//! For tests: a clock in the test's hand, randomness from a seed, a store that fails when told to.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use countersign_core::action::hash;
use countersign_core::catalogue::Catalogue;
use countersign_core::envelope::{Envelope, Terms};
use countersign_core::request::{Command as Asked, Event as Happened, State};
use countersign_core::{
    At, Book, BundleHash, Command, Event, PersonId, PrincipalId, Refusal, RequestId, SessionId, Span,
};
use countersign_policy::Compiled;
use countersign_policy::context::Via;
use tokio::sync::watch;
use zeroize::Zeroizing;

use crate::engine::Hall;
use crate::house::Kept;
use crate::people::Caller;
use crate::ports::{Clock, Entropy, Ports, SecretSource};
use crate::store::{Batch, Drawer, Pair, Put, Scan, Store, StoreError, StoredLine, Swap};
use crate::writer::Writer;
use crate::writer::queue::{Herald as _, Item, Queue, turn_or_keep};
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
    /// Somebody who is signed in, without a token that anybody could present.
    #[must_use]
    pub fn caller_of(&self, principal: &PrincipalId) -> Caller {
        let (principal, source) = (principal.clone(), Some(std::net::IpAddr::from([127, 0, 0, 1])));
        Caller {
            principal,
            via: Via::Cli,
            source,
            signed_in_at: self.now(),
            sign_in: countersign_core::SignInId(0),
            proof: crate::Proof::default(),
            token: [0; 32],
        }
    }

    /// What an authenticator app shows now for a secret as people type it.
    #[must_use]
    pub fn code_of(&self, secret: &str) -> String {
        let letters = secret.bytes().map(|letter| match letter {
            b'2'..=b'7' => letter - b'2' + 26,
            _ => letter.wrapping_sub(b'A') & 31,
        });
        let (mut bytes, mut held, mut bits) = (Vec::new(), 0_u32, 0);
        for letter in letters {
            held = (held << 5) | u32::from(letter);
            bits += 5;
            if bits >= 8 {
                bits -= 8;
                bytes.push(u8::try_from((held >> bits) & 255).unwrap_or_default());
            }
        }
        crate::people::totp::code_at(&bytes, self.now().0.div_euclid(30_000_000))
    }

    /// What is kept beside a line, unsealed.
    #[must_use]
    pub fn kept(&self, index: u64) -> Vec<Kept> {
        let Some(line) = self.line(index) else { return Vec::new() };
        self.0.house.contents_of(&line)
    }

    /// A sign-in without a password, also of principals that have none.
    #[must_use]
    pub fn token_of(&self, principal: &PrincipalId) -> Zeroizing<String> {
        self.token_with(principal, &[crate::Means::Password])
    }

    /// A sign-in that was proved by these means, as far as anybody can tell.
    #[must_use]
    pub fn token_with(&self, principal: &PrincipalId, means: &[crate::Means]) -> Zeroizing<String> {
        self.fresh(principal, means).token
    }

    /// Somebody who signed in by these means.
    #[must_use]
    pub fn caller_with(&self, principal: &PrincipalId, means: &[crate::Means]) -> Caller {
        let fresh = self.fresh(principal, means);
        Caller {
            sign_in: fresh.kept.id,
            proof: crate::Proof { means: fresh.kept.means, age: Span(0) },
            source: Some(std::net::IpAddr::from([127, 0, 0, 1])),
            token: fresh.key,
            ..self.caller_of(principal)
        }
    }

    fn fresh(&self, principal: &PrincipalId, means: &[crate::Means]) -> crate::people::Fresh {
        let client = crate::SignInClient { source: None, via: Via::Cli, user_agent: None };
        let tokens = &self.0.people.tokens;
        let whose = (principal, self.snapshot().book.person(principal).cloned());
        let fresh = tokens.mint(&self.0.house, whose, crate::MeansSet::of(means), &client);
        tokens.admit(&fresh);
        fresh
    }
}

/// Has a book learn what a line says, if it feeds the book. `catalogue` finds what a bundle says.
///
/// # Errors
/// Why it can't be read.
pub fn learn(
    book: &mut Book,
    line: &StoredLine,
    catalogue: &dyn Fn(&BundleHash) -> Option<Arc<Catalogue>>,
) -> Result<(), String> {
    if line.decides {
        let (event, at) = crate::line::read_event(&line.bytes, catalogue)
            .map_err(|bad| format!("line {}: {}", line.index, crate::line::chain(&bad)))?;
        book.apply(&event, at);
    }
    Ok(())
}

/// What a stepped engine is told before it starts.
#[derive(Clone, Copy, Debug, Default)]
pub struct Told<'a> {
    /// Bundles that need not be compiled again.
    pub known: &'a [Arc<Compiled>],
    /// What the writer does wrong.
    pub mistake: Option<Mistake>,
}

/// What a command came to.
type Decided = Result<Vec<Event>, Refusal>;

/// A mistake that the writer makes on purpose, so that a simulation can prove that it would notice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mistake {
    /// A receipt is used again although it was used up.
    ReceiptIsNotConsumed,
    /// A receipt is used without asking whether what it was given for is still so.
    NotAskedAgain,
    /// What an envelope has spent is forgotten: each use is given as much as the first.
    RowsAreNotCounted,
    /// Whatever is said to be within an envelope is.
    EverythingIsInside,
    /// Any step of a script is taken for the next one, anywhere.
    AnyStepWillDo,
    /// A yes to one's own request counts.
    OwnYesCounts,
    /// Whoever revokes is told that it is done, and nothing is.
    RevokesNothing,
    /// What was approved runs in a paused session too.
    PauseHoldsNothing,
    /// What time has ended is not written down.
    SweepsNothing,
    /// What a gateway that is gone left open stays open.
    RestartsAsIfNothingWere,
    /// A record that nobody waits for is dropped when more than this wait with it.
    DropsAlongside(usize),
}

impl Mistake {
    /// What is decided instead of what should be.
    pub(crate) fn instead(self, book: &Book, command: &Command, decided: Decided) -> Decided {
        let used =
            |request, session| Ok(vec![Event::Request(Happened::Used { request, session, rows: None })]);
        match (self, command, &decided) {
            (
                Self::ReceiptIsNotConsumed,
                Command::Request(Asked::Use { request, session, .. }),
                Err(Refusal::ReceiptSpent(_)),
            ) if is_in_use(book, *request) => used(*request, *session),
            (
                Self::NotAskedAgain,
                Command::Request(Asked::Use { request, session, .. }),
                Ok(_) | Err(Refusal::OtherAction | Refusal::SessionEnding(_) | Refusal::Denied(_)),
            ) => used(*request, *session),
            (
                Self::PauseHoldsNothing,
                Command::Request(Asked::Use { request, session, .. }),
                Err(Refusal::SessionPaused(_)),
            ) => used(*request, *session),
            (Self::RowsAreNotCounted, Command::Request(Asked::Use { request, session, .. }), Ok(events)) => {
                let counted = events
                    .iter()
                    .any(|event| matches!(event, Event::Request(Happened::Used { rows: Some(_), .. })));
                match envelope_of(book, *request).filter(|_| counted) {
                    Some(envelope) => used_rows(*request, *session, envelope.rows),
                    None => decided,
                }
            }
            (
                Self::EverythingIsInside,
                Command::Request(Asked::Use { request, session, .. }),
                Err(Refusal::OtherAction),
            ) => match envelope_of(book, *request) {
                Some(envelope) => used_rows(*request, *session, envelope.rows),
                None => decided,
            },
            (
                Self::AnyStepWillDo,
                Command::Request(Asked::Use { request, session, .. }),
                Err(Refusal::OtherAction | Refusal::OtherSession(_)),
            ) if book.request(*request).is_some_and(|found| found.next_step().is_some()) => {
                used(*request, *session)
            }
            (
                Self::OwnYesCounts,
                Command::Request(Asked::Approve { request, by, .. }),
                Err(Refusal::OwnRequest),
            ) => {
                let (request, by, person) = (*request, by.clone(), PersonId::new(by.as_str()));
                let yes = Happened::Approved {
                    request,
                    by,
                    person,
                    comment: None,
                    signature: None,
                    terms: Terms::default(),
                };
                Ok(vec![Event::Request(yes)])
            }
            (Self::RevokesNothing, Command::Grant(_), _)
            | (Self::SweepsNothing, Command::Sweep, _)
            | (Self::RestartsAsIfNothingWere, Command::Restart, _) => Ok(Vec::new()),
            _ => decided,
        }
    }
}

fn used_rows(request: RequestId, session: SessionId, rows: u64) -> Decided {
    Ok(vec![Event::Request(Happened::Used { request, session, rows: Some(rows) })])
}

/// The envelope of a receipt that is not in use.
fn envelope_of(book: &Book, request: RequestId) -> Option<Envelope> {
    match &book.request(request)?.state {
        State::Approved(receipt) if receipt.running.is_none() => receipt.envelope,
        _ => None,
    }
}

/// Whether a receipt was used, or is being used.
fn is_in_use(book: &Book, request: RequestId) -> bool {
    match book.request(request).map(|found| &found.state) {
        Some(State::Approved(receipt)) => receipt.is_spent() || receipt.running.is_some(),
        _ => false,
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

    fn swap(&self, drawer: Drawer, swaps: &[Swap]) -> Result<u64, StoreError> {
        self.check()?;
        self.inner.swap(drawer, swaps)
    }
}

/// Drives the writer by hand: each step is what its thread would have done next. Dropping it in between is a crash.
pub struct Stepper {
    writer: Writer,
    queue: Arc<Queue>,
    hall: Arc<Hall>,
    /// What must be written once the store works again.
    kept: VecDeque<Item>,
}

impl Stepper {
    pub(crate) fn new(writer: Writer, queue: Arc<Queue>, hall: Arc<Hall>) -> Self {
        Self { writer, queue, hall, kept: VecDeque::new() }
    }

    /// How much waits to be written.
    #[must_use]
    pub fn queued(&self) -> usize {
        self.queue.len() + self.kept.len()
    }

    /// Works through everything that is in the queue, in one turn; how much that was. A turn without work signs a
    /// checkpoint if one is due. While the store fails everything is refused but what must be written.
    pub fn step(&mut self) -> usize {
        if self.is_broken() {
            let before = self.queue.len();
            self.queue.refuse();
            return before - self.queue.len();
        }
        let mut batch = self.queue.take_now();
        if let Some(Mistake::DropsAlongside(most)) = self.writer.mistake
            && batch.len() > most
        {
            batch.retain(Item::is_waited_for);
        }
        let count = batch.len();
        if let Some(kept) = turn_or_keep(&mut self.writer, self.hall.as_ref(), batch) {
            self.kept = kept;
            self.queue.refuse();
        }
        count
    }

    /// Does what the hour brings: cuts sessions, and writes down what is over.
    pub fn tick(&mut self) {
        self.hall.patrol(false);
        let now = self.writer.house.ports.clock.now();
        if self.hall.snapshot.load().book.next_deadline().is_some_and(|at| at <= now) {
            let sweep = Deed::new(Command::Sweep, From::HOUSE);
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
                let kept = std::mem::take(&mut self.kept);
                if !self.writer.survived() {
                    self.queue.put_back(kept);
                }
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
