//! Cutting a stream of bytes into frames: one type byte, a length word that counts itself, a body.
//!
//! Every length is checked against a named limit for its type and phase *before* anything waits for the body,
//! so a peer cannot make the gateway hold more than the limit. Row and copy data, whose messages may lawfully
//! be as long as the protocol can say, are handed on in pieces ([`Framer`]) in constant memory. Startup
//! packets have no type byte: see [`startup`](super::startup).
//!
//! What not: nothing here looks into a body.

use super::Malformed;

/// The most a client may send in one message before it is authenticated, in bytes. Enough for a SCRAM
/// exchange and for a bearer token used as a password.
pub const LOGIN_LEN_MAX: u32 = 8_192;
/// The most for messages that carry only names (PostgreSQL's own limit is the same), in bytes.
pub const SMALL_LEN_MAX: u32 = 10_000;
/// The most for server messages other than the long kinds, in bytes: libpq refuses longer ones too.
pub const SERVER_SMALL_LEN_MAX: u32 = 30_000;
/// The most for messages that must be held in memory whole: statements with their parameters, errors, row
/// descriptions. In bytes; the default of [`Limits::large_len_max`].
pub const LARGE_LEN_MAX: u32 = 16 * 1024 * 1024;
/// Row and copy messages up to this length are handed on whole, longer ones in pieces. In bytes.
pub const STREAM_ABOVE_LEN: u32 = 64 * 1024;
/// What the protocol's signed length word can say at most, in bytes.
pub const PROTOCOL_LEN_MAX: u32 = i32::MAX as u32;

/// Bytes of a frame in front of its body.
const HEAD_BYTES: usize = 5;
/// The length word counts itself.
const LENGTH_BYTES: u32 = 4;

/// Who speaks, and how far the connection has come: it decides which message types exist and how long they
/// may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// From a client that has not proved who it is: only answers to an authentication request.
    ClientLogin,
    /// From an authenticated client.
    Client,
    /// From a server, until its first `ReadyForQuery`.
    ServerLogin,
    /// From a server that is ready.
    Server,
}

impl Phase {
    const fn place(self) -> &'static str {
        match self {
            Self::ClientLogin => "from a client that is not yet authenticated",
            Self::Client => "from a client",
            Self::ServerLogin => "from a server before it is ready",
            Self::Server => "from a server",
        }
    }
}

/// The limits of one direction of one connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Decides which message types exist.
    pub phase: Phase,
    /// The most for a message that is held whole, in bytes; [`LARGE_LEN_MAX`] unless configured.
    pub large_len_max: u32,
}

/// What one message type is allowed.
struct Allowance {
    message: &'static str,
    len_max: u32,
    streams: bool,
}

impl Limits {
    /// The default limits of a phase.
    #[must_use]
    pub const fn new(phase: Phase) -> Self {
        Self { phase, large_len_max: LARGE_LEN_MAX }
    }

    fn allowance(&self, tag: u8) -> Result<Allowance, Malformed> {
        let row = match self.phase {
            Phase::ClientLogin => client_login(tag),
            Phase::Client => client(tag),
            Phase::ServerLogin => server_login(tag),
            Phase::Server => server(tag),
        };
        let (message, size) = row.ok_or(Malformed::UnexpectedType { tag, place: self.phase.place() })?;
        let (len_max, streams) = match size {
            Size::Upto(len) => (len, false),
            Size::Large => (self.large_len_max, false),
            Size::Streams => (PROTOCOL_LEN_MAX, true),
        };
        Ok(Allowance { message, len_max, streams })
    }
}

/// How long a message type may be.
enum Size {
    Upto(u32),
    Large,
    Streams,
}

const fn client_login(tag: u8) -> Option<(&'static str, Size)> {
    match tag {
        b'p' => Some(("PasswordMessage", Size::Upto(LOGIN_LEN_MAX))),
        _ => None,
    }
}

