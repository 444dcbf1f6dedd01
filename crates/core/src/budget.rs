//! How much may be taken under a role: by one grant, and by one session.
//!
//! Budgets are counted by whoever sees the target's answers; here is only what they mean. What is spent is never given
//! back: a grant that is used up stays so until it ends.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::Span;

/// How much may be taken under a role.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Budget {
    /// By everything that is done under one grant.
    #[serde(skip_serializing_if = "Limits::is_none")]
    pub grant: Limits,
    /// By everything that is done in one session.
    #[serde(skip_serializing_if = "Limits::is_none")]
    pub session: Limits,
    /// What becomes of an action when something is used up.
    #[serde(skip_serializing_if = "Over::is_deny")]
    pub over: Over,
    /// By one statement: whatever exceeds it is cut while it runs.
    #[serde(skip_serializing_if = "Limits::is_none")]
    pub statement: Limits,
}

/// What may be taken in all; what is absent has no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Statements that ran.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub statements: Option<u64>,
    /// Rows that they gave or touched.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rows: Option<u64>,
    /// Bytes of their answers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
    /// How long the target worked on them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub time: Option<Span>,
}

/// What becomes of an action when something is used up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Over {
    /// It is denied.
    #[default]
    Deny,
    /// Policies say: they see what is used up (`context.over_budget`).
    Policy,
}

/// What was taken so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Spent {
    /// Statements that ran.
    pub statements: u64,
    /// Rows that they gave or touched.
    pub rows: u64,
    /// Bytes of their answers.
    pub bytes: u64,
    /// How long the target worked on them, in microseconds.
    pub micros: u64,
}

/// A limit that is reached. As a text, how far: `50012 of 50000 rows`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reached {
    /// Whose limit.
    pub whose: Whose,
    what: &'static str,
    spent: u64,
    limit: u64,
}

/// Whose limit is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whose {
    /// The grant's.
    Grant,
    /// The session's.
    Session,
}

impl Reached {
    /// As policies see it: `grant.rows`, `session.time`.
    #[must_use]
    pub fn name(&self) -> String {
        let whose = match self.whose {
            Whose::Grant => "grant",
            Whose::Session => "session",
        };
        format!("{whose}.{}", self.what)
    }
}

impl fmt::Display for Reached {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { spent, limit, what, .. } = self;
        match *what {
            "time" => write!(f, "{} of {} seconds", spent / MICROS, limit / MICROS),
            _ => write!(f, "{spent} of {limit} {what}"),
        }
    }
}

/// Microseconds in a second.
const MICROS: u64 = 1_000_000;

impl Budget {
    /// The limits that are reached, the grant's first.
    pub fn reached(self, grant: &Spent, session: &Spent) -> impl Iterator<Item = Reached> {
        let of = |whose, limits: Limits, spent: &Spent| {
            let pairs = limits.beside(spent).into_iter().zip(["statements", "rows", "bytes", "time"]);
            pairs.filter_map(move |((limit, spent), what)| {
                Some(Reached { whose, what, spent, limit: limit.filter(|limit| spent >= *limit)? })
            })
        };
        of(Whose::Grant, self.grant, grant).chain(of(Whose::Session, self.session, session))
    }

    /// Whether anything has a limit.
    #[must_use]
    pub fn limits_anything(&self) -> bool {
        !self.grant.is_none() || !self.session.is_none() || !self.statement.is_none()
    }
}

impl Limits {
    /// Whether nothing has a limit.
    #[must_use]
    pub fn is_none(&self) -> bool {
        *self == Self::default()
    }

    /// The limit that one statement exceeds with what it has given so far, if it does.
    #[must_use]
    pub fn exceeded(&self, given: &Spent) -> Option<String> {
        let pairs = self.beside(given).into_iter().zip(["statements", "rows", "bytes", "time"]);
        let mut over =
            pairs.filter_map(|((limit, given), what)| Some((limit.filter(|most| given > *most)?, what)));
        over.next().map(|(limit, what)| match what {
            "time" => format!("{} seconds", limit / MICROS),
            what => format!("{limit} {what}"),
        })
    }

    /// Each limit beside what is spent of it, time in microseconds.
    #[must_use]
    pub fn beside(&self, spent: &Spent) -> [(Option<u64>, u64); 4] {
        let time = self.time.map(|time| u64::try_from(time.0).unwrap_or_default());
        [
            (self.statements, spent.statements),
            (self.rows, spent.rows),
            (self.bytes, spent.bytes),
            (time, spent.micros),
        ]
    }
}

impl Over {
    fn is_deny(&self) -> bool {
        *self == Self::Deny
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_reached_is_used_up() {
        let grant = Limits { rows: Some(10), time: Some(Span(2_000_000)), ..Limits::default() };
        let session = Limits { statements: Some(0), ..Limits::default() };
        let budget = Budget { grant, session, ..Budget::default() };
        let over = |rows, micros| {
            let spent = Spent { rows, micros, bytes: u64::MAX, ..Spent::default() };
            budget.reached(&spent, &Spent::default()).map(|one| one.name()).collect::<Vec<_>>()
        };
        assert_eq!(over(9, 1_999_999), ["session.statements"]);
        assert_eq!(over(10, 2_000_000), ["grant.rows", "grant.time", "session.statements"]);
        assert_eq!(Budget::default().reached(&Spent::default(), &Spent::default()).count(), 0);
    }

    #[test]
    fn a_statement_exceeds_what_is_more_than_its_limit() {
        let limits = Limits { rows: Some(10), time: Some(Span(2_000_000)), ..Limits::default() };
        let over = |rows, micros| limits.exceeded(&Spent { rows, micros, ..Spent::default() });
        assert_eq!(over(10, 2_000_000), None);
        assert_eq!(over(11, 0).as_deref(), Some("10 rows"));
        assert_eq!(over(0, 2_000_001).as_deref(), Some("2 seconds"));
        assert_eq!(Limits::default().exceeded(&Spent { rows: u64::MAX, ..Spent::default() }), None);
    }

    #[test]
    fn a_budget_says_only_what_it_limits() {
        let budget = Budget { grant: Limits { rows: Some(1), ..Limits::default() }, ..Budget::default() };
        assert_eq!(serde_json::to_string(&budget).unwrap(), r#"{"grant":{"rows":1}}"#);
        assert_eq!(serde_json::from_str::<Budget>("{}").unwrap(), Budget::default());
    }
}
