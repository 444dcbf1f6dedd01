//! Signed notes: text with signature lines (c2sp.org/signed-note), and their Ed25519 keys.
//!
//! What: [`parse`] reads a note strictly, [`open`] gives its text only if a known key has signed it, [`sign`]
//! makes one. A signature by an unknown key is ignored (that is how keys are rotated and witnesses added);
//! one that claims a known key and does not hold fails the whole note. What not: one algorithm, Ed25519 (type
//! 0x01); lines of other types are unknown keys.

mod key;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

pub(crate) use key::is_name as is_key_name;
pub use key::{Ed25519Signer, KeyError, Sign, SignFailed, VerifierKey};

/// The largest note that is read, in bytes: room for its signatures even if many are post-quantum.
pub const NOTE_BYTES_MAX: usize = 262_144;

/// The most signature lines that are read; the specification demands at least 16.
pub const SIGNATURES_MAX: usize = 100;

const SIGNATURE_MARK: &str = "\u{2014} ";

/// A note as it was read: nothing in it is to be believed before [`open`] has said so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    /// The signed text, with its final newline.
    pub text: String,
    /// The signature lines in their order.
    pub signatures: Vec<Signature>,
}

/// One signature line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signature {
    /// The name of the key.
    pub name: String,
    /// The id of the key.
    pub key_id: u32,
    /// What the key has made of the text; 64 bytes for Ed25519.
    pub bytes: Vec<u8>,
}

/// A note that a known key has signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Opened {
    /// The signed text, with its final newline.
    pub text: String,
    /// The names of the known keys whose signatures hold, in the order of the note.
    pub signed_by: Vec<String>,
    /// How many signature lines were by keys that are not known, and so ignored.
    pub unknown: usize,
}

/// Why bytes are no note, or a note is not to be believed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoteError {
    /// Longer than [`NOTE_BYTES_MAX`].
    #[error("the note is longer than {NOTE_BYTES_MAX} bytes")]
    TooLong,
    /// Not UTF-8, or with control characters.
    #[error("the note is not plain UTF-8 text without control characters")]
    Text,
    /// No signatures behind a blank line.
    #[error("the note is not signed: a blank line and at least one signature line are due at its end")]
    Unsigned,
    /// A line among the signatures that is none.
    #[error("signature line {0} of the note is malformed")]
    SignatureLine(usize),
    /// More than [`SIGNATURES_MAX`] signature lines.
    #[error("the note has more than {SIGNATURES_MAX} signatures")]
    TooManySignatures,
    /// A signature of a known key does not hold.
    #[error(
        "the signature by the known key `{0}` does not hold: the note was changed, or another key made it"
    )]
    BadSignature(String),
    /// No known key has signed.
    #[error("no known key has signed the note: check that the key you hold is this log's")]
    NoKnownKey,
    /// The text to be signed is not fit for a note.
    #[error("a note's text is not empty, ends with a newline and has no other control characters")]
    Unfit,
    /// A signer failed.
    #[error(transparent)]
    Signer(#[from] SignFailed),
}

/// Reads a note. Signatures are not checked.
///
/// # Errors
/// Everything in [`NoteError`] that is said of the form.
pub fn parse(bytes: &[u8]) -> Result<Note, NoteError> {
    if bytes.len() > NOTE_BYTES_MAX {
        return Err(NoteError::TooLong);
    }
    let note = std::str::from_utf8(bytes).map_err(|_| NoteError::Text)?;
    if !is_plain(note) {
        return Err(NoteError::Text);
    }
    // The last blank line separates; the text may have others.
    let (text, lines) = note.rsplit_once("\n\n").ok_or(NoteError::Unsigned)?;
    let lines = lines.strip_suffix('\n').ok_or(NoteError::Unsigned)?;
    if lines.split('\n').nth(SIGNATURES_MAX).is_some() {
        return Err(NoteError::TooManySignatures);
    }
    let numbered = lines.split('\n').zip(1..);
    let signatures = numbered
        .map(|(line, number)| parse_signature(line).ok_or(NoteError::SignatureLine(number)))
        .collect::<Result<_, _>>()?;
    Ok(Note { text: format!("{text}\n"), signatures })
}

/// The text of a note that at least one of the known keys has signed.
///
/// # Errors
/// [`NoteError`]; above all [`NoteError::BadSignature`] and [`NoteError::NoKnownKey`].
pub fn open(bytes: &[u8], known: &[VerifierKey]) -> Result<Opened, NoteError> {
    let note = parse(bytes)?;
    let mut signed_by = Vec::new();
    let mut unknown = 0;
    for signature in &note.signatures {
        match known.iter().find(|key| key.made(signature)) {
            None => unknown += 1,
            Some(key) if key.verify(note.text.as_bytes(), &signature.bytes) => {
                signed_by.push(key.name().to_owned())
            }
            Some(key) => return Err(NoteError::BadSignature(key.name().to_owned())),
        }
    }
    if signed_by.is_empty() {
        return Err(NoteError::NoKnownKey);
    }
    Ok(Opened { text: note.text, signed_by, unknown })
}

/// Signs a text; the signature lines come in the order of the signers.
///
/// # Errors
/// [`NoteError::Unfit`], and [`NoteError::Signer`] if a signer fails.
pub fn sign(text: &str, signers: &[&dyn Sign]) -> Result<String, NoteError> {
    if signers.is_empty() || !text.ends_with('\n') || !is_plain(text) {
        return Err(NoteError::Unfit);
    }
    let mut note = format!("{text}\n");
    for signer in signers {
        let signature = Signature {
            name: signer.key().name().to_owned(),
            key_id: signer.key().id(),
            bytes: signer.sign(text.as_bytes())?.to_vec(),
        };
        note.push_str(&signature.to_line());
    }
    Ok(note)
}

impl Note {
    /// The bytes of the note.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let lines: String = self.signatures.iter().map(Signature::to_line).collect();
        format!("{}\n{lines}", self.text).into_bytes()
    }
}

impl Signature {
    fn to_line(&self) -> String {
        let payload = [&self.key_id.to_be_bytes()[..], &self.bytes].concat();
        format!("{SIGNATURE_MARK}{} {}\n", self.name, STANDARD.encode(payload))
    }
}

fn parse_signature(line: &str) -> Option<Signature> {
    let (name, payload) = line.strip_prefix(SIGNATURE_MARK)?.split_once(' ')?;
    let payload = STANDARD.decode(payload).ok()?;
    let (key_id, bytes) = payload.split_first_chunk::<4>()?;
    let well_formed = is_key_name(name) && !bytes.is_empty();
    well_formed.then(|| Signature {
        name: name.to_owned(),
        key_id: u32::from_be_bytes(*key_id),
        bytes: bytes.to_vec(),
    })
}

/// Without ASCII control characters other than the newline.
fn is_plain(text: &str) -> bool {
    text.bytes().all(|byte| byte >= 0x20 || byte == b'\n')
}

#[cfg(test)]
pub(crate) mod tests;
