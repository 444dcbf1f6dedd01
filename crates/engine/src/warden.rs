//! The warden: ends sessions when what they stand on is gone.
//!
//! Every open session has a bell. After each commit that may end sessions, and when an hour has come, the warden
//! asks the book what each session stands on; where it is nothing any more, the bell rings, once, with the reason.
//! Nothing is remembered: a session that is forgotten by a bug here still can do nothing, because every action
//! asks the same question again.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use countersign_core::book::Standing;
use countersign_core::ruling::Verdict;
use countersign_core::session::{Ending, Session};
use countersign_core::{At, SessionId};
use tokio::sync::watch;

use crate::snapshot::Snapshot;
use crate::writer::Desk;
use crate::writer::work::From;

/// All open sessions' bells.
#[derive(Default)]
pub(crate) struct Warden {
    bells: Mutex<BTreeMap<SessionId, Bell>>,
}

/// What tells a session that it is over, and from where it was opened.
struct Bell {
    from: From,
    ring: watch::Sender<Option<Ending>>,
}

impl Warden {
    /// A bell for a session that is about to be open.
    pub(crate) fn watch(&self, session: SessionId, from: From) -> watch::Receiver<Option<Ending>> {
        let (ring, receiver) = watch::channel(None);
        self.bells().insert(session, Bell { from, ring });
        receiver
    }

    pub(crate) fn forget(&self, session: SessionId) {
        self.bells().remove(&session);
    }

    /// Rings where a session stands on nothing any more.
    /// With `policy_too`, also where policy would not let it be opened now.
    pub(crate) fn patrol(&self, snapshot: &Snapshot, now: At, policy_too: bool) {
        for (id, bell) in self.bells().iter() {
            if bell.ring.borrow().is_some() {
                continue;
            }
            // A session that is not in the book yet is being opened; one that is gone from it was closed.
            let Some(found) = snapshot.book.session(*id) else { continue };
            let ending = match snapshot.book.standing(found, now) {
                Standing::Over(ending) => Some(ending),
                Standing::On(_) if policy_too && !may_open(snapshot, found, bell.from, now) => {
                    Some(Ending::Policy)
                }
                Standing::On(_) => None,
            };
            if ending.is_some() {
                bell.ring.send_replace(ending);
            }
        }
    }

    /// Rings everywhere.
    pub(crate) fn end_all(&self, why: Ending) {
        for bell in self.bells().values() {
            bell.ring.send_if_modified(|ending| ending.replace(why).is_none());
        }
    }

    fn bells(&self) -> MutexGuard<'_, BTreeMap<SessionId, Bell>> {
        self.bells.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether policy would let a session be opened as it was.
fn may_open(snapshot: &Snapshot, session: &Session, from: From, now: At) -> bool {
    let desk = Desk { book: &snapshot.book, policy: snapshot.policy.as_deref(), now };
    desk.on_open(&session.opening, from).is_some_and(|ruling| ruling.verdict() == Verdict::Allow)
}
