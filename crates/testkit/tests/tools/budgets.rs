//! How much single tools may be used, and what the ledger says of their results.

use std::time::Duration;

use countersign_core::action::hash;
use countersign_engine::LedgerQuery;
use countersign_testkit::tools::{ToolClient, ToolHouse, call, text};
use serde_json::{Value, json};

#[tokio::test]
async fn a_tool_has_a_budget_in_each_session_and_no_other_tool_shares_it() {
    let role = "[role.clerk.budget.tools]\necho = { calls = 2 }\nfail = { bytes = 10 }\n";
    let house = ToolHouse::budgeted(role, "").await.unwrap();
    let alice = house.alice().await.unwrap();
    for id in [1, 2] {
        assert_eq!(text(&alice.call(id, "echo", json!({})).await.unwrap()), "{}");
    }
    let refused = alice.call(3, "echo", json!({})).await.unwrap();
    assert_eq!(
        text(&refused),
        "not done: the budget of `echo` in this session is used up: 2 of 2 calls\n\
         use another tool, or begin a new session"
    );
    assert_eq!(
        text(&alice.call(4, "fail", json!({})).await.unwrap()),
        "it broke",
        "the one that goes beyond ends"
    );
    let refused = alice.call(5, "fail", json!({})).await.unwrap();
    assert!(text(&refused).contains("the budget of `fail` in this session is used up"), "{refused}");
    let list = alice.ask(&json!({"jsonrpc": "2.0", "id": 6, "method": "tools/list"})).await.unwrap();
    let list = list.last().await.unwrap().to_string();
    assert!(list.contains("\"echo\""), "what is used up is there all the same: {list}");
    assert_eq!(house.server.received_with("\"tools/call\"").len(), 3);

    let mut again = ToolClient::new(&house.url(), &house.token("alice", "files").await.unwrap());
    again.begin().await.unwrap();
    assert_eq!(text(&again.call(1, "echo", json!({})).await.unwrap()), "{}", "another session");
    house.close().await;
}

#[tokio::test]
async fn policies_may_hold_what_goes_beyond_the_budget_of_a_tool() {
    let role = "[role.clerk.budget]\nover = \"policy\"\ntools = { echo = { calls = 1 } }\n";
    let policy = r#"@id("often") @gate("prod-write")
        forbid (principal, action == Action::"mcp.call", resource)
        when { context.over_budget.contains("tool.calls") };"#;
    let house = ToolHouse::budgeted(role, policy).await.unwrap();
    let alice = house.alice().await.unwrap();
    assert_eq!(text(&alice.call(1, "echo", json!({})).await.unwrap()), "{}");
    let mut waits = alice.ask(&call(2, "echo", json!({"n": 2}))).await.unwrap();
    waits.next().await.unwrap();
    let held = house.house.held().await.unwrap();
    house.house.approve(held.id).await.unwrap();
    assert_eq!(text(&waits.last().await.unwrap()), r#"{"n":2}"#);
    assert_eq!(text(&alice.call(3, "fail", json!({})).await.unwrap()), "it broke");
    house.close().await;
}

/// What lines of completed calls tell of their results, the newest first, once there are so many.
async fn digests(house: &ToolHouse, count: usize) -> Vec<Value> {
    let bob = house.house.person("bob").await.unwrap();
    let mut changed = house.house.engine.changed();
    let looking = async {
        loop {
            let query =
                LedgerQuery { kind: Some("action.completed".into()), limit: 50, ..LedgerQuery::default() };
            let found = house.house.engine.search(&bob, query).await.unwrap().items;
            let mut digests = Vec::new();
            for event in found {
                let detail = house.house.engine.event(&bob, event.line.index).await.unwrap();
                let content = detail.contents.into_iter().find(|content| content.pointer == "/data/digest");
                digests.extend(content.and_then(|content| content.kept).map(|kept| kept.bytes));
            }
            if digests.len() >= count {
                return digests.iter().map(|bytes| serde_json::from_slice(bytes).unwrap()).collect();
            }
            let _more = tokio::time::timeout(Duration::from_millis(50), changed.changed()).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), looking).await.unwrap()
}

#[tokio::test]
async fn the_digest_of_a_result_is_told_with_its_size() {
    let house = ToolHouse::open().await.unwrap();
    let alice = house.alice().await.unwrap();
    let told =
        |result: &str| json!({"bytes": result.len(), "sha256": hash(&[result.as_bytes()]).to_string()});
    let before = digests(&house, 1).await.len();
    alice.call(1, "echo", json!({"result": {"content": []}})).await.unwrap();
    let found = digests(&house, before + 1).await;
    assert_eq!(found[0], told(r#"{"content":[]}"#), "{found:?}");

    // With the outcome of what was approved as well.
    let mut waits = alice.ask(&call(2, "write", json!({"path": "/a"}))).await.unwrap();
    waits.next().await.unwrap();
    let held = house.house.held().await.unwrap();
    house.house.approve(held.id).await.unwrap();
    waits.last().await.unwrap();
    let next = digests(&house, found.len() + 1).await;
    assert_eq!(next[0], told(r#"{"content":[{"type":"text","text":"{\"path\":\"/a\"}"}]}"#), "{next:?}");
    house.close().await;
}
