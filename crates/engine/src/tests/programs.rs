//! Programs that are let in by whoever signed in at the console.

use std::net::IpAddr;
use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use countersign_core::Span;

use super::{Bench, who};
use crate::testing::{ManualClock, ports};
use crate::{Caller, DeviceStep, Means, MeansSet, RefusedCode, SignInClient, SignInRefused, SignedIn, Via};
use crate::{Engine, MasterKey, Settings, SqliteStore};

const PASSWORD: &str = "correct horse battery";
const VERIFIER: &str = "0123456789abcdef0123456789abcdef0123456789abcdef";

fn console(address: [u8; 4]) -> SignInClient {
    let user_agent = Some("Mozilla/5.0 (X11; Linux) Firefox/130.0".into());
    SignInClient { source: Some(IpAddr::from(address)), via: Via::Console, user_agent }
}

fn terminal() -> SignInClient {
    let source = Some(IpAddr::from([198, 51, 100, 9]));
    SignInClient { source, via: Via::Cli, user_agent: Some("countersign/0.1.0".into()) }
}

async fn at_the_console(bench: &Bench, name: &str) -> Caller {
    bench.engine.set_password(&who(name), PASSWORD).await.unwrap();
    let client = console([192, 0, 2, 1]);
    let step = bench.engine.sign_in(name, PASSWORD, client.clone()).await.unwrap();
    bench.engine.caller(&step.done().unwrap().token, Via::Console, client.source).await.unwrap()
}

fn challenge(verifier: &str) -> String {
    URL_SAFE_NO_PAD.encode(digest(&SHA256, verifier.as_bytes()))
}

/// A program on the machine of the browser, let in by `caller`.
async fn let_in(bench: &Bench, caller: &Caller) -> SignedIn {
    let given = bench.engine.allow_program(caller, &challenge(VERIFIER)).await.unwrap();
    bench.engine.redeem_program(&given.code, VERIFIER, terminal()).await.unwrap()
}

async fn caller_of(bench: &Bench, signed_in: &SignedIn) -> Caller {
    bench.engine.caller(&signed_in.token, Via::Cli, terminal().source).await.unwrap()
}

fn over(got: Result<SignedIn, SignInRefused>) {
    assert_eq!(got.unwrap_err(), SignInRefused::Over);
}

#[tokio::test]
async fn a_program_on_the_browsers_machine_is_whoever_let_it_in() {
    let bench = Bench::new().await;
    let alice = at_the_console(&bench, "alice").await;
    bench.clock.advance(Span::minutes(20));
    let alice = Caller { proof: crate::Proof { age: Span::minutes(20), ..alice.proof }, ..alice };
    let signed_in = let_in(&bench, &alice).await;
    assert_eq!(signed_in.principal, who("alice"));
    assert_eq!(
        signed_in.expires_at,
        alice.signed_in_at.plus(Span::hours(24)),
        "no later than what let it in"
    );
    let program = caller_of(&bench, &signed_in).await;
    assert_eq!(program.proof.means, MeansSet::of(&[Means::Password]));
    assert_eq!(program.proof.age, Span::minutes(20), "nobody was asked anew who they are");
    let line = bench.lines_of("auth.succeeded").pop().unwrap();
    assert_eq!(line.data["let_in_by"], alice.sign_in.to_string());
    assert_eq!((line.actor, line.data["via"].as_str()), (Some(who("alice")), Some("cli")));
    let word = bench.lines_of("token.issued").pop().unwrap();
    assert_eq!(
        word.data["let_in_by"],
        alice.sign_in.to_string(),
        "whose word it was, before anything came of it"
    );
    assert_eq!((word.actor, word.data["via"].as_str()), (Some(who("alice")), Some("console")));
    let bench = bench.restart().await;
    let again = caller_of(&bench, &signed_in).await;
    let seen = bench.engine.sign_ins(&again, &who("alice")).unwrap();
    assert_eq!(seen.iter().find(|one| one.is_this).unwrap().let_in_by, Some(alice.sign_in));
    // However much it is used.
    for _ in 0..48 {
        bench.clock.advance(Span::minutes(30));
        let _used = bench.engine.caller(&signed_in.token, Via::Cli, None).await;
    }
    assert!(!bench.engine.still_signed_in(&again));
}

