//! Grants and sessions as a person is shown them.

use countersign_core::grant::{self, Grant};
use countersign_core::question::Target;
use countersign_core::session::Ending;
use countersign_core::{At, GrantId, Refusal, SessionId};

use super::{GrantFilter, GrantView, Named, PausedView, SessionView, newest};
use crate::engine::Engine;
use crate::index::{grant_key, session_key};
use crate::line::Line;
use crate::people::Caller;
use crate::settings::PAGE_MAX;
use crate::snapshot::Snapshot;
use crate::words::Refused;

impl Engine {
    /// One grant, if the caller may see it.
    ///
    /// # Errors
    /// There is none, or it is none of the caller's business.
    pub fn grant_view(&self, caller: &Caller, id: GrantId) -> Result<GrantView, Refused> {
        let snapshot = self.snapshot();
        let past;
        let grant = match snapshot.book.grant(id) {
            Some(found) => found,
            None => {
                past = self.fold(&grant_key(id));
                past.grant(id).ok_or(Refusal::NoSuchGrant(id))?
            }
        };
        if !self.sees_grant(caller, &snapshot, grant) {
            return Err(Refusal::NoSuchGrant(id).into());
        }
        Ok(self.show_grant(caller, &snapshot, grant))
    }

    /// Grants that the caller may see, newest first.
    #[must_use]
    pub fn grant_views(&self, caller: &Caller, filter: GrantFilter) -> Vec<GrantView> {
        let snapshot = self.snapshot();
        let now = self.now().max(snapshot.at);
        let state = filter.state.unwrap_or("live");
        let seen = |grant: &&Grant| {
            grant.state_at(now) == state
                && (!filter.mine || grant.principal == caller.principal)
                && self.sees_grant(caller, &snapshot, grant)
        };
        let live = snapshot.book.grants().rev().filter(seen).take(PAGE_MAX);
        let live = live.map(|grant| (grant.id.0, self.show_grant(caller, &snapshot, grant))).collect();
        let known = |id: u128| snapshot.book.grant(GrantId(id)).is_some();
        let past = if state == "live" { Vec::new() } else { self.past(b'g', known) };
        newest(live, past, PAGE_MAX, |id| {
            let book = self.fold(&grant_key(GrantId(id)));
            let found = book.grant(GrantId(id)).filter(&seen);
            found.map(|grant| self.show_grant(caller, &snapshot, grant))
        })
    }

    /// One session, open or ended, if the caller may see it.
    ///
    /// # Errors
    /// There is none, or it is none of the caller's business; it is not said which.
    pub fn session_view(&self, caller: &Caller, id: SessionId) -> Result<SessionView, Refused> {
        let found = self.session_of(caller, &self.snapshot(), id);
        found.ok_or_else(|| Refusal::NoSuchSession(id).into())
    }

    /// Sessions that the caller may see, newest first: `live`, `ended`, or without a state those that are live.
    #[must_use]
    pub fn session_views(&self, caller: &Caller, state: Option<&str>) -> Vec<SessionView> {
        let snapshot = self.snapshot();
        if state.is_none_or(|state| state == "live") {
            let open = snapshot.book.sessions().rev().take(PAGE_MAX);
            let views = open.filter_map(|found| self.session_of(caller, &snapshot, found.opening.session));
            return views.collect();
        }
        let open = |id: u128| snapshot.book.session(SessionId(id)).is_some();
        let past = self.past(b's', open).into_iter().map(SessionId);
        past.filter_map(|id| self.session_of(caller, &snapshot, id)).take(PAGE_MAX).collect()
    }

    /// A session as policy is asked about it, open or not.
    pub(crate) fn session_target(&self, snapshot: &Snapshot, id: SessionId) -> Option<Target> {
        if let Some(found) = snapshot.book.session(id) {
            let (principal, person) = (found.opening.principal.clone(), found.person.clone());
            return Some(Target::Session { id, principal, person });
        }
        let opened = self.line(self.0.house.first_told(&session_key(id))?)?;
        Some(Target::Session { id, principal: opened.actor?, person: opened.person? })
    }

    fn sees_grant(&self, caller: &Caller, snapshot: &Snapshot, grant: &Grant) -> bool {
        self.may(caller, snapshot, "grant.read", target_of_grant(grant))
    }

