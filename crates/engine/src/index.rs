//! What lines tell of: which request, grant and session, and what the book knows beyond the event itself.
//!
//! The book remembers what is live and what ended not long ago. Everything ever is found through the keys here,
//! which are written with the lines, so a request can be shown with its words the moment it exists.

use std::sync::Arc;

use countersign_core::bundle::Event as BundleEvent;
use countersign_core::catalogue::Catalogue;
use countersign_core::grant::Event as GrantEvent;
use countersign_core::principal::Event as PrincipalEvent;
use countersign_core::request::{Ask, Event as RequestEvent};
use countersign_core::session::Event as SessionEvent;
use countersign_core::{Book, Digest, Event, GrantId, PrincipalId, RequestId, SessionId};

use countersign_ledger::content::Commitment;

use crate::line::Envelope;
use crate::store::{Drawer, Put};

/// The key of everything that is told of a request.
pub(crate) fn request_key(id: RequestId) -> Vec<u8> {
    key(b'r', id.0)
}

/// The key of everything that is told of a grant.
pub(crate) fn grant_key(id: GrantId) -> Vec<u8> {
    key(b'g', id.0)
}

/// The key of everything that is told of a session but its statements.
pub(crate) fn session_key(id: SessionId) -> Vec<u8> {
    key(b's', id.0)
}

/// The key of all requests for the same action, before the request's own identifier.
pub(crate) fn same_key(mac: &[u8; 32]) -> Vec<u8> {
    let half = mac.first_chunk::<16>().map_or(0, |half| u128::from_be_bytes(*half));
    let mut key = key(b'q', half);
    key.reserve(16);
    key
}

fn key(kind: u8, id: u128) -> Vec<u8> {
    let mut key = Vec::with_capacity(25);
    key.push(kind);
    key.extend_from_slice(&id.to_be_bytes());
    key
}

/// The identifier in a key of [`Drawer::History`].
pub(crate) fn id_in(key: &[u8]) -> Option<u128> {
    key.get(1..17)?.try_into().ok().map(u128::from_be_bytes)
}

/// The entries that find a decision's line again.
pub(crate) fn history_puts<D>(event: &Event, line: &Envelope<D>, index: u64) -> Vec<Put> {
    let keys = match event {
        Event::Request(_) => vec![line.request.map(request_key)],
        Event::Grant(GrantEvent::Issued { .. }) => {
            vec![line.grant.map(grant_key), line.request.map(request_key)]
        }
        Event::Grant(_) => vec![line.grant.map(grant_key)],
        Event::Session(_) => vec![line.session.map(session_key)],
        Event::Bundle(_) => vec![line.request.map(request_key)],
        Event::Principal(_) | Event::Directory(_) => Vec::new(),
    };
    keys.into_iter()
        .flatten()
        .map(|mut key| {
            key.extend_from_slice(&index.to_be_bytes());
            Put::set(Drawer::History, key, Vec::new())
        })
        .collect()
}

/// The contents that an event's line commits to.
pub(crate) fn commitments_in(event: &Event) -> Vec<Digest> {
    let signature = match event {
        Event::Request(RequestEvent::Approved { signature: Some(signature), .. }) => {
            signature.assertion.parse::<Commitment>().ok().map(|found| Digest(found.0.0))
        }
        _ => None,
    };
    commitment_in(event).into_iter().chain(signature).collect()
}

fn commitment_in(event: &Event) -> Option<Digest> {
    match event {
        Event::Request(event) => match event {
            RequestEvent::Asked { content, .. } => *content,
            RequestEvent::Approved { comment, .. } | RequestEvent::Denied { comment, .. } => *comment,
            RequestEvent::QuorumReached { .. }
            | RequestEvent::Lapsed { .. }
            | RequestEvent::Withdrawn { .. }
            | RequestEvent::Voided { .. }
            | RequestEvent::Escalated { .. }
            | RequestEvent::Used { .. }
            | RequestEvent::Settled { .. }
            | RequestEvent::Concluded { .. } => None,
        },
        Event::Grant(GrantEvent::Revoked { reason, .. })
        | Event::Principal(PrincipalEvent::Disabled { reason, .. }) => *reason,
        Event::Grant(
            GrantEvent::Issued { .. } | GrantEvent::Expired { .. } | GrantEvent::Relinquished { .. },
        )
        | Event::Principal(PrincipalEvent::Enabled { .. })
        | Event::Directory(_)
        | Event::Bundle(_) => None,
        Event::Session(event) => match event {
            SessionEvent::Opened { opening, .. } => opening.content,
            SessionEvent::Locked { reason, .. } | SessionEvent::Unlocked { reason, .. } => *reason,
            SessionEvent::EndOrdered { .. } | SessionEvent::Closed { .. } => None,
        },
    }
}

/// The catalogue that an event carries and its line does not.
pub(crate) fn catalogue_in(event: &Event) -> Option<Arc<Catalogue>> {
    match event {
        Event::Bundle(BundleEvent::Activated { catalogue, .. }) => Some(Arc::clone(catalogue)),
        _ => None,
    }
}

/// Adds to a decision's line what the book knows of its subject: an auditor reads lines one by one. None of it is
/// read back.
pub(crate) fn describe<D>(line: &mut Envelope<D>, book: &Book, event: &Event) {
    match event {
        Event::Request(_) => describe_request(line, book),
        Event::Grant(_) => describe_grant(line, book),
        Event::Session(_) => describe_session(line, book),
        Event::Principal(_) | Event::Directory(_) | Event::Bundle(_) => {}
    }
    if let Some(actor) = &line.actor {
        if line.person.is_none() {
            line.person = book.person(actor).cloned();
        }
        let chain = book.catalogue.chain(actor);
        if chain.len() > 1 {
            line.chain = chain;
        }
    }
}

fn describe_request<D>(line: &mut Envelope<D>, book: &Book) {
    let Some(found) = line.request.and_then(|id| book.request(id)) else { return };
    line.digest = Some(found.digest);
    about(line, &found.by);
    match &found.ask {
        Ask::Access { role, .. } => line.role = Some(role.clone()),
        Ask::Act { session, grant, resource, .. } => {
            // A receipt for several uses may be used in another session than the one that waited.
            let session = *line.session.get_or_insert(*session);
            line.grant = Some(*grant);
            line.resource = Some(resource.clone());
            line.role = book.session(session).map(|session| session.opening.role.clone());
        }
        Ask::Script { grant, resource, .. } => {
            line.grant = Some(*grant);
            line.resource = Some(resource.clone());
            line.role = book.grant(*grant).map(|found| found.role.clone());
        }
        Ask::Apply { .. } => {}
    }
    if matches!(line.kind.as_ref(), "action.allowed" | "action.completed" | "action.concluded") {
        line.actor = Some(found.by.clone());
        line.bundle = book.in_force.as_ref().map(|in_force| in_force.bundle);
    }
}

fn describe_grant<D>(line: &mut Envelope<D>, book: &Book) {
    let Some(found) = line.grant.and_then(|id| book.grant(id)) else { return };
    about(line, &found.principal);
    line.role = Some(found.role.clone());
}

fn describe_session<D>(line: &mut Envelope<D>, book: &Book) {
    let Some(found) = line.session.and_then(|id| book.session(id)) else { return };
    about(line, &found.opening.principal);
    line.resource = Some(found.opening.resource.clone());
    line.role = Some(found.opening.role.clone());
    line.grant = Some(found.grant);
}

fn about<D>(line: &mut Envelope<D>, principal: &PrincipalId) {
    if line.subject.is_none() && line.actor.as_ref() != Some(principal) {
        line.subject = Some(principal.clone());
    }
}
