//! Tokens of jobs as CI systems issue them, and those that somebody might try instead.

use std::sync::{Arc, Mutex};

use axum::extract::State;
use axum::routing::get;
use axum::{Json, Router};
use countersign_core::Span;
use countersign_engine::federation::{FederationError, Workloads as _};
use countersign_engine::testing::MORNING;
use serde_json::{Value, json};

use super::super::token::{BadToken, Expected, workload_token};
use super::{Signer, WorkloadIssuers, keys, message, seconds, with};

const GATEWAY: &str = "https://countersign.example";

/// What GitHub says of a job.
fn github(issuer: &str) -> Value {
    let now = seconds(MORNING);
    json!({
        "jti": "8c3fa9b1-6f0e-4b1a-9a53-6e9c6c1f0d11", "sub": "repo:shop/app:environment:production", "aud": GATEWAY, "iss": issuer,
        "ref": "refs/heads/main", "sha": "f1d2d2f924e986ac86fdf7b36c94bcdf32beec15", "repository": "shop/app",
        "repository_owner": "shop", "repository_owner_id": "65", "repository_id": "74", "run_id": "1024", "run_number": "10",
        "run_attempt": "2", "actor": "octocat", "workflow": "deploy", "head_ref": "", "base_ref": "", "event_name": "push",
        "ref_protected": "true", "ref_type": "branch", "environment": "production",
        "job_workflow_ref": "shop/app/.github/workflows/deploy.yml@refs/heads/main", "runner_environment": "github-hosted",
        "nbf": now - 600, "exp": now + 300, "iat": now,
    })
}

/// What GitLab says of one.
fn gitlab(issuer: &str) -> Value {
    let now = seconds(MORNING);
    json!({
        "namespace_id": "72", "namespace_path": "shop", "project_id": "20", "project_path": "shop/app", "user_id": "1",
        "user_login": "alice", "user_email": "alice@shop.example", "pipeline_id": "574", "pipeline_source": "push", "job_id": "302",
        "ref": "main", "ref_type": "branch", "ref_path": "refs/heads/main", "ref_protected": "true", "runner_id": 1,
        "runner_environment": "self-hosted", "sha": "714a629c0b401fdce83e847fc9589983fc6f46bc", "ci_config_sha": null,
        "groups_direct": ["shop/app"], "jti": "235b3a54-b797-45c7-ae9a-f72d7bc6ef5b", "iss": issuer, "iat": now, "nbf": now - 5,
        "exp": now + 3_600, "sub": "project_path:shop/app:ref_type:branch:ref:main", "aud": GATEWAY,
    })
}

#[test]
fn what_a_job_may_not_say_is_refused() {
    let (signer, issuer) = (Signer::new("one"), "https://gitlab.example");
    let read = |claims: &Value| {
        let expected = Expected { issuer, client_id: GATEWAY, now: MORNING };
        workload_token(&signer.sign(&signer.header(), claims), &keys(&[signer.jwk()]), expected)
    };
    let now = seconds(MORNING);
    for good in [github(issuer), gitlab(issuer), with(gitlab(issuer), "iat", json!(now - 3_599))] {
        assert!(read(&good).is_ok(), "{good}");
    }
    let unnamed = read(&with(gitlab(issuer), "jti", Value::Null)).unwrap();
    assert!(unnamed.id.len() > 300, "it is its own name");
    for (name, value, bad) in [
        ("iss", json!("https://gitlab.example/"), BadToken::Claim("iss")),
        ("iss", json!("https://evil.example"), BadToken::Claim("iss")),
        ("aud", json!("https://other.example"), BadToken::Claim("aud")),
        ("aud", json!([GATEWAY, "https://other.example"]), BadToken::Claim("azp")),
        ("aud", json!([]), BadToken::Claim("aud")),
        ("aud", Value::Null, BadToken::Malformed),
        ("exp", json!(now - 120), BadToken::Claim("exp")),
        ("exp", json!(now + 90_000), BadToken::Claim("exp")),
        ("exp", Value::Null, BadToken::Claim("exp")),
        ("iat", json!(now - 3_721), BadToken::Claim("iat")),
        ("iat", json!(now + 121), BadToken::Claim("iat")),
        ("nbf", json!(now + 121), BadToken::Claim("nbf")),
        ("sub", Value::Null, BadToken::Claim("sub")),
        ("sub", json!(""), BadToken::Claim("sub")),
        ("sub", json!(["project_path:shop/app"]), BadToken::Malformed),
        ("jti", json!(""), BadToken::Claim("jti")),
        ("jti", json!(7), BadToken::Claim("jti")),
        ("nonce", json!("n"), BadToken::Claim("nonce")),
        ("events", json!({}), BadToken::Claim("events")),
    ] {
        assert_eq!(read(&with(gitlab(issuer), name, value.clone())).unwrap_err(), bad, "{name} {value}");
    }
    let both = with(with(gitlab(issuer), "aud", json!([GATEWAY, "b"])), "azp", json!(GATEWAY));
    assert_eq!(read(&both).unwrap_err(), BadToken::Claim("aud"), "others could pass it on");
    let expected = Expected { issuer, client_id: GATEWAY, now: MORNING };
    let typed = json!({ "alg": "ES256", "kid": "one", "typ": "at+jwt" });
    let access = workload_token(&signer.sign(&typed, &gitlab(issuer)), &keys(&[signer.jwk()]), expected);
    assert_eq!(access.unwrap_err(), BadToken::Claim("typ"));
}

