//! The packets that open a connection: they have a length but no type byte (documentation, "Start-up").
//!
//! Parameters are read strictly: names and values end where they say, a name is there once (setting names are
//! case-insensitive, so `user` and `USER` are the same name), the list has its terminator and nothing follows
//! it. What the parameters *mean*, and which are allowed, is for the door to judge; nothing here is
//! forwarded.

use std::collections::BTreeSet;

use super::Malformed;
use super::read::Reader;

/// The most for a startup packet, in bytes, its length word included; PostgreSQL has the same limit.
pub const STARTUP_LEN_MAX: u32 = 10_000;
/// The least a cancel key has, in bytes.
pub const CANCEL_KEY_BYTES_MIN: usize = 4;
/// The most a cancel key has, in bytes (protocol 3.2).
pub const CANCEL_KEY_BYTES_MAX: usize = 256;
/// The first byte of a TLS handshake record: what a client sends first that starts TLS without asking
/// (PostgreSQL 17, `sslnegotiation=direct`). No startup packet begins with it, since it would be longer than
/// [`STARTUP_LEN_MAX`].
pub const TLS_HANDSHAKE: u8 = 0x16;
/// What parameters of the protocol itself start with (protocol 3.2 and later).
pub const PROTOCOL_PARAMETER_PREFIX: &[u8] = b"_pq_.";

pub(super) const CANCEL_CODE: u32 = 80_877_102;
pub(super) const SSL_CODE: u32 = 80_877_103;
pub(super) const GSS_CODE: u32 = 80_877_104;
const LENGTH_BYTES: usize = 4;
const CODE_BYTES: usize = 4;

/// A protocol version: 3.0, 3.2.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ProtocolVersion {
    /// Major version.
    pub major: u16,
    /// Minor version.
    pub minor: u16,
}

impl ProtocolVersion {
    /// What every client of the last twenty years speaks.
    pub const V3_0: Self = Self { major: 3, minor: 0 };
    /// PostgreSQL 18: cancel keys of up to 256 bytes.
    pub const V3_2: Self = Self { major: 3, minor: 2 };

    /// The version as the 32-bit word on the wire.
    #[must_use]
    pub const fn word(self) -> u32 {
        ((self.major as u32) << 16) | self.minor as u32
    }

    /// The version in a 32-bit word of the wire.
    #[must_use]
    pub const fn from_word(word: u32) -> Self {
        Self { major: (word >> 16) as u16, minor: (word & 0xffff) as u16 }
    }
}

/// The packet that a connection starts with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Opening<'a> {
    /// Asks for TLS; answered with one byte, `S` or `N`.
    Ssl,
    /// Asks for GSSAPI encryption; answered with one byte, `G` or `N`.
    Gss,
    /// Asks to cancel what another connection runs; never answered.
    Cancel(CancelRequest<'a>),
    /// Starts a session.
    Startup(StartupMessage<'a>),
}

/// Names the connection whose query is to be cancelled.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct CancelRequest<'a> {
    /// Process number from `BackendKeyData`.
    pub process: u32,
    /// Secret from `BackendKeyData`, 4 to 256 bytes. Compare it in constant time.
    pub key: &'a [u8],
}

/// The key is a secret.
impl std::fmt::Debug for CancelRequest<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "CancelRequest({}, key of {} bytes)", self.process, self.key.len())
    }
}

/// Asks for a session with these parameters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StartupMessage<'a> {
    /// The protocol version asked for; the major version is 3.
    pub version: ProtocolVersion,
    pairs: &'a [u8],
}

impl<'a> Opening<'a> {
    /// Cuts the opening packet off `bytes`; `None` while it is incomplete. The number is how many bytes it
    /// took: whatever follows a request for encryption in the same read was not encrypted and must end the
    /// connection.
    ///
    /// # Errors
    /// [`Malformed`] for anything but the four packets; the length is judged before more bytes are waited
    /// for.
    pub fn decode(bytes: &'a [u8]) -> Result<Option<(Self, usize)>, Malformed> {
        let Some(word) = bytes.first_chunk() else { return Ok(None) };
        let len = u32::from_be_bytes(*word);
        let message = "StartupMessage";
        if len > STARTUP_LEN_MAX {
            return Err(Malformed::TooLong { message, len, limit: STARTUP_LEN_MAX });
        }
        let total = len as usize;
        if total < LENGTH_BYTES + CODE_BYTES {
            return Err(Malformed::ImpossibleLength { message, len: len.cast_signed() });
        }
        let Some(packet) = bytes.get(LENGTH_BYTES..total) else { return Ok(None) };
        let mut reader = Reader::new(message, packet);
        let code = reader.u32("protocol version")?;
        let opening = Self::of(code, reader.remainder())?;
        Ok(Some((opening, total)))
    }

