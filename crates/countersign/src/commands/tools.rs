//! `countersign connect` of a server of tools: what a client says on standard input goes to the gateway, and what the gateway
//! answers comes out, so that whatever starts programs as its servers of tools needs no credential of its own.
//!
//! A message is a line. Nothing is understood here but what belongs to the way: which session it is, and when it begins.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use countersign_wire::mcp::MESSAGE_BYTES_MAX;
use countersign_wire::mcp::stream::Events;
use reqwest::header::{ACCEPT, CONTENT_TYPE};
use reqwest::{RequestBuilder, Response};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use zeroize::Zeroizing;

use crate::output::text_at;

/// The session's name, in each call.
const SESSION: &str = "mcp-session-id";
/// The revision of the protocol, in each call.
const REVISION: &str = "mcp-protocol-version";
/// How many messages may wait to be written.
const OUT_MAX: usize = 64;
/// How long the gateway may take to be told that the session is over.
const LEAVE: Duration = Duration::from_secs(2);

/// The way to the gateway.
struct Way {
    http: reqwest::Client,
    url: String,
    token: Zeroizing<String>,
    session: Mutex<Session>,
    out: mpsc::Sender<String>,
}

/// What the gateway said of the session.
#[derive(Clone, Debug, Default)]
struct Session {
    name: Option<String>,
    revision: Option<String>,
}

/// Carries messages to and fro until there are no more.
pub async fn carry(credential: &Value, role: Option<&str>) -> Result<()> {
    let token = Zeroizing::new(text_at(credential, "/token"));
    let mut url = url::Url::parse(&text_at(credential, "/url")).context("the gateway named no address")?;
    if let Some(role) = role {
        url.query_pairs_mut().append_pair("role", role);
    }
    let http = reqwest::Client::builder()
        .user_agent(concat!("countersign/", env!("CARGO_PKG_VERSION")))
        .redirect(reqwest::redirect::Policy::none())
        .build()?;
    let (out, lines) = mpsc::channel(OUT_MAX);
    let way = Arc::new(Way { http, url: url.into(), token, session: Mutex::default(), out });
    let written = tokio::spawn(write(lines));
    let carried = way.take().await;
    way.leave().await;
    drop(way);
    // What came last is written before this ends.
    let _ended = tokio::time::timeout(LEAVE, written).await;
    carried
}

/// Writes lines until there are no more, or nobody reads them.
async fn write(mut lines: mpsc::Receiver<String>) {
    let mut stdout = tokio::io::stdout();
    while let Some(mut line) = lines.recv().await {
        line.push('\n');
        if stdout.write_all(line.as_bytes()).await.is_err() || stdout.flush().await.is_err() {
            return;
        }
    }
}

impl Way {
    async fn take(self: &Arc<Self>) -> Result<()> {
        let mut input = BufReader::new(tokio::io::stdin());
        let mut under_way = JoinSet::new();
        let most = u64::try_from(MESSAGE_BYTES_MAX).unwrap_or(u64::MAX);
        loop {
            let mut line = Vec::new();
            let count = (&mut input).take(most).read_until(b'\n', &mut line).await?;
            if count == 0 {
                return Ok(());
            }
            if line.last() != Some(&b'\n') && count >= MESSAGE_BYTES_MAX {
                bail!("a message has more than {MESSAGE_BYTES_MAX} bytes");
            }
            if line.trim_ascii().is_empty() {
                continue;
            }
            while under_way.try_join_next().is_some() {}
            let message: Value = serde_json::from_slice(&line).unwrap_or_default();
            let (way, method) = (Arc::clone(self), text_at(&message, "/method"));
            match method.as_str() {
                // What comes behind these belongs to the session.
                "initialize" | "notifications/initialized" => way.send(line, &message).await,
                _ => drop(under_way.spawn(async move { way.send(line, &message).await })),
            }
            if method == "notifications/initialized" {
                let way = Arc::clone(self);
                under_way.spawn(async move { way.listen().await });
            }
        }
    }

