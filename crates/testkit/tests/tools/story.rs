//! Who gets in, what is shown, and what becomes of a call.

use std::time::Duration;

use countersign_core::request::{Outcome, State};
use countersign_core::{RequestId, Span};
use countersign_testkit::tools::{ToolClient, ToolHouse, call, text};
use serde_json::{Value, json};

/// How a request that was approved ended.
fn outcome(house: &ToolHouse, id: RequestId) -> Option<Outcome> {
    let snapshot = house.house.engine.snapshot();
    match &snapshot.book.request(id)?.state {
        State::Approved(receipt) => receipt.outcome.clone(),
        _ => None,
    }
}

/// Waits until a request's outcome is known.
async fn ended(house: &ToolHouse, id: RequestId) -> Outcome {
    let mut changed = house.house.engine.changed();
    let waiting = async {
        loop {
            if let Some(outcome) = outcome(house, id) {
                return outcome;
            }
            changed.changed().await.unwrap();
        }
    };
    tokio::time::timeout(Duration::from_secs(10), waiting).await.unwrap()
}

#[tokio::test]
async fn strangers_and_pages_do_not_get_in() {
    let house = ToolHouse::open().await.unwrap();
    let hello = r#"{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"2025-11-25"}}"#;
    let url = house.url();
    let nobody = reqwest::Client::new().post(&url).header("content-type", "application/json").body(hello);
    let answer = nobody.send().await.unwrap();
    assert_eq!(answer.status(), 401);
    assert!(answer.headers()["www-authenticate"].to_str().unwrap().starts_with("Bearer"));
    for token in ["x", "alice~x", "alice~", "~", "alice"] {
        assert_eq!(ToolClient::new(&url, token).post(hello).await.unwrap().status(), 401, "{token}");
    }
    let other = house.token("alice", "shop").await.unwrap();
    assert_eq!(ToolClient::new(&url, &other).post(hello).await.unwrap().status(), 401, "of another resource");
    let own = house.token("alice", "files").await.unwrap();
    let foreign =
        reqwest::Client::new().post(&url).bearer_auth(&own).header("content-type", "application/json");
    let foreign = foreign.header("origin", "https://evil.example").body(hello).send().await.unwrap();
    assert_eq!(foreign.status(), 403);

    let alice = house.alice().await.unwrap();
    let mut thief = ToolClient::new(&url, &house.token("bob", "files").await.unwrap());
    thief.session.clone_from(&alice.session);
    assert_eq!(thief.post(call(1, "echo", json!({})).to_string()).await.unwrap().status(), 404);
    let mut lost = ToolClient::new(&url, &own);
    lost.session = Some("00".repeat(16));
    assert_eq!(lost.post(call(1, "echo", json!({})).to_string()).await.unwrap().status(), 404);
    let before = house.server.received().len();
    assert_eq!(alice.leave().await.unwrap(), 204);
    house.deserted().await.unwrap();
    house.server.receives("DELETE").await.unwrap();
    assert_eq!(alice.post(call(1, "echo", json!({})).to_string()).await.unwrap().status(), 404);
    assert_eq!(house.server.received().len(), before + 1);
    house.close().await;
}

