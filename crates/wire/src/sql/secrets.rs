//! Where a statement text holds secrets.
//!
//! Approvers see the whole text; search, export and notifications must not (contract, section 5). Statements that
//! carry credentials by nature (roles, user mappings, servers, subscriptions) have all their literals covered as
//! soon as one option smells of a secret, and so has any literal that spells one out in a connection string. It
//! covers too much rather than too little, and it cannot see a password that somebody writes into a comment.

use std::borrow::Cow;
use std::ops::Range;

use pg_query::protobuf as pb;

use super::tree::{Tree, Value};

/// What stands in place of a secret.
const COVER: &str = "'[redacted]'";

/// Words that give a secret away, in lower case.
const SECRETIVE: &[&str] = &["passw", "secret", "token", "api_key", "apikey", "private_key"];

/// A text with its secrets covered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Redacted<'a> {
    /// The text that may be searched, exported and notified.
    pub text: Cow<'a, str>,
    /// Whether anything was covered.
    pub covered: bool,
}

/// Covers the byte ranges of `text` that [`super::Facts::secret_spans`] names. Ranges that do not fit the text
/// cover all of it.
pub fn redact<'a>(text: &'a str, spans: &[Range<usize>]) -> Redacted<'a> {
    if spans.is_empty() {
        return Redacted { text: Cow::Borrowed(text), covered: false };
    }
    let mut out = String::with_capacity(text.len());
    let mut from = 0;
    for span in spans {
        match text.get(from..span.start) {
            Some(before) if span.end <= text.len() && text.is_char_boundary(span.end) => {
                out.push_str(before);
                out.push_str(COVER);
                from = span.end;
            }
            _ => return Redacted { text: Cow::Borrowed(COVER), covered: true },
        }
    }
    out.push_str(text.get(from..).unwrap_or_default());
    Redacted { text: Cow::Owned(out), covered: true }
}

/// Whether a statement is of a kind that carries credentials, and carries one.
pub(super) fn may_hold_secrets(tree: &Tree) -> bool {
    match tree.name {
        "CreateRoleStmt"
        | "AlterRoleStmt"
        | "CreateUserMappingStmt"
        | "AlterUserMappingStmt"
        | "CreateForeignServerStmt"
        | "AlterForeignServerStmt"
        | "CreateFdwStmt"
        | "AlterFdwStmt" => tree.nodes("options").any(|o| is_secretive(o.text("defname").as_bytes())),
        "CreateSubscriptionStmt" | "AlterSubscriptionStmt" => tree.has("conninfo"),
        "ExplainStmt" | "PrepareStmt" | "CreateSchemaStmt" => {
            tree.fields.iter().any(|(_, value)| match value {
                Value::Node(inner) => may_hold_secrets(inner),
                Value::List(values) => values.iter().filter_map(Value::as_node).any(may_hold_secrets),
                _ => false,
            })
        }
        _ => false,
    }
}

/// The ranges of `text` that hold secrets. `secretive` covers every literal.
pub(super) fn spans(text: &str, secretive: bool) -> Vec<Range<usize>> {
    if !secretive && !is_secretive(text.as_bytes()) {
        return Vec::new();
    }
    let Ok(scanned) = pg_query::scan(text) else {
        return whole(text.len());
    };
    let mut spans = Vec::new();
    for token in &scanned.tokens {
        if token.token != pb::Token::Sconst as i32 && token.token != pb::Token::Usconst as i32 {
            continue;
        }
        let (Ok(start), Ok(end)) = (usize::try_from(token.start), usize::try_from(token.end)) else {
            return whole(text.len());
        };
        match text.get(start..end) {
            Some(literal) if secretive || gives_away(literal) => spans.push(start..end),
            Some(_) => {}
            None => return whole(text.len()),
        }
    }
    spans
}

/// The ranges of a text that does not parse: all of it when it smells of a secret.
pub(super) fn spans_of_unparsed(text: &[u8]) -> Vec<Range<usize>> {
    if is_secretive(text) { whole(text.len()) } else { Vec::new() }
}

fn whole(length: usize) -> Vec<Range<usize>> {
    std::iter::once(0..length).collect()
}

pub(super) fn is_secretive(text: &[u8]) -> bool {
    SECRETIVE.iter().any(|word| contains_ignoring_case(text, word.as_bytes()))
}

/// Whether a literal holds `password=...`, or itself a statement that sets one.
fn gives_away(literal: &str) -> bool {
    is_secretive(literal.as_bytes()) && literal.contains([' ', '='])
}

fn contains_ignoring_case(text: &[u8], word: &[u8]) -> bool {
    // Most bytes are ruled out by the first letter alone.
    let Some(first) = word.first() else { return false };
    text.windows(word.len()).any(|window| {
        window.first().is_some_and(|b| b.eq_ignore_ascii_case(first)) && window.eq_ignore_ascii_case(word)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sql::parse;

    fn covered(sql: &str) -> String {
        let spans = parse(sql.as_bytes()).unwrap().secret_spans;
        redact(sql, &spans).text.into_owned()
    }

    #[test]
    fn passwords_of_roles_are_covered() {
        assert_eq!(
            covered("alter role bob password 'hunter2' valid until 'tomorrow'"),
            "alter role bob password '[redacted]' valid until '[redacted]'"
        );
        assert_eq!(
            covered("create user a with encrypted password U&'s\\0065cret'; select 1"),
            "create user a with encrypted password '[redacted]'; select 1"
        );
        assert_eq!(covered("alter role bob password $x$hunter2$x$"), "alter role bob password '[redacted]'");
    }

    #[test]
    fn connection_strings_and_mappings_are_covered() {
        assert_eq!(
            covered("create subscription s connection 'host=h password=x' publication p"),
            "create subscription s connection '[redacted]' publication p"
        );
        assert_eq!(
            covered("create user mapping for a server s options (user 'u', password 'x')"),
            "create user mapping for a server s options (user '[redacted]', password '[redacted]')"
        );
        assert_eq!(
            covered("select dblink('host=h password=x', 'select 1')"),
            "select dblink('[redacted]', 'select 1')"
        );
        assert_eq!(covered("do $$begin execute 'alter role a password ''x'''; end$$"), "do '[redacted]'");
    }

    #[test]
    fn ordinary_text_is_left_alone() {
        let sql = "select password_hash from users where name = 'password'";
        assert_eq!(covered(sql), sql);
        assert!(!redact(sql, &[]).covered);
    }

    #[test]
    fn text_that_does_not_parse_is_covered_as_a_whole() {
        assert_eq!(spans_of_unparsed(b"alter rol bob PassWord 'x'"), whole(26));
        assert!(spans_of_unparsed(b"selec 1").is_empty());
    }

    #[test]
    fn spans_that_do_not_fit_cover_everything() {
        assert_eq!(redact("añb", std::slice::from_ref(&(2..3))).text, COVER);
        assert_eq!(redact("ab", std::slice::from_ref(&(1..9))).text, COVER);
    }
}
