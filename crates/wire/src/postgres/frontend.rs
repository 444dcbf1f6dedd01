//! What an authenticated client says, and its answers while it authenticates.
//!
//! A [`Message`] keeps the raw bytes beside the typed view that was made of exactly them; it can't be built
//! any other way. Limits on length are the frame's ([`Limits`]); here every body is read to its last byte.

use super::read::Reader;
use super::{Format, Formats, Frame, Limits, Malformed, Oids, Target, Values};

/// A whole client message: the bytes and what they say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Message<'a> {
    frame: Frame<'a>,
    body: Body<'a>,
}

/// What a client message says.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Body<'a> {
    /// `p`: an answer to an authentication request; which kind is for the exchange to know.
    Login(LoginAnswer<'a>),
    /// `Q`: statements as one text.
    Query(&'a [u8]),
    /// `P`: prepare a statement.
    Parse(Parse<'a>),
    /// `B`: make a portal of a statement and parameters.
    Bind(Bind<'a>),
    /// `D`: ask what a statement or portal takes and gives.
    Describe(Target<'a>),
    /// `E`: run a portal.
    Execute(Execute<'a>),
    /// `C`: forget a statement or portal.
    Close(Target<'a>),
    /// `H`: send out the answers so far.
    Flush,
    /// `S`: end of a batch: commit it if it is its own transaction, answer `ReadyForQuery`.
    Sync,
    /// `F`: call a function by its OID, without a statement.
    FunctionCall(FunctionCall<'a>),
    /// `d`: some of the data of a `COPY`.
    CopyData(&'a [u8]),
    /// `c`: the data of a `COPY` is complete.
    CopyDone,
    /// `f`: give up a `COPY`, with a reason.
    CopyFail(&'a [u8]),
    /// `X`: goodbye.
    Terminate,
}

/// `Parse`: a statement text under a name.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Parse<'a> {
    /// Name of the prepared statement; empty for the unnamed one.
    pub statement: &'a [u8],
    /// The statement text, in the client's encoding.
    pub text: &'a [u8],
    /// Types of the first parameters, as far as the client wants to say.
    pub types: Oids<'a>,
}

/// `Bind`: parameters for a statement, under a portal name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bind<'a> {
    /// Name of the portal; empty for the unnamed one.
    pub portal: &'a [u8],
    /// Name of the statement; empty for the unnamed one.
    pub statement: &'a [u8],
    /// Formats of the parameters: none, one for all, or one each.
    pub formats: Formats<'a>,
    /// The parameters.
    pub parameters: Values<'a>,
    /// Formats wanted for the result: none, one for all, or one per column.
    pub result_formats: Formats<'a>,
}

/// `Execute`: run a portal, to its end or for some rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Execute<'a> {
    /// Name of the portal.
    pub portal: &'a [u8],
    /// The most rows to return before suspending; 0 for all.
    pub rows_max: u32,
}

/// `FunctionCall`: the fast path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FunctionCall<'a> {
    /// OID of the function.
    pub function: u32,
    /// Formats of the arguments: none, one for all, or one each.
    pub formats: Formats<'a>,
    /// The arguments.
    pub arguments: Values<'a>,
    /// Format wanted for the result.
    pub result_format: Format,
}

/// An answer to an authentication request: its bytes mean what the exchange in progress says.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct LoginAnswer<'a>(&'a [u8]);

/// `SASLInitialResponse`: a mechanism and its first message.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct SaslInitial<'a> {
    /// Name of the mechanism chosen.
    pub mechanism: &'a [u8],
    /// The first message, if the client sent one along.
    pub data: Option<&'a [u8]>,
}

impl Body<'_> {
    /// The documented name of the message type.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Login(_) => "PasswordMessage",
            Self::Query(_) => "Query",
            Self::Parse(_) => "Parse",
            Self::Bind(_) => "Bind",
            Self::Describe(_) => "Describe",
            Self::Execute(_) => "Execute",
            Self::Close(_) => "Close",
            Self::Flush => "Flush",
            Self::Sync => "Sync",
            Self::FunctionCall(_) => "FunctionCall",
            Self::CopyData(_) => "CopyData",
            Self::CopyDone => "CopyDone",
            Self::CopyFail(_) => "CopyFail",
            Self::Terminate => "Terminate",
        }
    }
}

/// Statements and their data may hold secrets: only the type is printed.
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

    /// Reads a frame that came from a client.
    ///
    /// # Errors
    /// [`Malformed`] unless the body is understood to its last byte.
    pub fn of(frame: Frame<'a>) -> Result<Self, Malformed> {
        let body = match frame.tag() {
            b'p' => Body::Login(LoginAnswer(frame.body())),
            b'd' => Body::CopyData(frame.body()),
            b'Q' => Body::Query(only_text("Query", "text", frame.body())?),
            b'f' => Body::CopyFail(only_text("CopyFail", "reason", frame.body())?),
            b'P' => Body::Parse(Parse::of(frame.body())?),
            b'B' => Body::Bind(Bind::of(frame.body())?),
            b'E' => Body::Execute(Execute::of(frame.body())?),
            b'D' => Body::Describe(target("Describe", frame.body())?),
            b'C' => Body::Close(target("Close", frame.body())?),
            b'F' => Body::FunctionCall(FunctionCall::of(frame.body())?),
            b'H' => nothing("Flush", frame.body(), Body::Flush)?,
            b'S' => nothing("Sync", frame.body(), Body::Sync)?,
            b'c' => nothing("CopyDone", frame.body(), Body::CopyDone)?,
            b'X' => nothing("Terminate", frame.body(), Body::Terminate)?,
            tag => return Err(Malformed::UnexpectedType { tag, place: "from a client" }),
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

fn nothing<'a>(message: &'static str, body: &'a [u8], meaning: Body<'a>) -> Result<Body<'a>, Malformed> {
    Reader::new(message, body).end().map(|()| meaning)
}

fn only_text<'a>(message: &'static str, field: &'static str, body: &'a [u8]) -> Result<&'a [u8], Malformed> {
    let mut reader = Reader::new(message, body);
    let text = reader.text(field)?;
    reader.end()?;
    Ok(text)
}

