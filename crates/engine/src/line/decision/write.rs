//! From an event to its line.

use countersign_core::bundle::Event as BundleEvent;
use countersign_core::directory::{Change, Event as DirectoryEvent, Hearing, actor};
use countersign_core::grant::Event as GrantEvent;
use countersign_core::principal::Event as PrincipalEvent;
use countersign_core::request::{Ask, Event as RequestEvent, Fate, Transaction};
use countersign_core::session::Event as SessionEvent;
use countersign_core::{Digest, Event, PrincipalId, SessionId};
use serde::Serialize;

use super::data::{
    ActivatedData, AnswerData, AskedData, ConcludedData, DirectoryData, EscalatedData, IssuedData, Nothing,
    OpenedData, ReasonData, ReceiptData, SettledData, TerminatedData, ToldData, UsedData, VoidedData,
    WithdrawnData,
};
use super::{Ran, Raw};
use crate::line::shapes::{ResultShape, TermsShape, TransactionShape, outcome_parts};
use crate::line::{BadLine, Envelope, Outcome, PolicyShape, Sealed, Stamp};

/// The line of an event, without its place. `ran` goes with [`RequestEvent::Settled`].
pub(crate) fn encode_event(event: &Event, ran: Option<Ran>) -> Result<Raw, BadLine> {
    match event {
        Event::Request(event) => encode_request(event, ran),
        Event::Grant(event) => encode_grant(event),
        Event::Session(event) => encode_session(event),
        Event::Principal(event) => encode_principal(event),
        Event::Directory(event) => encode_directory(event),
        Event::Bundle(event) => encode_bundle(event),
    }
}

fn raw<D: Serialize>(envelope: Envelope<D>) -> Result<Raw, BadLine> {
    let data = serde_json::value::to_raw_value(&envelope.data)?;
    Ok(envelope.with(data))
}

fn encode_request(event: &RequestEvent, ran: Option<Ran>) -> Result<Raw, BadLine> {
    match event {
        RequestEvent::Asked { .. } => encode_asked(event),
        RequestEvent::Approved { request, by, person, comment, signature, terms } => {
            let data = AnswerData {
                comment: comment.map(Sealed),
                signature: signature.as_ref().map(Into::into),
                terms: TermsShape::of(terms),
            };
            let mut line = Envelope::new("decision.approved", data);
            line.request = Some(*request);
            line.actor = Some(by.clone());
            line.person = Some(person.clone());
            raw(line)
        }
        RequestEvent::QuorumReached { request, uses, valid_until, envelope } => {
            let data = ReceiptData {
                envelope: envelope.map(Into::into),
                uses: *uses,
                valid_until: Stamp(*valid_until),
            };
            let mut line = Envelope::new("decision.quorum_reached", data);
            line.request = Some(*request);
            raw(line)
        }
        RequestEvent::Denied { request, by, comment } => {
            let data = AnswerData { comment: comment.map(Sealed), signature: None, terms: None };
            let mut line = Envelope::new("decision.denied", data);
            line.request = Some(*request);
            line.actor = Some(by.clone());
            line.outcome = Outcome::Failure;
            raw(line)
        }
        RequestEvent::Lapsed { request } => {
            let mut line = Envelope::new("request.expired", Nothing {});
            line.request = Some(*request);
            line.outcome = Outcome::Failure;
            raw(line)
        }
        RequestEvent::Withdrawn { request, why } => {
            let mut line = Envelope::new("request.withdrawn", WithdrawnData { why: *why });
            line.request = Some(*request);
            line.outcome = Outcome::Failure;
            raw(line)
        }
        RequestEvent::Voided { request, why } => {
            let mut line = Envelope::new("request.voided", VoidedData { why: *why });
            line.request = Some(*request);
            line.outcome = Outcome::Failure;
            raw(line)
        }
        RequestEvent::Escalated { request, step } => {
            let mut line = Envelope::new("request.escalated", EscalatedData { step: *step });
            line.request = Some(*request);
            raw(line)
        }
        RequestEvent::Used { request, session, rows } => {
            let mut line = Envelope::new("action.allowed", UsedData { rows: *rows });
            line.request = Some(*request);
            line.session = Some(*session);
            raw(line)
        }
        RequestEvent::Settled { request, outcome, transaction } => {
            let (result, rows, code) = outcome_parts(outcome);
            let (bytes, micros) = (ran.map(|ran| ran.bytes), ran.map(|ran| ran.micros));
            let transaction = transaction.map(Into::into);
            let data = ran.and_then(|ran| ran.data);
            let kept = ran.and_then(|ran| ran.kept).map(Sealed);
            let digest = ran.and_then(|ran| ran.digest).map(Sealed);
            let data = SettledData { bytes, code, data, digest, kept, micros, result, rows, transaction };
            let mut line = Envelope::new("action.completed", data);
            line.request = Some(*request);
            if result != ResultShape::Done {
                line.outcome = Outcome::Failure;
            }
            raw(line)
        }
        RequestEvent::Concluded { request, session, from, fate } => {
            let transaction = TransactionShape::from(Transaction::Over(*fate));
            let mut line = Envelope::new("action.concluded", ConcludedData { from: *from, transaction });
            line.request = Some(*request);
            line.session = Some(*session);
            if *fate != Fate::Committed {
                line.outcome = Outcome::Failure;
            }
            raw(line)
        }
    }
}

