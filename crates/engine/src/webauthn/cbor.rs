//! As much CBOR (RFC 8949) as authenticators use (CTAP2 canonical form): definite lengths, few levels, no floats, no tags.
//! Whatever else comes is refused.

/// How deep values nest (CTAP 2.1, section 8: four levels).
const DEPTH_MAX: u8 = 4;

/// How many members one map or array may have.
const MEMBERS_MAX: u64 = 64;

/// A value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Value<'a> {
    Int(i64),
    Bytes(&'a [u8]),
    Text(&'a str),
    Array(Vec<Value<'a>>),
    Map(Vec<(Value<'a>, Value<'a>)>),
    /// False, true, null.
    Simple(u8),
}

/// The one value that `bytes` is.
pub(super) fn whole(bytes: &[u8], most: usize) -> Option<Value<'_>> {
    if bytes.len() > most {
        return None;
    }
    let (value, rest) = read(bytes, DEPTH_MAX)?;
    rest.is_empty().then_some(value)
}

/// What stands behind the first value.
pub(super) fn skip(bytes: &[u8]) -> Option<&[u8]> {
    read(bytes, DEPTH_MAX).map(|(_, rest)| rest)
}

impl<'a> Value<'a> {
    pub(super) fn bytes(&self) -> Option<&'a [u8]> {
        if let Self::Bytes(bytes) = self { Some(bytes) } else { None }
    }

    pub(super) fn int(&self) -> Option<i64> {
        if let Self::Int(int) = self { Some(*int) } else { None }
    }

    /// The member of a map by a text; a key that is there twice is none.
    pub(super) fn get_text(&self, key: &str) -> Option<&Self> {
        self.get(&Value::Text(key))
    }

    /// The member of a map by a number.
    pub(super) fn get_int(&self, key: i64) -> Option<&Self> {
        self.get(&Value::Int(key))
    }

    fn get(&self, key: &Value<'_>) -> Option<&Self> {
        let Self::Map(members) = self else { return None };
        let mut found = members.iter().filter(|(name, _)| name == key);
        let first = found.next().map(|(_, value)| value);
        found.next().is_none().then_some(first).flatten()
    }
}

fn read(bytes: &[u8], depth: u8) -> Option<(Value<'_>, &[u8])> {
    let (first, rest) = bytes.split_first()?;
    let (major, low) = (first >> 5, first & 31);
    if major == 7 {
        return (20..=22).contains(&low).then_some((Value::Simple(low), rest));
    }
    let (number, rest) = argument(low, rest)?;
    match major {
        0 => Some((Value::Int(i64::try_from(number).ok()?), rest)),
        1 => Some((Value::Int(-1 - i64::try_from(number).ok()?), rest)),
        2 | 3 => {
            let (body, rest) = rest.split_at_checked(usize::try_from(number).ok()?)?;
            let value =
                if major == 2 { Value::Bytes(body) } else { Value::Text(std::str::from_utf8(body).ok()?) };
            Some((value, rest))
        }
        4 => members(number, depth, rest, read).map(|(found, rest)| (Value::Array(found), rest)),
        5 => members(number, depth, rest, pair).map(|(found, rest)| (Value::Map(found), rest)),
        _ => None,
    }
}

/// The number that a head carries, in as many bytes as it says; its shortest form is asked for.
fn argument(low: u8, rest: &[u8]) -> Option<(u64, &[u8])> {
    let (number, rest, least) = match low {
        0..=23 => (u64::from(low), rest, 0),
        24 => rest.split_first().map(|(byte, rest)| (u64::from(*byte), rest, 24))?,
        25 => rest
            .split_first_chunk::<2>()
            .map(|(b, rest)| (u64::from(u16::from_be_bytes(*b)), rest, 1 << 8))?,
        26 => rest
            .split_first_chunk::<4>()
            .map(|(b, rest)| (u64::from(u32::from_be_bytes(*b)), rest, 1 << 16))?,
        27 => rest.split_first_chunk::<8>().map(|(b, rest)| (u64::from_be_bytes(*b), rest, 1 << 32))?,
        _ => return None,
    };
    (number >= least).then_some((number, rest))
}

fn pair(bytes: &[u8], depth: u8) -> Option<((Value<'_>, Value<'_>), &[u8])> {
    let (name, rest) = read(bytes, depth)?;
    let (value, rest) = read(rest, depth)?;
    Some(((name, value), rest))
}

fn members<'a, T>(
    count: u64,
    depth: u8,
    mut rest: &'a [u8],
    one: impl Fn(&'a [u8], u8) -> Option<(T, &'a [u8])>,
) -> Option<(Vec<T>, &'a [u8])> {
    let depth = depth.checked_sub(1)?;
    if count > MEMBERS_MAX {
        return None;
    }
    let mut found = Vec::new();
    for _ in 0..count {
        let (value, after) = one(rest, depth)?;
        found.push(value);
        rest = after;
    }
    Some((found, rest))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// RFC 8949, appendix A: those that are of this subset.
    #[test]
    fn values_of_the_rfc_are_read() {
        let read = |hex: &str| {
            let bytes: Vec<u8> = (0..hex.len())
                .step_by(2)
                .map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap())
                .collect();
            whole(&bytes, 1_024).map(|value| format!("{value:?}"))
        };
        for (hex, is) in [
            ("00", "Int(0)"),
            ("1818", "Int(24)"),
            ("1903e8", "Int(1000)"),
            ("1a000f4240", "Int(1000000)"),
            ("1b000000e8d4a51000", "Int(1000000000000)"),
            ("20", "Int(-1)"),
            ("3903e7", "Int(-1000)"),
            ("4401020304", "Bytes([1, 2, 3, 4])"),
            ("62c3bc", "Text(\"ü\")"),
            ("83010203", "Array([Int(1), Int(2), Int(3)])"),
            ("a201020304", "Map([(Int(1), Int(2)), (Int(3), Int(4))])"),
            ("f5", "Simple(21)"),
        ] {
            assert_eq!(read(hex).as_deref(), Some(is), "{hex}");
        }
        for hex in [
            "",
            "18",
            "1817",
            "190017",
            "1bffffffffffffffff",
            "3bffffffffffffffff",
            "44010203",
            "62c328",
            "9f01ff",
            "bf01ff",
            "5f4101ff",
            "c11a514b67b0",
            "f90000",
            "f97e00",
            "fb3ff199999999999a",
            "f7",
            "f6f6",
            "1c",
            "a1",
            "a101",
            "81818181818101",
            "9841",
            "9b7fffffffffffffff",
        ] {
            assert_eq!(read(hex), None, "{hex}");
        }
    }

    #[test]
    fn a_key_that_is_there_twice_is_none() {
        let twice = whole(&[0xa2, 1, 2, 1, 3], 64).unwrap();
        assert_eq!(twice.get_int(1), None);
        let once = whole(&[0xa2, 1, 2, 3, 4], 64).unwrap();
        assert_eq!(once.get_int(3), Some(&Value::Int(4)));
        assert_eq!(once.get_text("a"), None);
    }

    proptest! {
        #[test]
        fn nothing_breaks_it(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            if let Some(rest) = skip(&bytes) {
                prop_assert!(bytes.ends_with(rest));
            }
        }
    }
}
