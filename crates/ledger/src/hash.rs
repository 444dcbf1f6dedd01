//! SHA-256 values and the three ways RFC 6962 uses them.
//!
//! What: [`struct@Hash`], and the leaf, node and empty-tree hashes of RFC 6962, section 2.1. The one-byte
//! prefixes keep a leaf from ever being taken for a node. What not: no other algorithm; tlog-tiles fixes
//! SHA-256.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::{Digest as _, Sha256};

/// Length of a hash, in bytes.
pub const HASH_BYTES: usize = 32;

const LEAF_PREFIX: [u8; 1] = [0x00];
const NODE_PREFIX: [u8; 1] = [0x01];

/// A SHA-256 value. Shown, and serialised, as 64 lower-case hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Hash(pub [u8; HASH_BYTES]);

/// Why a text or a byte string is not a hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum HashError {
    /// Not 64 lower-case hexadecimal digits.
    #[error("not a hash: 64 lower-case hexadecimal digits are due")]
    Hex,
    /// Not the standard base64 of 32 bytes.
    #[error("not a hash: the standard base64 of 32 bytes, 44 characters with padding, is due")]
    Base64,
    /// Not 32 bytes.
    #[error("not a hash: 32 bytes are due, {0} are there")]
    Length(usize),
}

impl Hash {
    /// The plain SHA-256 of the parts, one after the other.
    #[must_use]
    pub fn of(parts: &[&[u8]]) -> Self {
        let mut hasher = Sha256::new();
        for part in parts {
            hasher.update(part);
        }
        Self(hasher.finalize().into())
    }

    /// The root of the tree without leaves: SHA-256 of nothing (RFC 6962, section 2.1).
    #[must_use]
    pub fn empty() -> Self {
        Self::of(&[])
    }

    /// The hash of an entry as a leaf: `SHA-256(0x00 || entry)`.
    #[must_use]
    pub fn leaf(entry: &[u8]) -> Self {
        Self::of(&[&LEAF_PREFIX, entry])
    }

    /// The hash of an inner node: `SHA-256(0x01 || left || right)`.
    #[must_use]
    pub fn node(left: &Self, right: &Self) -> Self {
        Self::of(&[&NODE_PREFIX, &left.0, &right.0])
    }

    /// The hash in these bytes.
    ///
    /// # Errors
    /// [`HashError::Length`] unless there are exactly 32.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, HashError> {
        bytes.try_into().map(Self).map_err(|_| HashError::Length(bytes.len()))
    }

    /// Standard base64 with padding, as checkpoints and proofs carry it.
    #[must_use]
    pub fn to_base64(&self) -> String {
        STANDARD.encode(self.0)
    }

    /// Reads [`Self::to_base64`]; one value has exactly one text.
    ///
    /// # Errors
    /// [`HashError::Base64`].
    pub fn from_base64(text: &str) -> Result<Self, HashError> {
        let bytes = STANDARD.decode(text).map_err(|_| HashError::Base64)?;
        bytes.as_slice().try_into().map(Self).map_err(|_| HashError::Base64)
    }

    /// Reads the hexadecimal form; capitals are refused, so that one value has exactly one text.
    ///
    /// # Errors
    /// [`HashError::Hex`].
    pub fn from_hex(text: &str) -> Result<Self, HashError> {
        let digits = text.as_bytes();
        if digits.len() != HASH_BYTES * 2 {
            return Err(HashError::Hex);
        }
        let mut out = [0_u8; HASH_BYTES];
        for (byte, pair) in out.iter_mut().zip(digits.chunks_exact(2)) {
            let &[high, low] = pair else { return Err(HashError::Hex) };
            *byte = hex_value(high)? << 4 | hex_value(low)?;
        }
        Ok(Self(out))
    }
}

fn hex_value(digit: u8) -> Result<u8, HashError> {
    match digit {
        b'0'..=b'9' => Ok(digit - b'0'),
        b'a'..=b'f' => Ok(digit - b'a' + 10),
        _ => Err(HashError::Hex),
    }
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Written as one text: every line of the ledger has one.
        let digit = |nibble: u8| if nibble < 10 { b'0' + nibble } else { b'a' + (nibble - 10) };
        let mut digits = [b'0'; 64];
        for (pair, byte) in digits.chunks_exact_mut(2).zip(self.0) {
            pair.copy_from_slice(&[digit(byte >> 4), digit(byte & 15)]);
        }
        f.write_str(std::str::from_utf8(&digits).unwrap_or_default())
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Hash({self})")
    }
}

impl Serialize for Hash {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Hash {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::from_hex(&text).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_values() {
        assert_eq!(
            Hash::empty().to_string(),
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
        );
        // The leaf of the empty entry, from the certificate-transparency test vectors.
        assert_eq!(
            Hash::leaf(b"").to_string(),
            "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d"
        );
    }

    #[test]
    fn one_value_one_text() {
        let hash = Hash::leaf(b"x");
        assert_eq!(Hash::from_hex(&hash.to_string()), Ok(hash));
        assert_eq!(Hash::from_base64(&hash.to_base64()), Ok(hash));
        assert_eq!(Hash::from_hex(&hash.to_string().to_uppercase()), Err(HashError::Hex));
        assert_eq!(Hash::from_hex("00"), Err(HashError::Hex));
        let zero = Hash([0; 32]).to_base64();
        assert_eq!(
            Hash::from_base64(&zero.replace("A=", "B=")),
            Err(HashError::Base64),
            "spare bits are zero"
        );
        assert_eq!(Hash::from_base64(zero.trim_end_matches('=')), Err(HashError::Base64));
        assert_eq!(Hash::from_bytes(&[0; 31]), Err(HashError::Length(31)));
    }

    #[test]
    fn serialised_as_hexadecimal() {
        let hash = Hash::leaf(b"x");
        let text = serde_json::to_string(&hash).unwrap();
        assert_eq!(text, format!("\"{hash}\""));
        assert_eq!(serde_json::from_str::<Hash>(&text).unwrap(), hash);
        assert!(serde_json::from_str::<Hash>("\"00\"").is_err());
    }
}
