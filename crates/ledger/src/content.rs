//! Commitments: how a line vouches for content that is kept elsewhere and may be erased.
//!
//! What: a line holds `SHA-256("countersign/content/v1" LF kind LF salt content)` in place of a statement's
//! text, a reason or a name. Whoever is shown the content and its salt can check that it is what was
//! recorded; whoever is not learns nothing, and erasing it breaks no proof. [`Record`] is one such
//! disclosure, a line of an export's `content.jsonl`. What not: encryption, and the drawing of salts; both
//! are the caller's.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Map, Value};

use crate::hash::Hash;
use crate::jcs::{self, JcsError};

/// Length of a salt, in bytes.
pub const SALT_BYTES: usize = 16;

/// The longest line of `content.jsonl`, in bytes: content of some 24 MB.
pub const RECORD_BYTES_MAX: usize = 32 * 1024 * 1024;

/// The longest name of a kind.
pub const KIND_BYTES_MAX: usize = 64;

const DOMAIN: &[u8] = b"countersign/content/v1\n";
const PREFIX: &str = "c1:";

/// What a line holds in place of content. Written `c1:` and the base64 of 32 bytes, for URLs and without
/// padding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Commitment(pub Hash);

/// A disclosed content: what a commitment in a line stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// The index of the line.
    pub seq: u64,
    /// Where in the line the commitment is: a JSON pointer (RFC 6901), such as `/reason`.
    pub field: String,
    /// What kind of content it is; part of what was committed to.
    pub kind: String,
    /// The salt.
    pub salt: [u8; SALT_BYTES],
    /// The content.
    pub bytes: Vec<u8>,
}

/// Why a disclosure is none, or does not hold.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ContentError {
    /// Not a commitment.
    #[error("not a commitment: `c1:` and 43 characters of base64 for URLs are due")]
    Commitment,
    /// Not canonical JSON.
    #[error(transparent)]
    Json(#[from] JcsError),
    /// Canonical JSON, but no record.
    #[error("not a content record: `{0}` is missing, malformed or not known")]
    Member(&'static str),
    /// Longer than [`RECORD_BYTES_MAX`].
    #[error("a content record of {0} bytes is longer than {RECORD_BYTES_MAX}")]
    TooLong(usize),
    /// The line has no commitment there.
    #[error("line {seq} has no commitment at `{field}`")]
    Nothing {
        /// The line.
        seq: u64,
        /// The place.
        field: String,
    },
    /// The content is not what was committed to.
    #[error("the content is not what line {seq} committed to at `{field}`")]
    Mismatch {
        /// The line.
        seq: u64,
        /// The place.
        field: String,
    },
}

/// The commitment to this content.
///
/// A kind is a constant of the program: lower-case letters, digits, `.`, `_` and `-`, at most
/// [`KIND_BYTES_MAX`] of them. [`Record`] accepts no other, which keeps the hashed bytes unambiguous.
#[must_use]
pub fn commit(salt: &[u8; SALT_BYTES], kind: &str, bytes: &[u8]) -> Commitment {
    Commitment(Hash::of(&[DOMAIN, kind.as_bytes(), b"\n", salt, bytes]))
}

/// Every commitment in a line, with the JSON pointer to it, in the order of the line.
#[must_use]
pub fn commitments(value: &Value) -> Vec<(String, Commitment)> {
    let mut found = Vec::new();
    let mut waiting = vec![(String::new(), value)];
    while let Some((at, value)) = waiting.pop() {
        match value {
            Value::String(text) => found.extend(text.parse().ok().map(|commitment| (at, commitment))),
            Value::Array(items) => {
                waiting.extend(
                    items.iter().enumerate().rev().map(|(index, item)| (format!("{at}/{index}"), item)),
                );
            }
            Value::Object(members) => {
                waiting
                    .extend(members.iter().rev().map(|(key, item)| (format!("{at}/{}", escape(key)), item)));
            }
            _ => (),
        }
    }
    found
}

/// A key as a reference token of a JSON pointer.
fn escape(key: &str) -> String {
    key.replace('~', "~0").replace('/', "~1")
}

impl fmt::Display for Commitment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{PREFIX}{}", URL_SAFE_NO_PAD.encode(self.0.0))
    }
}

impl FromStr for Commitment {
    type Err = ContentError;

