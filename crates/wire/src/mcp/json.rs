//! JSON that has one reading (RFC 8259, narrowed as RFC 7493 does), and its canonical form (RFC 8785).
//!
//! Readers differ about names that come twice, lone surrogates, and numbers beyond what a double holds. Here each of
//! them is an error, the last only where a canonical form is asked for: what a server answers may hold any number.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::fmt::Write as _;

/// How deep values may nest.
pub const DEPTH_MAX: usize = 64;
/// How many values one text may hold: each takes memory of its own.
pub const VALUES_MAX: usize = 100_000;
/// The largest whole number that every reader has the same of: 2^53 - 1.
const WHOLE_MAX: i64 = (1 << 53) - 1;
/// From here on whole numbers are written with an exponent (ECMA-262, `Number::toString`).
const PLAIN_DIGITS_MAX: i32 = 21;
/// Below so many zeroes behind the point they are as well.
const PLAIN_ZEROES_MIN: i32 = -6;

/// Why a text is not JSON with one reading.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadJson {
    /// It is not UTF-8.
    #[error("it is not UTF-8")]
    Utf8,
    /// Something else was wanted at this byte.
    #[error("{what} was expected at byte {at}")]
    Expected {
        /// What.
        what: &'static str,
        /// Where, counted from zero.
        at: usize,
    },
    /// A name comes twice in one object.
    #[error("the name `{0}` comes twice in one object")]
    Twice(String),
    /// A text holds half a character.
    #[error("a text holds half a surrogate pair at byte {0}")]
    Surrogate(usize),
    /// It nests too deep.
    #[error("it nests deeper than {DEPTH_MAX} levels")]
    Deep,
    /// It holds too many values.
    #[error("it holds more than {VALUES_MAX} values")]
    Many,
    /// A number has no exact value that every reader agrees on.
    #[error("the number `{0}` is not the same to every reader; send it as a text")]
    Number(String),
}

/// A value, with the text that it was read from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Json<'a> {
    /// The text, from its first byte to its last.
    pub raw: &'a str,
    /// What it is.
    pub kind: Kind<'a>,
}

