//! Credentials: what a client presents to a door.
//!
//! A credential belongs to a principal and a resource and is reusable until it expires; it opens nothing by itself.
//! Of its password only the SCRAM-SHA-256 keys are kept (RFC 5802). All credentials of one principal for one
//! resource share salt and iteration count, because the server's first message is sent before it knows which one
//! is used. Unknown names get a salt that looks as real and is the same each time.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU32;
use std::sync::{Mutex, MutexGuard, PoisonError};

use aws_lc_rs::{digest, hmac, pbkdf2};
use countersign_core::question::Target;
use countersign_core::ruling::{Denial, Ruling, Verdict};
use countersign_core::{At, CredentialId, PersonId, PrincipalId, Refusal, ResourceId};
use serde::{Deserialize, Serialize};
use zeroize::{Zeroize as _, Zeroizing};

use super::{Caller, Proved, bearers};
use crate::engine::Engine;
use crate::house::House;
use crate::line::{self, Stamp, Topic};
use crate::settings::CREDENTIALS_MAX;
use crate::store::{Drawer, Put, Scan, StoreError};
use crate::words::{Refused, RefusedCode};
use crate::writer::Desk;

/// The least that RFC 7677 allows. The passwords are random and of 120 bits, so more would slow down nobody but us.
const ITERATIONS: NonZeroU32 = NonZeroU32::MIN.saturating_add(4_095);

/// Random characters of a password: five bits each.
const PASSWORD_CHARS: usize = 24;

const LETTERS: &[u8; 32] = b"abcdefghijkmnopqrstuvwxyz2345678";

/// What a door needs to check a SCRAM proof. For unknown names there are no keys: the exchange is led to its end
/// and fails.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScramVerifiers {
    /// Shared by all keys.
    pub salt: Vec<u8>,
    /// Shared by all keys.
    pub iterations: u32,
    /// At most [`CREDENTIALS_MAX`].
    pub keys: Vec<ScramKeys>,
}

/// The keys of one credential.
#[derive(Clone, PartialEq, Eq)]
pub struct ScramKeys {
    /// Which.
    pub credential: CredentialId,
    /// RFC 5802's StoredKey.
    pub stored_key: [u8; 32],
    /// RFC 5802's ServerKey.
    pub server_key: [u8; 32],
    /// What its owner proved when they signed in, if they made it themselves.
    pub proved: Option<Proved>,
}

/// A credential, shown once.
#[derive(Debug)]
pub struct Minted {
    /// Which.
    pub id: CredentialId,
    /// The name to connect with.
    pub user: String,
    /// The password to connect with.
    pub password: Zeroizing<String>,
    /// Until when.
    pub expires_at: At,
}

/// All credentials that may still be live.
pub(crate) struct Credentials {
    kept: Mutex<BTreeMap<(ResourceId, PrincipalId), BTreeMap<CredentialId, Kept>>>,
}

#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Kept {
    resource: ResourceId,
    principal: PrincipalId,
    stored_key: [u8; 32],
    server_key: [u8; 32],
    expires_at: At,
    /// Who answered for the principal then. Where it is somebody else by now, it is of no use.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    person: Option<PersonId>,
    /// What the principal had proved, if they made it themselves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    proved: Option<Proved>,
    /// The certificate without whose key it is of no use, by its SHA-256.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    certificate: Option<[u8; 32]>,
}

impl std::fmt::Debug for ScramKeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ScramKeys({})", self.credential)
    }
}

impl Credentials {
    pub(crate) fn load(house: &House) -> Result<Self, StoreError> {
        let scan = Scan::of(&[], usize::MAX);
        let now = house.ports.clock.now();
        let credentials = Self { kept: Mutex::default() };
        let mut over = Vec::new();
        for (key, value) in house.store.scan(Drawer::Credentials, &scan)? {
            if bearers::is_row(&key) {
                continue;
            }
            let id = <[u8; 16]>::try_from(key.as_slice()).map(u128::from_be_bytes).map(CredentialId);
            let kept = serde_json::from_slice::<Kept>(&value);
            match (id, kept) {
                (Ok(id), Ok(kept)) if now < kept.expires_at => credentials.insert(id, kept),
                _ => over.push(Put::remove(Drawer::Credentials, key)),
            }
        }
        if !over.is_empty() {
            house.store.put(&over)?;
        }
        Ok(credentials)
    }

