//! Bytes to messages, statement to action.
//!
//! Parts that do not know each other: [`mcp`] reads messages of the Model Context Protocol, [`postgres`] turns the bytes of the PostgreSQL wire protocol into
//! typed views that borrow them (and writes what a gateway itself has to say), [`sql`] turns statement text
//! into facts that a policy can judge. On the first stands [`mask`], which covers values in what a server answers. All
//! are total over hostile input and do no I/O: sockets, clocks and randomness belong to the callers.

pub mod mask;
pub mod mcp;
pub mod postgres;
pub mod sql;
