//! Passwords, sign-ins, credentials, secrets; and that none of them is anywhere in the clear.

use std::net::IpAddr;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use countersign_core::{ResourceId, Span};

use super::{Bench, bundle, client, drop_table, local, sign_in_client, who};
use crate::store::{Drawer, Put, Store as _};
use crate::{Judgement, SecretError, SetPasswordError, SignInClient, SignInRefused, Via};

const PASSWORD: &str = "correct horse battery";

/// A sign-in for which the password is enough.
async fn sign_in(bench: &Bench, name: &str, client: SignInClient) -> crate::SignedIn {
    bench.engine.sign_in(name, PASSWORD, client).await.unwrap().done().unwrap()
}

async fn with_password() -> Bench {
    let bench = Bench::new().await;
    bench.engine.set_password(&who("alice"), PASSWORD).await.unwrap();
    bench
}

#[tokio::test]
async fn signing_in_and_out() {
    let bench = with_password().await;
    let signed_in = sign_in(&bench, "alice", sign_in_client()).await;
    assert_eq!(signed_in.expires_at, bench.engine.now().plus(Span::hours(24)));
    let caller = bench.engine.caller(&signed_in.token, Via::Cli, Some(local())).await.unwrap();
    assert_eq!(caller.principal, who("alice"));
    assert!(bench.engine.caller("not a token", Via::Cli, None).await.is_err());
    let bench = bench.restart().await;
    let caller = bench.engine.caller(&signed_in.token, Via::Console, None).await.unwrap();
    assert!(bench.engine.still_signed_in(&caller));
    bench.engine.sign_out(&caller).await;
    assert!(!bench.engine.still_signed_in(&caller));
    let bench = bench.restart().await;
    assert!(bench.engine.caller(&signed_in.token, Via::Cli, None).await.is_err());
    assert_eq!((bench.count("auth.succeeded"), bench.count("auth.logged_out")), (1, 1));
}

#[tokio::test]
async fn a_sign_in_ends_by_itself() {
    let bench = with_password().await;
    let token = sign_in(&bench, "alice", sign_in_client()).await.token;
    let idle = sign_in(&bench, "alice", sign_in_client()).await.token;
    for _ in 0..28 {
        bench.clock.advance(Span::minutes(50));
        assert!(bench.engine.caller(&token, Via::Cli, None).await.is_ok());
    }
    assert!(bench.engine.caller(&idle, Via::Cli, None).await.is_err(), "unused for an hour");
    bench.clock.advance(Span::minutes(50));
    assert!(bench.engine.caller(&token, Via::Cli, None).await.is_err(), "after a day");
}

#[tokio::test]
async fn wrong_passwords_lock_out_a_pair_of_name_and_address() {
    let bench = with_password().await;
    let from = |last: u8| SignInClient {
        source: Some(IpAddr::from([192, 0, 2, last])),
        via: Via::Console,
        user_agent: None,
    };
    for n in 1..=5 {
        let refused = bench.engine.sign_in("alice", "wrong", from(1)).await.unwrap_err();
        assert_eq!(matches!(refused, SignInRefused::Locked { .. }), n == 5, "{n}: {refused}");
    }
    let refused = bench.engine.sign_in("alice", PASSWORD, from(1)).await.unwrap_err();
    assert!(
        matches!(refused, SignInRefused::Locked { until } if until == bench.engine.now().plus(Span::minutes(15)))
    );
    assert!(
        bench.engine.sign_in("alice", PASSWORD, from(2)).await.is_ok(),
        "the stranger locks out only themselves"
    );
    bench.clock.advance(Span::minutes(15));
    assert!(bench.engine.sign_in("alice", PASSWORD, from(1)).await.is_ok());
    assert_eq!((bench.count("auth.failed"), bench.count("auth.locked")), (4, 1));
}

#[tokio::test]
async fn unknown_names_are_answered_like_wrong_passwords() {
    let bench = with_password().await;
    for (name, password) in
        [("mallory", PASSWORD), ("alice", "wrong"), ("bob", PASSWORD), ("ci", PASSWORD), ("", "")]
    {
        let refused = bench.engine.sign_in(name, password, sign_in_client()).await.unwrap_err();
        assert_eq!(refused, SignInRefused::Wrong, "{name}");
    }
    let long = "x".repeat(2_000);
    assert!(bench.engine.sign_in("alice", &long, sign_in_client()).await.is_err());
    assert!(bench.engine.sign_in(&long, &long, sign_in_client()).await.is_err());
}

