//! Questions of our own on the session's connection, between the client's: the client sees nothing of them.

use std::sync::{Arc, OnceLock};

use bytes::{Bytes, BytesMut};
use countersign_wire::postgres::backend::Body;
use countersign_wire::postgres::encode::{Unencodable, client as to_server};
use countersign_wire::postgres::frontend::Message;
use countersign_wire::postgres::track::Sent as Kind;
use countersign_wire::postgres::{Frame, Limits, Phase, Target, TransactionStatus, frontend};
use countersign_wire::sql::{Facts, PreparedUse};

use super::super::classify::Statement;
use super::super::state::FOLLOWED;
use super::super::wording;
use super::acts::ActId;
use super::sent::{Sent, Show};
use super::{End, Portal, Session};

/// What our statements and portals are called, so that the client's unnamed ones stay as they are.
const NAME: &[u8] = b"countersign_own";
/// What is asked for beside what is followed. SHOW takes no snapshot and runs in every transaction that has not failed.
const SHOWN: [&str; 3] = ["search_path", "role", "session_authorization"];
/// How many statements prepared by SQL are remembered for one session.
const PREPARED_MAX: usize = 4_096;
/// What they may weigh together, in bytes of text.
const PREPARED_BYTES_MAX: usize = 16 * 1024 * 1024;
/// How many rows answer our own questions at most. A server that says more is not listened to.
const VALUES_MAX: usize = 32;

/// The answer to a question of our own.
#[derive(Debug, Default)]
pub(super) struct OwnAnswer {
    /// The first column of each row.
    pub(super) values: Vec<String>,
    /// The types of a statement's parameters.
    pub(super) types: Option<Vec<u32>>,
    /// The error, if it was one.
    pub(super) error: Option<OwnError>,
}

/// An error that answered a question of our own.
#[derive(Debug)]
pub(super) struct OwnError {
    /// The SQLSTATE.
    pub(super) code: String,
    /// The message, should the client see it after all.
    pub(super) raw: Bytes,
}

impl OwnAnswer {
    /// A part of the answer has come.
    pub(super) fn collect(&mut self, raw: &[u8], body: &Body<'_>) {
        match body {
            Body::DataRow(_) if self.values.len() >= VALUES_MAX => {}
            Body::DataRow(values) => {
                let first = values.iter().next().flatten().unwrap_or_default();
                self.values.push(String::from_utf8_lossy(first).into_owned());
            }
            Body::ParameterDescription(types) => self.types = Some(types.iter().collect()),
            Body::ErrorResponse(fields) => {
                let code = String::from_utf8_lossy(fields.code().unwrap_or_default()).into_owned();
                self.error = Some(OwnError { code, raw: Bytes::copy_from_slice(raw) });
            }
            _ => {}
        }
    }
}

fn ours() -> Sent {
    Sent { act: None, ends: false, show: Show::Own }
}

impl Session {
    /// Runs a statement of our own that ends with `ReadyForQuery`. Everything before it has been answered.
    pub(super) async fn own_query(&mut self, text: &[u8]) -> Result<OwnAnswer, End> {
        // A signal that is on its way was meant for something else.
        self.until_asked().await?;
        self.own = OwnAnswer::default();
        let mut message = BytesMut::new();
        to_server::query(&mut message, text).map_err(|error| unwritten(&error))?;
        self.forward(Kind::Query, &message, ours()).await?;
        self.settle().await?;
        Ok(std::mem::take(&mut self.own))
    }

    /// Asks for the settings that the server does not report, or not before it is ready, and whether there is a temporary
    /// schema. Where that is not possible they stay unknown.
    pub(super) async fn ask_settings(&mut self) -> Result<(), End> {
        if self.tracker.is_copying_in() {
            return Ok(());
        }
        self.settle().await?;
        if self.tracker.is_skipping() || self.tracker.status() == TransactionStatus::Failed {
            return Ok(());
        }
        let within = self.batch_open || !self.tracker.is_quiet();
        self.own = OwnAnswer::default();
        if within {
            for name in SHOWN.iter().chain(FOLLOWED) {
                self.own_show(format!("SHOW {name}").as_bytes()).await?;
            }
        } else {
            self.own_show(all_at_once().as_bytes()).await?;
        }
        let answer = self.own_answer().await?;
        if answer.error.is_none() {
            self.shown(&answer.values, within);
        }
        Ok(())
    }

