//! The door of tools before a server of the test's own, which remembers all that reaches it; and a client that reads
//! every message.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use axum::Router;
use axum::body::Bytes;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode};
use axum::middleware::map_request;
use axum::response::sse::{Event, Sse};
use axum::response::{IntoResponse as _, Response};
use axum::routing::post;
use countersign_core::{ResourceId, Span};
use countersign_doors::mcp::{Door, DoorSettings, Peer, Program};
use countersign_portal::{Portal, PortalSettings};
use countersign_wire::mcp::stream::Events;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::task::JoinHandle;

use crate::house::{House, Random};

/// How long a test waits for something that happens at once.
const SOON: Duration = Duration::from_secs(10);

/// The resource and the role of the tests.
const MORE_RESOURCES: &str = r#"
[resource.files]
kind = "mcp"
title = "The reports"
impact = "high"
owner = "group:dba"
"#;
const ROLE: &str = r#"
[role.clerk]
title = "Use the reports"
actions = ["mcp.list", "mcp.call", "mcp.read", "mcp.prompt"]
resources = ["files"]
account = "clerk"
longest = "1h"
"#;
const POLICIES: &str = r#"
@id("clerks-are-approved")
@gate("shop-access")
forbid (principal, action == Action::"access.request", resource == Role::"clerk");

@id("what-writes-is-countersigned")
@gate("prod-write")
@reason("reports are changed with a second pair of eyes")
forbid (principal, action == Action::"mcp.call", resource)
when { context.tool == "write" };

@id("nobody-wipes")
@reason("reports are never wiped")
forbid (principal, action in [Action::"mcp.call", Action::"mcp.list"], resource)
when { context.tool == "wipe" };

@id("only-reports")
@reason("only reports are read")
forbid (principal, action == Action::"mcp.call", resource)
when { context.tool == "echo" && context.args.hasTag("path") }
unless { context.args.hasTag("path") && context.args.getTag("path") like "/srv/reports/*" };
"#;

/// A gateway before a server of tools.
pub struct ToolHouse {
    /// The gateway.
    pub house: House,
    /// The server, if it is one of the test's own.
    pub server: Server,
    address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    running: Vec<JoinHandle<()>>,
}

impl ToolHouse {
    /// A gateway before a server at an address.
    ///
    /// # Errors
    /// Whatever is missing.
    pub async fn open() -> Result<Self> {
        Self::with("").await
    }

    /// The same, with more policies.
    ///
    /// # Errors
    /// Whatever is missing.
    pub async fn with(policies: &str) -> Result<Self> {
        let server = Server::start().await?;
        let place = format!("url = \"http://{}/mcp\"", server.address);
        Self::before(server, &place, BTreeMap::new(), policies).await
    }

    /// The same, with tools pinned, each by name and digest.
    ///
    /// # Errors
    /// Whatever is missing.
    pub async fn pinned(pins: &[(&str, &str)], policies: &str) -> Result<Self> {
        let pins: String = pins.iter().map(|(tool, digest)| format!("{tool} = \"{digest}\"\n")).collect();
        Self::described(&format!("[resource.files.tools]\n{pins}"), policies).await
    }

    /// The same, with more said of the resource.
    ///
    /// # Errors
    /// Whatever is missing.
    pub async fn described(more: &str, policies: &str) -> Result<Self> {
        let server = Server::start().await?;
        let place = format!("url = \"http://{}/mcp\"\n{more}", server.address);
        Self::before(server, &place, BTreeMap::new(), policies).await
    }

    /// The same, with more said of the role.
    ///
    /// # Errors
    /// Whatever is missing.
    pub async fn budgeted(role: &str, policies: &str) -> Result<Self> {
        let server = Server::start().await?;
        let place = format!("url = \"http://{}/mcp\"", server.address);
        Self::within(server, (&place, role), BTreeMap::new(), policies).await
    }

    /// A gateway before a program.
    ///
    /// # Errors
    /// Whatever is missing.
    pub async fn program(program: Program) -> Result<Self> {
        Self::program_with(program, "").await
    }

    /// The same, with more policies.
    ///
    /// # Errors
    /// Whatever is missing.
    pub async fn program_with(program: Program, policies: &str) -> Result<Self> {
        let programs = BTreeMap::from([("files".to_owned(), program)]);
        Self::before(Server::start().await?, "program = \"files\"", programs, policies).await
    }

