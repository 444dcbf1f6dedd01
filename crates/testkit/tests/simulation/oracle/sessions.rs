//! Sessions: opened on a live grant, paused and resumed by whoever may, over when they are over.

use countersign_core::SessionId;
use countersign_engine::line::Line;

use super::{Checked, Oracle, Session, Violation, must, text};
use crate::bundles::{DBAS, person};

impl Oracle {
    pub(super) fn opened(&mut self, line: &Line) -> Checked {
        let id = line.session.ok_or_else(|| Violation::new("lines are whole", "no session"))?;
        let session = Session {
            principal: text(line.actor.as_ref()),
            role: text(line.role.as_ref()),
            resource: text(line.resource.as_ref()),
            ordered: false,
            paused: None,
        };
        must(self.holds(&session.principal, &session.role, line.at), "access is live grants", || {
            format!("{} holds no grant of {}", session.principal, session.role)
        })?;
        must(self.sessions.insert(id, session).is_none(), "sessions are new", || id.to_string())
    }

    pub(super) fn terminated(&mut self, line: &Line) -> Checked {
        let id = line.session.ok_or_else(|| Violation::new("lines are whole", "no session"))?;
        let over = line.data.get("why").is_some();
        let found = self.sessions.get_mut(&id);
        let found = found.ok_or_else(|| Violation::new("ended is ended", format!("session {id}")))?;
        found.ordered = true;
        if over {
            self.sessions.remove(&id);
        }
        Ok(())
    }

    pub(super) fn locked(&mut self, line: &Line) -> Checked {
        let (by, found) = self.paused_by(line)?;
        let own = |who: &str| person(who) == person(&found.principal);
        let free = found.paused.as_deref().is_none_or(|had| own(had) && !own(&by));
        must(free, "a pause is a pause", || format!("{by} paused it over {:?}", found.paused))?;
        found.paused = Some(by);
        Ok(())
    }

    pub(super) fn unlocked(&mut self, line: &Line) -> Checked {
        let (by, found) = self.paused_by(line)?;
        let own = person(&by) == person(&found.principal);
        let had = found.paused.take();
        must(had.is_some(), "a pause is a pause", || format!("{by} resumed what was not paused"))?;
        must(!own || had.as_ref() == Some(&by), "a pause is a pause", || {
            format!("{by} resumed it over {had:?}")
        })
    }

    /// Whoever pauses or resumes a session, and the session, if policy lets them.
    fn paused_by(&mut self, line: &Line) -> Result<(String, &mut Session), Violation> {
        let id = line.session.ok_or_else(|| Violation::new("lines are whole", "no session"))?;
        let by = text(line.actor.as_ref());
        let found = self.sessions.get_mut(&id);
        let found = found.ok_or_else(|| Violation::new("ended is ended", format!("session {id}")))?;
        must(!found.ordered, "an end is an end", || format!("{id} was to end"))?;
        let may = DBAS.contains(&by.as_str()) || person(&by) == person(&found.principal);
        must(may, "policy is asked now", || format!("{by} stopped it, or let it go on"))?;
        Ok((by, found))
    }

    /// Whether something may begin in a session. To ask for something is not to begin it.
    pub(super) fn goes_on(&self, session: SessionId) -> Checked {
        let paused = self.sessions.get(&session).and_then(|found| found.paused.as_ref());
        must(paused.is_none(), "a pause is a pause", || format!("{session} is paused by {paused:?}"))
    }
}