    fn insert(&self, id: CredentialId, kept: Kept) {
        let pair = (kept.resource.clone(), kept.principal.clone());
        self.kept().entry(pair).or_default().insert(id, kept);
    }

    /// Those of a pair that have to go before one more is made: what expired, and the oldest beyond the limit.
    fn make_room(&self, pair: &(ResourceId, PrincipalId), now: At) -> Vec<CredentialId> {
        let kept = self.kept();
        let Some(own) = kept.get(pair) else { return Vec::new() };
        let (live, over): (Vec<_>, Vec<_>) = own.iter().partition(|(_, kept)| now < kept.expires_at);
        let surplus = (live.len() + 1).saturating_sub(CREDENTIALS_MAX);
        // Identifiers are ordered by time.
        let oldest = live.into_iter().take(surplus);
        over.into_iter().chain(oldest).map(|(id, _)| *id).collect()
    }

    /// Those that count for whoever shows this certificate, or none, while this person answers for the principal.
    fn live(
        &self,
        pair: &(ResourceId, PrincipalId),
        (shown, person): (Option<&[u8; 32]>, Option<&PersonId>),
        now: At,
    ) -> Vec<ScramKeys> {
        let kept = self.kept();
        let own = kept.get(pair).into_iter().flatten();
        let is_theirs = |kept: &Kept| {
            kept.certificate.as_ref().is_none_or(|bound| shown == Some(bound))
                && kept.person.as_ref().is_none_or(|own| person == Some(own))
        };
        let live =
            own.filter(|(_, kept)| now < kept.expires_at && is_theirs(kept)).rev().take(CREDENTIALS_MAX);
        live.map(|(id, kept)| ScramKeys {
            credential: *id,
            stored_key: kept.stored_key,
            server_key: kept.server_key,
            proved: kept.proved,
        })
        .collect()
    }

    /// Whose there are.
    pub(super) fn owners(&self) -> BTreeSet<PrincipalId> {
        self.kept().keys().map(|(_, owner)| owner.clone()).collect()
    }

    /// What takes out the credentials of somebody who is gone.
    pub(crate) fn of_gone(&self, principal: &PrincipalId) -> Vec<Put> {
        let kept = self.kept();
        let own = kept.iter().filter(|((_, owner), _)| owner == principal);
        let ids = own.flat_map(|(_, own)| own.keys());
        ids.map(|id| Put::remove(Drawer::Credentials, id.0.to_be_bytes())).collect()
    }

    /// Forgets the credentials of somebody who is gone.
    pub(crate) fn forget(&self, principal: &PrincipalId) {
        self.kept().retain(|(_, owner), _| owner != principal);
    }

    fn remove(&self, pair: &(ResourceId, PrincipalId), ids: &[CredentialId]) {
        if let Some(own) = self.kept().get_mut(pair) {
            own.retain(|id, _| !ids.contains(id));
        }
    }

    fn kept(&self) -> MutexGuard<'_, BTreeMap<(ResourceId, PrincipalId), BTreeMap<CredentialId, Kept>>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Engine {
    /// What a door checks the proof of `user` against. Always an answer: names that do not exist get a decoy.
    #[must_use]
    pub fn verifiers(&self, resource: &ResourceId, user: &str) -> ScramVerifiers {
        self.verifiers_showing(resource, user, None)
    }

    /// As [`Engine::verifiers`], of somebody who shows a certificate inside TLS: its SHA-256. What is bound to a certificate is of
    /// no use without it.
    #[must_use]
    pub fn verifiers_showing(
        &self,
        resource: &ResourceId,
        user: &str,
        shown: Option<&[u8; 32]>,
    ) -> ScramVerifiers {
        let principal = user.parse::<PrincipalId>().ok();
        let snapshot = self.snapshot();
        let live = |principal: &PrincipalId| {
            let person = snapshot.book.person(principal);
            let pair = (resource.clone(), principal.clone());
            self.0.people.credentials.live(&pair, (shown, person), self.now())
        };
        let keys = principal.as_ref().map(live);
        ScramVerifiers {
            salt: self.salt(resource, user).to_vec(),
            iterations: ITERATIONS.get(),
            keys: keys.unwrap_or_default(),
        }
    }

