//! The corpus: statements grouped by trick, with what each really does.

use std::collections::BTreeSet;

use countersign_wire::sql::{Access, Context, Facts, Kind, SessionState, classify_text};
use serde::Deserialize;

use crate::fixture::{SERVER, catalogue, corpus_folder, parser};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    case: Vec<Case>,
}

/// One statement text and what it must be judged to be.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Case {
    pub sql: String,
    /// The strictest kind.
    kind: String,
    /// All kinds, where there are more than that one.
    kinds: Option<Vec<String>>,
    /// All verbs, where they are worth saying.
    verbs: Option<Vec<String>>,
    /// All relations as `read orders` or `write public.orders` (with the schema where it is resolved), where they
    /// are worth saying. Relations of `pg_catalog` are left out.
    relations: Option<Vec<String>>,
    /// Whether it is a provable read; by default if its kind is `read`.
    provable: Option<bool>,
    /// A part of some reason.
    why: Option<String>,
    /// What its rows can be counted with.
    count: Option<String>,
    /// The trick, in words.
    #[expect(dead_code, reason = "for the reader of the corpus")]
    note: Option<String>,
    /// The session: another search path, role, version, state.
    path: Option<Vec<String>>,
    version: Option<u32>,
    #[serde(default)]
    temporary: bool,
    #[serde(default)]
    escapes: bool,
    encoding: Option<String>,
    #[serde(default)]
    no_catalogue: bool,
    #[serde(default)]
    path_unknown: bool,
    /// Whether the session's transaction has changed definitions.
    #[serde(default)]
    uncommitted: bool,
    #[serde(default)]
    parameter_types: Vec<u32>,
    /// Whether the server refuses it (which a proof need not know).
    #[serde(default)]
    pub refused: bool,
}

impl Case {
    pub fn provable(&self) -> bool {
        self.provable.unwrap_or(self.kind == "read")
    }

    /// Whether a fresh session of a server of the corpus's version sends it.
    pub fn is_plain(&self) -> bool {
        self.path.is_none()
            && self.version.is_none()
            && self.encoding.is_none()
            && !(self.temporary || self.escapes || self.uncommitted || self.no_catalogue || self.path_unknown)
            && self.parameter_types.is_empty()
            && !self.sql.contains('$')
    }

    pub fn session(&self) -> SessionState {
        let mut session = SessionState::fresh(self.version.unwrap_or(SERVER), "postgres");
        if let Some(path) = &self.path {
            session.search_path = Some(path.clone());
        }
        if self.path_unknown {
            session.search_path = None;
        }
        session.temporary_objects = self.temporary;
        session.uncommitted_definitions = self.uncommitted;
        session.standard_conforming_strings = !self.escapes;
        if let Some(encoding) = &self.encoding {
            session.client_encoding.clone_from(encoding);
        }
        session
    }

    /// Whether the catalogue is not known.
    pub fn is_blind(&self) -> bool {
        self.no_catalogue
    }

    /// The types that its parameters are declared with.
    pub fn types(&self) -> &[u32] {
        &self.parameter_types
    }

    pub fn judge(&self) -> Facts {
        let case = self.clone();
        let judged = move || {
            let session = case.session();
            let context = Context {
                session: &session,
                catalogue: (!case.no_catalogue).then(catalogue),
                parameter_types: &case.parameter_types,
            };
            classify_text(case.sql.as_bytes(), &context)
        };
        catalogue();
        parser().run(judged).unwrap()
    }
}

/// Every case of every file.
pub fn cases() -> Vec<Case> {
    let mut files: Vec<_> = std::fs::read_dir(corpus_folder())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|e| e == "toml"))
        .collect();
    files.sort();
    let read = |path: &std::path::PathBuf| {
        let text = std::fs::read_to_string(path).unwrap();
        let file: File = toml::from_str(&text).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        file.case
    };
    files.iter().flat_map(read).collect()
}

fn name(kind: Kind) -> &'static str {
    kind.action().trim_start_matches("sql.")
}

fn described(facts: &Facts) -> BTreeSet<String> {
    let access = |access: Access| match access {
        Access::Read => "read",
        Access::Write => "write",
        Access::Ddl => "ddl",
    };
    let visible = facts.relations.iter().filter(|r| r.schema.as_deref() != Some("pg_catalog"));
    visible
        .map(|r| match &r.schema {
            Some(schema) => format!("{} {schema}.{}", access(r.access), r.name),
            None => format!("{} {}", access(r.access), r.name),
        })
        .collect()
}

