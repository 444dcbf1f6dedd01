use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

fn text(value: &Value) -> String {
    String::from_utf8(encode(value).unwrap()).unwrap()
}

#[test]
fn keys_are_sorted_by_utf16_code_units() {
    // The key list of RFC 8785, section 3.2.3.
    let value = json!({
        "\u{20ac}": "Euro Sign", "\r": "Carriage Return", "\u{fb33}": "Hebrew Letter Dalet With Dagesh",
        "1": "One", "\u{1f600}": "Emoji: Grinning Face", "\u{80}": "Control", "\u{f6}": "Latin Small Letter O With Diaeresis"
    });
    let expected = concat!(
        r#"{"\r":"Carriage Return","1":"One","#,
        "\"\u{80}\":\"Control\",\"\u{f6}\":\"Latin Small Letter O With Diaeresis\",\"\u{20ac}\":\"Euro Sign\",",
        "\"\u{1f600}\":\"Emoji: Grinning Face\",\"\u{fb33}\":\"Hebrew Letter Dalet With Dagesh\"}"
    );
    assert_eq!(text(&value), expected);
    assert_eq!(parse(expected.as_bytes()), Ok(value));
}

#[test]
fn strings_take_the_shortest_escape() {
    // The string of RFC 8785, section 3.2.2.
    let value = json!({"string": "\u{20ac}$\u{000F}\u{000a}A'\u{0042}\u{0022}\u{005c}\\\"/", "literals": [null, true, false]});
    assert_eq!(
        text(&value),
        "{\"literals\":[null,true,false],\"string\":\"\u{20ac}$\\u000f\\nA'B\\\"\\\\\\\\\\\"/\"}"
    );
    assert_eq!(text(&json!("\u{7f}\u{2028}\u{0008}\u{0000}\u{1f}")), "\"\u{7f}\u{2028}\\b\\u0000\\u001f\"");
}

#[test]
fn integers_only() {
    let largest = 9_007_199_254_740_991_i64;
    assert_eq!(text(&json!([0, -1, largest, -largest])), "[0,-1,9007199254740991,-9007199254740991]");
    for refused in [
        json!(1.5),
        json!(1.0),
        json!(-0.0),
        json!(1e300),
        json!(largest + 1),
        json!(u64::MAX),
        json!(i64::MIN),
    ] {
        let error = encode(&refused).unwrap_err();
        assert!(error.to_string().contains("write it as a string"), "{error}");
    }
}