#[tokio::test]
async fn a_code_counts_once_with_its_verifier_and_not_for_long() {
    let bench = Bench::new().await;
    let alice = at_the_console(&bench, "alice").await;
    let code = async || bench.engine.allow_program(&alice, &challenge(VERIFIER)).await.unwrap().code;
    over(bench.engine.redeem_program("", VERIFIER, terminal()).await);
    over(bench.engine.redeem_program("guessed", VERIFIER, terminal()).await);
    let other = VERIFIER.replace('0', "1");
    for wrong in ["", &other, &challenge(VERIFIER), &"a".repeat(42), &"a".repeat(129)] {
        let code = code().await;
        over(bench.engine.redeem_program(&code, wrong, terminal()).await);
        over(bench.engine.redeem_program(&code, VERIFIER, terminal()).await);
    }
    // A verifier that is too short to be one does not count, though it is what the challenge was made of.
    let short = bench.engine.allow_program(&alice, &challenge("short")).await.unwrap().code;
    over(bench.engine.redeem_program(&short, "short", terminal()).await);
    let late = code().await;
    bench.clock.advance(Span::minutes(1));
    over(bench.engine.redeem_program(&late, VERIFIER, terminal()).await);
    for challenge in ["", "short", &"a".repeat(44), &challenge(VERIFIER).replace(char::is_alphanumeric, "+")]
    {
        let refused = bench.engine.allow_program(&alice, challenge).await.unwrap_err();
        assert_eq!(refused.code, RefusedCode::Invalid);
    }
    // Whoever comes with it again was robbed or is a thief: what came of it ends.
    let code = code().await;
    let signed_in = bench.engine.redeem_program(&code, VERIFIER, terminal()).await.unwrap();
    let program = caller_of(&bench, &signed_in).await;
    over(bench.engine.redeem_program(&code, "stolen", terminal()).await);
    assert!(!bench.engine.still_signed_in(&program) && bench.engine.still_signed_in(&alice));
    assert_eq!(bench.count("token.revoked"), 1);
}

#[tokio::test]
async fn only_a_person_at_the_console_lets_in() {
    let bench = Bench::new().await;
    let alice = at_the_console(&bench, "alice").await;
    let signed_in = let_in(&bench, &alice).await;
    let program = caller_of(&bench, &signed_in).await;
    // As a bearer, and in a cookie as if it were a browser.
    let disguised = bench.engine.caller(&signed_in.token, Via::Console, None).await.unwrap();
    let elsewhere = Caller { via: Via::Api, ..alice.clone() };
    let begun = bench.engine.begin_device("laptop", terminal()).unwrap();
    for caller in [program, disguised, elsewhere, bench.caller("ci"), bench.caller("dave")] {
        let refused = bench.engine.allow_program(&caller, &challenge(VERIFIER)).await.unwrap_err();
        assert_eq!(refused.code, RefusedCode::NotPermitted);
        assert!(bench.engine.device_asked(&caller, &begun.user_code).await.is_err());
        assert!(bench.engine.answer_device(&caller, &begun.user_code, true).await.is_err());
    }
    let waits = bench.engine.redeem_device(&begun.device_code, terminal()).await.unwrap();
    assert!(matches!(waits, DeviceStep::Waits(_)));
}

#[tokio::test]
async fn a_program_ends_with_what_let_it_in_if_that_is_taken_away() {
    let bench = Bench::new().await;
    let alice = at_the_console(&bench, "alice").await;
    let kept = let_in(&bench, &alice).await;
    bench.engine.sign_out(&alice).await;
    let program = caller_of(&bench, &kept).await;
    assert!(bench.engine.still_signed_in(&program), "closing the console closes no terminal");

    let stolen = at_the_console(&bench, "alice").await;
    let thief = caller_of(&bench, &let_in(&bench, &stolen).await).await;
    let waiting = bench.engine.allow_program(&stolen, &challenge(VERIFIER)).await.unwrap();
    bench.engine.end_sign_in(&program, stolen.sign_in).await.unwrap();
    assert!(!bench.engine.still_signed_in(&thief), "what a thief let in ends with the thief's sign-in");
    over(bench.engine.redeem_program(&waiting.code, VERIFIER, terminal()).await);
    assert!(bench.engine.still_signed_in(&program));
}

