//! Trials and reports over HTTP: their shapes, what is wrong about a question, and that what may not be read is not.

use axum::http::StatusCode;
use serde_json::{Value, json};

use crate::house::{House, bundle};

fn access(principal: &str, lasting: &str) -> Value {
    json!({ "principal": principal, "attempt": { "kind": "access", "role": "shop-writer", "for": lasting } })
}

fn files(change: impl FnOnce(&mut std::collections::BTreeMap<String, String>)) -> Value {
    let mut files = bundle();
    change(&mut files);
    json!({ "files": files })
}

#[tokio::test(flavor = "multi_thread")]
async fn an_attempt_is_tried_in_words() {
    let house = House::open().await;
    let answer = house.post("dave", "/bundle/simulate", access("alice", "30m")).await;
    let tried = answer.json();
    assert_eq!((answer.status, tried["state"].as_str()), (StatusCode::OK, Some("hold")), "{tried}");
    assert_eq!(tried["reason"], "roles of the shop are held with the approval of a DBA");
    assert_eq!(tried["stages"][0]["people"], json!([{ "name": "bob", "display": "Bob Baker" }]));
    let says: Vec<(&str, &str)> = tried["policies"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| (one["says"].as_str().unwrap(), one["id"].as_str().unwrap()))
        .collect();
    assert_eq!(says, [("holds", "access-to-the-shop-needs-the-dba"), ("permits", "everyone-may-ask")]);
    let told = tried["circumstances"].as_array().unwrap();
    assert!(told.contains(&json!({ "name": "duration", "value": "duration(\"30m\")" })), "{told:?}");

    let mut at_night = access("alice", "30m");
    at_night["at"] = json!("2026-03-03T02:00:00Z");
    at_night["source"] = json!("192.0.2.7");
    at_night["means"] = json!(["password", "totp"]);
    let told = house.post("dave", "/bundle/simulate", at_night).await.json();
    assert_eq!(told["at"], "2026-03-03T02:00:00.000000Z");
    let told = told["circumstances"].to_string();
    for one in [r#""name":"hour","value":"2""#, "192.0.2.7", r#"[\"password\", \"totp\"]"#] {
        assert!(told.contains(one), "{one} in {told}");
    }
    let alice = house.post("alice", "/bundle/simulate", access("alice", "30m")).await;
    assert_eq!(alice.problem(), "denied");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_about_a_question_is_said() {
    let house = House::open().await;
    let asked = async |body: Value| house.post("dave", "/bundle/simulate", body).await;
    assert_eq!(asked(access("nobody", "30m")).await.problem(), "not-found");
    assert_eq!(asked(access("alice", "soon")).await.problem(), "invalid");
    for (name, wrong) in [("at", "tomorrow"), ("source", "here"), ("at", "2026-03-03T02:00:00+01:00")] {
        let mut body = access("alice", "30m");
        body[name] = json!(wrong);
        assert_eq!(asked(body).await.problem(), "invalid", "{name}: {wrong}");
    }
    let mut other = access("alice", "30m");
    other["attempt"]["kind"] = json!("magic");
    assert_eq!(asked(other).await.problem(), "invalid");
    let statement = json!({ "principal": "alice", "attempt": { "kind": "statement", "role": "shop-writer", "resource": "shop", "text": "select 1" } });
    assert_eq!(asked(statement).await.problem(), "unavailable", "no door is open in this house");
    let broken = json!({ "principal": "alice", "attempt": { "kind": "house", "action": "policy.read" }, "files": { "x.cedar": "permit (" } });
    let broken = asked(broken).await;
    assert_eq!(broken.problem(), "invalid");
    assert!(!broken.json()["diagnostics"].as_array().unwrap().is_empty());
    for days in [0, 367] {
        let mut wanted = files(|_| {});
        wanted["days"] = json!(days);
        assert_eq!(house.post("bob", "/bundle/replay", wanted).await.problem(), "invalid");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_is_compared_replayed_and_told_as_a_version() {
    let house = House::open().await;
    house.grant("alice", "shop-writer").await;
    let change = files(|files| {
        let people = files.get_mut("people.toml").unwrap();
        *people = people.replace("members = [\"carol\"]", "members = [\"carol\", \"alice\"]");
    });
    let compared = house.post("dave", "/bundle/compare", change.clone()).await.json();
    assert_eq!((compared["state"].as_str(), compared["same"].as_bool()), (Some("hold"), Some(false)));
    let alice = compared["people"].as_array().unwrap().iter().find(|one| one["id"] == "alice").unwrap();
    let won: Vec<&Value> =
        alice["changes"].as_array().unwrap().iter().filter(|one| one["scope"] == "house").collect();
    assert!(
        won.iter()
            .any(|one| one["after"]["verdict"] == "allow"
                && one["actions"].to_string().contains("ledger.read")),
        "{alice}"
    );

    let mut wanted = change;
    wanted["days"] = json!(30);
    let replayed = house.post("bob", "/bundle/replay", wanted.clone()).await.json();
    assert_eq!(
        (replayed["state"].as_str(), replayed["judged"].as_u64()),
        (Some("whole"), Some(1)),
        "{replayed}"
    );
    assert_eq!(
        house.post("dave", "/bundle/replay", wanted).await.problem(),
        "denied",
        "he may not read the ledger"
    );

    let versions = house.get("bob", "/bundle/versions").await.json();
    assert_eq!(
        (versions["items"][0]["version"].as_u64(), versions["items"][0]["state"].as_str()),
        (Some(1), Some("active"))
    );
    let id = versions["items"][0]["id"].as_str().unwrap();
    let read = house.get("bob", &format!("/bundle/files?id={id}")).await.json();
    assert_eq!(read["files"], json!(bundle()));
    assert_eq!(house.get("bob", "/bundle/files?id=nothing").await.problem(), "not-found");
    let none = "0".repeat(64);
    assert_eq!(house.get("bob", &format!("/bundle/files?id={none}")).await.problem(), "not-found");
    assert_eq!(house.get("alice", "/bundle/files").await.problem(), "denied");
    let catalogue = house.get("bob", "/catalogue").await.json();
    let writer =
        catalogue["roles"].as_array().unwrap().iter().find(|one| one["id"] == "shop-writer").unwrap();
    assert_eq!((&writer["holders"][0]["name"], &writer["granted"]), (&json!("alice"), &json!(1)));
}

#[tokio::test(flavor = "multi_thread")]
async fn who_could_and_who_did_is_told_of_a_period() {
    let house = House::open().await;
    house.grant("alice", "shop-writer").await;
    house.connect("alice", "shop-writer").await;
    let between = "from=2026-01-01T00:00:00Z&until=2027-01-01T00:00:00Z";
    let report = house.get("bob", &format!("/accesses?resource=shop&{between}")).await.json();
    assert_eq!(
        (report["state"].as_str(), report["items"][0]["by"]["name"].as_str()),
        (Some("whole"), Some("alice")),
        "{report}"
    );
    assert_eq!(report["items"][0]["approvals"][0]["by"], "bob");
    for wrong in [
        "resource=shop&from=now&until=then",
        between,
        &format!("resource=a%20b&{between}"),
        "resource=shop&from=2026-01-02T00:00:00Z&until=2026-01-01T00:00:00Z",
    ] {
        assert_eq!(house.get("bob", &format!("/accesses?{wrong}")).await.problem(), "invalid", "{wrong}");
    }
    assert_eq!(house.get("dave", &format!("/accesses?resource=shop&{between}")).await.problem(), "denied");
}
