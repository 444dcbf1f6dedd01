//! Numbers as the server writes them.

use super::{EXPANDED_CHARS_MAX, Reader};

/// The sign word of a `numeric` (`numeric.c`).
const POSITIVE: u16 = 0x0000;
const NEGATIVE: u16 = 0x4000;
const NAN: u16 = 0xc000;
const INFINITE: u16 = 0xd000;
const NEGATIVE_INFINITE: u16 = 0xf000;
/// The largest scale that is shown.
const SCALE_MAX: u16 = 0x3fff;
/// Decimal digits in one digit of a `numeric`, whose base is 10,000.
const GROUP: usize = 4;

pub(super) fn float8(value: f64) -> String {
    float(&format!("{value}"), &format!("{value:e}"), 15)
}

pub(super) fn float4(value: f32) -> String {
    float(&format!("{value}"), &format!("{value:e}"), 6)
}

/// Both forms are the shortest that read back as the same number; the exponent decides which one the server uses.
fn float(plain: &str, scientific: &str, digits: i32) -> String {
    match plain {
        "NaN" => return plain.to_owned(),
        "inf" => return "Infinity".to_owned(),
        "-inf" => return "-Infinity".to_owned(),
        _ => {}
    }
    let Some((mantissa, exponent)) = scientific.split_once('e') else { return plain.to_owned() };
    match exponent.parse::<i32>() {
        Ok(exponent) if exponent < -4 || exponent >= digits => {
            let sign = if exponent < 0 { '-' } else { '+' };
            format!("{mantissa}e{sign}{:02}", exponent.unsigned_abs())
        }
        _ => plain.to_owned(),
    }
}

/// Number of digits, weight of the first, sign, scale, digits to the base 10,000. Digits beyond the scale are cut off, as the
/// server cuts them off.
pub(super) fn numeric(bytes: &[u8]) -> Option<String> {
    let mut reader = Reader::new("numeric", bytes);
    let count = reader.u16("digits").ok()?;
    let weight = reader.i16("weight").ok()?;
    let sign = reader.u16("sign").ok()?;
    let scale = reader.u16("scale").ok().filter(|scale| *scale <= SCALE_MAX)?;
    let mut digits = Vec::with_capacity(usize::from(count).min(bytes.len()));
    for _ in 0..count {
        digits.push(reader.u16("digit").ok().filter(|digit| *digit < 10_000)?);
    }
    reader.end().ok()?;
    match sign {
        POSITIVE | NEGATIVE => {}
        NAN => return Some("NaN".to_owned()),
        INFINITE => return Some("Infinity".to_owned()),
        NEGATIVE_INFINITE => return Some("-Infinity".to_owned()),
        _ => return None,
    }
    decimal(&digits, i32::from(weight), usize::from(scale), sign == NEGATIVE)
}

fn decimal(digits: &[u16], weight: i32, scale: usize, negative: bool) -> Option<String> {
    // A number without digits is zero, whatever its weight says.
    let weight = if digits.iter().all(|digit| *digit == 0) { -1 } else { weight };
    let before = usize::try_from(weight + 1).unwrap_or(0) * GROUP;
    if before.saturating_add(scale) > EXPANDED_CHARS_MAX.saturating_add(digits.len() * GROUP) {
        return None;
    }
    // The digit with this distance from the decimal point: 0 is the first behind it.
    let group = |place: i32| -> String {
        let index = usize::try_from(place + weight + 1).ok();
        let digit = index.and_then(|index| digits.get(index)).copied().unwrap_or(0);
        format!("{digit:04}")
    };
    let whole: String = (-(weight + 1).max(0)..0).map(group).collect();
    let places = i32::try_from(scale.div_ceil(GROUP)).ok()?;
    let fraction: String = (0..places).map(group).collect();
    let fraction = fraction.get(..scale)?;
    let whole = whole.trim_start_matches('0');
    let zero = whole.is_empty() && fraction.bytes().all(|digit| digit == b'0');
    let mut text = String::from(if negative && !zero { "-" } else { "" });
    text.push_str(if whole.is_empty() { "0" } else { whole });
    if scale > 0 {
        text.push('.');
        text.push_str(fraction);
    }
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(weight: i16, sign: u16, scale: u16, digits: &[u16]) -> Vec<u8> {
        let words = [u16::try_from(digits.len()).unwrap(), weight.cast_unsigned(), sign, scale];
        words.iter().chain(digits).flat_map(|word| word.to_be_bytes()).collect()
    }

    #[test]
    fn decimals_have_their_scale() {
        let cases = [
            (value(0, POSITIVE, 2, &[12, 3_400]), "12.34"),
            (value(1, NEGATIVE, 0, &[1, 2]), "-10002"),
            (value(-1, POSITIVE, 4, &[1]), "0.0001"),
            (value(-2, POSITIVE, 8, &[1]), "0.00000001"),
            (value(2, POSITIVE, 1, &[5]), "500000000.0"),
            (value(0, NEGATIVE, 0, &[0, 4_000]), "0"),
            (value(0, POSITIVE, 3, &[]), "0.000"),
            (value(32_767, POSITIVE, 0, &[]), "0"),
            (value(0, NAN, 0, &[]), "NaN"),
            (value(0, NEGATIVE_INFINITE, 0, &[]), "-Infinity"),
        ];
        for (bytes, expected) in cases {
            assert_eq!(numeric(&bytes).as_deref(), Some(expected));
        }
    }

    #[test]
    fn what_would_grow_without_bound_has_no_text() {
        assert_eq!(numeric(&value(32_767, POSITIVE, 0, &[1])), None);
        assert_eq!(numeric(&value(0, POSITIVE, SCALE_MAX, &[1])), None);
        assert_eq!(numeric(&value(0, POSITIVE, 0x4000, &[1])), None);
        assert_eq!(numeric(&value(0, POSITIVE, 0, &[10_000])), None);
        assert_eq!(numeric(&value(0, 7, 0, &[1])), None);
    }
}
