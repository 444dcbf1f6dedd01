//! Sign-ins that are listed and ended, new places, and the second factor.

use std::net::IpAddr;

use countersign_core::{SignInId, Span};

use super::{Bench, sign_in_client, who};
use crate::store::{Drawer, Put, Store as _};
use crate::{Caller, Means, MeansSet, RefusedCode, SecondStep, SignInClient, SignInRefused, SignInStep, Via};

const PASSWORD: &str = "correct horse battery";

async fn with_passwords() -> Bench {
    let bench = Bench::new().await;
    for name in ["alice", "bob"] {
        bench.engine.set_password(&who(name), PASSWORD).await.unwrap();
    }
    bench
}

fn from(address: [u8; 4], program: &str) -> SignInClient {
    SignInClient { source: Some(IpAddr::from(address)), via: Via::Console, user_agent: Some(program.into()) }
}

async fn sign_in(bench: &Bench, name: &str, client: SignInClient) -> Caller {
    let via = client.via;
    let step = bench.engine.sign_in(name, PASSWORD, client.clone()).await.unwrap();
    bench.engine.caller(&step.done().unwrap().token, via, client.source).await.unwrap()
}

async fn second(bench: &Bench, name: &str, client: SignInClient) -> SecondStep {
    match bench.engine.sign_in(name, PASSWORD, client).await.unwrap() {
        SignInStep::Second(step) => step,
        SignInStep::Done(_) => panic!("a password was enough"),
    }
}

/// Binds an authenticator app to somebody. Gives its secret and the recovery codes.
async fn bind(bench: &Bench, name: &str) -> (String, Vec<String>) {
    let caller = sign_in(bench, name, sign_in_client()).await;
    let offer = bench.engine.offer_totp(&caller).await.unwrap();
    let bound = bench.engine.bind_totp(&caller, &bench.engine.code_of(&offer.secret)).await.unwrap();
    (offer.secret.to_string(), bound.recovery_codes.iter().map(|code| code.to_string()).collect())
}

#[tokio::test]
async fn sign_ins_are_seen_and_ended_by_their_owner() {
    let bench = with_passwords().await;
    let laptop = sign_in(&bench, "alice", from([192, 0, 2, 1], "Firefox/1 (Windows)")).await;
    bench.clock.advance(Span::minutes(5));
    let phone = sign_in(&bench, "alice", from([198, 51, 100, 1], "Safari/1 (iPhone)")).await;
    let seen = bench.engine.sign_ins(&laptop, &who("alice")).unwrap();
    let shown: Vec<_> = seen.iter().map(|one| (one.id, one.is_this, one.address.unwrap())).collect();
    assert_eq!(
        shown,
        [
            (phone.sign_in, false, IpAddr::from([198, 51, 100, 1])),
            (laptop.sign_in, true, IpAddr::from([192, 0, 2, 1]))
        ]
    );
    assert_eq!(seen[0].program.as_deref(), Some("Safari/1 (iPhone)"));
    assert_eq!((seen[0].via, seen[0].means), ("console", MeansSet::of(&[Means::Password])));
    assert_eq!(seen[0].ends_at, bench.engine.now().plus(Span::hours(1)));
    bench.engine.end_sign_in(&laptop, phone.sign_in).await.unwrap();
    assert!(!bench.engine.still_signed_in(&phone));
    assert!(bench.engine.still_signed_in(&laptop));
    let again = bench.engine.end_sign_in(&laptop, phone.sign_in).await.unwrap_err();
    assert_eq!(again.code, RefusedCode::NotFound);
    let bench = bench.restart().await;
    assert!(!bench.engine.still_signed_in(&phone), "nor after a restart");
    let left = bench.engine.sign_ins(&laptop, &who("alice")).unwrap();
    assert_eq!(left.len(), 1);
    assert_eq!(left[0].address, Some(IpAddr::from([192, 0, 2, 1])), "read back from the store");
    assert_eq!((bench.count("token.revoked"), bench.count("auth.logged_out")), (1, 0));
}

