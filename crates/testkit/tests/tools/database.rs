//! A database whose statements are tools: judged, held and recorded by its own door, in a session of that door.

use std::time::Duration;

use countersign_core::Span;
use countersign_engine::audit::LedgerQuery;
use countersign_testkit::tools::{ToolClient, ToolHouse, call, text};
use serde_json::{Value, json};

/// A client of alice's before the shop's database, in a session that has begun.
async fn alice(house: &ToolHouse, role: &str) -> ToolClient {
    house.house.grant("alice", role, Span::minutes(30)).await.unwrap();
    let mut client = ToolClient::new(&url(house), &house.token("alice", "shop").await.unwrap());
    client.begin().await.unwrap();
    client
}

fn url(house: &ToolHouse) -> String {
    format!("{}/mcp/shop", house.base())
}

fn query(sql: &str) -> Value {
    json!({ "sql": sql })
}

/// What a call did, as it is structured; the text says the same.
fn done(answer: &Value) -> &Value {
    let structured = &answer["result"]["structuredContent"];
    assert_eq!(serde_json::from_str::<Value>(text(answer)).as_ref().ok(), Some(structured), "{answer}");
    structured
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_granted_database_is_two_tools() {
    let house = ToolHouse::open().await.unwrap();
    let alice = alice(&house, "shop-reader").await;
    let welcome = &alice.welcome["result"];
    assert_eq!(welcome["capabilities"], json!({ "tools": {} }));
    assert_eq!(welcome["protocolVersion"], "2025-11-25");
    assert!(welcome["instructions"].as_str().unwrap().contains("SQL on `shop`"), "{welcome}");
    let list = alice.ask(&json!({"jsonrpc": "2.0", "id": 1, "method": "tools/list"})).await.unwrap();
    let list = list.last().await.unwrap();
    let tools = list["result"]["tools"].as_array().unwrap();
    assert_eq!(
        tools.iter().map(|tool| &tool["name"]).collect::<Vec<_>>(),
        ["query", "schema", "access", "request_access"]
    );

    let answer = alice.call(2, "query", query("SELECT 1 AS a, NULL AS b; SELECT 'x' AS c")).await.unwrap();
    assert_eq!(
        done(&answer),
        &json!({ "statements": [
            { "done": "SELECT 1", "columns": ["a", "b"], "rows": [["1", null]] },
            { "done": "SELECT 1", "columns": ["c"], "rows": [["x"]] },
        ], "transaction": "none" })
    );
    let few = json!({ "sql": "SELECT n FROM generate_series(1, 9) AS n", "rows_max": 2 });
    let few = alice.call(3, "query", few).await.unwrap();
    assert_eq!(
        done(&few)["statements"][0],
        json!({ "done": "SELECT 2", "columns": ["n"], "rows": [["1"], ["2"]], "more": true })
    );

    let relations = alice.call(4, "schema", json!({})).await.unwrap();
    let rows = done(&relations)["statements"][0]["rows"].to_string();
    assert!(rows.contains(r#"["public","orders","table"]"#), "{rows}");
    assert!(!rows.contains("pg_class"), "{rows}");
    let orders = alice.call(5, "schema", json!({ "relation": "public.orders" })).await.unwrap();
    let statements = &done(&orders)["statements"];
    assert!(statements[0]["rows"].to_string().contains(r#"["public","orders","id","#), "{statements}");
    assert!(statements[1]["rows"].to_string().contains("PRIMARY KEY"), "{statements}");
    house.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_an_agent_may_not_do_is_told_and_nothing_else_is_tried() {
    let house = ToolHouse::open().await.unwrap();
    let alice = alice(&house, "shop-reader").await;
    for (tool, arguments, why) in [
        (
            "query",
            query("DELETE FROM orders"),
            "not done: ERROR 42501: role `shop-reader` does not permit `sql.write` on `shop`",
        ),
        (
            "query",
            query("SELECT 1; SELECT 1/0; SELECT 2"),
            "not done: ERROR 22012: division by zero\n1 of 3 statements were done before this one",
        ),
        ("query", query("SELECT nonsense"), "not done: ERROR 42703: column \"nonsense\" does not exist"),
        ("query", json!({}), "not done: `arguments` has no `sql`"),
        ("query", json!({ "sql": 7 }), "not done: `arguments.sql` is no string"),
        ("query", json!({ "sql": "SELECT 1", "rows_max": 100_000 }), "not done: `arguments.rows_max`"),
        ("query", json!({ "sql": "SELECT 1", "as": "bob" }), "not done: `arguments.as` may not be there"),
        ("query", query("SELECT '\u{0}'"), "not done: `arguments.sql` has a character that SQL can't have"),
        (
            "schema",
            json!({ "relation": "a\\'; DROP TABLE orders; --" }),
            "not done: `arguments.relation` is no name",
        ),
        ("approve", json!({}), "not done: a database has no tool `approve`"),
    ] {
        let answer = alice.call(1, tool, arguments).await.unwrap();
        assert_eq!(answer["result"]["isError"], true, "{answer}");
        assert!(text(&answer).starts_with(why), "{answer}");
    }
    let odd = json!({ "relation": "o'; DROP TABLE orders; --" });
    let odd = alice.call(2, "schema", odd).await.unwrap();
    assert_eq!(done(&odd)["statements"][0]["done"], "SELECT 0");
    for method in ["resources/list", "prompts/list", "sampling/createMessage", "requests/approve"] {
        let answer = alice.ask(&json!({"jsonrpc": "2.0", "id": 3, "method": method})).await.unwrap();
        assert_eq!(answer.last().await.unwrap()["error"]["code"], -32_601, "{method}");
    }
    house.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_write_waits_in_its_call_and_the_approver_sees_the_statement() {
    let house = ToolHouse::open().await.unwrap();
    let alice = alice(&house, "shop-writer").await;
    let sql = "DELETE FROM orders WHERE status = 'duplicate' RETURNING id";
    let mut answers = alice.ask(&call(1, "query", query(sql))).await.unwrap();
    assert!(answers.is_stream());
    let told = answers.next().await.unwrap();
    assert_eq!(told["method"], "notifications/progress");
    let words = told["params"]["message"].as_str().unwrap();
    assert!(words.contains("approval") && words.contains("/requests/"), "{words}");
    let held = house.house.held().await.unwrap();
    assert_eq!(held.text.as_deref(), Some(sql), "as from any other client");
    assert_eq!(held.rows.as_ref().unwrap().bound, Some(12));

    // What is asked beside it waits behind it, as in one connection.
    let count = call(2, "query", query("SELECT count(*) FROM orders WHERE status = 'duplicate'"));
    let beside = alice.ask(&count);
    let approve = async {
        house.house.approve(held.id).await.unwrap();
    };
    let (beside, ()) = tokio::join!(beside, approve);
    let answer = answers.last().await.unwrap();
    let one = &done(&answer)["statements"][0];
    assert_eq!((&one["done"], one["rows"].as_array().unwrap().len()), (&json!("DELETE 12"), 12));
    assert_eq!(done(&beside.unwrap().last().await.unwrap())["statements"][0]["rows"], json!([["0"]]));

    let mut denied = alice.ask(&call(3, "query", query("DELETE FROM orders"))).await.unwrap();
    denied.next().await.unwrap();
    house.house.deny(house.house.held().await.unwrap().id, "all of them?").await.unwrap();
    let denied = denied.last().await.unwrap();
    assert!(text(&denied).starts_with("not done: ERROR 42501: denied by bob: all of them?"), "{denied}");

    let bob = house.house.person("bob").await.unwrap();
    let search = |kind: &str| LedgerQuery { kind: Some(kind.into()), limit: 10, ..LedgerQuery::default() };
    let opened = house.house.engine.search(&bob, search("session.opened")).await.unwrap().items;
    assert_eq!(opened.len(), 1, "one session, of the database's door");
    assert_eq!(opened[0].line.data["door"], "postgres");
    house.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cancelling_or_hanging_up_withdraws_what_waits() {
    let house = ToolHouse::open().await.unwrap();
    let alice = alice(&house, "shop-writer").await;
    let mut answers = alice.ask(&call(1, "query", query("DELETE FROM orders"))).await.unwrap();
    answers.next().await.unwrap();
    let held = house.house.held().await.unwrap();
    let cancel = json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 1}});
    assert_eq!(alice.post(cancel.to_string()).await.unwrap().status(), 202);
    assert_eq!(text(&answers.last().await.unwrap()), "not done: cancelled by its client");
    house.house.becomes(held.id, "withdrawn").await.unwrap();

    let mut answers = alice.ask(&call(2, "query", query("DELETE FROM orders"))).await.unwrap();
    answers.next().await.unwrap();
    let held = house.house.held().await.unwrap();
    drop(answers);
    house.house.becomes(held.id, "withdrawn").await.unwrap();
    let after = alice.call(3, "query", query("SELECT count(*) > 0 AS some FROM orders")).await.unwrap();
    assert_eq!(
        done(&after)["statements"][0]["rows"],
        json!([["t"]]),
        "nothing was deleted, and the session goes on"
    );
    house.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_is_one_connection_and_its_end_is_told_once() {
    let house = ToolHouse::open().await.unwrap();
    let grant = house.house.grant("alice", "shop-writer", Span::minutes(30)).await.unwrap();
    let token = house.token("alice", "shop").await.unwrap();
    let mut alice = ToolClient::new(&url(&house), &token);
    alice.begin().await.unwrap();
    for (sql, transaction) in [("BEGIN", "open"), ("SELECT 1", "open"), ("ROLLBACK", "none")] {
        let answer = alice.call(1, "query", query(sql)).await.unwrap();
        assert_eq!(done(&answer)["transaction"], transaction, "{sql}");
    }
    let mut waits = alice.ask(&call(2, "query", query("DELETE FROM orders"))).await.unwrap();
    waits.next().await.unwrap();
    let held = house.house.held().await.unwrap();
    let bob = house.house.person("bob").await.unwrap();
    house.house.engine.revoke(&bob, grant, Some("enough".into())).await.unwrap();
    let cut = tokio::time::timeout(Duration::from_secs(5), waits.last()).await.unwrap().unwrap();
    assert!(text(&cut).starts_with("not done: "), "{cut}");
    house.deserted().await.unwrap();
    assert_eq!(house.house.engine.snapshot().book.request(held.id).unwrap().state.as_str(), "void");
    // Without a grant nothing runs, and it is told what to ask for.
    let refused = alice.call(3, "query", query("SELECT 1")).await.unwrap();
    assert!(text(&refused).starts_with("not done: you hold no live grant that reaches `shop`"), "{refused}");
    assert!(text(&refused).contains("request_access"), "{refused}");

    // What was begun in a session that ended by itself went with it, and the next call is told before anything runs anew.
    let again = house.house.grant("alice", "shop-reader", Span::minutes(30)).await.unwrap();
    done(&alice.call(4, "query", query("BEGIN")).await.unwrap());
    house.house.engine.revoke(&bob, again, None).await.unwrap();
    house.deserted().await.unwrap();
    house.house.grant("alice", "shop-reader", Span::minutes(30)).await.unwrap();
    let told = alice.call(5, "query", query("SELECT 1")).await.unwrap();
    assert!(text(&told).contains("an open transaction was rolled back"), "{told}");
    let anew = alice.call(6, "query", query("SELECT 1")).await.unwrap();
    assert_eq!(done(&anew)["transaction"], "none");
    alice.leave().await.unwrap();
    house.deserted().await.unwrap();

    // Whoever leaves leaves no connection behind.
    let mut again = ToolClient::new(&url(&house), &token);
    again.begin().await.unwrap();
    assert_eq!(again.leave().await.unwrap(), 204);
    house.deserted().await.unwrap();
    house.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_has_no_grant_asks_for_one_and_goes_on_when_somebody_says_yes() {
    let house = ToolHouse::open().await.unwrap();
    let mut alice = ToolClient::new(&url(&house), &house.token("alice", "shop").await.unwrap());
    alice.begin().await.unwrap();
    let refused = alice.call(1, "query", query("SELECT 1")).await.unwrap();
    assert!(text(&refused).contains("`access` says which roles you may ask for"), "{refused}");
    let access = alice.call(2, "access", json!({})).await.unwrap();
    let reader = |access: &Value| {
        let roles = done(access)["roles"].as_array().unwrap().clone();
        roles.into_iter().find(|role| role["role"] == "shop-reader").unwrap()
    };
    assert!(reader(&access)["may_be_asked_for_minutes"].is_string(), "{access}");
    assert_eq!(done(&access)["statements_run_as"], Value::Null);

    let ask = json!({ "role": "shop-writer", "purpose": "orders are there twice", "ticket": "OPS-7", "minutes": 20 });
    let mut answers = alice.ask(&call(3, "request_access", ask.clone())).await.unwrap();
    let told = answers.next().await.unwrap();
    let words = told["params"]["message"].as_str().unwrap();
    assert!(
        words.starts_with("your access waits for an approval by ") && words.contains("/requests/"),
        "{words}"
    );
    let held = house.house.held().await.unwrap();
    assert_eq!((held.by.id.as_str(), held.purpose.as_deref()), ("alice", Some("orders are there twice")));
    // A client that has had enough has not taken it back; asking again waits for the same answer.
    drop(answers);
    let mut answers = alice.ask(&call(4, "request_access", ask)).await.unwrap();
    answers.next().await.unwrap();
    assert_eq!(house.house.held().await.unwrap().id, held.id);
    house.house.approve(held.id).await.unwrap();
    let granted = answers.last().await.unwrap();
    assert_eq!((&done(&granted)["state"], &done(&granted)["role"]), (&json!("held"), &json!("shop-writer")));
    let answer = alice.call(5, "query", query("SELECT 'in' AS here")).await.unwrap();
    assert_eq!(done(&answer)["statements"][0]["rows"], json!([["in"]]));

    let mut denied = alice
        .ask(&call(6, "request_access", json!({ "role": "shop-reader", "purpose": "why not" })))
        .await
        .unwrap();
    denied.next().await.unwrap();
    house.house.deny(house.house.held().await.unwrap().id, "you have one").await.unwrap();
    let denied = denied.last().await.unwrap();
    assert!(text(&denied).starts_with("not done: your access was denied by bob: you have one"), "{denied}");
    for (arguments, why) in [
        (json!({ "role": "clerk", "purpose": "x" }), "no role `clerk` that you may ask for reaches `shop`"),
        (json!({ "role": "No Role", "purpose": "x" }), "`arguments.role` is no role"),
        (json!({ "role": "shop-reader" }), "`arguments` has no `purpose`"),
        (json!({ "role": "shop-reader", "purpose": "x", "minutes": 0 }), "`arguments.minutes`"),
        (json!({ "role": "shop-reader", "purpose": "x", "for": "bob" }), "`arguments.for` may not be there"),
    ] {
        let answer = alice.call(7, "request_access", arguments).await.unwrap();
        assert!(text(&answer).starts_with(&format!("not done: {why}")), "{answer}");
    }
    house.close().await;
}
