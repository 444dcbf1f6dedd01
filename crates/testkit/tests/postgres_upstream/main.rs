//! How the gateway reaches the servers that it protects: what it demands of their certificates, how its accounts prove
//! themselves, which of several servers it chooses, and how long it waits for each.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test stops at the first surprise")]

mod proofs;
mod servers;
mod way;