    /// A gateway before a server at this address, which is not of the test's own.
    ///
    /// # Errors
    /// Whatever is missing.
    pub async fn at(url: &str, policies: &str) -> Result<Self> {
        let place = format!("url = \"{url}\"");
        Self::before(Server::start().await?, &place, BTreeMap::new(), policies).await
    }

    async fn before(
        server: Server,
        place: &str,
        programs: BTreeMap<String, Program>,
        policies: &str,
    ) -> Result<Self> {
        Self::within(server, (place, ""), programs, policies).await
    }

    async fn within(
        server: Server,
        (place, role): (&str, &str),
        programs: BTreeMap<String, Program>,
        policies: &str,
    ) -> Result<Self> {
        let house = House::with(|files| {
            let mut add = |file: &str, text: &str| files.entry(file.to_owned()).or_default().push_str(text);
            add("resources.toml", MORE_RESOURCES);
            add("resources.toml", place);
            add("roles.toml", ROLE);
            add("roles.toml", role);
            add("tools.cedar", POLICIES);
            add("tools.cedar", policies);
        });
        let house = house.await?;
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let address = listener.local_addr()?;
        let settings =
            DoorSettings { programs, ..DoorSettings::new(Arc::new(Random), format!("http://{address}")) };
        let door = Door::new(house.engine.clone(), settings);
        let router = door.router().layer(map_request(|mut call: Request| async move {
            // All clients of tests are on this machine.
            call.extensions_mut().insert(Peer(SocketAddr::from(([127, 0, 0, 1], 9))));
            call
        }));
        let router = router.merge(portal(&house, address)?);
        let (stop, stopped) = oneshot::channel::<()>();
        let closing = tokio::spawn(door.run(async move {
            let _ = stopped.await;
        }));
        let serving = tokio::spawn(async move {
            let _ = axum::serve(listener, router).await;
        });
        Ok(Self { house, server, address, stop: Some(stop), running: vec![closing, serving] })
    }

    /// Where the resource is reached.
    #[must_use]
    pub fn url(&self) -> String {
        format!("{}/mcp/files", self.base())
    }

    /// Where the gateway is reached.
    #[must_use]
    pub fn base(&self) -> String {
        format!("http://{}", self.address)
    }

    /// A bearer token of somebody's for a resource.
    ///
    /// # Errors
    /// It is not permitted.
    pub async fn token(&self, name: &str, resource: &str) -> Result<String> {
        let caller = self.house.person(name).await?;
        let minted = self.house.engine.mint_credential(&caller, &ResourceId::new(resource)).await?;
        Ok(format!("{}~{}", minted.user, minted.password.as_str()))
    }

    /// A client of alice's with a grant, in a session that has begun.
    ///
    /// # Errors
    /// Something of that is refused.
    pub async fn alice(&self) -> Result<ToolClient> {
        self.house.grant("alice", "clerk", Span::minutes(30)).await?;
        let mut client = ToolClient::new(&self.url(), &self.token("alice", "files").await?);
        client.begin().await?;
        Ok(client)
    }

    /// Waits until no session of tools is open, and tells why the last one ended.
    ///
    /// # Errors
    /// One still is.
    pub async fn deserted(&self) -> Result<()> {
        self.house.deserted().await
    }

    /// Closes everything.
    pub async fn close(mut self) {
        drop(self.stop.take());
        if let Some(closing) = self.running.first_mut() {
            let _ = closing.await;
        }
        for task in &self.running {
            task.abort();
        }
        self.house.close().await;
    }
}

/// The API and the console beside the door, for clients that people let in there.
fn portal(house: &House, address: SocketAddr) -> Result<Router> {
    let settings = PortalSettings {
        public_url: format!("http://{address}"),
        doors: Vec::new(),
        authority: None,
        entropy: Arc::new(Random),
    };
    let router = Portal::router(house.engine.clone(), settings)?;
    Ok(router.layer(map_request(|mut call: Request| async move {
        call.extensions_mut().insert(countersign_portal::serve::Peer(SocketAddr::from(([127, 0, 0, 1], 9))));
        call
    })))
}

/// A client that speaks streamable HTTP.
#[derive(Clone, Debug)]
pub struct ToolClient {
    http: reqwest::Client,
    url: String,
    token: String,
    /// The session's name, once it has begun.
    pub session: Option<String>,
    /// What the server said when the session began.
    pub welcome: Value,
}

/// What is answered to one call, as it comes.
#[derive(Debug)]
pub struct Answers {
    response: reqwest::Response,
    events: Events,
    ready: Vec<Value>,
    is_stream: bool,
}

