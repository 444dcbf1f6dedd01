//! Verdicts that stay as they are.
//!
//! The same statement is executed in a session over and over. What it was allowed by is remembered together with
//! everything that the verdict followed from: what the session stands on (made anew whenever anything is decided, so
//! bundle, grant, and who is disabled are in it), the actions, and the circumstances that the door told. The engine's own
//! circumstances are the session's; the instant is none of them, so what depends on it is not remembered. All of it is
//! compared by identity: an equal value that was made anew is judged anew.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use countersign_core::ActionName;
use countersign_core::question::Context;

use super::attempt::Attempt;
use crate::line::{Policies, Statement};

/// How many verdicts of one session are remembered. Beyond, the oldest is forgotten.
const KEPT_MAX: usize = 16;

/// What was allowed in a session.
#[derive(Debug, Default)]
pub(crate) struct Again(Mutex<VecDeque<Known>>);

#[derive(Debug)]
struct Known {
    statement: Arc<Statement>,
    actions: Arc<[ActionName]>,
    context: Arc<Context>,
    allowed: Allowed,
}

/// By what something was allowed, and how it is recorded.
#[derive(Clone, Debug)]
pub(crate) struct Allowed {
    pub(super) policies: Arc<Policies>,
    pub(super) alongside: bool,
}

impl Again {
    /// By what this was allowed before.
    pub(crate) fn find(&self, statement: &Arc<Statement>, attempt: &Attempt) -> Option<Allowed> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let found = known.iter().find(|known| {
            Arc::ptr_eq(&known.statement, statement)
                && Arc::ptr_eq(&known.context, &attempt.context)
                && Arc::ptr_eq(&known.actions, &attempt.actions)
        });
        found.map(|known| known.allowed.clone())
    }

    /// Forgets everything: what the session says of itself has changed.
    pub(crate) fn forget(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// Remembers by what this was allowed.
    pub(super) fn keep(&self, statement: &Arc<Statement>, attempt: &Attempt, allowed: Allowed) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.retain(|known| Arc::ptr_eq(&known.statement, statement));
        if known.len() >= KEPT_MAX {
            known.pop_back();
        }
        known.push_front(Known {
            statement: Arc::clone(statement),
            actions: Arc::clone(&attempt.actions),
            context: Arc::clone(&attempt.context),
            allowed,
        });
    }
}
