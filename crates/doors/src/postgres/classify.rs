//! From statement text to what policy is asked about: parsed once, kept, and judged anew at every execution.
//!
//! What is kept is only the classification, under everything it depends on: the text, the parameter types, the session's
//! state, and the catalogue of the target database, which is at most a second old. Parsing happens on the parser's
//! own threads, because it needs their stacks; a short text is parsed where it is, if the threads there have such stacks
//! too, because two thread switches cost more than it does.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use bytes::Bytes;
use countersign_core::ActionName;
use countersign_core::question::{Context as Circumstances, Value};
use countersign_wire::sql::{
    Access, ClassCache, ClassKey, Context, CopyTarget, Facts, Kind, Parser, PreparedUse, SessionState,
    classify, classify_unparsed, parse,
};

use super::catalogue::Loaded;
use super::reach::reach;
use super::state::Known;

/// How many classifications of one resource are kept.
pub(crate) const KEPT_MAX: usize = 4_096;

/// A statement text that a client sent, under a name or not.
#[derive(Debug)]
pub(crate) struct Statement {
    /// The text as sent.
    pub(crate) raw: Bytes,
    /// The text for people; where it is not valid UTF-8, with every such byte spelt out.
    pub(crate) text: Arc<str>,
    /// Under which encoding and rules for quotes the server has read it, once and for all: what is prepared keeps them,
    /// whatever the session changes afterwards.
    read_under: Arc<SessionState>,
    /// The parameter types that the client declared.
    pub(crate) types: Arc<[u32]>,
    latest: Mutex<Option<(Stamp, Arc<Understood>)>>,
}

/// What a classification depended on, beside the text.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Stamp {
    generation: u64,
    catalogue: Option<Arc<str>>,
}

/// A classified statement, in the form that an attempt is made of.
#[derive(Debug)]
pub(crate) struct Understood {
    /// What is known of it.
    pub(crate) facts: Arc<Facts>,
    /// How it is named.
    pub(crate) kind: ActionName,
    /// Every action that policy must permit.
    pub(crate) actions: Arc<[ActionName]>,
    /// What it does.
    pub(crate) verbs: Arc<[String]>,
    /// Relations it reads.
    pub(crate) reads: BTreeSet<String>,
    /// Relations it writes or changes.
    pub(crate) writes: BTreeSet<String>,
    /// What policy is told, outside and inside a transaction.
    told: [OnceLock<Arc<Circumstances>>; 2],
}

impl Statement {
    /// A statement that the server reads, or prepares, in this state of its session.
    pub(crate) fn new(raw: Bytes, types: Vec<u32>, read_under: &Arc<SessionState>) -> Self {
        let text = match std::str::from_utf8(&raw) {
            Ok(text) => text.into(),
            Err(_) => raw.escape_ascii().to_string().into(),
        };
        let read_under = Arc::clone(read_under);
        Self { raw, text, types: types.into(), read_under, latest: Mutex::new(None) }
    }

    /// The same statement when the server reads it again, in this state of its session.
    pub(crate) fn read_again(self: &Arc<Self>, session: &Arc<SessionState>) -> Arc<Self> {
        if same_reading(&self.read_under, session) {
            return Arc::clone(self);
        }
        Arc::new(Self {
            raw: self.raw.clone(),
            text: Arc::clone(&self.text),
            types: Arc::clone(&self.types),
            read_under: Arc::clone(session),
            latest: Mutex::new(None),
        })
    }

    /// The state that it is judged in: that of its session, but for how the server has read it.
    pub(crate) fn session(&self, known: &Known) -> Arc<SessionState> {
        let session = known.shared_session();
        if same_reading(&self.read_under, session) {
            return Arc::clone(session);
        }
        Arc::new(SessionState {
            client_encoding: self.read_under.client_encoding.clone(),
            standard_conforming_strings: self.read_under.standard_conforming_strings,
            ..SessionState::clone(session)
        })
    }

    /// Why nobody can be shown what the server reads in it, if so.
    pub(crate) fn unreadable(&self) -> Option<String> {
        self.read_under.unreadable(&self.raw)
    }

