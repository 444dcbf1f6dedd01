//! Jobs: who is one, what it gets, and how all of it ends with it.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use countersign_core::request::State;
use countersign_core::{At, GrantId, RequestId, ResourceId, RoleId, Span};

use super::{Bench, bundle, who};
use crate::federation::{Answering, FederationError, WorkloadToken, Workloads};
use crate::{AskAccess, Caller, Means, MeansSet, SignInClient, SignInRefused, SignedIn, Via};

const KEY: [u8; 32] = [7; 32];
const OTHER: [u8; 32] = [8; 32];
const URL: &str = "https://ci.example";

/// An issuer whose tokens are their claims: `iss=... sub=... jti=... ref=...`. What is checked of real ones, the crate that
/// speaks to issuers checks.
struct Plain;

fn parts(token: &str) -> BTreeMap<String, String> {
    let pairs = token.split(' ').filter_map(|pair| pair.split_once('='));
    pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

impl Workloads for Plain {
    fn issuer_claimed(&self, token: &str) -> Option<String> {
        parts(token).get("iss").cloned()
    }

    fn verify<'a>(
        &'a self,
        (issuer, audience): (&'a str, &'a str),
        token: &'a str,
        now: At,
    ) -> Answering<'a, WorkloadToken> {
        Box::pin(async move {
            let claims = parts(token);
            let is = |name: &str, wanted: &str| claims.get(name).is_some_and(|value| value == wanted);
            if !is("iss", issuer) || !is("aud", audience) {
                return Err(FederationError::Refused("its word is another's".into()));
            }
            let (subject, id) = (claims["sub"].clone(), claims["jti"].clone());
            Ok(WorkloadToken { subject, id, until: now.plus(Span::minutes(10)), claims })
        })
    }
}

pub(super) fn token(id: &str, branch: &str) -> String {
    format!("iss={URL} aud=gate sub=repo:shop/app jti={id} ref={branch} sha=f1d2 run=1024")
}

fn runner() -> SignInClient {
    let source = Some(IpAddr::from([198, 51, 100, 9]));
    SignInClient { source, via: Via::Cli, user_agent: Some("countersign/0.1.0".into()) }
}

pub(super) async fn bench() -> Bench {
    let mut files = bundle();
    let people = files.get_mut("people.toml").unwrap();
    people.push_str(&format!(
        "[service.nightly]\nowner = \"dave\"\n[issuer.ci]\nurl = \"{URL}\"\naudience = \"gate\"\n\
         [workload.deploy]\nservice = \"ci\"\nissuer = \"ci\"\nsubject = \"repo:shop/app\"\nclaims = {{ ref = \"main\" }}\n\
         [workload.nightly]\nservice = \"nightly\"\nissuer = \"ci\"\nclaims = {{ ref = \"main\", night = \"yes\" }}\n"
    ));
    let policies = files.get_mut("house.cedar").unwrap();
    policies.push_str(
        "@id(\"jobs-may-ask\")\npermit (principal is Service, action == Action::\"access.request\", resource is Role)\n\
         when { context has auth_methods && context.auth_methods.contains(\"workload\") };\n",
    );
    let bench = Bench::with_bundle(files).await;
    bench.engine.check_jobs_with(Arc::new(Plain));
    bench
}

pub(super) async fn sign_in(bench: &Bench, token: &str) -> Result<SignedIn, SignInRefused> {
    bench.engine.sign_in_job((token, None), &KEY, runner()).await
}

async fn job(bench: &Bench, id: &str) -> (SignedIn, Caller) {
    let signed_in = sign_in(bench, &token(id, "main")).await.unwrap();
    let caller = shown(bench, &signed_in).await.unwrap();
    (signed_in, caller)
}

async fn shown(bench: &Bench, signed_in: &SignedIn) -> Option<Caller> {
    bench.engine.caller_showing(&signed_in.token, Some(&KEY), (Via::Cli, None)).await.ok()
}

async fn ask(bench: &Bench, caller: &Caller, role: &str) -> RequestId {
    let (role, purpose) = (RoleId::new(role), "migrate".to_owned());
    let ask = AskAccess { role, lasting: Span::minutes(30), purpose, ticket: None };
    bench.engine.ask(caller, ask).await.unwrap()
}

