//! What is known about a statement, in the form that policies use, approvers read and the ledger keeps.
//!
//! Everything is ordered, so that equal statements give byte-for-byte equal facts.

use std::collections::BTreeSet;

use serde::Serialize;

use super::kinds::{Kind, Verb};

/// The facts about one statement text (which may hold several statements).
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Facts {
    /// The strictest of `kinds`: how the text is named. A policy must permit every one of `kinds`.
    pub kind: Kind,
    /// Every kind that applies: an INSERT that calls an unreviewed function is a write and a call.
    pub kinds: BTreeSet<Kind>,
    /// Whether the text is one provable read (contract, section 1) and may be forwarded before it is recorded.
    pub provable_read: bool,
    /// What is done, nested data-modifying statements included.
    pub verbs: BTreeSet<Verb>,
    /// How many statements the text holds.
    pub statements: u32,
    /// The relations named, with what is done to them.
    pub relations: BTreeSet<Relation>,
    /// The functions called by name, as written.
    pub functions: BTreeSet<String>,
    /// The operators used, as written.
    pub operators: BTreeSet<String>,
    /// The types named (casts, column definitions), as written.
    pub types: BTreeSet<String>,
    /// For each UPDATE and DELETE: its table and whether it has a WHERE.
    pub predicates: Vec<Predicate>,
    /// Whether every statement that gives back rows says how many at most: a query without LIMIT and COPY of a whole table
    /// do not. False for what is not understood.
    pub has_limit: bool,
    /// Where COPY reads from or writes to.
    pub copies: BTreeSet<CopyTarget>,
    /// Settings that are changed, role and session authorization included.
    pub settings: BTreeSet<SettingChange>,
    /// Whether the current role or the session's authorization changes.
    pub role_change: bool,
    /// Whether a WITH clause changes data.
    pub data_modifying_cte: bool,
    /// Whether rows are locked (FOR UPDATE and its kin).
    pub locks_rows: bool,
    /// Whether a SELECT ... INTO creates a table.
    pub select_into: bool,
    /// Whether something temporary is created, which may then stand in for what has the same name.
    pub creates_temporary: bool,
    /// Whether an EXPLAIN executes its statement.
    pub explain_analyze: bool,
    /// Prepared statements that are made, run or dropped by name.
    pub prepared: Vec<Prepared>,
    /// Cursors that are declared, fetched from or closed by name (an empty name is all of them).
    pub cursors: BTreeSet<String>,
    /// The numbers of the parameters used (`$1` is 1).
    pub parameters: BTreeSet<u32>,
    /// Transaction control, in order.
    pub transaction: Vec<TransactionStep>,
    /// Why the kinds are what they are, each in words for an approver.
    pub reasons: Vec<String>,
    /// How the rows of a single INSERT, UPDATE or DELETE can be counted beforehand without changing anything.
    pub row_count: Option<CountTarget>,
    /// Byte ranges of the text that hold secrets, in order, not overlapping; see [`super::redact`].
    pub secret_spans: Vec<std::ops::Range<usize>>,
    /// Whether running it may change session state in ways that cannot be seen from outside: afterwards the caller
    /// no longer knows the search path, the prepared statements or whether temporary objects exist.
    pub taints_session: bool,
}

impl Facts {
    /// Facts with nothing in them but a kind and its reason.
    pub fn of(kind: Kind, reason: String) -> Facts {
        Facts {
            kinds: BTreeSet::from([kind]),
            kind,
            reasons: vec![reason],
            has_limit: false,
            ..Facts::empty()
        }
    }

    pub(super) fn empty() -> Facts {
        Facts {
            kind: Kind::Session,
            kinds: BTreeSet::new(),
            provable_read: false,
            verbs: BTreeSet::new(),
            statements: 0,
            relations: BTreeSet::new(),
            functions: BTreeSet::new(),
            operators: BTreeSet::new(),
            types: BTreeSet::new(),
            predicates: Vec::new(),
            has_limit: true,
            copies: BTreeSet::new(),
            settings: BTreeSet::new(),
            role_change: false,
            data_modifying_cte: false,
            locks_rows: false,
            select_into: false,
            creates_temporary: false,
            explain_analyze: false,
            prepared: Vec::new(),
            cursors: BTreeSet::new(),
            parameters: BTreeSet::new(),
            transaction: Vec::new(),
            reasons: Vec::new(),
            row_count: None,
            secret_spans: Vec::new(),
            taints_session: false,
        }
    }

