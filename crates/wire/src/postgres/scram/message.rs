//! The text of the exchange: attributes `x=value` between commas (RFC 5802, section 5.1).

use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

use super::keys::{KEY_BYTES, Key};
use super::{MESSAGE_BYTES_MAX, ScramError};

/// Strict: with padding, and without stray bits, so that every value has one spelling.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::RequireCanonical),
);
const NONCE_BYTES_MIN: usize = 16;
const NONCE_BYTES_MAX: usize = 256;

/// What the client says about channel binding, in the first part of its first message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum BindingFlag<'a> {
    /// `n`: the client can't.
    Unsupported,
    /// `y`: the client can, but believes that the server can't.
    NotOffered,
    /// `p=type`.
    Bound(&'a str),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ClientFirst<'a> {
    pub(super) flag: BindingFlag<'a>,
    /// The header as sent, up to and with its second comma.
    pub(super) header: &'a str,
    /// Everything behind the header: goes into the proof.
    pub(super) bare: &'a str,
    pub(super) nonce: &'a str,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ClientFinal<'a> {
    pub(super) binding: Vec<u8>,
    pub(super) nonce: &'a str,
    /// Everything in front of the proof: goes into the proof.
    pub(super) without_proof: &'a str,
    pub(super) proof: Key,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ServerFirst<'a> {
    pub(super) nonce: &'a str,
    pub(super) salt: Vec<u8>,
    pub(super) iterations: u32,
}

pub(super) fn text(bytes: &[u8]) -> Result<&str, ScramError> {
    if bytes.len() > MESSAGE_BYTES_MAX || bytes.contains(&0) {
        return Err(ScramError::Malformed("message"));
    }
    std::str::from_utf8(bytes).map_err(|_| ScramError::Malformed("message"))
}

pub(super) fn encode64(bytes: &[u8]) -> String {
    BASE64.encode(bytes)
}

fn decode64(value: &str, field: &'static str) -> Result<Vec<u8>, ScramError> {
    BASE64.decode(value).map_err(|_| ScramError::Malformed(field))
}

fn key64(value: &str, field: &'static str) -> Result<Key, ScramError> {
    let bytes = decode64(value, field)?;
    <[u8; KEY_BYTES]>::try_from(bytes).map_err(|_| ScramError::Malformed(field))
}

/// A nonce of this side: long enough to be one. How long the peer's is, is the peer's own risk.
pub(super) fn is_nonce(nonce: &str) -> bool {
    nonce.len() >= NONCE_BYTES_MIN && is_printable(nonce)
}

/// Printable ASCII without a comma (RFC 5802, `printable`), of sane length.
pub(super) fn is_printable(value: &str) -> bool {
    (1..=NONCE_BYTES_MAX).contains(&value.len())
        && value.bytes().all(|byte| byte.is_ascii_graphic() && byte != b',')
}

/// The next attribute, which must have this letter.
fn attribute<'a>(
    parts: &mut impl Iterator<Item = &'a str>,
    letter: &str,
    field: &'static str,
) -> Result<&'a str, ScramError> {
    parts.next().and_then(|part| part.strip_prefix(letter)).ok_or(ScramError::Malformed(field))
}

/// Attributes that are not known may follow and are ignored, but they must be attributes: a letter and a
/// value.
fn extensions<'a>(mut parts: impl Iterator<Item = &'a str>) -> Result<(), ScramError> {
    let is_extension = |part: &str| match part.as_bytes() {
        [letter, b'=', _, ..] => letter.is_ascii_alphabetic(),
        _ => false,
    };
    if parts.all(is_extension) { Ok(()) } else { Err(ScramError::Malformed("extension")) }
}

impl<'a> ClientFirst<'a> {
    pub(super) fn parse(bytes: &'a [u8]) -> Result<Self, ScramError> {
        let message = text(bytes)?;
        let (flag_text, rest) =
            message.split_once(',').ok_or(ScramError::Malformed("channel binding flag"))?;
        let flag = match flag_text {
            "n" => BindingFlag::Unsupported,
            "y" => BindingFlag::NotOffered,
            other => BindingFlag::Bound(
                other.strip_prefix("p=").ok_or(ScramError::Malformed("channel binding flag"))?,
            ),
        };
        // Acting as somebody else (an authorisation identity) is not something a password can ask for.
        let bare = rest.strip_prefix(',').ok_or(ScramError::Malformed("authorisation identity"))?;
        let header = message.get(..message.len().saturating_sub(bare.len())).unwrap_or_default();
        let mut parts = bare.split(',');
        attribute(&mut parts, "n=", "user name")?;
        let nonce = attribute(&mut parts, "r=", "nonce")?;
        if !is_printable(nonce) {
            return Err(ScramError::Malformed("nonce"));
        }
        extensions(parts)?;
        Ok(Self { flag, header, bare, nonce })
    }
}

impl<'a> ClientFinal<'a> {
    pub(super) fn parse(bytes: &'a [u8]) -> Result<Self, ScramError> {
        let message = text(bytes)?;
        let (without_proof, last) = message.rsplit_once(',').ok_or(ScramError::Malformed("proof"))?;
        let proof = last.strip_prefix("p=").ok_or(ScramError::Malformed("proof"))?;
        let mut parts = without_proof.split(',');
        let binding = decode64(attribute(&mut parts, "c=", "channel binding")?, "channel binding")?;
        let nonce = attribute(&mut parts, "r=", "nonce")?;
        extensions(parts)?;
        Ok(Self { binding, nonce, without_proof, proof: key64(proof, "proof")? })
    }
}

impl<'a> ServerFirst<'a> {
    pub(super) fn parse(bytes: &'a [u8]) -> Result<Self, ScramError> {
        let message = text(bytes)?;
        let mut parts = message.split(',');
        let nonce = attribute(&mut parts, "r=", "nonce")?;
        let salt = decode64(attribute(&mut parts, "s=", "salt")?, "salt")?;
        let iterations = attribute(&mut parts, "i=", "iteration count")?;
        extensions(parts)?;
        let digits = !iterations.is_empty() && iterations.bytes().all(|byte| byte.is_ascii_digit());
        let iterations = iterations.parse().ok().filter(|_| digits);
        Ok(Self { nonce, salt, iterations: iterations.ok_or(ScramError::Malformed("iteration count"))? })
    }
}

/// The server's last message: its signature, or the word for what went wrong.
pub(super) fn server_final(bytes: &[u8]) -> Result<Key, ScramError> {
    let message = text(bytes)?;
    let mut parts = message.split(',');
    let first = parts.next().unwrap_or_default();
    if let Some(word) = first.strip_prefix("e=") {
        return Err(ScramError::Refused(word.escape_debug().to_string()));
    }
    let signature = first.strip_prefix("v=").ok_or(ScramError::Malformed("server signature"))?;
    extensions(parts)?;
    key64(signature, "server signature")
}
