//! Tokens that somebody might try, and a provider that behaves as it likes.

use std::sync::{Arc, Mutex};

use aws_lc_rs::hmac;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use axum::extract::{Form, State};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use countersign_core::{At, Span};
use countersign_engine::federation::{Answered, Asking, Federation as _, FederationError, Matching};
use countersign_engine::ports::Clock as _;
use countersign_engine::testing::{MORNING, ManualClock};
use proptest::prelude::*;
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::keys::Keys;
use super::token::{BadToken, Expected, id_token, logout_token};
use super::{BadProviders, ProviderSettings, Providers, WorkloadIssuers};

mod workloads;

const ISSUER: &str = "https://idp.example";
const CLIENT: &str = "countersign";
const NONCE: &str = "the nonce";
const EVENT: &str = "http://schemas.openid.net/event/backchannel-logout";

/// A provider's key.
struct Signer {
    name: &'static str,
    pair: EcdsaKeyPair,
}

impl Signer {
    fn new(name: &'static str) -> Self {
        Self { name, pair: EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap() }
    }

    fn point(&self) -> &[u8] {
        self.pair.public_key().as_ref()
    }

    fn jwk(&self) -> Value {
        let (x, y) = self.point()[1..].split_at(32);
        json!({ "kty": "EC", "crv": "P-256", "kid": self.name, "use": "sig", "alg": "ES256",
            "x": URL_SAFE_NO_PAD.encode(x), "y": URL_SAFE_NO_PAD.encode(y) })
    }

    fn sign(&self, header: &Value, claims: &Value) -> String {
        let message = message(header, claims);
        let signature = self.pair.sign(&SystemRandom::new(), message.as_bytes()).unwrap();
        format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature.as_ref()))
    }

    fn header(&self) -> Value {
        json!({ "alg": "ES256", "kid": self.name, "typ": "JWT" })
    }
}

fn message(header: &Value, claims: &Value) -> String {
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    format!("{}.{}", part(header), part(claims))
}

fn seconds(at: At) -> i64 {
    at.0 / 1_000_000
}

fn claims(now: At) -> Value {
    json!({ "iss": ISSUER, "aud": CLIENT, "sub": "4711", "nonce": NONCE, "iat": seconds(now), "exp": seconds(now) + 300,
        "auth_time": seconds(now) - 60, "sid": "session", "amr": ["pwd", "otp"] })
}

fn logout_claims(now: At) -> Value {
    json!({ "iss": ISSUER, "aud": CLIENT, "sub": "4711", "iat": seconds(now), "jti": "one", "events": { EVENT: {} } })
}

fn keys(of: &[Value]) -> Keys {
    Keys::read(json!({ "keys": of }).to_string().as_bytes(), MORNING).unwrap()
}

fn expected() -> Expected<'static> {
    Expected { issuer: ISSUER, client_id: CLIENT, now: MORNING }
}

fn with(mut claims: Value, name: &str, value: Value) -> Value {
    match value {
        Value::Null => drop(claims.as_object_mut().unwrap().remove(name)),
        value => claims[name] = value,
    }
    claims
}

#[test]
fn a_good_token_says_who_it_is() {
    let signer = Signer::new("one");
    let read = |claims: &Value| {
        id_token(
            &signer.sign(&signer.header(), claims),
            &keys(&[signer.jwk()]),
            expected(),
            (NONCE, Some(Span::hours(1))),
        )
    };
    let token = read(&claims(MORNING)).unwrap();
    assert_eq!((token.subject.as_str(), token.session.as_deref()), ("4711", Some("session")));
    assert_eq!(token.auth_time, Some(At(MORNING.0 - 60_000_000)));
    assert_eq!(token.methods, ["pwd", "otp"]);
    // Within the skew, and for several audiences of which we are the authorised one.
    let now = seconds(MORNING);
    for (name, value) in [
        ("exp", json!(now - 119)),
        ("iat", json!(now + 119)),
        ("nbf", json!(now + 119)),
        ("aud", json!([CLIENT])),
        ("exp", json!(now as f64 + 0.5)),
    ] {
        assert!(read(&with(claims(MORNING), name, value.clone())).is_ok(), "{name} {value}");
    }
    let several = with(with(claims(MORNING), "aud", json!(["other", CLIENT])), "azp", json!(CLIENT));
    assert!(read(&several).is_ok());
}