    /// Whether a verb is among the verbs.
    pub fn has_verb(&self, verb: &str) -> bool {
        self.verbs.iter().any(|v| v.as_str() == verb)
    }

    /// Whether running it may change what names mean: it defines something, or runs what may.
    pub fn may_define(&self) -> bool {
        self.taints_session || self.kinds.iter().any(|k| matches!(k, Kind::Ddl | Kind::Admin | Kind::Unknown))
    }

    /// The facts of an `EXECUTE name`, given the facts of the statement that was prepared under that name in this
    /// session. The caller vouches that nothing replaced it since (see `taints_session`).
    ///
    /// Only a text that is this one EXECUTE becomes known by it. Beside other statements, or as the source of a
    /// CREATE TABLE, it stays what it is.
    #[must_use]
    pub fn with_prepared(&self, prepared: &Facts) -> Facts {
        let runs = |verb: &Verb| matches!(verb.as_str(), "execute" | "explain");
        if self.statements != 1 || self.prepared.len() != 1 || !self.verbs.iter().all(runs) {
            return self.clone();
        }
        let mut facts = prepared.clone();
        facts.verbs.extend(self.verbs.iter().copied());
        facts.functions.extend(self.functions.iter().cloned());
        facts.prepared.clone_from(&self.prepared);
        facts.secret_spans.clone_from(&self.secret_spans);
        facts.parameters.clone_from(&self.parameters);
        facts.statements = self.statements;
        facts.row_count = None;
        facts.kinds.extend(self.kinds.iter().filter(|kind| **kind != Kind::Unknown));
        // EXECUTE's own arguments are expressions, and a prepared read is planned again at leisure: never provable.
        facts.provable_read = false;
        let calls = !(self.functions.is_empty() && self.operators.is_empty() && self.types.is_empty());
        let reads = !self.relations.is_empty();
        if facts.kinds.remove(&Kind::Read) || facts.kinds.is_empty() || calls || reads {
            facts.kinds.insert(Kind::Call);
        }
        if calls || reads {
            facts.relations.extend(self.relations.iter().cloned());
            facts.reasons.push("the arguments of EXECUTE are not looked into".to_owned());
            facts.taints_session = true;
        }
        facts.kind = facts.kinds.last().copied().unwrap_or(Kind::Unknown);
        facts.reasons.insert(0, "EXECUTE runs a statement that was prepared earlier".to_owned());
        facts
    }

    /// The cursor that the text does nothing but fetch from, or move: its query runs, and no name changes.
    pub fn fetched_cursor(&self) -> Option<&str> {
        let fetches = self.has_verb("fetch") || self.has_verb("move");
        let alone = self.statements == 1 && self.cursors.len() == 1 && !self.has_verb("declare");
        self.cursors.first().filter(|_| fetches && alone).map(String::as_str)
    }

    /// The cursor that the text does nothing but declare.
    pub fn declared_cursor(&self) -> Option<&str> {
        let alone = self.statements == 1 && self.cursors.len() == 1 && self.transaction.is_empty();
        self.cursors.first().filter(|_| alone && self.has_verb("declare")).map(String::as_str)
    }

    /// The facts of a FETCH or MOVE, given those of what made its cursor: its DECLARE, or the statement of a portal, as
    /// they were when it was made. The caller vouches that nothing replaced it since.
    ///
    /// Its query was read and planned then, so what its names mean by now does not matter: fetching from a provable
    /// read is one.
    #[must_use]
    pub fn with_cursor(&self, made: &Facts) -> Facts {
        if self.fetched_cursor().is_none() || made.statements != 1 {
            return self.clone();
        }
        let mut facts = made.clone();
        facts.verbs.remove(&Verb("declare"));
        facts.verbs.extend(self.verbs.iter().copied());
        facts.cursors.clone_from(&self.cursors);
        (facts.parameters, facts.secret_spans, facts.row_count) = (BTreeSet::new(), Vec::new(), None);
        // A DECLARE is a call, because it runs nothing by itself; that it leaves nothing in doubt proves its query.
        let proved = made.declared_cursor().is_some()
            && !made.taints_session
            && !made.locks_rows
            && made.kinds.iter().all(|kind| *kind == Kind::Call);
        if proved {
            (facts.kind, facts.kinds, facts.provable_read) = (Kind::Read, BTreeSet::from([Kind::Read]), true);
        }
        facts.reasons.insert(0, "it goes on with a query that was begun earlier".to_owned());
        facts
    }
}

