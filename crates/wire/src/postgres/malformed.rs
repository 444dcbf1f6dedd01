//! Why bytes were not understood.
//!
//! One enum for every decoder of this module, because their callers do the same with each: tell the peer in
//! the protocol's words ([`Malformed::sqlstate`] and `Display`) and end the connection. Nothing that was not
//! understood is ever forwarded, so there is no "skip and go on".

use thiserror::Error;

/// The bytes are not a message of the protocol, or exceed a limit.
///
/// `message` is the documented name of the message type. No variant carries bytes of the peer, so that the
/// text is safe to log; the one name a peer chose (a startup parameter) is escaped.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Malformed {
    /// The length word is less than the smallest possible or more than protocol's signed 32 bits.
    #[error(
        "the length {len} of {message} is impossible; \
         check that the peer speaks PostgreSQL protocol 3"
    )]
    ImpossibleLength {
        /// Documented name of the message type.
        message: &'static str,
        /// The length word, as a signed number.
        len: i32,
    },
    /// The message is longer than this gateway accepts.
    #[error("{message} of {len} bytes exceeds the limit of {limit} bytes; send less at once")]
    TooLong {
        /// Documented name of the message type.
        message: &'static str,
        /// Bytes announced, the length word included.
        len: u32,
        /// The most that is accepted, in bytes.
        limit: u32,
    },
    /// A type byte that has no meaning in this direction and phase.
    #[error(
        "message type `{}` is not expected {place}; check that the peer speaks PostgreSQL protocol 3",
        .tag.escape_ascii()
    )]
    UnexpectedType {
        /// The type byte.
        tag: u8,
        /// Where it was read: direction and phase, in words.
        place: &'static str,
    },
    /// The body ends before the field does, or a text has no terminator.
    #[error("{message} ends inside its {field}; check the library that built it")]
    Short {
        /// Documented name of the message type.
        message: &'static str,
        /// The field that is cut off.
        field: &'static str,
    },
    /// The body goes on after its last field.
    #[error("{message} has {count} bytes after its last field; check the library that built it")]
    Trailing {
        /// Documented name of the message type.
        message: &'static str,
        /// Bytes left over.
        count: usize,
    },
    /// A field has a value that the protocol gives no meaning to.
    #[error("the {field} of {message} can't be {value}; check the library that built it")]
    Value {
        /// Documented name of the message type.
        message: &'static str,
        /// The field.
        field: &'static str,
        /// Its value, as a number.
        value: i64,
    },
    /// The client asks for a protocol that is not spoken here.
    #[error("protocol {major}.{minor} is not supported; use a client that speaks protocol 3")]
    UnsupportedVersion {
        /// Major version asked for.
        major: u16,
        /// Minor version asked for.
        minor: u16,
    },
    /// A startup parameter is there twice; which one counts would be anybody's guess.
    #[error("startup parameter `{name}` is given twice; name it once")]
    DuplicateParameter {
        /// Its name, escaped to printable ASCII and cut to 64 characters.
        name: String,
    },
}

impl Malformed {
    /// The SQLSTATE to tell the peer: `0A000` feature_not_supported for a version, `54000`
    /// program_limit_exceeded for a limit, otherwise `08P01` protocol_violation.
    #[must_use]
    pub const fn sqlstate(&self) -> &'static str {
        match self {
            Self::UnsupportedVersion { .. } => "0A000",
            Self::TooLong { .. } => "54000",
            _ => "08P01",
        }
    }
}
