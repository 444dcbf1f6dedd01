//! The ring: the house's keys themselves, and how they are written before they are wrapped.

use countersign_core::At;
use zeroize::Zeroizing;

use super::MasterKey;
use crate::ports::Ports;

/// The form of the bytes.
const FORM: u8 = 1;

/// More keys than a ring ever has.
const KEYS_MAX: usize = 16;

const NUMBER: usize = 4;
const MADE_AT: usize = 8;
const KEY: usize = 32;

/// The house's keys.
#[derive(Clone)]
pub(crate) struct Ring {
    /// Of keyed digests.
    pub(crate) mac: Zeroizing<[u8; 32]>,
    /// Those that seal, newest first.
    pub(crate) keys: Vec<RingKey>,
}

/// A key that seals.
#[derive(Clone)]
pub(crate) struct RingKey {
    /// From one; the newest is the highest.
    pub(crate) number: u32,
    pub(crate) made_at: At,
    pub(crate) key: Zeroizing<[u8; 32]>,
}

impl Ring {
    /// That of a new store.
    pub(super) fn new(ports: &Ports) -> Self {
        let first = RingKey::new(1, ports);
        Self { mac: Zeroizing::new(ports.random()), keys: vec![first] }
    }

    /// That of a store whose keys followed from its master key.
    pub(crate) fn derived(master: MasterKey) -> Self {
        let key = master.derive(b"countersign/key/wrap/v1");
        let mac = master.derive(b"countersign/key/mac/v1");
        Self { mac, keys: vec![RingKey { number: 1, made_at: At(0), key }] }
    }

    /// The same with a new key in front.
    pub(super) fn with_new(&self, ports: &Ports) -> Self {
        let number = self.newest().saturating_add(1);
        let mut keys = vec![RingKey::new(number, ports)];
        keys.extend(self.keys.iter().cloned());
        Self { mac: self.mac.clone(), keys }
    }

    /// The same without the older keys.
    pub(super) fn settled(&self) -> Self {
        Self { mac: self.mac.clone(), keys: self.keys.first().cloned().into_iter().collect() }
    }

    pub(crate) fn is_settled(&self) -> bool {
        self.keys.len() <= 1
    }

    pub(super) fn newest(&self) -> u32 {
        self.keys.first().map(|key| key.number).unwrap_or_default()
    }

    pub(super) fn bytes(&self) -> Zeroizing<Vec<u8>> {
        // As long as it gets, so that no half of it is left behind where it grew.
        let size = 1 + KEY + self.keys.len().saturating_mul(NUMBER + MADE_AT + KEY);
        let mut bytes = Zeroizing::new(Vec::with_capacity(size));
        bytes.push(FORM);
        bytes.extend_from_slice(self.mac.as_ref());
        for one in &self.keys {
            bytes.extend_from_slice(&one.number.to_be_bytes());
            bytes.extend_from_slice(&one.made_at.0.to_be_bytes());
            bytes.extend_from_slice(one.key.as_ref());
        }
        bytes
    }

    pub(super) fn read(bytes: &[u8]) -> Option<Self> {
        let (form, rest) = bytes.split_first()?;
        let (mac, rest) = rest.split_first_chunk::<KEY>()?;
        let parts = rest.chunks(NUMBER + MADE_AT + KEY);
        let keys = parts.map(RingKey::read).collect::<Option<Vec<_>>>()?;
        let is_ring = *form == FORM && (1..=KEYS_MAX).contains(&keys.len());
        let is_ordered = keys.is_sorted_by(|newer, older| newer.number > older.number);
        (is_ring && is_ordered).then(|| Self { mac: Zeroizing::new(*mac), keys })
    }
}

impl RingKey {
    fn new(number: u32, ports: &Ports) -> Self {
        Self { number, made_at: ports.clock.now(), key: Zeroizing::new(ports.random()) }
    }

    fn read(bytes: &[u8]) -> Option<Self> {
        let (number, rest) = bytes.split_first_chunk::<NUMBER>()?;
        let (made_at, key) = rest.split_first_chunk::<MADE_AT>()?;
        Some(Self {
            number: u32::from_be_bytes(*number),
            made_at: At(i64::from_be_bytes(*made_at)),
            key: Zeroizing::new(key.try_into().ok()?),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{ManualClock, ports};

    #[test]
    fn a_ring_reads_as_it_is_written_and_what_is_none_is_none() {
        let ports = ports(&ManualClock::default(), 1);
        let ring = Ring::new(&ports).with_new(&ports);
        let bytes = ring.bytes();
        let read = Ring::read(&bytes).unwrap();
        assert_eq!((read.newest(), read.keys.len(), read.is_settled()), (2, 2, false));
        assert_eq!(read.bytes(), bytes);
        assert_eq!(read.settled().keys[0].key, ring.keys[0].key);
        for length in 0..bytes.len() {
            // A ring with one key fewer is one: what vouches for the number of them is who wrapped it.
            assert_eq!(Ring::read(&bytes[..length]).is_some(), length == 33 + 44, "{length}");
        }
        let mut other = bytes.to_vec();
        other[0] = 2;
        assert!(Ring::read(&other).is_none());
        assert!(Ring::read(&[&bytes[..], &bytes[33..]].concat()).is_none());
    }
}