impl ToolClient {
    /// The same client, with another token from here on.
    #[must_use]
    pub fn showing(&self, token: &str) -> Self {
        Self { token: token.to_owned(), ..self.clone() }
    }

    /// A client with this token.
    #[must_use]
    pub fn new(url: &str, token: &str) -> Self {
        let (url, token) = (url.to_owned(), token.to_owned());
        Self { http: reqwest::Client::new(), url, token, session: None, welcome: Value::Null }
    }

    /// Begins a session.
    ///
    /// # Errors
    /// It is refused.
    pub async fn begin(&mut self) -> Result<()> {
        let params = json!({"protocolVersion": "2025-11-25", "capabilities": {"sampling": {}, "roots": {}},
            "clientInfo": {"name": "test", "version": "1"}});
        let hello = json!({"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": params});
        let response = self.post(hello.to_string()).await?;
        let name = response.headers().get("mcp-session-id").and_then(|name| name.to_str().ok());
        self.session = name.map(str::to_owned);
        let text = response.text().await?;
        self.welcome = serde_json::from_str(&text).with_context(|| text.clone())?;
        if self.session.is_none() {
            bail!("no session has begun: {text}");
        }
        let told = json!({"jsonrpc": "2.0", "method": "notifications/initialized"});
        let status = self.post(told.to_string()).await?.status();
        if status.as_u16() != 202 { bail!("the client was told {status}") } else { Ok(()) }
    }

    /// Sends these bytes.
    ///
    /// # Errors
    /// There is no connection.
    pub async fn post(&self, body: impl Into<Vec<u8>>) -> Result<reqwest::Response> {
        Ok(self.posting(body).send().await?)
    }

    /// The same, naming this revision of the protocol.
    ///
    /// # Errors
    /// There is no connection.
    pub async fn post_under(&self, revision: &str, body: impl Into<Vec<u8>>) -> Result<reqwest::Response> {
        Ok(self.posting(body).header("mcp-protocol-version", revision).send().await?)
    }

    fn posting(&self, body: impl Into<Vec<u8>>) -> reqwest::RequestBuilder {
        let mut call = self.http.post(&self.url).bearer_auth(&self.token).body(body.into());
        call = call.header("content-type", "application/json");
        call = call.header("accept", "application/json, text/event-stream");
        if let Some(session) = &self.session {
            call = call.header("mcp-session-id", session);
        }
        call
    }

    /// Ends the session.
    ///
    /// # Errors
    /// There is no connection.
    pub async fn leave(&self) -> Result<u16> {
        let call = self.http.delete(&self.url).bearer_auth(&self.token);
        let call = call.header("mcp-session-id", self.session.as_deref().unwrap_or_default());
        Ok(call.send().await?.status().as_u16())
    }

    /// Sends a request, and gives what is answered as it comes.
    ///
    /// # Errors
    /// There is no connection.
    pub async fn ask(&self, message: &Value) -> Result<Answers> {
        let response = self.post(message.to_string()).await?;
        let kind = response.headers().get("content-type").and_then(|kind| kind.to_str().ok());
        let is_stream = kind.is_some_and(|kind| kind.starts_with("text/event-stream"));
        Ok(Answers { response, events: Events::default(), ready: Vec::new(), is_stream })
    }

    /// Calls a tool, and gives the last message.
    ///
    /// # Errors
    /// There is no connection, or no answer.
    pub async fn call(&self, id: u64, tool: &str, arguments: Value) -> Result<Value> {
        self.ask(&call(id, tool, arguments)).await?.last().await
    }
}

/// A call of a tool, with a token for its progress.
#[must_use]
pub fn call(id: u64, tool: &str, arguments: Value) -> Value {
    let params = json!({"name": tool, "arguments": arguments, "_meta": {"progressToken": id}});
    json!({"jsonrpc": "2.0", "id": id, "method": "tools/call", "params": params})
}

/// The first text of a result.
#[must_use]
pub fn text(answer: &Value) -> &str {
    answer.pointer("/result/content/0/text").and_then(Value::as_str).unwrap_or_default()
}

impl Answers {
    /// Whether it is a stream.
    #[must_use]
    pub fn is_stream(&self) -> bool {
        self.is_stream
    }

    /// The next message.
    ///
    /// # Errors
    /// None comes.
    pub async fn next(&mut self) -> Result<Value> {
        tokio::time::timeout(SOON, self.coming()).await.context("no message comes")?
    }

