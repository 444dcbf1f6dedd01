//! The journeys: asking and approving, a held statement, credentials, bundles, and the ledger proved over HTTP.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use axum::http::StatusCode;
use bytes::Bytes;
use countersign_core::question::Context;
use countersign_core::request::HoldsUp;
use countersign_core::{ActionName, At};
use countersign_engine::foreseen::Foreseen;
use countersign_engine::{Attempt, Judgement, Look, LookFunction, LookRelation, Parameter, Via};
use countersign_ledger::VerifierKey;
use countersign_ledger::proof::TlogProof;
use countersign_ledger::verify::{Layout, Options, Outcome, verify};
use countersign_policy::context::{Plain, Sql};
use serde_json::{Value, json};

use crate::house::{Call, House, PASSWORD, bundle};

#[tokio::test(flavor = "multi_thread")]
async fn alice_asks_bob_approves_and_revokes() {
    let house = House::open().await;
    let roles = house.get("alice", "/roles").await.json();
    let writer = roles["items"].as_array().unwrap().iter().find(|role| role["id"] == "shop-writer").unwrap();
    assert_eq!((&writer["state"], &writer["verdict"]), (&json!("open"), &json!("hold")));
    assert_eq!(writer["asked"], json!(["group:dba (bob)"]));
    let preview = house.get("alice", "/roles/shop-writer/preview?for=30m").await.json();
    assert_eq!((&preview["verdict"], &preview["rules"]), (&json!("hold"), &json!(["shop-access"])));
    let preview = house.get("alice", "/roles/shop-writer/preview?for=5h").await.json();
    assert_eq!(preview["verdict"], "deny");

    let body = json!({ "role": "shop-writer", "for": "30m", "reason": "repair", "ticket": "OPS-7" });
    let asked = house.post("alice", "/requests", body).await;
    assert_eq!(asked.status, StatusCode::CREATED);
    let asked = asked.json();
    let id = asked["id"].as_str().unwrap();
    assert_eq!((&asked["state"], &asked["kind"]), (&json!("pending"), &json!("access")));
    assert_eq!(asked["can"], json!({ "approve": false, "deny": false, "withdraw": true }));
    assert_eq!(house.get("alice", "/requests?inbox=true").await.json()["items"], json!([]));

    let inbox = house.get("bob", "/requests?inbox=true").await.json();
    let seen = &inbox["items"][0];
    assert_eq!(seen["by"], json!({ "name": "alice", "display": "Alice Archer", "person": "alice" }));
    assert_eq!((&seen["reason"], &seen["ticket"]), (&json!("repair"), &json!("OPS-7")));
    assert_eq!((&seen["for_s"], &seen["missing"]), (&json!(1_800), &json!("1 of group:dba")));
    assert_eq!(seen["held_by"][0]["policies"][0]["id"], "access-to-the-shop-needs-the-dba");
    assert_eq!(seen["can"], json!({ "approve": true, "deny": true, "withdraw": false }));
    let stale = json!({ "digest": "0".repeat(64) });
    let refused = house.post("bob", &format!("/requests/{id}/approve"), stale).await;
    assert_eq!(refused.status, StatusCode::CONFLICT);
    let yes = json!({ "digest": seen["digest"], "comment": "go on" });
    let approved = house.post("bob", &format!("/requests/{id}/approve"), yes).await.json();
    assert_eq!(approved["state"], "approved");
    assert_eq!(
        (&approved["approvals"][0]["by"], &approved["approvals"][0]["comment"]),
        (&json!("bob"), &json!("go on"))
    );

    let me = house.get("alice", "/me").await.json();
    assert_eq!((&me["name"], &me["groups"]), (&json!("Alice Archer"), &json!(["engineers"])));
    let grant = me["grants"][0]["id"].as_str().unwrap().to_owned();
    assert_eq!(me["grants"][0]["can"], json!({ "revoke": true, "relinquish": true }));
    let revoked =
        house.post("bob", &format!("/grants/{grant}/revoke"), json!({ "reason": "enough" })).await.json();
    assert_eq!((&revoked["state"], &revoked["ended"]["by"]), (&json!("revoked"), &json!("bob")));
    assert_eq!(house.get("alice", "/grants").await.json()["items"], json!([]));
    assert_eq!(house.get("alice", "/grants?state=revoked").await.json()["items"][0]["id"], grant.as_str());
    let again = house.post("bob", &format!("/grants/{grant}/revoke"), json!({})).await;
    assert_eq!(again.problem(), "conflict");
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_approves_their_own_and_a_no_is_told() {
    let house = House::open().await;
    let own = house.ask("bob", "shop-writer").await;
    let refused = house.post("bob", &format!("/requests/{own}/approve"), json!({})).await;
    assert_eq!(refused.problem(), "denied");
    // What is none of one's business does not exist.
    assert_eq!(house.get("alice", &format!("/requests/{own}")).await.problem(), "not-found");
    let id = house.ask("alice", "shop-writer").await;
    let denied =
        house.post("bob", &format!("/requests/{id}/deny"), json!({ "comment": "not today" })).await.json();
    assert_eq!((&denied["state"], &denied["answer"]["comment"]), (&json!("denied"), &json!("not today")));
    let late = house.post("bob", &format!("/requests/{id}/approve"), json!({})).await;
    assert_eq!(late.problem(), "conflict");
    let id = house.ask("alice", "shop-writer").await;
    let withdrawn = house.post("alice", &format!("/requests/{id}/withdraw"), json!({})).await.json();
    assert_eq!(withdrawn["state"], "withdrawn");
    let states = house.get("alice", "/requests?state=withdrawn&mine=true").await.json();
    assert_eq!(states["items"].as_array().unwrap().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_held_statement_is_shown_in_full() {
    let house = House::open().await;
    house.grant("alice", "shop-writer").await;
    let session = house.connect("alice", "shop-writer").await;
    let Judgement::Hold(held) = house.engine.judge(&session, delete()) else { panic!("not held") };
    let look = Look {
        rows: Some(12),
        estimate: Some(10),
        notes: vec!["a trigger fires".into()],
        relations: vec![LookRelation {
            name: "public.orders".into(),
            owner: Some("shop_admin".into()),
            estimate_rows: Some(4_000),
            access: "write".into(),
            kinds: vec!["table".into()],
            columns: vec!["customer".into(), "note".into()],
            reached: false,
        }],
        functions: vec![LookFunction { name: "pg_catalog.now".into(), volatile: false, definer: false }],
        types: Vec::new(),
        can_bound_rows: true,
        rows_come_later: false,
        touches: Vec::new(),
        no_envelope: None,
        holds_up: HoldsUp::Nothing,
        foreseen: Foreseen::default(),
    };
    let waiting = house.engine.hold(held, look).await.unwrap();
    let seen = house.get("bob", &format!("/requests/{}", waiting.id())).await.json();
    assert_eq!(
        (&seen["kind"], &seen["action"], &seen["resource"]),
        (&json!("action"), &json!("sql.delete"), &json!("shop"))
    );
    assert_eq!(seen["text"], "delete from orders where customer = $1 and note = $2");
    assert_eq!(
        seen["parameters"][0],
        json!({ "position": 1, "type": 25, "type_name": "text", "encoding": "text", "value": "17" })
    );
    assert_eq!(seen["parameters"][1], json!({ "position": 2, "type": 0, "encoding": "null" }));
    assert_eq!(seen["rows"], json!({ "count": 12, "estimate": 10, "bound": 12, "unbounded": false }));
    assert_eq!(seen["relations"][0]["name"], "public.orders");
    assert_eq!(
        (&seen["notes"][0], &seen["reason"]),
        (&json!("a trigger fires"), &json!("repair the orders"))
    );
    assert_eq!((&seen["locked"], &seen["erased"]), (&json!(false), &json!(false)));

    let sessions = house.get("bob", "/sessions").await.json();
    let shown = &sessions["items"][0];
    assert_eq!((&shown["principal"], &shown["application"]), (&json!("alice"), &json!("psql")));
    let at = |what: &str| format!("/sessions/{}/{what}", session.id());
    assert_eq!(shown["can"], json!({ "end": true, "pause": true, "resume": false }));
    assert_eq!(house.post("bob", &at("pause"), json!({ "reason": " " })).await.problem(), "invalid");
    let paused = house.post("bob", &at("pause"), json!({ "reason": "a look first" })).await.json();
    assert_eq!((&paused["state"], &paused["paused"]["by"]), (&json!("live"), &json!("bob")));
    assert_eq!(paused["paused"]["reason"], "a look first");
    assert_eq!(paused["can"], json!({ "end": true, "pause": false, "resume": true }));
    assert_eq!(
        house.post("bob", &at("pause"), json!({ "reason": "twice" })).await.status,
        StatusCode::CONFLICT
    );
    assert_eq!(house.post("alice", &at("resume"), json!({})).await.status, StatusCode::FORBIDDEN);
    let resumed = house.post("bob", &at("resume"), json!({})).await.json();
    assert!(resumed.get("paused").is_none(), "{resumed}");
    assert_eq!(house.post("bob", &at("resume"), json!({})).await.status, StatusCode::CONFLICT);
    let end = at("end");
    assert_eq!(house.post("bob", &end, json!({})).await.status, StatusCode::NO_CONTENT);
    assert_eq!(session.ended().await.as_str(), "kill");
    let actions = house.get("alice", &format!("/sessions/{}/actions", session.id())).await.json();
    let kinds: Vec<&str> =
        actions["items"].as_array().unwrap().iter().map(|line| line["type"].as_str().unwrap()).collect();
    assert!(kinds.contains(&"action.held"), "{kinds:?}");
    assert_eq!(
        house.get("carol", &format!("/sessions/{}/actions", session.id())).await.status,
        StatusCode::OK
    );
    assert_eq!(house.get("dave", "/ledger/events").await.problem(), "denied");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_credential_is_shown_once_and_works_as_a_url() {
    let house = House::open().await;
    let minted = house.post("alice", "/credentials", json!({ "resource": "shop" })).await;
    assert_eq!(minted.status, StatusCode::CREATED);
    assert_eq!(minted.header("cache-control"), "no-store");
    let minted = minted.json();
    let (user, password) = (minted["user"].as_str().unwrap(), minted["password"].as_str().unwrap());
    assert_eq!((&minted["state"], &minted["database"]), (&json!("live"), &json!("shop")));
    let url = minted["url"].as_str().unwrap();
    assert_eq!(
        url,
        format!(
            "postgresql://{user}:{password}@localhost:6432/shop?sslmode=verify-full&sslrootcert=%2Ftmp%2Fmy%20ca.pem"
        )
    );
    assert!(minted["ca"].as_str().unwrap().starts_with("-----BEGIN"));
    assert!(!contains(&house.disk(), password.as_bytes()));
    assert_eq!(
        house.post("alice", "/credentials", json!({ "resource": "nope" })).await.problem(),
        "not-found"
    );
    assert_eq!(
        house.post("alice", "/credentials", json!({ "resource": "No Pe" })).await.problem(),
        "invalid"
    );
    let resources = house.get("alice", "/resources").await.json();
    let shop = &resources["items"][0];
    assert_eq!(
        (&shop["id"], &shop["state"], &shop["port"]),
        (&json!("shop"), &json!("closed"), &json!(6_432))
    );
    house.grant("alice", "shop-writer").await;
    assert_eq!(house.get("alice", "/resources").await.json()["items"][0]["state"], "open");
}

#[tokio::test(flavor = "multi_thread")]
async fn people_are_shut_out_and_let_in() {
    let house = House::open().await;
    let alice = house.token("alice");
    let disabled =
        house.post("bob", "/principals/alice/disable", json!({ "reason": "lost laptop" })).await.json();
    assert_eq!(
        (&disabled["state"], &disabled["can"]),
        (&json!("disabled"), &json!({ "disable": false, "enable": true }))
    );
    assert_eq!(house.make(Call::get("/me").bearer(&alice)).await.status, StatusCode::UNAUTHORIZED);
    let enabled = house.post("bob", "/principals/alice/enable", json!({})).await.json();
    assert_eq!(enabled["state"], "enabled");
    assert_eq!(house.post("bob", "/principals/nobody/disable", json!({})).await.problem(), "not-found");
    let people = house.get("bob", "/principals").await.json();
    let names: Vec<&str> =
        people["items"].as_array().unwrap().iter().map(|one| one["id"].as_str().unwrap()).collect();
    assert_eq!(names, ["alice", "bob", "carol", "ci", "dave", "scribe"]);
    assert!(house.get("alice", "/principals").await.json()["items"].as_array().unwrap().len() < names.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bundle_is_checked_applied_and_approved() {
    let house = House::open().await;
    let current = house.get("dave", "/bundle").await.json();
    assert_eq!(
        (&current["version"], &current["state"], &current["name"]),
        (&json!(1), &json!("active"), &json!("shop"))
    );
    let mut files = bundle();
    let broken = json!({ "files": { "bundle.toml": "name = 1\n", "house.cedar": "permit (" } });
    let checked = house.post("dave", "/bundle/check", broken.clone()).await.json();
    assert_eq!(checked["state"], "invalid");
    assert!(checked["diagnostics"].as_array().unwrap().len() > 1, "{checked}");
    let refused = house.post("dave", "/bundle", broken).await;
    assert_eq!(refused.problem(), "invalid");
    assert_eq!(refused.json()["diagnostics"], checked["diagnostics"]);
    files.get_mut("people.toml").unwrap().push_str("\n[user.erin]\nname = \"Erin\"\n");
    let files = json!({ "files": files });
    assert_eq!(house.post("alice", "/bundle", files.clone()).await.problem(), "denied");
    let applied = house.post("dave", "/bundle", files.clone()).await.json();
    assert_eq!(applied["state"], "pending", "{applied}");
    let id = applied["request"].as_str().unwrap();
    let approved = house.post("carol", &format!("/requests/{id}/approve"), json!({})).await;
    assert_eq!(approved.status, StatusCode::OK, "{approved:?}");
    let current = house.get("dave", "/bundle").await.json();
    assert_eq!(
        (&current["version"], &current["principals"]),
        (&json!(2), &json!(7)),
        "the last yes puts it in force"
    );
    assert_eq!(house.post("dave", "/bundle", files).await.problem(), "conflict");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_browser_signs_in_with_a_cookie_and_out() {
    let house = House::open().await.with_passwords().await;
    let signed_in = house.make(Call::sign_in("alice", PASSWORD).with("x-countersign", "1")).await;
    assert_eq!(signed_in.status, StatusCode::OK);
    assert!(signed_in.json().get("token").is_none(), "a script must not see the token");
    let cookie = signed_in.header("set-cookie").to_owned();
    assert!(
        cookie.starts_with("countersign=") && cookie.ends_with("; HttpOnly; SameSite=Strict"),
        "{cookie}"
    );
    let token = cookie.split(['=', ';']).nth(1).unwrap();
    let me = house.make(Call::get("/me").cookie(token)).await;
    assert_eq!(me.json()["principal"], "alice");
    let out = house.make(Call::post("/sign-out", &json!({})).cookie(token).with("x-countersign", "1")).await;
    assert_eq!(out.status, StatusCode::NO_CONTENT);
    assert!(out.header("set-cookie").contains("Max-Age=0"));
    assert_eq!(house.make(Call::get("/me").cookie(token)).await.status, StatusCode::UNAUTHORIZED);

    let program = house.make(Call::sign_in("alice", PASSWORD)).await;
    assert_eq!(program.header("set-cookie"), "");
    let token = program.json()["token"].as_str().unwrap().to_owned();
    assert_eq!(house.make(Call::get("/me").bearer(&token)).await.status, StatusCode::OK);
    assert!(!contains(&house.disk(), token.as_bytes()) && !contains(&house.disk(), PASSWORD.as_bytes()));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_ledger_is_proved_over_http() {
    let house = House::open().await;
    house.grant("alice", "shop-writer").await;
    house.published().await;
    let page = house.get("bob", "/ledger/events?type=decision.approved").await.json();
    let seq = page["items"][0]["seq"].as_u64().unwrap();
    let controls = page["items"][0]["controls"].as_array().unwrap();
    assert!(controls.iter().any(|one| one.as_str().unwrap().starts_with("AC-")), "{controls:?}");
    let detail = house.get("bob", &format!("/ledger/events/{seq}")).await.json();
    assert_eq!(detail["state"], "published");
    let key: VerifierKey = house.get("alice", "/ledger/vkey").await.text().trim().parse().unwrap();
    let proof = TlogProof::parse(detail["proof"].as_str().unwrap().as_bytes()).unwrap();
    let line = detail["line"].as_str().unwrap();
    proof.verify(line.as_bytes(), std::slice::from_ref(&key)).unwrap();
    assert!(proof.verify(line.replace("bob", "eve").as_bytes(), std::slice::from_ref(&key)).is_err());

    let searched = house.get("bob", "/ledger/events?text=REPAIR%20the&limit=1").await.json();
    assert_eq!(searched["items"][0]["text"], "repair the orders");
    assert!(searched["next"].is_u64());
    let reads = house.get("bob", "/ledger/events?type=ledger.read").await.json();
    assert!(reads["items"].as_array().unwrap().len() >= 3, "reading the audit trail is recorded: {reads}");
    let exported = house.get("bob", "/ledger/content").await;
    assert_eq!(exported.header("content-type"), "application/jsonl");
    let disclosed: Vec<Value> =
        exported.text().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(disclosed.len() > 3);

    house.published().await;
    let files = gather(&house).await;
    let report = verify(&files, &Options { keys: &[key], retained: None, layout: Layout::Log });
    assert_eq!(report.outcome(), Outcome::Proved, "{:?}", report.findings);
}

#[tokio::test(flavor = "multi_thread")]
async fn figures_are_for_this_machine_and_for_people() {
    let house = House::open().await;
    house.ask("alice", "shop-writer").await;
    let mut here = Call::get("/metrics");
    here.from = "127.0.0.1:40000".parse().unwrap();
    let figures = house.make(here).await.text();
    assert!(figures.contains("\ncountersign_requests_pending 1\n"), "{figures}");
    assert!(
        figures.contains("\ncountersign_healthy 1\n") || figures.starts_with("# HELP countersign_healthy")
    );
    let mut proxied = Call::get("/metrics").with("x-forwarded-for", "192.0.2.1");
    proxied.from = "127.0.0.1:40000".parse().unwrap();
    assert_eq!(house.make(proxied).await.status, StatusCode::UNAUTHORIZED);
    assert_eq!(house.make(Call::get("/metrics")).await.status, StatusCode::UNAUTHORIZED);
    assert_eq!(house.get("alice", "/metrics").await.status, StatusCode::OK);
    let health = house.make(Call::get("/health")).await;
    assert_eq!((health.status, health.json()), (StatusCode::OK, json!({ "id": "gateway", "state": "ok" })));
}

/// The files of a log, as somebody who verifies it fetches them.
async fn gather(house: &House) -> BTreeMap<String, Vec<u8>> {
    let checkpoint = house.get("bob", "/ledger/checkpoint").await.text();
    let size: u64 = checkpoint.lines().nth(1).unwrap().parse().unwrap();
    assert!(size < 256, "one partial tile of each kind");
    let mut files = BTreeMap::from([("checkpoint".to_owned(), checkpoint.into_bytes())]);
    for path in [format!("tile/0/000.p/{size}"), format!("tile/entries/000.p/{size}")] {
        let tile = house.get("bob", &format!("/ledger/{path}")).await;
        assert_eq!((tile.status, tile.header("cache-control")), (StatusCode::OK, "no-store"), "{path}");
        files.insert(path, tile.body.to_vec());
    }
    files
}

pub fn delete() -> Attempt {
    let text = "delete from orders where customer = $1 and note = $2";
    let context: Context = Sql {
        plain: Plain { now: At(0), source: None, via: Via::Postgres },
        purpose: String::new(),
        ticket: None,
        verbs: BTreeSet::from(["delete".to_owned()]),
        reads: BTreeSet::new(),
        writes: BTreeSet::from(["public.orders".to_owned()]),
        functions: BTreeSet::new(),
        has_where: true,
        has_limit: false,
        reach: countersign_policy::context::Reach::default(),
        statements: 1,
        in_transaction: false,
        provable_read: false,
        rows: None,
    }
    .into();
    Attempt {
        kind: ActionName::new("sql.delete"),
        actions: [ActionName::new("sql.delete")].into(),
        verbs: ["delete".into()].into(),
        provable_read: false,
        context: Arc::new(context),
        text: text.into(),
        parameter_types: [25].into(),
        parameters: [Some(Parameter { binary: false, bytes: Bytes::from_static(b"17") }), None].into(),
        relations: Vec::new(),
        settings: Arc::default(),
        bytes: Bytes::from_static(text.as_bytes()),
    }
}

fn contains(haystack: &[u8], needle: &[u8]) -> bool {
    haystack.windows(needle.len()).any(|window| window == needle)
}
