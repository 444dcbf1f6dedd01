//! The lists of reviewed and withheld built-in functions, against the catalogue of a new cluster of every version.
//!
//! A function that a version brings is in exactly one group of exactly one of the two lists, with the reason; one that
//! is in neither, or in another group, fails here before it counts as anything.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test stops at the first surprise"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::PathBuf;

use countersign_testkit::live::{Server, on_a_large_stack};
use countersign_wire::sql::reviewed;

/// Set this variable to write the lists anew, after changing their query or for another version. It takes servers of
/// all versions, and somebody who reads the difference.
const RENEW: &str = "COUNTERSIGN_RENEW_REVIEWED";
/// The versions that the lists are about.
const MAJORS: std::ops::RangeInclusive<u32> = 13..=18;
/// The first group of those that are reviewed; the ones before it are withheld.
const FIRST_REVIEWED: u32 = 50;

/// A function in its group.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Sorted {
    group: u32,
    schema: String,
    name: String,
    oid: u32,
    language: String,
    source: String,
}

fn data() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../wire/data")
}

/// What a server answers, and the heads of the groups.
fn asked(major: u32, heads: &mut BTreeMap<u32, String>) -> anyhow::Result<BTreeSet<Sorted>> {
    let server = Server::start(major)?;
    let query = std::fs::read_to_string(data().join("reviewed.sql"))?;
    let answer = server.superuser("postgres")?.ask(&query)?;
    let mut functions = BTreeSet::new();
    for row in answer.rows {
        let column = |at: usize| row[at].clone().unwrap_or_default();
        let group = column(0).parse()?;
        heads.insert(group, format!("{}: {}", column(1), column(2)));
        let schema = column(4);
        // Those of the information schema are given out when a cluster is made.
        let oid = if schema == "information_schema" { 0 } else { column(3).parse()? };
        let function = Sorted { group, schema, name: column(5), oid, language: column(6), source: column(7) };
        functions.insert(function);
    }
    Ok(functions)
}

/// `13-15,18`.
fn ranges(majors: &BTreeSet<u32>) -> String {
    let mut ranges: Vec<(u32, u32)> = Vec::new();
    for major in majors {
        match ranges.last_mut() {
            Some((_, last)) if *last + 1 == *major => *last = *major,
            _ => ranges.push((*major, *major)),
        }
    }
    let text =
        |(first, last): (u32, u32)| if first == last { first.to_string() } else { format!("{first}-{last}") };
    ranges.into_iter().map(text).collect::<Vec<_>>().join(",")
}

const REVIEWED_HEAD: &str = "\
# Built-in functions that a provable read may reach, reviewed for PostgreSQL 13 to 18. Made by a test from the answers
# of reviewed.sql, which decides the groups; do not edit here. Its counterpart is withheld.txt.
#
# One function a line, tab-separated: versions, OID, schema, name, language, source. A function counts on a live server
# only when all of them are equal there, and a *name* may be used only when every built-in function of that name is
# reviewed. OIDs of information_schema are given out when a cluster is made, so they are 0 here and are not compared.
";
const WITHHELD_HEAD: &str = "\
# Built-in functions that a provable read may not reach: the rest of what a new cluster of PostgreSQL 13 to 18 brings,
# in groups with the reason for each. Made by a test from the answers of reviewed.sql; do not edit here.
#
# One function a line, tab-separated: versions, OID, schema, name, language.
";

fn render(heads: &BTreeMap<u32, String>, all: &BTreeMap<Sorted, BTreeSet<u32>>, reviewed: bool) -> String {
    let mut text = if reviewed { REVIEWED_HEAD } else { WITHHELD_HEAD }.to_owned();
    let mut group = 0;
    let wanted = all.iter().filter(|(function, _)| (function.group >= FIRST_REVIEWED) == reviewed);
    for (function, majors) in wanted {
        let Sorted { schema, name, oid, language, source, .. } = function;
        if function.group != group {
            group = function.group;
            writeln!(text, "#\n# {}", heads[&group]).unwrap();
        }
        let line = format!("{}\t{oid}\t{schema}\t{name}\t{language}", ranges(majors));
        match reviewed {
            true => writeln!(text, "{line}\t{source}").unwrap(),
            false => writeln!(text, "{line}").unwrap(),
        }
    }
    text
}

/// The lines of both lists that are about a version, each with the head of its group.
fn listed(major: u32) -> BTreeSet<String> {
    let mut lines = BTreeSet::new();
    for list in ["reviewed.txt", "withheld.txt"] {
        let text = std::fs::read_to_string(data().join(list)).unwrap();
        let mut head = String::new();
        for line in text.lines() {
            if let Some(group) = line.strip_prefix("# ") {
                group.clone_into(&mut head);
                continue;
            }
            let Some((majors, rest)) = line.split_once('\t') else { continue };
            let within = |range: &str| {
                let (first, last) = range.split_once('-').unwrap_or((range, range));
                (first.parse().unwrap()..=last.parse().unwrap()).contains(&major)
            };
            if majors.split(',').any(within) {
                assert!(lines.insert(format!("{head}\t{rest}")), "twice: {line}");
            }
        }
    }
    lines
}

/// Where the lists and a server differ.
fn compared(major: u32, functions: &BTreeSet<Sorted>, heads: &BTreeMap<u32, String>) -> Vec<String> {
    let line = |function: &Sorted| {
        let Sorted { group, schema, name, oid, language, source } = function;
        let line = format!("{}\t{oid}\t{schema}\t{name}\t{language}", heads[group]);
        if *group >= FIRST_REVIEWED { format!("{line}\t{source}") } else { line }
    };
    let live: BTreeSet<String> = functions.iter().map(line).collect();
    let listed = listed(major);
    let reviewed_here = functions.iter().filter(|function| function.group >= FIRST_REVIEWED).count();
    println!("PostgreSQL {major}: {} functions, {reviewed_here} reviewed", functions.len());
    let mut wrong: Vec<String> =
        live.difference(&listed).map(|line| format!("{major}: not listed so: {line}")).collect();
    wrong.extend(listed.difference(&live).map(|line| format!("{major}: not on the server: {line}")));
    if reviewed::list().count(major) != reviewed_here {
        wrong.push(format!("{major}: {} are compiled in", reviewed::list().count(major)));
    }
    wrong
}

#[test]
fn every_built_in_function_of_every_version_is_reviewed_or_withheld() {
    on_a_large_stack(|| {
        let renew = std::env::var_os(RENEW).is_some();
        let mut all: BTreeMap<Sorted, BTreeSet<u32>> = BTreeMap::new();
        let mut heads = BTreeMap::new();
        let mut had = Vec::new();
        let mut wrong = Vec::new();
        for major in MAJORS {
            let functions = match asked(major, &mut heads) {
                Ok(functions) => functions,
                Err(why) => {
                    eprintln!("skipped: PostgreSQL {major}: {why:#}");
                    continue;
                }
            };
            had.push(major);
            if !renew {
                wrong.extend(compared(major, &functions, &heads));
            }
            for function in functions {
                all.entry(function).or_default().insert(major);
            }
        }
        if renew {
            assert!(had.iter().copied().eq(MAJORS), "only {had:?} are here");
            std::fs::write(data().join("reviewed.txt"), render(&heads, &all, true))?;
            std::fs::write(data().join("withheld.txt"), render(&heads, &all, false))?;
            return Ok(());
        }
        assert!(wrong.is_empty(), "{} differences, {:#?}", wrong.len(), &wrong[..wrong.len().min(20)]);
        Ok(())
    })
    .unwrap();
}
