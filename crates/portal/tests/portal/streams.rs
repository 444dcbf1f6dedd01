//! The event stream: what it says, to whom, and that it ends.

use std::time::Duration;

use axum::body::Body;
use axum::http::{Request, StatusCode};
use countersign_engine::Via;
use countersign_portal::serve::Stopping;
use futures_util::StreamExt as _;
use serde_json::{Value, json};
use tokio::sync::watch;
use tower::ServiceExt as _;

use crate::house::{Call, House, who};

/// How long to wait for what should come at once, on a machine that is busy.
const SOON: Duration = Duration::from_secs(20);

struct Stream {
    body: axum::body::BodyDataStream,
    stop: watch::Sender<bool>,
}

async fn open(house: &House, token: &str) -> Stream {
    open_at(house, token, "/api/v1/events").await
}

async fn open_at(house: &House, token: &str, path: &str) -> Stream {
    let (stop, stopping) = watch::channel(false);
    let request = Request::get(path)
        .header("authorization", format!("Bearer {token}"))
        .extension(Stopping(stopping))
        .body(Body::empty())
        .unwrap();
    let response = house.router.clone().oneshot(request).await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    Stream { body: response.into_body().into_data_stream(), stop }
}

impl Stream {
    /// The next change; nothing if the stream ends.
    async fn next(&mut self) -> Option<Value> {
        let frame = tokio::time::timeout(SOON, self.body.next()).await.expect("something comes")?.unwrap();
        let text = String::from_utf8(frame.to_vec()).unwrap();
        assert!(text.contains("event: change\n") || text.contains("event: lines\n"), "{text}");
        let data = text.lines().find_map(|line| line.strip_prefix("data: ")).unwrap();
        Some(serde_json::from_str(data).unwrap())
    }

    /// Reads until a change names the topic.
    async fn until(&mut self, topic: &str) {
        while let Some(change) = self.next().await {
            if change["topics"].as_array().unwrap().contains(&json!(topic)) {
                return;
            }
        }
        panic!("the stream ended without a word of {topic}");
    }

    /// Reads until the end.
    async fn end(&mut self) {
        while self.next().await.is_some() {}
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn it_begins_with_everything_and_goes_on_with_what_changed() {
    let house = House::open().await;
    let mut stream = open(&house, &house.token("bob")).await;
    let first = stream.next().await.unwrap();
    assert_eq!(first["topics"], json!(["requests", "grants", "sessions", "principals", "bundle", "ledger"]));
    house.ask("alice", "shop-writer").await;
    stream.until("requests").await;
    house.grant("alice", "shop-writer").await;
    stream.until("grants").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn it_ends_with_the_sign_in() {
    let house = House::open().await;
    let (alice, bob) = (house.token("alice"), house.token("bob"));
    let mut of_alice = open(&house, &alice).await;
    of_alice.next().await.unwrap();
    let caller = house.engine.caller(&bob, Via::Api, None).await.unwrap();
    house.engine.disable(&caller, &who("alice"), None).await.unwrap();
    of_alice.end().await;

    let mut of_bob = open(&house, &bob).await;
    of_bob.next().await.unwrap();
    house.make(Call::post("/sign-out", &json!({})).bearer(&bob)).await;
    house.ask("dave", "shop-writer").await;
    of_bob.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn it_ends_when_the_gateway_stops() {
    let house = House::open().await;
    let mut stream = open(&house, &house.token("bob")).await;
    stream.next().await.unwrap();
    stream.stop.send_replace(true);
    stream.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_person_cannot_hold_all_of_them() {
    let house = House::open().await;
    let token = house.token("alice");
    let mut held = Vec::new();
    let refused = loop {
        let request = Request::get("/api/v1/events").header("authorization", format!("Bearer {token}"));
        let response = house.router.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
        if response.status() != StatusCode::OK {
            break response.status();
        }
        held.push(response);
        assert!(held.len() < 100);
    };
    assert_eq!(refused, StatusCode::TOO_MANY_REQUESTS);
    drop(held);
    open(&house, &token).await.next().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn strangers_get_none() {
    let house = House::open().await;
    assert_eq!(house.make(Call::get("/events")).await.problem(), "unauthenticated");
    assert_eq!(house.make(Call::get("/events").cookie("forged")).await.problem(), "unauthenticated");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_is_followed_to_its_end() {
    let house = House::open().await;
    house.grant("alice", "shop-writer").await;
    let session = house.connect("alice", "shop-writer").await;
    let path = format!("/api/v1/sessions/{}/follow", session.id());
    let mut stream = open_at(&house, &house.token("bob"), &path).await;
    let first = stream.next().await.unwrap();
    assert_eq!(first["items"][0]["type"], "session.opened");
    house.engine.close_session(&session, countersign_core::session::Ending::User).await;
    let last = loop {
        let told = stream.next().await.expect("the end is told");
        if told["over"] == json!(true) {
            break told;
        }
    };
    assert_eq!(last["items"][0]["type"], "session.terminated", "{last}");
    stream.end().await;
    let elsewhere = house.get("alice", &format!("/sessions/{}/follow", countersign_core::SessionId(1))).await;
    assert!(elsewhere.status == StatusCode::FORBIDDEN || elsewhere.status == StatusCode::NOT_FOUND);
    let nobody = house.get("bob", "/sessions/nonsense/follow").await;
    assert_eq!(nobody.problem(), "not-found");
}

#[tokio::test(flavor = "multi_thread")]
async fn following_ends_with_the_sign_in() {
    let house = House::open().await;
    house.grant("alice", "shop-writer").await;
    let session = house.connect("alice", "shop-writer").await;
    let bob = house.token("bob");
    let mut stream = open_at(&house, &bob, &format!("/api/v1/sessions/{}/follow", session.id())).await;
    stream.next().await.unwrap();
    house.make(Call::post("/sign-out", &json!({})).bearer(&bob)).await;
    stream.end().await;
}
