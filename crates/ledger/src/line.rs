//! Lines: the entries of our log, and the fields that bind each to its place.
//!
//! What: a line is a canonical JSON object of at most 65,535 bytes. Besides whatever it says, it carries its
//! index (`seq`), the leaf hash of the line before it (`prev`) and its instant (`ts`). [`seal`] makes the
//! bytes, [`open`] reads them. Why so: the tree proves all of this already; `prev` lets a follower check a
//! stream with one hash per line, and a line cut out of its place says by itself where it belongs. What not:
//! what a line says is opaque here.

mod ts;

use serde_json::{Map, Value};

use crate::hash::Hash;
use crate::jcs::{self, JcsError};
use crate::tile::ENTRY_BYTES_MAX;
use crate::tree::SIZE_MAX;

pub use ts::{Ts, TsError};

/// The longest line, in bytes.
pub const LINE_BYTES_MAX: usize = ENTRY_BYTES_MAX;

/// The field that holds the line's index, an integer.
pub const SEQ: &str = "seq";

/// The field that holds the leaf hash of the line before, in lower-case hexadecimal digits; the first line
/// holds the hash of the empty tree. Hexadecimal, so that `sha256sum` will do to check it.
pub const PREV: &str = "prev";

/// The field that holds the line's instant: see [`Ts`].
pub const TS: &str = "ts";

/// The field that holds the event's type, where a line has one (see [`crate::events`]). Not demanded here.
pub const TYPE: &str = "type";

/// What binds a line to its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// The index of the line, from 0.
    pub seq: u64,
    /// The leaf hash of the line before; [`Hash::empty`] for the first.
    pub prev: Hash,
    /// Its instant, never before that of the line before.
    pub ts: Ts,
}

/// A line that was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// Its place.
    pub header: Header,
    /// Everything it says, the fields of the header included.
    pub value: Value,
}