fn encode_asked(event: &RequestEvent) -> Result<Raw, BadLine> {
    let RequestEvent::Asked { request, by, person, ask, digest, content, gates, bundle, lapses_at, locked } =
        event
    else {
        return Err(BadLine::Type("request.created".into()));
    };
    let data = AskedData {
        action: None,
        bounds: None,
        content: content.map(Sealed),
        gates: gates.iter().map(Into::into).collect(),
        lapses_at: Stamp(*lapses_at),
        lasting_us: None,
        locked: *locked,
        proposed: None,
        reach: None,
        steps: Vec::new(),
    };
    let mut line = Envelope::new("request.created", data);
    line.request = Some(*request);
    line.actor = Some(by.clone());
    line.person = Some(person.clone());
    line.digest = Some(*digest);
    line.bundle = Some(*bundle);
    line.outcome = Outcome::Pending;
    line.policies = gates
        .iter()
        .flat_map(|gate| &gate.policies)
        .map(|policy| PolicyShape { hash: policy.hash, id: policy.id.clone(), reason: None })
        .collect();
    match ask {
        Ask::Access { role, lasting } => {
            line.role = Some(role.clone());
            line.data.lasting_us = Some(lasting.0);
        }
        Ask::Act { session, grant, resource, action, bounds, reach } => {
            line.kind = "action.held".into();
            line.session = Some(*session);
            line.grant = Some(*grant);
            line.resource = Some(resource.clone());
            line.data.action = Some(action.clone());
            line.data.bounds = Some((*bounds).into());
            line.data.reach = reach.as_ref().map(Into::into);
        }
        Ask::Apply { bundle } => line.data.proposed = Some(*bundle),
        Ask::Script { grant, resource, steps } => {
            line.grant = Some(*grant);
            line.resource = Some(resource.clone());
            line.data.steps = steps.iter().map(Into::into).collect();
        }
    }
    raw(line)
}

fn encode_grant(event: &GrantEvent) -> Result<Raw, BadLine> {
    match event {
        GrantEvent::Issued { grant, request, principal, person, role, not_before, not_after } => {
            let data = IssuedData { not_after: Stamp(*not_after), not_before: Stamp(*not_before) };
            let mut line = Envelope::new("grant.issued", data);
            line.grant = Some(*grant);
            line.request = Some(*request);
            line.subject = Some(principal.clone());
            line.person = Some(person.clone());
            line.role = Some(role.clone());
            raw(line)
        }
        GrantEvent::Expired { grant } => {
            let mut line = Envelope::new("grant.expired", Nothing {});
            line.grant = Some(*grant);
            raw(line)
        }
        GrantEvent::Revoked { grant, by, reason } => {
            let mut line = Envelope::new("grant.revoked", ReasonData { reason: reason.map(Sealed) });
            line.grant = Some(*grant);
            line.actor = Some(by.clone());
            raw(line)
        }
        GrantEvent::Relinquished { grant } => {
            let mut line = Envelope::new("grant.relinquished", Nothing {});
            line.grant = Some(*grant);
            raw(line)
        }
    }
}

