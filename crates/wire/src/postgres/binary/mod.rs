//! What a value in a type's binary form says, in the words that the server itself would use for it as text.
//!
//! Drivers send parameters in binary; an approver must read them. [`text`] follows the server's `..._recv` functions
//! (`src/backend/utils/adt`), for the types that people use, and writes what `..._out` would write with the settings
//! `DateStyle = ISO`, `IntervalStyle = postgres`, `bytea_output = hex`, `TimeZone = UTC`. Tests compare it with a server.
//!
//! Total: what is no well-formed value of its type, or of a type that is not known here, or would
//! be far longer than its bytes ([`EXPANDED_CHARS_MAX`]), has no text; it is shown as bytes. What not: it feeds no
//! digest and no judgement, which are over the bytes.

mod array;
mod geometry;
mod network;
mod number;
mod other;
mod range;
mod time;

use self::geometry::Shape;
use super::read::Reader;

/// By how much a text may be longer than its bytes account for, in characters: a `numeric` says 10^131071 in ten bytes.
pub const EXPANDED_CHARS_MAX: usize = 128;

/// How a type's binary form is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Bool,
    Int2,
    Int4,
    Int8,
    Oid,
    Float4,
    Float8,
    Numeric,
    Char,
    Text,
    Jsonb,
    Bytea,
    Uuid,
    Date,
    Time,
    Timestamp,
    TimestampUtc,
    TimeZoned,
    Interval,
    Inet,
    Cidr,
    Macaddr,
    Macaddr8,
    Bits,
    Tid,
    Xid8,
    Lsn,
    Jsonpath,
    Tsvector,
    Geometry(Shape),
    /// Of this element type.
    Range(&'static Form),
    Ranges(&'static Form),
}

/// A built-in type.
struct Type {
    oid: u32,
    array: u32,
    name: &'static str,
    form: Option<Form>,
}

const fn read(oid: u32, array: u32, name: &'static str, form: Form) -> Type {
    Type { oid, array, name, form: Some(form) }
}

const fn named(oid: u32, array: u32, name: &'static str) -> Type {
    Type { oid, array, name, form: None }
}

/// Built-in types by their fixed OIDs (`pg_type.dat`), under their SQL names.
const TYPES: &[Type] = &[
    read(16, 1000, "boolean", Form::Bool),
    read(17, 1001, "bytea", Form::Bytea),
    read(18, 1002, "\"char\"", Form::Char),
    read(19, 1003, "name", Form::Text),
    read(20, 1016, "bigint", Form::Int8),
    read(21, 1005, "smallint", Form::Int2),
    read(23, 1007, "integer", Form::Int4),
    read(25, 1009, "text", Form::Text),
    read(26, 1028, "oid", Form::Oid),
    read(114, 199, "json", Form::Text),
    read(700, 1021, "real", Form::Float4),
    read(701, 1022, "double precision", Form::Float8),
    read(705, 0, "unknown", Form::Text),
    read(1042, 1014, "character", Form::Text),
    read(1043, 1015, "character varying", Form::Text),
    read(1082, 1182, "date", Form::Date),
    read(1083, 1183, "time", Form::Time),
    read(1114, 1115, "timestamp", Form::Timestamp),
    read(1184, 1185, "timestamp with time zone", Form::TimestampUtc),
    read(1700, 1231, "numeric", Form::Numeric),
    read(2950, 2951, "uuid", Form::Uuid),
    read(3802, 3807, "jsonb", Form::Jsonb),
    read(27, 1010, "tid", Form::Tid),
    read(28, 1011, "xid", Form::Oid),
    read(29, 1012, "cid", Form::Oid),
    read(142, 143, "xml", Form::Text),
    read(600, 1017, "point", Form::Geometry(Shape::Point)),
    read(601, 1018, "lseg", Form::Geometry(Shape::Segment)),
    read(602, 1019, "path", Form::Geometry(Shape::Path)),
    read(603, 1020, "box", Form::Geometry(Shape::Box)),
    read(604, 1027, "polygon", Form::Geometry(Shape::Polygon)),
    read(628, 629, "line", Form::Geometry(Shape::Line)),
    read(718, 719, "circle", Form::Geometry(Shape::Circle)),
    read(650, 651, "cidr", Form::Cidr),
    read(774, 775, "macaddr8", Form::Macaddr8),
    read(829, 1040, "macaddr", Form::Macaddr),
    read(869, 1041, "inet", Form::Inet),
    read(1186, 1187, "interval", Form::Interval),
    read(1266, 1270, "time with time zone", Form::TimeZoned),
    read(1560, 1561, "bit", Form::Bits),
    read(1562, 1563, "bit varying", Form::Bits),
    read(1790, 2201, "refcursor", Form::Text),
    read(3220, 3221, "pg_lsn", Form::Lsn),
    read(3614, 3643, "tsvector", Form::Tsvector),
    read(3904, 3905, "int4range", Form::Range(&Form::Int4)),
    read(3906, 3907, "numrange", Form::Range(&Form::Numeric)),
    read(3908, 3909, "tsrange", Form::Range(&Form::Timestamp)),
    read(3910, 3911, "tstzrange", Form::Range(&Form::TimestampUtc)),
    read(3912, 3913, "daterange", Form::Range(&Form::Date)),
    read(3926, 3927, "int8range", Form::Range(&Form::Int8)),
    read(4072, 4073, "jsonpath", Form::Jsonpath),
    read(4451, 6150, "int4multirange", Form::Ranges(&Form::Int4)),
    read(4532, 6151, "nummultirange", Form::Ranges(&Form::Numeric)),
    read(4533, 6152, "tsmultirange", Form::Ranges(&Form::Timestamp)),
    read(4534, 6153, "tstzmultirange", Form::Ranges(&Form::TimestampUtc)),
    read(4535, 6155, "datemultirange", Form::Ranges(&Form::Date)),
    read(4536, 6157, "int8multirange", Form::Ranges(&Form::Int8)),
    read(5069, 271, "xid8", Form::Xid8),
    // What these are written like depends on the server's locale, or on names that only it can look up.
    named(24, 1008, "regproc"),
    named(790, 791, "money"),
    named(2205, 2210, "regclass"),
    named(2206, 2211, "regtype"),
    named(3615, 3645, "tsquery"),
];

/// The SQL name of a built-in type; `bigint[]` for an array. Nothing for 0 and for types that users made.
#[must_use]
pub fn type_name(oid: u32) -> Option<String> {
    let plain = TYPES.iter().find(|found| oid != 0 && found.oid == oid).map(|found| found.name.to_owned());
    plain.or_else(|| element(oid).map(|found| format!("{}[]", found.name)))
}

/// The built-in array type of a built-in type, or 0. What users make of it has arrays that are written like that.
#[must_use]
pub fn array_of(oid: u32) -> u32 {
    TYPES.iter().find(|found| oid != 0 && found.oid == oid).map_or(0, |found| found.array)
}

/// The value as the server would write it as text, or nothing where that can't be told. An array may be one of a type
/// that users made, which is written like the element of this one.
#[must_use]
pub fn text(oid: u32, bytes: &[u8]) -> Option<String> {
    if let Some(found) = TYPES.iter().find(|found| found.oid == oid) {
        return scalar(found.form?, bytes);
    }
    array::text(element(oid)?, bytes)
}

/// The type of an array's elements; nothing for what is no array of a built-in type.
#[must_use]
pub fn element_type(array: u32) -> Option<u32> {
    element(array).map(|found| found.oid)
}

fn element(array: u32) -> Option<&'static Type> {
    TYPES.iter().find(|found| array != 0 && found.array == array)
}

