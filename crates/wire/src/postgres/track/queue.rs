//! The messages that wait for answers, oldest first: the server answers in order.

use std::collections::VecDeque;

use super::names::Change;
use super::{PENDING_MAX, Ticket};

/// A message that waits for (the rest of) its answer.
#[derive(Debug)]
pub(super) struct Pending<S, P> {
    pub(super) ticket: Ticket,
    pub(super) kind: Kind<S, P>,
}

#[derive(Debug)]
pub(super) enum Kind<S, P> {
    Parse(Change<S>),
    Bind(Change<P>),
    CloseStatement(Change<S>),
    ClosePortal(Change<P>),
    /// Parameter types come first, and are still to come.
    DescribeStatement,
    /// Only the row description is to come.
    Describe,
    Execute(Flow),
    /// It also ends the unnamed statement and portal.
    Query(Flow, Change<S>, Change<P>),
    FunctionCall(Flow),
    Sync,
}

/// How far the answer to something that runs has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Flow {
    /// Nothing has come.
    Start,
    /// Rows are coming.
    Rows,
    /// The server waits for copy data.
    CopyIn,
    /// The client has ended its copy data.
    CopyInEnded,
    /// Copy data is coming.
    CopyOut,
    /// Copy data has come.
    CopyOutEnded,
    /// One statement of several is done, or the only one.
    Done,
    /// An error has come; only `ReadyForQuery` is missing.
    Failed,
}

#[derive(Debug)]
pub(super) struct Queue<S, P> {
    entries: VecDeque<Pending<S, P>>,
    next_ticket: u64,
    /// How many entries may still start a copy.
    runnable: usize,
}

impl<S, P> Kind<S, P> {
    const fn is_runnable(&self) -> bool {
        matches!(self, Self::Execute(_) | Self::Query(..))
    }

    const fn flow(&self) -> Option<Flow> {
        match self {
            Self::Execute(flow) | Self::Query(flow, ..) | Self::FunctionCall(flow) => Some(*flow),
            _ => None,
        }
    }
}

impl<S, P> Queue<S, P> {
    pub(super) const fn new() -> Self {
        Self { entries: VecDeque::new(), next_ticket: 0, runnable: 0 }
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    pub(super) fn is_full(&self) -> bool {
        self.entries.len() >= PENDING_MAX
    }

    /// Whether something waits for an answer that could be that a copy starts.
    pub(super) const fn may_start_copy(&self) -> bool {
        self.runnable > 0
    }

    pub(super) fn copying_in(&self) -> bool {
        self.entries.front().and_then(|head| head.kind.flow()) == Some(Flow::CopyIn)
    }

    pub(super) fn push(&mut self, kind: Kind<S, P>) -> Ticket {
        let ticket = Ticket(self.next_ticket);
        self.next_ticket += 1;
        self.runnable += usize::from(kind.is_runnable());
        self.entries.push_back(Pending { ticket, kind });
        ticket
    }

    pub(super) fn pop(&mut self) -> Option<Pending<S, P>> {
        let entry = self.entries.pop_front()?;
        self.runnable = self.runnable.saturating_sub(usize::from(entry.kind.is_runnable()));
        Some(entry)
    }

    pub(super) fn head(&mut self) -> Option<&mut Pending<S, P>> {
        self.entries.front_mut()
    }

    /// Removes and returns the head, unless it ends a batch.
    pub(super) fn pop_in_batch(&mut self) -> Option<Pending<S, P>> {
        match self.entries.front()?.kind {
            Kind::Sync => None,
            _ => self.pop(),
        }
    }

    /// The number of the oldest message that waits, or of the next one.
    pub(super) fn head_number(&self) -> u64 {
        self.entries.front().map_or(self.next_ticket, |head| head.ticket.number())
    }

    /// The head has started a copy: the server ignores the `Sync`s that are on their way behind it. Says
    /// whether there were any, or `None` if anything else is on its way.
    pub(super) fn swallow_syncs(&mut self) -> Option<bool> {
        let only_syncs = self.entries.iter().skip(1).all(|entry| matches!(entry.kind, Kind::Sync));
        let had_syncs = self.entries.len() > 1;
        self.entries.truncate(1);
        only_syncs.then_some(had_syncs)
    }
}
