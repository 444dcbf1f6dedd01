//! SCRAM-SHA-256, both sides (RFC 5802, RFC 7677; PostgreSQL documentation, "SASL Authentication").
//!
//! Pure state machines: nonces and salts are arguments, each step consumes the state before it. [`Server`]
//! proves a client against stored verifiers, several of which may share salt and iteration count (the live
//! credentials of one principal); [`Client`] proves a password to a server and then insists on the server's
//! own proof.
//!
//! As in PostgreSQL the user name inside the exchange is ignored (the startup packet has named the user), and
//! a password that SASLprep rejects is used as it is.
//!
//! What not: no storage, no limits on attempts, no randomness.

mod client;
mod keys;
mod message;
mod server;

use thiserror::Error;

pub use client::{Challenge, Client, ClientBinding, ServerProof};
pub use keys::{ClientKeys, KEY_BYTES, StoredKey};
pub use server::{Proved, Server, ServerBinding, Verifiers};

/// The mechanism without channel binding.
pub const SCRAM_SHA_256: &str = "SCRAM-SHA-256";
/// The mechanism with channel binding to the server's certificate.
pub const SCRAM_SHA_256_PLUS: &str = "SCRAM-SHA-256-PLUS";
/// The least iterations accepted from a server and used for credentials (RFC 7677, section 4): fewer would
/// let whoever sees an exchange guess the password more cheaply.
pub const ITERATIONS_MIN: u32 = 4_096;
/// The most iterations accepted from a server: about a second of work, which a hostile server may not exceed.
pub const ITERATIONS_MAX: u32 = 1_000_000;
/// How many verifiers of one name are tried.
pub const VERIFIERS_MAX: usize = 8;
/// The longest message of the exchange that is read, in bytes; PostgreSQL's own limit is 1,024.
pub const MESSAGE_BYTES_MAX: usize = 2_048;
/// The longest salt that is accepted, in bytes.
pub const SALT_BYTES_MAX: usize = 256;

/// The exchange failed. For a client, all reasons but the protocol's own are told as one: "password
/// authentication failed".
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ScramError {
    /// A message that is not of the exchange; the field says where.
    #[error("the SCRAM {0} is malformed; check the client or server library")]
    Malformed(&'static str),
    /// A mechanism that was not offered.
    #[error("the SASL mechanism `{0}` was not offered; choose one of the list")]
    Mechanism(String),
    /// The peer claims a channel binding that contradicts what was offered: somebody may be in between.
    #[error(
        "the SCRAM channel binding does not fit this connection; \
         connect directly, without a TLS proxy in between"
    )]
    Binding,
    /// The nonce is not ours, continued.
    #[error("the SCRAM nonce does not belong to this exchange; connect again")]
    Nonce,
    /// An iteration count outside what is accepted.
    #[error(
        "the server asks for {0} SCRAM iterations, outside {ITERATIONS_MIN} to {ITERATIONS_MAX}; \
         set `scram_iterations` on it and set the password again"
    )]
    Iterations(u32),
    /// The proof fits no verifier.
    #[error("password authentication failed; ask for a fresh credential")]
    Proof,
    /// The server could not prove that it knows the password.
    #[error(
        "the server did not prove that it knows the password; check that the address is the right server's"
    )]
    ServerProof,
    /// The server answered with an error of the exchange, in its word.
    #[error("the server ended the SCRAM exchange: `{0}`; check user and password")]
    Refused(String),
    /// A salt, nonce or binding from the caller that can't be used.
    #[error(
        "the {0} given for a SCRAM exchange can't be used; give printable text without commas, of sane length"
    )]
    Argument(&'static str),
}
