//! From a line to its event.

use countersign_core::bundle::Event as BundleEvent;
use countersign_core::directory::{Account, Change, Event as DirectoryEvent, Hearing};
use countersign_core::grant::Event as GrantEvent;
use countersign_core::principal::Event as PrincipalEvent;
use countersign_core::request::{Ask, Event as RequestEvent};
use countersign_core::session::{Event as SessionEvent, Opening};
use countersign_core::{Event, Span};
use serde::de::DeserializeOwned;

use super::data::{
    ActivatedData, AnswerData, AskedData, ConcludedData, DirectoryData, EscalatedData, IssuedData, Nothing,
    OpenedData, ReasonData, ReceiptData, SettledData, TerminatedData, ToldData, UsedData, VoidedData, Whose,
    WithdrawnData,
};
use super::{Hydrate, Raw};
use crate::line::BadLine;
use crate::line::shapes::outcome_of;

/// The event of a line.
pub(crate) fn event_of(line: Raw, hydrate: Hydrate<'_>) -> Result<Event, BadLine> {
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
        | "action.completed"
        | "action.concluded" => request_event(&line).map(Event::Request),
        "grant.issued" | "grant.expired" | "grant.revoked" | "grant.relinquished" => {
            grant_event(&line).map(Event::Grant)
        }
        "session.opened" | "session.locked" | "session.unlocked" | "session.terminated" => {
            session_event(&line).map(Event::Session)
        }
        "identity.disabled" | "identity.enabled" if data::<Whose>(&line)?.directory.is_none() => {
            principal_event(&line).map(Event::Principal)
        }
        "identity.created" | "identity.updated" | "identity.disabled" | "identity.enabled"
        | "identity.removed" | "directory.heard" | "directory.silent" | "directory.lost" => {
            directory_event(&line).map(Event::Directory)
        }
        "policy.activated" => activated(&line, hydrate).map(Event::Bundle),
        other => Err(BadLine::Type(other.to_owned())),
    }
}

fn data<D: DeserializeOwned>(line: &Raw) -> Result<D, BadLine> {
    Ok(serde_json::from_str(line.data.get())?)
}

/// A member that this type can't do without.
fn need<T: Clone>(line: &Raw, value: &Option<T>, member: &'static str) -> Result<T, BadLine> {
    value.clone().ok_or_else(|| missing(line, member))
}

fn missing(line: &Raw, member: &'static str) -> BadLine {
    BadLine::Member { kind: line.kind.clone().into_owned(), member }
}

fn asked(line: Raw) -> Result<RequestEvent, BadLine> {
    let data: AskedData = data(&line)?;
    let ask = if line.kind == "action.held" {
        Ask::Act {
            session: need(&line, &line.session, "session")?,
            grant: need(&line, &line.grant, "grant")?,
            resource: need(&line, &line.resource, "resource")?,
            action: need(&line, &data.action, "action")?,
            bounds: need(&line, &data.bounds, "bounds")?.into(),
            reach: data.reach.map(Into::into),
        }
    } else if !data.steps.is_empty() {
        Ask::Script {
            grant: need(&line, &line.grant, "grant")?,
            resource: need(&line, &line.resource, "resource")?,
            steps: data.steps.into_iter().map(Into::into).collect(),
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

fn request_event(line: &Raw) -> Result<RequestEvent, BadLine> {
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
                terms: data.terms.map(Into::into).unwrap_or_default(),
            }
        }
        "decision.quorum_reached" => {
            let data: ReceiptData = data(line)?;
            let (uses, valid_until) = (data.uses, data.valid_until.0);
            let envelope = data.envelope.map(Into::into);
            RequestEvent::QuorumReached { request, uses, valid_until, envelope }
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
            let data: UsedData = data(line)?;
            RequestEvent::Used { request, session: need(line, &line.session, "session")?, rows: data.rows }
        }
        "action.completed" => {
            let data: SettledData = data(line)?;
            let outcome = outcome_of(data.result, data.rows, data.code);
            let outcome = outcome.ok_or_else(|| missing(line, "result"))?;
            RequestEvent::Settled { request, outcome, transaction: data.transaction.map(Into::into) }
        }
        "action.concluded" => {
            let data: ConcludedData = data(line)?;
            let session = need(line, &line.session, "session")?;
            let fate = data.transaction.fate().ok_or_else(|| missing(line, "transaction"))?;
            RequestEvent::Concluded { request, session, from: data.from, fate }
        }
        other => return Err(BadLine::Type(other.to_owned())),
    })
}

fn grant_event(line: &Raw) -> Result<GrantEvent, BadLine> {
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

fn session_event(line: &Raw) -> Result<SessionEvent, BadLine> {
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
    let by = || need(line, &line.actor, "actor");
    let reason = || Ok::<_, BadLine>(data::<ReasonData>(line)?.reason.map(|sealed| sealed.0));
    Ok(match line.kind.as_ref() {
        "session.locked" => SessionEvent::Locked { session, by: by()?, reason: reason()? },
        "session.unlocked" => SessionEvent::Unlocked { session, by: by()?, reason: reason()? },
        _ => match data::<TerminatedData>(line)?.why {
            Some(why) => SessionEvent::Closed { session, why },
            None => SessionEvent::EndOrdered { session, by: by()? },
        },
    })
}

fn principal_event(line: &Raw) -> Result<PrincipalEvent, BadLine> {
    let principal = need(line, &line.subject, "subject")?;
    let by = need(line, &line.actor, "actor")?;
    if line.kind == "identity.enabled" {
        let Nothing {} = data(line)?;
        return Ok(PrincipalEvent::Enabled { principal, by });
    }
    let reason = data::<ReasonData>(line)?.reason.map(|sealed| sealed.0);
    Ok(PrincipalEvent::Disabled { principal, by, reason })
}

fn directory_event(line: &Raw) -> Result<DirectoryEvent, BadLine> {
    let principal = || need(line, &line.subject, "subject");
    let told = |change| {
        let data: ToldData = data(line)?;
        let account = Account {
            record: data.record,
            person: need(line, &line.person, "person")?,
            is_active: data.active,
            groups: data.groups.into_iter().collect(),
        };
        Ok(DirectoryEvent::Told { directory: data.directory, principal: principal()?, account, change })
    };
    let heard = |hearing| {
        let DirectoryData { directory } = data(line)?;
        Ok(DirectoryEvent::Heard { directory, hearing })
    };
    match line.kind.as_ref() {
        "identity.created" => told(Change::Created),
        "identity.updated" => told(Change::Updated),
        "identity.disabled" => told(Change::Disabled),
        "identity.enabled" => told(Change::Enabled),
        "identity.removed" => {
            let DirectoryData { directory } = data(line)?;
            Ok(DirectoryEvent::Removed { directory, principal: principal()? })
        }
        "directory.heard" => heard(Hearing::Heard),
        "directory.silent" => heard(Hearing::Silent),
        "directory.lost" => heard(Hearing::Lost),
        other => Err(BadLine::Type(other.to_owned())),
    }
}

fn activated(line: &Raw, hydrate: Hydrate<'_>) -> Result<BundleEvent, BadLine> {
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