const fn client(tag: u8) -> Option<(&'static str, Size)> {
    Some(match tag {
        b'B' => ("Bind", Size::Large),
        b'C' => ("Close", Size::Upto(SMALL_LEN_MAX)),
        b'D' => ("Describe", Size::Upto(SMALL_LEN_MAX)),
        b'E' => ("Execute", Size::Upto(SMALL_LEN_MAX)),
        b'F' => ("FunctionCall", Size::Large),
        b'H' => ("Flush", Size::Upto(SMALL_LEN_MAX)),
        b'P' => ("Parse", Size::Large),
        b'Q' => ("Query", Size::Large),
        b'S' => ("Sync", Size::Upto(SMALL_LEN_MAX)),
        b'X' => ("Terminate", Size::Upto(SMALL_LEN_MAX)),
        b'c' => ("CopyDone", Size::Upto(SMALL_LEN_MAX)),
        b'd' => ("CopyData", Size::Streams),
        b'f' => ("CopyFail", Size::Upto(SMALL_LEN_MAX)),
        _ => return None,
    })
}

const fn server_login(tag: u8) -> Option<(&'static str, Size)> {
    Some(match tag {
        b'E' => ("ErrorResponse", Size::Upto(SERVER_SMALL_LEN_MAX)),
        b'K' => ("BackendKeyData", Size::Upto(SERVER_SMALL_LEN_MAX)),
        b'N' => ("NoticeResponse", Size::Upto(SERVER_SMALL_LEN_MAX)),
        b'R' => ("Authentication", Size::Upto(SERVER_SMALL_LEN_MAX)),
        b'S' => ("ParameterStatus", Size::Upto(SERVER_SMALL_LEN_MAX)),
        b'Z' => ("ReadyForQuery", Size::Upto(SERVER_SMALL_LEN_MAX)),
        b'v' => ("NegotiateProtocolVersion", Size::Upto(SERVER_SMALL_LEN_MAX)),
        _ => return None,
    })
}

const fn server(tag: u8) -> Option<(&'static str, Size)> {
    Some(match tag {
        b'1' => ("ParseComplete", Size::Upto(SERVER_SMALL_LEN_MAX)),
        b'2' => ("BindComplete", Size::Upto(SERVER_SMALL_LEN_MAX)),
        b'3' => ("CloseComplete", Size::Upto(SERVER_SMALL_LEN_MAX)),
        b'A' => ("NotificationResponse", Size::Upto(SERVER_SMALL_LEN_MAX)),
        b'C' => ("CommandComplete", Size::Upto(SERVER_SMALL_LEN_MAX)),
        b'D' => ("DataRow", Size::Streams),
        b'E' => ("ErrorResponse", Size::Large),
        b'G' => ("CopyInResponse", Size::Upto(SERVER_SMALL_LEN_MAX)),
        b'H' => ("CopyOutResponse", Size::Upto(SERVER_SMALL_LEN_MAX)),
        b'I' => ("EmptyQueryResponse", Size::Upto(SERVER_SMALL_LEN_MAX)),
        b'N' => ("NoticeResponse", Size::Large),
        b'S' => ("ParameterStatus", Size::Upto(SERVER_SMALL_LEN_MAX)),
        b'T' => ("RowDescription", Size::Large),
        b'V' => ("FunctionCallResponse", Size::Streams),
        b'W' => ("CopyBothResponse", Size::Upto(SERVER_SMALL_LEN_MAX)),
        b'Z' => ("ReadyForQuery", Size::Upto(SERVER_SMALL_LEN_MAX)),
        b'c' => ("CopyDone", Size::Upto(SERVER_SMALL_LEN_MAX)),
        b'd' => ("CopyData", Size::Streams),
        b'n' => ("NoData", Size::Upto(SERVER_SMALL_LEN_MAX)),
        b's' => ("PortalSuspended", Size::Upto(SERVER_SMALL_LEN_MAX)),
        b't' => ("ParameterDescription", Size::Large),
        _ => return None,
    })
}