    fn from_str(text: &str) -> Result<Self, ContentError> {
        let encoded = text.strip_prefix(PREFIX).ok_or(ContentError::Commitment)?;
        let bytes = URL_SAFE_NO_PAD.decode(encoded).map_err(|_| ContentError::Commitment)?;
        Hash::from_bytes(&bytes).map(Self).map_err(|_| ContentError::Commitment)
    }
}

impl Record {
    /// The record as a line of `content.jsonl`, without the newline.
    ///
    /// # Errors
    /// [`ContentError::Member`] for a kind or an index that can't be read back, [`ContentError::TooLong`].
    pub fn to_line(&self) -> Result<Vec<u8>, ContentError> {
        self.check_form()?;
        let members = Map::from_iter([
            ("bytes".to_owned(), Value::from(STANDARD.encode(&self.bytes))),
            ("field".to_owned(), Value::from(self.field.as_str())),
            ("kind".to_owned(), Value::from(self.kind.as_str())),
            ("salt".to_owned(), Value::from(STANDARD.encode(self.salt))),
            ("seq".to_owned(), Value::from(self.seq)),
        ]);
        let line = jcs::encode_object(&members)?;
        if line.len() > RECORD_BYTES_MAX { Err(ContentError::TooLong(line.len())) } else { Ok(line) }
    }

    /// Reads [`Self::to_line`].
    ///
    /// # Errors
    /// [`ContentError::TooLong`], [`ContentError::Json`] and [`ContentError::Member`].
    pub fn parse(line: &[u8]) -> Result<Self, ContentError> {
        if line.len() > RECORD_BYTES_MAX {
            return Err(ContentError::TooLong(line.len()));
        }
        let value = jcs::parse(line)?;
        let members = value.as_object().filter(|members| members.len() == 5);
        let members = members.ok_or(ContentError::Member("a member"))?;
        let text = |name| members.get(name).and_then(Value::as_str).ok_or(ContentError::Member(name));
        let decoded = |name| STANDARD.decode(text(name)?).map_err(|_| ContentError::Member(name));
        let record = Self {
            seq: members.get("seq").and_then(Value::as_u64).ok_or(ContentError::Member("seq"))?,
            field: text("field")?.to_owned(),
            kind: text("kind")?.to_owned(),
            salt: decoded("salt")?.try_into().map_err(|_| ContentError::Member("salt"))?,
            bytes: decoded("bytes")?,
        };
        record.check_form()?;
        Ok(record)
    }

    /// The commitment that this content has.
    #[must_use]
    pub fn commitment(&self) -> Commitment {
        commit(&self.salt, &self.kind, &self.bytes)
    }

    /// Checks that this is what the line committed to. The line's place is the caller's to check.
    ///
    /// # Errors
    /// [`ContentError::Nothing`] and [`ContentError::Mismatch`].
    pub fn check(&self, line: &Value) -> Result<(), ContentError> {
        let (seq, field) = (self.seq, self.field.clone());
        let stated = line.pointer(&self.field).and_then(Value::as_str).and_then(stated_commitment);
        match stated {
            None => Err(ContentError::Nothing { seq, field }),
            Some(stated) if stated == self.commitment() => Ok(()),
            Some(_) => Err(ContentError::Mismatch { seq, field }),
        }
    }

    fn check_form(&self) -> Result<(), ContentError> {
        let is_fit = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"._-".contains(&byte);
        let kind_is_fit = (1..=KIND_BYTES_MAX).contains(&self.kind.len()) && self.kind.bytes().all(is_fit);
        match () {
            () if !kind_is_fit => Err(ContentError::Member("kind")),
            () if !self.field.starts_with('/') => Err(ContentError::Member("field")),
            () if self.seq > crate::tree::SIZE_MAX => Err(ContentError::Member("seq")),
            () => Ok(()),
        }
    }
}