fn target<'a>(message: &'static str, body: &'a [u8]) -> Result<Target<'a>, Malformed> {
    let mut reader = Reader::new(message, body);
    let kind = reader.u8("kind")?;
    let name = reader.text("name")?;
    let target = match kind {
        b'S' => Target::Statement(name),
        b'P' => Target::Portal(name),
        other => return Err(reader.value("kind", i64::from(other))),
    };
    reader.end()?;
    Ok(target)
}

/// Format codes apply to values as none, one for all, or one each; anything else has no meaning.
fn formats_fit(reader: &Reader<'_>, formats: Formats<'_>, values: Values<'_>) -> Result<(), Malformed> {
    if formats.len() <= 1 || formats.len() == values.len() {
        return Ok(());
    }
    Err(reader.value("number of format codes", i64::try_from(formats.len()).unwrap_or(i64::MAX)))
}

impl<'a> Parse<'a> {
    fn of(body: &'a [u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new("Parse", body);
        let statement = reader.text("statement name")?;
        let text = reader.text("text")?;
        let types = reader.oids("parameter types")?;
        reader.end()?;
        Ok(Self { statement, text, types })
    }
}

/// The text may hold secrets.
impl std::fmt::Debug for Parse<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Parse({}, text of {} bytes)", self.statement.escape_ascii(), self.text.len())
    }
}

impl<'a> Bind<'a> {
    fn of(body: &'a [u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new("Bind", body);
        let portal = reader.text("portal name")?;
        let statement = reader.text("statement name")?;
        let formats = reader.formats("parameter formats")?;
        let parameters = reader.values("parameters")?;
        formats_fit(&reader, formats, parameters)?;
        let result_formats = reader.formats("result formats")?;
        reader.end()?;
        Ok(Self { portal, statement, formats, parameters, result_formats })
    }
}

impl<'a> Execute<'a> {
    fn of(body: &'a [u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new("Execute", body);
        let portal = reader.text("portal name")?;
        let rows_max = reader.count_u31("row limit")?;
        reader.end()?;
        Ok(Self { portal, rows_max })
    }
}

impl<'a> FunctionCall<'a> {
    fn of(body: &'a [u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new("FunctionCall", body);
        let function = reader.u32("function")?;
        let formats = reader.formats("argument formats")?;
        let arguments = reader.values("arguments")?;
        formats_fit(&reader, formats, arguments)?;
        let result_format = reader.format("result format")?;
        reader.end()?;
        Ok(Self { function, formats, arguments, result_format })
    }
}

impl<'a> LoginAnswer<'a> {
    /// Reads it as `PasswordMessage`: the password, or its MD5 answer.
    ///
    /// # Errors
    /// [`Malformed`] unless it is exactly one terminated text.
    pub fn password(&self) -> Result<&'a [u8], Malformed> {
        only_text("PasswordMessage", "password", self.0)
    }

    /// Reads it as `SASLInitialResponse`.
    ///
    /// # Errors
    /// [`Malformed`] unless it is exactly a mechanism and an optional first message.
    pub fn sasl_initial(&self) -> Result<SaslInitial<'a>, Malformed> {
        let mut reader = Reader::new("SASLInitialResponse", self.0);
        let mechanism = reader.text("mechanism")?;
        let data = reader.value_bytes("data")?;
        reader.end()?;
        Ok(SaslInitial { mechanism, data })
    }

    /// Reads it as `SASLResponse`: the whole body is the mechanism's own message.
    #[must_use]
    pub const fn sasl_response(&self) -> &'a [u8] {
        self.0
    }
}

/// It may hold a password.
impl std::fmt::Debug for LoginAnswer<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "LoginAnswer({} bytes)", self.0.len())
    }
}

/// The data is part of a proof.
impl std::fmt::Debug for SaslInitial<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let bytes = self.data.map_or(0, <[u8]>::len);
        write!(f, "SaslInitial({}, {bytes} bytes)", self.mechanism.escape_ascii())
    }
}