#[tokio::test]
async fn others_see_and_end_sign_ins_only_where_policy_lets_them() {
    let bench = with_passwords().await;
    let alice = sign_in(&bench, "alice", sign_in_client()).await;
    let (bob, carol, ci) = (bench.caller("bob"), bench.caller("carol"), bench.caller("ci"));
    for stranger in [&carol, &ci] {
        assert_eq!(
            bench.engine.sign_ins(stranger, &who("alice")).unwrap_err().code,
            RefusedCode::NotPermitted
        );
        let refused = bench.engine.end_sign_in(stranger, alice.sign_in).await.unwrap_err();
        let unknown = bench.engine.end_sign_in(stranger, SignInId(7)).await.unwrap_err();
        assert_eq!((refused.code, unknown.code), (RefusedCode::NotFound, RefusedCode::NotFound));
    }
    // What a service does is not its owner's, and the other way round.
    let dave = bench.caller("dave");
    assert!(bench.engine.sign_ins(&ci, &who("dave")).is_err());
    assert!(bench.engine.end_sign_in(&ci, dave.sign_in).await.is_err());
    assert_eq!(bench.engine.sign_ins(&bob, &who("alice")).unwrap().len(), 1);
    bench.engine.end_sign_in(&bob, alice.sign_in).await.unwrap();
    assert!(!bench.engine.still_signed_in(&alice));
    let line = bench.lines_of("token.revoked").pop().unwrap();
    assert_eq!((line.actor, line.subject), (Some(who("bob")), Some(who("alice"))));
}

#[tokio::test]
async fn a_sign_in_from_a_new_place_is_told_elsewhere_and_hidden_by_nobody() {
    let bench = with_passwords().await;
    let home = from([192, 0, 2, 1], "Mozilla/5.0 (X11; Linux) Firefox/130.0");
    let updated = from([192, 0, 2, 77], "Mozilla/5.0 (X11; Linux) Firefox/131.0");
    let first = sign_in(&bench, "alice", home.clone()).await;
    assert!(bench.engine.new_places(&first).is_empty(), "the first place is news to nobody");
    let second = sign_in(&bench, "alice", updated).await;
    assert!(bench.engine.new_places(&first).is_empty(), "the same network, the same browser");
    let thief = sign_in(&bench, "alice", from([203, 0, 113, 9], "curl/8")).await;
    assert!(bench.engine.new_places(&thief).is_empty());
    let refused = bench.engine.know_place(&thief, thief.sign_in).await.unwrap_err();
    assert_eq!(refused.code, RefusedCode::NotFound, "it cannot hide itself");
    let bench = bench.restart().await;
    for told in [&first, &second] {
        let news = bench.engine.new_places(told);
        assert_eq!(news.len(), 1);
        assert_eq!((news[0].sign_in, news[0].is_live), (thief.sign_in, true));
        assert_eq!((news[0].address, news[0].program.as_deref()), (thief.source, Some("curl/8")));
    }
    assert!(bench.engine.know_place(&bench.caller("bob"), thief.sign_in).await.is_err());
    bench.engine.know_place(&first, thief.sign_in).await.unwrap();
    assert!(bench.engine.new_places(&second).is_empty());
    let bench = bench.restart().await;
    assert!(bench.engine.new_places(&second).is_empty());
    let told = bench.lines_of("auth.succeeded");
    let new: Vec<bool> = told.iter().map(|line| line.data["new_place"] == true).collect();
    assert_eq!(new, [false, false, true]);
}

