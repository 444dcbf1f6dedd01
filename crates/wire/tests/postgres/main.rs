//! The PostgreSQL wire protocol against golden bytes, recorded sessions, a model server and arbitrary input.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test stops at the first surprise"
)]

mod corpus;
mod describe;
mod framing;
mod golden;
mod malformed;
mod model;
#[path = "../random/mod.rs"]
mod random;
mod recorded;
mod roundtrip;
mod scram;
mod track;
mod vectors;
