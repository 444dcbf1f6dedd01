//! Covers what gives itself away in what a server says: the detectors of results of statements, on every text of a message.
//!
//! A text is looked at as it reads, however it is escaped, and so is text that comes as base64 (an embedded resource). What
//! is found is written over with stars; everything else keeps its bytes. Numbers stay numbers, with other digits. Pictures and
//! other data that is no text are left as they are.
//!
//! What not: identifiers by which messages belong together are nobody's data, and have to stay.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::json::{self, Json, Kind, write_text};
use crate::mask::Detectors;
use crate::mask::detect::Fill;

/// Members that hold base64, in an object that says of which kind it is.
const DATA: [&str; 2] = ["data", "blob"];
/// A message's own identifier.
const ID: &str = "id";
/// Where a message says to which other it belongs.
const PARAMS: &str = "params";
/// By which names.
const BELONGS: [&str; 2] = ["progressToken", "requestId"];

/// The message with what was found covered; nothing if nothing was.
#[must_use]
pub fn cover(value: &Json<'_>, detectors: Detectors) -> Option<String> {
    if detectors.is_empty() {
        return None;
    }
    let mut out = String::with_capacity(value.raw.len());
    walk(value, Place::Message, detectors, &mut out).then_some(out)
}

/// Where in a message a value is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Message,
    Params,
    Within,
}

impl Place {
    /// Where the value of this name is; nothing if it is left as it is.
    fn of(self, name: &str) -> Option<Self> {
        match self {
            Self::Message if name == ID => None,
            Self::Message if name == PARAMS => Some(Self::Params),
            Self::Params if BELONGS.contains(&name) => None,
            Self::Message | Self::Params | Self::Within => Some(Self::Within),
        }
    }
}

/// Writes a value; whether anything of it is covered.
fn walk(value: &Json<'_>, at: Place, detectors: Detectors, out: &mut String) -> bool {
    let start = out.len();
    let found = match &value.kind {
        Kind::Text(text) => covered(text, detectors, out),
        Kind::List(values) => {
            out.push('[');
            let mut found = false;
            for (place, inner) in values.iter().enumerate() {
                out.push_str(if place == 0 { "" } else { "," });
                found |= walk(inner, Place::Within, detectors, out);
            }
            out.push(']');
            found
        }
        Kind::Object(members) => {
            let is_data = value.get("mimeType").is_some();
            let (mut found, mut place) = (false, 0);
            out.push('{');
            let shown = names(members, detectors);
            found |= shown.is_some();
            for (name, inner) in members {
                out.push_str(if place == 0 { "" } else { "," });
                write_text(
                    shown.as_ref().and_then(|shown| shown.get(place)).map_or(name, String::as_str),
                    out,
                );
                place += 1;
                out.push(':');
                found |= match (at.of(name), &inner.kind) {
                    (None, _) => {
                        out.push_str(inner.raw);
                        false
                    }
                    (_, Kind::Text(data)) if is_data && DATA.contains(&&**name) => {
                        unpacked(data, detectors, out)
                    }
                    (Some(place), _) => walk(inner, place, detectors, out),
                };
            }
            out.push('}');
            found
        }
        Kind::Number(number) => recounted(number, detectors, out),
        Kind::Null | Kind::Bool(_) => false,
    };
    if !found {
        // As it was written, to the byte.
        out.truncate(start);
        out.push_str(value.raw);
    }
    found
}

/// Writes data in base64, of which what is text is covered; whether anything of it is. What is no base64 is a text itself.
fn unpacked(data: &str, detectors: Detectors, out: &mut String) -> bool {
    let Ok(mut bytes) = STANDARD.decode(data) else { return covered(data, detectors, out) };
    let found = std::str::from_utf8(&bytes).is_ok() && detectors.cover(&mut bytes, Fill::Stars);
    write_text(&if found { STANDARD.encode(bytes) } else { data.to_owned() }, out);
    found
}

/// Writes a number; whether anything of it is covered. It stays one, or becomes nothing.
fn recounted(number: &str, detectors: Detectors, out: &mut String) -> bool {
    let mut bytes = number.as_bytes().to_vec();
    let found = detectors.cover(&mut bytes, Fill::Shape);
    let is_number = |text: &&str| json::read(text.as_bytes()).is_ok();
    out.push_str(std::str::from_utf8(&bytes).ok().filter(is_number).unwrap_or("null"));
    found
}

/// Writes a text; whether anything of it is covered.
fn covered(text: &str, detectors: Detectors, out: &mut String) -> bool {
    let hidden = hidden(text, detectors);
    write_text(hidden.as_deref().unwrap_or(text), out);
    hidden.is_some()
}

