//! Texts that differ in plain values alone are judged alike, and one of them has to be parsed.
//!
//! Drivers and people write values into their texts, so that each is another. What a text is judged as follows from its
//! tree, and a number or a string that is nothing but an operand changes its tree in one place, which no judgement looks at. That
//! this is so is not guessed from the text but read off the tree of the one that was parsed:
//!
//! - The [`Outline`] of a text is all of it but its plain literals: decimal numbers that fit an `integer`, and strings without
//!   a prefix. A text in which finding them would take more than reading its bytes (a comment, a backslash, a dollar, anything
//!   beyond ASCII) has none.
//! - A literal is *free* if the parsed tree has a constant with just its value at just its place, as an operand of an
//!   operator or as a LIMIT or OFFSET. All others are part of what has to be the same: `ORDER BY 2`, `numeric(3)`, `'a'::regclass`,
//!   `f('a')`, `-1` and `interval '1'` among them.
//!
//! Why that suffices: two texts with one outline are the same tokens but for the values of some, because a literal is found
//! between bytes that end every token, and the lexer remembers nothing beyond the end of one. The grammar goes by kinds of
//! tokens; where it looks at a value, what it makes of it is no plain constant. So the trees differ in the values of free
//! constants and in positions, and nothing judges by either.
//!
//! What not: nothing but a provable read is ever taken from a text that is alike, and nothing that may hold a secret.

use std::collections::BTreeMap;
use std::ops::Range;

use super::facts::Facts;
use super::parse::Parsed;
use super::secrets;
use super::tree::{Tree, Value};

/// Stands for a number in an outline. No text that has an outline contains such a byte.
const NUMBER: u8 = 1;
/// Stands for a string in an outline.
const STRING: u8 = 2;
/// More literals than this are not taken out: such a text is rather data.
const LITERALS_MAX: usize = 64;

/// A text without its plain literals.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Outline {
    /// The text, with one byte in place of each.
    pub(super) rest: Vec<u8>,
    /// Where they are in the text.
    literals: Vec<Range<usize>>,
}

/// What the literals of a text have to be for another one to be judged alike: anything, or this.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Pins(Box<[Option<Box<[u8]>>]>);

impl Outline {
    /// The outline of a text, if it has plain literals and nothing that hides where they are.
    pub(super) fn of(text: &[u8]) -> Option<Outline> {
        let mut reader = Reader {
            text,
            at: 0,
            outline: Outline { rest: Vec::with_capacity(text.len()), literals: Vec::new() },
        };
        while let Some(&byte) = text.get(reader.at) {
            reader.next(byte)?;
        }
        let outline = reader.outline;
        (1..=LITERALS_MAX).contains(&outline.literals.len()).then_some(outline)
    }

    /// What has to be the same in a text that is judged alike; nothing if that is all of it.
    pub(super) fn pins(&self, text: &[u8], parsed: &Parsed, facts: &Facts) -> Option<Pins> {
        let [tree] = parsed.trees.as_slice() else { return None };
        if !is_of_no_value(facts) || secrets::is_secretive(text) {
            return None;
        }
        let mut plain = BTreeMap::new();
        constants(tree, &mut plain);
        let pin = |place: &Range<usize>| {
            let literal = text.get(place.clone()).unwrap_or_default();
            let free = plain.get(&place.start).is_some_and(|constant| is_value(constant, literal));
            (!free).then(|| literal.into())
        };
        let pins: Box<[_]> = self.literals.iter().map(pin).collect();
        pins.iter().any(Option::is_none).then_some(Pins(pins))
    }

    /// Whether the literals of `text`, whose outline this is, are what they have to be.
    pub(super) fn fits(&self, text: &[u8], pins: &Pins) -> bool {
        let literal = |place: &Range<usize>| text.get(place.clone()).unwrap_or_default();
        self.literals.len() == pins.0.len()
            && self.literals.iter().map(literal).zip(&pins.0).all(|(literal, pin)| match pin {
                Some(pin) => **pin == *literal,
                // Digits hold no secrets, and no secretive word begins or ends within a literal.
                None => literal.first() != Some(&b'\'') || !secrets::is_secretive(literal),
            })
    }
}

/// Reads a text as far as its bytes alone tell what they are.
struct Reader<'a> {
    text: &'a [u8],
    at: usize,
    outline: Outline,
}

