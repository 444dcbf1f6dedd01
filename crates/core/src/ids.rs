//! Names and identifiers. A name is chosen by people and appears in a bundle; an identifier is minted by the
//! roof and handed in. Both print the way they are typed.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// The longest name, in bytes.
pub const NAME_BYTES_MAX: usize = 64;

/// Why a text is no name or identifier.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadId {
    /// A name with characters or a length that names may not have.
    #[error(
        "`{0}` is not a name; use 1 to 64 of a-z, 0-9, `.`, `_`, `-` and `@`, starting with a letter or digit"
    )]
    Name(String),
    /// An identifier of another kind or with bad characters.
    #[error("`{0}` is not an identifier of the form `{1}_...`")]
    Identifier(String, &'static str),
    /// A digest that is not 64 hexadecimal digits.
    #[error("`{0}` is not a digest; it has 64 hexadecimal digits")]
    Digest(String),
}

macro_rules! name {
    ($(#[$doc:meta] $type:ident),+ $(,)?) => {$(
        #[$doc]
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $type(Arc<str>);

        impl $type {
            /// Takes a text that is known to be a name. Texts from outside are parsed.
            #[must_use]
            pub fn new(name: &str) -> Self {
                Self(name.into())
            }

            /// The name as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl FromStr for $type {
            type Err = BadId;

            fn from_str(text: &str) -> Result<Self, BadId> {
                if is_name(text) { Ok(Self::new(text)) } else { Err(BadId::Name(excerpt(text))) }
            }
        }
    )+};
}

name! {
    /// An account: a user, a service or an agent.
    PrincipalId,
    /// The human behind principals; what every separation-of-duties rule counts.
    PersonId,
    /// A set of principals.
    GroupId,
    /// Where a company keeps who its people are.
    DirectoryName,
    /// A privilege scope.
    RoleId,
    /// Something protected.
    ResourceId,
    /// An approval rule.
    RuleName,
    /// A Cedar policy: its `@id`, or `role/NAME` and `floor/NAME` for those that are compiled in.
    PolicyId,
    /// What is attempted: `sql.delete`, `access.request`, `policy.apply`.
    ActionName,
}

/// The beginning of a text that somebody typed, for the sentence that says what is wrong with it.
pub(crate) fn excerpt(text: &str) -> String {
    text.chars().take(80).collect()
}

fn is_name(text: &str) -> bool {
    let starts_well = text.bytes().next().is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    let body = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"._-@".contains(&b);
    starts_well && text.len() <= NAME_BYTES_MAX && text.bytes().all(body)
}

macro_rules! minted {
    ($(#[$doc:meta] $type:ident = $prefix:literal),+ $(,)?) => {$(
        #[$doc]
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $type(pub u128);

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!($prefix, "_{}"), Crockford(self.0))
            }
        }

        impl FromStr for $type {
            type Err = BadId;

            fn from_str(text: &str) -> Result<Self, BadId> {
                text.strip_prefix(concat!($prefix, "_"))
                    .and_then(read_crockford)
                    .map(Self)
                    .ok_or_else(|| BadId::Identifier(excerpt(text), $prefix))
            }
        }

        impl Serialize for $type {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    )+};
}

minted! {
    /// A gated action waiting for, or given, its answer.
    RequestId = "req",
    /// A live, time-bound membership of a principal in a role.
    GrantId = "grt",
    /// One client connection through a door.
    SessionId = "ses",
    /// What a client presents to a door.
    CredentialId = "crd",
    /// One sign-in of a principal to the gateway.
    SignInId = "sgn",
    /// Something by which a person proves who they are, beside a password.
    AuthenticatorId = "aut",
    /// A device on which somebody is told of what waits for them.
    DeviceId = "dev",
    /// A program that registered itself, so that people may let it in (RFC 7591).
    ClientId = "cli",
}

const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

/// 128 bits as 26 characters of Crockford's base 32, in lower case.
struct Crockford(u128);

impl fmt::Display for Crockford {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Written as one text: every line of the ledger has several.
        let mut letters = [b'0'; 26];
        for (letter, place) in letters.iter_mut().rev().zip(0..) {
            let digit = usize::try_from((self.0 >> (place * 5)) & 31).unwrap_or_default();
            *letter = ALPHABET.get(digit).copied().unwrap_or(b'0');
        }
        f.write_str(std::str::from_utf8(&letters).unwrap_or_default())
    }
}

fn read_crockford(text: &str) -> Option<u128> {
    if text.len() != 26 || text.bytes().next()? > b'7' {
        return None;
    }
    text.bytes().try_fold(0u128, |value, byte| {
        let digit = ALPHABET.iter().position(|letter| *letter == byte)?;
        Some((value << 5) | u128::try_from(digit).ok()?)
    })
}

/// A SHA-256 value. Printed as 64 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest(pub [u8; 32]);

/// The hash of a bundle: which policies, rules, roles, resources and people were in force.
pub type BundleHash = Digest;

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Written as one text: every line of the ledger has several.
        let digit = |nibble: u8| if nibble < 10 { b'0' + nibble } else { b'a' + (nibble - 10) };
        let mut digits = [b'0'; 64];
        for (pair, byte) in digits.chunks_exact_mut(2).zip(self.0) {
            pair.copy_from_slice(&[digit(byte >> 4), digit(byte & 15)]);
        }
        f.write_str(std::str::from_utf8(&digits).unwrap_or_default())
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Digest {
    type Err = BadId;

    fn from_str(text: &str) -> Result<Self, BadId> {
        let bad = || BadId::Digest(excerpt(text));
        if text.len() != 64 || !text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b)) {
            return Err(bad());
        }
        let mut bytes = [0; 32];
        for (slot, place) in bytes.iter_mut().zip((0..64).step_by(2)) {
            let pair = text.get(place..place + 2).ok_or_else(bad)?;
            *slot = u8::from_str_radix(pair, 16).map_err(|_| bad())?;
        }
        Ok(Self(bytes))
    }
}

impl Serialize for Digest {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identifiers_print_and_parse() {
        for value in [0, 1, u128::MAX, 0x0192_3f00_dead_beef_0000_0000_0000_0001] {
            let text = RequestId(value).to_string();
            assert_eq!(text.len(), 30);
            assert_eq!(text.parse(), Ok(RequestId(value)));
        }
        assert!("grt_00000000000000000000000000".parse::<RequestId>().is_err());
        assert!("req_80000000000000000000000000".parse::<RequestId>().is_err());
        assert!("req_0000000000000000000000000l".parse::<RequestId>().is_err());
    }

    #[test]
    fn names_have_one_spelling() {
        assert!("alice".parse::<PrincipalId>().is_ok());
        for bad in ["", "Alice", "al ice", "-a", "a'b", "a\0", "ä", &"a".repeat(65)] {
            assert!(bad.parse::<PrincipalId>().is_err(), "{bad}");
        }
    }

    #[test]
    fn digests_print_and_parse() {
        let digest = Digest([0xab; 32]);
        assert_eq!(digest.to_string().parse(), Ok(digest));
        assert!("AB".repeat(32).parse::<Digest>().is_err());
    }
}
