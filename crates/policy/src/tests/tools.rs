//! Servers of tools: what a bundle may say of them, and what policies see of a call.

use countersign_core::ResourceId;
use countersign_core::question::{Question, Target, Value};

use super::{asks, compiled, demo_source, demo_with, lines, rule, said};
use crate::actions::{self, Circumstances};
use crate::{Source, compile, context};

const TOOLS: &str = r#"
[resource.files]
kind = "mcp"
title = "The reports"
impact = "moderate"
url = "https://tools.example/mcp"
"#;

const ROLE: &str = r#"
[role.clerk]
title = "Use the reports"
actions = ["mcp.list", "mcp.call"]
resources = ["files"]
account = "clerk"
longest = "1h"
"#;

/// The sample bundle with a server of tools, a role for it, and these policies.
fn with(policies: &str) -> Source {
    let mut source = demo_with(policies);
    source.files.get_mut("resources.toml").unwrap().push_str(TOOLS);
    source.files.get_mut("roles.toml").unwrap().push_str(ROLE);
    source
}

fn calls(path: &str, lines: i64) -> Question {
    let mut question = asks("alice", &["clerk"], "mcp.call");
    question.target = Target::Resource(ResourceId::new("files"));
    question.context.insert("args", Value::Fields([("path".to_owned(), path.to_owned())].into()));
    question.context.insert("numbers", Value::Numbers([("lines".to_owned(), lines)].into()));
    question
}

#[test]
fn a_role_of_tools_lets_its_holder_call_and_steer() {
    let source = with("");
    assert_eq!(said(&rule(&source, &calls("/srv/reports/march", 1))), "allow");
    for (action, verdict) in
        [("mcp.session", "allow"), ("mcp.list", "allow"), ("mcp.sample", "-"), ("mcp.unknown", "-")]
    {
        let mut question = asks("alice", &["clerk"], action);
        question.target = Target::Resource(ResourceId::new("files"));
        assert_eq!(said(&rule(&source, &question)), verdict, "{action}");
    }
}

#[test]
fn policies_look_at_arguments() {
    let source = with(
        r#"@id("only-reports") forbid (principal, action == Action::"mcp.call", resource)
        unless { context.args.hasTag("path") && context.args.getTag("path") like "/srv/reports/*" };
        @id("not-much") @gate("prod-write") forbid (principal, action == Action::"mcp.call", resource)
        when { context.numbers.hasTag("lines") && context.numbers.getTag("lines") > 100 };"#,
    );
    assert_eq!(said(&rule(&source, &calls("/srv/reports/march", 100))), "allow");
    assert_eq!(said(&rule(&source, &calls("/srv/reports/march", 101))), "hold prod-write");
    assert_eq!(said(&rule(&source, &calls("/etc/passwd", 1))), "deny only-reports");
    // The same case again, from memory or not, is judged by its own arguments.
    let compiled = compiled(&source);
    let book = super::book(&compiled);
    for (path, verdict) in
        [("/srv/reports/a", "allow"), ("/etc", "deny only-reports"), ("/srv/reports/a", "allow")]
    {
        assert_eq!(said(&compiled.rule(&book, &calls(path, 1))), verdict, "{path}");
    }
}

#[test]
fn an_argument_is_tested_before_it_is_read() {
    let found = compile(&with(
        r#"@id("x") forbid (principal, action == Action::"mcp.call", resource) when { context.args.getTag("path") == "a" };"#,
    ));
    assert!(lines(&found.unwrap_err()).contains("unable to guarantee safety of access to tag"));
}

