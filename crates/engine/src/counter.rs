//! Where doors and whoever wishes something of them meet, by the kind of resource that a door is for.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::mpsc;

/// The doors that take wishes of one sort.
#[derive(Debug)]
pub(crate) struct Counter<W>(Mutex<BTreeMap<String, mpsc::Sender<W>>>);

impl<W> Default for Counter<W> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<W> Counter<W> {
    /// The wishes for resources of this kind, until the receiver is dropped. At most so many wait.
    pub(crate) fn serve(&self, kind: &str, waiting_max: usize) -> mpsc::Receiver<W> {
        let (sender, receiver) = mpsc::channel(waiting_max);
        self.doors().insert(kind.to_owned(), sender);
        receiver
    }

    /// The door for resources of this kind.
    pub(crate) fn door(&self, kind: &str) -> Option<mpsc::Sender<W>> {
        self.doors().get(kind).cloned()
    }

    fn doors(&self) -> MutexGuard<'_, BTreeMap<String, mpsc::Sender<W>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