#[tokio::test]
async fn a_machine_without_a_browser_is_let_in_by_its_code() {
    let bench = Bench::new().await;
    let alice = at_the_console(&bench, "alice").await;
    let begun = bench.engine.begin_device("build-7", terminal()).unwrap();
    assert_eq!(begun.user_code.len(), 9);
    let asked = bench.engine.device_asked(&alice, &begun.user_code.to_lowercase()).await.unwrap();
    assert_eq!((asked.machine.as_str(), asked.address), ("build-7", terminal().source));
    assert!(asked.is_elsewhere);
    let step = bench.engine.redeem_device(&begun.device_code, terminal()).await.unwrap();
    assert!(matches!(step, DeviceStep::Waits(every) if every == Span::seconds(5)));
    bench.engine.answer_device(&alice, &begun.user_code, true).await.unwrap();
    let word = bench.lines_of("token.issued").pop().unwrap();
    assert_eq!(
        (word.actor, word.data["let_in_by"].as_str()),
        (Some(who("alice")), Some(&*alice.sign_in.to_string()))
    );
    // The answer stands: nobody else's word changes it.
    let bob = at_the_console(&bench, "bob").await;
    assert!(bench.engine.answer_device(&bob, &begun.user_code, false).await.is_err());
    assert!(matches!(
        bench.engine.redeem_device(&begun.user_code, terminal()).await.unwrap_err(),
        SignInRefused::Over
    ));
    let done = bench.engine.redeem_device(&begun.device_code, terminal()).await.unwrap();
    let DeviceStep::Done(signed_in) = done else { panic!("{done:?}") };
    assert_eq!(signed_in.principal, who("alice"));
    assert_eq!(bench.engine.new_places(&alice).len(), 1, "and she is told of the new place");
    let again = bench.engine.redeem_device(&begun.device_code, terminal()).await.unwrap_err();
    assert_eq!(again, SignInRefused::Over);
}

#[tokio::test]
async fn a_device_code_is_declined_lapses_and_may_not_be_hammered() {
    let bench = Bench::new().await;
    let alice = at_the_console(&bench, "alice").await;
    let begun = bench.engine.begin_device("build-7", terminal()).unwrap();
    bench.engine.answer_device(&alice, &begun.user_code, false).await.unwrap();
    let said = bench.engine.redeem_device(&begun.device_code, terminal()).await.unwrap_err();
    assert_eq!(said, SignInRefused::Declined);
    let line = bench.lines_of("token.rejected").pop().unwrap();
    assert_eq!((line.actor, line.data["via"].as_str()), (Some(who("alice")), Some("cli")));

    let begun = bench.engine.begin_device("build-7", terminal()).unwrap();
    let mut every = Vec::new();
    for wait in [0, 1, 5, 20] {
        bench.clock.advance(Span::seconds(wait));
        match bench.engine.redeem_device(&begun.device_code, terminal()).await.unwrap() {
            DeviceStep::Waits(span) => every.push(span.to_string()),
            DeviceStep::Done(_) => panic!("nobody let it in"),
        }
    }
    assert_eq!(every, ["5s", "10s", "15s", "15s"], "who asks too often asks less often");
    bench.clock.advance(Span::minutes(10));
    let late = bench.engine.answer_device(&alice, &begun.user_code, true).await.unwrap_err();
    assert_eq!(late.code, RefusedCode::NotFound);
    let late = bench.engine.redeem_device(&begun.device_code, terminal()).await.unwrap_err();
    assert_eq!(late, SignInRefused::Over);
}

/// Guessing codes of others locks out whoever guesses; filling the list of those that wait harms who fills it.
#[tokio::test]
async fn codes_are_not_guessed_and_nobody_is_crowded_out() {
    let bench = Bench::new().await;
    let (alice, bob) = (at_the_console(&bench, "alice").await, at_the_console(&bench, "bob").await);
    let home = SignInClient { source: Some(IpAddr::from([203, 0, 113, 7])), ..terminal() };
    let begun = bench.engine.begin_device("laptop", home).unwrap();
    for n in 0..40_u8 {
        let flood = SignInClient { source: Some(IpAddr::from([198, 51, 100, n])), ..terminal() };
        bench.engine.begin_device("flood", flood).unwrap();
    }
    let mut last = None;
    for _ in 0..6 {
        last = bench.engine.device_asked(&bob, "BBBB-BBBB").await.err();
    }
    let last = last.unwrap();
    assert!(last.message.contains("too many wrong codes"), "{last:?}");
    assert!(bench.engine.device_asked(&bob, &begun.user_code).await.is_err(), "the right one comes too late");
    assert!(bench.count("auth.locked") >= 1);
    assert!(bench.engine.device_asked(&alice, &begun.user_code).await.is_ok(), "others are not locked out");
}