#[tokio::test]
async fn a_second_factor_completes_a_sign_in() {
    let bench = with_passwords().await;
    let (secret, _) = bind(&bench, "alice").await;
    let step = second(&bench, "alice", sign_in_client()).await;
    assert_eq!(step.means, [Means::Totp, Means::RecoveryCode]);
    assert!(bench.engine.caller(&step.pending, Via::Cli, None).await.is_err(), "it opens nothing");
    // The code that bound it was used; so is the next one after its use.
    let used = bench.engine.code_of(&secret);
    let refused = bench.engine.sign_in_second(&step.pending, &used, sign_in_client()).await.unwrap_err();
    assert_eq!(refused, SignInRefused::WrongCode);
    bench.clock.advance(Span::seconds(30));
    let code = bench.engine.code_of(&secret);
    let done = bench.engine.sign_in_second(&step.pending, &code, sign_in_client()).await.unwrap();
    let caller = bench.engine.caller(&done.token, Via::Cli, None).await.unwrap();
    assert_eq!(caller.proof.means, MeansSet::of(&[Means::Password, Means::Totp]));
    let again = bench.engine.sign_in_second(&step.pending, &code, sign_in_client()).await.unwrap_err();
    assert_eq!(again, SignInRefused::TooLate, "a first step is completed once");
    let step = second(&bench, "alice", sign_in_client()).await;
    let again = bench.engine.sign_in_second(&step.pending, &code, sign_in_client()).await.unwrap_err();
    assert_eq!(again, SignInRefused::WrongCode, "a code counts once");
    let bench = bench.restart().await;
    let step = second(&bench, "alice", sign_in_client()).await;
    let again = bench.engine.sign_in_second(&step.pending, &code, sign_in_client()).await.unwrap_err();
    assert_eq!(again, SignInRefused::WrongCode, "also after a restart");
    bench.clock.advance(Span::minutes(5));
    let code = bench.engine.code_of(&secret);
    let late = bench.engine.sign_in_second(&step.pending, &code, sign_in_client()).await.unwrap_err();
    assert_eq!(late, SignInRefused::TooLate);
    let line = bench.lines_of("auth.succeeded").pop().unwrap();
    assert_eq!(line.data["means"], serde_json::json!(["password", "totp"]));
}

#[tokio::test]
async fn of_two_that_come_with_one_code_one_is_second() {
    let bench = with_passwords().await;
    let (secret, _) = bind(&bench, "alice").await;
    bench.clock.advance(Span::seconds(30));
    let (one, other) =
        (second(&bench, "alice", sign_in_client()).await, second(&bench, "alice", sign_in_client()).await);
    let code = bench.engine.code_of(&secret);
    let (one, other) = tokio::join!(
        bench.engine.sign_in_second(&one.pending, &code, sign_in_client()),
        bench.engine.sign_in_second(&other.pending, &code, sign_in_client()),
    );
    assert_eq!(u32::from(one.is_ok()) + u32::from(other.is_ok()), 1);
}

#[tokio::test]
async fn one_step_and_one_recovery_code_sign_in_one_of_two_that_come_at_once() {
    let bench = with_passwords().await;
    let (secret, codes) = bind(&bench, "alice").await;
    let typed = async |pending: &str, code: &str| {
        bench.engine.sign_in_second(pending, code, sign_in_client()).await.is_ok()
    };
    // Two steps, one code.
    let one = second(&bench, "alice", sign_in_client()).await;
    let other = second(&bench, "alice", sign_in_client()).await;
    let (one, other) = tokio::join!(typed(&one.pending, &codes[0]), typed(&other.pending, &codes[0]));
    assert_eq!(u32::from(one) + u32::from(other), 1);
    // One step, two codes.
    bench.clock.advance(Span::minutes(1));
    let step = second(&bench, "alice", sign_in_client()).await;
    let now = bench.engine.code_of(&secret);
    let (one, other) = tokio::join!(typed(&step.pending, &codes[1]), typed(&step.pending, &now));
    assert_eq!(u32::from(one) + u32::from(other), 1);
}

