//! Jobs over HTTP: what each call of theirs has to bring, and what it is worth to somebody else.

use std::collections::BTreeMap;
use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use axum::http::StatusCode;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use countersign_core::{At, Span};
use countersign_engine::federation::{Answering, WorkloadToken, Workloads};
use serde_json::{Value, json};

use crate::house::{Answer, Call, House, URL, bundle};

/// An issuer that vouches for whatever it is shown; what is checked of real ones, the crate that speaks to issuers checks.
struct Vouches;

impl Workloads for Vouches {
    fn issuer_claimed(&self, _: &str) -> Option<String> {
        Some("https://ci.example".into())
    }

    fn verify<'a>(&'a self, _: (&'a str, &'a str), token: &'a str, now: At) -> Answering<'a, WorkloadToken> {
        let claims =
            BTreeMap::from([("ref".to_owned(), "main".to_owned()), ("sha".to_owned(), "f1d2".to_owned())]);
        let until = now.plus(Span::minutes(5));
        Box::pin(async move { Ok(WorkloadToken { subject: "job".into(), claims, id: token.into(), until }) })
    }
}

/// The key of a job, or of an agent.
pub struct Key(EcdsaKeyPair);

impl Key {
    pub fn new() -> Self {
        Self(EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap())
    }

    pub fn proof(&self, at: At, (method, path): (&str, &str), token: Option<&str>) -> String {
        let (x, y) = self.0.public_key().as_ref()[1..].split_at(32);
        let [x, y] = [x, y].map(|part| URL_SAFE_NO_PAD.encode(part));
        let header = json!({ "typ": "dpop+jwt", "alg": "ES256", "jwk": { "kty": "EC", "crv": "P-256", "x": x, "y": y } });
        let name: [u8; 16] = aws_lc_rs::rand::generate(&SystemRandom::new()).unwrap().expose();
        let mut claims = json!({
            "jti": URL_SAFE_NO_PAD.encode(name), "htm": method, "htu": format!("{URL}/api/v1{path}"), "iat": at.0 / 1_000_000,
        });
        if let Some(token) = token {
            claims["ath"] = URL_SAFE_NO_PAD.encode(digest(&SHA256, token.as_bytes())).into();
        }
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let message = format!("{}.{}", part(&header), part(&claims));
        let signature = self.0.sign(&SystemRandom::new(), message.as_bytes()).unwrap();
        format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature.as_ref()))
    }
}

async fn house() -> House {
    let mut files = bundle();
    files.get_mut("people.toml").unwrap().push_str(
        "\n[issuer.ci]\nurl = \"https://ci.example\"\naudience = \"gate\"\n\
         [workload.nightly]\nservice = \"ci\"\nissuer = \"ci\"\nclaims = { ref = \"main\" }\n",
    );
    let house = House::with(files).await;
    house.engine.check_jobs_with(Arc::new(Vouches));
    house
}

async fn sign_in(house: &House, key: &Key, token: &str) -> Answer {
    let proof = key.proof(house.engine.now(), ("POST", "/sign-in/job"), None);
    house.make(Call::post("/sign-in/job", &json!({ "token": token })).with("dpop", &proof)).await
}

/// A call as whoever has the key makes it.
pub fn proved(house: &House, key: &Key, token: &str, call: Call) -> Call {
    let path = call.path.trim_start_matches("/api/v1").split('?').next().unwrap().to_owned();
    let proof = key.proof(house.engine.now(), (call.method.as_str(), &path), Some(token));
    call.with("authorization", &format!("DPoP {token}")).with("dpop", &proof)
}

