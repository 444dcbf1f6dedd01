//! People whom no bundle names: in the groups that a directory fills, and in no others.

use countersign_core::directory::{Account, Change, Event as Told};
use countersign_core::question::Target;
use countersign_core::{Book, Digest, DirectoryName, Event, GroupId, PersonId, PrincipalId};

use super::{NOW, asks, book, changed, compiled, demo_but, demo_source, said};
use crate::{Compiled, Source, compile, demands};

const DECLARED: &str =
    "[directory.corp]\nsilent_after = \"5m\"\nlost_after = \"15m\"\nstrip = \"@example.com\"\n\n";

/// The sample bundle with a directory whose DBAs are DBAs.
fn source() -> Source {
    let source = demo_but("people.toml", "[user.alice]", &format!("{DECLARED}[user.alice]"));
    changed(source, "people.toml", "members = [\"bob\"]", "members = [\"bob\"]\nfrom = { corp = \"DBA\" }")
}

fn tell(book: &mut Book, name: &str, is_active: bool, groups: &[&str]) {
    let account = Account {
        record: Digest([1; 32]),
        person: PersonId::new(name),
        is_active,
        groups: groups.iter().map(|name| GroupId::new(name)).collect(),
    };
    let (directory, principal) = (DirectoryName::new("corp"), PrincipalId::new(name));
    let told = Told::Told { directory, principal, account, change: Change::Updated };
    book.apply(&Event::Directory(told), NOW);
}

fn asked(compiled: &Compiled, book: &Book, who: &str, action: &str) -> String {
    said(&compiled.rule(book, &asks(who, &[], action)))
}

#[test]
fn a_directorys_people_have_what_its_groups_have() {
    let compiled = compiled(&source());
    let mut book = book(&compiled);
    let of_bob = asked(&compiled, &book, "bob", "grant.revoke");
    assert_eq!(of_bob, "allow");
    assert!(asked(&compiled, &book, "zoe", "grant.revoke").contains("no principal `zoe`"));
    tell(&mut book, "zoe", true, &[]);
    assert_eq!(asked(&compiled, &book, "zoe", "grant.revoke"), "-");
    tell(&mut book, "zoe", true, &["dba"]);
    assert_eq!(asked(&compiled, &book, "zoe", "grant.revoke"), "allow");
    // What was said before is not remembered of somebody who is in another group.
    tell(&mut book, "zoe", true, &[]);
    assert_eq!(asked(&compiled, &book, "zoe", "grant.revoke"), "-");
    tell(&mut book, "zoe", true, &["dba"]);
    assert_eq!(asked(&compiled, &book, "zoe", "grant.revoke"), "allow");
    tell(&mut book, "zoe", false, &["dba"]);
    assert_eq!(asked(&compiled, &book, "zoe", "grant.revoke"), "-");
    assert_eq!(asked(&compiled, &book, "zoe", "access.request"), "deny floor/nobody-disabled-acts");
}

#[test]
fn things_are_done_to_a_directorys_people_as_to_others() {
    let compiled = compiled(&source());
    let mut book = book(&compiled);
    tell(&mut book, "zoe", true, &["dba"]);
    let mut question = asks("bob", &[], "principal.disable");
    question.target = Target::Principal(PrincipalId::new("zoe"));
    assert_eq!(said(&compiled.rule(&book, &question)), "allow");
    question.target = Target::Principal(PrincipalId::new("yan"));
    assert!(said(&compiled.rule(&book, &question)).starts_with("error"));
}

#[test]
fn a_name_that_the_bundle_gives_to_its_directory_is_in_the_groups_of_both() {
    let source = changed(source(), "people.toml", "[user.alice]", "[user.alice]\ndirectory = \"corp\"");
    let compiled = compiled(&source);
    let mut book = book(&compiled);
    assert_eq!(asked(&compiled, &book, "alice", "access.request"), "deny floor/nobody-disabled-acts");
    let shuts_out_bob = |book: &Book| {
        let mut question = asks("alice", &[], "principal.disable");
        question.target = Target::Principal(PrincipalId::new("bob"));
        said(&compiled.rule(book, &question))
    };
    tell(&mut book, "alice", true, &[]);
    assert_eq!(asked(&compiled, &book, "alice", "access.request"), "hold shop-access");
    assert_eq!(shuts_out_bob(&book), "-");
    tell(&mut book, "alice", true, &["dba"]);
    assert_eq!(asked(&compiled, &book, "alice", "access.request"), "hold shop-access");
    assert_eq!(shuts_out_bob(&book), "allow");
}

#[test]
fn a_bundle_that_misnames_a_directory_is_refused() {
    let wrong = |passage: &str, by: &str| {
        let found = compile(&changed(source(), "people.toml", passage, by)).unwrap_err();
        super::lines(&found)
    };
    let said = wrong("from = { corp", "from = { crop");
    assert!(said.contains("there is no directory `crop`") && said.contains("corp"), "{said}");
    let said = wrong("[user.alice]", "[user.alice]\ndirectory = \"crop\"");
    assert!(said.contains("there is no directory `crop`"), "{said}");
    let said = wrong("lost_after = \"15m\"", "lost_after = \"1m\"");
    assert!(said.contains("`lost_after` has to be longer than `silent_after`"), "{said}");
    let said = wrong("silent_after = \"5m\"\n", "");
    assert!(said.contains("`lost_after` needs `silent_after`"), "{said}");
}

#[test]
fn a_directory_joins_and_loosens_only_with_the_word_of_the_approvers() {
    let needs = |old: &Source, new: &Source| {
        let gates = demands(&compiled(old), &compiled(new));
        let reasons = gates.iter().flat_map(|gate| &gate.policies).filter_map(|policy| policy.reason.clone());
        reasons.map(|reason| reason.to_string()).collect::<Vec<_>>().join("; ")
    };
    assert!(needs(&demo_source(), &source()).contains("`prod-write` asks fewer people, or other people"));
    assert_eq!(needs(&source(), &demo_source()), "");
    let but = |passage: &str, by: &str| needs(&source(), &changed(source(), "people.toml", passage, by));
    assert_eq!(but("silent_after = \"5m\"", "silent_after = \"1m\""), "");
    for (passage, by, reason) in [
        ("lost_after = \"15m\"", "lost_after = \"16m\"", "may be silent for longer"),
        ("lost_after = \"15m\"\n", "", "may be silent for longer"),
        ("strip = \"@example.com\"\n", "", "names its accounts otherwise"),
        ("corp = \"DBA\"", "corp = [\"DBA\", \"Everybody\"]", "asks fewer people, or other people"),
    ] {
        let told = but(passage, by);
        assert!(told.contains(reason), "{by}: {told}");
    }
    let alice = changed(source(), "people.toml", "[user.alice]", "[user.alice]\ndirectory = \"corp\"");
    assert_eq!(needs(&source(), &alice), "");
    assert!(needs(&alice, &source()).contains("`alice` no longer lives by its directory's word"));
}
