//! Threads for sessions: as many as there are processors, each with a runtime of its own.
//!
//! A gateway does little for each statement, and does it often. On a runtime that moves work between its threads, a
//! good part of that little would be threads waking each other; here a session stays where it began, and whoever has
//! the fewest sessions gets the next one. Everything else (the console, the ledger's followers) runs on the main runtime.

use anyhow::{Context as _, Result};
use tokio::runtime::{Builder, Handle};
use tokio::sync::watch;

/// The threads. They end, and whatever still runs on them, when this is dropped.
pub struct Threads {
    /// Their runtimes.
    pub handles: Vec<Handle>,
    _alive: watch::Sender<()>,
}

impl Threads {
    /// Starts one for each processor, with so many bytes of stack. That is address space, not memory.
    ///
    /// # Errors
    /// The system grants no thread.
    pub fn start(stack_bytes: usize) -> Result<Self> {
        let count = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let (alive, watching) = watch::channel(());
        let mut handles = Vec::with_capacity(count);
        for number in 0..count {
            let runtime = Builder::new_current_thread()
                .enable_all()
                .build()
                .context("could not start the runtime of a thread")?;
            handles.push(runtime.handle().clone());
            let mut watching = watching.clone();
            std::thread::Builder::new()
                .name(format!("sessions-{number}"))
                .stack_size(stack_bytes)
                .spawn(move || runtime.block_on(async move { while watching.changed().await.is_ok() {} }))
                .context("could not start a thread for sessions")?;
        }
        Ok(Self { handles, _alive: alive })
    }
}
