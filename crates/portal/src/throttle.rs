//! How often one address may try to sign in, and how many event streams one principal may hold open.
//!
//! Checking a password is made expensive on purpose, so trying has to be rationed before the engine is asked;
//! the engine's own lockout counts wrong passwords and is another matter. Nothing here is remembered across a
//! restart, and nothing here can be made to grow: there are at most so many entries.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use countersign_core::{At, PrincipalId, Span};

/// How many tries an address has at once; one that succeeds is given back. Many people may share an address.
const TRIES_MAX: i64 = 20;

/// After how long it has one more.
const TRY_AGAIN_AFTER: Span = Span::seconds(5);

/// How many addresses are remembered. When there are more, those that have all their tries back go first.
const ADDRESSES_MAX: usize = 10_000;

/// How many event streams one principal may hold open: a person with a few browser windows.
const STREAMS_EACH_MAX: usize = 16;

/// How many event streams there may be.
const STREAMS_MAX: usize = 2_048;

/// Rations tries by address (a token bucket, kept as the instant at which it is full again).
#[derive(Debug, Default)]
pub struct Tries {
    full_at: Mutex<BTreeMap<Option<IpAddr>, At>>,
}

impl Tries {
    /// Takes one try of `source`.
    ///
    /// # Errors
    /// How many seconds to wait, if there is none left.
    pub fn take(&self, source: Option<IpAddr>, now: At) -> Result<(), u64> {
        let mut full_at = self.full_at.lock().unwrap_or_else(PoisonError::into_inner);
        let source = source.map(neighbourhood);
        if full_at.len() >= ADDRESSES_MAX && !full_at.contains_key(&source) {
            full_at.retain(|_, at| *at > now);
            if full_at.len() >= ADDRESSES_MAX {
                return Err(seconds(TRY_AGAIN_AFTER));
            }
        }
        let full = full_at.get(&source).copied().unwrap_or(now).max(now);
        let after = full.plus(TRY_AGAIN_AFTER);
        let most = Span(TRY_AGAIN_AFTER.0.saturating_mul(TRIES_MAX));
        let over = after.since(now.plus(most));
        if over.0 > 0 {
            return Err(seconds(over));
        }
        full_at.insert(source, after);
        Ok(())
    }

    /// Gives back a try of `source` that was none: the password was right.
    pub fn give_back(&self, source: Option<IpAddr>) {
        let mut full_at = self.full_at.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(at) = full_at.get_mut(&source.map(neighbourhood)) {
            *at = At(at.0.saturating_sub(TRY_AGAIN_AFTER.0));
        }
    }
}

/// An IPv6 customer has a whole /64: counting single addresses would count nothing.
fn neighbourhood(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => IpAddr::V6((address.to_bits() & !u128::from(u64::MAX)).into()),
    }
}

fn seconds(span: Span) -> u64 {
    u64::try_from(span.millis().saturating_add(999) / 1_000).unwrap_or(1).max(1)
}

/// Counts open event streams.
#[derive(Clone, Debug, Default)]
pub struct Streams(Arc<Mutex<BTreeMap<PrincipalId, usize>>>);

/// A place for one stream, given back when dropped.
#[derive(Debug)]
pub struct Place {
    streams: Streams,
    principal: PrincipalId,
}

impl Streams {
    /// A place for one more stream of `principal`, unless there are too many.
    #[must_use]
    pub fn enter(&self, principal: &PrincipalId) -> Option<Place> {
        let mut open = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mine = open.get(principal).copied().unwrap_or_default();
        if mine >= STREAMS_EACH_MAX || open.values().sum::<usize>() >= STREAMS_MAX {
            return None;
        }
        open.insert(principal.clone(), mine + 1);
        Some(Place { streams: self.clone(), principal: principal.clone() })
    }

    /// How many are open.
    #[must_use]
    pub fn open(&self) -> usize {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).values().sum()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut open = self.streams.0.lock().unwrap_or_else(PoisonError::into_inner);
        let left = open.get(&self.principal).copied().unwrap_or_default().saturating_sub(1);
        if left == 0 {
            open.remove(&self.principal);
        } else {
            open.insert(self.principal.clone(), left);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tries_come_back_one_by_one_and_addresses_do_not_share_them() {
        let tries = Tries::default();
        let (one, other) = (Some("10.0.0.1".parse().unwrap()), Some("10.0.0.2".parse().unwrap()));
        let start = At(1_000_000_000);
        for _ in 0..TRIES_MAX {
            assert_eq!(tries.take(one, start), Ok(()));
        }
        assert_eq!(tries.take(one, start), Err(5));
        assert_eq!(tries.take(other, start), Ok(()));
        tries.give_back(one);
        assert_eq!(tries.take(one, start), Ok(()));
        let later = start.plus(TRY_AGAIN_AFTER);
        assert_eq!(tries.take(one, later), Ok(()));
        assert_eq!(tries.take(one, later), Err(5));
    }

    #[test]
    fn a_whole_network_of_ipv6_addresses_is_one_source() {
        let tries = Tries::default();
        for n in 0..TRIES_MAX {
            assert_eq!(tries.take(Some(format!("2001:db8::{n}").parse().unwrap()), At(0)), Ok(()));
        }
        assert!(tries.take(Some("2001:db8::ffff:1".parse().unwrap()), At(0)).is_err());
        assert!(tries.take(Some("2001:db8:0:1::1".parse().unwrap()), At(0)).is_ok());
        assert_eq!(neighbourhood("::ffff:10.0.0.1".parse().unwrap()), "10.0.0.1".parse::<IpAddr>().unwrap());
    }

    #[test]
    fn memory_is_bounded_and_a_flood_does_not_forget_who_is_out_of_tries() {
        let tries = Tries::default();
        let guilty = Some("10.0.0.1".parse().unwrap());
        while tries.take(guilty, At(0)).is_ok() {}
        for n in 0..(u32::try_from(ADDRESSES_MAX).unwrap() + 100) {
            let _ = tries.take(Some(IpAddr::V4((0x0b00_0000 + n).into())), At(0));
        }
        assert!(tries.full_at.lock().unwrap().len() <= ADDRESSES_MAX);
        assert!(tries.take(guilty, At(0)).is_err());
    }

    #[test]
    fn streams_are_counted_and_given_back() {
        let streams = Streams::default();
        let alice = PrincipalId::new("alice");
        let held: Vec<Place> = std::iter::from_fn(|| streams.enter(&alice)).collect();
        assert_eq!(held.len(), STREAMS_EACH_MAX);
        assert!(streams.enter(&PrincipalId::new("bob")).is_some());
        drop(held);
        assert_eq!(streams.open(), 0);
        assert!(streams.enter(&alice).is_some());
    }
}
