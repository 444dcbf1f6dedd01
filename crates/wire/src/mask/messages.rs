//! Errors and notices of a server that may quote what is protected.
//!
//! A server quotes values where it refuses them: `invalid input syntax for type integer: "..."`, `Key (email)=(...) already
//! exists.` Of a message about protected columns only what its statement says itself is shown: a text stays if everything
//! that it quotes stands in the statement, and if its kind quotes in no other way. The rest is withheld, in words. What
//! names places (SQLSTATE, schema, table, column, constraint, position) stays.

use bytes::BytesMut;

use super::Detectors;
use super::detect::Fill;
use crate::postgres::ErrorFields;
use crate::postgres::encode::Unencodable;
use crate::postgres::encode::server;

/// What stands in place of a text.
const WITHHELD: &str = "the server's message is withheld, because it may quote what you may not see";

/// Classes of SQLSTATE whose messages are texts of the server's own with quoted parts. Errors raised by functions (P0, 38,
/// 39), of foreign servers (HV) and of the server's inside (XX) may be any text.
const OWN_CLASSES: &[&[u8]] = &[
    b"00", b"01", b"02", b"03", b"08", b"0A", b"21", b"22", b"23", b"25", b"26", b"34", b"3B", b"3D", b"3F",
    b"40", b"42", b"53", b"54", b"55", b"57",
];

