//! Passing a message on that may be passed on, and its answer back: within the limits of its role, shown as policy has it,
//! and with its outcome recorded.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use countersign_core::session::Ending;
use countersign_core::{At, Digest};
use countersign_engine::{Completion, CompletionResult, PreviewVerdict, Ran, Unrecorded};
use countersign_wire::mcp::{Id, Json, Message, Outcome, REVISIONS, Said, listing, one_line};
use sha2::{Digest as _, Sha256};

use super::answer::{self, Words};
use super::attempt::Subject;
use super::line::Flight;
use super::session::Session;
use super::tongue::Speaker;
use crate::flow::{self, Leave, No};

/// How long a server may take to answer where its role says nothing, in seconds.
const ANSWER_S_MAX: u64 = 30 * 60;

/// Why there is no answer to be passed on.
enum Unanswered {
    /// The session is over.
    Over(Ending),
    /// The client wants it no longer.
    Cancelled,
    /// It takes longer than the role lets it.
    Slow,
    /// The server could not be reached, or failed.
    Failed(String),
}

/// How often something is asked for because policy, grant or session moved before its record: a read is recorded behind the
/// answer of the flow.
const ASKED_MAX: u32 = 4;

/// Asks whether a message may be passed on, waits for whoever must be asked, and has it recorded.
///
/// # Errors
/// What to answer instead.
pub(crate) async fn ask(speaker: &mut Speaker) -> Result<(Bytes, Ran), Words> {
    let session = Arc::clone(&speaker.session);
    let engine = &session.shared.engine;
    let attempt = |speaker: &Speaker| speaker.subject.attempt(&speaker.session);
    for _ in 0..ASKED_MAX {
        let pending = match Box::pin(flow::decide(engine, &session.engine, speaker, attempt)).await {
            Ok(Ok(Leave::Recorded(bytes, ran))) => return Ok((bytes, ran)),
            Ok(Ok(Leave::Read(bytes, pending))) => (bytes, pending),
            Ok(Err(no)) => return Err(Words::from(&no)),
            Err(lost) => return Err(lost.into()),
        };
        match pending.1.durable().await {
            Ok(ran) => return Ok((pending.0, ran)),
            Err(Unrecorded::Stale) => {}
            Err(error) => return Err(Words::new(answer::DENIED, error.to_string())),
        }
    }
    Err(Words::from(&No::Restless))
}

/// Forwards a request, and gives what the client is answered.
pub(crate) async fn forward(speaker: &mut Speaker, id: &Id, (bytes, mut ran): (Bytes, Ran)) -> String {
    let (session, method) = (Arc::clone(&speaker.session), speaker.subject.method.clone());
    let no = |words: &Words| answer::no(id, &method, words);
    let began = session.shared.engine.now();
    let limit = ran.limits().time.and_then(|time| u64::try_from(time.0).ok()).map(Duration::from_micros);
    let limit = limit.unwrap_or(Duration::from_secs(ANSWER_S_MAX));
    let answered = exchange(&session, (id, &speaker.flight), bytes, limit).await;
    let (text, result, size) = match answered {
        Ok(answer) => {
            if let Ok(Message::Response {
                outcome: Outcome::Result(given) | Outcome::Error(_, given), ..
            }) = Message::read(&answer)
            {
                digested(&mut ran, &given);
            }
            let (told, result) = take(&session, (id, &method), &answer, ran.limits().bytes);
            (session.shown(told.as_bytes()), result, answer.len())
        }
        Err(why) => {
            let (words, result) = why.told();
            (no(&words), result, 0)
        }
    };
    complete(&session, ran, (result, size), began).await;
    text
}

/// Forwards what has no answer.
pub(crate) async fn tell(session: &Session, (bytes, ran): (Bytes, Ran)) -> Result<(), Words> {
    let began = session.shared.engine.now();
    let sent = session.upstream.send(bytes, None).await;
    let result = if sent.is_ok() { CompletionResult::Done } else { CompletionResult::Unknown };
    complete(session, ran, (result, 0), began).await;
    sent.map_err(|error| Words::new(answer::NO_SERVER, error.to_string()))
}