#[tokio::test]
async fn each_call_of_a_job_shows_its_key_once() {
    let (house, key, other) = (house().await, Key::new(), Key::new());
    let bare = house.make(Call::post("/sign-in/job", &json!({ "token": "one" }))).await;
    assert_eq!((bare.status, bare.problem()), (StatusCode::UNAUTHORIZED, "sign-in-refused".into()));
    let answer = sign_in(&house, &key, "one").await;
    assert_eq!(
        (answer.status, answer.json()["principal"].as_str()),
        (StatusCode::OK, Some("ci")),
        "{answer:?}"
    );
    let token = answer.json()["token"].as_str().unwrap().to_owned();
    assert_eq!(sign_in(&house, &other, "two").await.status, StatusCode::CONFLICT, "one job at a time");

    let me = || Call::get("/me");
    assert_eq!(house.make(proved(&house, &key, &token, me())).await.status, StatusCode::OK);
    let with_query = Call::get("/requests?mine=true");
    assert_eq!(house.make(proved(&house, &key, &token, with_query)).await.status, StatusCode::OK);
    let once = key.proof(house.engine.now(), ("GET", "/me"), Some(&token));
    let again = || me().with("authorization", &format!("DPoP {token}")).with("dpop", &once);
    assert_eq!(house.make(again()).await.status, StatusCode::OK);
    let elsewhere = key.proof(house.engine.now(), ("GET", "/roles"), Some(&token));
    let early = key.proof(house.engine.now().plus(Span::minutes(2)), ("GET", "/me"), Some(&token));
    for (what, call) in [
        ("a proof that came before", again()),
        ("another key", proved(&house, &other, &token, me())),
        ("no proof", me().with("authorization", &format!("DPoP {token}"))),
        ("a bearer", me().bearer(&token)),
        ("a browser", me().cookie(&token)),
        (
            "a proof beside a bearer",
            me().bearer(&token).with("dpop", &key.proof(house.engine.now(), ("GET", "/me"), Some(&token))),
        ),
        (
            "a proof for another path",
            me().with("authorization", &format!("DPoP {token}")).with("dpop", &elsewhere),
        ),
        ("a proof of later", me().with("authorization", &format!("DPoP {token}")).with("dpop", &early)),
        ("two proofs", proved(&house, &key, &token, me()).with("dpop", &early)),
    ] {
        let answer = house.make(call).await;
        assert_eq!(
            (answer.status, answer.problem()),
            (StatusCode::UNAUTHORIZED, "unauthenticated".into()),
            "{what}"
        );
    }
    // Somebody else's token is not worth more with a key.
    let bob = house.token("bob");
    assert_eq!(house.make(proved(&house, &key, &bob, me())).await.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn a_job_asks_makes_its_credential_and_decides_nothing() {
    let (house, key) = (house().await, Key::new());
    let token = sign_in(&house, &key, "one").await.json()["token"].as_str().unwrap().to_owned();
    let post = async |path: &str, body: Value| {
        house.make(proved(&house, &key, &token, Call::post(path, &body))).await
    };
    let asked = post("/requests", json!({ "role": "shop-reader", "for": "10m", "reason": "report" })).await;
    assert_eq!(asked.status, StatusCode::CREATED, "{asked:?}");
    let id = asked.json()["id"].as_str().unwrap().to_owned();
    let shown = house.get("bob", &format!("/requests/{id}")).await.json();
    let said = |name: &str| {
        shown["settings"]
            .as_array()
            .unwrap()
            .iter()
            .find(|one| one["name"] == name)
            .map(|one| one["value"].clone())
    };
    assert_eq!(said("job.sha"), Some(json!("f1d2")));
    let minted = post("/credentials", json!({ "resource": "shop" })).await;
    assert_eq!(
        (minted.status, minted.json()["user"].as_str()),
        (StatusCode::CREATED, Some("ci")),
        "{minted:?}"
    );
    let alices = house.ask("alice", "shop-reader").await;
    for (path, body) in [
        (format!("/requests/{alices}/approve"), json!({})),
        (format!("/requests/{alices}/deny"), json!({})),
        (format!("/requests/{id}/approve"), json!({})),
        ("/principals/alice/disable".into(), json!({})),
        ("/principals/alice/authenticators/reset".into(), json!({})),
        ("/me/totp".into(), json!({})),
        ("/me/passkeys/offer".into(), json!({})),
        ("/me/device".into(), json!({ "user_code": "BCDF-GHJK" })),
        ("/me/program".into(), json!({ "challenge": "a".repeat(43) })),
        ("/bundle".into(), json!({ "files": bundle() })),
    ] {
        let refused = post(&path, body).await;
        assert_eq!((refused.status, refused.problem()), (StatusCode::FORBIDDEN, "denied".into()), "{path}");
    }
    // And when it says that it is over, so is what it asked for.
    assert_eq!(post("/sign-out", json!({})).await.status, StatusCode::NO_CONTENT);
    assert_eq!(house.get("bob", &format!("/requests/{id}")).await.json()["state"], "withdrawn");
    assert_eq!(
        house.make(proved(&house, &key, &token, Call::get("/me"))).await.status,
        StatusCode::UNAUTHORIZED
    );
}
