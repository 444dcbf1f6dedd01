//! What was foreseen of an action, and what came before it, as whoever is asked is shown it.

use countersign_core::At;
use countersign_engine::foreseen;
use countersign_engine::so_far;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::marks::{Mark, marks};
use super::{Outcome, RequestState};

/// A part of an action that touches rows by itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Branch {
    /// Which rows: `not matched and s.a > 1`; or the name of the table.
    pub when: String,
    /// What is done to them: `update`, `delete`, `insert`, `truncate`, `nothing`.
    pub does: String,
    /// How many, counted; absent when unknown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub rows: Option<u64>,
}

/// What an action would set in motion beside itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Effects {
    /// Foreign keys that make other tables follow, nearest first.
    pub cascades: Vec<Cascade>,
    /// Triggers that are there for what it does, enabled or not.
    pub triggers: Vec<Trigger>,
    /// Rules that rewrite it.
    pub rules: Vec<RewriteRule>,
    /// Row level security on what it touches.
    pub row_security: Vec<RowSecurity>,
    /// Masked columns that it would show as they are, once.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unmasks: Vec<UnmaskedColumn>,
}

/// A masked column that an action would show as it is: its values, what is computed from them, and what is chosen by them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct UnmaskedColumn {
    /// The column, as `schema.relation.column`.
    pub column: String,
    /// What kind of data it holds.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub labels: Vec<String>,
}

/// A foreign key whose table follows what happens to the one it refers to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Cascade {
    /// The table whose rows follow.
    pub relation: String,
    /// The table that they refer to.
    pub from: String,
    /// The foreign key.
    pub constraint: String,
    /// What happens to them: `delete`, `update`, `set null`, `set default`, `truncate`.
    pub does: String,
    /// How many steps it is from the statement's own table.
    pub depth: u32,
    /// How many rows, counted; absent when unknown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub rows: Option<u64>,
    /// Why they are unknown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub unknown: Option<String>,
}

/// A trigger.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Trigger {
    /// Its name.
    pub name: String,
    /// Its table.
    pub relation: String,
    /// `before`, `after` or `instead of`.
    pub timing: String,
    /// For what: `insert or update`.
    pub events: String,
    /// For each `row`, or once for each `statement`.
    pub level: String,
    /// What it runs.
    pub function: String,
    /// With whose rights that runs, if not with those of whoever sets it off (SECURITY DEFINER).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub definer: Option<String>,
    /// When it fires: `always`, `origin` (as usual), `replica` (not here), `disabled`.
    pub enabled: String,
    /// As the server writes it.
    pub definition: String,
}

/// A rule of a table or view.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RewriteRule {
    /// Its name.
    pub name: String,
    /// Its table or view.
    pub relation: String,
    /// For what: `insert`, `update`, `delete`.
    pub event: String,
    /// It takes the statement's place.
    pub instead: bool,
    /// As the server writes it.
    pub definition: String,
}

/// Row level security of a table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RowSecurity {
    /// The table.
    pub relation: String,
    /// Whether it limits the account that the action runs under; absent when unknown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub applies: Option<bool>,
    /// Its policies.
    pub policies: Vec<RowPolicy>,
}

/// A policy of a table's row level security.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RowPolicy {
    /// Its name.
    pub name: String,
    /// For what: `all`, `select`, `insert`, `update`, `delete`.
    pub command: String,
    /// Whether it narrows what others let through.
    pub restrictive: bool,
    /// Which rows it lets through.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub using: Option<String>,
    /// What new rows must satisfy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub check: Option<String>,
}

/// What was done in a session before an action was asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SoFar {
    /// When the session began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, format = DateTime)]
    pub since: Option<String>,
    /// The last statements, newest first.
    pub statements: Vec<SoFarStatement>,
    /// There were more.
    pub more: bool,
}

/// One statement of a session.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SoFarStatement {
    /// When.
    #[schema(format = DateTime)]
    pub at: String,
    /// What it is called: `sql.select`.
    pub action: String,
    /// `allow`, `deny`; `hold` if somebody said yes first.
    pub verdict: String,
    /// Its full text; absent when it is too long to be put forward, or gone. The ledger's line has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub text: Option<String>,
    /// The characters of `text` that hide or deceive.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub marks: Vec<Mark>,
    /// How it ended, in one word; absent when that was not known yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub result: Option<String>,
    /// Rows touched or given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub rows: Option<u64>,
    /// The target's error code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub code: Option<String>,
    /// Its line in the ledger.
    pub line: u64,
    /// The request that it was allowed by.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub request: Option<String>,
}

