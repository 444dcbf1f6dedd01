//! Workbenches as calls: whose they are, that they work on one thing at a time, and that they end with the sign-in. The door
//! is a stand-in here; what a real one does is tested where there is one.

use std::time::Duration;

use axum::http::StatusCode;
use countersign_engine::workbench::{Begun, Column, Order, Rows, Said, Told, Transaction};
use serde_json::{Value, json};
use tokio::sync::mpsc;

use crate::house::{Call, House};

const SOON: Duration = Duration::from_secs(20);

/// What a stand-in for a door sees.
#[derive(Debug, PartialEq, Eq)]
enum Event {
    Opened(String),
    Ran(String),
    Cancelled,
    Left,
}

/// Lets everybody in to the same session, gives one row for each text, and waits for a cancel where the text says so.
async fn door(house: &House) -> mpsc::UnboundedReceiver<Event> {
    house.grant("alice", "shop-writer").await;
    let session = house.connect("alice", "shop-writer").await;
    let mut wishes = house.engine.workbench_wishes("postgres");
    let (seen, events) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Some(wish) = wishes.recv().await {
            let _ = seen.send(Event::Opened(format!(
                "{} {}",
                wish.entry.principal,
                wish.entry.client.address.ip()
            )));
            let begun = Begun { session: session.clone(), server: "17.2".into() };
            let Some((mut orders, mut leave)) = wish.answer(Ok(begun)) else { continue };
            let seen = seen.clone();
            tokio::spawn(async move {
                loop {
                    let order = tokio::select! {
                        _ = leave.wait_for(|leave| *leave) => None,
                        order = orders.recv() => order,
                    };
                    match order {
                        Some(Order::Run { text, told, .. }) => {
                            let _ = seen.send(Event::Ran(text.to_string()));
                            run(&text, &told, &mut orders, &seen).await;
                        }
                        Some(Order::Cancel) => drop(seen.send(Event::Cancelled)),
                        None => break,
                    }
                }
                let _ = seen.send(Event::Left);
            });
        }
    });
    events
}

async fn run(
    text: &str,
    told: &mpsc::Sender<Told>,
    orders: &mut mpsc::Receiver<Order>,
    seen: &mpsc::UnboundedSender<Event>,
) {
    let columns = vec![Column { name: "a".into(), type_oid: 25 }];
    let rows = Rows { rows: vec![vec![Some("x".into())], vec![None]], cut: vec![(0, 0, 70_000)] };
    let statement = Told::Statement { number: 0, of: 1, at: 0, text: text.into() };
    for one in [statement, Told::Columns(columns), Told::Rows(rows)] {
        let _ = told.send(one).await;
    }
    if text == "wait" {
        assert!(matches!(orders.recv().await, Some(Order::Cancel)));
        let _ = seen.send(Event::Cancelled);
        let _ = told.send(Told::Failed(Said { code: "57014".into(), ..Said::default() })).await;
    } else {
        let _ = told.send(Told::Done { tag: "SELECT 2".into(), more: false }).await;
    }
    let _ = told.send(Told::Over(Transaction::None)).await;
}

async fn next(events: &mut mpsc::UnboundedReceiver<Event>) -> Event {
    tokio::time::timeout(SOON, events.recv()).await.expect("something happens").unwrap()
}

async fn open(house: &House, token: &str) -> String {
    let opened = house.make(Call::post("/workbenches", &json!({ "resource": "shop" })).bearer(token)).await;
    assert_eq!(opened.status, StatusCode::CREATED, "{opened:?}");
    opened.json()["id"].as_str().unwrap().to_owned()
}