#[test]
fn claims_that_are_not_right_are_refused() {
    let signer = Signer::new("one");
    let now = seconds(MORNING);
    let long = "a".repeat(256);
    let cases: Vec<(&str, Value, BadToken)> = vec![
        ("iss", json!("https://evil.example"), BadToken::Claim("iss")),
        ("iss", json!("https://idp.example/"), BadToken::Claim("iss")),
        ("iss", Value::Null, BadToken::Malformed),
        ("aud", json!("other"), BadToken::Claim("aud")),
        ("aud", json!([]), BadToken::Claim("aud")),
        ("aud", json!(["countersign-other", "other"]), BadToken::Claim("aud")),
        ("aud", json!(["other", CLIENT]), BadToken::Claim("azp")),
        ("aud", Value::Null, BadToken::Malformed),
        ("azp", json!("other"), BadToken::Claim("azp")),
        ("exp", json!(now - 120), BadToken::Claim("exp")),
        ("exp", json!(1e300), BadToken::Claim("exp")),
        ("exp", json!("never"), BadToken::Malformed),
        ("exp", Value::Null, BadToken::Claim("exp")),
        ("nbf", json!(now + 121), BadToken::Claim("nbf")),
        ("iat", json!(now + 121), BadToken::Claim("iat")),
        ("iat", json!(now - 721), BadToken::Claim("iat")),
        ("iat", json!(-1), BadToken::Claim("iat")),
        ("iat", Value::Null, BadToken::Malformed),
        ("nonce", json!("another nonce"), BadToken::Claim("nonce")),
        ("nonce", json!(""), BadToken::Claim("nonce")),
        ("nonce", Value::Null, BadToken::Claim("nonce")),
        ("sub", Value::Null, BadToken::Claim("sub")),
        ("sub", json!(""), BadToken::Claim("sub")),
        ("sub", json!(long), BadToken::Claim("sub")),
        ("sub", json!("alice\n"), BadToken::Claim("sub")),
        ("sub", json!(4711), BadToken::Malformed),
        ("auth_time", Value::Null, BadToken::Claim("auth_time")),
        ("auth_time", json!(now - 3_600 - 121), BadToken::Claim("auth_time")),
        ("auth_time", json!(now + 121), BadToken::Claim("auth_time")),
        ("auth_time", json!("now"), BadToken::Claim("auth_time")),
        ("events", json!({ EVENT: {} }), BadToken::Claim("events")),
    ];
    for (name, value, bad) in cases {
        let token = signer.sign(&signer.header(), &with(claims(MORNING), name, value.clone()));
        let read = id_token(&token, &keys(&[signer.jwk()]), expected(), (NONCE, Some(Span::hours(1))));
        assert_eq!(read.unwrap_err(), bad, "{name} {value}");
    }
}

