//! Before a server of tools without a grant: what is there, how one asks, and how one goes on in the same session.

use std::time::Duration;

use countersign_core::Span;
use countersign_engine::audit::LedgerQuery;
use countersign_testkit::tools::{ToolClient, ToolHouse, call, text};
use serde_json::{Value, json};

/// A client of alice's that has no grant, in a session that has begun.
async fn alice(house: &ToolHouse) -> ToolClient {
    let mut client = ToolClient::new(&house.url(), &house.token("alice", "files").await.unwrap());
    client.begin().await.unwrap();
    client
}

/// The names of the tools that are listed.
async fn tools(client: &ToolClient) -> Vec<String> {
    let list = json!({"jsonrpc": "2.0", "id": 90, "method": "tools/list"});
    let list = client.ask(&list).await.unwrap().last().await.unwrap();
    let tools = list["result"]["tools"].as_array().unwrap_or_else(|| panic!("{list}"));
    tools.iter().map(|tool| tool["name"].as_str().unwrap().to_owned()).collect()
}

fn asks(id: u64) -> Value {
    call(id, "request_access", json!({ "role": "clerk", "purpose": "the weekly report", "minutes": 20 }))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_has_no_grant_asks_for_one_and_goes_on_to_the_server() {
    let house = ToolHouse::open().await.unwrap();
    let alice = alice(&house).await;
    let welcome = &alice.welcome["result"];
    assert_eq!(welcome["serverInfo"]["name"], "countersign");
    assert_eq!(welcome["capabilities"], json!({ "tools": { "listChanged": true } }));
    assert_eq!(tools(&alice).await, ["access", "request_access"]);
    let refused = alice.call(1, "echo", json!({})).await.unwrap();
    assert_eq!(refused["result"]["isError"], true, "{refused}");
    assert!(
        text(&refused).starts_with("not done: without a grant there is no tool `echo` here"),
        "{refused}"
    );
    assert!(text(&refused).contains("`request_access` asks for one"), "{refused}");
    let other = json!({"jsonrpc": "2.0", "id": 2, "method": "resources/list"});
    assert_eq!(alice.ask(&other).await.unwrap().last().await.unwrap()["error"]["code"], -32_601);
    let access = alice.call(3, "access", json!({})).await.unwrap();
    let role = &access["result"]["structuredContent"]["roles"][0];
    assert_eq!(
        (&role["role"], &role["may_be_asked_for_minutes"]),
        (&json!("clerk"), &json!("60")),
        "{access}"
    );

    let mut answers = alice.ask(&asks(4)).await.unwrap();
    let told = answers.next().await.unwrap();
    let words = told["params"]["message"].as_str().unwrap();
    assert!(words.starts_with("your access waits for an approval by "), "{words}");
    let held = house.house.held().await.unwrap();
    assert_eq!((held.by.id.as_str(), held.purpose.as_deref()), ("alice", Some("the weekly report")));
    assert_eq!(house.server.received(), Vec::<String>::new(), "the server has heard of nobody");
    house.house.approve(held.id).await.unwrap();
    let changed = answers.next().await.unwrap();
    assert_eq!(changed, json!({"jsonrpc": "2.0", "method": "notifications/tools/list_changed"}));
    let granted = answers.last().await.unwrap();
    assert_eq!(granted["result"]["structuredContent"]["state"], "held", "{granted}");

    assert_eq!(tools(&alice).await, ["echo", "write", "slow", "ask", "fail"]);
    let answer = alice.call(5, "echo", json!({"path": "/srv/reports/a"})).await.unwrap();
    assert_eq!(text(&answer), r#"{"path":"/srv/reports/a"}"#);
    let [greeting] = house.server.received_with("initialize\"").try_into().unwrap();
    assert!(
        greeting.contains(r#""clientInfo":{"name":"test","version":"1"}"#),
        "as the client greeted: {greeting}"
    );
    assert_eq!(house.server.received_with("notifications/initialized").len(), 1);
    assert!(house.server.authorizations().iter().all(String::is_empty), "no credential is passed on");

    let bob = house.house.person("bob").await.unwrap();
    let search = LedgerQuery { kind: Some("session.opened".into()), limit: 10, ..LedgerQuery::default() };
    let opened = house.house.engine.search(&bob, search).await.unwrap().items;
    assert_eq!(opened.len(), 1);
    assert_eq!(opened[0].line.data["door"], "mcp");
    assert_eq!(alice.leave().await.unwrap(), 204);
    house.deserted().await.unwrap();
    house.server.receives("DELETE").await.unwrap();
    house.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_no_leaves_the_client_at_the_desk_and_the_end_of_a_grant_leads_back_to_it() {
    let house = ToolHouse::open().await.unwrap();
    let mut alice = alice(&house).await;
    let mut answers = alice.ask(&asks(1)).await.unwrap();
    answers.next().await.unwrap();
    house.house.deny(house.house.held().await.unwrap().id, "not this week").await.unwrap();
    let denied = answers.last().await.unwrap();
    assert!(text(&denied).starts_with("not done: your access was denied by bob: not this week"), "{denied}");
    assert_eq!(tools(&alice).await, ["access", "request_access"]);

    // A grant that came another way is entered by asking for it; two that ask at once enter once.
    let grant = house.house.grant("alice", "clerk", Span::minutes(30)).await.unwrap();
    let (first, second) = (asks(2), asks(3));
    let (one, other) = tokio::join!(alice.ask(&first), alice.ask(&second));
    for answers in [one.unwrap(), other.unwrap()] {
        let answer = answers.last().await.unwrap();
        // The second may come when the server is there already, which has no such tool.
        assert!(
            answer["result"]["structuredContent"]["state"] == "held" || text(&answer).contains("no tool"),
            "{answer}"
        );
    }
    assert_eq!(house.server.received_with("initialize\"").len(), 1);
    assert_eq!(text(&alice.call(4, "echo", json!({"n": 1})).await.unwrap()), r#"{"n":1}"#);
    let bob = house.house.person("bob").await.unwrap();
    house.house.engine.revoke(&bob, grant, None).await.unwrap();
    house.deserted().await.unwrap();
    let over = || async { alice.post(call(5, "echo", json!({})).to_string()).await.unwrap().status() };
    let gone = async {
        while over().await != 404 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(5), gone).await.unwrap();
    alice.session = None;
    alice.begin().await.unwrap();
    assert_eq!(tools(&alice).await, ["access", "request_access"], "it begins anew, and asks again");
    house.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_does_not_greet_back_is_told_and_its_client_stays() {
    let nobody = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let url = format!("http://{}/mcp", nobody.local_addr().unwrap());
    drop(nobody);
    let house = ToolHouse::at(&url, "").await.unwrap();
    let alice = alice(&house).await;
    house.house.grant("alice", "clerk", Span::minutes(30)).await.unwrap();
    let answer = alice.ask(&asks(1)).await.unwrap().last().await.unwrap();
    assert!(text(&answer).starts_with("not done: the server can't be reached"), "{answer}");
    house.deserted().await.unwrap();
    assert_eq!(tools(&alice).await, ["access", "request_access"]);
    assert_eq!(alice.leave().await.unwrap(), 204);
    house.close().await;
}
