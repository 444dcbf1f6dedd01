//! Doors: one client session of one protocol, from the first byte to the last.
//!
//! [`flow`] is what every door does, written once: ask, hold, record, forward. It works on the engine's proofs, so
//! that nothing can be forwarded that was not recorded, or released before its record is durable. [`postgres`] and [`mcp`]
//! are doors: they decode, keep the order of answers, and find the words; they know nothing of policy.
//!
//! What not: no door decides anything, keeps a list of who may do what, or writes the ledger.

pub mod flow;
pub mod mcp;
pub mod postgres;
mod words;
