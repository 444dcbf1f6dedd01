//! A text of several statements, statement by statement.
//!
//! For an approver's eyes beside a text that was sent as one, never instead of it; and for a script, whose statements are
//! sent one by one. The parts, one behind the other, are the text, but for white space around them; where that can't be said
//! for certain, there are none. Clients leave out comments and the last semicolon as they like, so two texts of a statement
//! are the same if their tokens are, letter for letter.

use pg_query::protobuf::Token;

use super::TEXT_BYTES_MAX;

/// What begins a comment that some extensions read.
const HINT: &str = "/*+";

/// The statements of a text, in order, each with the comments in front of it and its semicolon; nothing for a text of one
/// statement, and for one that can't be taken apart by its tokens.
#[must_use]
pub fn statements(text: &str) -> Option<Vec<&str>> {
    split(text).filter(|parts| parts.len() > 1)
}

/// As [`statements`], also of a text of one statement or of none.
#[must_use]
pub fn split(text: &str) -> Option<Vec<&str>> {
    if text.len() > TEXT_BYTES_MAX || text.contains('\0') {
        return None;
    }
    let tokens = pg_query::scan(text).ok()?.tokens;
    let (mut parts, mut start, mut depth, mut words) = (Vec::new(), 0, 0_u32, false);
    for token in &tokens {
        let end = usize::try_from(token.end).ok()?;
        match token.token() {
            Token::Ascii40 => (depth, words) = (depth + 1, true),
            Token::Ascii41 => (depth, words) = (depth.checked_sub(1)?, true),
            // The body of a function in SQL has semicolons of its own (CREATE FUNCTION, BEGIN ATOMIC).
            Token::Atomic => return None,
            Token::Ascii59 if depth == 0 => {
                if words {
                    parts.push(text.get(start..end)?.trim());
                }
                (start, words) = (end, false);
            }
            Token::SqlComment | Token::CComment => {}
            _ => words = true,
        }
    }
    let rest = text.get(start..)?.trim();
    if words {
        parts.push(rest);
        return (depth == 0).then_some(parts);
    }
    // Comments behind the last statement belong to none; comments of a text without one are nothing.
    Some(parts)
}

/// Whether two texts are the same statement, letter for letter, but for white space, comments and semicolons at the end.
/// Comments that extensions read as hints count. What can't be taken apart is the same as nothing.
#[must_use]
pub fn is_same_statement(one: &str, other: &str) -> bool {
    if one == other {
        return true;
    }
    matches!((letters(one), letters(other)), (Some(one), Some(other)) if one == other)
}

/// The tokens of a statement as they are written.
fn letters(text: &str) -> Option<Vec<&str>> {
    if text.len() > TEXT_BYTES_MAX || text.contains('\0') {
        return None;
    }
    let scanned = pg_query::scan(text).ok()?;
    let mut letters = Vec::with_capacity(scanned.tokens.len());
    for token in &scanned.tokens {
        let (start, end) = (usize::try_from(token.start).ok()?, usize::try_from(token.end).ok()?);
        let written = text.get(start..end)?;
        let is_comment = matches!(token.token(), Token::SqlComment | Token::CComment);
        if !is_comment || written.starts_with(HINT) {
            letters.push(written);
        }
    }
    while letters.last() == Some(&";") {
        letters.pop();
    }
    Some(letters)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_taken_apart_where_the_server_does() {
        for (text, parts) in [
            ("BEGIN; DELETE FROM a; COMMIT", &["BEGIN;", "DELETE FROM a;", "COMMIT"][..]),
            ("SELECT ';' ; SELECT $$a;b$$;", &["SELECT ';' ;", "SELECT $$a;b$$;"]),
            (
                "-- first; of two\nSELECT 1;\n/* a;b */ SELECT 2",
                &["-- first; of two\nSELECT 1;", "/* a;b */ SELECT 2"],
            ),
            (
                "CREATE RULE r AS ON INSERT TO a DO (SELECT 1; SELECT 2); DROP TABLE a",
                &["CREATE RULE r AS ON INSERT TO a DO (SELECT 1; SELECT 2);", "DROP TABLE a"],
            ),
            ("SELECT 1; SELECT 2; -- and nothing else", &["SELECT 1;", "SELECT 2;"]),
        ] {
            assert_eq!(statements(text).as_deref(), Some(parts), "{text}");
        }
    }

    #[test]
    fn what_is_one_or_uncertain_is_left_whole() {
        for text in [
            "DELETE FROM a",
            "DELETE FROM a;",
            ";;",
            "SELECT 1); SELECT 2",
            "SELECT 'open; SELECT 2",
            "SELECT (1; SELECT 2",
            "CREATE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT 1; SELECT 2; END; SELECT 3",
        ] {
            assert_eq!(statements(text), None, "{text}");
        }
        assert_eq!(split("DELETE FROM a;").as_deref(), Some(&["DELETE FROM a;"][..]));
        assert_eq!(split(" -- nothing\n;").as_deref(), Some(&[][..]));
    }

    #[test]
    fn the_same_statement_is_the_same_letter_for_letter() {
        let same = [
            ("SELECT 1", "-- why\nSELECT  1 ; "),
            ("SELECT a /* b */ FROM c", "SELECT a\n-- d\nFROM c"),
            ("SELECT 'a'\n'b'", "SELECT 'a'\n'b';"),
        ];
        for (one, other) in same {
            assert!(is_same_statement(one, other), "{one} / {other}");
        }
        let others = [
            ("SELECT 1", "SELECT 2"),
            ("SELECT 'a b'", "SELECT 'a  b'"),
            ("SELECT 'a'\n'b'", "SELECT 'a' 'b'"),
            ("SELECT a", "SELECT A"),
            ("DELETE FROM a", "DELETE FROM a; DELETE FROM b"),
            ("DELETE FROM a WHERE b = 1", "DELETE FROM a -- WHERE b = 1"),
            ("SELECT 1", "/*+ Set(x y) */ SELECT 1"),
            ("SELECT 'open", "SELECT 'open "),
            ("SELECT $$a$$", "SELECT $b$a$b$"),
        ];
        for (one, other) in others {
            assert!(!is_same_statement(one, other), "{one} / {other}");
        }
    }
}