#[test]
fn signatures_that_do_not_count_are_refused() {
    let (signer, evil, other) = (Signer::new("one"), Signer::new("one"), Signer::new("two"));
    let claims = claims(MORNING);
    let read = |token: &str, of: &[Value]| {
        id_token(token, &keys(of), expected(), (NONCE, None)).map(|_| ()).unwrap_err()
    };
    let ours = [signer.jwk(), other.jwk()];
    let none = |alg: &str| format!("{}.", message(&json!({ "alg": alg }), &claims));
    for alg in ["none", "None", "NONE", ""] {
        assert_eq!(read(&none(alg), &ours), BadToken::Algorithm, "{alg}");
    }
    // The public key as an HMAC secret, in whatever form somebody might expect it to be taken.
    let jwk = signer.jwk().to_string();
    for secret in [signer.point(), jwk.as_bytes(), &signer.point()[1..], b""] {
        for alg in ["HS256", "HS384", "HS512"] {
            let message = message(&json!({ "alg": alg, "kid": "one" }), &claims);
            let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret), message.as_bytes());
            let token = format!("{message}.{}", URL_SAFE_NO_PAD.encode(tag.as_ref()));
            assert_eq!(read(&token, &ours), BadToken::Algorithm);
        }
    }
    // A symmetric key among the provider's is none.
    let secret = json!({ "kty": "oct", "kid": "one", "k": "AAAA" });
    assert_eq!(read(&signer.sign(&signer.header(), &claims), &[secret]), BadToken::UnknownKey);
    let header = |changes: Value| {
        let mut header = signer.header();
        header.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
        header
    };
    let cases = [
        (evil.sign(&evil.header(), &claims), BadToken::Signature, "another key of that name"),
        (other.sign(&signer.header(), &claims), BadToken::Signature, "another key of the provider's"),
        (evil.sign(&header(json!({ "kid": "three" })), &claims), BadToken::UnknownKey, "no such key"),
        (
            evil.sign(&header(json!({ "jwk": evil.jwk() })), &claims),
            BadToken::Signature,
            "a key that it brings",
        ),
        (
            evil.sign(&header(json!({ "jku": "https://evil.example/keys" })), &claims),
            BadToken::Signature,
            "keys elsewhere",
        ),
        (signer.sign(&header(json!({ "alg": "ES384" })), &claims), BadToken::UnknownKey, "another curve"),
        (signer.sign(&header(json!({ "alg": "RS256" })), &claims), BadToken::UnknownKey, "another family"),
        (
            signer.sign(&header(json!({ "crit": ["b64"], "b64": false })), &claims),
            BadToken::Malformed,
            "critical",
        ),
        (
            signer.sign(&header(json!({ "typ": "at+jwt" })), &claims),
            BadToken::Claim("typ"),
            "an access token",
        ),
        (
            signer.sign(&header(json!({ "typ": "logout+jwt" })), &claims),
            BadToken::Claim("typ"),
            "a logout token",
        ),
    ];
    for (token, bad, what) in cases {
        assert_eq!(read(&token, &ours), bad, "{what}");
    }
    let nameless = json!({ "alg": "ES256" });
    assert_eq!(read(&signer.sign(&nameless, &claims), &ours), BadToken::UnknownKey, "which of two?");
    let only = id_token(&signer.sign(&nameless, &claims), &keys(&ours[..1]), expected(), (NONCE, None));
    assert!(only.is_ok(), "{only:?}");
    let for_encryption = with(signer.jwk(), "use", json!("enc"));
    assert_eq!(read(&signer.sign(&signer.header(), &claims), &[for_encryption]), BadToken::UnknownKey);
    let for_another = with(signer.jwk(), "alg", json!("ES384"));
    assert_eq!(read(&signer.sign(&signer.header(), &claims), &[for_another]), BadToken::UnknownKey);
    for garbage in ["", ".", "..", "a.b", "a.b.c.d", "\u{0}.\u{0}.\u{0}", &"a.".repeat(70_000)] {
        let bad = read(garbage, &ours);
        assert!(matches!(bad, BadToken::Malformed | BadToken::Algorithm), "{garbage:.20}: {bad}");
    }
}