fn live(bench: &Bench) -> Vec<GrantId> {
    let snapshot = bench.engine.snapshot();
    let live = snapshot.book.grants().filter(|grant| grant.is_live(bench.engine.now()));
    live.map(|grant| grant.id).collect()
}

fn state(bench: &Bench, id: RequestId) -> &'static str {
    bench.engine.snapshot().book.request(id).unwrap().state.as_str()
}

#[tokio::test]
async fn a_job_is_the_service_that_the_bundle_says() {
    let bench = bench().await;
    let (signed_in, caller) = job(&bench, "one").await;
    assert_eq!(signed_in.principal, who("ci"));
    assert_eq!(caller.proof.means, MeansSet::of(&[Means::Workload]));
    let not = [
        token("two", "feature"),
        token("two", "main").replace("repo:shop/app", "repo:evil/app"),
        token("two", "main").replace("repo:shop/app", "repo:shop/app2"),
        token("two", "main").replace(URL, "https://evil.example"),
        token("two", "main").replace("aud=gate", "aud=other"),
        token("two", "Main"),
        token("two", "main").replace("ref=", "REF="),
        String::new(),
    ];
    for token in not {
        assert_eq!(sign_in(&bench, &token).await.unwrap_err(), SignInRefused::NotAJob, "{token}");
    }
    // As several it has to say which, and as none that it is not.
    let both = format!("{} night=yes", token("three", "main"));
    assert_eq!(sign_in(&bench, &both).await.unwrap_err(), SignInRefused::NotAJob);
    for wrong in ["alice", "dave", "nobody"] {
        let refused = bench.engine.sign_in_job((&both, Some(wrong)), &KEY, runner()).await.unwrap_err();
        assert_eq!(refused, SignInRefused::NotAJob);
    }
    let nightly = bench.engine.sign_in_job((&both, Some("nightly")), &OTHER, runner()).await.unwrap();
    assert_eq!(nightly.principal, who("nightly"));
}

/// What is read of a log opens nothing: the token of the issuer counts once, what it got counts with the key alone.
#[tokio::test]
async fn what_a_job_has_is_of_no_use_to_others() {
    let bench = bench().await;
    let (signed_in, caller) = job(&bench, "one").await;
    for key in [None, Some(&OTHER)] {
        let thief = bench.engine.caller_showing(&signed_in.token, key, (Via::Cli, None)).await;
        assert!(thief.is_err());
    }
    assert!(bench.engine.caller(&signed_in.token, Via::Console, None).await.is_err(), "nor in a cookie");
    bench.engine.sign_out(&caller).await;
    assert_eq!(sign_in(&bench, &token("one", "main")).await.unwrap_err(), SignInRefused::NotAJob);
    let bench = bench.restart().await;
    bench.engine.check_jobs_with(Arc::new(Plain));
    assert_eq!(sign_in(&bench, &token("one", "main")).await.unwrap_err(), SignInRefused::NotAJob, "nor then");
    // A person's sign-in stands on no key, and none makes it count for more.
    let alice = bench.engine.token_of(&who("alice"));
    assert!(bench.engine.caller_showing(&alice, Some(&KEY), (Via::Cli, None)).await.is_err());
    assert!(bench.engine.caller(&alice, Via::Cli, None).await.is_ok());
}

