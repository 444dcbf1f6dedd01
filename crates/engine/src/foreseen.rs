//! What was foreseen of an action before somebody was asked: how many rows, by which way, and what else it sets in motion.
//!
//! A door fills it in, it is kept with the request's content as it was, and whoever is asked is shown all of it. What could
//! not be found out says why; nothing here is a guess.

use serde::{Deserialize, Serialize};

/// What was foreseen of an action.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Foreseen {
    /// The parts of a MERGE, or the tables of a TRUNCATE, each by itself.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub branches: Vec<Branch>,
    /// Foreign keys that make other tables follow.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub cascades: Vec<Cascade>,
    /// Row level security on what it touches.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub row_security: Vec<RowSecurity>,
    /// The fewest rows that it would touch, where the number is a range.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rows_least: Option<u64>,
    /// Why the rows are not known, in words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rows_unknown: Option<String>,
    /// Rules that rewrite it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub rules: Vec<RewriteRule>,
    /// Triggers that are there for what it does.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub triggers: Vec<Trigger>,
    /// Masked columns that it would show as they are.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub unmasks: Vec<UnmaskedColumn>,
}

/// A masked column that an action would show as it is: its values, what is computed from them, and what is chosen by them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UnmaskedColumn {
    /// As `schema.relation.column`.
    pub column: String,
    /// What kind of data it holds.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub labels: Vec<String>,
}

/// A part of an action that touches rows by itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Branch {
    /// What is done: `update`, `delete`, `insert`, `truncate`, `nothing`.
    pub does: String,
    /// How many rows, counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rows: Option<u64>,
    /// To which: `not matched and s.a > 1`; or the name of the table.
    pub when: String,
}

/// A foreign key whose table follows what happens to the one it refers to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cascade {
    /// The foreign key.
    pub constraint: String,
    /// How many steps it is from the statement's own table; one at least.
    pub depth: u32,
    /// What happens to the rows that refer: `delete`, `update`, `set null`, `set default`, `truncate`.
    pub does: String,
    /// The table that it refers to.
    pub from: String,
    /// The table whose rows refer.
    pub relation: String,
    /// How many rows follow, counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rows: Option<u64>,
    /// Why they are not counted, if they are not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unknown: Option<String>,
}

/// A trigger.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Trigger {
    /// As the server writes it.
    pub definition: String,
    /// With whose rights its function runs, if not with those of whoever sets it off (SECURITY DEFINER).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub definer: Option<String>,
    /// When it fires: `always`, `origin` (as usual), `replica` (not here), `disabled`.
    pub enabled: String,
    /// For what: `insert or update`.
    pub events: String,
    /// What it runs, schema and name.
    pub function: String,
    /// For each `row`, or once for each `statement`.
    pub level: String,
    /// Its name.
    pub name: String,
    /// Its table.
    pub relation: String,
    /// `before`, `after` or `instead of`.
    pub timing: String,
}

/// A rule of a table or view.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RewriteRule {
    /// As the server writes it.
    pub definition: String,
    /// For what: `insert`, `update`, `delete`.
    pub event: String,
    /// It takes the statement's place.
    pub instead: bool,
    /// Its name.
    pub name: String,
    /// Its table or view.
    pub relation: String,
}

/// Row level security of a table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RowSecurity {
    /// Whether it limits the account that the statement runs under; nothing if that is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub applies: Option<bool>,
    /// Its policies.
    pub policies: Vec<RowPolicy>,
    /// The table.
    pub relation: String,
}

/// A policy of a table's row level security.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RowPolicy {
    /// What new rows must satisfy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub check: Option<String>,
    /// For what: `all`, `select`, `insert`, `update`, `delete`.
    pub command: String,
    /// Its name.
    pub name: String,
    /// Whether it narrows what others let through, or lets rows through itself.
    pub restrictive: bool,
    /// Which rows it lets through.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub using: Option<String>,
}

impl Foreseen {
    pub(crate) fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}
