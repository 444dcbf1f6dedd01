//! Sign-ins: opaque tokens of 256 bits, kept as their SHA-256. They end after a while, or earlier when unused
//! (NIST SP 800-63B-4, section 5.2), or when somebody ends them.
//!
//! From where somebody signed in, and with which program, is kept encrypted. Whoever asks sees their own sign-ins;
//! what policy lets others see is asked in [`super::own`].

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use countersign_core::action::hash;
use countersign_core::{At, Book, PersonId, PrincipalId, SignInId, Span};
use countersign_policy::context::Via;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::jobs::SILENT_FOR;
use super::means::{MeansSet, Proof};
use super::origin::{Came, FederatedSession, Origin};
use super::programs::secret;
use super::{Caller, SignInClient, rows};
use crate::engine::{Engine, Inner};
use crate::federation::LoggedOut;
use crate::house::House;
use crate::settings::Settings;
use crate::store::{Drawer, Put, Scan, Store, StoreError};

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
    /// Tokens of jobs that counted, until when they would again.
    used: Mutex<BTreeMap<[u8; 32], At>>,
    /// One at a time stores when a sign-in was used.
    storing: Mutex<()>,
}

/// A sign-in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Kept {
    pub(crate) id: SignInId,
    pub(crate) principal: PrincipalId,
    /// Who answered for them then. Where it is somebody else by now, it is nobody's.
    person: Option<PersonId>,
    pub(crate) signed_in_at: At,
    pub(crate) seen_at: At,
    pub(crate) means: MeansSet,
    /// When they were there to prove it: before they signed in, where a provider vouches for it.
    proved_at: At,
    /// When it ends at the latest, where another sign-in let it in.
    until: Option<At>,
    pub(crate) from: Origin,
    /// The newest token by which a client keeps its sign-in going.
    pub(super) turn: Option<Turn>,
    /// [`Origin`] as it is stored.
    sealed: Arc<str>,
}

/// Which of the tokens by which a client keeps its sign-in going is the newest, and since when.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Turn {
    pub(super) number: u64,
    pub(super) at: At,
}

/// A sign-in as it is stored.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    id: SignInId,
    principal: PrincipalId,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    person: Option<PersonId>,
    signed_in_at: At,
    seen_at: At,
    means: MeansSet,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    proved_at: Option<At>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    until: Option<At>,
    from: Arc<str>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    turn: Option<Turn>,
}

/// A sign-in that is about to be recorded.
pub(crate) struct Fresh {
    pub(crate) token: Zeroizing<String>,
    pub(crate) kept: Kept,
    pub(crate) key: [u8; 32],
    pub(crate) puts: Vec<Put>,
}

impl Tokens {
    pub(crate) fn load(house: &House) -> Result<Self, StoreError> {
        let scan = Scan::of(&[], usize::MAX);
        let now = house.ports.clock.now();
        let mut drawer = rows::read(house.store.scan(Drawer::Tokens, &scan)?, now);
        let mut live = BTreeMap::new();
        for (key, value) in drawer.sign_ins {
            let mut kept = Kept::read(house, &value);
            if let (Some(kept), Some(seen)) = (&mut kept, drawer.seen.remove(&key)) {
                kept.seen_at = kept.seen_at.max(seen);
            }
            match kept.filter(|kept| kept.is_live(now, &house.settings)) {
                Some(kept) => drop(live.insert(key, kept)),
                None => drawer.over.extend(rows::taken_out(&key)),
            }
        }
        // What is left was said of sign-ins that are no more.
        drawer.over.extend(drawer.seen.keys().flat_map(rows::taken_out));
        let (used, over) = (drawer.used, drawer.over);
        if !over.is_empty() {
            house.store.put(&over)?;
        }
        Ok(Self { live: Mutex::new(live), used: Mutex::new(used), storing: Mutex::new(()) })
    }

    /// A new sign-in that was proved here, and what is to be stored with the line about it.
    #[cfg(any(test, feature = "testing"))]
    pub(crate) fn mint(
        &self,
        house: &House,
        whose: (&PrincipalId, Option<PersonId>),
        means: MeansSet,
        client: &SignInClient,
    ) -> Fresh {
        self.mint_as(house, whose, Came::here(means, house.ports.clock.now()), client)
    }

