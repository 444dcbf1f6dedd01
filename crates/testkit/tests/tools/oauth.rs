//! A client that knows nothing but the address of a resource, and the person who lets it in (OAuth 2.1).

use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use countersign_core::{PrincipalId, Span};
use countersign_testkit::house::PERSON_PASSWORD as PASSWORD;
use countersign_testkit::tools::{ToolClient, ToolHouse, call, text};
use reqwest::{Response, StatusCode};
use serde_json::{Value, json};

const VERIFIER: &str = "0123456789abcdef0123456789abcdef0123456789abcdef";
const REDIRECT: &str = "http://127.0.0.1:33418/cb";
const HELLO: &str =
    r#"{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"2025-11-25"}}"#;

/// SHA-256 of a verifier, base64url.
fn challenge(verifier: &str) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let hash = digest(&SHA256, verifier.as_bytes());
    let letters = hash.as_ref().chunks(3).flat_map(|three| {
        let bits =
            three.iter().fold(0_u32, |bits, byte| (bits << 8) | u32::from(*byte)) << (8 * (3 - three.len()));
        (0..=three.len()).map(move |at| char::from(LETTERS[(bits >> (18 - 6 * at)) as usize & 63]))
    });
    letters.collect()
}

/// A gateway, a client that has registered, and the browser of alice, who is signed in.
struct Scene {
    house: ToolHouse,
    http: reqwest::Client,
    cookie: String,
    client: String,
}

impl Scene {
    async fn open() -> Self {
        let house = ToolHouse::open().await.unwrap();
        let http = reqwest::Client::new();
        let mut scene = Self { house, http, cookie: String::new(), client: String::new() };
        scene.cookie = scene.sign_in("alice").await;
        let client = scene.register(&[REDIRECT]).await;
        assert_eq!(client.status(), StatusCode::CREATED);
        scene.client = client.json::<Value>().await.unwrap()["client_id"].as_str().unwrap().to_owned();
        scene
    }

    async fn sign_in(&self, name: &str) -> String {
        let answer = self
            .http
            .post(self.at("/api/v1/sign-in"))
            .header("x-countersign", "1")
            .json(&json!({ "user": name, "password": PASSWORD }))
            .send()
            .await
            .unwrap();
        let cookie = answer.headers()["set-cookie"].to_str().unwrap();
        cookie.split(';').next().unwrap().to_owned()
    }

    fn at(&self, path: &str) -> String {
        format!("{}{path}", self.house.base())
    }

    async fn register(&self, uris: &[&str]) -> Response {
        let body = json!({ "client_name": "Test\u{202e} client", "redirect_uris": uris });
        self.http.post(self.at("/oauth/register")).json(&body).send().await.unwrap()
    }

    /// What the client has alice's browser open.
    fn asked(&self) -> Value {
        json!({
            "response_type": "code", "client_id": self.client, "redirect_uri": REDIRECT,
            "code_challenge": challenge(VERIFIER), "code_challenge_method": "S256",
            "resource": self.house.url(), "state": "a state & more",
        })
    }

    fn asked_with(&self, name: &str, value: Value) -> Value {
        let mut asked = self.asked();
        asked[name] = value;
        asked
    }

    /// What the page of the console does.
    async fn browser(&self, path: &str, body: &Value) -> (StatusCode, Value) {
        let call = self.http.post(self.at(path)).header("x-countersign", "1").header("cookie", &self.cookie);
        let answer = call.json(body).send().await.unwrap();
        (answer.status(), answer.json().await.unwrap_or_default())
    }

    async fn answer(&self, answer: Value) -> Value {
        let (status, done) = self.browser("/api/v1/me/client/answer", &answer).await;
        assert_eq!(status, StatusCode::OK, "{done}");
        let to = done["redirect_to"].as_str().unwrap();
        let to = reqwest::Url::parse(to).unwrap();
        assert!(to.as_str().starts_with(REDIRECT), "{to}");
        to.query_pairs().map(|(name, value)| (name.into_owned(), Value::from(value.into_owned()))).collect()
    }