/// Guesses that are sent at once are counted one by one: what is right among them, but too late, is not told.
#[tokio::test]
async fn who_guesses_many_at_once_gets_no_more_tries() {
    let bench = with_passwords().await;
    let (_, codes) = bind(&bench, "alice").await;
    let all = async |guesses: Vec<String>, pending: Option<String>| {
        let mut answers = tokio::task::JoinSet::new();
        for guess in guesses {
            let (engine, pending) = (bench.engine.clone(), pending.clone());
            answers.spawn(async move {
                match pending {
                    Some(pending) => engine.sign_in_second(&pending, &guess, sign_in_client()).await.err(),
                    None => engine.sign_in("bob", &guess, sign_in_client()).await.err(),
                }
            });
        }
        answers.join_all().await
    };
    let locked = |answers: &[Option<SignInRefused>]| {
        answers.iter().filter(|one| matches!(one, Some(SignInRefused::Locked { .. }))).count()
    };
    let wrong = |count: usize| (0..count).map(|nth| format!("{nth:06}")).collect::<Vec<_>>();
    let guesses = [wrong(30), vec![PASSWORD.to_owned()]].concat();
    let answers = all(guesses, None).await;
    assert!(answers.iter().all(Option::is_some), "the right one came after too many: {answers:?}");
    assert!(locked(&answers) > 20, "{answers:?}");
    let step = second(&bench, "alice", sign_in_client()).await;
    let guesses = [wrong(30), vec![codes[0].clone()]].concat();
    let answers = all(guesses, Some(step.pending.to_string())).await;
    assert!(answers.iter().all(Option::is_some), "the right one came after too many: {answers:?}");
    assert!(locked(&answers) > 20, "{answers:?}");
}

#[tokio::test]
async fn a_recovery_code_counts_once() {
    let bench = with_passwords().await;
    let (_, codes) = bind(&bench, "alice").await;
    assert_eq!(codes.len(), 10);
    let step = second(&bench, "alice", sign_in_client()).await;
    let typed = codes[3].to_uppercase().replace('-', " ");
    let done = bench.engine.sign_in_second(&step.pending, &typed, sign_in_client()).await.unwrap();
    let caller = bench.engine.caller(&done.token, Via::Cli, None).await.unwrap();
    assert_eq!(caller.proof.means, MeansSet::of(&[Means::Password, Means::RecoveryCode]));
    let left = bench.engine.authenticators(&caller).await.unwrap()[1].left;
    assert_eq!(left, Some(9));
    let step = second(&bench, "alice", sign_in_client()).await;
    let again = bench.engine.sign_in_second(&step.pending, &codes[3], sign_in_client()).await;
    assert_eq!(again.unwrap_err(), SignInRefused::WrongCode);
    let renewed = bench.engine.renew_recovery_codes(&caller).await.unwrap();
    let old = bench.engine.sign_in_second(&step.pending, &codes[4], sign_in_client()).await;
    assert_eq!(old.unwrap_err(), SignInRefused::WrongCode, "the old ones count no more");
    assert!(bench.engine.sign_in_second(&step.pending, &renewed[0], sign_in_client()).await.is_ok());
}

#[tokio::test]
async fn wrong_codes_lock_out_whoever_guesses_and_not_the_person() {
    let bench = with_passwords().await;
    let (secret, _) = bind(&bench, "alice").await;
    for network in 0..8 {
        let guesser = from([203, 0, network, 9], "curl/8");
        for n in 1..=5 {
            // A right password in between resets nothing.
            let Ok(SignInStep::Second(step)) = bench.engine.sign_in("alice", PASSWORD, guesser.clone()).await
            else {
                panic!()
            };
            let refused = bench.engine.sign_in_second(&step.pending, "000000", guesser.clone()).await;
            let locked = matches!(refused.unwrap_err(), SignInRefused::Locked { .. });
            assert_eq!(locked, n == 5 || network >= 4, "network {network}, try {n}");
        }
    }
    let step = second(&bench, "alice", sign_in_client()).await;
    bench.clock.advance(Span::seconds(30));
    let code = bench.engine.code_of(&secret);
    let elsewhere = from([203, 0, 200, 1], "curl/8");
    let unknown = bench.engine.sign_in_second(&step.pending, &code, elsewhere.clone()).await;
    assert!(matches!(unknown.unwrap_err(), SignInRefused::Locked { .. }), "unknown places wait");
    assert!(bench.engine.sign_in_second(&step.pending, &code, sign_in_client()).await.is_ok());
}

