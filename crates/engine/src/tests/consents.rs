//! Clients that a person let in at one resource: how long that lasts, as whom, and what ends it. The way over HTTP is tried in
//! `testkit/tests/tools/oauth.rs`.

use std::net::IpAddr;

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use countersign_core::{ClientId, PrincipalId, ResourceId, RoleId, Span};

use super::{Bench, PEOPLE, RESOURCES, ROLES, bundle, until, who};
use crate::{Caller, ConsentAsk, IssuedTokens, Redeemed, RefusedCode, SignInClient, TokenRefused, Via};

const PASSWORD: &str = "correct horse battery";
const VERIFIER: &str = "0123456789abcdef0123456789abcdef0123456789abcdef";
const REDIRECT: &str = "http://127.0.0.1:1/cb";

fn program() -> SignInClient {
    SignInClient {
        source: Some(IpAddr::from([198, 51, 100, 9])),
        via: Via::Api,
        user_agent: Some("node".into()),
    }
}

fn tools() -> ResourceId {
    ResourceId::new("tools")
}

/// A gateway with a server of tools, and an agent of alice's.
async fn bench() -> Bench {
    Bench::with_bundle(files("alice")).await
}

/// Its bundle, with the agent's owner.
fn files(owner: &str) -> std::collections::BTreeMap<String, String> {
    let mut files = bundle();
    let agent = format!("[agent.scribe]\nname = \"An agent\"\nowner = \"{owner}\"\n");
    let resource = "[resource.tools]\nkind = \"mcp\"\ntitle = \"Tools\"\nowner = \"group:dba\"\nimpact = \"low\"\n\
        url = \"http://127.0.0.1:1/mcp\"\n";
    let role = "[role.clerk]\ntitle = \"Use tools\"\nactions = [\"mcp.call\"]\nresources = [\"tools\"]\n\
        account = \"clerk\"\nlongest = \"4h\"\n";
    for (file, text) in [
        ("people.toml", format!("{PEOPLE}{agent}roles = [\"clerk\"]\nactions = [\"mcp\"]\n")),
        ("resources.toml", format!("{RESOURCES}{resource}")),
        ("roles.toml", format!("{ROLES}{role}")),
    ] {
        files.insert(file.to_owned(), text);
    }
    files
}

async fn at_the_console(bench: &Bench, name: &str) -> Caller {
    bench.engine.set_password(&who(name), PASSWORD).await.unwrap();
    let client = SignInClient { via: Via::Console, ..program() };
    let step = bench.engine.sign_in(name, PASSWORD, client.clone()).await.unwrap();
    bench.engine.caller(&step.done().unwrap().token, Via::Console, client.source).await.unwrap()
}

async fn registered(bench: &Bench) -> ClientId {
    bench.engine.register_client(Some("Tester"), vec![REDIRECT.into()]).await.unwrap().id
}

fn ask(client: ClientId) -> ConsentAsk {
    let challenge = URL_SAFE_NO_PAD.encode(digest(&SHA256, VERIFIER.as_bytes()));
    ConsentAsk { client, redirect_uri: REDIRECT.into(), resource: tools(), challenge }
}

async fn let_in_as(
    bench: &Bench,
    caller: &Caller,
    client: ClientId,
    (whose, role): (&str, Option<&str>),
) -> IssuedTokens {
    let given = bench.engine.let_client_in(caller, ask(client), who(whose), role.map(RoleId::new)).await;
    let code = given.unwrap().code;
    let brought = Redeemed {
        code: &code,
        verifier: VERIFIER,
        client,
        redirect_uri: REDIRECT,
        resource: Some(&tools()),
    };
    bench.engine.redeem_code(brought, program()).await.unwrap()
}

async fn next(bench: &Bench, tokens: &IssuedTokens, client: ClientId) -> Result<IssuedTokens, TokenRefused> {
    bench.engine.refresh(&tokens.refresh, client, None, program()).await
}

fn whose(bench: &Bench, tokens: &IssuedTokens) -> Option<PrincipalId> {
    bench.engine.bearer(&tools(), &tokens.access).map(|bearer| bearer.principal)
}

