//! Cancel keys of our own, and whose session each one is.
//!
//! A client never sees the server's key. A cancel request that names one of ours wakes that session, which knows what
//! to cancel: the action that waits, or what runs on the server. A request that names none is nobody's; guessing is made
//! slow by looking at only so many wrong ones in a second from one address, so that whoever guesses keeps nobody else from
//! cancelling.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, PoisonError};

use countersign_core::At;
use subtle::ConstantTimeEq;
use tokio::sync::Notify;

/// How many cancel requests for unknown sessions are looked at in one second from one address.
const UNKNOWN_A_SECOND_MAX: u32 = 16;
/// How many addresses that guess are told apart in one second. All others are taken for one.
const ADDRESSES_MAX: usize = 1_024;
const SECOND_MICROS: i64 = 1_000_000;

/// All sessions of a door that can be cancelled.
#[derive(Debug, Default)]
pub(crate) struct Registry(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    sessions: BTreeMap<u32, Entry>,
    /// How many there were from each address since the second began.
    unknown: BTreeMap<IpAddr, u32>,
    second: At,
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
    pub(crate) fn cancel(&self, process: u32, key: &[u8], from: IpAddr, now: At) -> bool {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if now.since(state.second).0 > SECOND_MICROS {
            state.second = now;
            state.unknown.clear();
        }
        let from = state.place(from);
        let unknown = state.unknown.get(&from).copied().unwrap_or(0);
        if unknown >= UNKNOWN_A_SECOND_MAX {
            return false;
        }
        if let Some(entry) = state.sessions.get(&process)
            && bool::from(entry.key.ct_eq(key))
        {
            entry.notify.notify_one();
            return true;
        }
        state.unknown.insert(from, unknown + 1);
        false
    }
}

impl State {
    /// Who is taken for one: an IPv4 address; an IPv6 network, of which one machine has all addresses; whoever is too many.
    fn place(&self, from: IpAddr) -> IpAddr {
        let place = match from.to_canonical() {
            IpAddr::V4(address) => IpAddr::V4(address),
            IpAddr::V6(address) => {
                let [a, b, c, d, ..] = address.segments();
                IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
            }
        };
        if self.unknown.len() < ADDRESSES_MAX || self.unknown.contains_key(&place) {
            return place;
        }
        IpAddr::V6(Ipv6Addr::UNSPECIFIED)
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

    const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

    #[test]
    fn a_key_cancels_its_own_session_until_it_is_over() {
        let registry = Arc::new(Registry::default());
        let session = registry.register(7, b"1234").unwrap();
        assert!(registry.register(7, b"5678").is_none());
        assert!(registry.cancel(7, b"1234", HERE, At(0)));
        assert!(!registry.cancel(7, b"1235", HERE, At(0)));
        assert!(!registry.cancel(8, b"1234", HERE, At(0)));
        drop(session);
        assert!(!registry.cancel(7, b"1234", HERE, At(0)));
    }

    #[test]
    fn guessing_is_slow() {
        let registry = Arc::new(Registry::default());
        let _session = registry.register(7, b"1234").unwrap();
        for _ in 0..UNKNOWN_A_SECOND_MAX {
            assert!(!registry.cancel(7, b"0000", HERE, At(0)));
        }
        let mapped = "::ffff:127.0.0.1".parse().unwrap();
        for same in [HERE, mapped] {
            assert!(!registry.cancel(7, b"1234", same, At(10)), "right, but this second is used up");
        }
        assert!(registry.cancel(7, b"1234", "127.0.0.2".parse().unwrap(), At(10)), "not for others");
        assert!(registry.cancel(7, b"1234", HERE, At(2 * SECOND_MICROS)));
    }

    #[test]
    fn a_machine_with_many_addresses_is_one_and_many_machines_take_no_memory() {
        let registry = Arc::new(Registry::default());
        let _session = registry.register(7, b"1234").unwrap();
        for host in 0..UNKNOWN_A_SECOND_MAX {
            let from = Ipv6Addr::new(0x2001, 0xdb8, 0, 1, 0, 0, 0, u16::try_from(host).unwrap());
            assert!(!registry.cancel(7, b"0000", from.into(), At(0)));
        }
        assert!(!registry.cancel(7, b"1234", "2001:db8:0:1::ffff".parse().unwrap(), At(0)));
        assert!(registry.cancel(7, b"1234", "2001:db8:0:2::1".parse().unwrap(), At(0)));
        for host in 0..10_000_u32 {
            let _ = registry.cancel(7, b"0000", IpAddr::V4(host.into()), At(0));
        }
        assert!(registry.0.lock().unwrap().unknown.len() <= ADDRESSES_MAX + 1);
    }
}