    /// What was understood of it before, if nothing that it depended on has changed.
    pub(crate) fn understood(&self, known: &Known, loaded: Option<&Loaded>) -> Option<Arc<Understood>> {
        let latest = self.latest.lock().unwrap_or_else(PoisonError::into_inner);
        let (stamp, understood) = latest.as_ref()?;
        let same = stamp.generation == known.generation()
            && match (&stamp.catalogue, loaded) {
                (None, None) => true,
                (Some(version), Some(loaded)) => {
                    Arc::ptr_eq(version, &loaded.version) || *version == loaded.version
                }
                _ => false,
            };
        same.then(|| Arc::clone(understood))
    }

    /// Keeps what was understood.
    pub(crate) fn keep(&self, known: &Known, loaded: Option<&Loaded>, understood: &Arc<Understood>) {
        let stamp = Stamp {
            generation: known.generation(),
            catalogue: loaded.map(|loaded| Arc::clone(&loaded.version)),
        };
        let mut latest = self.latest.lock().unwrap_or_else(PoisonError::into_inner);
        *latest = Some((stamp, Arc::clone(understood)));
    }
}

impl Understood {
    /// Names what the facts amount to.
    pub(crate) fn of(facts: Arc<Facts>) -> Self {
        let named = |wanted: fn(Access) -> bool| -> BTreeSet<String> {
            let relations = facts.relations.iter().filter(|relation| wanted(relation.access));
            relations.map(|relation| qualified(relation.schema.as_deref(), &relation.name)).collect()
        };
        Self {
            kind: ActionName::new(facts.kind.action()),
            actions: actions(&facts).into(),
            verbs: facts.verbs.iter().map(|verb| verb.as_str().to_owned()).collect(),
            reads: named(|access| access == Access::Read),
            writes: named(|access| access != Access::Read),
            told: Default::default(),
            facts,
        }
    }

    /// The same, with a verb that circumstances give it.
    pub(crate) fn with_verb(&self, verb: &str) -> Self {
        let verbs = self.verbs.iter().cloned().chain([verb.to_owned()]);
        Self {
            facts: Arc::clone(&self.facts),
            kind: self.kind.clone(),
            actions: Arc::clone(&self.actions),
            verbs: verbs.collect(),
            reads: self.reads.clone(),
            writes: self.writes.clone(),
            told: Default::default(),
        }
    }

    /// Why the text could not even be parsed, if it could not.
    pub(crate) fn unparsed(&self) -> Option<&str> {
        let unparsed = self.facts.kind == Kind::Unknown && self.facts.statements == 0;
        unparsed.then(|| self.facts.reasons.first().map_or("the text is not understood", String::as_str))
    }

    /// What policy is told of it beside its name: made once, so that what is the same is known to be.
    pub(crate) fn context(&self, in_transaction: bool) -> Arc<Circumstances> {
        let [outside, inside] = &self.told;
        let told = if in_transaction { inside } else { outside };
        Arc::clone(told.get_or_init(|| Arc::new(self.circumstances(in_transaction))))
    }

    fn circumstances(&self, in_transaction: bool) -> Circumstances {
        let facts = &self.facts;
        let mut told = Circumstances::from([
            ("verbs", Value::Texts(self.verbs.iter().cloned().collect())),
            ("reads", Value::Texts(self.reads.clone())),
            ("writes", Value::Texts(self.writes.clone())),
            ("functions", Value::Texts(facts.functions.clone())),
            ("has_where", Value::Bool(facts.predicates.iter().all(|one| one.has_where))),
            ("has_limit", Value::Bool(facts.has_limit)),
            ("statements", Value::Long(i64::from(facts.statements))),
            ("in_transaction", Value::Bool(in_transaction)),
            ("provable_read", Value::Bool(facts.provable_read)),
        ]);
        told.extend(reach(facts));
        told
    }

    /// The prepared statements that it runs by name.
    pub(crate) fn executes(&self) -> impl Iterator<Item = &str> {
        let prepared = self.facts.prepared.iter();
        prepared.filter(|one| one.usage == PreparedUse::Execute).map(|one| one.name.as_str())
    }

    /// Whether its rows come from the client when it runs.
    pub(crate) fn rows_come_later(&self) -> bool {
        self.facts.copies.contains(&CopyTarget::FromClient)
    }

