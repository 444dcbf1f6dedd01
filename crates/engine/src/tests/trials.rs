//! Trials: what policy would say is what it says, and trying changes nothing.

use std::collections::{BTreeMap, BTreeSet};

use countersign_core::question::Context;
use countersign_core::{ActionName, ResourceId, RoleId, Span};

use super::{Bench, PEOPLE, POLICIES, bundle, drop_table, select, who, write};
use crate::action::Attempt;
use crate::reading::Read;
use crate::trial::{Ending, Presence, Scope, Trial, TryAccess, TryStatement, Trying, Word};
use crate::{Applied, ApplyError, Judgement, PreviewVerdict, RefusedCode, Via};

type Files = BTreeMap<String, String>;

/// The test's bundle, in which administrators and security read policy.
fn readable() -> Files {
    with_policies(
        "@id(\"some-read-policy\") permit (principal, action == Action::\"policy.read\", resource) \
         when { principal in Group::\"admins\" || principal in Group::\"dba\" };",
    )
}

fn with_policies(more: &str) -> Files {
    let mut files = bundle();
    files.insert("more.cedar".into(), more.to_owned());
    files
}

/// The test's bundle with other policies of its own, and what lets policy be read.
fn changed(from: &str, to: &str) -> Files {
    let mut files = readable();
    assert!(POLICIES.contains(from), "{from}");
    files.insert("house.cedar".into(), POLICIES.replace(from, to));
    files
}

fn trial(name: &str, what: Trying) -> Trial {
    Trial {
        principal: who(name),
        what,
        at: None,
        source: None,
        via: Via::Console,
        means: [].into(),
        proved_ago: Span(0),
    }
}

fn access(name: &str, role: &str, lasting: Span) -> Trial {
    let what = TryAccess { role: RoleId::new(role), lasting, purpose: "look".into(), ticket: None };
    trial(name, Trying::Access(what))
}

fn statement(name: &str, role: &str, text: &str) -> Trial {
    let resource = ResourceId::new("shop");
    let (role, text, purpose) = (RoleId::new(role), text.to_owned(), "look".to_owned());
    let what = TryStatement { role, resource, text, purpose, ticket: None, in_transaction: false };
    trial(name, Trying::Statement(what))
}

/// What a door would say of an attempt of the tests.
fn as_read(attempt: &Attempt) -> Read {
    Read {
        kind: attempt.kind.clone(),
        actions: attempt.actions.to_vec(),
        verbs: attempt.verbs.to_vec(),
        context: Context::clone(&attempt.context),
        reasons: Vec::new(),
        catalogue: true,
    }
}

/// A door that knows three statements.
fn door(bench: &Bench) -> tokio::task::JoinHandle<()> {
    let mut wishes = bench.engine.reading_wishes("postgres");
    tokio::spawn(async move {
        while let Some(wish) = wishes.recv().await {
            let read = match wish.text.split(' ').next() {
                Some("select") => Ok(as_read(&select(&wish.text))),
                Some("delete") => Ok(as_read(&write(&wish.text))),
                Some("drop") => Ok(as_read(&drop_table(&wish.text))),
                _ => Err("it is not understood".to_owned()),
            };
            wish.answer(read);
        }
    })
}

#[tokio::test]
async fn how_old_the_sign_in_would_be_is_asked_about_at_doors_too() {
    let bench = Bench::with_bundle(with_policies(
        "@id(\"fresh\") forbid (principal, action in Action::\"sql.read\", resource) \
         unless { context has auth_age && context.auth_age <= duration(\"15m\") };",
    ))
    .await;
    let _door = door(&bench);
    let verdict = async |minutes: Option<i64>| {
        let means = minutes.map(|_| BTreeSet::from(["passkey".to_owned()])).unwrap_or_default();
        let proved_ago = Span::minutes(minutes.unwrap_or_default());
        let trial = Trial { means, proved_ago, ..statement("alice", "shop-writer", "select 1") };
        bench.engine.try_out(&bench.caller("alice"), trial, None).await.unwrap().verdict
    };
    assert_eq!(verdict(Some(14)).await, PreviewVerdict::Allow);
    assert_eq!(verdict(Some(16)).await, PreviewVerdict::Deny);
    assert_eq!(verdict(None).await, PreviewVerdict::Deny, "nothing is said of a sign-in");
}

