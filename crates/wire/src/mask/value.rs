//! One value, covered in its own type and form.
//!
//! A mask is a value that a driver reads as the column's type, in text and in binary. By style: *full* shows nothing of
//! the value (`***`, 0, an empty array); *partial* its end, its first digit, its year; *hash* a keyed hash, so that equal
//! values of one resource stay equal; *format* other letters and digits of the same form. Types that have no such value
//! (truth values, enums, ranges, composites) become NULL, and so does what is not understood. NULL stays NULL.
//!
//! What not: a form says something. The length of a text, the magnitude of a number, the domain of a mail address are
//! seen; whoever needs more takes another style.

use countersign_core::catalogue::MaskStyle;

use super::form::{Stream, is_domain, mac, shaped};
use super::{MaskKey, numeric};
use crate::postgres::{Format, binary};

/// A value beyond this is covered fully whatever the style, because no more of it is held, in bytes.
pub const VALUE_BYTES_MAX: usize = 64 * 1024;

/// What stands for a text.
const COVER: &str = "***";

/// How the values of a type are covered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Family {
    Text,
    Char,
    Bytes,
    Json,
    Jsonb,
    Xml,
    Int(usize),
    Numeric,
    Float(usize),
    Date,
    Timestamp(bool),
    Uuid,
    Inet,
    Array,
    Other,
}

/// Covers a value. Nothing: it becomes NULL.
#[must_use]
pub fn cover(key: &MaskKey, style: MaskStyle, like: u32, format: Format, value: &[u8]) -> Option<Vec<u8>> {
    let family = family(like);
    if style == MaskStyle::Full || value.len() > VALUE_BYTES_MAX {
        return full(family, like, format);
    }
    match family {
        Family::Text => text(key, style, like, value),
        Family::Int(bytes) => integer(key, style, format, (bytes, value)),
        Family::Numeric => numeric_value(key, style, format, value),
        Family::Float(bytes) => float(key, style, format, (bytes, value)),
        Family::Date => date(key, style, format, value),
        Family::Timestamp(zoned) => timestamp(key, style, format, (zoned, value)),
        Family::Uuid => uuid(key, style, format, value),
        Family::Inet => inet(style, format, value),
        Family::Bytes | Family::Json | Family::Jsonb if style == MaskStyle::Hash => {
            hashed(key, family, like, format, value)
        }
        Family::Char
        | Family::Bytes
        | Family::Json
        | Family::Jsonb
        | Family::Xml
        | Family::Array
        | Family::Other => full(family, like, format),
    }
}

/// Covers a value of which nothing was kept.
#[must_use]
pub fn cover_unseen(like: u32, format: Format) -> Option<Vec<u8>> {
    full(family(like), like, format)
}

fn family(like: u32) -> Family {
    match like {
        19 | 25 | 705 | 1042 | 1043 => Family::Text,
        18 => Family::Char,
        17 => Family::Bytes,
        114 => Family::Json,
        3802 => Family::Jsonb,
        142 => Family::Xml,
        21 => Family::Int(2),
        23 => Family::Int(4),
        20 => Family::Int(8),
        1700 => Family::Numeric,
        700 => Family::Float(4),
        701 => Family::Float(8),
        1082 => Family::Date,
        1114 => Family::Timestamp(false),
        1184 => Family::Timestamp(true),
        2950 => Family::Uuid,
        650 | 869 => Family::Inet,
        oid if binary::element_type(oid).is_some() => Family::Array,
        _ => Family::Other,
    }
}