impl Reader<'_> {
    /// Takes in what begins with `byte`. Nothing: there is no outline.
    fn next(&mut self, byte: u8) -> Option<()> {
        match byte {
            b'0'..=b'9' => self.number(),
            b'\'' => self.quoted(b'\'')?,
            b'"' => self.quoted(b'"')?,
            b'-' | b'/'
                if matches!((byte, self.text.get(self.at + 1)), (b'-', Some(b'-')) | (b'/', Some(b'*'))) =>
            {
                return None;
            }
            b'\t' | b'\n' | b'\r' | b' '..=b'~' if byte != b'\\' && byte != b'$' => self.keep(self.at + 1),
            _ => return None,
        }
        Some(())
    }

    /// What goes up to `end` stays as it is.
    fn keep(&mut self, end: usize) {
        self.outline.rest.extend_from_slice(self.text.get(self.at..end).unwrap_or_default());
        self.at = end;
    }

    /// What goes up to `end` is a plain literal.
    fn take_out(&mut self, end: usize, mark: u8) {
        self.outline.rest.push(mark);
        self.outline.literals.push(self.at..end);
        self.at = end;
    }

    fn number(&mut self) {
        let rest = self.text.get(self.at..).unwrap_or_default();
        let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        let literal = rest.get(..digits).unwrap_or_default();
        let ends = rest.get(digits).is_none_or(|byte| is_space(*byte) || matches!(byte, b')' | b',' | b';'));
        if ends && self.is_between() && number(literal).is_some() {
            self.take_out(self.at + digits, NUMBER);
        } else {
            self.keep(self.at + digits);
        }
    }

    /// A string, or a name in quotes. Without backslashes each ends at a quote that no other one follows.
    fn quoted(&mut self, quote: u8) -> Option<()> {
        let mut end = self.at + 1;
        loop {
            match (self.text.get(end)?, self.text.get(end + 1)) {
                (byte, Some(next)) if *byte == quote && *next == quote => end += 2,
                (byte, _) if *byte == quote => break,
                (b'\\' | 0..=0x1f | 0x7f.., _) => return None,
                _ => end += 1,
            }
        }
        if quote == b'\'' && self.is_between() {
            self.take_out(end + 1, STRING);
        } else {
            self.keep(end + 1);
        }
        Some(())
    }

    /// Whether what stands in front has ended, whatever it is.
    fn is_between(&self) -> bool {
        let before = self.at.checked_sub(1).and_then(|before| self.text.get(before));
        before.is_some_and(|byte| is_space(*byte) || matches!(byte, b'(' | b',' | b'=' | b'<' | b'>'))
    }
}

const fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r')
}

/// The value of decimal digits, if it fits the `integer` that the lexer then makes of them.
fn number(digits: &[u8]) -> Option<i64> {
    let value = std::str::from_utf8(digits).ok()?.parse::<i32>().ok()?;
    Some(i64::from(value))
}

/// A read of which nothing is known that a value could be in.
fn is_of_no_value(facts: &Facts) -> bool {
    facts.provable_read
        && facts.secret_spans.is_empty()
        && facts.row_count.is_none()
        && facts.plan.is_none()
        && facts.affected.is_none()
        && facts.settings.is_empty()
        && facts.verbs.iter().all(|verb| verb.as_str() == "select")
}

/// The constants below a node that are nothing but operands, by where they stand in the text.
fn constants<'a>(tree: &'a Tree, into: &mut BTreeMap<usize, &'a Tree>) {
    for (field, value) in &tree.fields {
        let operand = match tree.name {
            "AExpr" => matches!(*field, "lexpr" | "rexpr"),
            "SelectStmt" => matches!(*field, "limit_count" | "limit_offset"),
            _ => false,
        };
        match value {
            Value::Node(node) if operand && node.name == "AConst" => note(node, into),
            Value::Node(node) if operand && node.name == "List" => {
                node.nodes("items").filter(|item| item.name == "AConst").for_each(|item| note(item, into));
                constants(node, into);
            }
            Value::Node(node) => constants(node, into),
            Value::List(values) => {
                for node in values.iter().filter_map(Value::as_node) {
                    // `BETWEEN 1 AND 2` has both in a list.
                    if operand && node.name == "AConst" {
                        note(node, into);
                    }
                    constants(node, into);
                }
            }
            Value::Nothing | Value::Bool(_) | Value::Int(_) | Value::Text(_) => {}
        }
    }
}

fn note<'a>(constant: &'a Tree, into: &mut BTreeMap<usize, &'a Tree>) {
    if let Ok(place) = usize::try_from(constant.int("location")) {
        into.insert(place, constant);
    }
}