#[tokio::test]
async fn what_is_shown_is_what_policy_permits_and_a_call_passes_as_it_is() {
    let house = ToolHouse::open().await.unwrap();
    let alice = house.alice().await.unwrap();
    assert_eq!(alice.welcome["result"]["serverInfo"]["name"], "reports");
    assert_eq!(alice.welcome["result"]["capabilities"], json!({"tools": {"listChanged": true}}));
    let list = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/list"});
    let list = alice.ask(&list).await.unwrap().last().await.unwrap();
    let names: Vec<&str> = list["result"]["tools"]
        .as_array()
        .unwrap()
        .iter()
        .map(|tool| tool["name"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["echo", "write", "slow", "ask", "fail"]);

    let sent = "{ \"jsonrpc\":\"2.0\",\n \"id\":7, \"method\":\"tools/call\",\t\"params\":{\"name\":\"echo\",\"arguments\":{\"path\":\"/srv/reports/\\u0061\",\"n\":1.50}} }";
    let answer = alice.post(sent).await.unwrap();
    assert_eq!(answer.headers()["content-type"], "application/json");
    let answer: Value = serde_json::from_str(&answer.text().await.unwrap()).unwrap();
    assert_eq!(answer["id"], 7);
    assert_eq!(text(&answer), r#"{"path":"/srv/reports/a","n":1.5}"#);
    assert_eq!(house.server.received_with("tools/call"), [sent.replace('\n', " ")], "byte for byte");
    assert!(house.server.authorizations().iter().all(String::is_empty), "no credential is passed on");
    for (revision, status) in [("2025-11-25", 200), ("2025-03-26", 200), ("2026-13-01", 400), ("", 400)] {
        let answer = alice.post_under(revision, call(3, "echo", json!({})).to_string()).await.unwrap();
        assert_eq!(answer.status(), status, "{revision}");
    }

    let failed = alice.call(8, "fail", json!({})).await.unwrap();
    assert_eq!((text(&failed), &failed["result"]["isError"]), ("it broke", &json!(true)));
    let other =
        json!({"jsonrpc": "2.0", "id": 9, "method": "resources/read", "params": {"uri": "file:///x"}});
    let other = alice.ask(&other).await.unwrap().last().await.unwrap();
    assert_eq!(other["error"]["code"], -32_601, "the server's own error");
    house.close().await;
}

#[tokio::test]
async fn a_held_call_waits_in_place_and_runs_once_as_it_was_approved() {
    let house = ToolHouse::open().await.unwrap();
    let alice = house.alice().await.unwrap();
    let mut answers =
        alice.ask(&call(1, "write", json!({"path": "/srv/reports/a", "lines": 3}))).await.unwrap();
    assert!(answers.is_stream());
    let told = answers.next().await.unwrap();
    assert_eq!(told["method"], "notifications/progress");
    let words = told["params"]["message"].as_str().unwrap();
    assert!(words.starts_with("this waits for an approval by group:dba or owner (bob)"), "{words}");
    let held = house.house.held().await.unwrap();
    assert_eq!(house.server.received_with("tools/call"), Vec::<String>::new(), "nothing has run");
    house.house.approve(held.id).await.unwrap();
    let answer = answers.last().await.unwrap();
    assert_eq!(text(&answer), r#"{"path":"/srv/reports/a","lines":3}"#);
    assert_eq!(house.server.received_with("tools/call").len(), 1);
    assert_eq!(ended(&house, held.id).await, Outcome::Done { rows: None });
    // The yes was for that call.
    let mut again =
        alice.ask(&call(2, "write", json!({"path": "/srv/reports/a", "lines": 3}))).await.unwrap();
    again.next().await.unwrap();
    let held = house.house.held().await.unwrap();
    house.house.deny(held.id, "once is enough").await.unwrap();
    let answer = again.last().await.unwrap();
    assert_eq!(answer["result"]["isError"], true);
    assert_eq!(text(&answer), "not done: bob denied this: once is enough\nnothing was sent to the server");
    assert_eq!(house.server.received_with("tools/call").len(), 1);
    house.close().await;
}

#[tokio::test]
async fn what_is_forbidden_or_does_not_fit_reaches_nobody() {
    let house = ToolHouse::open().await.unwrap();
    let alice = house.alice().await.unwrap();
    for (tool, arguments, why) in [
        (
            "wipe",
            json!({}),
            "not done: `mcp.call` on `files` is forbidden by `nobody-wipes` (reports are never wiped)",
        ),
        (
            "echo",
            json!({"path": "/etc/passwd"}),
            "not done: `mcp.call` on `files` is forbidden by `only-reports` (only reports are read)",
        ),
        ("nothing", json!({}), "not done: the server has no tool `nothing`"),
        ("write", json!({"lines": 3}), "not done: `arguments` has no `path`"),
        ("write", json!({"path": 7}), "not done: `arguments.path` is no string"),
        ("write", json!({"path": "a", "more": 1}), "not done: `arguments.more` may not be there"),
    ] {
        let answer = alice.call(1, tool, arguments).await.unwrap();
        assert_eq!(answer["result"]["isError"], true);
        assert_eq!(text(&answer).lines().next().unwrap(), why);
    }
    let unknown = json!({"jsonrpc": "2.0", "id": 2, "method": "tasks/list"});
    let unknown = alice.ask(&unknown).await.unwrap().last().await.unwrap();
    assert_eq!(unknown["error"]["message"], "role `clerk` does not permit `mcp.unknown` on `files`");
    assert_eq!(house.server.received_with("tools/call"), Vec::<String>::new());
    assert_eq!(house.server.received_with("tasks"), Vec::<String>::new());
    house.close().await;
}

#[tokio::test]
async fn cancelling_or_hanging_up_gives_up_what_waits() {
    let house = ToolHouse::open().await.unwrap();
    let alice = house.alice().await.unwrap();
    let mut answers = alice.ask(&call(1, "write", json!({"path": "a"}))).await.unwrap();
    answers.next().await.unwrap();
    let held = house.house.held().await.unwrap();
    let cancel = json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 1}});
    assert_eq!(alice.post(cancel.to_string()).await.unwrap().status(), 202);
    house.house.becomes(held.id, "withdrawn").await.unwrap();
    assert_eq!(text(&answers.last().await.unwrap()), "not done: this was given up before it ran");
    assert_eq!(house.server.received_with("cancelled"), Vec::<String>::new(), "the server never heard of it");

    let mut answers = alice.ask(&call(2, "write", json!({"path": "b"}))).await.unwrap();
    answers.next().await.unwrap();
    let held = house.house.held().await.unwrap();
    drop(answers);
    house.house.becomes(held.id, "withdrawn").await.unwrap();

    let mut answers = alice.ask(&call(3, "slow", json!({}))).await.unwrap();
    assert_eq!(answers.next().await.unwrap()["params"]["message"], "half");
    let cancel = json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 3}});
    assert_eq!(alice.post(cancel.to_string()).await.unwrap().status(), 202);
    assert_eq!(text(&answers.last().await.unwrap()), "not done: cancelled by its client");
    house.server.receives("notifications/cancelled").await.unwrap();
    assert_eq!(house.server.received_with("\"write\""), Vec::<String>::new());
    house.close().await;
}

