//! Everything that is wrong with a bundle is reported at once, with its place and what to do.

use super::{demo_but, demo_source, demo_with, lines};
use crate::{DIAGNOSTICS_MAX, FILE_BYTES_MAX, Severity, Source, compile};

fn report(source: &Source) -> String {
    match compile(source) {
        Ok(compiled) => lines(&compiled.warnings),
        Err(found) => lines(&found),
    }
}

/// Each with its place, in the words that do not come from Cedar or do not change with it.
const EXPECTED: &str = r#"bundle.toml:1:8: error: `Broken` is not a name
bundle.toml:3:1: error: there is no key `formt` here
notes.md: error: this file is no part of a bundle
people.toml:3:1: error: there is no key `emial` here
people.toml:4:7: error: `name` is missing in `user.bob`
people.toml:5:7: error: `Carol` is not a name
people.toml:9:10: warning: no other account says that it belongs to the person `bbo`
people.toml:11:9: error: `ci` is not a user
people.toml:12:8: error: there is another principal `alice`
people.toml:13:9: error: there is no user `alcie`
people.toml:15:19: error: there is no user, service or agent `bib`
people.toml:15:26: error: `group.dba.members[2]` must be a name
people.toml:16:11: error: there is no group `dbas`
policies/a.cedar:1:1: error: this policy has no `@id`
policies/a.cedar:4:68: error: attribute `impcat` on entity type `Resource` not found
policies/a.cedar:6:1: error: there is another policy with the id `twice`
policies/a.cedar:7:22: error: there is no group `dbas`
policies/a.cedar:9:1: error: `no permit has a gate` is not a name
policies/a.cedar:9:29: error: a permit cannot have a gate
policies/a.cedar:12:21: error: there is no approval rule `prod-wriet`
policies/a.cedar:12:41: error: there is no annotation `@gaet`
policies/a.cedar:13:30: error: unrecognized action `Action::"ledger.rea"`
policies/a.cedar:13:64: error: there is no role `wirter`
policies/a.cedar:15:63: error: unexpected token `}`
policies/a.cedar:19:8: error: unable to guarantee safety of access to optional attribute `rows`
policies/a.cedar:19:29: error: unable to guarantee safety of access to optional attribute `source`
policies/a.cedar:21:38: error: expected a static policy, got a template
policies/a.cedar:23:35: error: there is no agent `bot`
policies/a.cedar:24:55: error: unexpected end of input
resources.toml:2:8: error: `postgers` is none of the words for this
resources.toml:3:9: error: this text is empty
resources.toml:5:9: error: a resource cannot own itself
resources.toml:6:8: error: `db/shop` is not a host
resources.toml:7:8: error: `resource.shop.port` must be a whole number from 1 to 65535
resources.toml:10:10: error: `tls_ca` is not used with `tls = "require"`
resources.toml:11:16: error: `shop` has no secret for the account `looker`
resources.toml:12:19: error: this is not a reference to a secret
resources.toml:13:18: error: `resource.shop.labels.env` must be a text
roles.toml:3:25: error: there is no action `sql.wriet`
roles.toml:3:38: error: `policy.apply` is not done to a resource
roles.toml:4:22: error: there is no resource `shopp`
roles.toml:5:11: error: `shop` has no secret for the account `writer`
roles.toml:6:11: error: `4 hours` is not a length of time
rules.toml:2:11: warning: this stage can never be satisfied: it needs 3 and there is 1 to ask
rules.toml:2:65: error: `approval.prod-write.stages[1].need` must be a whole number from 1 to 100
rules.toml:2:75: error: nobody is named here
rules.toml:2:81: error: `need` is missing in `approval.prod-write.stages[2]`
rules.toml:2:91: error: `dba` names nobody
rules.toml:5:23: warning: the request has lapsed after 15m
rules.toml:5:37: error: there is no group `dab`
rules.toml:5:50: error: `ci` is not a user
rules.toml:7:10: error: nobody is asked by `unused`
rules.toml:10:11: error: names that begin with `floor.` belong to the policy floor"#;

