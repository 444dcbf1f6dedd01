//! Encryption at rest and commitments: what is kept beside the chain, and how the chain vouches for it.
//!
//! The house's keys wrap content keys; each session, request and principal has a content key of its own, so that
//! taking one wrapped key out makes everything under it unreadable, in every backup too. The cipher is AES-256-GCM
//! with random nonces; the associated data names the place, so that no value passes for another one's.

use std::sync::Arc;

use arc_swap::ArcSwap;
use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::hmac;
use countersign_ledger::content::{SALT_BYTES, commit};
use zeroize::Zeroizing;

use crate::keys::Ring;
use crate::ports::Ports;

/// Something encrypted can't be read: another master key, or bytes that were changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` can't be decrypted; the master key is another one, or the stored bytes were changed")]
pub struct Unreadable(pub String);

/// A key in use.
pub(crate) struct Key(Option<LessSafeKey>);

/// The house's own keys in use: those that seal, newest first, and the one of keyed digests.
///
/// What was sealed under an older key is read for as long as that key is here; everything is sealed under the newest. There are
/// never more than two for long (see [`crate::keys`]), and each value tells by itself which one it is under.
pub(crate) struct Keyring {
    wraps: ArcSwap<Vec<Key>>,
    mac: hmac::Key,
}

impl Keyring {
    pub(crate) fn new(ring: &Ring) -> Self {
        Self {
            wraps: ArcSwap::from_pointee(wraps(ring)),
            mac: hmac::Key::new(hmac::HMAC_SHA256, ring.mac.as_ref()),
        }
    }

    /// Seals under the newest key of `ring` from here on, and reads what is under any of them.
    pub(crate) fn change(&self, ring: &Ring) {
        self.wraps.store(Arc::new(wraps(ring)));
    }

    /// Encrypts a small value of the house: a content key, an upstream secret, a bundle.
    pub(crate) fn seal(&self, ports: &Ports, place: &str, plain: &[u8]) -> Vec<u8> {
        // Without a key nothing is kept rather than something readable; a ring is never empty.
        let wraps = self.wraps.load();
        wraps.first().map(|key| key.seal(ports.random(), place.as_bytes(), plain)).unwrap_or_default()
    }

    /// Decrypts what [`Keyring::seal`] gave for the same place.
    pub(crate) fn open(&self, place: &str, sealed: &[u8]) -> Result<Vec<u8>, Unreadable> {
        let wraps = self.wraps.load();
        let mut opened = wraps.iter().filter_map(|key| key.open(place.as_bytes(), sealed));
        opened.next().ok_or_else(|| Unreadable(place.to_owned()))
    }

    /// The same value under the newest key, if it is under an older one.
    pub(crate) fn renew(&self, ports: &Ports, place: &str, sealed: &[u8]) -> Option<Vec<u8>> {
        let wraps = self.wraps.load();
        let (newest, older) = wraps.split_first()?;
        let place = place.as_bytes();
        if newest.open(place, sealed).is_some() {
            return None;
        }
        let plain = Zeroizing::new(older.iter().find_map(|key| key.open(place, sealed))?);
        Some(newest.seal(ports.random(), place, &plain))
    }

    /// A keyed digest of parts, for what must look random but be the same each time.
    pub(crate) fn mac(&self, purpose: &str, parts: &[&[u8]]) -> [u8; 32] {
        let mut context = hmac::Context::with_key(&self.mac);
        for part in std::iter::once(&purpose.as_bytes()).chain(parts) {
            context.update(&(part.len() as u64).to_be_bytes());
            context.update(part);
        }
        let mut bytes = [0; 32];
        bytes.iter_mut().zip(context.sign().as_ref()).for_each(|(slot, byte)| *slot = *byte);
        bytes
    }
}

fn wraps(ring: &Ring) -> Vec<Key> {
    ring.keys.iter().map(|one| Key::new(&one.key)).collect()
}

impl Key {
    pub(crate) fn new(bytes: &[u8; 32]) -> Self {
        // The only failure is a wrong length, and the length is in the type. A key that could not be made
        // encrypts nothing and decrypts nothing.
        Self(UnboundKey::new(&AES_256_GCM, bytes).ok().map(LessSafeKey::new))
    }

    /// Nonce, ciphertext and tag, one after the other.
    pub(crate) fn seal(&self, nonce: [u8; NONCE_LEN], place: &[u8], plain: &[u8]) -> Vec<u8> {
        let mut sealed = Vec::with_capacity(NONCE_LEN + plain.len() + AES_256_GCM.tag_len());
        sealed.extend_from_slice(&nonce);
        sealed.extend_from_slice(plain);
        let body = sealed.get_mut(NONCE_LEN..).unwrap_or_default();
        let nonce = Nonce::assume_unique_for_key(nonce);
        let tag = self
            .0
            .as_ref()
            .and_then(|key| key.seal_in_place_separate_tag(nonce, Aad::from(place), body).ok());
        match tag {
            Some(tag) => sealed.extend_from_slice(tag.as_ref()),
            // Only a plaintext of 64 GiB fails. Nothing is kept rather than something readable.
            None => sealed.clear(),
        }
        sealed
    }

    pub(crate) fn open(&self, place: &[u8], sealed: &[u8]) -> Option<Vec<u8>> {
        let (nonce, body) = sealed.split_first_chunk::<NONCE_LEN>()?;
        let mut body = body.to_vec();
        let nonce = Nonce::assume_unique_for_key(*nonce);
        let length = self.0.as_ref()?.open_in_place(nonce, Aad::from(place), &mut body).ok()?.len();
        body.truncate(length);
        Some(body)
    }
}

/// A content field of a line: what is committed to in the chain and kept, encrypted, beside it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Field {
    /// Where in the line the commitment is (JSON pointer).
    pub(crate) at: &'static str,
    /// What kind of content it is.
    pub(crate) kind: &'static str,
    pub(crate) salt: [u8; SALT_BYTES],
    pub(crate) bytes: std::sync::Arc<[u8]>,
}

impl Field {
    pub(crate) fn new(
        ports: &Ports,
        at: &'static str,
        kind: &'static str,
        bytes: impl Into<std::sync::Arc<[u8]>>,
    ) -> Self {
        Self { at, kind, salt: ports.random(), bytes: bytes.into() }
    }

    /// What the line carries in its place.
    pub(crate) fn commitment(&self) -> countersign_core::Digest {
        countersign_core::Digest(commit(&self.salt, self.kind, &self.bytes).0.0)
    }
}