#[tokio::test]
async fn the_disabled_are_signed_out_and_stay_so() {
    let bench = with_password().await;
    let token = sign_in(&bench, "alice", sign_in_client()).await.token;
    let caller = bench.engine.caller(&token, Via::Cli, None).await.unwrap();
    bench.engine.disable(&bench.caller("bob"), &who("alice"), None).await.unwrap();
    assert!(!bench.engine.still_signed_in(&caller));
    assert!(bench.engine.caller(&token, Via::Cli, None).await.is_err());
    let refused = bench.engine.sign_in("alice", PASSWORD, sign_in_client()).await.unwrap_err();
    assert_eq!(refused, SignInRefused::Disabled);
}

#[tokio::test]
async fn who_is_let_in_again_has_to_sign_in_again() {
    let bench = with_password().await;
    let shop = ResourceId::new("shop");
    let held = async |bench: &Bench| {
        let token = sign_in(bench, "alice", sign_in_client()).await.token;
        let caller = bench.engine.caller(&token, Via::Cli, None).await.unwrap();
        bench.engine.mint_credential(&caller, &shop).await.unwrap();
        token
    };
    let other = bench.engine.mint_credential(&bench.caller("dave"), &shop).await.unwrap().id;
    let first = held(&bench).await;
    bench.engine.disable(&bench.caller("bob"), &who("alice"), None).await.unwrap();
    assert_eq!(bench.count("token.revoked"), 1, "the end of a sign-in is a line of its own");
    bench.engine.enable(&bench.caller("bob"), &who("alice")).await.unwrap();
    let second = held(&bench).await;
    bench.engine.disable(&bench.caller("bob"), &who("alice"), None).await.unwrap();
    let bench = bench.crash().await;
    bench.engine.enable(&bench.caller("bob"), &who("alice")).await.unwrap();
    for token in [&first, &second] {
        assert!(bench.engine.caller(token, Via::Cli, None).await.is_err());
    }
    assert!(bench.engine.verifiers(&shop, "alice").keys.is_empty(), "nor does a credential open anything");
    let left = bench.engine.verifiers(&shop, "dave").keys;
    assert_eq!(left.iter().map(|keys| keys.credential).collect::<Vec<_>>(), [other], "others keep theirs");
}

/// Also where what the account had could not be taken out in the moment that it was shut out.
#[tokio::test]
async fn what_a_crash_left_over_is_ended_before_anybody_is_let_in() {
    let bench = with_password().await;
    let token = sign_in(&bench, "alice", sign_in_client()).await.token;
    let row = |bench: &Bench| bench.store.scan(Drawer::Tokens, &crate::store::Scan::of(b"", 99)).unwrap();
    let rows = row(&bench);
    bench.engine.disable(&bench.caller("bob"), &who("alice"), None).await.unwrap();
    let puts: Vec<Put> = rows.into_iter().map(|(key, value)| Put::new(Drawer::Tokens, key, value)).collect();
    bench.store.put(&puts).unwrap();
    let bench = bench.crash().await;
    assert_ne!(row(&bench), [], "it is there, as a crash would have left it");
    bench.engine.enable(&bench.caller("bob"), &who("alice")).await.unwrap();
    assert_eq!(row(&bench), []);
    assert!(bench.engine.caller(&token, Via::Cli, None).await.is_err());
}

/// That a sign-in was used is stored beside what goes on, so also after it has ended.
#[tokio::test]
async fn one_that_ends_in_use_is_not_back_after_a_crash() {
    let mut bench = with_password().await;
    for _ in 0..4 {
        let token = sign_in(&bench, "alice", sign_in_client()).await.token;
        bench.clock.advance(Span::minutes(1));
        let caller = bench.engine.caller(&token, Via::Cli, None).await.unwrap();
        bench.engine.sign_out(&caller).await;
        bench = bench.crash().await;
        assert!(bench.engine.caller(&token, Via::Cli, None).await.is_err());
    }
    let bench = bench.crash().await;
    let all = crate::store::Scan::of(&[], usize::MAX);
    assert_eq!(
        bench.store.scan(crate::store::Drawer::Tokens, &all).unwrap(),
        [],
        "and nothing is left of it"
    );
}