/// What a value is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind<'a> {
    /// `null`.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A number, as it is written.
    Number(&'a str),
    /// A text.
    Text(Cow<'a, str>),
    /// A list.
    List(Vec<Json<'a>>),
    /// An object, in the order in which it is written.
    Object(Vec<(Cow<'a, str>, Json<'a>)>),
}

/// Reads all of `bytes` as one value.
///
/// # Errors
/// [`BadJson`].
pub fn read(bytes: &[u8]) -> Result<Json<'_>, BadJson> {
    let text = std::str::from_utf8(bytes).map_err(|_| BadJson::Utf8)?;
    let mut reader = Reader { text, at: 0, left: VALUES_MAX };
    reader.space();
    let value = reader.value(0)?;
    reader.space();
    if reader.at < text.len() { reader.expected("the end") } else { Ok(value) }
}

impl<'a> Json<'a> {
    /// The value of a name, if this is an object that has it.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Self> {
        let Kind::Object(members) = &self.kind else { return None };
        members.iter().find(|(key, _)| key == name).map(|(_, value)| value)
    }

    /// The members, if this is an object.
    #[must_use]
    pub fn members(&self) -> Option<&[(Cow<'a, str>, Self)]> {
        if let Kind::Object(members) = &self.kind { Some(members) } else { None }
    }

    /// The values, if this is a list.
    #[must_use]
    pub fn values(&self) -> Option<&[Self]> {
        if let Kind::List(values) = &self.kind { Some(values) } else { None }
    }

    /// The text, if this is one.
    #[must_use]
    pub fn text(&self) -> Option<&str> {
        if let Kind::Text(text) = &self.kind { Some(text) } else { None }
    }

    /// Whether it is `true`.
    #[must_use]
    pub fn is_true(&self) -> bool {
        self.kind == Kind::Bool(true)
    }

    /// The whole number, if this is one that every reader has the same of.
    #[must_use]
    pub fn whole(&self) -> Option<i64> {
        let Kind::Number(text) = &self.kind else { return None };
        whole(text)
    }

    /// The canonical form (RFC 8785).
    ///
    /// # Errors
    /// [`BadJson::Number`]: a number has none.
    pub fn canonical(&self) -> Result<String, BadJson> {
        let mut out = String::with_capacity(self.raw.len());
        self.write(&mut out, None)?;
        Ok(out)
    }

    /// The canonical form over several lines, for people: the same but for line breaks and spaces between values.
    ///
    /// # Errors
    /// As [`Json::canonical`].
    pub fn in_lines(&self) -> Result<String, BadJson> {
        let mut out = String::with_capacity(self.raw.len() * 2);
        self.write(&mut out, Some(0))?;
        Ok(out)
    }

    /// Writes it, within so many levels of lines if in lines.
    fn write(&self, out: &mut String, level: Option<usize>) -> Result<(), BadJson> {
        match &self.kind {
            Kind::Null => out.push_str("null"),
            Kind::Bool(value) => out.push_str(if *value { "true" } else { "false" }),
            Kind::Number(text) => write_number(text, out)?,
            Kind::Text(text) => write_text(text, out),
            Kind::List(values) => {
                let inner = open('[', values.is_empty(), level, out);
                for (place, value) in values.iter().enumerate() {
                    next(place, inner, out);
                    value.write(out, inner)?;
                }
                close(']', values.is_empty(), level, out);
            }
            Kind::Object(members) => {
                let mut sorted: Vec<&(Cow<'_, str>, Json<'_>)> = members.iter().collect();
                sorted.sort_by(|(one, _), (other, _)| one.encode_utf16().cmp(other.encode_utf16()));
                let inner = open('{', members.is_empty(), level, out);
                for (place, (name, value)) in sorted.into_iter().enumerate() {
                    next(place, inner, out);
                    write_text(name, out);
                    out.push_str(if inner.is_some() { ": " } else { ":" });
                    value.write(out, inner)?;
                }
                close('}', members.is_empty(), level, out);
            }
        }
        Ok(())
    }
}

fn open(bracket: char, is_empty: bool, level: Option<usize>, out: &mut String) -> Option<usize> {
    out.push(bracket);
    if is_empty { None } else { level.map(|level| level + 1) }
}

fn next(place: usize, level: Option<usize>, out: &mut String) {
    if place > 0 {
        out.push(',');
    }
    line(level, out);
}

fn close(bracket: char, is_empty: bool, level: Option<usize>, out: &mut String) {
    if !is_empty {
        line(level, out);
    }
    out.push(bracket);
}

fn line(level: Option<usize>, out: &mut String) {
    if let Some(level) = level {
        out.push('\n');
        out.extend(std::iter::repeat_n("  ", level));
    }
}

/// Writes a text as JSON, escaping what must be (RFC 8785, section 3.2.2.2).
pub fn write_text(text: &str, out: &mut String) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\u{8}' => out.push_str("\\b"),
            '\t' => out.push_str("\\t"),
            '\n' => out.push_str("\\n"),
            '\u{c}' => out.push_str("\\f"),
            '\r' => out.push_str("\\r"),
            c if c < ' ' => drop(write!(out, "\\u{:04x}", u32::from(c))),
            c => out.push(c),
        }
    }
    out.push('"');
}

fn whole(text: &str) -> Option<i64> {
    let number: i64 = text.parse().ok()?;
    (-WHOLE_MAX..=WHOLE_MAX).contains(&number).then_some(number)
}

/// A number as ECMAScript writes it (RFC 8785, section 3.2.2.3).
fn write_number(text: &str, out: &mut String) -> Result<(), BadJson> {
    if let Some(number) = whole(text) {
        let _ = write!(out, "{number}");
        return Ok(());
    }
    let bad = || BadJson::Number(text.chars().take(64).collect());
    let number: f64 = text.parse().map_err(|_| bad())?;
    let is_written_whole = !text.contains(['.', 'e', 'E']);
    if !number.is_finite() || is_written_whole {
        return Err(bad());
    }
    // The shortest digits that read back as the same number, and the exponent of the first of them.
    let shortest = format!("{:e}", number.abs());
    let (digits, exponent) = shortest.split_once('e').ok_or_else(bad)?;
    let exponent: i32 = exponent.parse().map_err(|_| bad())?;
    if number == 0.0 {
        out.push('0');
        return Ok(());
    }
    if number < 0.0 {
        out.push('-');
    }
    let digits: String = digits.chars().filter(|c| *c != '.').collect();
    write_digits(&digits, exponent + 1, out);
    Ok(())
}