/// An issuer on this machine, whose document and keys can be changed.
async fn issuer() -> (Arc<Mutex<(Value, Vec<Value>, usize)>>, String) {
    type Stage = Arc<Mutex<(Value, Vec<Value>, usize)>>;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    // No endpoints for people: issuers of workloads have none.
    let document = json!({ "issuer": url, "jwks_uri": format!("{url}/keys") });
    let stage: Stage = Arc::new(Mutex::new((document, Vec::new(), 0)));
    async fn keys(State(stage): State<Stage>) -> Json<Value> {
        let mut stage = stage.lock().unwrap();
        stage.2 += 1;
        Json(json!({ "keys": stage.1 }))
    }
    async fn described(State(stage): State<Stage>) -> Json<Value> {
        Json(stage.lock().unwrap().0.clone())
    }
    let router = Router::new()
        .route("/keys", get(keys))
        .route("/.well-known/openid-configuration", get(described))
        .with_state(Arc::clone(&stage));
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    (stage, url)
}

#[tokio::test]
async fn an_issuers_word_is_checked_with_the_issuers_keys() {
    let (stage, url) = issuer().await;
    let (first, second, evil) = (Signer::new("one"), Signer::new("two"), Signer::new("one"));
    stage.lock().unwrap().1.push(first.jwk());
    let workloads = WorkloadIssuers::new().unwrap();
    let verify =
        async |token: &str, later: Span| workloads.verify((&url, GATEWAY), token, MORNING.plus(later)).await;
    let none = Span::seconds(0);
    let token = first.sign(&first.header(), &github(&url));
    assert_eq!(workloads.issuer_claimed(&token), Some(url.clone()));
    let job = verify(&token, none).await.unwrap();
    assert_eq!(job.subject, "repo:shop/app:environment:production");
    assert_eq!(
        (job.claims["sha"].as_str(), job.claims["run_id"].as_str()),
        ("f1d2d2f924e986ac86fdf7b36c94bcdf32beec15", "1024")
    );
    let job = verify(&first.sign(&first.header(), &gitlab(&url)), none).await.unwrap();
    assert_eq!(job.claims["runner_id"], "1", "a number is its digits");
    assert!(!job.claims.contains_key("groups_direct") && !job.claims.contains_key("ci_config_sha"));

    let refused =
        |got: Result<_, FederationError>| matches!(got.map(|_| ()), Err(FederationError::Refused(_)));
    assert!(
        refused(verify(&evil.sign(&evil.header(), &github(&url)), none).await),
        "another key of that name"
    );
    let unsigned = format!("{}.", message(&json!({ "alg": "none" }), &github(&url)));
    assert!(refused(verify(&unsigned, none).await));
    assert!(refused(workloads.verify((&url, "https://other.example"), &token, MORNING).await));
    assert!(refused(verify(&token, Span::minutes(8)).await), "it is over");
    // A key that is new is fetched, and not at anybody's wish.
    let rotated = second.sign(&second.header(), &github(&url));
    assert!(refused(verify(&rotated, none).await));
    stage.lock().unwrap().1.push(second.jwk());
    assert!(refused(verify(&rotated, Span::seconds(29)).await));
    assert_eq!(stage.lock().unwrap().2, 1);
    assert!(verify(&rotated, Span::seconds(30)).await.is_ok());
    assert_eq!(stage.lock().unwrap().2, 2);
}

#[tokio::test]
async fn an_issuer_that_is_not_what_the_bundle_says_is_none() {
    let (stage, url) = issuer().await;
    let signer = Signer::new("one");
    stage.lock().unwrap().1.push(signer.jwk());
    let token = signer.sign(&signer.header(), &github(&url));
    let tried = async |document: Value| {
        stage.lock().unwrap().0 = document;
        // Nothing is remembered of the try before.
        let got = WorkloadIssuers::new().unwrap().verify((&url, GATEWAY), &token, MORNING).await;
        matches!(got, Err(FederationError::Unavailable(_)))
    };
    assert!(tried(json!({ "issuer": "https://evil.example", "jwks_uri": format!("{url}/keys") })).await);
    assert!(tried(json!({ "issuer": url, "jwks_uri": "http://evil.example/keys" })).await);
    assert!(tried(json!({ "issuer": url, "jwks_uri": "file:///etc/passwd" })).await);
    assert!(tried(json!({ "issuer": url })).await);
    assert!(tried(json!({ "issuer": url, "jwks_uri": format!("{url}/nothing") })).await);
    assert!(!tried(json!({ "issuer": url, "jwks_uri": format!("{url}/keys") })).await);
    let nowhere = WorkloadIssuers::new().unwrap();
    let got = nowhere.verify(("http://127.0.0.1:1", GATEWAY), &token, MORNING).await;
    assert!(matches!(got, Err(FederationError::Unavailable(_))));
}