    fn shown(&mut self, values: &[String], within: bool) {
        let Some(([path, role, authorization], rest)) = values.split_first_chunk() else { return };
        let Some((reported, temporary)) = rest.split_at_checked(FOLLOWED.len()) else { return };
        self.known.shown(path, role, authorization);
        for (name, value) in FOLLOWED.iter().zip(reported) {
            self.known.report(name.as_bytes(), value.as_bytes());
        }
        if within {
            self.known.shown_within();
        }
        if temporary.iter().any(|schema| schema == "0") {
            self.known.has_no_temporary_objects();
        }
    }

    /// The types that the server has given to a statement's parameters, in order. Everything before has been answered.
    /// Nothing for a statement that is no longer there under this name.
    pub(super) async fn ask_types(
        &mut self,
        name: &[u8],
        statement: &Arc<Statement>,
    ) -> Result<Option<Vec<u32>>, End> {
        let known = self.tracker.statement(name).certain();
        if !known.is_some_and(|known| Arc::ptr_eq(known, statement)) || self.tracker.is_copying_in() {
            return Ok(None);
        }
        self.own = OwnAnswer::default();
        let mut message = BytesMut::new();
        let target = Target::Statement(name);
        to_server::describe(&mut message, target).map_err(|error| unwritten(&error))?;
        self.forward(Kind::Describe(target), &message, ours()).await?;
        Ok(self.own_answer().await?.types)
    }

    /// Waits for the answers to what was asked in the extended protocol.
    async fn own_answer(&mut self) -> Result<OwnAnswer, End> {
        if self.batch_open {
            // The client's batch goes on: nothing may end it, so the answers are asked for by `Flush`.
            self.flushed = false;
        } else {
            let mut sync = BytesMut::new();
            to_server::sync(&mut sync);
            self.forward(Kind::Sync, &sync, ours()).await?;
        }
        self.settle().await?;
        let answer = std::mem::take(&mut self.own);
        if let Some(error) = answer.error.as_ref().filter(|_| self.tracker.is_skipping()) {
            // It has failed the client's batch with it, so it is the client's error.
            self.append(&error.raw);
        }
        Ok(answer)
    }

    async fn own_show(&mut self, text: &[u8]) -> Result<(), End> {
        let write = |out: &mut [BytesMut; 5]| -> Result<(), Unencodable> {
            let [parse, bind, execute, close_portal, close_statement] = out;
            to_server::parse(parse, NAME, text, &[])?;
            let binding =
                to_server::Binding { portal: NAME, statement: NAME, ..to_server::Binding::default() };
            to_server::bind(bind, &binding)?;
            to_server::execute(execute, NAME, 0)?;
            to_server::close(close_portal, Target::Portal(NAME))?;
            to_server::close(close_statement, Target::Statement(NAME))
        };
        let mut messages: [BytesMut; 5] = Default::default();
        write(&mut messages).map_err(|error| unwritten(&error))?;
        let session = self.known.shared_session();
        let statement = Arc::new(Statement::new(Bytes::copy_from_slice(text), Vec::new(), session));
        let portal = Arc::new(Portal {
            statement: Arc::clone(&statement),
            prepared: Bytes::from_static(NAME),
            parameters: [].into(),
            formats: [].into(),
            understood: OnceLock::new(),
            types: OnceLock::new(),
        });
        for message in messages {
            let routed = self.route(|session| session.track_own(&message, &statement, &portal)).await?;
            if let Some(number) = routed {
                self.put(number, &message, ours());
            }
        }
        Ok(())
    }

