//! Row bounds: an approved write touches at most the rows that were approved, or nothing.
//!
//! How many it touched is known only when it has run, so it must be possible to undo it. In the extended protocol and inside a
//! client's own transaction it is: nothing is committed before the client says so, and a stand-in that fails aborts the
//! transaction first. An autocommitted `Query` is run inside a transaction of our own, unseen by the client: its answer's
//! end is kept back until the commit has succeeded.

use bytes::{Bytes, BytesMut};
use countersign_core::request::{Fate, Transaction};
use countersign_engine::CompletionResult;
use countersign_wire::postgres::TransactionStatus;
use countersign_wire::postgres::encode::Report;
use countersign_wire::postgres::encode::server as to_client;
use countersign_wire::postgres::track::Sent as Kind;

use super::super::wording;
use super::acts::ActId;
use super::sent::Show;
use super::{End, Session};

/// The end of an answer, kept back.
#[derive(Debug, Default)]
pub(super) struct Captured {
    /// The messages.
    pub(super) bytes: BytesMut,
    /// How many rows the command says it touched.
    pub(super) rows: Option<u64>,
    /// It was an error.
    pub(super) failed: bool,
}

/// How a bounded write ended.
pub(super) enum Bounded {
    Within,
    Beyond(Report, u64),
    Failed,
}

impl Session {
    /// Extended protocol: waits for the end of what was just sent, and lets it stand or fails the batch.
    pub(super) async fn keep_bound(&mut self, act: ActId, rows_max: u64) -> Result<(), End> {
        self.take_data(act).await?;
        let captured = std::mem::take(&mut self.captured);
        match captured.judge(rows_max) {
            Bounded::Within => {
                self.append(&captured.bytes);
                self.end(act, CompletionResult::Done);
                Ok(())
            }
            Bounded::Failed => {
                self.append(&captured.bytes);
                Ok(())
            }
            Bounded::Beyond(report, rows) => {
                self.end(act, CompletionResult::BeyondBound { rows });
                self.refuse(report, false).await
            }
        }
    }

    /// A `Query` inside the client's own transaction.
    pub(super) async fn run_bounded_inside(
        &mut self,
        act: ActId,
        raw: &Bytes,
        rows_max: u64,
    ) -> Result<(), End> {
        self.forward(Kind::Query, raw, Self::of_act(act, false, Show::Capture)).await?;
        self.batch_open = false;
        self.take_data(act).await?;
        let captured = std::mem::take(&mut self.captured);
        match captured.judge(rows_max) {
            Bounded::Within | Bounded::Failed => {
                self.append(&captured.bytes);
                self.end(act, CompletionResult::Done);
                self.ready(self.tracker.status());
                Ok(())
            }
            Bounded::Beyond(report, rows) => {
                self.end(act, CompletionResult::BeyondBound { rows });
                self.refuse(report, true).await
            }
        }
    }

    /// An autocommitted `Query`, in a transaction of our own.
    pub(super) async fn run_bounded(&mut self, act: ActId, raw: &Bytes, rows_max: u64) -> Result<(), End> {
        let begun = self.own_query(b"BEGIN").await?;
        if let Some(error) = begun.error {
            self.append(&error.raw);
            self.end(act, CompletionResult::Failed { code: error.code });
            self.ready(self.tracker.status());
            return Ok(());
        }
        self.forward(Kind::Query, raw, Self::of_act(act, false, Show::Capture)).await?;
        self.batch_open = false;
        self.take_data(act).await?;
        let captured = std::mem::take(&mut self.captured);
        match captured.judge(rows_max) {
            Bounded::Within => {
                self.committing = true;
                let committed = self.own_query(b"COMMIT").await?;
                self.committing = false;
                match committed.error {
                    Some(error) => {
                        self.append(&error.raw);
                        self.end(act, CompletionResult::Failed { code: error.code });
                    }
                    None => {
                        self.append(&captured.bytes);
                        self.acts.stands(act, Transaction::Over(Fate::Committed));
                        let now = self.now();
                        self.acts.end(act, CompletionResult::Done, now);
                    }
                }
            }
            Bounded::Failed => {
                self.own_query(b"ROLLBACK").await?;
                self.append(&captured.bytes);
            }
            Bounded::Beyond(report, rows) => {
                self.own_query(b"ROLLBACK").await?;
                self.end(act, CompletionResult::BeyondBound { rows });
                self.say(&report);
            }
        }
        self.ready(self.tracker.status());
        Ok(())
    }

    /// Says that the server is ready, where its own word was not passed on.
    pub(super) fn ready(&mut self, status: TransactionStatus) {
        let mut ready = BytesMut::new();
        to_client::ready_for_query(&mut ready, status);
        self.append(&ready);
    }

    /// It has ended, as what became of it tells.
    pub(super) fn end(&mut self, act: ActId, result: CompletionResult) {
        let now = self.now();
        if result == CompletionResult::Done {
            self.transactions.done(act, None, &mut self.acts);
        }
        self.acts.end(act, result, now);
    }
}

impl Captured {
    /// Whether it stands, where nothing bounds its rows or this does.
    pub(super) fn stands(&self, rows_max: Option<u64>) -> Bounded {
        match rows_max {
            Some(rows_max) => self.judge(rows_max),
            None if self.failed => Bounded::Failed,
            None => Bounded::Within,
        }
    }

    fn judge(&self, rows_max: u64) -> Bounded {
        if self.failed {
            return Bounded::Failed;
        }
        match self.rows {
            Some(rows) if rows <= rows_max => Bounded::Within,
            Some(rows) => Bounded::Beyond(beyond(rows, rows_max), rows),
            // It ran, perhaps to its end, but nobody said how far: with a row limit the server tells only at the end.
            None => Bounded::Beyond(untold(rows_max), 0),
        }
    }
}

fn beyond(rows: u64, rows_max: u64) -> Report {
    let message =
        format!("it would have touched {rows} rows, but {rows_max} were approved; it was rolled back");
    wording::error(wording::NOT_PERMITTED, message).hint("the data has changed since it was shown; ask again")
}

fn untold(rows_max: u64) -> Report {
    let message =
        format!("at most {rows_max} rows were approved, but the server did not tell how many were touched");
    wording::error(wording::NOT_PERMITTED, message)
        .detail("it was rolled back")
        .hint("fetch all rows of an approved write at once, without a row limit")
}