    /// Whether how many rows it touches is told by its own answer, so that a bound can be kept: one statement, no
    /// writing in its WITH clauses.
    pub(crate) fn can_bound_rows(&self) -> bool {
        let facts = &self.facts;
        let single = facts.statements == 1 && !facts.data_modifying_cte && !facts.explain_analyze;
        let counted = ["insert", "update", "delete", "merge", "copy_in"];
        let to_table = facts.copies.iter().all(|copy| *copy == CopyTarget::FromClient);
        single
            && to_table
            && facts.kinds.contains(&Kind::Write)
            && counted.iter().any(|verb| facts.has_verb(verb))
            && facts.prepared.is_empty()
            // The tag of a FETCH counts what was fetched.
            && facts.fetched_cursor().is_none()
    }
}

fn same_reading(one: &SessionState, other: &SessionState) -> bool {
    one.client_encoding == other.client_encoding
        && one.standard_conforming_strings == other.standard_conforming_strings
}

pub(crate) fn qualified(schema: Option<&str>, name: &str) -> String {
    match schema {
        Some(schema) => format!("{schema}.{name}"),
        None => name.to_owned(),
    }
}

/// The leaf actions: for each kind the verbs that belong to it, or the kind itself where none does.
fn actions(facts: &Facts) -> Vec<ActionName> {
    let mut names = BTreeSet::new();
    for kind in &facts.kinds {
        let leaves: Vec<&str> = facts.verbs.iter().filter_map(|verb| leaf(*kind, verb.as_str())).collect();
        if leaves.is_empty() {
            names.insert(kind.action());
        }
        names.extend(leaves);
    }
    names.into_iter().map(ActionName::new).collect()
}

/// The leaf of the policy's action tree that a verb is, beneath a kind.
fn leaf(kind: Kind, verb: &str) -> Option<&'static str> {
    match kind {
        Kind::Read => Some(match verb {
            "select" | "values" | "table" => "sql.select",
            "show" => "sql.show",
            "explain" => "sql.explain",
            "copy_out" => "sql.copy_out",
            _ => return None,
        }),
        Kind::Write => Some(match verb {
            "insert" => "sql.insert",
            "update" => "sql.update",
            "delete" => "sql.delete",
            "merge" => "sql.merge",
            "truncate" => "sql.truncate",
            "copy_in" => "sql.copy_in",
            _ => return None,
        }),
        Kind::Ddl => {
            let first = verb.split('_').next().unwrap_or_default();
            Some(match first {
                "create" => "sql.create",
                "alter" | "rename" | "comment" => "sql.alter",
                "drop" => "sql.drop",
                _ => return None,
            })
        }
        Kind::Admin => admin_leaf(verb),
        Kind::Call | Kind::Session | Kind::Unknown => None,
    }
}

fn admin_leaf(verb: &str) -> Option<&'static str> {
    Some(match verb {
        "grant" | "alter_default_privileges" => "sql.grant",
        "revoke" => "sql.revoke",
        "set_role" | "create_role" | "alter_role" | "drop_role" | "set_session_authorization" => "sql.role",
        "set" | "reset" | "alter_system" => "sql.settings",
        "vacuum" | "analyze" | "cluster" | "reindex" | "checkpoint" => "sql.maintenance",
        "copy_in" | "copy_out" | "load" => "sql.file",
        _ => return None,
    })
}

/// Classifies a statement, from what is kept or anew. The answer comes from another thread.
pub(crate) fn classification(
    parser: &Parser,
    cache: &Arc<ClassCache>,
    statement: &Statement,
    known: &Known,
    loaded: Option<&Arc<Loaded>>,
) -> Classification {
    let session = statement.session(known);
    let version = loaded.map(|loaded| &loaded.version);
    let key = |text| ClassKey {
        text,
        parameter_types: &statement.types,
        session: &session,
        catalogue_version: version,
    };
    if let Some(facts) = cache.get(key(&statement.raw)) {
        return Classification::Kept(facts);
    }
    let (sender, receiver) = tokio::sync::oneshot::channel();
    let (raw, types, cache) = (statement.raw.clone(), Arc::clone(&statement.types), Arc::clone(cache));
    let (session, loaded) = (Arc::clone(&session), loaded.map(Arc::clone));
    let job = move || {
        let catalogue = loaded.as_ref().map(|loaded| &*loaded.catalogue);
        let context = Context { session: &session, catalogue, parameter_types: &types };
        let catalogue_version = loaded.as_ref().map(|loaded| &loaded.version);
        let key = ClassKey { text: &raw, parameter_types: &types, session: &session, catalogue_version };
        let facts = match parse(&raw) {
            Ok(parsed) => {
                let facts = Arc::new(classify(&parsed, &context));
                cache.learn(key, &parsed, Arc::clone(&facts));
                facts
            }
            Err(unparsed) => {
                let facts = Arc::new(classify_unparsed(&unparsed, &raw));
                cache.insert(key, Arc::clone(&facts));
                facts
            }
        };
        let _ = sender.send(facts);
    };
    match parser.submit(job) {
        Ok(()) => Classification::Coming(receiver),
        Err(_) => Classification::Busy,
    }
}

