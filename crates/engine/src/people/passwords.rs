//! Passwords: verifiers in argon2id, hashed a few at a time.

use std::sync::Arc;

use argon2::{Algorithm, Argon2, Params, PasswordHasher as _, PasswordVerifier as _, Version};
use countersign_core::PrincipalId;
use tokio::sync::Semaphore;
use zeroize::Zeroizing;

use crate::engine::Engine;
use crate::house::House;
use crate::settings::Argon2Cost;
use crate::store::{Drawer, Put, StoreError};
use crate::words::Refused;

use super::sign_in::SignInRefused;

/// The shortest password that can be set, in characters.
pub const PASSWORD_CHARS_MIN: usize = 12;

/// The longest password that is looked at, in bytes. Hashing more would only cost time.
pub const PASSWORD_BYTES_MAX: usize = 1_024;

/// How many passwords are hashed at a time: each takes megabytes of memory.
const HASHING_MAX: usize = 2;

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

impl Hashing {
    pub(super) fn new(house: &House) -> Self {
        let cost = house.settings.argon2;
        let salt: [u8; 16] = house.ports.random();
        let decoy = hash(cost, &house.ports.random::<32>(), &salt).unwrap_or_default();
        Self { room: Semaphore::new(HASHING_MAX), cost, decoy: decoy.into() }
    }

    /// Whether `password` is the one of `verifier`. Without a verifier the same work is done for nothing.
    pub(super) async fn verify(&self, verifier: Option<String>, password: Zeroizing<Vec<u8>>) -> bool {
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

impl Engine {
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

    pub(super) async fn verifier_of(&self, principal: &PrincipalId) -> Result<Option<String>, SignInRefused> {
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
