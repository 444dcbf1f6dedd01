//! One-time codes (RFC 6238 over RFC 4226): SHA-1, six digits, steps of thirty seconds, because that is what every
//! authenticator app reads. A code counts in its step and in the one before and after it, and once.

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::hmac;
use countersign_core::At;

/// The length of a secret: that of the hash (RFC 4226, section 4).
pub(super) const SECRET_BYTES: usize = 20;

/// Digits of a code.
const DIGITS: usize = 6;

const STEP_SECONDS: i64 = 30;

/// How many steps a device's clock may be wrong.
const DRIFT_STEPS: i64 = 1;

const BASE32: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

/// The step in which `code` counts, if it does now and its step lies behind `last`, the last one that was used.
pub(super) fn step_of(secret: &[u8], code: &str, now: At, last: Option<i64>) -> Option<i64> {
    let current = now.0.div_euclid(1_000_000).div_euclid(STEP_SECONDS);
    let steps = (current - DRIFT_STEPS)..=(current + DRIFT_STEPS);
    // Every step is looked at, so that the time it takes tells nothing.
    let is_right =
        |step: &i64| verify_slices_are_equal(code_at(secret, *step).as_bytes(), code.as_bytes()).is_ok();
    let right: Vec<i64> = steps.filter(is_right).collect();
    right.into_iter().find(|step| last.is_none_or(|last| *step > last))
}

/// The code of a step.
pub(crate) fn code_at(secret: &[u8], step: i64) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, secret);
    let tag = hmac::sign(&key, &step.to_be_bytes());
    let tag = tag.as_ref();
    let place = tag.last().map_or(0, |byte| usize::from(byte & 15));
    let word =
        tag.get(place..place + 4).and_then(|bytes| <[u8; 4]>::try_from(bytes).ok()).unwrap_or_default();
    let number = (u32::from_be_bytes(word) & 0x7fff_ffff) % 10_u32.pow(DIGITS as u32);
    format!("{number:0DIGITS$}")
}

/// What an authenticator app reads: `otpauth://totp/...`.
pub(super) fn uri(secret: &[u8], issuer: &str, account: &str) -> String {
    let (issuer, account) = (escaped(issuer), escaped(account));
    let secret = base32(secret);
    format!(
        "otpauth://totp/{issuer}:{account}?secret={secret}&issuer={issuer}&algorithm=SHA1&digits={DIGITS}&period={STEP_SECONDS}"
    )
}

/// RFC 4648 without padding, as people type it.
pub(super) fn base32(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() * 8 / 5 + 1);
    let (mut held, mut bits) = (0_u32, 0_u32);
    for byte in bytes {
        held = (held << 8) | u32::from(*byte);
        bits += 8;
        while bits >= 5 {
            bits -= 5;
            text.push(letter(held >> bits));
        }
    }
    if bits > 0 {
        text.push(letter(held << (5 - bits)));
    }
    text
}

fn letter(value: u32) -> char {
    let index = usize::try_from(value & 31).unwrap_or_default();
    BASE32.get(index).copied().map_or('A', char::from)
}

fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            escaped.push(char::from(byte));
        } else {
            escaped.push_str(&format!("%{byte:02X}"));
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &[u8] = b"12345678901234567890";

    /// RFC 6238, appendix B: the last six of its eight digits.
    #[test]
    fn codes_are_those_of_the_rfc() {
        for (seconds, code) in [
            (59, "287082"),
            (1_111_111_109, "081804"),
            (1_111_111_111, "050471"),
            (1_234_567_890, "005924"),
            (2_000_000_000, "279037"),
            (20_000_000_000, "353130"),
        ] {
            assert_eq!(code_at(SECRET, seconds / 30), code, "{seconds}");
            assert_eq!(step_of(SECRET, code, At(seconds * 1_000_000), None), Some(seconds / 30));
        }
    }

    #[test]
    fn a_code_counts_for_a_step_around_it_and_once() {
        let now = At(2_000_000_000_000_000);
        let current = 2_000_000_000 / 30;
        for drift in -3..=3 {
            let code = code_at(SECRET, current + drift);
            let counts = step_of(SECRET, &code, now, None);
            assert_eq!(counts, (drift.abs() <= 1).then_some(current + drift), "{drift}");
        }
        let code = code_at(SECRET, current);
        assert_eq!(step_of(SECRET, &code, now, Some(current - 1)), Some(current));
        assert_eq!(step_of(SECRET, &code, now, Some(current)), None, "used before");
        let earlier = code_at(SECRET, current - 1);
        assert_eq!(step_of(SECRET, &earlier, now, Some(current)), None, "older than what was used");
        for wrong in ["", "00000", "0000000", "abcdef", "１２３４５６", &code[..5]] {
            assert_eq!(step_of(SECRET, wrong, now, None), None, "{wrong}");
        }
    }

    #[test]
    fn secrets_are_written_as_apps_read_them() {
        // RFC 4648, section 10.
        for (plain, text) in [
            ("", ""),
            ("f", "MY"),
            ("fo", "MZXQ"),
            ("foo", "MZXW6"),
            ("foob", "MZXW6YQ"),
            ("fooba", "MZXW6YTB"),
            ("foobar", "MZXW6YTBOI"),
        ] {
            assert_eq!(base32(plain.as_bytes()), text);
        }
        assert_eq!(
            uri(SECRET, "Countersign (gate.example)", "alice@shop.example"),
            "otpauth://totp/Countersign%20%28gate.example%29:alice%40shop.example?secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ\
             &issuer=Countersign%20%28gate.example%29&algorithm=SHA1&digits=6&period=30"
        );
    }
}
