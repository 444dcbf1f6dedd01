//! The endpoints of streamable HTTP (revisions 2025-06-18 and 2025-11-25 of the protocol): POST brings a message, GET
//! listens, DELETE ends the session. A client that shows nothing, or nothing that counts, is told where it gets what does
//! (RFC 9728).

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Extension, Path, Query, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use countersign_core::ResourceId;
use countersign_core::session::Ending;
use countersign_wire::mcp::{
    Id, Json, MESSAGE_BYTES_MAX, Malformed, Message, REVISIONS, Said, one_line, said,
};
use futures_util::Stream;
use tokio::sync::mpsc;

use super::answer::{self, Words};
use super::attempt::Subject;
use super::call::{self, Request};
use super::desk::Sitting;
use super::entry::{self, NoEntry, Shown, Wanted};
use super::line::{Flight, Line, Out};
use super::session::Session;
use super::{Entered, Peer, Shared, asked};

/// A session's name, in each call.
const SESSION: HeaderName = HeaderName::from_static("mcp-session-id");
/// The revision that a client speaks, in each call.
const REVISION: HeaderName = HeaderName::from_static("mcp-protocol-version");
/// Revisions before those that are spoken here. A call may name one, since clients only should name the one that was agreed on.
const REVISIONS_BEFORE: [&str; 2] = ["2024-11-05", "2025-03-26"];
/// Where clients look for who gives tokens for a resource; what is behind it is the resource's own path.
const METADATA: &str = "/.well-known/oauth-protected-resource";
/// How many messages may wait for a client to read them.
const OUT_MAX: usize = 16;

pub(super) fn router(shared: Arc<Shared>) -> Router {
    Router::new()
        .route("/mcp/{resource}", post(take).get(listen).delete(leave))
        .route(METADATA, get(metadata_of_all))
        .route(&format!("{METADATA}/mcp/{{resource}}"), get(metadata))
        .layer(DefaultBodyLimit::max(MESSAGE_BYTES_MAX))
        .with_state(shared)
}

/// A call that is not served, in HTTP's own words and the protocol's.
struct Unserved {
    status: StatusCode,
    body: String,
    challenge: Option<String>,
}

impl Unserved {
    fn new(status: StatusCode, words: &Words) -> Self {
        Self { status, body: answer::error(None, words), challenge: None }
    }

    fn plain(status: StatusCode, message: &str) -> Self {
        Self::new(status, &Words::new(answer::INVALID, message))
    }

    fn unproved(endpoint: &str, challenge: String) -> Self {
        let words = Words::new(answer::DENIED, "a credential for this resource is needed")
            .hint(format!(
                "let your client sign in by way of a browser, or get a credential with `countersign connect` and send \
                 it as a bearer token to {endpoint}"
            ));
        Self { challenge: Some(challenge), ..Self::new(StatusCode::UNAUTHORIZED, &words) }
    }

    fn malformed(error: &Malformed) -> Self {
        Self { status: StatusCode::BAD_REQUEST, body: call::malformed(None, error), challenge: None }
    }

    fn answer(self) -> Response {
        let mut answer =
            (self.status, [(header::CONTENT_TYPE, "application/json")], self.body).into_response();
        if let Some(challenge) = self.challenge.and_then(|challenge| HeaderValue::from_str(&challenge).ok()) {
            answer.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
        }
        answer
    }
}

async fn take(
    State(shared): State<Arc<Shared>>,
    Path(resource): Path<String>,
    Query(wanted): Query<Wanted>,
    peer: Option<Extension<Peer>>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    // In a task of its own: a client that hangs up must not leave a session half open, or half a message with the server.
    let serving = tokio::spawn(async move {
        let served = serve(&shared, (&resource, peer, &headers), wanted, &body).await;
        served.unwrap_or_else(Unserved::answer)
    });
    serving.await.unwrap_or_else(|_| StatusCode::INTERNAL_SERVER_ERROR.into_response())
}

