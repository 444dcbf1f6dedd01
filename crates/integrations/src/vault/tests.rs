//! Against a small server of the test's own, which really encrypts and speaks as the transit engine does.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::rand;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode as Status};
use axum::routing::post;
use axum::{Json, Router};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as B64;
use countersign_engine::store::{Drawer, Scan, Store};
use countersign_engine::testing::{ManualClock, PlainSecrets, ports};
use countersign_engine::{
    Engine, Keeper, KeeperError, Keepers, MasterKey, MasterKeys, Settings, SqliteStore,
};
use serde_json::{Value, json};

use super::{Vault, VaultSettings};

/// Keys by version, each of which encrypts; what the server was asked.
#[derive(Clone, Default)]
struct Transit {
    keys: Arc<Mutex<BTreeMap<u32, [u8; 32]>>>,
    asked: Arc<Mutex<Vec<String>>>,
    is_sealed: Arc<AtomicU32>,
}

type Said = (Status, Json<Value>);

impl Transit {
    fn new() -> Self {
        let transit = Self::default();
        transit.rotate();
        transit
    }

    fn rotate(&self) {
        let mut key = [0; 32];
        rand::fill(&mut key).unwrap();
        let mut keys = self.keys.lock().unwrap();
        let next = keys.keys().last().copied().unwrap_or_default() + 1;
        keys.insert(next, key);
    }

    fn forget(&self, version: u32) {
        self.keys.lock().unwrap().remove(&version);
    }

    fn asked(&self) -> Vec<String> {
        std::mem::take(&mut self.asked.lock().unwrap())
    }

    fn key(&self, version: Option<u32>) -> Option<(u32, LessSafeKey)> {
        let keys = self.keys.lock().unwrap();
        let (version, key) = match version {
            Some(version) => (version, keys.get(&version)?),
            None => keys.last_key_value().map(|(version, key)| (*version, key))?,
        };
        Some((version, LessSafeKey::new(UnboundKey::new(&AES_256_GCM, key).unwrap())))
    }

    fn encrypt(&self, plain: &[u8]) -> String {
        let (version, key) = self.key(None).unwrap();
        let mut nonce = [0; 12];
        rand::fill(&mut nonce).unwrap();
        let mut body = plain.to_vec();
        key.seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), Aad::empty(), &mut body).unwrap();
        format!("vault:v{version}:{}", B64.encode([&nonce[..], &body].concat()))
    }

    fn decrypt(&self, text: &str) -> Option<Vec<u8>> {
        let (version, text) = text.strip_prefix("vault:v")?.split_once(':')?;
        let (_, key) = self.key(Some(version.parse().ok()?))?;
        let bytes = B64.decode(text).ok()?;
        let (nonce, body) = bytes.split_first_chunk::<12>()?;
        let mut body = body.to_vec();
        let plain = key.open_in_place(Nonce::assume_unique_for_key(*nonce), Aad::empty(), &mut body).ok()?;
        Some(plain.to_vec())
    }

    async fn serve(&self) -> String {
        let router =
            Router::new().route("/v1/transit/{what}/countersign", post(answer)).with_state(self.clone());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        address
    }
}

