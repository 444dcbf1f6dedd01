//! Sign-ins and second factors, over HTTP.

use axum::http::StatusCode;
use serde_json::{Value, json};

use crate::house::{Answer, Call, House, PASSWORD};

/// The code that belongs to a secret now, as an authenticator app makes it.
fn code_of(house: &House, secret: &str) -> String {
    house.engine.code_of(secret)
}

async fn bound(house: &House, name: &str) -> (String, Value) {
    let token = house.make(Call::sign_in(name, PASSWORD)).await.json()["token"].as_str().unwrap().to_owned();
    let offer = house.make(Call::post("/me/totp", &json!({})).bearer(&token)).await;
    assert_eq!(offer.status, StatusCode::OK, "{offer:?}");
    let secret = offer.json()["secret"].as_str().unwrap().to_owned();
    assert!(offer.json()["qr"]["path"].as_str().unwrap().starts_with("M4,4"));
    let code = code_of(house, &secret);
    let answer = house.make(Call::post("/me/totp/bind", &json!({ "code": code })).bearer(&token)).await;
    assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
    (secret, answer.json()["recovery_codes"].clone())
}

async fn second(house: &House, pending: &Value, code: &str) -> Answer {
    house.make(Call::post("/sign-in/second", &json!({ "pending": pending, "code": code }))).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_password_is_the_first_of_two_steps() {
    let house = House::open().await.with_passwords().await;
    let (secret, recovery) = bound(&house, "alice").await;
    let first = house.make(Call::sign_in("alice", PASSWORD)).await;
    assert_eq!(first.status, StatusCode::ACCEPTED);
    let step = first.json();
    assert_eq!(step["means"], json!(["totp", "recovery-code"]));
    assert!(step.get("token").is_none() && first.headers.get("set-cookie").is_none());
    let wrong = second(&house, &step["pending"], "000000").await;
    assert_eq!((wrong.status, wrong.problem()), (StatusCode::UNAUTHORIZED, "sign-in-refused".into()));
    house.clock.advance(countersign_core::Span::seconds(30));
    let done = second(&house, &step["pending"], &code_of(&house, &secret)).await;
    assert_eq!(done.status, StatusCode::OK);
    let token = done.json()["token"].as_str().unwrap().to_owned();
    let me = house.make(Call::get("/me").bearer(&token)).await.json();
    assert_eq!(me["means"], json!(["password", "totp"]));
    // A browser gets a cookie and no token, also in the second step.
    let step = house.make(Call::sign_in("alice", PASSWORD).with("x-countersign", "1")).await.json();
    let code = recovery[0].as_str().unwrap();
    let body = json!({ "pending": step["pending"], "code": code });
    let done = house.make(Call::post("/sign-in/second", &body).with("x-countersign", "1")).await;
    assert!(done.header("set-cookie").starts_with("countersign="), "{done:?}");
    assert!(done.json().get("token").is_none());
    let held = house.make(Call::get("/me/authenticators").bearer(&token)).await.json();
    let means: Vec<_> = held["items"].as_array().unwrap().iter().map(|one| one["means"].clone()).collect();
    assert_eq!(means, ["totp", "recovery-code"]);
    assert_eq!(held["items"][1]["left"], 9);
}

#[tokio::test(flavor = "multi_thread")]
async fn sign_ins_are_listed_and_ended() {
    let house = House::open().await.with_passwords().await;
    let sign_in = async |agent: &str, from: &str| {
        let mut call = Call::sign_in("alice", PASSWORD).with("user-agent", agent);
        call.from = from.parse().unwrap();
        house.make(call).await.json()["token"].as_str().unwrap().to_owned()
    };
    let (laptop, thief) =
        (sign_in("Firefox/1", "192.0.2.1:1").await, sign_in("curl/8", "203.0.113.7:1").await);
    let me = house.make(Call::get("/me").bearer(&laptop)).await.json();
    assert_eq!(me["new_places"][0]["address"], "203.0.113.7");
    let id = me["new_places"][0]["id"].as_str().unwrap();
    let hidden = house.make(Call::get("/me").bearer(&thief)).await.json();
    assert_eq!(hidden["new_places"], json!([]));
    let listed = house.make(Call::get("/me/sign-ins").bearer(&laptop)).await.json();
    assert_eq!(listed["items"].as_array().unwrap().len(), 2);
    assert!(listed.to_string().contains(id) && listed.to_string().contains("curl/8"));
    assert!(!listed.to_string().contains(&thief), "tokens are never shown");
    let of = house.get("dave", "/principals/alice/sign-ins").await;
    assert_eq!(of.status, StatusCode::OK);
    let none = house.get("scribe", "/principals/alice/sign-ins").await;
    assert_eq!(none.status, StatusCode::FORBIDDEN, "an agent does not see its owner's");
    let ended = house.make(Call::post(&format!("/sign-ins/{id}/end"), &json!({})).bearer(&laptop)).await;
    assert_eq!(ended.status, StatusCode::NO_CONTENT);
    assert_eq!(house.make(Call::get("/me").bearer(&thief)).await.status, StatusCode::UNAUTHORIZED);
    let known = format!("/me/new-places/{id}/known");
    let known = house.make(Call::post(&known, &json!({})).bearer(&laptop)).await;
    assert_eq!(known.status, StatusCode::NO_CONTENT);
    let me = house.make(Call::get("/me").bearer(&laptop)).await.json();
    assert_eq!(me["new_places"], json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_app_is_reset_by_whoever_may() {
    let house = House::open().await.with_passwords().await;
    bound(&house, "alice").await;
    for (name, status) in
        [("alice", StatusCode::FORBIDDEN), ("bob", StatusCode::FORBIDDEN), ("scribe", StatusCode::FORBIDDEN)]
    {
        let refused = house.post(name, "/principals/alice/authenticators/reset", json!({})).await;
        assert_eq!(refused.status, status, "{name}");
    }
    let done = house.post("dave", "/principals/alice/authenticators/reset", json!({})).await;
    assert_eq!(done.status, StatusCode::NO_CONTENT, "{done:?}");
    assert_eq!(house.make(Call::sign_in("alice", PASSWORD)).await.status, StatusCode::OK);
}