#[test]
fn depth_is_bounded_both_ways() {
    let nested = |levels: usize| "[".repeat(levels) + &"]".repeat(levels);
    let value = parse(nested(DEPTH_MAX).as_bytes()).unwrap();
    assert_eq!(text(&value), nested(DEPTH_MAX));
    assert_eq!(encode(&Value::Array(vec![value])), Err(JcsError::Depth));
    assert_eq!(parse(nested(DEPTH_MAX + 1).as_bytes()), Err(JcsError::Depth));
    assert_eq!(parse("[".repeat(1_000_000).as_bytes()), Err(JcsError::Depth));
    assert_eq!(parse(r#"{"a":"#.repeat(DEPTH_MAX + 1).as_bytes()), Err(JcsError::Depth));
}

#[test]
fn other_spellings_are_refused() {
    let spellings: &[&[u8]] = &[
        b"",
        b" ",
        b" 1",
        b"1 ",
        b"1\n",
        b"01",
        b"-0",
        b"-",
        b"+1",
        b"1.0",
        b"1e0",
        b"1E2",
        b".5",
        b"NaN",
        b"nul",
        b"nulll",
        b"True",
        b"'a'",
        b"[1, 2]",
        b"[1,]",
        b"[,1]",
        b"[",
        b"[1",
        b"{",
        b"{}}",
        b"[]]",
        b"{\"a\"}",
        b"{\"a\":}",
        b"{\"a\":1,}",
        b"{\"a\" :1}",
        b"{\"a\": 1}",
        b"{a:1}",
        b"{1:1}",
        b"{\"b\":1,\"a\":2}",
        b"{\"a\":1,\"a\":1}",
        b"{\"a\":1,\"b\":{\"x\":1,\"x\":2}}",
        b"\"",
        b"\"\\",
        b"\"\\u",
        b"\"\\u00",
        b"\"a",
        b"\"\x01\"",
        b"\"\n\"",
        b"\"\\/\"",
        b"\"\\u0041\"",
        b"\"\\u000a\"",
        b"\"\\u000A\"",
        b"\"\\u001F\"",
        b"\"\\u0022\"",
        b"\"\\u00e9\"",
        b"\"\\ud83d\\ude00\"",
        b"\"\\ud800\"",
        b"\"\\x41\"",
        b"\"\xff\"",
        b"\"\xed\xa0\x80\"",
        b"\"\xc0\x80\"",
        b"\xef\xbb\xbf1",
        b"1\x00",
        b"9007199254740992",
        b"-9007199254740992",
        b"99999999999999999999999999999",
        b"{\"\xf0\x9f\x98\x80\":1,\"\xef\xac\xb3\":2,\"a\":3}",
    ];
    for spelling in spellings {
        assert!(!is_canonical(spelling), "{}", String::from_utf8_lossy(spelling));
    }
}

#[test]
fn errors_point_at_the_place() {
    let error = parse(br#"{"a":1,"a":2}"#).unwrap_err();
    assert_eq!(error.to_string(), "not canonical JSON at byte 7: key `a` is repeated or out of order");
    let error = parse(br#"{"a": 1}"#).unwrap_err();
    assert_eq!(error.to_string(), "not canonical JSON at byte 5: a value");
    assert_eq!(parse(b"[1").unwrap_err(), JcsError::Ended);
}

/// Keys that make a lenient parser build something else.
#[test]
fn keys_with_a_meaning_elsewhere_are_plain_keys() {
    for key in ["$serde_json::private::RawValue", "$serde_json::private::Number", "__proto__"] {
        let mut object = Map::new();
        object.insert(key.to_owned(), Value::from("[1]"));
        let bytes = encode_object(&object).unwrap();
        assert_eq!(parse(&bytes), Ok(Value::Object(object)));
    }
}

pub(crate) fn any_value() -> impl Strategy<Value = Value> {
    let integer = -9_007_199_254_740_991_i64..=9_007_199_254_740_991;
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        integer.prop_map(Value::from),
        any::<String>().prop_map(Value::from),
        "[\\x00-\\x22\\\\]{0,8}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 40, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::btree_map(any::<String>(), inner, 0..6)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn what_is_written_reads_back(value in any_value()) {
        let bytes = encode(&value).unwrap();
        prop_assert_eq!(parse(&bytes).unwrap(), value.clone());
        prop_assert_eq!(serde_json::from_slice::<Value>(&bytes).unwrap(), value, "other parsers agree");
    }

    /// A changed byte gives another value or none: never the same value in other bytes.
    #[test]
    fn one_value_has_one_spelling(
        value in any_value(),
        at in any::<prop::sample::Index>(),
        byte in any::<u8>(),
    ) {
        let bytes = encode(&value).unwrap();
        let mut changed = bytes.clone();
        let at = at.index(bytes.len());
        changed[at] = byte;
        if let Ok(read) = parse(&changed) {
            prop_assert_eq!(encode(&read).unwrap(), changed);
        }
    }

    #[test]
    fn any_bytes_are_read_without_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        if let Ok(value) = parse(&bytes) {
            prop_assert_eq!(encode(&value).unwrap(), bytes);
        }
    }

    /// JSON-like noise reaches deeper into the reader than random bytes do.
    #[test]
    fn json_like_noise(noise in r#"[\[\]{}:,"\\0-9a-fnrtu. -]{0,60}"#) {
        let ours = parse(noise.as_bytes()).ok();
        let theirs = serde_json::from_str::<Value>(&noise).ok()
            .filter(|value| encode(value).is_ok_and(|bytes| bytes == noise.as_bytes()));
        prop_assert_eq!(ours, theirs);
    }
}
