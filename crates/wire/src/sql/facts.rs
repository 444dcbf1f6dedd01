//! What is known about a statement, in the form that policies use, approvers read and the ledger keeps.
//!
//! Everything is ordered, so that equal statements give byte-for-byte equal facts.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde::Serialize;

use super::kinds::{Kind, Verb};
use super::lineage::Masking;

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
    /// The functions that those names can mean, by schema and name; none where the catalogue is not known.
    pub calls: BTreeSet<Called>,
    /// The columns that it reads and writes, wherever it names them or reaches them by way of a view, a partition, an
    /// ancestor or a foreign key.
    pub columns: BTreeSet<ColumnUse>,
    /// Every relation that it names or reaches so, as `schema.name`.
    pub touches: BTreeSet<String>,
    /// What those are, in words: see [`RelationKind::as_str`] and [`PartOf::as_str`]; `temporary`; `unknown`.
    pub relation_kinds: BTreeSet<&'static str>,
    /// Whether every name was resolved and nothing runs that is not looked into, so that `calls`, `columns` and `touches`
    /// are all there is.
    pub resolved: bool,
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
    /// How the rows that a single statement writes can be counted beforehand without changing anything; nothing for
    /// what writes none.
    pub row_count: Option<CountTarget>,
    /// A query, itself a provable read, whose plan tells how many rows the server expects a single statement to touch or
    /// to give. For a provable read that is its own text, and this is nothing.
    pub plan: Option<String>,
    /// The rows that a single UPDATE or DELETE changes or takes away.
    pub affected: Option<Affected>,
    /// Whether an INSERT updates rows that are there already (ON CONFLICT DO UPDATE), wherever in the statement.
    pub upserts: bool,
    /// What it does with columns that are masked, where the database has any. Nothing for a text that is not understood.
    #[serde(skip)]
    pub masking: Option<Arc<Masking>>,
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
            resolved: false,
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
            calls: BTreeSet::new(),
            columns: BTreeSet::new(),
            touches: BTreeSet::new(),
            relation_kinds: BTreeSet::new(),
            resolved: true,
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
            plan: None,
            affected: None,
            upserts: false,
            masking: None,
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
        facts.calls.extend(self.calls.iter().cloned());
        facts.touches.extend(self.touches.iter().cloned());
        facts.columns.extend(self.columns.iter().cloned());
        facts.relation_kinds.extend(&self.relation_kinds);
        facts.prepared.clone_from(&self.prepared);
        facts.secret_spans.clone_from(&self.secret_spans);
        facts.parameters.clone_from(&self.parameters);
        facts.statements = self.statements;
        (facts.row_count, facts.plan, facts.affected) = (unforeseen(), None, None);
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
            facts.resolved = false;
        }
        facts.kind = facts.kinds.last().copied().unwrap_or(Kind::Unknown);
        facts.reasons.insert(0, "EXECUTE runs a statement that was prepared earlier".to_owned());
        facts
    }

    /// The cursor that the text does nothing but fetch from, or move: its query runs, and no name changes.
    pub fn fetched_cursor(&self) -> Option<&str> {
        if self.statements != 1 || self.cursors.len() != 1 {
            return None;
        }
        let fetches = (self.has_verb("fetch") || self.has_verb("move")) && !self.has_verb("declare");
        self.cursors.first().filter(|_| fetches).map(String::as_str)
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
        (facts.parameters, facts.secret_spans) = (BTreeSet::new(), Vec::new());
        (facts.row_count, facts.plan, facts.affected) = (None, None, None);
        // A DECLARE that is a read has a query that is one.
        facts.provable_read |= made.declared_cursor().is_some() && made.kinds.iter().eq([&Kind::Read]);
        facts.reasons.insert(0, "it goes on with a query that was begun earlier".to_owned());
        facts
    }
}

/// The arguments of an EXECUTE are not looked into.
fn unforeseen() -> Option<CountTarget> {
    Some(CountTarget::Unknown(
        "it runs a statement that was prepared earlier, with arguments of its own".to_owned(),
    ))
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
    /// What it is to another relation whose rows it holds.
    pub part_of: Option<PartOf>,
}

/// A use of a column.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct ColumnUse {
    /// The schema of its relation.
    pub schema: String,
    /// Its relation.
    pub relation: String,
    /// Its name.
    pub column: String,
    /// Whether it is read or written.
    pub access: Access,
}

/// A function that a name can mean.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Called {
    /// Its schema and name.
    pub name: String,
    /// Whether it says that it changes something, or that its answer can be another one each time.
    pub volatile: bool,
    /// Whether it runs with the rights of its owner (SECURITY DEFINER).
    pub definer: bool,
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

impl RelationKind {
    /// The word for it in policies.
    pub const fn as_str(self) -> &'static str {
        match self {
            RelationKind::Table => "table",
            RelationKind::PartitionedTable => "partitioned_table",
            RelationKind::View => "view",
            RelationKind::MaterialisedView => "materialized_view",
            RelationKind::ForeignTable => "foreign_table",
            RelationKind::Sequence => "sequence",
            RelationKind::Other => "other",
        }
    }
}

/// What a relation is to another one whose rows it holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum PartOf {
    /// A partition of a partitioned table.
    Partition,
    /// A table that inherits from another one.
    InheritanceChild,
}

impl PartOf {
    /// The word for it in policies.
    pub const fn as_str(self) -> &'static str {
        match self {
            PartOf::Partition => "partition",
            PartOf::InheritanceChild => "inheritance_child",
        }
    }
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
///
/// Queries are provable reads. They use the statement's parameters under the same numbers, so the caller declares
/// the types of all of its parameters when it runs one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "how", content = "value")]
pub enum CountTarget {
    /// It is written in the statement (`INSERT ... VALUES`).
    Exactly(u64),
    /// It is written in the statement, and some may be there already (`ON CONFLICT DO NOTHING`).
    UpTo(u64),
    /// This query counts them.
    Query(String),
    /// This query counts those that some may be missing of.
    QueryUpTo(String),
    /// Each branch of a MERGE, or table of a TRUNCATE, is counted by itself.
    Branches(Vec<BranchCount>),
    /// They can't be counted; why not, in words.
    Unknown(String),
}

/// A branch of a MERGE, or a table of a TRUNCATE.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct BranchCount {
    /// Which rows: `not matched and s.a > 1`; or the name of the table.
    pub when: String,
    /// What is done to them; nothing for DO NOTHING.
    pub verb: Option<Verb>,
    /// Counts them.
    pub query: String,
}

/// The rows of one table that a statement changes or takes away.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Affected {
    /// Gives all their columns; a provable read.
    pub query: String,
    /// The table, when the catalogue is known and its name resolves to one relation.
    pub relation: Option<u32>,
    /// `update` or `delete`.
    pub verb: Verb,
    /// The columns that an UPDATE sets.
    pub columns: BTreeSet<String>,
}
