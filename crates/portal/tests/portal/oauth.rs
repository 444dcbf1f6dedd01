//! What clients are told of the authorization server, and how many may register. The way of a client from its resource's address
//! to its end is tried with the door, in `testkit/tests/tools/oauth.rs`.

use axum::http::StatusCode;
use countersign_core::Span;
use serde_json::{Value, json};

use crate::house::{Answer, Call, House, URL};

/// A call beside the API.
fn call(path: &str, body: &str) -> Call {
    let mut call = Call::raw("", body.to_owned());
    call.path = path.to_owned();
    call
}

fn form(path: &str, body: &str) -> Call {
    let mut form = call(path, body);
    form.headers.insert("content-type", "application/x-www-form-urlencoded".parse().unwrap());
    form
}

async fn register(house: &House, body: Value) -> Answer {
    house.make(call("/oauth/register", &body.to_string())).await
}

async fn get(house: &House, path: &str) -> Answer {
    let mut call = Call::get("");
    call.path = path.to_owned();
    house.make(call).await
}

#[tokio::test]
async fn the_server_says_what_it_can_do() {
    let house = House::open().await;
    let told = get(&house, "/.well-known/oauth-authorization-server").await;
    assert_eq!((told.status, told.header("cache-control")), (StatusCode::OK, "no-store"));
    let told = told.json();
    assert_eq!(told["issuer"], URL);
    for (name, path) in [
        ("authorization_endpoint", "/authorize"),
        ("token_endpoint", "/oauth/token"),
        ("registration_endpoint", "/oauth/register"),
        ("revocation_endpoint", "/oauth/revoke"),
    ] {
        assert_eq!(told[name], format!("{URL}{path}"));
    }
    assert_eq!(told["code_challenge_methods_supported"], json!(["S256"]));
    assert_eq!(told["token_endpoint_auth_methods_supported"], json!(["none"]));
    assert_eq!(told["grant_types_supported"], json!(["authorization_code", "refresh_token"]));
    assert_eq!(told["authorization_response_iss_parameter_supported"], true);
    // What is not there is not the console's page.
    for path in ["/.well-known/openid-configuration", "/.well-known/jwks"] {
        assert_eq!(get(&house, path).await.problem(), "not-found", "{path}");
    }
}

#[tokio::test]
async fn a_client_is_registered_with_what_it_can_have() {
    let house = House::open().await;
    let asked = json!({
        "client_name": "A\u{202e}b\u{200b} <i>c</i>",
        "redirect_uris": ["https://app.example/cb", "http://localhost/cb"],
        "token_endpoint_auth_method": "client_secret_basic",
        "grant_types": ["client_credentials"],
        "logo_uri": "https://evil.example/logo",
    });
    let client = register(&house, asked).await;
    assert_eq!((client.status, client.header("cache-control")), (StatusCode::CREATED, "no-store"));
    let client = client.json();
    assert!(client["client_id"].as_str().unwrap().starts_with("cli_"));
    assert_eq!(client["client_name"], "Ab ic/i");
    assert_eq!(client["token_endpoint_auth_method"], "none");
    assert_eq!(client["grant_types"], json!(["authorization_code", "refresh_token"]));
    assert!(client.get("client_secret").is_none() && client.get("logo_uri").is_none());
    for (uris, error) in [
        (json!([]), "invalid_redirect_uri"),
        (json!(["http://app.example/cb"]), "invalid_redirect_uri"),
        (json!(["https://app.example/cb", "javascript:alert(1)"]), "invalid_redirect_uri"),
        (json!(["https://app.example/cb#x"]), "invalid_redirect_uri"),
        (json!(vec!["https://app.example/cb"; 17]), "invalid_redirect_uri"),
        (json!("https://app.example/cb"), "invalid_client_metadata"),
        (Value::Null, "invalid_client_metadata"),
    ] {
        let refused = register(&house, json!({ "redirect_uris": uris })).await;
        assert_eq!(
            (refused.status, refused.json()["error"].as_str()),
            (StatusCode::BAD_REQUEST, Some(error))
        );
    }
    let large =
        json!({ "redirect_uris": ["https://app.example/cb"], "software_statement": "a".repeat(16 * 1024) });
    assert_eq!(register(&house, large).await.status, StatusCode::PAYLOAD_TOO_LARGE);
    let foreign = call("/oauth/register", "{}").with("origin", "https://evil.example");
    assert_eq!(house.make(foreign).await.json()["error"], "invalid_request");
}

