//! Names that somebody may take for another's: they differ by letter case, by the form in which a letter is written, by what nobody
//! sees, or only look alike. On no way in does one of them become somebody whom they only resemble. (By SCIM, over HTTP:
//! `portal/tests/portal/scim.rs`; when one human is two accounts: `directory/humans.rs`.)

use std::sync::Arc;

use countersign_core::{DirectoryName, PrincipalId, ResourceId};

use super::federated::{Script, come, identity};
use super::{Bench, PEOPLE, bundle, jobs, sign_in_client, who};
use crate::directory::{Listed, NotNamed, Profile, folded};
use crate::federation::{Federation, Identity, Matching};
use crate::{ApplyError, SignInRefused, Via};

const PASSWORD: &str = "correct horse battery";

/// What resembles `kim.strasse@shop.example`, or its name.
const ALIKE: [(&str, &str); 18] = [
    ("the sign for Kelvin", "\u{212a}im.strasse"),
    ("full width", "\u{ff4b}im.strasse"),
    (
        "full width, all of it",
        "\u{ff4b}\u{ff49}\u{ff4d}\u{ff0e}\u{ff53}\u{ff54}\u{ff52}\u{ff41}\u{ff53}\u{ff53}\u{ff45}",
    ),
    ("a dotless i", "k\u{131}m.strasse"),
    ("a dotted I", "k\u{130}m.strasse"),
    ("an i and a dot above it", "ki\u{307}m.strasse"),
    ("a sharp s", "kim.stra\u{df}e"),
    ("a capital sharp s", "kim.stra\u{1e9e}e"),
    ("a long s", "kim.stra\u{17f}se"),
    ("composed", "k\u{ed}m.strasse"),
    ("decomposed", "ki\u{301}m.strasse"),
    ("Cyrillic", "k\u{456}m.strasse"),
    ("Greek", "\u{3ba}im.strasse"),
    ("mathematical", "\u{1d4c0}im.strasse"),
    ("a space of no width", "kim\u{200b}.strasse"),
    ("a joiner", "kim\u{200d}.strasse"),
    ("a soft hyphen", "kim\u{ad}.strasse"),
    ("another direction", "\u{202e}kim.strasse"),
];

/// What is more than `kim.strasse` at one of its ends.
const MORE: [&str; 7] = ["\u{a0}", "\u{2003}", "\u{3000}", "\u{feff}", "\u{85}", "\u{2028}", "\0"];

fn files() -> std::collections::BTreeMap<String, String> {
    let mut files = bundle();
    let people = PEOPLE.replace(
        "members = [\"bob\", \"bea\"]",
        "members = [\"bob\", \"bea\"]\nfrom = { corp = \"Kitchen\" }",
    );
    let people = format!(
        "{people}[user.\"kim.strasse\"]\nname = \"Kim\"\nemail = \"kim.strasse@shop.example\"\n\
         [agent.kimbot]\nname = \"Kim's\"\nowner = \"kim.strasse\"\n[directory.corp]\nstrip = \"@shop.example\"\n"
    );
    files.insert("people.toml".into(), people);
    files
}

async fn bench() -> Bench {
    let bench = Bench::with_bundle(files()).await;
    bench.engine.set_password(&who("kim.strasse"), PASSWORD).await.unwrap();
    bench
}

/// All of them, and those that are longer at one end.
fn alike() -> Vec<String> {
    let longer = MORE.iter().flat_map(|more| [format!("kim.strasse{more}"), format!("{more}kim.strasse")]);
    ALIKE.iter().map(|(_, name)| (*name).to_owned()).chain(longer).collect()
}

#[tokio::test]
async fn no_name_that_resembles_another_is_one() {
    let bench = Bench::empty();
    for name in alike() {
        assert!(name.parse::<PrincipalId>().is_err(), "{name:?}");
        let mut files = bundle();
        files.insert("people.toml".into(), format!("{PEOPLE}[user.\"{name}\"]\nname = \"Kim\"\n"));
        let applied = bench.engine.first_bundle(files, &who("dave")).await;
        assert!(matches!(applied, Err(ApplyError::Invalid(_))), "{name:?}");
    }
}

#[tokio::test]
async fn a_password_is_of_one_name_alone() {
    let bench = bench().await;
    let others = ["Kim.Strasse", "KIM.STRASSE", " kim.strasse", "kim.strasse ", "kim.strasse@shop.example"];
    for name in alike().iter().map(String::as_str).chain(others) {
        let refused = bench.engine.sign_in(name, PASSWORD, sign_in_client()).await;
        assert!(refused.is_err(), "{name:?}");
        assert!(bench.engine.verifiers(&ResourceId::new("shop"), name).keys.is_empty(), "{name:?}");
    }
    // None of them used up the tries of whom it resembles.
    bench.engine.sign_in("kim.strasse", PASSWORD, sign_in_client()).await.unwrap();
    let caller = bench.caller("kim.strasse");
    for name in alike() {
        let agent = PrincipalId::new(&name.replace("kim.strasse", "kimbot"));
        let asked = bench.engine.agent_code(&caller, &agent);
        assert!(agent == who("kimbot") || asked.is_err(), "{name:?}");
    }
}