/// A classification that is there, or will be.
pub(crate) enum Classification {
    /// From what is kept.
    Kept(Arc<Facts>),
    /// From a parser thread; an error if it failed.
    Coming(tokio::sync::oneshot::Receiver<Arc<Facts>>),
    /// The parser takes no more work.
    Busy,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn understood(text: &'static str) -> Understood {
        let parser = Parser::threads(1).unwrap();
        let facts = parser
            .run(move || {
                let session = SessionState::fresh(150_000, "writer");
                let context = Context { session: &session, catalogue: None, parameter_types: &[] };
                countersign_wire::sql::classify_text(text.as_bytes(), &context)
            })
            .unwrap();
        Understood::of(Arc::new(facts))
    }

    fn names(text: &'static str) -> Vec<String> {
        understood(text).actions.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn statements_are_named_as_policy_names_them() {
        assert_eq!(
            names("delete from orders where id = 1"),
            ["sql.call", "sql.delete"],
            "without a catalogue it may run anything"
        );
        assert_eq!(names("drop table orders"), ["sql.call", "sql.drop"], "event triggers may run");
        assert_eq!(names("begin"), ["sql.session"]);
        assert_eq!(names("grant select on orders to x"), ["sql.call", "sql.grant"]);
        assert_eq!(names("do $$ begin end $$"), ["sql.unknown"]);
        assert_eq!(names("insert into a select 1; truncate b"), ["sql.call", "sql.insert", "sql.truncate"]);
        assert_eq!(
            names("select 1"),
            ["sql.select"],
            "it reaches nothing that a catalogue would have to prove"
        );
        assert_eq!(names("select f(1)"), ["sql.call"], "without a catalogue no function is proved");
    }

    #[test]
    fn what_does_not_parse_says_why() {
        let one = understood("selec 1");
        assert_eq!(one.unparsed(), Some("the text does not parse: syntax error at or near \"selec\""));
        assert_eq!(understood("do $$ begin end $$").unparsed(), None);
        assert_eq!(understood("").unparsed(), None);
    }

    #[test]
    fn a_text_that_is_no_text_is_spelt_out() {
        let state = Arc::new(SessionState::fresh(150_000, "writer"));
        let statement = Statement::new(Bytes::from_static(b"select '\xff\xfe'"), Vec::new(), &state);
        assert_eq!(&*statement.text, r"select \'\xff\xfe\'");
    }

    #[test]
    fn what_is_prepared_keeps_how_it_was_read() {
        let state = |encoding: &str| {
            let mut state = SessionState::fresh(150_000, "writer");
            state.client_encoding = encoding.to_owned();
            Arc::new(state)
        };
        let text = Bytes::from_static("select 'ä'".as_bytes());
        let statement = Arc::new(Statement::new(text, Vec::new(), &state("SJIS")));
        let mut known = Known::new("writer", &[]);
        known.report(b"client_encoding", b"UTF8");
        assert_eq!(statement.session(&known).client_encoding, "SJIS");
        assert!(statement.unreadable().is_some());
        let again = statement.read_again(known.shared_session());
        assert_eq!((again.unreadable(), &again.text), (None, &statement.text));
    }

    #[test]
    fn rows_are_bounded_where_the_answer_counts_them() {
        assert!(understood("delete from orders where id = 1").can_bound_rows());
        for text in [
            "with x as (delete from a returning *) insert into b select * from x",
            "truncate orders",
            "delete from a; delete from b",
            "explain analyze delete from a",
        ] {
            assert!(!understood(text).can_bound_rows(), "{text}");
        }
    }
}
