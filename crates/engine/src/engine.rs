//! The engine's handle: starting, stopping, and what everybody may read.

use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use arc_swap::{ArcSwap, ArcSwapOption};
use countersign_core::{At, BundleHash, Command, PrincipalId, SessionId};
use tokio::sync::watch;

use crate::counter::Counter;
use crate::house::House;
use crate::keys::{HouseKeys, Keys, MasterKey};
use crate::line::{State, Topic};
use crate::people::{Caller, Noise, People, may_let_in};
use crate::ports::Ports;
use crate::settings::Settings;
use crate::snapshot::{Changed, Health, Snapshot};
use crate::spending::Spending;
use crate::store::Store;
use crate::warden::Warden;
use crate::words::{Refused, RefusedCode};
use crate::writer::open::{STOPPED, StartError, Unread};
use crate::writer::queue::{Herald, Queue, drive};
use crate::writer::tree::Published;
use crate::writer::work::{Deed, Done, From, NotDone, Note, Work};
use crate::writer::{Turn, Writer};

/// How long a failed sweep is left alone.
const SWEEP_AGAIN: countersign_core::Span = countersign_core::Span(250_000);
/// How often it is looked whether results have been kept for as long as they may. What could not be destroyed waits as long.
const FORGET_EVERY: countersign_core::Span = countersign_core::Span::minutes(15);

/// The engine. A handle; clones are the same engine.
#[derive(Clone)]
pub struct Engine(pub(crate) Arc<Inner>);

pub(crate) struct Inner {
    pub(crate) house: Arc<House>,
    pub(crate) queue: Arc<Queue>,
    pub(crate) hall: Arc<Hall>,
    pub(crate) people: People,
    pub(crate) keys: Keys,
    pub(crate) noise: Noise,
    pub(crate) spending: Arc<Spending>,
    vkey: countersign_ledger::VerifierKey,
    pub(crate) accounts: crate::accounts::Board,
    pub(crate) directories: crate::directory::Directories,
    pub(crate) readers: crate::scripts::Readers,
    pub(crate) lectern: Counter<crate::reading::Wish>,
    pub(crate) benches: Counter<crate::workbench::Wish>,
    pub(crate) setup: crate::setup::Setup,
    pub(crate) trying: Counter<crate::setup::Wish>,
    pub(crate) history: crate::history::History,
    pub(crate) trials: Arc<tokio::sync::Semaphore>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

/// Where the writer publishes.
pub(crate) struct Hall {
    pub(crate) snapshot: ArcSwap<Snapshot>,
    pub(crate) changed: watch::Sender<Changed>,
    pub(crate) published: ArcSwapOption<Published>,
    health: ArcSwap<Health>,
    pub(crate) warden: Warden,
    ports: Ports,
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Engine")
    }
}

impl Engine {
    /// Opens the ledger in `store`, or begins one, checks it, learns what has happened, ends what a gateway that is
    /// gone left open, and starts the writer. To be called inside a tokio runtime.
    ///
    /// # Errors
    /// Whatever does not fit, with its place. Nothing starts.
    pub fn start(
        store: Arc<dyn Store>,
        master: MasterKey,
        ports: Ports,
        settings: Settings,
    ) -> Result<Self, StartError> {
        let keys = HouseKeys::of(&*store, &master, &ports)?;
        Self::start_with(store, keys, ports, settings)
    }