fn check(case: &Case) -> Vec<String> {
    let facts = case.judge();
    let mut wrong = Vec::new();
    let mut expect = |what: &str, got: String, wanted: String| {
        if got != wanted {
            wrong.push(format!("    {what}: {got}, expected {wanted}"));
        }
    };
    expect("kind", name(facts.kind).to_owned(), case.kind.clone());
    expect("provable", facts.provable_read.to_string(), case.provable().to_string());
    let set = |items: &[String]| format!("{:?}", items.iter().cloned().collect::<BTreeSet<String>>());
    let kinds = facts.kinds.iter().map(|k| name(*k).to_owned()).collect::<Vec<_>>();
    let wanted = case.kinds.clone().unwrap_or_else(|| vec![case.kind.clone()]);
    expect("kinds", set(&kinds), set(&wanted));
    if let Some(verbs) = &case.verbs {
        let got = facts.verbs.iter().map(|v| v.as_str().to_owned()).collect::<Vec<_>>();
        expect("verbs", set(&got), set(verbs));
    }
    if let Some(relations) = &case.relations {
        expect("relations", format!("{:?}", described(&facts)), set(relations));
    }
    if let Some(why) = &case.why
        && !facts.reasons.iter().any(|r| r.contains(why.as_str()))
    {
        expect("reasons", format!("{:?}", facts.reasons), why.clone());
    }
    if let Some(count) = &case.count {
        expect("count", serde_json::to_string(&facts.row_count).unwrap(), count.clone());
    }
    if !wrong.is_empty() {
        wrong.insert(0, case.sql.clone());
        wrong.push(format!("    reasons: {:?}", facts.reasons));
    }
    wrong
}

#[test]
fn every_case_is_judged_as_what_it_is() {
    let cases = cases();
    assert!(cases.len() >= 150, "the corpus has {} cases", cases.len());
    let wrong: Vec<String> = cases.iter().flat_map(check).collect();
    assert!(wrong.is_empty(), "{} lines about {} cases:\n{}", wrong.len(), cases.len(), wrong.join("\n"));
}

#[test]
fn without_a_catalogue_or_a_path_nothing_is_milder() {
    for case in cases() {
        let known = case.judge();
        for blind in [
            Case { no_catalogue: true, ..case.clone() },
            Case { path_unknown: true, ..case.clone() },
            Case { temporary: true, ..case.clone() },
            Case { version: Some(120_000), ..case.clone() },
            Case { escapes: true, ..case.clone() },
            Case { uncommitted: true, ..case.clone() },
        ] {
            let facts = blind.judge();
            assert!(facts.kind >= known.kind, "{}: {:?} became {:?}", case.sql, known.kind, facts.kind);
            assert!(known.provable_read || !facts.provable_read, "{}", case.sql);
        }
    }
}

#[test]
fn a_second_statement_never_hides_the_first() {
    for case in cases().iter().filter(|c| c.kind != "unknown") {
        let alone = case.judge();
        if alone.statements == 0 {
            continue;
        }
        for both in [format!("{}\n; select 1", case.sql), format!("select 1; {}", case.sql)] {
            let facts = Case { sql: both, ..case.clone() }.judge();
            assert!(facts.kinds.is_superset(&alone.kinds), "{}", case.sql);
            assert!(!facts.provable_read, "{}", case.sql);
        }
    }
}

#[test]
fn a_prepared_statement_is_judged_as_what_it_runs() {
    let case = |sql: &str| Case { sql: sql.to_owned(), ..cases().remove(0) }.judge();
    let execute = case("execute p(1)");
    assert_eq!(execute.kind, Kind::Unknown);
    let delete = execute.with_prepared(&case("delete from orders"));
    assert_eq!(delete.kind, Kind::Write);
    assert!(delete.has_verb("execute") && delete.has_verb("delete"));
    let read = execute.with_prepared(&case("select id from orders"));
    assert_eq!((read.kind, read.provable_read), (Kind::Call, false));
    // What stands beside an EXECUTE, around it or in its arguments is not what was prepared.
    for sql in ["execute p; delete from todo", "create table made as execute p", "execute p; execute q"] {
        let text = case(sql);
        assert_eq!(text.with_prepared(&case("select id from orders")), text, "{sql}");
    }
    let arguments = case("execute p(evil())").with_prepared(&case("delete from orders"));
    assert!(arguments.kinds.contains(&Kind::Call) && arguments.taints_session);
}