#[tokio::test]
async fn the_end_of_the_grant_ends_what_runs_and_what_waits() {
    let house = ToolHouse::open().await.unwrap();
    let grant = house.house.grant("alice", "clerk", Span::minutes(30)).await.unwrap();
    let mut alice = ToolClient::new(&house.url(), &house.token("alice", "files").await.unwrap());
    alice.begin().await.unwrap();
    let mut slow = alice.ask(&call(1, "slow", json!({}))).await.unwrap();
    slow.next().await.unwrap();
    let mut waits = alice.ask(&call(2, "write", json!({"path": "a"}))).await.unwrap();
    waits.next().await.unwrap();
    let held = house.house.held().await.unwrap();
    let bob = house.house.person("bob").await.unwrap();
    house.house.engine.revoke(&bob, grant, Some("enough".into())).await.unwrap();
    let cut = async { (slow.last().await.unwrap(), waits.last().await.unwrap()) };
    let (slow, waits) = tokio::time::timeout(Duration::from_secs(5), cut).await.unwrap();
    assert!(text(&slow).starts_with("not done: your grant was revoked"), "{slow}");
    assert!(text(&waits).starts_with("not done: "), "{waits}");
    house.deserted().await.unwrap();
    assert_eq!(house.house.engine.snapshot().book.request(held.id).unwrap().state.as_str(), "void");
    assert_eq!(alice.post(call(3, "echo", json!({})).to_string()).await.unwrap().status(), 404);
    assert_eq!(house.server.received_with("\"write\""), Vec::<String>::new());
    house.close().await;
}

