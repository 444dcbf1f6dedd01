//! Signing in with a password, and out.
//!
//! An unknown name costs as much time as a known one, and is answered with the same words. Too many wrong passwords
//! lock out the pair of name and address: a stranger elsewhere locks out only themselves.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use argon2::{Algorithm, Argon2, Params, PasswordHasher as _, PasswordVerifier as _, Version};
use countersign_core::{At, PrincipalId};
use countersign_policy::context::Via;
use tokio::sync::Semaphore;
use zeroize::Zeroizing;

use super::Caller;
use crate::engine::Engine;
use crate::house::House;
use crate::line::{Sealed, SignIn, Topic};
use crate::seal::Field;
use crate::settings::{Argon2Cost, CLIENT_BYTES_MAX, Settings};
use crate::store::{Drawer, Put, StoreError};
use crate::words::{Refused, cut};
use crate::writer::work::Note;

/// The shortest password that can be set, in characters.
pub const PASSWORD_CHARS_MIN: usize = 12;

/// The longest password that is looked at, in bytes. Hashing more would only cost time.
pub const PASSWORD_BYTES_MAX: usize = 1_024;

/// How many passwords are hashed at a time: each takes megabytes of memory.
const HASHING_MAX: usize = 2;

/// How many pairs of name and address are counted at a time.
const PAIRS_MAX: usize = 16_384;

/// Who signs in, beside the name.
#[derive(Clone, Debug)]
pub struct SignInClient {
    /// From where.
    pub source: Option<IpAddr>,
    /// How they speak to the gateway.
    pub via: Via,
    /// What their program calls itself.
    pub user_agent: Option<String>,
}

/// A sign-in.
#[derive(Debug)]
pub struct SignedIn {
    /// The token. It is shown this once.
    pub token: Zeroizing<String>,
    /// When it ends at the latest.
    pub expires_at: At,
    /// Who signed in.
    pub principal: PrincipalId,
}

/// Why somebody is not signed in.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SignInRefused {
    /// The name or the password is wrong.
    #[error("the name or the password is wrong")]
    Wrong,
    /// The password is right, but the account is disabled.
    #[error("this account is disabled; ask somebody who may enable it")]
    Disabled,
    /// Too many wrong passwords from this address.
    #[error("too many wrong passwords for this name from this address; wait until {}", until.rfc3339())]
    Locked {
        /// Until when.
        until: At,
    },
    /// It can't be recorded now.
    #[error(transparent)]
    Unavailable(Refused),
}

/// Why a password can't be set.
#[derive(Debug, thiserror::Error)]
pub enum SetPasswordError {
    /// Too short to be safe.
    #[error("a password has at least {PASSWORD_CHARS_MIN} characters; choose a longer one")]
    TooShort,
    /// Longer than is looked at.
    #[error("a password has at most {PASSWORD_BYTES_MAX} bytes")]
    TooLong,
    /// There is no such user.
    #[error("there is no user `{0}` in the bundle in force")]
    NoSuchUser(PrincipalId),
    /// It could not be hashed.
    #[error("the password could not be hashed")]
    Hashing,
    /// It could not be stored.
    #[error("the password could not be stored")]
    Store(#[from] StoreError),
}

/// Hashes passwords, a few at a time.
pub(super) struct Hashing {
    room: Semaphore,
    cost: Argon2Cost,
    /// What an unknown name's password is compared with.
    decoy: Arc<str>,
}

/// Counts wrong passwords.
#[derive(Default)]
pub(super) struct Lockouts {
    pairs: Mutex<BTreeMap<(String, Option<IpAddr>), Tries>>,
}

struct Tries {
    wrong: u32,
    last: At,
}

impl Hashing {
    pub(super) fn new(house: &House) -> Self {
        let cost = house.settings.argon2;
        let salt: [u8; 16] = house.ports.random();
        let decoy = hash(cost, &house.ports.random::<32>(), &salt).unwrap_or_default();
        Self { room: Semaphore::new(HASHING_MAX), cost, decoy: decoy.into() }
    }

