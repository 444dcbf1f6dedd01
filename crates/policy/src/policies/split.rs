//! Where one policy ends and the next begins, by the only two places of Cedar's grammar in which a semicolon
//! is not the end: a string and a comment.

use std::ops::Range;

/// The policies of a file, without the comments before them. What follows the last semicolon is a piece of
/// its own, for the parser to complain about.
pub(super) fn policies(text: &str) -> Vec<Range<usize>> {
    let mut pieces = Vec::new();
    let (mut start, mut at) = (None, 0);
    let bytes = text.as_bytes();
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'/' if bytes.get(at + 1) == Some(&b'/') => {
                at = end_of_line(bytes, at);
                continue;
            }
            b'"' => {
                start.get_or_insert(at);
                at = end_of_string(bytes, at);
                continue;
            }
            b';' => pieces.push(start.take().unwrap_or(at)..at + 1),
            byte if byte.is_ascii_whitespace() => {}
            _ => {
                start.get_or_insert(at);
            }
        }
        at += 1;
    }
    pieces.extend(start.map(|start| start..text.len()));
    pieces
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
        policies(text).into_iter().map(|range| &text[range]).collect()
    }

    #[test]
    fn semicolons_in_strings_and_comments_do_not_end_a_policy() {
        assert_eq!(
            pieces("// a; b\n@id(\"x;\\\";\") permit (p); // c;\n\n forbid // d;\n (q);\n// e;"),
            ["@id(\"x;\\\";\") permit (p);", "forbid // d;\n (q);"]
        );
        assert_eq!(pieces(""), Vec::<&str>::new());
        assert_eq!(pieces("a; b"), ["a;", "b"]);
        assert_eq!(pieces("; \"a"), [";", "\"a"]);
        assert_eq!(pieces("\"\\"), ["\"\\"]);
    }
}