async fn serve(
    shared: &Arc<Shared>,
    (resource, peer, headers): (&str, Option<Extension<Peer>>, &HeaderMap),
    wanted: Wanted,
    body: &[u8],
) -> Result<Response, Unserved> {
    let peer = admit(shared, peer, headers)?;
    let shown = Shown::of(headers).ok_or_else(|| unproved(shared, resource, headers))?;
    if !is_json(headers) {
        return Err(Unserved::plain(StatusCode::UNSUPPORTED_MEDIA_TYPE, "messages are `application/json`"));
    }
    // Read as it came: a line break that stands where none may is not made good by being taken away.
    let message = Message::read(body).map_err(|error| Unserved::malformed(&error))?;
    let bytes = Bytes::from(one_line(body));
    if let Message::Request { id, method, params } = &message
        && method == "initialize"
    {
        let client = entry::client(shared, headers, peer);
        let opened = entry::open(shared, resource, (&shown, client), wanted).await;
        let entered = opened.map_err(|no| not_let_in(shared, resource, (id, headers), no))?;
        return Ok(initialize(&entered, (id, params.as_ref()), headers).await);
    }
    let entered = session(shared, resource, headers, &shown)?;
    match (message, &entered) {
        (Message::Request { id, method, params }, _) => {
            let request = Request { id, method, params, bytes: bytes.clone() };
            Ok(answer_to(&entered, request, headers).await)
        }
        (Message::Notification { method, params }, Entered::Session(session)) => {
            notified(session, &method, params.as_ref(), &bytes).await
        }
        (Message::Notification { method, params }, Entered::Desk(desk)) => {
            // What clients tell is for servers, but that they have had enough.
            let told = said(&method, params.as_ref()).map_err(|error| Unserved::malformed(&error))?;
            cancelled(&desk.line, &method, &told);
            Ok(StatusCode::ACCEPTED.into_response())
        }
        (Message::Response { id, outcome }, Entered::Session(session)) => {
            match asked::answered(session, &id, &outcome, bytes.clone()).await {
                Ok(()) => Ok(StatusCode::ACCEPTED.into_response()),
                Err(words) => Err(Unserved::new(StatusCode::BAD_REQUEST, &words)),
            }
        }
        (Message::Response { .. }, Entered::Desk(_)) => {
            Err(Unserved::plain(StatusCode::BAD_REQUEST, "nothing was asked of this client"))
        }
    }
}

/// A client has had enough of a request, if that is what it tells. Gives the request.
fn cancelled(line: &Line, method: &str, told: &Said) -> Option<Arc<Flight>> {
    let of = told.of.as_ref().filter(|_| method == "notifications/cancelled")?;
    let flight = line.flight(of)?;
    flight.cancelled.cancel();
    Some(flight)
}

/// A page of somebody else's, or a secret in clear from elsewhere, comes no further.
fn admit(shared: &Shared, peer: Option<Extension<Peer>>, headers: &HeaderMap) -> Result<Peer, Unserved> {
    let refuse = |message| Unserved::plain(StatusCode::FORBIDDEN, message);
    let Some(Extension(peer)) = peer else { return Err(refuse("nobody says from where this comes")) };
    let own = shared.settings.public_url.trim_end_matches('/');
    if headers.get_all(header::ORIGIN).iter().any(|origin| origin != own) {
        return Err(refuse("pages of other sites may not call here"));
    }
    if !own.starts_with("https:") && !peer.0.ip().to_canonical().is_loopback() {
        return Err(refuse("this door is entered with TLS only"));
    }
    Ok(peer)
}

fn is_json(headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    kind.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case("application/json")
}

/// Whether a client can read a stream.
fn reads_streams(headers: &HeaderMap) -> bool {
    let kinds = headers.get_all(header::ACCEPT).iter().filter_map(|kinds| kinds.to_str().ok());
    kinds.flat_map(|kinds| kinds.split(',')).any(|kind| {
        ["text/event-stream", "text/*", "*/*"].contains(&kind.split(';').next().unwrap_or_default().trim())
    })
}

