//! What clients build their pages from: lists of every state, single things, names, capabilities, outcomes.

use axum::http::StatusCode;
use countersign_core::ActionName;
use countersign_core::session::Ending;
use countersign_engine::{Completion, CompletionResult, Judgement};
use serde_json::{Value, json};

use crate::house::House;

fn states(list: &Value) -> Vec<&str> {
    list["items"].as_array().unwrap().iter().map(|item| item["state"].as_str().unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_of_every_state_are_one_list() {
    let house = House::open().await;
    house.grant("alice", "shop-writer").await;
    let denied = house.ask("alice", "shop-reader").await;
    house.post("bob", &format!("/requests/{denied}/deny"), json!({})).await;
    let withdrawn = house.ask("alice", "shop-reader").await;
    house.post("alice", &format!("/requests/{withdrawn}/withdraw"), json!({})).await;
    house.ask("carol", "shop-reader").await;
    let all = house.get("bob", "/requests?state=all").await.json();
    assert_eq!(states(&all), ["pending", "withdrawn", "denied", "approved"]);
    let own = house.get("alice", "/requests?state=all").await.json();
    assert_eq!(states(&own), ["withdrawn", "denied", "approved"]);
    assert_eq!(
        states(&house.get("bob", "/requests?state=all&limit=2").await.json()),
        ["pending", "withdrawn"]
    );
    assert_eq!(house.get("bob", "/requests?state=every").await.status, StatusCode::BAD_REQUEST);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_is_shown_by_itself_open_or_ended() {
    let house = House::open().await;
    house.grant("alice", "shop-writer").await;
    let session = house.connect("alice", "shop-writer").await;
    let path = format!("/sessions/{}", session.id());
    let shown = house.get("alice", &path).await.json();
    assert_eq!(
        (&shown["id"], &shown["state"], &shown["principal"], &shown["display"]),
        (&json!(session.id().to_string()), &json!("live"), &json!("alice"), &json!("Alice Archer"))
    );
    assert_eq!(shown["can"]["end"], true);
    house.engine.close_session(&session, Ending::User).await;
    let shown = house.get("bob", &path).await.json();
    assert_eq!(
        (&shown["state"], &shown["ending"], &shown["can"]["end"]),
        (&json!("ended"), &json!("user"), &json!(false))
    );
    // It is not said whether there is one that the caller may not see.
    let (hidden, none) =
        (house.get("ci", &path).await, house.get("ci", "/sessions/ses_00000000000000000000000001").await);
    assert_eq!((hidden.status, none.status), (StatusCode::NOT_FOUND, StatusCode::NOT_FOUND));
    assert_eq!(hidden.problem(), none.problem());
}

#[tokio::test(flavor = "multi_thread")]
async fn people_are_named_as_people_call_them() {
    let house = House::open().await;
    let grant = house.grant("alice", "shop-writer").await;
    let all = house.get("alice", "/requests?state=all").await.json();
    let request = &all["items"][0];
    assert_eq!(request["stages"][0]["given"], json!([{ "name": "bob", "display": "Bob Baker" }]));
    assert_eq!(
        (&request["approvals"][0]["by"], &request["approvals"][0]["display"]),
        (&json!("bob"), &json!("Bob Baker"))
    );
    let waiting = house.ask("alice", "shop-reader").await;
    let waiting = house.get("bob", &format!("/requests/{waiting}")).await.json();
    assert_eq!(waiting["stages"][0]["people"], json!([{ "name": "bob", "display": "Bob Baker" }]));
    let shown = house.get("bob", "/grants").await.json();
    assert_eq!(
        (&shown["items"][0]["principal"], &shown["items"][0]["display"]),
        (&json!("alice"), &json!("Alice Archer"))
    );
    let revoked =
        house.post("bob", &format!("/grants/{grant}/revoke"), json!({ "reason": "done" })).await.json();
    assert_eq!((&revoked["ended"]["by"], &revoked["ended"]["display"]), (&json!("bob"), &json!("Bob Baker")));
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_offered_to_shut_themselves_out() {
    let house = House::open().await;
    let list = house.get("bob", "/principals").await.json();
    let can = |name: &str| {
        let found = list["items"].as_array().unwrap().iter().find(|one| one["id"] == name).unwrap().clone();
        found["can"]["disable"] == true
    };
    assert_eq!((can("bob"), can("alice"), can("scribe")), (false, true, true));
}

/// What the console shows or hides something by, it is told.
#[tokio::test(flavor = "multi_thread")]
async fn capabilities_cover_what_the_console_asks_for() {
    let house = House::open().await;
    let of = async |name: &str| -> Vec<String> {
        serde_json::from_value(house.get(name, "/me").await.json()["capabilities"].clone()).unwrap()
    };
    assert_eq!(of("alice").await, Vec::<String>::new());
    assert_eq!(of("scribe").await, Vec::<String>::new());
    let bob = of("bob").await;
    assert_eq!(
        bob,
        [
            "ledger.export",
            "ledger.read",
            "policy.read",
            "principal.disable",
            "principal.enable",
            "principal.read"
        ]
    );
    assert_eq!(
        of("carol").await,
        [
            "ledger.export",
            "ledger.read",
            "policy.read",
            "principal.disable",
            "principal.read",
            "sign_in.end",
            "sign_in.read"
        ]
    );
    let dave = of("dave").await;
    assert_eq!(
        dave,
        [
            "authenticator.reset",
            "policy.apply",
            "policy.read",
            "principal.disable",
            "principal.enable",
            "principal.read",
            "sign_in.end",
            "sign_in.read"
        ]
    );
    for asked in asked_by_the_console() {
        assert!(
            bob.contains(&asked) || dave.contains(&asked),
            "the console asks for `{asked}`, which nobody is told"
        );
    }
}

/// Every action in `needs: "..."` and `may(..., "...")` of the console's source.
fn asked_by_the_console() -> Vec<String> {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../web/src");
    let mut asked = Vec::new();
    let mut open = vec![root.join("pages"), root.join("parts")];
    while let Some(folder) = open.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                open.push(path);
                continue;
            }
            let text = std::fs::read_to_string(path).unwrap();
            let after = |mark: &'static str| text.split(mark).skip(1).map(str::to_owned).collect::<Vec<_>>();
            asked.extend(
                after("needs: \"").iter().filter_map(|rest| Some(rest.split_once('"')?.0.to_owned())),
            );
            let calls = after("may(").into_iter().filter_map(|rest| {
                let call = rest.split_once(';').map_or(rest.as_str(), |(call, _)| call).to_owned();
                Some(call.split('"').nth(1)?.to_owned())
            });
            asked.extend(calls.filter(|name| name.parse::<ActionName>().is_ok() && name.contains('.')));
        }
    }
    assert!(asked.iter().any(|name| name == "ledger.read"), "{asked:?}");
    asked
}

#[tokio::test(flavor = "multi_thread")]
async fn lines_tell_how_an_action_ended_and_are_found_by_the_beginning_of_their_type() {
    let house = House::open().await;
    house.grant("alice", "shop-writer").await;
    let session = house.connect("alice", "shop-writer").await;
    let mut attempt = crate::story::delete();
    (attempt.kind, attempt.actions) = (ActionName::new("sql.read"), [ActionName::new("sql.select")].into());
    attempt.provable_read = true;
    let Judgement::Allow(judged) = house.engine.judge(&session, attempt) else { panic!("it is not allowed") };
    let (_, pending) = house.engine.record_read(judged).await.unwrap();
    let ran = pending.durable().await.unwrap();
    let failed = CompletionResult::Failed { code: "22012".into() };
    house
        .engine
        .completed(
            ran,
            Completion { result: failed, rows: Some(3), bytes: 18, micros: 4_000, transaction: None },
        )
        .await;
    // An outcome is recorded behind the answer: nobody waits for it.
    let line = loop {
        let found = house.get("bob", "/ledger/events?type=action.completed").await.json();
        if let Some(line) = found["items"].get(0) {
            break line.clone();
        }
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    };
    assert_eq!(
        (&line["result"], &line["code"], &line["rows"], &line["bytes"], &line["micros"]),
        (&json!("failed"), &json!("22012"), &json!(3), &json!(18), &json!(4_000))
    );
    let types = async |asked: &str| -> Vec<String> {
        let page = house.get("bob", &format!("/ledger/events?type={asked}")).await.json();
        let items = page["items"].as_array().unwrap().iter();
        items.map(|line| line["type"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(types("policy").await, types("policy.").await);
    assert!(types("policy").await.iter().any(|kind| kind == "policy.activated"));
    assert!(types("action").await.iter().all(|kind| kind.starts_with("action.")));
    assert_eq!(types("polic").await, Vec::<String>::new());
    assert_eq!(types("action.complete").await, Vec::<String>::new());
}

/// An agent of alice's has her person, and is not alice.
#[tokio::test(flavor = "multi_thread")]
async fn an_agent_sees_nothing_of_its_owners() {
    let house = House::open().await;
    house.grant("alice", "shop-writer").await;
    let asked = house.ask("alice", "shop-reader").await;
    let session = house.connect("alice", "shop-writer").await;
    for path in [format!("/requests/{asked}"), format!("/sessions/{}", session.id())] {
        assert_eq!(house.get("alice", &path).await.status, StatusCode::OK, "{path}");
        assert_eq!(house.get("scribe", &path).await.problem(), "not-found", "{path}");
    }
    for path in ["/requests?state=all", "/grants", "/sessions"] {
        assert_eq!(house.get("scribe", path).await.json()["items"], json!([]), "{path}");
    }
    let people = house.get("scribe", "/principals").await.json();
    assert_eq!((&people["items"][0]["id"], &people["items"][1]), (&json!("scribe"), &Value::Null));
    let actions = house.get("scribe", &format!("/sessions/{}/actions", session.id())).await;
    assert_eq!(actions.problem(), "denied");
    let withdrawn = house.post("scribe", &format!("/requests/{asked}/withdraw"), json!({})).await;
    assert_eq!(withdrawn.problem(), "not-found", "whoever may not see it does not learn that it is there");
    // Also when the session is over and out of the book.
    house.engine.close_session(&session, Ending::User).await;
    assert_eq!(house.get("scribe", &format!("/sessions/{}", session.id())).await.problem(), "not-found");
    let actions = house.get("scribe", &format!("/sessions/{}/actions", session.id())).await;
    assert_eq!(actions.problem(), "denied");
    assert_eq!(
        house.get("alice", &format!("/sessions/{}/actions", session.id())).await.status,
        StatusCode::OK
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn people_see_what_their_services_ask_for() {
    let house = House::open().await;
    let asked = house.ask("ci", "shop-reader").await;
    let path = format!("/requests/{asked}");
    assert_eq!(
        house.get("ci", &path).await.json()["by"],
        json!({ "name": "ci", "display": "Nightly report", "person": "dave" })
    );
    assert_eq!(house.get("dave", &path).await.status, StatusCode::OK);
    assert_eq!(house.get("alice", &path).await.problem(), "not-found");
    let withdrawn = house.post("ci", &format!("{path}/withdraw"), json!({})).await.json();
    assert_eq!(withdrawn["state"], "withdrawn");
}