    /// The credential of `user` for `resource` whose password this is, if there is a live one. For doors to which a client
    /// says its password: it is derived with as much work as a proof takes, whether or not there is such a name.
    #[must_use]
    pub fn credential_of(&self, resource: &ResourceId, user: &str, password: &str) -> Option<ScramKeys> {
        let salt = self.salt(resource, user);
        let (stored_key, _) = keys(password, &salt);
        let known = self.verifiers(resource, user).keys;
        let mut same = known.into_iter().filter(|key| constant_time_eq(&key.stored_key, &stored_key));
        same.next()
    }

    /// The salt of a name for a resource, whether or not there is such a name.
    fn salt(&self, resource: &ResourceId, user: &str) -> [u8; 16] {
        let mac = self.0.house.keyring.mac("scram-salt", &[resource.as_str().as_bytes(), user.as_bytes()]);
        let mut salt = [0; 16];
        salt.iter_mut().zip(mac).for_each(|(slot, byte)| *slot = byte);
        salt
    }

    /// Makes a credential for the caller's own client. It opens nothing by itself: each connection and each action
    /// asks for a live grant.
    ///
    /// # Errors
    /// There is no such resource, or policy does not permit it.
    pub async fn mint_credential(&self, caller: &Caller, resource: &ResourceId) -> Result<Minted, Refused> {
        self.mint_for(caller, &caller.principal, resource, None).await
    }

    /// As [`Engine::mint_credential`], of use only to whoever shows a certificate inside TLS as well, of which this is the
    /// SHA-256 (RFC 8705, section 3.1).
    ///
    /// # Errors
    /// As there.
    pub async fn mint_bound(
        &self,
        caller: &Caller,
        resource: &ResourceId,
        certificate: [u8; 32],
    ) -> Result<Minted, Refused> {
        self.mint_for(caller, &caller.principal, resource, Some(certificate)).await
    }

    /// Makes a credential for whoever the caller may make one for.
    pub(super) async fn mint_for(
        &self,
        caller: &Caller,
        whose: &PrincipalId,
        resource: &ResourceId,
        certificate: Option<[u8; 32]>,
    ) -> Result<Minted, Refused> {
        let snapshot = self.snapshot();
        if !snapshot.book.catalogue.resources.contains_key(resource) {
            return Err(Refusal::NoSuchResource(resource.clone()).into());
        }
        let now = self.now().max(snapshot.at);
        self.may_mint_at(caller, resource)?;
        let password = password(&self.0.house.ports.random::<PASSWORD_CHARS>());
        let expires_at = now.plus(self.0.house.settings.credential_for);
        let salt = self.salt(resource, whose.as_str());
        let (stored_key, server_key) = keys(&password, &salt);
        let id = CredentialId(self.0.house.ports.entropy.id());
        let (resource, principal) = (resource.clone(), whose.clone());
        // Whoever makes one for an agent proves themselves, and not the agent.
        let proved = (caller.principal == *whose).then(|| caller.proof.proved(now));
        let person = snapshot.book.person(whose).cloned();
        let kept =
            Kept { resource, principal, stored_key, server_key, expires_at, person, proved, certificate };
        self.keep_credential(caller, id, kept).await?;
        Ok(Minted { id, user: whose.to_string(), password, expires_at })
    }

    /// Whether policy lets the caller make a credential for a resource now.
    pub(super) fn may_mint_at(&self, caller: &Caller, resource: &ResourceId) -> Result<(), Refused> {
        let snapshot = self.snapshot();
        let now = self.now().max(snapshot.at);
        may_mint(&Desk { book: &snapshot.book, policy: snapshot.policy.as_deref(), now }, caller, resource)
    }

