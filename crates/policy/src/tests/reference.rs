//! What the documentation says of the circumstances of statements.

use std::collections::BTreeSet;

use super::{asks, demo_with, rule, said};
use crate::actions::Circumstances;
use crate::context::{self, Reach};

const REFERENCE: &str = include_str!("../../../../docs/operators/statements.md");

/// Circumstances of every question, which the reference of statements leaves to another page.
const OF_EVERY_QUESTION: [&str; 7] = ["now", "hour", "weekday", "source", "via", "auth_methods", "auth_age"];

#[test]
fn every_circumstance_of_a_statement_is_in_the_reference() {
    for one in context::of(Circumstances::Sql).filter(|one| !OF_EVERY_QUESTION.contains(&one.name)) {
        let row = REFERENCE.lines().find(|line| line.starts_with(&format!("| `context.{}` |", one.name)));
        let row = row.unwrap_or_else(|| panic!("`{}` is not in docs/operators/statements.md", one.name));
        let kind = row.split('|').nth(2).unwrap_or_default();
        assert_eq!(kind.contains("may be absent"), one.optional, "{row}");
    }
}

#[test]
fn the_examples_of_the_reference_hold_what_they_say() {
    let examples: String = REFERENCE
        .lines()
        .filter_map(|line| line.strip_prefix("    "))
        .map(|line| format!("{line}\n"))
        .collect();
    let examples = examples.replace("personal-data", "prod-write");
    let mut question = asks("alice", &["shop-reader"], "sql.select");
    let mut asked = |read: &[&str], resolved: bool| {
        let reach = Reach {
            columns_read: read.iter().map(|one| (*one).to_owned()).collect::<BTreeSet<String>>(),
            resolved,
            ..Reach::default()
        };
        reach.tell(&mut question.context);
        said(&rule(&demo_with(&examples), &question))
    };
    assert_eq!(asked(&["public.customers.name"], true), "allow");
    assert_eq!(asked(&["public.customers.email", "public.customers.name"], true), "hold prod-write");
    assert_eq!(asked(&[], false), "hold prod-write");
}