fn unproved(shared: &Shared, resource: &str, headers: &HeaderMap) -> Unserved {
    let endpoint = resource.parse().map(|resource| shared.endpoint(&resource));
    let error = headers.contains_key(header::AUTHORIZATION).then_some("error=\"invalid_token\"");
    let challenge = challenge(shared, resource, error);
    Unserved::unproved(&endpoint.unwrap_or_else(|_| "its endpoint".to_owned()), challenge)
}

/// What a client is told that has to show something else (RFC 6750, section 3; RFC 9728, section 5.1).
fn challenge(shared: &Shared, resource: &str, error: Option<&str>) -> String {
    let own = shared.settings.public_url.trim_end_matches('/');
    let path = resource.parse::<ResourceId>().map(|resource| format!("/mcp/{resource}")).unwrap_or_default();
    let mut told = format!("Bearer realm=\"countersign\", resource_metadata=\"{own}{METADATA}{path}\"");
    if let Some(error) = error {
        told.push_str(", ");
        told.push_str(error);
    }
    told
}

/// Who gives tokens for a resource. It is said of every name: what is behind one is nobody's business who shows nothing.
async fn metadata(State(shared): State<Arc<Shared>>, Path(resource): Path<String>) -> Response {
    match resource.parse() {
        Ok(resource) => told_of(&shared, shared.endpoint(&resource)),
        Err(_) => StatusCode::NOT_FOUND.into_response(),
    }
}

/// The same of the gateway itself. It gives no token for all of its resources: a client has to name one.
async fn metadata_of_all(State(shared): State<Arc<Shared>>) -> Response {
    told_of(&shared, shared.settings.public_url.trim_end_matches('/').to_owned())
}

fn told_of(shared: &Shared, resource: String) -> Response {
    let own = shared.settings.public_url.trim_end_matches('/');
    axum::Json(serde_json::json!({
        "resource": resource,
        "authorization_servers": [own],
        "bearer_methods_supported": ["header"],
        "resource_name": "Countersign",
    }))
    .into_response()
}

fn not_let_in(shared: &Shared, resource: &str, (id, headers): (&Id, &HeaderMap), no: NoEntry) -> Unserved {
    let words = match no {
        NoEntry::Unproved => return unproved(shared, resource, headers),
        NoEntry::Refused(refused) => {
            let body = call::refused(id, &refused);
            return Unserved { status: StatusCode::FORBIDDEN, body, challenge: None };
        }
        NoEntry::OtherRole(role) => {
            let words = Words::new(answer::DENIED, format!("this client was not let in for role `{role}`"))
                .hint("have it sign in again, and choose that role when you let it in");
            let error = format!("error=\"insufficient_scope\", scope=\"role:{role}\"");
            let challenge = Some(challenge(shared, resource, Some(&error)));
            let body = answer::error(Some(id), &words);
            return Unserved { status: StatusCode::FORBIDDEN, body, challenge };
        }
        NoEntry::NoServer => Words::new(answer::NO_SERVER, "the server can't be reached")
            .hint("whoever runs the gateway can see why in its log"),
        NoEntry::Full => {
            Words::new(answer::LIMIT, "there are too many sessions").hint("try again in a while")
        }
    };
    Unserved {
        body: answer::error(Some(id), &words),
        ..Unserved::new(StatusCode::SERVICE_UNAVAILABLE, &words)
    }
}

