//! Permits, forbids, gates and errors, and which of them wins.

use std::collections::BTreeSet;

use countersign_core::catalogue::Place;
use countersign_core::principal;
use countersign_core::question::{Target, Value};
use countersign_core::{Event, PrincipalId, ResourceId, RoleId};

use super::{NOW, asks, book, compiled, demo_but, demo_source, demo_with, plain, rule, said, sql};

const HARD: &str = "@id(\"hard\") forbid (principal, action == Action::\"sql.delete\", resource);";

#[test]
fn a_forbid_without_a_gate_wins_over_gates_and_permits() {
    let question = asks("alice", &["shop-writer"], "sql.delete");
    assert_eq!(said(&rule(&demo_source(), &question)), "hold prod-write");
    let ruling = rule(&demo_with(HARD), &question);
    assert_eq!(said(&ruling), "deny hard");
    assert_eq!(ruling.gates.len(), 1, "the gate is told as well");
}

/// Who does something to themselves is in their roles on either side of a policy's head.
#[test]
fn a_policy_about_the_holders_of_a_role_meets_who_does_it_to_themselves() {
    let source = demo_with(
        "@id(\"may\") permit (principal == User::\"alice\", action == Action::\"principal.disable\", resource);
        @id(\"theirs\") forbid (principal, action, resource in Role::\"shop-writer\");",
    );
    let oneself = |roles| said(&rule(&source, &asks("alice", roles, "principal.disable")));
    assert_eq!(oneself(&["shop-writer"]), "deny theirs");
    assert_eq!(oneself(&["shop-reader"]), "allow");
}

#[test]
fn gates_without_a_permit_hold_nothing() {
    let ruling = rule(&demo_source(), &asks("alice", &["shop-reader"], "sql.delete"));
    assert_eq!(said(&ruling), "-");
}

#[test]
fn each_gate_stands_by_itself() {
    let second = "@id(\"second\") @gate(\"policy-change\")
        forbid (principal, action == Action::\"sql.delete\", resource);";
    let third = "@id(\"third\") @gate(\"prod-write\") forbid (principal, action == Action::\"sql.delete\", resource);";
    let ruling =
        rule(&demo_with(&format!("{second}{third}")), &asks("alice", &["shop-writer"], "sql.delete"));
    assert_eq!(said(&ruling), "hold policy-change, prod-write");
    let policies: Vec<usize> = ruling.gates.iter().map(|gate| gate.policies.len()).collect();
    assert_eq!(policies, [1, 2]);
}

/// Cedar skips a policy that cannot be evaluated. Here it denies, whichever kind it is.
#[test]
fn a_policy_that_cannot_be_evaluated_denies() {
    let overflow = "when { context.statements + 9223372036854775807 > 0 }";
    for effect in ["permit", "forbid", "@gate(\"prod-write\") forbid"] {
        let policy = format!(
            "@id(\"big\") {effect} (principal, action == Action::\"sql.select\", resource) {overflow};"
        );
        let ruling = rule(&demo_with(&policy), &asks("alice", &["shop-writer"], "sql.select"));
        assert!(said(&ruling).starts_with("error `big`"), "{}", said(&ruling));
        assert!(!ruling.permits.is_empty());
    }
}

#[test]
fn circumstances_must_be_those_of_the_schema() {
    let good = asks("alice", &["shop-writer"], "sql.select");
    let said = |change: &dyn Fn(&mut countersign_core::question::Question)| {
        let mut question = good.clone();
        change(&mut question);
        super::said(&rule(&demo_source(), &question))
    };
    assert_eq!(said(&|_| ()), "allow");
    insta::assert_snapshot!(said(&|q| { q.context.remove("verbs"); }), @"error the question about `sql.select` is malformed: the circumstance `verbs` is missing");
    insta::assert_snapshot!(said(&|q| { q.context.insert("verb", Value::Bool(true)); }), @"error the question about `sql.select` is malformed: there is no circumstance `verb` here");
    insta::assert_snapshot!(said(&|q| { q.context.insert("rows", Value::Text("12".into())); }), @"error the question about `sql.select` is malformed: the circumstance `rows` is not a Long");
    insta::assert_snapshot!(said(&|q| q.context = plain().into()), @"error the question about `sql.select` is malformed: the circumstance `purpose` is missing");
    insta::assert_snapshot!(said(&|q| q.action = countersign_core::ActionName::new("sql.dance")), @"error there is no action `sql.dance`");
    insta::assert_snapshot!(said(&|q| q.action = countersign_core::ActionName::new("sql")), @"error there is no action `sql`");
    insta::assert_snapshot!(said(&|q| q.action = countersign_core::ActionName::new("class.act")), @"error there is no action `class.act`");
    insta::assert_snapshot!(said(&|q| q.principal = PrincipalId::new("mallory")), @"error there is no principal `mallory`");
    insta::assert_snapshot!(said(&|q| q.target = Target::Resource(ResourceId::new("bank"))), @"error there is no resource `bank`");
    insta::assert_snapshot!(said(&|q| q.target = Target::Gateway), @"error the question about `sql.select` is malformed: it is not done to such a thing");
    insta::assert_snapshot!(said(&|q| q.roles = BTreeSet::from([RoleId::new("root")])), @"-");
}

#[test]
fn of_several_actions_each_is_told_its_own_circumstances() {
    let policy = "@id(\"mail\") permit (principal, action == Action::\"sql.unmask\", resource)\
                  when { context.column == \"public.customers.email\" && context.labels.contains(\"personal\") };";
    let actions = ["sql.select", "sql.unmask"].map(countersign_core::ActionName::new);
    let ruled = |change: &dyn Fn(&mut countersign_core::question::Question)| {
        let mut question = asks("alice", &["shop-writer"], "sql.select");
        question.context.extend(asks("alice", &["shop-writer"], "sql.unmask").context);
        change(&mut question);
        let compiled = compiled(&demo_with(policy));
        super::said(&compiled.rule_all(&book(&compiled), &question, &actions))
    };
    assert_eq!(ruled(&|_| ()), "allow");
    assert_eq!(
        ruled(&|q| {
            q.context.insert("column", Value::Text("public.customers.name".into()));
        }),
        "-"
    );
    insta::assert_snapshot!(ruled(&|q| { q.context.remove("column"); }), @"error the question about `sql.unmask` is malformed: the circumstance `column` is missing");
    insta::assert_snapshot!(ruled(&|q| { q.context.insert("verb", Value::Bool(true)); }), @"error the question about `sql.select` is malformed: there is no circumstance `verb` here; the question about `sql.unmask` is malformed: there is no circumstance `verb` here");
}

#[test]
fn policies_see_the_circumstances() {
    let sees = |condition: &str| {
        let policy = format!(
            "@id(\"see\") forbid (principal, action == Action::\"sql.delete\", resource) when {{ {condition} }};"
        );
        let mut facts = sql();
        facts.writes = BTreeSet::from(["public.orders".into()]);
        facts.rows = Some(12);
        let mut question = asks("alice", &["shop-writer"], "sql.delete");
        question.context = facts.into();
        match said(&rule(&demo_with(&policy), &question)).as_str() {
            "deny see" => true,
            "hold prod-write" => false,
            other => panic!("{other}"),
        }
    };
    for (yes, no) in [
        ("context.hour == 14", "context.hour == 15"),
        ("context.weekday == 2", "context.weekday == 3"),
        (
            "context.now == datetime(\"2026-03-03T14:00:00Z\")",
            "context.now < datetime(\"2026-03-03T14:00:00Z\")",
        ),
        ("context has source && context.source.isInRange(ip(\"10.0.0.0/8\"))", "context has ticket"),
        ("context.via == \"postgres\"", "context.via == \"console\""),
        ("context.writes.contains(\"public.orders\")", "context.writes.contains(\"orders\")"),
        ("context has rows && context.rows == 12", "context has rows && context.rows > 12"),
        ("resource.hasTag(\"env\")", "resource.hasTag(\"team\")"),
        ("resource.kind == \"postgres\" && resource has owner", "resource.recording == \"alongside\""),
        ("principal is User && principal.person == \"alice\"", "principal is Agent"),
        ("principal in Group::\"engineers\"", "principal in Group::\"dba\""),
        ("principal in Role::\"shop-writer\"", "principal in Role::\"shop-reader\""),
        ("resource in Role::\"shop-reader\"", "resource.impact == \"low\""),
        ("Role::\"shop-writer\".longest == duration(\"4h\")", "User::\"bob\" in Group::\"security\""),
    ] {
        assert!(sees(yes), "{yes}");
        assert!(!sees(no), "{no}");
    }
}

#[test]
fn an_ipv4_client_is_one_however_it_is_written() {
    let policy = "@id(\"home\") forbid (principal, action == Action::\"sql.select\", resource)
        unless { context has source && context.source.isInRange(ip(\"10.0.0.0/8\")) };";
    let mut question = asks("alice", &["shop-writer"], "sql.select");
    let mapped = std::net::Ipv4Addr::new(10, 1, 1, 1).to_ipv6_mapped();
    question.context.insert("source", Value::Ip(mapped.into()));
    assert_eq!(said(&rule(&demo_with(policy), &question)), "allow");
    question.context.insert("source", Value::Ip([11, 1, 1, 1].into()));
    assert_eq!(said(&rule(&demo_with(policy), &question)), "deny home");
    question.context.remove("source");
    assert_eq!(said(&rule(&demo_with(policy), &question)), "deny home");
}

#[test]
fn groups_in_groups_are_groups() {
    let source = demo_but(
        "people.toml",
        "[group.admins]",
        "[group.all]\ngroups = [\"engineers\", \"dba\"]\n\n[group.admins]",
    );
    let mut source = source;
    source.files.insert(
        "more.cedar".into(),
        "@id(\"all\") permit (principal in Group::\"all\", action == Action::\"ledger.read\", resource);
         @id(\"odd\") forbid (principal, action == Action::\"ledger.read\", resource)
         unless { Group::\"dba\" in Group::\"all\" };"
            .into(),
    );
    assert_eq!(said(&rule(&source, &asks("alice", &[], "ledger.read"))), "allow");
    assert_eq!(said(&rule(&source, &asks("dave", &[], "ledger.read"))), "-");
}

#[test]
fn whoever_is_disabled_does_nothing_nor_does_what_they_own() {
    let compiled = compiled(&demo_source());
    let mut book = book(&compiled);
    let disabled = principal::Event::Disabled {
        principal: PrincipalId::new("dave"),
        by: PrincipalId::new("bob"),
        reason: None,
    };
    book.apply(&Event::Principal(disabled), NOW);
    for who in ["dave", "ci"] {
        let ruling = compiled.rule(&book, &asks(who, &["shop-reader"], "sql.select"));
        assert_eq!(said(&ruling), "deny floor/nobody-disabled-acts");
    }
    assert_eq!(said(&compiled.rule(&book, &asks("alice", &["shop-reader"], "sql.select"))), "allow");
}

/// A bundle that leaves somebody out and a later one that has them again enable nobody.
#[test]
fn no_bundle_enables_anybody() {
    let compiled = compiled(&demo_source());
    let mut book = book(&compiled);
    let disabled = principal::Event::Disabled {
        principal: PrincipalId::new("alice"),
        by: PrincipalId::new("bob"),
        reason: None,
    };
    book.apply(&Event::Principal(disabled), NOW);
    book.catalogue = std::sync::Arc::default();
    let ruling = compiled.rule(&book, &asks("alice", &["shop-reader"], "sql.select"));
    assert_eq!(said(&ruling), "deny floor/nobody-disabled-acts");
}

#[test]
fn the_hash_of_a_rule_is_that_of_its_terms() {
    let compiled_hash = |source| {
        let compiled = compiled(&source);
        compiled.gates.values().map(|gate| (gate.rule.to_string(), gate.rule_hash)).collect::<Vec<_>>()
    };
    let before = compiled_hash(demo_source());
    let same =
        compiled_hash(demo_but("rules.toml", "[\"group:dba\", \"owner\"]", "[\"owner\", \"group:dba\"]"));
    assert_eq!(before, same, "the order of names means nothing");
    let after = compiled_hash(demo_but("rules.toml", "uses = 1 #", "uses = 2 #"));
    let changed: Vec<&str> =
        before.iter().zip(&after).filter(|(a, b)| a != b).map(|((name, _), _)| name.as_str()).collect();
    assert_eq!(changed, ["prod-write"]);
}

#[test]
fn a_rule_names_places() {
    let compiled = compiled(&demo_source());
    let rule = &compiled.catalogue.rules[&countersign_core::RuleName::new("prod-write")];
    assert_eq!(rule.stages[0].from, ["group:dba", "owner"].map(|place| place.parse::<Place>().unwrap()));
}
