//! The authorization matrix: every endpoint tried by everybody, printed, and reviewed like code.

use std::fmt::Write as _;

use axum::http::{Method, StatusCode};
use countersign_policy::{Class, class_of};
use countersign_portal::endpoints::{ENDPOINTS, Endpoint, Judge, Verb};
use countersign_portal::openapi;
use serde_json::{Value, json};

use crate::house::{Call, House, bundle};

const CALLERS: [&str; 5] = ["alice", "bob", "carol", "dave", "scribe"];

/// In every cell: alice has asked for a role, holds another, and has a session open; the service `ci` is
/// disabled. A list is open to everybody, because it holds only what the caller may see.
#[tokio::test(flavor = "multi_thread")]
async fn the_authorization_matrix() {
    let mut table = String::from(
        "endpoint                               class  judge    action             | nobody alice bob carol dave agent\n",
    );
    for endpoint in ENDPOINTS {
        let nobody = tried(endpoint, None).await;
        let mut row = format!("{:<6}", nobody.as_u16());
        for name in CALLERS {
            let _ = write!(row, " {:<5}", tried(endpoint, Some(name)).await.as_u16());
        }
        let path = format!("{} {}", method(endpoint), endpoint.path);
        let judge = format!("{:?}", endpoint.judge).to_lowercase();
        let class = endpoint.class.as_str();
        let _ =
            writeln!(table, "{path:<38} {class:<6} {judge:<8} {:<18} | {}", endpoint.action, row.trim_end());
        let open = matches!(endpoint.judge, Judge::Nobody);
        // A wrong password is answered like no sign-in at all.
        let proves = endpoint.class != Class::Read || endpoint.verb == Verb::Post;
        let told = ["/ask", "/logout", "/device"].iter().any(|end| endpoint.path.ends_with(end));
        let open = open && (!endpoint.path.starts_with("/sign-in") || !proves || told);
        assert_eq!(nobody != StatusCode::UNAUTHORIZED, open, "{path} for the unauthenticated");
    }
    insta::assert_snapshot!(table);
}

#[test]
fn the_table_names_every_endpoint_and_no_other() {
    let document = serde_json::to_value(openapi()).unwrap();
    let mut described: Vec<(String, String)> = vec![("get".into(), "/openapi.json".into())];
    for (path, item) in document["paths"].as_object().unwrap() {
        let methods = item
            .as_object()
            .unwrap()
            .keys()
            .filter(|key| ["get", "post", "put", "delete", "patch"].contains(&key.as_str()));
        described.extend(methods.map(|method| (method.clone(), path.clone())));
    }
    let mut named: Vec<(String, String)> = ENDPOINTS
        .iter()
        .map(|one| (method(one).as_str().to_lowercase(), one.path.replace("{*", "{")))
        .collect();
    described.sort();
    named.sort();
    assert_eq!(described, named);
}

#[test]
fn the_table_and_the_policy_schema_agree_on_classes() {
    for endpoint in ENDPOINTS.iter().filter(|endpoint| !endpoint.action.is_empty()) {
        let class = class_of(&countersign_core::ActionName::new(endpoint.action));
        let only_checks = endpoint.path == "/bundle/check";
        assert!(class == Some(endpoint.class) || only_checks, "{endpoint:?}: {class:?}");
    }
    for endpoint in ENDPOINTS.iter().filter(|endpoint| endpoint.action.is_empty()) {
        let judged = matches!(endpoint.judge, Judge::Guard);
        assert!(!judged, "{endpoint:?} is judged by policy about nothing");
    }
}

/// Whoever is not a user is stopped before the engine is asked, and would be by the engine as well.
#[tokio::test(flavor = "multi_thread")]
async fn agents_and_services_never_decide_mint_or_govern() {
    let house = House::open().await;
    let id = house.ask("bob", "shop-writer").await;
    for name in ["scribe", "ci"] {
        let refused = house.post(name, &format!("/requests/{id}/approve"), json!({})).await;
        assert_eq!((refused.status, refused.problem()), (StatusCode::FORBIDDEN, "denied".into()));
        let refused = house.post(name, "/credentials", json!({ "resource": "shop" })).await;
        assert_eq!(refused.status, StatusCode::FORBIDDEN);
        let caller =
            house.engine.caller(&house.token(name), countersign_engine::Via::Api, None).await.unwrap();
        assert!(house.engine.approve(&caller, id, None, None).await.is_err());
        assert!(
            house.engine.mint_credential(&caller, &countersign_core::ResourceId::new("shop")).await.is_err()
        );
        assert!(house.engine.disable(&caller, &crate::house::who("bob"), None).await.is_err());
    }
}