/// Records how something ended.
pub(crate) async fn complete(session: &Session, ran: Ran, ended: (CompletionResult, usize), began: At) {
    let (result, bytes) = ended;
    let engine = &session.shared.engine;
    let micros = u64::try_from(engine.now().since(began).0).unwrap_or(0);
    let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
    let completion = Completion { result, rows: None, bytes, micros, transaction: None };
    engine.completed(ran, completion).await;
}

async fn exchange(
    session: &Session,
    (id, flight): (&Id, &Flight),
    bytes: Bytes,
    limit: Duration,
) -> Result<Vec<u8>, Unanswered> {
    let answer = flight.expect();
    flight.is_sent.store(true, Ordering::Relaxed);
    let sent = session.upstream.send(bytes, Some(id.clone())).await;
    sent.map_err(|error| Unanswered::Failed(error.to_string()))?;
    let ended = tokio::select! {
        biased;
        answer = answer => match answer {
            Ok(answer) => return answer.map_err(Unanswered::Failed),
            Err(_) => Unanswered::Failed("the server will not answer".into()),
        },
        () = session.over.cancelled() => Unanswered::Over(session.ending()),
        () = flight.cancelled.cancelled() => Unanswered::Cancelled,
        () = tokio::time::sleep(limit) => Unanswered::Slow,
    };
    let is_told = match ended {
        Unanswered::Failed(_) => true,
        // The client tells it, and what a client tells is passed on; not in a session that is paused.
        Unanswered::Cancelled => !session.shared.engine.is_paused(&session.engine),
        Unanswered::Over(_) | Unanswered::Slow => false,
    };
    if !is_told {
        // What the client does not hear of any more should not go on.
        let params = format!("{{\"requestId\":{}}}", id.json());
        let cancel =
            format!("{{\"jsonrpc\":\"2.0\",\"method\":\"notifications/cancelled\",\"params\":{params}}}");
        let _taken_or_not = session.upstream.send(Bytes::from(cancel), None).await;
    }
    Err(ended)
}

impl Unanswered {
    fn told(&self) -> (Words, CompletionResult) {
        let failed = |code: &str| CompletionResult::Failed { code: code.to_owned() };
        match self {
            Self::Over(ending) => (answer::over(*ending), CompletionResult::Unknown),
            Self::Cancelled => {
                (Words::new(answer::DENIED, "cancelled by its client"), CompletionResult::Unknown)
            }
            Self::Slow => (
                Words::new(answer::LIMIT, "the server takes longer than your role lets it")
                    .hint("what it was asked may be done all the same; look before you send it again"),
                CompletionResult::Unknown,
            ),
            Self::Failed(why) => (Words::new(answer::NO_SERVER, why.clone()), failed("no-answer")),
        }
    }
}

/// Tells the digest of what was answered: of a result, or an error, as it is written.
pub(crate) fn digested(ran: &mut Ran, given: &Json<'_>) {
    let digest = Digest(Sha256::digest(given.raw.as_bytes()).into());
    ran.has_digest(digest, u64::try_from(given.raw.len()).unwrap_or(u64::MAX));
}

/// Takes a server's answer: what the client is told, and how it ended.
fn take(
    session: &Session,
    (id, method): (&Id, &str),
    answer: &[u8],
    bytes_max: Option<u64>,
) -> (String, CompletionResult) {
    let failed = |code: String| CompletionResult::Failed { code };
    let size = answer.len();
    match Message::read(answer) {
        Err(error) => {
            let words = Words::new(answer::NO_SERVER, format!("the server's answer can't be read: {error}"));
            (answer::no(id, method, &words), CompletionResult::Unknown)
        }
        Ok(_) if bytes_max.is_some_and(|most| u64::try_from(size).is_ok_and(|size| size > most)) => {
            let words = Words::new(
                answer::LIMIT,
                format!("the answer has {size} bytes, more than your role lets it"),
            )
            .hint("it was done; ask for less of it at a time");
            (answer::no(id, method, &words), CompletionResult::Done)
        }
        Ok(Message::Response { outcome: Outcome::Error(code, _), .. }) => {
            (one_line(answer), failed(code.to_string()))
        }
        Ok(Message::Response { outcome: Outcome::Result(result), .. }) => {
            let is_failed = method == "tools/call" && result.get("isError").is_some_and(Json::is_true);
            let ended = if is_failed { failed("tool".into()) } else { CompletionResult::Done };
            match shown(session, (id, method), &result) {
                Ok(Some(told)) => (told, ended),
                Ok(None) => (one_line(answer), ended),
                Err(words) => (answer::no(id, method, &words), failed("revision".into())),
            }
        }
        Ok(_) => {
            let words = Words::new(answer::NO_SERVER, "the server answered with something else");
            (answer::no(id, method, &words), CompletionResult::Unknown)
        }
    }
}

