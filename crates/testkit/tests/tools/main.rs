//! Clients of tools through the door, before a server that remembers all that reached it.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test stops at the first surprise"
)]

mod budgets;
mod database;
mod desk;
mod evasions;
mod oauth;
mod program;
mod story;
