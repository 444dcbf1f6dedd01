//! One run: the statements of a text, each by itself, up to the first that fails.
//!
//! Each is parsed, bound and executed with a limit of rows by the extended protocol, so that a result ends where the browser
//! has enough, without being cancelled; what was written stands all the same. Statements are told apart as for a script
//! ([`countersign_wire::sql::split`]); a text that can't be taken apart is sent whole, and the server says what is wrong.

use bytes::Bytes;
use countersign_core::RequestId;
use countersign_core::request::Ask;
use countersign_engine::workbench::{Column, Order, ROWS_MAX, Rows, Said, Told, Transaction};
use countersign_wire::postgres::backend::{Body, Message};
use countersign_wire::postgres::encode::client::{self, Binding};
use countersign_wire::postgres::{
    ColumnNames, ErrorFields, Limits, Phase, Target, TransactionStatus, Values,
};
use countersign_wire::sql;
use tokio::sync::{mpsc, watch};

use super::line::{MESSAGE_BYTES_MAX, Next, cut, said, words};
use super::{Bench, Over, left};
use crate::postgres::wording;

/// The longest value that is shown, in bytes.
const VALUE_BYTES_MAX: usize = 64 << 10;
/// The most that one statement's result may be, in bytes.
const RESULT_BYTES_MAX: usize = 64 << 20;
/// So many rows are told at once,
const BATCH_ROWS: usize = 500;
/// or so many bytes.
const BATCH_BYTES: usize = 256 << 10;
/// How many messages of one run are told that change nothing.
const NOTICES_MAX: usize = 1_000;

/// One run.
pub(super) struct Run<'a> {
    told: mpsc::Sender<Told>,
    rows_max: u32,
    orders: &'a mut mpsc::Receiver<Order>,
    leave: &'a mut watch::Receiver<bool>,
    /// Nobody listens any more; what is ordered from then on is for the next run.
    gone: bool,
    notices: usize,
}

/// What came of one statement so far.
#[derive(Default)]
struct Outcome {
    rows: Rows,
    batch_bytes: usize,
    bytes: usize,
    count: usize,
    /// Why it was cancelled from here.
    stopped: Option<Said>,
    failed: bool,
}

impl<'a> Run<'a> {
    pub(super) fn new(
        told: mpsc::Sender<Told>,
        rows_max: u32,
        (orders, leave): (&'a mut mpsc::Receiver<Order>, &'a mut watch::Receiver<bool>),
    ) -> Self {
        Self { told, rows_max: rows_max.clamp(1, ROWS_MAX), orders, leave, gone: false, notices: 0 }
    }

    /// Runs a text.
    pub(super) async fn all(&mut self, bench: &mut Bench, text: &str) -> Result<(), Over> {
        let parts = sql::split(text).unwrap_or_else(|| vec![text]);
        let (of, mut from) = (parts.len(), 0);
        for (number, part) in parts.into_iter().enumerate() {
            let at = text.get(from..).and_then(|rest| rest.find(part)).map_or(from, |found| from + found);
            from = at + part.len();
            self.tell(bench, Told::Statement { number, of, at, text: part.to_owned() }).await?;
            if self.gone || !self.one(bench, part).await? {
                break;
            }
        }
        self.tell(bench, Told::Over(bench.transaction)).await
    }

    /// Runs one statement. Says whether it went well.
    async fn one(&mut self, bench: &mut Bench, text: &str) -> Result<bool, Over> {
        if !self.send(bench, text) {
            let why = refusal(wording::LIMIT, "the statement can't be sent as it is".to_owned());
            self.tell(bench, Told::Failed(why)).await?;
            return Ok(false);
        }
        let (limits, mut result) = (Limits::new(Phase::Server), Outcome::default());
        loop {
            match bench.line.ready(&limits) {
                Next::Message(raw) => {
                    if self.take(bench, &mut result, &raw).await? {
                        return Ok(!result.failed);
                    }
                }
                Next::TooLong => stop(bench, &mut result, too_long()),
                Next::Malformed => return Err(Over(None)),
                Next::Partial => {
                    self.flush(bench, &mut result).await?;
                    self.wait(bench).await?;
                }
            }
        }
    }

    fn send(&self, bench: &mut Bench, text: &str) -> bool {
        let out = bench.line.output();
        let sent = client::parse(out, b"", text.as_bytes(), &[])
            .and_then(|()| client::bind(out, &Binding::default()))
            .and_then(|()| client::describe(out, Target::Portal(b"")))
            .and_then(|()| client::execute(out, b"", self.rows_max));
        client::sync(out);
        sent.is_ok()
    }

