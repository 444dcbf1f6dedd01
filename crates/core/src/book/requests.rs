//! Deciding about requests.

use std::sync::Arc;

use super::conclusions::conclude;
use super::receipts::{answered, moved_under, settle, shortest, use_receipt, voided};
use super::{Book, Deadline, Event, Facts, PENDING_PER_PERSON_MAX, REMEMBERED_MAX, Standing};
use crate::envelope::Terms;
use crate::ids::{Digest, GrantId, PrincipalId, RequestId, RoleId};
use crate::refusal::Refusal;
use crate::request::{
    Approval, Ask, Command, Event as RequestEvent, HoldsUp, Receipt, Request, Signature, State, Withdrawal,
};
use crate::ruling::{Gate, Verdict};
use crate::script;
use crate::time::At;

pub(super) fn decide(book: &Book, command: Command, facts: &Facts) -> Result<Vec<Event>, Refusal> {
    match command {
        Command::Ask { request, by, ask, digest, content, grant, holds_up } => {
            ask_for(book, Asking { request, by, ask, digest, content, grant, holds_up }, facts)
        }
        Command::Approve { request, by, digest, comment, signature, terms, grant } => {
            approve(book, Approving { request, by, digest, comment, signature, terms, grant }, facts)
        }
        Command::Deny { request, by, comment } => deny(book, request, by, comment, facts),
        Command::Withdraw { request, why } => withdraw(book, request, why),
        Command::Use { request, session, claim } => use_receipt(book, request, session, &claim, facts),
        Command::Settle { request, outcome, transaction } => settle(book, request, outcome, transaction),
        Command::Conclude { request, session, from, fate } => conclude(book, request, session, from, fate),
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
    holds_up: HoldsUp,
}

struct Approving {
    request: RequestId,
    by: PrincipalId,
    digest: Digest,
    comment: Option<Digest>,
    signature: Option<Signature>,
    terms: Terms,
    grant: GrantId,
}

fn ask_for(book: &Book, asking: Asking, facts: &Facts) -> Result<Vec<Event>, Refusal> {
    if book.request(asking.request).is_some() {
        return Err(Refusal::Exists(asking.request.to_string()));
    }
    let in_force = book.in_force.as_ref().ok_or(Refusal::NoBundle)?;
    let person = book.acting(&asking.by)?.person.clone();
    check_ask(book, &asking, facts.now)?;
    let gates: &[Gate] = match book.current(facts.ruling.as_ref())?.verdict() {
        Verdict::Allow => &[],
        Verdict::Deny(denial) => return Err(Refusal::Denied(denial.to_string())),
        Verdict::Hold(gates) => gates,
    };
    let waiting = book.requests().filter(|one| one.person == person && one.state == State::Pending).count();
    if waiting >= PENDING_PER_PERSON_MAX {
        return Err(Refusal::Denied(format!(
            "{PENDING_PER_PERSON_MAX} requests of `{person}` wait already; withdraw some first"
        )));
    }
    let pending_for = shortest(gates, |rule| rule.pending_for(asking.holds_up));
    if asking.holds_up != HoldsUp::Nothing
        && let Some(gate) = gates.iter().find(|gate| gate.terms.pending_for(asking.holds_up).0 <= 0)
    {
        return Err(Refusal::HoldsUp(gate.rule.clone(), asking.holds_up.as_str()));
    }
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
        uses: Vec::new(),
        progress: None,
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
        events.extend(answered(book, &request, &[], asking.grant, facts.now)?);
    }
    Ok(events)
}