#[tokio::test]
async fn a_providers_word_finds_nobody_who_only_looks_like_them() {
    for matching in [
        Matching::Email { domains: ["shop.example".to_owned()].into() },
        Matching::Name { claim: "preferred_username".into() },
    ] {
        let bench = bench().await;
        let script = Script::new(matching);
        bench.engine.federate(Arc::clone(&script) as Arc<dyn Federation>);
        for (subject, name) in alike().into_iter().enumerate() {
            script.says(Identity {
                name: Some(name.clone()),
                ..identity(&subject.to_string(), &format!("{name}@shop.example"))
            });
            assert_eq!(come(&bench).await.unwrap_err(), SignInRefused::NotKnown, "{name:?}");
        }
        let domain = identity("x", "kim.strasse@\u{17f}hop.example");
        script.says(domain);
        assert_eq!(come(&bench).await.unwrap_err(), SignInRefused::NotKnown);
        // A subject is compared byte by byte, once it is somebody's.
        let known =
            Identity { name: Some("kim.strasse".into()), ..identity("Kim-7", "Kim.Strasse@Shop.example") };
        script.says(known.clone());
        assert_eq!(come(&bench).await.unwrap().0.principal, who("kim.strasse"));
        for subject in ["kim-7", "\u{212a}im-7", "Kim-7 ", "Kim-\u{ff17}"] {
            script.says(Identity { subject: subject.into(), ..known.clone() });
            assert_eq!(come(&bench).await.unwrap_err(), SignInRefused::NotKnown, "{subject:?}");
        }
    }
}

#[tokio::test]
async fn a_directory_brings_nobody_who_only_looks_like_them() {
    let bench = bench().await;
    let corp = DirectoryName::new("corp");
    let listed = |name: &str, group: &str| Listed {
        name: name.into(),
        record: format!("record of {name}"),
        is_active: true,
        groups: [group.to_owned()].into(),
        profile: Profile::default(),
    };
    let before = bench.engine.snapshot().book.catalogue.principals.len();
    let strangers: Vec<Listed> = alike().iter().map(|name| listed(name, "Kitchen")).collect();
    let outcome = bench.engine.synchronise(&corp, strangers.clone()).await.unwrap();
    assert_eq!((outcome.accounts, outcome.skipped.len()), (0, strangers.len()));
    assert!(outcome.skipped.iter().all(|why| matches!(why, NotNamed::Name(_))), "{:?}", outcome.skipped);
    assert_eq!(bench.engine.snapshot().book.catalogue.principals.len(), before);
    // Of two whose names are one here neither is taken.
    let twice = ["zoe", "ZOE", "zoe@shop.example"].map(|name| listed(name, "Kitchen")).to_vec();
    let outcome = bench.engine.synchronise(&corp, twice).await.unwrap();
    assert_eq!(outcome.accounts, 0);
    // A group is another one's that is written otherwise; case is of no account.
    for (group, fills) in [
        ("KITCHEN", true),
        ("\u{212a}itchen", false),
        ("K\u{131}tchen", false),
        ("K\u{130}tchen", false),
        ("\u{ff2b}itchen", false),
        ("Kitchen\u{200b}", false),
        ("Kitchen ", false),
        ("\u{41a}itchen", false),
    ] {
        bench.engine.synchronise(&corp, vec![listed("zoe", group)]).await.unwrap();
        let snapshot = bench.engine.snapshot();
        let groups = snapshot.book.catalogue.groups_of(&who("zoe"));
        assert_eq!(groups.iter().any(|group| group.as_str() == "dba"), fills, "{group:?}");
    }
    for (one, other, same) in [
        ("\u{c4}RZTE", "\u{e4}rzte", true),
        ("\u{212a}", "k", false),
        ("\u{130}", "i", false),
        ("stra\u{df}e", "STRASSE", false),
    ] {
        assert_eq!(folded(one) == folded(other), same, "{one} {other}");
    }
}

#[tokio::test]
async fn a_job_is_none_whose_word_only_looks_right() {
    let bench = jobs::bench().await;
    let right = jobs::token("one", "main");
    for (letters, others) in [
        ("shop/app", ["Shop/app", "\u{17f}hop/app", "shop\u{2215}app", "shop/\u{430}pp", "shop/app\u{200b}"]),
        ("main", ["Main", "ma\u{131}n", "ma\u{ed}n", "\u{ff4d}ain", "main\u{200b}"]),
        (
            "https://ci.example",
            [
                "https://CI.example",
                "https://c\u{131}.example",
                "https://ci.example/",
                "https://ci.example\u{200b}",
                "https://\u{441}i.example",
            ],
        ),
    ] {
        for other in others {
            let token = right.replace(letters, other);
            assert_eq!(jobs::sign_in(&bench, &token).await.unwrap_err(), SignInRefused::NotAJob, "{token}");
        }
    }
    let signed_in = jobs::sign_in(&bench, &right).await.unwrap();
    assert_eq!(signed_in.principal, who("ci"));
    assert!(bench.engine.caller(&signed_in.token, Via::Cli, None).await.is_err(), "not without its key");
}
