//! The kinds and verbs of statements.
//!
//! A kind is what policies are written about (`sql.read`, `sql.write`, ...); a verb says which statement it was.
//! Both are closed tables: a statement that is on neither is `sql.unknown`.

use serde::Serialize;

/// What a statement amounts to. The order is strictness: the kind of several statements is the greatest of theirs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Transaction control, harmless settings, SHOW, cursors and prepared statements being closed.
    Session,
    /// A provable read, and nothing else.
    Read,
    /// Something runs that cannot be seen into: functions that are not reviewed, triggers, cursors, EXPLAIN.
    Call,
    /// Rows are changed.
    Write,
    /// The shape of the database is changed.
    Ddl,
    /// Roles, privileges, servers, files, programs, settings that change meaning.
    Admin,
    /// Not understood, or nothing can be known about it. Treated as the strictest.
    Unknown,
}

impl Kind {
    /// The action that policies name, such as `sql.read`.
    pub fn action(self) -> &'static str {
        match self {
            Kind::Session => "sql.session",
            Kind::Read => "sql.read",
            Kind::Call => "sql.call",
            Kind::Write => "sql.write",
            Kind::Ddl => "sql.ddl",
            Kind::Admin => "sql.admin",
            Kind::Unknown => "sql.unknown",
        }
    }
}

/// The name of what a statement does, such as `delete` or `create_table`; always one of a closed table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct Verb(pub(super) &'static str);

impl Verb {
    /// The verb as text.
    pub fn as_str(self) -> &'static str {
        self.0
    }
}
