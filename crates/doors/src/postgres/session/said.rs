//! Settings that speak to the gateway, within a session: why and for which ticket it is.
//!
//! They are answered here, in the server's own way, and never reach it. Setting one is recorded as what it is, before it
//! counts; from then on it is the purpose of what is asked, and policy sees it. As a reason is not the server's, it is not
//! taken back by a rollback. `unmask` is a wish for one statement ([`super::lift`]).

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use countersign_core::budget::Whose;
use countersign_engine::{CompletionResult, Word};
use countersign_wire::postgres::encode::server as to_client;
use countersign_wire::postgres::encode::{Report, Severity};
use countersign_wire::postgres::{Column, Format, TransactionStatus};
use countersign_wire::sql::{Facts, GATEWAY_NAMESPACE, GatewaySetting, Kind, gateway_setting};

use super::super::classify::{Statement, Understood};
use super::super::wording;
use super::action::Action;
use super::no::ABORTED;
use super::{End, Session};

/// The setting that wishes for a masked column.
const UNMASK: &str = "unmask";
/// The setting that tells what is left.
const BUDGET: &str = "budget";
/// The type `text`.
const TEXT_OID: u32 = 25;

impl Session {
    /// Answers a text that is about a setting of the gateway's. False: it is not.
    pub(super) async fn said_to_us(&mut self, raw: &Bytes, text: &Bytes) -> Result<bool, End> {
        let Some(said) = std::str::from_utf8(text).ok().and_then(gateway_setting) else { return Ok(false) };
        self.settle().await?;
        if self.tracker.is_skipping() {
            return Ok(true);
        }
        let answer = match said {
            _ if self.tracker.status() == TransactionStatus::Failed => Err(wording::error("25P02", ABORTED)),
            Err(how) => Err(wording::error(wording::SYNTAX, how)),
            Ok(said) => self.answer_to(raw, text, &said).await?,
        };
        match answer {
            Ok(Some(answer)) => {
                self.append(&answer);
                let mut ready = BytesMut::new();
                to_client::ready_for_query(&mut ready, self.tracker.status());
                self.append(&ready);
            }
            // It was refused, and that was said.
            Ok(None) => {}
            Err(report) => self.refuse(report, true).await?,
        }
        Ok(true)
    }

    /// The answer, without its end; nothing if it may not be, which was said.
    async fn answer_to(
        &mut self,
        raw: &Bytes,
        text: &Bytes,
        said: &GatewaySetting,
    ) -> Result<Result<Option<BytesMut>, Report>, End> {
        let (GatewaySetting::Set(name, _) | GatewaySetting::Reset(name) | GatewaySetting::Show(name)) = said;
        let word = match name.as_str() {
            "reason" => Word::Purpose,
            "ticket" => Word::Ticket,
            "role" if matches!(said, GatewaySetting::Show(_)) => {
                return Ok(Ok(Some(shown(name, self.me.role().as_str()))));
            }
            "role" | "ask" | "for" | "wait" => {
                let message = format!("`{GATEWAY_NAMESPACE}{name}` is said as a session begins");
                return Ok(Err(wording::error("55P02", message).hint("connect anew")));
            }
            UNMASK => return self.wish_for(raw, text, said).await,
            BUDGET if matches!(said, GatewaySetting::Show(_)) => return Ok(Ok(Some(self.budget()))),
            BUDGET => {
                let message = format!("`{GATEWAY_NAMESPACE}{BUDGET}` is what your role lets you take");
                return Ok(Err(
                    wording::error("55P02", message).hint("SHOW countersign.budget tells what is left")
                ));
            }
            _ => {
                let message =
                    format!("the setting `{GATEWAY_NAMESPACE}{}` does not exist", wording::clean(name));
                return Ok(Err(wording::error("42704", message)
                    .hint("there are `reason`, `ticket`, `unmask` and `budget`")));
            }
        };
        let value = match said {
            GatewaySetting::Show(_) => return Ok(Ok(Some(shown(name, &self.me.word(word))))),
            GatewaySetting::Set(_, value) => Some(value.as_str()),
            GatewaySetting::Reset(_) => None,
        };
        if let Err(refused) = self.me.check_word(word, value) {
            return Ok(Err(wording::refused(Severity::Error, "22023", &refused)));
        }
        if !self.record_said(raw, text).await? {
            return Ok(Ok(None));
        }
        self.me.say(word, value);
        Ok(Ok(Some(done(value.is_some()))))
    }