/// A commitment as a line states it: marked as one, or, where the pointer alone says what it is, as a plain
/// hash.
fn stated_commitment(text: &str) -> Option<Commitment> {
    text.parse().ok().or_else(|| Hash::from_hex(text).ok().map(Commitment))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn record() -> Record {
        Record {
            seq: 7,
            field: "/reason".to_owned(),
            kind: "reason".to_owned(),
            salt: *b"0123456789abcdef",
            bytes: b"ticket 12, \xff".to_vec(),
        }
    }

    #[test]
    fn the_hash_is_as_specified() {
        let commitment = commit(b"0123456789abcdef", "reason", b"because");
        let expected = Hash::of(&[b"countersign/content/v1\nreason\n0123456789abcdefbecause"]);
        assert_eq!(commitment, Commitment(expected));
        assert_eq!(commitment.to_string().len(), 46);
        assert_eq!(commitment.to_string().parse(), Ok(commitment));
        for other in [commit(&[0; 16], "reason", b"because"), commit(b"0123456789abcdef", "text", b"because")]
        {
            assert_ne!(commitment, other);
        }
    }

    #[test]
    fn disclosed_and_checked() {
        let commitment = record().commitment();
        for stated in [commitment.to_string(), commitment.0.to_string()] {
            assert_eq!(record().check(&json!({"reason": stated})), Ok(()));
        }
        let nothing = ContentError::Nothing { seq: 7, field: "/reason".to_owned() };
        for line in
            [json!({}), json!({"reason": 1}), json!({"reason": "because"}), json!([commitment.to_string()])]
        {
            assert_eq!(record().check(&line), Err(nothing.clone()));
        }
        let line = json!({"reason": commitment.to_string()});
        let mut changes: Vec<Record> = vec![record(); 3];
        changes[0].salt[0] ^= 1;
        changes[1].bytes.pop();
        changes[2].kind = "text".to_owned();
        for changed in changes {
            assert_eq!(
                changed.check(&line).unwrap_err().to_string(),
                "the content is not what line 7 committed to at `/reason`"
            );
        }
    }

    #[test]
    fn every_commitment_is_found_by_a_pointer_that_leads_to_it() {
        let one = commit(&[1; 16], "a", b"").to_string();
        let line = json!({
            "a/b": {"m~n": one}, "list": [one, "c1:short", [one]], "plain": "c1:", "hash": Hash::empty().to_string(), "": one
        });
        let found = commitments(&line);
        let mut pointers: Vec<&str> = found.iter().map(|(pointer, _)| pointer.as_str()).collect();
        assert!(pointers.iter().all(|pointer| line.pointer(pointer) == Some(&json!(one))));
        pointers.sort_unstable();
        assert_eq!(pointers, ["/", "/a~1b/m~0n", "/list/0", "/list/2/0"]);
    }

    #[test]
    fn malformed_records_are_refused() {
        let good = serde_json::from_slice::<Value>(&record().to_line().unwrap()).unwrap();
        assert_eq!(Record::parse(&jcs::encode(&good).unwrap()), Ok(record()));
        for (member, values) in [
            ("seq", json!([null, -1, "7"])),
            ("field", json!([null, "", "reason"])),
            ("kind", json!([null, "", "Reason", "a b", "a\n", "x".repeat(65)])),
            ("salt", json!([null, "", "AAAA", "MDEyMzQ1Njc4OWFiY2RlZg"])),
            ("bytes", json!([null, "A", "AB==", "_-8="])),
        ] {
            for value in values.as_array().unwrap() {
                let mut changed = good.clone();
                changed[member] = value.clone();
                let parsed = Record::parse(&jcs::encode(&changed).unwrap());
                assert_eq!(parsed, Err(ContentError::Member(member)), "{value}");
            }
        }
        let mut more = good.clone();
        more["more"] = json!(1);
        assert!(Record::parse(&jcs::encode(&more).unwrap()).is_err());
        assert!(Record::parse(b"[]").is_err());
        assert!(matches!(Record::parse(b"{ }"), Err(ContentError::Json(_))));
        assert!(Record { kind: "A".to_owned(), ..record() }.to_line().is_err());
    }

    proptest! {
        #[test]
        fn records_read_back(
            seq in 0..=crate::tree::SIZE_MAX,
            field in "/.{0,10}",
            bytes: Vec<u8>,
            salt: [u8; 16],
        ) {
            let record = Record { seq, field, kind: "statement.text".to_owned(), salt, bytes };
            prop_assert_eq!(Record::parse(&record.to_line().unwrap()), Ok(record));
        }

        #[test]
        fn any_text_is_read_without_panic(text: String, line: Vec<u8>) {
            let _ = (text.parse::<Commitment>(), Record::parse(&line));
        }
    }
}
