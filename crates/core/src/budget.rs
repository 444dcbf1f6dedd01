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
    /// By one statement.
    #[serde(skip_serializing_if = "Limits::is_none")]
    pub statement: Limits,
    /// What becomes of a statement that exceeds that while it runs.
    #[serde(skip_serializing_if = "Longer::is_cut")]
    pub statement_over: Longer,
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
    /// Different relations that they touch. Unlike all else this is known before something runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub relations: Option<u64>,
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

/// What becomes of a statement that takes more than one may, while it runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Longer {
    /// It is stopped, and nothing more of it is passed on.
    #[default]
    Cut,
    /// It goes on, and from then on policies see it in what follows in its session.
    Flag,
}

/// How many different relations are touched with the next action, in all. [`u64::MAX`] is that nobody can tell.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Spread {
    /// Under its grant.
    pub grant: u64,
    /// In its session.
    pub session: u64,
    /// By itself.
    pub statement: u64,
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
    /// Different relations that they touched, where that is limited.
    #[serde(default)]
    pub relations: u64,
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
    /// That of one statement.
    Statement,
    /// That of one tool, in the session.
    Tool,
}

impl Reached {
    /// As policies see it: `grant.rows`, `session.time`.
    #[must_use]
    pub fn name(&self) -> String {
        let whose = match self.whose {
            Whose::Grant => "grant",
            Whose::Session => "session",
            Whose::Statement => "statement",
            Whose::Tool => "tool",
        };
        format!("{whose}.{}", self.what)
    }
}

impl fmt::Display for Reached {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { spent, limit, what, .. } = self;
        match *what {
            "time" => write!(f, "{} of {} seconds", spent / MICROS, limit / MICROS),
            RELATIONS if *spent == u64::MAX => write!(f, "nobody can tell how many of {limit} relations"),
            _ => write!(f, "{spent} of {limit} {what}"),
        }
    }
}

/// The name of a limit of statements, and what they are where tools are called.
const STATEMENTS: &str = "statements";
const CALLS: &str = "calls";
/// The name of a limit of relations.
const RELATIONS: &str = "relations";
/// Microseconds in a second.
const MICROS: u64 = 1_000_000;

impl Budget {
    /// The limits that are reached, the grant's first.
    pub fn reached(self, grant: &Spent, session: &Spent) -> impl Iterator<Item = Reached> {
        let of = |whose, limits: Limits, spent: &Spent| {
            limits.beside(spent).into_iter().filter_map(move |(what, limit, spent)| {
                Some(Reached { whose, what, spent, limit: limit.filter(|limit| spent >= *limit)? })
            })
        };
        of(Whose::Grant, self.grant, grant).chain(of(Whose::Session, self.session, session))
    }

    /// The limits of one tool that are reached in a session in which so much was taken by calls of it.
    pub fn reached_by_calls(limits: Limits, spent: &Spent) -> impl Iterator<Item = Reached> {
        limits.beside(spent).into_iter().filter_map(|(what, limit, spent)| {
            let what = if what == STATEMENTS { CALLS } else { what };
            Some(Reached { whose: Whose::Tool, what, spent, limit: limit.filter(|limit| spent >= *limit)? })
        })
    }

    /// The limits of relations that the next action would exceed, the grant's first.
    pub fn spread_too_far(self, spread: Spread) -> impl Iterator<Item = Reached> {
        let each = [
            (Whose::Grant, self.grant.relations, spread.grant),
            (Whose::Session, self.session.relations, spread.session),
            (Whose::Statement, self.statement.relations, spread.statement),
        ];
        each.into_iter().filter_map(|(whose, limit, spent)| {
            let limit = limit.filter(|limit| spent > *limit)?;
            Some(Reached { whose, what: RELATIONS, spent, limit })
        })
    }

    /// Whether relations are limited, so that they are counted.
    #[must_use]
    pub fn counts_relations(&self) -> bool {
        [self.grant, self.session, self.statement].iter().any(|limits| limits.relations.is_some())
    }