    /// As [`Engine::start`], with keys that were found before: see [`crate::Keepers::open`].
    ///
    /// # Errors
    /// As there.
    pub fn start_with(
        store: Arc<dyn Store>,
        keys: HouseKeys,
        ports: Ports,
        settings: Settings,
    ) -> Result<Self, StartError> {
        let is_settled = keys.ring.is_settled();
        let (engine, writer) = Self::assemble(store, keys, (ports, settings), |_| {})?;
        let (queue, hall) = (Arc::clone(&engine.0.queue), Arc::clone(&engine.0.hall));
        let thread = std::thread::Builder::new()
            .name("ledger-writer".into())
            .spawn(move || drive(writer, &queue, hall.as_ref()))
            .map_err(|error| crate::StoreError::failed("start the writer's thread", error))?;
        *engine.0.thread.lock().unwrap_or_else(PoisonError::into_inner) = Some(thread);
        tokio::spawn(keep_time(Arc::downgrade(&engine.0), engine.changed()));
        tokio::spawn(crate::directory::keep_watch(Arc::downgrade(&engine.0)));
        if !is_settled {
            // The gateway before stopped while it changed its keys.
            tokio::spawn(crate::keys::settle(Arc::downgrade(&engine.0)));
        }
        Ok(engine)
    }

    /// Everything but the thread that drives the writer, and the hours.
    fn assemble(
        store: Arc<dyn Store>,
        keys: HouseKeys,
        (ports, settings): (Ports, Settings),
        prepare: impl FnOnce(&mut Unread),
    ) -> Result<(Self, Writer), StartError> {
        let mut unread = Unread::find(store, &keys, ports.clone(), settings)?;
        prepare(&mut unread);
        let writer = unread.open()?;
        let house = Arc::clone(&writer.house);
        let people = People::load(&house)?;
        let vkey = writer.verifier().clone();
        let hall = Arc::new(Hall {
            snapshot: ArcSwap::new(writer.publishable()),
            changed: watch::Sender::new(Changed::default()),
            published: ArcSwapOption::new(writer.published().cloned().map(Arc::new)),
            health: ArcSwap::new(Arc::new(Health::Ok)),
            warden: Warden::default(),
            ports,
        });
        let queue = Arc::new(Queue::new());
        let noise = Noise::new(house.settings.refusals_a_minute);
        let thread = Mutex::new(None);
        let accounts = crate::accounts::Board::default();
        let directories = crate::directory::Directories::load(&house)?;
        let readers = crate::scripts::Readers::default();
        let spending = Arc::new(Spending::new(Arc::clone(&house.store)));
        let inner = Inner {
            house,
            queue,
            hall,
            people,
            keys: Keys::new(keys.keepers),
            noise,
            spending,
            vkey,
            accounts,
            directories,
            readers,
            lectern: Counter::default(),
            benches: Counter::default(),
            setup: crate::setup::Setup::default(),
            trying: Counter::default(),
            history: crate::history::History::default(),
            trials: Arc::new(tokio::sync::Semaphore::new(crate::trial::AT_ONCE_MAX)),
            thread,
        };
        Ok((Self(Arc::new(inner)), writer))
    }

    /// An engine without a thread and without hours: nothing is written until the stepper is told to. Every run
    /// with the same ports, store and steps is the same.
    ///
    /// # Errors
    /// As for [`Engine::start`].
    #[cfg(any(test, feature = "testing"))]
    pub fn start_stepped(
        store: Arc<dyn Store>,
        master: MasterKey,
        ports: Ports,
        settings: Settings,
    ) -> Result<(Self, crate::testing::Stepper), StartError> {
        Self::start_told(store, &master, (ports, settings), crate::testing::Told::default())
    }

    /// As [`Engine::start_stepped`], told some things before.
    ///
    /// # Errors
    /// As for [`Engine::start`].
    #[cfg(any(test, feature = "testing"))]
    pub fn start_told(
        store: Arc<dyn Store>,
        master: &MasterKey,
        with: (Ports, Settings),
        told: crate::testing::Told<'_>,
    ) -> Result<(Self, crate::testing::Stepper), StartError> {
        let keys = HouseKeys::of(&*store, master, &with.0)?;
        let (engine, writer) = Self::assemble(store, keys, with, |unread| {
            told.known.iter().for_each(|bundle| unread.house.remember(bundle));
            unread.mistake = told.mistake;
        })?;
        let (queue, hall) = (Arc::clone(&engine.0.queue), Arc::clone(&engine.0.hall));
        Ok((engine, crate::testing::Stepper::new(writer, queue, hall)))
    }

