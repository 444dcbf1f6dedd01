//! Recording: what was judged becomes a line, and how it ended another.

use std::sync::Arc;

use countersign_core::Command;
use countersign_core::request::{Command as RequestCommand, Fate};

use super::attempt::{Attempt, Completion, SessionRefused};
use super::capture::{DIGEST_AT, RESULT_AT};
use super::proof::{Denied, Forward, Judged, Pending, Ran, Recorded, Unrecorded, Used};
use crate::engine::Engine;
use crate::line::{Outcome, Refusing, Sealed, Topic};
use crate::seal::Field;
use crate::settings::{CLIENT_BYTES_MAX, WORDS_BYTES_MAX};
use crate::words::{Refused, cut};
use crate::writer::entry::Entry;
use crate::writer::work::{Body, Deed, Ended, FIRST, From, Note, Say, StatementWork, Work};

impl Engine {
    /// Records an action before it is forwarded. It is durable when this returns.
    ///
    /// # Errors
    /// It must not be forwarded; after [`Unrecorded::Stale`] it may be judged again.
    pub async fn record(&self, judged: Judged) -> Result<Recorded, Unrecorded> {
        let (work, bytes, ran) = allow(judged, FIRST, true);
        self.0.queue.done(work).await?;
        Ok(Recorded { bytes, ran })
    }

    /// Hands out a provable read to be forwarded at once, and its record, which is on its way. Waits only while the
    /// writer's queue is full.
    ///
    /// # Errors
    /// [`Unrecorded::NotARead`] for anything else; [`Unrecorded::Unavailable`].
    pub async fn record_read(&self, judged: Judged) -> Result<(Forward, Pending), Unrecorded> {
        if !judged.attempt.provable_read {
            return Err(Unrecorded::NotARead(Box::new(judged)));
        }
        if judged.allowed.alongside {
            let (work, bytes, ran) = allow(judged, "alongside", false);
            self.0.queue.send_alongside(work).await?;
            return Ok((Forward { bytes }, Pending { ran, answering: None }));
        }
        let (work, bytes, ran) = allow(judged, "release", true);
        let answering = self.0.queue.send(work).await?;
        Ok((Forward { bytes }, Pending { ran, answering: Some(answering) }))
    }

    /// Records that an action was denied; gives the words for the client.
    ///
    /// # Errors
    /// It could not be recorded. It is denied all the same.
    pub async fn denied(&self, denied: Denied) -> Result<Refused, Unrecorded> {
        let Denied { statement, attempt, policies, at, why: _, refused } = denied;
        let say = Say::Blocked { body: body(attempt), reason: refused.message.clone() };
        let work = StatementWork { statement, at, policies: Some(policies), say };
        self.0.queue.done(Work::Statement(Box::new(work))).await?;
        Ok(refused)
    }

    /// Records how an action ended. In order; waits only while the writer's queue is full, and is never dropped. What was
    /// done before its line was written is told in that line.
    pub async fn completed(&self, mut ran: Ran, outcome: Completion) {
        ran.statement.ended(&outcome, ran.tool.as_deref());
        let kept = self.kept_result(&mut ran);
        let of = |at| kept.as_ref().filter(|kept| kept.field.at == at).map(|kept| kept.field.commitment());
        let (result, digest) = (of(RESULT_AT), of(DIGEST_AT));
        let took = crate::line::Ran { data: ran.data, kept: result, digest, ..outcome.ended().ran };
        let work = match ran.request() {
            Some(request) => {
                let (transaction, outcome) = (outcome.transaction, outcome.outcome());
                let settle = RequestCommand::Settle { request, outcome, transaction };
                let mut deed = Deed::new(Command::Request(settle), From::HOUSE);
                deed.ran = Some(took);
                deed.spent = Some(ran.statement);
                if let Some(kept) = kept {
                    (deed.key, deed.fields) = (kept.key, vec![kept.field]);
                }
                Work::Deed(Box::new(deed))
            }
            None => {
                // What is kept is kept beside a line of its own.
                let ended = match kept {
                    Some(_) => Ended { ran: took, ..outcome.ended() },
                    None => match ran.entry.tell(outcome.ended()) {
                        Some(ended) => ended,
                        None => return,
                    },
                };
                let say = Say::Completed { of: ran.entry, ended, kept };
                let (statement, at) = (ran.statement, self.now());
                Work::Statement(Box::new(StatementWork { statement, at, policies: None, say }))
            }
        };
        if self.0.queue.send_alongside(work).await.is_err() {
            tracing::warn!("the outcome of an action came after the ledger was closed");
        }
    }

