//! Bytes to messages, statement to action.
//!
//! Two halves that do not know each other: [`postgres`] turns the bytes of the PostgreSQL wire protocol into
//! typed views that borrow them (and writes what a gateway itself has to say), [`sql`] turns statement text
//! into facts that a policy can judge. Both are total over hostile input and do no I/O: sockets, clocks and
//! randomness belong to the callers.

pub mod postgres;
pub mod sql;
