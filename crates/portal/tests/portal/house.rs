//! A gateway for a test: the sample bundle with an agent added, four people, and a way to call.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, Method, Request, StatusCode, header};
use bytes::Bytes;
use countersign_core::{GrantId, PrincipalId, RequestId, ResourceId, RoleId, Span};
use countersign_engine::settings::Argon2Cost;
use countersign_engine::testing::{ManualClock, SeededEntropy, ports};
use countersign_engine::{AskAccess, Client, Engine, MasterKey, Session, Settings, SqliteStore, Via};
use countersign_portal::serve::Peer;
use countersign_portal::{Authority, DoorAddress, Portal, PortalSettings};
use http_body_util::BodyExt as _;
use serde_json::Value;
use tempfile::TempDir;
use tower::ServiceExt as _;

pub const PASSWORD: &str = "correct horse battery";
pub const URL: &str = "http://localhost:8443";

pub struct House {
    pub engine: Engine,
    pub clock: ManualClock,
    pub router: Router,
    folder: TempDir,
}

/// One call, to be changed before it is made.
pub struct Call {
    pub method: Method,
    pub path: String,
    pub headers: HeaderMap,
    pub body: Bytes,
    pub from: SocketAddr,
}

/// What came back.
#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Bytes,
}

/// The sample bundle, with an agent of alice's.
pub fn bundle() -> BTreeMap<String, String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../demo/bundle");
    let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let texts = files.filter(|path| path.is_file()).map(|path| {
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        (name, std::fs::read_to_string(path).unwrap())
    });
    let mut bundle: BTreeMap<String, String> = texts.collect();
    let people = bundle.get_mut("people.toml").unwrap();
    people.push_str("\n[agent.scribe]\nname = \"Alice's agent\"\nowner = \"alice\"\n");
    bundle
}

impl House {
    pub async fn open() -> Self {
        Self::with(bundle()).await
    }

    /// With another bundle in force.
    pub async fn with(files: BTreeMap<String, String>) -> Self {
        let house = Self::bare();
        house.engine.first_bundle(files, &who("dave")).await.unwrap();
        house
    }

    /// With no bundle in force.
    pub fn bare() -> Self {
        let (folder, clock) = (TempDir::new().unwrap(), ManualClock::default());
        let store = Arc::new(SqliteStore::open(&folder.path().join("countersign.db")).unwrap());
        let settings = Settings {
            origin: "countersign.test/ledger".into(),
            console_url: URL.into(),
            checkpoint_every: Span(1_000),
            argon2: Argon2Cost { memory_kib: 64, passes: 1 },
            ..Settings::default()
        };
        let engine = Engine::start(store, MasterKey::new([7; 32]), ports(&clock, 1), settings).unwrap();
        let router = Portal::router(engine.clone(), portal(URL)).unwrap();
        Self { engine, clock, router, folder }
    }

    /// With passwords for the people.
    pub async fn with_passwords(self) -> Self {
        for name in ["alice", "bob", "carol", "dave"] {
            self.engine.set_password(&who(name), PASSWORD).await.unwrap();
        }
        self
    }

    /// A bearer token of somebody, without the cost of a password.
    pub fn token(&self, name: &str) -> String {
        self.engine.token_of(&who(name)).to_string()
    }

    /// Somebody who is signed in.
    pub async fn caller(&self, name: &str) -> countersign_engine::Caller {
        self.engine.caller(&self.token(name), Via::Api, None).await.unwrap()
    }

    pub async fn make(&self, call: Call) -> Answer {
        make(&self.router, call).await
    }

    pub async fn get(&self, name: &str, path: &str) -> Answer {
        self.make(Call::get(path).bearer(&self.token(name))).await
    }

    pub async fn post(&self, name: &str, path: &str, body: Value) -> Answer {
        self.make(Call::post(path, &body).bearer(&self.token(name))).await
    }

    /// A pending request of somebody's for a role.
    pub async fn ask(&self, name: &str, role: &str) -> RequestId {
        let caller = self.engine.caller(&self.token(name), Via::Api, None).await.unwrap();
        let ask = AskAccess {
            role: RoleId::new(role),
            lasting: Span::minutes(30),
            purpose: "repair the orders".into(),
            ticket: Some("OPS-7".into()),
        };
        self.engine.ask(&caller, ask).await.unwrap()
    }

