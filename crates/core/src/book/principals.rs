//! Deciding about principals.

use super::grants::is_unended;
use super::requests::is_open;
use super::{Book, Event, Facts};
use crate::grant;
use crate::ids::{Digest, PrincipalId};
use crate::principal::{Command, Event as PrincipalEvent};
use crate::refusal::Refusal;
use crate::request::{self, Withdrawal};
use crate::time::At;

pub(super) fn decide(book: &Book, command: Command, facts: &Facts) -> Result<Vec<Event>, Refusal> {
    match command {
        Command::Disable { principal, by, reason } => disable(book, principal, by, reason, facts),
        Command::Enable { principal, by } => {
            book.deciding_user(&by)?;
            if !book.disabled.contains(&principal) {
                return Err(Refusal::NotDisabled(principal));
            }
            book.permitted(facts)?;
            Ok(vec![Event::Principal(PrincipalEvent::Enabled { principal, by })])
        }
    }
}

/// Shuts a principal out, with all that it answers for: what waits is withdrawn, what was granted is revoked.
fn disable(
    book: &Book,
    principal: PrincipalId,
    by: PrincipalId,
    reason: Option<Digest>,
    facts: &Facts,
) -> Result<Vec<Event>, Refusal> {
    book.deciding_user(&by)?;
    if !book.catalogue.principals.contains_key(&principal) {
        return Err(Refusal::NoSuchPrincipal(principal));
    }
    if book.disabled.contains(&principal) {
        return Err(Refusal::Disabled(principal));
    }
    book.permitted(facts)?;
    let mut events = vec![Event::Principal(PrincipalEvent::Disabled {
        principal: principal.clone(),
        by: by.clone(),
        reason,
    })];
    let answering = |other: &PrincipalId| book.answers_for(&principal, other);
    events.extend(ends_of(book, answering, &by, reason, facts.now));
    Ok(events)
}

/// The ends of what principals have who are shut out: what waits is withdrawn, what was granted is revoked.
pub(super) fn ends_of(
    book: &Book,
    is_out: impl Fn(&PrincipalId) -> bool,
    by: &PrincipalId,
    reason: Option<Digest>,
    now: At,
) -> Vec<Event> {
    let requests = book.requests().filter(|request| is_open(request) && is_out(&request.by));
    let withdrawn = requests.map(|found| {
        Event::Request(request::Event::Withdrawn { request: found.id, why: Withdrawal::PrincipalDisabled })
    });
    let grants = book.grants().filter(|grant| is_unended(grant, now) && is_out(&grant.principal));
    let revoked =
        grants.map(|found| Event::Grant(grant::Event::Revoked { grant: found.id, by: by.clone(), reason }));
    withdrawn.chain(revoked).collect()
}

impl Book {
    pub(super) fn apply_principal(&mut self, event: &PrincipalEvent) {
        match event {
            PrincipalEvent::Disabled { principal, .. } => {
                self.disabled.insert(principal.clone());
            }
            PrincipalEvent::Enabled { principal, .. } => {
                self.disabled.remove(principal);
            }
        }
    }
}
