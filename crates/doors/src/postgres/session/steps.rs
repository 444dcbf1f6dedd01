//! Several statements in one `Query` that are the next steps of a script (`psql -c`, migration tools).
//!
//! They run one by one, each as the step that it is: compared with what was approved, its use recorded, its rows counted
//! before the next one. For the client they are what the server makes of such a message: without transaction control in it
//! all or nothing, in a transaction of our own; with it what its own BEGIN and COMMIT say; and what comes behind one that
//! fails does not run. What is forwarded of the message is its statements, each by itself and as it was judged.
//!
//! What earlier ones of them define, nobody else sees before their end. So each is read again in its place, as the script
//! was read when it was put forward and none of that was there either. What the session knows by itself, which is less,
//! decides what may be seen of the answers.
//!
//! What not: a message of which anything is no step is held as a whole, like every other one.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use countersign_core::request::{Fate, Transaction};
use countersign_engine::{CompletionResult, NextStep};
use countersign_wire::postgres::TransactionStatus;
use countersign_wire::postgres::encode::{Report, client as to_server};
use countersign_wire::postgres::track::Sent as Kind;
use countersign_wire::sql::{TransactionStep, is_same_statement, split};

use super::super::classify::Statement;
use super::super::script::{self, Place};
use super::super::wording;
use super::action::{Action, Granted, Step};
use super::acts::ActId;
use super::bound::Bounded;
use super::sent::Show;
use super::{End, Session};
use crate::flow::{Apart, Attend as _, News};

/// The statements of a message that are steps of a script.
struct Together {
    /// Each by itself.
    texts: Vec<Bytes>,
    /// They run in a transaction of our own.
    ours: bool,
    /// The number of the first.
    first: usize,
}

/// Where in a message one of its statements stands.
#[derive(Clone, Copy)]
struct Turn {
    ours: bool,
    is_first: bool,
    is_last: bool,
}

impl Session {
    /// Runs the statements of a message as steps of a script. False: they are not that, and nothing of them was run.
    pub(super) async fn as_steps(&mut self, message: &Arc<Statement>) -> Result<bool, End> {
        let Some(Together { texts, ours, first }) = self.together(message).await? else { return Ok(false) };
        if self.batch_open {
            // Something before it may fail yet, and then the server ignores this.
            self.settle().await?;
        }
        if self.tracker.is_skipping() {
            return Ok(true);
        }
        let mut place = Place::new(self.known.clone(), self.tracker.status() != TransactionStatus::Idle);
        for (index, text) in texts.iter().enumerate() {
            let turn = Turn { ours, is_first: index == 0, is_last: index + 1 == texts.len() };
            let mut granted = match self.ask_for_step(text, place).await? {
                Some(Ok(granted)) => granted,
                None if turn.is_first => return Ok(false),
                Some(Err(report)) => return self.break_off(&turn, report).await.map(|()| true),
                None => return self.break_off(&turn, no_step(index + 1, ours)).await.map(|()| true),
            };
            let rows_max = granted.rows_max();
            let Some(step) = granted.action.step.take() else { return Ok(true) };
            if !self.run_step(granted, rows_max, &turn).await? {
                return Ok(true);
            }
            let Step { place: mut behind, read } = *step;
            behind.pass(first + index, &read.understood.facts);
            place = behind;
        }
        self.ready(self.tracker.status());
        Ok(true)
    }

    /// The statements of a message, if their texts are those that come next of a script.
    async fn together(&mut self, message: &Arc<Statement>) -> Result<Option<Together>, End> {
        let steps = self.engine.next_steps(&self.me);
        if steps.is_empty() || message.unreadable().is_some() {
            return Ok(None);
        }
        let Some(parts) = std::str::from_utf8(&message.raw).ok().and_then(split) else { return Ok(None) };
        let begins =
            |step: &&NextStep| parts.first().is_some_and(|part| is_same_statement(part, step.text()));
        let Some(begun) = steps.iter().find(begins) else { return Ok(None) };
        let Some(step) = steps.iter().find(|step| self.are_next(step, &parts)) else {
            self.tell_apart(begun, "what was sent together with it is not what follows in the script");
            return Ok(None);
        };
        let texts: Vec<Bytes> = parts.iter().map(|part| message.raw.slice_ref(part.as_bytes())).collect();
        let Some(ours) = self.are_ours(&texts).await? else {
            self.tell_apart(
                step,
                "of the statements that were sent together some are in a transaction of their own and some are not",
            );
            return Ok(None);
        };
        Ok(Some(Together { texts, ours, first: step.number() }))
    }

    fn are_next(&self, step: &NextStep, parts: &[&str]) -> bool {
        let texts = self.engine.step_texts(step, parts.len());
        texts.len() == parts.len()
            && texts.iter().zip(parts).all(|(text, part)| is_same_statement(text, part))
    }

    /// Of a script that is under way it is told as it stops.
    fn tell_apart(&mut self, step: &NextStep, why: &str) {
        if !step.is_under_way() {
            let (request, number, of) = (step.request(), step.number(), step.of());
            self.tell(News::Apart(&Apart { request, number, of, why: why.to_owned(), stopped: false }));
        }
    }