/// Digits with the point behind the `point`th of them.
fn write_digits(digits: &str, point: i32, out: &mut String) {
    let count = i32::try_from(digits.len()).unwrap_or(i32::MAX);
    let zeroes = |count: i32| "0".repeat(usize::try_from(count).unwrap_or(0));
    if count <= point && point <= PLAIN_DIGITS_MAX {
        out.push_str(digits);
        out.push_str(&zeroes(point - count));
    } else if (1..=PLAIN_DIGITS_MAX).contains(&point) {
        let (before, behind) = digits.split_at(usize::try_from(point).unwrap_or(0).min(digits.len()));
        let _ = write!(out, "{before}.{behind}");
    } else if (PLAIN_ZEROES_MIN + 1..=0).contains(&point) {
        let _ = write!(out, "0.{}{digits}", zeroes(-point));
    } else {
        let (first, rest) = digits.split_at(1.min(digits.len()));
        let dot = if rest.is_empty() { "" } else { "." };
        let _ = write!(out, "{first}{dot}{rest}e{:+}", point - 1);
    }
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
    /// How many more values there may be.
    left: usize,
}

impl<'a> Reader<'a> {
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    fn expected<T>(&self, what: &'static str) -> Result<T, BadJson> {
        Err(BadJson::Expected { what, at: self.at })
    }

