//! The first-run set-up: by whoever holds the code, once, as a whole, and then never again; and the invitation that comes
//! of it.

use countersign_core::{Book, ResourceId, Span};
use zeroize::Zeroizing;

use super::passkeys::Device;
use super::{Bench, sign_in_client, who};
use crate::setup::{Account, Database, Founded, Founding, Person, Reached, SetupCode, SetupRefused};
use crate::store::{Drawer, Scan, Store as _};
use crate::webauthn::tests::Keys;
use crate::{Engine, SignInRefused, Via};

const SECRET: &str = "the writer's own password";

fn account(name: &str, password: &str) -> Account {
    Account::new(name, Zeroizing::new(password.into())).unwrap()
}

fn founding() -> Founding {
    let database = Database {
        name: ResourceId::new("orders"),
        title: "Orders".into(),
        host: "127.0.0.1".into(),
        port: 5432,
        database: "orders".into(),
        tls: "disable".into(),
        tls_ca: None,
        writer: account("writer", SECRET),
        reader: Some(account("reader", "another")),
    };
    Founding {
        house: "Example".into(),
        administrator: Person::new("ada", "Ada Adler", None).unwrap(),
        second: Person::new("ben", "Ben Berg", None).unwrap(),
        database,
    }
}

/// A door whose server lets in everybody who says the right password.
fn door(engine: &Engine) {
    let mut wishes = engine.trying_wishes("postgres");
    tokio::spawn(async move {
        while let Some(wish) = wishes.recv().await {
            let account = wish.role.account.clone();
            let is_right = ["another", SECRET].contains(&wish.password.as_str());
            let reached = Reached { account, server: "17.2".into(), beyond: Vec::new() };
            wish.answer(if is_right { Ok(reached) } else { Err("the server says no".into()) });
        }
    });
}

async fn opened(bench: &Bench) -> SetupCode {
    door(&bench.engine);
    bench.engine.open_setup().await.unwrap().unwrap()
}

async fn found(bench: &Bench, code: &str, device: &mut Device) -> Result<Founded, SetupRefused> {
    let (founding, client) = (founding(), sign_in_client());
    let offer = bench.engine.offer_setup(code, &founding.administrator, &client).await?;
    let made = device.made(&offer);
    bench.engine.found(code, founding, made, client).await
}

fn is_none(refused: &SetupRefused) -> bool {
    matches!(refused, SetupRefused::None)
}

#[tokio::test]
async fn whoever_holds_the_code_sets_the_gateway_up_once() {
    let bench = Bench::empty();
    let SetupCode { code, .. } = opened(&bench).await;
    assert!(bench.engine.setup().await.unwrap());
    let mut device = Device::new(Keys::p256(), b"credential of ada");
    // How it is typed makes no difference.
    let typed = code.to_uppercase().replace('-', " ");
    let Founded { signed_in, invitation } = found(&bench, &typed, &mut device).await.unwrap();
    assert_eq!(signed_in.principal, who("ada"));
    let ada = bench.engine.caller(&signed_in.token, Via::Console, None).await.unwrap();
    assert!(ada.proof.means.is_two_factors());
    let snapshot = bench.engine.snapshot();
    let book: &Book = &snapshot.book;
    assert_eq!(book.in_force.as_ref().unwrap().version, 1);
    assert_eq!(*bench.engine.secret(&ResourceId::new("orders"), "writer").unwrap(), SECRET);
    assert!(is_none(&bench.engine.setup().await.unwrap_err()));
    assert!(is_none(&bench.engine.check_setup_code(&code, &sign_in_client()).await.unwrap_err()));
    let again = found(&bench, &code, &mut Device::new(Keys::p256(), b"another")).await.unwrap_err();
    assert!(is_none(&again));
    // Whoever was invited makes a passkey of their own, once.
    let mut bens = Device::new(Keys::ed25519(), b"credential of ben");
    let client = sign_in_client();
    let offer = bench.engine.offer_invited("ben", &invitation.code, &client).await.unwrap();
    let made = bens.made(&offer);
    let wrong = bench.engine.accept_invitation(("ben", "wrong"), made.clone(), client.clone()).await;
    assert_eq!(wrong.unwrap_err(), SignInRefused::NotInvited);
    let accept =
        async |made| bench.engine.accept_invitation(("ben", &invitation.code), made, sign_in_client()).await;
    assert_eq!(accept(made.clone()).await.unwrap().principal, who("ben"));
    assert_eq!(accept(made).await.unwrap_err(), SignInRefused::NotInvited, "it is used up");
    let bench = bench.restart().await;
    assert!(bench.engine.open_setup().await.unwrap().is_none(), "there is nothing to set up any more");
    assert!(device.sign_in(&bench).await.is_ok() && bens.sign_in(&bench).await.is_ok());
    let kinds = ["authenticator.bound", "authenticator.invited", "policy.activated", "auth.failed"];
    assert_eq!(kinds.map(|kind| bench.count(kind)), [2, 1, 1, 2]);
    // Opened, tried, two secrets, closed.
    assert_eq!(bench.count("config.changed"), 5);
    for drawer in Drawer::ALL {
        for (_, value) in bench.store.scan(drawer, &Scan::of(b"", 9_999)).unwrap() {
            for plain in [SECRET, code.as_str(), invitation.code.as_str()] {
                assert!(!value.windows(plain.len()).any(|part| part == plain.as_bytes()), "{drawer:?}");
            }
        }
    }
}

