//! What comes from a server: answers go to whoever waits for them, what it tells goes to the client, and what it asks is
//! judged like everything else.

use std::sync::Arc;

use countersign_core::session::Ending;
use countersign_wire::mcp::{Id, Json, Message};
use tokio::sync::mpsc;

use super::asked;
use super::line::Out;
use super::session::Session;
use super::upstream::Incoming;

/// The longest of what a server tells that is passed on, in bytes: a client that does not read keeps several waiting.
const TOLD_BYTES_MAX: usize = 64 * 1024;

/// What a server may tell. Everything else is not passed on.
const TOLD: [&str; 8] = [
    "notifications/progress",
    "notifications/message",
    "notifications/cancelled",
    "notifications/tools/list_changed",
    "notifications/prompts/list_changed",
    "notifications/resources/list_changed",
    "notifications/resources/updated",
    "notifications/elicitation/complete",
];

/// Takes what comes, until nothing more does.
pub(crate) async fn take(session: Arc<Session>, mut from: mpsc::Receiver<Incoming>) {
    loop {
        let incoming = tokio::select! {
            () = session.over.cancelled() => return,
            incoming = from.recv() => incoming,
        };
        match incoming {
            Some(Incoming::Message(bytes, of)) => message(&session, &bytes, of.as_ref()),
            Some(Incoming::Failed(id, why)) => {
                tracing::debug!(session = %session.engine.id(), %why, "a server failed");
                session.answered(&id, Err(why));
            }
            Some(Incoming::Gone(why)) => {
                tracing::info!(session = %session.engine.id(), %why, "a server is gone");
                return session.end(Ending::Upstream);
            }
            None => return session.end(Ending::Upstream),
        }
    }
}

fn message(session: &Arc<Session>, bytes: &[u8], of: Option<&Id>) {
    match Message::read(bytes) {
        Ok(Message::Response { id, .. }) => {
            // An answer in what answers another request is none.
            if of.is_none_or(|of| *of == id) {
                session.answered(&id, Ok(bytes.to_vec()));
            }
        }
        Ok(Message::Notification { method, params }) => {
            if method == "notifications/tools/list_changed" {
                session.tools.changed();
            }
            tell(session, (&method, params.as_ref()), session.shown(bytes), of);
        }
        Ok(Message::Request { id, method, params }) => {
            asked::ask(session, (id, method, params.as_ref()), session.shown(bytes), of);
        }
        Err(error) => {
            tracing::warn!(session = %session.engine.id(), %error, "a server sent what can't be read");
            if let Some(id) = of {
                session.answered(id, Err(format!("the server's answer can't be read: {error}")));
            }
        }
    }
}

/// Passes on what a server tells, to whom it concerns. A client that does not read misses it.
fn tell(session: &Session, (method, params): (&str, Option<&Json<'_>>), text: String, of: Option<&Id>) {
    if !TOLD.contains(&method) || text.len() > TOLD_BYTES_MAX {
        tracing::debug!(session = %session.engine.id(), %method, "what a server told is not passed on");
        return;
    }
    let token = params.and_then(|params| Id::of(params.get("progressToken")?).ok());
    let ears = match (method, token) {
        ("notifications/progress", Some(token)) => session.progress_of(&token.json()),
        ("notifications/progress", None) => None,
        _ => session.ears(of),
    };
    if let Some(ears) = ears {
        let _full_or_gone = ears.try_send(Out::Interim(text));
    }
}
