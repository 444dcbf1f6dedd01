//! A cursor over one message body: every read is checked, nothing is copied, and [`Reader::end`] insists that
//! the last byte was reached. All decoders of the protocol are written with it and with nothing else.

use std::ffi::CStr;

use super::{Format, Formats, Malformed, Oids, Values};

/// What is left of one message body, and the name of the message for errors.
#[derive(Debug, Clone)]
pub(super) struct Reader<'a> {
    rest: &'a [u8],
    message: &'static str,
}

impl<'a> Reader<'a> {
    pub(super) const fn new(message: &'static str, body: &'a [u8]) -> Self {
        Self { rest: body, message }
    }

    pub(super) const fn rest(&self) -> &'a [u8] {
        self.rest
    }

    pub(super) fn take(&mut self, count: usize, field: &'static str) -> Result<&'a [u8], Malformed> {
        let (taken, rest) = self.rest.split_at_checked(count).ok_or_else(|| self.short(field))?;
        self.rest = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self, field: &'static str) -> Result<[u8; N], Malformed> {
        let (taken, rest) = self.rest.split_first_chunk::<N>().ok_or_else(|| self.short(field))?;
        self.rest = rest;
        Ok(*taken)
    }

    pub(super) fn u8(&mut self, field: &'static str) -> Result<u8, Malformed> {
        self.array(field).map(u8::from_be_bytes)
    }

    pub(super) fn u16(&mut self, field: &'static str) -> Result<u16, Malformed> {
        self.array(field).map(u16::from_be_bytes)
    }

    pub(super) fn i16(&mut self, field: &'static str) -> Result<i16, Malformed> {
        self.array(field).map(i16::from_be_bytes)
    }

    pub(super) fn u32(&mut self, field: &'static str) -> Result<u32, Malformed> {
        self.array(field).map(u32::from_be_bytes)
    }

    pub(super) fn i32(&mut self, field: &'static str) -> Result<i32, Malformed> {
        self.array(field).map(i32::from_be_bytes)
    }

    /// A count or limit that the protocol sends as a signed number and that can't be negative.
    pub(super) fn count_u31(&mut self, field: &'static str) -> Result<u32, Malformed> {
        let value = self.i32(field)?;
        u32::try_from(value).map_err(|_| self.value(field, i64::from(value)))
    }

    /// A NUL-terminated text, without its terminator.
    pub(super) fn text(&mut self, field: &'static str) -> Result<&'a [u8], Malformed> {
        let text = CStr::from_bytes_until_nul(self.rest).map_err(|_| self.short(field))?.to_bytes();
        let (_, rest) = self.rest.split_at_checked(text.len() + 1).ok_or_else(|| self.short(field))?;
        self.rest = rest;
        Ok(text)
    }

    /// A value with a length in front; length -1 is NULL, every other negative length is malformed.
    pub(super) fn value_bytes(&mut self, field: &'static str) -> Result<Option<&'a [u8]>, Malformed> {
        match self.i32(field)? {
            -1 => Ok(None),
            len => {
                let count = usize::try_from(len).map_err(|_| self.value(field, i64::from(len)))?;
                self.take(count, field).map(Some)
            }
        }
    }

    /// A 16-bit count and that many values. The count is unsigned, as in every implementation.
    pub(super) fn values(&mut self, field: &'static str) -> Result<Values<'a>, Malformed> {
        let count = self.u16(field)?;
        let start = self.rest;
        for _ in 0..count {
            self.value_bytes(field)?;
        }
        Ok(Values::new(count, self.consumed_since(start)))
    }

    /// A 16-bit count and that many type OIDs.
    pub(super) fn oids(&mut self, field: &'static str) -> Result<Oids<'a>, Malformed> {
        let count = self.u16(field)?;
        self.take(usize::from(count) * 4, field).map(Oids::new)
    }

    /// A 16-bit count and that many format codes, each 0 (text) or 1 (binary).
    pub(super) fn formats(&mut self, field: &'static str) -> Result<Formats<'a>, Malformed> {
        let count = self.u16(field)?;
        let mut codes = Self::new(self.message, self.take(usize::from(count) * 2, field)?);
        let formats = Formats::new(codes.rest);
        for _ in 0..count {
            codes.format(field)?;
        }
        Ok(formats)
    }

    pub(super) fn format(&mut self, field: &'static str) -> Result<Format, Malformed> {
        let code = self.u16(field)?;
        Format::from_code(code).ok_or_else(|| self.value(field, i64::from(code)))
    }

    /// Everything that is left.
    pub(super) fn remainder(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.rest)
    }

    /// The message must be used up; anything after its last field is malformed.
    pub(super) fn end(self) -> Result<(), Malformed> {
        match self.rest.len() {
            0 => Ok(()),
            count => Err(Malformed::Trailing { message: self.message, count }),
        }
    }

    /// The part of `start` that has been read since `start` was what was left.
    pub(super) fn consumed_since(&self, start: &'a [u8]) -> &'a [u8] {
        start.get(..start.len().saturating_sub(self.rest.len())).unwrap_or_default()
    }

    pub(super) const fn short(&self, field: &'static str) -> Malformed {
        Malformed::Short { message: self.message, field }
    }

    pub(super) const fn value(&self, field: &'static str, value: i64) -> Malformed {
        Malformed::Value { message: self.message, field, value }
    }
}