    async fn coming(&mut self) -> Result<Value> {
        loop {
            if !self.ready.is_empty() {
                return Ok(self.ready.remove(0));
            }
            let Some(piece) = self.response.chunk().await? else { bail!("the answer has ended") };
            if self.is_stream {
                for data in self.events.feed(&piece)? {
                    self.ready.push(serde_json::from_slice(&data)?);
                }
            } else {
                let mut body = piece.to_vec();
                while let Some(more) = self.response.chunk().await? {
                    body.extend_from_slice(&more);
                }
                self.ready.push(serde_json::from_slice(&body)?);
            }
        }
    }

    /// The message that is the answer.
    ///
    /// # Errors
    /// None comes.
    pub async fn last(mut self) -> Result<Value> {
        loop {
            let message = self.next().await?;
            if message.get("method").is_none() {
                return Ok(message);
            }
        }
    }
}

/// A server of tools that remembers all that it is sent.
#[derive(Clone, Debug)]
pub struct Server {
    address: SocketAddr,
    inner: Arc<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    received: Mutex<Vec<String>>,
    heads: Mutex<Vec<String>>,
    write_says: Mutex<Option<String>>,
    go_on: Notify,
    changed: Notify,
    answers: Mutex<Option<mpsc::Sender<Value>>>,
    slow: Mutex<Option<mpsc::Sender<Value>>>,
}

impl Server {
    async fn start() -> Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let address = listener.local_addr()?;
        let inner = Arc::new(Inner::default());
        let left = |State(inner): State<Arc<Inner>>| async move {
            inner.note("DELETE");
            StatusCode::OK
        };
        let router = Router::new().route("/mcp", post(receive).delete(left)).with_state(Arc::clone(&inner));
        tokio::spawn(async move {
            let _ = axum::serve(listener, router).await;
        });
        Ok(Self { address, inner })
    }

    /// Where it is reached.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}/mcp", self.address)
    }

    /// All messages that came, in order, as they came.
    #[must_use]
    pub fn received(&self) -> Vec<String> {
        lock(&self.inner.received).clone()
    }

    /// The messages with this in them.
    #[must_use]
    pub fn received_with(&self, part: &str) -> Vec<String> {
        self.received().into_iter().filter(|message| message.contains(part)).collect()
    }

    /// What the gateway showed of itself, with each message.
    #[must_use]
    pub fn authorizations(&self) -> Vec<String> {
        lock(&self.inner.heads).clone()
    }

    /// Waits for a message with this in it.
    ///
    /// # Errors
    /// None comes in time.
    pub async fn receives(&self, part: &str) -> Result<()> {
        let waiting = async {
            loop {
                let changed = self.inner.changed.notified();
                if !self.received_with(part).is_empty() {
                    return;
                }
                changed.await;
            }
        };
        tokio::time::timeout(SOON, waiting).await.with_context(|| format!("`{part}` never came"))
    }

    /// Says something else of `write` from now on.
    pub fn says_of_write(&self, words: &str) {
        *lock(&self.inner.write_says) = Some(words.to_owned());
    }

    /// Says, in what answers the slow call, that the list of tools has changed.
    pub async fn list_changed(&self) {
        let said = async {
            loop {
                let out = lock(&self.inner.slow).take();
                if let Some(out) = out {
                    let told = json!({"jsonrpc": "2.0", "method": "notifications/tools/list_changed"});
                    let _ = out.send(told).await;
                    return;
                }
                tokio::task::yield_now().await;
            }
        };
        let _ = tokio::time::timeout(SOON, said).await;
    }

    /// Lets what is slow go on.
    pub fn go_on(&self) {
        self.inner.go_on.notify_one();
    }
}

impl Inner {
    fn note(&self, message: &str) {
        lock(&self.received).push(message.to_owned());
        self.changed.notify_waiters();
    }

    fn tools(&self) -> Value {
        let says = lock(&self.write_says).clone().unwrap_or_else(|| "writes a report".into());
        let any = json!({"type": "object"});
        let path = json!({"type": "object", "properties": {"path": {"type": "string"}, "lines": {"type": "integer"}},
            "required": ["path"], "additionalProperties": false});
        json!([
            {"name": "echo", "description": "says it again", "inputSchema": any,
                "annotations": {"readOnlyHint": true}},
            {"name": "write", "description": says, "inputSchema": path},
            {"name": "wipe", "inputSchema": any},
            {"name": "slow", "inputSchema": any},
            {"name": "ask", "inputSchema": any},
            {"name": "fail", "inputSchema": any},
        ])
    }
}