#[tokio::test]
async fn device_codes_can_be_switched_off_and_machines_have_plain_names() {
    let folder = tempfile::TempDir::new().unwrap();
    let store = Arc::new(SqliteStore::open(&folder.path().join("countersign.db")).unwrap());
    let settings = Settings { device_codes: false, ..super::settings() };
    let ports = ports(&ManualClock::default(), 1);
    let engine = Engine::start(store, MasterKey::new([7; 32]), ports, settings).unwrap();
    let refused = engine.begin_device("laptop", terminal()).unwrap_err();
    assert_eq!(refused.code, RefusedCode::NotPermitted);
    let bench = Bench::new().await;
    for name in ["", "my laptop", "laptop\u{202e}", &"a".repeat(65)] {
        assert_eq!(bench.engine.begin_device(name, terminal()).unwrap_err().code, RefusedCode::Invalid);
    }
}

/// Whoever is shut out meanwhile lets nobody in.
#[tokio::test]
async fn a_yes_of_somebody_who_is_shut_out_meanwhile_counts_no_more() {
    let bench = Bench::new().await;
    let alice = at_the_console(&bench, "alice").await;
    let given = bench.engine.allow_program(&alice, &challenge(VERIFIER)).await.unwrap();
    let begun = bench.engine.begin_device("laptop", terminal()).unwrap();
    bench.engine.answer_device(&alice, &begun.user_code, true).await.unwrap();
    bench.engine.disable(&bench.caller("bob"), &who("alice"), None).await.unwrap();
    assert!(bench.engine.redeem_program(&given.code, VERIFIER, terminal()).await.is_err());
    assert!(bench.engine.redeem_device(&begun.device_code, terminal()).await.is_err());
}

#[tokio::test]
async fn of_two_that_come_at_once_with_one_code_nobody_stays() {
    let bench = Bench::new().await;
    let alice = at_the_console(&bench, "alice").await;
    let code = bench.engine.allow_program(&alice, &challenge(VERIFIER)).await.unwrap().code;
    let (one, other) = tokio::join!(
        bench.engine.redeem_program(&code, VERIFIER, terminal()),
        bench.engine.redeem_program(&code, VERIFIER, terminal()),
    );
    let signed_in = one.expect("the first");
    over(other);
    assert!(
        bench.engine.caller(&signed_in.token, Via::Cli, None).await.is_err(),
        "one of the two is a thief"
    );
    assert!(bench.engine.still_signed_in(&alice));
}

#[tokio::test]
async fn a_device_code_signs_in_one_and_nobody_whose_word_counts_no_more() {
    let bench = Bench::new().await;
    let alice = at_the_console(&bench, "alice").await;
    let let_in = async |caller: &Caller| {
        let begun = bench.engine.begin_device("build-7", terminal()).unwrap();
        bench.engine.answer_device(caller, &begun.user_code, true).await.unwrap();
        begun.device_code
    };
    let code = let_in(&alice).await;
    let (one, other) = tokio::join!(
        bench.engine.redeem_device(&code, terminal()),
        bench.engine.redeem_device(&code, terminal()),
    );
    assert!(matches!(one.unwrap(), DeviceStep::Done(_)));
    assert_eq!(other.unwrap_err(), SignInRefused::Over);
    // Between the yes and the program's next question she signs out, or is disabled.
    let code = let_in(&alice).await;
    bench.engine.end_sign_in(&alice, alice.sign_in).await.unwrap();
    assert_eq!(bench.engine.redeem_device(&code, terminal()).await.unwrap_err(), SignInRefused::Over);
    let alice = at_the_console(&bench, "alice").await;
    let code = let_in(&alice).await;
    bench.engine.disable(&bench.caller("bob"), &who("alice"), None).await.unwrap();
    assert!(bench.engine.redeem_device(&code, terminal()).await.is_err());
}