/// The first five bytes of a message: its type and its length.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FrameHead {
    tag: u8,
    len: u32,
    streams: bool,
}

impl FrameHead {
    /// Reads a head and checks its type and length; `None` while fewer than five bytes are there.
    ///
    /// # Errors
    /// [`Malformed`] for an unknown type (as soon as its byte is there) and for an impossible or excessive
    /// length.
    pub fn decode(bytes: &[u8], limits: &Limits) -> Result<Option<Self>, Malformed> {
        let Some((&tag, rest)) = bytes.split_first() else { return Ok(None) };
        let allowed = limits.allowance(tag)?;
        let Some(word) = rest.first_chunk() else { return Ok(None) };
        let len = u32::from_be_bytes(*word);
        if !(LENGTH_BYTES..=PROTOCOL_LEN_MAX).contains(&len) {
            return Err(Malformed::ImpossibleLength { message: allowed.message, len: len.cast_signed() });
        }
        if len > allowed.len_max {
            return Err(Malformed::TooLong { message: allowed.message, len, limit: allowed.len_max });
        }
        Ok(Some(Self { tag, len, streams: allowed.streams && len > STREAM_ABOVE_LEN }))
    }

    /// The type byte.
    #[must_use]
    pub const fn tag(&self) -> u8 {
        self.tag
    }

    /// The length word: body and itself, without the type byte. In bytes.
    #[must_use]
    pub const fn len(&self) -> u32 {
        self.len
    }

    /// Whether the body is empty.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len == LENGTH_BYTES
    }

    /// Length of the body in bytes.
    #[must_use]
    pub const fn body_len(&self) -> u32 {
        self.len.saturating_sub(LENGTH_BYTES)
    }

    const fn total(&self) -> usize {
        self.body_len() as usize + HEAD_BYTES
    }
}

/// One whole message as it came: nothing in it has been looked at but its head.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Frame<'a> {
    tag: u8,
    raw: &'a [u8],
}

impl<'a> Frame<'a> {
    /// Cuts the first message off `bytes`; `None` while it is incomplete. The number is how many bytes it
    /// took.
    ///
    /// # Errors
    /// As [`FrameHead::decode`]; and [`Malformed::TooLong`] for row and copy messages above
    /// [`Limits::large_len_max`], which only a [`Framer`] can carry.
    pub fn decode(bytes: &'a [u8], limits: &Limits) -> Result<Option<(Self, usize)>, Malformed> {
        let Some(head) = FrameHead::decode(bytes, limits)? else { return Ok(None) };
        if head.len > limits.large_len_max {
            let message = limits.allowance(head.tag)?.message;
            return Err(Malformed::TooLong { message, len: head.len, limit: limits.large_len_max });
        }
        Ok(Self::cut(head, bytes))
    }

    fn cut(head: FrameHead, bytes: &'a [u8]) -> Option<(Self, usize)> {
        let raw = bytes.get(..head.total())?;
        Some((Self { tag: head.tag, raw }, raw.len()))
    }

    /// The type byte.
    #[must_use]
    pub const fn tag(&self) -> u8 {
        self.tag
    }

    /// The whole message, head included: what to forward.
    #[must_use]
    pub const fn raw(&self) -> &'a [u8] {
        self.raw
    }

    /// What follows the head.
    #[must_use]
    pub fn body(&self) -> &'a [u8] {
        self.raw.get(HEAD_BYTES..).unwrap_or_default()
    }
}

/// Bodies are people's data and passwords: only the shape is printed.
impl std::fmt::Debug for Frame<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Frame({}, {} bytes)", self.tag.escape_ascii(), self.raw.len())
    }
}

