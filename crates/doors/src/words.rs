//! What every door says in the same words: hours, lengths of time, what to do next.

use countersign_core::request::{Voidance, Withdrawal};
use countersign_core::{At, Span};
use countersign_engine::{Answer, Paused};

/// What to do next and where, in one sentence.
pub(crate) fn hint(hint: Option<&str>, link: Option<&str>) -> Option<String> {
    match (hint, link) {
        (Some(hint), Some(link)) => Some(format!("{hint}  (or: {link})")),
        (Some(hint), None) => Some(hint.to_owned()),
        (None, Some(link)) => Some(format!("see {link}")),
        (None, None) => None,
    }
}

/// The moment of day in UTC, as people read it.
pub(crate) fn clock(at: At) -> String {
    let text = at.rfc3339();
    let time = text.get(11..19).unwrap_or(&text);
    format!("{time} UTC")
}

/// Who has paused a session, and why.
pub(crate) fn paused(paused: &Paused) -> String {
    let why = paused.reason.as_deref().map(|reason| format!(": {reason}")).unwrap_or_default();
    format!("this session was paused by {} at {}{why}", paused.by, clock(paused.at))
}

/// That access which was asked for is not given, and why.
pub(crate) fn unanswered(answer: &Answer) -> String {
    match answer {
        Answer::Denied { by, comment } => {
            let said = comment.as_deref().map(|comment| format!(": {comment}")).unwrap_or_default();
            format!("your access was denied by {by}{said}")
        }
        Answer::Lapsed => "nobody answered in time, so it was not approved".to_owned(),
        Answer::Void(Voidance::PrincipalDisabled) | Answer::Withdrawn(Withdrawal::PrincipalDisabled) => {
            "your account is disabled".to_owned()
        }
        Answer::Approved | Answer::Void(_) | Answer::Withdrawn(_) => {
            "the request for your access was withdrawn".to_owned()
        }
    }
}

/// A length of time in whole seconds, never `0s` while something is left.
pub(crate) fn left(span: Span) -> String {
    Span::seconds((span.0 + 999_999) / 1_000_000).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_read_well() {
        assert_eq!(clock(At(1_709_210_096_000_007)), "12:34:56 UTC");
        assert_eq!(left(Span(1)), "1s");
        assert_eq!(left(Span::minutes(15)), "15m");
        assert_eq!(left(Span(59_000_001)), "1m");
    }

    #[test]
    fn a_hint_names_command_and_link() {
        assert_eq!(
            hint(Some("run `x`"), Some("http://c/ask")).as_deref(),
            Some("run `x`  (or: http://c/ask)")
        );
        assert_eq!(hint(None, None), None);
    }
}
