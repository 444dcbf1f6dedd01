//! A session of a database's own door, and what orders it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use countersign_core::session::Ending;
use countersign_engine::Session;
use countersign_engine::workbench::{Begun, Order, Told, Workbench};
use tokio::sync::{Mutex, MutexGuard, mpsc, watch};

/// How many words of a run may wait to be taken.
const TOLD_MAX: usize = 4;

/// A session that was let in.
pub(super) struct Inside {
    session: Session,
    /// One run at a time, as in one connection.
    turn: Mutex<()>,
    orders: mpsc::Sender<Order>,
    leave: watch::Sender<bool>,
    /// The client knows that it is over.
    is_told: AtomicBool,
}

/// A session that is over.
pub(super) enum Left {
    /// Its client knows.
    Said,
    /// Its client does not know yet, and why it ended.
    Unsaid(Ending),
}

/// A run that is under way. What runs is cancelled when this is dropped before it is over.
pub(super) struct Running<'a> {
    _turn: MutexGuard<'a, ()>,
    told: mpsc::Receiver<Told>,
}

impl Inside {
    pub(super) fn new(workbench: Workbench) -> Self {
        let Workbench { begun: Begun { session, .. }, orders, leave } = workbench;
        Self { session, turn: Mutex::default(), orders, leave, is_told: AtomicBool::new(false) }
    }

    pub(super) fn session(&self) -> &Session {
        &self.session
    }

    /// Whether it takes no more orders.
    pub(super) fn is_over(&self) -> bool {
        self.orders.is_closed()
    }

    /// Whether something runs or waits in it.
    pub(super) fn is_busy(&self) -> bool {
        self.turn.try_lock().is_err()
    }

    /// What its client knows of its end.
    pub(super) fn left(&self) -> Left {
        match self.is_told.load(Ordering::Acquire) {
            true => Left::Said,
            false => Left::Unsaid(super::ending(self)),
        }
    }

    /// The client is told that it is over.
    pub(super) fn told(&self) {
        self.is_told.store(true, Ordering::Release);
    }

    /// Runs the statements of a text, behind whatever runs now. Nothing: the session is over.
    pub(super) async fn run(&self, text: &str, rows_max: u32) -> Option<Running<'_>> {
        let turn = self.turn.lock().await;
        let (into, told) = mpsc::channel(TOLD_MAX);
        self.orders.send(Order::Run { text: Arc::from(text), rows_max, told: into }).await.ok()?;
        Some(Running { _turn: turn, told })
    }

    /// Ends it.
    pub(super) fn leave(&self) {
        self.told();
        self.leave.send_replace(true);
    }
}

impl Running<'_> {
    /// What is told next. Nothing: the run is over.
    pub(super) async fn next(&mut self) -> Option<Told> {
        self.told.recv().await
    }
}
