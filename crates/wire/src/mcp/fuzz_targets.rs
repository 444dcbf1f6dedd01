//! The body of the fuzz target, as a plain function: it returns for every input and panics only if a property of the
//! decoder does not hold.

use super::json::{self, Json};
use super::stream::Events;
use super::{Message, Outcome, definitions, listing, misfit, said};

/// Bytes from a client or a server.
pub fn fuzz_mcp(data: &[u8]) {
    pieces(data);
    let Ok(value) = json::read(data) else { return };
    one_form(&value);
    let Ok(message) = Message::read(data) else { return };
    match message {
        Message::Request { method, params, .. } | Message::Notification { method, params } => {
            let Ok(told) = said(&method, params.as_ref()) else { return };
            assert_eq!(said(&method, params.as_ref()), Ok(told), "the same message says the same");
            let arguments = params.as_ref().and_then(|params| params.get("arguments"));
            let _ = misfit(std::str::from_utf8(data).unwrap_or_default(), arguments);
        }
        Message::Response { outcome: Outcome::Result(result), .. } => {
            let _ = definitions(&result);
            if let Some(found) = listing("tools/list", &result) {
                let all = found.only(|_, _| true);
                let read = json::read(all.as_bytes());
                assert!(read.is_ok(), "what is shown of a list is JSON");
            }
        }
        Message::Response { .. } => {}
    }
}

/// The canonical form reads back as itself, in lines or not.
fn one_form(value: &Json<'_>) {
    let Ok(canonical) = value.canonical() else { return };
    let again = json::read(canonical.as_bytes());
    let again = again.as_ref().map(Json::canonical);
    assert_eq!(again, Ok(Ok(canonical.clone())), "the canonical form is canonical");
    let lines = value.in_lines().unwrap_or_default();
    let read = json::read(lines.as_bytes());
    assert_eq!(
        read.as_ref().map(Json::canonical),
        Ok(Ok(canonical)),
        "lines are another way to write the same"
    );
}

/// Events are the same however the network cuts them.
fn pieces(data: &[u8]) {
    let (mut whole, mut cut) = (Events::default(), Events::default());
    let at_once = whole.feed(data);
    let by_bytes: Result<Vec<_>, _> = data.chunks(1).map(|byte| cut.feed(byte)).collect();
    assert_eq!(at_once, by_bytes.map(|found| found.concat()), "events do not depend on pieces");
}
