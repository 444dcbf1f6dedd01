//! A client that sends a text as it stands, in one Query message, and keeps what came back, command tags above all.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use bytes::{Buf as _, BytesMut};
use countersign_wire::postgres::backend::{Authentication, Body, Message};
use countersign_wire::postgres::encode::client as to_server;
use countersign_wire::postgres::startup::ProtocolVersion;
use countersign_wire::postgres::{Frame, Limits, Phase, TransactionStatus};

/// How many rows of an answer are kept; the rest is read and dropped.
const ROWS_KEPT_MAX: usize = 10_000;
/// How long the server may be silent, in seconds.
const SILENCE_S_MAX: u64 = 90;

/// A session, the server's side of which is on this machine and trusts everybody.
#[derive(Debug)]
pub struct Client {
    stream: UnixStream,
    input: BytesMut,
    /// The transaction's status after the last answer.
    pub status: TransactionStatus,
    /// What the server has reported of its settings.
    pub reported: BTreeMap<String, String>,
    /// The process that serves this session.
    pub process: u32,
}

/// What came back for one text.
#[derive(Clone, Debug, Default)]
pub struct Answer {
    /// The columns of the last result.
    pub columns: Vec<String>,
    /// Rows of all results, their values as text.
    pub rows: Vec<Vec<Option<String>>>,
    /// The tags of the statements that were completed, without their numbers.
    pub tags: Vec<String>,
    /// The error that ended it.
    pub error: Option<ServerError>,
}

/// An error of the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerError {
    /// The SQLSTATE.
    pub code: String,
    /// What it says.
    pub message: String,
}

impl Answer {
    /// The first column of the first row.
    #[must_use]
    pub fn value(&self) -> Option<&str> {
        self.rows.first()?.first()?.as_deref()
    }
}

impl Client {
    /// Starts a session through the socket in `folder`.
    ///
    /// # Errors
    /// Nobody listens, or the server refuses.
    pub fn connect(folder: &Path, port: u16, user: &str, database: &str) -> Result<Self> {
        let path = folder.join(format!(".s.PGSQL.{port}"));
        let stream =
            UnixStream::connect(&path).with_context(|| format!("no server at {}", path.display()))?;
        stream.set_read_timeout(Some(Duration::from_secs(SILENCE_S_MAX)))?;
        let mut client = Self {
            stream,
            input: BytesMut::new(),
            status: TransactionStatus::Idle,
            reported: BTreeMap::new(),
            process: 0,
        };
        let mut out = BytesMut::new();
        let parameters: [(&[u8], &[u8]); 3] = [
            (b"user", user.as_bytes()),
            (b"database", database.as_bytes()),
            (b"application_name", b"countersign testkit"),
        ];
        to_server::startup(&mut out, ProtocolVersion::V3_0, &parameters)?;
        client.stream.write_all(&out)?;
        let answer = client.answer(Phase::ServerLogin, &mut Vec::new)?;
        match answer.error {
            Some(error) => bail!("the server refuses the session: {}: {}", error.code, error.message),
            None => Ok(client),
        }
    }

    /// Sends a text and waits for everything that answers it. `copied` is asked for the data of a
    /// `COPY ... FROM STDIN`.
    ///
    /// # Errors
    /// The session is gone; what the server refuses is part of the answer.
    pub fn query(&mut self, text: &str, copied: &mut dyn FnMut() -> Vec<u8>) -> Result<Answer> {
        let mut out = BytesMut::new();
        to_server::query(&mut out, text.as_bytes())?;
        self.stream.write_all(&out)?;
        self.answer(Phase::Server, copied)
    }

    /// Sends a text by Parse, Bind and Execute, with these types and values, and waits for what answers it.
    ///
    /// # Errors
    /// The session is gone; what the server refuses is part of the answer.
    pub fn bound(&mut self, text: &str, types: &[u32], values: &[Option<&[u8]>]) -> Result<Answer> {
        let mut out = BytesMut::new();
        to_server::parse(&mut out, b"", text.as_bytes(), types)?;
        to_server::bind(
            &mut out,
            &to_server::Binding { parameters: values, ..to_server::Binding::default() },
        )?;
        to_server::execute(&mut out, b"", 0)?;
        to_server::sync(&mut out);
        self.stream.write_all(&out)?;
        self.answer(Phase::Server, &mut Vec::new)
    }

    /// Asks what has an answer.
    ///
    /// # Errors
    /// The session is gone, or the server refuses.
    pub fn ask(&mut self, text: &str) -> Result<Answer> {
        let answer = self.query(text, &mut Vec::new)?;
        match answer.error {
            Some(error) => bail!("{}: {}; of: {text}", error.code, error.message),
            None => Ok(answer),
        }
    }

    fn answer(&mut self, phase: Phase, copied: &mut dyn FnMut() -> Vec<u8>) -> Result<Answer> {
        let mut answer = Answer::default();
        let limits = Limits::new(phase);
        loop {
            while let Some((frame, used)) = Frame::decode(&self.input, &limits)? {
                let message = Message::of(frame)?;
                let mut asked_for_data = false;
                let mut done = false;
                match message.body() {
                    Body::Authentication(Authentication::Ok) => {}
                    Body::Authentication(_) => bail!("the server wants a password"),
                    Body::BackendKeyData(key) => self.process = key.process,
                    Body::ParameterStatus(status) => {
                        self.reported.insert(text(status.name), text(status.value));
                    }
                    Body::RowDescription(names) => {
                        answer.columns = names.iter().map(|column| text(column.name)).collect();
                    }
                    Body::DataRow(values) if answer.rows.len() < ROWS_KEPT_MAX => {
                        answer.rows.push(values.iter().map(|value| value.map(text)).collect());
                    }
                    Body::CommandComplete(tag) => answer.tags.push(text(tag.verb())),
                    Body::ErrorResponse(fields) => {
                        let part = |bytes: Option<&[u8]>| bytes.map(text).unwrap_or_default();
                        let error =
                            ServerError { code: part(fields.code()), message: part(fields.message()) };
                        if fields.is_fatal() {
                            bail!("the session ended: {}: {}", error.code, error.message);
                        }
                        answer.error = Some(error);
                    }
                    Body::CopyInResponse(_) => asked_for_data = true,
                    Body::ReadyForQuery(status) => {
                        self.status = *status;
                        done = true;
                    }
                    _ => {}
                }
                self.input.advance(used);
                if asked_for_data {
                    self.copy_in(&copied())?;
                }
                if done {
                    return Ok(answer);
                }
            }
            let mut part = [0_u8; 16 * 1024];
            let read = self.stream.read(&mut part).context("the server is silent")?;
            if read == 0 {
                bail!("the server closed the session");
            }
            self.input.extend_from_slice(part.get(..read).unwrap_or_default());
        }
    }

    fn copy_in(&mut self, data: &[u8]) -> Result<()> {
        let mut out = BytesMut::new();
        for part in data.chunks(64 * 1024) {
            to_server::copy_data(&mut out, part)?;
        }
        to_server::copy_done(&mut out);
        self.stream.write_all(&out)?;
        Ok(())
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