    /// A new sign-in, and what is to be stored with the line about it.
    pub(crate) fn mint_as(
        &self,
        house: &House,
        (principal, person): (&PrincipalId, Option<PersonId>),
        came: Came,
        client: &SignInClient,
    ) -> Fresh {
        let Came { means, proved_at, federation, let_in, job, key: shown, audience } = came;
        let token = secret(&house.ports);
        let now = house.ports.clock.now();
        // What a client has is of another kind: no endpoint of the API takes it for a sign-in.
        let (key, turn) = match &audience {
            None => (key_of(&token), None),
            Some(_) => (client_key_of(&token), Some(Turn { number: 0, at: now })),
        };
        let id = SignInId(house.ports.entropy.id());
        let let_in_by = let_in.map(|one| one.by);
        let from = Origin { federation, let_in_by, job, key: shown, audience, ..Origin::of(client) };
        let sealed = from.sealed(house, &place(id)).into();
        let principal = principal.clone();
        let until = let_in.map(|one| one.until);
        let kept = Kept {
            id,
            principal,
            person,
            signed_in_at: now,
            seen_at: now,
            means,
            proved_at,
            until,
            from,
            turn,
            sealed,
        };
        let surplus = self.surplus(&kept.principal);
        let mut puts: Vec<Put> = surplus.iter().flat_map(rows::taken_out).collect();
        puts.push(kept.put(&key));
        Fresh { token, kept, key, puts }
    }

    /// A sign-in that is in the ledger.
    pub(crate) fn admit(&self, fresh: &Fresh) {
        if let Some(oldest) = self.surplus(&fresh.kept.principal) {
            self.live().remove(&oldest);
        }
        self.live().insert(fresh.key, fresh.kept.clone());
    }

    fn surplus(&self, principal: &PrincipalId) -> Option<[u8; 32]> {
        let live = self.live();
        let own = || live.iter().filter(|(_, kept)| kept.principal == *principal);
        if own().count() < SIGN_INS_MAX {
            return None;
        }
        own().min_by_key(|(_, kept)| kept.seen_at).map(|(key, _)| *key)
    }

    /// The sign-ins of one principal that are live.
    pub(super) fn of(&self, principal: &PrincipalId, now: At, settings: &Settings) -> Vec<Kept> {
        let live = self.live();
        let own = live.values().filter(|kept| kept.principal == *principal && kept.is_live(now, settings));
        own.cloned().collect()
    }

    /// The sign-ins that stand on what a provider says has ended.
    pub(super) fn came_by(&self, over: &LoggedOut) -> Vec<([u8; 32], Kept)> {
        let is_over = |stands: &FederatedSession| {
            // A session that is named is that one; without one it is all of the person's.
            let session = over.session.as_ref().is_none_or(|over| stands.session.as_ref() == Some(over));
            let subject = over.subject.as_ref().is_none_or(|over| stands.subject == *over);
            stands.issuer == over.issuer && session && subject
        };
        self.which(|kept| kept.from.federation.as_ref().is_some_and(is_over))
    }

    /// The sign-ins that another one let in.
    pub(super) fn let_in_by(&self, by: SignInId) -> Vec<([u8; 32], Kept)> {
        self.which(|kept| kept.from.let_in_by == Some(by))
    }

    pub(super) fn which(&self, is_meant: impl Fn(&Kept) -> bool) -> Vec<([u8; 32], Kept)> {
        let live = self.live();
        let found = live.iter().filter(|(_, kept)| is_meant(kept));
        found.map(|(key, kept)| (*key, kept.clone())).collect()
    }

    /// The live sign-in of this name.
    pub(super) fn named(&self, id: SignInId, now: At, settings: &Settings) -> Option<([u8; 32], Kept)> {
        let live = self.live();
        let mut named = live.iter().filter(|(_, kept)| kept.id == id && kept.is_live(now, settings));
        named.next().map(|(key, kept)| (*key, kept.clone()))
    }

    /// The live sign-in with this key, without that counting as use.
    pub(super) fn at(&self, key: &[u8; 32], now: At, settings: &Settings) -> Option<Kept> {
        self.live().get(key).filter(|kept| kept.is_live(now, settings)).cloned()
    }

    /// That a client has come for its next token, which is in the ledger. False if the sign-in has ended meanwhile.
    pub(super) fn turned(&self, key: &[u8; 32], next: &Kept) -> bool {
        let mut live = self.live();
        let Some(kept) = live.get_mut(key) else { return false };
        (kept.turn, kept.seen_at) = (next.turn, next.seen_at);
        true
    }