fn encode_session(event: &SessionEvent) -> Result<Raw, BadLine> {
    match event {
        SessionEvent::Opened { opening, person, grant } => {
            let data = OpenedData { content: opening.content.map(Sealed), door: opening.door.clone() };
            let mut line = Envelope::new("session.opened", data);
            line.session = Some(opening.session);
            line.actor = Some(opening.principal.clone());
            line.person = Some(person.clone());
            line.resource = Some(opening.resource.clone());
            line.role = Some(opening.role.clone());
            line.grant = Some(*grant);
            raw(line)
        }
        SessionEvent::EndOrdered { session, by } => {
            let mut line = Envelope::new("session.terminated", TerminatedData { why: None });
            line.session = Some(*session);
            line.actor = Some(by.clone());
            line.outcome = Outcome::Pending;
            raw(line)
        }
        SessionEvent::Locked { session, by, reason } => encode_said("session.locked", *session, by, *reason),
        SessionEvent::Unlocked { session, by, reason } => {
            encode_said("session.unlocked", *session, by, *reason)
        }
        SessionEvent::Closed { session, why } => {
            let mut line = Envelope::new("session.terminated", TerminatedData { why: Some(*why) });
            line.session = Some(*session);
            raw(line)
        }
    }
}

/// What somebody said of a session, with why.
fn encode_said(
    kind: &'static str,
    session: SessionId,
    by: &PrincipalId,
    reason: Option<Digest>,
) -> Result<Raw, BadLine> {
    let mut line = Envelope::new(kind, ReasonData { reason: reason.map(Sealed) });
    line.session = Some(session);
    line.actor = Some(by.clone());
    raw(line)
}

fn encode_principal(event: &PrincipalEvent) -> Result<Raw, BadLine> {
    match event {
        PrincipalEvent::Disabled { principal, by, reason } => {
            let mut line = Envelope::new("identity.disabled", ReasonData { reason: reason.map(Sealed) });
            line.subject = Some(principal.clone());
            line.actor = Some(by.clone());
            raw(line)
        }
        PrincipalEvent::Enabled { principal, by } => {
            let mut line = Envelope::new("identity.enabled", Nothing {});
            line.subject = Some(principal.clone());
            line.actor = Some(by.clone());
            raw(line)
        }
    }
}

fn encode_directory(event: &DirectoryEvent) -> Result<Raw, BadLine> {
    match event {
        DirectoryEvent::Told { directory, principal, account, change } => {
            let kind = match change {
                Change::Created => "identity.created",
                Change::Updated => "identity.updated",
                Change::Disabled => "identity.disabled",
                Change::Enabled => "identity.enabled",
            };
            let data = ToldData {
                active: account.is_active,
                directory: directory.clone(),
                groups: account.groups.iter().cloned().collect(),
                record: account.record,
            };
            let mut line = Envelope::new(kind, data);
            line.subject = Some(principal.clone());
            line.actor = Some(actor(directory));
            line.person = Some(account.person.clone());
            raw(line)
        }
        DirectoryEvent::Removed { directory, principal } => {
            let data = DirectoryData { directory: directory.clone() };
            let mut line = Envelope::new("identity.removed", data);
            line.subject = Some(principal.clone());
            line.actor = Some(actor(directory));
            raw(line)
        }
        DirectoryEvent::Heard { directory, hearing } => {
            let kind = match hearing {
                Hearing::Heard => "directory.heard",
                Hearing::Silent => "directory.silent",
                Hearing::Lost => "directory.lost",
            };
            let mut line = Envelope::new(kind, DirectoryData { directory: directory.clone() });
            if *hearing != Hearing::Heard {
                line.outcome = Outcome::Failure;
            }
            raw(line)
        }
    }
}

fn encode_bundle(event: &BundleEvent) -> Result<Raw, BadLine> {
    let BundleEvent::Activated { bundle, previous, version, catalogue: _, by, request } = event;
    let data = ActivatedData { previous: *previous, version: *version };
    let mut line = Envelope::new("policy.activated", data);
    line.bundle = Some(*bundle);
    line.actor = Some(by.clone());
    line.request = *request;
    raw(line)
}
