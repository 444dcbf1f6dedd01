//! Deciding about requests.

use std::sync::Arc;

use super::{Book, Deadline, Event, Facts, REMEMBERED_MAX, Standing, permitted};
use crate::catalogue::Rule;
use crate::grant;
use crate::ids::{Digest, GrantId, PrincipalId, RequestId, SessionId};
use crate::refusal::Refusal;
use crate::request::{
    Approval, Ask, Command, Event as RequestEvent, Outcome, Receipt, Request, Signature, State, Voidance,
    Withdrawal,
};
use crate::ruling::{Gate, Verdict};
use crate::time::{At, Span};

/// How long an access request that no rule holds is pending on paper, and how long its receipt lasts.
const UNGATED: Span = Span::minutes(1);

pub(super) fn decide(book: &Book, command: Command, facts: &Facts) -> Result<Vec<Event>, Refusal> {
    match command {
        Command::Ask { request, by, ask, digest, content, grant } => {
            ask_for(book, Asking { request, by, ask, digest, content, grant }, facts)
        }
        Command::Approve { request, by, digest, comment, signature, grant } => {
            approve(book, Approving { request, by, digest, comment, signature, grant }, facts)
        }
        Command::Deny { request, by, comment } => deny(book, request, by, comment, facts),
        Command::Withdraw { request, why } => withdraw(book, request, why),
        Command::Use { request, session, digest } => use_receipt(book, request, session, digest, facts),
        Command::Settle { request, outcome } => settle(book, request, outcome),
        Command::Void { request, why } => {
            book.open(request)?;
            Ok(vec![voided(request, why)])
        }
    }
}

struct Asking {
    request: RequestId,
    by: PrincipalId,
    ask: Ask,
    digest: Digest,
    content: Option<Digest>,
    grant: GrantId,
}

struct Approving {
    request: RequestId,
    by: PrincipalId,
    digest: Digest,
    comment: Option<Digest>,
    signature: Option<Signature>,
    grant: GrantId,
}

fn ask_for(book: &Book, asking: Asking, facts: &Facts) -> Result<Vec<Event>, Refusal> {
    if book.request(asking.request).is_some() {
        return Err(Refusal::Exists(asking.request.to_string()));
    }
    let in_force = book.in_force.as_ref().ok_or(Refusal::NoBundle)?;
    let person = book.acting(&asking.by)?.person.clone();
    check_ask(book, &asking, facts.now)?;
    let ruling = facts.ruling.as_ref().ok_or_else(|| Refusal::Denied("policy was not asked".into()))?;
    let gates: &[Gate] = match ruling.verdict() {
        Verdict::Allow => &[],
        Verdict::Deny(denial) => return Err(Refusal::Denied(denial.to_string())),
        Verdict::Hold(gates) => gates,
    };
    let pending_for = shortest(gates, |rule| rule.pending_for);
    let mut request = Request {
        id: asking.request,
        by: asking.by,
        person,
        ask: asking.ask,
        digest: asking.digest,
        content: asking.content,
        gates: gates.to_vec(),
        bundle: in_force.bundle,
        asked_at: facts.now,
        lapses_at: facts.now.plus(pending_for),
        locked: false,
        escalated: 0,
        approvals: Vec::new(),
        state: State::Pending,
    };
    request.locked = !book.can_be_satisfied(&request);
    let mut events = vec![Event::Request(RequestEvent::Asked {
        request: request.id,
        by: request.by.clone(),
        person: request.person.clone(),
        ask: request.ask.clone(),
        digest: request.digest,
        content: request.content,
        gates: request.gates.clone(),
        bundle: request.bundle,
        lapses_at: request.lapses_at,
        locked: request.locked,
    })];
    if request.gates.is_empty() {
        events.extend(answered(&request, asking.grant, facts.now));
    }
    Ok(events)
}

