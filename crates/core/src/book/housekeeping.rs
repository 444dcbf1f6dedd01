//! What the house writes down by itself: what time has ended, and what a gateway that is gone left open.

use super::requests::escalation;
use super::{Book, Deadline, Event};
use crate::grant;
use crate::request::{self, State, Withdrawal};
use crate::session::{self, Ending};
use crate::time::At;

/// Everything that is over at `now` and not written down as over.
pub(super) fn sweep(book: &Book, now: At) -> Vec<Event> {
    let due = book.deadlines.iter().take_while(|(at, _)| *at <= now);
    due.filter_map(|(_, deadline)| match deadline {
        Deadline::Grant(grant) => Some(Event::Grant(grant::Event::Expired { grant: *grant })),
        Deadline::Request(id) => book.request(*id).map(|found| Event::Request(due_of(found, now))),
    })
    .collect()
}

fn due_of(request: &request::Request, now: At) -> request::Event {
    let escalates = request.state == State::Pending
        && now < request.lapses_at
        && escalation(request, request.escalated).is_some_and(|at| at <= now);
    if escalates {
        request::Event::Escalated { request: request.id, step: request.escalated.saturating_add(1) }
    } else {
        request::Event::Lapsed { request: request.id }
    }
}

/// Ends every session of a gateway that is gone. Nobody waits on a wire that is no longer there.
pub(super) fn restart(book: &Book) -> Vec<Event> {
    let mut events = Vec::new();
    for session in book.sessions() {
        let id = session.opening.session;
        events.extend(book.left_behind(id, Withdrawal::GatewayRestarted));
        events.push(Event::Session(session::Event::Closed { session: id, why: Ending::Gateway }));
    }
    events
}
