//! What becomes of the transactions in which receipts were used.
//!
//! A statement that is done may still be undone: by a ROLLBACK, by going back to a savepoint, by a COMMIT that fails. What was
//! approved is not over before that is known, so a request stays in mind until the last of its transactions is, and a
//! session that goes away without a word leaves an end that nobody knows.

use super::{Book, Event};
use crate::ids::{RequestId, SessionId};
use crate::refusal::Refusal;
use crate::request::{Event as RequestEvent, Fate, Outcome, Request, State, Transaction, Use};

pub(super) fn conclude(
    book: &Book,
    request: RequestId,
    session: SessionId,
    from: u32,
    fate: Fate,
) -> Result<Vec<Event>, Refusal> {
    let found = book.request(request).ok_or(Refusal::NoSuchRequest(request))?;
    if !found.uses.iter().any(|used| used.is_of(session, from)) {
        return Err(Refusal::NothingOpen(request, session));
    }
    Ok(vec![Event::Request(RequestEvent::Concluded { request, session, from, fate })])
}

impl Request {
    /// A use has ended. It stands where `transaction` says, if it did something in one.
    pub(super) fn settle(&mut self, outcome: &Outcome, transaction: Option<Transaction>) {
        let is_script = self.steps().is_some();
        let State::Approved(receipt) = &mut self.state else { return };
        let (session, number) = (receipt.running.take(), receipt.used);
        receipt.settle_rows(outcome);
        receipt.outcome = Some(outcome.clone());
        if let Some(progress) = &mut self.progress {
            progress.outcomes.push(outcome.clone());
        }
        self.uses.retain(|used| is_script || used.is_open());
        if let (Some(session), Some(transaction)) = (session, transaction) {
            self.uses.push(Use { number, session, transaction });
        }
    }

    /// The transaction of these uses is over. Of those that are, only the last use of all is kept in mind, and all steps of
    /// a script.
    pub(super) fn conclude(&mut self, session: SessionId, from: u32, fate: Fate) {
        for used in self.uses.iter_mut().filter(|used| used.is_of(session, from)) {
            used.transaction = Transaction::Over(fate);
        }
        let (last, is_script) = (self.uses.last().map(|last| last.number), self.steps().is_some());
        self.uses.retain(|used| is_script || used.is_open() || Some(used.number) == last);
    }

    /// The ends, which nobody knows, of transactions that sessions that are `gone` left open.
    pub(super) fn left_open(&self, gone: impl Fn(SessionId) -> bool) -> Vec<Event> {
        let mut events: Vec<Event> = Vec::new();
        let mut said: Vec<SessionId> = Vec::new();
        for used in self.uses.iter().filter(|used| used.is_open() && gone(used.session)) {
            if !said.contains(&used.session) {
                said.push(used.session);
                let (request, session, from) = (self.id, used.session, used.number);
                let fate = Fate::Unknown;
                events.push(Event::Request(RequestEvent::Concluded { request, session, from, fate }));
            }
        }
        events
    }
}

impl Use {
    /// Whether it is one of this session from the given number on, and open.
    fn is_of(&self, session: SessionId, from: u32) -> bool {
        self.is_open() && self.session == session && self.number >= from
    }
}