async fn tried(endpoint: &Endpoint, name: Option<&str>) -> StatusCode {
    let house = House::open().await;
    let request = house.ask("alice", "shop-reader").await.to_string();
    let grant = house.grant("alice", "shop-writer").await.to_string();
    let session = house.connect("alice", "shop-writer").await.id().to_string();
    house.post("bob", "/principals/ci/disable", json!({})).await;
    if endpoint.path.ends_with("/resume") {
        house.post("carol", &format!("/sessions/{session}/pause"), json!({ "reason": "look" })).await;
    }
    let somebody = match endpoint.path {
        path if path.ends_with("/enable") => "ci",
        path if path.starts_with("/agents") => "scribe",
        _ => "alice",
    };
    let path =
        endpoint.path.replace("{role}", "shop-reader").replace("{name}", somebody).replace("{seq}", "1");
    let path = match path.split('/').nth(1) {
        Some("requests") => path.replace("{id}", &request),
        Some("grants") => path.replace("{id}", &grant),
        Some("sessions") => path.replace("{id}", &session),
        Some("sign-ins") => path.replace("{id}", &house.caller("alice").await.sign_in.to_string()),
        _ => path,
    };
    let size =
        if path.contains("{*path}") || path.contains("checkpoint") { house.published().await } else { 0 };
    let path = path.replace("{*path}", &format!("entries/000.p/{size}"));
    let path = match path.as_str() {
        "/accesses" => path + "?resource=shop&from=2026-01-01T00:00:00Z&until=2027-01-01T00:00:00Z",
        _ => path,
    };
    let path = if path.ends_with("/preview") { path + "?for=30m" } else { path };
    let mut call = match endpoint.verb {
        Verb::Get => Call::get(&path),
        Verb::Post => Call::post(&path, &body(endpoint)),
    };
    if let Some(name) = name {
        // Disabled or not, whoever calls holds a token that stands.
        call = call.bearer(&house.token(name));
    }
    let router = house.router.clone();
    if endpoint.path == "/events" || endpoint.path.ends_with("/follow") {
        return status_only(router, call).await;
    }
    crate::house::make(&router, call).await.status
}

/// The status of an answer that has no end.
async fn status_only(router: axum::Router, call: Call) -> StatusCode {
    use tower::ServiceExt as _;
    let mut request = axum::http::Request::get(call.path).body(axum::body::Body::empty()).unwrap();
    *request.headers_mut() = call.headers;
    router.oneshot(request).await.unwrap().status()
}

fn body(endpoint: &Endpoint) -> Value {
    match endpoint.path {
        "/sign-in/second" => json!({ "pending": "nothing", "code": "000000" }),
        "/sign-in/passkey" => {
            json!({ "credential": "AA", "client_data": "", "authenticator_data": "", "signature": "" })
        }
        "/me/passkeys" => json!({ "name": "laptop", "client_data": "", "attestation": "" }),
        "/me/totp/bind" => json!({ "code": "000000" }),
        "/sign-in/invitation/offer" => json!({ "user": "alice", "code": "guessed" }),
        "/sign-in/invitation" => {
            let passkey = json!({ "name": "laptop", "client_data": "", "attestation": "" });
            json!({ "user": "alice", "code": "guessed", "passkey": passkey })
        }
        "/sign-in/device" => json!({ "machine": "laptop" }),
        "/sign-in/device/token" => json!({ "device_code": "guessed" }),
        "/sign-in/job" => json!({ "token": "guessed" }),
        "/sign-in/agent" => json!({ "code": "guessed" }),
        "/sign-in/program" => json!({ "code": "guessed", "verifier": "a".repeat(43) }),
        "/me/device" => json!({ "user_code": "BCDF-GHJK" }),
        "/me/device/answer" => json!({ "user_code": "BCDF-GHJK", "allow": true }),
        "/me/client" => authorization(),
        "/me/client/answer" => json!({ "request": authorization(), "allow": true }),
        "/me/devices" => json!({ "endpoint": "https://push.example/x", "p256dh": "AA", "auth": "AA" }),
        "/sessions/{id}/pause" => json!({ "reason": "look" }),
        "/secrets" => json!({ "name": "spare", "value": "hush" }),
        "/me/program" => json!({ "challenge": "a".repeat(43) }),
        "/sign-in" => json!({ "user": "nobody", "password": "wrong" }),
        "/requests" => json!({ "role": "shop-reader", "for": "10m", "reason": "look" }),
        "/scripts" => json!({ "resource": "shop", "text": "DELETE FROM orders;", "reason": "look" }),
        "/credentials" | "/workbenches" => json!({ "resource": "shop" }),
        "/workbenches/{id}/run" => json!({ "text": "SELECT 1" }),
        "/workbenches/{id}/export" => json!({ "text": "SELECT 1", "columns": ["a"], "rows": 1 }),
        "/bundle" | "/bundle/check" | "/bundle/compare" => json!({ "files": changed() }),
        "/bundle/replay" => json!({ "files": changed(), "days": 30 }),
        "/bundle/simulate" => {
            json!({ "principal": "alice", "attempt": { "kind": "access", "role": "shop-reader", "for": "30m" } })
        }
        _ => json!({}),
    }
}

/// What a client that nobody registered asks for.
fn authorization() -> Value {
    json!({ "client_id": "cli_00000000000000000000000000", "redirect_uri": "http://127.0.0.1:1/cb" })
}

fn changed() -> Value {
    let mut files = bundle();
    files.get_mut("people.toml").unwrap().push_str("\n[user.erin]\nname = \"Erin\"\n");
    json!(files)
}

fn method(endpoint: &Endpoint) -> Method {
    match endpoint.verb {
        Verb::Get => Method::GET,
        Verb::Post => Method::POST,
    }
}