    /// Takes one message. Says whether the statement is over.
    async fn take(&mut self, bench: &mut Bench, result: &mut Outcome, raw: &Bytes) -> Result<bool, Over> {
        let limits = Limits::new(Phase::Server);
        let Ok(Some((message, _))) = Message::decode(raw, &limits) else { return Err(Over(None)) };
        match message.body() {
            Body::RowDescription(columns) => self.tell(bench, Told::Columns(described(columns))).await?,
            Body::DataRow(values) => self.row(bench, result, values).await?,
            Body::CopyOutResponse(_) => {
                let column = Column { name: "copy".to_owned(), type_oid: 0 };
                self.tell(bench, Told::Columns(vec![column])).await?;
            }
            Body::CopyData(data) => self.copied(bench, result, data).await?,
            Body::CopyInResponse(_) => refuse_data(bench),
            Body::CommandComplete(tag) => self.done(bench, result, (words(tag.text()), false)).await?,
            Body::EmptyQueryResponse => self.done(bench, result, (String::new(), false)).await?,
            Body::PortalSuspended => {
                let tag = format!("SELECT {}", result.count);
                self.done(bench, result, (tag, true)).await?;
            }
            Body::NoticeResponse(fields) => self.noticed(bench, result, fields).await?,
            Body::ErrorResponse(fields) => self.failed(bench, result, fields).await?,
            Body::ReadyForQuery(status) => {
                bench.transaction = transaction(*status);
                return Ok(true);
            }
            _ => {}
        }
        Ok(false)
    }

    async fn row(
        &mut self,
        bench: &mut Bench,
        result: &mut Outcome,
        values: &Values<'_>,
    ) -> Result<(), Over> {
        if result.stopped.is_some() || self.gone {
            return Ok(());
        }
        let at = result.rows.rows.len();
        let mut row = Vec::with_capacity(values.len());
        for (column, value) in values.iter().enumerate() {
            if let Some(value) = value.filter(|value| value.len() > VALUE_BYTES_MAX) {
                result.rows.cut.push((at, column, value.len()));
            }
            row.push(value.map(|value| cut(value, VALUE_BYTES_MAX)));
        }
        self.keep(bench, result, (row, values.byte_len())).await
    }

    /// A line of `COPY ... TO STDOUT`, shown as it is.
    async fn copied(&mut self, bench: &mut Bench, result: &mut Outcome, data: &[u8]) -> Result<(), Over> {
        if result.stopped.is_some() || self.gone {
            return Ok(());
        }
        if result.count >= usize::try_from(self.rows_max).unwrap_or(usize::MAX) {
            let why = format!("the result has more than {} lines", self.rows_max);
            stop(bench, result, refusal(wording::LIMIT, why));
            return Ok(());
        }
        let line = cut(data.strip_suffix(b"\n").unwrap_or(data), VALUE_BYTES_MAX);
        self.keep(bench, result, (vec![Some(line)], data.len())).await
    }

    async fn keep(
        &mut self,
        bench: &mut Bench,
        result: &mut Outcome,
        (row, bytes): (Vec<Option<String>>, usize),
    ) -> Result<(), Over> {
        result.bytes += bytes;
        if result.bytes > RESULT_BYTES_MAX {
            stop(bench, result, too_much());
            return Ok(());
        }
        result.count += 1;
        result.batch_bytes += bytes;
        result.rows.rows.push(row);
        if result.rows.rows.len() >= BATCH_ROWS || result.batch_bytes >= BATCH_BYTES {
            self.flush(bench, result).await?;
        }
        Ok(())
    }

    async fn flush(&mut self, bench: &mut Bench, result: &mut Outcome) -> Result<(), Over> {
        if result.rows.rows.is_empty() {
            return Ok(());
        }
        result.batch_bytes = 0;
        self.tell(bench, Told::Rows(std::mem::take(&mut result.rows))).await
    }

    async fn done(
        &mut self,
        bench: &mut Bench,
        result: &mut Outcome,
        (tag, more): (String, bool),
    ) -> Result<(), Over> {
        self.flush(bench, result).await?;
        self.tell(bench, Told::Done { tag, more }).await
    }

    async fn noticed(
        &mut self,
        bench: &mut Bench,
        result: &mut Outcome,
        fields: &ErrorFields<'_>,
    ) -> Result<(), Over> {
        self.flush(bench, result).await?;
        let said = said(fields);
        if let Some(request) = held(bench, &said) {
            return self.tell(bench, Told::Held { request: request.to_string(), said }).await;
        }
        self.notices += 1;
        if self.notices > NOTICES_MAX {
            return Ok(());
        }
        self.tell(bench, Told::Notice(said)).await
    }