    async fn code(&self) -> String {
        let told = self.answer(json!({ "request": self.asked(), "allow": true })).await;
        told["code"].as_str().unwrap().to_owned()
    }

    async fn post(&self, path: &str, form: &[(&str, &str)]) -> (StatusCode, Value) {
        let mut encoded = reqwest::Url::parse("http://form").unwrap();
        encoded.query_pairs_mut().extend_pairs(form);
        let call = self.http.post(self.at(path)).body(encoded.query().unwrap().to_owned());
        let call = call.header("content-type", "application/x-www-form-urlencoded");
        let answer = call.send().await.unwrap();
        (answer.status(), answer.json().await.unwrap_or_default())
    }

    async fn redeem(&self, change: &[(&str, &str)]) -> (StatusCode, Value) {
        let code = self.code().await;
        self.redeem_code(&code, change).await
    }

    async fn redeem_code(&self, code: &str, change: &[(&str, &str)]) -> (StatusCode, Value) {
        let resource = self.house.url();
        let mut form = vec![
            ("grant_type", "authorization_code"),
            ("code", code),
            ("client_id", &self.client),
            ("redirect_uri", REDIRECT),
            ("code_verifier", VERIFIER),
            ("resource", &resource),
        ];
        form.retain(|(name, _)| change.iter().all(|(other, _)| other != name));
        form.extend(change.iter().filter(|(_, value)| !value.is_empty()));
        self.post("/oauth/token", &form).await
    }

    async fn tokens(&self) -> Value {
        let (status, tokens) = self.redeem(&[]).await;
        assert_eq!(status, StatusCode::OK, "{tokens}");
        tokens
    }

    async fn refresh(&self, tokens: &Value) -> (StatusCode, Value) {
        let token = tokens["refresh_token"].as_str().unwrap();
        let form = [("grant_type", "refresh_token"), ("refresh_token", token), ("client_id", &self.client)];
        self.post("/oauth/token", &form).await
    }

    async fn grant(&self) -> countersign_core::GrantId {
        self.house.house.grant("alice", "clerk", Span::minutes(30)).await.unwrap()
    }

    fn client(&self, tokens: &Value) -> ToolClient {
        ToolClient::new(&self.house.url(), tokens["access_token"].as_str().unwrap())
    }

    /// A session that has begun with these tokens.
    async fn begun(&self, tokens: &Value) -> ToolClient {
        let mut client = self.client(tokens);
        client.begin().await.unwrap();
        client
    }

    /// Waits until no session is open, as has to happen within a second.
    /// There is no grant: the gateway itself answers, and no session is open.
    async fn sits_at_the_desk(&self, tokens: &Value) {
        let answer = self.client(tokens).post(HELLO).await.unwrap();
        assert_eq!(answer.status(), 200);
        let welcome: Value = answer.json().await.unwrap();
        assert_eq!(welcome["result"]["serverInfo"]["name"], "countersign", "{welcome}");
        self.house.deserted().await.unwrap();
    }

    async fn deserted_soon(&self) {
        let soon = tokio::time::timeout(Duration::from_secs(3), self.house.deserted());
        soon.await.expect("the session goes on").unwrap();
    }

    /// That this counts no more, neither at the resource nor for the next.
    async fn over(&self, tokens: &Value) {
        assert_eq!(self.client(tokens).post(HELLO).await.unwrap().status(), 401);
        let (status, error) = self.refresh(tokens).await;
        assert_eq!((status, error["error"].as_str()), (StatusCode::BAD_REQUEST, Some("invalid_grant")));
    }
}

fn refused((status, body): (StatusCode, Value), error: &str) {
    assert_eq!((status, body["error"].as_str()), (StatusCode::BAD_REQUEST, Some(error)), "{body}");
}

