//! What a statement gives back, where that is to be kept: as the client is shown it, up to a limit.
//!
//! Values are taken as they pass, behind what covers them, so that nothing is kept that was masked. Texts stay texts; what is
//! no text is kept in hexadecimal digits. What does not fit is left out, and that is told.

use std::fmt::Write as _;

use countersign_engine::Keeping;
use countersign_wire::postgres::backend::{Body, Message};
use countersign_wire::postgres::{ColumnNames, Limits, TransactionStatus};
use countersign_wire::sql::Kind;
use serde::Serialize;
use serde_json::{Value, json};

use super::Session;
use super::action::Action;
use super::acts::ActId;

/// The form of what is kept.
const FORM: u32 = 1;

/// What is kept of one statement.
#[derive(Debug)]
pub(super) struct Kept {
    keeping: Keeping,
    used: usize,
    shown: Shown,
}

/// As it is kept: canonical JSON, members in the order of their names.
#[derive(Debug, Default, Serialize)]
struct Shown {
    /// There was more.
    cut: bool,
    form: u32,
    results: Vec<Rows>,
}

/// The rows of one result.
#[derive(Debug, Default, Serialize)]
struct Rows {
    columns: Vec<String>,
    /// Data of a COPY, piece by piece.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    copied: Vec<Value>,
    rows: Vec<Vec<Value>>,
}

impl Kept {
    pub(super) fn new(keeping: Keeping) -> Self {
        Self { keeping, used: 0, shown: Shown { form: FORM, ..Shown::default() } }
    }

    /// The server describes the rows that follow.
    pub(super) fn describe(&mut self, columns: &ColumnNames<'_>) {
        let names: Vec<String> =
            columns.iter().map(|column| String::from_utf8_lossy(column.name).into_owned()).collect();
        if self.fits(names.iter().map(String::len).sum()) {
            self.shown.results.push(Rows { columns: names, ..Rows::default() });
        }
    }

    /// Whole messages as the client is shown them.
    pub(super) fn take(&mut self, mut messages: &[u8], limits: &Limits) {
        while let Ok(Some((message, used))) = Message::decode(messages, limits) {
            messages = messages.get(used..).unwrap_or_default();
            if !self.fits(used) {
                return;
            }
            if self.shown.results.is_empty() {
                self.shown.results.push(Rows::default());
            }
            let Some(last) = self.shown.results.last_mut() else { return };
            match message.body() {
                Body::DataRow(values) => last.rows.push(values.iter().map(value).collect()),
                Body::CopyData(data) => last.copied.push(value(Some(data))),
                _ => {}
            }
        }
    }

    /// Some of it was too long to be taken.
    pub(super) fn cut(&mut self) {
        self.shown.cut = true;
    }

    fn fits(&mut self, bytes: usize) -> bool {
        self.used = self.used.saturating_add(bytes);
        self.shown.cut |= self.used > self.keeping.bytes_max;
        !self.shown.cut
    }

    /// What is kept; nothing if it gave nothing back.
    pub(super) fn finish(self) -> Option<(Vec<u8>, Keeping)> {
        let empty = self.shown.results.is_empty() && !self.shown.cut;
        let bytes = serde_json::to_vec(&self.shown).ok().filter(|_| !empty)?;
        Some((bytes, self.keeping))
    }
}

/// A value: a text, or its bytes in hexadecimal digits.
fn value(value: Option<&[u8]>) -> Value {
    let Some(bytes) = value else { return Value::Null };
    match std::str::from_utf8(bytes) {
        Ok(text) if !text.contains('\0') => Value::String(text.to_owned()),
        _ => {
            let mut hex = String::with_capacity(bytes.len() * 2);
            for byte in bytes {
                // Writing to a text fails never.
                let _ = write!(hex, "{byte:02x}");
            }
            json!({ "hex": hex })
        }
    }
}

impl Session {
    /// Whether, and how, what an action gives back is to be kept.
    pub(super) fn keeping(&self, action: &Action) -> Option<Box<Kept>> {
        if !self.keeps || action.understood.facts.kind == Kind::Session {
            return None;
        }
        let told = action.understood.context(self.tracker.status() != TransactionStatus::Idle);
        self.engine.keeps(&self.me, &told).map(|keeping| Box::new(Kept::new(keeping)))
    }

    /// Messages that answer an action, as the client is shown them.
    pub(super) fn keep(&mut self, act: Option<ActId>, messages: &[u8], whole: bool) {
        if !self.keeps {
            return;
        }
        let limits = *self.server_frames.limits();
        if let Some(result) = act.and_then(|act| self.acts.result(act)) {
            match whole {
                true => result.take(messages, &limits),
                false => result.cut(),
            }
        }
    }
}
