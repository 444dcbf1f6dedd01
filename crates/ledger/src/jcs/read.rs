//! The strict reader: accepts a byte string exactly if [`super::encode`] could have written it.
//!
//! It is total: every byte is read at most twice, recursion ends at [`DEPTH_MAX`], and what is allocated is
//! bounded by the input.

use serde_json::{Map, Value};

use super::{DEPTH_MAX, INTEGER_MAX, JcsError, compare_keys, short_escape};

/// The value whose canonical form these bytes are.
///
/// # Errors
/// Everything that [`JcsError`] can say; offsets point at the offending byte.
pub fn parse(bytes: &[u8]) -> Result<Value, JcsError> {
    let mut reader = Reader { bytes, at: 0 };
    let value = reader.value(0)?;
    match reader.peek() {
        None => Ok(value),
        Some(_) => Err(reader.unexpected("the end of the text")),
    }
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Reader<'_> {
    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn next(&mut self) -> Result<u8, JcsError> {
        let byte = self.peek().ok_or(JcsError::Ended)?;
        self.at += 1;
        Ok(byte)
    }

    fn unexpected(&self, due: &'static str) -> JcsError {
        JcsError::Unexpected { offset: self.at, due }
    }

    /// Takes this byte if it is the next one.
    fn take(&mut self, byte: u8) -> bool {
        let there = self.peek() == Some(byte);
        self.at += usize::from(there);
        there
    }

    fn must(&mut self, byte: u8, due: &'static str) -> Result<(), JcsError> {
        match self.peek() {
            None => Err(JcsError::Ended),
            Some(_) if self.take(byte) => Ok(()),
            Some(_) => Err(self.unexpected(due)),
        }
    }

    fn value(&mut self, depth: usize) -> Result<Value, JcsError> {
        match self.peek().ok_or(JcsError::Ended)? {
            b'n' => self.word(b"null", Value::Null),
            b't' => self.word(b"true", Value::Bool(true)),
            b'f' => self.word(b"false", Value::Bool(false)),
            b'"' => self.string().map(Value::String),
            b'[' => self.array(depth + 1),
            b'{' => self.object(depth + 1),
            b'-' | b'0'..=b'9' => self.integer(),
            _ => Err(self.unexpected("a value")),
        }
    }

    fn word(&mut self, word: &[u8], value: Value) -> Result<Value, JcsError> {
        for &byte in word {
            self.must(byte, "`null`, `true` or `false`")?;
        }
        Ok(value)
    }

    fn integer(&mut self) -> Result<Value, JcsError> {
        let start = self.at;
        let negative = self.take(b'-');
        let mut magnitude: u64 = 0;
        let first = self.at;
        while let Some(digit @ b'0'..=b'9') = self.peek() {
            self.at += 1;
            magnitude = magnitude.saturating_mul(10).saturating_add(u64::from(digit - b'0'));
        }
        let digits = self.at - first;
        if digits == 0 {
            return Err(self.peek().map_or(JcsError::Ended, |_| self.unexpected("a digit")));
        }
        if (digits > 1 && self.bytes.get(first) == Some(&b'0')) || (negative && magnitude == 0) {
            return Err(JcsError::Unexpected { offset: start, due: "an integer in its shortest form" });
        }
        if matches!(self.peek(), Some(b'.' | b'e' | b'E')) {
            return Err(self.unexpected("an integer, without fraction or exponent"));
        }
        // INVARIANT: at most 2^53 - 1, so the sign cannot overflow.
        match i64::try_from(magnitude) {
            Ok(integer) if magnitude <= INTEGER_MAX => {
                Ok(Value::from(if negative { -integer } else { integer }))
            }
            _ => Err(JcsError::Unexpected { offset: start, due: "an integer within 2^53 - 1" }),
        }
    }

    fn string(&mut self) -> Result<String, JcsError> {
        self.must(b'"', "a string")?;
        let start = self.at;
        let mut out: Vec<u8> = Vec::new();
        loop {
            match self.next()? {
                b'"' => break,
                b'\\' => out.push(self.escape()?),
                0x00..=0x1f => {
                    return Err(JcsError::Unexpected {
                        offset: self.at - 1,
                        due: "control characters escaped",
                    });
                }
                byte => out.push(byte),
            }
        }
        String::from_utf8(out).map_err(|_| JcsError::Unexpected { offset: start, due: "a string in UTF-8" })
    }

    /// What follows a backslash: one of the seven short escapes, or `u00` and two digits for a control
    /// character that has none. Every other escape spells a character that stands for itself.
    fn escape(&mut self) -> Result<u8, JcsError> {
        let offset = self.at;
        let wrong =
            JcsError::Unexpected { offset, due: "the shortest escape, and none where none is needed" };
        let letter = self.next()?;
        if letter != b'u' {
            return unescape(letter).ok_or(wrong);
        }
        let digits = [self.next()?, self.next()?, self.next()?, self.next()?];
        match (control_code(digits), short_escape(control_code(digits).unwrap_or(0))) {
            (Some(code), None) => Ok(code),
            _ => Err(wrong),
        }
    }

    fn array(&mut self, depth: usize) -> Result<Value, JcsError> {
        self.open(depth)?;
        let mut items = Vec::new();
        if self.take(b']') {
            return Ok(Value::Array(items));
        }
        loop {
            items.push(self.value(depth)?);
            if !self.take(b',') {
                break;
            }
        }
        self.must(b']', "`,` or `]`")?;
        Ok(Value::Array(items))
    }

    fn object(&mut self, depth: usize) -> Result<Value, JcsError> {
        self.open(depth)?;
        let mut members = Map::new();
        if self.take(b'}') {
            return Ok(Value::Object(members));
        }
        let mut last: Option<String> = None;
        loop {
            let offset = self.at;
            let key = self.string()?;
            if last.as_deref().is_some_and(|last| compare_keys(last, &key).is_ge()) {
                return Err(JcsError::KeyOrder { offset, key });
            }
            self.must(b':', "`:`")?;
            let value = self.value(depth)?;
            last = Some(key.clone());
            members.insert(key, value);
            if !self.take(b',') {
                break;
            }
        }
        self.must(b'}', "`,` or `}`")?;
        Ok(Value::Object(members))
    }

    fn open(&mut self, depth: usize) -> Result<(), JcsError> {
        if depth > DEPTH_MAX {
            return Err(JcsError::Depth);
        }
        self.at += 1;
        Ok(())
    }
}

fn unescape(letter: u8) -> Option<u8> {
    let byte = match letter {
        b'b' => 0x08,
        b't' => b'\t',
        b'n' => b'\n',
        b'f' => 0x0c,
        b'r' => b'\r',
        b'"' | b'\\' => letter,
        _ => return None,
    };
    Some(byte)
}

/// The value of `00` and two lower-case digits, if it is a control character.
fn control_code(digits: [u8; 4]) -> Option<u8> {
    let low = match digits {
        [b'0', b'0', b'0' | b'1', low @ b'0'..=b'9'] => low - b'0',
        [b'0', b'0', b'0' | b'1', low @ b'a'..=b'f'] => low - b'a' + 10,
        _ => return None,
    };
    Some(if digits.get(2) == Some(&b'1') { 0x10 | low } else { low })
}
