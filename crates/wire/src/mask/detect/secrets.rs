//! Keys and tokens, by what their makers begin them with.

use std::ops::Range;

use super::{begins, byte};

/// A kind of token: its beginning, which letters follow, and how many at least.
struct Token {
    prefix: &'static [u8],
    follows: fn(u8) -> bool,
    least: usize,
}

/// No token that is looked for is longer, in bytes.
const TOKEN_BYTES_MAX: usize = 8 * 1024;

const fn token(prefix: &'static [u8], follows: fn(u8) -> bool, least: usize) -> Token {
    Token { prefix, follows, least }
}

const TOKENS: &[Token] = &[
    token(b"AKIA", is_upper, 16),
    token(b"ASIA", is_upper, 16),
    token(b"AIza", is_url, 35),
    token(b"ghp_", is_word, 36),
    token(b"gho_", is_word, 36),
    token(b"ghu_", is_word, 36),
    token(b"ghs_", is_word, 36),
    token(b"ghr_", is_word, 36),
    token(b"github_pat_", is_word, 22),
    token(b"xoxa-", is_url, 10),
    token(b"xoxb-", is_url, 10),
    token(b"xoxe-", is_url, 10),
    token(b"xoxp-", is_url, 10),
    token(b"xoxr-", is_url, 10),
    token(b"xoxs-", is_url, 10),
    token(b"sk_live_", is_word, 16),
    token(b"rk_live_", is_word, 16),
];

const PEM: &[u8] = b"-----BEGIN ";
const PEM_KEY: &[u8] = b"PRIVATE KEY-----";
const PEM_END: &[u8] = b"-----END ";
/// The words between BEGIN and PRIVATE KEY are few.
const PEM_WORDS_MAX: usize = 32;

fn is_upper(byte: u8) -> bool {
    byte.is_ascii_uppercase() || byte.is_ascii_digit()
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

fn is_url(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-'
}

pub(super) fn secrets(text: &[u8], found: &mut Vec<Range<usize>>) {
    let mut at = 0;
    while at < text.len() {
        let rest = text.get(at..).unwrap_or_default();
        let length = match byte(text, at) {
            b'-' => private_key(rest),
            b'e' if begins(text, at) => jwt(rest),
            b'A' | b'g' | b'x' | b's' | b'r' if begins(text, at) => {
                TOKENS.iter().find_map(|token| token.length(rest))
            }
            _ => None,
        };
        if let Some(length) = length {
            found.push(at..at + length);
        }
        at += length.unwrap_or(1).max(1);
    }
}

impl Token {
    fn length(&self, text: &[u8]) -> Option<usize> {
        let rest = text.strip_prefix(self.prefix)?;
        let more = run(rest, self.follows);
        (more >= self.least).then_some(self.prefix.len() + more)
    }
}

fn run(text: &[u8], follows: fn(u8) -> bool) -> usize {
    text.iter().take(TOKEN_BYTES_MAX).take_while(|byte| follows(**byte)).count()
}

/// Three parts in base64url, the first two of which are JSON (RFC 7519).
fn jwt(text: &[u8]) -> Option<usize> {
    if !text.starts_with(b"eyJ") {
        return None;
    }
    let header = run(text, is_url);
    let rest = text.get(header..)?.strip_prefix(b".eyJ")?;
    let claims = run(rest, is_url);
    let signature = match rest.get(claims..)?.strip_prefix(b".") {
        Some(signature) => 1 + run(signature, is_url),
        None => return None,
    };
    Some(header + 4 + claims + signature)
}

/// From BEGIN to END, or to the end of the text if that is cut off.
fn private_key(text: &[u8]) -> Option<usize> {
    let rest = text.strip_prefix(PEM)?;
    let head = rest.get(..rest.len().min(PEM_WORDS_MAX + PEM_KEY.len()))?;
    head.windows(PEM_KEY.len()).position(|part| part == PEM_KEY)?;
    let end = rest.windows(PEM_END.len()).position(|part| part == PEM_END);
    let Some(end) = end else { return Some(text.len()) };
    let tail = rest.get(end + PEM_END.len()..)?;
    let last = tail.windows(5).take(PEM_WORDS_MAX + PEM_KEY.len()).position(|part| part == b"-----");
    let last = last.map_or(tail.len(), |at| at + 5);
    Some(PEM.len() + end + PEM_END.len() + last)
}
