//! The house's keys: what is sealed under one is read under the next, and nothing is left under the one before.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use countersign_core::{ResourceId, Span};
use zeroize::Zeroizing;

use super::{Bench, bundle, settings, sign_in_client, until, who};
use crate::keys::{Answer, Ring};
use crate::people::SecretError;
use crate::seal::Keyring;
use crate::store::{Drawer, Put, Scan, Swap};
use crate::testing::{ManualClock, ports};
use crate::{
    Engine, Keeper, KeeperError, Keepers, KeysView, MasterKey, MasterKeys, RefusedCode, SqliteStore,
    StartError, Store, Unwrapped, Via,
};

fn files() -> BTreeMap<String, String> {
    let mut files = bundle();
    let policies = files["house.cedar"].clone()
        + "@id(\"administrators-keep-secrets\")\npermit (principal in Group::\"admins\", action in \
           [Action::\"secret.read\", Action::\"secret.write\", Action::\"secret.rotate\"], resource);\n";
    files.insert("house.cedar".into(), policies);
    files
}

async fn bench() -> Bench {
    Bench::with_bundle(files()).await
}

fn secret(text: &str) -> Zeroizing<String> {
    Zeroizing::new(text.to_owned())
}

impl Bench {
    async fn keys(&self) -> KeysView {
        self.engine.keys(&self.caller("dave")).await.unwrap()
    }

    fn upstream(&self) -> Result<Zeroizing<String>, SecretError> {
        self.engine.secret(&ResourceId::new("shop"), "shop_writer")
    }

    /// Lets time pass until nothing is under an older key.
    async fn settled(&self) {
        for _ in 0..1_000 {
            if self.keys().await.older.is_empty() {
                return;
            }
            self.clock.advance(Span::seconds(10));
            tokio::time::sleep(std::time::Duration::from_millis(2)).await;
        }
        panic!("it does not settle");
    }

    /// Every value that anybody seals with the house's keys, with where it is.
    fn sealed(&self) -> Vec<(Drawer, Vec<u8>, Vec<u8>)> {
        let mut all = Vec::new();
        for drawer in Drawer::ALL {
            let scan = Scan::of(&[], 10_000);
            let found = self.store.scan(drawer, &scan).unwrap().into_iter();
            all.extend(found.map(|(key, value)| (drawer, key, value)));
        }
        all
    }
}

/// A gateway in which something of each kind is sealed.
async fn full() -> (Bench, Zeroizing<String>) {
    let bench = bench().await;
    bench.engine.set_password(&who("alice"), "a long password").await.unwrap();
    bench.engine.put_secret("shop_writer", "hush").await.unwrap();
    let signed_in = bench.engine.sign_in("alice", "a long password", sign_in_client()).await.unwrap();
    let bob = bench.caller("bob");
    let offer = bench.engine.offer_totp(&bob).await.unwrap();
    bench.engine.bind_totp(&bob, &bench.engine.code_of(&offer.secret)).await.unwrap();
    let session = bench.session("alice", "shop-writer").await;
    drop(bench.hold(&session, "DELETE FROM orders").await);
    (bench, signed_in.done().unwrap().token)
}

