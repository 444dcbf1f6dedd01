//! Numbers that people have: cards, accounts, telephones, network addresses.

use std::net::Ipv6Addr;
use std::ops::Range;

use super::{begins, byte, ends};

/// Digits of a payment card (ISO/IEC 7812).
const CARD_DIGITS: std::ops::RangeInclusive<usize> = 13..=19;
/// The longest text of an IPv6 address with an IPv4 address at its end.
const IPV6_BYTES_MAX: usize = 45;

/// How long accounts are by country (the registry of ISO 13616).
const ACCOUNTS: &[(&[u8; 2], usize)] = &[
    (b"AD", 24),
    (b"AE", 23),
    (b"AL", 28),
    (b"AT", 20),
    (b"AZ", 28),
    (b"BA", 20),
    (b"BE", 16),
    (b"BG", 22),
    (b"BH", 22),
    (b"BR", 29),
    (b"BY", 28),
    (b"CH", 21),
    (b"CR", 22),
    (b"CY", 28),
    (b"CZ", 24),
    (b"DE", 22),
    (b"DK", 18),
    (b"DO", 28),
    (b"EE", 20),
    (b"EG", 29),
    (b"ES", 24),
    (b"FI", 18),
    (b"FO", 18),
    (b"FR", 27),
    (b"GB", 22),
    (b"GE", 22),
    (b"GI", 23),
    (b"GL", 18),
    (b"GR", 27),
    (b"GT", 28),
    (b"HR", 21),
    (b"HU", 28),
    (b"IE", 22),
    (b"IL", 23),
    (b"IQ", 23),
    (b"IS", 26),
    (b"IT", 27),
    (b"JO", 30),
    (b"KW", 30),
    (b"KZ", 20),
    (b"LB", 28),
    (b"LC", 32),
    (b"LI", 21),
    (b"LT", 20),
    (b"LU", 20),
    (b"LV", 21),
    (b"LY", 25),
    (b"MC", 27),
    (b"MD", 24),
    (b"ME", 22),
    (b"MK", 19),
    (b"MR", 27),
    (b"MT", 31),
    (b"MU", 30),
    (b"NL", 18),
    (b"NO", 15),
    (b"PK", 24),
    (b"PL", 28),
    (b"PS", 29),
    (b"PT", 25),
    (b"QA", 29),
    (b"RO", 24),
    (b"RS", 22),
    (b"SA", 24),
    (b"SC", 31),
    (b"SE", 24),
    (b"SI", 19),
    (b"SK", 24),
    (b"SM", 27),
    (b"ST", 25),
    (b"SV", 28),
    (b"TL", 23),
    (b"TN", 24),
    (b"TR", 26),
    (b"UA", 29),
    (b"VA", 22),
    (b"VG", 24),
    (b"XK", 20),
];

/// Digits from a place on, with one separator at most between two of them.
pub(super) fn spaced(
    text: &[u8],
    from: usize,
    separators: &'static [u8],
) -> impl Iterator<Item = (usize, u8)> {
    let (mut at, text) = (from, text);
    let mut out = Vec::new();
    // No number that is looked for is longer.
    while out.len() <= 20 {
        match byte(text, at) {
            digit @ b'0'..=b'9' => out.push((at, digit - b'0')),
            other if at > from && separators.contains(&other) && byte(text, at + 1).is_ascii_digit() => {}
            _ => break,
        }
        at += 1;
    }
    out.into_iter()
}

/// Where groups of digits begin.
pub(super) fn groups(text: &[u8]) -> impl Iterator<Item = usize> + '_ {
    (0..text.len()).filter(|at| byte(text, *at).is_ascii_digit() && begins(text, *at))
}