    fn track_own(
        &mut self,
        message: &[u8],
        statement: &Arc<Statement>,
        portal: &Arc<Portal>,
    ) -> Result<countersign_wire::postgres::track::Route, countersign_wire::postgres::track::Refused> {
        let limits = Limits::new(Phase::Client);
        let decoded =
            Frame::decode(message, &limits).ok().flatten().and_then(|(frame, _)| Message::of(frame).ok());
        match decoded.as_ref().map(Message::body) {
            Some(frontend::Body::Parse(parse)) => self.tracker.parse(parse, Arc::clone(statement)),
            Some(frontend::Body::Bind(bind)) => self.tracker.bind(bind, Arc::clone(portal)),
            Some(body) => match Kind::of(body) {
                Some(kind) => self.tracker.send(kind),
                None => Ok(countersign_wire::postgres::track::Route::Drop),
            },
            None => Ok(countersign_wire::postgres::track::Route::Drop),
        }
    }

    /// A name of the protocol's is made or closed: what SQL had prepared under it is gone.
    pub(super) fn forget_prepared(&mut self, name: &[u8]) {
        if let Ok(name) = std::str::from_utf8(name) {
            self.prepared.remove(name);
        }
    }

    /// Keeps up with statements that are prepared and dropped by SQL. What fails may have left either the old or the new one: then
    /// nothing is known of any name.
    pub(super) async fn remember_names(
        &mut self,
        statement: &Arc<Statement>,
        facts: &Arc<Facts>,
        act: ActId,
    ) -> Result<(), End> {
        self.remember_cursors(facts, act).await?;
        if facts.prepared.iter().all(|one| one.usage == PreparedUse::Execute) {
            return Ok(());
        }
        self.settle().await?;
        let failed = self.acts.has_failed(act);
        let weight: usize = self.prepared.values().map(|one| one.raw.len()).sum();
        let full = self.prepared.len() >= PREPARED_MAX || weight + statement.raw.len() > PREPARED_BYTES_MAX;
        if failed || facts.statements != 1 || full {
            self.prepared.clear();
            return Ok(());
        }
        for one in &facts.prepared {
            match one.usage {
                PreparedUse::Prepare => {
                    self.prepared.insert(one.name.clone(), Arc::clone(statement));
                }
                PreparedUse::Deallocate if one.name.is_empty() => self.prepared.clear(),
                PreparedUse::Deallocate => {
                    self.prepared.remove(&one.name);
                }
                PreparedUse::Execute => {}
            }
        }
        Ok(())
    }
}

/// All settings and the temporary schema, a row each, in one question. It takes a snapshot, so it is asked only between
/// transactions. Nothing in it is looked up by the search path.
fn all_at_once() -> String {
    let setting = |name: &&str| format!("pg_catalog.current_setting('{name}')");
    let settings: Vec<String> = SHOWN.iter().chain(FOLLOWED).map(setting).collect();
    format!(
        "SELECT v FROM pg_catalog.unnest(ARRAY[{}, \
         CAST(pg_catalog.pg_my_temp_schema() AS pg_catalog.text)]) AS v",
        settings.join(", ")
    )
}

fn unwritten(error: &Unencodable) -> End {
    End::Broken(Box::new(wording::fatal(wording::PROTOCOL, error.to_string())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use countersign_wire::postgres::backend;
    use countersign_wire::postgres::encode::server;

    #[test]
    fn a_server_that_goes_on_answering_is_not_listened_to() {
        let mut out = BytesMut::new();
        server::data_row(&mut out, &[Some(&b"public"[..])]).unwrap();
        let (message, _) = backend::Message::decode(&out, &Limits::new(Phase::Server)).unwrap().unwrap();
        let mut answer = OwnAnswer::default();
        for _ in 0..10_000 {
            answer.collect(message.raw(), message.body());
        }
        assert_eq!(answer.values.len(), VALUES_MAX);
    }
}