fn full(family: Family, like: u32, format: Format) -> Option<Vec<u8>> {
    let quoted = || format!("\"{COVER}\"").into_bytes();
    Some(match (family, format) {
        (Family::Text | Family::Xml, _) => COVER.as_bytes().to_vec(),
        (Family::Char, _) => b"*".to_vec(),
        (Family::Bytes, Format::Text) => b"\\x".to_vec(),
        (Family::Bytes, Format::Binary) => Vec::new(),
        (Family::Json, _) | (Family::Jsonb, Format::Text) => quoted(),
        (Family::Jsonb, Format::Binary) => [vec![1], quoted()].concat(),
        (Family::Int(_) | Family::Numeric | Family::Float(_), Format::Text) => b"0".to_vec(),
        (Family::Int(bytes) | Family::Float(bytes), Format::Binary) => vec![0; bytes],
        (Family::Numeric, Format::Binary) => vec![0; 8],
        (Family::Array, Format::Text) => b"{}".to_vec(),
        // No dimensions, no NULLs, and the type of its elements.
        (Family::Array, Format::Binary) => {
            let element = binary::element_type(like)?;
            [[0; 8].as_slice(), &element.to_be_bytes()].concat()
        }
        (Family::Date | Family::Timestamp(_) | Family::Uuid | Family::Inet | Family::Other, _) => {
            return None;
        }
    })
}

fn text(key: &MaskKey, style: MaskStyle, like: u32, value: &[u8]) -> Option<Vec<u8>> {
    // A padded text is the same value with any padding.
    let value = if like == 1042 { value.trim_ascii_end() } else { value };
    let Ok(text) = std::str::from_utf8(value) else { return full(Family::Text, like, Format::Text) };
    let mut out = String::new();
    match style {
        MaskStyle::Partial => partial(text, &mut out),
        MaskStyle::Hash => out = hex(&mac(key, &[b"hash", value])),
        MaskStyle::Format => shaped(key, text, &mut out),
        MaskStyle::Full => out.push_str(COVER),
    }
    Some(out.into_bytes())
}

/// The first letter and the domain of a mail address; of other texts an end that is at most a third of them.
fn partial(text: &str, out: &mut String) {
    if let Some((name, domain)) = text.rsplit_once('@')
        && is_domain(domain)
    {
        out.extend(name.chars().take(1));
        out.push_str(COVER);
        out.push('@');
        return out.push_str(domain);
    }
    let letters = text.chars().count();
    let shown = (letters / 3).min(4);
    out.push_str(COVER);
    out.extend(text.chars().skip(letters - shown));
}

/// Sixteen bytes of a hash are enough to tell values apart.
fn hex(hash: &[u8; 32]) -> String {
    use std::fmt::Write as _;
    let mut out = String::with_capacity(32);
    for byte in hash.iter().take(16) {
        let _ = write!(out, "{byte:02x}");
    }
    out
}

fn hashed(key: &MaskKey, family: Family, like: u32, format: Format, value: &[u8]) -> Option<Vec<u8>> {
    let canonical = canonical(like, format, value)?;
    let hash = mac(key, &[b"hash", canonical.as_bytes()]);
    Some(match (family, format) {
        (Family::Bytes, Format::Binary) => hash.iter().take(16).copied().collect(),
        (Family::Bytes, Format::Text) => format!("\\x{}", hex(&hash)).into_bytes(),
        (Family::Jsonb, Format::Binary) => [vec![1], format!("\"{}\"", hex(&hash)).into_bytes()].concat(),
        _ => format!("\"{}\"", hex(&hash)).into_bytes(),
    })
}

/// The text form, whatever form it came in.
fn canonical(like: u32, format: Format, value: &[u8]) -> Option<String> {
    match format {
        Format::Text => std::str::from_utf8(value).ok().map(str::to_owned),
        Format::Binary => binary::text(like, value),
    }
}