#[tokio::test]
async fn the_code_ends_by_time_and_when_it_is_tried_too_often() {
    let bench = Bench::empty();
    assert!(is_none(&bench.engine.setup().await.unwrap_err()), "nobody has opened it");
    let SetupCode { code, until } = opened(&bench).await;
    let client = sign_in_client();
    bench.engine.check_setup_code(&code, &client).await.unwrap();
    let wrong = bench.engine.check_setup_code("abcd-efgh-ijkm-nopq", &client).await.unwrap_err();
    assert!(matches!(wrong, SetupRefused::WrongCode));
    bench.clock.set(until);
    assert!(is_none(&bench.engine.check_setup_code(&code, &client).await.unwrap_err()), "too late");
    // Opened again, it is another code.
    let SetupCode { code: other, .. } = bench.engine.open_setup().await.unwrap().unwrap();
    assert!(matches!(bench.engine.check_setup_code(&code, &client).await, Err(SetupRefused::WrongCode)));
    bench.engine.check_setup_code(&other, &client).await.unwrap();
    for _ in 0..99 {
        let _ = bench.engine.check_setup_code("wrong", &client).await;
    }
    assert!(is_none(&bench.engine.check_setup_code(&other, &client).await.unwrap_err()), "tried too often");
    assert!(bench.count("auth.failed") > 0);
}

#[tokio::test]
async fn nothing_is_in_force_until_everything_is_there() {
    let bench = Bench::empty();
    let SetupCode { code, .. } = opened(&bench).await;
    let client = sign_in_client();
    let mut bad = founding();
    bad.database.writer = account("writer", "wrong");
    let refused = bench.engine.try_database(&code, &bad.database, &client).await.unwrap_err();
    assert!(refused.to_string().contains("not reached as `writer`: the server says no"), "{refused}");
    let reached = bench.engine.try_database(&code, &founding().database, &client).await.unwrap();
    assert_eq!(reached.iter().map(|one| one.account.as_str()).collect::<Vec<_>>(), ["writer", "reader"]);
    // A database that is not reached, a passkey that was made for somebody else, and a wrong code.
    let offer = bench.engine.offer_setup(&code, &bad.administrator, &client).await.unwrap();
    let mut device = Device::new(Keys::p256(), b"credential");
    let made = device.made(&offer);
    assert!(bench.engine.found(&code, bad, made.clone(), client.clone()).await.is_err());
    let mut other = founding();
    other.administrator = Person::new("eve", "Eve", None).unwrap();
    assert!(bench.engine.found(&code, other, made.clone(), client.clone()).await.is_err());
    assert!(bench.engine.found("wrong", founding(), made.clone(), client.clone()).await.is_err());
    assert!(bench.engine.snapshot().book.in_force.is_none());
    assert_eq!(bench.count("authenticator.bound"), 0);
    assert!(bench.store.scan(Drawer::Secrets, &Scan::of(b"", 9)).unwrap().is_empty());
    bench.engine.found(&code, founding(), made, client).await.unwrap();
    assert_eq!(bench.count("policy.activated"), 1);
}

#[tokio::test]
async fn an_invitation_ends_by_time_and_opens_no_account_that_has_a_passkey() {
    let bench = Bench::empty();
    let SetupCode { code, .. } = opened(&bench).await;
    let founded = found(&bench, &code, &mut Device::new(Keys::p256(), b"ada")).await.unwrap();
    let invited = founded.invitation;
    let client = sign_in_client();
    let other = bench.engine.offer_invited("ada", &invited.code, &client).await.unwrap_err();
    assert_eq!(other, SignInRefused::NotInvited, "it is ben's");
    bench.engine.offer_invited("ben", &invited.code, &client).await.unwrap();
    bench.clock.advance(Span::hours(72));
    let late = bench.engine.offer_invited("ben", &invited.code, &client).await.unwrap_err();
    assert_eq!(late, SignInRefused::NotInvited);
    let mut last = late;
    for _ in 0..20 {
        last = bench.engine.offer_invited("ben", "guessed", &client).await.unwrap_err();
    }
    assert!(matches!(last, SignInRefused::Locked { .. }), "{last}");
}
