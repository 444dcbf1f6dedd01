//! What a gateway itself says, as bytes: [`client`] towards a server, [`server`] towards a client, [`Report`]
//! for errors and notices.
//!
//! Every function appends one message to a buffer, or appends nothing and says [`Unencodable`]: a text with a
//! NUL inside would end early and turn its rest into another field. Messages of the other side are never
//! rebuilt with these; they are forwarded as they came.

pub mod client;
mod report;
pub mod server;

use bytes::{BufMut, BytesMut};
use thiserror::Error;

pub use report::{Report, Severity};

use super::{Format, Target};

/// The message cannot be written; the buffer is as it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum Unencodable {
    /// A text holds a NUL, which would end it early.
    #[error("the {field} contains a NUL byte; remove it")]
    InteriorNul {
        /// The field.
        field: &'static str,
    },
    /// More of something than its count, or the message's length, can say.
    #[error("the {field} is too long for one message; send less at once")]
    TooLong {
        /// The field.
        field: &'static str,
    },
    /// The field is empty, which would be read as the end of a list, or holds what only the protocol may
    /// write.
    #[error("the {field} can't be empty; give it a value")]
    Empty {
        /// The field.
        field: &'static str,
    },
}

/// Appends fields to a message in progress.
struct Writer<'a>(&'a mut BytesMut);

/// Appends one message with a type byte, or nothing.
fn message(
    out: &mut BytesMut,
    tag: u8,
    body: impl FnOnce(&mut Writer<'_>) -> Result<(), Unencodable>,
) -> Result<(), Unencodable> {
    let start = out.len();
    out.put_u8(tag);
    packet(out, body).inspect_err(|_| out.truncate(start))
}

/// Appends one packet without a type byte, or nothing.
fn packet(
    out: &mut BytesMut,
    body: impl FnOnce(&mut Writer<'_>) -> Result<(), Unencodable>,
) -> Result<(), Unencodable> {
    let start = out.len();
    out.put_i32(0);
    let written = body(&mut Writer(out)).and_then(|()| {
        let len = out.len().saturating_sub(start);
        let word = i32::try_from(len).map_err(|_| Unencodable::TooLong { field: "message" })?;
        if let Some(slot) = out.get_mut(start..).and_then(<[u8]>::first_chunk_mut) {
            *slot = word.to_be_bytes();
        }
        Ok(())
    });
    written.inspect_err(|_| out.truncate(start))
}

impl Writer<'_> {
    fn u8(&mut self, value: u8) {
        self.0.put_u8(value);
    }

    fn u16(&mut self, value: u16) {
        self.0.put_u16(value);
    }

    fn u32(&mut self, value: u32) {
        self.0.put_u32(value);
    }

    fn i32(&mut self, value: i32) {
        self.0.put_i32(value);
    }

    fn bytes(&mut self, bytes: &[u8]) {
        self.0.put_slice(bytes);
    }

    fn text(&mut self, field: &'static str, text: &[u8]) -> Result<(), Unencodable> {
        if text.contains(&0) {
            return Err(Unencodable::InteriorNul { field });
        }
        self.0.put_slice(text);
        self.0.put_u8(0);
        Ok(())
    }

    /// A text of a list that ends with an empty text.
    fn listed_text(&mut self, field: &'static str, text: &[u8]) -> Result<(), Unencodable> {
        if text.is_empty() {
            return Err(Unencodable::Empty { field });
        }
        self.text(field, text)
    }

    fn count(&mut self, field: &'static str, count: usize) -> Result<(), Unencodable> {
        self.u16(u16::try_from(count).map_err(|_| Unencodable::TooLong { field })?);
        Ok(())
    }

    fn value(&mut self, field: &'static str, value: Option<&[u8]>) -> Result<(), Unencodable> {
        let Some(bytes) = value else {
            self.i32(-1);
            return Ok(());
        };
        self.i32(i32::try_from(bytes.len()).map_err(|_| Unencodable::TooLong { field })?);
        self.bytes(bytes);
        Ok(())
    }

    fn values(&mut self, field: &'static str, values: &[Option<&[u8]>]) -> Result<(), Unencodable> {
        self.count(field, values.len())?;
        values.iter().try_for_each(|value| self.value(field, *value))
    }

    fn formats(&mut self, field: &'static str, formats: &[Format]) -> Result<(), Unencodable> {
        self.count(field, formats.len())?;
        formats.iter().for_each(|format| self.u16(format.code()));
        Ok(())
    }

    fn oids(&mut self, field: &'static str, oids: &[u32]) -> Result<(), Unencodable> {
        self.count(field, oids.len())?;
        oids.iter().for_each(|oid| self.u32(*oid));
        Ok(())
    }

    fn target(&mut self, target: Target<'_>) -> Result<(), Unencodable> {
        let (kind, name) = match target {
            Target::Statement(name) => (b'S', name),
            Target::Portal(name) => (b'P', name),
        };
        self.u8(kind);
        self.text("name", name)
    }
}
