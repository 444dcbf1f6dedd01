//! Sign-ins: opaque tokens of 256 bits, kept as their SHA-256. They end after a while, or earlier when unused.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use countersign_core::action::hash;
use countersign_core::{At, PrincipalId, Span};
use countersign_policy::context::Via;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::Caller;
use crate::engine::Engine;
use crate::house::House;
use crate::ports::Ports;
use crate::settings::Settings;
use crate::store::{Drawer, Order, Put, Scan, StoreError};

/// How many sign-ins one principal may have at a time; a new one ends the oldest.
const SIGN_INS_MAX: usize = 32;

/// How often the last use of a sign-in is stored.
const SEEN_EVERY: Span = Span::minutes(1);

/// What no longer, or never, was a sign-in. It is not said which.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("you are not signed in; run `countersign login`, or sign in at the console")]
pub struct Unauthenticated;

/// All sign-ins.
pub(crate) struct Tokens {
    live: Mutex<BTreeMap<[u8; 32], Kept>>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Kept {
    principal: PrincipalId,
    signed_in_at: At,
    seen_at: At,
}

impl Tokens {
    pub(crate) fn load(house: &House) -> Result<Self, StoreError> {
        let scan = Scan { prefix: &[], after: None, order: Order::Up, count: usize::MAX };
        let now = house.ports.clock.now();
        let pairs = house.store.scan(Drawer::Tokens, &scan)?.into_iter();
        let kept = pairs.filter_map(|(key, value)| {
            let kept: Kept = serde_json::from_slice(&value).ok()?;
            Some((<[u8; 32]>::try_from(key.as_slice()).ok()?, kept))
        });
        let live = kept.filter(|(_, kept)| kept.is_live(now, &house.settings)).collect();
        Ok(Self { live: Mutex::new(live) })
    }

    /// A new sign-in: its token, its hash, and what is to be stored with the line about it.
    pub(crate) fn mint(
        &self,
        ports: &Ports,
        principal: &PrincipalId,
        now: At,
    ) -> (Zeroizing<String>, [u8; 32], Vec<Put>) {
        let bytes = Zeroizing::new(ports.random::<32>());
        let token = Zeroizing::new(URL_SAFE_NO_PAD.encode(bytes.as_ref()));
        let key = key_of(&token);
        let kept = Kept { principal: principal.clone(), signed_in_at: now, seen_at: now };
        let mut puts: Vec<Put> =
            self.surplus(principal).map(|key| Put::remove(Drawer::Tokens, key)).into_iter().collect();
        puts.push(put(&key, &kept));
        (token, key, puts)
    }

    /// A sign-in that is in the ledger.
    pub(crate) fn admit(&self, key: [u8; 32], principal: &PrincipalId, now: At) {
        if let Some(oldest) = self.surplus(principal) {
            self.live().remove(&oldest);
        }
        let kept = Kept { principal: principal.clone(), signed_in_at: now, seen_at: now };
        self.live().insert(key, kept);
    }

    fn surplus(&self, principal: &PrincipalId) -> Option<[u8; 32]> {
        let live = self.live();
        let own = || live.iter().filter(|(_, kept)| kept.principal == *principal);
        if own().count() < SIGN_INS_MAX {
            return None;
        }
        own().min_by_key(|(_, kept)| kept.seen_at).map(|(key, _)| *key)
    }

    pub(crate) fn remove(&self, key: &[u8; 32]) -> Option<Put> {
        self.live().remove(key).map(|_| Put::remove(Drawer::Tokens, *key))
    }

    /// The sign-in with this key, used now. Gives what is to be stored about it, if anything is.
    fn use_it(&self, key: &[u8; 32], now: At, settings: &Settings) -> Option<(PrincipalId, At, Option<Put>)> {
        let mut live = self.live();
        let kept = live.get_mut(key)?;
        if !kept.is_live(now, settings) {
            live.remove(key);
            return None;
        }
        let store = kept.seen_at.plus(SEEN_EVERY) <= now;
        if store {
            kept.seen_at = now;
        }
        Some((kept.principal.clone(), kept.signed_in_at, store.then(|| put(key, kept))))
    }

    fn is_live(&self, key: &[u8; 32], now: At, settings: &Settings) -> bool {
        self.live().get(key).is_some_and(|kept| kept.is_live(now, settings))
    }

    fn live(&self) -> MutexGuard<'_, BTreeMap<[u8; 32], Kept>> {
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kept {
    fn is_live(&self, now: At, settings: &Settings) -> bool {
        now < self.signed_in_at.plus(settings.sign_in_for) && now < self.seen_at.plus(settings.sign_in_idle)
    }
}

impl Engine {
    /// Who presents this token.
    ///
    /// # Errors
    /// Nobody who is signed in, or somebody who is disabled.
    pub async fn caller(
        &self,
        token: &str,
        via: Via,
        source: Option<IpAddr>,
    ) -> Result<Caller, Unauthenticated> {
        let key = key_of(token);
        let settings = &self.0.house.settings;
        let found = self.0.people.tokens.use_it(&key, self.now(), settings).ok_or(Unauthenticated)?;
        let (principal, signed_in_at, put) = found;
        if !self.snapshot().book.is_enabled(&principal) {
            return Err(Unauthenticated);
        }
        if let Some(put) = put {
            let store = Arc::clone(&self.0.house.store);
            // When it is lost, the sign-in ends a minute early after a restart.
            tokio::task::spawn_blocking(move || store.put(&[put]).map_err(|error| tracing::warn!(%error)));
        }
        Ok(Caller { principal, via, source, signed_in_at, token: key })
    }

    /// Whether a caller is still signed in, without that counting as use.
    #[must_use]
    pub fn still_signed_in(&self, caller: &Caller) -> bool {
        let settings = &self.0.house.settings;
        self.0.people.tokens.is_live(&caller.token, self.now(), settings)
            && self.snapshot().book.is_enabled(&caller.principal)
    }
}

fn put(key: &[u8; 32], kept: &Kept) -> Put {
    // A struct of texts and numbers cannot fail to serialise.
    Put::set(Drawer::Tokens, *key, serde_json::to_vec(kept).unwrap_or_default())
}

fn key_of(token: &str) -> [u8; 32] {
    hash(&[b"countersign/token/v1\n", token.as_bytes()]).0
}
