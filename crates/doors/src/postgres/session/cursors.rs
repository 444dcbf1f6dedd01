//! What is behind the names of portals and cursors, so that whoever goes on with one is judged by what was begun.
//!
//! A query is read and planned when its portal is bound or its cursor declared; what its names mean by the time that rows
//! are fetched does not matter. So the facts of that moment are kept and count for every `Execute`, FETCH and MOVE, as long
//! as nothing can have taken the name. Cursors that are gone with their transaction stay here: the server refuses
//! to fetch from them, and whatever makes another one of that name is either seen or makes all of them forgotten.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use countersign_wire::postgres::track::Known;
use countersign_wire::sql::{Facts, Kind};

use super::super::classify::{Statement, Understood};
use super::action::Action;
use super::acts::ActId;
use super::{End, Portal, Session};

/// How many cursors declared by SQL are remembered for one session.
const CURSORS_MAX: usize = 1_024;

/// What cursors that were declared by SQL run.
#[derive(Debug, Default)]
pub(super) struct Cursors(BTreeMap<String, Arc<Facts>>);

impl Cursors {
    /// Something ran that may have closed or made any cursor, but for the one that it fetched from.
    pub(super) fn forget_but(&mut self, kept: Option<&[u8]>) {
        self.0.retain(|name, _| Some(name.as_bytes()) == kept);
    }

    fn declared(&mut self, name: &str, facts: &Arc<Facts>) {
        if self.0.len() >= CURSORS_MAX {
            self.0.clear();
        }
        self.0.insert(name.to_owned(), Arc::clone(facts));
    }
}

/// What an `Execute` goes on with.
pub(super) enum Meant {
    /// This.
    Bound(Arc<Portal>),
    /// Perhaps this, perhaps something that SQL has made.
    Unsure(Option<Arc<Portal>>),
}

impl Session {
    /// A FETCH or MOVE, as what was behind its name when that was made.
    pub(super) fn fetching(&self, understood: Arc<Understood>) -> Arc<Understood> {
        let facts = &understood.facts;
        match facts.fetched_cursor().and_then(|name| self.made(name)) {
            Some(made) => Arc::new(Understood::of(Arc::new(facts.with_cursor(&made)))),
            None => understood,
        }
    }

    /// The facts of what is behind the name of a cursor, if that is certain.
    fn made(&self, name: &str) -> Option<Arc<Facts>> {
        match self.tracker.portal(name.as_bytes()) {
            Known::Certain(portal) => portal.understood.get().map(|understood| Arc::clone(&understood.facts)),
            Known::Unknown => self.cursors.0.get(name).map(Arc::clone),
            Known::Doubtful(_) | Known::Unsettled => None,
        }
    }

    /// Keeps up with cursors that are declared and closed by SQL.
    pub(super) async fn remember_cursors(&mut self, facts: &Arc<Facts>, act: ActId) -> Result<(), End> {
        if facts.cursors.is_empty() || facts.fetched_cursor().is_some() {
            return Ok(());
        }
        self.settle().await?;
        match facts.declared_cursor() {
            Some(name) if !self.acts.has_failed(act) => self.cursors.declared(name, facts),
            _ => self.cursors.forget_but(None),
        }
        Ok(())
    }

    /// More of a portal, as an action: by what it was when it was bound, or as unknown where that is not certain.
    pub(super) async fn more_of(&mut self, name: &Bytes, meant: Meant, raw: &Bytes) -> Result<Action, End> {
        match meant {
            Meant::Bound(portal) => {
                let understood = match portal.understood.get() {
                    Some(understood) => Arc::clone(understood),
                    None => self.understand(&portal.statement).await?,
                };
                Ok(Action::of_portal(&portal, understood, raw.clone()).of_running(name.clone()))
            }
            Meant::Unsure(portal) => {
                let (statement, understood) = self.unsure(name, portal.as_deref());
                let action = match &portal {
                    Some(portal) => Action::of_portal(portal, understood, raw.clone()).shown_as(&statement),
                    None => Action::new(&statement, understood, raw.clone()),
                };
                Ok(action.of_running(name.clone()))
            }
        }
    }

    fn unsure(&self, name: &[u8], portal: Option<&Portal>) -> (Arc<Statement>, Arc<Understood>) {
        let name = name.escape_ascii();
        let (text, types) = match portal {
            Some(portal) => (
                format!(
                    "-- goes on with portal `{name}`; this is what it was bound to, but something else may have taken its \
                     name since:\n{}",
                    portal.statement.text
                ),
                portal.statement.types.to_vec(),
            ),
            None => (format!("-- goes on with portal `{name}`, of which nothing is known"), Vec::new()),
        };
        let session = self.known.shared_session();
        let statement = Arc::new(Statement::new(text.into(), types, session));
        let why = format!("what is behind the portal `{name}` is not certain");
        let facts = Facts { statements: 1, taints_session: true, ..Facts::of(Kind::Unknown, why) };
        (statement, Arc::new(Understood::of(Arc::new(facts))))
    }
}

/// Whether fewer types are declared than there are parameters.
pub(super) fn has_open_types(types: &[u32], parameters: usize) -> bool {
    types.iter().take(parameters).filter(|oid| is_declared(**oid)).count() < parameters
}

/// `unknown` leaves the choice to the server, as 0 does.
pub(super) const fn is_declared(oid: u32) -> bool {
    oid != 0 && oid != 705
}
