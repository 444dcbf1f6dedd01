//! From the desk to a server of tools, as soon as there is a grant.
//!
//! The client keeps its session: the gateway has answered its greeting, and now says the same greeting to the server, judged and
//! recorded as every message. Then the client is told that there are other tools. One that does not look again begins anew.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use countersign_core::RoleId;
use countersign_core::catalogue::Resource;
use countersign_core::session::Ending;
use countersign_wire::mcp::{Message, Outcome, said};
use tokio::sync::{Mutex, mpsc};
use tokio_util::sync::CancellationToken;

use super::super::answer::{self, Words};
use super::super::attempt::Subject;
use super::super::call::{self, Request};
use super::super::line::Out;
use super::super::session::Session;
use super::super::{Entered, KIND, entry};
use super::{Not, Sitting};

/// How long a server may take to greet back, in seconds.
const GREETING_S_MAX: u64 = 30;
/// What a client tells when it has been greeted.
const INITIALIZED: &str = "notifications/initialized";
/// That there are other tools now.
const CHANGED: &str = r#"{"jsonrpc":"2.0","method":"notifications/tools/list_changed"}"#;

/// The server that a client goes on to.
pub(crate) struct Onward {
    described: Resource,
    /// How the client greeted.
    greeting: OnceLock<Bytes>,
    /// One at a time.
    turn: Mutex<()>,
    gone: CancellationToken,
}

impl Onward {
    pub(crate) fn new(described: Resource) -> Self {
        Self { described, greeting: OnceLock::new(), turn: Mutex::default(), gone: CancellationToken::new() }
    }

    /// Keeps how the client greeted.
    pub(super) fn greeted(&self, bytes: &Bytes) {
        let _first = self.greeting.set(bytes.clone());
    }

    /// Waits until the client is with the server.
    pub(super) async fn gone(&self) {
        self.gone.cancelled().await;
    }
}

/// Goes on to the server in this role. Whoever is there already stays.
///
/// # Errors
/// The engine says no, or the server does not greet back; the client stays at the desk.
pub(super) async fn go(sitting: &Sitting, onward: &Onward, role: RoleId) -> Result<(), Not> {
    let _turn = onward.turn.lock().await;
    if onward.gone.is_cancelled() {
        return Ok(());
    }
    let (desk, line) = (&sitting.desk, &sitting.desk.line);
    let engine = line.shared.engine.open_session(
        line.principal.clone(),
        line.resource.clone(),
        Some(role),
        KIND,
        desk.client.clone(),
        desk.why.purpose.clone(),
        desk.why.ticket.clone(),
    );
    let engine = engine.await.map_err(|refused| Not::from(&refused))?;
    let (session, taking) =
        entry::before(Arc::clone(line), &onward.described, engine).await.map_err(|_| no_server())?;
    if let Err(words) = greet(&session, onward.greeting.get()).await {
        taking.abort();
        session.upstream.close().await;
        line.shared.engine.close_session(&session.engine, Ending::Upstream).await;
        return Err(words.into());
    }
    line.shared.moves(Entered::Session(Arc::clone(&session)));
    onward.gone.cancel();
    line.shared.tasks.spawn(session.keep());
    // A client that hears nothing reads it in the answer.
    let _heard = sitting.flight.out.send(Out::Interim(CHANGED.to_owned())).await;
    Ok(())
}

/// Greets the server as the client greeted the gateway.
async fn greet(session: &Arc<Session>, greeting: Option<&Bytes>) -> Result<(), Words> {
    let bytes = greeting.cloned().unwrap_or_default();
    let Ok(Message::Request { id, method, params }) = Message::read(&bytes) else {
        return Err(Words::new(answer::INVALID, "this client has not greeted"));
    };
    let (out, _hears) = mpsc::channel(1);
    let begun = Request { id, method, params, bytes: bytes.clone() }.begin(session, out);
    let begun = begun.map_err(|_| Words::new(answer::INVALID, "the client's greeting is under way"))?;
    let flight = Arc::clone(&begun.speaker.flight);
    let slow = async {
        tokio::time::sleep(Duration::from_secs(GREETING_S_MAX)).await;
        flight.cancelled.cancel();
        std::future::pending::<String>().await
    };
    let answer = tokio::select! {
        answer = begun.run() => answer,
        never = slow => never,
    };
    if !matches!(Message::read(answer.as_bytes()), Ok(Message::Response { outcome: Outcome::Result(_), .. }))
    {
        tracing::info!(session = %session.engine.id(), %answer, "a server does not greet back");
        return Err(Words::new(answer::NO_SERVER, "the server can't be reached, or does not greet back")
            .hint("your role is held: begin a new session, or ask again in a moment"));
    }
    let told = Bytes::from(format!("{{\"jsonrpc\":\"2.0\",\"method\":\"{INITIALIZED}\"}}"));
    let words = said(INITIALIZED, None).map_err(|error| Words::new(answer::INVALID, error.to_string()))?;
    let subject = Subject { method: INITIALIZED.to_owned(), said: words, definition: None, bytes: told };
    call::notify(Arc::clone(session), subject).await?;
    session.upstream.begins();
    Ok(())
}

fn no_server() -> Not {
    Words::new(answer::NO_SERVER, "the server can't be reached")
        .hint("whoever runs the gateway can see why in its log")
        .into()
}