/// The session that a call belongs to. To whoever shows another credential, or asks at another resource, there is none.
fn session(
    shared: &Shared,
    resource: &str,
    headers: &HeaderMap,
    shown: &Shown<'_>,
) -> Result<Entered, Unserved> {
    let name = headers.get(SESSION).and_then(|name| name.to_str().ok());
    let Some(name) = name else {
        let message = "this call names no session; one begins with `initialize`";
        return Err(Unserved::plain(StatusCode::BAD_REQUEST, message));
    };
    let client = shown.client(shared, resource);
    if client.is_none() && !shown.is_credential() {
        // The client gets its next token, and goes on in its session.
        return Err(unproved(shared, resource, headers));
    }
    let is_it = |entered: &Entered| {
        let line = entered.line();
        line.proved.is_shown_by(shown, client.as_ref()) && line.resource.as_str() == resource
    };
    let found = shared.session(name).filter(is_it);
    let entered = found.ok_or_else(|| Unserved::plain(StatusCode::NOT_FOUND, "there is no such session"))?;
    // What was agreed on is what is spoken, whatever the call names.
    let is_known =
        |speaks: &HeaderValue| REVISIONS.iter().chain(&REVISIONS_BEFORE).any(|known| speaks == known);
    if !headers.get_all(REVISION).iter().all(is_known) {
        return Err(Unserved::plain(
            StatusCode::BAD_REQUEST,
            "this revision of the protocol is not known here",
        ));
    }
    entered.line().used();
    Ok(entered)
}

