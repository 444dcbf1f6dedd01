//! A database whose statements are tools. There is no server behind it that speaks this protocol: the gateway answers itself,
//! and what runs is run by a session of the database's own door, let in from inside.
//!
//! What not: nothing is judged, held or recorded here. That door does it, statement by statement, as for every client.

use std::sync::Arc;

use countersign_engine::workbench::{Begun, Order, Told, Workbench};
use tokio::sync::{Mutex, MutexGuard, mpsc, watch};

/// How many words of a run may wait to be taken.
const TOLD_MAX: usize = 4;

/// A session of a database's door, and what orders it.
pub(crate) struct Database {
    /// What people call the database.
    pub(crate) title: String,
    /// The version of its server.
    pub(crate) version: String,
    /// One run at a time, as in one connection.
    orders: Mutex<mpsc::Sender<Order>>,
    leave: watch::Sender<bool>,
}

/// A run that is under way. What runs is cancelled when this is dropped before it is over.
pub(crate) struct Running<'a> {
    _turn: MutexGuard<'a, mpsc::Sender<Order>>,
    told: mpsc::Receiver<Told>,
}

impl Database {
    /// A session that was let in, and what of it the engine knows.
    pub(crate) fn new(title: String, workbench: Workbench) -> (Self, countersign_engine::Session) {
        let Workbench { begun: Begun { session, server }, orders, leave } = workbench;
        (Self { title, version: server, orders: Mutex::new(orders), leave }, session)
    }

    /// Runs the statements of a text, behind whatever runs now. Nothing: the session is over.
    pub(crate) async fn run(&self, text: &str, rows_max: u32) -> Option<Running<'_>> {
        let turn = self.orders.lock().await;
        let (into, told) = mpsc::channel(TOLD_MAX);
        turn.send(Order::Run { text: Arc::from(text), rows_max, told: into }).await.ok()?;
        Some(Running { _turn: turn, told })
    }

    /// Ends the session.
    pub(crate) fn close(&self) {
        self.leave.send_replace(true);
    }
}

impl Running<'_> {
    /// What is told next. Nothing: the run is over.
    pub(crate) async fn next(&mut self) -> Option<Told> {
        self.told.recv().await
    }
}
