//! What the fuzzer calls. Hidden: not for callers.

use std::sync::OnceLock;

use super::{Context, Kind, Parser, SessionState, classify_text, format, redact};

/// Judges any bytes and checks what must hold for every text.
#[expect(clippy::panic, reason = "a panic is how a fuzz target says that a property does not hold")]
pub fn fuzz_sql(data: &[u8]) {
    static PARSER: OnceLock<Option<Parser>> = OnceLock::new();
    let Some(parser) = PARSER.get_or_init(|| Parser::threads(1).ok()) else { return };
    let data = data.to_vec();
    let outcome = parser.run(move || check(&data));
    match outcome {
        Ok(None) => {}
        Ok(Some(broken)) => panic!("{broken}"),
        Err(busy) => panic!("{busy}"),
    }
}

/// A property that does not hold, in words.
fn check(data: &[u8]) -> Option<String> {
    let session = SessionState::fresh(150_018, "app");
    let context = Context { session: &session, catalogue: None, parameter_types: &[] };
    let facts = classify_text(data, &context);
    if facts != classify_text(data, &context) {
        return Some("the same text was judged in two ways".to_owned());
    }
    if facts.kinds.is_empty() || facts.kinds.last() != Some(&facts.kind) {
        return Some(format!("the kind {:?} is not the strictest of {:?}", facts.kind, facts.kinds));
    }
    let writes = facts.relations.iter().any(|r| r.access != super::Access::Read);
    if facts.provable_read && (writes || facts.kind > Kind::Read || facts.taints_session) {
        return Some("a provable read does more than read".to_owned());
    }
    if facts.provable_read && !facts.functions.is_empty() {
        return Some("without a catalogue a function was taken for a built-in".to_owned());
    }
    let text = std::str::from_utf8(data).ok()?;
    let redacted = redact(text, &facts.secret_spans);
    if facts.secret_spans.is_empty() && redacted.text != text {
        return Some("text without secrets was changed".to_owned());
    }
    format(text);
    None
}
