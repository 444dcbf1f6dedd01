//! Directories: what they say becomes ours, and what ends at the source ends here.

use std::collections::BTreeMap;

use countersign_core::directory::Hearing;
use countersign_core::session::Ending;
use countersign_core::{DirectoryName, PrincipalId, Span};

use super::{Bench, PEOPLE, bundle, until, who};
use crate::directory::{Listed, Profile, Shelving, Word};
use crate::{RefusedCode, Via};

const CORP: &str = "\n[directory.corp]\nsilent_after = \"2m\"\nlost_after = \"10m\"\nstrip = \"@example.com\"\n\
    [directory.corp.persons]\nyan = \"alice\"\n";

fn corp() -> DirectoryName {
    DirectoryName::new("corp")
}

/// The test's bundle, with a directory that fills the DBAs and the engineers; only engineers may ask.
fn files() -> BTreeMap<String, String> {
    let mut files = bundle();
    let people =
        PEOPLE.replace("members = [\"bob\", \"bea\"]", "members = [\"bob\"]\nfrom = { corp = \"DBA\" }");
    let people =
        format!("{people}\n[group.engineers]\nmembers = [\"alice\"]\nfrom = {{ corp = \"Eng\" }}\n{CORP}");
    files.insert("people.toml".into(), people);
    let policies = files["house.cedar"].replace(
        "permit (principal is User, action == Action::\"access.request\", resource is Role);",
        "permit (principal in Group::\"engineers\", action == Action::\"access.request\", resource is Role);",
    );
    files.insert("house.cedar".into(), policies);
    files
}

fn listed(name: &str, groups: &[&str]) -> Listed {
    Listed {
        name: name.into(),
        record: format!("record of {}", name.to_lowercase()),
        is_active: true,
        groups: groups.iter().map(|name| (*name).to_owned()).collect(),
        profile: Profile { display: Some(format!("{name} in full")), ..Profile::default() },
    }
}

impl Bench {
    async fn tell(&self, listed: Listed) {
        self.engine.provision(&corp(), vec![Word::There(listed)], Vec::new()).await.unwrap();
    }

    fn is_in(&self, name: &str, group: &str) -> bool {
        let snapshot = self.engine.snapshot();
        let groups = snapshot.book.catalogue.groups_of(&who(name));
        groups.iter().any(|one| one.as_str() == group)
    }
}

async fn bench() -> Bench {
    Bench::with_bundle(files()).await
}

#[tokio::test]
async fn somebody_at_the_source_asks_connects_and_is_cut() {
    let bench = bench().await;
    bench.tell(listed("Zoe@Example.COM", &["eng"])).await;
    let session = bench.session("zoe", "shop-writer").await;
    let waiting = bench.hold(&session, "delete from orders where id = 1").await;
    let token = bench.engine.token_of(&who("zoe"));
    assert!(bench.engine.caller(&token, Via::Api, None).await.is_ok());
    bench.tell(Listed { is_active: false, ..listed("zoe@example.com", &["eng"]) }).await;
    assert_eq!(session.ending(), Some(Ending::Disabled));
    let snapshot = bench.engine.snapshot();
    assert_eq!(snapshot.book.request(waiting.id()).unwrap().state.as_str(), "withdrawn");
    assert!(bench.engine.caller(&token, Via::Api, None).await.is_err());
    let line = bench.lines_of("identity.disabled").pop().unwrap();
    assert_eq!(line.actor, Some(PrincipalId::new("directory:corp")));
    assert_eq!(line.subject, Some(who("zoe")));
    assert_eq!(line.data["directory"], "corp");
    let revoked = bench.lines_of("grant.revoked").pop().unwrap();
    assert_eq!(revoked.actor, Some(PrincipalId::new("directory:corp")));
}

