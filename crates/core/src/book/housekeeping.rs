//! What the house writes down by itself: what time has ended, and what a gateway that is gone left open.

use std::collections::BTreeSet;

use super::receipts::voided;
use super::requests::escalations;
use super::{Book, Deadline, Event};
use crate::grant;
use crate::ids::RequestId;
use crate::request::{self, Request, State, Voidance, Withdrawal};
use crate::session::{self, Ending};
use crate::time::At;

/// Everything that is over at `now` and not written down as over. Once applied, nothing is due at `now`.
pub(super) fn sweep(book: &Book, now: At) -> Vec<Event> {
    let (mut events, mut over) = (Vec::new(), BTreeSet::new());
    for (_, deadline) in book.deadlines.iter().take_while(|(at, _)| *at <= now) {
        match deadline {
            Deadline::Grant(grant) => {
                events.push(Event::Grant(grant::Event::Expired { grant: *grant }));
                let cut = book.stood_on(*grant).map(|found| found.id).filter(|id| over.insert(*id));
                events.extend(cut.map(|id| voided(id, Voidance::GrantOver)));
            }
            Deadline::Request(id) if over.contains(id) => {}
            Deadline::Request(id) => {
                let found = book.request(*id);
                events.extend(found.into_iter().flat_map(|found| due_of(found, now, &mut over)));
            }
        }
    }
    events
}

fn due_of(request: &Request, now: At, over: &mut BTreeSet<RequestId>) -> Vec<Event> {
    let id = request.id;
    if request.state != State::Pending || request.lapses_at <= now {
        over.insert(id);
        return vec![Event::Request(request::Event::Lapsed { request: id })];
    }
    let due = escalations(request).iter().filter(|at| **at <= now).count();
    let due = u32::try_from(due).unwrap_or(u32::MAX);
    (request.escalated..due)
        .map(|done| Event::Request(request::Event::Escalated { request: id, step: done.saturating_add(1) }))
        .collect()
}

/// Ends every session of a gateway that is gone. Nobody waits on a wire that is no longer there.
pub(super) fn restart(book: &Book) -> Vec<Event> {
    let mut events = book.left_behind(|_| true, Withdrawal::GatewayRestarted);
    events.extend(book.sessions().map(|session| {
        let session = session.opening.session;
        Event::Session(session::Event::Closed { session, why: Ending::Gateway })
    }));
    events
}
