//! Noise: refusals of strangers are recorded, but nobody can fill the ledger by knocking.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};

use countersign_core::{At, Span};

/// How many addresses are counted at a time. Beyond, all strangers share one count.
const ADDRESSES_MAX: usize = 4_096;

const WINDOW: Span = Span::minutes(1);

/// Counts refusals by address.
pub(crate) struct Noise {
    each_window: u32,
    heard: Mutex<BTreeMap<Option<IpAddr>, Heard>>,
}

struct Heard {
    since: At,
    admitted: u32,
    unwritten: u64,
}

impl Noise {
    pub(crate) fn new(each_window: u32) -> Self {
        Self { each_window, heard: Mutex::default() }
    }

    /// Whether one more refusal of this address is to be written, and how many were not since the last one.
    pub(crate) fn admit(&self, source: Option<IpAddr>, now: At) -> Option<u64> {
        let mut heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        if heard.len() >= ADDRESSES_MAX {
            heard.retain(|_, one| one.since.plus(WINDOW) > now || one.unwritten > 0);
        }
        let is_known = heard.contains_key(&source) || heard.len() < ADDRESSES_MAX;
        let source = if is_known { source } else { None };
        let one = heard.entry(source).or_insert(Heard { since: now, admitted: 0, unwritten: 0 });
        if one.since.plus(WINDOW) <= now || now < one.since {
            (one.since, one.admitted) = (now, 0);
        }
        if one.admitted >= self.each_window {
            one.unwritten = one.unwritten.saturating_add(1);
            return None;
        }
        one.admitted += 1;
        Some(std::mem::take(&mut one.unwritten))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_written_is_counted() {
        let noise = Noise::new(2);
        let source = Some(IpAddr::from([192, 0, 2, 1]));
        assert_eq!(noise.admit(source, At(0)), Some(0));
        assert_eq!(noise.admit(source, At(1)), Some(0));
        assert_eq!((noise.admit(source, At(2)), noise.admit(source, At(3))), (None, None));
        assert_eq!(noise.admit(Some(IpAddr::from([192, 0, 2, 2])), At(3)), Some(0));
        assert_eq!(noise.admit(source, At(0).plus(WINDOW)), Some(2));
    }
}
