//! What a server says.
//!
//! A [`Message`] keeps the raw bytes beside the typed view that was made of exactly them; it can't be built
//! any other way. Rows and copy data need not come through here: their frames may be forwarded as they are
//! ([`Framer`](super::Framer)), and their columns are read only by whoever asks.

use super::read::Reader;
use super::startup::{ProtocolVersion, cancel_key};
use super::{
    ColumnNames, ErrorFields, Format, Formats, Frame, Limits, Malformed, Oids, TransactionStatus, Values,
};

/// A whole server message: the bytes and what they say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Message<'a> {
    frame: Frame<'a>,
    body: Body<'a>,
}

/// What a server message says.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Body<'a> {
    /// `R`: a step of authentication.
    Authentication(Authentication<'a>),
    /// `K`: how to cancel this connection's queries.
    BackendKeyData(BackendKeyData<'a>),
    /// `S`: a setting that clients follow has this value.
    ParameterStatus(ParameterStatus<'a>),
    /// `v`: the server speaks less than was asked for.
    NegotiateProtocolVersion(NegotiateProtocolVersion<'a>),
    /// `Z`: the next batch may come.
    ReadyForQuery(TransactionStatus),
    /// `T`: the columns of the rows that follow, or of a described statement or portal.
    RowDescription(ColumnNames<'a>),
    /// `t`: the parameter types of a described statement.
    ParameterDescription(Oids<'a>),
    /// `n`: the described statement or portal gives no rows.
    NoData,
    /// `D`: a row.
    DataRow(Values<'a>),
    /// `C`: a statement is done.
    CommandComplete(CommandTag<'a>),
    /// `I`: an empty statement is done.
    EmptyQueryResponse,
    /// `s`: the row limit of an `Execute` is reached.
    PortalSuspended,
    /// `1`: a `Parse` is done.
    ParseComplete,
    /// `2`: a `Bind` is done.
    BindComplete,
    /// `3`: a `Close` is done.
    CloseComplete,
    /// `E`: an error; the server skips to the end of the batch.
    ErrorResponse(ErrorFields<'a>),
    /// `N`: a message that changes nothing.
    NoticeResponse(ErrorFields<'a>),
    /// `A`: a `NOTIFY` of some session.
    NotificationResponse(NotificationResponse<'a>),
    /// `G`: the server waits for the data of a `COPY ... FROM STDIN`.
    CopyInResponse(CopyShape<'a>),
    /// `H`: the data of a `COPY ... TO STDOUT` follows.
    CopyOutResponse(CopyShape<'a>),
    /// `W`: data flows both ways; replication only.
    CopyBothResponse(CopyShape<'a>),
    /// `d`: some of the data of a `COPY`.
    CopyData(&'a [u8]),
    /// `c`: the data of a `COPY` is complete.
    CopyDone,
    /// `V`: the result of a `FunctionCall`; `None` is NULL.
    FunctionCallResponse(Option<&'a [u8]>),
}

/// A step of authentication.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Authentication<'a> {
    /// 0: authenticated.
    Ok,
    /// 2: Kerberos V5, which no supported server sends.
    KerberosV5,
    /// 3: send the password in clear.
    CleartextPassword,
    /// 5: send the password's MD5 with this salt.
    Md5Password([u8; 4]),
    /// 7: start GSSAPI.
    Gss,
    /// 8: the next GSSAPI or SSPI token.
    GssContinue(&'a [u8]),
    /// 9: start SSPI.
    Sspi,
    /// 10: choose one of these SASL mechanisms.
    Sasl(Mechanisms<'a>),
    /// 11: the mechanism's next message.
    SaslContinue(&'a [u8]),
    /// 12: the mechanism's last message.
    SaslFinal(&'a [u8]),
}

/// The mechanisms that a server offers, in its order of preference.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mechanisms<'a>(&'a [u8]);

/// How to cancel this connection's queries.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct BackendKeyData<'a> {
    /// Process number.
    pub process: u32,
    /// Secret, 4 to 256 bytes.
    pub key: &'a [u8],
}

/// A setting and its value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ParameterStatus<'a> {
    /// Name of the setting.
    pub name: &'a [u8],
    /// Its value.
    pub value: &'a [u8],
}

/// The server's answer to a version or protocol parameters that it does not know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NegotiateProtocolVersion<'a> {
    /// The newest version that the server speaks; servers send the full version word.
    pub version: ProtocolVersion,
    unknown: &'a [u8],
}

/// What a finished statement says of itself: `DELETE 12`, `INSERT 0 5`, `CREATE TABLE`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CommandTag<'a>(&'a [u8]);

/// A `NOTIFY` of some session.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct NotificationResponse<'a> {
    /// Process number of the notifying session.
    pub process: u32,
    /// Name of the channel.
    pub channel: &'a [u8],
    /// What it said.
    pub payload: &'a [u8],
}

/// The shape of the data of a `COPY`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CopyShape<'a> {
    /// Text covers CSV as well.
    pub overall: Format,
    /// The format of each column.
    pub columns: Formats<'a>,
}

impl Body<'_> {
    /// The documented name of the message type.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Authentication(_) => "Authentication",
            Self::BackendKeyData(_) => "BackendKeyData",
            Self::ParameterStatus(_) => "ParameterStatus",
            Self::NegotiateProtocolVersion(_) => "NegotiateProtocolVersion",
            Self::ReadyForQuery(_) => "ReadyForQuery",
            Self::RowDescription(_) => "RowDescription",
            Self::ParameterDescription(_) => "ParameterDescription",
            Self::NoData => "NoData",
            Self::DataRow(_) => "DataRow",
            Self::CommandComplete(_) => "CommandComplete",
            Self::EmptyQueryResponse => "EmptyQueryResponse",
            Self::PortalSuspended => "PortalSuspended",
            Self::ParseComplete => "ParseComplete",
            Self::BindComplete => "BindComplete",
            Self::CloseComplete => "CloseComplete",
            Self::ErrorResponse(_) => "ErrorResponse",
            Self::NoticeResponse(_) => "NoticeResponse",
            Self::NotificationResponse(_) => "NotificationResponse",
            Self::CopyInResponse(_) => "CopyInResponse",
            Self::CopyOutResponse(_) => "CopyOutResponse",
            Self::CopyBothResponse(_) => "CopyBothResponse",
            Self::CopyData(_) => "CopyData",
            Self::CopyDone => "CopyDone",
            Self::FunctionCallResponse(_) => "FunctionCallResponse",
        }
    }
}

/// Rows and errors hold people's data: only the type is printed.
impl std::fmt::Debug for Body<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

impl<'a> Message<'a> {
    /// Cuts the first message off `bytes` and reads it; `None` while it is incomplete. The number is how many
    /// bytes it took.
    ///
    /// # Errors
    /// [`Malformed`] for anything that is not exactly one message of this phase within its limits.
    pub fn decode(bytes: &'a [u8], limits: &Limits) -> Result<Option<(Self, usize)>, Malformed> {
        match Frame::decode(bytes, limits)? {
            Some((frame, used)) => Self::of(frame).map(|message| Some((message, used))),
            None => Ok(None),
        }
    }

    /// Reads a frame that came from a server.
    ///
    /// # Errors
    /// [`Malformed`] unless the body is understood to its last byte.
    pub fn of(frame: Frame<'a>) -> Result<Self, Malformed> {
        let body = match frame.tag() {
            b'1' => nothing("ParseComplete", frame, Body::ParseComplete)?,
            b'2' => nothing("BindComplete", frame, Body::BindComplete)?,
            b'3' => nothing("CloseComplete", frame, Body::CloseComplete)?,
            b'I' => nothing("EmptyQueryResponse", frame, Body::EmptyQueryResponse)?,
            b'n' => nothing("NoData", frame, Body::NoData)?,
            b's' => nothing("PortalSuspended", frame, Body::PortalSuspended)?,
            b'c' => nothing("CopyDone", frame, Body::CopyDone)?,
            b'd' => Body::CopyData(frame.body()),
            tag => return with_body(tag, frame.body()).map(|body| Self { frame, body }),
        };
        Ok(Self { frame, body })
    }

    /// The bytes as they came: what to forward.
    #[must_use]
    pub const fn raw(&self) -> &'a [u8] {
        self.frame.raw()
    }

    /// What they say.
    #[must_use]
    pub const fn body(&self) -> &Body<'a> {
        &self.body
    }
}

fn nothing<'a>(message: &'static str, frame: Frame<'a>, meaning: Body<'a>) -> Result<Body<'a>, Malformed> {
    Reader::new(message, frame.body()).end().map(|()| meaning)
}

fn with_body(tag: u8, body: &[u8]) -> Result<Body<'_>, Malformed> {
    Ok(match tag {
        b'D' => Body::DataRow(row(body)?),
        b'C' => Body::CommandComplete(CommandTag::of(body)?),
        b'Z' => Body::ReadyForQuery(ready(body)?),
        b'T' => Body::RowDescription(ColumnNames::of(body)?),
        b't' => Body::ParameterDescription(parameter_types(body)?),
        b'E' => Body::ErrorResponse(ErrorFields::of("ErrorResponse", body)?),
        b'N' => Body::NoticeResponse(ErrorFields::of("NoticeResponse", body)?),
        b'S' => Body::ParameterStatus(ParameterStatus::of(body)?),
        b'A' => Body::NotificationResponse(NotificationResponse::of(body)?),
        b'R' => Body::Authentication(Authentication::of(body)?),
        b'K' => Body::BackendKeyData(BackendKeyData::of(body)?),
        b'G' => Body::CopyInResponse(CopyShape::of("CopyInResponse", body)?),
        b'H' => Body::CopyOutResponse(CopyShape::of("CopyOutResponse", body)?),
        b'W' => Body::CopyBothResponse(CopyShape::of("CopyBothResponse", body)?),
        b'V' => Body::FunctionCallResponse(function_result(body)?),
        b'v' => Body::NegotiateProtocolVersion(NegotiateProtocolVersion::of(body)?),
        tag => return Err(Malformed::UnexpectedType { tag, place: "from a server" }),
    })
}

fn row(body: &[u8]) -> Result<Values<'_>, Malformed> {
    let mut reader = Reader::new("DataRow", body);
    let values = reader.values("columns")?;
    reader.end()?;
    Ok(values)
}

fn ready(body: &[u8]) -> Result<TransactionStatus, Malformed> {
    let mut reader = Reader::new("ReadyForQuery", body);
    let byte = reader.u8("status")?;
    let status = TransactionStatus::from_byte(byte).ok_or_else(|| reader.value("status", i64::from(byte)))?;
    reader.end()?;
    Ok(status)
}

fn parameter_types(body: &[u8]) -> Result<Oids<'_>, Malformed> {
    let mut reader = Reader::new("ParameterDescription", body);
    let types = reader.oids("types")?;
    reader.end()?;
    Ok(types)
}

fn function_result(body: &[u8]) -> Result<Option<&[u8]>, Malformed> {
    let mut reader = Reader::new("FunctionCallResponse", body);
    let value = reader.value_bytes("result")?;
    reader.end()?;
    Ok(value)
}

impl<'a> Authentication<'a> {
    fn of(body: &'a [u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new("Authentication", body);
        let step = match reader.u32("kind")? {
            0 => Self::Ok,
            2 => Self::KerberosV5,
            3 => Self::CleartextPassword,
            5 => Self::Md5Password(reader.u32("salt")?.to_be_bytes()),
            7 => Self::Gss,
            8 => Self::GssContinue(reader.remainder()),
            9 => Self::Sspi,
            10 => Self::Sasl(Mechanisms::of(&mut reader)?),
            11 => Self::SaslContinue(reader.remainder()),
            12 => Self::SaslFinal(reader.remainder()),
            other => return Err(reader.value("kind", i64::from(other))),
        };
        reader.end()?;
        Ok(step)
    }
}

/// SASL messages are parts of a proof.
impl std::fmt::Debug for Authentication<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Ok => f.write_str("Ok"),
            Self::KerberosV5 => f.write_str("KerberosV5"),
            Self::CleartextPassword => f.write_str("CleartextPassword"),
            Self::Md5Password(_) => f.write_str("Md5Password"),
            Self::Gss => f.write_str("Gss"),
            Self::GssContinue(token) => write!(f, "GssContinue({} bytes)", token.len()),
            Self::Sspi => f.write_str("Sspi"),
            Self::Sasl(mechanisms) => write!(f, "Sasl({mechanisms:?})"),
            Self::SaslContinue(data) => write!(f, "SaslContinue({} bytes)", data.len()),
            Self::SaslFinal(data) => write!(f, "SaslFinal({} bytes)", data.len()),
        }
    }
}