#[tokio::test]
async fn what_is_bound_is_changed_right_after_a_sign_in_that_had_it() {
    let bench = with_passwords().await;
    let old = sign_in(&bench, "alice", sign_in_client()).await;
    let (_, codes) = bind(&bench, "alice").await;
    let weak = bench.engine.renew_recovery_codes(&old).await.unwrap_err();
    assert!(weak.message.contains("password alone"), "{weak}");
    let step = second(&bench, "alice", sign_in_client()).await;
    let done = bench.engine.sign_in_second(&step.pending, &codes[0], sign_in_client()).await.unwrap();
    bench.clock.advance(Span::minutes(20));
    let late = bench.engine.caller(&done.token, Via::Cli, None).await.unwrap();
    let refused = bench.engine.renew_recovery_codes(&late).await.unwrap_err();
    assert!(refused.message.contains("right after signing in"), "{refused}");
    let step = second(&bench, "alice", sign_in_client()).await;
    let done = bench.engine.sign_in_second(&step.pending, &codes[1], sign_in_client()).await.unwrap();
    let caller = bench.engine.caller(&done.token, Via::Cli, None).await.unwrap();
    assert_eq!(bench.engine.offer_totp(&caller).await.unwrap_err().code, RefusedCode::Conflict);
    let bound = bench.engine.authenticators(&caller).await.unwrap();
    bench.engine.unbind(&caller, bound[0].id.unwrap()).await.unwrap();
    assert!(bench.engine.authenticators(&caller).await.unwrap().is_empty());
    sign_in(&bench, "alice", sign_in_client()).await;
    assert_eq!((bench.count("authenticator.bound"), bench.count("authenticator.revoked")), (1, 1));
    let service = bench.engine.offer_totp(&bench.caller("ci")).await.unwrap_err();
    assert_eq!(service.code, RefusedCode::NotPermitted);
}

#[tokio::test]
async fn an_offer_is_bound_by_a_code_of_it_and_not_for_ever() {
    let bench = with_passwords().await;
    let caller = sign_in(&bench, "alice", sign_in_client()).await;
    assert_eq!(bench.engine.bind_totp(&caller, "000000").await.unwrap_err().code, RefusedCode::Conflict);
    let offer = bench.engine.offer_totp(&caller).await.unwrap();
    assert!(offer.uri.contains(offer.secret.as_str()) && offer.uri.starts_with("otpauth://totp/"));
    assert_eq!(bench.engine.bind_totp(&caller, "0").await.unwrap_err().code, RefusedCode::Invalid);
    let other = sign_in(&bench, "alice", sign_in_client()).await;
    let code = bench.engine.code_of(&offer.secret);
    assert_eq!(bench.engine.bind_totp(&other, &code).await.unwrap_err().code, RefusedCode::Conflict);
    bench.clock.advance(Span::minutes(5));
    let code = bench.engine.code_of(&offer.secret);
    assert_eq!(bench.engine.bind_totp(&caller, &code).await.unwrap_err().code, RefusedCode::Conflict);
    sign_in(&bench, "alice", sign_in_client()).await;
}

