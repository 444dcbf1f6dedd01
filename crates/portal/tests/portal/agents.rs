//! Agents over HTTP: how one signs in, what it may do, and that it decides, makes and governs nothing on any endpoint.

use axum::http::StatusCode;
use countersign_core::{PrincipalId, Span};
use countersign_policy::Class;
use countersign_portal::endpoints::{ENDPOINTS, Verb};
use serde_json::{Value, json};

use crate::house::{Answer, Call, House, bundle};
use crate::jobs::{Key, proved};

/// With an agent of alice's that may read the shop, and policies that let agents ask.
async fn house() -> House {
    let mut files = bundle();
    let people = files.get_mut("people.toml").unwrap();
    *people = people.replace(
        "owner = \"alice\"\n",
        "owner = \"alice\"\nroles = [\"shop-reader\"]\nactions = [\"sql.read\"]\n",
    );
    let everything = "@id(\"agents-may-do-everything\") permit (principal is Agent, action, resource);";
    files.insert("agents.cedar".into(), everything.into());
    House::with(files).await
}

async fn code(house: &House) -> String {
    let given = house.post("alice", "/agents/scribe/code", json!({})).await;
    assert_eq!(given.status, StatusCode::OK, "{given:?}");
    given.json()["code"].as_str().unwrap().to_owned()
}

async fn sign_in(house: &House, key: &Key, code: &str) -> Answer {
    let proof = key.proof(house.engine.now(), ("POST", "/sign-in/agent"), None);
    house.make(Call::post("/sign-in/agent", &json!({ "code": code })).with("dpop", &proof)).await
}