#[test]
fn mistakes_about_servers_of_tools_have_their_place() {
    let mistakes = |text: &str| {
        let mut source = demo_source();
        let file = source.files.get_mut("resources.toml").unwrap();
        let before = file.lines().count();
        file.push_str(&format!(
            "[resource.files]\nkind = \"mcp\"\ntitle = \"x\"\nimpact = \"low\"\n{text}\n"
        ));
        let found = compile(&source).map_or_else(|found| found, |compiled| compiled.warnings);
        let shifted = |line: &str| {
            let mut parts = line.splitn(3, ':');
            let (file, at) = (parts.next().unwrap(), parts.next().unwrap().parse::<usize>().unwrap());
            format!("{file}+{}:{}", at - before, parts.next().unwrap())
        };
        lines(&found)
            .lines()
            .filter(|line| line.starts_with("resources.toml"))
            .map(shifted)
            .collect::<Vec<_>>()
            .join("\n")
    };
    for (text, expected) in [
        ("url = \"https://a/mcp\"", ""),
        ("program = \"files\"", ""),
        (
            "program = \"files\"\ntools = { a = \"sha256:1\" }",
            "resources.toml+6:15: error: `sha256:1` is not the digest of a tool",
        ),
        ("url = \"http://127.0.0.1:1/\"", ""),
        ("", "resources.toml+1:11: error: neither `url` nor `program` says where `files` is"),
        (
            "url = \"https://a\"\nprogram = \"b\"",
            "resources.toml+6:11: error: `files` is at a `url`, or it is a `program`; it can't be both",
        ),
        ("url = \"a b\"", "resources.toml+5:7: error: `a b` is not an address"),
        (
            "url = \"file:///etc\"",
            "resources.toml+5:7: error: `file:///etc` is not an address of a web server",
        ),
        (
            "url = \"https://u:p@a/\"",
            "resources.toml+5:7: error: an address holds no name, password or fragment",
        ),
        (
            "url = \"http://a/\"",
            "resources.toml+5:7: warning: the connection to `http://a/` is not encrypted",
        ),
        (
            "url = \"https://a/\"\ndatabase = \"x\"",
            "resources.toml+6:12: error: `database` is not for resources of kind `mcp`",
        ),
        (
            "program = \"a\"\ntls_ca = \"/x\"",
            "resources.toml+6:10: error: `tls_ca` is for addresses with `https`",
        ),
    ] {
        assert_eq!(
            mistakes(text).lines().next().unwrap_or_default().split(" (").next().unwrap(),
            expected,
            "{text}"
        );
    }
}

const REFERENCE: &str = include_str!("../../../../docs/operators/tools.md");

#[test]
fn every_action_and_circumstance_of_tools_is_in_the_reference() {
    let elsewhere = ["now", "hour", "weekday", "source", "via", "auth_methods", "auth_age"];
    for one in context::of(Circumstances::Mcp).filter(|one| !elsewhere.contains(&one.name)) {
        let row = REFERENCE.lines().find(|line| line.starts_with(&format!("| `context.{}` |", one.name)));
        let row = row.unwrap_or_else(|| panic!("`{}` is not in docs/operators/tools.md", one.name));
        let kind = row.split('|').nth(2).unwrap_or_default().replace('\\', "");
        assert!(kind.contains(one.kind.as_str()), "{row}");
        assert_eq!(kind.contains("may be absent"), one.optional, "{row}");
    }
    for spec in actions::ACTIONS.iter().filter(|spec| spec.parent == Some(actions::MCP)) {
        assert!(REFERENCE.contains(&format!("| `{}` |", spec.name)), "{}", spec.name);
    }
}

#[test]
fn the_examples_of_the_reference_do_what_they_say() {
    let lines = REFERENCE.lines().filter_map(|line| line.strip_prefix("    "));
    let mut is_policy = false;
    let policies = lines.filter(|line| {
        is_policy = line.starts_with("@id") || (is_policy && !line.starts_with('['));
        is_policy
    });
    let policies: String = policies.map(|line| format!("{line}\n")).collect();
    let source = with(&policies);
    assert_eq!(said(&rule(&source, &calls("/srv/reports/march", 1))), "allow");
    assert_eq!(said(&rule(&source, &calls("/etc/passwd", 1))), "deny only-reports-are-read");
    let mut unclaimed = calls("/srv/reports/march", 1);
    unclaimed.context.insert("claims", Value::Texts(Default::default()));
    assert_eq!(said(&rule(&source, &unclaimed)), "hold prod-write");
    let mut changed = calls("/srv/reports/march", 1);
    changed.context.insert("pin", Value::Text("other".into()));
    assert_eq!(said(&rule(&source, &changed)), "hold prod-write");
}