    fn since(&self, start: usize) -> &'a str {
        self.text.get(start..self.at).unwrap_or_default()
    }

    fn takes(&mut self, byte: u8) -> bool {
        let is_there = self.peek() == Some(byte);
        self.at += usize::from(is_there);
        is_there
    }

    fn value(&mut self, depth: usize) -> Result<Json<'a>, BadJson> {
        self.left = self.left.checked_sub(1).ok_or(BadJson::Many)?;
        let start = self.at;
        let kind = match self.peek() {
            Some(b'{') => self.object(depth + 1)?,
            Some(b'[') => self.list(depth + 1)?,
            Some(b'"') => Kind::Text(self.string()?),
            Some(b'-' | b'0'..=b'9') => self.number()?,
            _ => self.word()?,
        };
        Ok(Json { raw: self.since(start), kind })
    }

    fn word(&mut self) -> Result<Kind<'a>, BadJson> {
        let words = [("null", Kind::Null), ("true", Kind::Bool(true)), ("false", Kind::Bool(false))];
        let rest = self.text.get(self.at..).unwrap_or_default();
        match words.into_iter().find(|(word, _)| rest.starts_with(word)) {
            Some((word, kind)) => {
                self.at += word.len();
                Ok(kind)
            }
            None => self.expected("a value"),
        }
    }

    fn object(&mut self, depth: usize) -> Result<Kind<'a>, BadJson> {
        self.deeper(depth)?;
        let (mut members, mut names) = (Vec::new(), BTreeSet::new());
        self.space();
        if self.takes(b'}') {
            return Ok(Kind::Object(members));
        }
        loop {
            self.space();
            let name =
                if self.peek() == Some(b'"') { self.string()? } else { return self.expected("a name") };
            if !names.insert(name.clone()) {
                return Err(BadJson::Twice(name.chars().take(64).collect()));
            }
            self.space();
            if !self.takes(b':') {
                return self.expected("`:`");
            }
            self.space();
            members.push((name, self.value(depth)?));
            self.space();
            if self.takes(b'}') {
                return Ok(Kind::Object(members));
            }
            if !self.takes(b',') {
                return self.expected("`,` or `}`");
            }
        }
    }

    fn list(&mut self, depth: usize) -> Result<Kind<'a>, BadJson> {
        self.deeper(depth)?;
        let mut values = Vec::new();
        self.space();
        if self.takes(b']') {
            return Ok(Kind::List(values));
        }
        loop {
            self.space();
            values.push(self.value(depth)?);
            self.space();
            if self.takes(b']') {
                return Ok(Kind::List(values));
            }
            if !self.takes(b',') {
                return self.expected("`,` or `]`");
            }
        }
    }

    fn deeper(&mut self, depth: usize) -> Result<(), BadJson> {
        self.at += 1;
        if depth > DEPTH_MAX { Err(BadJson::Deep) } else { Ok(()) }
    }

    fn number(&mut self) -> Result<Kind<'a>, BadJson> {
        let start = self.at;
        self.takes(b'-');
        if !self.takes(b'0') {
            self.digits()?;
        }
        if self.takes(b'.') {
            self.digits()?;
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            self.at += 1;
            if matches!(self.peek(), Some(b'+' | b'-')) {
                self.at += 1;
            }
            self.digits()?;
        }
        Ok(Kind::Number(self.since(start)))
    }

    fn digits(&mut self) -> Result<(), BadJson> {
        let start = self.at;
        while matches!(self.peek(), Some(b'0'..=b'9')) {
            self.at += 1;
        }
        if self.at == start { self.expected("a digit") } else { Ok(()) }
    }

    fn string(&mut self) -> Result<Cow<'a, str>, BadJson> {
        self.at += 1;
        let mut text = Cow::Borrowed("");
        loop {
            let start = self.at;
            while !matches!(self.peek(), None | Some(b'"' | b'\\' | 0..0x20)) {
                self.at += 1;
            }
            let plain = self.since(start);
            if text.is_empty() {
                text = Cow::Borrowed(plain)
            } else {
                text.to_mut().push_str(plain)
            }
            match self.peek() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(text);
                }
                Some(b'\\') => {
                    let c = self.escape()?;
                    text.to_mut().push(c);
                }
                _ => return self.expected("the end of a text"),
            }
        }
    }

    fn escape(&mut self) -> Result<char, BadJson> {
        self.at += 1;
        let Some(byte) = self.peek() else { return self.expected("an escape") };
        self.at += 1;
        Ok(match byte {
            b'"' => '"',
            b'\\' => '\\',
            b'/' => '/',
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => return self.unicode(),
            _ => {
                self.at -= 1;
                return self.expected("an escape");
            }
        })
    }

    fn unicode(&mut self) -> Result<char, BadJson> {
        let start = self.at;
        let first = self.hex()?;
        if let Some(c) = char::from_u32(first) {
            return Ok(c);
        }
        let is_high = (0xD800..0xDC00).contains(&first);
        if !(is_high && self.takes(b'\\') && self.takes(b'u')) {
            return Err(BadJson::Surrogate(start));
        }
        let second = self.hex()?;
        if !(0xDC00..0xE000).contains(&second) {
            return Err(BadJson::Surrogate(start));
        }
        let code = 0x1_0000 + ((first - 0xD800) << 10) + (second - 0xDC00);
        char::from_u32(code).ok_or(BadJson::Surrogate(start))
    }

    fn hex(&mut self) -> Result<u32, BadJson> {
        let digits = self
            .text
            .get(self.at..self.at + 4)
            .filter(|digits| digits.bytes().all(|b| b.is_ascii_hexdigit()));
        let Some(code) = digits.and_then(|digits| u32::from_str_radix(digits, 16).ok()) else {
            return self.expected("four hexadecimal digits");
        };
        self.at += 4;
        Ok(code)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn canonical(text: &str) -> Result<String, BadJson> {
        read(text.as_bytes())?.canonical()
    }

    /// The example of RFC 8785, section 3.2.2, and numbers of its appendix B.
    #[test]
    fn the_canonical_form_is_that_of_the_rfc() {
        let example = r#"{
            "numbers": [333333333.33333329, 1E30, 4.50, 2e-3, 0.000000000000000000000000001],
            "string": "\u20ac$\u000F\u000aA'\u0042\u0022\u005c\\\"\/",
            "literals": [null, true, false]
        }"#;
        assert_eq!(
            canonical(example).unwrap(),
            "{\"literals\":[null,true,false],\"numbers\":[333333333.3333333,1e+30,4.5,0.002,1e-27],\"string\":\"€$\\u000f\\nA'B\\\"\\\\\\\\\\\"/\"}"
        );
        for (text, expected) in [
            ("0.0", "0"),
            ("-0.0", "0"),
            ("-0", "0"),
            ("5e-324", "5e-324"),
            ("1.7976931348623157e308", "1.7976931348623157e+308"),
            ("9007199254740991", "9007199254740991"),
            ("1e21", "1e+21"),
            ("1e20", "100000000000000000000"),
            ("999999999999999700000.0", "999999999999999700000"),
            ("0.000001", "0.000001"),
            ("1e-7", "1e-7"),
            ("9.999999999999997e-7", "9.999999999999997e-7"),
            ("333333333.33333343", "333333333.33333343"),
            ("-12.5", "-12.5"),
        ] {
            assert_eq!(canonical(text).unwrap(), expected, "{text}");
        }
    }

    #[test]
    fn names_are_sorted_by_utf16() {
        let text =
            r#"{"\u20ac":"e","\r":"c","\ufb33":"d","1":"o","\ud83d\ude00":"s","\u0080":"x","\u00f6":"u"}"#;
        let sorted: Vec<String> =
            canonical(text).unwrap().split('"').skip(3).step_by(4).map(str::to_owned).collect();
        assert_eq!(sorted.join(""), "coxuesd");
    }

    #[test]
    fn what_readers_disagree_about_is_refused() {
        for (text, error) in [
            (r#"{"a":1,"a":2}"#, "the name `a` comes twice in one object"),
            (r#"{"a":1,"\u0061":2}"#, "the name `a` comes twice in one object"),
            (r#"["\ud800"]"#, "a text holds half a surrogate pair at byte 4"),
            (r#"["\udc00\ud800"]"#, "a text holds half a surrogate pair at byte 4"),
            ("[1] 2", "the end was expected at byte 4"),
            ("[1,]", "a value was expected at byte 3"),
            ("{\"a\":1,}", "a name was expected at byte 7"),
            ("[01]", "`,` or `]` was expected at byte 2"),
            ("[+1]", "a value was expected at byte 1"),
            ("[1.]", "a digit was expected at byte 3"),
            ("[NaN]", "a value was expected at byte 1"),
            ("\"a\nb\"", "the end of a text was expected at byte 2"),
            ("\"\\x\"", "an escape was expected at byte 2"),
            ("\"\\u12\"", "four hexadecimal digits was expected at byte 3"),
            ("\u{feff}{}", "a value was expected at byte 0"),
            ("", "a value was expected at byte 0"),
            ("// c\n{}", "a value was expected at byte 0"),
        ] {
            assert_eq!(read(text.as_bytes()).unwrap_err().to_string(), error, "{text}");
        }
        assert_eq!(read(b"\"\xff\""), Err(BadJson::Utf8));
        assert_eq!(read("[".repeat(DEPTH_MAX + 1).as_bytes()), Err(BadJson::Deep));
        assert!(read(format!("{}{}", "[".repeat(DEPTH_MAX), "]".repeat(DEPTH_MAX)).as_bytes()).is_ok());
        assert_eq!(read(format!("[{}1]", "1,".repeat(VALUES_MAX)).as_bytes()), Err(BadJson::Many));
        for text in ["9007199254740993", "12345678901234567890", "1e400", "-9007199254740992"] {
            assert_eq!(canonical(text), Err(BadJson::Number(text.into())));
        }
    }

    #[test]
    fn lines_are_the_same_but_for_the_spaces() {
        let value = read(br#"{"b":[1,{"c":"x y"}],"a":{},"d":[]}"#).unwrap();
        let expected =
            "{\n  \"a\": {},\n  \"b\": [\n    1,\n    {\n      \"c\": \"x y\"\n    }\n  ],\n  \"d\": []\n}";
        assert_eq!(value.in_lines().unwrap(), expected);
        assert_eq!(canonical(expected).unwrap(), value.canonical().unwrap());
    }

    #[test]
    fn a_value_keeps_its_bytes() {
        let text = r#" {"a" : [ 1.0 , "\u0041" ] } "#;
        let value = read(text.as_bytes()).unwrap();
        assert_eq!(value.raw, text.trim());
        let list: Vec<&str> = value.get("a").unwrap().values().unwrap().iter().map(|one| one.raw).collect();
        assert_eq!(list, ["1.0", r#""\u0041""#]);
    }
}