    /// Uses up the token of a job. Gives what is to be stored with the line about it; nothing if it was used before.
    pub(super) fn use_up(&self, key: [u8; 32], until: At, now: At) -> Option<Put> {
        let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        used.retain(|_, until| now < *until);
        if used.contains_key(&key) {
            return None;
        }
        used.insert(key, until);
        Some(Put::set(Drawer::Tokens, rows::used_key(&key), until.0.to_be_bytes()))
    }

    /// The token of a job was not used after all.
    pub(super) fn not_used(&self, key: &[u8; 32]) {
        self.used.lock().unwrap_or_else(PoisonError::into_inner).remove(key);
    }

    /// What takes out the sign-ins of somebody who is gone.
    pub(crate) fn of_gone(&self, principal: &PrincipalId) -> Vec<Put> {
        let live = self.live();
        let own = live.iter().filter(|(_, kept)| kept.principal == *principal);
        own.flat_map(|(key, _)| rows::taken_out(key)).collect()
    }

    /// Forgets the sign-ins of somebody who is gone.
    pub(crate) fn forget(&self, principal: &PrincipalId) {
        self.live().retain(|_, kept| kept.principal != *principal);
    }

    /// Forgets one. Gives what takes it out of the store; nothing if it is not there.
    pub(crate) fn remove(&self, key: &[u8; 32]) -> Vec<Put> {
        self.live().remove(key).map(|_| rows::taken_out(key)).into_iter().flatten().collect()
    }

    /// Stores when the sign-in with this key was used last, unless it has ended meanwhile. Of two at a time the later one
    /// stores what is then true.
    ///
    /// This is a row of its own: were it the sign-in's, one that ended in this moment would be back with the next start.
    fn store_seen(&self, key: &[u8; 32], store: &dyn Store) -> Result<(), StoreError> {
        let _storing = self.storing.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(seen_at) = self.live().get(key).map(|kept| kept.seen_at) else { return Ok(()) };
        store.put(&[Put::set(Drawer::Tokens, rows::seen_key(key), seen_at.0.to_be_bytes())])
    }

    /// The sign-in with this key, used now by whoever shows `shown`; and whether it is to be stored that it was.
    fn use_it(
        &self,
        key: &[u8; 32],
        shown: Option<&[u8; 32]>,
        (now, settings): (At, &Settings),
    ) -> Option<(Kept, bool)> {
        let mut live = self.live();
        let kept = live.get_mut(key)?;
        // One that stands on a key is nobody's without it, and one that does not has none to show.
        let is_theirs = match (&kept.from.job, &kept.from.key) {
            (Some(job), _) => job.is_of(shown),
            (None, Some(key)) => shown.is_some_and(|shown| URL_SAFE_NO_PAD.encode(shown) == *key),
            (None, None) => shown.is_none(),
        };
        if !is_theirs {
            return None;
        }
        if !kept.is_live(now, settings) {
            live.remove(key);
            return None;
        }
        let store = kept.seen_at.plus(SEEN_EVERY) <= now;
        if store {
            kept.seen_at = now;
        }
        Some((kept.clone(), store))
    }

