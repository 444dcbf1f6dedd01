//! The first-run set-up, over HTTP. What it comes to is shown by the engine's own tests, and by a browser's.

use axum::http::StatusCode;
use countersign_core::Span;
use serde_json::{Value, json};

use crate::house::{Call, House};

const STEPS: [&str; 4] = ["/setup", "/setup/code", "/setup/database", "/setup/administrator"];

fn database() -> Value {
    json!({
        "name": "orders", "title": "Orders", "host": "127.0.0.1", "port": 1, "database": "orders", "tls": "disable",
        "writer": { "name": "writer", "password": "hush" },
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn there_is_a_set_up_for_as_long_as_a_code_counts() {
    let house = House::bare();
    let none = async |what: &str| {
        let state = house.make(Call::get("/setup")).await;
        assert_eq!((state.status, state.problem()), (StatusCode::NOT_FOUND, "not-found".into()), "{what}");
        for path in STEPS {
            // Whatever is sent: nothing of it is looked at.
            let answer = house.make(Call::raw(path, "no JSON")).await;
            assert_eq!(answer.status, StatusCode::NOT_FOUND, "{what} {path}");
        }
        assert!(house.make(Call::get("/health")).await.json().get("setup").is_none(), "{what}");
    };
    none("before it is opened").await;
    house.engine.open_setup().await.unwrap().unwrap();
    assert_eq!(house.make(Call::get("/setup")).await.json(), json!({ "passkeys": true }));
    assert_eq!(house.make(Call::get("/health")).await.json()["setup"], true);
    house.clock.advance(Span::hours(24));
    none("when it has ended").await;
    house.engine.open_setup().await.unwrap().unwrap();
    house.engine.first_bundle(crate::house::bundle(), &crate::house::who("dave")).await.unwrap();
    none("when a bundle is in force").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_code_nothing_is_done_and_it_can_not_be_guessed() {
    let house = House::bare();
    let code = house.engine.open_setup().await.unwrap().unwrap().code;
    let post = async |path: &str, body: Value| house.make(Call::post(path, &body)).await;
    let right = post("/setup/code", json!({ "code": code.as_str() })).await;
    assert_eq!(right.status, StatusCode::NO_CONTENT);
    let person = json!({ "name": "ada", "display": "Ada" });
    for (path, body) in [
        ("/setup/code", json!({ "code": "guessed" })),
        ("/setup/database", json!({ "code": "guessed", "database": database() })),
        ("/setup/administrator", json!({ "code": "guessed", "administrator": person })),
    ] {
        let refused = post(path, body).await;
        assert_eq!((refused.status, refused.problem()), (StatusCode::UNAUTHORIZED, "sign-in-refused".into()));
    }
    let offer = post("/setup/administrator", json!({ "code": code.as_str(), "administrator": person })).await;
    assert_eq!(offer.json()["user"], "ada");
    // A door that is not open yet, and a person that can't be.
    let tried = post("/setup/database", json!({ "code": code.as_str(), "database": database() })).await;
    assert_eq!(tried.problem(), "unavailable");
    let bad = json!({ "name": "Ada Adler", "display": "Ada" });
    let offer = post("/setup/administrator", json!({ "code": code.as_str(), "administrator": bad })).await;
    assert_eq!(offer.problem(), "invalid");
    let mut last = StatusCode::OK;
    for _ in 0..20 {
        last = post("/setup/code", json!({ "code": "guessed" })).await.status;
    }
    assert_eq!(last, StatusCode::TOO_MANY_REQUESTS, "an address may try it so often");
}