    /// Ends every session, writes down that the gateway stopped, signs a last checkpoint, and closes the ledger.
    /// Doors should have been stopped before.
    pub async fn stop(&self) {
        self.0.hall.warden.end_all(countersign_core::session::Ending::Gateway);
        let _unavailable = self.deed(Deed::new(Command::Restart, From::HOUSE)).await;
        let state = State { since: None, version: crate::VERSION, why: None };
        let _unavailable = self.note(Note::new(STOPPED, Topic::State(state))).await;
        self.0.queue.close();
        let thread = self.0.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread {
            let joined = tokio::task::spawn_blocking(move || thread.join()).await;
            if !matches!(joined, Ok(Ok(()))) {
                tracing::error!("the ledger's writer ended abnormally");
            }
        }
    }

    /// Resolves when the ledger will take no more records: it was stopped, or its writer failed. Nothing can be decided then.
    pub async fn ended(&self) {
        self.0.queue.abandoned().await;
    }

    /// The state as it is now. Takes no lock.
    #[must_use]
    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.0.hall.snapshot.load_full()
    }

    /// The bundle in force.
    #[must_use]
    pub fn bundle(&self) -> Option<BundleHash> {
        self.0.hall.snapshot.load().book.in_force.as_ref().map(|in_force| in_force.bundle)
    }

    /// The instant.
    #[must_use]
    pub fn now(&self) -> At {
        self.0.house.ports.clock.now()
    }

    /// Resolves at this instant of the engine's clock.
    pub fn sleep_until(&self, at: At) -> std::pin::Pin<Box<dyn Future<Output = ()> + Send>> {
        self.0.house.ports.clock.sleep_until(at)
    }

    /// Word of what changes: after each commit that decided something, and after each checkpoint.
    #[must_use]
    pub fn changed(&self) -> watch::Receiver<Changed> {
        self.0.hall.changed.subscribe()
    }

    /// Whether the ledger takes records.
    #[must_use]
    pub fn health(&self) -> Health {
        self.0.hall.health.load().as_ref().clone()
    }

    /// The settings it runs with.
    #[must_use]
    pub fn settings(&self) -> &Settings {
        &self.0.house.settings
    }

    pub(crate) fn verifier(&self) -> &countersign_ledger::VerifierKey {
        &self.0.vkey
    }

    /// Has a command decided and written.
    pub(crate) async fn deed(&self, deed: Deed) -> Result<Done, Refused> {
        if may_let_in(&deed.command) {
            self.end_of_shut_out().await?;
        }
        Ok(self.0.queue.done(Work::Deed(Box::new(deed))).await?)
    }

    /// Has something written that feeds no book.
    pub(crate) async fn note(&self, note: Note) -> Result<Done, Refused> {
        Ok(self.0.queue.done(Work::Note(Box::new(note))).await?)
    }

    /// A line about what the caller did, or the house by itself.
    pub(crate) fn note_by(&self, kind: &'static str, topic: Topic, by: Option<&Caller>) -> Note {
        let mut note = Note::new(kind, topic);
        note.line.actor = by.map(|by| by.principal.clone());
        note.line.person = by.and_then(|by| self.snapshot().book.person(&by.principal).cloned());
        note
    }

    /// The principal of this name, if the bundle has one.
    pub(crate) fn known(&self, name: &str) -> Option<PrincipalId> {
        let name: PrincipalId = name.parse().ok()?;
        self.snapshot().book.catalogue.principals.contains_key(&name).then_some(name)
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.queue.close();
    }
}

