//! A client that holds no grant and asks for one as it connects (`countersign.ask`), and perhaps waits for the answer
//! (`countersign.wait`) where it is: between the proof of who it is and the first word of a session.
//!
//! It is told by notices what it waits for. It gives up by going away, and what it has asked for is withdrawn then. How many
//! may wait is limited, because each of them is a connection that does nothing.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use countersign_core::request::Withdrawal;
use countersign_core::{At, PrincipalId, RoleId, Span};
use countersign_engine::{Answer, AskAccess, AtDoor, Client, Refused, RefusedCode};
use countersign_wire::postgres::encode::{Report, Severity};

use super::startup::Wish;
use super::stream::{GOODBYE, Link};
use super::{KIND, Shared, wording};
use crate::flow;

/// How many connections of one principal may wait for an answer at once.
const WAITING_MAX: u32 = 4;
/// How many of all of them.
const WAITING_ALL_MAX: u32 = 256;
/// How much a client may send before it is let in, in bytes: enough for one that is ahead of itself.
const AHEAD_BYTES_MAX: usize = 16 * 1024;
/// For how long a role is asked for, if nothing is said.
const LASTING: Span = Span::minutes(30);

/// Who waits for an answer at the door.
#[derive(Default)]
pub(crate) struct Askers(Mutex<BTreeMap<PrincipalId, u32>>);

/// A place among those who wait.
pub(crate) struct Place {
    askers: Arc<Askers>,
    principal: PrincipalId,
}

impl Askers {
    fn enter(self: &Arc<Self>, principal: &PrincipalId) -> Option<Place> {
        let mut waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let all: u32 = waiting.values().sum();
        let mine = waiting.get(principal).copied().unwrap_or(0);
        if all >= WAITING_ALL_MAX || mine >= WAITING_MAX {
            return None;
        }
        waiting.insert(principal.clone(), mine + 1);
        drop(waiting);
        Some(Place { askers: Arc::clone(self), principal: principal.clone() })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut waiting = self.askers.0.lock().unwrap_or_else(PoisonError::into_inner);
        match waiting.get_mut(&self.principal) {
            Some(mine) if *mine > 1 => *mine -= 1,
            _ => drop(waiting.remove(&self.principal)),
        }
    }
}

/// Why there is no grant after all.
pub(crate) enum NoGrant {
    /// This is to be said to the client.
    Said(Box<Report>),
    /// It is gone.
    Gone,
}

/// Asks for the role that a client wants, and waits for the answer if it wants to.
///
/// # Errors
/// There is no grant, and why.
pub(crate) async fn obtain(
    link: &mut Link,
    shared: &Shared,
    (principal, client): (&PrincipalId, &Client),
    (wish, role): (&Wish, RoleId),
) -> Result<(), NoGrant> {
    let place = match wish.wait {
        None => None,
        Some(_) => Some(shared.askers.enter(principal).ok_or_else(|| said(&crowded()))?),
    };
    let ask = AskAccess {
        role,
        lasting: wish.lasting.unwrap_or(LASTING),
        purpose: wish.reason.clone().unwrap_or_default(),
        ticket: wish.ticket.clone(),
    };
    let asked = shared.engine.ask_at_door(principal, (KIND, client), ask).await;
    let asked = asked.map_err(|refused| said(&with_settings(refused)))?;
    let Some(span) = wish.wait else { return Err(NoGrant::Said(Box::new(asked_for(&asked)))) };
    let answer = wait(link, shared, asked, shared.engine.now().plus(span)).await;
    drop(place);
    answer
}

async fn wait(link: &mut Link, shared: &Shared, mut asked: AtDoor, until: At) -> Result<(), NoGrant> {
    let until = until.min(asked.lapses_at());
    loop {
        let now = shared.engine.now();
        tell(link, &waits(&asked, until, now));
        let step = tokio::select! {
            biased;
            () = gone(link) => Step::Gone,
            () = shared.stopping.cancelled() => Step::Stopping,
            answer = asked.answer_by(until.min(now.plus(flow::REMIND))) => answer.map_or(Step::Still, Step::Answered),
        };
        match step {
            Step::Answered(Answer::Approved) => return Ok(()),
            Step::Answered(answer) => return Err(NoGrant::Said(Box::new(denied(&answer)))),
            Step::Gone => {
                asked.withdraw(Withdrawal::Disconnected).await;
                return Err(NoGrant::Gone);
            }
            Step::Stopping => {
                let report = wording::fatal(wording::UNAVAILABLE, "the gateway is stopping");
                return Err(NoGrant::Said(Box::new(
                    report.hint("what you asked for is asked still; connect again"),
                )));
            }
            Step::Still if until <= shared.engine.now() => {
                return Err(NoGrant::Said(Box::new(asked_for(&asked))));
            }
            Step::Still => {}
        }
    }
}

/// What comes first.
enum Step {
    Answered(Answer),
    Still,
    Gone,
    Stopping,
}

/// Resolves when the client has gone, or says more than somebody who waits.
async fn gone(link: &mut Link) {
    loop {
        if link.drain().await.is_err() || link.input.first() == Some(&GOODBYE) {
            return;
        }
        match link.fill().await {
            Ok(0) | Err(_) => return,
            Ok(_) if link.input.len() > AHEAD_BYTES_MAX => return,
            Ok(_) => {}
        }
    }
}

fn tell(link: &mut Link, report: &Report) {
    // A notice that can't be written is not said.
    let _ = report.encode(&mut link.output);
}

fn waits(asked: &AtDoor, until: At, now: At) -> Report {
    let left = crate::words::left(until.since(now));
    wording::notice(format!("your access waits for an approval by {}; {left} left", asked.asked()))
        .detail(format!("request {}", asked.id()))
        .hint(wording::clean(&format!("{}  (closing the connection withdraws it)", asked.link())))
}

/// It is asked, and nobody waits for it here.
fn asked_for(asked: &AtDoor) -> Report {
    let before =
        if asked.is_new() { "you hold no grant, so it was asked for" } else { "it is asked for already" };
    let message = format!("{before}: {} waits for an approval by {}", asked.id(), asked.asked());
    let hint = format!("connect again when it is approved: {}", asked.link());
    wording::fatal(wording::NO_ACCESS, message).hint(wording::clean(&hint))
}

fn denied(answer: &Answer) -> Report {
    wording::fatal(wording::NO_ACCESS, crate::words::unanswered(answer))
}

fn said(refused: &Refused) -> NoGrant {
    NoGrant::Said(Box::new(wording::refused(Severity::Fatal, wording::NO_ACCESS, refused)))
}

fn crowded() -> Refused {
    Refused::new(RefusedCode::Unavailable, "too many connections wait for an answer already")
        .hint("wait in one of them, or connect without `countersign.wait`")
}

/// A refusal in the words of somebody who asks by settings.
fn with_settings(refused: Refused) -> Refused {
    if refused.code != RefusedCode::Invalid {
        return refused;
    }
    let hint =
        "for example PGOPTIONS='-c countersign.ask=ROLE -c countersign.reason=why -c countersign.wait=5m'";
    Refused { hint: Some(hint.to_owned()), ..refused }
}
