//! Statements judged and then really run: what a server does is the measure of what was judged.
//!
//! A scratch server of any supported version ([`Server`]), a client that sends a text as it stands and keeps every
//! command tag ([`Client`]), a session that is followed and judged as the door does it ([`Follower`]), and a second
//! connection that watches from outside what the first one did ([`Watch`]). On these stand the run of PostgreSQL's own
//! regression suite ([`suite`]) and the corpus of evasions.
//!
//! Everything here blocks and runs on threads with the stack that parsing needs ([`on_a_large_stack`]).

pub mod client;
pub mod follow;
pub mod obtain;
pub mod script;
pub mod server;
pub mod suite;
mod tags;
pub mod watch;

pub use client::{Answer, Client, ServerError};
pub use follow::Follower;
pub use server::Server;
pub use watch::Watch;

/// Runs on a thread with the stack that parsing needs.
///
/// # Errors
/// When the system grants no thread, or the work panicked.
pub fn on_a_large_stack<T: Send + 'static>(
    work: impl FnOnce() -> anyhow::Result<T> + Send + 'static,
) -> anyhow::Result<T> {
    let thread = std::thread::Builder::new().stack_size(countersign_wire::sql::STACK_BYTES).spawn(work)?;
    thread.join().map_err(|_| anyhow::anyhow!("the work panicked"))?
}
