//! Bearer tokens for a door: credentials of clients that somebody let in at one resource.
//!
//! One is random, kept as its hash, counts at that resource alone and for minutes, and opens nothing by itself, like every
//! credential. It stands on the sign-in of its client: when that has ended, in whatever way, there is no such token.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use countersign_core::action::hash;
use countersign_core::{At, CredentialId, PrincipalId, ResourceId, RoleId, SignInId};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::origin::Audience;
use super::programs::secret;
use super::tokens::Kept as SignIn;
use super::{Caller, Proved};
use crate::engine::Engine;
use crate::house::House;
use crate::line::{self, Stamp, Topic};
use crate::settings::CREDENTIALS_MAX;
use crate::store::{Drawer, Put, Scan, StoreError};
use crate::words::Refused;

/// What the keys of their rows begin with: those of other credentials are shorter.
const PREFIX: &[u8] = b"b";

/// All bearer tokens that may still count.
#[derive(Default)]
pub(crate) struct Bearers(Mutex<BTreeMap<[u8; 32], Kept>>);

#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Kept {
    id: CredentialId,
    /// The key of the sign-in that it stands on.
    sign_in: [u8; 32],
    resource: ResourceId,
    expires_at: At,
}

/// Whoever presents a bearer token that counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bearer {
    /// Who.
    pub principal: PrincipalId,
    /// The one role that it is for, if it is for one.
    pub role: Option<RoleId>,
    /// The sign-in of the client.
    pub sign_in: SignInId,
    /// What the principal proved when they let the client in, if it acts as them and not as an agent of theirs.
    pub proved: Option<Proved>,
    key: [u8; 32],
}

/// A bearer token, shown once.
pub(super) struct Made {
    pub(super) token: Zeroizing<String>,
    pub(super) expires_at: At,
}

impl Bearers {
    pub(super) fn load(house: &House) -> Result<Self, StoreError> {
        let now = house.ports.clock.now();
        let (bearers, mut over) = (Self::default(), Vec::new());
        for (key, value) in house.store.scan(Drawer::Credentials, &Scan::of(PREFIX, usize::MAX))? {
            let Some(hash) = hash_of(&key) else { continue };
            match serde_json::from_slice::<Kept>(&value) {
                Ok(kept) if now < kept.expires_at => drop(bearers.kept().insert(hash, kept)),
                _ => over.push(Put::remove(Drawer::Credentials, key)),
            }
        }
        if !over.is_empty() {
            house.store.put(&over)?;
        }
        Ok(bearers)
    }

    fn of(&self, key: &[u8; 32], now: At) -> Option<Kept> {
        self.kept().get(key).filter(|kept| now < kept.expires_at).cloned()
    }

    /// Those that have to go before one more of this sign-in is made: what expired, and its oldest beyond the limit.
    fn make_room(&self, sign_in: &[u8; 32], now: At) -> Vec<[u8; 32]> {
        let all = self.kept();
        let over = all.iter().filter(|(_, one)| one.expires_at <= now).map(|(key, _)| *key);
        let mut own: Vec<_> =
            all.iter().filter(|(_, one)| one.sign_in == *sign_in && now < one.expires_at).collect();
        own.sort_by_key(|(_, one)| one.id);
        let surplus = (own.len() + 1).saturating_sub(CREDENTIALS_MAX);
        over.chain(own.iter().take(surplus).map(|(key, _)| **key)).collect()
    }

    fn kept(&self) -> MutexGuard<'_, BTreeMap<[u8; 32], Kept>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether a row of the drawer of credentials is one of these.
pub(super) fn is_row(key: &[u8]) -> bool {
    hash_of(key).is_some()
}

fn hash_of(key: &[u8]) -> Option<[u8; 32]> {
    key.strip_prefix(PREFIX)?.try_into().ok()
}

fn row(hash: &[u8; 32]) -> Vec<u8> {
    [PREFIX, hash].concat()
}

impl Engine {
    /// Whose bearer token this is, at this resource.
    #[must_use]
    pub fn bearer(&self, resource: &ResourceId, token: &str) -> Option<Bearer> {
        let now = self.now();
        let found = self.0.people.bearers.of(&key_of(token), now).filter(|one| one.resource == *resource)?;
        let sign_in = self.0.people.tokens.at(&found.sign_in, now, &self.0.house.settings)?;
        let audience = sign_in.from.audience.as_ref()?;
        let is_themselves = audience.by == sign_in.principal;
        let proved = is_themselves.then(|| Proved { means: sign_in.means, at: sign_in.proved_at() });
        let role = audience.role.clone();
        let (principal, key) = (sign_in.principal, found.sign_in);
        let bearer = Bearer { principal, role, sign_in: sign_in.id, proved, key };
        self.still_stands(&bearer).then_some(bearer)
    }

    /// Whether the sign-in that a bearer token stands on has not ended, and whoever let its client in still answers for whom
    /// it acts as. The token itself may have expired.
    #[must_use]
    pub fn still_stands(&self, bearer: &Bearer) -> bool {
        let sign_in = self.0.people.tokens.at(&bearer.key, self.now(), &self.0.house.settings);
        let is_let_in = |audience: &Audience| self.may_let_in_as(&audience.by, &bearer.principal);
        sign_in.is_some_and(|kept| {
            kept.is_somebodys(&self.snapshot().book) && kept.from.audience.as_deref().is_some_and(is_let_in)
        })
    }

    /// The sign-in that a bearer token stands on, by its key.
    pub(super) fn sign_in_of_bearer(&self, token: &str) -> Option<[u8; 32]> {
        self.0.people.bearers.of(&key_of(token), self.now()).map(|found| found.sign_in)
    }

    /// Makes a bearer token for the client of this sign-in, on behalf of whoever let it in, whom policy was asked about. `puts`
    /// is stored with the line about it.
    pub(super) async fn make_bearer(
        &self,
        by: &Caller,
        (key, sign_in): (&[u8; 32], &SignIn),
        resource: &ResourceId,
        puts: Vec<Put>,
    ) -> Result<Made, Refused> {
        let (house, bearers, now) = (&self.0.house, &self.0.people.bearers, self.now());
        let token = secret(&house.ports);
        let id = CredentialId(house.ports.entropy.id());
        let settings = &house.settings;
        let expires_at = now.plus(settings.credential_for).min(sign_in.ends_at_the_latest(settings));
        let kept = Kept { id, sign_in: *key, resource: resource.clone(), expires_at };
        let gone = bearers.make_room(key, now);
        let topic = line::Minted {
            bound: false,
            credential: id,
            expires_at: Stamp(expires_at),
            sign_in: Some(sign_in.id),
        };
        let mut note = self.note_by("token.issued", Topic::Minted(topic), Some(by));
        note.line.subject = (by.principal != sign_in.principal).then(|| sign_in.principal.clone());
        note.line.resource = Some(resource.clone());
        note.puts = puts;
        note.puts.extend(gone.iter().map(|hash| Put::remove(Drawer::Credentials, row(hash))));
        let value = serde_json::to_vec(&kept).unwrap_or_default();
        note.puts.push(Put::new(Drawer::Credentials, row(&key_of(&token)), value));
        self.note(note).await?;
        let mut all = bearers.kept();
        all.retain(|hash, _| !gone.contains(hash));
        all.insert(key_of(&token), kept);
        Ok(Made { token, expires_at })
    }
}

fn key_of(token: &str) -> [u8; 32] {
    hash(&[b"countersign/bearer/v1\n", token.as_bytes()]).0
}