/// What a [`Framer`] cuts off the stream. Forwarding the raw bytes of every piece in order forwards the
/// stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Piece<'a> {
    /// A whole message.
    Whole(Frame<'a>),
    /// The head of a long row or copy message, whose body follows in [`Piece::Body`] pieces.
    Head(FrameHead, &'a [u8]),
    /// Some of the body announced by the last head; `last` when the message ends with it.
    Body {
        /// The bytes, never empty.
        bytes: &'a [u8],
        /// Whether the message is complete.
        last: bool,
    },
}

impl<'a> Piece<'a> {
    /// The bytes of this piece as they came.
    #[must_use]
    pub const fn raw(&self) -> &'a [u8] {
        match self {
            Self::Whole(frame) => frame.raw(),
            Self::Head(_, raw) => raw,
            Self::Body { bytes, .. } => bytes,
        }
    }
}

/// Several whole messages of one type, lying one behind the other: rows can be forwarded by the buffer, not
/// one by one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Run<'a> {
    /// All of them, heads included.
    pub raw: &'a [u8],
    /// How many messages.
    pub frames: u64,
}

/// Cuts one direction of a connection into [`Piece`]s, whatever way the bytes arrive.
///
/// It buffers nothing: the caller keeps the bytes that have not been taken and calls again with more behind
/// them. Which messages come whole and which in pieces depends on their length alone, never on how the
/// network cut them.
#[derive(Debug, Clone)]
pub struct Framer {
    limits: Limits,
    body_left: u32,
}

impl Framer {
    /// Starts at a message boundary.
    #[must_use]
    pub const fn new(limits: Limits) -> Self {
        Self { limits, body_left: 0 }
    }

    /// The limits in force.
    #[must_use]
    pub const fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Goes on with another phase; the message in progress, if any, keeps what it was allowed.
    pub const fn enter(&mut self, phase: Phase) {
        self.limits.phase = phase;
    }

    /// Whether the next byte is the first of a message.
    #[must_use]
    pub const fn at_boundary(&self) -> bool {
        self.body_left == 0
    }

    /// Cuts the next piece off the front of `input`; `None` while more bytes are needed. The number is how
    /// many bytes the piece took, which the caller must then drop from the front.
    ///
    /// # Errors
    /// As [`FrameHead::decode`]. The stream cannot be resumed after an error.
    pub fn next<'a>(&mut self, input: &'a [u8]) -> Result<Option<(Piece<'a>, usize)>, Malformed> {
        if self.body_left > 0 {
            return Ok(self.next_of_body(input));
        }
        let Some(head) = FrameHead::decode(input, &self.limits)? else { return Ok(None) };
        if !head.streams {
            return Ok(Frame::cut(head, input).map(|(frame, used)| (Piece::Whole(frame), used)));
        }
        self.body_left = head.body_len();
        let raw = input.get(..HEAD_BYTES).unwrap_or_default();
        Ok(Some((Piece::Head(head, raw), HEAD_BYTES)))
    }

    fn next_of_body<'a>(&mut self, input: &'a [u8]) -> Option<(Piece<'a>, usize)> {
        let bytes = input.get(..self.body_left as usize).unwrap_or(input);
        if bytes.is_empty() {
            return None;
        }
        let taken = u32::try_from(bytes.len()).unwrap_or(self.body_left);
        self.body_left = self.body_left.saturating_sub(taken);
        Some((Piece::Body { bytes, last: self.body_left == 0 }, bytes.len()))
    }

    /// The whole messages of type `tag` at the front of `input`, without those that must come in pieces.
    /// Whatever ends the run, an error included, is left for [`Framer::next`] to report.
    #[must_use]
    pub fn run<'a>(&self, input: &'a [u8], tag: u8) -> Run<'a> {
        let (mut end, mut frames) = (0, 0);
        if self.at_boundary() {
            while let Some(rest) = input.get(end..)
                && let Ok(Some(head)) = FrameHead::decode(rest, &self.limits)
                && head.tag == tag
                && !head.streams
                && rest.len() >= head.total()
            {
                end += head.total();
                frames += 1;
            }
        }
        Run { raw: input.get(..end).unwrap_or_default(), frames }
    }
}