#[tokio::test]
async fn what_a_job_asks_for_is_bound_to_it() {
    let bench = bench().await;
    let (_, caller) = job(&bench, "one").await;
    let id = ask(&bench, &caller, "shop-writer").await;
    let seen = bench.engine.request_view(&bench.caller("bob"), id).unwrap();
    let said =
        |name: &str| seen.settings.iter().find(|(had, _)| had == name).map(|(_, value)| value.as_str());
    assert_eq!(
        (said("job.sha"), said("job.run"), said("job.issuer")),
        (Some("f1d2"), Some("1024"), Some("ci"))
    );
    assert_eq!(said("job.subject"), Some("repo:shop/app"));
    // Another job of the same service would be another one's work: it waits for the end of this.
    assert_eq!(sign_in(&bench, &token("two", "main")).await.unwrap_err(), SignInRefused::Busy);
    bench.engine.approve(&bench.caller("bob"), id, None, None).await.unwrap();
    assert_eq!(live(&bench).len(), 1);
    // A door's credential is its own to make, as that of nobody who has a key.
    let shop = ResourceId::new("shop");
    assert_eq!(bench.engine.mint_credential(&caller, &shop).await.unwrap().user, "ci");
    assert!(bench.engine.mint_credential(&bench.caller("ci"), &shop).await.is_err());
    for means in [Means::Oidc, Means::Passkey] {
        assert!(bench.engine.mint_credential(&bench.caller_with("ci", &[means]), &shop).await.is_err());
    }
    // It approves nothing, governs nothing, and resets nothing.
    let alices = bench.ask("alice", "shop-reader").await;
    assert!(bench.engine.approve(&caller, alices, None, None).await.is_err());
    assert!(bench.engine.deny(&caller, alices, None).await.is_err());
    assert!(bench.engine.disable(&caller, &who("alice"), None).await.is_err());
    assert!(bench.engine.reset_authenticators(&caller, &who("alice")).await.is_err());
    assert!(bench.engine.allow_program(&caller, &"a".repeat(43)).await.is_err());
}

#[tokio::test]
async fn what_a_job_has_ends_with_it() {
    let bench = bench().await;
    let (_, caller) = job(&bench, "one").await;
    let id = ask(&bench, &caller, "shop-writer").await;
    bench.engine.approve(&bench.caller("bob"), id, None, None).await.unwrap();
    let session = bench.connect("ci", "shop-writer").await;
    let waiting = ask(&bench, &caller, "shop-reader").await;
    let others = bench.grant("alice", "shop-reader").await;
    bench.engine.sign_out(&caller).await;
    assert_eq!((state(&bench, waiting), live(&bench)), ("withdrawn", vec![others]));
    tokio::time::timeout(std::time::Duration::from_secs(5), session.ended()).await.expect("it is cut");
}

/// A job that went away without a word is noticed by its silence, also where the gateway was away meanwhile.
#[tokio::test]
async fn a_job_that_falls_silent_is_over() {
    let bench = bench().await;
    let (signed_in, caller) = job(&bench, "one").await;
    let id = ask(&bench, &caller, "shop-writer").await;
    bench.engine.approve(&bench.caller("bob"), id, None, None).await.unwrap();
    for _ in 0..5 {
        bench.clock.advance(Span::seconds(61));
        assert!(shown(&bench, &signed_in).await.is_some(), "it goes on");
    }
    bench.engine.end_jobs().await;
    assert_eq!(live(&bench).len(), 1);
    let bench = bench.crash().await;
    bench.engine.check_jobs_with(Arc::new(Plain));
    bench.engine.end_jobs().await;
    assert_eq!(live(&bench).len(), 1, "a restart of ours is no end of it");
    bench.clock.advance(Span::minutes(2));
    bench.engine.end_jobs().await;
    assert_eq!(live(&bench), []);
    assert!(shown(&bench, &signed_in).await.is_none());
    let (_, next) = job(&bench, "two").await;
    assert_eq!(next.principal, who("ci"));
}

#[tokio::test]
async fn a_job_of_a_service_that_is_shut_out_is_nobody() {
    let bench = bench().await;
    let (signed_in, caller) = job(&bench, "one").await;
    let id = ask(&bench, &caller, "shop-writer").await;
    // The person who answers for it.
    bench.engine.disable(&bench.caller("bob"), &who("dave"), None).await.unwrap();
    assert!(shown(&bench, &signed_in).await.is_none());
    assert!(!matches!(bench.engine.snapshot().book.request(id).unwrap().state, State::Pending));
    bench.clock.advance(Span::minutes(3));
    assert_eq!(sign_in(&bench, &token("two", "main")).await.unwrap_err(), SignInRefused::Disabled);
}

#[tokio::test]
async fn one_word_of_the_issuer_signs_in_one_of_two_that_come_at_once() {
    let bench = bench().await;
    let word = token("twice", "main");
    let (one, other) = tokio::join!(sign_in(&bench, &word), sign_in(&bench, &word));
    assert_eq!(u32::from(one.is_ok()) + u32::from(other.is_ok()), 1);
}
