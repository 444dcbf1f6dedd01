//! Receipts that cover more than what waited: used again by the same text, or within their envelope.
//!
//! A held action is compared with the receipts of its principal before anybody is asked: with the digest of what was
//! approved, under the salt of that request, and with what it reaches. What the snapshot says only finds candidates;
//! whether a receipt is used is decided by the writer, on the book as it is then, and durable before this returns.

use std::sync::Arc;

use countersign_core::action::{Action, digest};
use countersign_core::envelope::{Claim, PARTS_MAX, Reach};
use countersign_core::request::{
    Ask, Bounds, Command as RequestCommand, Event as RequestEvent, Receipt, Request, RowBound, State,
    Voidance,
};
use countersign_core::ruling::{Gate, Verdict};
use countersign_core::{At, Command, Event, Refusal, RequestId};

use super::attempt::{Ground, Look};
use super::hold::action_of;
use super::proof::{Held, Ran, Recorded, Unrecorded, Used};
use crate::engine::Engine;
use crate::snapshot::Snapshot;
use crate::writer::entry::Entry;
use crate::writer::work::{Deed, NotDone, Work};

/// How many receipts of one principal are compared with an action before somebody is asked.
const COMPARED_MAX: usize = 64;

/// A receipt that covers an action as far as is known.
#[derive(Debug)]
pub struct Cover {
    id: RequestId,
    salt: [u8; 16],
    bounds: Bounds,
    rows: Option<u64>,
}

/// A use of a receipt that was given for more than one.
#[derive(Debug)]
pub struct Covered {
    /// What may be forwarded.
    pub recorded: Recorded,
    /// Which request.
    pub request: RequestId,
    /// How many uses are left.
    pub uses_left: u32,
    /// Until when.
    pub valid_until: At,
}

/// Why no receipt was used.
#[derive(Debug)]
pub enum NotCovered {
    /// It does not cover this, or no longer: somebody has to be asked.
    Ask(Box<Held>),
    /// Its use could not be recorded.
    Unrecorded(Unrecorded),
}

/// Why a receipt was not used.
#[derive(Debug)]
pub(super) enum NotClaimed {
    Refused(Refusal, Box<Held>),
    Void(Voidance),
    Unrecorded(Unrecorded),
}

impl Engine {
    /// A receipt that was given before and covers this action, if there is one.
    #[must_use]
    pub fn cover(&self, held: &Held, look: &Look) -> Option<Cover> {
        let snapshot = self.snapshot();
        let now = self.now().max(snapshot.at);
        let gates = self.gates_of(&snapshot, held)?;
        let mut action = action_of(held);
        let ground = Ground {
            relations: held.attempt.relations.clone(),
            settings: held.attempt.settings.as_ref().clone(),
            touches: touches(look),
        };
        ground.put_into(&mut action);
        let theirs = snapshot.book.requests().rev().filter(|request| is_theirs(request, held));
        theirs.take(COMPARED_MAX).find_map(|request| {
            let receipt = usable(request, now)?;
            let lifted = gates.iter().all(|gate| lifts(&request.gates, gate));
            let salt = self.0.house.content_of_request(request.id).filter(|_| lifted)?.salt()?;
            let claim = claim(&action, &ground, &salt, look.rows);
            let Ask::Act { bounds, reach, .. } = &request.ask else { return None };
            let same = claim.digest == request.digest;
            let inside = receipt.envelope.is_some()
                && claim.reach.as_ref().zip(reach.as_ref()).is_some_and(|(one, of)| one.is_within(of));
            (same || inside).then_some(Cover { id: request.id, salt, bounds: *bounds, rows: look.rows })
        })
    }

    /// Uses a receipt that covers this. It is durable when this returns; what comes out is forwarded once or never.
    ///
    /// # Errors
    /// Nothing may run under it.
    pub async fn use_cover(&self, cover: Cover, held: Held, now: Ground) -> Result<Covered, NotCovered> {
        let mut action = action_of(&held);
        now.put_into(&mut action);
        let claim = claim(&action, &now, &cover.salt, cover.rows);
        match self.claim_receipt((cover.id, cover.bounds, cover.salt), held, claim).await {
            Ok(recorded) => {
                let snapshot = self.snapshot();
                let left = snapshot.book.request(cover.id).and_then(receipt_of);
                let uses_left = left.map_or(0, |receipt| receipt.uses.saturating_sub(receipt.used));
                let valid_until = left.map_or(At(0), |receipt| receipt.valid_until);
                Ok(Covered { recorded, request: cover.id, uses_left, valid_until })
            }
            Err(NotClaimed::Refused(Refusal::SessionPaused(_), _)) => {
                Err(NotCovered::Unrecorded(Unrecorded::Stale))
            }
            Err(NotClaimed::Refused(_, held)) => Err(NotCovered::Ask(held)),
            Err(NotClaimed::Unrecorded(error)) => Err(NotCovered::Unrecorded(error)),
            // The receipt ended with its ground: it is judged anew whether somebody has to be asked.
            Err(NotClaimed::Void(_)) => Err(NotCovered::Unrecorded(Unrecorded::Stale)),
        }
    }