#[tokio::test]
async fn registering_is_rationed_and_what_nobody_uses_is_forgotten() {
    let house = House::open().await;
    let asked = json!({ "redirect_uris": ["https://app.example/cb"] });
    let first = register(&house, asked.clone()).await.json()["client_id"].as_str().unwrap().to_owned();
    let known = |client: &str| {
        let body = format!("grant_type=refresh_token&refresh_token=a.b&client_id={client}");
        form("/oauth/token", &body)
    };
    assert_eq!(house.make(known(&first)).await.json()["error"], "invalid_grant");
    let mut too_many = None;
    for _ in 0..32 {
        let answer = register(&house, asked.clone()).await;
        if answer.status == StatusCode::TOO_MANY_REQUESTS {
            too_many = Some(answer);
            break;
        }
    }
    let too_many = too_many.expect("registering is not rationed");
    assert!(too_many.header("retry-after").parse::<u64>().unwrap() > 0);
    house.clock.advance(Span::hours(1));
    assert_eq!(house.make(known(&first)).await.json()["error"], "invalid_client", "nobody let it in");
    assert_eq!(register(&house, asked).await.status, StatusCode::CREATED);
}

/// From many addresses, so that it is not rationing that holds.
#[tokio::test]
async fn there_is_room_for_so_many_and_the_oldest_that_nobody_uses_goes_first() {
    let house = House::open().await;
    let mut all = Vec::new();
    for n in 0..2_001_u32 {
        house.clock.advance(Span(1_000));
        let client = house.engine.register_client(Some("x"), vec!["https://app.example/cb".into()]).await;
        all.push(client.unwrap_or_else(|refused| panic!("{n}: {refused:?}")).id);
    }
    assert!(house.engine.client(all[0]).is_none(), "the oldest has gone");
    assert!(house.engine.client(all[1]).is_some() && house.engine.client(all[2_000]).is_some());
}

#[tokio::test]
async fn the_token_endpoint_takes_forms_and_says_what_is_wrong() {
    let house = House::open().await;
    let client = register(&house, json!({ "redirect_uris": ["https://app.example/cb"] })).await.json();
    let client = client["client_id"].as_str().unwrap();
    for (body, error) in [
        (String::new(), "invalid_request"),
        ("client_id=x".to_owned(), "invalid_client"),
        (format!("client_id={client}"), "invalid_request"),
        (format!("client_id={client}&client_id={client}"), "invalid_request"),
        (format!("client_id={client}&grant_type=password"), "unsupported_grant_type"),
        (format!("client_id={client}&grant_type=authorization_code"), "invalid_request"),
        (format!("client_id={client}&grant_type=refresh_token&refresh_token=x"), "invalid_grant"),
        (format!("client_id={client}&grant_type=refresh_token&refresh_token=x&resource=y"), "invalid_target"),
    ] {
        let refused = house.make(form("/oauth/token", &body)).await;
        let got = (refused.status, refused.json()["error"].as_str().map(str::to_owned));
        assert_eq!(got, (StatusCode::BAD_REQUEST, Some(error.to_owned())), "{body}");
    }
    assert_eq!(house.make(call("/oauth/token", "{}")).await.json()["error"], "invalid_request", "JSON");
    let basic = form("/oauth/token", &format!("client_id={client}")).with("authorization", "Basic eDp5");
    assert_eq!(house.make(basic).await.json()["error"], "invalid_client");
    let unknown = form("/oauth/revoke", &format!("client_id={client}&token=x"));
    assert_eq!(house.make(unknown).await.status, StatusCode::OK);
}
