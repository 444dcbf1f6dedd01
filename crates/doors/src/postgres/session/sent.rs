//! What is to become of the answers to what was sent to the server, by ticket.

use std::collections::VecDeque;
use std::sync::Arc;

use countersign_wire::postgres::encode::Report;
use countersign_wire::postgres::track::Ticket;

use super::Portal;
use super::acts::ActId;

/// What is to become of an answer.
#[derive(Debug)]
pub(super) enum Show {
    /// The client sees it as it is.
    Client,
    /// It is ours: a question of our own.
    Own,
    /// It is ours, unless it is an error: that is the client's.
    Quiet,
    /// It is ours: the types of a portal's parameters, which are kept for it. An error is the client's.
    Types(Arc<Portal>),
    /// It is an error, which the client reads in our words.
    Refusal(Box<Report>),
    /// The client sees it, but not its end, until it is known whether that stands.
    Capture,
}

/// A message that waits for its answer.
#[derive(Debug)]
pub(super) struct Sent {
    /// The action it belongs to.
    pub(super) act: Option<ActId>,
    /// Whether the action ends with the answer to this message.
    pub(super) ends: bool,
    /// What is to become of the answer.
    pub(super) show: Show,
}

/// A piece of an answer: whose, and where it goes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ticketed {
    pub(super) act: Option<ActId>,
    pub(super) shown: bool,
}

/// Messages by ticket. Tickets are counted without gaps, so the oldest one's number is enough.
#[derive(Debug, Default)]
pub(super) struct SentQueue {
    first: u64,
    queue: VecDeque<Sent>,
}

impl SentQueue {
    /// A message was sent under this ticket, which follows the last one.
    pub(super) fn push(&mut self, ticket: Ticket, sent: Sent) {
        if self.queue.is_empty() {
            self.first = ticket.number();
        }
        self.queue.push_back(sent);
    }

    /// The message whose answer comes next.
    pub(super) fn front(&self) -> Option<&Sent> {
        self.queue.front()
    }

    /// The message with this number.
    pub(super) fn get(&mut self, number: u64) -> Option<&mut Sent> {
        self.queue.get_mut(usize::try_from(number.checked_sub(self.first)?).ok()?)
    }

    /// Whether something of an action is among them.
    pub(super) fn has_acts(&self) -> bool {
        self.queue.iter().any(|sent| sent.act.is_some())
    }

    /// The action whose answer, or the rest of it, comes next.
    pub(super) fn first_act(&self) -> Option<ActId> {
        self.queue.iter().find_map(|sent| sent.act)
    }

    /// Takes out the message with this number, which is the oldest; older ones, which were never answered, are given up.
    pub(super) fn take(&mut self, number: u64) -> Option<Sent> {
        while self.first < number {
            self.queue.pop_front()?;
            self.first += 1;
        }
        let sent = self.queue.pop_front();
        self.first += 1;
        sent
    }
}
