//! Public keys as authenticators write them (RFC 9052, RFC 9053): the three kinds that authenticators have.

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1, ED25519, RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents, UnparsedPublicKey,
};

use super::{Bad, cbor};

/// The longest key that is read: RSA of 8192 bits fits.
const KEY_BYTES_MAX: usize = 2_048;

/// How a key signs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    /// ECDSA with P-256 and SHA-256.
    Es256,
    /// Ed25519.
    EdDsa,
    /// RSASSA-PKCS1-v1_5 with SHA-256.
    Rs256,
}

/// A public key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PublicKey {
    /// P-256, the uncompressed point.
    P256(Vec<u8>),
    /// Ed25519.
    Ed25519(Vec<u8>),
    /// RSA: modulus and exponent.
    Rsa(Vec<u8>, Vec<u8>),
}

impl Algorithm {
    /// All, the best first.
    pub const ALL: [Self; 3] = [Self::EdDsa, Self::Es256, Self::Rs256];

    /// Its number in the registry of COSE.
    #[must_use]
    pub const fn number(self) -> i64 {
        match self {
            Self::Es256 => -7,
            Self::EdDsa => -8,
            Self::Rs256 => -257,
        }
    }
}

impl PublicKey {
    /// Reads a key.
    ///
    /// # Errors
    /// [`Bad::Malformed`]; [`Bad::Algorithm`].
    pub fn read(cose: &[u8]) -> Result<Self, Bad> {
        let map = cbor::whole(cose, KEY_BYTES_MAX).ok_or(Bad::Malformed)?;
        let int = |label: i64| map.get_int(label).and_then(cbor::Value::int);
        let bytes = |label: i64| map.get_int(label).and_then(cbor::Value::bytes);
        let fixed = |label: i64| bytes(label).filter(|bytes| bytes.len() == 32).ok_or(Bad::Malformed);
        let (kind, algorithm, curve) = (int(1), int(3), int(-1));
        match (kind, algorithm, curve) {
            (Some(2), Some(-7), Some(1)) => Ok(Self::P256([&[4], fixed(-2)?, fixed(-3)?].concat())),
            (Some(1), Some(-8), Some(6)) => Ok(Self::Ed25519(fixed(-2)?.to_vec())),
            (Some(3), Some(-257), None) => {
                let (n, e) = (bytes(-1).ok_or(Bad::Malformed)?, bytes(-2).ok_or(Bad::Malformed)?);
                Ok(Self::Rsa(n.to_vec(), e.to_vec()))
            }
            _ => Err(Bad::Algorithm),
        }
    }

    /// Whether `signature` is this key's over `message`.
    ///
    /// # Errors
    /// [`Bad::Signature`].
    pub fn verify(&self, message: &[u8], signature: &[u8]) -> Result<(), Bad> {
        let verified = match self {
            Self::P256(point) => {
                UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, point).verify(message, signature)
            }
            Self::Ed25519(key) => UnparsedPublicKey::new(&ED25519, key).verify(message, signature),
            Self::Rsa(n, e) => {
                RsaPublicKeyComponents { n, e }.verify(&RSA_PKCS1_2048_8192_SHA256, message, signature)
            }
        };
        verified.map_err(|_| Bad::Signature)
    }
}