#[tokio::test]
async fn versions_tell_who_applied_what_and_who_said_yes() {
    let bench = Bench::with_bundle(readable()).await;
    let dave = bench.caller("dave");
    let next = with_policies(
        "@id(\"dba-reads\") permit (principal in Group::\"dba\", action == Action::\"policy.read\", resource);",
    );
    let Applied::Pending(id) = bench.engine.apply_bundle(&dave, next.clone()).await.unwrap() else {
        panic!()
    };
    let proposed = bench.engine.snapshot().book.request(id).unwrap().ask.clone();
    let countersign_core::request::Ask::Apply { bundle: proposed } = proposed else { panic!() };
    let carol = bench.caller("carol");
    // Whoever is asked sees what is proposed, and what it is compared with, although policy lets her read neither.
    assert_eq!(bench.engine.files_of_bundle(&carol, Some(proposed)).unwrap().1, next);
    assert_eq!(bench.engine.files_of_bundle(&carol, None).unwrap().1, readable());
    assert!(bench.engine.files_of_bundle(&bench.caller("alice"), Some(proposed)).is_err());
    bench.engine.approve(&carol, id, None, Some("fine".into())).await.unwrap();
    assert!(bench.engine.files_of_bundle(&carol, None).is_err(), "she is asked no more");

    let bench = bench.restart().await;
    let bob = bench.caller("bob");
    let versions = bench.engine.bundle_versions(&bob).unwrap();
    let [now, first] = versions.as_slice() else { panic!("{versions:?}") };
    assert_eq!((now.version, now.in_force, first.version, first.in_force), (2, true, 1, false));
    assert_eq!((now.previous, now.request), (Some(first.id), Some(id)));
    assert_eq!(now.approvals[0].comment.as_deref(), Some("fine"));
    assert!(first.kept && bench.engine.files_of_bundle(&bob, Some(first.id)).unwrap().1 == readable());
    assert_eq!(
        bench.engine.bundle_versions(&bench.caller("dave")).unwrap_err().code,
        RefusedCode::NotPermitted
    );
    bench.grant("alice", "shop-reader").await;
    assert_eq!(bench.engine.grants_of_roles().unwrap()[&RoleId::new("shop-reader")].0, 1);
}

#[tokio::test]
async fn what_is_tried_is_judged_as_it_would_be() {
    let bench = Bench::with_bundle(readable()).await;
    let _door = door(&bench);
    let dave = bench.caller("dave");
    let tried = async |trial, draft| bench.engine.try_out(&dave, trial, draft).await.unwrap();
    let before = bench.kinds().len();

    let held = tried(access("alice", "shop-writer", Span::minutes(30)), None).await;
    assert_eq!((held.verdict, held.reason.as_str()), (PreviewVerdict::Hold, "roles of the shop need a DBA"));
    let people: Vec<&str> = held.stages[0].people.iter().map(|who| who.id.as_str()).collect();
    assert_eq!(people, ["bea", "bob"]);
    assert_eq!(
        tried(access("alice", "shop-writer", Span::hours(5)), None).await.verdict,
        PreviewVerdict::Deny
    );
    assert_eq!(
        tried(access("alice", "metrics-reader", Span::hours(1)), None).await.verdict,
        PreviewVerdict::Allow
    );

    let apply = trial("dave", Trying::House(ActionName::new("policy.apply")));
    assert_eq!(tried(apply, None).await.verdict, PreviewVerdict::Hold);
    assert_eq!(bench.kinds().len(), before, "trying writes nothing");

    let session = bench.session("alice", "shop-writer").await;
    for (attempt, text) in [
        (select("select 1"), "select 1"),
        (write("delete from orders"), "delete from orders"),
        (drop_table("drop table orders"), "drop table orders"),
    ] {
        let tried = tried(statement("alice", "shop-writer", text), None).await;
        let judged = bench.engine.foretell(&session, attempt);
        assert_eq!((tried.verdict, tried.holds), (judged, Some(true)), "{text}");
    }
    let reader = tried(statement("carol", "shop-reader", "delete from orders"), None).await;
    assert_eq!((reader.verdict, reader.holds), (PreviewVerdict::Deny, Some(false)));

    let draft =
        changed("action in Action::\"sql.write\"", "action in [Action::\"sql.write\", Action::\"sql.read\"]");
    assert_eq!(
        tried(statement("alice", "shop-writer", "select 1"), Some(draft)).await.verdict,
        PreviewVerdict::Hold
    );
}