async fn answer(
    State(transit): State<Transit>,
    Path(what): Path<String>,
    headers: HeaderMap,
    Json(body): Json<Value>,
) -> Said {
    transit.asked.lock().unwrap().push(what.clone());
    let no = |status: Status, why: &str| (status, Json(json!({ "errors": [why] })));
    match transit.is_sealed.load(Ordering::SeqCst) {
        503 => return no(Status::SERVICE_UNAVAILABLE, "Vault is sealed"),
        200 => return (Status::OK, Json(json!({ "data": { "ciphertext": 7 } }))),
        307 => return no(Status::TEMPORARY_REDIRECT, "elsewhere"),
        _ => {}
    }
    let token = headers.get("x-vault-token").and_then(|value| value.to_str().ok());
    if token != Some("secret behind env:VAULT_TOKEN") || !headers.contains_key("x-vault-request") {
        return no(Status::FORBIDDEN, "permission denied");
    }
    let text = |name: &str| body[name].as_str().unwrap_or_default().to_owned();
    let data = match what.as_str() {
        "encrypt" => json!({ "ciphertext": transit.encrypt(&B64.decode(text("plaintext")).unwrap()) }),
        "decrypt" => match transit.decrypt(&text("ciphertext")) {
            Some(plain) => json!({ "plaintext": B64.encode(plain) }),
            None => return no(Status::BAD_REQUEST, "cipher: message authentication failed"),
        },
        "rewrap" => match transit.decrypt(&text("ciphertext")) {
            Some(plain) => json!({ "ciphertext": transit.encrypt(&plain) }),
            None => return no(Status::BAD_REQUEST, "cipher: message authentication failed"),
        },
        _ => return no(Status::NOT_FOUND, "no handler for route"),
    };
    (Status::OK, Json(json!({ "data": data })))
}

fn settings(address: &str) -> VaultSettings {
    VaultSettings {
        address: address.to_owned(),
        mount: "transit".into(),
        key: "countersign".into(),
        namespace: None,
        token: "env:VAULT_TOKEN".into(),
        ca: None,
    }
}

fn vault(address: &str) -> Arc<Vault> {
    Arc::new(Vault::new(settings(address), Arc::new(PlainSecrets)).unwrap())
}

fn of_test() -> Settings {
    Settings { origin: "countersign.test/ledger".into(), ..Settings::default() }
}

#[tokio::test]
async fn what_it_wraps_it_unwraps_and_wraps_anew_under_its_newest_key() {
    let transit = Transit::new();
    let vault = vault(&transit.serve().await);
    let wrapped = vault.wrap(b"the house's keys").await.unwrap();
    assert!(wrapped.starts_with(b"vault:v1:"));
    assert_eq!(*vault.unwrap(&wrapped).await.unwrap().plain, b"the house's keys");
    transit.rotate();
    let again = vault.rewrap(&wrapped).await.unwrap();
    assert!(again.starts_with(b"vault:v2:"));
    transit.forget(1);
    assert_eq!(*vault.unwrap(&again).await.unwrap().plain, b"the house's keys");
    let refused = vault.unwrap(&wrapped).await.unwrap_err();
    assert!(refused.to_string().contains("message authentication failed"), "{refused}");
    assert_eq!(transit.asked(), ["encrypt", "decrypt", "rewrap", "decrypt", "decrypt"]);
}

#[tokio::test]
async fn what_goes_wrong_is_told_and_no_secret_with_it() {
    let transit = Transit::new();
    let address = transit.serve().await;
    let fine = vault(&address);
    for (sealed, says) in [
        (503, "can't be asked: it answers 503 Vault is sealed"),
        (200, "refused: its answer is none"),
        (307, "refused: 307 elsewhere"),
    ] {
        transit.is_sealed.store(sealed, Ordering::SeqCst);
        let error = fine.wrap(b"planted").await.unwrap_err().to_string();
        assert!(error.ends_with(says), "{error}");
        assert!(!error.contains("planted") && !error.contains("secret behind"), "{error}");
    }
    transit.is_sealed.store(0, Ordering::SeqCst);
    let stranger = VaultSettings { token: "env:OTHER".into(), ..settings(&address) };
    let stranger = Vault::new(stranger, Arc::new(PlainSecrets)).unwrap();
    let error = stranger.wrap(b"x").await.unwrap_err();
    assert!(matches!(&error, KeeperError::Refused { why, .. } if why == "403 permission denied"), "{error}");
    let missing = VaultSettings { token: "env:MISSING".into(), ..settings(&address) };
    let error = Vault::new(missing, Arc::new(PlainSecrets)).unwrap().wrap(b"x").await.unwrap_err();
    assert!(matches!(error, KeeperError::Silent { .. }), "{error}");
    let nobody = vault("http://127.0.0.1:1");
    let error = nobody.wrap(b"x").await.unwrap_err();
    assert!(
        matches!(&error, KeeperError::Silent { why, .. } if why.starts_with("it can't be reached")),
        "{error}"
    );
}