    /// Whether `password` is the one of `verifier`. Without a verifier the same work is done for nothing.
    async fn verify(&self, verifier: Option<String>, password: Zeroizing<Vec<u8>>) -> bool {
        let Ok(_room) = self.room.acquire().await else { return false };
        let (cost, decoy) = (self.cost, Arc::clone(&self.decoy));
        let verified = tokio::task::spawn_blocking(move || {
            let is_known = verifier.is_some();
            let verifier = verifier.unwrap_or_else(|| decoy.to_string());
            argon2(cost).is_some_and(|argon2| argon2.verify_password(&password, verifier.as_str()).is_ok())
                && is_known
        });
        verified.await.unwrap_or(false)
    }
}

impl Lockouts {
    /// Until when a pair is locked out, if it is.
    fn locked(&self, name: &str, source: Option<IpAddr>, now: At, settings: &Settings) -> Option<At> {
        let pairs = self.pairs();
        let tries = pairs.get(&(name.to_owned(), source))?;
        let until = tries.last.plus(settings.locked_for);
        (tries.wrong >= settings.sign_in_tries && now < until).then_some(until)
    }

    /// Counts a wrong password. Gives until when the pair is locked out, if this was one too many.
    fn wrong(&self, name: &str, source: Option<IpAddr>, now: At, settings: &Settings) -> Option<At> {
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

    fn right(&self, name: &str, source: Option<IpAddr>) {
        self.pairs().remove(&(name.to_owned(), source));
    }

    fn pairs(&self) -> MutexGuard<'_, BTreeMap<(String, Option<IpAddr>), Tries>> {
        self.pairs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Engine {
    /// Signs somebody in.
    ///
    /// # Errors
    /// [`SignInRefused`]; recorded.
    pub async fn sign_in(
        &self,
        user: &str,
        password: &str,
        client: SignInClient,
    ) -> Result<SignedIn, SignInRefused> {
        let (people, settings) = (&self.0.people, &self.0.house.settings);
        let name = cut(user, CLIENT_BYTES_MAX);
        if let Some(until) = people.lockouts.locked(name, client.source, self.now(), settings) {
            return Err(SignInRefused::Locked { until });
        }
        let principal = self.user(name);
        let verifier = match &principal {
            Some(principal) => self.verifier_of(principal).await?,
            None => None,
        };
        let fits = password.len() <= PASSWORD_BYTES_MAX;
        let tried = Zeroizing::new(if fits { password.as_bytes().to_vec() } else { Vec::new() });
        let verified = people.hashing.verify(verifier, tried).await && fits;
        let Some(principal) = principal.filter(|_| verified) else {
            return Err(self.wrong_password(name, &client).await);
        };
        people.lockouts.right(name, client.source);
        if !self.snapshot().book.is_enabled(&principal) {
            self.failed("auth.failed", name, &client).await;
            return Err(SignInRefused::Disabled);
        }
        self.admit(principal, &client).await
    }

    async fn admit(&self, principal: PrincipalId, client: &SignInClient) -> Result<SignedIn, SignInRefused> {
        let now = self.now();
        let tokens = &self.0.people.tokens;
        let (token, key, puts) = tokens.mint(&self.0.house.ports, &principal, now);
        let mut note = self.sign_in_note("auth.succeeded", principal.as_str(), client, 0);
        note.line.actor = Some(principal.clone());
        note.line.person = self.snapshot().book.person(&principal).cloned();
        note.puts = puts;
        self.note(note).await.map_err(SignInRefused::Unavailable)?;
        tokens.admit(key, &principal, now);
        Ok(SignedIn { token, expires_at: now.plus(self.0.house.settings.sign_in_for), principal })
    }

    async fn wrong_password(&self, name: &str, client: &SignInClient) -> SignInRefused {
        let settings = &self.0.house.settings;
        let locked = self.0.people.lockouts.wrong(name, client.source, self.now(), settings);
        match locked {
            None => {
                self.failed("auth.failed", name, client).await;
                SignInRefused::Wrong
            }
            Some(until) => {
                self.failed("auth.locked", name, client).await;
                SignInRefused::Locked { until }
            }
        }
    }

    /// Records a failed sign-in, unless this address fills the ledger with them.
    async fn failed(&self, kind: &'static str, name: &str, client: &SignInClient) {
        let Some(unwritten) = self.0.noise.admit(client.source, self.now()) else { return };
        let mut note = self.sign_in_note(kind, name, client, unwritten).failed();
        note.line.subject = self.known(name);
        if self.note(note).await.is_err() {
            tracing::warn!("a failed sign-in could not be recorded");
        }
    }

    fn sign_in_note(&self, kind: &'static str, name: &str, client: &SignInClient, unwritten: u64) -> Note {
        let agent = client.user_agent.as_deref().map(|agent| cut(agent, CLIENT_BYTES_MAX));
        let content = serde_json::json!({ "address": client.source, "name": name, "program": agent });
        let ports = &self.0.house.ports;
        let field = Field::new(ports, "/data/content", "sign-in", content.to_string().into_bytes());
        let content = Sealed(field.commitment());
        let via = client.via.as_str();
        let mut note = Note::new(kind, Topic::SignIn(SignIn { content, unwritten, via }));
        if let Some(principal) = self.known(name) {
            note.key = format!("principal:{principal}").into();
        }
        note.fields = vec![field];
        note
    }

    /// Ends a sign-in.
    pub async fn sign_out(&self, caller: &Caller) {
        let Some(put) = self.0.people.tokens.remove(&caller.token) else { return };
        let client = SignInClient { source: caller.source, via: caller.via, user_agent: None };
        let mut note = self.sign_in_note("auth.logged_out", caller.principal.as_str(), &client, 0);
        note.line.actor = Some(caller.principal.clone());
        note.line.person = self.snapshot().book.person(&caller.principal).cloned();
        note.puts = vec![put.clone()];
        if self.note(note).await.is_err() {
            // The token is forgotten here; it must not come back with the next start either.
            let store = Arc::clone(&self.0.house.store);
            tokio::task::spawn_blocking(move || store.put(&[put]).map_err(|error| tracing::error!(%error)));
        }
    }

    /// Sets a user's password. For whoever runs the gateway: nobody is asked.
    ///
    /// # Errors
    /// [`SetPasswordError`].
    pub async fn set_password(
        &self,
        principal: &PrincipalId,
        password: &str,
    ) -> Result<(), SetPasswordError> {
        if password.chars().count() < PASSWORD_CHARS_MIN {
            return Err(SetPasswordError::TooShort);
        }
        if password.len() > PASSWORD_BYTES_MAX {
            return Err(SetPasswordError::TooLong);
        }
        if self.user(principal.as_str()).is_none() {
            return Err(SetPasswordError::NoSuchUser(principal.clone()));
        }
        let password = Zeroizing::new(password.as_bytes().to_vec());
        let (cost, salt) = (self.0.house.settings.argon2, self.0.house.ports.random::<16>());
        let store = Arc::clone(&self.0.house.store);
        let key = principal.as_str().as_bytes().to_vec();
        let stored = tokio::task::spawn_blocking(move || {
            let verifier = hash(cost, &password, &salt).ok_or(SetPasswordError::Hashing)?;
            Ok(store.put(&[Put::set(Drawer::Passwords, key, verifier)])?)
        });
        stored.await.unwrap_or(Err(SetPasswordError::Hashing))
    }

    /// The user of this name. Services and agents do not sign in with passwords.
    fn user(&self, name: &str) -> Option<PrincipalId> {
        let principal = self.known(name)?;
        let snapshot = self.snapshot();
        let found = snapshot.book.catalogue.principals.get(&principal)?;
        found.is_user().then_some(principal)
    }

    async fn verifier_of(&self, principal: &PrincipalId) -> Result<Option<String>, SignInRefused> {
        let (store, key) = (Arc::clone(&self.0.house.store), principal.as_str().as_bytes().to_vec());
        let read = tokio::task::spawn_blocking(move || store.get(Drawer::Passwords, &key)).await;
        let unavailable = || SignInRefused::Unavailable(Refused::unavailable());
        let verifier = read.map_err(|_| unavailable())?.map_err(|error| {
            tracing::error!(%error, "a password verifier could not be read");
            unavailable()
        })?;
        Ok(verifier.and_then(|bytes| String::from_utf8(bytes).ok()))
    }
}

fn argon2(cost: Argon2Cost) -> Option<Argon2<'static>> {
    let params = Params::new(cost.memory_kib, cost.passes, 1, None).ok()?;
    Some(Argon2::new(Algorithm::Argon2id, Version::V0x13, params))
}

/// A verifier in PHC form.
fn hash(cost: Argon2Cost, password: &[u8], salt: &[u8; 16]) -> Option<String> {
    Some(argon2(cost)?.hash_password_with_salt(password, salt).ok()?.to_string())
}
