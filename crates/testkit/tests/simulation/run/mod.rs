//! One run from one seed: lives of a gateway, with crashes between them.
//!
//! Everything is on one thread and nothing runs by itself. A tick starts an actor, looks after one, lets the writer
//! work, moves the clock, or breaks something. What the writer made durable the oracle reads at once; after a crash
//! the disk is asked what it kept, and the shipped code opens that.

mod breaks;
mod checks;
mod summary;

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use countersign_core::{Book, PrincipalId, Span};
use countersign_engine::settings::Argon2Cost;
use countersign_engine::store::{Drawer, Put};
use countersign_engine::testing::{Failing, ManualClock, Stepper, Told, ports};
use countersign_engine::{Applied, Engine, MasterKey, Ports, Settings, SqliteStore, Store, StoreError};
use countersign_ledger::VerifierKey;

use crate::actors;
use crate::bundles::{USERS, Variant};
use crate::dice::Dice;
use crate::disk::{Disk, End, Image, VFS};
use crate::oracle::{Oracle, Violation, must};
use crate::scene::{Scene, World};
use crate::scripts;
use crate::stores::{Hasty, Late};
pub use summary::{Mutation, Summary};

/// How many ticks a run has.
const TICKS: usize = 220;

/// How many a long run has: enough for the book to be stored while it lives. Every two hundredth run is long.
const TICKS_LONG: usize = 2_500;

/// How many actors are about at a time.
const ACTORS_MAX: usize = 14;

/// Who holds what when most runs begin.
const HOLDERS: [(&str, &str); 6] = [
    ("alice", "shop-writer"),
    ("eve", "shop-writer"),
    ("bob", "shop-writer"),
    ("ci", "shop-writer"),
    ("eve", "metrics-writer"),
    ("alice", "shop-reader"),
];

/// Runs a seed.
///
/// # Errors
/// What was found, if anything.
pub fn run(seed: u64, mutation: Option<Mutation>) -> Result<Summary, Violation> {
    let ran = catch_unwind(AssertUnwindSafe(|| Run::new(seed, mutation)?.play()));
    ran.unwrap_or_else(|panic| {
        let words = panic.downcast_ref::<String>().cloned();
        let words = words.or_else(|| panic.downcast_ref::<&str>().map(|words| (*words).to_owned()));
        Err(Violation::new("nothing panics", words.unwrap_or_default()))
    })
}

/// The lines of a run, for comparing two of the same seed.
///
/// # Errors
/// What was found, if anything.
pub fn lines_of(seed: u64) -> Result<Vec<Vec<u8>>, Violation> {
    let mut run = Run::new(seed, None)?;
    run.act()?;
    Ok(run.oracle.lines().iter().map(|line| line.bytes.clone()).collect())
}

/// A store, and the same where it can be made to doubt.
type Opened = (Arc<dyn Store>, Option<Arc<Failing<SqliteStore>>>);

type Actor = Pin<Box<dyn Future<Output = ()>>>;

struct Run {
    mutation: Option<Mutation>,
    ticks: usize,
    dice: Dice,
    clock: ManualClock,
    ports: Ports,
    disk: Disk,
    life: Option<Life>,
    world: Rc<RefCell<World>>,
    oracle: Oracle,
    /// What follows from the lines, from the first on.
    book: Book,
    /// The lines that allowed a statement, by its text.
    texts: BTreeMap<String, Vec<u64>>,
    checked: Checked,
    summary: Summary,
}

/// How far what the world saw has been checked.
#[derive(Default)]
struct Checked {
    promises: usize,
    executions: usize,
    released: usize,
    checkpoint: String,
}

/// One life of a gateway. Fields are dropped in this order.
struct Life {
    actors: Vec<Actor>,
    scene: Rc<Scene>,
    stepper: Stepper,
    engine: Engine,
    store: Arc<dyn Store>,
    /// The same, unless it is a mutated one: what it made durable it can be made to say it has not.
    doubtful: Option<Arc<Failing<SqliteStore>>>,
    vkey: VerifierKey,
}