fn check_ask(book: &Book, asking: &Asking, now: At) -> Result<(), Refusal> {
    match &asking.ask {
        Ask::Access { role, lasting } => {
            let found = book.catalogue.roles.get(role).ok_or_else(|| Refusal::NoSuchRole(role.clone()))?;
            if *lasting > found.longest || lasting.0 <= 0 {
                return Err(Refusal::TooLong(role.clone(), found.longest));
            }
        }
        Ask::Act { session, .. } => {
            let found = book.session(*session).ok_or(Refusal::NoSuchSession(*session))?;
            if let Standing::Over(_) = book.standing(found, now) {
                return Err(Refusal::NoLiveGrant(found.opening.role.clone()));
            }
        }
        Ask::Apply { .. } => {
            book.deciding_user(&asking.by)?;
        }
    }
    Ok(())
}

fn approve(book: &Book, approving: Approving, facts: &Facts) -> Result<Vec<Event>, Refusal> {
    let now = facts.now;
    let request = book.may_answer(approving.request, &approving.by, facts)?;
    if request.digest != approving.digest {
        return Err(Refusal::OtherAction);
    }
    let person = book.deciding_user(&approving.by)?.clone();
    if request.approvals.iter().any(|given| given.person == person) {
        return Err(Refusal::ApprovedTwice);
    }
    if let Some(why) = ground_moved(book, request, facts) {
        return Ok(vec![voided(request.id, why)]);
    }
    let mut with_this = request.clone();
    with_this.approvals.push(Approval {
        by: approving.by.clone(),
        person: person.clone(),
        at: now,
        comment: approving.comment,
        signature: approving.signature.clone(),
    });
    let tally = book.tally(&with_this, now);
    if !tally.seats(request.approvals.len()) {
        return Err(Refusal::PlaceTaken(tally.missing()));
    }
    let mut events = vec![Event::Request(RequestEvent::Approved {
        request: request.id,
        by: approving.by,
        person,
        comment: approving.comment,
        signature: approving.signature,
    })];
    if tally.is_complete() {
        events.extend(answered(request, approving.grant, now));
    }
    Ok(events)
}

fn deny(
    book: &Book,
    request: RequestId,
    by: PrincipalId,
    comment: Option<Digest>,
    facts: &Facts,
) -> Result<Vec<Event>, Refusal> {
    book.may_answer(request, &by, facts)?;
    Ok(vec![Event::Request(RequestEvent::Denied { request, by, comment })])
}

fn withdraw(book: &Book, request: RequestId, why: Withdrawal) -> Result<Vec<Event>, Refusal> {
    book.open(request)?;
    Ok(vec![Event::Request(RequestEvent::Withdrawn { request, why })])
}

fn use_receipt(
    book: &Book,
    request: RequestId,
    session: SessionId,
    digest: Digest,
    facts: &Facts,
) -> Result<Vec<Event>, Refusal> {
    let (found, receipt) = book.receipt(request)?;
    let Ask::Act { session: waiting, .. } = &found.ask else {
        return Err(Refusal::OtherSession(request));
    };
    if *waiting != session {
        return Err(Refusal::OtherSession(request));
    }
    if receipt.running.is_some() || receipt.used >= receipt.uses || receipt.valid_until <= facts.now {
        return Err(Refusal::ReceiptSpent(request));
    }
    if digest != found.digest {
        return Err(Refusal::OtherAction);
    }
    if let Some(why) = ground_moved(book, found, facts) {
        return Ok(vec![voided(request, why)]);
    }
    if !book.tally(found, facts.now).is_complete() {
        return Ok(vec![voided(request, Voidance::ApproverNotEligible)]);
    }
    Ok(vec![Event::Request(RequestEvent::Used { request, session })])
}

fn settle(book: &Book, request: RequestId, outcome: Outcome) -> Result<Vec<Event>, Refusal> {
    let (_, receipt) = book.receipt(request)?;
    if receipt.running.is_none() {
        return Err(Refusal::ReceiptSpent(request));
    }
    Ok(vec![Event::Request(RequestEvent::Settled { request, outcome })])
}

