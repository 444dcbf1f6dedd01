//! Errors and notices that a gateway raises itself.
//!
//! Whether it becomes an `ErrorResponse` or a `NoticeResponse` follows from the severity, so that an error
//! that does not stop anything, or a notice that does, can't be written.

use bytes::BytesMut;

use super::{Unencodable, message};
use crate::postgres::Malformed;

/// How bad it is (documentation, "Message Severity Levels").
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Information for the person at the client.
    Info,
    /// Something worth knowing.
    Notice,
    /// Something likely to be a problem.
    Warning,
    /// The command failed.
    Error,
    /// The session ends.
    Fatal,
}

impl Severity {
    /// The word on the wire.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Info => "INFO",
            Self::Notice => "NOTICE",
            Self::Warning => "WARNING",
            Self::Error => "ERROR",
            Self::Fatal => "FATAL",
        }
    }

    const fn tag(self) -> u8 {
        match self {
            Self::Info | Self::Notice | Self::Warning => b'N',
            Self::Error | Self::Fatal => b'E',
        }
    }
}

/// An error or a notice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    severity: Severity,
    code: String,
    message: String,
    detail: Option<String>,
    hint: Option<String>,
}

impl Report {
    /// A report with the two things each one has: a SQLSTATE of five characters and a message.
    #[must_use]
    pub fn new(severity: Severity, code: impl Into<String>, message: impl Into<String>) -> Self {
        Self { severity, code: code.into(), message: message.into(), detail: None, hint: None }
    }

    /// Adds what else is known.
    #[must_use]
    pub fn detail(mut self, detail: impl Into<String>) -> Self {
        self.detail = Some(detail.into());
        self
    }

    /// Adds what to do next.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// How bad it is.
    #[must_use]
    pub const fn severity(&self) -> Severity {
        self.severity
    }

    /// Appends it as `ErrorResponse` or `NoticeResponse`, by its severity.
    ///
    /// # Errors
    /// [`Unencodable`] for a NUL in a text; nothing is appended.
    pub fn encode(&self, out: &mut BytesMut) -> Result<(), Unencodable> {
        let word = self.severity.word();
        let fields = [
            (b'S', Some(word)),
            (b'V', Some(word)),
            (b'C', Some(self.code.as_str())),
            (b'M', Some(self.message.as_str())),
            (b'D', self.detail.as_deref()),
            (b'H', self.hint.as_deref()),
        ];
        message(out, self.severity.tag(), |w| {
            for (kind, text) in fields {
                let Some(text) = text else { continue };
                w.u8(kind);
                w.text("report", text.as_bytes())?;
            }
            w.u8(0);
            Ok(())
        })
    }
}

/// A peer that is not understood is told so, and the connection ends.
impl From<&Malformed> for Report {
    fn from(malformed: &Malformed) -> Self {
        Self::new(Severity::Fatal, malformed.sqlstate(), malformed.to_string())
    }
}