    /// The line that records an action has told how it ended ([`super::Telling`]), so nothing more is written.
    pub fn completed_within(&self, ran: &Ran, outcome: &Completion) {
        ran.statement.ended(outcome, ran.tool.as_deref());
    }

    /// Records what became of the transaction in which a receipt was used: of this use, and of all later ones of the same
    /// request and session that were said to be open. Behind [`Engine::completed`], in order, and never dropped.
    pub async fn concluded(&self, used: Used, fate: Fate) {
        let Used { request, session, number: from } = used;
        let conclude = RequestCommand::Conclude { request, session, from, fate };
        let deed = Deed::new(Command::Request(conclude), From::HOUSE);
        if self.0.queue.send_alongside(Work::Deed(Box::new(deed))).await.is_err() {
            tracing::warn!("the end of a transaction came after the ledger was closed");
        }
    }

    /// Records that somebody was turned away before there was a session. At most so many a minute from one address
    /// (see [`crate::Settings::refusals_a_minute`]); the rest is counted.
    pub async fn refused(&self, refusal: SessionRefused) {
        let Some(unwritten) = self.0.noise.admit(Some(refusal.client.address.ip()), self.now()) else {
            return;
        };
        let principal = self.known(&refusal.user);
        let content = serde_json::json!({
            "address": refusal.client.address.to_string(),
            "application": cut(&refusal.client.application, CLIENT_BYTES_MAX),
            "tls": refusal.client.tls,
            "user": cut(&refusal.user, CLIENT_BYTES_MAX),
            "why": cut(&refusal.why, WORDS_BYTES_MAX),
        });
        let field = Field::new(
            &self.0.house.ports,
            "/data/content",
            "session.refusal",
            content.to_string().into_bytes(),
        );
        let topic =
            Topic::Refusing(Refusing { action: None, content: Sealed(field.commitment()), unwritten });
        let mut note = Note::new("session.refused", topic).failed();
        note.line.subject = principal;
        note.line.resource = refusal.resource;
        note.line.outcome = Outcome::Failure;
        note.fields = vec![field];
        if self.0.queue.done(Work::Note(Box::new(note))).await.is_err() {
            tracing::warn!("a refused connection could not be recorded");
        }
    }
}

/// The work that records an allowed action, its bytes, and the proof that is handed out when it is recorded.
fn allow(judged: Judged, recorded: &'static str, claims: bool) -> (Work, bytes::Bytes, Ran) {
    let Judged { statement, attempt, allowed, at } = judged;
    statement.ran(&attempt.context, attempt.tool());
    let tool = attempt.tool().map(Into::into);
    let entry = Arc::new(Entry::default());
    let bytes = attempt.bytes.clone();
    let say = Say::Allowed { body: body(attempt), recorded, claims, entry: Arc::clone(&entry) };
    let ran = Ran {
        statement: Arc::clone(&statement),
        entry,
        used: None,
        bounds: None,
        salt: None,
        data: None,
        result: None,
        tool,
    };
    let work =
        Work::Statement(Box::new(StatementWork { statement, at, policies: Some(allowed.policies), say }));
    (work, bytes, ran)
}

fn body(attempt: Attempt) -> Body {
    let parameters = (!attempt.parameters.is_empty()).then(|| attempt.parameters_json().into());
    Body { action: attempt.kind, verbs: attempt.verbs, text: attempt.text, parameters }
}
