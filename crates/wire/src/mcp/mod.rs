//! The Model Context Protocol: bytes to messages, and a client's message to what a policy can judge.
//!
//! Messages are JSON-RPC 2.0 in JSON that has one reading alone ([`json`]): names that come twice, text after the value,
//! lone surrogates and nesting without end are refused, since two readers would make two things of them. What is
//! understood keeps the bytes it was read from, so that these and no others are passed on.
//!
//! Not here: sockets, sessions, and whether a method is permitted.

mod cover;
pub mod fuzz_targets;
pub mod json;
mod listing;
pub mod message;
mod said;
mod schema;
pub mod stream;

pub use cover::cover;
pub use json::{Json, Kind};
pub use listing::{Definition, Listing, claims_of, definitions, listing};
pub use message::{Id, Message, Outcome};
pub use said::{ARGUMENTS_MAX, Said, name_of, said};
pub use schema::misfit;

/// The longest message that is looked at, in bytes.
pub const MESSAGE_BYTES_MAX: usize = 4 << 20;

/// Revisions of the protocol with a session that begins with `initialize`, oldest first.
pub const REVISIONS: [&str; 2] = ["2025-06-18", "2025-11-25"];

/// A message on one line. Between values line breaks mean nothing, and within a text there are none.
#[must_use]
pub fn one_line(message: &[u8]) -> String {
    String::from_utf8_lossy(message).trim().replace(['\r', '\n'], " ")
}

/// What is wrong with a message, for whoever sent it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// It is not JSON, or not JSON with one reading.
    #[error("this is not acceptable JSON: {0}")]
    Json(#[from] json::BadJson),
    /// It is no message of JSON-RPC.
    #[error("this is no JSON-RPC 2.0 message: {0}")]
    Envelope(&'static str),
    /// Its parameters are not those of the method.
    #[error("the parameters of `{method}` are not right: {why}")]
    Params {
        /// The method.
        method: String,
        /// What is wrong, in words.
        why: String,
    },
}

impl Malformed {
    /// The code of JSON-RPC 2.0, section 5.1.
    #[must_use]
    pub fn code(&self) -> i64 {
        match self {
            Self::Json(_) => -32_700,
            Self::Envelope(_) => -32_600,
            Self::Params { .. } => -32_602,
        }
    }
}
