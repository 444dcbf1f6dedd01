//! Deciding about sessions.

use std::sync::Arc;

use super::{Book, Event, Facts, Standing};
use crate::ids::{PrincipalId, SessionId};
use crate::refusal::Refusal;
use crate::request::{self, Ask, Outcome, Request, State, Withdrawal};
use crate::session::{Command, Event as SessionEvent, Opening, Pause, Session};
use crate::time::At;

pub(super) fn decide(book: &Book, command: Command, facts: &Facts) -> Result<Vec<Event>, Refusal> {
    match command {
        Command::Open(opening) => open(book, opening, facts),
        Command::Close { session, why } => {
            book.session(session).ok_or(Refusal::NoSuchSession(session))?;
            let mut events = book.left_behind(|gone| gone == session, Withdrawal::SessionEnded);
            events.push(Event::Session(SessionEvent::Closed { session, why }));
            Ok(events)
        }
        Command::End { session, by } => {
            let found = book.session(session).ok_or(Refusal::NoSuchSession(session))?;
            if found.end_ordered.is_some() {
                return Err(Refusal::SessionEnding(session));
            }
            book.may_stop(&by, found, facts)?;
            Ok(vec![Event::Session(SessionEvent::EndOrdered { session, by })])
        }
        Command::Pause { session, by, reason } => {
            let found = book.session(session).ok_or(Refusal::NoSuchSession(session))?;
            book.may_stop(&by, found, facts)?;
            book.can_pause(&by, found, facts.now)?;
            Ok(vec![Event::Session(SessionEvent::Locked { session, by, reason })])
        }
        Command::Resume { session, by, reason } => {
            let found = book.session(session).ok_or(Refusal::NoSuchSession(session))?;
            book.may_stop(&by, found, facts)?;
            book.can_resume(&by, found, facts.now)?;
            Ok(vec![Event::Session(SessionEvent::Unlocked { session, by, reason })])
        }
    }
}

fn open(book: &Book, opening: Opening, facts: &Facts) -> Result<Vec<Event>, Refusal> {
    if book.session(opening.session).is_some() {
        return Err(Refusal::Exists(opening.session.to_string()));
    }
    let person = book.acting(&opening.principal)?.person.clone();
    if !book.catalogue.resources.contains_key(&opening.resource) {
        return Err(Refusal::NoSuchResource(opening.resource));
    }
    let grant = book
        .live_grant(&opening.principal, &opening.role, facts.now)
        .filter(|_| book.role_reaches(&opening.role, &opening.resource))
        .ok_or_else(|| Refusal::NoLiveGrant(opening.role.clone()))?
        .id;
    book.permitted(facts)?;
    Ok(vec![Event::Session(SessionEvent::Opened { opening, person, grant })])
}

impl Book {
    /// Whether there is something that `by` could pause, if policy lets them. Somebody else's word counts beyond that of the
    /// session's own person, who could otherwise pause it first and let it go on later.
    ///
    /// # Errors
    /// The session is being ended, or paused already.
    pub fn can_pause(&self, by: &PrincipalId, session: &Session, now: At) -> Result<(), Refusal> {
        self.goes_on(session, now)?;
        match &session.paused {
            Some(pause) if !self.is_of(&pause.by, session) || self.is_of(by, session) => {
                Err(Refusal::SessionPaused(session.opening.session))
            }
            Some(_) | None => Ok(()),
        }
    }

    /// Whether there is something that `by` could resume, if policy lets them. What somebody else has paused, nobody resumes
    /// for their own person, whatever policy says: that is no policy's to give away, as little as a yes to one's own request.
    ///
    /// # Errors
    /// The session is being ended, or not paused, or paused by somebody else than its own person.
    pub fn can_resume(&self, by: &PrincipalId, session: &Session, now: At) -> Result<(), Refusal> {
        self.goes_on(session, now)?;
        let id = session.opening.session;
        let pause = session.paused.as_ref().ok_or(Refusal::SessionNotPaused(id))?;
        if pause.by != *by && self.is_of(by, session) {
            return Err(Refusal::PausedByAnother(id));
        }
        Ok(())
    }

    fn goes_on(&self, session: &Session, now: At) -> Result<(), Refusal> {
        match self.standing(session, now) {
            Standing::On(_) => Ok(()),
            Standing::Over(_) => Err(Refusal::SessionEnding(session.opening.session)),
        }
    }

