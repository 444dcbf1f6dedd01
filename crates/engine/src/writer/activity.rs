//! Activity: statements and whatever else is recorded and feeds no book.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use countersign_core::At;
use countersign_core::book::Standing;

use super::work::{Done, FIRST, NotDone, Note, Reply, Say, StatementWork};
use super::{Draft, Writer, content};
use crate::line::{Allowed, Blocked, Envelope, Outcome, Sealed, Statement};
use crate::seal::Field;

impl Writer {
    pub(super) fn statement(&mut self, work: &StatementWork, draft: &mut Draft) -> Reply {
        let said = self.say(work, draft);
        if said.is_err() {
            // A text that was to be kept beside this line is not.
            self.texts.forget(work.statement.session);
        }
        said
    }

    fn say(&mut self, work: &StatementWork, draft: &mut Draft) -> Reply {
        let StatementWork { statement, at, policies, say } = work;
        let at = *at;
        let index = self.live.index;
        match say {
            Say::Allowed { body, recorded, claims, index: told } => {
                // A read is under way already: it stood on its grant when it was judged, and stands on one still.
                let on_any = *recorded != FIRST;
                if *claims && !self.stands(statement, on_any, draft) {
                    return Err(NotDone::Stale);
                }
                let text = self.texts.commit(&self.ports, statement.session, &body.text, index);
                let parameters = content::parameters(&self.ports, body);
                let data = Allowed {
                    action: &body.action,
                    parameters: parameters.as_ref().map(|field| Sealed(field.commitment())),
                    recorded,
                    text: Sealed(text.commitment),
                    text_at: text.at,
                    verbs: &body.verbs,
                };
                let mut line = statement.envelope("action.allowed", Outcome::Success, data);
                line.policies.clone_from(policies);
                let fields: Vec<Field> = text.field.into_iter().chain(parameters).collect();
                self.append_with(line, at, (&statement.key, &fields), draft)?;
                told.store(index, Ordering::Release);
            }
            Say::Blocked { body, reason } => {
                let text = content::fresh(&self.ports, &body.text);
                let parameters = content::parameters(&self.ports, body);
                let data = Blocked {
                    action: &body.action,
                    parameters: parameters.as_ref().map(|field| Sealed(field.commitment())),
                    reason,
                    text: Sealed(text.commitment),
                    verbs: &body.verbs,
                };
                let mut line = statement.envelope("action.blocked", Outcome::Failure, data);
                line.policies.clone_from(policies);
                let fields: Vec<Field> = text.field.into_iter().chain(parameters).collect();
                self.append_with(line, at, (&statement.key, &fields), draft)?;
            }
            Say::Completed { of, ended } => {
                let (outcome, data) = ended.line(of.load(Ordering::Acquire));
                let line = statement.envelope("action.completed", outcome, data);
                self.append_line(line, at, false, draft)?;
            }
        }
        Ok(Done { index: Some(index), events: Vec::new() })
    }

    pub(super) fn note(&mut self, note: &Note, draft: &mut Draft) -> Reply {
        let index = self.live.index;
        let now = self.now();
        self.append_with(note.line.borrowed(), now, (&note.key, &note.fields), draft)?;
        draft.batch.puts.extend_from_slice(&note.puts);
        Ok(Done { index: Some(index), events: Vec::new() })
    }

    /// A line with content beside it.
    fn append_with<D: serde::Serialize>(
        &mut self,
        line: Envelope<D>,
        at: At,
        (key, fields): (&Arc<str>, &[Field]),
        draft: &mut Draft,
    ) -> Result<(), NotDone> {
        let index = self.live.index;
        if fields.is_empty() {
            return self.append_line(line, at, false, draft);
        }
        // The key is stored whatever becomes of the line: it is in the cache from here on.
        let sealing = self.contents.key(&self.house, key, &mut draft.batch.puts)?;
        let put = content::sealed(&self.ports, &sealing, key, index, fields);
        self.append_line(line, at, false, draft)?;
        draft.batch.puts.push(put);
        Ok(())
    }

    /// Whether a statement's session still stands on the grant, or on any, and under the bundle that it was judged by.
    fn stands(&self, statement: &Statement, on_any: bool, draft: &mut Draft) -> bool {
        let live = &self.live;
        if live.book.in_force.as_ref().map(|found| found.bundle) != statement.bundle {
            return false;
        }
        let now = self.now();
        let on = draft.claims.entry(statement.session).or_insert_with(|| {
            let session = live.book.session(statement.session)?;
            match live.book.standing(session, now) {
                Standing::On(grant) => Some(grant.id),
                Standing::Over(_) => None,
            }
        });
        on.is_some() && (on_any || *on == statement.grant)
    }
}
