//! The warden: ends sessions when what they stand on is gone.
//!
//! Every open session has a bell. After each commit that may end sessions, and when an hour has come, the warden
//! asks the book what each session stands on; where it is nothing any more, the bell rings, once, with the reason.
//! Nothing is remembered: a session that is forgotten by a bug here still can do nothing, because every action
//! asks the same question again.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use countersign_core::book::Standing;
use countersign_core::session::Ending;
use countersign_core::{At, SessionId};
use tokio::sync::watch;

use crate::snapshot::Snapshot;

/// All open sessions' bells.
#[derive(Default)]
pub(crate) struct Warden {
    bells: Mutex<BTreeMap<SessionId, watch::Sender<Option<Ending>>>>,
}

impl Warden {
    /// A bell for a session that is about to be open.
    pub(crate) fn watch(&self, session: SessionId) -> watch::Receiver<Option<Ending>> {
        let (sender, receiver) = watch::channel(None);
        self.bells().insert(session, sender);
        receiver
    }

    pub(crate) fn forget(&self, session: SessionId) {
        self.bells().remove(&session);
    }

    /// Rings where a session stands on nothing any more.
    pub(crate) fn patrol(&self, snapshot: &Snapshot, now: At) {
        for (id, bell) in self.bells().iter() {
            if bell.borrow().is_some() {
                continue;
            }
            // A session that is not in the book yet is being opened; one that is gone from it was closed.
            let ending =
                snapshot.book.session(*id).and_then(|found| match snapshot.book.standing(found, now) {
                    Standing::On(_) => None,
                    Standing::Over(ending) => Some(ending),
                });
            if ending.is_some() {
                bell.send_replace(ending);
            }
        }
    }

    /// Rings everywhere.
    pub(crate) fn end_all(&self, why: Ending) {
        for bell in self.bells().values() {
            bell.send_if_modified(|ending| ending.replace(why).is_none());
        }
    }

    fn bells(&self) -> MutexGuard<'_, BTreeMap<SessionId, watch::Sender<Option<Ending>>>> {
        self.bells.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
