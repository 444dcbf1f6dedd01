//! Signing in with an identity provider: who that is here, what counts once, and what ends with its session.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use countersign_core::{At, Span};

use super::{Bench, sign_in_client, who};
use crate::federation::{
    Answered, Answering, Asking, Federation, FederationError, Identity, LoggedOut, Matching, Provider,
};
use crate::{FederatedAnswer, Means, MeansSet, RefusedCode, SignInRefused, SignedIn, Via};

/// Providers that say what they are told to.
pub(super) struct Script {
    matching: Matching,
    says: Mutex<Option<Identity>>,
    asked: Mutex<Vec<(String, Asking)>>,
    answered: Mutex<Vec<Answered>>,
    over: Mutex<Option<LoggedOut>>,
}

impl Script {
    pub(super) fn new(matching: Matching) -> Arc<Self> {
        Arc::new(Self {
            matching,
            says: Mutex::default(),
            asked: Mutex::default(),
            answered: Mutex::default(),
            over: Mutex::default(),
        })
    }

    pub(super) fn says(&self, identity: Identity) {
        *self.says.lock().unwrap() = Some(identity);
    }
}

impl Federation for Script {
    fn providers(&self) -> Vec<Provider> {
        let named = |name: &str| Provider {
            name: name.into(),
            title: name.to_uppercase(),
            matching: self.matching.clone(),
        };
        vec![named("corp"), named("other")]
    }

    fn authorize<'a>(&'a self, provider: &'a str, asking: &'a Asking) -> Answering<'a, String> {
        Box::pin(async move {
            if !["corp", "other"].contains(&provider) {
                return Err(FederationError::NoSuchProvider(provider.into()));
            }
            self.asked.lock().unwrap().push((provider.into(), asking.clone()));
            Ok(format!("https://{provider}.example/?state={}", asking.state))
        })
    }

    fn redeem<'a>(&'a self, _: &'a str, answered: &'a Answered) -> Answering<'a, Identity> {
        Box::pin(async move {
            self.answered.lock().unwrap().push(answered.clone());
            let says = self.says.lock().unwrap().clone();
            says.ok_or_else(|| FederationError::Refused("it says no".into()))
        })
    }

    fn logged_out<'a>(&'a self, _: &'a str, _: At) -> Answering<'a, LoggedOut> {
        Box::pin(async move {
            self.over.lock().unwrap().clone().ok_or_else(|| FederationError::Refused("no token".into()))
        })
    }
}

pub(super) fn identity(subject: &str, email: &str) -> Identity {
    Identity {
        issuer: "https://corp.example".into(),
        subject: subject.into(),
        session: Some(format!("session of {subject}")),
        auth_time: None,
        two_factors: false,
        verified_email: Some(email.into()),
        name: None,
    }
}

fn by_email(domains: &[&str]) -> Matching {
    Matching::Email { domains: domains.iter().map(|one| (*one).to_owned()).collect() }
}

async fn house(matching: Matching) -> (Bench, Arc<Script>) {
    let bench = Bench::new().await;
    let script = Script::new(matching);
    bench.engine.federate(Arc::clone(&script) as Arc<dyn Federation>);
    (bench, script)
}

pub(super) async fn come(bench: &Bench) -> Result<(SignedIn, String), SignInRefused> {
    let begun = bench.engine.begin_federated("corp", "/requests/req_1").await.unwrap();
    back(bench, &begun.url, ("corp", &begun.browser)).await
}

async fn back(
    bench: &Bench,
    url: &str,
    (provider, browser): (&str, &str),
) -> Result<(SignedIn, String), SignInRefused> {
    let (_, state) = url.split_once("state=").unwrap();
    let answer = FederatedAnswer { provider, state, code: "code", issuer: None, browser };
    bench.engine.sign_in_federated(answer, sign_in_client()).await
}