    async fn keep_credential(&self, by: &Caller, id: CredentialId, kept: Kept) -> Result<(), Refused> {
        let pair = (kept.resource.clone(), kept.principal.clone());
        let credentials = &self.0.people.credentials;
        let gone = credentials.make_room(&pair, self.now());
        let is_bound = kept.certificate.is_some();
        let topic = line::Minted {
            bound: is_bound,
            credential: id,
            expires_at: Stamp(kept.expires_at),
            sign_in: None,
        };
        let mut note = self.note_by("token.issued", Topic::Minted(topic), Some(by));
        note.line.subject = (by.principal != kept.principal).then(|| kept.principal.clone());
        note.line.resource = Some(kept.resource.clone());
        note.puts = gone.iter().map(|id| Put::remove(Drawer::Credentials, id.0.to_be_bytes())).collect();
        let value = serde_json::to_vec(&kept).unwrap_or_default();
        note.puts.push(Put::new(Drawer::Credentials, id.0.to_be_bytes(), value));
        self.note(note).await?;
        credentials.remove(&pair, &gone);
        credentials.insert(id, kept);
        Ok(())
    }
}

/// Whether policy lets the caller make a credential now, signed in as they are.
fn may_mint(desk: &Desk<'_>, caller: &Caller, resource: &ResourceId) -> Result<(), Refused> {
    let target = Target::Resource(resource.clone());
    let ruling = desk.asks(&caller.principal, "credential.mint", target, caller.from());
    let verdict = ruling.as_ref().map(Ruling::verdict);
    if verdict == Some(Verdict::Allow) {
        return Ok(());
    }
    let mut message = format!("policy does not permit you to make credentials for `{resource}`");
    if let Some(Verdict::Deny(denial @ Denial::Forbidden(_))) = verdict {
        message.push_str(&format!(": {denial}"));
    }
    Err(Refused::new(RefusedCode::NotPermitted, message)
        .hint("services and agents never do; for people it is the bundle's to say"))
}

fn constant_time_eq(one: &[u8; 32], other: &[u8; 32]) -> bool {
    aws_lc_rs::constant_time::verify_slices_are_equal(one, other).is_ok()
}

fn password(random: &[u8; PASSWORD_CHARS]) -> Zeroizing<String> {
    let letter = |byte: &u8| LETTERS.get(usize::from(byte & 31)).copied().unwrap_or(b'a');
    Zeroizing::new(random.iter().map(|byte| char::from(letter(byte))).collect())
}

/// StoredKey and ServerKey of a password (RFC 5802, section 3). The password is ASCII, so SASLprep leaves it as it is.
fn keys(password: &str, salt: &[u8]) -> ([u8; 32], [u8; 32]) {
    let mut salted = [0; 32];
    pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA256, ITERATIONS, salt, password.as_bytes(), &mut salted);
    let key = hmac::Key::new(hmac::HMAC_SHA256, &salted);
    salted.zeroize();
    let client_key = hmac::sign(&key, b"Client Key");
    let stored_key = digest::digest(&digest::SHA256, client_key.as_ref());
    let server_key = hmac::sign(&key, b"Server Key");
    (array(stored_key.as_ref()), array(server_key.as_ref()))
}

fn array(bytes: &[u8]) -> [u8; 32] {
    let mut array = [0; 32];
    array.iter_mut().zip(bytes).for_each(|(slot, byte)| *slot = *byte);
    array
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 7677, section 3: user `user`, password `pencil`, 4096 iterations. The keys are those that lead to the
    /// signature and the proof of the example.
    #[test]
    fn keys_are_those_of_the_rfc() {
        use base64::Engine as _;
        use base64::engine::general_purpose::STANDARD;
        let salt = STANDARD.decode("W22ZaJ0SNY7soEsUEjb6gQ==").unwrap();
        let (stored, server) = keys("pencil", &salt);
        let auth = b"n=user,r=rOprNGfwEbeRWgbNEkqO,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
            s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096,c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0";
        let signature = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &server), auth);
        assert_eq!(STANDARD.encode(signature.as_ref()), "6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=");
        let mask = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &stored), auth);
        let proof = STANDARD.decode("dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=").unwrap();
        let client_key: Vec<u8> = proof.iter().zip(mask.as_ref()).map(|(a, b)| a ^ b).collect();
        assert_eq!(array(digest::digest(&digest::SHA256, &client_key).as_ref()), stored);
    }

    #[test]
    fn passwords_need_no_quoting() {
        let all: Vec<u8> = (0..=255).collect();
        for chunk in all.chunks_exact(PASSWORD_CHARS) {
            let made = password(chunk.try_into().unwrap());
            assert_eq!(made.len(), PASSWORD_CHARS);
            assert!(made.bytes().all(|byte| byte.is_ascii_alphanumeric()));
        }
    }
}