#[tokio::test]
async fn what_cannot_be_tried_says_why() {
    let bench = Bench::with_bundle(readable()).await;
    let dave = bench.caller("dave");
    let refused = async |trial, draft| match bench.engine.try_out(&dave, trial, draft).await {
        Err(ApplyError::Refused(refused)) => refused,
        other => panic!("{other:?}"),
    };
    let nobody = refused(access("mallory", "shop-writer", Span::minutes(1)), None).await;
    assert_eq!(nobody.code, RefusedCode::NotFound);
    assert_eq!(refused(access("alice", "nothing", Span::minutes(1)), None).await.code, RefusedCode::NotFound);
    let unread = refused(statement("alice", "shop-writer", "select 1"), None).await;
    assert_eq!(
        (unread.code, unread.message.as_str()),
        (RefusedCode::Unavailable, "no door understands `postgres`")
    );
    let _door = door(&bench);
    let unread = refused(statement("alice", "shop-writer", "what"), None).await;
    assert_eq!(unread.message, "the statement on `shop` was not understood: it is not understood");
    let long = "x".repeat(crate::reading::TEXT_BYTES_MAX + 1);
    assert_eq!(refused(statement("alice", "shop-writer", &long), None).await.code, RefusedCode::TooLarge);
    let broken = Files::from([("x.cedar".to_owned(), "permit (".to_owned())]);
    let tried =
        bench.engine.try_out(&dave, access("alice", "shop-writer", Span::minutes(1)), Some(broken)).await;
    assert!(matches!(tried, Err(ApplyError::Invalid(_))), "{tried:?}");
}

#[tokio::test]
async fn who_would_get_in_is_told_person_by_person() {
    let bench = Bench::with_bundle(readable()).await;
    bench.session("alice", "shop-writer").await;
    let dave = bench.caller("dave");
    let same = bench.engine.compare(&dave, readable()).await.unwrap();
    assert!(same.same && same.people.is_empty() && same.ends.is_empty(), "{same:?}");
    assert_eq!(same.compared, same.of);

    let mut files = readable();
    let people = PEOPLE
        .replace(
            "[user.alice]\nname = \"Alice Archer\"\nemail = \"alice@shop.example\"\n",
            "[user.zoe]\nname = \"Zoe Zimmer\"\n",
        )
        .replace("members = [\"carol\"]", "members = [\"carol\", \"bea\"]");
    files.insert("people.toml".into(), people);
    let before = bench.kinds().len();
    let found = bench.engine.compare(&dave, files).await.unwrap();
    assert_eq!(bench.kinds().len(), before, "comparing writes nothing");
    assert_eq!(found.verdict, PreviewVerdict::Hold);
    let presence =
        |name: &str| found.people.iter().find(|one| one.who.id == who(name)).map(|one| one.presence);
    assert_eq!((presence("alice"), presence("zoe")), (Some(Presence::Goes), Some(Presence::Comes)));
    let zoe = found.people.iter().find(|one| one.who.id == who("zoe")).unwrap();
    let asks = zoe.changes.iter().find(|one| one.scope == Scope::Ask(RoleId::new("shop-writer"))).unwrap();
    assert_eq!(asks.before, Word::Deny);
    let Word::Hold { asked, .. } = &asks.after else { panic!("{asks:?}") };
    assert_eq!(asked, &["1 of group:dba (bea, bob)"]);
    let ended: Vec<&str> = found
        .ends
        .iter()
        .map(|one| match one {
            Ending::Grant { who, .. } | Ending::Request { who, .. } | Ending::Session { who, .. } => {
                who.id.as_str()
            }
        })
        .collect();
    assert_eq!(ended, ["alice", "alice"], "{:?}", found.ends);
}

#[tokio::test]
async fn what_is_done_to_a_resource_outside_of_any_role_is_asked_of_each() {
    let bench = Bench::with_bundle(readable()).await;
    let dave = bench.caller("dave");
    for resource in ["metrics", "shop"] {
        let mut files = readable();
        let policy = format!(
            "@id(\"no-keys\") forbid (principal == User::\"alice\", action == Action::\"credential.mint\", resource == Resource::\"{resource}\");\n"
        );
        files.insert("keys.cedar".into(), policy);
        let found = bench.engine.compare(&dave, files).await.unwrap();
        let [alice] = found.people.as_slice() else { panic!("{:?}", found.people) };
        let [change] = alice.changes.as_slice() else { panic!("{:?}", alice.changes) };
        assert_eq!(change.scope, Scope::At(resource.parse().unwrap()));
        assert_eq!((&change.before, &change.after), (&Word::Allow, &Word::Deny), "{resource}");
    }
}

/// A server of tools beside the databases, and a column of which something is said; everybody may do everything.
fn wide_open() -> Files {
    let mut files = readable();
    let more = |files: &mut Files, path: &str, text: &str| files.get_mut(path).unwrap().push_str(text);
    let server = "[resource.files]\nkind = \"mcp\"\ntitle = \"The reports\"\nimpact = \"low\"\n\
                  owner = \"group:dba\"\nurl = \"http://127.0.0.1:9/mcp\"\n";
    let column =
        "[resource.shop.relation.\"public.customers\"]\ncolumns.email = { labels = [\"personal\"] }\n";
    more(&mut files, "resources.toml", &format!("{column}{server}"));
    let role = "[role.clerk]\ntitle = \"Use the reports\"\nactions = [\"mcp.list\", \"mcp.call\"]\nresources = [\"files\"]\n\
                account = \"clerk\"\nlongest = \"1h\"\n";
    more(&mut files, "roles.toml", role);
    files.insert("rules.toml".into(), String::new());
    files.insert("house.cedar".into(), "@id(\"all\") permit (principal, action, resource);".into());
    files
}