/// What became of the same action when it was asked for before.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Earlier {
    /// How often the same person asked, of the last hundred times.
    pub by_person: usize,
    /// How often anybody did.
    pub by_anybody: usize,
    /// The last times, newest first.
    pub last: Vec<Time>,
}

/// One of the times that the same was asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Time {
    /// The request.
    pub id: String,
    /// Who asked.
    pub by: String,
    /// When.
    #[schema(format = DateTime)]
    pub at: String,
    /// Where it stands.
    pub state: RequestState,
    /// Who said yes, or no.
    pub answered: Vec<String>,
    /// How it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub outcome: Option<Outcome>,
}

impl From<foreseen::Branch> for Branch {
    fn from(branch: foreseen::Branch) -> Self {
        let foreseen::Branch { does, rows, when } = branch;
        Self { when, does, rows }
    }
}

impl Effects {
    pub(super) fn of(foreseen: foreseen::Foreseen) -> Self {
        Self {
            cascades: foreseen.cascades.into_iter().map(Into::into).collect(),
            triggers: foreseen.triggers.into_iter().map(Into::into).collect(),
            rules: foreseen.rules.into_iter().map(Into::into).collect(),
            row_security: foreseen.row_security.into_iter().map(Into::into).collect(),
            unmasks: foreseen.unmasks.into_iter().map(Into::into).collect(),
        }
    }
}

impl From<foreseen::UnmaskedColumn> for UnmaskedColumn {
    fn from(one: foreseen::UnmaskedColumn) -> Self {
        Self { column: one.column, labels: one.labels }
    }
}

impl From<foreseen::Cascade> for Cascade {
    fn from(one: foreseen::Cascade) -> Self {
        let foreseen::Cascade { constraint, depth, does, from, relation, rows, unknown } = one;
        Self { relation, from, constraint, does, depth, rows, unknown }
    }
}

impl From<foreseen::Trigger> for Trigger {
    fn from(one: foreseen::Trigger) -> Self {
        let foreseen::Trigger {
            definition,
            definer,
            enabled,
            events,
            function,
            level,
            name,
            relation,
            timing,
        } = one;
        Self { name, relation, timing, events, level, function, definer, enabled, definition }
    }
}

impl From<foreseen::RewriteRule> for RewriteRule {
    fn from(one: foreseen::RewriteRule) -> Self {
        let foreseen::RewriteRule { definition, event, instead, name, relation } = one;
        Self { name, relation, event, instead, definition }
    }
}

impl From<foreseen::RowSecurity> for RowSecurity {
    fn from(one: foreseen::RowSecurity) -> Self {
        let policies = one.policies.into_iter().map(Into::into).collect();
        Self { relation: one.relation, applies: one.applies, policies }
    }
}

impl From<foreseen::RowPolicy> for RowPolicy {
    fn from(one: foreseen::RowPolicy) -> Self {
        let foreseen::RowPolicy { check, command, name, restrictive, using } = one;
        Self { name, command, restrictive, using, check }
    }
}

impl From<so_far::SoFar> for SoFar {
    fn from(so_far: so_far::SoFar) -> Self {
        Self {
            since: so_far.since_us.map(|at| At(at).rfc3339()),
            statements: so_far.statements.into_iter().map(Into::into).collect(),
            more: so_far.more,
        }
    }
}

impl From<so_far::Done> for SoFarStatement {
    fn from(one: so_far::Done) -> Self {
        Self {
            at: At(one.at_us).rfc3339(),
            action: one.action,
            verdict: one.verdict,
            marks: one.text.as_deref().map(marks).unwrap_or_default(),
            text: one.text,
            result: one.result,
            rows: one.rows,
            code: one.code,
            line: one.line,
            request: one.request.map(|id| id.to_string()),
        }
    }
}

impl From<so_far::Earlier> for Earlier {
    fn from(earlier: so_far::Earlier) -> Self {
        let so_far::Earlier { by_person, by_anybody, last } = earlier;
        Self { by_person, by_anybody, last: last.into_iter().map(Into::into).collect() }
    }
}

impl From<so_far::Time> for Time {
    fn from(time: so_far::Time) -> Self {
        Self {
            id: time.id.to_string(),
            by: time.by.to_string(),
            at: time.at.rfc3339(),
            state: RequestState::named(time.state),
            answered: time.answered.iter().map(ToString::to_string).collect(),
            outcome: time
                .outcome
                .as_ref()
                .map(|ended| Outcome { transaction: time.transaction.map(Into::into), ..Outcome::of(ended) }),
        }
    }
}
