//! Activity: statements and whatever else is recorded and feeds no book.

use std::sync::Arc;

use countersign_core::At;
use countersign_core::book::Standing;

use super::work::{Done, Ended, FIRST, NotDone, Note, Reply, Say, StatementWork};
use super::{Draft, Writer, content};
use crate::line::{Allowed, BadLine, Blocked, Outcome, Place, Policies, Said, Sealed, Statement};
use crate::seal::Field;

impl Writer {
    pub(super) fn statement(&mut self, work: &StatementWork, draft: &mut Draft) -> Reply {
        let said = self.say(work, draft);
        if said.is_ok() {
            draft.spend(&work.statement);
        }
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
            Say::Allowed { body, recorded, claims, entry } => {
                // A read is under way already: it stood on its grant when it was judged, and stands on one still.
                let on_any = *recorded != FIRST;
                if *claims && !self.stands(statement, on_any, draft) {
                    return Err(NotDone::Stale);
                }
                let text = self.texts.commit(&self.ports, statement.session, &body.text, index);
                let parameters = content::parameters(&self.ports, body);
                let data = Allowed {
                    action: &body.action,
                    ended: entry.write(index).as_ref().map(Ended::within),
                    parameters: parameters.as_ref().map(|field| Sealed(field.commitment())),
                    recorded,
                    text: Sealed(text.commitment),
                    text_at: text.at,
                    verbs: &body.verbs,
                };
                let said = said("action.allowed", Outcome::Success, policies, data);
                let fields: Vec<Field> = text.field.into_iter().chain(parameters).collect();
                self.append_with(at, (&statement.key, &fields), draft, |place| statement.seal(&said, place))?;
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
                let said = said("action.blocked", Outcome::Failure, policies, data);
                let fields: Vec<Field> = text.field.into_iter().chain(parameters).collect();
                self.append_with(at, (&statement.key, &fields), draft, |place| statement.seal(&said, place))?;
            }
            Say::Completed { of, ended, kept } => {
                let (outcome, data) = ended.line(of.index());
                let said = said("action.completed", outcome, policies, data);
                let key = kept.as_ref().map_or(&statement.key, |kept| &kept.key);
                let fields = kept.as_ref().map(|kept| std::slice::from_ref(&kept.field)).unwrap_or_default();
                self.append_with(at, (key, fields), draft, |place| statement.seal(&said, place))?;
            }
        }
        Ok(Done { index: Some(index), events: Vec::new() })
    }

    pub(super) fn note(&mut self, note: &Note, draft: &mut Draft) -> Reply {
        let index = self.live.index;
        let now = self.now();
        if !note.fields.is_empty() {
            // The key is stored whatever becomes of the line: it is in the cache from here on.
            let sealing = self.contents.key(&self.house, &note.key, &mut draft.batch.puts)?;
            let put = content::sealed(&self.ports, &sealing, &note.key, index, &note.fields);
            self.append_sealed(now, false, draft, |place| note.line.borrowed().seal(place))?;
            draft.batch.puts.push(put);
        } else {
            self.append_sealed(now, false, draft, |place| note.line.borrowed().seal(place))?;
        }
        draft.batch.puts.extend_from_slice(&note.puts);
        Ok(Done { index: Some(index), events: Vec::new() })
    }

    /// A line about a statement, with content beside it.
    fn append_with(
        &mut self,
        at: At,
        (key, fields): (&Arc<str>, &[Field]),
        draft: &mut Draft,
        seal: impl FnOnce(&Place) -> Result<Vec<u8>, BadLine>,
    ) -> Result<(), NotDone> {
        let index = self.live.index;
        if fields.is_empty() {
            return self.append_sealed(at, false, draft, seal);
        }
        // The key is stored whatever becomes of the line: it is in the cache from here on.
        let sealing = self.contents.key(&self.house, key, &mut draft.batch.puts)?;
        self.append_sealed(at, false, draft, seal)?;
        draft.sheet.add(index, (key, &sealing), fields);
        if draft.sheet.is_full() {
            draft.batch.puts.extend(draft.sheet.put_away(&self.ports));
        }
        Ok(())
    }

    /// Whether a statement's session is not paused, and still stands on the grant, or on any, and under the bundle that it
    /// was judged by.
    fn stands(&self, statement: &Statement, on_any: bool, draft: &mut Draft) -> bool {
        let live = &self.live;
        if live.book.in_force.as_ref().map(|found| found.bundle) != statement.bundle {
            return false;
        }
        let now = self.now();
        let on = draft.claims.entry(statement.session).or_insert_with(|| {
            // Nothing is begun in a paused session, by whatever it was judged before.
            let session = live.book.session(statement.session).filter(|found| found.paused.is_none())?;
            match live.book.standing(session, now) {
                Standing::On(grant) => Some(grant.id),
                Standing::Over(_) => None,
            }
        });
        on.is_some() && (on_any || *on == statement.grant)
    }
}

fn said<'a, D>(
    kind: &'static str,
    outcome: Outcome,
    policies: &'a Option<Arc<Policies>>,
    data: D,
) -> Said<'a, D> {
    Said { kind, outcome, policies: policies.as_deref(), data }
}