#[tokio::test]
async fn a_verified_address_finds_somebody_once_and_the_subject_ever_after() {
    let (bench, script) = house(by_email(&[])).await;
    script.says(identity("4711", "Alice@Shop.example"));
    let (signed_in, to) = come(&bench).await.unwrap();
    assert_eq!((signed_in.principal, to.as_str()), (who("alice"), "/requests/req_1"));
    let alice = bench.engine.caller(&signed_in.token, Via::Console, None).await.unwrap();
    assert_eq!(alice.proof.means, MeansSet::of(&[Means::Oidc]));
    let bound = bench.engine.authenticators(&alice).await.unwrap();
    assert_eq!((bound.len(), bound[0].means, bound[0].name.as_deref()), (1, Means::Oidc, Some("CORP")));
    let line = &bench.lines_of("authenticator.bound")[0];
    assert_eq!(
        (line.subject.as_ref(), &line.data["means"]),
        (Some(&who("alice")), &serde_json::json!("oidc"))
    );
    assert!(!String::from_utf8_lossy(&line.bytes).contains("4711"), "who they are there is not in the chain");
    // The address goes over to somebody else there: the subject is who they are.
    script.says(identity("4711", "someone.else@shop.example"));
    assert_eq!(come(&bench).await.unwrap().0.principal, who("alice"));
    script.says(identity("4712", "alice@shop.example"));
    assert_eq!(come(&bench).await.unwrap_err(), SignInRefused::NotKnown, "alice is another one there");
    let bench = bench.restart().await;
    bench.engine.federate(Arc::clone(&script) as Arc<dyn Federation>);
    script.says(identity("4711", ""));
    assert_eq!(come(&bench).await.unwrap().0.principal, who("alice"), "also after a restart");
    assert_eq!(bench.count("authenticator.bound"), 1);
    // Taken away, the address finds her anew.
    let strong = bench.caller_with("alice", &[Means::Passkey]);
    bench.engine.unbind(&strong, bound[0].id.unwrap()).await.unwrap();
    assert_eq!(come(&bench).await.unwrap_err(), SignInRefused::NotKnown);
    script.says(identity("4712", "alice@shop.example"));
    assert_eq!(come(&bench).await.unwrap().0.principal, who("alice"));
}

#[tokio::test]
async fn nobody_is_let_in_by_what_is_not_certain() {
    let (bench, script) = house(by_email(&["shop.example"])).await;
    let mut unverified = identity("1", "");
    unverified.verified_email = None;
    for (what, identity) in [
        ("not verified", unverified),
        ("nobody's", identity("1", "mallory@shop.example")),
        ("of another domain", identity("1", "alice@shop.example.evil.example")),
        ("no address", identity("1", "shop.example")),
        ("alike", identity("1", "\u{430}lice@shop.example")),
        ("none", identity("1", "")),
    ] {
        script.says(identity);
        assert_eq!(come(&bench).await.unwrap_err(), SignInRefused::NotKnown, "{what}");
    }
    *script.says.lock().unwrap() = None;
    assert_eq!(come(&bench).await.unwrap_err(), SignInRefused::Provider);
    script.says(identity("1", "alice@shop.example"));
    bench.engine.disable(&bench.caller("bob"), &who("alice"), None).await.unwrap();
    assert_eq!(come(&bench).await.unwrap_err(), SignInRefused::Disabled);
    assert_eq!(bench.count("auth.succeeded"), 0);
    assert_eq!(bench.count("authenticator.bound"), 0);
    assert!(bench.count("auth.failed") > 0);
}

#[tokio::test]
async fn of_two_with_one_address_nobody_is_meant() {
    let mut files = super::bundle();
    let people = files.get_mut("people.toml").unwrap();
    *people = people.replace("name = \"Bob Baker\"", "name = \"Bob Baker\"\nemail = \"ALICE@shop.example\"");
    let bench = Bench::with_bundle(files).await;
    let script = Script::new(by_email(&[]));
    bench.engine.federate(Arc::clone(&script) as Arc<dyn Federation>);
    script.says(identity("1", "alice@shop.example"));
    assert_eq!(come(&bench).await.unwrap_err(), SignInRefused::NotKnown);
}

#[tokio::test]
async fn a_claim_may_be_the_name_of_a_user_and_of_nobody_else() {
    let (bench, script) = house(Matching::Name { claim: "preferred_username".into() }).await;
    let named = |name: Option<&str>| Identity {
        name: name.map(str::to_owned),
        ..identity("1", "alice@shop.example")
    };
    for nobody in [None, Some("mallory"), Some("ci"), Some("Alice"), Some("alice "), Some("")] {
        script.says(named(nobody));
        assert_eq!(come(&bench).await.unwrap_err(), SignInRefused::NotKnown, "{nobody:?}");
    }
    script.says(named(Some("alice")));
    assert_eq!(come(&bench).await.unwrap().0.principal, who("alice"));
}

