//! What statements reach: columns, functions, and the kinds of relations, as policies are told.
//!
//! Cases are texts in `tests/sql_reach/cases.txt`, each followed by what it reaches. The corpus's catalogue says what there
//! is; names stand for themselves.

use std::path::PathBuf;

use countersign_wire::sql::{Access, Context, Facts, SessionState, classify_text};

use crate::fixture::{catalogue, parser};

/// Set this variable to write what was found into the cases, for somebody to read the difference.
const RENEW: &str = "COUNTERSIGN_RENEW_REACH";

fn file() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/sql_reach/cases.txt")
}

fn judge(sql: &str) -> Facts {
    let sql = sql.to_owned();
    catalogue();
    parser()
        .run(move || {
            let session = SessionState::fresh(catalogue().server_version_num(), "postgres");
            let context = Context { session: &session, catalogue: Some(catalogue()), parameter_types: &[] };
            classify_text(sql.as_bytes(), &context)
        })
        .unwrap()
}

fn found(facts: &Facts) -> String {
    let mut lines = String::new();
    let mut line = |what: &str, all: Vec<String>| {
        if !all.is_empty() {
            lines.push_str(&format!("    {what} {}\n", all.join(" ")));
        }
    };
    let columns = |access| {
        let used = facts.columns.iter().filter(|one| one.access == access);
        used.map(|one| format!("{}.{}.{}", one.schema, one.relation, one.column)).collect()
    };
    line("reads", columns(Access::Read));
    line("writes", columns(Access::Write));
    line("touches", facts.touches.iter().cloned().collect());
    line("kinds", facts.relation_kinds.iter().map(|kind| (*kind).to_owned()).collect());
    let mark = |set: bool, word: &str| if set { format!("({word})") } else { String::new() };
    let calls = facts.calls.iter();
    let calls =
        calls.map(|one| one.name.clone() + &mark(one.volatile, "volatile") + &mark(one.definer, "definer"));
    line("calls", calls.collect());
    if !facts.resolved {
        line("and", vec!["perhaps more".to_owned()]);
    }
    lines
}

#[test]
fn what_is_reached_is_named() {
    let text = std::fs::read_to_string(file()).unwrap();
    let (mut renewed, mut wrong, mut count) = (String::new(), Vec::new(), 0);
    for case in text.split("\n\n").map(str::trim_end).filter(|case| !case.is_empty()) {
        let sql: Vec<&str> = case.lines().filter(|line| !line.starts_with("    ")).collect();
        let said: String =
            case.lines().filter(|line| line.starts_with("    ")).map(|line| format!("{line}\n")).collect();
        let sql = sql.join("\n");
        let text: String = sql.lines().filter(|line| !line.starts_with('#')).collect::<Vec<_>>().join("\n");
        if text.is_empty() {
            renewed.push_str(&format!("{sql}\n\n"));
            continue;
        }
        count += 1;
        let now = found(&judge(&text));
        if now != said {
            wrong.push(format!("{sql}\nsaid\n{said}found\n{now}"));
        }
        renewed.push_str(&format!("{sql}\n{now}\n"));
    }
    if std::env::var_os(RENEW).is_some() {
        std::fs::write(file(), renewed.trim_end().to_owned() + "\n").unwrap();
        return;
    }
    assert!(wrong.is_empty(), "{} differ:\n{}", wrong.len(), wrong.join("\n"));
    assert!(count > 60, "{count} cases");
}

#[test]
fn a_statement_that_reaches_too_much_says_so() {
    // Every column of every catalogue, many times over, stays within bounds.
    let tables = ["pg_class", "pg_attribute", "pg_proc", "pg_type", "pg_stat_activity", "pg_stat_all_tables"];
    let sql = format!("select * from {}", tables.join(", "));
    let facts = judge(&sql);
    assert!(facts.resolved && facts.columns.len() > 100, "{}", facts.columns.len());
}
