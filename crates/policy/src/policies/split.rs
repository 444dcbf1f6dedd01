//! Where one policy ends and the next begins, and whether one is too intricate to be looked at.
//!
//! A semicolon ends a policy, except in the two places of Cedar's grammar where it does not: a string and a
//! comment. Cedar's parser and validator walk a policy recursively and do not look how deep: beyond these
//! limits a policy would end the process, so it is counted before it is parsed.

use std::ops::Range;

/// How deep brackets may nest in one policy. Cedar overflows a stack of 2 MiB between 100 and 200.
pub(super) const BRACKETS_MAX: usize = 32;

/// How many operators (`&&`, `+`, `.`, `if`, ...) one policy may have. Each may be a level of its own; Cedar
/// gives up at 400 of some of them, and overflows at 1,600 of others.
pub(super) const OPERATORS_MAX: usize = 150;

/// One policy of a file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Piece {
    /// Without the comments before it.
    pub(super) range: Range<usize>,
    /// How deep its brackets nest.
    pub(super) brackets: usize,
    /// How many operators it has.
    pub(super) operators: usize,
}

/// The policies of a file. What follows the last semicolon is a piece of its own, for the parser to complain
/// about.
pub(super) fn policies(text: &str) -> Vec<Piece> {
    let mut pieces = Vec::new();
    let (mut piece, mut depth, mut at) = (None, 0usize, 0);
    let bytes = text.as_bytes();
    while let Some(byte) = bytes.get(at) {
        if byte.is_ascii_whitespace() {
            at += 1;
            continue;
        }
        if bytes.get(at..at + 2) == Some(b"//") {
            at = end_of_line(bytes, at);
            continue;
        }
        let current = piece.get_or_insert_with(|| Piece { range: at..at, ..Piece::default() });
        let end = end_of_token(bytes, at);
        match byte {
            b'(' | b'[' | b'{' => depth += 1,
            b')' | b']' | b'}' => depth = depth.saturating_sub(1),
            b'&' | b'|' | b'+' | b'-' | b'*' | b'.' | b'!' => current.operators += 1,
            b'i' if bytes.get(at..end) == Some(b"if") => current.operators += 1,
            _ => {}
        }
        current.brackets = current.brackets.max(depth);
        current.range.end = end;
        if *byte == b';' {
            depth = 0;
            pieces.extend(piece.take());
        }
        at = end;
    }
    pieces.extend(piece);
    pieces
}

/// The place behind the string, word or sign that begins at `from`.
fn end_of_token(bytes: &[u8], from: usize) -> usize {
    let is_word = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_' || !byte.is_ascii();
    match bytes.get(from) {
        Some(b'"') => end_of_string(bytes, from),
        Some(byte) if is_word(byte) => {
            let length = bytes.iter().skip(from).position(|byte| !is_word(byte));
            length.map_or(bytes.len(), |length| from + length)
        }
        _ => match bytes.get(from..from + 2) {
            Some(b"&&" | b"||") => from + 2,
            _ => from + 1,
        },
    }
}

fn end_of_line(bytes: &[u8], from: usize) -> usize {
    let rest = bytes.iter().skip(from).position(|byte| *byte == b'\n');
    rest.map_or(bytes.len(), |length| from + length)
}

/// The place behind the closing quote of the string that begins at `from`.
fn end_of_string(bytes: &[u8], from: usize) -> usize {
    let mut at = from + 1;
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'\\' => at += 2,
            b'"' => return at + 1,
            _ => at += 1,
        }
    }
    bytes.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pieces(text: &str) -> Vec<&str> {
        policies(text).into_iter().map(|piece| &text[piece.range]).collect()
    }

    #[test]
    fn semicolons_in_strings_and_comments_do_not_end_a_policy() {
        assert_eq!(
            pieces("// a; b\n@id(\"x;\\\";\") permit (p); // c;\n\n forbid // d;\n (q);\n// e;"),
            ["@id(\"x;\\\";\") permit (p);", "forbid // d;\n (q);"]
        );
        assert_eq!(pieces(""), Vec::<&str>::new());
        assert_eq!(pieces("a; b // c"), ["a;", "b"]);
        assert_eq!(pieces("; \"a"), [";", "\"a"]);
        assert_eq!(pieces("\"\\"), ["\"\\"]);
        assert_eq!(pieces("ä;ö"), ["ä;", "ö"]);
    }

    #[test]
    fn brackets_and_operators_are_counted_outside_of_strings_and_comments() {
        let counts = |text: &str| {
            let pieces = policies(text).into_iter();
            pieces.map(|piece| (piece.brackets, piece.operators)).collect::<Vec<_>>()
        };
        assert_eq!(counts("a([{1}]) && b.c || if(iff) \"((+\" // ((+\n;"), [(3, 4)]);
        assert_eq!(counts("((( ; (a)+1;"), [(3, 0), (1, 1)]);
        assert_eq!(counts("))) (a);"), [(1, 0)]);
    }
}