fn integer(
    key: &MaskKey,
    style: MaskStyle,
    format: Format,
    (bytes, value): (usize, &[u8]),
) -> Option<Vec<u8>> {
    let number = match format {
        Format::Text => std::str::from_utf8(value).ok()?.parse::<i64>().ok()?,
        Format::Binary if value.len() == bytes => {
            let negative = value.first().is_some_and(|byte| *byte & 0x80 != 0);
            let start = if negative { -1_i64 } else { 0 };
            value.iter().fold(start, |number, byte| (number << 8) | i64::from(*byte))
        }
        Format::Binary => return None,
    };
    let written = number.unsigned_abs().to_string();
    let masked = match style {
        MaskStyle::Partial => first_digit(&written),
        MaskStyle::Hash => {
            let hash = mac(key, &[b"hash", number.to_string().as_bytes()]);
            let word = hash.first_chunk::<8>().map_or(0, |word| u64::from_be_bytes(*word));
            // One bit less than the type has, so that it is never negative.
            (word >> (64 - (bytes * 8 - 1))).to_string()
        }
        _ => digits(key, &written, digits_max(bytes)),
    };
    let masked = masked.parse::<i64>().ok()?;
    let masked = if number < 0 && style != MaskStyle::Hash { -masked } else { masked };
    Some(match format {
        Format::Text => masked.to_string().into_bytes(),
        Format::Binary => {
            let all = masked.to_be_bytes();
            all.get(8 - bytes..)?.to_vec()
        }
    })
}

/// How many digits the largest number of a type has.
const fn digits_max(bytes: usize) -> usize {
    match bytes {
        2 => 5,
        4 => 10,
        _ => 19,
    }
}

/// The first digit, and zeros for the rest.
fn first_digit(written: &str) -> String {
    written.chars().enumerate().map(|(place, digit)| if place == 0 { digit } else { '0' }).collect()
}

/// As many other digits, the first one not zero. A number that has as many as its type can begins with one.
fn digits(key: &MaskKey, written: &str, digits_max: usize) -> String {
    let mut stream = Stream::new(key, b"form", written.as_bytes());
    let mut out = String::with_capacity(written.len());
    for place in 0..written.len() {
        out.push(match place {
            0 if written == "0" => '0',
            0 if written.len() >= digits_max => '1',
            0 => char::from(b'1' + u8::try_from(stream.below(9)).unwrap_or(0)),
            _ => char::from(stream.digit()),
        });
    }
    out
}

fn numeric_value(key: &MaskKey, style: MaskStyle, format: Format, value: &[u8]) -> Option<Vec<u8>> {
    let written = canonical(1700, format, value)?;
    let (sign, positive) = match written.strip_prefix('-') {
        Some(rest) => ("-", rest),
        None => ("", written.as_str()),
    };
    if !positive.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.') {
        // NaN and the infinities.
        return full(Family::Numeric, 1700, format);
    }
    let (whole, fraction) = positive.split_once('.').unwrap_or((positive, ""));
    let masked = match style {
        MaskStyle::Partial => format!("{sign}{}", first_digit(whole)),
        MaskStyle::Hash => {
            // Equal numbers are equal however many zeros are written behind them.
            let short = fraction.trim_end_matches('0');
            let same =
                if short.is_empty() { format!("{sign}{whole}") } else { format!("{sign}{whole}.{short}") };
            let hash = mac(key, &[b"hash", same.as_bytes()]);
            hash.first_chunk::<8>().map_or(0, |word| u64::from_be_bytes(*word) >> 1).to_string()
        }
        _ if fraction.is_empty() => format!("{sign}{}", digits(key, whole, usize::MAX)),
        _ => {
            let other: String = Stream::new(key, b"form", written.as_bytes()).take_digits(fraction.len());
            format!("{sign}{}.{other}", digits(key, whole, usize::MAX))
        }
    };
    match format {
        Format::Text => Some(masked.into_bytes()),
        Format::Binary => numeric::encode(&masked),
    }
}

