//! Questions of our own to a server, one at a time, on a connection that belongs to nobody else: the settings a session
//! starts with, looks, the catalogue, the read-back of a cut.
//!
//! Answers are small and are held whole, within a limit. What not: no transactions, no pipelining, no types; a value
//! is the server's text form.

use std::time::Duration;

use bytes::{Buf, BytesMut};
use countersign_wire::postgres::backend::{Body, Message};
use countersign_wire::postgres::encode::{Unencodable, client};
use countersign_wire::postgres::{Format, Frame, Limits, Malformed, Phase, Target};

use super::stream::Link;

/// The most that one answer may be, in bytes: the definitions of all views of a large database fit.
const ANSWER_BYTES_MAX: usize = 64 * 1024 * 1024;
/// How long one of our own questions may take, in milliseconds; the server is told a shorter limit of its own.
const ANSWER_MS_MAX: u64 = 10_000;

/// A row: its columns as text, or NULL.
pub(crate) type Row = Vec<Option<String>>;

/// A question of ours was not answered.
#[derive(Debug, thiserror::Error)]
pub(crate) enum QueryError {
    #[error("the server went away")]
    Gone,
    #[error("the connection to the server failed")]
    Io(#[from] std::io::Error),
    #[error("the server's message is malformed")]
    Malformed(#[from] Malformed),
    #[error("the server did not answer within {ANSWER_MS_MAX} ms")]
    Slow,
    #[error("the server's answer has more than {ANSWER_BYTES_MAX} bytes")]
    TooLong,
    #[error("the server says {code}: {message}")]
    Server { code: String, message: String },
    #[error("the question can't be written")]
    Unencodable(#[from] Unencodable),
}

impl QueryError {
    /// Whether the connection can be used again.
    pub(crate) const fn is_reusable(&self) -> bool {
        matches!(self, Self::Server { .. } | Self::Unencodable(_))
    }
}

/// A statement with parameters as they came from a client.
pub(crate) struct Bound<'a> {
    /// The statement.
    pub(crate) text: &'a str,
    /// The types of its parameters.
    pub(crate) types: &'a [u32],
    /// One format for each.
    pub(crate) formats: &'a [Format],
    /// The values.
    pub(crate) values: &'a [Option<&'a [u8]>],
}

/// Asks one or several statements without parameters; the rows of all of them.
pub(crate) async fn simple(link: &mut Link, text: &str) -> Result<Vec<Row>, QueryError> {
    client::query(&mut link.output, text.as_bytes())?;
    answer(link).await
}

/// Asks one statement with parameters.
pub(crate) async fn bound(link: &mut Link, question: &Bound<'_>) -> Result<Vec<Row>, QueryError> {
    let out = &mut link.output;
    let start = out.len();
    let written = write_bound(out, question);
    if written.is_err() {
        out.truncate(start);
    }
    written?;
    answer(link).await
}

fn write_bound(out: &mut BytesMut, question: &Bound<'_>) -> Result<(), Unencodable> {
    client::parse(out, b"", question.text.as_bytes(), question.types)?;
    let binding = client::Binding {
        formats: question.formats,
        parameters: question.values,
        ..client::Binding::default()
    };
    client::bind(out, &binding)?;
    client::execute(out, b"", 0)?;
    client::sync(out);
    Ok(())
}

/// The parameter types of a statement, as the server works them out. Nothing is run.
pub(crate) async fn parameter_types(
    link: &mut Link,
    text: &str,
    types: &[u32],
) -> Result<Vec<u32>, QueryError> {
    client::parse(&mut link.output, b"", text.as_bytes(), types)?;
    client::describe(&mut link.output, Target::Statement(b""))?;
    client::sync(&mut link.output);
    let rows = answer(link).await?;
    let types = rows.into_iter().flatten().flatten();
    Ok(types.filter_map(|oid| oid.parse().ok()).collect())
}

async fn answer(link: &mut Link) -> Result<Vec<Row>, QueryError> {
    let limit = Duration::from_millis(ANSWER_MS_MAX);
    tokio::time::timeout(limit, collect(link)).await.unwrap_or(Err(QueryError::Slow))
}

async fn collect(link: &mut Link) -> Result<Vec<Row>, QueryError> {
    link.drain().await?;
    let limits = Limits::new(Phase::Server);
    let (mut rows, mut error, mut bytes) = (Vec::new(), None, 0_usize);
    loop {
        while let Some((frame, used)) = Frame::decode(&link.input, &limits)? {
            bytes = bytes.saturating_add(used);
            if bytes > ANSWER_BYTES_MAX {
                return Err(QueryError::TooLong);
            }
            let message = Message::of(frame)?;
            match message.body() {
                Body::DataRow(values) => rows.push(values.iter().map(|value| value.map(text)).collect()),
                Body::ParameterDescription(types) => {
                    rows.push(types.iter().map(|oid| Some(oid.to_string())).collect());
                }
                Body::ErrorResponse(fields) => {
                    let (code, message) = (fields.code().map(text), fields.message().map(text));
                    let (code, message) = (code.unwrap_or_default(), message.unwrap_or_default());
                    error = Some(QueryError::Server { code, message });
                    if fields.is_fatal() {
                        return Err(QueryError::Gone);
                    }
                }
                Body::ReadyForQuery(_) => {
                    link.input.advance(used);
                    return error.map_or(Ok(rows), Err);
                }
                _ => {}
            }
            link.input.advance(used);
        }
        if link.fill().await? == 0 {
            return Err(QueryError::Gone);
        }
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
