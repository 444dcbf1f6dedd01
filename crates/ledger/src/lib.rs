//! The provable log: opaque lines, hash tree, signed checkpoints, proofs, and their verification.
//!
//! What: everything about the ledger that an auditor must be able to trust, in one crate that depends on
//! nothing of ours, so that it can be read, built and run alone. It is synchronous and free of I/O, clock and
//! randomness; what it verifies it reads through [`source::Source`], and [`source::DirSource`] is there so
//! that a folder will do.
//!
//! The formats are other people's, so that other people's tools can check them: canonical JSON (RFC 8785),
//! the hash tree of RFC 6962, and from c2sp.org signed notes, checkpoints, tiles and proofs. Ours are only
//! the fields that bind a line to its place ([`mod@line`]), the salted commitments to content kept elsewhere
//! ([`content`]), and the folder that all of it is exported in ([`export`]).
//!
//! What not: it does not store, it keeps no secret but a signing key handed to it, and it cannot prove what
//! nobody logged: completeness at the source is the product's promise, not the log's.

pub mod checkpoint;
pub mod content;
pub mod events;
pub mod export;
pub mod fuzz;
pub mod hash;
pub mod jcs;
pub mod line;
pub mod note;
pub mod proof;
pub mod source;
pub mod tile;
pub mod tree;
pub mod verify;

pub use checkpoint::Checkpoint;
pub use hash::Hash;
pub use note::{Ed25519Signer, Sign, VerifierKey};
pub use tree::Frontier;