/// A relation that a statement names.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Relation {
    /// The schema: as written, or as the search path resolves it when that is certain.
    pub schema: Option<String>,
    /// The name.
    pub name: String,
    /// What is done to it.
    pub access: Access,
    /// Its OID in the target database, when the catalogue is known and the name resolves to one relation.
    pub oid: Option<u32>,
    /// What it is, when the catalogue is known.
    pub kind: Option<RelationKind>,
}

/// What is done to a relation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Access {
    /// Rows are read.
    Read,
    /// Rows are changed or locked.
    Write,
    /// Its definition, privileges or existence change.
    Ddl,
}

/// What a relation is (`pg_class.relkind`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum RelationKind {
    /// An ordinary table.
    Table,
    /// A partitioned table.
    PartitionedTable,
    /// A view.
    View,
    /// A materialised view.
    MaterialisedView,
    /// A foreign table: reading it runs somebody's wrapper.
    ForeignTable,
    /// A sequence.
    Sequence,
    /// Anything else.
    Other,
}

/// What an UPDATE or DELETE is limited by.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Predicate {
    /// `update` or `delete`.
    pub verb: Verb,
    /// The table, as written.
    pub table: String,
    /// Whether there is a WHERE.
    pub has_where: bool,
}

/// Where COPY reads from or writes to.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case", tag = "target", content = "name")]
pub enum CopyTarget {
    /// The client sends rows.
    FromClient,
    /// The client gets rows.
    ToClient,
    /// A file on the server is read.
    FromFile(String),
    /// A file on the server is written.
    ToFile(String),
    /// A program on the server is run for its output.
    FromProgram(String),
    /// A program on the server is run and fed.
    ToProgram(String),
}

/// A change of a setting.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct SettingChange {
    /// The setting's name in lower case; `all` for RESET ALL and DISCARD ALL.
    pub name: String,
    /// The new value where it is written as constants, joined with `, `; `None` for the default.
    pub value: Option<String>,
    /// How long it lasts.
    pub scope: SettingScope,
}

/// How long a setting lasts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum SettingScope {
    /// Until the transaction ends.
    Transaction,
    /// Until the session ends (or the transaction rolls back).
    Session,
}

/// A prepared statement that is named in SQL.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Prepared {
    /// Its name; empty for `DEALLOCATE ALL`.
    pub name: String,
    /// What is done with it.
    pub usage: PreparedUse,
}

/// What is done with a prepared statement.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum PreparedUse {
    /// It is made.
    Prepare,
    /// It is run.
    Execute,
    /// It is dropped.
    Deallocate,
}

/// A step of transaction control.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "step", content = "name")]
pub enum TransactionStep {
    /// BEGIN or START TRANSACTION.
    Begin,
    /// COMMIT or END.
    Commit,
    /// ROLLBACK or ABORT.
    Rollback,
    /// SAVEPOINT.
    Savepoint(String),
    /// RELEASE.
    Release(String),
    /// ROLLBACK TO.
    RollbackTo(String),
    /// PREPARE TRANSACTION: the transaction leaves the session.
    Prepare(String),
    /// COMMIT PREPARED.
    CommitPrepared(String),
    /// ROLLBACK PREPARED.
    RollbackPrepared(String),
}

/// How to know beforehand how many rows a statement will touch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "how", content = "value")]
pub enum CountTarget {
    /// It is written in the statement (`INSERT ... VALUES`).
    Exactly(u64),
    /// This query counts them. It is itself a provable read; it uses the same parameters under the same numbers, so
    /// the caller declares the types of all of the statement's parameters when it runs it.
    Query(String),
}
