//! Decisions: every event of the book as a line, and back.
//!
//! One function each way, both without a catch-all: a new event does not compile until it has its line.

use std::sync::Arc;

use countersign_core::bundle::Event as BundleEvent;
use countersign_core::catalogue::Catalogue;
use countersign_core::grant::Event as GrantEvent;
use countersign_core::principal::Event as PrincipalEvent;
use countersign_core::request::{Ask, Event as RequestEvent, Voidance, Withdrawal};
use countersign_core::session::{Ending, Event as SessionEvent, Opening};
use countersign_core::{ActionName, BundleHash, Event, Span};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::shapes::{BoundsShape, GateShape, ResultShape, SignatureShape, outcome_of, outcome_parts};
use super::{BadLine, Envelope, Outcome, PolicyShape, Sealed, Stamp};

/// Reads a catalogue back by the hash of its bundle.
pub(crate) type Hydrate<'a> = &'a dyn Fn(&BundleHash) -> Option<Arc<Catalogue>>;

/// The types whose lines are always decisions.
pub(super) const KINDS: [&str; 18] = [
    "action.held",
    "decision.approved",
    "decision.denied",
    "decision.quorum_reached",
    "grant.expired",
    "grant.issued",
    "grant.relinquished",
    "grant.revoked",
    "identity.disabled",
    "identity.enabled",
    "policy.activated",
    "request.created",
    "request.escalated",
    "request.expired",
    "request.voided",
    "request.withdrawn",
    "session.opened",
    "session.terminated",
];

type Read = Envelope<Box<RawValue>>;

