//! Counting what was wrong, by pair of name and address: a stranger elsewhere locks out only themselves.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};

use countersign_core::At;

use crate::settings::Settings;

/// How many pairs of name and address are counted at a time.
const PAIRS_MAX: usize = 16_384;

/// Counts wrong passwords and codes.
#[derive(Default)]
pub(super) struct Lockouts {
    pairs: Mutex<BTreeMap<(String, Option<IpAddr>), Tries>>,
}

struct Tries {
    wrong: u32,
    last: At,
}

impl Lockouts {
    /// Until when a pair is locked out, if it is.
    pub(super) fn locked(
        &self,
        name: &str,
        source: Option<IpAddr>,
        now: At,
        settings: &Settings,
    ) -> Option<At> {
        let pairs = self.pairs();
        let tries = pairs.get(&(name.to_owned(), source))?;
        let until = tries.last.plus(settings.locked_for);
        (tries.wrong >= settings.sign_in_tries && now < until).then_some(until)
    }

    /// Counts a wrong password. Gives until when the pair is locked out, if this was one too many.
    pub(super) fn wrong(
        &self,
        name: &str,
        source: Option<IpAddr>,
        now: At,
        settings: &Settings,
    ) -> Option<At> {
        let mut pairs = self.pairs();
        if pairs.len() >= PAIRS_MAX {
            pairs.retain(|_, tries| now < tries.last.plus(settings.locked_for));
        }
        if pairs.len() >= PAIRS_MAX {
            // Who floods this with names is one of the oldest soon.
            let oldest = pairs.iter().min_by_key(|(_, tries)| tries.last).map(|(pair, _)| pair.clone());
            oldest.map(|pair| pairs.remove(&pair));
        }
        let tries = pairs.entry((name.to_owned(), source)).or_insert(Tries { wrong: 0, last: now });
        if tries.last.plus(settings.locked_for) <= now {
            tries.wrong = 0;
        }
        tries.wrong = tries.wrong.saturating_add(1);
        tries.last = now;
        (tries.wrong >= settings.sign_in_tries).then(|| now.plus(settings.locked_for))
    }

    pub(super) fn right(&self, name: &str, source: Option<IpAddr>) {
        self.pairs().remove(&(name.to_owned(), source));
    }

    fn pairs(&self) -> MutexGuard<'_, BTreeMap<(String, Option<IpAddr>), Tries>> {
        self.pairs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