#[test]
fn every_mistake_of_a_broken_bundle_is_told_at_once() {
    let source: Source = [
        ("bundle.toml", "name = \"Broken\"\nformat = 2\nformt = 1\n"),
        (
            "people.toml",
            r#"[user.alice]
name = "Alice"
emial = "a@example"
[user.bob]
[user.Carol]
name = "Carol"
[user.bob2]
name = "Bob again"
person = "bbo"
[service.ci]
owner = "ci"
[agent.alice]
owner = "alcie"
[group.dba]
members = ["bob", "bib", 7]
groups = ["dbas"]
"#,
        ),
        (
            "resources.toml",
            r#"[resource.shop]
kind = "postgers"
title = ""
impact = "high"
owner = "owner"
host = "db/shop"
port = 70000
database = "shop"
tls = "require"
tls_ca = "ca.pem"
look_account = "looker"
secrets = { app = "hunter2", other = "env:OTHER" }
labels = { env = 1 }
"#,
        ),
        (
            "roles.toml",
            r#"[role.writer]
title = "Write"
actions = ["sql.write", "sql.wriet", "policy.apply"]
resources = ["shop", "shopp"]
account = "writer"
longest = "4 hours"
"#,
        ),
        (
            "rules.toml",
            r#"[approval.prod-write]
stages = [{ need = 3, from = ["group:dba", "owner"] }, { need = 0, from = [] }, { from = ["dba"] }]
pending_for = "15m"
valid_for = "10m"
escalate = [{ after = "20m", add = ["group:dab", "user:ci"] }]
[approval.unused]
stages = []
pending_for = "15m"
valid_for = "10m"
[approval."floor.mine"]
stages = [{ need = 1, from = ["user:bob"] }]
pending_for = "15m"
valid_for = "10m"
"#,
        ),
        (
            "policies/a.cedar",
            r#"permit (principal, action, resource);

@id("twice") @gate("prod-write")
forbid (principal, action in Action::"sql.write", resource) when { resource.impcat == "high" };

@id("twice")
permit (principal in Group::"dbas", action == Action::"ledger.read", resource);

@id("no permit has a gate") @gate("prod-write")
permit (principal, action == Action::"ledger.read", resource);

@id("unknown-rule") @gate("prod-wriet") @gaet("x")
forbid (principal, action == Action::"ledger.rea", resource == Role::"wirter");

@id("syntax") permit (principal, action, resource) when { 1 + };

@id("needs-a-guard")
forbid (principal, action in Action::"sql", resource)
when { context.rows > 10 && context.source.isLoopback() };

@id("template") permit (principal == ?principal, action, resource);

@id("never") forbid (principal == Agent::"bot", action == Action::"ledger.read", resource is Role);
@id("unfinished") permit (principal, action, resource)"#,
        ),
        ("notes.md", "hello"),
    ]
    .into_iter()
    .collect();
    let report = report(&source);
    for expected in EXPECTED.lines() {
        assert!(report.contains(expected), "`{expected}` is not in\n{report}");
    }
    assert!(!report.contains("hunter2"), "{report}");
}

#[test]
fn what_is_wrong_with_servers_is_said_where_it_stands() {
    let with = |host: &str, more: &str| {
        let text = format!(
            "[resource.shop]\nkind = \"postgres\"\ntitle = \"x\"\nimpact = \"low\"\nhost = {host}\ndatabase = \"shop\"\n{more}\n"
        );
        let files = [("bundle.toml", "name = \"a\"\nformat = 1"), ("resources.toml", text.as_str())];
        report(&files.into_iter().collect())
    };
    for (host, more, expected) in [
        ("[\"a\", \"b:c\"]", "", "resources.toml:5:14: error: `c` is not a port"),
        ("[\"a\", \"a\"]", "", "resources.toml:5:14: error: `a` is there twice"),
        ("\"a,b\"", "", "resources.toml:5:8: error: `a,b` is not a host"),
        ("[]", "", "resources.toml:5:8: error: no server is named"),
        ("7", "", "resources.toml:5:8: error: `resource.shop.host` must be a text"),
        (
            "[\"a\", \"b\"]",
            "tls = \"disable\"",
            "resources.toml:7:7: warning: the connection to `b` is not encrypted",
        ),
        ("\"a\"", "connect_timeout = \"6m\"", "resources.toml:7:19: error: `6m` is not from 1s to 5m"),
        (
            "\"a\"",
            "target_session_attrs = \"read-wirte\"",
            "error: `read-wirte` is none of the words for this",
        ),
        (
            "\"a\"",
            "client_certificates.app = { certificate = \"MIIB\", key = \"env:KEY\" }",
            "error: this is not a reference to a secret",
        ),
        (
            "\"127.0.0.1\"",
            "tls = \"disable\"\nclient_certificates.app = { certificate = \"env:CERT\", key = \"env:KEY\" }",
            "`client_certificates` are not used with `tls = \"disable\"`",
        ),
    ] {
        let told = with(host, more);
        assert!(told.contains(expected), "`{expected}` is not in\n{told}");
    }
    let many: Vec<String> = (0..9).map(|number| format!("\"db{number}\"")).collect();
    assert!(with(&format!("[{}]", many.join(", ")), "").contains("9 servers are more than 8"));
    let well = with(
        "[\"a:5433\", \"b\", \"[::1]:1\"]",
        "target_session_attrs = \"primary\"\nlook_account = \"app\"\nclient_certificates.app = { certificate = \"env:CERT\", key = \"env:KEY\" }",
    );
    assert_eq!(well, "", "an account with a certificate needs no password");
}