/// What of a message may pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scrub<'a> {
    /// What this statement says itself. No code of users runs in it.
    Quotes(&'a [u8]),
    /// What this statement says itself, and only where the server read it: what it runs may say anything.
    Reading(&'a [u8]),
    /// No statement is known that it is about: the end of a transaction, a text that is only read. What it says of names
    /// is shown, without detail.
    Elsewhere,
    /// What is found in it is covered.
    Search(Detectors),
}

/// Writes an error (`E`) or notice (`N`) anew.
///
/// # Errors
/// Never for what a server has sent.
pub fn scrubbed(
    tag: u8,
    fields: &ErrorFields<'_>,
    scrub: Scrub<'_>,
    out: &mut BytesMut,
) -> Result<(), Unencodable> {
    let own = fields.code().and_then(|code| code.get(..2)).is_some_and(|class| OWN_CLASSES.contains(&class));
    let file = fields.get(b'F').unwrap_or_default();
    let (statement, own) = match scrub {
        Scrub::Search(_) => (&[][..], false),
        Scrub::Elsewhere => (&[][..], own && !file.starts_with(b"pl")),
        Scrub::Quotes(statement) => (statement, own && !file.starts_with(b"pl")),
        Scrub::Reading(statement) => (statement, own && is_of_the_parser(file)),
    };
    let mut kept: Vec<(u8, Vec<u8>)> = Vec::new();
    for (kind, text) in fields.iter() {
        // Message, detail, hint, where, and the text of a statement inside a function.
        let speaks = matches!(kind, b'M' | b'D' | b'H' | b'W' | b'q');
        match (kind, scrub) {
            (_, Scrub::Search(detectors)) if speaks => {
                let mut text = text.to_vec();
                detectors.cover(&mut text, Fill::Stars);
                kept.push((kind, text));
            }
            (_, Scrub::Search(_)) => kept.push((kind, text.to_vec())),
            (b'M', Scrub::Elsewhere) if own => kept.push((kind, text.to_vec())),
            (b'H', Scrub::Elsewhere) if own && is_of_the_parser(file) => kept.push((kind, text.to_vec())),
            (b'M' | b'H', _) if own && says_nothing_new(text, statement) => kept.push((kind, text.to_vec())),
            (b'M', _) => kept.push((kind, WITHHELD.as_bytes().to_vec())),
            _ if speaks => {}
            _ => kept.push((kind, text.to_vec())),
        }
    }
    server::fields(out, tag, kept.iter().map(|(kind, text)| (*kind, text.as_slice())))
}

/// Files of the server in which statements are read: what they say is about names. Procedural languages say where they
/// raise something, and that is in none of these.
fn is_of_the_parser(file: &[u8]) -> bool {
    matches!(file, b"gram.y" | b"scan.l" | b"analyze.c" | b"namespace.c" | b"aclchk.c")
        || file.starts_with(b"parse_")
}

/// Whether everything between quotes stands in the statement, and nothing is opened that is not closed.
fn says_nothing_new(text: &[u8], statement: &[u8]) -> bool {
    let parts: Vec<&[u8]> = text.split(|byte| *byte == b'"').collect();
    let quoted = parts.iter().skip(1).step_by(2);
    let plain = parts.iter().step_by(2);
    parts.len() % 2 == 1
        && quoted.into_iter().all(|part| is_in(part, statement))
        // `Key (email)=(...)`, and numbers that stand without quotes.
        && plain.into_iter().all(|part| !part.windows(2).any(|two| two == b"=(") && numbers_are_in(part, statement))
}

fn is_in(part: &[u8], statement: &[u8]) -> bool {
    part.is_empty() || statement.windows(part.len()).any(|window| window.eq_ignore_ascii_case(part))
}

/// Numbers in a message of the server's own are limits and counts; one of more than three digits may be a value.
fn numbers_are_in(part: &[u8], statement: &[u8]) -> bool {
    part.split(|byte| !byte.is_ascii_digit()).all(|number| number.len() <= 3 || is_in(number, statement))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::postgres::backend::{Body, Message};
    use crate::postgres::{Limits, Phase};

    fn scrub(code: &str, message: &str, detail: Option<&str>, how: Scrub<'_>) -> (String, Option<String>) {
        let mut raw = BytesMut::new();
        let mut fields = vec![(b'S', &b"ERROR"[..]), (b'C', code.as_bytes()), (b'M', message.as_bytes())];
        fields.extend(detail.map(|detail| (b'D', detail.as_bytes())));
        fields.push((b't', b"customers"));
        server::fields(&mut raw, b'E', fields.into_iter()).unwrap();
        let (decoded, _) = Message::decode(&raw, &Limits::new(Phase::Server)).unwrap().unwrap();
        let Body::ErrorResponse(fields) = decoded.body() else { panic!() };
        let mut out = BytesMut::new();
        scrubbed(b'E', fields, how, &mut out).unwrap();
        let (decoded, _) = Message::decode(&out, &Limits::new(Phase::Server)).unwrap().unwrap();
        let Body::ErrorResponse(fields) = decoded.body() else { panic!() };
        assert_eq!((fields.code(), fields.get(b't')), (Some(code.as_bytes()), Some(&b"customers"[..])));
        let text = |kind| fields.get(kind).map(|text| String::from_utf8(text.to_vec()).unwrap());
        (text(b'M').unwrap(), text(b'D'))
    }

    #[test]
    fn what_a_statement_does_not_say_is_withheld() {
        let statement = Scrub::Quotes(b"select emial, 12345::int2 from Customers where name = 'x'");
        for (code, message, shown) in [
            ("42703", "column \"emial\" does not exist", true),
            ("22P02", "invalid input syntax for type integer: \"alice@example.com\"", false),
            ("42P01", "relation \"alice\" does not exist", false),
            ("42P01", "relation \"customers\" does not exist", true),
            ("22003", "value \"12345\" is out of range", true),
            ("22003", "value 99999 is out of range", false),
            ("22012", "division by zero", true),
            ("P0001", "customer alice is blocked", false),
            ("22P02", "an odd \" quote", false),
            ("42703", "mail is alice", true),
        ] {
            let (text, detail) = scrub(code, message, Some("Key (email)=(alice) already exists."), statement);
            assert_eq!((text == message, detail), (shown, None), "{message}");
        }
    }

    #[test]
    fn where_code_of_users_runs_only_the_parser_is_believed() {
        let statement = b"select emial";
        for (file, how, shown) in [
            ("parse_relation.c", Scrub::Reading(statement), true),
            ("pl_exec.c", Scrub::Reading(statement), false),
            ("", Scrub::Reading(statement), false),
            ("pl_exec.c", Scrub::Quotes(statement), false),
            ("int.c", Scrub::Quotes(statement), true),
            ("parse_relation.c", Scrub::Elsewhere, true),
            ("pl_exec.c", Scrub::Elsewhere, false),
        ] {
            let mut raw = BytesMut::new();
            let fields =
                [(b'C', &b"42703"[..]), (b'M', b"column \"emial\" does not exist"), (b'F', file.as_bytes())];
            server::fields(&mut raw, b'N', fields.into_iter()).unwrap();
            let (decoded, _) = Message::decode(&raw, &Limits::new(Phase::Server)).unwrap().unwrap();
            let Body::NoticeResponse(fields) = decoded.body() else { panic!() };
            let mut out = BytesMut::new();
            scrubbed(b'N', fields, how, &mut out).unwrap();
            let (decoded, _) = Message::decode(&out, &Limits::new(Phase::Server)).unwrap().unwrap();
            let Body::NoticeResponse(fields) = decoded.body() else { panic!() };
            assert_eq!(fields.message() == Some(b"column \"emial\" does not exist"), shown, "{file}");
        }
    }

    #[test]
    fn what_gives_itself_away_is_covered() {
        let search = Scrub::Search([super::super::detect::Detector::Email].into_iter().collect());
        let (text, detail) = scrub("P0001", "mail to a@b.com failed", Some("Key (m)=(a@b.com)"), search);
        assert_eq!((text.as_str(), detail.as_deref()), ("mail to ******* failed", Some("Key (m)=(*******)")));
    }
}
