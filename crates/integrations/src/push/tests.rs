//! A push service of the test's own, and a browser that reads what it is sent.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aws_lc_rs::aead::{AES_128_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::agreement::{ECDH_P256, PrivateKey, UnparsedPublicKey, agree};
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED, UnparsedPublicKey as Verifier};
use axum::Router;
use axum::body::Bytes;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use countersign_core::{PrincipalId, RoleId, Span};
use countersign_engine::people::devices::{NewDevice, Tested};
use countersign_engine::settings::Argon2Cost;
use countersign_engine::testing::{ManualClock, SeededEntropy, ports};
use countersign_engine::{
    AskAccess, Caller, Engine, LedgerQuery, MasterKey, RefusedCode, Settings, SqliteStore, Via,
};
use serde_json::Value;

use super::cipher::{expand, extract, record};
use super::net::is_public;
use super::{Ephemeral, PushError, PushSettings, Pusher, endpoint, seal};

const SOON: Duration = Duration::from_secs(20);
const SECRET: [u8; 16] = [9; 16];

fn bytes(text: &str) -> Vec<u8> {
    URL_SAFE_NO_PAD.decode(text).unwrap()
}

/// A browser's keys.
struct Browser(PrivateKey);

impl Browser {
    fn new(seed: u8) -> Self {
        Self(PrivateKey::from_private_key(&ECDH_P256, &[seed; 32]).unwrap())
    }

    fn key(&self) -> Vec<u8> {
        self.0.compute_public_key().unwrap().as_ref().to_vec()
    }

    /// What the other side's half of RFC 8291 makes of a message.
    fn read(&self, body: &[u8]) -> Vec<u8> {
        let (salt, rest) = body.split_at(16);
        let (head, rest) = rest.split_at(5);
        assert_eq!(head, [0, 0, 16, 0, 65], "one record of 4096 bytes, and a point");
        let (sender, sealed) = rest.split_at(65);
        let peer = UnparsedPublicKey::new(&ECDH_P256, sender);
        let shared = agree(&self.0, peer, (), |shared| Ok(shared.to_vec())).unwrap();
        let info = [b"WebPush: info\0".as_slice(), &self.key(), sender].concat();
        let ikm = expand(&extract(&SECRET, &shared), &info);
        let pseudo = extract(salt, &ikm);
        let key = expand(&pseudo, b"Content-Encoding: aes128gcm\0");
        let nonce = expand(&pseudo, b"Content-Encoding: nonce\0");
        let key = LessSafeKey::new(UnboundKey::new(&AES_128_GCM, &key[..16]).unwrap());
        let mut sealed = sealed.to_vec();
        let nonce = Nonce::try_assume_unique_for_key(&nonce[..12]).unwrap();
        let plain = key.open_in_place(nonce, Aad::empty(), &mut sealed).unwrap();
        let end = plain.iter().rposition(|byte| *byte != 0).unwrap();
        assert_eq!(plain[end], 2, "the last record");
        plain[..end].to_vec()
    }
}

/// RFC 8291, appendix A.
#[test]
fn a_message_is_encrypted_as_in_the_rfc() {
    let made = Ephemeral {
        private: PrivateKey::from_private_key(
            &ECDH_P256,
            &bytes("yfWPiYE-n46HLnH0KqZOF1fJJU3MYrct3AELtAQ-oRw"),
        )
        .unwrap(),
        salt: bytes("DGv6ra1nlYgDCS1FRnbzlw").try_into().unwrap(),
    };
    let device =
        bytes("BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4");
    let secret = bytes("BTBZMqHH6r4Tts7J_aSIgg");
    let plain = b"When I grow up, I want to be a watermelon\x02".to_vec();
    let sealed = record(plain, (&device, &secret), &made).unwrap();
    assert_eq!(
        URL_SAFE_NO_PAD.encode(sealed),
        "DGv6ra1nlYgDCS1FRnbzlwAAEABBBP4z9KsN6nGRTbVYI_c7VJSPQTBtkgcy27mlmlMoZIIgDll6e3vCYLocInmYWAmS6TlzAC8wEqKK6PBru3jl7A_yl95bQpu6cVPTpK4Mqgkf1CXztLVBSt2Ks3oZwbuwXPXLWyouBWLVWGNWQexSgSxsj_Qulcy4a-fN"
    );
}