#[test]
fn a_file_that_is_not_toml_does_not_hide_the_others() {
    let source: Source = [
        ("bundle.toml", "name = \"a\"\nformat = 1"),
        ("people.toml", "[user.alice]\nname = \"Alice\nemail = 1"),
        ("rules.toml", "[approval.x\n"),
        ("roles.toml", "role = 1"),
    ]
    .into_iter()
    .collect();
    insta::assert_snapshot!(report(&source), @r#"
    people.toml:2:14: error: this is not TOML: invalid basic string, expected `"`
    roles.toml:1:1: error: `role` must be a table
    rules.toml:1:12: error: this is not TOML: unclosed table, expected `]`
    "#);
}

#[test]
fn an_empty_folder_is_no_bundle() {
    insta::assert_snapshot!(report(&Source::default()), @r#"
    bundle.toml: error: this file is missing
        hint: write `name = "..."` and `format = 1` in it
    "#);
}

#[test]
fn a_secret_is_never_repeated() {
    let source = demo_but("resources.toml", "\"secret:shop_writer\"", "\"hunter2-hunter2\"");
    let report = report(&source);
    assert!(report.contains("this is not a reference to a secret"), "{report}");
    assert!(!report.contains("hunter2"), "{report}");
}

#[test]
fn large_bundles_are_refused() {
    let mut source = demo_source();
    source.files.insert("large.cedar".into(), "/".repeat(FILE_BYTES_MAX + 1));
    assert!(report(&source).contains("larger than"), "{}", report(&source));
    let mut source = demo_source();
    source.files.extend((0..crate::FILES_MAX).map(|file| (format!("{file}.cedar"), String::new())));
    assert!(report(&source).contains("at most 500 files"), "{}", report(&source));
}

#[test]
fn a_flood_of_mistakes_is_told_in_part() {
    let found = compile(&demo_with(&"permit (principal, action, resource);\n".repeat(5_000))).unwrap_err();
    assert_eq!(found.len(), DIAGNOSTICS_MAX + 1);
    assert_eq!(found.last().unwrap().message, "there are 4000 more mistakes");
}

/// Hostile nesting ends in a message. It must never end the process.
#[test]
fn hostile_nesting_is_an_error() {
    let refused = |condition: &str| {
        let policy = format!("@id(\"deep\") permit (principal, action, resource) when {{ {condition} }};");
        let report = report(&demo_with(&policy));
        assert!(report.contains("split it into several policies"), "{report}");
    };
    for (open, close) in [("(", ")"), ("[", "]"), ("{a: ", "}")] {
        refused(&format!("{}1{} == 1", open.repeat(20_000), close.repeat(20_000)));
    }
    refused(&"(".repeat(100_000));
    for chain in ["1 +", "true ||", "true &&", "if true then true else", "!", "-", "context."] {
        refused(&format!("{}true", format!("{chain} ").repeat(20_000)));
    }
    let mut source = demo_source();
    source.files.insert("people.toml".into(), format!("x = {}{}", "[".repeat(50_000), "]".repeat(50_000)));
    assert!(report(&source).contains("people.toml"), "{}", report(&source));
}

/// What is within the limits can be judged, in a stack no larger than that of a worker.
#[test]
fn the_deepest_policy_that_is_accepted_can_be_judged() {
    let brackets = format!("{}true{}", "(".repeat(28), ")".repeat(28));
    let chain = |link: &str, times: usize| format!("{}{brackets}", link.repeat(times));
    for condition in [
        chain("if context.hour == 14 then true else ", 70),
        chain("context.hour == 3 || ", 70),
        format!("context.statements{} > 0 && {brackets}", "+ 1".repeat(140)),
        format!("context.now{} == context.now || {brackets}", ".toDate()".repeat(140)),
    ] {
        let policy = format!("@id(\"deep\") forbid (principal, action, resource) when {{ {condition} }};");
        // Not every action has statements; policy is checked before it is judged.
        let policy = policy.replace("action,", "action in Action::\"sql\",");
        let judge = move || {
            let source = demo_with(&policy);
            super::said(&super::rule(&source, &super::asks("alice", &["shop-reader"], "sql.select")))
        };
        let thread = std::thread::Builder::new().stack_size(2 << 20).spawn(judge).unwrap();
        assert_eq!(thread.join().unwrap(), "deny deep");
    }
}

#[test]
fn warnings_do_not_stop_a_bundle() {
    let source = demo_but(
        "rules.toml",
        "{ need = 1, from = [\"group:security\"] }",
        "{ need = 2, from = [\"group:security\"] }",
    );
    let compiled = compile(&source).unwrap();
    insta::assert_snapshot!(lines(&compiled.warnings), @r#"
    rules.toml:24:11: warning: this stage can never be satisfied: it needs 2 and there is 1 to ask
        hint: whatever it holds is locked; add people to the groups that it names
    "#);
    assert!(compiled.warnings.iter().all(|one| one.severity == Severity::Warning));
}
