//! The table of invariants says where each is kept and what proves it. This sees to it that it speaks of code and tests
//! that are there, and leaves no rule out.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

const TABLE: &str = "docs/developers/invariants.md";

/// A row: its rule, where it is kept, what proves it.
struct Row {
    rule: String,
    kept: Vec<String>,
    proved: Vec<String>,
}

#[test]
fn whatever_the_table_names_is_there() {
    let mut missing = Vec::new();
    for row in rows() {
        for place in &row.kept {
            if !crates().join(place).exists() {
                missing.push(format!("`{place}`, which is to keep \"{}\"", row.rule));
            }
        }
        for proof in &row.proved {
            if !is_there(proof) {
                missing.push(format!("`{proof}`, which is to prove \"{}\"", row.rule));
            }
        }
    }
    assert!(missing.is_empty(), "{TABLE} names what is not there:\n{}", missing.join("\n"));
}

#[test]
fn every_rule_is_kept_somewhere_and_proved_by_something() {
    let rows = rows();
    for row in &rows {
        assert!(!row.kept.is_empty() && !row.proved.is_empty(), "\"{}\" says not enough", row.rule);
    }
    let named: BTreeSet<String> =
        rows.iter().filter_map(|row| row.rule.split(' ').next().map(str::to_owned)).collect();
    let wanted =
        (1..=13).map(|number| format!("I{number}")).chain((1..=8).map(|number| format!("C{number}")));
    let left_out: Vec<String> = wanted.filter(|rule| !named.contains(rule)).collect();
    assert!(left_out.is_empty(), "{TABLE} leaves out {left_out:?}");
}

fn rows() -> Vec<Row> {
    let text = std::fs::read_to_string(root().join(TABLE)).unwrap_or_default();
    let lines = text.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| rule"));
    let cells = |line: &str| line.trim_matches('|').split(" | ").map(str::trim).map(str::to_owned).collect();
    let row = |cells: Vec<String>| match cells.as_slice() {
        [rule, kept, proved] => Row { rule: rule.clone(), kept: quoted(kept), proved: quoted(proved) },
        other => Row { rule: format!("{} columns: {other:?}", other.len()), kept: vec![], proved: vec![] },
    };
    let rows: Vec<Row> = lines.map(cells).map(row).collect();
    assert!(!rows.is_empty(), "{TABLE} has no rows");
    rows
}

/// What stands in backticks.
fn quoted(cell: &str) -> Vec<String> {
    cell.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

/// A test by file and name, or a file with tests.
fn is_there(proof: &str) -> bool {
    let (file, name) = proof.split_once("::").unwrap_or((proof, ""));
    let Ok(text) = std::fs::read_to_string(crates().join(file)) else { return false };
    let mut marked = false;
    for line in text.lines().map(str::trim_start) {
        if line.starts_with("#[test]") || line.starts_with("#[tokio::test") {
            marked = true;
        } else if let Some(found) = function(line) {
            if marked && (name.is_empty() || name == found) {
                return true;
            }
            marked = false;
        }
    }
    // Properties are declared inside a macro that marks them.
    name.is_empty() && text.contains("proptest!")
}

fn function(line: &str) -> Option<&str> {
    let rest = line.strip_prefix("pub ").unwrap_or(line);
    let rest = rest.strip_prefix("async ").unwrap_or(rest);
    rest.strip_prefix("fn ")?.split(['(', '<']).next()
}

fn crates() -> PathBuf {
    root().join("crates")
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}