#[test]
fn all_messages_are_of_one_length_and_keys_that_are_none_are_refused() {
    let (browser, entropy) = (Browser::new(3), SeededEntropy::new(1));
    let sealed = |text: &[u8], key: &[u8]| seal(text, (key, &SECRET), &Ephemeral::new(&entropy).unwrap());
    let (short, long) =
        (sealed(b"a", &browser.key()).unwrap(), sealed(&[b'x'; 900], &browser.key()).unwrap());
    assert_eq!(short.len(), long.len());
    assert_eq!((browser.read(&short), browser.read(&long)), (b"a".to_vec(), vec![b'x'; 900]));
    assert!(sealed(&[b'x'; 1_024], &browser.key()).is_err());
    assert!(sealed(b"a", &[4; 65]).is_err(), "no point of the curve");
}

#[test]
fn addresses_lead_to_named_public_hosts_or_nowhere() {
    for good in
        ["https://fcm.googleapis.com/fcm/send/abc", "https://updates.push.services.mozilla.com/wpush/v2/x"]
    {
        assert!(endpoint(good, false).is_some(), "{good}");
    }
    for bad in [
        "http://push.example/x",
        "https://127.0.0.1/x",
        "https://[::1]/x",
        "https://10.0.0.1/x",
        "https://2130706433/x",
        "https://push.example:8443/x",
        "https://user@push.example/x",
        "https://push.example/x#y",
        "file:///etc/passwd",
        "push",
    ] {
        assert!(endpoint(bad, false).is_none(), "{bad}");
    }
    assert!(endpoint("http://127.0.0.1:9/x", true).is_some() && endpoint("file:///x", true).is_none());
    for public in ["8.8.8.8", "2606:4700::1111", "2a00:1450:4001::1"] {
        assert!(is_public(public.parse().unwrap()), "{public}");
    }
    for other in [
        "127.0.0.1",
        "10.1.2.3",
        "172.16.0.1",
        "192.168.1.1",
        "169.254.169.254",
        "100.64.0.1",
        "0.0.0.0",
        "224.0.0.1",
        "198.18.0.1",
        "255.255.255.255",
        "192.0.0.8",
        "203.0.113.5",
        "::",
        "::1",
        "fe80::1",
        "fd00::1",
        "ff02::1",
        "::ffff:10.0.0.1",
        "64:ff9b::a00:1",
        "2001:db8::1",
        "2002:a00:1::1",
        "2001::1",
    ] {
        assert!(!is_public(other.parse().unwrap()), "{other}");
    }
}

#[tokio::test]
async fn a_name_that_leads_into_the_house_is_not_gone_to() {
    let service = Service::open(StatusCode::CREATED).await;
    let client = super::net::client(false, SOON).unwrap();
    let refused = client.post(service.url.replace("127.0.0.1", "localhost")).send().await.unwrap_err();
    assert!(refused.is_connect(), "{refused:?}");
    assert_eq!(service.calls().len(), 0);
}

type Call = (HeaderMap, Vec<u8>);

/// Takes what is sent and answers as it is told to.
struct Service {
    url: String,
    calls: Arc<Mutex<Vec<Call>>>,
}

impl Service {
    async fn open(status: StatusCode) -> Self {
        let calls: Arc<Mutex<Vec<Call>>> = Arc::default();
        let kept = Arc::clone(&calls);
        let take = move |headers: HeaderMap, body: Bytes| async move {
            kept.lock().unwrap().push((headers, body.to_vec()));
            (status, [("location", "http://127.0.0.1:1/elsewhere")])
        };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/send/abc", listener.local_addr().unwrap());
        tokio::spawn(
            async move { axum::serve(listener, Router::new().route("/send/abc", post(take))).await },
        );
        Self { url, calls }
    }