/// What is shown of a result, where that is not all of it.
fn shown(session: &Session, (id, method): (&Id, &str), result: &Json<'_>) -> Result<Option<String>, Words> {
    if method == "initialize" {
        return welcome(session, result).map(|told| Some(answer::result(id, &told)));
    }
    let Some(list) = listing(method, result) else { return Ok(None) };
    let shown = list.only(|name, item| may_see(session, method, name, item));
    Ok(Some(answer::result(id, &shown)))
}

/// Whether policy lets the client see an entry of a list.
fn may_see(session: &Session, method: &str, name: &str, item: &Json<'_>) -> bool {
    let mut said = Said { action: "mcp.list", text: method.to_owned(), ..Said::default() };
    let slot = match method {
        "tools/list" => &mut said.tool,
        "prompts/list" => &mut said.prompt,
        _ => &mut said.uri,
    };
    name.clone_into(slot);
    let subject = Subject { method: method.to_owned(), said, definition: None, bytes: Bytes::new() };
    let mut attempt = subject.attempt(session);
    if method == "tools/list" {
        let claims = countersign_wire::mcp::claims_of(item).into_iter().map(str::to_owned).collect();
        let mut context = (*attempt.context).clone();
        context.insert("claims", countersign_core::question::Value::Texts(claims));
        attempt.context = Arc::new(context);
    }
    session.shared.engine.foretell(&session.engine, attempt) == PreviewVerdict::Allow
}

/// What the server may do, of that which is understood here; the revision and the server's name are remembered.
fn welcome(session: &Session, result: &Json<'_>) -> Result<String, Words> {
    let revision = result.get("protocolVersion").and_then(Json::text).unwrap_or_default();
    let Some(known) = REVISIONS.iter().find(|known| **known == revision) else {
        let revision: String = revision.chars().take(32).collect();
        let message =
            format!("the server speaks revision `{revision}` of the protocol, which is not known here");
        return Err(Words::new(answer::NO_SERVER, message)
            .hint(format!("what is known is {}", REVISIONS.join(" and "))));
    };
    if session.revision.get_or_init(|| known) != known {
        let message =
            format!("the server speaks revision `{known}`, and another was agreed on with this client");
        return Err(Words::new(answer::NO_SERVER, message).hint("begin a new session"));
    }
    session.upstream.speaks(known);
    let text =
        |name: &str| result.get("serverInfo").and_then(|info| info.get(name)?.text().map(str::to_owned));
    let server = format!("{} {}", text("name").unwrap_or_default(), text("version").unwrap_or_default());
    let _first = session.server.set(server.trim().chars().take(256).collect());
    let capabilities = result.get("capabilities").and_then(Json::members).unwrap_or_default();
    let known = ["tools", "prompts", "resources", "logging", "completions"];
    let kept = capabilities.iter().filter(|(name, _)| known.contains(&&**name));
    let kept: Vec<String> = kept.map(|(name, value)| format!("\"{name}\":{}", value.raw)).collect();
    let mut told = format!("{{\"capabilities\":{{{}}}", kept.join(","));
    let others = ["protocolVersion", "serverInfo", "instructions"];
    for (name, value) in result.members().unwrap_or_default() {
        if others.contains(&&**name) {
            told.push_str(&format!(",\"{name}\":{}", value.raw));
        }
    }
    told.push('}');
    Ok(told.replace(['\r', '\n'], " "))
}