impl Run {
    /// Most runs begin with a ledger that has its first bundle and some grants; every sixteenth with an empty disk.
    fn new(seed: u64, mutation: Option<Mutation>) -> Result<Self, Violation> {
        static BEGUN: OnceLock<Image> = OnceLock::new();
        if seed.is_multiple_of(16) {
            let mut run = Self::on(Disk::new(&name()), seed, mutation);
            run.begin_ledger()?;
            return Ok(run);
        }
        let begun = BEGUN.get_or_init(|| {
            let mut run = Self::on(Disk::new(&name()), u64::MAX, None);
            let begun = run.start().and_then(|()| run.first_bundle()).and_then(|()| run.first_grants());
            assert!(begun.is_ok(), "a ledger could not be begun: {begun:?}");
            run.life = None;
            run.disk.image()
        });
        let mut run = Self::on(Disk::with(&name(), begun), seed, mutation);
        run.start()?;
        Ok(run)
    }

    fn on(disk: Disk, seed: u64, mutation: Option<Mutation>) -> Self {
        let clock = ManualClock::default();
        let ports = ports(&clock, seed);
        let ticks = if seed % 200 == 100 { TICKS_LONG } else { TICKS };
        Self {
            mutation,
            ticks,
            dice: Dice::new(seed),
            clock,
            ports,
            disk,
            life: None,
            world: Rc::default(),
            oracle: Oracle::default(),
            book: Book::default(),
            texts: BTreeMap::new(),
            checked: Checked::default(),
            summary: Summary::default(),
        }
    }

    fn play(mut self) -> Result<Summary, Violation> {
        self.act()?;
        self.finish()?;
        self.disk.clone().remove();
        Ok(self.summary)
    }

    fn act(&mut self) -> Result<(), Violation> {
        // Long runs have long lives.
        let trouble = if self.ticks > TICKS { 6 } else { 60 };
        for _ in 0..self.ticks {
            match self.dice.below(100) {
                0..26 => self.begin(),
                26..62 => self.look_after(),
                62..86 => self.step()?,
                86..94 => self.pass()?,
                94..96 if self.dice.chance(trouble) => self.break_something(),
                94..99 => self.mend()?,
                _ if self.dice.chance(100.min(2 * trouble)) => self.crash_or_stop()?,
                _ => {}
            }
            self.observe()?;
        }
        Ok(())
    }

    /// Opens what the disk has.
    fn start(&mut self) -> Result<(), Violation> {
        let (store, doubtful) = self.open_store()?;
        let settings = Settings {
            node: "simulated".into(),
            origin: "simulation.test/ledger".into(),
            argon2: Argon2Cost { memory_kib: 64, passes: 1 },
            ..Settings::default()
        };
        // Now and then the bundle is read and compiled as it always is; mostly that would only take time.
        let known = if self.dice.chance(97) { Variant::compiled_ones() } else { &[] };
        let with = (self.ports.clone(), settings);
        let mistake = match self.mutation {
            Some(Mutation::Writer(mistake)) => Some(mistake),
            _ => None,
        };
        let told = Told { known, mistake };
        let started = Engine::start_told(Arc::clone(&store), &MasterKey::new([7; 32]), with, told);
        let (engine, stepper) =
            started.map_err(|error| Violation::new("what a crash left can be opened", chain(&error)))?;
        scripts::teach(&engine);
        let vkey = engine.vkey().parse::<VerifierKey>();
        let vkey = vkey.map_err(|error| Violation::new("checkpoints are signed", error.to_string()))?;
        let fault = match self.mutation {
            Some(Mutation::Door(fault)) => Some(fault),
            _ => None,
        };
        let scene = Rc::new(Scene {
            engine: engine.clone(),
            world: Rc::clone(&self.world),
            dice: RefCell::new(Dice::new(self.dice.next())),
            fault,
            sessions: RefCell::default(),
            relation: Cell::new(1),
        });
        self.life = Some(Life { actors: Vec::new(), scene, stepper, engine, store, doubtful, vkey });
        self.summary.starts += 1;
        self.read_on()?;
        self.after_start()
    }

    fn open_store(&mut self) -> Result<Opened, Violation> {
        let cannot = |error: StoreError| Violation::new("what a crash left can be opened", chain(&error));
        let path = self.disk.path("ledger.db");
        let fold_every = *self.dice.pick(&[20, 100, 1_000]);
        let store = SqliteStore::open_simulated(Path::new(&path), VFS, fold_every).map_err(cannot)?;
        Ok(match self.mutation {
            Some(Mutation::StoreDoesNotSync) => {
                store.commit_without_syncing().map_err(cannot)?;
                (Arc::new(store), None)
            }
            Some(Mutation::StoreAcknowledgesFirst) => (Arc::new(Hasty::new(store)), None),
            Some(Mutation::PublishesFirst) => (Arc::new(Late::new(store)), None),
            _ => {
                let store = Arc::new(Failing::new(store));
                (Arc::clone(&store) as Arc<dyn Store>, Some(store))
            }
        })
    }