fn check_ask(book: &Book, asking: &Asking, now: At) -> Result<(), Refusal> {
    match &asking.ask {
        Ask::Access { role, lasting } => {
            let found = book.catalogue.roles.get(role).ok_or_else(|| Refusal::NoSuchRole(role.clone()))?;
            if lasting.0 <= 0 {
                return Err(Refusal::Denied(
                    "a grant lasts for a while; ask for a time such as `30m`".into(),
                ));
            }
            if *lasting > found.longest {
                return Err(Refusal::TooLong(role.clone(), found.longest));
            }
            Ok(())
        }
        Ask::Act { session, grant, resource, .. } => {
            let found = book.session(*session).ok_or(Refusal::NoSuchSession(*session))?;
            let opening = &found.opening;
            // Who answers for the action, and who owns its resource, decides who may approve it.
            if opening.principal != asking.by {
                return Err(Refusal::NoSuchSession(*session));
            }
            if opening.resource != *resource {
                return Err(Refusal::NoSuchResource(resource.clone()));
            }
            if let Standing::Over(_) = book.standing(found, now) {
                return Err(Refusal::NoLiveGrant(opening.role.clone()));
            }
            if book.carries(*grant, opening, now) {
                Ok(())
            } else {
                Err(Refusal::NoLiveGrant(opening.role.clone()))
            }
        }
        Ask::Apply { .. } => book.deciding_user(&asking.by).map(|_| ()),
        Ask::Script { grant, resource, steps } => {
            script::check(steps)?;
            if !book.catalogue.resources.contains_key(resource) {
                return Err(Refusal::NoSuchResource(resource.clone()));
            }
            let carried = |id| book.carries_script(id, &asking.by, resource, now);
            let role = || book.grant(*grant).map_or_else(|| RoleId::new(""), |found| found.role.clone());
            if carried(*grant) { Ok(()) } else { Err(Refusal::NoLiveGrant(role())) }
        }
    }
}

