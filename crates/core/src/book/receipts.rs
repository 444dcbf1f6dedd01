//! Receipts: what a complete quorum gives, and what is asked again before it is used.
//!
//! A yes is said about a principal, a grant, a policy and a meaning. All of it is asked again when the yes
//! counts and when it is used; if any of it has moved, the request ends and nothing runs.

use super::{Book, Event, Facts, Standing};
use crate::catalogue::Rule;
use crate::envelope::{Claim, Terms};
use crate::grant;
use crate::ids::{GrantId, PrincipalId, RequestId, ResourceId, SessionId};
use crate::refusal::Refusal;
use crate::request::{
    Ask, Event as RequestEvent, Outcome, Receipt, Request, State, Transaction, Voidance, Withdrawal,
};
use crate::ruling::Gate;
use crate::session::{Ending, Opening, Session};
use crate::time::{At, Span};

/// How long a request that no rule holds is pending on paper, and how long its receipt lasts.
const UNGATED: Span = Span::minutes(1);

/// The events of a request that has every yes it needs, each with what was said beside it.
pub(super) fn answered(
    book: &Book,
    request: &Request,
    said: &[Terms],
    grant: GrantId,
    now: At,
) -> Result<Vec<Event>, Refusal> {
    let given = request.given(said);
    let (uses, envelope, valid_until) = (given.uses, given.envelope, now.plus(given.valid_for));
    let reached = RequestEvent::QuorumReached { request: request.id, uses, valid_until, envelope };
    let mut events = vec![Event::Request(reached)];
    if let Ask::Access { role, lasting } = &request.ask {
        book.unused(grant)?;
        book.heard(&request.by)?;
        events.push(Event::Grant(grant::Event::Issued {
            grant,
            request: request.id,
            principal: request.by.clone(),
            person: request.person.clone(),
            role: role.clone(),
            not_before: now,
            not_after: now.plus(*lasting),
        }));
    }
    Ok(events)
}

pub(super) fn use_receipt(
    book: &Book,
    request: RequestId,
    session: SessionId,
    claim: &Claim,
    facts: &Facts,
) -> Result<Vec<Event>, Refusal> {
    let (found, receipt) = book.receipt(request)?;
    let using = bound_to(book, found, receipt, session)?;
    if !receipt.is_open() || receipt.valid_until <= facts.now {
        return Err(Refusal::ReceiptSpent(request));
    }
    let rows = found.covers(receipt, claim)?;
    if using.end_ordered.is_some() {
        return Err(Refusal::SessionEnding(session));
    }
    if using.paused.is_some() {
        return Err(Refusal::SessionPaused(session));
    }
    if let Some(over) = ground_moved(book, found, Some(using), facts)? {
        return Ok(vec![over]);
    }
    if !book.tally(found, facts.now).is_complete() {
        return Ok(vec![voided(request, Voidance::ApproverNotEligible)]);
    }
    Ok(vec![Event::Request(RequestEvent::Used { request, session, rows })])
}

pub(super) fn settle(
    book: &Book,
    request: RequestId,
    outcome: Outcome,
    transaction: Option<Transaction>,
) -> Result<Vec<Event>, Refusal> {
    let (found, receipt) = book.receipt(request)?;
    if receipt.running.is_none() {
        return Err(Refusal::ReceiptSpent(request));
    }
    Ok(book.settled(found, receipt, outcome, transaction))
}

/// Asks again what was asked when the request was made, and says how it ends if that has moved.
pub(super) fn moved_under(book: &Book, request: &Request, facts: &Facts) -> Result<Option<Event>, Refusal> {
    let session = match &request.ask {
        Ask::Act { session, .. } => book.session(*session),
        Ask::Access { .. } | Ask::Apply { .. } | Ask::Script { .. } => None,
    };
    ground_moved(book, request, session, facts)
}

pub(super) fn voided(request: RequestId, why: Voidance) -> Event {
    Event::Request(RequestEvent::Voided { request, why })
}

/// How long a yes under these gates may be used.
pub(crate) fn valid_for(gates: &[Gate]) -> Span {
    shortest(gates, |rule| rule.valid_for)
}

pub(super) fn shortest(gates: &[Gate], span: impl Fn(&Rule) -> Span) -> Span {
    gates.iter().map(|gate| span(&gate.terms)).min().unwrap_or(UNGATED)
}

/// The session that would use the receipt, if the receipt is bound to it: for a single use the session that waits, for
/// several or an envelope any session of the same principal on the same resource in the same role. A script begins in any
/// of these, and goes on in the one that it began in.
fn bound_to<'a>(
    book: &'a Book,
    request: &Request,
    receipt: &Receipt,
    session: SessionId,
) -> Result<&'a Session, Refusal> {
    let other = || Refusal::OtherSession(request.id);
    let is_bound = match &request.ask {
        Ask::Act { session: waiting, .. } => receipt.outlives_its_session() || *waiting == session,
        Ask::Script { .. } => {
            let begun = request.progress.as_ref().and_then(|progress| progress.session);
            begun.is_none_or(|begun| begun == session)
        }
        Ask::Access { .. } | Ask::Apply { .. } => false,
    };
    let Some((grant, resource)) = request.stands_on().filter(|_| is_bound) else { return Err(other()) };
    let using = book.session(session).ok_or(Refusal::NoSuchSession(session))?;
    let same_role = book.grant(grant).is_none_or(|grant| grant.role == using.opening.role);
    if using.opening.principal != request.by || using.opening.resource != *resource || !same_role {
        return Err(other());
    }
    Ok(using)
}