#[tokio::test]
async fn a_client_is_let_in_for_a_working_day_and_over_restarts() {
    let bench = bench().await;
    let alice = at_the_console(&bench, "alice").await;
    let client = registered(&bench).await;
    let asked = bench.engine.consent_asked(&alice, &ask(client)).unwrap();
    assert_eq!(asked.until, bench.engine.now().plus(Span::hours(8)));
    let tokens = let_in_as(&bench, &alice, client, ("alice", None)).await;
    assert_eq!(whose(&bench, &tokens), Some(who("alice")));
    assert_eq!(bench.engine.bearer(&ResourceId::new("shop"), &tokens.access), None);
    assert!(bench.engine.caller(&tokens.access, Via::Api, None).await.is_err());
    let line = bench.lines_of("auth.succeeded").pop().unwrap();
    assert_eq!(line.data["let_in_by"], alice.sign_in.to_string());
    assert_eq!(line.resource, Some(tools()));
    let minted = bench.lines_of("token.issued").pop().unwrap();
    assert_eq!((minted.actor, minted.resource), (Some(who("alice")), Some(tools())));
    assert_eq!(minted.data["sign_in"], line.data["sign_in"]);

    let bench = bench.restart().await;
    assert_eq!(whose(&bench, &tokens), Some(who("alice")));
    bench.clock.advance(Span::minutes(15));
    assert_eq!(whose(&bench, &tokens), None, "it has expired");
    // Long unused, and gone on with all the same.
    bench.clock.advance(Span::hours(5));
    let tokens = next(&bench, &tokens, client).await.unwrap();
    assert_eq!(whose(&bench, &tokens), Some(who("alice")));
    let bench = bench.restart().await;
    let tokens = next(&bench, &tokens, client).await.unwrap();
    bench.clock.advance(Span::hours(2));
    let last = next(&bench, &tokens, client).await.unwrap();
    bench.clock.advance(Span::minutes(60));
    assert_eq!(whose(&bench, &last), None);
    assert_eq!(next(&bench, &last, client).await.unwrap_err(), TokenRefused::NoGrant);
}

#[tokio::test]
async fn the_last_token_but_one_is_answered_again_for_some_seconds() {
    let bench = bench().await;
    let alice = at_the_console(&bench, "alice").await;
    let client = registered(&bench).await;
    let first = let_in_as(&bench, &alice, client, ("alice", None)).await;
    let second = next(&bench, &first, client).await.unwrap();
    bench.clock.advance(Span::seconds(9));
    let again = next(&bench, &first, client).await.unwrap();
    assert_eq!(*again.refresh, *second.refresh);
    assert!(whose(&bench, &second).is_some() && whose(&bench, &again).is_some());
    bench.clock.advance(Span::seconds(1));
    assert_eq!(next(&bench, &first, client).await.unwrap_err(), TokenRefused::NoGrant);
    for tokens in [&first, &second, &again] {
        assert_eq!(whose(&bench, tokens), None);
        assert_eq!(next(&bench, tokens, client).await.unwrap_err(), TokenRefused::NoGrant);
    }
    assert_eq!(bench.count("token.revoked"), 1);
}

#[tokio::test]
async fn two_that_come_at_once_with_one_code_are_one_too_many() {
    let bench = bench().await;
    let alice = at_the_console(&bench, "alice").await;
    let client = registered(&bench).await;
    let code = bench.engine.let_client_in(&alice, ask(client), who("alice"), None).await.unwrap().code;
    let brought =
        Redeemed { code: &code, verifier: VERIFIER, client, redirect_uri: REDIRECT, resource: None };
    let (one, other) = tokio::join!(
        bench.engine.redeem_code(brought, program()),
        bench.engine.redeem_code(brought, program())
    );
    let tokens = one.expect("the first");
    assert_eq!(other.unwrap_err(), TokenRefused::NoGrant);
    assert_eq!(whose(&bench, &tokens), None, "and what came of it has ended");
    let late = bench.engine.let_client_in(&alice, ask(client), who("alice"), None).await.unwrap().code;
    bench.clock.advance(Span::minutes(1));
    let late = Redeemed { code: &late, ..brought };
    assert_eq!(bench.engine.redeem_code(late, program()).await.unwrap_err(), TokenRefused::NoGrant);
}