#[tokio::test]
async fn weak_passwords_and_others_are_refused() {
    let bench = Bench::new().await;
    let set = async |name: &str, password: &str| bench.engine.set_password(&who(name), password).await;
    assert!(matches!(set("alice", "short").await, Err(SetPasswordError::TooShort)));
    assert!(matches!(set("alice", &"x".repeat(2_000)).await, Err(SetPasswordError::TooLong)));
    assert!(matches!(set("mallory", PASSWORD).await, Err(SetPasswordError::NoSuchUser(_))));
    assert!(matches!(set("ci", PASSWORD).await, Err(SetPasswordError::NoSuchUser(_))));
}

#[tokio::test]
async fn credentials_share_a_salt_expire_and_are_eight_at_most() {
    let bench = Bench::new().await;
    let shop = ResourceId::new("shop");
    let decoy = bench.engine.verifiers(&shop, "mallory");
    assert_eq!((decoy.salt.len(), decoy.iterations, decoy.keys.len()), (16, 4_096, 0));
    assert_eq!(decoy, bench.engine.verifiers(&shop, "mallory"));
    assert_ne!(decoy.salt, bench.engine.verifiers(&shop, "mallorx").salt);
    let before = bench.engine.verifiers(&shop, "alice");
    let mut minted = Vec::new();
    for _ in 0..10 {
        minted.push(bench.engine.mint_credential(&bench.caller("alice"), &shop).await.unwrap());
    }
    let verifiers = bench.engine.verifiers(&shop, "alice");
    assert_eq!(verifiers.salt, before.salt, "a name has the same salt before and after it has a credential");
    let live: Vec<_> = verifiers.keys.iter().map(|keys| keys.credential).collect();
    let newest: Vec<_> = minted.iter().rev().take(8).map(|minted| minted.id).collect();
    assert_eq!(live, newest);
    assert!(bench.engine.verifiers(&ResourceId::new("metrics"), "alice").keys.is_empty());
    let bench = bench.restart().await;
    assert_eq!(bench.engine.verifiers(&shop, "alice").keys.len(), 8);
    bench.clock.advance(Span::minutes(15));
    assert!(bench.engine.verifiers(&shop, "alice").keys.is_empty());
    let bench = bench.restart().await;
    let left = bench.store.scan(Drawer::Credentials, &crate::store::Scan::of(b"", 99)).unwrap();
    assert!(left.is_empty(), "what expired is taken out");
    assert_eq!(bench.count("token.issued"), 10);
}

#[tokio::test]
async fn services_get_no_credentials() {
    let bench = Bench::new().await;
    let refused =
        bench.engine.mint_credential(&bench.caller("ci"), &ResourceId::new("shop")).await.unwrap_err();
    assert!(refused.message.contains("does not permit"), "{refused}");
}

#[tokio::test]
async fn secrets_are_found_where_the_bundle_says() {
    let bench = Bench::new().await;
    let shop = ResourceId::new("shop");
    assert_eq!(bench.engine.secret(&shop, "shop_reader").unwrap().as_str(), "secret behind env:READER");
    assert!(matches!(bench.engine.secret(&shop, "shop_writer"), Err(SecretError::Missing(_))));
    bench.engine.put_secret("shop_writer", "hush").await.unwrap();
    assert_eq!(bench.engine.secret(&shop, "shop_writer").unwrap().as_str(), "hush");
    assert!(matches!(bench.engine.secret(&shop, "postgres"), Err(SecretError::NoReference { .. })));
    let sealed = bench.store.get(Drawer::Secrets, b"shop_writer").unwrap().unwrap();
    bench.store.put(&[Put::set(Drawer::Secrets, *b"other", sealed)]).unwrap();
    assert!(bench.engine.0.house.keyring.open("secret:other", b"").is_err());
}

