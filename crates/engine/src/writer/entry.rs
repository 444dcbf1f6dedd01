//! The line of an action that may run, shared by whoever runs it and the writer.
//!
//! An action that is recorded alongside is usually done before its line is written. Then one line tells both, and the
//! ledger of reads is half as long. Which of the two came first is decided here, once: either the writer finds how the
//! action ended, or whoever runs it finds the line written and has another one written behind it.

use std::sync::{Mutex, MutexGuard, PoisonError};

use countersign_core::request::Outcome;

use super::work::Ended;

/// Where an action is in the ledger, and how it ended if its line tells that.
#[derive(Debug, Default)]
pub(crate) struct Entry(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    index: Option<u64>,
    ended: Option<Ended>,
}

impl Entry {
    /// The entry of a line that is written.
    pub(crate) fn written(index: u64) -> Self {
        Self(Mutex::new(State { index: Some(index), ended: None }))
    }

    /// The line's index; zero as long as it is not written.
    pub(crate) fn index(&self) -> u64 {
        self.state().index.unwrap_or_default()
    }

    /// How the action ended. Given back if its line can't tell: it is written, or the action was not done, which is a line
    /// of its own.
    pub(crate) fn tell(&self, ended: Ended) -> Option<Ended> {
        let mut state = self.state();
        if state.index.is_some() || !matches!(ended.outcome, Outcome::Done { .. }) {
            return Some(ended);
        }
        state.ended = Some(ended);
        None
    }

    /// The line is being written at `index`. How the action ended, if the line is to tell that. A line that is written again,
    /// because its transaction failed, tells what it told.
    pub(crate) fn write(&self, index: u64) -> Option<Ended> {
        let mut state = self.state();
        state.index = Some(index);
        state.ended.clone()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