fn float(key: &MaskKey, style: MaskStyle, format: Format, (bytes, value): (usize, &[u8])) -> Option<Vec<u8>> {
    let number: f64 = match (format, bytes) {
        (Format::Text, _) => std::str::from_utf8(value).ok()?.parse().ok()?,
        (Format::Binary, 4) => f64::from(f32::from_be_bytes(value.try_into().ok()?)),
        (Format::Binary, _) => f64::from_be_bytes(value.try_into().ok()?),
    };
    let magnitude = number.abs();
    let masked = match style {
        _ if !number.is_finite() || number == 0.0 => 0.0,
        MaskStyle::Hash => {
            let hash = mac(key, &[b"hash", number.to_string().as_bytes()]);
            let word = hash.first_chunk::<4>().map_or(0, |word| u32::from_be_bytes(*word));
            // Twenty-four bits are exact in both types.
            f64::from(word >> 8)
        }
        _ => {
            let ten = 10_f64.powf(magnitude.log10().floor());
            let lead = if style == MaskStyle::Partial {
                (magnitude / ten).floor().max(1.0)
            } else {
                f64::from(Stream::new(key, b"form", number.to_string().as_bytes()).below(9) + 1)
            };
            (lead * ten).copysign(number)
        }
    };
    Some(match (format, bytes) {
        (Format::Text, _) => masked.to_string().into_bytes(),
        #[expect(
            clippy::cast_possible_truncation,
            reason = "the nearest number of the column's own type is wanted"
        )]
        (Format::Binary, 4) => (masked as f32).to_be_bytes().to_vec(),
        (Format::Binary, _) => masked.to_be_bytes().to_vec(),
    })
}

/// The first day of the year, or a day of it.
fn date(key: &MaskKey, style: MaskStyle, format: Format, value: &[u8]) -> Option<Vec<u8>> {
    let written = canonical(1082, format, value)?;
    let masked = day_of_year(key, style, &written)?;
    match format {
        Format::Text => Some(masked.into_bytes()),
        Format::Binary => {
            let days = days_since_2000(&masked)?;
            Some(days.to_be_bytes().to_vec())
        }
    }
}

fn timestamp(
    key: &MaskKey,
    style: MaskStyle,
    format: Format,
    (zoned, value): (bool, &[u8]),
) -> Option<Vec<u8>> {
    let like = if zoned { 1184 } else { 1114 };
    let written = canonical(like, format, value)?;
    let day = written.split(' ').next()?;
    let masked = day_of_year(key, style, day)?;
    match format {
        Format::Text => Some(format!("{masked} 00:00:00{}", if zoned { "+00" } else { "" }).into_bytes()),
        Format::Binary => {
            let micros = i64::from(days_since_2000(&masked)?) * 86_400_000_000;
            Some(micros.to_be_bytes().to_vec())
        }
    }
}

/// Of a day as ISO 8601 writes it; years of the common era with four digits. Other days become NULL.
fn day_of_year(key: &MaskKey, style: MaskStyle, written: &str) -> Option<String> {
    let bytes = written.as_bytes();
    let digit = |place: usize| bytes.get(place).is_some_and(u8::is_ascii_digit);
    let sound = bytes.len() == 10
        && (0..10)
            .all(|place| if matches!(place, 4 | 7) { bytes.get(place) == Some(&b'-') } else { digit(place) });
    let year = written.get(..4).filter(|_| sound)?;
    let mut stream = Stream::new(key, b"form", bytes);
    match style {
        MaskStyle::Partial => Some(format!("{year}-01-01")),
        MaskStyle::Format => Some(format!("{year}-{:02}-{:02}", stream.below(12) + 1, stream.below(28) + 1)),
        MaskStyle::Full | MaskStyle::Hash => None,
    }
}

