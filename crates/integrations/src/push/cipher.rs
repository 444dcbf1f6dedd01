//! The encryption of a message for one device (RFC 8291 over RFC 8188, `aes128gcm`).

use aws_lc_rs::aead::{AES_128_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::agreement::{ECDH_P256, PrivateKey, UnparsedPublicKey, agree};
use aws_lc_rs::hmac;
use countersign_engine::Entropy;
use zeroize::Zeroizing;

/// All messages are of this length before they are encrypted, so that the length tells nothing, in bytes.
const PADDED_BYTES: usize = 1_024;
/// The size of a record: one holds every message.
const RECORD_BYTES: u32 = 4_096;
/// Ends what is said; zeros follow (RFC 8188, section 2: the last record).
const LAST: u8 = 2;

/// It can't be encrypted: the keys are none, or it is too long.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the message can't be encrypted for this device")]
pub struct Unsealable;

/// What is used for one message alone.
pub struct Ephemeral {
    pub(super) private: PrivateKey,
    pub(super) salt: [u8; 16],
}

impl Ephemeral {
    /// A fresh one.
    ///
    /// # Errors
    /// The randomness is none.
    pub fn new(entropy: &dyn Entropy) -> Result<Self, Unsealable> {
        let mut salt = [0; 16];
        entropy.fill(&mut salt);
        // Not every number is a key, but nearly every one is.
        let private = (0..8).find_map(|_| {
            let mut bytes = Zeroizing::new([0; 32]);
            entropy.fill(bytes.as_mut());
            PrivateKey::from_private_key(&ECDH_P256, bytes.as_ref()).ok()
        });
        Ok(Self { private: private.ok_or(Unsealable)?, salt })
    }
}

impl std::fmt::Debug for Ephemeral {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Ephemeral(..)")
    }
}

/// Encrypts for the device with this public key and authentication secret.
///
/// # Errors
/// [`Unsealable`].
pub fn seal(message: &[u8], device: (&[u8], &[u8]), made: &Ephemeral) -> Result<Vec<u8>, Unsealable> {
    if message.len() >= PADDED_BYTES {
        return Err(Unsealable);
    }
    let mut plain = message.to_vec();
    plain.push(LAST);
    plain.resize(PADDED_BYTES, 0);
    record(plain, device, made)
}

/// One record of what is delimited already.
pub(super) fn record(
    mut plain: Vec<u8>,
    (device, secret): (&[u8], &[u8]),
    made: &Ephemeral,
) -> Result<Vec<u8>, Unsealable> {
    let own = made.private.compute_public_key().map_err(|_| Unsealable)?;
    let peer = UnparsedPublicKey::new(&ECDH_P256, device);
    let shared = agree(&made.private, peer, Unsealable, |shared| Ok(Zeroizing::new(shared.to_vec())))?;
    let info = [b"WebPush: info\0".as_slice(), device, own.as_ref()].concat();
    let ikm = expand(&extract(secret, &shared), &info);
    let pseudo = extract(&made.salt, &ikm);
    let key = expand(&pseudo, b"Content-Encoding: aes128gcm\0");
    let nonce = expand(&pseudo, b"Content-Encoding: nonce\0");
    let (Some(key), Some(nonce)) = (key.first_chunk::<16>(), nonce.first_chunk::<12>()) else {
        return Err(Unsealable);
    };
    let cipher = UnboundKey::new(&AES_128_GCM, key).map(LessSafeKey::new).map_err(|_| Unsealable)?;
    let nonce = Nonce::assume_unique_for_key(*nonce);
    cipher.seal_in_place_append_tag(nonce, Aad::empty(), &mut plain).map_err(|_| Unsealable)?;
    let length = u8::try_from(own.as_ref().len()).map_err(|_| Unsealable)?;
    let head = [&made.salt[..], &RECORD_BYTES.to_be_bytes(), &[length], own.as_ref()].concat();
    Ok([head, plain].concat())
}

/// HKDF-Extract (RFC 5869) with SHA-256.
pub(super) fn extract(salt: &[u8], input: &[u8]) -> Zeroizing<Vec<u8>> {
    Zeroizing::new(hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, salt), input).as_ref().to_vec())
}

/// The first block of HKDF-Expand: at most 32 bytes are ever needed.
pub(super) fn expand(key: &[u8], info: &[u8]) -> Zeroizing<Vec<u8>> {
    let block = [info, &[1]].concat();
    Zeroizing::new(hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), &block).as_ref().to_vec())
}