#[tokio::test]
async fn a_client_finds_its_way_from_the_address_alone() {
    let scene = Scene::open().await;
    let grant = scene.grant().await;
    let nobody = scene.http.post(scene.house.url()).header("content-type", "application/json").body(HELLO);
    let nobody = nobody.send().await.unwrap();
    assert_eq!(nobody.status(), 401);
    let told = nobody.headers()["www-authenticate"].to_str().unwrap().to_owned();
    let place = told.split("resource_metadata=\"").nth(1).unwrap().split('"').next().unwrap();
    assert_eq!(place, scene.at("/.well-known/oauth-protected-resource/mcp/files"));
    assert!(!told.contains("error="), "nothing was shown: {told}");
    let about: Value = scene.http.get(place).send().await.unwrap().json().await.unwrap();
    assert_eq!(about["resource"], scene.house.url());
    assert_eq!(about["authorization_servers"], json!([scene.house.base()]));
    let server = scene.at("/.well-known/oauth-authorization-server");
    let server: Value = scene.http.get(server).send().await.unwrap().json().await.unwrap();
    assert_eq!(server["issuer"], scene.house.base());
    assert_eq!(server["code_challenge_methods_supported"], json!(["S256"]));
    assert_eq!(server["authorization_endpoint"], scene.at("/authorize"));

    let (status, asked) = scene.browser("/api/v1/me/client", &scene.asked()).await;
    assert_eq!(status, StatusCode::OK, "{asked}");
    assert_eq!((&asked["client"], &asked["host"]), (&json!("Test client"), &json!("127.0.0.1")));
    assert_eq!((&asked["here"], &asked["resource"]), (&json!(true), &json!("files")));
    assert_eq!(asked["actors"][0]["principal"], "alice");
    assert_eq!(asked["actors"][0]["grants"][0]["role"], "clerk");

    let told = scene.answer(json!({ "request": scene.asked(), "allow": true })).await;
    assert_eq!((&told["state"], &told["iss"]), (&json!("a state & more"), &json!(scene.house.base())));
    let (status, tokens) = scene.redeem_code(told["code"].as_str().unwrap(), &[]).await;
    assert_eq!((status, &tokens["token_type"]), (StatusCode::OK, &json!("Bearer")), "{tokens}");
    assert!((800..=900).contains(&tokens["expires_in"].as_i64().unwrap()), "{tokens}");
    let client = scene.begun(&tokens).await;
    let answer = client.call(1, "echo", json!({ "path": "/srv/reports/a" })).await.unwrap();
    assert_eq!(text(&answer), r#"{"path":"/srv/reports/a"}"#);
    assert!(scene.house.server.authorizations().iter().all(String::is_empty), "no token is passed on");

    // It is a sign-in of alice's, which she sees and ends, and no token of it opens the API.
    for token in ["access_token", "refresh_token"] {
        let me = scene.http.get(scene.at("/api/v1/me")).bearer_auth(tokens[token].as_str().unwrap());
        assert_eq!(me.send().await.unwrap().status(), 401, "{token}");
    }
    let listed = scene.http.get(scene.at("/api/v1/me/sign-ins")).header("cookie", &scene.cookie);
    let listed: Value = listed.send().await.unwrap().json().await.unwrap();
    let mut own = listed["items"].as_array().unwrap().iter();
    let own = own.find(|one| one["client"].is_object()).unwrap();
    assert_eq!(own["client"], json!({ "name": "Test client", "host": "127.0.0.1", "resource": "files" }));
    let end = format!("/api/v1/sign-ins/{}/end", own["id"].as_str().unwrap());
    assert_eq!(scene.browser(&end, &json!({})).await.0, StatusCode::NO_CONTENT);
    scene.deserted_soon().await;
    scene.over(&tokens).await;
    let invalid = scene.client(&tokens).post(HELLO).await.unwrap();
    assert!(invalid.headers()["www-authenticate"].to_str().unwrap().contains("error=\"invalid_token\""));
    assert!(scene.house.house.engine.snapshot().book.grant(grant).is_some());
    scene.house.close().await;
}

#[tokio::test]
async fn a_code_counts_once_for_what_was_asked() {
    let scene = Scene::open().await;
    scene.grant().await;
    let other = VERIFIER.replace('0', "1");
    refused(scene.redeem(&[("code_verifier", &other)]).await, "invalid_grant");
    refused(scene.redeem(&[("code_verifier", "")]).await, "invalid_request");
    refused(scene.redeem(&[("code_verifier", &challenge(VERIFIER))]).await, "invalid_grant");
    refused(scene.redeem(&[("redirect_uri", "http://127.0.0.1:33419/cb")]).await, "invalid_grant");
    refused(scene.redeem(&[("redirect_uri", "")]).await, "invalid_request");
    refused(scene.redeem(&[("resource", &scene.at("/mcp/shop"))]).await, "invalid_target");
    refused(scene.redeem(&[("resource", "https://other.example/mcp/files")]).await, "invalid_target");
    refused(scene.redeem(&[("grant_type", "client_credentials")]).await, "unsupported_grant_type");
    refused(scene.redeem(&[("client_id", "cli_00000000000000000000000000")]).await, "invalid_client");
    let second = scene.register(&[REDIRECT]).await.json::<Value>().await.unwrap();
    refused(scene.redeem(&[("client_id", second["client_id"].as_str().unwrap())]).await, "invalid_grant");
    // A wrong try has used it up.
    let code = scene.code().await;
    refused(scene.redeem_code(&code, &[("code_verifier", &other)]).await, "invalid_grant");
    refused(scene.redeem_code(&code, &[]).await, "invalid_grant");

    // Whoever comes with it again was robbed or is a thief: what came of it ends, its session too.
    let code = scene.code().await;
    let (status, tokens) = scene.redeem_code(&code, &[("resource", "")]).await;
    assert_eq!(status, StatusCode::OK, "{tokens}");
    let client = scene.begun(&tokens).await;
    refused(scene.redeem_code(&code, &[("code_verifier", &other)]).await, "invalid_grant");
    scene.deserted_soon().await;
    scene.over(&tokens).await;
    assert_eq!(client.post(call(2, "echo", json!({})).to_string()).await.unwrap().status(), 401);
    scene.house.close().await;
}

#[tokio::test]
async fn what_is_asked_wrongly_is_said_to_the_person_and_leads_nowhere_else() {
    let scene = Scene::open().await;
    for (name, value) in [
        ("client_id", json!("cli_00000000000000000000000000")),
        ("client_id", json!("x")),
        ("redirect_uri", json!("https://evil.example/cb")),
        ("redirect_uri", json!("http://127.0.0.1:33418/cb/")),
        ("redirect_uri", json!("http://localhost:33418/cb")),
    ] {
        let (status, problem) = scene.browser("/api/v1/me/client", &scene.asked_with(name, value)).await;
        assert_eq!((status, &problem["link"]), (StatusCode::NOT_FOUND, &Value::Null), "{name}");
    }
    for (name, value, error) in [
        ("response_type", json!("token"), "unsupported_response_type"),
        ("code_challenge_method", json!("plain"), "invalid_request"),
        ("code_challenge", json!("short"), "invalid_request"),
        ("resource", json!(scene.house.base()), "invalid_target"),
        ("resource", json!(scene.at("/mcp/nothing")), "invalid_target"),
    ] {
        let request = scene.asked_with(name, value);
        for (path, body) in [
            ("/api/v1/me/client", request.clone()),
            ("/api/v1/me/client/answer", json!({ "request": request, "allow": true })),
        ] {
            let (status, problem) = scene.browser(path, &body).await;
            assert!(status.is_client_error(), "{name}: {status}");
            let link = problem["link"].as_str().unwrap_or_else(|| panic!("{name}: {problem}"));
            assert!(link.starts_with(&format!("{REDIRECT}?error={error}&state=a+state")), "{link}");
        }
    }
    // Any port of this machine will do, since a program does not know beforehand which it gets.
    let (status, _) = scene
        .browser("/api/v1/me/client", &scene.asked_with("redirect_uri", json!("http://127.0.0.1:9/cb")))
        .await;
    assert_eq!(status, StatusCode::OK);
    let no = scene.answer(json!({ "request": scene.asked(), "allow": false })).await;
    assert_eq!((&no["error"], &no["code"]), (&json!("access_denied"), &Value::Null));
    let other = json!({ "request": scene.asked(), "allow": true, "principal": "bob" });
    assert_eq!(scene.browser("/api/v1/me/client/answer", &other).await.0, StatusCode::FORBIDDEN);
    // A program has no say in who is let in.
    let token = scene.http.post(scene.at("/api/v1/sign-in"));
    let token = token.json(&json!({ "user": "alice", "password": PASSWORD })).send().await.unwrap();
    let token = token.json::<Value>().await.unwrap()["token"].as_str().unwrap().to_owned();
    let program = scene.http.post(scene.at("/api/v1/me/client")).bearer_auth(token).json(&scene.asked());
    assert_eq!(program.send().await.unwrap().status(), StatusCode::FORBIDDEN);
    scene.house.close().await;
}

#[tokio::test]
async fn tokens_follow_each_other_and_one_that_comes_again_ends_them() {
    let scene = Scene::open().await;
    scene.grant().await;
    let first = scene.tokens().await;
    let client = scene.begun(&first).await;
    let (status, second) = scene.refresh(&first).await;
    assert_eq!(status, StatusCode::OK, "{second}");
    assert_ne!(first["refresh_token"], second["refresh_token"]);
    assert_ne!(first["access_token"], second["access_token"]);
    // The session goes on with the next token.
    let next = client.showing(second["access_token"].as_str().unwrap());
    assert_eq!(text(&next.call(1, "echo", json!({ "n": 1 })).await.unwrap()), r#"{"n":1}"#);
    // An answer that was lost is given again.
    let (_, again) = scene.refresh(&first).await;
    assert_eq!(again["refresh_token"], second["refresh_token"]);
    let resource = scene.at("/mcp/shop");
    let elsewhere = [
        ("grant_type", "refresh_token"),
        ("refresh_token", second["refresh_token"].as_str().unwrap()),
        ("client_id", scene.client.as_str()),
        ("resource", resource.as_str()),
    ];
    refused(scene.post("/oauth/token", &elsewhere).await, "invalid_target");
    let stranger = scene.register(&[REDIRECT]).await.json::<Value>().await.unwrap();
    let stranger = [elsewhere[0], elsewhere[1], ("client_id", stranger["client_id"].as_str().unwrap())];
    refused(scene.post("/oauth/token", &stranger).await, "invalid_grant");

    let (status, third) = scene.refresh(&second).await;
    assert_eq!(status, StatusCode::OK, "{third}");
    // The first has had its successor used: somebody has stolen something.
    refused(scene.refresh(&first).await, "invalid_grant");
    scene.deserted_soon().await;
    for tokens in [&first, &second, &third] {
        scene.over(tokens).await;
    }
    scene.house.close().await;
}

#[tokio::test]
async fn a_token_is_for_one_resource_and_one_role_and_is_given_back() {
    let scene = Scene::open().await;
    let bound = json!({ "request": scene.asked(), "allow": true, "role": "clerk" });
    let told = scene.answer(bound).await;
    let (_, tokens) = scene.redeem_code(told["code"].as_str().unwrap(), &[]).await;
    assert_eq!(tokens["scope"], "role:clerk");
    // Nothing is opened by it: there is no grant.
    scene.sits_at_the_desk(&tokens).await;
    scene.grant().await;
    let token = tokens["access_token"].as_str().unwrap();
    let other = ToolClient::new(&scene.at("/mcp/shop"), token).post(HELLO).await.unwrap();
    assert_eq!(other.status(), 401, "of another resource");
    let role = format!("{}?role=shop-writer", scene.house.url());
    let role = ToolClient::new(&role, token).post(HELLO).await.unwrap();
    assert_eq!(role.status(), 403);
    let told = role.headers()["www-authenticate"].to_str().unwrap();
    assert!(told.contains("error=\"insufficient_scope\", scope=\"role:shop-writer\""), "{told}");
    let not_there = json!({ "request": scene.asked(), "allow": true, "role": "shop-writer" });
    assert_eq!(
        scene.browser("/api/v1/me/client/answer", &not_there).await.0,
        StatusCode::UNPROCESSABLE_ENTITY,
        "a role that does not reach it"
    );
    scene.begun(&tokens).await;
    let stranger = [("token", token), ("client_id", "cli_00000000000000000000000000")];
    assert_eq!(scene.post("/oauth/revoke", &stranger).await.0, StatusCode::OK);
    assert_eq!(
        scene.client(&tokens).post(call(1, "echo", json!({})).to_string()).await.unwrap().status(),
        400
    );
    let back = [("token", token), ("client_id", scene.client.as_str())];
    assert_eq!(scene.post("/oauth/revoke", &back).await.0, StatusCode::OK);
    scene.deserted_soon().await;
    scene.over(&tokens).await;
    assert_eq!(scene.post("/oauth/revoke", &back).await.0, StatusCode::OK, "once more is nothing");
    scene.house.close().await;
}

#[tokio::test]
async fn a_grant_that_ends_ends_the_session_and_whoever_is_disabled_takes_all_with_them() {
    let scene = Scene::open().await;
    let engine = &scene.house.house.engine;
    let grant = scene.grant().await;
    let tokens = scene.tokens().await;
    scene.begun(&tokens).await;
    let bob = scene.house.house.person("bob").await.unwrap();
    engine.revoke(&bob, grant, Some("enough".into())).await.unwrap();
    scene.deserted_soon().await;
    scene.sits_at_the_desk(&tokens).await;

    scene.grant().await;
    scene.begun(&tokens).await;
    engine.disable(&bob, &PrincipalId::new("alice"), Some("gone".into())).await.unwrap();
    scene.deserted_soon().await;
    scene.over(&tokens).await;
    engine.enable(&bob, &PrincipalId::new("alice")).await.unwrap();
    scene.over(&tokens).await;
    scene.house.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_is_let_in_to_a_database_and_its_session_ends_with_it() {
    let scene = Scene::open().await;
    let (shop, asked) = (scene.at("/mcp/shop"), scene.asked_with("resource", json!(scene.at("/mcp/shop"))));
    scene.house.house.grant("alice", "shop-reader", Span::minutes(30)).await.unwrap();
    let told = scene.answer(json!({ "request": asked, "allow": true })).await;
    let (status, tokens) = scene.redeem_code(told["code"].as_str().unwrap(), &[("resource", &shop)]).await;
    assert_eq!(status, StatusCode::OK, "{tokens}");
    let mut client = ToolClient::new(&shop, tokens["access_token"].as_str().unwrap());
    client.begin().await.unwrap();
    let answer = client.call(1, "query", json!({ "sql": "SELECT count(*) > 0 FROM orders" })).await.unwrap();
    assert_eq!(answer["result"]["structuredContent"]["statements"][0]["rows"], json!([["t"]]), "{answer}");
    // It was let in for that role, and asks for no other.
    let request = scene.asked_with("resource", json!(shop.clone()));
    let told = scene.answer(json!({ "request": request, "allow": true, "role": "shop-reader" })).await;
    let (_, bound) = scene.redeem_code(told["code"].as_str().unwrap(), &[("resource", &shop)]).await;
    let mut bound = ToolClient::new(&shop, bound["access_token"].as_str().unwrap());
    bound.begin().await.unwrap();
    let access = bound.call(1, "access", json!({})).await.unwrap();
    let roles = access["result"]["structuredContent"]["roles"].as_array().unwrap().clone();
    assert_eq!(roles.iter().map(|role| &role["role"]).collect::<Vec<_>>(), ["shop-reader"], "{access}");
    let writer = json!({ "role": "shop-writer", "purpose": "more" });
    let writer = bound.call(2, "request_access", writer).await.unwrap();
    assert!(text(&writer).starts_with("not done: no role `shop-writer` that you may ask for"), "{writer}");
    bound.leave().await.unwrap();
    // Its tokens count nowhere else.
    assert_eq!(scene.client(&tokens).post(HELLO).await.unwrap().status(), 401);
    let form = [("token", tokens["refresh_token"].as_str().unwrap()), ("client_id", &scene.client)];
    assert_eq!(scene.post("/oauth/revoke", &form).await.0, StatusCode::OK);
    scene.deserted_soon().await;
    assert_eq!(client.post(HELLO).await.unwrap().status(), 401);
    scene.house.close().await;
}