#[tokio::test]
async fn a_tool_that_changed_while_it_waited_is_not_what_was_approved() {
    let house = ToolHouse::open().await.unwrap();
    let alice = house.alice().await.unwrap();
    let mut answers = alice.ask(&call(1, "write", json!({"path": "a"}))).await.unwrap();
    answers.next().await.unwrap();
    let first = house.house.held().await.unwrap();
    assert!(first.notes.join("\n").contains("\"description\": \"writes a report\""));
    house.server.says_of_write("writes a report, and mails it");
    // The server says so in what answers another call.
    let slow = alice.ask(&call(2, "slow", json!({}))).await.unwrap();
    house.server.list_changed().await;
    house.server.go_on();
    assert_eq!(text(&slow.last().await.unwrap()), "slowly");
    house.house.approve(first.id).await.unwrap();
    house.house.becomes(first.id, "void").await.unwrap();
    let second = house.house.held().await.unwrap();
    assert_ne!(second.id, first.id);
    assert_eq!(house.server.received_with("\"write\""), Vec::<String>::new());
    house.house.approve(second.id).await.unwrap();
    assert_eq!(text(&answers.last().await.unwrap()), r#"{"path":"a"}"#);
    assert_eq!(house.server.received_with("\"write\"").len(), 1);
    house.close().await;
}

#[tokio::test]
async fn what_a_server_asks_of_a_client_is_judged() {
    let house = ToolHouse::open().await.unwrap();
    let alice = house.alice().await.unwrap();
    let answer = alice.call(1, "ask", json!({})).await.unwrap();
    assert!(text(&answer).contains("the gateway does not permit this"), "{answer}");
    house.close().await;

    let permit = r#"@id("sampling") permit (principal in Role::"clerk", action == Action::"mcp.sample", resource in Role::"clerk");"#;
    let house = ToolHouse::with(permit).await.unwrap();
    let alice = house.alice().await.unwrap();
    let mut answers = alice.ask(&call(1, "ask", json!({}))).await.unwrap();
    let asked = answers.next().await.unwrap();
    assert_eq!((&asked["method"], &asked["id"]), (&json!("sampling/createMessage"), &json!("q")));
    let said = json!({"jsonrpc": "2.0", "id": "q", "result": {"model": "m", "content": {"type": "text", "text": "hi"}}});
    assert_eq!(alice.post(said.to_string()).await.unwrap().status(), 202);
    let answer = answers.last().await.unwrap();
    assert!(text(&answer).contains("\"model\":\"m\""), "{answer}");
    assert_eq!(alice.post(said.to_string()).await.unwrap().status(), 400, "nobody asked twice");
    house.close().await;
}

#[tokio::test]
async fn a_tool_that_is_not_as_it_was_pinned_is_held_until_somebody_has_looked() {
    let policy = r#"@id("reviewed") @gate("prod-write")
        forbid (principal, action == Action::"mcp.call", resource) when { context.pin == "other" };"#;
    let other = format!("sha256:{}", "0".repeat(64));
    let house = ToolHouse::pinned(&[("echo", &other)], policy).await.unwrap();
    let alice = house.alice().await.unwrap();
    let mut answers = alice.ask(&call(1, "echo", json!({}))).await.unwrap();
    answers.next().await.unwrap();
    let held = house.house.held().await.unwrap();
    let note =
        held.notes.iter().find(|note| note.contains("is not described as the bundle pins it")).unwrap();
    let digest = note.rsplit(' ').next().unwrap().to_owned();
    assert!(
        held.settings.iter().any(|(name, value)| *name == "tool" && *value == digest),
        "{:?}",
        held.settings
    );
    house.house.deny(held.id, "not yet").await.unwrap();
    answers.last().await.unwrap();
    assert_eq!(house.server.received_with("\"echo\""), Vec::<String>::new());
    house.close().await;

    let house = ToolHouse::pinned(&[("echo", &digest)], policy).await.unwrap();
    let alice = house.alice().await.unwrap();
    assert_eq!(text(&alice.call(1, "echo", json!({})).await.unwrap()), "{}");
    let mut unpinned = alice.ask(&call(2, "fail", json!({}))).await.unwrap();
    unpinned.next().await.unwrap();
    let held = house.house.held().await.unwrap();
    house.house.approve(held.id).await.unwrap();
    assert_eq!(text(&unpinned.last().await.unwrap()), "it broke");
    house.close().await;
}

#[tokio::test]
async fn what_a_resource_covers_reaches_no_client() {
    let house = ToolHouse::described("[resource.files.masking]\ndetect = [\"email\"]", "").await.unwrap();
    let alice = house.alice().await.unwrap();
    let answer = alice.call(1, "echo", json!({"to": "carol@shop.example", "n": 7})).await.unwrap();
    assert_eq!(text(&answer), r#"{"to":"******************","n":7}"#);
    // Structured content, an embedded text, an embedded blob, and what is told of an error.
    let result = json!({
        "content": [
            {"type": "resource", "resource": {"uri": "file:///a", "text": "to carol@shop.example"}},
            {"type": "resource", "resource": {"uri": "file:///b", "mimeType": "text/plain",
                "blob": "dG8gY2Fyb2xAc2hvcC5leGFtcGxl"}},
        ],
        "structuredContent": {"people": [{"carol@shop.example": {"mail": "carol@shop.example"}}]},
        "isError": true,
    });
    let answer = alice.call(2, "echo", json!({ "result": result })).await.unwrap();
    let stars = "*".repeat(18);
    assert_eq!(
        answer["result"],
        json!({
            "content": [
                {"type": "resource", "resource": {"uri": "file:///a", "text": format!("to {stars}")}},
                {"type": "resource", "resource": {"uri": "file:///b", "mimeType": "text/plain",
                    "blob": "dG8gKioqKioqKioqKioqKioqKioq"}},
            ],
            "structuredContent": {"people": [{&stars: {"mail": stars}}]},
            "isError": true,
        })
    );
    house.close().await;
}

#[tokio::test]
async fn calls_of_a_paused_session_wait_in_place() {
    let house = ToolHouse::open().await.unwrap();
    let alice = house.alice().await.unwrap();
    let engine = &house.house.engine;
    let session = engine.snapshot().book.sessions().next().unwrap().opening.session;
    let bob = house.house.person("bob").await.unwrap();
    engine.pause_session(&bob, session, "a look at this first".into()).await.unwrap();
    let mut answers = alice.ask(&call(1, "echo", json!({"path": "/srv/reports/a"}))).await.unwrap();
    let told = answers.next().await.unwrap();
    let words = told["params"]["message"].as_str().unwrap();
    assert!(words.starts_with("this session was paused by bob at "), "{words}");
    assert!(words.contains(": a look at this first; this waits until somebody resumes it"), "{words}");
    // The client may give it up, and the server never hears of it.
    let mut given_up = alice.ask(&call(2, "echo", json!({"path": "/srv/reports/b"}))).await.unwrap();
    given_up.next().await.unwrap();
    let cancel = json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 2}});
    assert_eq!(alice.post(cancel.to_string()).await.unwrap().status(), 202);
    assert_eq!(text(&given_up.last().await.unwrap()), "not done: this was given up before it ran");
    assert_eq!(house.server.received_with("tools/call"), Vec::<String>::new(), "nothing has run");
    engine.resume_session(&bob, session, None).await.unwrap();
    let answer = answers.last().await.unwrap();
    assert!(answer["result"]["isError"].as_bool() != Some(true), "{answer}");
    assert_eq!(house.server.received_with("tools/call").len(), 1);
    house.close().await;
}
