//! From a password to the keys of the exchange (RFC 5802, section 3).

use std::borrow::Cow;

use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use zeroize::{Zeroize, ZeroizeOnDrop};

use super::{ITERATIONS_MAX, ITERATIONS_MIN, SALT_BYTES_MAX, ScramError};

/// Length of every key and proof, in bytes.
pub const KEY_BYTES: usize = 32;
/// The block of SHA-256, in bytes.
const BLOCK_BYTES: usize = 64;

pub(super) type Key = [u8; KEY_BYTES];

/// What a server keeps of a password: enough to check a proof and to give its own, not enough to log in
/// elsewhere.
#[derive(Clone, PartialEq, Eq, Zeroize, ZeroizeOnDrop)]
pub struct StoredKey {
    /// H(ClientKey).
    pub stored_key: [u8; KEY_BYTES],
    /// HMAC(SaltedPassword, "Server Key").
    pub server_key: [u8; KEY_BYTES],
}

/// What a client needs of a password for one salt and iteration count. Costly to derive, so worth keeping by
/// whoever logs in often; as secret as the password.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct ClientKeys {
    client_key: Key,
    server_key: Key,
}

impl ClientKeys {
    /// Derives the keys: `iterations` rounds of HMAC, about a microsecond each.
    ///
    /// # Errors
    /// [`ScramError::Iterations`] outside [`ITERATIONS_MIN`] to [`ITERATIONS_MAX`], [`ScramError::Argument`]
    /// for an empty or oversized salt.
    pub fn derive(password: &[u8], salt: &[u8], iterations: u32) -> Result<Self, ScramError> {
        if !(ITERATIONS_MIN..=ITERATIONS_MAX).contains(&iterations) {
            return Err(ScramError::Iterations(iterations));
        }
        if salt.is_empty() || salt.len() > SALT_BYTES_MAX {
            return Err(ScramError::Argument("salt"));
        }
        let mut salted = salted_password(&prepared(password), salt, iterations);
        let keys =
            Self { client_key: hmac(&salted, &[b"Client Key"]), server_key: hmac(&salted, &[b"Server Key"]) };
        salted.zeroize();
        Ok(keys)
    }

    /// What a server keeps of the same password.
    #[must_use]
    pub fn stored(&self) -> StoredKey {
        StoredKey { stored_key: hash(&self.client_key), server_key: self.server_key }
    }

    /// ClientProof: ClientKey XOR HMAC(StoredKey, AuthMessage).
    pub(super) fn proof(&self, auth_message: &[&[u8]]) -> Key {
        xor(&self.client_key, &hmac(&hash(&self.client_key), auth_message))
    }

    pub(super) fn server_signature(&self, auth_message: &[&[u8]]) -> Key {
        hmac(&self.server_key, auth_message)
    }
}

impl StoredKey {
    /// The verifier of a password, to be stored with its salt and iteration count.
    ///
    /// # Errors
    /// As [`ClientKeys::derive`].
    pub fn derive(password: &[u8], salt: &[u8], iterations: u32) -> Result<Self, ScramError> {
        ClientKeys::derive(password, salt, iterations).map(|keys| keys.stored())
    }

    /// Whether a proof was made with the password behind this verifier, in constant time.
    pub(super) fn accepts(&self, proof: &Key, auth_message: &[&[u8]]) -> subtle::Choice {
        let client_key = xor(proof, &hmac(&self.stored_key, auth_message));
        hash(&client_key).ct_eq(&self.stored_key)
    }

    pub(super) fn signature(&self, auth_message: &[&[u8]]) -> Key {
        hmac(&self.server_key, auth_message)
    }
}

impl std::fmt::Debug for StoredKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("StoredKey(..)")
    }
}

impl std::fmt::Debug for ClientKeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ClientKeys(..)")
    }
}

/// The password as it goes into the hash: SASLprep, or as it is where SASLprep has no answer (invalid UTF-8,
/// prohibited characters, nothing left). PostgreSQL and libpq do the same, so that such passwords work at
/// all.
pub(super) fn prepared(password: &[u8]) -> Cow<'_, [u8]> {
    match std::str::from_utf8(password).ok().and_then(|text| stringprep::saslprep(text).ok()) {
        Some(Cow::Borrowed(text)) if !text.is_empty() => Cow::Borrowed(text.as_bytes()),
        Some(Cow::Owned(text)) if !text.is_empty() => Cow::Owned(text.into_bytes()),
        _ => Cow::Borrowed(password),
    }
}

/// Hi() of RFC 5802: PBKDF2 with one block of output.
fn salted_password(password: &[u8], salt: &[u8], iterations: u32) -> Key {
    let keyed = keyed(password);
    let mut block: Key = finish(keyed.clone(), &[salt, &1_u32.to_be_bytes()]);
    let mut result = block;
    for _ in 1..iterations {
        block = finish(keyed.clone(), &[&block]);
        result = xor(&result, &block);
    }
    block.zeroize();
    result
}

pub(super) fn hmac(key: &[u8], parts: &[&[u8]]) -> Key {
    finish(keyed(key), parts)
}

fn finish(mut mac: Hmac<Sha256>, parts: &[&[u8]]) -> Key {
    parts.iter().for_each(|part| mac.update(part));
    mac.finalize().into_bytes().into()
}

/// A key of any length fills one block of the hash: padded, or hashed first if it is longer (RFC 2104,
/// section 2).
fn keyed(key: &[u8]) -> Hmac<Sha256> {
    let mut block = [0; BLOCK_BYTES];
    let hashed = hash(key);
    let key = if key.len() > BLOCK_BYTES { hashed.as_slice() } else { key };
    block.iter_mut().zip(key).for_each(|(byte, key)| *byte = *key);
    Hmac::new(&block.into())
}

fn hash(bytes: &[u8]) -> Key {
    Sha256::digest(bytes).into()
}

fn xor(left: &Key, right: &Key) -> Key {
    let mut result = *left;
    result.iter_mut().zip(right).for_each(|(byte, other)| *byte ^= other);
    result
}