fn on(id: &str, what: &str, body: &Value, token: &str) -> Call {
    Call::post(&format!("/workbenches/{id}/{what}"), body).bearer(token)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_is_told_line_by_line() {
    let house = House::open().await;
    let mut events = door(&house).await;
    let alice = house.token("alice");
    let id = open(&house, &alice).await;
    assert_eq!(
        next(&mut events).await,
        Event::Opened("alice 192.0.2.1".into()),
        "the session is hers, from there"
    );
    let answer = house.make(on(&id, "run", &json!({ "text": "SELECT 1" }), &alice)).await;
    assert_eq!(answer.header("content-type"), "application/x-ndjson");
    let lines: Vec<Value> = answer.text().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let kinds: Vec<&str> = lines.iter().map(|line| line["event"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["statement", "columns", "rows", "done", "over"]);
    assert_eq!(lines[2]["rows"], json!([["x"], [null]]));
    assert_eq!(lines[2]["cut"], json!([[0, 0, 70_000]]));
    let list = house.make(Call::get("/workbenches").bearer(&alice)).await.json();
    assert_eq!((&list["items"][0]["id"], &list["items"][0]["state"]), (&json!(id), &json!("idle")));
    let nul = house.make(on(&id, "run", &json!({ "text": "SELECT '\0'" }), &alice)).await;
    assert_eq!(nul.problem(), "invalid");
    let long = house.make(on(&id, "run", &json!({ "text": "x".repeat((1 << 20) + 1) }), &alice)).await;
    assert_eq!(long.problem(), "too-large");
}

#[tokio::test(flavor = "multi_thread")]
async fn it_works_on_one_thing_at_a_time_and_is_cancelled_beside_it() {
    let house = House::open().await;
    let mut events = door(&house).await;
    let alice = house.token("alice");
    let id = open(&house, &alice).await;
    let router = house.router.clone();
    let call = on(&id, "run", &json!({ "text": "wait" }), &alice);
    let running = tokio::spawn(async move { crate::house::make(&router, call).await });
    next(&mut events).await;
    assert_eq!(next(&mut events).await, Event::Ran("wait".into()));
    let second = house.make(on(&id, "run", &json!({ "text": "SELECT 1" }), &alice)).await;
    assert_eq!(second.problem(), "conflict");
    let cancelled = house.make(on(&id, "cancel", &json!({}), &alice)).await;
    assert_eq!(cancelled.status, StatusCode::NO_CONTENT);
    assert_eq!(next(&mut events).await, Event::Cancelled);
    assert!(running.await.unwrap().text().contains("57014"));
    house.make(on(&id, "run", &json!({ "text": "SELECT 1" }), &alice)).await;
    assert_eq!(next(&mut events).await, Event::Ran("SELECT 1".into()), "and goes on");
}

#[tokio::test(flavor = "multi_thread")]
async fn it_is_nobody_elses_and_not_of_another_sign_in() {
    let house = House::open().await;
    let _events = door(&house).await;
    let alice = house.token("alice");
    let id = open(&house, &alice).await;
    for other in [house.token("bob"), house.token("alice")] {
        for what in ["run", "cancel", "close", "export"] {
            let body = json!({ "text": "SELECT 1", "columns": [], "rows": 1 });
            let body = if what == "run" { json!({ "text": "SELECT 1" }) } else { body };
            assert_eq!(house.make(on(&id, what, &body, &other)).await.problem(), "not-found", "{what}");
        }
        let list = house.make(Call::get("/workbenches").bearer(&other)).await.json();
        assert_eq!(list["items"], json!([]));
    }
    let service =
        house.make(Call::post("/workbenches", &json!({ "resource": "shop" })).bearer(&house.token("ci")));
    assert_eq!(service.await.problem(), "denied");
}

#[tokio::test(flavor = "multi_thread")]
async fn it_ends_with_the_sign_in_and_when_it_is_closed() {
    let house = House::open().await;
    let mut events = door(&house).await;
    let alice = house.token("alice");
    let id = open(&house, &alice).await;
    next(&mut events).await;
    assert_eq!(house.make(on(&id, "close", &json!({}), &alice)).await.status, StatusCode::NO_CONTENT);
    assert_eq!(next(&mut events).await, Event::Left);
    open(&house, &alice).await;
    next(&mut events).await;
    house.make(Call::post("/sign-out", &json!({})).bearer(&alice)).await;
    assert_eq!(next(&mut events).await, Event::Left);
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_has_more_than_a_few() {
    let house = House::open().await;
    let _events = door(&house).await;
    let alice = house.token("alice");
    for _ in 0..6 {
        open(&house, &alice).await;
    }
    let more = house.make(Call::post("/workbenches", &json!({ "resource": "shop" })).bearer(&alice)).await;
    assert_eq!(more.problem(), "too-many");
    open(&house, &house.token("bob")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_credential_for_a_client_of_tools_has_an_endpoint_and_a_token() {
    let house = House::open().await;
    let wanted = json!({ "resource": "shop", "tools": true });
    let closed = house.post("alice", "/credentials", wanted.clone()).await;
    assert_eq!(closed.problem(), "conflict", "no door lets anybody in from inside: {closed:?}");
    let _events = door(&house).await;
    let minted = house.post("alice", "/credentials", wanted.clone()).await.json();
    assert!(minted["url"].as_str().unwrap().ends_with("/mcp/shop"), "{minted}");
    let token = format!("alice~{}", minted["password"].as_str().unwrap());
    assert_eq!(minted["token"], json!(token));
    let bound = json!({ "resource": "shop", "tools": true, "certificate": "A".repeat(43) });
    assert_eq!(house.post("alice", "/credentials", bound).await.problem(), "invalid");
    let plain = house.post("alice", "/credentials", json!({ "resource": "shop" })).await.json();
    assert!(
        plain["url"].as_str().unwrap().starts_with("postgresql://") && plain["token"].is_null(),
        "{plain}"
    );
}