#[tokio::test]
async fn what_was_lost_is_taken_away_by_somebody_else() {
    let bench = with_passwords().await;
    let (_, codes) = bind(&bench, "alice").await;
    let step = second(&bench, "alice", sign_in_client()).await;
    let done = bench.engine.sign_in_second(&step.pending, &codes[0], sign_in_client()).await.unwrap();
    let alice = bench.engine.caller(&done.token, Via::Cli, None).await.unwrap();
    let (bob, carol, ci) = (bench.caller("bob"), bench.caller("carol"), bench.caller("ci"));
    for caller in [&carol, &ci, &alice] {
        let refused = bench.engine.reset_authenticators(caller, &who("alice")).await.unwrap_err();
        assert_eq!(refused.code, RefusedCode::NotPermitted, "{:?}", caller.principal);
    }
    bench.engine.reset_authenticators(&bob, &who("alice")).await.unwrap();
    assert!(!bench.engine.still_signed_in(&alice));
    sign_in(&bench, "alice", sign_in_client()).await;
    let nothing = bench.engine.clear_authenticators(&who("alice")).await.unwrap_err();
    assert_eq!(nothing.code, RefusedCode::NotFound);
}

#[tokio::test]
async fn what_cannot_be_read_is_not_nothing() {
    let bench = with_passwords().await;
    bind(&bench, "alice").await;
    let sealed = bench.store.get(Drawer::Authenticators, b"alice");
    let mut sealed = sealed.unwrap().unwrap();
    sealed[20] ^= 1;
    bench.store.put(&[Put::set(Drawer::Authenticators, *b"alice", sealed)]).unwrap();
    let refused = bench.engine.sign_in("alice", PASSWORD, sign_in_client()).await.unwrap_err();
    assert!(matches!(refused, SignInRefused::Unavailable(_)), "{refused}");
}

/// Policies ask for a second factor, and how long ago it was shown.
#[tokio::test]
async fn policy_sees_how_somebody_signed_in() {
    let mut files = super::bundle();
    files.get_mut("house.cedar").unwrap().push_str(
        r#"
@id("the-writer-role-is-asked-for-with-a-second-factor")
@reason("sign in with a second factor, within the last ten minutes")
forbid (principal, action == Action::"access.request", resource == Role::"shop-writer")
unless {
  context has auth_methods && context has auth_age
  && (context.auth_methods.contains("totp") || context.auth_methods.contains("passkey"))
  && context.auth_age <= duration("10m")
};
"#,
    );
    let bench = Bench::with_bundle(files).await;
    let ask = |caller: Caller| {
        let engine = bench.engine.clone();
        async move {
            let ask = crate::AskAccess {
                role: countersign_core::RoleId::new("shop-writer"),
                lasting: Span::minutes(30),
                purpose: "repair".into(),
                ticket: None,
            };
            engine.ask(&caller, ask).await
        }
    };
    let weak = ask(bench.caller("alice")).await.unwrap_err();
    assert!(weak.message.contains("second factor"), "{weak}");
    let mut late = bench.caller_with("alice", &[Means::Password, Means::Totp]);
    late.proof.age = Span::minutes(11);
    assert!(ask(late).await.is_err());
    let id = ask(bench.caller_with("alice", &[Means::Password, Means::Totp])).await.unwrap();
    // What counts is how it was when it was asked, also a quarter of an hour and a restart later.
    bench.clock.advance(Span::minutes(15));
    let bench = bench.restart().await;
    bench.engine.approve(&bench.caller("bob"), id, None, None).await.unwrap();
    let state = bench.engine.snapshot().book.request(id).unwrap().state.as_str().to_owned();
    assert_eq!(state, "approved");
}