#[tokio::test]
async fn a_key_changes_and_all_is_read_under_the_next() {
    let (bench, token) = full().await;
    assert_eq!(bench.keys().await.number, 1);
    let before = bench.sealed();
    let made = bench.engine.rotate_keys(&bench.caller("dave")).await.unwrap();
    assert_eq!((made.number, made.older.as_slice(), made.keeper.as_str()), (2, &[1][..], "local"));
    // While it is changed everything goes on, and what is new is under the new key.
    assert_eq!(bench.upstream().unwrap().as_str(), "hush");
    bench.engine.store_secret(&bench.caller("dave"), "shop_writer", secret("hush again")).await.unwrap();
    let session = bench.connect("alice", "shop-writer").await;
    drop(bench.hold(&session, "DELETE FROM customers").await);
    let conflict = bench.engine.rotate_keys(&bench.caller("dave")).await.unwrap_err();
    assert_eq!(conflict.code, RefusedCode::Conflict);
    bench.settled().await;
    assert_eq!(bench.keys().await.number, 2);
    let what: Vec<String> =
        bench.lines_of("config.changed").iter().map(|line| line.data["what"].to_string()).collect();
    assert_eq!(what, ["\"house_key_made\"", "\"secret_stored\"", "\"house_key_dropped\""]);

    // Nothing that was sealed under the first key is there any more, in any drawer that holds such things.
    let after = bench.sealed();
    let changed: std::collections::BTreeSet<Drawer> = [
        Drawer::Meta,
        Drawer::Keys,
        Drawer::Bundles,
        Drawer::Secrets,
        Drawer::Tokens,
        Drawer::Authenticators,
        Drawer::Places,
    ]
    .into();
    for drawer in &changed {
        let had = before.iter().filter(|(of, ..)| of == drawer);
        let untouched = had.filter(|one| after.contains(one)).map(|(_, key, _)| String::from_utf8_lossy(key));
        let untouched: Vec<_> = untouched.filter(|key| key != "origin").collect();
        assert!(untouched.is_empty(), "{drawer}: {untouched:?}");
    }
    // And all is read after a start that has nothing but the new key.
    let bench = bench.restart().await;
    assert_eq!(bench.upstream().unwrap().as_str(), "hush again");
    bench.engine.caller(&token, Via::Api, None).await.unwrap();
    assert_eq!(bench.engine.authenticators(&bench.caller("bob")).await.unwrap().len(), 2);
    let request = bench.engine.snapshot().book.requests().next().unwrap().id;
    let told = bench.engine.request_view(&bench.caller("alice"), request).unwrap();
    assert_eq!(told.purpose.as_deref(), Some("repair the orders"));
}

#[tokio::test]
async fn going_away_in_the_middle_loses_nothing_and_the_next_start_goes_on() {
    let (bench, token) = full().await;
    bench.engine.rotate_keys(&bench.caller("dave")).await.unwrap();
    let mut bench = bench;
    for _ in 0..3 {
        bench = bench.crash().await;
        assert_eq!(bench.upstream().unwrap().as_str(), "hush");
        bench.engine.caller(&token, Via::Api, None).await.unwrap();
        assert_eq!(bench.keys().await.older, [1]);
    }
    bench.settled().await;
    bench = bench.crash().await;
    assert_eq!((bench.upstream().unwrap().as_str(), bench.keys().await.number), ("hush", 2));
    bench.engine.rotate_keys(&bench.caller("dave")).await.unwrap();
    bench.settled().await;
    assert_eq!(bench.keys().await.number, 3);
}

/// The disk takes nothing when the new key is to be stored: the old one goes on, and so do writes once they are possible.
#[tokio::test]
async fn a_key_that_could_not_be_stored_is_none() {
    let (bench, _) = full().await;
    bench.store.fill(true);
    let refused = bench.engine.rotate_keys(&bench.caller("dave")).await.unwrap_err();
    assert_eq!(refused.code, RefusedCode::Unavailable);
    bench.store.fill(false);
    until(|| bench.engine.health() == crate::Health::Ok).await;
    assert_eq!(bench.keys().await.number, 1);
    // What was stored, and said to have failed, is a key that is there.
    bench.store.lie(1);
    let _unsure = bench.engine.rotate_keys(&bench.caller("dave")).await;
    until(|| bench.engine.health() == crate::Health::Ok).await;
    bench.engine.store_secret(&bench.caller("dave"), "shop_writer", secret("anew")).await.unwrap();
    let bench = bench.crash().await;
    assert_eq!(bench.upstream().unwrap().as_str(), "anew");
    bench.settled().await;
    assert_eq!(bench.upstream().unwrap().as_str(), "anew");
}

#[tokio::test]
async fn what_is_erased_while_it_is_sealed_anew_stays_erased() {
    let bench = bench().await;
    let key = b"session:1".to_vec();
    bench.store.put(&[Put::set(Drawer::Keys, key.clone(), *b"wrapped")]).unwrap();
    let swap = |before: &[u8]| Swap { key: key.clone(), before: before.to_vec(), then: b"anew".to_vec() };
    assert_eq!(bench.store.swap(Drawer::Keys, &[swap(b"something else")]).unwrap(), 0);
    assert_eq!(bench.store.swap(Drawer::Keys, &[swap(b"wrapped")]).unwrap(), 1);
    bench.store.put(&[Put::remove(Drawer::Keys, key.clone())]).unwrap();
    assert_eq!(bench.store.swap(Drawer::Keys, &[swap(b"anew")]).unwrap(), 0);
    assert_eq!(bench.store.get(Drawer::Keys, &key).unwrap(), None);
}