/// Days between 2000-01-01 and a day, by the civil calendar.
fn days_since_2000(day: &str) -> Option<i32> {
    let mut parts = day.split('-').map(|part| part.parse::<i32>().ok());
    let (year, month, day) = (parts.next()??, parts.next()??, parts.next()??);
    // March is the first month, so that the leap day is the last day of a year.
    let year = if month <= 2 { year - 1 } else { year };
    let (era, of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let of_era = of_era * 365 + of_era / 4 - of_era / 100 + of_year;
    // 0000-03-01 is 730,425 days before 2000-01-01.
    Some(era * 146_097 + of_era - 730_425)
}

fn uuid(key: &MaskKey, style: MaskStyle, format: Format, value: &[u8]) -> Option<Vec<u8>> {
    let written = canonical(2950, format, value)?;
    let plain: String =
        written.chars().filter(char::is_ascii_hexdigit).flat_map(char::to_lowercase).collect();
    if plain.len() != 32 {
        return None;
    }
    let mut bytes = [0_u8; 16];
    match style {
        MaskStyle::Partial => {
            for (slot, pair) in bytes.iter_mut().zip(plain.as_bytes().chunks(2)).take(4) {
                *slot = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
            }
        }
        _ => {
            bytes.iter_mut().zip(mac(key, &[b"hash", plain.as_bytes()])).for_each(|(slot, byte)| *slot = byte)
        }
    }
    match format {
        Format::Binary => Some(bytes.to_vec()),
        Format::Text => binary::text(2950, &bytes).map(String::into_bytes),
    }
}

/// The network that an address is in, without its last part. Other styles have no address to show.
fn inet(style: MaskStyle, format: Format, value: &[u8]) -> Option<Vec<u8>> {
    if style != MaskStyle::Partial {
        return None;
    }
    match format {
        Format::Text => {
            let text = std::str::from_utf8(value).ok()?;
            let address = text.split('/').next()?;
            match address.parse::<std::net::IpAddr>().ok()? {
                std::net::IpAddr::V4(four) => {
                    let [a, b, c, _] = four.octets();
                    Some(format!("{a}.{b}.{c}.0").into_bytes())
                }
                std::net::IpAddr::V6(six) => {
                    let [a, b, c, ..] = six.segments();
                    Some(format!("{a:x}:{b:x}:{c:x}::").into_bytes())
                }
            }
        }
        Format::Binary => {
            let mut out = value.to_vec();
            let kept = match (value.first()?, value.len()) {
                (2, 8) => 3,
                (3, 20) => 6,
                _ => return None,
            };
            out.iter_mut().skip(4 + kept).for_each(|byte| *byte = 0);
            Some(out)
        }
    }
}

impl Stream<'_> {
    fn take_digits(mut self, count: usize) -> String {
        (0..count).map(|_| char::from(self.digit())).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn masked(style: MaskStyle, like: u32, value: &str) -> Option<String> {
        let out = cover(&MaskKey::new([7; 32]), style, like, Format::Text, value.as_bytes());
        out.map(|bytes| String::from_utf8(bytes).unwrap())
    }

    fn some(text: &str) -> Option<String> {
        Some(text.to_owned())
    }

    #[test]
    fn full_shows_nothing() {
        for (like, value, shown) in [
            (25, "alice@example.com", some("***")),
            (1043, "x", some("***")),
            (114, "{\"a\":1}", some("\"***\"")),
            (3802, "[1]", some("\"***\"")),
            (17, "\\x00ff", some("\\x")),
            (23, "-42", some("0")),
            (1700, "12.50", some("0")),
            (1009, "{a,b}", some("{}")),
            (1082, "1984-02-29", None),
            (16, "t", None),
            (0, "anything", None),
            (3904, "[1,5)", None),
        ] {
            assert_eq!(masked(MaskStyle::Full, like, value), shown, "{like} {value}");
        }
    }

    #[test]
    fn partial_shows_an_end() {
        for (like, value, shown) in [
            (25, "alice@example.com", some("a***@example.com")),
            (25, "4111111111111111", some("***1111")),
            (25, "secret", some("***et")),
            (25, "ab", some("***")),
            (25, "", some("***")),
            (25, "ünïcödé", some("***dé")),
            (23, "84213", some("80000")),
            (20, "-84213", some("-80000")),
            (1700, "84213.77", some("80000")),
            (701, "84213.5", some("80000")),
            (1082, "1984-02-29", some("1984-01-01")),
            (1184, "1984-02-29 12:00:00.5+02", some("1984-01-01 00:00:00+00")),
            (1082, "29.02.1984", None),
            (1082, "infinity", None),
            (869, "10.1.2.3/32", some("10.1.2.0")),
            (869, "2001:db8:1:2:3:4:5:6", some("2001:db8:1::")),
            (2950, "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11", some("a0eebc99-0000-0000-0000-000000000000")),
        ] {
            assert_eq!(masked(MaskStyle::Partial, like, value), shown, "{like} {value}");
        }
    }

    #[test]
    fn a_hash_is_the_same_in_both_forms_and_types() {
        let key = MaskKey::new([7; 32]);
        let text =
            |like, value: &str| cover(&key, MaskStyle::Hash, like, Format::Text, value.as_bytes()).unwrap();
        let bytes = |like, value: &[u8]| cover(&key, MaskStyle::Hash, like, Format::Binary, value).unwrap();
        assert_eq!(text(25, "a"), bytes(1043, b"a"));
        assert_eq!(text(1042, "a   "), text(25, "a"));
        assert_ne!(text(25, "a"), text(25, "b"));
        let number: i64 = String::from_utf8(text(20, "42")).unwrap().parse().unwrap();
        assert_eq!(bytes(20, &42_i64.to_be_bytes()), number.to_be_bytes());
        assert!(number >= 0);
        let uuid = "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11";
        let plain = u128::from_str_radix(&uuid.replace('-', ""), 16).unwrap();
        let shown = String::from_utf8(text(2950, uuid)).unwrap();
        assert_eq!(
            u128::from_str_radix(&shown.replace('-', ""), 16).unwrap().to_be_bytes().to_vec(),
            bytes(2950, &plain.to_be_bytes())
        );
        assert_eq!(text(1700, "1.50"), text(1700, "1.5"));
        assert_eq!(
            bytes(1700, &numeric::encode("1.50").unwrap()),
            numeric::encode(&String::from_utf8(text(1700, "1.5")).unwrap()).unwrap()
        );
    }

    #[test]
    fn forms_fit_their_types() {
        for (bytes, like, value) in [(2, 21, "32767"), (4, 23, "2147483647"), (8, 20, "9223372036854775807")]
        {
            let shown = masked(MaskStyle::Format, like, value).unwrap();
            assert_eq!(shown.len(), value.len());
            assert!(shown.parse::<i64>().unwrap() < value.parse::<i64>().unwrap(), "{shown}");
            let binary = cover(
                &MaskKey::new([7; 32]),
                MaskStyle::Format,
                like,
                Format::Binary,
                &value.parse::<i64>().unwrap().to_be_bytes()[8 - bytes..],
            );
            assert_eq!(binary.unwrap(), shown.parse::<i64>().unwrap().to_be_bytes()[8 - bytes..]);
        }
        let shown = masked(MaskStyle::Format, 1700, "-1234.567").unwrap();
        assert!(shown.starts_with('-') && shown.len() == 9 && shown != "-1234.567", "{shown}");
        let day = masked(MaskStyle::Format, 1082, "1984-02-29").unwrap();
        assert!(day.starts_with("1984-") && day.len() == 10, "{day}");
    }

    #[test]
    fn days_are_counted_as_the_server_counts() {
        for (day, days) in [
            ("2000-01-01", 0),
            ("2000-03-01", 60),
            ("1999-12-31", -1),
            ("2024-02-29", 8825),
            ("1970-01-01", -10957),
            ("0001-01-01", -730_119),
        ] {
            assert_eq!(days_since_2000(day), Some(days), "{day}");
        }
    }

    #[test]
    fn hostile_values_are_covered_or_null() {
        let key = MaskKey::new([7; 32]);
        for like in 0..4_100 {
            for style in [MaskStyle::Full, MaskStyle::Partial, MaskStyle::Hash, MaskStyle::Format] {
                for format in [Format::Text, Format::Binary] {
                    for value in [
                        &b""[..],
                        b"\xff\xfe\x00",
                        b"secret@",
                        &[0; 20],
                        &[255; 16],
                        b"-",
                        b"99999999999999999999",
                    ] {
                        let out = cover(&key, style, like, format, value);
                        assert!(
                            out.as_deref().is_none_or(|out| value.len() < 6
                                || out != value
                                || value.iter().all(|b| *b == 0)),
                            "{like} {style:?} {value:?}"
                        );
                    }
                }
            }
        }
    }
}
