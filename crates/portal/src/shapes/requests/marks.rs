//! Characters that hide or deceive, with their places: an approver sees what is there, not what a font makes of it.
//!
//! Hidden are controls, marks that change the direction of what follows, characters without a width, and blanks other than
//! the space. Look-alikes are what Unicode's tables of confusable characters (UTS 39) say may be taken for ASCII, in
//! whatever script. Nothing is judged here: a name in Cyrillic is marked letter by letter where its letters look Latin.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use unicode_security::confusable_detection::skeleton;
use utoipa::ToSchema;

/// A character in a text that cannot be seen or can be taken for another one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Mark {
    /// Where it begins, in bytes of UTF-8 from the beginning of the text.
    pub offset: usize,
    /// How many bytes it has.
    pub length: usize,
    /// Its code point: `U+202E`.
    pub code: String,
    /// What it is called, or is taken for.
    pub name: String,
    /// What kind it is.
    pub kind: MarkKind,
}

/// Why a character is marked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum MarkKind {
    /// A control character.
    Control,
    /// It changes the direction in which text is shown.
    Direction,
    /// It has no width.
    Invisible,
    /// A blank that is no space.
    Blank,
    /// It looks like another character.
    Lookalike,
    /// Not one character but all that follow, among which there are more of any kind.
    Rest,
}

/// How many characters of one text are marked one by one; behind them the rest is marked as a whole.
const MARKS_MAX: usize = 1_000;

/// Everything in a text that hides or deceives, in order. Line ends and tabs are neither.
pub(super) fn marks(text: &str) -> Vec<Mark> {
    if text.bytes().all(|byte| matches!(byte, b' '..=b'~' | b'\n' | b'\t')) {
        return Vec::new();
    }
    let mut known: BTreeMap<char, Option<(MarkKind, String)>> = BTreeMap::new();
    let mut marks = Vec::new();
    for (offset, character) in text.char_indices() {
        if matches!(character, ' '..='~' | '\n' | '\t') {
            continue;
        }
        let found = known.entry(character).or_insert_with(|| kind_of(character));
        let Some((kind, name)) = found else { continue };
        if marks.len() >= MARKS_MAX {
            marks.push(rest(offset, text.len()));
            break;
        }
        marks.push(Mark {
            offset,
            length: character.len_utf8(),
            code: format!("U+{:04X}", u32::from(character)),
            name: name.clone(),
            kind: *kind,
        });
    }
    marks
}

fn rest(offset: usize, end: usize) -> Mark {
    let name = format!("more than {MARKS_MAX} such characters");
    Mark { offset, length: end.saturating_sub(offset), code: String::new(), name, kind: MarkKind::Rest }
}

fn kind_of(character: char) -> Option<(MarkKind, String)> {
    let named = NAMES.iter().find(|(from, to, ..)| (*from..=*to).contains(&character));
    if let Some((_, _, kind, name)) = named {
        return Some((*kind, (*name).to_owned()));
    }
    if character.is_control() {
        return Some((MarkKind::Control, "control character".to_owned()));
    }
    if character.is_whitespace() {
        return Some((MarkKind::Blank, "blank".to_owned()));
    }
    let mut buffer = [0; 4];
    let like: String = skeleton(character.encode_utf8(&mut buffer)).collect();
    let deceives = !like.is_empty() && like.chars().all(|one| one.is_ascii_graphic());
    deceives.then(|| (MarkKind::Lookalike, format!("looks like `{like}`")))
}