impl Herald for Hall {
    fn publish(&self, writer: &Writer, turn: &Turn) {
        if let Some(snapshot) = &turn.snapshot {
            self.snapshot.store(Arc::clone(snapshot));
        }
        if let Some(published) = &turn.published {
            self.published.store(Some(Arc::new(published.clone())));
        } else if self.published.load().as_ref().map(|last| last.size)
            != writer.published().map(|last| last.size)
        {
            self.published.store(writer.published().cloned().map(Arc::new));
        }
        let topics = turn.changed;
        if topics.is_empty() {
            return;
        }
        if topics.grants.max(topics.sessions).max(topics.principals).max(topics.bundle) > 0 {
            // Who is in which group is what policy looks at, as much as the bundle is.
            self.patrol(topics.bundle.max(topics.principals) > 0);
        }
        self.changed.send_modify(|changed| changed.add(topics));
    }

    fn health(&self, writer: &Writer) {
        let health = match writer.broken() {
            None => Health::Ok,
            Some(broken) => Health::Degraded { since: broken.since, why: broken.why.clone() },
        };
        self.health.store(Arc::new(health));
    }
}

impl Hall {
    /// Ends the sessions that stand on nothing any more.
    pub(crate) fn patrol(&self, policy_too: bool) {
        let snapshot = self.snapshot.load();
        self.warden.patrol(&snapshot, self.ports.clock.now().max(snapshot.at), policy_too);
    }

    /// Ends one session if it stands on nothing any more.
    pub(crate) fn look_in(&self, session: SessionId) {
        let snapshot = self.snapshot.load();
        self.warden.look_in(session, &snapshot, self.ports.clock.now().max(snapshot.at));
    }
}

impl std::convert::From<NotDone> for Refused {
    fn from(not: NotDone) -> Self {
        match not {
            NotDone::Refused(refusal) => refusal.into(),
            NotDone::Stale => Self::new(RefusedCode::Conflict, "policy changed meanwhile").hint("try again"),
            NotDone::Unwritable(why) => {
                Self::new(RefusedCode::TooLarge, format!("this can't be recorded: {why}"))
            }
            NotDone::Unavailable => Self::unavailable(),
        }
    }
}

/// Does what hours bring: sweeps when something is over, cuts sessions then even if the ledger takes nothing, and
/// has a grown ledger signed.
async fn keep_time(engine: std::sync::Weak<Inner>, mut changed: watch::Receiver<Changed>) {
    let mut swept_at = None;
    let mut ticked_at = None;
    let mut forgot_at = None;
    loop {
        let Some(inner) = engine.upgrade() else { return };
        let clock = Arc::clone(&inner.house.ports.clock);
        let now = clock.now();
        let every = inner.house.settings.checkpoint_every;
        let deadline = inner.hall.snapshot.load().book.next_deadline();
        let due =
            deadline.is_some_and(|at| at <= now) && swept_at.is_none_or(|at: At| at.plus(SWEEP_AGAIN) <= now);
        if due {
            inner.hall.patrol(false);
            swept_at = Some(now);
            let sweep = Work::Deed(Box::new(Deed::new(Command::Sweep, From::HOUSE)));
            if inner.queue.done(sweep).await.is_ok() {
                swept_at = None;
                continue;
            }
        }
        if ticked_at.is_none_or(|at: At| at.plus(every) <= now) {
            ticked_at = Some(now);
            inner.queue.poke();
            if forgot_at.is_none_or(|at: At| at.plus(FORGET_EVERY) <= now) {
                forgot_at = Some(now);
                if let Err(refused) = Engine(Arc::clone(&inner)).destroy_results().await {
                    tracing::error!(%refused, "results that are over are not destroyed yet");
                }
            }
        }
        let tick = ticked_at.unwrap_or(now).plus(every);
        let sweep = match (deadline, swept_at) {
            (Some(at), None) => at,
            (Some(at), Some(swept)) => at.max(swept.plus(SWEEP_AGAIN)),
            (None, _) => tick,
        };
        drop(inner);
        tokio::select! {
            () = clock.sleep_until(tick.min(sweep)) => {}
            changed = changed.changed() => if changed.is_err() { return },
        }
    }
}