    /// A new ledger with its first bundle, however often the power fails meanwhile.
    fn begin_ledger(&mut self) -> Result<(), Violation> {
        self.restart()?;
        while self.life().engine.snapshot().book.in_force.is_none() {
            if self.dice.chance(40) {
                self.disk.fail_power_in(u32::try_from(self.dice.below(60)).expect("it is small"));
            }
            let begun = self.first_bundle();
            if !self.disk.is_off() {
                begun?;
            }
            self.observe()?;
        }
        Ok(())
    }

    fn first_bundle(&mut self) -> Result<(), Violation> {
        let engine = self.life().engine.clone();
        let by = PrincipalId::new(USERS[0]);
        let applying = async move { engine.first_bundle(Variant::Base.files(), &by).await };
        let applied = self.drive(applying);
        must(matches!(applied, Ok(Applied::Active { .. })), "the first bundle is applied", || {
            format!("{applied:?}")
        })?;
        self.read_on()
    }

    fn first_grants(&mut self) -> Result<(), Violation> {
        let scene = Rc::clone(&self.life().scene);
        self.drive(async move {
            for (who, role) in HOLDERS {
                actors::obtains(&scene, who, role).await;
            }
        });
        self.read_on()?;
        self.check_world()
    }

    fn begin(&mut self) {
        let scene = Rc::clone(&self.life().scene);
        if self.life().actors.len() >= ACTORS_MAX {
            return self.look_after();
        }
        let waits = actors::somebody_waits(&scene);
        let actor: Actor = match self.dice.below(100) {
            0..20 if waits => Box::pin(actors::answers(scene)),
            20..50 if waits => Box::pin(actors::agrees(scene)),
            0..58 => Box::pin(actors::connects(scene)),
            58..66 => Box::pin(scripts::runs(scene)),
            66..85 => Box::pin(actors::asks(scene)),
            85..88 => Box::pin(scripts::puts_forward(scene)),
            88..91 => Box::pin(actors::withdraws(scene)),
            91..94 => Box::pin(actors::ends_grant(scene)),
            94..95 => Box::pin(actors::shuts_out(scene)),
            95..96 => Box::pin(actors::pauses_session(scene)),
            96..98 => Box::pin(actors::ends_session(scene)),
            98 if self.dice.chance(60) => return self.apply(scene),
            _ => Box::pin(actors::asks(scene)),
        };
        self.life().actors.push(actor);
        let last = self.life().actors.len() - 1;
        self.poll(last);
    }

    /// Applies another bundle. It is compiled on another thread; that is waited for here, so that the run stays one.
    fn apply(&mut self, scene: Rc<Scene>) {
        let variant = *self.dice.pick(&Variant::ALL);
        let by = *self.dice.pick(&["dave", "dave", "dave", "carol"]);
        let mut actor: Actor = Box::pin(async move {
            let _applied = scene.engine.apply_bundle(&scene.caller(by), variant.files()).await.is_ok();
        });
        let life = self.life();
        let before = life.stepper.queued();
        let _runtime = runtime().enter();
        loop {
            if poll_once(&mut actor).is_ready() {
                return;
            }
            if life.stepper.queued() > before {
                break;
            }
            std::thread::sleep(Duration::from_micros(100));
        }
        life.actors.push(actor);
    }

    /// Looks after some actor, or after all.
    fn look_after(&mut self) {
        let count = self.life().actors.len();
        if count == 0 {
            return;
        }
        if self.dice.chance(50) {
            (0..count).rev().for_each(|at| self.poll(at));
        } else {
            let at = self.dice.below(count);
            self.poll(at);
        }
    }

    fn poll(&mut self, at: usize) {
        let _runtime = runtime().enter();
        let life = self.life();
        if poll_once(&mut life.actors[at]).is_ready() {
            drop(life.actors.swap_remove(at));
        }
    }