async fn signed_in(house: &House, key: &Key) -> String {
    let answer = sign_in(house, key, &code(house).await).await;
    assert_eq!((answer.status, answer.json()["principal"].as_str()), (StatusCode::OK, Some("scribe")));
    answer.json()["token"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn an_agent_signs_in_by_a_code_of_its_owners_and_a_key_of_its_own() {
    let (house, key, other) = (house().await, Key::new(), Key::new());
    for (name, agent) in
        [("bob", "scribe"), ("dave", "scribe"), ("alice", "ci"), ("alice", "nobody"), ("alice", "alice")]
    {
        let none = house.post(name, &format!("/agents/{agent}/code"), json!({})).await;
        assert_eq!(none.status, StatusCode::NOT_FOUND, "{name} for {agent}");
    }
    let given = code(&house).await;
    let bare = house.make(Call::post("/sign-in/agent", &json!({ "code": given }))).await;
    assert_eq!((bare.status, bare.problem()), (StatusCode::UNAUTHORIZED, "sign-in-refused".into()));
    let token = sign_in(&house, &key, &given).await.json()["token"].as_str().unwrap().to_owned();
    assert_eq!(sign_in(&house, &key, &given).await.status, StatusCode::UNAUTHORIZED, "a code counts once");
    let me = || Call::get("/me");
    let answer = house.make(proved(&house, &key, &token, me())).await;
    assert_eq!((answer.status, &answer.json()["means"]), (StatusCode::OK, &json!(["agent"])));
    for (what, call) in [
        ("a bearer", me().bearer(&token)),
        ("a browser", me().cookie(&token)),
        ("another key", proved(&house, &other, &token, me())),
    ] {
        assert_eq!(house.make(call).await.status, StatusCode::UNAUTHORIZED, "{what}");
    }
    let late = code(&house).await;
    house.clock.advance(Span::minutes(10));
    assert_eq!(sign_in(&house, &key, &late).await.status, StatusCode::UNAUTHORIZED, "too late");
    // Used or not, in the evening it is over: its owner looks after it.
    for _ in 0..47 {
        house.clock.advance(Span::minutes(10));
        house.make(proved(&house, &key, &token, me())).await;
    }
    assert_eq!(house.make(proved(&house, &key, &token, me())).await.status, StatusCode::UNAUTHORIZED);
}

/// Policies permit it everything. It asks within its ceiling and for itself; on every endpoint that decides, makes or governs
/// it is refused, before anything is looked at.
#[tokio::test(flavor = "multi_thread")]
async fn an_agent_decides_makes_and_governs_nothing_anywhere() {
    let (house, key) = (house().await, Key::new());
    let token = signed_in(&house, &key).await;
    let call = async |verb: Verb, path: &str, body: Value| {
        let call = match verb {
            Verb::Get => Call::get(path),
            Verb::Post => Call::post(path, &body),
        };
        house.make(proved(&house, &key, &token, call)).await
    };
    let asked = json!({ "role": "shop-reader", "for": "10m", "reason": "report" });
    let asked = call(Verb::Post, "/requests", asked).await;
    assert_eq!(asked.status, StatusCode::CREATED, "{asked:?}");
    let id = asked.json()["id"].as_str().unwrap().to_owned();
    let beyond =
        call(Verb::Post, "/requests", json!({ "role": "shop-writer", "for": "10m", "reason": "x" })).await;
    assert_eq!(beyond.status, StatusCode::FORBIDDEN);
    assert!(beyond.text().contains("its ceiling does not name it"), "{}", beyond.text());
    for endpoint in ENDPOINTS {
        if !matches!(endpoint.class, Class::Decide | Class::Mint | Class::Govern) {
            continue;
        }
        let path = endpoint.path.replace("{id}", &id).replace("{name}", "scribe");
        let refused = call(endpoint.verb, &path, json!({})).await;
        assert_eq!((refused.status, refused.problem()), (StatusCode::FORBIDDEN, "denied".into()), "{path}");
    }
    // Its owner may not answer for it either; who does is told whose it is.
    let own = house.post("alice", &format!("/requests/{id}/approve"), json!({})).await;
    assert_eq!(own.status, StatusCode::FORBIDDEN);
    let shown = house.get("bob", &format!("/requests/{id}")).await.json();
    assert_eq!(
        (&shown["by"]["name"], &shown["by"]["person"]),
        (&json!("scribe"), &json!("alice")),
        "{shown}"
    );
    let approved = house.post("bob", &format!("/requests/{id}/approve"), json!({})).await;
    assert_eq!(approved.status, StatusCode::OK, "{approved:?}");
}

#[tokio::test]
async fn an_agent_ends_with_its_owner_and_by_their_word() {
    let (house, key) = (house().await, Key::new());
    let status = async |token: &str| house.make(proved(&house, &key, token, Call::get("/me"))).await.status;
    let token = signed_in(&house, &key).await;
    let listed = house.get("alice", "/principals/scribe/sign-ins").await.json();
    let id = listed["items"][0]["id"].as_str().unwrap().to_owned();
    assert_eq!(house.get("bob", "/principals/scribe/sign-ins").await.status, StatusCode::FORBIDDEN);
    let foreign = house.post("bob", &format!("/sign-ins/{id}/end"), json!({})).await;
    assert_eq!((foreign.status, status(&token).await), (StatusCode::NOT_FOUND, StatusCode::OK));
    let ended = house.post("alice", &format!("/sign-ins/{id}/end"), json!({})).await;
    assert_eq!((ended.status, status(&token).await), (StatusCode::NO_CONTENT, StatusCode::UNAUTHORIZED));

    let token = signed_in(&house, &key).await;
    let late = code(&house).await;
    let minted = house.post("alice", "/credentials", json!({ "resource": "shop", "agent": "scribe" })).await;
    assert_eq!(
        (minted.status, &minted.json()["user"]),
        (StatusCode::CREATED, &json!("scribe")),
        "{minted:?}"
    );
    let foreign = house.post("bob", "/credentials", json!({ "resource": "shop", "agent": "scribe" })).await;
    assert_eq!(foreign.status, StatusCode::NOT_FOUND);
    house.engine.disable(&house.caller("bob").await, &PrincipalId::new("alice"), None).await.unwrap();
    assert_eq!(status(&token).await, StatusCode::UNAUTHORIZED);
    assert_eq!(sign_in(&house, &key, &late).await.status, StatusCode::UNAUTHORIZED);
}