    fn show_grant(&self, caller: &Caller, snapshot: &Snapshot, grant: &Grant) -> GrantView {
        let now = self.now().max(snapshot.at);
        let live = matches!(grant.state, grant::State::Live) && now < grant.not_after;
        let role = snapshot.book.catalogue.roles.get(&grant.role);
        let content = self.0.house.content_of_request(grant.request);
        GrantView {
            state: grant.state_at(now),
            resources: role.map(|role| role.resources.iter().cloned().collect()).unwrap_or_default(),
            spent: self.0.spending.spent(grant.id),
            budget: role.and_then(|role| role.budget),
            purpose: content.map(|content| content.purpose).filter(|purpose| !purpose.is_empty()),
            ended: match &grant.state {
                grant::State::Live | grant::State::Expired { .. } => None,
                grant::State::Revoked { at, by, .. } => Some((*at, Named::of(snapshot, by))),
                grant::State::Relinquished { at } => Some((*at, Named::of(snapshot, &grant.principal))),
            },
            can_revoke: live && self.may(caller, snapshot, "grant.revoke", target_of_grant(grant)),
            can_relinquish: live && grant.principal == caller.principal,
            holder: Named::of(snapshot, &grant.principal),
            grant: grant.clone(),
        }
    }

    /// A session, from the line that opened it.
    fn session_of(&self, caller: &Caller, snapshot: &Snapshot, id: SessionId) -> Option<SessionView> {
        let opened = self.line(self.0.house.first_told(&session_key(id))?)?;
        let person = opened.person.clone()?;
        let principal = opened.actor.clone()?;
        let target = || Target::Session { id, principal: principal.clone(), person: person.clone() };
        if !self.may(caller, snapshot, "session.read", target()) {
            return None;
        }
        let live = snapshot.book.session(id);
        let ended = match live {
            Some(_) => None,
            None => self.ending_told(id),
        };
        let content = self.0.house.content_at(&opened, "/data/content");
        let content: Option<serde_json::Value> =
            content.and_then(|kept| serde_json::from_slice(&kept.bytes).ok());
        let said = |name: &str| {
            let value = content.as_ref()?.get(name)?.as_str()?;
            (!value.is_empty()).then(|| value.to_owned())
        };
        let can_end = live.is_some_and(|live| live.end_ordered.is_none())
            && self.may(caller, snapshot, "session.end", target());
        let now = self.now().max(snapshot.at);
        let (book, by) = (&snapshot.book, &caller.principal);
        let can_pause = live.is_some_and(|live| book.can_pause(by, live, now).is_ok())
            && self.may(caller, snapshot, "session.pause", target());
        let can_resume = live.is_some_and(|live| book.can_resume(by, live, now).is_ok())
            && self.may(caller, snapshot, "session.resume", target());
        let paused = live.and_then(|live| live.paused.as_ref()).map(|pause| PausedView {
            by: Named::of(snapshot, &pause.by),
            at: pause.at,
            reason: self.words_at(&session_key(id), pause.reason),
        });
        Some(SessionView {
            id,
            state: if live.is_some() { "live" } else { "ended" },
            principal: Named::of(snapshot, &principal),
            role: opened.role.clone()?,
            resource: opened.resource.clone()?,
            door: opened.data.get("door").and_then(serde_json::Value::as_str).unwrap_or_default().to_owned(),
            address: said("address"),
            application: said("application"),
            purpose: said("purpose"),
            opened_at: opened.at,
            ended,
            grant: opened.grant?,
            paused,
            can_end,
            can_pause,
            can_resume,
            person,
        })
    }

    /// When and why a session ended.
    fn ending_told(&self, id: SessionId) -> Option<(At, Ending)> {
        let last = self.0.house.last_told(&session_key(id), ENDS_MAX).ok()?;
        last.iter().find_map(|index| ending(&self.line(*index)?))
    }
}

fn target_of_grant(grant: &Grant) -> Target {
    Target::Grant {
        id: grant.id,
        principal: grant.principal.clone(),
        person: grant.person.clone(),
        role: grant.role.clone(),
    }
}

/// How many of a session's last lines its end is looked for in: the order to end it may stand in front.
const ENDS_MAX: usize = 4;

/// When and why a line says that a session ended.
fn ending(line: &Line) -> Option<(At, Ending)> {
    let why = line.data.get("why").filter(|_| line.kind == "session.terminated")?;
    Some((line.at, serde_json::from_value(why.clone()).ok()?))
}