impl<'a> Mechanisms<'a> {
    fn of(reader: &mut Reader<'a>) -> Result<Self, Malformed> {
        let start = reader.rest();
        let mut names = Self(&[]);
        while !reader.text("mechanism")?.is_empty() {
            names = Self(reader.consumed_since(start));
        }
        Ok(names)
    }

    /// Their names.
    pub fn iter(&self) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        texts(self.0)
    }
}

/// Terminated texts, one behind the other.
fn texts<'a>(bytes: &'a [u8]) -> impl Iterator<Item = &'a [u8]> + use<'a> {
    let mut reader = Reader::new("list of texts", bytes);
    std::iter::from_fn(move || reader.text("text").ok())
}

impl<'a> BackendKeyData<'a> {
    fn of(body: &'a [u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new("BackendKeyData", body);
        let process = reader.u32("process number")?;
        let key = cancel_key(&mut reader)?;
        Ok(Self { process, key })
    }
}

/// The key is a secret.
impl std::fmt::Debug for BackendKeyData<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "BackendKeyData({}, key of {} bytes)", self.process, self.key.len())
    }
}

impl<'a> ParameterStatus<'a> {
    fn of(body: &'a [u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new("ParameterStatus", body);
        let name = reader.text("name")?;
        let value = reader.text("value")?;
        reader.end()?;
        Ok(Self { name, value })
    }
}

