//! Masking: values, rows and messages in which what is protected is covered.
//!
//! Pure and total: bytes in, bytes out. [`value`] covers one value so that a driver can still read it as its type,
//! [`rows`] goes through rows column by column, in constant memory however long a value is, [`copy`] through the data of a
//! COPY, [`messages`] through errors and notices. [`detect`] finds what gives itself away (mail addresses, card numbers,
//! keys) in text of which nobody has said what it holds.
//!
//! What cannot be covered in its own type and form becomes NULL, which every type has. What not: it does not decide what is
//! masked ([`crate::sql::Masking`] and policy do), and holds no keys but for the length of a session.

pub mod copy;
pub mod detect;
mod form;
pub mod messages;
mod numeric;
pub mod rows;
pub mod value;

use countersign_core::catalogue::MaskStyle;
use zeroize::Zeroizing;

pub use detect::Detectors;

/// The key of a resource's masks. Equal values have equal hashes under one key, and nobody without it can tell whose.
#[derive(Clone)]
pub struct MaskKey(Zeroizing<[u8; 32]>);

impl MaskKey {
    /// Takes 32 bytes that nobody else knows.
    #[must_use]
    pub fn new(bytes: [u8; 32]) -> Self {
        Self(Zeroizing::new(bytes))
    }
}

impl std::fmt::Debug for MaskKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("MaskKey(..)")
    }
}

/// What is to become of the values of one column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Treatment {
    /// They pass as they are.
    Keep,
    /// They become NULL.
    Null,
    /// They are covered.
    Cover {
        /// How.
        style: MaskStyle,
        /// The built-in type that they are written like; 0 if that is not known.
        like: u32,
    },
    /// They are searched for what gives itself away.
    Search {
        /// The built-in type that they are written like; 0 if that is not known.
        like: u32,
    },
}

/// What masks are made with.
#[derive(Clone, Debug)]
pub struct Means {
    /// The resource's key.
    pub key: MaskKey,
    /// What is searched for.
    pub detectors: Detectors,
}