#[tokio::test]
async fn secrets_are_named_and_never_shown_and_only_whom_policy_lets_changes_them() {
    let bench = bench().await;
    let (dave, alice, ci) = (bench.caller("dave"), bench.caller("alice"), bench.caller("ci"));
    for nobody in [&alice, &ci] {
        let codes = [
            bench.engine.secrets(nobody).await.map(|_| ()).unwrap_err().code,
            bench.engine.store_secret(nobody, "x", secret("y")).await.unwrap_err().code,
            bench.engine.remove_secret(nobody, "x").await.unwrap_err().code,
            bench.engine.keys(nobody).await.map(|_| ()).unwrap_err().code,
            bench.engine.rotate_keys(nobody).await.map(|_| ()).unwrap_err().code,
            bench.engine.rewrap_keys(nobody).await.map(|_| ()).unwrap_err().code,
        ];
        assert_eq!(codes, [RefusedCode::NotPermitted; 6]);
    }
    let named = |found: Vec<crate::SecretView>| {
        found.into_iter().map(|one| (one.name, one.is_kept, one.is_used)).collect::<Vec<_>>()
    };
    assert_eq!(named(bench.engine.secrets(&dave).await.unwrap()), [("shop_writer".into(), false, true)]);
    bench.engine.store_secret(&dave, "shop_writer", secret("hush")).await.unwrap();
    bench.engine.store_secret(&dave, "spare.key-2", secret("hush")).await.unwrap();
    assert_eq!(
        named(bench.engine.secrets(&dave).await.unwrap()),
        [("shop_writer".into(), true, true), ("spare.key-2".into(), true, false)]
    );
    for bad in ["", "a/b", "a b", "é", "\0", &"n".repeat(65)] {
        let refused = bench.engine.store_secret(&dave, bad, secret("hush")).await.unwrap_err();
        assert_eq!(refused.code, RefusedCode::Invalid, "{bad}");
    }
    let long = "s".repeat(crate::SECRET_BYTES_MAX + 1);
    assert_eq!(
        bench.engine.store_secret(&dave, "x", secret(&long)).await.unwrap_err().code,
        RefusedCode::Invalid
    );
    assert_eq!(
        bench.engine.store_secret(&dave, "x", secret("")).await.unwrap_err().code,
        RefusedCode::Invalid
    );
    bench.engine.remove_secret(&dave, "spare.key-2").await.unwrap();
    assert_eq!(
        bench.engine.remove_secret(&dave, "spare.key-2").await.unwrap_err().code,
        RefusedCode::NotFound
    );
    let lines = bench.lines_of("config.changed");
    let told: Vec<_> = lines.iter().map(|line| (line.data["secret"].as_str(), line.actor.clone())).collect();
    let dave = Some(who("dave"));
    assert_eq!(
        told,
        [
            (Some("shop_writer"), dave.clone()),
            (Some("spare.key-2"), dave.clone()),
            (Some("spare.key-2"), dave)
        ]
    );
}

/// A keeper that can be sent away, and that has two keys.
struct Away {
    keys: MasterKeys,
    is_away: Arc<AtomicBool>,
}

impl Away {
    fn here(&self) -> Result<(), KeeperError> {
        match self.is_away.load(Ordering::SeqCst) {
            true => Err(KeeperError::Silent { keeper: "away".into(), why: "it is away".into() }),
            false => Ok(()),
        }
    }
}

impl Keeper for Away {
    fn name(&self) -> String {
        "away".into()
    }

    fn wrap<'a>(&'a self, plain: &'a [u8]) -> Answer<'a, Vec<u8>> {
        Box::pin(async move { self.here().and_then(|()| self.keys.wrap_now("away", plain)) })
    }

    fn unwrap<'a>(&'a self, wrapped: &'a [u8]) -> Answer<'a, Unwrapped> {
        Box::pin(async move { self.here().and_then(|()| self.keys.unwrap_now("away", wrapped)) })
    }

    fn rewrap<'a>(&'a self, wrapped: &'a [u8]) -> Answer<'a, Vec<u8>> {
        Box::pin(async move {
            self.here()?;
            self.keys.wrap_now("away", &self.keys.unwrap_now("away", wrapped)?.plain)
        })
    }

    fn master(&self) -> Option<MasterKey> {
        None
    }
}