    fn of(code: u32, body: &'a [u8]) -> Result<Self, Malformed> {
        match code {
            SSL_CODE => Reader::new("SSLRequest", body).end().map(|()| Self::Ssl),
            GSS_CODE => Reader::new("GSSENCRequest", body).end().map(|()| Self::Gss),
            CANCEL_CODE => CancelRequest::of(body).map(Self::Cancel),
            word => match ProtocolVersion::from_word(word) {
                version @ ProtocolVersion { major: 3, .. } => {
                    StartupMessage::of(version, body).map(Self::Startup)
                }
                ProtocolVersion { major, minor } => Err(Malformed::UnsupportedVersion { major, minor }),
            },
        }
    }
}

impl<'a> CancelRequest<'a> {
    fn of(body: &'a [u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new("CancelRequest", body);
        let process = reader.u32("process number")?;
        let key = cancel_key(&mut reader)?;
        Ok(Self { process, key })
    }
}

/// The rest of the message, if it can be a cancel key.
pub(super) fn cancel_key<'a>(reader: &mut Reader<'a>) -> Result<&'a [u8], Malformed> {
    let field = "cancel key length";
    let key = reader.remainder();
    if (CANCEL_KEY_BYTES_MIN..=CANCEL_KEY_BYTES_MAX).contains(&key.len()) {
        return Ok(key);
    }
    Err(reader.value(field, i64::try_from(key.len()).unwrap_or(i64::MAX)))
}

impl<'a> StartupMessage<'a> {
    fn of(version: ProtocolVersion, body: &'a [u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new("StartupMessage", body);
        let mut seen = BTreeSet::new();
        let start = reader.rest();
        let mut pairs = start;
        loop {
            let name = reader.text("parameter name")?;
            if name.is_empty() {
                break;
            }
            reader.text("parameter value")?;
            pairs = reader.consumed_since(start);
            if !seen.insert(name.to_ascii_lowercase()) {
                let name = name.escape_ascii().to_string().chars().take(64).collect();
                return Err(Malformed::DuplicateParameter { name });
            }
        }
        reader.end()?;
        Ok(Self { version, pairs: if seen.is_empty() { &[] } else { pairs } })
    }

    /// The parameters in the order sent, each name once.
    pub fn parameters(&self) -> impl Iterator<Item = (&'a [u8], &'a [u8])> + use<'a> {
        let mut reader = Reader::new("StartupMessage", self.pairs);
        std::iter::from_fn(move || {
            Some((reader.text("parameter name").ok()?, reader.text("parameter value").ok()?))
        })
    }

    /// The value of a parameter; names are compared without regard to ASCII case.
    #[must_use]
    pub fn parameter(&self, name: &str) -> Option<&'a [u8]> {
        self.parameters().find(|(key, _)| key.eq_ignore_ascii_case(name.as_bytes())).map(|(_, value)| value)
    }

    /// The user asked for, if there is one and it is not empty; PostgreSQL refuses a session without.
    #[must_use]
    pub fn user(&self) -> Option<&'a [u8]> {
        self.parameter("user").filter(|user| !user.is_empty())
    }

    /// The database asked for; without one it is named like the user, as in PostgreSQL.
    #[must_use]
    pub fn database(&self) -> Option<&'a [u8]> {
        self.parameter("database").filter(|database| !database.is_empty()).or_else(|| self.user())
    }

    /// The names of the protocol parameters (`_pq_.` ...) asked for. Each one that is not supported is named
    /// in `NegotiateProtocolVersion`.
    pub fn protocol_parameters(&self) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        self.parameters().map(|(name, _)| name).filter(|name| name.starts_with(PROTOCOL_PARAMETER_PREFIX))
    }
}
