//! The keys of notes: `<name>+<id>+<base64(type || public key)>` and its secret counterpart.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ed25519_dalek::{Signer as _, SigningKey, VerifyingKey};
use sha2::{Digest as _, Sha256};
use zeroize::{Zeroize as _, Zeroizing};

use super::Signature;

const ED25519: u8 = 0x01;
const SECRET_PREFIX: &str = "PRIVATE+KEY+";
const KEY_BYTES: usize = 32;

/// Why a text is no key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// Not of the form.
    #[error("not a key: `<name>+<8 hexadecimal digits>+<base64>` is due, as printed when the log was made")]
    Form,
    /// The name is empty or has spaces, plus signs or control characters.
    #[error("not a key: its name is empty or has a space, a plus sign or a control character")]
    Name,
    /// Another algorithm.
    #[error("a key of signature type {0:#04x}: only Ed25519, type 0x01, is known here")]
    Algorithm(u8),
    /// The id is not that of the name and the key.
    #[error("not a key: its id does not belong to its name and bytes, so some character of it is wrong")]
    Id,
    /// Bytes that are no Ed25519 public key, or a weak one.
    #[error("not a key: its bytes are no Ed25519 public key")]
    Point,
}

/// A signer could not sign; the text is for the operator.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("signing failed: {0}")]
pub struct SignFailed(pub String);

/// Whoever holds a secret key: a file, a token, a key service.
pub trait Sign {
    /// The public counterpart.
    fn key(&self) -> &VerifierKey;

    /// The Ed25519 signature (RFC 8032) of the message.
    ///
    /// # Errors
    /// [`SignFailed`] if whoever holds the key does not answer.
    fn sign(&self, message: &[u8]) -> Result<[u8; 64], SignFailed>;
}

/// A public key with its name: the vkey. Shown, and read, in the note format's own form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifierKey {
    name: String,
    id: u32,
    key: VerifyingKey,
}

/// A secret key in memory, wiped when dropped. Its `Debug` shows the public counterpart only.
pub struct Ed25519Signer {
    secret: SigningKey,
    public: VerifierKey,
}

impl VerifierKey {
    /// The key of this name with these 32 public bytes.
    ///
    /// # Errors
    /// [`KeyError::Name`] and [`KeyError::Point`].
    pub fn new(name: &str, public: &[u8; KEY_BYTES]) -> Result<Self, KeyError> {
        if !is_name(name) {
            return Err(KeyError::Name);
        }
        let key =
            VerifyingKey::from_bytes(public).ok().filter(|key| !key.is_weak()).ok_or(KeyError::Point)?;
        Ok(Self { name: name.to_owned(), id: key_id(name, public), key })
    }

    /// The name; a log's is its origin.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The id: the first four bytes of `SHA-256(name || LF || type || public key)`. A hint, not a
    /// fingerprint.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.id
    }

    /// The 32 public bytes.
    #[must_use]
    pub fn public_bytes(&self) -> [u8; KEY_BYTES] {
        self.key.to_bytes()
    }

    /// Whether these are the 64 bytes of this key's signature of the message.
    #[must_use]
    pub fn verify(&self, message: &[u8], signature: &[u8]) -> bool {
        let signature = ed25519_dalek::Signature::from_slice(signature);
        signature.is_ok_and(|signature| self.key.verify_strict(message, &signature).is_ok())
    }

    /// Whether the line names this key; name and id both count.
    pub(super) fn made(&self, signature: &Signature) -> bool {
        signature.name == self.name && signature.key_id == self.id
    }
}

impl fmt::Display for VerifierKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let payload = STANDARD.encode([&[ED25519][..], &self.public_bytes()].concat());
        write!(f, "{}+{:08x}+{payload}", self.name, self.id)
    }
}

impl FromStr for VerifierKey {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Self, KeyError> {
        let (name, id, public) = split_key(text)?;
        let key = Self::new(name, &public)?;
        if key.id == id { Ok(key) } else { Err(KeyError::Id) }
    }
}

impl Ed25519Signer {
    /// The signer of this name with this secret seed (RFC 8032). The caller wipes its own copy.
    ///
    /// # Errors
    /// [`KeyError::Name`].
    pub fn from_seed(name: &str, seed: &[u8; KEY_BYTES]) -> Result<Self, KeyError> {
        let secret = SigningKey::from_bytes(seed);
        let public = VerifierKey::new(name, secret.verifying_key().as_bytes())?;
        Ok(Self { secret, public })
    }

    /// Reads the secret form, `PRIVATE+KEY+<name>+<id>+<base64(type || seed)>`.
    ///
    /// # Errors
    /// [`KeyError`].
    pub fn from_secret_text(text: &str) -> Result<Self, KeyError> {
        let (name, id, seed) = split_key(text.strip_prefix(SECRET_PREFIX).ok_or(KeyError::Form)?)?;
        let seed = Zeroizing::new(seed);
        let signer = Self::from_seed(name, &seed)?;
        if signer.public.id == id { Ok(signer) } else { Err(KeyError::Id) }
    }

    /// The secret form; whoever has it can sign.
    #[must_use]
    pub fn to_secret_text(&self) -> Zeroizing<String> {
        let mut payload = Zeroizing::new([ED25519; KEY_BYTES + 1]);
        let seed = Zeroizing::new(self.secret.to_bytes());
        payload.iter_mut().skip(1).zip(seed.iter()).for_each(|(to, from)| *to = *from);
        let encoded = Zeroizing::new(STANDARD.encode(payload.as_slice()));
        Zeroizing::new(format!("{SECRET_PREFIX}{}+{:08x}+{}", self.public.name, self.public.id, *encoded))
    }
}

impl Sign for Ed25519Signer {
    fn key(&self) -> &VerifierKey {
        &self.public
    }

    fn sign(&self, message: &[u8]) -> Result<[u8; 64], SignFailed> {
        Ok(self.secret.sign(message).to_bytes())
    }
}

impl fmt::Debug for Ed25519Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Ed25519Signer({})", self.public)
    }
}

/// Whether a text may name a key.
pub(crate) fn is_name(name: &str) -> bool {
    let unfit = |letter: char| letter.is_whitespace() || letter.is_control() || letter == '+';
    !name.is_empty() && !name.contains(unfit)
}

/// Name, id and the 32 bytes behind the type of either form of key.
fn split_key(text: &str) -> Result<(&str, u32, [u8; KEY_BYTES]), KeyError> {
    let (name, rest) = text.split_once('+').ok_or(KeyError::Form)?;
    let (id, payload) = rest.split_once('+').ok_or(KeyError::Form)?;
    let number = u32::from_str_radix(id, 16).map_err(|_| KeyError::Form)?;
    if format!("{number:08x}") != id {
        return Err(KeyError::Form);
    }
    let mut payload = STANDARD.decode(payload).map_err(|_| KeyError::Form)?;
    let key = match payload.split_first() {
        Some((&ED25519, key)) => key.try_into().map_err(|_| KeyError::Form),
        Some((&other, _)) => Err(KeyError::Algorithm(other)),
        None => Err(KeyError::Form),
    };
    payload.zeroize();
    Ok((name, number, key?))
}

fn key_id(name: &str, public: &[u8; KEY_BYTES]) -> u32 {
    let digest: [u8; 32] = Sha256::new()
        .chain_update(name.as_bytes())
        .chain_update([b'\n', ED25519])
        .chain_update(public)
        .finalize()
        .into();
    let [first, second, third, fourth, ..] = digest;
    u32::from_be_bytes([first, second, third, fourth])
}
