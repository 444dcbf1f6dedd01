//! The bodies of the fuzz targets, as plain functions: they return for every input and panic only if a property of the
//! decoders does not hold.

use super::json::{self, BadJson, Json};
use super::stream::Events;
use super::{
    ARGUMENTS_MAX, Id, Malformed, Message, Outcome, cover, definitions, listing, misfit, one_line, said,
};
use crate::mask::Detectors;
use crate::mask::detect::Detector;

/// The methods that are answered with a list.
const LISTS: [&str; 4] = ["tools/list", "prompts/list", "resources/list", "resources/templates/list"];

/// Bytes from a client: a message, and behind a zero a schema that the arguments have to fit.
pub fn fuzz_mcp_client(data: &[u8]) {
    let mut parts = data.splitn(2, |byte| *byte == 0);
    let data = parts.next().unwrap_or_default();
    let schema = parts.next().unwrap_or(data);
    let Some(message) = message(data) else { return };
    let (Message::Request { method, params, .. } | Message::Notification { method, params }) = message else {
        return;
    };
    let Ok(told) = said(&method, params.as_ref()) else { return };
    assert!(told.args.len() <= ARGUMENTS_MAX, "arguments are bounded");
    assert!(told.numbers.keys().all(|name| told.args.contains_key(name)), "a number is an argument");
    let line = one_line(data);
    // That it is read, and as the same kind of message, is seen above.
    let sent = match Message::read(line.as_bytes()) {
        Ok(Message::Request { params, .. } | Message::Notification { params, .. }) => params,
        Ok(Message::Response { .. }) | Err(_) => None,
    };
    assert_eq!(said(&method, sent.as_ref()), Ok(told), "what is forwarded says what was judged");
    let schema = std::str::from_utf8(schema).unwrap_or_default();
    let fits = |params: &Option<Json<'_>>| misfit(schema, params.as_ref().and_then(|of| of.get("arguments")));
    assert_eq!(fits(&params), fits(&sent), "and fits what it fitted");
}

/// Bytes from a server: a message, or a stream of them.
pub fn fuzz_mcp_server(data: &[u8]) {
    for event in pieces(data) {
        answered(&event);
    }
    answered(data);
}

/// A message of a server's.
fn answered(data: &[u8]) {
    let Some(message) = message(data) else { return };
    covered(data);
    if let Message::Response { outcome: Outcome::Result(result), .. } = message {
        LISTS.iter().for_each(|method| listed(method, &result));
        for tool in definitions(&result).0 {
            assert!(json::read(tool.canonical.as_bytes()).is_ok(), "what is told of a tool is JSON");
        }
    }
}

/// Reads a message, and that it is the same on one line.
fn message(data: &[u8]) -> Option<Message<'_>> {
    one_form(&json::read(data).ok()?);
    let message = Message::read(data).ok()?;
    let line = one_line(data);
    assert!(!line.contains(['\r', '\n']), "a message is a line");
    let sent = Message::read(line.as_bytes());
    assert_eq!(sent.as_ref().map(envelope), Ok(envelope(&message)), "what is forwarded is what was read");
    Some(message)
}

/// What a message is, and of which request.
fn envelope<'a>(message: &'a Message<'_>) -> (Option<&'a Id>, &'a str) {
    match message {
        Message::Request { id, method, .. } => (Some(id), method),
        Message::Notification { method, .. } => (None, method),
        Message::Response { id, outcome: Outcome::Result(_) } => (Some(id), "result"),
        Message::Response { id, outcome: Outcome::Error(..) } => (Some(id), "error"),
    }
}

/// What is shown of a list is what may be shown, and no more.
fn listed(method: &str, result: &Json<'_>) {
    let Some(found) = listing(method, result) else { return };
    let may = |name: &str| name.len().is_multiple_of(2);
    let shown = found.only(|name, _| may(name));
    let read = json::read(shown.as_bytes());
    assert!(read.is_ok(), "what is shown of a list is JSON");
    let names = |of: &Json<'_>| {
        listing(method, of).map(|list| list.items.iter().map(|(name, _)| (*name).to_owned()).collect())
    };
    let wanted: Vec<String> =
        found.items.iter().map(|(name, _)| (*name).to_owned()).filter(|name| may(name)).collect();
    assert_eq!(read.ok().as_ref().and_then(names), Some(wanted), "what may not be shown is not there");
}

/// What is covered is still the same message, and nothing is found in it again.
fn covered(data: &[u8]) {
    let all: Detectors = Detector::WORDS.iter().map(|(_, detector)| *detector).collect();
    let Some(shown) = json::read(data).ok().and_then(|value| cover(&value, all)) else { return };
    let (was, is) = (Message::read(data), Message::read(shown.as_bytes()));
    let of =
        |message: &Result<Message<'_>, Malformed>| message.as_ref().ok().map(|one| envelope(one).0.cloned());
    assert_eq!(of(&is), of(&was), "what is covered is a message still, and of the same request");
}

/// The canonical form reads back as itself, in lines or not; but where it has a large number that was written with an exponent:
/// RFC 8785 writes that without, as a whole number which not all readers read alike.
fn one_form(value: &Json<'_>) {
    let Ok(canonical) = value.canonical() else { return };
    let lines = value.in_lines().unwrap_or_default();
    for text in [&canonical, &lines] {
        match json::read(text.as_bytes()).map(|value| value.canonical()) {
            Ok(Err(BadJson::Number(number))) => {
                assert!(
                    number.parse::<f64>().is_ok_and(|number| number.abs() > 9e15),
                    "`{number}` is not large"
                );
            }
            again => assert_eq!(again, Ok(Ok(canonical.clone())), "the canonical form is canonical"),
        }
    }
}

/// The events of a stream, which are the same however the network cuts them.
fn pieces(data: &[u8]) -> Vec<Vec<u8>> {
    let (mut whole, mut cut) = (Events::default(), Events::default());
    let at_once = whole.feed(data);
    let by_bytes: Result<Vec<_>, _> = data.chunks(1).map(|byte| cut.feed(byte)).collect();
    assert_eq!(at_once, by_bytes.map(|found| found.concat()), "events do not depend on pieces");
    at_once.unwrap_or_default()
}
