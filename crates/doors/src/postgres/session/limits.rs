//! What one statement may take: cut while it runs, with the session that it runs in.
//!
//! An answer that exceeds its limit is not passed on any further. Nothing less than the end of the session would do: a client that
//! has been given a part of an answer must not take it for all of it. What the statement has changed is rolled back, unless
//! it had ended by itself by then.

use countersign_core::At;
use countersign_engine::CompletionResult;

use super::super::wording;
use super::acts::{ActId, Exceeds};
use super::{End, Session};

impl Session {
    /// An action has given so many rows more.
    ///
    /// # Errors
    /// They are more than it may give.
    pub(super) fn keep_limits(&mut self, act: Option<ActId>, rows: u64) -> Result<(), End> {
        let Some(act) = act else { return Ok(()) };
        match self.acts.gave(act, rows) {
            None => Ok(()),
            Some(Exceeds::Limit(limit)) => Err(self.exceeds(act, &limit)),
            Some(Exceeds::Approved(rows)) => Err(self.shows_more(act, rows)),
        }
    }

    /// When the next action has worked for as long as it may, if it is not watched for already.
    pub(super) fn watch_time(&mut self) {
        let due = self.acts.due();
        if due != self.due_at {
            self.due_at = due;
            match due {
                Some(at) => self.due.set(self.shared.engine.sleep_until(at)),
                None => self.due.set(std::future::pending()),
            }
        }
    }

    /// An hour has come: whether something has worked for longer than it may.
    ///
    /// # Errors
    /// It has.
    pub(super) fn keep_time(&mut self) -> Result<(), End> {
        self.due_at = None;
        // The hour itself is still within the limit.
        let now = At(self.now().0.saturating_add(1));
        match self.acts.overdue(now) {
            None => Ok(()),
            Some((act, limit)) => Err(self.exceeds(act, &limit)),
        }
    }

    /// It would show more of a masked column than somebody has said yes to.
    fn shows_more(&mut self, act: ActId, approved: u64) -> End {
        let (rows, now) = (self.acts.given(act), self.now());
        self.acts.end(act, CompletionResult::BeyondBound { rows }, now);
        let message = format!("a mask was lifted for {approved} rows, and this statement gives more");
        let report = wording::fatal(wording::NOT_PERMITTED, message);
        End::Broken(Box::new(
            report.hint("the data has changed since it was shown; connect again and ask again"),
        ))
    }

    fn exceeds(&mut self, act: ActId, limit: &str) -> End {
        let (code, now) = (wording::SPENT.to_owned(), self.now());
        self.acts.end(act, CompletionResult::Failed { code }, now);
        let role = self.me.role();
        let message =
            format!("this statement takes more than {limit}, which is what role `{role}` lets one take");
        let report = wording::fatal(wording::SPENT, message);
        End::Broken(Box::new(
            report.hint("connect again, and ask for less at a time: narrow it, or add a LIMIT"),
        ))
    }
}