#[tokio::test]
async fn without_its_keeper_a_gateway_goes_on_and_changes_no_key() {
    let (folder, clock) = (tempfile::TempDir::new().unwrap(), ManualClock::default());
    let store: Arc<dyn Store> = Arc::new(SqliteStore::open(&folder.path().join("countersign.db")).unwrap());
    let ports = ports(&clock, 1);
    let is_away = Arc::new(AtomicBool::new(false));
    let keeper = |first: u8, second: u8| {
        let keys = vec![MasterKey::new([first; 32]), MasterKey::new([second; 32])];
        let keys = MasterKeys::new(keys, Arc::clone(&ports.entropy));
        Keepers::new(Arc::new(Away { keys, is_away: Arc::clone(&is_away) }), Vec::new())
    };
    let keys = keeper(1, 2).open(&*store, &ports).await.unwrap();
    let engine = Engine::start_with(Arc::clone(&store), keys, ports.clone(), settings()).unwrap();
    engine.first_bundle(files(), &who("dave")).await.unwrap();
    engine.put_secret("shop_writer", "hush").await.unwrap();
    let dave = engine.caller_with(&who("dave"), &[crate::Means::Password]);
    is_away.store(true, Ordering::SeqCst);
    for refused in
        [engine.rotate_keys(&dave).await, engine.rewrap_keys(&dave).await, engine.keys(&dave).await]
    {
        let refused = refused.unwrap_err();
        assert_eq!(refused.code, RefusedCode::Unavailable);
        assert!(refused.message.contains("`away`, can't be asked: it is away"), "{refused}");
    }
    assert_eq!(engine.secret(&ResourceId::new("shop"), "shop_writer").unwrap().as_str(), "hush");
    assert!(matches!(keeper(1, 2).open(&*store, &ports).await, Err(StartError::Keys(_))));
    is_away.store(false, Ordering::SeqCst);
    // Wrapped under another key; and whoever has only that one finds them as well.
    let record = || store.get(Drawer::Meta, b"house-keys").unwrap().unwrap();
    let before = record();
    engine.rewrap_keys(&dave).await.unwrap();
    assert_ne!(record(), before);
    engine.stop().await;
    drop(engine);
    let moved = keeper(3, 1).open(&*store, &ports).await.unwrap();
    drop(moved);
    keeper(3, 3).open(&*store, &ports).await.unwrap();
    assert!(matches!(keeper(1, 2).open(&*store, &ports).await, Err(StartError::MasterKey)));
    let mut damaged = record();
    damaged.truncate(damaged.len() - 9);
    store.put(&[Put::set(Drawer::Meta, *b"house-keys", damaged)]).unwrap();
    assert!(keeper(3, 3).open(&*store, &ports).await.is_err());
}

/// A store of the first kind has no ring: its keys follow from the master key, and are in a ring from the next start on.
#[tokio::test]
async fn a_store_whose_keys_followed_from_the_master_key_is_read() {
    let bench = bench().await;
    let (folder, clock, seed) = bench.stop().await;
    let path = folder.path().join("countersign.db");
    let (ports, master) = (ports(&clock, seed + 1), MasterKey::new([7; 32]));
    {
        let store = SqliteStore::open(&path).unwrap();
        let derived = Keyring::new(&Ring::derived(master.clone()));
        let check = derived.seal(&ports, "master-key", b"this is it");
        store
            .put(&[Put::set(Drawer::Meta, *b"master-key", check), Put::remove(Drawer::Meta, *b"house-keys")])
            .unwrap();
        let keeper = |byte: u8| {
            let keys = MasterKeys::new(vec![MasterKey::new([byte; 32])], Arc::clone(&ports.entropy));
            Keepers::new(Arc::new(keys), Vec::new())
        };
        assert!(matches!(keeper(8).open(&store, &ports).await, Err(StartError::MasterKey)));
        assert!(store.get(Drawer::Meta, b"house-keys").unwrap().is_none(), "nothing is kept of a wrong key");
        let found = keeper(7).open(&store, &ports).await.unwrap();
        assert_eq!(found.ring.mac, Ring::derived(master).mac);
        assert!(store.get(Drawer::Meta, b"house-keys").unwrap().is_some());
        assert!(
            Keyring::new(&found.ring)
                .open("master-key", &store.get(Drawer::Meta, b"master-key").unwrap().unwrap())
                .is_ok()
        );
    }
}