    /// Whether statements that are sent together run in a transaction of our own: they do if none is open, and none of them
    /// has anything to do with one. Nothing where only some of them run in one of the client's.
    async fn are_ours(&mut self, texts: &[Bytes]) -> Result<Option<bool>, End> {
        let mut controls = Vec::with_capacity(texts.len());
        for text in texts {
            let statement = self.statement_of(text).await?;
            controls.push(self.understand(&statement).await?.facts.transaction.clone());
        }
        let mut open = self.tracker.status() != TransactionStatus::Idle;
        if !open && controls.iter().all(Vec::is_empty) {
            return Ok(Some(true));
        }
        for control in &controls {
            let (needs, leaves) = match control.as_slice() {
                [TransactionStep::Begin] => (open, true),
                [TransactionStep::Commit | TransactionStep::Rollback] => (true, false),
                [
                    TransactionStep::Savepoint(_)
                    | TransactionStep::Release(_)
                    | TransactionStep::RollbackTo(_),
                ]
                | [] => (true, true),
                _ => return Ok(None),
            };
            if needs != open {
                return Ok(None);
            }
            open = leaves;
        }
        Ok(Some(false))
    }

    async fn statement_of(&mut self, text: &Bytes) -> Result<Arc<Statement>, End> {
        self.ascertain().await?;
        Ok(Arc::new(Statement::new(text.clone(), Vec::new(), self.known.shared_session())))
    }

    /// Asks for one of them as the next step. Nothing: it is not that any more.
    async fn ask_for_step(
        &mut self,
        text: &Bytes,
        place: Place,
    ) -> Result<Option<Result<Granted, Report>>, End> {
        let statement = self.statement_of(text).await?;
        let understood = self.understand(&statement).await?;
        let (target, shared) = (Arc::clone(&self.target), Arc::clone(&self.shared));
        let read = self.drive(Box::pin(script::again(&shared, &target, text, &place))).await?;
        let mut message = BytesMut::new();
        if to_server::query(&mut message, text).is_err() {
            return Ok(None);
        }
        let action = Action::new(&statement, understood, message.freeze());
        self.permit_step(action.of_step(Step { place, read })).await
    }

    /// Runs one of them. False: what comes behind it does not run, and the client was told all of it.
    async fn run_step(&mut self, granted: Granted, rows_max: Option<u64>, turn: &Turn) -> Result<bool, End> {
        let (raw, understood, statement) =
            (granted.bytes.clone(), granted.understood(), granted.action.statement());
        let act = self.begin(granted);
        if turn.ours && turn.is_first && !self.open_ours(act).await? {
            return Ok(false);
        }
        self.forward(Kind::Query, &raw, Self::of_act(act, false, Show::Capture)).await?;
        self.batch_open = false;
        self.take_data(act).await?;
        let captured = std::mem::take(&mut self.captured);
        let stands = match captured.stands(rows_max) {
            Bounded::Within if turn.ours && turn.is_last => self.commit_ours(act, &captured.bytes).await?,
            Bounded::Within => {
                self.append(&captured.bytes);
                self.end(act, CompletionResult::Done);
                true
            }
            Bounded::Failed => {
                if turn.ours {
                    self.undo_ours().await?;
                }
                self.append(&captured.bytes);
                self.ready(self.tracker.status());
                false
            }
            Bounded::Beyond(report, rows) => {
                self.end(act, CompletionResult::BeyondBound { rows });
                self.break_off(&Turn { is_first: false, ..*turn }, report).await?;
                false
            }
        };
        self.remember_names(&statement, &understood.facts, act).await?;
        Ok(stands)
    }

    /// Opens a transaction of our own for an action and what comes behind it.
    async fn open_ours(&mut self, act: ActId) -> Result<bool, End> {
        let Some(error) = self.own_query(b"BEGIN").await?.error else { return Ok(true) };
        self.append(&error.raw);
        self.end(act, CompletionResult::Failed { code: error.code });
        self.ready(self.tracker.status());
        Ok(false)
    }

    /// Commits it behind the last action, whose end the client sees with that.
    async fn commit_ours(&mut self, act: ActId, end: &[u8]) -> Result<bool, End> {
        self.transactions.ends(Fate::Committed);
        self.committing = true;
        let committed = self.own_query(b"COMMIT").await?;
        self.committing = false;
        if let Some(error) = committed.error {
            self.append(&error.raw);
            self.end(act, CompletionResult::Failed { code: error.code });
            self.ready(self.tracker.status());
            return Ok(false);
        }
        self.append(end);
        self.acts.stands(act, Transaction::Over(Fate::Committed));
        let now = self.now();
        self.acts.end(act, CompletionResult::Done, now);
        Ok(true)
    }

    async fn undo_ours(&mut self) -> Result<(), End> {
        self.transactions.ends(Fate::RolledBack);
        self.own_query(b"ROLLBACK").await.map(drop)
    }

    /// Says why one of them does not run, or does not stand, and with that none of those behind it.
    async fn break_off(&mut self, turn: &Turn, report: Report) -> Result<(), End> {
        if !turn.ours || turn.is_first {
            return self.refuse(report, true).await;
        }
        self.undo_ours().await?;
        self.say(&report);
        self.ready(self.tracker.status());
        Ok(())
    }
}

/// One of them, counted from one, is not the step that comes next when its turn comes.
fn no_step(number: usize, ours: bool) -> Report {
    let message = format!(
        "statement {number} of those that were sent together is no longer the next step of its script"
    );
    let undone = "what ran of them was rolled back";
    let detail = if ours { undone } else { "the transaction in which they ran is aborted" };
    wording::error(wording::NOT_PERMITTED, message)
        .detail(detail)
        .hint("put forward what is left of the script, or send it statement by statement")
}