    async fn failed(
        &mut self,
        bench: &mut Bench,
        result: &mut Outcome,
        fields: &ErrorFields<'_>,
    ) -> Result<(), Over> {
        self.flush(bench, result).await?;
        result.failed = true;
        // Its own reason, rather than that of the cancel which it led to.
        let why = result.stopped.take().unwrap_or_else(|| said(fields));
        if fields.is_fatal() {
            self.tell(bench, Told::Ended(Some(why.clone()))).await?;
            return Err(Over(Some(why)));
        }
        self.tell(bench, Told::Failed(why)).await
    }

    /// Waits until more has come, and does meanwhile what is ordered.
    async fn wait(&mut self, bench: &mut Bench) -> Result<(), Over> {
        let told = self.told.clone();
        loop {
            tokio::select! {
                biased;
                () = left(self.leave) => return Err(Over(None)),
                order = self.orders.recv(), if !self.gone => self.ordered(bench, order)?,
                () = told.closed(), if !self.gone => self.is_gone(bench),
                more = bench.line.fill() => {
                    if more {
                        return Ok(());
                    }
                    // The pipe is closed: nobody says why.
                    self.tell(bench, Told::Ended(None)).await?;
                    return Err(Over(None));
                }
            }
        }
    }

    /// Tells it, however long that takes; cancelling and leaving go on meanwhile.
    async fn tell(&mut self, bench: &mut Bench, what: Told) -> Result<(), Over> {
        let told = self.told.clone();
        while !self.gone {
            tokio::select! {
                biased;
                () = left(self.leave) => return Err(Over(None)),
                order = self.orders.recv() => self.ordered(bench, order)?,
                place = told.reserve() => match place {
                    Ok(place) => {
                        place.send(what);
                        return Ok(());
                    }
                    Err(_) => self.is_gone(bench),
                },
            }
        }
        Ok(())
    }

    fn ordered(&self, bench: &Bench, order: Option<Order>) -> Result<(), Over> {
        match order {
            None => return Err(Over(None)),
            Some(Order::Cancel) => bench.cancel(),
            // One at a time: whoever sent it is told by the end of its channel. What is sent when nobody listens to this
            // run any more stays in the queue.
            Some(Order::Run { .. }) => {}
        }
        Ok(())
    }

    /// Nobody wants to know any more: what runs is cancelled, and the rest of it not told.
    fn is_gone(&mut self, bench: &Bench) {
        self.gone = true;
        bench.cancel();
    }
}

/// Cancels a statement for a reason of the workbench's own.
fn stop(bench: &Bench, result: &mut Outcome, why: Said) {
    if result.stopped.is_none() {
        result.stopped = Some(why);
        bench.cancel();
    }
}

/// The request that a notice tells of: one of whoever works here, that waits, in a session. A server may say what it
/// likes; it can't make a request of somebody else's appear.
fn held(bench: &Bench, said: &Said) -> Option<RequestId> {
    if said.code != wording::NOTICE {
        return None;
    }
    let link = said.hint.as_deref()?.split_whitespace().next()?;
    let id: RequestId = link.rsplit_once("/requests/")?.1.parse().ok()?;
    let snapshot = bench.shared.engine.snapshot();
    let request = snapshot.book.request(id)?;
    (request.by == bench.principal && matches!(request.ask, Ask::Act { .. })).then_some(id)
}

/// There is no data to load: says so, and where the next statement begins.
fn refuse_data(bench: &mut Bench) {
    let out = bench.line.output();
    // The server takes the `Sync` behind the statement for a part of the data.
    let _said = client::copy_fail(out, b"the workbench has no data to load; use a client that reads files");
    client::sync(out);
}

fn described(columns: &ColumnNames<'_>) -> Vec<Column> {
    columns.iter().map(|one| Column { name: words(one.name), type_oid: one.type_oid }).collect()
}

const fn transaction(status: TransactionStatus) -> Transaction {
    match status {
        TransactionStatus::Idle => Transaction::None,
        TransactionStatus::InTransaction => Transaction::Open,
        TransactionStatus::Failed => Transaction::Failed,
    }
}

fn refusal(code: &str, message: String) -> Said {
    Said { severity: "ERROR".to_owned(), code: code.to_owned(), message, ..Said::default() }
}

fn too_long() -> Said {
    let mib = MESSAGE_BYTES_MAX >> 20;
    let said = refusal(wording::LIMIT, format!("a row of more than {mib} MiB can't be shown here"));
    Said { hint: Some("select fewer columns, or use a client of your own".to_owned()), ..said }
}

fn too_much() -> Said {
    let mib = RESULT_BYTES_MAX >> 20;
    let said =
        refusal(wording::LIMIT, format!("the result is more than {mib} MiB; the statement was cancelled"));
    Said { hint: Some("select less, or use a client of your own".to_owned()), ..said }
}