    /// Lets the writer work through what waits.
    fn step(&mut self) -> Result<(), Violation> {
        self.life().stepper.step();
        self.read_on()?;
        self.settle_reads();
        Ok(())
    }

    /// Time passes.
    fn pass(&mut self) -> Result<(), Violation> {
        let span = match self.dice.below(20) {
            0..9 => Span::seconds(1),
            9..13 => Span::seconds(20),
            13..16 => Span::minutes(2),
            16..18 => Span::minutes(6),
            18 => Span::minutes(30),
            _ => Span(-1_000_000),
        };
        self.clock.advance(span);
        self.life().stepper.tick();
        self.read_on()?;
        self.check_ends()
    }

    /// What the world has seen since the last tick, and whether the power failed.
    fn observe(&mut self) -> Result<(), Violation> {
        self.check_world()?;
        if self.disk.is_off() {
            self.crash(End::PowerCut)?;
        }
        Ok(())
    }

    /// Lets everybody finish, and looks at the whole.
    fn finish(&mut self) -> Result<(), Violation> {
        self.disk.heal();
        if let Some(doubtful) = &self.life().doubtful {
            doubtful.lie(0);
        }
        // The second time nothing is left that could fail.
        self.mend()?;
        self.mend()?;
        for _ in 0..40 {
            let count = self.life().actors.len();
            (0..count).rev().for_each(|at| self.poll(at));
            self.step()?;
            self.observe()?;
        }
        self.life().actors.clear();
        for _ in 0..3 {
            self.clock.advance(Span::seconds(2));
            self.life().stepper.tick();
            self.step()?;
        }
        self.life().stepper.settle();
        self.read_on()?;
        self.observe()?;
        self.check_complete()?;
        self.prove()?;
        // And once more: what the disk has by now is all of it, and the snapshot of the book is only a shorter way.
        self.life()
            .store
            .put(&[Put::remove(Drawer::Cursors, *b"book"), Put::remove(Drawer::Cursors, *b"tree")])
            .map_err(|error| Violation::new("what a crash left can be opened", chain(&error)))?;
        self.crash(End::PowerCut)?;
        self.summary.runs = 1;
        self.summary.lines = self.oracle.size();
        self.summary.elsewhere = self.oracle.used_elsewhere();
        self.summary.within_bounds = self.oracle.used_within_bounds();
        self.summary.scripts = self.oracle.scripts();
        self.summary.writes_lost = self.disk.counts().lost;
        let world = self.world.borrow();
        self.summary.checkpoints = world.checkpoints.len() as u64;
        self.summary.executions = world.executions.len() as u64;
        self.summary.approved = world.executions.iter().filter(|ran| ran.request.is_some()).count() as u64;
        self.summary.reads = world.released.len() as u64;
        let bundles = self.oracle.lines().iter().filter(|line| line.kind == "policy.activated");
        self.summary.bundles = bundles.count() as u64;
        Ok(())
    }

    /// Waits for something, letting the writer work meanwhile.
    fn drive<T>(&mut self, future: impl Future<Output = T> + 'static) -> T {
        let _runtime = runtime().enter();
        let mut future = Box::pin(future);
        loop {
            if let Poll::Ready(done) = poll_once(&mut future) {
                return done;
            }
            if self.life().stepper.step() == 0 {
                std::thread::sleep(Duration::from_micros(100));
            }
        }
    }

    fn life(&mut self) -> &mut Life {
        self.life.as_mut().expect("between two lives nobody acts")
    }
}

/// A name for a disk.
fn name() -> String {
    static DISKS: AtomicU64 = AtomicU64::new(0);
    DISKS.fetch_add(1, Ordering::Relaxed).to_string()
}

fn poll_once<T>(future: &mut Pin<Box<impl Future<Output = T> + ?Sized>>) -> Poll<T> {
    future.as_mut().poll(&mut Context::from_waker(Waker::noop()))
}

/// Where bundles are compiled.
fn runtime() -> &'static tokio::runtime::Runtime {
    static RUNTIME: OnceLock<tokio::runtime::Runtime> = OnceLock::new();
    RUNTIME.get_or_init(|| {
        let built = tokio::runtime::Builder::new_multi_thread().worker_threads(1).build();
        built.expect("a runtime can be made")
    })
}

fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(next) = cause {
        text = format!("{text}: {next}");
        cause = next.source();
    }
    text
}
