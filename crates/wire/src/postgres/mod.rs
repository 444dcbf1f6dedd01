//! The PostgreSQL wire protocol, version 3 (PostgreSQL documentation, chapter "Frontend/Backend Protocol").
//!
//! What: total decoders that borrow and keep the bytes ([`frame`], [`startup`], [`frontend`], [`backend`]),
//! encoders for what a gateway itself says ([`encode`]), the SCRAM and MD5 exchanges as state machines
//! ([`scram`], [`md5`]), a follower of one session's two directions ([`track`]), and what binary values say to a
//! person ([`mod@binary`]).
//!
//! Why so: the two sides of a gateway are both hostile. Every decoder either understands a whole message, to
//! its last byte, or says [`Malformed`]; it never panics, never allocates by a length it was told, and hands
//! back the raw bytes it judged, so that what is forwarded is what was understood and never a re-encoding.
//!
//! What not: no sockets, no clock, no randomness (nonces and salts are arguments), no policy. Text is bytes
//! here: its encoding is a setting of the session and is judged above.

pub mod backend;
pub mod binary;
pub mod encode;
mod fields;
pub mod frame;
pub mod frontend;
#[doc(hidden)]
pub mod fuzz_targets;
mod malformed;
pub mod md5;
mod read;
pub mod scram;
pub mod startup;
pub mod track;
mod values;

pub use fields::{Column, ColumnNames, ErrorFields};
pub use frame::{Frame, FrameHead, Framer, Limits, Phase, Piece, Run};
pub use malformed::Malformed;
pub use values::{Format, Formats, Oids, Values};

/// Which of the two namespaces of a session a name belongs to: prepared statements or portals.
///
/// In `Describe` and `Close` it is the byte in front of the name (`S` or `P`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Target<'a> {
    /// A prepared statement, by name; the empty name is the unnamed statement.
    Statement(&'a [u8]),
    /// A portal, by name; the empty name is the unnamed portal.
    Portal(&'a [u8]),
}

/// The state of the server's transaction, as `ReadyForQuery` reports it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TransactionStatus {
    /// `I`: not in a transaction block.
    Idle,
    /// `T`: in a transaction block.
    InTransaction,
    /// `E`: in a failed transaction block; everything but its end is rejected.
    Failed,
}

impl TransactionStatus {
    /// The byte that stands for it in `ReadyForQuery`.
    #[must_use]
    pub const fn byte(self) -> u8 {
        match self {
            Self::Idle => b'I',
            Self::InTransaction => b'T',
            Self::Failed => b'E',
        }
    }

    /// The status that a byte of `ReadyForQuery` stands for, if it stands for one.
    #[must_use]
    pub const fn from_byte(byte: u8) -> Option<Self> {
        match byte {
            b'I' => Some(Self::Idle),
            b'T' => Some(Self::InTransaction),
            b'E' => Some(Self::Failed),
            _ => None,
        }
    }
}
