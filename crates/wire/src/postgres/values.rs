//! The three kinds of list that messages carry, as validated views over the raw bytes: values, format codes
//! and type OIDs. They are made only by the decoders, which have walked the whole list once; iterating again
//! costs no allocation and cannot fail.

use super::read::Reader;

/// How a value is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Format {
    /// Code 0: the type's text form, in the client's encoding.
    Text,
    /// Code 1: the type's binary form.
    Binary,
}

impl Format {
    /// The code on the wire.
    #[must_use]
    pub const fn code(self) -> u16 {
        match self {
            Self::Text => 0,
            Self::Binary => 1,
        }
    }

    /// The format that a code stands for, if it stands for one.
    #[must_use]
    pub const fn from_code(code: u16) -> Option<Self> {
        match code {
            0 => Some(Self::Text),
            1 => Some(Self::Binary),
            _ => None,
        }
    }
}

/// A list of values, each NULL or bytes: the columns of a `DataRow`, the parameters of a `Bind`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Values<'a> {
    count: u16,
    bytes: &'a [u8],
}

impl<'a> Values<'a> {
    /// INVARIANT: `bytes` holds exactly `count` well-formed values; only [`Reader::values`] calls this.
    pub(super) const fn new(count: u16, bytes: &'a [u8]) -> Self {
        Self { count, bytes }
    }

    /// How many values there are.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.count as usize
    }

    /// Whether there are none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// What they take on the wire, their lengths included, in bytes.
    #[must_use]
    pub const fn byte_len(&self) -> usize {
        self.bytes.len()
    }

    /// The values in order; `None` is NULL.
    pub fn iter(&self) -> impl Iterator<Item = Option<&'a [u8]>> + use<'a> {
        let mut reader = Reader::new("value list", self.bytes);
        (0..self.count).map_while(move |_| reader.value_bytes("value").ok())
    }
}

/// Parameters and rows are people's data: only their shape is printed.
impl std::fmt::Debug for Values<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Values({} in {} bytes)", self.count, self.bytes.len())
    }
}

/// A list of format codes, each known to be text or binary.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Formats<'a>(&'a [u8]);

impl<'a> Formats<'a> {
    /// INVARIANT: `bytes` are pairs that hold 0 or 1 each; only [`Reader::formats`] calls this.
    pub(super) const fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// How many codes were sent, which is not how many values they apply to: see [`Formats::of`].
    #[must_use]
    pub const fn len(&self) -> usize {
        self.0.len() / 2
    }

    /// Whether none were sent, which means text for all.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The codes as sent.
    pub fn iter(&self) -> impl Iterator<Item = Format> + use<'a> {
        self.0.as_chunks().0.iter().filter_map(|code| Format::from_code(u16::from_be_bytes(*code)))
    }

    /// The format of the value at `index`: none sent means text, one sent applies to all.
    #[must_use]
    pub fn of(&self, index: usize) -> Option<Format> {
        match self.len() {
            0 => Some(Format::Text),
            1 => self.iter().next(),
            _ => self.iter().nth(index),
        }
    }
}

/// A list of type OIDs; 0 leaves the type to the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Oids<'a>(&'a [u8]);

impl<'a> Oids<'a> {
    /// INVARIANT: the length is a multiple of four; only [`Reader::oids`] calls this.
    pub(super) const fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// How many there are.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.0.len() / 4
    }

    /// Whether there are none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The OIDs in order.
    pub fn iter(&self) -> impl Iterator<Item = u32> + use<'a> {
        self.0.as_chunks().0.iter().map(|oid| u32::from_be_bytes(*oid))
    }
}