#[test]
fn a_logout_token_is_one_and_nothing_else() {
    let signer = Signer::new("one");
    let read = |header: &Value, claims: &Value| {
        logout_token(&signer.sign(header, claims), &keys(&[signer.jwk()]), expected())
    };
    let (plain, typed) = (signer.header(), json!({ "alg": "ES256", "kid": "one", "typ": "logout+jwt" }));
    for header in [&plain, &typed] {
        let told = read(header, &logout_claims(MORNING)).unwrap();
        assert_eq!((told.subject.as_deref(), told.session, told.id.as_str()), (Some("4711"), None, "one"));
        assert!(told.until > MORNING);
    }
    assert_eq!(read(&plain, &claims(MORNING)).unwrap_err(), BadToken::Claim("events"), "an ID token");
    let now = seconds(MORNING);
    for (name, value, bad) in [
        ("iss", json!("https://evil.example"), BadToken::Claim("iss")),
        ("aud", json!("other"), BadToken::Claim("aud")),
        ("events", json!({ EVENT: true }), BadToken::Claim("events")),
        ("events", json!({ "https://other.example/event": {} }), BadToken::Claim("events")),
        ("nonce", json!(NONCE), BadToken::Claim("nonce")),
        ("sub", Value::Null, BadToken::Claim("sub")),
        ("jti", Value::Null, BadToken::Claim("jti")),
        ("iat", json!(now - 721), BadToken::Claim("iat")),
        ("exp", json!(now - 121), BadToken::Claim("exp")),
    ] {
        let claims = with(logout_claims(MORNING), name, value.clone());
        assert_eq!(read(&typed, &claims).unwrap_err(), bad, "{name} {value}");
    }
    let access = json!({ "alg": "ES256", "kid": "one", "typ": "at+jwt" });
    assert_eq!(read(&access, &logout_claims(MORNING)).unwrap_err(), BadToken::Claim("typ"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_token_that_was_changed_anywhere_never_counts(at: prop::sample::Index, letter in "[A-Za-z0-9._-]") {
        let signer = Signer::new("one");
        let token = signer.sign(&signer.header(), &claims(MORNING));
        let at = at.index(token.len());
        let mut changed = token.clone();
        changed.replace_range(at..=at, &letter);
        prop_assume!(changed != token);
        // The last letter of a part has bits that stand for nothing; a strict decoder refuses them.
        let read = id_token(&changed, &keys(&[signer.jwk()]), expected(), (NONCE, None));
        prop_assert!(read.is_err(), "{changed}");
    }

    #[test]
    fn whatever_comes_is_refused_without_panic(token in "[A-Za-z0-9._-]{0,200}", bytes: Vec<u8>) {
        let signer = Signer::new("one");
        prop_assert!(id_token(&token, &keys(&[signer.jwk()]), expected(), (NONCE, None)).is_err());
        let _ = Keys::read(&bytes, MORNING);
    }
}

/// What a provider says, to be changed while it runs.
struct Stage {
    signers: Vec<Signer>,
    issuer: String,
    claims: Value,
    says_who: bool,
    fetched_keys: usize,
    forms: Vec<Vec<(String, String)>>,
    token_status: u16,
}

type Shared = Arc<Mutex<Stage>>;

/// A provider on this machine.
async fn provider() -> (Shared, String) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let issuer = format!("http://{}", listener.local_addr().unwrap());
    let stage = Stage {
        signers: vec![Signer::new("one")],
        issuer: issuer.clone(),
        claims: json!({}),
        says_who: true,
        fetched_keys: 0,
        forms: Vec::new(),
        token_status: 200,
    };
    let stage = Arc::new(Mutex::new(stage));
    let router = Router::new()
        .route("/.well-known/openid-configuration", get(document))
        .route("/keys", get(published))
        .route("/token", post(token))
        .with_state(Arc::clone(&stage));
    tokio::spawn(async move { axum::serve(listener, router).await });
    (stage, issuer)
}

async fn document(State(stage): State<Shared>) -> Json<Value> {
    let stage = stage.lock().unwrap();
    let at = |path: &str| format!("{}{path}", stage.issuer.trim_end_matches('/'));
    Json(
        json!({ "issuer": stage.issuer, "authorization_endpoint": at("/authorize"), "token_endpoint": at("/token"),
        "jwks_uri": at("/keys"), "authorization_response_iss_parameter_supported": stage.says_who,
        "token_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post"],
        "code_challenge_methods_supported": ["S256"] }),
    )
}

async fn published(State(stage): State<Shared>) -> Json<Value> {
    let mut stage = stage.lock().unwrap();
    stage.fetched_keys += 1;
    Json(json!({ "keys": stage.signers.iter().map(Signer::jwk).collect::<Vec<_>>() }))
}

async fn token(
    State(stage): State<Shared>,
    headers: axum::http::HeaderMap,
    Form(mut form): Form<Vec<(String, String)>>,
) -> Response {
    let mut stage = stage.lock().unwrap();
    let basic = headers.get("authorization").map(|value| value.to_str().unwrap().to_owned());
    form.extend(basic.map(|basic| ("authorization".to_owned(), basic)));
    stage.forms.push(form);
    let status = axum::http::StatusCode::from_u16(stage.token_status).unwrap();
    let signer = stage.signers.last().unwrap();
    let id_token = signer.sign(&signer.header(), &stage.claims);
    let answer = if status.is_success() {
        json!({ "access_token": "unused", "token_type": "Bearer", "id_token": id_token })
    } else {
        json!({ "error": "invalid_grant" })
    };
    (status, Json(answer)).into_response()
}

fn settings(issuer: &str) -> ProviderSettings {
    ProviderSettings {
        name: "corp".into(),
        title: "Corp".into(),
        issuer: issuer.into(),
        client_id: CLIENT.into(),
        client_secret: Some(Zeroizing::new("s3cret&=".into())),
        scopes: vec!["openid".into(), "email".into()],
        matching: Matching::Email { domains: Vec::new() },
        two_factors: vec!["mfa".into()],
    }
}