#[tokio::test]
async fn an_answer_counts_once_in_the_browser_that_began_for_the_provider_that_was_asked() {
    let (bench, script) = house(by_email(&[])).await;
    script.says(identity("1", "alice@shop.example"));
    let begin = async || bench.engine.begin_federated("corp", "/").await.unwrap();
    let begun = begin().await;
    assert!(back(&bench, &begun.url, ("corp", &begun.browser)).await.is_ok());
    let again = back(&bench, &begun.url, ("corp", &begun.browser)).await.unwrap_err();
    assert_eq!(again, SignInRefused::TooLate, "replayed");
    let (mine, theirs) = (begin().await, begin().await);
    assert!(back(&bench, &mine.url, ("corp", &theirs.browser)).await.is_err(), "another browser's");
    assert!(back(&bench, &mine.url, ("corp", &mine.browser)).await.is_err(), "and gone with that");
    assert!(back(&bench, &theirs.url, ("other", &theirs.browser)).await.is_err(), "another provider's");
    assert!(back(&bench, "?state=", ("corp", "")).await.is_err());
    let late = begin().await;
    bench.clock.advance(Span::minutes(10));
    assert_eq!(back(&bench, &late.url, ("corp", &late.browser)).await.unwrap_err(), SignInRefused::TooLate);
    assert_eq!(script.answered.lock().unwrap().len(), 1, "no other code was sent to a provider");
    // What is sent when it begins fits what is sent when it ends.
    let asked: BTreeMap<String, Asking> =
        script.asked.lock().unwrap().iter().map(|(_, one)| (one.nonce.clone(), one.clone())).collect();
    assert_eq!(asked.len(), 4, "nothing is used twice");
    let answered = script.answered.lock().unwrap()[0].clone();
    let asked = &asked[&answered.nonce];
    use base64::Engine as _;
    let s256 = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, answered.verifier.as_bytes());
    assert_eq!(asked.challenge, base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(s256));
    assert_eq!(asked.redirect_uri, "http://localhost:8443/api/v1/sign-in/oidc/corp/callback");
    assert_eq!(asked.redirect_uri, answered.redirect_uri);
    let none = bench.engine.begin_federated("nobody", "/").await.unwrap_err();
    assert_eq!(none.code, RefusedCode::NotFound);
}

#[tokio::test]
async fn how_old_a_sign_in_is_the_provider_says() {
    let (bench, script) = house(by_email(&[])).await;
    let now = bench.engine.now();
    let told = |hours| Identity {
        auth_time: Some(At(now.0 - Span::hours(hours).0)),
        two_factors: true,
        ..identity("1", "alice@shop.example")
    };
    script.says(told(3));
    let (signed_in, _) = come(&bench).await.unwrap();
    let caller = bench.engine.caller(&signed_in.token, Via::Console, None).await.unwrap();
    assert_eq!(caller.proof.age, Span::hours(3), "a session there that goes on is no proof of now");
    assert!(caller.proof.means.is_two_factors());
    let bench = bench.restart().await;
    let caller = bench.engine.caller(&signed_in.token, Via::Console, None).await.unwrap();
    assert_eq!(caller.proof.age, Span::hours(3));
    bench.engine.federate(Arc::clone(&script) as Arc<dyn Federation>);
    script.says(told(-1));
    let (signed_in, _) = come(&bench).await.unwrap();
    let caller = bench.engine.caller(&signed_in.token, Via::Console, None).await.unwrap();
    assert_eq!(caller.proof.age, Span::default(), "nobody was there in the future");
}

#[tokio::test]
async fn a_session_that_ends_there_ends_here() {
    let (bench, script) = house(by_email(&[])).await;
    script.says(identity("1", "alice@shop.example"));
    let (first, _) = come(&bench).await.unwrap();
    script.says(Identity { session: Some("another".into()), ..identity("1", "alice@shop.example") });
    let (second, _) = come(&bench).await.unwrap();
    let local = bench.caller("alice");
    let live =
        async |signed_in: &SignedIn| bench.engine.caller(&signed_in.token, Via::Console, None).await.is_ok();
    assert!(bench.engine.federated_logout("token").await.is_err());
    let over = |subject: Option<&str>, session: Option<&str>| {
        *script.over.lock().unwrap() = Some(LoggedOut {
            issuer: "https://corp.example".into(),
            subject: subject.map(str::to_owned),
            session: session.map(str::to_owned),
        });
    };
    over(Some("2"), None);
    bench.engine.federated_logout("token").await.unwrap();
    over(Some("2"), Some("another"));
    bench.engine.federated_logout("token").await.unwrap();
    assert!(live(&first).await && live(&second).await, "somebody else's");
    over(None, Some("session of 1"));
    bench.engine.federated_logout("token").await.unwrap();
    assert!(!live(&first).await && live(&second).await);
    let bench = bench.restart().await;
    bench.engine.federate(Arc::clone(&script) as Arc<dyn Federation>);
    over(Some("1"), None);
    bench.engine.federated_logout("token").await.unwrap();
    assert!(bench.engine.caller(&second.token, Via::Console, None).await.is_err(), "also after a restart");
    assert_eq!(bench.count("token.revoked"), 2);
    assert_eq!(bench.lines_of("token.revoked")[0].subject, Some(who("alice")));
    drop(local);
}