/// What has a name of its own.
const NAMES: &[(char, char, MarkKind, &str)] = &[
    ('\0', '\0', MarkKind::Control, "null"),
    ('\u{7}', '\u{7}', MarkKind::Control, "bell"),
    ('\u{8}', '\u{8}', MarkKind::Control, "backspace"),
    ('\u{b}', '\u{b}', MarkKind::Control, "vertical tab"),
    ('\u{c}', '\u{c}', MarkKind::Control, "form feed"),
    ('\r', '\r', MarkKind::Control, "carriage return"),
    ('\u{1b}', '\u{1b}', MarkKind::Control, "escape"),
    ('\u{7f}', '\u{7f}', MarkKind::Control, "delete"),
    ('\u{85}', '\u{85}', MarkKind::Control, "next line"),
    ('\u{9b}', '\u{9b}', MarkKind::Control, "control sequence introducer"),
    ('\u{a0}', '\u{a0}', MarkKind::Blank, "no-break space"),
    ('\u{ad}', '\u{ad}', MarkKind::Invisible, "soft hyphen"),
    ('\u{34f}', '\u{34f}', MarkKind::Invisible, "combining grapheme joiner"),
    ('\u{61c}', '\u{61c}', MarkKind::Direction, "arabic letter mark"),
    ('\u{115f}', '\u{1160}', MarkKind::Invisible, "hangul filler"),
    ('\u{17b4}', '\u{17b5}', MarkKind::Invisible, "khmer inherent vowel"),
    ('\u{180b}', '\u{180f}', MarkKind::Invisible, "mongolian variation selector"),
    ('\u{200b}', '\u{200b}', MarkKind::Invisible, "zero-width space"),
    ('\u{200c}', '\u{200c}', MarkKind::Invisible, "zero-width non-joiner"),
    ('\u{200d}', '\u{200d}', MarkKind::Invisible, "zero-width joiner"),
    ('\u{200e}', '\u{200e}', MarkKind::Direction, "left-to-right mark"),
    ('\u{200f}', '\u{200f}', MarkKind::Direction, "right-to-left mark"),
    ('\u{2028}', '\u{2028}', MarkKind::Blank, "line separator"),
    ('\u{2029}', '\u{2029}', MarkKind::Blank, "paragraph separator"),
    ('\u{202a}', '\u{202a}', MarkKind::Direction, "left-to-right embedding"),
    ('\u{202b}', '\u{202b}', MarkKind::Direction, "right-to-left embedding"),
    ('\u{202c}', '\u{202c}', MarkKind::Direction, "pop directional formatting"),
    ('\u{202d}', '\u{202d}', MarkKind::Direction, "left-to-right override"),
    ('\u{202e}', '\u{202e}', MarkKind::Direction, "right-to-left override"),
    ('\u{2060}', '\u{2060}', MarkKind::Invisible, "word joiner"),
    ('\u{2061}', '\u{2064}', MarkKind::Invisible, "invisible operator"),
    ('\u{2066}', '\u{2066}', MarkKind::Direction, "left-to-right isolate"),
    ('\u{2067}', '\u{2067}', MarkKind::Direction, "right-to-left isolate"),
    ('\u{2068}', '\u{2068}', MarkKind::Direction, "first strong isolate"),
    ('\u{2069}', '\u{2069}', MarkKind::Direction, "pop directional isolate"),
    ('\u{206a}', '\u{206f}', MarkKind::Direction, "deprecated formatting character"),
    ('\u{2800}', '\u{2800}', MarkKind::Blank, "braille blank"),
    ('\u{3164}', '\u{3164}', MarkKind::Invisible, "hangul filler"),
    ('\u{e000}', '\u{f8ff}', MarkKind::Invisible, "private use character"),
    ('\u{fe00}', '\u{fe0f}', MarkKind::Invisible, "variation selector"),
    ('\u{feff}', '\u{feff}', MarkKind::Invisible, "zero-width no-break space"),
    ('\u{ffa0}', '\u{ffa0}', MarkKind::Invisible, "halfwidth hangul filler"),
    ('\u{fff9}', '\u{fffb}', MarkKind::Invisible, "interlinear annotation character"),
    ('\u{1d173}', '\u{1d17a}', MarkKind::Invisible, "musical formatting character"),
    ('\u{e0000}', '\u{e007f}', MarkKind::Invisible, "tag character"),
    ('\u{e0100}', '\u{e01ef}', MarkKind::Invisible, "variation selector"),
    ('\u{f0000}', '\u{10ffff}', MarkKind::Invisible, "private use character"),
];

#[cfg(test)]
mod tests {
    use super::*;

    fn told(text: &str) -> Vec<String> {
        let tell = |mark: &Mark| {
            assert_eq!(text[mark.offset..][..mark.length].chars().count(), 1, "a span is one character");
            format!("{}+{} {} {:?} {}", mark.offset, mark.length, mark.code, mark.kind, mark.name)
        };
        marks(text).iter().map(tell).collect()
    }

    #[test]
    fn what_hides_is_named_with_its_place() {
        assert_eq!(
            told("a\u{202e}b\u{200b}\r\n\t\u{1b}[2J"),
            [
                "1+3 U+202E Direction right-to-left override",
                "5+3 U+200B Invisible zero-width space",
                "8+1 U+000D Control carriage return",
                "11+1 U+001B Control escape",
            ]
        );
        assert_eq!(told("x\u{a0}\u{2003}y"), ["1+2 U+00A0 Blank no-break space", "3+3 U+2003 Blank blank"]);
    }

    #[test]
    fn what_deceives_is_named_by_what_it_looks_like() {
        assert_eq!(
            told("del\u{435}te from \u{ff41}"),
            ["3+2 U+0435 Lookalike looks like `e`", "13+3 U+FF41 Lookalike looks like `a`"]
        );
        assert_eq!(told("\u{2010}\u{2019}")[0], "0+3 U+2010 Lookalike looks like `-`");
    }

    #[test]
    fn ordinary_letters_are_not_marked() {
        assert_eq!(told("select 'Grüße, 東京, привет'").len(), told("привет").len());
        assert_eq!(told("Grüße 東京 ß é ł"), Vec::<String>::new());
        assert_eq!(told("plain ascii\n\twith lines"), Vec::<String>::new());
    }

    #[test]
    fn a_text_of_nothing_else_ends() {
        let text = "\u{200b}".repeat(5_000);
        let found = marks(&text);
        let last = found.last().unwrap();
        assert_eq!((found.len(), last.kind), (MARKS_MAX + 1, MarkKind::Rest));
        assert_eq!(last.offset + last.length, text.len());
    }
}