fn answered(clock: &ManualClock, issuer: Option<&str>) -> Answered {
    Answered {
        code: Zeroizing::new("the code".into()),
        issuer: issuer.map(str::to_owned),
        nonce: NONCE.into(),
        verifier: Zeroizing::new("the verifier".into()),
        redirect_uri: "http://localhost/callback".into(),
        within: Span::hours(24),
        now: clock.now(),
    }
}

fn of(issuer: &str, now: At, more: Value) -> Value {
    let mut claims = with(claims(now), "iss", json!(issuer));
    claims.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    claims
}

#[tokio::test]
async fn somebody_comes_back_from_a_provider() {
    let ((stage, issuer), clock) = (provider().await, ManualClock::default());
    let providers = Providers::new(vec![settings(&issuer)], Arc::new(clock.clone())).unwrap();
    let asking = Asking {
        state: "state".into(),
        nonce: NONCE.into(),
        challenge: "challenge".into(),
        redirect_uri: "http://localhost/callback".into(),
        within: Span::hours(24),
    };
    let url = providers.authorize("corp", &asking).await.unwrap();
    let url = url::Url::parse(&url).unwrap();
    let said: std::collections::BTreeMap<_, _> = url.query_pairs().into_owned().collect();
    for (name, value) in [
        ("response_type", "code"),
        ("code_challenge_method", "S256"),
        ("code_challenge", "challenge"),
        ("scope", "openid email"),
        ("state", "state"),
        ("nonce", NONCE),
        ("max_age", "86400"),
    ] {
        assert_eq!(said.get(name).map(String::as_str), Some(value), "{name}");
    }
    stage.lock().unwrap().claims = of(
        &issuer,
        clock.now(),
        json!({ "email": "a@corp.example", "email_verified": true, "amr": ["mfa"] }),
    );
    let identity = providers.redeem("corp", &answered(&clock, Some(&issuer))).await.unwrap();
    assert_eq!((identity.subject.as_str(), identity.two_factors), ("4711", true));
    assert_eq!(identity.verified_email.as_deref(), Some("a@corp.example"));
    {
        let stage = stage.lock().unwrap();
        let form = &stage.forms[0];
        let value = |name: &str| form.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str());
        assert_eq!((value("code"), value("code_verifier")), (Some("the code"), Some("the verifier")));
        let basic = base64::engine::general_purpose::STANDARD.encode("countersign:s3cret%26%3D");
        assert_eq!(value("authorization"), Some(format!("Basic {basic}").as_str()));
        assert_eq!(value("client_secret"), None, "in one place only");
    }
    // An address that nobody verified is none.
    for unverified in [json!(false), json!("true"), Value::Null] {
        let more = json!({ "email": "a@corp.example", "email_verified": unverified });
        stage.lock().unwrap().claims = of(&issuer, clock.now(), more);
        let identity = providers.redeem("corp", &answered(&clock, Some(&issuer))).await.unwrap();
        assert_eq!(identity.verified_email, None);
    }
}

#[tokio::test]
async fn providers_are_not_confused() {
    let ((stage, issuer), (other, other_issuer)) = (provider().await, provider().await);
    let clock = ManualClock::default();
    let second = ProviderSettings { name: "other".into(), ..settings(&other_issuer) };
    let providers = Providers::new(vec![settings(&issuer), second], Arc::new(clock.clone())).unwrap();
    let refused = async |provider: &str, issuer: Option<&str>| match providers
        .redeem(provider, &answered(&clock, issuer))
        .await
    {
        Err(FederationError::Refused(why)) => why,
        other => panic!("{other:?}"),
    };
    stage.lock().unwrap().claims = of(&issuer, clock.now(), json!({}));
    assert!(refused("corp", Some(&other_issuer)).await.contains("another provider"));
    assert!(refused("corp", None).await.contains("does not say whose"));
    assert!(stage.lock().unwrap().forms.is_empty(), "no code was sent anywhere");
    // The other provider hands on a token that the first one signed, and one that it signed itself in its name.
    let stolen = {
        let stage = stage.lock().unwrap();
        stage.claims.clone()
    };
    other.lock().unwrap().claims = stolen;
    assert!(refused("other", Some(&other_issuer)).await.contains("`iss`"));
    std::mem::swap(&mut stage.lock().unwrap().signers, &mut other.lock().unwrap().signers);
    assert!(refused("other", Some(&other_issuer)).await.contains("signature is not right"));
    assert!(matches!(
        providers.redeem("nobody", &answered(&clock, None)).await,
        Err(FederationError::NoSuchProvider(_))
    ));
    // One that calls itself otherwise than the configuration does is not believed.
    let ((impostor, at), clock) = (provider().await, ManualClock::default());
    impostor.lock().unwrap().issuer = issuer.clone();
    let providers = Providers::new(vec![settings(&at)], Arc::new(clock.clone())).unwrap();
    let why = providers.redeem("corp", &answered(&clock, None)).await.unwrap_err().to_string();
    assert!(why.contains("it calls itself"), "{why}");
}