/// What is known of a run beyond its outcome. Recorded, no part of the book.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Ran {
    pub(crate) bytes: u64,
    pub(crate) micros: u64,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Nothing {}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct AskedData {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    action: Option<ActionName>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    bounds: Option<BoundsShape>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    content: Option<Sealed>,
    gates: Vec<GateShape>,
    lapses_at: Stamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    lasting_us: Option<i64>,
    locked: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    proposed: Option<BundleHash>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct AnswerData {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    comment: Option<Sealed>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    signature: Option<SignatureShape>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ReceiptData {
    uses: u32,
    valid_until: Stamp,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct WithdrawnData {
    why: Withdrawal,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct VoidedData {
    why: Voidance,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct EscalatedData {
    step: u32,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct SettledData {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    bytes: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    code: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    micros: Option<u64>,
    result: ResultShape,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    rows: Option<u64>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct IssuedData {
    not_after: Stamp,
    not_before: Stamp,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ReasonData {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    reason: Option<Sealed>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct OpenedData {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    content: Option<Sealed>,
    door: String,
}

/// Without a reason: its end was ordered. With one: it is over.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct TerminatedData {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    why: Option<Ending>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ActivatedData {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    previous: Option<BundleHash>,
    version: u64,
}

/// The line of an event, without its place. `ran` goes with [`RequestEvent::Settled`].
pub(crate) fn encode_event(event: &Event, ran: Option<Ran>) -> Result<Envelope<Box<RawValue>>, BadLine> {
    match event {
        Event::Request(event) => encode_request(event, ran),
        Event::Grant(event) => encode_grant(event),
        Event::Session(event) => encode_session(event),
        Event::Principal(event) => encode_principal(event),
        Event::Bundle(event) => encode_bundle(event),
    }
}

/// The event of a line.
pub(crate) fn event_of(line: Read, hydrate: Hydrate<'_>) -> Result<Event, BadLine> {
    let kind = line.kind.clone();
    match kind.as_ref() {
        "request.created" | "action.held" => asked(line).map(Event::Request),
        "decision.approved"
        | "decision.quorum_reached"
        | "decision.denied"
        | "request.expired"
        | "request.withdrawn"
        | "request.voided"
        | "request.escalated"
        | "action.allowed"
        | "action.completed" => request_event(&line).map(Event::Request),
        "grant.issued" | "grant.expired" | "grant.revoked" | "grant.relinquished" => {
            grant_event(&line).map(Event::Grant)
        }
        "session.opened" | "session.terminated" => session_event(&line).map(Event::Session),
        "identity.disabled" | "identity.enabled" => principal_event(&line).map(Event::Principal),
        "policy.activated" => activated(&line, hydrate).map(Event::Bundle),
        other => Err(BadLine::Type(other.to_owned())),
    }
}

fn raw<D: Serialize>(envelope: Envelope<D>) -> Result<Read, BadLine> {
    let data = serde_json::value::to_raw_value(&envelope.data)?;
    Ok(envelope.with(data))
}

fn encode_request(event: &RequestEvent, ran: Option<Ran>) -> Result<Read, BadLine> {
    match event {
        RequestEvent::Asked { .. } => encode_asked(event),
        RequestEvent::Approved { request, by, person, comment, signature } => {
            let data =
                AnswerData { comment: comment.map(Sealed), signature: signature.as_ref().map(Into::into) };
            let mut line = Envelope::new("decision.approved", data);
            line.request = Some(*request);
            line.actor = Some(by.clone());
            line.person = Some(person.clone());
            raw(line)
        }
        RequestEvent::QuorumReached { request, uses, valid_until } => {
            let data = ReceiptData { uses: *uses, valid_until: Stamp(*valid_until) };
            let mut line = Envelope::new("decision.quorum_reached", data);
            line.request = Some(*request);
            raw(line)
        }
        RequestEvent::Denied { request, by, comment } => {
            let data = AnswerData { comment: comment.map(Sealed), signature: None };
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
        RequestEvent::Used { request, session } => {
            let mut line = Envelope::new("action.allowed", Nothing {});
            line.request = Some(*request);
            line.session = Some(*session);
            raw(line)
        }
        RequestEvent::Settled { request, outcome } => {
            let (result, rows, code) = outcome_parts(outcome);
            let (bytes, micros) = (ran.map(|ran| ran.bytes), ran.map(|ran| ran.micros));
            let data = SettledData { bytes, code, micros, result, rows };
            let mut line = Envelope::new("action.completed", data);
            line.request = Some(*request);
            if result != ResultShape::Done {
                line.outcome = Outcome::Failure;
            }
            raw(line)
        }
    }
}

fn encode_asked(event: &RequestEvent) -> Result<Read, BadLine> {
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
        Ask::Act { session, grant, resource, action, bounds } => {
            line.kind = "action.held".into();
            line.session = Some(*session);
            line.grant = Some(*grant);
            line.resource = Some(resource.clone());
            line.data.action = Some(action.clone());
            line.data.bounds = Some((*bounds).into());
        }
        Ask::Apply { bundle } => line.data.proposed = Some(*bundle),
    }
    raw(line)
}

fn encode_grant(event: &GrantEvent) -> Result<Read, BadLine> {
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

fn encode_session(event: &SessionEvent) -> Result<Read, BadLine> {
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
        SessionEvent::Closed { session, why } => {
            let mut line = Envelope::new("session.terminated", TerminatedData { why: Some(*why) });
            line.session = Some(*session);
            raw(line)
        }
    }
}

fn encode_principal(event: &PrincipalEvent) -> Result<Read, BadLine> {
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

fn encode_bundle(event: &BundleEvent) -> Result<Read, BadLine> {
    let BundleEvent::Activated { bundle, previous, version, catalogue: _, by, request } = event;
    let data = ActivatedData { previous: *previous, version: *version };
    let mut line = Envelope::new("policy.activated", data);
    line.bundle = Some(*bundle);
    line.actor = Some(by.clone());
    line.request = *request;
    raw(line)
}

fn data<D: DeserializeOwned>(line: &Read) -> Result<D, BadLine> {
    Ok(serde_json::from_str(line.data.get())?)
}

/// A member that this type can't do without.
fn need<T: Clone>(line: &Read, value: &Option<T>, member: &'static str) -> Result<T, BadLine> {
    value.clone().ok_or_else(|| missing(line, member))
}

fn missing(line: &Read, member: &'static str) -> BadLine {
    BadLine::Member { kind: line.kind.clone().into_owned(), member }
}

fn asked(line: Read) -> Result<RequestEvent, BadLine> {
    let data: AskedData = data(&line)?;
    let ask = if line.kind == "action.held" {
        Ask::Act {
            session: need(&line, &line.session, "session")?,
            grant: need(&line, &line.grant, "grant")?,
            resource: need(&line, &line.resource, "resource")?,
            action: need(&line, &data.action, "action")?,
            bounds: need(&line, &data.bounds, "bounds")?.into(),
        }
    } else if let Some(bundle) = data.proposed {
        Ask::Apply { bundle }
    } else {
        Ask::Access {
            role: need(&line, &line.role, "role")?,
            lasting: Span(need(&line, &data.lasting_us, "lasting_us")?),
        }
    };
    Ok(RequestEvent::Asked {
        request: need(&line, &line.request, "request")?,
        by: need(&line, &line.actor, "actor")?,
        person: need(&line, &line.person, "person")?,
        ask,
        digest: need(&line, &line.digest, "digest")?,
        content: data.content.map(|sealed| sealed.0),
        gates: data.gates.into_iter().map(Into::into).collect(),
        bundle: need(&line, &line.bundle, "bundle")?,
        lapses_at: data.lapses_at.0,
        locked: data.locked,
    })
}

fn request_event(line: &Read) -> Result<RequestEvent, BadLine> {
    let request = need(line, &line.request, "request")?;
    let by = || need(line, &line.actor, "actor");
    Ok(match line.kind.as_ref() {
        "decision.approved" => {
            let data: AnswerData = data(line)?;
            RequestEvent::Approved {
                request,
                by: by()?,
                person: need(line, &line.person, "person")?,
                comment: data.comment.map(|sealed| sealed.0),
                signature: data.signature.map(Into::into),
            }
        }
        "decision.quorum_reached" => {
            let data: ReceiptData = data(line)?;
            RequestEvent::QuorumReached { request, uses: data.uses, valid_until: data.valid_until.0 }
        }
        "decision.denied" => {
            let data: AnswerData = data(line)?;
            RequestEvent::Denied { request, by: by()?, comment: data.comment.map(|sealed| sealed.0) }
        }
        "request.expired" => {
            let Nothing {} = data(line)?;
            RequestEvent::Lapsed { request }
        }
        "request.withdrawn" => RequestEvent::Withdrawn { request, why: data::<WithdrawnData>(line)?.why },
        "request.voided" => RequestEvent::Voided { request, why: data::<VoidedData>(line)?.why },
        "request.escalated" => RequestEvent::Escalated { request, step: data::<EscalatedData>(line)?.step },
        "action.allowed" => {
            let Nothing {} = data(line)?;
            RequestEvent::Used { request, session: need(line, &line.session, "session")? }
        }
        "action.completed" => {
            let data: SettledData = data(line)?;
            let outcome = outcome_of(data.result, data.rows, data.code);
            RequestEvent::Settled { request, outcome: outcome.ok_or_else(|| missing(line, "result"))? }
        }
        other => return Err(BadLine::Type(other.to_owned())),
    })
}

fn grant_event(line: &Read) -> Result<GrantEvent, BadLine> {
    let grant = need(line, &line.grant, "grant")?;
    Ok(match line.kind.as_ref() {
        "grant.issued" => {
            let data: IssuedData = data(line)?;
            GrantEvent::Issued {
                grant,
                request: need(line, &line.request, "request")?,
                principal: need(line, &line.subject, "subject")?,
                person: need(line, &line.person, "person")?,
                role: need(line, &line.role, "role")?,
                not_before: data.not_before.0,
                not_after: data.not_after.0,
            }
        }
        "grant.expired" => {
            let Nothing {} = data(line)?;
            GrantEvent::Expired { grant }
        }
        "grant.revoked" => GrantEvent::Revoked {
            grant,
            by: need(line, &line.actor, "actor")?,
            reason: data::<ReasonData>(line)?.reason.map(|sealed| sealed.0),
        },
        "grant.relinquished" => {
            let Nothing {} = data(line)?;
            GrantEvent::Relinquished { grant }
        }
        other => return Err(BadLine::Type(other.to_owned())),
    })
}

fn session_event(line: &Read) -> Result<SessionEvent, BadLine> {
    let session = need(line, &line.session, "session")?;
    if line.kind == "session.opened" {
        let data: OpenedData = data(line)?;
        let opening = Opening {
            session,
            principal: need(line, &line.actor, "actor")?,
            resource: need(line, &line.resource, "resource")?,
            role: need(line, &line.role, "role")?,
            door: data.door,
            content: data.content.map(|sealed| sealed.0),
        };
        return Ok(SessionEvent::Opened {
            opening,
            person: need(line, &line.person, "person")?,
            grant: need(line, &line.grant, "grant")?,
        });
    }
    Ok(match data::<TerminatedData>(line)?.why {
        Some(why) => SessionEvent::Closed { session, why },
        None => SessionEvent::EndOrdered { session, by: need(line, &line.actor, "actor")? },
    })
}

fn principal_event(line: &Read) -> Result<PrincipalEvent, BadLine> {
    let principal = need(line, &line.subject, "subject")?;
    let by = need(line, &line.actor, "actor")?;
    if line.kind == "identity.enabled" {
        let Nothing {} = data(line)?;
        return Ok(PrincipalEvent::Enabled { principal, by });
    }
    let reason = data::<ReasonData>(line)?.reason.map(|sealed| sealed.0);
    Ok(PrincipalEvent::Disabled { principal, by, reason })
}

fn activated(line: &Read, hydrate: Hydrate<'_>) -> Result<BundleEvent, BadLine> {
    let data: ActivatedData = data(line)?;
    let bundle = need(line, &line.bundle, "bundle")?;
    Ok(BundleEvent::Activated {
        bundle,
        previous: data.previous,
        version: data.version,
        catalogue: hydrate(&bundle).ok_or(BadLine::Bundle(bundle))?,
        by: need(line, &line.actor, "actor")?,
        request: line.request,
    })
}