/// Secrets and content are planted everywhere they may come from, then looked for in every file, in any form.
#[tokio::test]
async fn nothing_planted_is_in_a_file() {
    let bench = Bench::new().await;
    bench.engine.set_password(&who("alice"), "planted-password-1").await.unwrap();
    bench.engine.put_secret("shop_writer", "planted-secret-2").await.unwrap();
    let traveller = SignInClient { user_agent: Some("planted-agent-15/1".into()), ..sign_in_client() };
    let token = bench.engine.sign_in("alice", "planted-password-1", sign_in_client()).await.unwrap();
    let token = token.done().unwrap().token;
    bench.engine.sign_in("alice", "planted-password-1", traveller).await.unwrap();
    let bob = bench.caller("bob");
    let offer = bench.engine.offer_totp(&bob).await.unwrap();
    let recovery = bench.engine.bind_totp(&bob, &bench.engine.code_of(&offer.secret)).await.unwrap();
    let failed = bench.engine.sign_in("alice", "planted-attempt-3", sign_in_client()).await;
    assert!(failed.is_err());
    let minted =
        bench.engine.mint_credential(&bench.caller("alice"), &ResourceId::new("shop")).await.unwrap();
    let ask = crate::AskAccess {
        role: countersign_core::RoleId::new("shop-writer"),
        lasting: Span::minutes(30),
        purpose: "planted-purpose-4".into(),
        ticket: Some("planted-ticket-5".into()),
    };
    let id = bench.engine.ask(&bench.caller("alice"), ask).await.unwrap();
    bench.engine.approve(&bench.caller("bob"), id, None, Some("planted-comment-6".into())).await.unwrap();
    let session = bench.connect("alice", "shop-writer").await;
    let waiting = bench.hold(&session, "DELETE FROM t WHERE x = 'planted-text-7'").await;
    bench.engine.deny(&bench.caller("bob"), waiting.id(), Some("planted-denial-8".into())).await.unwrap();
    drop(waiting);
    let Judgement::Deny(denied) = bench.engine.judge(&session, drop_table("DROP TABLE planted_9")) else {
        panic!()
    };
    bench.engine.denied(denied).await.unwrap();
    let refusal = crate::SessionRefused {
        resource: None,
        user: "planted-user-10".into(),
        client: crate::Client { application: "planted-app-11".into(), ..client() },
        why: "planted-why-12".into(),
    };
    bench.engine.refused(refusal).await;
    let grant = bench.engine.snapshot().book.grants().next().unwrap().id;
    bench.engine.revoke(&bench.caller("bob"), grant, Some("planted-reason-13".into())).await.unwrap();
    let mut files = bundle();
    let people = files["people.toml"].replace("Alice Archer", "Planted Name 14");
    files.insert("people.toml".into(), people);
    bench.engine.apply_bundle(&bench.caller("dave"), files).await.unwrap();
    let mut planted = vec![
        token.to_string(),
        "planted-agent-15".into(),
        offer.secret.to_string(),
        recovery.recovery_codes[0].to_string(),
        recovery.recovery_codes[0].replace('-', ""),
        minted.password.to_string(),
        "Planted Name 14".into(),
        "alice@shop.example".into(),
        "Alice Archer".into(),
        "127.0.0.1:50000".into(),
        "planted".into(),
        "PLANTED".into(),
    ];
    let live = found(bench.folder.path(), &planted);
    assert!(live.is_empty(), "{live:?}");
    let (folder, ..) = bench.stop().await;
    planted.push("repair".into());
    let stopped = found(folder.path(), &planted);
    assert!(stopped.is_empty(), "{stopped:?}");
}

fn found(folder: &std::path::Path, planted: &[String]) -> Vec<String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let bytes = std::fs::read(&path).unwrap();
        for secret in planted {
            let hex: String = secret.bytes().map(|byte| format!("{byte:02x}")).collect();
            let forms = [secret.clone(), STANDARD.encode(secret), URL_SAFE_NO_PAD.encode(secret), hex];
            for form in forms {
                // The last characters of base64 depend on what follows.
                let form = &form.as_bytes()[..form.len().saturating_sub(3).max(6).min(form.len())];
                if bytes.windows(form.len()).any(|window| window == form) {
                    found.push(format!("{} in {}", String::from_utf8_lossy(form), path.display()));
                }
            }
        }
    }
    found
}