#[tokio::test]
async fn keys_are_rotated_and_not_fetched_at_anybodys_wish() {
    let ((stage, issuer), clock) = (provider().await, ManualClock::default());
    let providers = Providers::new(vec![settings(&issuer)], Arc::new(clock.clone())).unwrap();
    let redeem = async || {
        stage.lock().unwrap().claims = of(&issuer, clock.now(), json!({}));
        providers.redeem("corp", &answered(&clock, Some(&issuer))).await
    };
    assert!(redeem().await.is_ok() && redeem().await.is_ok());
    assert_eq!(stage.lock().unwrap().fetched_keys, 1);
    stage.lock().unwrap().signers.push(Signer::new("two"));
    assert!(redeem().await.is_err(), "a moment later it is not asked for again");
    clock.advance(Span::seconds(30));
    assert!(redeem().await.is_ok(), "a key that was not known is fetched");
    assert_eq!(stage.lock().unwrap().fetched_keys, 2);
    // Names that nobody has do not make us call.
    stage.lock().unwrap().signers.push(Signer::new("three"));
    for _ in 0..20 {
        assert!(redeem().await.is_err());
    }
    assert_eq!(stage.lock().unwrap().fetched_keys, 2);
    // A key that the provider took back no longer counts within the hour.
    stage.lock().unwrap().signers.remove(1);
    clock.advance(Span::hours(1));
    assert!(redeem().await.is_ok());
    stage.lock().unwrap().token_status = 400;
    let refused = redeem().await.unwrap_err().to_string();
    assert!(refused.contains("invalid_grant"), "{refused}");
}

#[tokio::test]
async fn a_logout_counts_once_for_the_provider_that_signed_it() {
    let ((stage, issuer), clock) = (provider().await, ManualClock::default());
    let providers = Providers::new(vec![settings(&issuer)], Arc::new(clock.clone())).unwrap();
    let sign = |claims: Value| {
        let stage = stage.lock().unwrap();
        stage.signers[0].sign(&stage.signers[0].header(), &claims)
    };
    let token = sign(with(logout_claims(clock.now()), "iss", json!(issuer)));
    let told = providers.logged_out(&token, clock.now()).await.unwrap();
    assert_eq!((told.issuer, told.subject.as_deref()), (issuer.clone(), Some("4711")));
    let again = providers.logged_out(&token, clock.now()).await.unwrap_err();
    assert!(again.to_string().contains("used before"), "{again}");
    let foreign = sign(logout_claims(clock.now()));
    assert!(providers.logged_out(&foreign, clock.now()).await.is_err());
    assert!(providers.logged_out("a.b.c", clock.now()).await.is_err());
}

#[test]
fn providers_that_can_not_be_are_refused_at_the_start() {
    let new = |change: fn(&mut ProviderSettings)| {
        let mut one = settings(ISSUER);
        change(&mut one);
        Providers::new(vec![settings("https://first.example"), one], Arc::new(ManualClock::default()))
            .map(|_| ())
    };
    let named = |one: &mut ProviderSettings| one.name = "second".into();
    assert!(new(named).is_ok());
    assert!(matches!(new(|_| {}), Err(BadProviders::Twice(_))));
    let issuer =
        |one: &mut ProviderSettings| (one.name, one.issuer) = ("b".into(), "https://first.example".into());
    assert!(matches!(new(issuer), Err(BadProviders::Twice(_))));
    assert!(matches!(new(|one| one.name = "a/b".into()), Err(BadProviders::Name(_))));
    let clear =
        |one: &mut ProviderSettings| (one.name, one.issuer) = ("b".into(), "http://idp.example".into());
    assert!(matches!(new(clear), Err(BadProviders::Issuer(_))));
}
