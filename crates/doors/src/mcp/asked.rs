//! What a server asks of a client (sampling, elicitation, roots): judged, held and recorded like what the client asks, and
//! so is the client's answer.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use countersign_core::At;
use countersign_engine::{CompletionResult, Ran};
use countersign_wire::mcp::{Id, Json, Outcome, Said, name_of, said};
use tokio::sync::mpsc;

use super::answer::{self, Words};
use super::attempt::Subject;
use super::line::{Flight, Out};
use super::session::Session;
use super::tongue::Speaker;
use super::{call, forward};

/// How many questions of one server may be open at once.
const OPEN_MAX: usize = 16;

/// The questions that a client has been asked.
#[derive(Debug, Default)]
pub(crate) struct Asked(Mutex<BTreeMap<Id, Open>>);

/// A question that waits for its answer.
#[derive(Debug)]
enum Open {
    /// It is judged.
    Judged,
    /// The client has it.
    Told { action: &'static str, method: String, ran: Box<Ran>, began: At },
}

impl Asked {
    fn begin(&self, id: &Id) -> bool {
        let mut open = self.open();
        let has_place = open.len() < OPEN_MAX && !open.contains_key(id);
        if has_place {
            open.insert(id.clone(), Open::Judged);
        }
        has_place
    }

    fn open(&self) -> MutexGuard<'_, BTreeMap<Id, Open>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A server asks something. Whoever takes what comes from it does not wait for the answer.
pub(crate) fn ask(
    session: &Arc<Session>,
    (id, method, params): (Id, String, Option<&Json<'_>>),
    text: String,
    of: Option<&Id>,
) {
    let at_once = |message: String| {
        let session = Arc::clone(session);
        tokio::spawn(async move { reply(&session, message).await });
    };
    if method == "ping" {
        return at_once(answer::result(&id, "{}"));
    }
    let told = match said(&method, params) {
        Ok(told) => Said { action: name_of(&method), ..told },
        Err(error) => return at_once(call::malformed(Some(&id), &error)),
    };
    if !session.asked.begin(&id) {
        let words = Words::new(answer::LIMIT, "too many questions are open");
        return at_once(answer::error(Some(&id), &words));
    }
    let ears = session.ears(of);
    let subject = Subject { method, said: told, definition: None, bytes: Bytes::from(text) };
    let session = Arc::clone(session);
    tokio::spawn(async move {
        if let Err(words) = put(&session, &id, subject, ears).await {
            session.asked.open().remove(&id);
            reply(&session, answer::error(Some(&id), &words)).await;
        }
    });
}

/// Puts the question to the client, if it may be put.
async fn put(
    session: &Arc<Session>,
    id: &Id,
    subject: Subject,
    ears: Option<mpsc::Sender<Out>>,
) -> Result<(), Words> {
    let nobody = || Words::new(answer::NO_METHOD, "the client does not listen");
    let ears = ears.ok_or_else(nobody)?;
    let (action, method) = (subject.said.action, subject.method.clone());
    let engine = session.shared.engine.clone();
    let mut speaker = Speaker::new(Arc::clone(session), Arc::new(Flight::new(ears, None)), subject);
    // Why is nothing that the server needs to know.
    let refused = |_| Words::new(answer::NO_METHOD, "the gateway does not permit this");
    let (bytes, ran) = forward::ask(&mut speaker).await.map_err(refused)?;
    let began = engine.now();
    let open = Open::Told { action, method, ran: Box::new(ran), began };
    session.asked.open().insert(id.clone(), open);
    let text = String::from_utf8_lossy(&bytes).into_owned();
    if speaker.flight.out.send(Out::Interim(text)).await.is_ok() {
        return Ok(());
    }
    let open = session.asked.open().remove(id);
    if let Some(Open::Told { ran, .. }) = open {
        let failed = CompletionResult::Failed { code: "no-answer".into() };
        forward::complete(session, *ran, (failed, 0), began).await;
    }
    Err(nobody())
}

/// The client answers.
pub(crate) async fn answered(
    session: &Arc<Session>,
    id: &Id,
    outcome: &Outcome<'_>,
    bytes: Bytes,
) -> Result<(), Words> {
    let unasked = || Words::new(answer::INVALID, "nothing was asked under this identifier");
    let open = {
        let mut open = session.asked.open();
        match open.remove(id) {
            Some(Open::Judged) => {
                open.insert(id.clone(), Open::Judged);
                None
            }
            other => other,
        }
    };
    let Some(Open::Told { action, method, mut ran, began }) = open else { return Err(unasked()) };
    let (value, result) = match outcome {
        Outcome::Result(value) => (value, CompletionResult::Done),
        Outcome::Error(code, value) => (value, CompletionResult::Failed { code: code.to_string() }),
    };
    forward::digested(&mut ran, value);
    forward::complete(session, *ran, (result, bytes.len()), began).await;
    let inexact =
        |error: countersign_wire::mcp::json::BadJson| Words::new(answer::INVALID, error.to_string());
    let text = match value.in_lines() {
        Ok(lines) => format!("answer to {method}\n{lines}"),
        Err(error) => {
            let words = inexact(error);
            reply(session, answer::error(Some(id), &words)).await;
            return Err(words);
        }
    };
    let said = Said { action, text, ..Said::default() };
    let subject = Subject { method, said, definition: None, bytes };
    let told = call::notify(Arc::clone(session), subject).await;
    if let Err(words) = &told {
        reply(session, answer::error(Some(id), words)).await;
    }
    told
}

/// The gateway's own answer to a server.
async fn reply(session: &Session, message: String) {
    let _taken_or_gone = session.upstream.send(Bytes::from(message), None).await;
}