fn scalar(form: Form, bytes: &[u8]) -> Option<String> {
    match form {
        Form::Bool => flag(fixed(bytes)?),
        Form::Int2 => Some(i16::from_be_bytes(fixed(bytes)?).to_string()),
        Form::Int4 => Some(i32::from_be_bytes(fixed(bytes)?).to_string()),
        Form::Int8 => Some(i64::from_be_bytes(fixed(bytes)?).to_string()),
        Form::Oid => Some(u32::from_be_bytes(fixed(bytes)?).to_string()),
        Form::Float4 => Some(number::float4(f32::from_be_bytes(fixed(bytes)?))),
        Form::Float8 => Some(number::float8(f64::from_be_bytes(fixed(bytes)?))),
        Form::Numeric => number::numeric(bytes),
        Form::Char => Some(char_text(fixed(bytes)?)),
        Form::Text => utf8(bytes),
        Form::Jsonb => utf8(bytes.strip_prefix(&[1])?),
        Form::Bytea => Some(format!("\\x{}", hex(bytes))),
        Form::Uuid => Some(uuid(fixed(bytes)?)),
        Form::Date => Some(time::date(i32::from_be_bytes(fixed(bytes)?))),
        Form::Time => time::time(i64::from_be_bytes(fixed(bytes)?)),
        Form::Timestamp => Some(time::timestamp(i64::from_be_bytes(fixed(bytes)?), "")),
        Form::TimestampUtc => Some(time::timestamp(i64::from_be_bytes(fixed(bytes)?), "+00")),
        Form::TimeZoned => time::zoned(bytes),
        Form::Interval => time::interval(bytes),
        Form::Inet => network::address(bytes, false),
        Form::Cidr => network::address(bytes, true),
        Form::Macaddr => Some(network::hardware(&fixed::<6>(bytes)?)),
        Form::Macaddr8 => Some(network::hardware(&fixed::<8>(bytes)?)),
        Form::Bits => other::bits(bytes),
        Form::Tid => other::tid(bytes),
        Form::Xid8 => Some(u64::from_be_bytes(fixed(bytes)?).to_string()),
        Form::Lsn => Some(other::lsn(u64::from_be_bytes(fixed(bytes)?))),
        Form::Jsonpath => utf8(bytes.strip_prefix(&[1])?),
        Form::Tsvector => other::tsvector(bytes),
        Form::Geometry(shape) => geometry::text(shape, bytes),
        Form::Range(of) => range::range(*of, bytes),
        Form::Ranges(of) => range::ranges(*of, bytes),
    }
}