fn ground_moved(
    book: &Book,
    request: &Request,
    session: Option<&Session>,
    facts: &Facts,
) -> Result<Option<Event>, Refusal> {
    let why = |why| Ok(Some(voided(request.id, why)));
    if !book.is_enabled(&request.by) {
        return why(Voidance::PrincipalDisabled);
    }
    if book.person(&request.by) != Some(&request.person) {
        return why(Voidance::MeaningChanged);
    }
    match &request.ask {
        Ask::Access { role, lasting } => {
            if book.catalogue.roles.get(role).is_none_or(|role| *lasting > role.longest) {
                return why(Voidance::PolicyStricter);
            }
        }
        Ask::Script { grant, resource, .. } if session.is_none() => {
            if !book.carries_script(*grant, &request.by, resource, facts.now) {
                return why(Voidance::GrantOver);
            }
        }
        Ask::Act { grant, .. } | Ask::Script { grant, .. } => {
            match session.map(|found| (found, book.standing(found, facts.now))) {
                None | Some((_, Standing::Over(Ending::Kill))) => {
                    let why = Withdrawal::SessionEnded;
                    return Ok(Some(Event::Request(RequestEvent::Withdrawn { request: request.id, why })));
                }
                Some((_, Standing::Over(Ending::Policy))) => return why(Voidance::PolicyStricter),
                Some((_, Standing::Over(_))) => return why(Voidance::GrantOver),
                Some((found, Standing::On(_))) if !book.carries(*grant, &found.opening, facts.now) => {
                    return why(Voidance::GrantOver);
                }
                Some((_, Standing::On(_))) => {}
            }
        }
        Ask::Apply { .. } => {}
    }
    let covered = book.current(facts.standing.as_ref())?.is_covered_by(&request.gates);
    Ok((!covered).then(|| voided(request.id, Voidance::PolicyStricter)))
}

impl Book {
    /// Whether `grant` itself carries a session with this opening at `now`.
    ///
    /// A session goes on under another grant when one ends; an action that waits does not: what the approver
    /// sees is the grant and the purpose behind it.
    pub(super) fn carries(&self, grant: GrantId, opening: &Opening, now: At) -> bool {
        self.grant(grant).is_some_and(|found| {
            found.is_live(now) && found.principal == opening.principal && found.role == opening.role
        })
    }

    /// Whether `grant` carries a script of `by` on `resource` at `now`, in whatever session that will be run.
    pub(super) fn carries_script(
        &self,
        grant: GrantId,
        by: &PrincipalId,
        resource: &ResourceId,
        now: At,
    ) -> bool {
        self.is_enabled(by)
            && self.grant(grant).is_some_and(|found| {
                found.is_live(now) && found.principal == *by && self.role_reaches(&found.role, resource)
            })
    }

    /// The open requests for actions that stand on `grant`.
    pub(super) fn stood_on(&self, grant: GrantId) -> impl Iterator<Item = &Request> {
        self.requests().filter(move |request| {
            let stands = request.stands_on().is_some_and(|(one, _)| one == grant);
            stands && super::requests::is_open(request)
        })
    }

    /// The ends of the actions that wait on `grant`, when it ends.
    pub(super) fn cut(&self, grant: GrantId) -> Vec<Event> {
        self.stood_on(grant).map(|request| voided(request.id, Voidance::GrantOver)).collect()
    }

    /// The end of a use. The uses that are left end with the grant, if that ended while this one ran, and those of a script
    /// with a step that did not end well.
    pub(super) fn settled(
        &self,
        request: &Request,
        receipt: &Receipt,
        outcome: Outcome,
        transaction: Option<Transaction>,
    ) -> Vec<Event> {
        let id = request.id;
        let stops = request.steps().is_some() && !matches!(outcome, Outcome::Done { .. });
        let mut settled = receipt.clone();
        settled.settle_rows(&outcome);
        let mut events = vec![Event::Request(RequestEvent::Settled { request: id, outcome, transaction })];
        let Some((grant, _)) = request.stands_on().filter(|_| !settled.is_spent()) else { return events };
        let ended = self.grant(grant).is_none_or(|found| found.state != grant::State::Live);
        if ended {
            events.push(voided(id, Voidance::GrantOver));
        } else if stops {
            events.push(voided(id, Voidance::Stopped));
        }
        events
    }

    fn receipt(&self, request: RequestId) -> Result<(&Request, &Receipt), Refusal> {
        let found = self.request(request).ok_or(Refusal::NoSuchRequest(request))?;
        match &found.state {
            State::Approved(receipt) => Ok((found, receipt)),
            other => Err(Refusal::NoReceipt(request, other.as_str())),
        }
    }
}