/// Begins the session. A client that asks for a revision that is not known is offered the newest that is.
async fn initialize(
    entered: &Entered,
    (id, params): (&Id, Option<&Json<'_>>),
    headers: &HeaderMap,
) -> Response {
    let bytes = Bytes::from(one_line(greeting(id, params).as_bytes()));
    let mut answer = match Message::read(&bytes) {
        Ok(Message::Request { id, method, params }) => {
            answer_to(entered, Request { id, method, params, bytes: bytes.clone() }, headers).await
        }
        _ => Unserved::plain(StatusCode::BAD_REQUEST, "its parameters are not right").answer(),
    };
    let line = entered.line();
    match HeaderValue::from_str(&line.name) {
        // Whatever the server says: without a revision there is no session.
        Ok(name) if line.revision.get().is_some() => drop(answer.headers_mut().insert(SESSION, name)),
        _ => line.end(Ending::Error),
    }
    answer
}

fn greeting(id: &Id, params: Option<&Json<'_>>) -> String {
    let asked = params.and_then(|params| params.get("protocolVersion")?.text());
    let newest = REVISIONS.last().copied().unwrap_or_default();
    let revision = REVISIONS.iter().find(|known| Some(**known) == asked).copied().unwrap_or(newest);
    let mut text = format!(
        "{{\"jsonrpc\":\"2.0\",\"id\":{},\"method\":\"initialize\",\"params\":{{\"protocolVersion\":\"{revision}\"",
        id.json()
    );
    for (name, value) in params.and_then(Json::members).unwrap_or_default() {
        if name != "protocolVersion" {
            text.push(',');
            countersign_wire::mcp::json::write_text(name, &mut text);
            text.push(':');
            text.push_str(value.raw);
        }
    }
    text.push_str("}}");
    text
}

/// Answers a request: with one message if it comes at once, in a stream if the client has to wait or is told more.
async fn answer_to(entered: &Entered, request: Request<'_>, headers: &HeaderMap) -> Response {
    let (out, mut from) = mpsc::channel(OUT_MAX);
    let is_greeting = request.method == "initialize";
    if let Err(error) = begin(entered, request, out) {
        return json(error);
    }
    let reads_streams = reads_streams(headers) && !is_greeting;
    loop {
        match from.recv().await {
            Some(Out::Final(message)) => return json(message),
            Some(_) if !reads_streams => {}
            Some(first) => return stream(Some(first), from),
            None => return StatusCode::INTERNAL_SERVER_ERROR.into_response(),
        }
    }
}

/// Begins a request, whose answer comes in `out`.
fn begin(entered: &Entered, request: Request<'_>, out: mpsc::Sender<Out>) -> Result<(), String> {
    let answering: Pin<Box<dyn Future<Output = String> + Send>> = match entered {
        Entered::Session(session) => Box::pin(request.begin(session, out.clone())?.run()),
        Entered::Desk(desk) => {
            let Request { id, method, params, bytes } = request;
            Box::pin(Sitting::begin(desk, (id, &method, params.as_ref()), bytes, out.clone())?.run())
        }
    };
    tokio::spawn(async move {
        // A client that has hung up does not hear it; what became of it is recorded.
        let _heard = out.send(Out::Final(answering.await)).await;
    });
    Ok(())
}

fn json(message: String) -> Response {
    ([(header::CONTENT_TYPE, "application/json")], message).into_response()
}

fn stream(first: Option<Out>, from: mpsc::Receiver<Out>) -> Response {
    let mut answer = Sse::new(events(first, from)).keep_alive(KeepAlive::default()).into_response();
    // What stands between must not gather events before it passes them on.
    answer.headers_mut().insert("x-accel-buffering", HeaderValue::from_static("no"));
    answer
}

fn events(first: Option<Out>, from: mpsc::Receiver<Out>) -> impl Stream<Item = Result<Event, Infallible>> {
    futures_util::stream::unfold((first, Some(from)), |(first, from)| async move {
        let mut from = from?;
        let next = match first {
            Some(first) => first,
            None => from.recv().await?,
        };
        let (event, from) = match next {
            Out::Open => (Event::default().comment("it takes a while"), Some(from)),
            Out::Interim(message) => (Event::default().event("message").data(message), Some(from)),
            Out::Final(message) => (Event::default().event("message").data(message), None),
        };
        Some((Ok(event), (None, from)))
    })
}

async fn notified(
    session: &Arc<Session>,
    method: &str,
    params: Option<&Json<'_>>,
    bytes: &Bytes,
) -> Result<Response, Unserved> {
    let told = said(method, params).map_err(|error| Unserved::malformed(&error))?;
    if method == "notifications/cancelled" {
        let was_sent = |flight: &Arc<Flight>| flight.is_sent.load(std::sync::atomic::Ordering::Relaxed);
        if !cancelled(session, method, &told).as_ref().is_some_and(was_sent) {
            // The server has never heard of it.
            return Ok(StatusCode::ACCEPTED.into_response());
        }
    }
    let subject = Subject { method: method.to_owned(), said: told, definition: None, bytes: bytes.clone() };
    match call::notify(Arc::clone(session), subject).await {
        Ok(()) => {
            if method == "notifications/initialized" {
                session.upstream.begins();
            }
            Ok(StatusCode::ACCEPTED.into_response())
        }
        Err(words) => Err(Unserved::new(StatusCode::FORBIDDEN, &words)),
    }
}

/// The session of a call that brings no message.
fn session_of(
    shared: &Shared,
    resource: &str,
    peer: Option<Extension<Peer>>,
    headers: &HeaderMap,
) -> Result<Entered, Unserved> {
    admit(shared, peer, headers)?;
    let shown = Shown::of(headers).ok_or_else(|| unproved(shared, resource, headers))?;
    session(shared, resource, headers, &shown)
}

async fn listen(
    State(shared): State<Arc<Shared>>,
    Path(resource): Path<String>,
    peer: Option<Extension<Peer>>,
    headers: HeaderMap,
) -> Response {
    match session_of(&shared, &resource, peer, &headers) {
        Err(unserved) => unserved.answer(),
        Ok(_) if !reads_streams(&headers) => {
            Unserved::plain(StatusCode::NOT_ACCEPTABLE, "this gives `text/event-stream`").answer()
        }
        Ok(entered) => {
            let (out, from) = mpsc::channel(OUT_MAX);
            entered.line().listens(out);
            stream(Some(Out::Open), from)
        }
    }
}

async fn leave(
    State(shared): State<Arc<Shared>>,
    Path(resource): Path<String>,
    peer: Option<Extension<Peer>>,
    headers: HeaderMap,
) -> Response {
    match session_of(&shared, &resource, peer, &headers) {
        Err(unserved) => unserved.answer(),
        Ok(entered) => {
            entered.line().end(Ending::User);
            StatusCode::NO_CONTENT.into_response()
        }
    }
}