#[test]
fn a_token_goes_nowhere_in_clear_and_a_name_is_a_name() {
    let make = |address: &str, mount: &str, key: &str| {
        let settings = VaultSettings { mount: mount.into(), key: key.into(), ..settings(address) };
        Vault::new(settings, Arc::new(PlainSecrets)).is_ok()
    };
    assert!(make("https://vault.example:8200", "transit", "countersign"));
    assert!(make("https://vault.example/behind/a/proxy", "team/transit", "countersign-1"));
    assert!(!make("http://vault.example:8200", "transit", "countersign"));
    for name in ["", "..", "a/../b", "a b", "a?b", "a#b", "/a", "a/"] {
        assert!(!make("https://vault.example", name, "k"), "{name}");
        assert!(!make("https://vault.example", "transit", name), "{name}");
    }
}

/// From a master key in a file to a vault and on: nothing is sealed anew for it, and each stops counting when it is told to.
#[tokio::test]
async fn a_gateway_moves_to_a_vault_and_does_not_start_without_it() {
    let folder = tempfile::TempDir::new().unwrap();
    let path = folder.path().join("countersign.db");
    let (clock, transit) = (ManualClock::default(), Transit::new());
    let address = transit.serve().await;
    let ports = ports(&clock, 1);
    let store = Arc::new(SqliteStore::open(&path).unwrap());
    let engine = Engine::start(
        Arc::clone(&store) as Arc<dyn Store>,
        MasterKey::new([7; 32]),
        ports.clone(),
        of_test(),
    );
    let engine = engine.unwrap();
    engine.put_secret("shop", "planted-upstream-secret").await.unwrap();
    engine.stop().await;
    let before = store.get(Drawer::Secrets, b"shop").unwrap();
    // Whoever stops an engine may wait a moment for what still holds it.
    drop(engine);

    let local: Arc<dyn Keeper> =
        Arc::new(MasterKeys::new(vec![MasterKey::new([7; 32])], Arc::clone(&ports.entropy)));
    let alone = Keepers::new(vault(&address), Vec::new()).open(&*store, &ports).await.unwrap_err();
    assert!(told(&alone).contains("wrapped by `local`, which is not configured"));
    let moved = Keepers::new(vault(&address), vec![Arc::clone(&local)]).open(&*store, &ports).await;
    let engine =
        Engine::start_with(Arc::clone(&store) as Arc<dyn Store>, moved.unwrap(), ports.clone(), of_test());
    engine.unwrap().stop().await;
    assert_eq!(
        store.get(Drawer::Secrets, b"shop").unwrap(),
        before,
        "nothing is sealed anew for a new keeper"
    );

    let old = Keepers::new(local, Vec::new()).open(&*store, &ports).await.unwrap_err();
    assert!(told(&old).contains("wrapped by `vault`, which is not configured"));
    transit.is_sealed.store(503, Ordering::SeqCst);
    let away = Keepers::new(vault(&address), Vec::new()).open(&*store, &ports).await.unwrap_err();
    assert!(told(&away).contains("can't be asked: it answers 503 Vault is sealed"));
    transit.is_sealed.store(0, Ordering::SeqCst);
    let found = Keepers::new(vault(&address), Vec::new()).open(&*store, &ports).await;
    found.unwrap();
    let meta = store.scan(Drawer::Meta, &Scan::of(b"house-keys", 9)).unwrap();
    assert!(String::from_utf8_lossy(&meta[0].1).contains("\"keeper\":\"vault\""));
}

/// The whole chain of causes.
fn told(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(next) = cause {
        text.push_str(": ");
        text.push_str(&next.to_string());
        cause = next.source();
    }
    text
}