#[tokio::test]
async fn every_action_that_policy_knows_is_compared() {
    let bench = Bench::with_bundle(wide_open()).await;
    let mut draft = wide_open();
    draft.get_mut("house.cedar").unwrap().push_str("@id(\"none\") forbid (principal, action, resource);");
    let found = bench.engine.compare(&bench.caller("dave"), draft).await.unwrap();
    let alice = found.people.iter().find(|one| one.who.id == who("alice")).unwrap();
    let told: BTreeSet<ActionName> = alice.changes.iter().flat_map(|one| one.actions.clone()).collect();
    for action in countersign_policy::actions::all() {
        assert!(told.contains(&action), "`{action}` is in no comparison of bundles");
    }
    // A question that can't be asked is a no on both sides, which would be no difference.
    assert!(alice.changes.iter().all(|one| one.before == Word::Allow && one.after == Word::Deny));
    let clerk = Scope::Do(RoleId::new("clerk"), "files".parse().unwrap());
    let of_clerk = alice.changes.iter().filter(|one| one.scope == clerk).flat_map(|one| one.actions.clone());
    assert!(of_clerk.clone().any(|action| action.as_str() == "mcp.call"));
    assert!(of_clerk.clone().all(|action| !action.as_str().starts_with("sql.")), "no statement reaches it");
    let email =
        Scope::See(RoleId::new("shop-writer"), "shop".parse().unwrap(), "public.customers.email".to_owned());
    assert!(alice.changes.iter().any(|one| one.scope == email), "{:?}", alice.changes);
}

#[tokio::test]
async fn a_change_to_a_rule_shows_for_whom_it_holds() {
    let bench = Bench::with_bundle(readable()).await;
    let draft = changed("@gate(\"shop-access\")\n", "");
    let mut draft = draft;
    let rules = super::RULES.replace("[approval.shop-access]\nstages = [{ need = 1, from = [\"group:dba\"] }]\npending_for = \"30m\"\nvalid_for = \"10m\"\n", "");
    draft.insert("rules.toml".into(), rules);
    let found = bench.engine.compare(&bench.caller("dave"), draft).await.unwrap();
    let alice = found.people.iter().find(|one| one.who.id == who("alice")).unwrap();
    let asks: Vec<_> = alice.changes.iter().filter(|one| matches!(one.scope, Scope::Ask(_))).collect();
    assert!(asks.iter().all(|one| one.after == Word::Deny) && asks.len() == 2, "{asks:?}");
}

#[tokio::test]
async fn the_past_is_judged_again_and_that_is_recorded() {
    let bench = Bench::with_bundle(readable()).await;
    let _door = door(&bench);
    let session = bench.session("alice", "shop-writer").await;
    for text in ["select 1", "select 2"] {
        let Judgement::Allow(judged) = bench.engine.judge(&session, select(text)) else { panic!() };
        bench.engine.record(judged).await.unwrap();
    }
    bench.run(&session, "delete from orders").await;
    let bob = bench.caller("bob");
    let since = bench.engine.now().plus(Span(-Span::hours(24).0));
    let reads = bench.count("ledger.read");
    let draft = changed("action in Action::\"sql.write\"", "action in Action::\"sql.read\"");
    let found = bench.engine.replay(&bob, draft, since).await.unwrap();
    assert!(found.whole);
    let counts = found.counts;
    // Alice's request for the role, two reads and a delete.
    assert_eq!((counts.judged, counts.newly_held, counts.newly_allowed), (4, 2, 1), "{counts:?}");
    assert_eq!((counts.newly_denied, counts.held_otherwise, counts.unknown), (0, 0, 0), "{counts:?}");
    let texts: Vec<&str> = found.examples.iter().filter_map(|one| one.text.as_deref()).collect();
    assert_eq!(texts, ["delete from orders", "select 2", "select 1"]);
    assert_eq!(bench.count("ledger.read"), reads + 1);

    let later = bench.engine.replay(&bob, readable(), bench.engine.now().plus(Span::hours(1))).await.unwrap();
    assert_eq!(later.counts.judged, 0);
    let refused = bench.engine.replay(&bench.caller("dave"), readable(), since).await;
    assert!(
        matches!(refused, Err(ApplyError::Refused(refused)) if refused.code == RefusedCode::NotPermitted)
    );
}
