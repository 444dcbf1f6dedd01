//! Jobs: what a bundle may say of them, what they may do, and what it takes to make others the same service.

use countersign_core::Span;
use countersign_core::question::Question;

use super::{asks, book, changed, compiled, demo_but, demo_source, lines, said};
use crate::context::Auth;
use crate::{Source, actions, class_of, compile, demands};

const SAID: &str = "[issuer.github]\nurl = \"https://ci.example\"\naudience = \"https://gate.example\"\n\n\
    [workload.report]\nservice = \"ci\"\nissuer = \"github\"\nclaims = { repository_id = \"74\", ref = \"refs/heads/main\" }\n\n";

/// The sample bundle with jobs that are its service.
fn source() -> Source {
    demo_but("people.toml", "[user.alice]", &format!("{SAID}[user.alice]"))
}

#[test]
fn a_bundle_says_which_jobs_are_which_service() {
    let catalogue = compiled(&source()).catalogue.clone();
    assert_eq!(catalogue.issuers["github"].audience, "https://gate.example");
    let report = &catalogue.workloads["report"];
    let claims = |pairs: &[(&str, &str)]| {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    };
    assert!(
        report.is("any", &claims(&[("repository_id", "74"), ("ref", "refs/heads/main"), ("sha", "f1d2")]))
    );
    assert!(!report.is("any", &claims(&[("repository_id", "74")])));
    assert!(!report.is("any", &claims(&[("repository_id", "740"), ("ref", "refs/heads/main")])));
    let wrong = |passage: &str, by: &str| {
        lines(&compile(&changed(source(), "people.toml", passage, by)).unwrap_err())
    };
    for (passage, by, expected) in [
        ("https://ci.example", "http://ci.example", "has no https address"),
        ("issuer = \"github\"", "issuer = \"gitlab\"", "there is no issuer `gitlab`"),
        ("service = \"ci\"", "service = \"alice\"", "there is no service `alice`"),
        ("service = \"ci\"", "service = \"cd\"", "there is no service `cd`"),
        ("claims = { repository_id = \"74\", ref = \"refs/heads/main\" }\n", "", "every job of the issuer's"),
        ("claims = { repository_id = \"74\", ref", "claims = { repository_id = 74, ref", "a text"),
        ("audience = \"https://gate.example\"\n", "", "audience"),
        (
            "[workload.report]",
            "[issuer.two]\nurl = \"https://ci.example\"\naudience = \"b\"\n[workload.report]",
            "there are two issuers",
        ),
    ] {
        let said = wrong(passage, by);
        assert!(said.contains(expected), "{by}: {said}");
    }
}

/// What a job has beyond any other service is a credential of its own, and that alone.
#[test]
fn a_job_makes_credentials_and_decides_nothing() {
    let everything = "@id(\"everything\") permit (principal, action, resource);";
    let mut open = source();
    open.files.insert("all.cedar".into(), everything.into());
    let judge = |source: &Source, who: &str, action: &str, method: &str| {
        let compiled = compiled(source);
        let book = book(&compiled);
        let mut question: Question = asks(who, &[], action);
        let methods = [method.to_owned()].into();
        Auth { methods, age: Span::seconds(5) }.tell(&mut question.context);
        said(&compiled.rule(&book, &question))
    };
    let by = |who: &str, action: &str, method: &str| judge(&open, who, action, method);
    for action in actions::all() {
        let class = class_of(&action).unwrap();
        let forbidden = matches!(class, crate::Class::Decide | crate::Class::Mint | crate::Class::Govern);
        let told = by("ci", action.as_str(), "workload");
        let is_its_own = action.as_str() == "credential.mint";
        assert_eq!(told.contains("floor/only-people-decide"), forbidden && !is_its_own, "{action}: {told}");
    }
    assert_eq!(judge(&source(), "ci", "credential.mint", "workload"), "allow", "by the floor itself");
    for method in ["password", "oidc", "passkey", "workload "] {
        assert!(by("ci", "credential.mint", method).contains("floor/only-people-decide"), "{method}");
    }
}

#[test]
fn other_jobs_become_a_service_only_with_the_word_of_the_approvers() {
    let needs = |old: &Source, new: &Source| {
        let gates = demands(&compiled(old), &compiled(new));
        let reasons = gates.iter().flat_map(|gate| &gate.policies).filter_map(|policy| policy.reason.clone());
        reasons.map(|reason| reason.to_string()).collect::<Vec<_>>().join("; ")
    };
    assert!(needs(&demo_source(), &source()).contains("other jobs are the service `ci`"));
    assert_eq!(needs(&source(), &demo_source()), "", "none is stricter");
    for (passage, by, reason) in [
        ("repository_id = \"74\"", "repository_id = \"75\"", "other jobs are the service `ci`"),
        ("repository_id = \"74\", ", "", "other jobs are the service `ci`"),
        ("https://ci.example", "https://evil.example", "the issuer `github` is another one"),
        ("https://gate.example", "https://other.example", "meant for another"),
    ] {
        let told = needs(&source(), &changed(source(), "people.toml", passage, by));
        assert!(told.contains(reason), "{by}: {told}");
    }
    let titled = changed(source(), "people.toml", "[workload.report]", "title = \"CI\"\n[workload.report]");
    assert_eq!(needs(&source(), &titled), "");
}
