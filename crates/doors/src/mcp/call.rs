//! A message of a client's, from its bytes to its answer.

use std::sync::Arc;

use bytes::Bytes;
use countersign_engine::{Judgement, Refused};
use countersign_wire::mcp::{Id, Json, Malformed, Said, misfit, said};

use super::answer::{self, Words};
use super::attempt::Subject;
use super::forward;
use super::line::{Flight, Out};
use super::session::Session;
use super::tongue::Speaker;
use crate::flow::{self, Attended, No};

/// A request as it came.
pub(crate) struct Request<'a> {
    pub(crate) id: Id,
    pub(crate) method: String,
    pub(crate) params: Option<Json<'a>>,
    /// What will be forwarded.
    pub(crate) bytes: Bytes,
}

/// A request that was understood and has begun.
pub(crate) struct Begun {
    pub(crate) id: Id,
    pub(crate) speaker: Speaker,
    /// What a tool is called with, as it is written.
    arguments: Option<String>,
}

impl Request<'_> {
    /// Begins it.
    ///
    /// # Errors
    /// Why it can't begin, as the client's answer.
    pub(crate) fn begin(
        self,
        session: &Arc<Session>,
        out: tokio::sync::mpsc::Sender<Out>,
    ) -> Result<Begun, String> {
        let Self { id, method, params, bytes } = self;
        let told = match said(&method, params.as_ref()) {
            Ok(told) => told,
            Err(error) => return Err(malformed(Some(&id), &error)),
        };
        let flight = Arc::new(Flight::new(out, told.progress.clone()));
        if let Err(error) = session.begin(&id, &flight) {
            return Err(answer::error(Some(&id), &Words::new(answer::INVALID, error.to_string())));
        }
        let arguments = params.as_ref().and_then(|params| params.get("arguments"));
        let arguments = arguments.map(|arguments| arguments.raw.to_owned());
        let subject = Subject { method, said: told, definition: None, bytes };
        let speaker = Speaker::new(Arc::clone(session), flight, subject);
        Ok(Begun { id, speaker, arguments })
    }
}

impl Begun {
    /// Asks for it, waits for whoever must be asked, passes it on, and gives the answer.
    pub(crate) async fn run(mut self) -> String {
        let answered = self.answer().await;
        self.speaker.session.done(&self.id);
        answered
    }

    async fn answer(&mut self) -> String {
        let method = self.speaker.subject.method.clone();
        let no = |id: &Id, words: &Words| answer::no(id, &method, words);
        let session = Arc::clone(&self.speaker.session);
        let engine = session.shared.engine.clone();
        if method == "tools/call" {
            // The server is not asked about its tools either.
            match flow::while_paused(&engine, &session.engine, &mut self.speaker).await {
                Ok(Attended::Done(())) => {}
                Ok(Attended::Cancelled) => return no(&self.id, &Words::from(&No::Cancelled)),
                Err(lost) => return no(&self.id, &Words::from(lost)),
            }
            if let Err(words) = self.understand().await {
                return no(&self.id, &words);
            }
        }
        match forward::ask(&mut self.speaker).await {
            Ok(recorded) => forward::forward(&mut self.speaker, &self.id, recorded).await,
            Err(words) => no(&self.id, &words),
        }
    }

    /// Looks at what the server says of the tool. A tool that it does not have, or arguments that it can't take, are not
    /// sent; that somebody tried is recorded, as what is not known.
    async fn understand(&mut self) -> Result<(), Words> {
        let subject = &mut self.speaker.subject;
        let found = self.speaker.session.tool(&subject.said.tool).await;
        let found = found
            .map_err(|error| Words::new(answer::DENIED, error.to_string()).hint("try again in a moment"))?;
        let arguments = self.arguments.take().unwrap_or_else(|| "{}".into());
        let why = match &found {
            None => Some(format!("the server has no tool `{}`", subject.said.tool)),
            Some(tool) => misfit_of(&tool.schema, &arguments),
        };
        subject.definition = found;
        let Some(why) = why else { return Ok(()) };
        let unknown = Said { action: "mcp.unknown", ..subject.said.clone() };
        let unfit = Subject { said: unknown, ..subject.clone() };
        let session = Arc::clone(&self.speaker.session);
        let engine = &session.shared.engine;
        let judged = loop {
            match engine.judge(&session.engine, unfit.attempt(&session)) {
                Judgement::Paused => {
                    match flow::while_paused(engine, &session.engine, &mut self.speaker).await {
                        Ok(Attended::Done(())) => {}
                        Ok(Attended::Cancelled) => return Err(Words::from(&No::Cancelled)),
                        Err(lost) => return Err(lost.into()),
                    }
                }
                other => break other,
            }
        };
        if let Judgement::Deny(denied) = judged
            && let Err(error) = engine.denied(denied).await
        {
            tracing::warn!(%error, "a call that does not fit could not be recorded");
        }
        Err(Words::new(answer::INVALID, why)
            .hint("look at the list of tools; nothing was sent to the server"))
    }
}

fn misfit_of(schema: &str, arguments: &str) -> Option<String> {
    let arguments = countersign_wire::mcp::json::read(arguments.as_bytes()).ok()?;
    misfit(schema, Some(&arguments))
}

/// Something that a client tells, passed on if it may be. Nobody waits for an answer; a yes of somebody's is waited for
/// all the same.
pub(crate) async fn notify(session: Arc<Session>, subject: Subject) -> Result<(), Words> {
    let (out, _open) = tokio::sync::mpsc::channel(1);
    let flight = Arc::new(Flight::new(out, None));
    if session.shared.engine.is_paused(&session.engine) && subject.method.starts_with("notifications/") {
        // Nothing is kept for later that nobody waits for; what is to be stopped was stopped.
        return match subject.method.as_str() {
            "notifications/cancelled" => Ok(()),
            _ => Err(Words::new(answer::DENIED, "this session is paused")
                .hint("tell it again when the session goes on")),
        };
    }
    let mut speaker = Speaker::new(Arc::clone(&session), flight, subject);
    let recorded = forward::ask(&mut speaker).await?;
    forward::tell(&session, recorded).await
}

/// That a message can't be understood.
pub(crate) fn malformed(id: Option<&Id>, error: &Malformed) -> String {
    answer::error(id, &Words::new(error.code(), error.to_string()))
}

/// That the engine said no before there was a session.
pub(crate) fn refused(id: &Id, refused: &Refused) -> String {
    answer::error(Some(id), &Words::from(refused))
}