#[tokio::test]
async fn a_client_acts_as_an_agent_if_its_owner_says_so_and_ends_with_either() {
    let bench = bench().await;
    let alice = at_the_console(&bench, "alice").await;
    let bob = at_the_console(&bench, "bob").await;
    let client = registered(&bench).await;
    let actors = |of: &Caller| -> Vec<String> {
        let asked = bench.engine.consent_asked(of, &ask(client)).unwrap();
        asked.actors.iter().map(|actor| actor.principal.to_string()).collect()
    };
    assert_eq!((actors(&alice), actors(&bob)), (vec!["alice".into(), "scribe".into()], vec!["bob".into()]));
    for whose in ["scribe", "alice", "ci", "nobody"] {
        let refused = bench.engine.let_client_in(&bob, ask(client), who(whose), None).await.unwrap_err();
        assert_eq!(refused.code, RefusedCode::NotPermitted, "{whose}");
    }
    let tokens = let_in_as(&bench, &alice, client, ("scribe", Some("clerk"))).await;
    let bearer = bench.engine.bearer(&tools(), &tokens.access).unwrap();
    assert_eq!((bearer.principal, bearer.role), (who("scribe"), Some(RoleId::new("clerk"))));
    let minted = bench.lines_of("token.issued").pop().unwrap();
    assert_eq!((minted.actor, minted.subject), (Some(who("alice")), Some(who("scribe"))));
    let listed = bench.engine.sign_ins(&alice, &who("scribe")).unwrap();
    assert_eq!(listed[0].client.as_ref().unwrap().name, "Tester");

    bench.engine.disable(&bob, &who("scribe"), None).await.unwrap();
    assert_eq!(whose(&bench, &tokens), None);
    bench.engine.enable(&bob, &who("scribe")).await.unwrap();
    assert_eq!(next(&bench, &tokens, client).await.unwrap_err(), TokenRefused::NoGrant, "nothing comes back");

    let tokens = let_in_as(&bench, &alice, client, ("scribe", None)).await;
    bench.engine.disable(&bob, &who("alice"), None).await.unwrap();
    assert_eq!(whose(&bench, &tokens), None, "the owner is gone");
    assert_eq!(next(&bench, &tokens, client).await.unwrap_err(), TokenRefused::NoGrant);
}

#[tokio::test]
async fn what_let_it_in_takes_it_along_and_only_a_person_at_the_console_lets_in() {
    let bench = bench().await;
    let alice = at_the_console(&bench, "alice").await;
    let client = registered(&bench).await;
    let kept = let_in_as(&bench, &alice, client, ("alice", None)).await;
    bench.engine.sign_out(&alice).await;
    assert!(whose(&bench, &kept).is_some(), "closing the console ends no client");
    let stolen = at_the_console(&bench, "alice").await;
    let of_thief = let_in_as(&bench, &stolen, client, ("alice", None)).await;
    let owner = at_the_console(&bench, "alice").await;
    bench.engine.end_sign_in(&owner, stolen.sign_in).await.unwrap();
    assert_eq!(whose(&bench, &of_thief), None);
    assert!(whose(&bench, &kept).is_some());
    // Given back by somebody who is not the client, it is nothing; by the client, it is over.
    let other = registered(&bench).await;
    bench.engine.give_back(&kept.access, other, program()).await.unwrap();
    assert!(whose(&bench, &kept).is_some());
    bench.engine.give_back(&kept.refresh, client, program()).await.unwrap();
    assert_eq!(whose(&bench, &kept), None);

    for caller in [Caller { via: Via::Api, ..owner.clone() }, bench.caller("ci"), bench.caller("alice")] {
        let refused = bench.engine.consent_asked(&caller, &ask(client)).unwrap_err();
        assert_eq!(refused.code, RefusedCode::NotPermitted);
    }
    bench.engine.decline_client(&owner, &ask(client)).await.unwrap();
    let line = bench.lines_of("token.rejected").pop().unwrap();
    assert_eq!((line.actor, line.resource), (Some(who("alice")), Some(tools())));
}

/// Has a bundle applied in which somebody else owns the agent.
async fn hand_over(bench: &Bench, owner: &str) {
    let version = bench.engine.snapshot().book.in_force.as_ref().unwrap().version;
    let applied = bench.engine.apply_bundle(&bench.caller("dave"), files(owner)).await.unwrap();
    let crate::Applied::Pending(change) = applied else { panic!("it is asked for") };
    for name in ["carol", "bob", "bea"] {
        bench.engine.approve(&bench.caller(name), change, None, None).await.unwrap();
    }
    assert_eq!(bench.engine.snapshot().book.in_force.as_ref().unwrap().version, version + 1);
}

