//! Agents: nothing beyond the ceiling, whatever policies permit; and who lifts a ceiling.

use countersign_core::RoleId;
use countersign_core::question::{Question, Target};

use super::{asks, book, changed, compiled, demo_but, demo_source, lines, said};
use crate::{Class, Source, actions, class_of, compile, demands};

const AGENT: &str =
    "[agent.scribe]\nowner = \"alice\"\nroles = [\"shop-reader\"]\nactions = [\"sql.read\"]\n\n";

/// The sample bundle with an agent, under policies that permit everybody everything.
fn source(agent: &str) -> Source {
    let mut source = demo_but("people.toml", "[user.alice]", &format!("{agent}[user.alice]"));
    source
        .files
        .insert("all.cedar".into(), "@id(\"everything\") permit (principal, action, resource);".into());
    source
}

fn judge(source: &Source, question: &Question) -> String {
    let compiled = compiled(source);
    said(&compiled.rule(&book(&compiled), question))
}

fn is_beyond(told: &str) -> bool {
    told.contains("floor/no-agent-beyond-its-ceiling")
}

#[test]
fn a_bundle_says_how_far_an_agent_goes() {
    let wrong = |agent: &str| lines(&compile(&source(agent)).unwrap_err());
    for (passage, by, expected) in [
        ("shop-reader", "shop-raeder", "there is no role `shop-raeder`"),
        ("sql.read", "sql.raed", "there is no action `sql.raed`"),
        ("sql.read", "policy.apply", "`policy.apply` is not done to a resource"),
        ("sql.read", "class.act", "there is no action `class.act`"),
        ("owner = \"alice\"", "owner = \"ci\"", "`ci` is not a user"),
    ] {
        let told = wrong(&AGENT.replace(passage, by));
        assert!(told.contains(expected), "{by}: {told}");
    }
    assert!(compile(&source(&AGENT.replace("sql.read", "sql"))).is_ok(), "a group of actions");
}

/// Every action of the table, in every role and in none: an agent does what its ceiling names, and nothing else.
#[test]
fn an_agent_does_nothing_beyond_its_ceiling() {
    let (bounded, unsaid) = (source(AGENT), source("[agent.scribe]\nowner = \"alice\"\n\n"));
    for action in actions::all() {
        let lineage = actions::lineage(actions::spec(action.as_str()).unwrap());
        for roles in [&["shop-reader"][..], &["shop-writer"], &["shop-reader", "shop-writer"]] {
            let question = asks("scribe", roles, action.as_str());
            let on_resource = matches!(question.target, Target::Resource(_));
            let told = judge(&bounded, &question);
            let is_act = class_of(&action) == Some(Class::Act) && on_resource;
            let is_inside = roles == ["shop-reader"]
                && (lineage.contains(&"sql.read")
                    || ["session.open", "sql.session", "mcp.session"].contains(&action.as_str()));
            let asks_for_writer = action.as_str() == "access.request";
            assert_eq!(
                is_beyond(&told),
                is_act && !is_inside || asks_for_writer,
                "{action} in {roles:?}: {told}"
            );
            assert_eq!(
                is_beyond(&judge(&unsaid, &question)),
                is_act || asks_for_writer,
                "{action} in {roles:?}"
            );
        }
    }
    let mut reader = asks("scribe", &[], "access.request");
    reader.target = Target::Role(RoleId::new("shop-reader"));
    assert!(!is_beyond(&judge(&bounded, &reader)));
    assert!(is_beyond(&judge(&unsaid, &reader)));
    // It is the agent's, and nobody else's.
    for other in ["alice", "ci"] {
        assert!(!is_beyond(&judge(&bounded, &asks(other, &["shop-writer"], "sql.delete"))), "{other}");
    }
    // One statement that is several actions stays below it only with all of them.
    let several = ["sql.select", "sql.delete"].map(countersign_core::ActionName::new);
    let compiled = compiled(&bounded);
    let ruling =
        compiled.rule_all(&book(&compiled), &asks("scribe", &["shop-reader"], "sql.select"), &several);
    assert!(is_beyond(&said(&ruling)));
}

#[test]
fn a_ceiling_is_raised_only_with_the_word_of_the_approvers() {
    let with = |agent: &str| demo_but("people.toml", "[user.alice]", &format!("{agent}[user.alice]"));
    let needs = |old: &Source, new: &Source| {
        let gates = demands(&compiled(old), &compiled(new));
        let reasons = gates.iter().flat_map(|gate| &gate.policies).filter_map(|policy| policy.reason.clone());
        reasons.map(|reason| reason.to_string()).collect::<Vec<_>>().join("; ")
    };
    let changed = |passage: &str, by: &str| changed(with(AGENT), "people.toml", passage, by);
    for (passage, by) in [
        ("roles = [\"shop-reader\"]", "roles = [\"shop-reader\", \"shop-writer\"]"),
        ("actions = [\"sql.read\"]", "actions = [\"sql\"]"),
        ("actions = [\"sql.read\"]", "actions = [\"sql.select\", \"sql.insert\"]"),
    ] {
        let told = needs(&with(AGENT), &changed(passage, by));
        assert!(told.contains("the ceiling of the agent `scribe` is raised"), "{by}: {told}");
    }
    for (passage, by) in [
        ("roles = [\"shop-reader\"]", "roles = []"),
        ("actions = [\"sql.read\"]", "actions = [\"sql.select\", \"sql.read\"]"),
        ("actions = [\"sql.read\"]", "actions = [\"sql.select\"]"),
    ] {
        assert_eq!(needs(&with(AGENT), &changed(passage, by)), "", "{by}");
    }
    let told = needs(&with(AGENT), &changed("owner = \"alice\"\nroles", "owner = \"bob\"\nroles"));
    assert!(told.contains("somebody else answers for the agent `scribe`"), "{told}");
    assert_eq!(needs(&demo_source(), &with(AGENT)), "", "a new one is a new permission");
}
