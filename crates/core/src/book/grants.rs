//! Deciding about grants.

use std::sync::Arc;

use super::{Book, Deadline, Event, Facts, REMEMBERED_MAX};
use crate::grant::{Command, Event as GrantEvent, Grant, State};
use crate::ids::GrantId;
use crate::refusal::Refusal;
use crate::time::At;

pub(super) fn decide(book: &Book, command: Command, facts: &Facts) -> Result<Vec<Event>, Refusal> {
    match command {
        Command::Revoke { grant, by, reason } => {
            book.unended(grant, facts.now)?;
            book.deciding_user(&by)?;
            book.permitted(facts)?;
            Ok(ended(book, grant, GrantEvent::Revoked { grant, by, reason }))
        }
        Command::Relinquish { grant, by } => {
            let found = book.unended(grant, facts.now)?;
            if found.principal != by {
                return Err(Refusal::NotYourGrant(grant));
            }
            Ok(ended(book, grant, GrantEvent::Relinquished { grant }))
        }
    }
}

/// The end of a grant, and of the actions that wait on it.
fn ended(book: &Book, grant: GrantId, event: GrantEvent) -> Vec<Event> {
    let mut events = vec![Event::Grant(event)];
    events.extend(book.cut(grant));
    events
}

impl Book {
    /// A grant that still can be ended: live, or to begin.
    pub(super) fn unended(&self, grant: GrantId, now: At) -> Result<&Grant, Refusal> {
        let found = self.grant(grant).ok_or(Refusal::NoSuchGrant(grant))?;
        if is_unended(found, now) { Ok(found) } else { Err(Refusal::GrantOver(grant, found.state_at(now))) }
    }

    pub(super) fn apply_grant(&mut self, event: &GrantEvent, at: At) {
        match event {
            GrantEvent::Issued { grant, request, principal, person, role, not_before, not_after } => {
                let issued = Grant {
                    id: *grant,
                    request: *request,
                    principal: principal.clone(),
                    person: person.clone(),
                    role: role.clone(),
                    not_before: *not_before,
                    not_after: *not_after,
                    state: State::Live,
                };
                self.deadlines.insert((*not_after, Deadline::Grant(*grant)));
                self.held.insert((principal.clone(), role.clone(), *grant));
                self.grants.insert(*grant, Arc::new(issued));
                self.change_receipt(*request, |receipt| receipt.used = receipt.uses);
            }
            GrantEvent::Expired { grant } => self.end_grant(*grant, State::Expired { at }),
            GrantEvent::Revoked { grant, by, reason } => {
                self.end_grant(*grant, State::Revoked { at, by: by.clone(), reason: *reason });
            }
            GrantEvent::Relinquished { grant } => self.end_grant(*grant, State::Relinquished { at }),
        }
    }

    fn end_grant(&mut self, grant: GrantId, state: State) {
        let Some(found) = self.grants.get_mut(&grant) else { return };
        self.deadlines.remove(&(found.not_after, Deadline::Grant(grant)));
        self.held.remove(&(found.principal.clone(), found.role.clone(), grant));
        Arc::make_mut(found).state = state;
        self.ended.push_back(grant);
        if self.ended.len() > REMEMBERED_MAX
            && let Some(oldest) = self.ended.pop_front()
        {
            self.grants.remove(&oldest);
        }
    }
}

/// Whether nobody and no hour has ended `grant`; it may be yet to begin.
pub(super) fn is_unended(grant: &Grant, now: At) -> bool {
    grant.state == State::Live && now < grant.not_after
}
