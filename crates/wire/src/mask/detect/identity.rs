//! National ids, with their check digits where they have some.

use std::ops::Range;

use super::numbers::{groups, spaced};
use super::{begins, byte, ends};

pub(super) fn ids(text: &[u8], found: &mut Vec<Range<usize>>) {
    for start in groups(text) {
        found.extend(american(text, start).map(|end| start..end));
        found.extend(german(text, start).map(|end| start..end));
        found.extend(french(text, start).map(|end| start..end));
    }
    for start in
        (0..text.len()).filter(|start| byte(text, *start).is_ascii_alphabetic() && begins(text, *start))
    {
        found.extend(british(text, start).map(|end| start..end));
    }
}

/// US Social Security: `123-45-6789`, without numbers that are never given.
fn american(text: &[u8], start: usize) -> Option<usize> {
    let part = |from: usize, length: usize| -> Option<u32> {
        let digits = text.get(start + from..start + from + length)?;
        if !digits.iter().all(u8::is_ascii_digit) {
            return None;
        }
        std::str::from_utf8(digits).ok()?.parse().ok()
    };
    let (area, group, serial) = (part(0, 3)?, part(4, 2)?, part(7, 4)?);
    let separator = byte(text, start + 3);
    let written = matches!(separator, b'-' | b' ') && byte(text, start + 6) == separator;
    let given = area != 0 && area != 666 && area < 900 && group != 0 && serial != 0;
    (written && given && ends(text, start + 11)).then_some(start + 11)
}

/// The German tax id: eleven digits, of the first ten one two or three times and others missing (§ 139b AO).
fn german(text: &[u8], start: usize) -> Option<usize> {
    let digits: Vec<(usize, u8)> = spaced(text, start, b" ").take(12).collect();
    let (eleven, rest) = digits.split_at_checked(11)?;
    let end = eleven.last()?.0 + 1;
    let goes_on = rest.first().is_some_and(|(at, _)| *at == end);
    let (check, ten) = eleven.split_last()?;
    let mut counts = [0_u8; 10];
    for (_, digit) in ten {
        *counts.get_mut(usize::from(*digit))? += 1;
    }
    let repeated = counts.iter().filter(|count| **count > 1).count();
    let sound = ten.first()?.1 != 0 && repeated == 1 && counts.iter().all(|count| *count <= 3);
    // ISO 7064, MOD 11,10.
    let product = ten.iter().fold(10_u32, |product, (_, digit)| {
        let sum = (u32::from(*digit) + product) % 10;
        (if sum == 0 { 10 } else { sum }) * 2 % 11
    });
    let expected = (11 - product) % 10;
    (sound && !goes_on && ends(text, end) && u32::from(check.1) == expected).then_some(end)
}

/// The French NIR: sex, year, month, place, number, and a key of two digits. Corsica writes letters.
fn french(text: &[u8], start: usize) -> Option<usize> {
    if !matches!(byte(text, start), b'1'..=b'4' | b'7' | b'8') {
        return None;
    }
    let (mut at, mut letters) = (start, Vec::with_capacity(15));
    while letters.len() < 15 {
        match byte(text, at) {
            letter @ (b'0'..=b'9' | b'A' | b'B' | b'a' | b'b') => letters.push(letter.to_ascii_uppercase()),
            b' ' if at > start && byte(text, at + 1).is_ascii_alphanumeric() => {}
            _ => return None,
        }
        at += 1;
    }
    let (corsica, island) = match (letters.get(5)?, letters.get(6)?) {
        (b'2', b'A') => (Some(b'9'), true),
        (b'2', b'B') => (Some(b'8'), true),
        _ => (None, false),
    };
    if island {
        // 2A counts as 19, 2B as 18.
        *letters.get_mut(5)? = b'1';
        *letters.get_mut(6)? = corsica?;
    }
    let number = |part: &[u8]| std::str::from_utf8(part).ok()?.parse::<u64>().ok();
    let (body, key) = letters.split_at(13);
    let month = number(letters.get(3..5)?)?;
    let sound = matches!(month, 1..=12 | 20..=42 | 50..=99) && number(key)? == 97 - number(body)? % 97;
    (sound && ends(text, at)).then_some(at)
}

/// The UK National Insurance number: two letters, six digits, one letter.
fn british(text: &[u8], start: usize) -> Option<usize> {
    let (mut at, mut letters) = (start, Vec::with_capacity(9));
    while letters.len() < 9 {
        match byte(text, at) {
            letter if letter.is_ascii_alphanumeric() => letters.push(letter.to_ascii_uppercase()),
            b' ' if byte(text, at + 1).is_ascii_alphanumeric() => {}
            _ => return None,
        }
        at += 1;
    }
    let [one, two, digits @ .., last] = letters.as_slice() else { return None };
    let never = [b"BG", b"GB", b"NK", b"KN", b"TN", b"NT", b"ZZ"];
    let prefix = one.is_ascii_alphabetic()
        && two.is_ascii_alphabetic()
        && !b"DFIQUV".contains(one)
        && !b"DFIQUVO".contains(two)
        && !never.contains(&&[*one, *two]);
    let sound = prefix && digits.iter().all(u8::is_ascii_digit) && (b'A'..=b'D').contains(last);
    (sound && ends(text, at)).then_some(at)
}
