//! Canonical JSON: one value, one byte string (RFC 8785).
//!
//! What: [`encode`] writes a value in its canonical form; [`parse`] reads *only* the canonical form. Why so:
//! what is hashed are stored bytes, and an auditor must be sure that no second reading of those bytes exists.
//! White space, unsorted or repeated keys, needless escapes and other spellings of a number are therefore
//! errors, not variants. What not: numbers that are not integers, and integers that JavaScript cannot hold
//! exactly, are refused instead of formatted. The parser is our own and does not call `serde_json`'s:
//! features that other crates switch on there change what its parser accepts.

mod read;

use serde_json::{Map, Number, Value};

pub use read::parse;

/// The deepest nesting of arrays and objects, outermost included: keeps recursion bounded.
pub const DEPTH_MAX: usize = 64;

/// The largest integer that every JSON reader holds exactly: 2^53 - 1 (RFC 7493, section 2.2).
pub const INTEGER_MAX: u64 = (1 << 53) - 1;

/// Why a value has no canonical form here, or why bytes are not one. Offsets count bytes from the start.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum JcsError {
    /// A fraction, an exponent, or an integer beyond 2^53 - 1.
    #[error("`{0}` is not an integer within 2^53 - 1: write it as a string")]
    Number(String),
    /// Nested deeper than [`DEPTH_MAX`].
    #[error("nested deeper than {DEPTH_MAX} levels: flatten the value")]
    Depth,
    /// The bytes end inside a value.
    #[error("the text ends inside a value")]
    Ended,
    /// Something else than canonical JSON at this offset.
    #[error("not canonical JSON at byte {offset}: {due}")]
    Unexpected {
        /// Where.
        offset: usize,
        /// What is due there.
        due: &'static str,
    },
    /// A key that is not greater than the one before it.
    #[error("not canonical JSON at byte {offset}: key `{key}` is repeated or out of order")]
    KeyOrder {
        /// Where the key begins.
        offset: usize,
        /// The key.
        key: String,
    },
}

/// The canonical bytes of a value.
///
/// # Errors
/// [`JcsError::Number`] and [`JcsError::Depth`].
pub fn encode(value: &Value) -> Result<Vec<u8>, JcsError> {
    let mut out = Vec::with_capacity(256);
    write_value(&mut out, value, 0)?;
    Ok(out)
}

/// The canonical bytes of an object; like [`encode`].
///
/// # Errors
/// [`JcsError::Number`] and [`JcsError::Depth`].
pub fn encode_object(object: &Map<String, Value>) -> Result<Vec<u8>, JcsError> {
    let mut out = Vec::with_capacity(256);
    write_object(&mut out, object, 1)?;
    Ok(out)
}

/// Whether these bytes are the canonical form of some value.
#[must_use]
pub fn is_canonical(bytes: &[u8]) -> bool {
    parse(bytes).is_ok()
}

fn write_value(out: &mut Vec<u8>, value: &Value, depth: usize) -> Result<(), JcsError> {
    match value {
        Value::Null => out.extend_from_slice(b"null"),
        Value::Bool(true) => out.extend_from_slice(b"true"),
        Value::Bool(false) => out.extend_from_slice(b"false"),
        Value::Number(number) => write_number(out, number)?,
        Value::String(text) => write_string(out, text),
        Value::Array(items) => write_array(out, items, depth + 1)?,
        Value::Object(object) => write_object(out, object, depth + 1)?,
    }
    Ok(())
}

fn write_array(out: &mut Vec<u8>, items: &[Value], depth: usize) -> Result<(), JcsError> {
    if depth > DEPTH_MAX {
        return Err(JcsError::Depth);
    }
    out.push(b'[');
    for (position, item) in items.iter().enumerate() {
        if position > 0 {
            out.push(b',');
        }
        write_value(out, item, depth)?;
    }
    out.push(b']');
    Ok(())
}

fn write_object(out: &mut Vec<u8>, object: &Map<String, Value>, depth: usize) -> Result<(), JcsError> {
    if depth > DEPTH_MAX {
        return Err(JcsError::Depth);
    }
    let mut members: Vec<(&String, &Value)> = object.iter().collect();
    members.sort_by(|left, right| compare_keys(left.0, right.0));
    out.push(b'{');
    for (position, (key, value)) in members.into_iter().enumerate() {
        if position > 0 {
            out.push(b',');
        }
        write_string(out, key);
        out.push(b':');
        write_value(out, value, depth)?;
    }
    out.push(b'}');
    Ok(())
}

/// RFC 8785, section 3.2.3: keys are compared as UTF-16 code units, which differs from the order of their
/// UTF-8 bytes beyond the basic plane.
fn compare_keys(left: &str, right: &str) -> std::cmp::Ordering {
    left.encode_utf16().cmp(right.encode_utf16())
}

fn write_number(out: &mut Vec<u8>, number: &Number) -> Result<(), JcsError> {
    let written = match (number.as_i64(), number.as_u64()) {
        (Some(integer), _) if integer.unsigned_abs() <= INTEGER_MAX => integer.to_string(),
        (None, Some(integer)) if integer <= INTEGER_MAX => integer.to_string(),
        _ => return Err(JcsError::Number(number.to_string())),
    };
    out.extend_from_slice(written.as_bytes());
    Ok(())
}

/// RFC 8785, section 3.2.2.2: only what must be escaped is, in the shortest way.
fn write_string(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    for byte in text.bytes() {
        match (short_escape(byte), byte) {
            (Some(letter), _) => out.extend_from_slice(&[b'\\', letter]),
            (None, 0x00..=0x1f) => out.extend_from_slice(format!("\\u{byte:04x}").as_bytes()),
            (None, _) => out.push(byte),
        }
    }
    out.push(b'"');
}

/// The letter after the backslash, for the seven characters that have a short escape.
fn short_escape(byte: u8) -> Option<u8> {
    match byte {
        0x08 => Some(b'b'),
        b'\t' => Some(b't'),
        b'\n' => Some(b'n'),
        0x0c => Some(b'f'),
        b'\r' => Some(b'r'),
        b'"' => Some(b'"'),
        b'\\' => Some(b'\\'),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