pub(super) fn cards(text: &[u8], found: &mut Vec<Range<usize>>) {
    for start in groups(text).filter(|start| matches!(byte(text, *start), b'2'..=b'6')) {
        let digits: Vec<(usize, u8)> = spaced(text, start, b" -").collect();
        for count in CARD_DIGITS.rev() {
            let Some(card) = digits.get(..count) else { continue };
            let end = card.last().map_or(start, |(at, _)| at + 1);
            if ends(text, end) && luhn(card.iter().map(|(_, digit)| *digit)) {
                found.push(start..end);
                break;
            }
        }
    }
}

/// The check of ISO/IEC 7812-1, annex B.
fn luhn(digits: impl DoubleEndedIterator<Item = u8>) -> bool {
    let sum: u32 = digits
        .rev()
        .enumerate()
        .map(|(place, digit)| match (place % 2, digit) {
            (0, digit) => u32::from(digit),
            (_, digit) => u32::from(digit) * 2 - if digit > 4 { 9 } else { 0 },
        })
        .sum();
    sum > 0 && sum.is_multiple_of(10)
}

pub(super) fn accounts(text: &[u8], found: &mut Vec<Range<usize>>) {
    for start in 0..text.len() {
        if !byte(text, start).is_ascii_alphabetic()
            || !byte(text, start + 2).is_ascii_digit()
            || !begins(text, start)
        {
            continue;
        }
        let country = [byte(text, start).to_ascii_uppercase(), byte(text, start + 1).to_ascii_uppercase()];
        let Some((_, length)) = ACCOUNTS.iter().find(|(code, _)| **code == country) else { continue };
        let (mut at, mut letters) = (start, Vec::with_capacity(*length));
        while letters.len() < *length {
            match byte(text, at) {
                letter if letter.is_ascii_alphanumeric() => letters.push(letter.to_ascii_uppercase()),
                b' ' | b'-' if byte(text, at + 1).is_ascii_alphanumeric() => {}
                _ => break,
            }
            at += 1;
        }
        if letters.len() == *length && ends(text, at) && mod_97(&letters) {
            found.push(start..at);
        }
    }
}

/// The check of ISO 7064 (MOD 97-10), with the first four letters at the end.
fn mod_97(letters: &[u8]) -> bool {
    let (front, rest) = letters.split_at(letters.len().min(4));
    let value = |rest: u32, letter: &u8| match letter {
        b'0'..=b'9' => (rest * 10 + u32::from(letter - b'0')) % 97,
        letter => (rest * 100 + u32::from(letter - b'A') + 10) % 97,
    };
    rest.iter().chain(front).fold(0, value) == 1
}

pub(super) fn phones(text: &[u8], found: &mut Vec<Range<usize>>) {
    for start in 0..text.len() {
        let (first, second) = (byte(text, start), byte(text, start + 1));
        let before = if start == 0 { b' ' } else { byte(text, start - 1) };
        if before.is_ascii_alphanumeric() || matches!(before, b'+' | b'.' | b'-') {
            continue;
        }
        let end = match (first, second) {
            (b'+', b'1'..=b'9') => dialled(text, start + 1, 8..=15),
            (b'0', b'0') if matches!(byte(text, start + 2), b'1'..=b'9') => dialled(text, start, 11..=17),
            (b'0', b'1'..=b'9') => national(text, start),
            (b'(', b'2'..=b'9') => american(text, start),
            (b'2'..=b'9', _) => american(text, start),
            (b'1', b'-' | b' ' | b'.') => american(text, start + 2),
            _ => None,
        };
        found.extend(end.filter(|end| ends(text, *end)).map(|end| start..end));
    }
}

/// A number as it is dialled from abroad: digits, and what people write between them.
fn dialled(text: &[u8], from: usize, wanted: std::ops::RangeInclusive<usize>) -> Option<usize> {
    let (mut at, mut digits, mut end) = (from, 0, from);
    // Between two digits stand at most three other signs: `) 0(`.
    while at - end <= 3 && digits <= *wanted.end() {
        match byte(text, at) {
            b'0'..=b'9' => (digits, end) = (digits + 1, at + 1),
            b' ' | b'-' | b'.' | b'/' | b'(' | b')' => {}
            _ => break,
        }
        at += 1;
    }
    wanted.contains(&digits).then_some(end)
}