#[test]
fn rows_of_a_cursor_are_what_it_was_declared_for() {
    let case = |sql: &str| Case { sql: sql.to_owned(), ..cases().remove(0) }.judge();
    let fetch = case("fetch 5 from c");
    assert_eq!((fetch.kind, fetch.fetched_cursor()), (Kind::Call, Some("c")));
    let declare = case("declare c cursor for select id from orders");
    assert_eq!(
        (declare.kind, declare.declared_cursor(), declare.fetched_cursor()),
        (Kind::Read, Some("c"), None)
    );
    assert!(!declare.provable_read, "it makes a cursor");
    let read = fetch.with_cursor(&declare);
    assert_eq!((read.kind, read.provable_read, read.taints_session), (Kind::Read, true, false));
    assert!(read.has_verb("fetch") && read.has_verb("select") && !read.has_verb("declare"));
    assert_eq!(read.relations, declare.relations);
    assert!(case("move 5 in c").with_cursor(&case("select id from orders")).provable_read, "a portal's own");
    for made in [
        "declare c cursor for select evil() from orders",
        "declare c cursor for select id from orders for update",
        "select evil()",
        "delete from orders returning id",
    ] {
        let facts = fetch.with_cursor(&case(made));
        assert!(!facts.provable_read && facts.kind > Kind::Read, "{made}");
    }
    // What stands beside a FETCH is not what the cursor was made for.
    for sql in [
        "fetch 5 from c; select evil()",
        "fetch c; fetch d",
        "close c",
        "update todo set id = 1 where current of c",
    ] {
        let text = case(sql);
        assert_eq!(text.with_cursor(&declare), text, "{sql}");
    }
}

#[test]
fn what_a_session_knows_afterwards_errs_towards_doubt() {
    let fresh = SessionState::fresh(SERVER, "app");
    let after = |sql: &str| fresh.after(&Case { sql: sql.to_owned(), ..cases().remove(0) }.judge());
    assert_eq!(after("select id from orders"), fresh);
    assert_eq!(after("delete from todo"), fresh);
    assert_eq!(after("set search_path = tenant").search_path, None);
    assert_eq!(after("reset all").search_path, None);
    assert_eq!(after("discard all").role, None);
    assert_eq!(after("set role bob").role, None);
    assert!(after("create temp table orders (id int)").temporary_objects);
    assert!(after("select 1 into temporary x").temporary_objects);
    assert!(after("select evil()").search_path.is_none());
    assert!(after("do $$begin end$$").temporary_objects);
    // Types come first in the temporary schema too, even before the server's own.
    assert!(after("create domain pg_temp.int4 as text check (evil_check(1))").temporary_objects);
    assert!(after("create type pg_temp.mood as enum ('ok')").temporary_objects);
    let within =
        SessionState { search_path: Some(vec!["pg_temp".to_owned(), "public".to_owned()]), ..fresh.clone() };
    let made = Case {
        sql: "create domain mood as text".to_owned(),
        path: within.search_path.clone(),
        ..cases().remove(0)
    };
    assert!(within.after(&made.judge()).temporary_objects);
    assert!(!after("create domain mood as text").temporary_objects);
    assert!(!after("set standard_conforming_strings = off").standard_conforming_strings);
    assert_eq!(after("set client_encoding = 'SJIS'").client_encoding, "SJIS");
    // The server says what they are now only when it is ready again, or never, if they are what it said before.
    for unseen in ["reset all", "discard all", "select evil()"] {
        let next = after(unseen);
        assert!(
            next.unreadable("'ä'".as_bytes()).is_some() && next.unreadable(br"'\'").is_some(),
            "{unseen}"
        );
        assert_eq!(next.unreadable(b"rollback"), None, "{unseen}");
    }
}

#[test]
fn a_limit_is_seen_where_rows_come_back() {
    let limited = |sql: &str| Case { sql: sql.to_owned(), ..cases().remove(0) }.judge().has_limit;
    for sql in [
        "select id from orders limit 10",
        "select id from orders order by id fetch first 10 rows only",
        "(select id from orders) union all select id from todo limit 5",
        "values (1), (2) limit 1",
        "copy (select id from orders limit 3) to stdout",
        "prepare p as select id from orders limit 3",
        "delete from orders",
        "insert into todo select id from orders",
        "set application_name = 'x'",
        "select 1 limit 1; select 2 limit 1",
    ] {
        assert!(limited(sql), "{sql}");
    }
    for sql in [
        "select id from orders",
        "select id from orders limit all",
        "select id from orders limit null",
        "select id from orders offset 5",
        "select * from (select id from orders limit 10) x",
        "table orders",
        "copy orders to stdout",
        "copy (select id from orders) to stdout",
        "declare c cursor for select id from orders",
        "explain analyze select id from orders",
        "select 1 limit 1; select 2",
        "select is not",
    ] {
        assert!(!limited(sql), "{sql}");
    }
}
