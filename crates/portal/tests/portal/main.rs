//! The portal as a whole: the real engine on a store in a temporary folder, the sample bundle, and calls.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on has failed"
)]

mod agents;
mod document;
mod hostile;
mod house;
mod identity;
mod issuance;
mod jobs;
mod matrix;
mod oauth;
mod scim;
mod serving;
mod setup;
mod story;
mod streams;
mod trials;
mod views;
mod workbenches;