/// Why there is no line.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LineError {
    /// Longer than [`LINE_BYTES_MAX`].
    #[error(
        "a line of {0} bytes is longer than {LINE_BYTES_MAX}: keep long text as content, beside the chain"
    )]
    TooLong(usize),
    /// Not canonical JSON, or without a canonical form.
    #[error(transparent)]
    Json(#[from] JcsError),
    /// JSON, but no object.
    #[error("a line is a JSON object")]
    NotObject,
    /// A body that has a field of the header.
    #[error("the field `{0}` is set by the ledger: leave it out of the body")]
    Taken(&'static str),
    /// A field of the header that is missing or of the wrong form.
    #[error("the field `{name}` is missing or not {due}")]
    Field {
        /// Which.
        name: &'static str,
        /// What it holds in a good line.
        due: &'static str,
    },
}

/// The bytes of the line that says this at this place.
///
/// # Errors
/// [`LineError::Taken`], [`LineError::Json`], [`LineError::TooLong`]; [`LineError::Field`] for an index
/// beyond [`SIZE_MAX`].
pub fn seal(mut body: Map<String, Value>, header: &Header) -> Result<Vec<u8>, LineError> {
    if header.seq > SIZE_MAX {
        return Err(bad_seq());
    }
    let fields = [
        (SEQ, Value::from(header.seq)),
        (PREV, Value::from(header.prev.to_string())),
        (TS, Value::from(header.ts.to_string())),
    ];
    for (name, value) in fields {
        if body.insert(name.to_owned(), value).is_some() {
            return Err(LineError::Taken(name));
        }
    }
    let bytes = jcs::encode_object(&body)?;
    if bytes.len() > LINE_BYTES_MAX { Err(LineError::TooLong(bytes.len())) } else { Ok(bytes) }
}

/// Reads the bytes of a line.
///
/// # Errors
/// Everything in [`LineError`] but [`LineError::Taken`].
pub fn open(bytes: &[u8]) -> Result<Line, LineError> {
    if bytes.len() > LINE_BYTES_MAX {
        return Err(LineError::TooLong(bytes.len()));
    }
    let value = jcs::parse(bytes)?;
    let header = read_header(value.as_object().ok_or(LineError::NotObject)?)?;
    Ok(Line { header, value })
}

fn read_header(object: &Map<String, Value>) -> Result<Header, LineError> {
    let text = |name| object.get(name).and_then(Value::as_str);
    let bad_prev = LineError::Field { name: PREV, due: "a hash of 64 lower-case hexadecimal digits" };
    let bad_ts = LineError::Field { name: TS, due: "an instant like `2026-03-03T09:30:00.000000Z`" };
    Ok(Header {
        seq: object.get(SEQ).and_then(Value::as_u64).ok_or_else(bad_seq)?,
        prev: text(PREV).and_then(|prev| Hash::from_hex(prev).ok()).ok_or(bad_prev)?,
        ts: text(TS).and_then(|ts| ts.parse().ok()).ok_or(bad_ts)?,
    })
}

fn bad_seq() -> LineError {
    LineError::Field { name: SEQ, due: "an index between 0 and 2^53 - 1" }
}

#[cfg(test)]
pub(crate) mod tests {
    use serde_json::json;

    use super::*;

    /// The lines of a log whose bodies are given, a second apart.
    pub(crate) fn chain(bodies: impl IntoIterator<Item = Value>) -> Vec<Vec<u8>> {
        let mut prev = Hash::empty();
        let mut lines = Vec::new();
        for (seq, body) in (0..).zip(bodies) {
            let ts = Ts::from_micros(1_772_530_200_000_000 + 1_000_000 * seq as i64).unwrap();
            let line = seal(body.as_object().unwrap().clone(), &Header { seq, prev, ts }).unwrap();
            prev = Hash::leaf(&line);
            lines.push(line);
        }
        lines
    }

    #[test]
    fn sealed_and_opened() {
        let lines =
            chain([json!({"type": "system.started"}), json!({"type": "grant.issued", "grant": "g1"})]);
        let first = String::from_utf8(lines[0].clone()).unwrap();
        assert_eq!(
            first,
            concat!(
                r#"{"prev":"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855","#,
                r#""seq":0,"ts":"2026-03-03T09:30:00.000000Z","type":"system.started"}"#
            )
        );
        let second = open(&lines[1]).unwrap();
        assert_eq!(second.header.seq, 1);
        assert_eq!(second.header.prev, Hash::leaf(&lines[0]));
        assert_eq!(second.header.ts.micros(), 1_772_530_201_000_000);
        assert_eq!(second.value["grant"], "g1");
    }

    #[test]
    fn the_header_is_the_ledgers() {
        let header = Header { seq: 0, prev: Hash::empty(), ts: Ts::from_micros(0).unwrap() };
        for name in [SEQ, PREV, TS] {
            let body = Map::from_iter([(name.to_owned(), Value::Null)]);
            assert_eq!(seal(body, &header), Err(LineError::Taken(name)));
        }
        let beyond = Header { seq: SIZE_MAX + 1, ..header };
        assert_eq!(seal(Map::new(), &beyond), Err(bad_seq()));
    }

    #[test]
    fn the_longest_line() {
        let header = Header { seq: 0, prev: Hash::empty(), ts: Ts::from_micros(0).unwrap() };
        let of = |length: usize| {
            seal(Map::from_iter([("a".to_owned(), Value::from("x".repeat(length)))]), &header)
        };
        let around = of(0).unwrap().len();
        let longest = of(LINE_BYTES_MAX - around).unwrap();
        assert_eq!((longest.len(), open(&longest).is_ok()), (LINE_BYTES_MAX, true));
        assert_eq!(of(LINE_BYTES_MAX - around + 1), Err(LineError::TooLong(LINE_BYTES_MAX + 1)));
        assert_eq!(open(&[b' '; LINE_BYTES_MAX + 1]), Err(LineError::TooLong(LINE_BYTES_MAX + 1)));
    }

    #[test]
    fn other_things_are_no_lines() {
        let good = json!({"prev": "0".repeat(64), "seq": 0, "ts": "2026-03-03T09:30:00.000000Z"});
        assert!(open(&jcs::encode(&good).unwrap()).is_ok());
        for (field, values) in [
            ("seq", json!([null, "0", -1, true])),
            ("prev", json!([null, 0, "", "0".repeat(63), "A".repeat(64)])),
            ("ts", json!([null, 0, "", "2026-03-03", "2026-03-03T09:30:00Z"])),
        ] {
            for value in values.as_array().unwrap() {
                let mut line = good.clone();
                line[field] = value.clone();
                let error = open(&jcs::encode(&line).unwrap()).unwrap_err();
                assert!(
                    error.to_string().contains(&format!("the field `{field}` is missing or not")),
                    "{error}"
                );
            }
            let mut line = good.clone();
            line.as_object_mut().unwrap().remove(field);
            assert!(matches!(open(&jcs::encode(&line).unwrap()), Err(LineError::Field { .. })));
        }
        assert_eq!(open(b"[]"), Err(LineError::NotObject));
        assert!(matches!(open(b"{} "), Err(LineError::Json(_))));
    }
}