#[tokio::test]
async fn all_of_it_is_still_so_after_a_crash() {
    let bench = bench().await;
    bench.tell(listed("zoe", &["Eng", "DBA", "Cleaners"])).await;
    bench.tell(Listed { is_active: false, ..listed("yan", &[]) }).await;
    let before = bench.engine.snapshot();
    let bench = bench.crash().await;
    let after = bench.engine.snapshot();
    assert_eq!(
        (&after.book.catalogue, after.book.account(&who("zoe"))),
        (&before.book.catalogue, before.book.account(&who("zoe")))
    );
    assert!(bench.is_in("zoe", "dba") && bench.is_in("zoe", "engineers"));
    assert!(!after.book.is_enabled(&who("yan")));
    assert_eq!(bench.engine.profile(&who("zoe")).unwrap().display.as_deref(), Some("zoe in full"));
    let files = std::fs::read_dir(bench.folder.path()).unwrap().map(|entry| entry.unwrap().path());
    for path in files.filter(|path| path.is_file()) {
        let bytes = std::fs::read(&path).unwrap();
        for content in ["zoe in full", "record of zoe", "Cleaners"] {
            let found = bytes.windows(content.len()).any(|some| some == content.as_bytes());
            assert!(!found, "`{content}` lies open in {}", path.display());
        }
    }
}

#[tokio::test]
async fn who_is_not_listed_any_more_is_gone_and_leaves_nothing_behind() {
    let bench = bench().await;
    let all = vec![listed("zoe", &["Eng"]), listed("yan", &[]), listed("Ünal", &[]), listed("bob", &["DBA"])];
    let outcome = bench.engine.synchronise(&corp(), all.clone()).await.unwrap();
    assert_eq!((outcome.accounts, outcome.changes, outcome.skipped.len()), (2, 2, 2));
    let again = bench.engine.synchronise(&corp(), all).await.unwrap();
    assert_eq!(again.changes, 0);
    bench.engine.set_password(&who("zoe"), "correct horse battery").await.unwrap();
    bench.grant("zoe", "shop-writer").await;
    let token = bench.engine.token_of(&who("zoe"));
    bench.engine.synchronise(&corp(), vec![listed("yan", &[])]).await.unwrap();
    assert!(!bench.engine.snapshot().book.catalogue.principals.contains_key(&who("zoe")));
    // Another human gets the name.
    let other = Listed { record: "another one".into(), ..listed("zoe", &["Eng"]) };
    bench.engine.synchronise(&corp(), vec![other, listed("yan", &[])]).await.unwrap();
    assert!(bench.engine.caller(&token, Via::Api, None).await.is_err());
    let refused = bench.engine.sign_in("zoe", "correct horse battery", super::sign_in_client()).await;
    assert_eq!(refused.unwrap_err(), crate::SignInRefused::Wrong);
    assert!(bench.engine.snapshot().book.live_roles(&who("zoe"), bench.engine.now()).is_empty());
}

#[tokio::test]
async fn of_two_with_one_name_neither_is_taken() {
    let bench = bench().await;
    let twins =
        vec![listed("zoe", &["Eng"]), Listed { record: "2".into(), ..listed("ZOE@example.com", &["DBA"]) }];
    let outcome = bench.engine.synchronise(&corp(), twins).await.unwrap();
    assert_eq!((outcome.accounts, outcome.skipped.len()), (0, 1));
}

#[tokio::test]
async fn a_group_that_is_lost_takes_along_what_was_asked_for_in_it() {
    let bench = bench().await;
    bench.tell(listed("zoe", &["Eng"])).await;
    let session = bench.session("zoe", "shop-reader").await;
    bench.tell(listed("zoe", &["Eng", "DBA"])).await;
    assert!(session.ending().is_none());
    bench.tell(listed("zoe", &["DBA"])).await;
    until(|| session.ending().is_some()).await;
    assert_eq!(session.ending(), Some(Ending::Revoked));
}

#[tokio::test]
async fn accounts_of_one_human_are_one_person() {
    let bench = bench().await;
    let alices = Profile { email: Some("Alice@shop.example".into()), ..Profile::default() };
    bench.tell(Listed { profile: alices, ..listed("zoe", &["DBA"]) }).await;
    bench.tell(listed("yan", &["DBA"])).await;
    let snapshot = bench.engine.snapshot();
    for name in ["zoe", "yan"] {
        assert_eq!(snapshot.book.person(&who(name)).unwrap().as_str(), "alice", "{name}");
    }
    // Another address makes nobody another person.
    bench.tell(listed("zoe", &["DBA"])).await;
    assert_eq!(bench.engine.snapshot().book.person(&who("zoe")).unwrap().as_str(), "alice");
    let request = bench.ask("alice", "shop-writer").await;
    for name in ["zoe", "yan"] {
        assert!(bench.engine.approve(&bench.caller(name), request, None, None).await.is_err());
    }
}