    /// Whoever a session is of may stop it; others if policy permits it.
    fn may_stop(&self, by: &PrincipalId, session: &Session, facts: &Facts) -> Result<(), Refusal> {
        if session.opening.principal != *by {
            self.deciding_user(by)?;
            self.permitted(facts)?;
        }
        Ok(())
    }

    /// Whether a session is of the person of `by`. Of somebody who is not known it is, which is the stricter answer.
    fn is_of(&self, by: &PrincipalId, session: &Session) -> bool {
        self.person(by).is_none_or(|person| *person == session.person)
    }

    /// The ends of what sessions that are `gone` leave behind: requests that wait in them, and uses without
    /// an outcome.
    pub(super) fn left_behind(&self, gone: impl Fn(SessionId) -> bool, why: Withdrawal) -> Vec<Event> {
        self.requests().flat_map(|found| self.abandoned(found, &gone, why)).collect()
    }

    pub(super) fn apply_session(&mut self, event: &SessionEvent, at: At) {
        match event {
            SessionEvent::Opened { opening, person, grant } => {
                let opened = Session {
                    opening: opening.clone(),
                    person: person.clone(),
                    grant: *grant,
                    opened_at: at,
                    end_ordered: None,
                    paused: None,
                };
                self.sessions.insert(opening.session, Arc::new(opened));
            }
            SessionEvent::EndOrdered { session, by } => {
                if let Some(found) = self.sessions.get_mut(session) {
                    Arc::make_mut(found).end_ordered = Some(by.clone());
                }
            }
            SessionEvent::Locked { session, by, reason } => {
                let pause = Pause { by: by.clone(), at, reason: *reason };
                self.set_paused(*session, Some(pause));
            }
            SessionEvent::Unlocked { session, .. } => self.set_paused(*session, None),
            SessionEvent::Closed { session, .. } => {
                self.sessions.remove(session);
            }
        }
    }

    fn set_paused(&mut self, session: SessionId, pause: Option<Pause>) {
        if let Some(found) = self.sessions.get_mut(&session) {
            Arc::make_mut(found).paused = pause;
        }
    }

    /// What becomes of a request whose session is gone. A receipt for several uses, or an envelope, outlives the
    /// session that waited for it; nothing is known of a use that was under way, nor of transactions that were open.
    fn abandoned(&self, request: &Request, gone: impl Fn(SessionId) -> bool, why: Withdrawal) -> Vec<Event> {
        let mut events = self.given_up(request, &gone, why);
        events.extend(request.left_open(gone));
        events
    }

    fn given_up(&self, request: &Request, gone: impl Fn(SessionId) -> bool, why: Withdrawal) -> Vec<Event> {
        let waiting = match &request.ask {
            Ask::Act { session, .. } => session,
            Ask::Script { .. } => return self.script_given_up(request, &gone, why),
            Ask::Access { .. } | Ask::Apply { .. } => return Vec::new(),
        };
        let over = match &request.state {
            State::Pending => gone(*waiting),
            State::Approved(receipt) => match receipt.running {
                Some(using) if gone(using) => return self.settled(request, receipt, Outcome::Unknown, None),
                Some(_) => false,
                None => gone(*waiting) && !receipt.outlives_its_session() && !receipt.is_spent(),
            },
            State::Denied { .. } | State::Lapsed { .. } | State::Withdrawn { .. } | State::Void { .. } => {
                false
            }
        };
        let withdrawn =
            over.then_some(Event::Request(request::Event::Withdrawn { request: request.id, why }));
        withdrawn.into_iter().collect()
    }

    /// A script ends with the session that it is under way in: what it relies on went with it. One that has not begun waits
    /// for no session; but what policy is asked about one that is pending is in the memory of the gateway alone.
    fn script_given_up(
        &self,
        request: &Request,
        gone: impl Fn(SessionId) -> bool,
        why: Withdrawal,
    ) -> Vec<Event> {
        let over = match &request.state {
            State::Pending => why == Withdrawal::GatewayRestarted,
            State::Approved(receipt) => match receipt.running {
                Some(using) if gone(using) => return self.settled(request, receipt, Outcome::Unknown, None),
                Some(_) => false,
                None => request.under_way().is_some_and(gone),
            },
            State::Denied { .. } | State::Lapsed { .. } | State::Withdrawn { .. } | State::Void { .. } => {
                false
            }
        };
        let withdrawn =
            over.then_some(Event::Request(request::Event::Withdrawn { request: request.id, why }));
        withdrawn.into_iter().collect()
    }
}
