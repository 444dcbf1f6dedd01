//! A server at an address: each message is a POST, answered by one message or a stream of them; what the server says by
//! itself comes in a stream that is asked for.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use countersign_wire::mcp::stream::Events;
use countersign_wire::mcp::{Id, MESSAGE_BYTES_MAX};
use reqwest::header::{ACCEPT, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use reqwest::{Client, RequestBuilder, Response, StatusCode, redirect};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use zeroize::Zeroizing;

use super::{Incoming, NoServer, SEND_S_MAX};

/// The server's own name of the session.
const SESSION: HeaderName = HeaderName::from_static("mcp-session-id");
/// The revision of the protocol that is spoken.
const REVISION: HeaderName = HeaderName::from_static("mcp-protocol-version");
/// How long a server may take to be told that the session is over, in milliseconds.
const LEAVE_MS_MAX: u64 = 500;
/// How long to wait before the stream of what the server says by itself is asked for again, in seconds.
const LISTEN_AGAIN_S: u64 = 5;

/// A server at an address.
#[derive(Clone)]
pub(crate) struct Web(Arc<Inner>);

struct Inner {
    client: Client,
    url: String,
    secret: Option<Zeroizing<String>>,
    headers: Mutex<HeaderMap>,
    into: mpsc::Sender<Incoming>,
    over: CancellationToken,
}

impl Web {
    pub(super) fn new(
        url: &str,
        authority: Option<&str>,
        secret: Option<Zeroizing<String>>,
        into: mpsc::Sender<Incoming>,
    ) -> Result<Self, NoServer> {
        let mut builder = Client::builder()
            .user_agent(concat!("countersign/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(Duration::from_secs(SEND_S_MAX))
            // Where the server is, the bundle says; what leads elsewhere would take the secret along.
            .redirect(redirect::Policy::none())
            .no_proxy();
        if let Some(path) = authority {
            let bad = |source: Box<dyn std::error::Error + Send + Sync>| NoServer::Authority {
                path: path.to_owned(),
                source,
            };
            let pem = std::fs::read(path).map_err(|error| bad(error.into()))?;
            let found = reqwest::Certificate::from_pem_bundle(&pem).map_err(|error| bad(error.into()))?;
            builder = builder.tls_certs_only(found);
        }
        let client = builder.build().map_err(NoServer::Client)?;
        let (headers, over) = (Mutex::default(), CancellationToken::new());
        Ok(Self(Arc::new(Inner { client, url: url.to_owned(), secret, headers, into, over })))
    }

    pub(super) fn send(&self, bytes: Bytes, of: Option<Id>) {
        let web = self.clone();
        tokio::spawn(async move {
            let over = web.0.over.clone();
            tokio::select! {
                () = over.cancelled() => {}
                () = web.post(bytes, of) => {}
            }
        });
    }

    pub(super) fn speaks(&self, revision: &str) {
        if let Ok(revision) = HeaderValue::from_str(revision) {
            self.headers().insert(REVISION, revision);
        }
    }

    /// Listens for what the server says by itself, until the session is over or the server says that there is nothing.
    pub(super) fn listen(&self) {
        let web = self.clone();
        tokio::spawn(async move {
            let over = web.0.over.clone();
            tokio::select! {
                () = over.cancelled() => {}
                () = web.keep_listening() => {}
            }
        });
    }

    pub(super) async fn close(&self) {
        self.0.over.cancel();
        if !self.headers().contains_key(SESSION) {
            return;
        }
        let told = self.with_headers(self.0.client.delete(&self.0.url)).send();
        let _told_or_not = tokio::time::timeout(Duration::from_millis(LEAVE_MS_MAX), told).await;
    }

    async fn keep_listening(&self) {
        loop {
            let asked = self.0.client.get(&self.0.url).header(ACCEPT, "text/event-stream");
            match self.with_headers(asked).send().await {
                Ok(answer) if answer.status().is_success() && is_stream(&answer) => {
                    let _ended = self.stream(answer, None).await;
                }
                Ok(_) => return,
                Err(_) => {}
            }
            tokio::time::sleep(Duration::from_secs(LISTEN_AGAIN_S)).await;
        }
    }

    async fn post(&self, bytes: Bytes, of: Option<Id>) {
        let failed = match self.answered(bytes, of.clone()).await {
            Ok(()) => "the server's answer ended before it was complete".to_owned(),
            Err(why) => why,
        };
        // An answer that has come already is not waited for any more.
        if let Some(id) = of {
            let _nobody_listens = self.0.into.send(Incoming::Failed(id, failed)).await;
        }
    }

    async fn answered(&self, bytes: Bytes, of: Option<Id>) -> Result<(), String> {
        let asked = self.0.client.post(&self.0.url).body(bytes);
        let asked = asked.header(CONTENT_TYPE, "application/json");
        let asked = asked.header(ACCEPT, "application/json, text/event-stream");
        let answer = self.with_headers(asked).send().await.map_err(|error| cause(&error))?;
        if let Some(name) = answer.headers().get(SESSION) {
            self.headers().entry(SESSION).or_insert_with(|| name.clone());
        }
        match answer.status() {
            StatusCode::ACCEPTED | StatusCode::NO_CONTENT => Ok(()),
            status if !status.is_success() => Err(format!("the server answered {status}")),
            _ if is_stream(&answer) => self.stream(answer, of).await,
            _ => self.single(answer, of).await,
        }
    }

    async fn single(&self, mut answer: Response, of: Option<Id>) -> Result<(), String> {
        let mut body = Vec::new();
        while let Some(piece) = answer.chunk().await.map_err(|error| cause(&error))? {
            if body.len() + piece.len() > MESSAGE_BYTES_MAX {
                return Err(format!("the server's answer has more than {MESSAGE_BYTES_MAX} bytes"));
            }
            body.extend_from_slice(&piece);
        }
        if !body.trim_ascii().is_empty() {
            let _nobody_listens = self.0.into.send(Incoming::Message(body, of)).await;
        }
        Ok(())
    }

    async fn stream(&self, mut answer: Response, of: Option<Id>) -> Result<(), String> {
        let mut events = Events::default();
        while let Some(piece) = answer.chunk().await.map_err(|error| cause(&error))? {
            for data in events.feed(&piece).map_err(|error| error.to_string())? {
                if self.0.into.send(Incoming::Message(data, of.clone())).await.is_err() {
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    fn with_headers(&self, asked: RequestBuilder) -> RequestBuilder {
        let asked = asked.headers(self.headers().clone());
        match &self.0.secret {
            Some(secret) => asked.bearer_auth(secret.as_str()),
            None => asked,
        }
    }

    fn headers(&self) -> std::sync::MutexGuard<'_, HeaderMap> {
        self.0.headers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn is_stream(answer: &Response) -> bool {
    let kind = answer.headers().get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    kind.is_some_and(|kind| kind.trim().to_ascii_lowercase().starts_with("text/event-stream"))
}

/// What went wrong, down to its cause. The address is the bundle's and no secret, but no client's business either.
fn cause(error: &reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    format!("the server can't be reached: {cause}")
}