    /// A live grant of somebody's, which bob approved.
    pub async fn grant(&self, name: &str, role: &str) -> GrantId {
        let id = self.ask(name, role).await;
        let bob = self.engine.caller(&self.token("bob"), Via::Api, None).await.unwrap();
        self.engine.approve(&bob, id, None, None).await.unwrap();
        let snapshot = self.engine.snapshot();
        snapshot.book.grants().find(|grant| grant.request == id).unwrap().id
    }

    /// An open session of somebody's who holds the role.
    pub async fn connect(&self, name: &str, role: &str) -> Session {
        let client = Client {
            address: "127.0.0.1:50000".parse().unwrap(),
            application: "psql".into(),
            tls: true,
            proved: None,
        };
        let (shop, role) = (ResourceId::new("shop"), Some(RoleId::new(role)));
        self.engine.open_session(who(name), shop, role, "postgres", client, None, None).await.unwrap()
    }

    /// Waits, in real time, until the last line is under a checkpoint.
    pub async fn published(&self) -> u64 {
        for _ in 0..5_000 {
            let state = self.engine.ledger_state();
            if state.published == state.size {
                return state.size;
            }
            self.clock.advance(Span::seconds(1));
            tokio::time::sleep(std::time::Duration::from_millis(1)).await;
        }
        panic!("the ledger was not published");
    }

    /// The bytes of every file that the gateway wrote.
    pub fn disk(&self) -> Vec<u8> {
        let files = std::fs::read_dir(self.folder.path()).unwrap().map(|entry| entry.unwrap().path());
        files.flat_map(|path| std::fs::read(path).unwrap()).collect()
    }
}

pub async fn make(router: &Router, call: Call) -> Answer {
    let mut request =
        Request::builder().method(call.method).uri(call.path).body(Body::from(call.body)).unwrap();
    *request.headers_mut() = call.headers;
    request.extensions_mut().insert(Peer(call.from));
    let response = router.clone().oneshot(request).await.unwrap();
    let (status, headers) = (response.status(), response.headers().clone());
    let body = response.into_body().collect().await.unwrap().to_bytes();
    Answer { status, headers, body }
}

pub fn portal(public_url: &str) -> PortalSettings {
    PortalSettings {
        public_url: public_url.into(),
        doors: vec![
            DoorAddress { kind: "postgres".into(), host: "localhost".into(), port: 6432 },
            DoorAddress { kind: "mcp".into(), host: "localhost".into(), port: 443 },
        ],
        authority: Some(Authority {
            pem: "-----BEGIN CERTIFICATE-----".into(),
            path: Some("/tmp/my ca.pem".into()),
        }),
        entropy: Arc::new(SeededEntropy::new(9)),
    }
}

pub fn who(name: &str) -> PrincipalId {
    PrincipalId::new(name)
}

impl Call {
    pub fn new(method: Method, path: &str) -> Self {
        let from = "192.0.2.1:50000".parse().unwrap();
        Self { method, path: format!("/api/v1{path}"), headers: HeaderMap::new(), body: Bytes::new(), from }
    }

    pub fn get(path: &str) -> Self {
        Self::new(Method::GET, path)
    }

    pub fn post(path: &str, body: &Value) -> Self {
        Self::raw(path, body.to_string())
    }

    pub fn raw(path: &str, body: impl Into<Bytes>) -> Self {
        let mut call = Self::new(Method::POST, path).with("content-type", "application/json");
        call.body = body.into();
        call
    }

    pub fn sign_in(user: &str, password: &str) -> Self {
        Self::post("/sign-in", &serde_json::json!({ "user": user, "password": password }))
    }

    pub fn with(mut self, name: &'static str, value: &str) -> Self {
        self.headers.append(name, value.parse().unwrap());
        self
    }

    pub fn bearer(self, token: &str) -> Self {
        self.with("authorization", &format!("Bearer {token}"))
    }

    pub fn cookie(self, token: &str) -> Self {
        self.with("cookie", &format!("countersign={token}"))
    }
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("no JSON: {self:?}"))
    }

    pub fn text(&self) -> String {
        String::from_utf8(self.body.to_vec()).unwrap()
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// The kind of problem, behind `urn:countersign:problem:`.
    pub fn problem(&self) -> String {
        assert_eq!(self.header(header::CONTENT_TYPE.as_str()), "application/problem+json", "{self:?}");
        let problem = self.json();
        assert_eq!(problem["status"], self.status.as_u16());
        problem["type"].as_str().unwrap().trim_start_matches("urn:countersign:problem:").to_owned()
    }
}