/// The events of a request that has every yes it needs.
fn answered(request: &Request, grant: GrantId, now: At) -> Vec<Event> {
    let uses = request.gates.iter().map(|gate| gate.terms.uses).min().unwrap_or(1);
    let uses = if matches!(request.ask, Ask::Act { .. }) { uses } else { 1 };
    let valid_until = now.plus(shortest(&request.gates, |rule| rule.valid_for));
    let mut events =
        vec![Event::Request(RequestEvent::QuorumReached { request: request.id, uses, valid_until })];
    if let Ask::Access { role, lasting } = &request.ask {
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
    events
}

/// Asks again what was asked when the request was made: principal, grant, policy.
fn ground_moved(book: &Book, request: &Request, facts: &Facts) -> Option<Voidance> {
    if !book.is_enabled(&request.by) {
        return Some(Voidance::PrincipalDisabled);
    }
    if let Ask::Act { session, .. } = &request.ask {
        let standing = book.session(*session).map(|session| book.standing(session, facts.now));
        if !matches!(standing, Some(Standing::On(_))) {
            return Some(Voidance::GrantOver);
        }
    }
    let covered = facts.standing.as_ref().is_some_and(|ruling| ruling.is_covered_by(&request.gates));
    (!covered).then_some(Voidance::PolicyStricter)
}

fn voided(request: RequestId, why: Voidance) -> Event {
    Event::Request(RequestEvent::Voided { request, why })
}

fn shortest(gates: &[Gate], span: impl Fn(&Rule) -> Span) -> Span {
    gates.iter().map(|gate| span(&gate.terms)).min().unwrap_or(UNGATED)
}

impl Book {
    /// A request that waits, answered by somebody who may answer it.
    fn may_answer(&self, request: RequestId, by: &PrincipalId, facts: &Facts) -> Result<&Request, Refusal> {
        let found = self.request(request).ok_or(Refusal::NoSuchRequest(request))?;
        if found.state != State::Pending {
            return Err(Refusal::Decided(request, found.state.as_str()));
        }
        if found.lapses_at <= facts.now {
            return Err(Refusal::Decided(request, "lapsed"));
        }
        if *self.deciding_user(by)? == found.person {
            return Err(Refusal::OwnRequest);
        }
        if found.locked && !self.can_be_satisfied(found) {
            return Err(Refusal::Locked(request));
        }
        if !self.approvers(found, facts.now).contains(by) {
            return Err(Refusal::NotAnApprover(self.tally(found, facts.now).missing()));
        }
        permitted(facts)?;
        Ok(found)
    }

    /// A request that may still be given up: pending, or approved and not in use.
    fn open(&self, request: RequestId) -> Result<&Request, Refusal> {
        let found = self.request(request).ok_or(Refusal::NoSuchRequest(request))?;
        match &found.state {
            State::Pending => Ok(found),
            State::Approved(receipt) if receipt.running.is_none() && receipt.used < receipt.uses => Ok(found),
            other => Err(Refusal::Decided(request, other.as_str())),
        }
    }

    fn receipt(&self, request: RequestId) -> Result<(&Request, &Receipt), Refusal> {
        let found = self.request(request).ok_or(Refusal::NoSuchRequest(request))?;
        match &found.state {
            State::Approved(receipt) => Ok((found, receipt)),
            other => Err(Refusal::NoReceipt(request, other.as_str())),
        }
    }

    pub(super) fn apply_request(&mut self, event: &RequestEvent, at: At) {
        match event {
            RequestEvent::Asked {
                request,
                by,
                person,
                ask,
                digest,
                content,
                gates,
                bundle,
                lapses_at,
                locked,
            } => {
                let asked = Request {
                    id: *request,
                    by: by.clone(),
                    person: person.clone(),
                    ask: ask.clone(),
                    digest: *digest,
                    content: *content,
                    gates: gates.clone(),
                    bundle: *bundle,
                    asked_at: at,
                    lapses_at: *lapses_at,
                    locked: *locked,
                    escalated: 0,
                    approvals: Vec::new(),
                    state: State::Pending,
                };
                self.requests.insert(*request, Arc::new(asked));
                self.schedule_request(*request);
            }
            RequestEvent::Approved { request, by, person, comment, signature } => {
                let approval = Approval {
                    by: by.clone(),
                    person: person.clone(),
                    at,
                    comment: *comment,
                    signature: signature.clone(),
                };
                self.change_request(*request, |found| found.approvals.push(approval));
            }
            RequestEvent::QuorumReached { request, uses, valid_until } => {
                let (uses, valid_until) = (*uses, *valid_until);
                let receipt = Receipt { at, uses, used: 0, valid_until, running: None, outcome: None };
                self.change_request(*request, |found| found.state = State::Approved(receipt));
            }
            RequestEvent::Denied { request, by, comment } => {
                let state = State::Denied { by: by.clone(), at, comment: *comment };
                self.change_request(*request, |found| found.state = state);
            }
            RequestEvent::Lapsed { request } => {
                self.change_request(*request, |found| found.state = State::Lapsed { at });
            }
            RequestEvent::Withdrawn { request, why } => {
                self.change_request(*request, |found| found.state = State::Withdrawn { why: *why, at });
            }
            RequestEvent::Voided { request, why } => {
                self.change_request(*request, |found| found.state = State::Void { why: *why, at });
            }
            RequestEvent::Escalated { request, step } => {
                self.change_request(*request, |found| found.escalated = *step);
            }
            RequestEvent::Used { request, session } => {
                let session = *session;
                self.change_receipt(*request, |receipt| {
                    receipt.used = receipt.used.saturating_add(1);
                    receipt.running = Some(session);
                });
            }
            RequestEvent::Settled { request, outcome } => {
                let outcome = outcome.clone();
                self.change_receipt(*request, |receipt| {
                    receipt.running = None;
                    receipt.outcome = Some(outcome);
                });
            }
        }
    }

    pub(super) fn change_receipt(&mut self, request: RequestId, change: impl FnOnce(&mut Receipt)) {
        self.change_request(request, |found| {
            if let State::Approved(receipt) = &mut found.state {
                change(receipt);
            }
        });
    }

    fn change_request(&mut self, request: RequestId, change: impl FnOnce(&mut Request)) {
        self.unschedule_request(request);
        let Some(found) = self.requests.get_mut(&request) else { return };
        let was_closed = found.is_closed();
        let found = Arc::make_mut(found);
        change(found);
        if found.is_closed() && !was_closed {
            self.closed.push_back(request);
        }
        self.schedule_request(request);
        if self.closed.len() > REMEMBERED_MAX
            && let Some(oldest) = self.closed.pop_front()
        {
            self.unschedule_request(oldest);
            self.requests.remove(&oldest);
        }
    }

    fn schedule_request(&mut self, request: RequestId) {
        if let Some(at) = self.request(request).and_then(next_of) {
            self.deadlines.insert((at, Deadline::Request(request)));
        }
    }

    fn unschedule_request(&mut self, request: RequestId) {
        if let Some(at) = self.request(request).and_then(next_of) {
            self.deadlines.remove(&(at, Deadline::Request(request)));
        }
    }
}

/// When time next changes something about `request`.
fn next_of(request: &Request) -> Option<At> {
    match &request.state {
        State::Pending => {
            let step = escalation(request, request.escalated);
            Some(step.map_or(request.lapses_at, |at| at.min(request.lapses_at)))
        }
        State::Approved(receipt) if receipt.running.is_none() && receipt.used < receipt.uses => {
            Some(receipt.valid_until)
        }
        State::Approved(_)
        | State::Denied { .. }
        | State::Lapsed { .. }
        | State::Withdrawn { .. }
        | State::Void { .. } => None,
    }
}

/// When escalation step `done + 1` is due: all gates' steps, in the order of time.
pub(super) fn escalation(request: &Request, done: u32) -> Option<At> {
    let steps = request.gates.iter().flat_map(|gate| &gate.terms.escalate);
    let mut times: Vec<At> = steps.map(|step| request.asked_at.plus(step.after)).collect();
    times.sort_unstable();
    times.get(done as usize).copied()
}