async fn receive(State(inner): State<Arc<Inner>>, headers: HeaderMap, body: Bytes) -> Response {
    let text = String::from_utf8_lossy(&body).into_owned();
    let message: Value = serde_json::from_str(&text).unwrap_or_default();
    let shown = headers.get("authorization").and_then(|shown| shown.to_str().ok()).unwrap_or_default();
    lock(&inner.heads).push(shown.to_owned());
    inner.note(&text);
    if message.get("method").is_none() {
        let answers = lock(&inner.answers).take();
        if let Some(answers) = answers {
            let _ = answers.send(message).await;
        }
        return StatusCode::ACCEPTED.into_response();
    }
    if message.get("id").is_none() {
        return StatusCode::ACCEPTED.into_response();
    }
    let id = message.get("id").cloned().unwrap_or_default();
    let done = move |result: Value| json!({"jsonrpc": "2.0", "id": id, "result": result});
    match part(&message, "/method").as_str() {
        Some("initialize") => {
            let result = json!({"protocolVersion": part(&message, "/params/protocolVersion"),
                "capabilities": {"tools": {"listChanged": true}, "tasks": {}, "experimental": {"x": {}}},
                "serverInfo": {"name": "reports", "version": "1"}, "instructions": "be kind"});
            ([("mcp-session-id", "theirs")], axum::Json(done(result))).into_response()
        }
        Some("tools/list") => axum::Json(done(json!({"tools": inner.tools()}))).into_response(),
        Some("tools/call") => called(inner, &message, done).await,
        _ => {
            let error = json!({"code": -32601, "message": "no such method"});
            axum::Json(json!({"jsonrpc": "2.0", "id": part(&message, "/id"), "error": error})).into_response()
        }
    }
}

async fn called(
    inner: Arc<Inner>,
    message: &Value,
    done: impl Fn(Value) -> Value + Send + 'static,
) -> Response {
    let say = |text: &str| json!({"content": [{"type": "text", "text": text}]});
    let token = part(message, "/params/_meta/progressToken");
    match part(message, "/params/name").as_str() {
        Some("slow") => stream(move |out| async move {
            let params = json!({"progressToken": token, "progress": 1, "message": "half"});
            let told = json!({"jsonrpc": "2.0", "method": "notifications/progress", "params": params});
            let _ = out.send(told).await;
            *lock(&inner.slow) = Some(out.clone());
            inner.go_on.notified().await;
            let _ = out.send(done(json!({"content": [{"type": "text", "text": "slowly"}]}))).await;
        }),
        Some("ask") => stream(move |out| async move {
            let (into, mut answers) = mpsc::channel(1);
            *lock(&inner.answers) = Some(into);
            let params = json!({"messages": [], "maxTokens": 7});
            let asked =
                json!({"jsonrpc": "2.0", "id": "q", "method": "sampling/createMessage", "params": params});
            let _ = out.send(asked).await;
            let answer = answers.recv().await.unwrap_or_default();
            let _ = out.send(done(json!({"content": [{"type": "text", "text": answer.to_string()}]}))).await;
        }),
        // What is asked for is the result.
        Some("echo") if message.pointer("/params/arguments/result").is_some() => {
            axum::Json(done(part(message, "/params/arguments/result"))).into_response()
        }
        Some("fail") => {
            let failed = json!({"content": [{"type": "text", "text": "it broke"}], "isError": true});
            axum::Json(done(failed)).into_response()
        }
        _ => axum::Json(done(say(&part(message, "/params/arguments").to_string()))).into_response(),
    }
}

fn stream<F>(say: impl FnOnce(mpsc::Sender<Value>) -> F) -> Response
where
    F: Future<Output = ()> + Send + 'static,
{
    let (out, mut from) = mpsc::channel::<Value>(4);
    tokio::spawn(say(out));
    let events = futures_util::stream::poll_fn(move |context| {
        let next = from.poll_recv(context);
        next.map(|value| value.map(|value| Event::default().json_data(value)))
    });
    Sse::new(events).into_response()
}

fn lock<T>(slot: &Mutex<T>) -> MutexGuard<'_, T> {
    slot.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A part of a message; null if it has none.
fn part(message: &Value, pointer: &str) -> Value {
    message.pointer(pointer).cloned().unwrap_or_default()
}