/// Somebody else answers for an agent from now on: what its old owner let in as it is over, and nothing brings it back.
#[tokio::test]
async fn an_agent_that_changes_hands_leaves_nothing_behind() {
    let bench = bench().await;
    let alice = at_the_console(&bench, "alice").await;
    let client = registered(&bench).await;
    let tokens = let_in_as(&bench, &alice, client, ("scribe", None)).await;
    let (code, key) = (bench.engine.agent_code(&alice, &who("scribe")).unwrap().code, [7; 32]);
    let program = bench.engine.sign_in_agent(&code, &key, program()).await.unwrap().token;
    let is_in = |token: &str| {
        let (engine, token) = (bench.engine.clone(), token.to_owned());
        async move { engine.caller_showing(&token, Some(&key), (Via::Api, None)).await.is_ok() }
    };
    let shop = ResourceId::new("shop");
    let minted = bench.engine.mint_credential_for(&alice, &who("scribe"), &shop, None).await.unwrap();
    let opens = || bench.engine.credential_of(&shop, "scribe", &minted.password).is_some();
    assert!(whose(&bench, &tokens).is_some() && is_in(&program).await && opens());

    hand_over(&bench, "bob").await;
    assert_eq!(whose(&bench, &tokens), None);
    assert!(!is_in(&program).await && !opens());
    assert_eq!(next(&bench, &tokens, client).await.unwrap_err(), TokenRefused::NoGrant);
    bench.clock.advance(Span::seconds(1));
    until(|| bench.count("token.revoked") == 2).await;

    hand_over(&bench, "alice").await;
    assert_eq!(next(&bench, &tokens, client).await.unwrap_err(), TokenRefused::NoGrant, "nothing comes back");
    assert!(!is_in(&program).await);
}

/// A yes is in the ledger before there is a code, whether or not anybody ever comes with it.
#[tokio::test]
async fn a_yes_is_recorded_when_it_is_said() {
    let bench = bench().await;
    let alice = at_the_console(&bench, "alice").await;
    let client = registered(&bench).await;
    let role = RoleId::new("clerk");
    let given = bench.engine.let_client_in(&alice, ask(client), who("scribe"), Some(role.clone())).await;
    let line = bench.lines_of("token.issued").pop().unwrap();
    assert_eq!((line.actor, line.subject), (Some(who("alice")), Some(who("scribe"))));
    assert_eq!((line.resource, line.role), (Some(tools()), Some(role)));
    assert_eq!(line.data["let_in_by"], alice.sign_in.to_string());
    let kept = bench.engine.0.house.content(line.index).unwrap().remove(0);
    let said: serde_json::Value = serde_json::from_slice(&kept.bytes).unwrap();
    assert_eq!(said["program"], "Tester (127.0.0.1)");
    assert!(given.is_ok());
    bench.store.fill(true);
    let refused = bench.engine.let_client_in(&alice, ask(client), who("alice"), None).await.unwrap_err();
    assert_eq!(refused.code, RefusedCode::Unavailable, "without a record there is no code");
}

/// Saying yes again and again takes up no room: a client counts as used once it came, and each person keeps so many.
#[tokio::test]
async fn nobody_takes_up_all_the_room_for_clients() {
    let bench = bench().await;
    let (alice, bob) = (at_the_console(&bench, "alice").await, at_the_console(&bench, "bob").await);
    let unused = registered(&bench).await;
    bench.engine.let_client_in(&alice, ask(unused), who("alice"), None).await.unwrap();
    let of_bob = registered(&bench).await;
    let_in_as(&bench, &bob, of_bob, ("bob", None)).await;
    let mut of_alice = vec![of_bob];
    let_in_as(&bench, &alice, of_bob, ("alice", None)).await;
    for _ in 0..33 {
        bench.clock.advance(Span::seconds(1));
        of_alice.push(registered(&bench).await);
        // Each of them is a sign-in, and the newest push out the oldest.
        let alice = at_the_console(&bench, "alice").await;
        let_in_as(&bench, &alice, of_alice[of_alice.len() - 1], ("alice", None)).await;
    }
    bench.clock.advance(Span::hours(1));
    let bench = bench.restart().await;
    let is_known = |id: ClientId| bench.engine.client(id).is_some();
    assert!(!is_known(unused), "a yes that nobody came with keeps nothing");
    assert!(!is_known(of_alice[1]), "the one that she used longest ago");
    assert!(of_alice[2..].iter().all(|id| is_known(*id)), "the newest of hers");
    assert!(is_known(of_bob), "what somebody else uses is not hers to push out");
}
