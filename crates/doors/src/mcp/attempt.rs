//! What a message is to the engine: its action, what policies see of it, and what an approval is bound to.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use countersign_core::ActionName;
use countersign_core::question::Context;
use countersign_engine::{Attempt, Look};
use countersign_policy::context::{Mcp, Pin};
use countersign_wire::mcp::{Definition, Said};
use sha2::{Digest as _, Sha256};

use super::session::Session;

/// A message that is about to be judged.
#[derive(Clone, Debug)]
pub(crate) struct Subject {
    /// What it asks for or tells.
    pub(crate) method: String,
    pub(crate) said: Said,
    /// What the server says of the tool that it calls.
    pub(crate) definition: Option<Arc<Definition>>,
    /// Exactly what will be forwarded.
    pub(crate) bytes: Bytes,
}

impl Subject {
    /// As the engine judges it. Made anew for each question: what it is about may have changed.
    pub(crate) fn attempt(&self, session: &Session) -> Attempt {
        let kind = ActionName::new(self.said.action);
        Attempt {
            actions: Arc::new([kind.clone()]),
            kind,
            verbs: Arc::new([self.method.clone()]),
            provable_read: false,
            context: Arc::new(self.context(session)),
            text: self.said.text.as_str().into(),
            parameter_types: Arc::new([]),
            parameters: Arc::new([]),
            relations: Vec::new(),
            settings: Arc::new(self.settings(session)),
            bytes: self.bytes.clone(),
        }
    }

    fn context(&self, session: &Session) -> Context {
        let claims = self.definition.iter().flat_map(|tool| &tool.claims);
        let mut context = Context::new();
        let told = Mcp {
            verbs: [self.method.clone()].into(),
            tool: self.said.tool.clone(),
            prompt: self.said.prompt.clone(),
            uri: self.said.uri.clone(),
            claims: claims.map(|claim| (*claim).to_owned()).collect(),
            pin: self.pin(session),
            args: self.said.args.clone(),
            numbers: self.said.numbers.clone(),
            ..Mcp::default()
        };
        told.tell(&mut context);
        context
    }

    /// Whether the tool that is called is described as the bundle in force pins it.
    fn pin(&self, session: &Session) -> Pin {
        let Some(tool) = &self.definition else { return Pin::None };
        let snapshot = session.shared.engine.snapshot();
        let Some(found) = snapshot.book.catalogue.resources.get(session.engine.resource()) else {
            return Pin::Other;
        };
        match found.settings.get(&format!("{PIN}{}", tool.name)) {
            Some(pinned) if *pinned == digest(tool) => Pin::Same,
            None if !found.settings.keys().any(|key| key.starts_with(PIN)) => Pin::None,
            Some(_) | None => Pin::Other,
        }
    }

    /// What changes its meaning beside its own text.
    pub(crate) fn settings(&self, session: &Session) -> BTreeMap<String, String> {
        let mut settings = BTreeMap::new();
        if let Some(revision) = session.revision.get() {
            settings.insert("revision".to_owned(), (*revision).to_owned());
        }
        if let Some(server) = session.server.get() {
            settings.insert("server".to_owned(), server.clone());
        }
        if let Some(tool) = &self.definition {
            settings.insert("tool".to_owned(), digest(tool));
        }
        settings
    }

    /// What is told to whoever is asked, beside the text.
    pub(crate) fn look(&self, session: &Session) -> Look {
        let mut notes = Vec::new();
        if let Some(tool) = &self.definition {
            if self.pin(session) == Pin::Other {
                let digest = digest(tool);
                notes.push(format!(
                    "this tool is not described as the bundle pins it: its digest is {digest}"
                ));
            }
            notes.push(match tool.claims.as_slice() {
                [] => "the server does not say what this tool may do".to_owned(),
                claims => {
                    format!("the server claims of this tool: {}; nobody has checked that", claims.join(", "))
                }
            });
            notes.push(format!("the tool as its server describes it:\n{}", visible(&tool.in_lines)));
        }
        Look { notes, ..Look::default() }
    }
}

/// What the door's setting of a tool's digest begins with.
const PIN: &str = "tool:";

/// JSON in which nothing is invisible, and nothing makes what stands beside it look otherwise: such letters are escaped,
/// which means the same.
fn visible(json: &str) -> String {
    let mut out = String::with_capacity(json.len());
    for c in json.chars() {
        if c == '\n' || !is_odd(c) {
            out.push(c);
            continue;
        }
        let mut units = [0; 2];
        for unit in c.encode_utf16(&mut units) {
            out.push_str(&format!("\\u{unit:04x}"));
        }
    }
    out
}

/// Controls, what changes the direction of writing, what takes no place, tags, and private letters.
fn is_odd(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180b}'..='\u{180f}'
            | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{e000}'..='\u{f8ff}'
            | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}' | '\u{1d173}'..='\u{1d17a}'
            | '\u{e0000}'..='\u{10ffff}')
}

/// The digest of all that a server says of a tool.
fn digest(tool: &Definition) -> String {
    let digest = Sha256::digest(tool.canonical.as_bytes());
    let hex: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{hex}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_in_a_description_hides() {
        assert_eq!(
            visible("{\n  \"a\": \"b\u{202e}c\u{200b}\u{e0041}é😀\"\n}"),
            "{\n  \"a\": \"b\\u202ec\\u200b\\udb40\\udc41é😀\"\n}"
        );
    }
}