/// Bytes in lower-case hexadecimal.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    let digit = |nibble: u8| char::from_digit(u32::from(nibble), 16);
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).flatten().collect()
}

fn fixed<const N: usize>(bytes: &[u8]) -> Option<[u8; N]> {
    bytes.try_into().ok()
}

fn flag([byte]: [u8; 1]) -> Option<String> {
    // Any other byte than 0 is true, as the server reads it.
    Some(if byte == 0 { "false" } else { "true" }.to_owned())
}

fn char_text([byte]: [u8; 1]) -> String {
    match byte {
        0 => String::new(),
        1..=127 => char::from(byte).to_string(),
        _ => format!("\\{byte:03o}"),
    }
}

fn utf8(bytes: &[u8]) -> Option<String> {
    String::from_utf8(bytes.to_vec()).ok()
}

fn uuid(bytes: [u8; 16]) -> String {
    let digits = hex(&bytes);
    let parts = [0..8, 8..12, 12..16, 16..20, 20..32].map(|part| digits.get(part).unwrap_or_default());
    parts.join("-")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn values_read_as_the_server_writes_them() {
        let cases: [(u32, &[u8], &str); 26] = [
            (16, &[1], "true"),
            (21, &[0xff, 0xfe], "-2"),
            (23, &[0, 0, 1, 0], "256"),
            (20, &[0, 0, 0, 0, 0, 0, 0x5d, 0xc6], "24006"),
            (26, &[0xff; 4], "4294967295"),
            (701, &1e300_f64.to_be_bytes(), "1e+300"),
            (701, &0.1_f64.to_be_bytes(), "0.1"),
            (701, &1e-5_f64.to_be_bytes(), "1e-05"),
            (700, &1_000_000_f32.to_be_bytes(), "1e+06"),
            (701, &f64::NEG_INFINITY.to_be_bytes(), "-Infinity"),
            (25, "ä".as_bytes(), "ä"),
            (3802, b"\x01{\"a\": 1}", "{\"a\": 1}"),
            (17, &[0xde, 0xad], "\\xdead"),
            (18, b"x", "x"),
            (2950, &[0x11; 16], "11111111-1111-1111-1111-111111111111"),
            (1082, &0_i32.to_be_bytes(), "2000-01-01"),
            (1082, &i32::MAX.to_be_bytes(), "infinity"),
            (1082, &(-730_119_i32).to_be_bytes(), "0001-01-01"),
            (1082, &(-730_120_i32).to_be_bytes(), "0001-12-31 BC"),
            (1083, &86_399_999_999_i64.to_be_bytes(), "23:59:59.999999"),
            (1114, &1_500_000_i64.to_be_bytes(), "2000-01-01 00:00:01.5"),
            (1184, &(-1_i64).to_be_bytes(), "1999-12-31 23:59:59.999999+00"),
            (869, &[2, 32, 0, 4, 127, 0, 0, 1], "127.0.0.1"),
            (1560, &[0, 0, 0, 5, 0b1010_1000], "10101"),
            (3220, &[0, 0, 0, 1, 0, 0, 0, 0xab], "1/AB"),
            (27, &[0, 0, 0, 7, 0, 2], "(7,2)"),
        ];
        for (oid, bytes, expected) in cases {
            assert_eq!(text(oid, bytes).as_deref(), Some(expected), "{oid} {bytes:?}");
        }
    }

    #[test]
    fn what_is_no_value_of_its_type_has_no_text() {
        let cases: [(u32, &[u8]); 10] = [
            (0, b"x"),
            (16_400, b"x"),
            (20, &[0, 0, 0, 1]),
            (23, &[0; 8]),
            (16, &[]),
            (25, &[0xff]),
            (3802, b"\x02{}"),
            (869, &[2, 32, 0, 4, 127, 0, 0]),
            (1560, &[0, 0, 0, 9, 0]),
            (1083, &(-1_i64).to_be_bytes()),
        ];
        for (oid, bytes) in cases {
            assert_eq!(text(oid, bytes), None, "{oid} {bytes:?}");
        }
    }

    #[test]
    fn types_have_their_sql_names() {
        assert_eq!(type_name(20).as_deref(), Some("bigint"));
        assert_eq!(type_name(1016).as_deref(), Some("bigint[]"));
        assert_eq!(type_name(869).as_deref(), Some("inet"));
        assert_eq!(type_name(0), None);
        assert_eq!(type_name(16_384), None);
    }

    #[test]
    fn no_oid_means_two_types() {
        let mut oids: Vec<u32> =
            TYPES.iter().flat_map(|one| [one.oid, one.array]).filter(|oid| *oid != 0).collect();
        oids.sort_unstable();
        let count = oids.len();
        oids.dedup();
        assert_eq!(oids.len(), count);
    }

    proptest! {
        #[test]
        fn any_bytes_of_any_type_are_read_within_bounds(
            index in 0..TYPES.len(),
            array in any::<bool>(),
            bytes in proptest::collection::vec(any::<u8>(), 0..200),
        ) {
            let one = TYPES.get(index).unwrap();
            let oid = if array { one.array } else { one.oid };
            let length = text(oid, &bytes).map_or(0, |text| text.len());
            prop_assert!(length <= EXPANDED_CHARS_MAX + bytes.len() * 40, "{length} from {}", bytes.len());
        }
    }
}
