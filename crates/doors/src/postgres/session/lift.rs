//! A mask that is lifted for one column of one statement, because somebody says yes to it.
//!
//! The session says which column it wants to see (`SET countersign.unmask = 'public.customers.email'`). The next statement that
//! uses that column becomes an action of two parts, what it does and `sql.unmask`, which policy rules on together and
//! whoever is asked is asked about together: the column is among the settings of what is approved, so that the yes is for this
//! column of this statement and for nothing else. Whatever comes of it, the wish is gone with it.
//!
//! What not: no cursor, no prepared name, no part of a portal. Whoever says yes sees in its own text what will be shown, and it
//! is shown in one go. No copy either: what is written elsewhere would be there for everybody.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use countersign_core::ActionName;
use countersign_core::question::{Context, Value};
use countersign_engine::foreseen::UnmaskedColumn;
use countersign_engine::{Attempt, Look, Unmasking};
use countersign_wire::postgres::encode::Report;

use super::super::wording;
use super::action::Action;
use super::{End, Session};

/// The name of the action that it makes a statement.
const UNMASK: &str = "sql.unmask";
/// The verb of a statement for which a mask is lifted.
const VERB: &str = "unmask";
/// Where it stands among what is approved.
const SETTING: &str = "countersign.unmask";

/// A masked column that is to be shown.
#[derive(Debug)]
pub(super) struct Lift {
    /// As `schema.relation.column`.
    column: String,
    labels: BTreeSet<String>,
}

impl Lift {
    /// The column.
    pub(super) fn column(&self) -> &str {
        &self.column
    }

    /// Makes an attempt one that asks for it.
    pub(super) fn put_into(&self, attempt: &mut Attempt) {
        attempt.kind = ActionName::new(UNMASK);
        attempt.actions = attempt.actions.iter().cloned().chain([attempt.kind.clone()]).collect();
        attempt.verbs = attempt.verbs.iter().cloned().chain([VERB.to_owned()]).collect();
        let mut context = Context::clone(&attempt.context);
        if let Some(Value::Texts(verbs)) = context.get_mut("verbs") {
            verbs.insert(VERB.to_owned());
        }
        context.insert("column", Value::Text(self.column.clone()));
        context.insert("labels", Value::Texts(self.labels.clone()));
        attempt.context = Arc::new(context);
        self.put_among(Arc::make_mut(&mut attempt.settings));
    }

    /// Puts it among the settings of what is approved.
    pub(super) fn put_among(&self, settings: &mut BTreeMap<String, String>) {
        settings.insert(SETTING.to_owned(), self.column.clone());
    }

    /// As whoever is asked is shown it.
    pub(super) fn shown(&self) -> UnmaskedColumn {
        UnmaskedColumn { column: self.column.clone(), labels: self.labels.iter().cloned().collect() }
    }

    /// What whoever is asked should know beside that.
    pub(super) fn note(&self, look: &Look) -> Option<String> {
        let unbounded = look.rows.is_none() || !look.can_bound_rows;
        unbounded.then(|| {
            let column = &self.column;
            format!(
                "how many values of `{column}` it shows is not bounded: what is approved is whatever it gives"
            )
        })
    }
}

impl Session {
    /// Takes note that a column is to be shown to the next statement that uses it. Nothing said is that none is.
    ///
    /// # Errors
    /// There is none, or policy lets nobody say yes.
    pub(super) fn check_wish(&self, column: &str) -> Result<Arc<Lift>, Report> {
        let masks = self.target.masks.as_ref();
        let Some(protection) = masks.and_then(|masks| masks.named(column)) else {
            let message = format!("`{}` is no masked column of this resource", wording::clean(column));
            return Err(wording::error("42703", message)
                .hint("name it as its bundle does: SET countersign.unmask = 'schema.relation.column'"));
        };
        if self.shared.engine.unmasking(&self.me, column, &protection.labels) == Unmasking::Never {
            let message = format!("policy lets nobody lift the mask of `{column}` for you");
            return Err(wording::error(wording::NOT_PERMITTED, message)
                .hint("ask those who apply policy: `sql.unmask` must be permitted, behind a gate"));
        }
        Ok(Arc::new(Lift { column: column.to_owned(), labels: protection.labels.clone() }))
    }

    /// The mask that is to be lifted for an action, if it is the one that was wished for.
    ///
    /// # Errors
    /// As [`Session::weigh`].
    pub(super) fn lifting(&mut self, action: &Action) -> Result<Option<Arc<Lift>>, End> {
        let Some(wish) = self.wish.clone() else { return Ok(None) };
        self.masks_hold()?;
        let facts = &action.understood.facts;
        let used = self.target.masks.as_ref().is_some_and(|masks| masks.uses(facts, &wish.column));
        if !used || self.shared.engine.may_unmask(&self.me, &wish.column, &wish.labels) {
            return Ok(None);
        }
        if let Some(why) = unfit(action) {
            let message = format!("the mask of `{}` is not lifted for this: {why}", wish.column);
            let report = wording::notice(message)
                .hint("it is lifted for one plain statement, whose answer is taken in one go");
            self.say(&report);
            return Ok(None);
        }
        self.wish = None;
        Ok(Some(wish))
    }
}

/// Why no mask is lifted for an action, if none can be.
fn unfit(action: &Action) -> Option<&'static str> {
    let facts = &action.understood.facts;
    if action.alone {
        return Some("it is bound without being executed");
    }
    if action.running.is_some() || facts.fetched_cursor().is_some() {
        return Some("it goes on with what was begun before");
    }
    if !facts.cursors.is_empty() {
        return Some("it declares or closes a cursor, whose rows would come later");
    }
    if !facts.prepared.is_empty() {
        return Some("its own text does not say what runs");
    }
    if action.settled {
        return Some("it is no statement");
    }
    (facts.statements != 1).then_some("it is more than one statement")
}