    fn calls(&self) -> Vec<Call> {
        self.calls.lock().unwrap().clone()
    }

    async fn until(&self, count: usize) -> Vec<Call> {
        let waiting = async {
            while self.calls().len() < count {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(SOON, waiting).await.expect("it is told");
        self.calls()
    }
}

struct House {
    engine: Engine,
    folder: tempfile::TempDir,
}

impl House {
    async fn open() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = SqliteStore::open(&folder.path().join("ledger.db")).unwrap();
        let settings = Settings { argon2: Argon2Cost { memory_kib: 64, passes: 1 }, ..Settings::default() };
        let ports = ports(&ManualClock::default(), 1);
        let engine = Engine::start(Arc::new(store), MasterKey::new([7; 32]), ports, settings).unwrap();
        engine.first_bundle(bundle(), &PrincipalId::new("dave")).await.unwrap();
        Self { engine, folder }
    }

    async fn caller(&self, name: &str) -> Caller {
        let token = self.engine.token_of(&PrincipalId::new(name)).to_string();
        self.engine.caller(&token, Via::Console, None).await.unwrap()
    }

    /// Has people told from here on.
    async fn tells(&self) {
        let settings = PushSettings { contact: "mailto:ops@example.com".into(), private: true };
        let entropy = Arc::new(SeededEntropy::new(5));
        let pusher = Pusher::new(self.engine.clone(), settings, entropy).await.unwrap();
        tokio::spawn(pusher.run());
    }

    async fn adds(&self, name: &str, service: &Service, browser: &Browser) {
        let new = NewDevice {
            endpoint: service.url.clone(),
            key: browser.key(),
            secret: SECRET.to_vec(),
            program: Some("Firefox".into()),
        };
        self.engine.add_device(&self.caller(name).await, new).await.unwrap();
    }

    async fn asks(&self) -> countersign_core::RequestId {
        let ask = AskAccess {
            role: RoleId::new("shop-writer"),
            lasting: Span::minutes(30),
            purpose: "a secret purpose".into(),
            ticket: None,
        };
        self.engine.ask(&self.caller("alice").await, ask).await.unwrap()
    }
}

fn bundle() -> BTreeMap<String, String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../demo/bundle");
    let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    files
        .map(|path| {
            (path.file_name().unwrap().to_str().unwrap().to_owned(), std::fs::read_to_string(&path).unwrap())
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_is_asked_is_told_and_so_is_who_asked_when_it_is_answered() {
    let (house, bob, alice) = (House::open().await, Browser::new(3), Browser::new(4));
    let (to_bob, to_alice) = (Service::open(StatusCode::CREATED).await, Service::open(StatusCode::OK).await);
    house.tells().await;
    house.adds("bob", &to_bob, &bob).await;
    house.adds("alice", &to_alice, &alice).await;
    let request = house.asks().await;
    let (headers, body) = to_bob.until(1).await.remove(0);
    let told: Value = serde_json::from_slice(&bob.read(&body)).unwrap();
    assert_eq!(told["title"], "Alice Archer asks for shop-writer");
    assert_eq!(told["link"], format!("/inbox?r={request}"));
    assert!(!told.to_string().contains("secret purpose"), "no reason is told: {told}");
    assert_eq!(headers["content-encoding"], "aes128gcm");
    assert_eq!(headers["urgency"], "high");
    assert!(headers["ttl"].to_str().unwrap().parse::<u32>().unwrap() > 60);
    let topic = headers["topic"].to_str().unwrap();
    assert!(topic.len() <= 32 && topic.chars().all(|c| c.is_ascii_alphanumeric()), "{topic}");
    check_proof(headers["authorization"].to_str().unwrap(), &house, &to_bob.url);
    assert_eq!(to_alice.calls().len(), 0, "nobody is told of what they ask themselves");

    house.engine.approve(&house.caller("bob").await, request, None, None).await.unwrap();
    let (_, body) = to_alice.until(1).await.remove(0);
    let told: Value = serde_json::from_slice(&alice.read(&body)).unwrap();
    assert_eq!(
        (&told["title"], &told["link"]),
        (&"Approved: shop-writer".into(), &format!("/requests/{request}").into())
    );
    assert_eq!(to_bob.calls().len(), 1, "once");
}

fn check_proof(header: &str, house: &House, url: &str) {
    let (token, key) = header.strip_prefix("vapid t=").unwrap().split_once(", k=").unwrap();
    assert_eq!(bytes(key), house.engine.push_public().unwrap());
    let (signed, signature) = token.rsplit_once('.').unwrap();
    let verifier = Verifier::new(&ECDSA_P256_SHA256_FIXED, bytes(key));
    verifier.verify(signed.as_bytes(), &bytes(signature)).unwrap();
    let claims: Value = serde_json::from_slice(&bytes(signed.split_once('.').unwrap().1)).unwrap();
    assert_eq!(claims["aud"], url.trim_end_matches("/send/abc"));
    assert_eq!(claims["sub"], "mailto:ops@example.com");
    let left = claims["exp"].as_i64().unwrap() - house.engine.now().0 / 1_000_000;
    assert!((1..=86_400).contains(&left), "{left}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_that_is_gone_is_taken_away_and_an_answer_that_leads_elsewhere_is_none() {
    let (house, browser) = (House::open().await, Browser::new(3));
    let (gone, elsewhere) = (Service::open(StatusCode::GONE).await, Service::open(StatusCode::FOUND).await);
    house.tells().await;
    house.adds("bob", &gone, &browser).await;
    house.adds("bob", &elsewhere, &browser).await;
    let bob = house.caller("bob").await;
    assert_eq!(house.engine.devices(&bob).len(), 2);
    house.asks().await;
    gone.until(1).await;
    elsewhere.until(1).await;
    let waiting = async {
        while house.engine.devices(&bob).len() > 1 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(SOON, waiting).await.expect("it is taken away");
    assert_eq!(elsewhere.calls().len(), 1, "it is not followed, and not tried again");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_is_one_persons_and_outlives_a_restart_unreadably() {
    let (house, browser) = (House::open().await, Browser::new(3));
    let service = Service::open(StatusCode::CREATED).await;
    let alice = house.caller("alice").await;
    let new = NewDevice {
        endpoint: service.url.clone(),
        key: browser.key(),
        secret: SECRET.to_vec(),
        program: None,
    };
    let refused = house.engine.add_device(&alice, new.clone()).await.unwrap_err();
    assert_eq!(refused.code, RefusedCode::Unavailable, "nobody is told anything here");
    let first = house.engine.push_key().await.unwrap();
    assert_eq!(house.engine.push_key().await.unwrap().public, first.public, "it is made once");
    house.engine.add_device(&alice, new.clone()).await.unwrap();
    let bob = house.caller("bob").await;
    let moved = house.engine.add_device(&bob, new.clone()).await.unwrap();
    assert_eq!(house.engine.devices(&alice), [], "a browser tells one person");
    let others = house.engine.remove_device(&alice, moved.id).await.unwrap_err();
    assert_eq!(others.code, RefusedCode::NotFound);
    for wrong in [
        NewDevice { key: vec![4; 64], ..new.clone() },
        NewDevice { key: vec![2; 65], ..new.clone() },
        NewDevice { secret: vec![1; 15], ..new.clone() },
        NewDevice { endpoint: "x".repeat(1_025), ..new.clone() },
    ] {
        assert_eq!(house.engine.add_device(&bob, wrong).await.unwrap_err().code, RefusedCode::Invalid);
    }
    for number in 1..8 {
        let other = NewDevice { endpoint: format!("{}{number}", service.url), ..new.clone() };
        house.engine.add_device(&bob, other).await.unwrap();
    }
    let ninth = NewDevice { endpoint: format!("{}9", service.url), ..new.clone() };
    assert_eq!(house.engine.add_device(&bob, ninth).await.unwrap_err().code, RefusedCode::Conflict);
    let ci = house.caller("ci").await;
    assert_eq!(house.engine.add_device(&ci, new).await.unwrap_err().code, RefusedCode::NotPermitted);

    let House { engine, folder } = house;
    let path = folder.path().join("ledger.db");
    engine.stop().await;
    drop(engine);
    // A store is open once at a time, and only who closes it last folds its log into it.
    let closed = async {
        while SqliteStore::open(&path).is_err() {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(10), closed)
        .await
        .expect("everybody lets go of the store");
    for file in std::fs::read_dir(folder.path()).unwrap() {
        let stored = std::fs::read(file.unwrap().path()).unwrap();
        for secret in [service.url.as_bytes(), first.private.as_ref(), browser.key().as_slice()] {
            assert!(!stored.windows(secret.len()).any(|window| window == secret), "it is kept encrypted");
        }
    }
    let store = SqliteStore::open(&path).unwrap();
    let ports = ports(&ManualClock::default(), 2);
    let again = Engine::start(Arc::new(store), MasterKey::new([7; 32]), ports, Settings::default()).unwrap();
    assert_eq!(again.push_key().await.unwrap().public, first.public);
    let token = again.token_of(&PrincipalId::new("bob")).to_string();
    let bob = again.caller(&token, Via::Console, None).await.unwrap();
    assert_eq!(again.devices(&bob).len(), 8);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_contact_has_to_be_one() {
    let house = House::open().await;
    let settings = PushSettings { contact: "ops".into(), private: false };
    let refused =
        Pusher::new(house.engine.clone(), settings, Arc::new(SeededEntropy::new(5))).await.unwrap_err();
    assert!(matches!(refused, PushError::Contact(_)), "{refused}");
    assert_eq!(house.engine.push_public(), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_test_is_sent_to_a_device_of_ones_own_and_what_came_of_it_is_said_and_recorded() {
    let (house, browser) = (House::open().await, Browser::new(3));
    let (well, gone) = (Service::open(StatusCode::CREATED).await, Service::open(StatusCode::GONE).await);
    let broken = Service::open(StatusCode::SERVICE_UNAVAILABLE).await;
    house.tells().await;
    let (bob, alice) = (house.caller("bob").await, house.caller("alice").await);
    for service in [&well, &gone, &broken] {
        house.adds("bob", service, &browser).await;
    }
    let [broken_id, gone_id, well_id] =
        <[_; 3]>::try_from(house.engine.devices(&bob)).unwrap().map(|device| device.id);
    assert_eq!(house.engine.test_device(&bob, well_id).await.unwrap(), Tested::Taken);
    let (_, body) = well.until(1).await.remove(0);
    let told: Value = serde_json::from_slice(&browser.read(&body)).unwrap();
    assert_eq!((&told["title"], &told["link"]), (&"A test of Countersign".into(), &"/account".into()));
    let again = house.engine.test_device(&bob, well_id).await.unwrap_err();
    assert_eq!(again.code, RefusedCode::Conflict, "not again and again");
    let failed = house.engine.test_device(&bob, broken_id).await.unwrap();
    assert_eq!(failed, Tested::Failed("its push service answered 503".into()));
    assert_eq!(house.engine.test_device(&bob, gone_id).await.unwrap(), Tested::Gone);
    assert_eq!(house.engine.devices(&bob).len(), 2, "it is taken away");
    let other = house.engine.test_device(&alice, well_id).await.unwrap_err();
    assert_eq!(other.code, RefusedCode::NotFound, "a device of somebody else's");
    let auditor = house.engine.caller_of(&PrincipalId::new("bob"));
    let kinds = [("notification.sent", 1), ("notification.failed", 2), ("notification.device_removed", 1)];
    for (kind, count) in kinds {
        let query = LedgerQuery { kind: Some(kind.into()), limit: 10, ..LedgerQuery::default() };
        let found = house.engine.search(&auditor, query).await.unwrap();
        assert_eq!(found.items.len(), count, "{kind}");
    }
}
