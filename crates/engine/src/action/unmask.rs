//! Masked columns: whether a session may see one as it is, and the key that its masks are made with.
//!
//! Seeing a column is a question of its own (`sql.unmask`), asked anew for each execution like every other. What a gate
//! holds is not seen: masks are shown at once, and nobody is asked. Whoever wants it asked says so for one column, and the next
//! statement that uses it is held as one that does both (`doors::postgres::session::lift`).

use std::collections::BTreeSet;
use std::sync::Arc;

use countersign_core::question::{Context, Value};
use countersign_core::ruling::Verdict;
use countersign_core::{ActionName, ResourceId};

use super::attempt::Attempt;
use super::judge::question;
use super::proof::{Denied, Why};
use crate::engine::Engine;
use crate::session::Session;
use crate::words::{Refused, RefusedCode};

/// What policy says of seeing a masked column as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unmasking {
    /// It is seen.
    Sees,
    /// It is not, unless somebody says yes.
    Asks,
    /// It is not, whoever says what.
    Never,
}

impl Engine {
    /// Whether policy lets a session see a column (`schema.relation.column`) with these labels as it is, now.
    #[must_use]
    pub fn may_unmask(&self, session: &Session, column: &str, labels: &BTreeSet<String>) -> bool {
        self.unmasking(session, column, labels) == Unmasking::Sees
    }

    /// What policy says of a session seeing a column with these labels as it is, now.
    #[must_use]
    pub fn unmasking(&self, session: &Session, column: &str, labels: &BTreeSet<String>) -> Unmasking {
        let snapshot = self.snapshot();
        let at = self.now().max(snapshot.at);
        let (Ok(_), Some(policy)) = (session.stand(&snapshot, at), &snapshot.policy) else {
            return Unmasking::Never;
        };
        let mut said = Context::from([
            ("column", Value::Text(column.to_owned())),
            ("labels", Value::Texts(labels.clone())),
            ("purpose", Value::Text(session.purpose().to_string())),
        ]);
        if let Some(ticket) = session.ticket() {
            said.insert("ticket", Value::Text(ticket.to_string()));
        }
        let kind = ActionName::new("sql.unmask");
        let question = question(session, &kind, said, at);
        match policy.rule_all(&snapshot.book, &question, &[kind]).verdict() {
            Verdict::Allow => Unmasking::Sees,
            Verdict::Hold(_) => Unmasking::Asks,
            Verdict::Deny(_) => Unmasking::Never,
        }
    }

    /// The answer to an attempt that would tell of columns which are masked for its session. It is recorded like every no.
    #[must_use]
    pub fn deny_masked(&self, session: &Session, attempt: Attempt, why: String) -> Denied {
        let snapshot = self.snapshot();
        let at = self.now().max(snapshot.at);
        let statement = session.stand(&snapshot, at).unwrap_or_else(|_| session.bare());
        let hint = "masked columns may be selected, but not computed, compared or copied with; `sql.unmask` permits it, and \
                    where policy holds that, SET countersign.unmask = 'schema.relation.column' asks for it";
        let refused = Refused::new(RefusedCode::NotPermitted, why).hint(hint);
        Denied { statement, attempt, policies: Arc::default(), at, why: Why::Policy, refused }
    }

    /// The key of a resource's masks: the same for as long as the house has its master key, and another for each resource.
    #[must_use]
    pub fn mask_key(&self, resource: &ResourceId) -> [u8; 32] {
        self.0.house.keyring.mac("mask", &[resource.as_str().as_bytes()])
    }
}