    fn live(&self) -> MutexGuard<'_, BTreeMap<[u8; 32], Kept>> {
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kept {
    fn read(house: &House, value: &[u8]) -> Option<Self> {
        let stored: Stored = serde_json::from_slice(value).ok()?;
        let Stored { id, principal, person, signed_in_at, seen_at, means, .. } = stored;
        let Stored { proved_at, until, from: sealed, turn, .. } = stored;
        let from = Origin::unsealed(house, &place(id), &sealed)?;
        let proved_at = proved_at.unwrap_or(signed_in_at);
        Some(Self {
            id,
            principal,
            person,
            signed_in_at,
            seen_at,
            means,
            proved_at,
            until,
            from,
            turn,
            sealed,
        })
    }

    pub(super) fn put(&self, key: &[u8; 32]) -> Put {
        let stored = Stored {
            id: self.id,
            principal: self.principal.clone(),
            person: self.person.clone(),
            signed_in_at: self.signed_in_at,
            seen_at: self.seen_at,
            means: self.means,
            proved_at: (self.proved_at != self.signed_in_at).then_some(self.proved_at),
            until: self.until,
            from: Arc::clone(&self.sealed),
            turn: self.turn,
        };
        // A struct of texts and numbers cannot fail to serialise.
        Put::set(Drawer::Tokens, *key, serde_json::to_vec(&stored).unwrap_or_default())
    }

    /// When it ends if it is not used again.
    pub(super) fn ends_at(&self, settings: &Settings) -> At {
        let at_the_latest = self.ends_at_the_latest(settings);
        if self.from.audience.is_some() {
            // A client that is not used says nothing: nobody has to let it in again for a long lunch.
            return at_the_latest;
        }
        let idle = if self.from.job.is_some() { SILENT_FOR } else { settings.sign_in_idle };
        at_the_latest.min(self.seen_at.plus(idle))
    }

    /// When it ends however much it is used.
    pub(super) fn ends_at_the_latest(&self, settings: &Settings) -> At {
        let at_the_latest = self.signed_in_at.plus(settings.sign_in_for);
        self.until.map_or(at_the_latest, |until| until.min(at_the_latest))
    }

    /// Whether it is somebody's: its principal is let in, and whoever answered for them still does.
    pub(super) fn is_somebodys(&self, book: &Book) -> bool {
        book.is_enabled(&self.principal)
            && self.person.as_ref().is_none_or(|person| book.person(&self.principal) == Some(person))
    }

    /// When whoever it is was there to prove it.
    pub(super) fn proved_at(&self) -> At {
        self.proved_at
    }

    fn is_live(&self, now: At, settings: &Settings) -> bool {
        now < self.ends_at(settings)
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
        self.caller_showing(token, None, (via, source)).await
    }

    /// As [`Engine::caller`], of somebody who shows to have a key as well: its thumbprint. A sign-in that stands on a key
    /// is nobody's without it.
    ///
    /// # Errors
    /// As there.
    pub async fn caller_showing(
        &self,
        token: &str,
        shown: Option<&[u8; 32]>,
        (via, source): (Via, Option<IpAddr>),
    ) -> Result<Caller, Unauthenticated> {
        let key = key_of(token);
        let (settings, now) = (&self.0.house.settings, self.now());
        let used = self.0.people.tokens.use_it(&key, shown, (now, settings));
        let (kept, store) = used.ok_or(Unauthenticated)?;
        if !kept.is_somebodys(&self.snapshot().book) {
            return Err(Unauthenticated);
        }
        if store {
            let engine = self.clone();
            // When it is lost, the sign-in ends a minute early after a restart.
            tokio::task::spawn_blocking(move || {
                let Inner { house, people, .. } = &*engine.0;
                people.tokens.store_seen(&key, &*house.store).map_err(|error| tracing::warn!(%error))
            });
        }
        Ok(Caller {
            principal: kept.principal,
            via,
            source,
            signed_in_at: kept.signed_in_at,
            sign_in: kept.id,
            proof: Proof { means: kept.means, age: now.since(kept.proved_at) },
            token: key,
        })
    }

    /// Whether a caller is still signed in, without that counting as use.
    #[must_use]
    pub fn still_signed_in(&self, caller: &Caller) -> bool {
        let found = self.0.people.tokens.at(&caller.token, self.now(), &self.0.house.settings);
        found.is_some_and(|kept| kept.is_somebodys(&self.snapshot().book))
    }
}

/// A sign-in as it is stored, under the newest key of the house, if it is under an older one.
pub(crate) fn renewed(house: &House, value: &[u8]) -> Option<Vec<u8>> {
    let mut stored: Stored = serde_json::from_slice(value).ok()?;
    stored.from = renewed_text(house, stored.id, &stored.from)?.into();
    serde_json::to_vec(&stored).ok()
}

fn renewed_text(house: &House, id: SignInId, sealed: &str) -> Option<String> {
    let sealed = STANDARD_NO_PAD.decode(sealed).ok()?;
    let renewed = house.keyring.renew(&house.ports, &place(id), &sealed)?;
    Some(STANDARD_NO_PAD.encode(renewed))
}

fn place(id: SignInId) -> String {
    format!("sign-in:{id}")
}

pub(super) fn client_key_of(token: &str) -> [u8; 32] {
    hash(&[b"countersign/client-token/v1\n", token.as_bytes()]).0
}

fn key_of(token: &str) -> [u8; 32] {
    hash(&[b"countersign/token/v1\n", token.as_bytes()]).0
}
