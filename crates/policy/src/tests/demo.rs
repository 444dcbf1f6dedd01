//! The sample bundle is the first policy that a newcomer reads, and an auditor's first question is its matrix.

use std::fmt::Write as _;

use countersign_core::question::Target;
use countersign_core::ruling::Verdict;
use countersign_core::{ActionName, RoleId, Span};

use super::{access, asks, book, compiled, demo_source, said};
use crate::actions;

#[test]
fn it_compiles_without_a_warning() {
    assert_eq!(compiled(&demo_source()).warnings, []);
}

/// Who may do what: every action, for everybody in every role that matters. The things in question are
/// alice's, the shop, and the gateway.
#[test]
fn the_matrix() {
    let compiled = compiled(&demo_source());
    let book = book(&compiled);
    let columns: [(&str, &[&str]); 7] = [
        ("alice", &[]),
        ("alice", &["shop-reader"]),
        ("alice", &["shop-writer"]),
        ("bob", &[]),
        ("carol", &[]),
        ("dave", &[]),
        ("ci", &["shop-reader"]),
    ];
    let mut table = format!("{:<18}", "");
    for (who, roles) in columns {
        let name = [&[who], roles].concat().join(" as ");
        let _ = write!(table, "| {name:<50}");
    }
    for action in actions::all() {
        let _ = write!(table, "\n{:<18}", action.as_str());
        for (who, roles) in columns {
            let _ =
                write!(table, "| {:<50}", said(&compiled.rule(&book, &asks(who, roles, action.as_str()))));
        }
    }
    let table: Vec<&str> = table.lines().map(str::trim_end).collect();
    insta::assert_snapshot!(table.join("\n"));
}

#[test]
fn a_drop_is_denied_and_nothing_lifts_it() {
    let compiled = compiled(&demo_source());
    let ruling = compiled.rule(&book(&compiled), &asks("alice", &["shop-writer"], "sql.drop"));
    let Verdict::Deny(denial) = ruling.verdict() else { panic!("{ruling:?}") };
    assert_eq!(
        denial.to_string(),
        "forbidden by `no-drop-in-production` (nothing is dropped in production by hand)"
    );
}

#[test]
fn a_statement_of_several_actions_takes_the_stricter_side() {
    let compiled = compiled(&demo_source());
    let book = book(&compiled);
    let question = asks("alice", &["shop-writer"], "sql.select");
    let all = |actions: &[&str]| {
        let actions: Vec<ActionName> = actions.iter().map(|name| ActionName::new(name)).collect();
        said(&compiled.rule_all(&book, &question, &actions))
    };
    assert_eq!(all(&["sql.select"]), "allow");
    assert_eq!(all(&["sql.select", "sql.delete"]), "hold prod-write");
    assert_eq!(all(&["sql.select", "sql.delete", "sql.drop"]), "deny no-drop-in-production");
    assert_eq!(all(&["sql.select", "sql.grant"]), "-");
    assert_eq!(all(&[]), "-");
}

#[test]
fn nobody_holds_a_role_for_long_and_the_service_only_reads() {
    let compiled = compiled(&demo_source());
    let book = book(&compiled);
    let ask = |who: &str, role: &str, lasting: Span| {
        let mut question = asks(who, &[], "access.request");
        question.target = Target::Role(RoleId::new(role));
        question.context = access(lasting).into();
        said(&compiled.rule(&book, &question))
    };
    assert_eq!(ask("alice", "shop-writer", Span::hours(4)), "hold shop-access");
    assert_eq!(
        ask("alice", "shop-writer", Span(Span::hours(4).0 + 1)),
        "deny floor/no-longer-than-the-role-allows, no-grant-longer-than-4h"
    );
    assert_eq!(ask("dave", "shop-writer", Span::minutes(30)), "hold shop-access");
    assert_eq!(ask("alice", "shop-writer", Span(0)), "deny floor/no-longer-than-the-role-allows");
    assert_eq!(ask("ci", "shop-reader", Span::minutes(30)), "hold shop-access");
    assert_eq!(ask("ci", "shop-writer", Span::minutes(30)), "-");
}

#[test]
fn gates_name_the_policies_and_the_terms_that_hold() {
    let compiled = compiled(&demo_source());
    let ruling = compiled.rule(&book(&compiled), &asks("alice", &["shop-writer"], "sql.delete"));
    let [gate] = &ruling.gates[..] else { panic!("{:?}", ruling.gates) };
    assert_eq!(gate.terms, compiled.catalogue.rules[&gate.rule]);
    let ids: Vec<String> = gate.policies.iter().map(ToString::to_string).collect();
    assert_eq!(
        ids,
        [
            "`writes-to-high-impact-need-the-dba` (changes to a resource of high impact need a second pair of eyes)"
        ]
    );
    assert_eq!(ruling.permits[0].id.as_str(), "role/shop-writer");
    assert_eq!(ruling.bundle, demo_source().hash());
}
