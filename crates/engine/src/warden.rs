//! The warden: ends sessions when what they stand on is gone.
//!
//! Every open session has a bell. After each commit that may end sessions, and when an hour has come, the warden
//! asks the book what each session stands on; where it is nothing any more, the bell rings, once, with the reason.
//! Nothing is remembered: a session that is forgotten by a bug here still can do nothing, because every action
//! asks the same question again.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use countersign_core::book::Standing;
use countersign_core::catalogue::Catalogue;
use countersign_core::ruling::Verdict;
use countersign_core::session::{Ending, Session};
use countersign_core::{At, ResourceId, RoleId, SessionId};
use tokio::sync::watch;

use crate::snapshot::Snapshot;
use crate::writer::Desk;
use crate::writer::work::Entrance;

/// All open sessions' bells.
#[derive(Default)]
pub(crate) struct Warden {
    bells: Mutex<BTreeMap<SessionId, Bell>>,
}

/// What a session was opened to: under which account, and where. It is not carried over to another one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Upstream {
    account: String,
    settings: BTreeMap<String, String>,
}

impl Upstream {
    /// What the bundle in force says of a role on a resource.
    pub(crate) fn of(catalogue: &Catalogue, role: &RoleId, resource: &ResourceId) -> Option<Self> {
        let account = catalogue.roles.get(role)?.account.clone();
        let settings = catalogue.resources.get(resource)?.settings.clone();
        Some(Self { account, settings })
    }
}

/// What tells a session that it is over, from where it was opened and to what.
struct Bell {
    from: Entrance,
    to: Option<Upstream>,
    ring: watch::Sender<Option<Ending>>,
}

impl Warden {
    /// A bell for a session that is about to be open.
    pub(crate) fn watch(
        &self,
        session: SessionId,
        from: Entrance,
        to: Option<Upstream>,
    ) -> watch::Receiver<Option<Ending>> {
        let (ring, receiver) = watch::channel(None);
        self.bells().insert(session, Bell { from, to, ring });
        receiver
    }

    pub(crate) fn forget(&self, session: SessionId) {
        self.bells().remove(&session);
    }

    /// Rings where a session stands on nothing any more.
    /// With `policy_too`, also where policy would not let it be opened now, or it would lead elsewhere.
    pub(crate) fn patrol(&self, snapshot: &Snapshot, now: At, policy_too: bool) {
        for (id, bell) in self.bells().iter() {
            bell.patrol(*id, snapshot, now, policy_too);
        }
    }

    /// Rings for one session if it stands on nothing, or policy would not let it be opened now.
    pub(crate) fn look_in(&self, session: SessionId, snapshot: &Snapshot, now: At) {
        if let Some(bell) = self.bells().get(&session) {
            bell.patrol(session, snapshot, now, true);
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

impl Bell {
    fn patrol(&self, id: SessionId, snapshot: &Snapshot, now: At, policy_too: bool) {
        if self.ring.borrow().is_some() {
            return;
        }
        // A session that is not in the book yet is being opened; one that is gone from it was closed.
        let Some(found) = snapshot.book.session(id) else { return };
        let ending = match snapshot.book.standing(found, now) {
            Standing::Over(ending) => Some(ending),
            Standing::On(_) if policy_too && !may_open(snapshot, found, self, now) => Some(Ending::Policy),
            Standing::On(_) => None,
        };
        if ending.is_some() {
            self.ring.send_replace(ending);
        }
    }
}

/// Whether policy would let a session be opened as it was, and to the same account in the same place.
fn may_open(snapshot: &Snapshot, session: &Session, bell: &Bell, now: At) -> bool {
    let opening = &session.opening;
    if Upstream::of(&snapshot.book.catalogue, &opening.role, &opening.resource) != bell.to {
        return false;
    }
    let desk = Desk { book: &snapshot.book, policy: snapshot.policy.as_deref(), now };
    desk.on_open(opening, bell.from.at(now)).is_some_and(|ruling| ruling.verdict() == Verdict::Allow)
}
