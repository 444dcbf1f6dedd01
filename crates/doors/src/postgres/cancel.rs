//! Cancel keys of our own, and whose session each one is.
//!
//! A client never sees the server's key. A cancel request that names one of ours wakes that session, which knows what
//! to cancel: the action that waits, or what runs on the server. A request that names none is nobody's; guessing is made
//! slow by letting only so many wrong ones through in a second.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use countersign_core::At;
use subtle::ConstantTimeEq;
use tokio::sync::Notify;

/// How many cancel requests for unknown sessions are looked at in one second.
const UNKNOWN_A_SECOND_MAX: u32 = 64;
const SECOND_MICROS: i64 = 1_000_000;

/// All sessions of a door that can be cancelled.
#[derive(Debug, Default)]
pub(crate) struct Registry(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    sessions: BTreeMap<u32, Entry>,
    unknown: u32,
    window: At,
}

#[derive(Debug)]
struct Entry {
    key: Vec<u8>,
    notify: Arc<Notify>,
}

/// A session's place in the registry, given up when dropped.
#[derive(Debug)]
pub(crate) struct Registered {
    registry: Arc<Registry>,
    process: u32,
    notify: Arc<Notify>,
}

impl Registry {
    /// Registers a session under this key. `None` if the process number is taken: draw another.
    pub(crate) fn register(self: &Arc<Self>, process: u32, key: &[u8]) -> Option<Registered> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if state.sessions.contains_key(&process) {
            return None;
        }
        let notify = Arc::new(Notify::new());
        state.sessions.insert(process, Entry { key: key.to_vec(), notify: Arc::clone(&notify) });
        Some(Registered { registry: Arc::clone(self), process, notify })
    }

    /// Wakes the session that this key belongs to, if there is one. Says whether there is.
    pub(crate) fn cancel(&self, process: u32, key: &[u8], now: At) -> bool {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if now.since(state.window).0 > SECOND_MICROS {
            state.window = now;
            state.unknown = 0;
        }
        if state.unknown >= UNKNOWN_A_SECOND_MAX {
            return false;
        }
        if let Some(entry) = state.sessions.get(&process)
            && bool::from(entry.key.ct_eq(key))
        {
            entry.notify.notify_one();
            return true;
        }
        state.unknown += 1;
        false
    }
}

impl Registered {
    /// What wakes the session.
    pub(crate) fn notify(&self) -> Arc<Notify> {
        Arc::clone(&self.notify)
    }
}

impl Drop for Registered {
    fn drop(&mut self) {
        let mut state = self.registry.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.sessions.remove(&self.process);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_cancels_its_own_session_until_it_is_over() {
        let registry = Arc::new(Registry::default());
        let session = registry.register(7, b"1234").unwrap();
        assert!(registry.register(7, b"5678").is_none());
        assert!(registry.cancel(7, b"1234", At(0)));
        assert!(!registry.cancel(7, b"1235", At(0)));
        assert!(!registry.cancel(8, b"1234", At(0)));
        drop(session);
        assert!(!registry.cancel(7, b"1234", At(0)));
    }

    #[test]
    fn guessing_is_slow() {
        let registry = Arc::new(Registry::default());
        let _session = registry.register(7, b"1234").unwrap();
        for _ in 0..UNKNOWN_A_SECOND_MAX {
            assert!(!registry.cancel(7, b"0000", At(0)));
        }
        assert!(!registry.cancel(7, b"1234", At(10)), "right, but this second is used up");
        assert!(registry.cancel(7, b"1234", At(2 * SECOND_MICROS)));
    }
}