    /// Uses a receipt: judges again on the state as it is now, and records the use.
    pub(super) async fn claim_receipt(
        &self,
        (request, bounds, salt): (RequestId, Bounds, [u8; 16]),
        held: Held,
        claim: Claim,
    ) -> Result<Recorded, NotClaimed> {
        let session = held.statement.session;
        let use_it = RequestCommand::Use { request, session, claim };
        let mut deed = Deed::new(Command::Request(use_it), held.session.from(self.now()));
        deed.standing = Some(Arc::clone(&held.standing));
        let done = match self.0.queue.done(Work::Deed(Box::new(deed))).await {
            Ok(done) => done,
            Err(NotDone::Refused(refusal)) => return Err(NotClaimed::Refused(refusal, Box::new(held))),
            Err(not) => return Err(NotClaimed::Unrecorded(not.into())),
        };
        let used = done.events.iter().find_map(|event| match event {
            Event::Request(RequestEvent::Used { rows, .. }) => Some(*rows),
            _ => None,
        });
        let Some(aside) = used else {
            let why = done.events.iter().find_map(|event| match event {
                Event::Request(RequestEvent::Voided { why, .. }) => Some(*why),
                _ => None,
            });
            return Err(NotClaimed::Void(why.unwrap_or(Voidance::PolicyStricter)));
        };
        let bounds = aside.map_or(bounds, |rows| Bounds { rows: RowBound::AtMost(rows) });
        let entry = Arc::new(Entry::written(done.index.unwrap_or_default()));
        // Nobody else can use it before this use is settled, so that the last number is this one's.
        let snapshot = self.snapshot();
        let number = snapshot.book.request(request).and_then(receipt_of).map_or(0, |receipt| receipt.used);
        let used = Some(Used { request, session, number });
        held.statement.ran(&held.attempt.context, held.attempt.tool());
        let ran = Ran {
            statement: held.statement,
            entry,
            used,
            bounds: Some(bounds),
            salt: Some(salt),
            data: None,
            result: None,
            tool: held.attempt.tool().map(Into::into),
        };
        Ok(Recorded { bytes: held.attempt.bytes, ran })
    }

    /// The gates that hold it now; nothing if it is not held.
    pub(super) fn gates_of(&self, snapshot: &Snapshot, held: &Held) -> Option<Vec<Gate>> {
        let ruling = self.desk(snapshot).rule_standing(&held.statement.principal, &held.standing, None)?;
        match ruling.verdict() {
            Verdict::Hold(gates) => Some(gates.to_vec()),
            Verdict::Allow | Verdict::Deny(_) => None,
        }
    }
}

impl Ground {
    pub(super) fn put_into(&self, action: &mut Action) {
        action.relations.clone_from(&self.relations);
        action.settings.clone_from(&self.settings);
    }
}

/// What is about to run, in the terms of a request with this salt.
pub(super) fn claim(action: &Action, ground: &Ground, salt: &[u8; 16], rows: Option<u64>) -> Claim {
    let digest = digest(salt, &action.canonical());
    Claim { digest, reach: reach(action, &ground.touches, salt), rows }
}

/// What an action reaches: the circumstances in which it runs, and each thing that it does to a relation.
pub(super) fn reach(action: &Action, touches: &[String], salt: &[u8; 16]) -> Option<Reach> {
    if touches.is_empty() || touches.len() > PARTS_MAX {
        return None;
    }
    let mut ground = action.clone();
    (ground.text, ground.parameters, ground.parameter_types) = (None, Vec::new(), Vec::new());
    (ground.relations, ground.verbs) = (Vec::new(), Vec::new());
    let parts = touches.iter().map(|part| Reach::digest(salt, part.as_bytes())).collect();
    Some(Reach { ground: Reach::digest(salt, &ground.canonical()), parts })
}

/// What is known for certain to be all that it touches, if its rows can be bounded.
fn touches(look: &Look) -> Vec<String> {
    if look.can_bound_rows { look.touches.clone() } else { Vec::new() }
}

fn is_theirs(request: &Request, held: &Held) -> bool {
    let statement = &held.statement;
    let on = matches!(&request.ask, Ask::Act { resource, grant, .. }
        if *resource == statement.resource && Some(*grant) == statement.grant);
    on && request.by == statement.principal && matches!(request.state, State::Approved(_))
}

/// The receipt, if it may be used again. Whether its last use has ended is the writer's to know: the end may be on its way.
fn usable(request: &Request, now: At) -> Option<&Receipt> {
    let receipt = receipt_of(request)?;
    (receipt.outlives_its_session() && receipt.used < receipt.uses && now < receipt.valid_until)
        .then_some(receipt)
}

fn receipt_of(request: &Request) -> Option<&Receipt> {
    match &request.state {
        State::Approved(receipt) => Some(receipt),
        _ => None,
    }
}

fn lifts(lifted: &[Gate], gate: &Gate) -> bool {
    lifted.iter().any(|had| had.rule == gate.rule && had.rule_hash == gate.rule_hash)
}
