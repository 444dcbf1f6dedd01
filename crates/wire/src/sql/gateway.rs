//! Settings that speak to the gateway: `SET countersign.reason = '...'`, `SHOW`, `RESET`.
//!
//! Only a text that is one of these statements and nothing else is one; the server never sees it. Values are plain literals,
//! so that nobody has to know under which settings the server would read them.

use pg_query::protobuf::Token;

/// The namespace of these settings.
pub const GATEWAY_NAMESPACE: &str = "countersign.";
/// The longest text that is looked at, in bytes: a reason, and the statement around it.
const TEXT_BYTES_MAX: usize = 8 * 1024;

/// What is done about a setting of the gateway's, by its name behind the namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GatewaySetting {
    /// It gets this value.
    Set(String, String),
    /// It gets the value that it began with.
    Reset(String),
    /// It is asked for.
    Show(String),
}

/// What a text does about a setting of the gateway's, if that is all it does; an error for one that is written otherwise than
/// is understood.
pub fn gateway_setting(text: &str) -> Option<Result<GatewaySetting, &'static str>> {
    let text = text.trim_start();
    let begins = |word: &str| text.get(..word.len()).is_some_and(|first| first.eq_ignore_ascii_case(word));
    if text.len() > TEXT_BYTES_MAX || !["set", "reset", "show"].into_iter().any(begins) {
        return None;
    }
    let scanned = pg_query::scan(text).ok()?;
    let tokens: Option<Vec<(Token, &str)>> = scanned
        .tokens
        .iter()
        .map(|token| {
            let (start, end) = (usize::try_from(token.start).ok()?, usize::try_from(token.end).ok()?);
            Some((token.token(), text.get(start..end)?))
        })
        .collect();
    let mut tokens = tokens?;
    tokens.retain(|(kind, _)| !matches!(kind, Token::SqlComment | Token::CComment));
    while tokens.last().is_some_and(|(kind, _)| *kind == Token::Ascii59) {
        tokens.pop();
    }
    read(&tokens)
}

fn read(tokens: &[(Token, &str)]) -> Option<Result<GatewaySetting, &'static str>> {
    let (verb, rest) = tokens.split_first()?;
    let verb = verb.1.to_ascii_lowercase();
    let (scope, rest) = match rest.split_first()? {
        ((_, word), more) if ["session", "local"].iter().any(|scope| word.eq_ignore_ascii_case(scope)) => {
            (word.to_ascii_lowercase(), more)
        }
        _ => (String::new(), rest),
    };
    let [(_, space), (Token::Ascii46, _), (_, name), value @ ..] = rest else { return None };
    let space = space.trim_matches('"');
    if !GATEWAY_NAMESPACE.trim_end_matches('.').eq_ignore_ascii_case(space) {
        return None;
    }
    let name = name.trim_matches('"').to_ascii_lowercase();
    Some(match (verb.as_str(), scope.as_str(), value) {
        ("show", "", []) => Ok(GatewaySetting::Show(name)),
        ("reset", "", []) => Ok(GatewaySetting::Reset(name)),
        ("set", "local", _) => Err("it lasts for the session; leave out LOCAL"),
        ("set", _, [(Token::Ascii61 | Token::To, _), value]) => match value {
            (Token::Default, _) => Ok(GatewaySetting::Reset(name)),
            (Token::Sconst, written) => match literal(written) {
                Some(value) => Ok(GatewaySetting::Set(name, value)),
                None => Err("write the value as a plain text in single quotes, without a backslash"),
            },
            (Token::Ident | Token::Iconst, written) => Ok(GatewaySetting::Set(name, (*written).to_owned())),
            _ => Err("write the value as a plain text in single quotes"),
        },
        _ => Err("write SET countersign.NAME = 'value', SHOW countersign.NAME or RESET countersign.NAME"),
    })
}

/// The value of a literal that every server reads alike.
fn literal(written: &str) -> Option<String> {
    let inside = written.strip_prefix('\'')?.strip_suffix('\'')?;
    let plain = !inside.contains('\\') && !inside.chars().any(char::is_control);
    plain.then(|| inside.replace("''", "'"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_of_the_gateway_are_read() {
        let set = |name: &str, value: &str| Some(Ok(GatewaySetting::Set(name.into(), value.into())));
        let reset = || Some(Ok(GatewaySetting::Reset("ticket".into())));
        for (text, read) in [
            ("SET countersign.reason = 'it''s due'", set("reason", "it's due")),
            ("set session Countersign.Reason to 'x' ;", set("reason", "x")),
            ("SET \"countersign\".ticket TO SHOP_7;", set("ticket", "SHOP_7")),
            ("  SET countersign.ticket = 47 -- the ticket", set("ticket", "47")),
            ("RESET countersign.ticket", reset()),
            ("SET countersign.ticket TO DEFAULT", reset()),
            ("SHOW countersign.reason;", Some(Ok(GatewaySetting::Show("reason".into())))),
        ] {
            assert_eq!(gateway_setting(text), read, "{text}");
        }
    }

    #[test]
    fn what_is_written_otherwise_is_an_error_and_what_is_not_ours_is_nothing() {
        for text in [
            "SET LOCAL countersign.reason = 'x'",
            "SET countersign.reason = E'x'",
            "SET countersign.reason = 'a\\b'",
            "SET countersign.reason = 'a', 'b'",
            "SET countersign.reason = 'a'; DELETE FROM orders",
            "SET countersign.reason = $$a$$",
            "SHOW countersign.reason, work_mem",
        ] {
            assert!(matches!(gateway_setting(text), Some(Err(_))), "{text}");
        }
        for text in [
            "SET work_mem = '1MB'",
            "SHOW ALL",
            "SELECT countersign.reason",
            "SET my.countersign = 'x'",
            "SET countersignature.reason = 'x'",
            "/* x */ SET countersign.reason = 'x'",
            "DELETE FROM orders; SET countersign.reason = 'x'",
            "RESET",
            "set",
        ] {
            assert_eq!(gateway_setting(text), None, "{text}");
        }
    }
}