    /// What of the limits of one statement it has exceeded that took so much, where that is only flagged.
    pub fn flagged(self, taken: &Spent) -> impl Iterator<Item = Reached> {
        let flags = self.statement_over == Longer::Flag;
        let limits = if flags { self.statement } else { Limits::default() };
        limits.beside(taken).into_iter().filter_map(|(what, limit, spent)| {
            let limit = limit.filter(|limit| spent > *limit)?;
            Some(Reached { whose: Whose::Statement, what, spent, limit })
        })
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
        let each = self.beside(given).into_iter();
        let mut over =
            each.filter_map(|(what, limit, given)| Some((limit.filter(|most| given > *most)?, what)));
        over.next().map(|(limit, what)| match what {
            "time" => format!("{} seconds", limit / MICROS),
            what => format!("{limit} {what}"),
        })
    }

    /// Each limit by its name, beside what is spent of it; time in microseconds.
    #[must_use]
    pub fn beside(&self, spent: &Spent) -> [(&'static str, Option<u64>, u64); 4] {
        let time = self.time.map(|time| u64::try_from(time.0).unwrap_or_default());
        [
            (STATEMENTS, self.statements, spent.statements),
            ("rows", self.rows, spent.rows),
            ("bytes", self.bytes, spent.bytes),
            ("time", time, spent.micros),
        ]
    }
}

impl Longer {
    fn is_cut(&self) -> bool {
        *self == Self::Cut
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
    fn what_calls_of_a_tool_reach_is_told_in_the_words_of_tools() {
        let limits = Limits { statements: Some(2), bytes: Some(10), ..Limits::default() };
        let over = |statements, bytes| {
            let spent = Spent { statements, bytes, ..Spent::default() };
            let found = Budget::reached_by_calls(limits, &spent).map(|one| (one.name(), one.to_string()));
            found.collect::<Vec<_>>()
        };
        let told = |name: &str, words: &str| (name.to_owned(), words.to_owned());
        assert_eq!(over(1, 9), []);
        assert_eq!(over(2, 10), [told("tool.calls", "2 of 2 calls"), told("tool.bytes", "10 of 10 bytes")]);
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
    fn relations_may_be_as_many_as_the_limit_and_no_more() {
        let limits = |relations| Limits { relations: Some(relations), ..Limits::default() };
        let budget = Budget { grant: limits(3), statement: limits(2), ..Budget::default() };
        let over = |grant, statement| {
            let found = budget.spread_too_far(Spread { grant, session: u64::MAX, statement });
            found.map(|one| (one.name(), one.to_string())).collect::<Vec<_>>()
        };
        assert!(budget.counts_relations() && !Budget::default().counts_relations());
        assert_eq!(over(3, 2), []);
        assert_eq!(over(4, 0), [("grant.relations".to_owned(), "4 of 3 relations".to_owned())]);
        assert_eq!(over(0, u64::MAX)[0].1, "nobody can tell how many of 2 relations");
    }

    #[test]
    fn what_is_flagged_is_not_cut() {
        let statement = Limits { rows: Some(10), ..Limits::default() };
        let cut = Budget { statement, ..Budget::default() };
        let flag = Budget { statement_over: Longer::Flag, ..cut };
        let over = |budget: Budget, rows| budget.flagged(&Spent { rows, ..Spent::default() }).count();
        assert_eq!((over(cut, 11), over(flag, 10), over(flag, 11)), (0, 0, 1));
    }

    #[test]
    fn a_budget_says_only_what_it_limits() {
        let budget = Budget { grant: Limits { rows: Some(1), ..Limits::default() }, ..Budget::default() };
        assert_eq!(serde_json::to_string(&budget).unwrap(), r#"{"grant":{"rows":1}}"#);
        assert_eq!(serde_json::from_str::<Budget>("{}").unwrap(), Budget::default());
    }
}