fn approve(book: &Book, approving: Approving, facts: &Facts) -> Result<Vec<Event>, Refusal> {
    let now = facts.now;
    let request = book.may_answer(approving.request, &approving.by, facts)?;
    if !book.can_be_satisfied(request) {
        return Err(Refusal::Locked(request.id));
    }
    if request.digest != approving.digest {
        return Err(Refusal::OtherAction);
    }
    request.check_terms(&approving.terms)?;
    if request.is_signed() && approving.signature.is_none() {
        return Err(Refusal::Unsigned(request.id));
    }
    let person = book.deciding_user(&approving.by)?.clone();
    if let Some(over) = moved_under(book, request, facts)? {
        return Ok(vec![over]);
    }
    let approval = Approval {
        by: approving.by.clone(),
        person: person.clone(),
        at: now,
        comment: approving.comment,
        signature: approving.signature.clone(),
        terms: approving.terms,
    };
    let complete = book.adds_up(request, approval, now)?;
    let mut events = vec![Event::Request(RequestEvent::Approved {
        request: request.id,
        by: approving.by,
        person,
        comment: approving.comment,
        signature: approving.signature,
        terms: approving.terms,
    })];
    if complete {
        let said = request.approvals.iter().map(|given| given.terms).chain([approving.terms]);
        let said: Vec<Terms> = said.collect();
        events.extend(answered(book, request, &said, approving.grant, now)?);
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
        if self.persons_behind(found).contains(self.deciding_user(by)?) {
            return Err(Refusal::OwnRequest);
        }
        if !self.approvers(found, facts.now).contains(by) {
            return Err(Refusal::NotAnApprover(self.tally(found, facts.now).missing()));
        }
        self.permitted(facts)?;
        Ok(found)
    }

    /// Whether `approval` makes the quorum complete, or why it adds nothing.
    ///
    /// When the places are filled but nobody's yes has said so (an approver was shut out and let in again in
    /// between), any eligible yes completes it, be it a repeated one: nothing else ever could.
    fn adds_up(&self, request: &Request, approval: Approval, now: At) -> Result<bool, Refusal> {
        let before = self.tally(request, now);
        if before.is_complete() {
            return Ok(true);
        }
        let mut with_this = request.clone();
        with_this.approvals.push(approval);
        let persons = self.persons_of_approvals(&with_this);
        let mine = persons.into_iter().find(|mine| mine.contains(&request.approvals.len()));
        let mine = mine.unwrap_or_default();
        if mine.iter().any(|index| before.seats(*index)) {
            return Err(Refusal::ApprovedTwice);
        }
        let tally = self.tally(&with_this, now);
        if !mine.iter().any(|index| tally.seats(*index)) {
            return Err(Refusal::PlaceTaken(tally.missing()));
        }
        Ok(tally.is_complete())
    }

    /// A request that may still be given up: pending, or approved and not in use.
    fn open(&self, request: RequestId) -> Result<&Request, Refusal> {
        let found = self.request(request).ok_or(Refusal::NoSuchRequest(request))?;
        if is_open(found) { Ok(found) } else { Err(Refusal::Decided(request, found.state.as_str())) }
    }

    pub(super) fn apply_request(&mut self, event: &RequestEvent, at: At) {
        match event {
            RequestEvent::Asked { request, .. } => {
                if let Some(asked) = Request::asked(event, at) {
                    self.requests.insert(*request, Arc::new(asked));
                }
                self.schedule_request(*request);
            }
            RequestEvent::Approved { request, by, person, comment, signature, terms } => {
                let approval = Approval {
                    by: by.clone(),
                    person: person.clone(),
                    at,
                    comment: *comment,
                    signature: signature.clone(),
                    terms: *terms,
                };
                self.change_request(*request, |found| found.approvals.push(approval));
            }
            RequestEvent::QuorumReached { request, uses, valid_until, envelope } => {
                let receipt = Receipt {
                    at,
                    uses: *uses,
                    used: 0,
                    valid_until: *valid_until,
                    running: None,
                    outcome: None,
                    envelope: *envelope,
                    spent: 0,
                    reserved: 0,
                };
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
            RequestEvent::Used { request, session, rows } => {
                let (session, rows) = (*session, rows.unwrap_or(0));
                self.change_request(*request, |found| {
                    if found.steps().is_some() {
                        found.progress.get_or_insert_default().session = Some(session);
                    }
                });
                self.change_receipt(*request, |receipt| {
                    receipt.used = receipt.used.saturating_add(1);
                    receipt.running = Some(session);
                    receipt.reserved = rows;
                    receipt.spent = receipt.spent.saturating_add(rows);
                });
            }
            RequestEvent::Settled { request, outcome, transaction } => {
                self.change_request(*request, |found| found.settle(outcome, *transaction));
            }
            RequestEvent::Concluded { request, session, from, fate } => {
                self.change_request(*request, |found| found.conclude(*session, *from, *fate));
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
        if found.next_step().is_some() {
            self.scripts.insert(request);
        } else if found.steps().is_some() {
            self.scripts.remove(&request);
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

/// Whether `request` waits, or has a receipt that is neither used up nor in use.
pub(super) fn is_open(request: &Request) -> bool {
    match &request.state {
        State::Pending => true,
        State::Approved(receipt) => receipt.is_open(),
        State::Denied { .. } | State::Lapsed { .. } | State::Withdrawn { .. } | State::Void { .. } => false,
    }
}

/// When time next changes something about `request`.
fn next_of(request: &Request) -> Option<At> {
    match &request.state {
        State::Pending => {
            let step = escalations(request).get(request.escalated as usize).copied();
            Some(step.map_or(request.lapses_at, |at| at.min(request.lapses_at)))
        }
        State::Approved(receipt) if is_open(request) => Some(receipt.valid_until),
        State::Approved(_)
        | State::Denied { .. }
        | State::Lapsed { .. }
        | State::Withdrawn { .. }
        | State::Void { .. } => None,
    }
}

/// When the escalation steps of all gates are due, in the order of time.
pub(super) fn escalations(request: &Request) -> Vec<At> {
    let steps = request.gates.iter().flat_map(|gate| &gate.terms.escalate);
    let mut times: Vec<At> = steps.map(|step| request.asked_at.plus(step.after)).collect();
    times.sort_unstable();
    times
}