/// How fresh a sign-in is, is asked where the credential for a door is made, and of each statement.
#[tokio::test]
async fn a_door_is_opened_by_a_fresh_sign_in_where_policy_wants_one() {
    let mut files = super::bundle();
    files.get_mut("house.cedar").unwrap().push_str(
        r#"
@id("credentials-want-a-fresh-sign-in")
@reason("sign in again, then connect")
forbid (principal, action == Action::"credential.mint", resource)
unless { context has auth_age && context.auth_age <= duration("15m") };

@id("statements-want-a-sign-in")
forbid (principal, action == Action::"sql.delete", resource)
unless { context has auth_age && context.auth_age <= duration("15m") };
"#,
    );
    let bench = Bench::with_bundle(files).await;
    let shop = countersign_core::ResourceId::new("shop");
    let fresh = bench.caller("alice");
    let mut late = fresh.clone();
    late.proof.age = Span::minutes(16);
    let refused = bench.engine.mint_credential(&late, &shop).await.unwrap_err();
    assert_eq!(refused.code, RefusedCode::NotPermitted);
    assert!(refused.message.contains("sign in again, then connect"), "{refused}");
    let minted = bench.engine.mint_credential(&fresh, &shop).await.unwrap();
    assert!(
        minted.expires_at.since(bench.engine.now()) <= Span::minutes(15),
        "it is of use no longer than that"
    );

    // At the door it is known by which sign-in the credential was made, and how old that is with each statement.
    bench.clock.advance(Span::minutes(10));
    let password = bench.engine.credential_of(&shop, "alice", &minted.password).unwrap();
    let proved = password.proved.unwrap();
    assert_eq!((proved.means, proved.at), (fresh.proof.means, fresh.signed_in_at));
    let delete = || super::write("DELETE FROM orders WHERE id = 1");
    let session = session_of(&bench, Some(proved)).await;
    assert!(matches!(bench.engine.judge(&session, delete()), crate::Judgement::Hold(_)));
    bench.clock.advance(Span::minutes(6));
    let crate::Judgement::Deny(denied) = bench.engine.judge(&session, delete()) else { panic!() };
    let refused = bench.engine.denied(denied).await.unwrap();
    assert!(refused.message.contains("statements-want-a-sign-in"), "{refused}");

    // Where nobody signed in for it, what wants a sign-in lets nothing through.
    let session = session_of(&bench, None).await;
    assert!(matches!(bench.engine.judge(&session, delete()), crate::Judgement::Deny(_)));
}

/// A session of alice's, who presented something that came of this sign-in.
async fn session_of(bench: &Bench, proved: Option<crate::Proved>) -> crate::Session {
    bench.grant("alice", "shop-writer").await;
    let (shop, role) =
        (countersign_core::ResourceId::new("shop"), countersign_core::RoleId::new("shop-writer"));
    let client = crate::Client { proved, ..super::client() };
    bench.engine.open_session(who("alice"), shop, Some(role), "postgres", client, None, None).await.unwrap()
}

/// What was allowed by a fresh sign-in is asked again once it is old, however often the same was said before.
#[tokio::test]
async fn what_a_fresh_sign_in_allows_is_not_remembered() {
    let mut files = super::bundle();
    files.get_mut("house.cedar").unwrap().push_str(
        r#"
@id("reading-wants-a-fresh-passkey")
forbid (principal, action == Action::"sql.select", resource)
unless {
  context has auth_methods && context.auth_methods.contains("passkey")
  && context has auth_age && context.auth_age < duration("15m")
};
"#,
    );
    let bench = Bench::with_bundle(files).await;
    let by = |means: &[Means]| crate::Proved { means: crate::MeansSet::of(means), at: bench.engine.now() };
    let weak = session_of(&bench, Some(by(&[Means::Password, Means::Totp]))).await;
    let session = session_of(&bench, Some(by(&[Means::Passkey]))).await;
    let attempt = super::select("SELECT 1");
    let allows = |session: &crate::Session| {
        let judgement = bench.engine.judge(session, attempt.clone());
        matches!(judgement, crate::Judgement::Allow(_))
    };
    assert!(!allows(&weak), "another factor is not the one that is wanted");
    assert!(allows(&session) && allows(&session));
    bench.clock.advance(Span::minutes(15));
    assert!(!allows(&session));
    // Its record says what it was judged by.
    let opened = bench.lines_of("session.opened").pop().unwrap();
    let kept = bench.engine.0.house.content(opened.index).unwrap().remove(0);
    let said: serde_json::Value = serde_json::from_slice(&kept.bytes).unwrap();
    assert_eq!(said["proved"]["means"], serde_json::json!(["passkey"]));
}