/// A text with what was found covered; nothing if nothing was.
fn hidden(text: &str, detectors: Detectors) -> Option<String> {
    let mut bytes = text.as_bytes().to_vec();
    let found = detectors.cover(&mut bytes, Fill::Stars);
    // Where half a letter was written over, nothing of the text is shown.
    found.then(|| String::from_utf8(bytes).unwrap_or_default())
}

/// The names of an object's members with what was found covered; nothing if nothing was. Those that look alike then are
/// numbered, since no name may come twice.
fn names(members: &[(Cow<'_, str>, Json<'_>)], detectors: Detectors) -> Option<Vec<String>> {
    let hidden: Vec<_> = members.iter().map(|(name, _)| hidden(name, detectors)).collect();
    hidden.iter().any(Option::is_some).then(|| {
        let left = members.iter().zip(&hidden).filter(|(_, hidden)| hidden.is_none());
        let mut taken: BTreeSet<String> = left.map(|((name, _), _)| name.to_string()).collect();
        let mut alike: BTreeMap<String, u32> = BTreeMap::new();
        let mut number = |name: String| {
            let count = alike.entry(name.clone()).or_default();
            let mut shown = name.clone();
            while !taken.insert(shown.clone()) {
                *count += 1;
                shown = format!("{name} ({count})");
            }
            shown
        };
        let shown = members.iter().zip(hidden);
        shown.map(|((name, _), hidden)| hidden.map_or_else(|| name.to_string(), &mut number)).collect()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mask::detect::Detector;
    use crate::mcp::json;

    fn of(text: &str) -> Option<String> {
        let value = json::read(text.as_bytes()).unwrap();
        cover(&value, [Detector::Email].into_iter().collect())
    }

    #[test]
    fn names_that_look_alike_when_they_are_covered_are_numbered() {
        assert_eq!(
            of(r#"{"a@b.example":1,"c@d.example":2,"***********":3,"e@f.example":4}"#).unwrap(),
            r#"{"*********** (1)":1,"*********** (2)":2,"***********":3,"*********** (3)":4}"#
        );
    }

    #[test]
    fn what_is_found_is_covered_and_the_rest_keeps_its_bytes() {
        assert_eq!(
            of(r#"{"content":[{"type":"text","text":"a\u0040b.example é"}], "n" : 1.50,"x":{ "y" : [] }}"#)
                .unwrap(),
            r#"{"content":[{"type":"text","text":"*********** é"}],"n":1.50,"x":{ "y" : [] }}"#
        );
        assert_eq!(of(r#"{"a@b.example":1}"#).unwrap(), r#"{"***********":1}"#);
        assert_eq!(of(r#"{"a":"b","c":[1,null,"d"]}"#), None);
        assert_eq!(of(r#"{"data":"a@b.example"}"#).unwrap(), r#"{"data":"***********"}"#);
    }

    #[test]
    fn a_text_in_base64_is_covered_and_a_picture_is_not() {
        let of_data = |data: &str| of(&format!(r#"{{"mimeType":"text/plain","blob":"{data}"}}"#));
        let packed = |bytes: &[u8]| STANDARD.encode(bytes);
        let covered = of_data(&packed(b"to a@b.example")).unwrap();
        assert!(covered.contains(&packed(b"to ***********")), "{covered}");
        assert_eq!(of_data(&packed(b"\x89PNG\xff a@b.example")), None, "no text");
        let no_base64 = of(r#"{"mimeType":"image/png","data":"a@b.example"}"#).unwrap();
        assert_eq!(
            no_base64, r#"{"mimeType":"image/png","data":"***********"}"#,
            "whatever it says of itself"
        );
    }

    #[test]
    fn a_number_is_covered_and_stays_one() {
        let cards = |text: &str| {
            let value = json::read(text.as_bytes()).unwrap();
            cover(&value, [Detector::Card].into_iter().collect())
        };
        assert_eq!(
            cards(r#"{"card":4111111111111111,"n":12}"#).unwrap(),
            r#"{"card":1111111111111111,"n":12}"#
        );
        assert_eq!(cards(r#"{"n":1.5e3}"#), None);
    }

    #[test]
    fn what_messages_belong_together_by_stays() {
        let cards = |text: &str| {
            let value = json::read(text.as_bytes()).unwrap();
            cover(&value, [Detector::Card].into_iter().collect())
        };
        assert_eq!(cards(r#"{"id":4111111111111111,"result":{}}"#), None);
        assert_eq!(
            cards(r#"{"params":{"progressToken":"4111111111111111","requestId":4111111111111111}}"#),
            None
        );
        assert!(cards(r#"{"result":{"id":4111111111111111}}"#).is_some());
        assert!(cards(r#"{"params":{"x":{"requestId":4111111111111111}}}"#).is_some());
    }
}