/// A number with its leading zero: an area of three digits or more, or five pairs.
fn national(text: &[u8], start: usize) -> Option<usize> {
    let area = (start..).take_while(|at| byte(text, *at).is_ascii_digit()).count();
    let separated = matches!(byte(text, start + area), b' ' | b'-' | b'/' | b'.');
    match area {
        2 if separated => {
            let pair = |number: usize| {
                let at = start + number * 3;
                byte(text, at).is_ascii_digit()
                    && byte(text, at + 1).is_ascii_digit()
                    && (number == 0 || matches!(byte(text, at - 1), b' ' | b'.' | b'-'))
            };
            (0..5).all(pair).then_some(start + 14)
        }
        3..=6 if separated && byte(text, start + area) != b'.' => dialled(text, start, 9..=13),
        10..=12 => Some(start + area),
        _ => None,
    }
}

/// `415-555-2671`, `(415) 555-2671`, with one kind of separator or another.
fn american(text: &[u8], start: usize) -> Option<usize> {
    let three = |at: usize| {
        matches!(byte(text, at), b'2'..=b'9') && (1..3).all(|next| byte(text, at + next).is_ascii_digit())
    };
    let exchange = if byte(text, start) == b'(' {
        let closed = three(start + 1) && byte(text, start + 4) == b')';
        closed.then(|| if byte(text, start + 5) == b' ' { start + 6 } else { start + 5 })?
    } else {
        (three(start) && matches!(byte(text, start + 3), b'-' | b'.' | b' ')).then_some(start + 4)?
    };
    let separated = three(exchange) && matches!(byte(text, exchange + 3), b'-' | b'.' | b' ');
    let last = exchange + 4;
    (separated && (0..4).all(|next| byte(text, last + next).is_ascii_digit())).then_some(last + 4)
}

pub(super) fn addresses(text: &[u8], found: &mut Vec<Range<usize>>) {
    for start in groups(text).filter(|start| *start == 0 || byte(text, start - 1) != b'.') {
        found.extend(version_4(text, start).map(|end| start..end));
    }
    let in_six = |byte: u8| byte.is_ascii_hexdigit() || byte == b':' || byte == b'.';
    let mut at = 0;
    while at < text.len() {
        let length = text.get(at..).unwrap_or_default().iter().take_while(|byte| in_six(**byte)).count();
        let candidate = text.get(at..at + length).unwrap_or_default();
        let colons = candidate.iter().filter(|byte| **byte == b':').count();
        if (3..=IPV6_BYTES_MAX).contains(&length) && colons >= 2 && (at == 0 || begins(text, at)) {
            // The point or colon of a sentence is no part of it.
            let trimmed =
                candidate.strip_suffix(b".").or_else(|| candidate.strip_suffix(b":")).unwrap_or(candidate);
            for one in [candidate, trimmed] {
                let parsed = std::str::from_utf8(one).ok().and_then(|text| text.parse::<Ipv6Addr>().ok());
                if parsed.is_some() && ends(text, at + one.len()) {
                    found.push(at..at + one.len());
                    break;
                }
            }
        }
        at += length.max(1);
    }
}

fn version_4(text: &[u8], start: usize) -> Option<usize> {
    let mut at = start;
    for part in 0..4 {
        let digits = (at..at + 4).take_while(|at| byte(text, *at).is_ascii_digit()).count();
        let written = std::str::from_utf8(text.get(at..at + digits)?).ok()?;
        written.parse::<u8>().ok()?;
        at += digits;
        match (part, byte(text, at)) {
            (3, b'.') if byte(text, at + 1).is_ascii_digit() => return None,
            (3, _) => return ends(text, at).then_some(at),
            (_, b'.') => at += 1,
            _ => return None,
        }
    }
    None
}