impl<'a> NegotiateProtocolVersion<'a> {
    fn of(body: &'a [u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new("NegotiateProtocolVersion", body);
        let version = ProtocolVersion::from_word(reader.u32("version")?);
        let count = reader.count_u31("number of options")?;
        let unknown = reader.rest();
        for _ in 0..count {
            reader.text("option")?;
        }
        reader.end()?;
        Ok(Self { version, unknown })
    }

    /// The protocol parameters that the server does not know.
    pub fn unknown_parameters(&self) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        texts(self.unknown)
    }
}

impl<'a> CommandTag<'a> {
    fn of(body: &'a [u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new("CommandComplete", body);
        let tag = reader.text("tag")?;
        reader.end()?;
        Ok(Self(tag))
    }

    /// The tag as sent.
    #[must_use]
    pub const fn text(&self) -> &'a [u8] {
        self.0
    }

    /// The command without its numbers: `DELETE`, `INSERT`, `CREATE TABLE`.
    #[must_use]
    pub fn verb(&self) -> &'a [u8] {
        let end = self.0.iter().position(u8::is_ascii_digit).unwrap_or(self.0.len());
        self.0.get(..end).unwrap_or_default().trim_ascii_end()
    }

    /// How many rows the command says it touched or returned; `None` if it says nothing that can be read.
    #[must_use]
    pub fn rows(&self) -> Option<u64> {
        let last = self.0.rsplit(|byte| *byte == b' ').next()?;
        if last.is_empty() || !last.iter().all(u8::is_ascii_digit) {
            return None;
        }
        std::str::from_utf8(last).ok()?.parse().ok()
    }
}

impl<'a> NotificationResponse<'a> {
    fn of(body: &'a [u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new("NotificationResponse", body);
        let process = reader.u32("process number")?;
        let channel = reader.text("channel")?;
        let payload = reader.text("payload")?;
        reader.end()?;
        Ok(Self { process, channel, payload })
    }
}

/// What was said is for the sessions that listen.
impl std::fmt::Debug for NotificationResponse<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "NotificationResponse({}, {} bytes)", self.channel.escape_ascii(), self.payload.len())
    }
}

impl<'a> CopyShape<'a> {
    fn of(message: &'static str, body: &'a [u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(message, body);
        let code = reader.u8("overall format")?;
        let overall = Format::from_code(u16::from(code))
            .ok_or_else(|| reader.value("overall format", i64::from(code)))?;
        let columns = reader.formats("column formats")?;
        reader.end()?;
        Ok(Self { overall, columns })
    }
}