/// Two accounts of the directory that say the same number of an employee: together in one listing, and one after the other.
#[tokio::test]
async fn accounts_with_one_number_are_one_person() {
    let mut files = files();
    let people = files["people.toml"].replace("strip = ", "link_by = [\"number\"]\nstrip = ");
    files.insert("people.toml".into(), people);
    let bench = Bench::with_bundle(files).await;
    let numbered = |name: &str, number: &str| {
        let profile = Profile { number: Some(number.into()), ..Profile::default() };
        Listed { profile, ..listed(name, &["DBA", "Eng"]) }
    };
    let person = |name: &str| bench.engine.snapshot().book.person(&who(name)).unwrap().to_string();
    let both = vec![numbered("zoe", "E-1"), numbered("zoe-admin", "E-1"), numbered("xen", "E-2")];
    bench.engine.synchronise(&corp(), both).await.unwrap();
    assert_eq!((person("zoe"), person("zoe-admin")), ("zoe".into(), "zoe".into()));
    assert_eq!(person("xen"), "xen");
    bench.tell(numbered("zoe-night", "e-1")).await;
    assert_eq!(person("zoe-night"), "zoe");
    let request = bench.ask("zoe", "shop-writer").await;
    for name in ["zoe-admin", "zoe-night"] {
        assert!(bench.engine.approve(&bench.caller(name), request, None, None).await.is_err(), "{name}");
    }
    // After a start they are known by it still.
    let bench = bench.restart().await;
    bench.tell(numbered("zoe-new", "E-1")).await;
    assert_eq!(bench.engine.snapshot().book.person(&who("zoe-new")).unwrap().as_str(), "zoe");
}

#[tokio::test]
async fn silence_makes_things_stricter_and_says_so() {
    let bench = bench().await;
    bench.engine.directory_heard(&corp()).await.unwrap();
    bench.tell(listed("zoe", &["Eng"])).await;
    let session = bench.session("zoe", "shop-writer").await;
    bench.clock.advance(Span::seconds(119));
    bench.engine.watch_directories().await;
    assert_eq!(bench.engine.directories()[0].hearing, Hearing::Heard);
    bench.clock.advance(Span::seconds(1));
    bench.engine.watch_directories().await;
    assert_eq!(bench.engine.directories()[0].hearing, Hearing::Silent);
    assert_eq!(bench.count("directory.silent"), 1);
    let ask = crate::AskAccess {
        role: countersign_core::RoleId::new("shop-reader"),
        lasting: Span::minutes(5),
        purpose: "look".into(),
        ticket: None,
    };
    let refused = bench.engine.ask(&bench.caller("zoe"), ask.clone()).await.unwrap_err();
    assert_eq!(refused.code, RefusedCode::Unavailable);
    assert!(refused.message.contains("does not answer"), "{}", refused.message);
    assert!(session.ending().is_none());
    // A restart does not make it heard.
    let bench = bench.restart().await;
    bench.clock.advance(Span::minutes(8));
    bench.engine.watch_directories().await;
    assert_eq!(bench.engine.directories()[0].hearing, Hearing::Lost);
    assert_eq!(bench.count("directory.lost"), 1);
    assert!(!bench.engine.snapshot().book.is_enabled(&who("zoe")));
    bench.engine.directory_heard(&corp()).await.unwrap();
    assert_eq!(bench.count("directory.heard"), 1);
    assert!(bench.engine.snapshot().book.live_roles(&who("zoe"), bench.engine.now()).is_empty());
    assert!(bench.engine.ask(&bench.caller("zoe"), ask).await.is_ok());
}

#[tokio::test]
async fn records_are_kept_sealed_and_go_when_they_are_taken_away() {
    let bench = bench().await;
    let shelve = |value: Option<&[u8]>| Shelving { key: "1".into(), value: value.map(<[u8]>::to_vec) };
    bench.engine.provision(&corp(), Vec::new(), vec![shelve(Some(b"kept"))]).await.unwrap();
    assert_eq!(bench.engine.directory_records(&corp()).await.unwrap(), [("1".to_owned(), b"kept".to_vec())]);
    let elsewhere = DirectoryName::new("nowhere");
    assert!(bench.engine.directory_records(&elsewhere).await.unwrap().is_empty());
    assert!(bench.engine.provision(&elsewhere, Vec::new(), Vec::new()).await.is_err());
    bench.engine.provision(&corp(), Vec::new(), vec![shelve(None)]).await.unwrap();
    assert!(bench.engine.directory_records(&corp()).await.unwrap().is_empty());
}