/// Whether a constant has the value that a literal spells.
fn is_value(constant: &Tree, literal: &[u8]) -> bool {
    let Some(value) = constant.node("val") else { return false };
    match (value.name, literal) {
        ("Integer", digits) => number(digits) == Some(value.int("ival")),
        ("String", [b'\'', inner @ .., b'\'']) => {
            std::str::from_utf8(inner).is_ok_and(|inner| inner.replace("''", "'") == value.text("sval"))
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sql::{Context, Parser, SessionState, classify, parse};

    /// The outline in words, `#` for numbers and `@` for strings.
    fn outline(text: &str) -> Option<String> {
        let outline = Outline::of(text.as_bytes())?;
        let words = String::from_utf8(outline.rest).unwrap();
        Some(words.replace('\u{1}', "#").replace('\u{2}', "@"))
    }

    /// What of the literals of a text has to be the same.
    fn pinned(text: &'static str) -> Option<Vec<String>> {
        Parser::threads(1)
            .unwrap()
            .run(move || {
                let session = SessionState::fresh(150_000, "reader");
                let context = Context { session: &session, catalogue: None, parameter_types: &[] };
                let parsed = parse(text.as_bytes()).unwrap();
                let mut facts = classify(&parsed, &context);
                // Without a catalogue nearly nothing is proved.
                facts.provable_read |= text.starts_with("select");
                let outline = Outline::of(text.as_bytes()).expect(text);
                let pins = outline.pins(text.as_bytes(), &parsed, &facts)?;
                let pins = pins.0.iter().flatten();
                Some(pins.map(|pin| String::from_utf8(pin.to_vec()).unwrap()).collect())
            })
            .unwrap()
    }

    #[test]
    fn plain_literals_are_taken_out_and_nothing_else() {
        for (text, expected) in [
            (
                "select * from t where a = 5 and b in (1,2, 'x')",
                "select * from t where a = # and b in (#,#, @)",
            ),
            (
                "select 'it''s', '' from \"t 5\" where \"a\"\"'\"=7;",
                "select @, @ from \"t 5\" where \"a\"\"'\"=#;",
            ),
            (
                "select a1, 1a, 1.5, .5, 5., 1e3, 0x1f, 1_000, 2147483648, -3, 4 ",
                "select a1, 1a, 1.5, .5, 5., 1e3, 0x1f, 1_000, 2147483648, -3, # ",
            ),
            ("select E'a', b'1', U&'x', n'1', date '1', 'x'", "select E'a', b'1', U&'x', n'1', date @, @"),
            ("select 1::int, 2)", "select 1::int, #)"),
        ] {
            assert_eq!(outline(text).as_deref(), Some(expected));
        }
        for none in [
            "select a from t",
            "select 1 -- 'x",
            "select 1 /* ' */, '",
            "select $1, 1",
            "select $$ 1 $$, 1",
            "select '\\', 1",
            "select 'ä', 1",
            "select \"ä\", 1",
            "select 1, 'x",
            "select 1, \"x",
            "select 1, \u{1}",
            "select 1, '\u{1}'",
            "",
        ] {
            assert_eq!(outline(none), None, "{none}");
        }
        assert_eq!(outline(&format!("select {}", ["1"; LITERALS_MAX + 1].join(", "))), None);
    }

    #[test]
    fn only_operands_are_free() {
        for (text, expected) in [
            (
                "select a from t where b = 5 and c between 1 and 2 and d in (3, 4) and e like 'x%' limit 7 offset 8",
                &[][..],
            ),
            ("select a from t where (select max(b) from u where c < 3) > 4", &[]),
            ("select a from t where b = 'it''s'", &[]),
            ("select a, 9 from t where b = 5 order by 2", &["9", "2"]),
            ("select a from t where b = 5 group by 1", &["1"]),
            ("select a::numeric(3) from t where b = 5", &["3"]),
            ("select a from t where b = 'x'::regclass and c = 5", &["'x'"]),
            ("select f('x', 1) from t where b = 5", &["'x'", "1"]),
            ("select a from t where b = interval '1' and c = 5", &["'1'"]),
            ("select a from t where b = interval '1' second (2) and c = 5", &["'1'", "2"]),
            ("select a from t where b = float '1' and c = (1) and d > (5)", &["'1'"]),
            ("select a from t where b = 'x'\n 'y' and c = 5", &["'x'", "'y'"]),
            ("select a from t where b = (- 3) and c = 5", &["3"]),
            ("select a[ 1 ] from t where b = 5", &["1"]),
            ("select case a when 1 then 2 else 3 end from t where b = 5", &["1", "2", "3"]),
        ] {
            assert_eq!(
                pinned(text).as_deref(),
                Some(expected.iter().map(|pin| (*pin).to_owned()).collect::<Vec<_>>().as_slice()),
                "{text}"
            );
        }
        for none in [
            "select a from t order by 1",
            "select a from t where b = 5; select 1",
            "select token from t where b = 5",
            "update t set a = 1 where b = 5",
            "explain select a from t where b = 5",
        ] {
            assert_eq!(pinned(none), None, "{none}");
        }
    }

    #[test]
    fn a_text_fits_with_other_free_literals_and_the_same_pinned_ones() {
        let text = "select a from t where b = 5 and c = 'x' order by 1";
        let pins = Pins([None, None, Some(b"1".as_slice().into())].into());
        let fits = |text: &str| Outline::of(text.as_bytes()).unwrap().fits(text.as_bytes(), &pins);
        assert!(fits(text));
        assert!(fits("select a from t where b = 17 and c = 'it''s' order by 1"));
        assert!(!fits("select a from t where b = 5 and c = 'x' order by 2"));
        assert!(!fits("select a from t where b = 5 and c = 'password=x' order by 1"));
        assert!(!fits("select a from t where b = 5 and c = 'x'"));
    }
}