    /// What is said of the masked column that the next statement is to be shown.
    async fn wish_for(
        &mut self,
        raw: &Bytes,
        text: &Bytes,
        said: &GatewaySetting,
    ) -> Result<Result<Option<BytesMut>, Report>, End> {
        self.masks_hold()?;
        let wish = match said {
            GatewaySetting::Show(name) => {
                let wish = self.wish.as_ref().map_or("", |wish| wish.column());
                return Ok(Ok(Some(shown(name, wish))));
            }
            GatewaySetting::Set(_, column) => match self.check_wish(column) {
                Ok(wish) => Some(wish),
                Err(report) => return Ok(Err(report)),
            },
            GatewaySetting::Reset(_) => None,
        };
        if !self.record_said(raw, text).await? {
            return Ok(Ok(None));
        }
        let set = wish.is_some();
        self.wish = wish;
        Ok(Ok(Some(done(set))))
    }

    /// What is left of what may be taken, a row for each limit.
    fn budget(&self) -> BytesMut {
        let rows = self.me.allowance(&self.engine).into_iter().map(|one| {
            let of = match one.whose {
                Whose::Grant => "grant",
                Whose::Session => "session",
                Whose::Statement => "one statement",
                Whose::Tool => "one tool",
            };
            let (what, size) = if one.what == "time" { ("seconds", 1_000_000) } else { (one.what, 1) };
            let left = one.limit.saturating_sub(one.spent) / size;
            [of.to_owned(), what.to_owned(), (one.limit / size).to_string(), left.to_string()]
        });
        table(&["of", "what", "limit", "left"], rows)
    }

    /// Records what is said, before it counts. False: it may not be, which was said.
    async fn record_said(&mut self, raw: &Bytes, text: &Bytes) -> Result<bool, End> {
        let statement = Arc::new(Statement::new(text.clone(), Vec::new(), self.known.shared_session()));
        let facts =
            Facts::of(Kind::Session, "it is said to the gateway, and the server does not see it".to_owned());
        let facts = Facts { statements: 1, ..facts };
        let action = Action::new(&statement, Arc::new(Understood::of(Arc::new(facts))), raw.clone());
        let Some(granted) = self.permit(action, true).await? else { return Ok(false) };
        let act = self.begin(granted);
        let now = self.now();
        self.acts.end(act, CompletionResult::Done, now);
        Ok(true)
    }
}

/// The end of an answer to what was said.
fn done(set: bool) -> BytesMut {
    let mut answer = BytesMut::new();
    let tag: &[u8] = if set { b"SET" } else { b"RESET" };
    // A tag of ours can be written.
    let _ = to_client::command_complete(&mut answer, tag);
    answer
}

/// Whether a statement sets something that is the gateway's, beside other things or in a way that is not answered here.
pub(super) fn is_ours(facts: &Facts) -> bool {
    facts.settings.iter().any(|change| change.name.starts_with(GATEWAY_NAMESPACE))
}

/// What a client reads then.
pub(super) fn ours_alone() -> Report {
    wording::error(wording::NOT_SUPPORTED, "what is said to the gateway is a statement of its own")
        .hint("send SET countersign.reason = '...' alone, by the simple protocol, without parameters")
}

/// One row with one value, as SHOW answers.
fn shown(name: &str, value: &str) -> BytesMut {
    let name = format!("{GATEWAY_NAMESPACE}{name}");
    table(&[&name], std::iter::once([wording::clean(value)]))
}

/// Rows of texts, as SHOW answers.
fn table<const N: usize>(names: &[&str; N], rows: impl Iterator<Item = [String; N]>) -> BytesMut {
    let mut answer = BytesMut::new();
    let columns = names.map(|name| Column {
        name: name.as_bytes(),
        table: 0,
        number: 0,
        type_oid: TEXT_OID,
        type_size: -1,
        type_modifier: -1,
        format: Format::Text,
    });
    // Names and values of a few KiB can be written.
    let _ = to_client::row_description(&mut answer, &columns);
    for row in rows {
        let values = row.each_ref().map(|value| Some(value.as_bytes()));
        let _ = to_client::data_row(&mut answer, &values);
    }
    let _ = to_client::command_complete(&mut answer, b"SHOW");
    answer
}
