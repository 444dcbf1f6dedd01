//! Classification of SQL, judged by data: `tests/sql_corpus` holds statements with what they really do.
//!
//! The corpus is judged offline against a catalogue that was taken from a live server, and, where PostgreSQL 15 is
//! installed, against that server itself, which also says whether a read really changed nothing.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test stops at the first surprise"
)]

mod cache;
mod catalogue;
mod corpus;
mod fixture;
mod fuzz;
mod live;
#[path = "../random/mod.rs"]
mod random;
mod reach;