    /// Sends one message, and passes on what is answered.
    async fn send(&self, line: Vec<u8>, message: &Value) {
        let call = self.http.post(&self.url).body(line).header(CONTENT_TYPE, "application/json");
        let call = call.header(ACCEPT, "application/json, text/event-stream");
        let failed = match self.with_session(call).send().await {
            Err(_) => Some("the gateway can't be reached".to_owned()),
            Ok(answer) => self.answer(answer, message).await.err().map(|error| error.to_string()),
        };
        // Whoever asked is told; what was only told needs no answer.
        if let (Some(why), Some(id)) = (failed, message.get("id")) {
            let error = json!({"code": -32_603, "message": why});
            self.say(json!({"jsonrpc": "2.0", "id": id, "error": error}).to_string()).await;
        }
    }

    async fn answer(&self, answer: Response, message: &Value) -> Result<()> {
        if let Some(name) = answer.headers().get(SESSION).and_then(|name| name.to_str().ok()) {
            self.session().name = Some(name.to_owned());
        }
        let status = answer.status();
        if status.is_success() && is_stream(&answer) {
            return self.stream(answer).await;
        }
        let body = answer.bytes().await.context("the gateway's answer broke off")?;
        if body.is_empty() {
            return if status.is_success() { Ok(()) } else { bail!("the gateway answered {status}") };
        }
        let mut told: Value = serde_json::from_slice(&body).context("the gateway's answer is no message")?;
        if message.get("method").is_some_and(|method| method == "initialize") {
            let revision = text_at(&told, "/result/protocolVersion");
            self.session().revision = Some(revision).filter(|revision| !revision.is_empty());
        }
        let is_of_nothing = told.get("id").is_none_or(Value::is_null);
        match (message.get("id"), told.as_object_mut()) {
            (Some(id), Some(told)) if is_of_nothing => drop(told.insert("id".into(), id.clone())),
            (None, _) if !status.is_success() => return Ok(()),
            _ => {}
        }
        let text = if is_of_nothing { told.to_string() } else { String::from_utf8_lossy(&body).into_owned() };
        self.say(text.replace(['\r', '\n'], " ")).await;
        Ok(())
    }

    async fn stream(&self, mut answer: Response) -> Result<()> {
        let mut events = Events::default();
        while let Some(piece) = answer.chunk().await.context("the gateway's answer broke off")? {
            for data in events.feed(&piece)? {
                self.say(String::from_utf8_lossy(&data).replace(['\r', '\n'], " ")).await;
            }
        }
        Ok(())
    }

    /// Passes on what the server says by itself.
    async fn listen(&self) {
        let call = self.http.get(&self.url).header(ACCEPT, "text/event-stream");
        if let Ok(answer) = self.with_session(call).send().await
            && answer.status().is_success()
        {
            let _broke_off = self.stream(answer).await;
        }
    }

    async fn leave(&self) {
        if self.session().name.is_some() {
            let told = self.with_session(self.http.delete(&self.url)).send();
            let _told_or_not = tokio::time::timeout(LEAVE, told).await;
        }
    }

    async fn say(&self, line: String) {
        // Nobody reads any more: then the input ends as well.
        let _gone = self.out.send(line).await;
    }

    fn with_session(&self, call: RequestBuilder) -> RequestBuilder {
        let Session { name, revision } = self.session().clone();
        let mut call = call.bearer_auth(self.token.as_str());
        for (header, value) in [(SESSION, name), (REVISION, revision)] {
            if let Some(value) = value {
                call = call.header(header, value);
            }
        }
        call
    }

    fn session(&self) -> std::sync::MutexGuard<'_, Session> {
        self.session.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn is_stream(answer: &Response) -> bool {
    let kind = answer.headers().get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    kind.is_some_and(|kind| kind.starts_with("text/event-stream"))
}
