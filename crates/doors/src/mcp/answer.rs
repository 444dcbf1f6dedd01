//! What a client reads in its own tool: every sentence that this door says, as messages of the protocol.

use countersign_core::session::Ending;
use countersign_engine::{Refused, Waiting};
use countersign_wire::mcp::Id;
use serde_json::{Value, json};

use crate::flow::{Apart, News, No};
use crate::words::{self, clock, hint, left};

/// The message is no JSON, no message, or has parameters that are not right (JSON-RPC 2.0, section 5.1).
pub(crate) const INVALID: i64 = -32_600;
/// There is no such method, or not for this client.
pub(crate) const NO_METHOD: i64 = -32_601;
/// The server could not be reached, or went away.
pub(crate) const NO_SERVER: i64 = -32_010;
/// It was denied, by policy or by a person.
pub(crate) const DENIED: i64 = -32_011;
/// The session is over.
pub(crate) const OVER: i64 = -32_012;
/// A limit was reached.
pub(crate) const LIMIT: i64 = -32_013;

/// A no in words: the sentence, and what to do next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Words {
    pub(crate) code: i64,
    pub(crate) message: String,
    pub(crate) hint: Option<String>,
}

impl Words {
    pub(crate) fn new(code: i64, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), hint: None }
    }

    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// All of it in one text.
    fn in_full(&self) -> String {
        match &self.hint {
            Some(hint) => format!("{}\n{hint}", self.message),
            None => self.message.clone(),
        }
    }
}

impl From<&Refused> for Words {
    fn from(refused: &Refused) -> Self {
        let hint = hint(refused.hint.as_deref(), refused.link.as_deref());
        Self { code: DENIED, message: refused.message.clone(), hint }
    }
}

impl From<&No> for Words {
    fn from(no: &No) -> Self {
        match no {
            No::Refused(refused) => refused.into(),
            No::Denied { by, comment } => {
                let said = comment.as_deref().map(|comment| format!(": {comment}")).unwrap_or_default();
                Self::new(DENIED, format!("{by} denied this{said}")).hint("nothing was sent to the server")
            }
            No::Lapsed => Self::new(DENIED, "nobody answered in time, so nothing was sent to the server")
                .hint("ask again when somebody can answer"),
            No::Void(_) => Self::new(DENIED, "what was approved is no longer what would run, so nothing ran")
                .hint("send it again"),
            No::Cancelled | No::Withdrawn(_) => Self::new(DENIED, "this was given up before it ran"),
            No::Restless => {
                Self::new(DENIED, "grant or policy changed again and again while this was recorded")
                    .hint("send it again")
            }
        }
    }
}

/// That a session is over.
pub(crate) fn over(ending: Ending) -> Words {
    let message = match ending {
        Ending::GrantEnd => "your grant is over",
        Ending::Revoked => "your grant was revoked",
        Ending::Disabled => "your account is disabled",
        Ending::Policy => "policy no longer lets you be here",
        Ending::Kill => "this session was ended by somebody",
        Ending::Gateway => "the gateway is stopping",
        Ending::Upstream => "the server went away",
        Ending::Idle => "this session was unused for too long",
        Ending::User | Ending::Limit | Ending::Error => "this session is over",
    };
    Words::new(OVER, message)
        .hint("what was sent to the server may have been done; look before you send it again")
}

/// An error as a message.
pub(crate) fn error(id: Option<&Id>, words: &Words) -> String {
    let mut error = json!({"code": words.code, "message": words.message});
    if let (Some(hint), Some(object)) = (&words.hint, error.as_object_mut()) {
        object.insert("data".into(), json!({"hint": hint}));
    }
    message(id, "error", &error)
}

/// A no to `method`: a call of a tool has a result that says so, so that the model reads it; all else has an error.
pub(crate) fn no(id: &Id, method: &str, words: &Words) -> String {
    if method != "tools/call" {
        return error(Some(id), words);
    }
    let text = format!("not done: {}", words.in_full());
    message(Some(id), "result", &json!({"content": [{"type": "text", "text": text}], "isError": true}))
}

fn message(id: Option<&Id>, member: &str, value: &Value) -> String {
    let id = id.map_or_else(|| "null".to_owned(), Id::json);
    format!("{{\"jsonrpc\":\"2.0\",\"id\":{id},\"{member}\":{value}}}")
}

/// A result, of JSON that is there already.
pub(crate) fn result(id: &Id, result: &str) -> String {
    let result = result.replace(['\r', '\n'], " ");
    format!("{{\"jsonrpc\":\"2.0\",\"id\":{},\"result\":{result}}}", id.json())
}

/// How a request is told to wait, as a notification of progress: the `step`th of them, below everything that a server
/// itself would tell.
pub(crate) fn progress(token: &str, step: u32, words: &str) -> String {
    let params = format!(
        "{{\"progressToken\":{token},\"progress\":{},\"message\":{}}}",
        f64::from(step) / 1_000_000.0,
        Value::String(words.to_owned())
    );
    format!("{{\"jsonrpc\":\"2.0\",\"method\":\"notifications/progress\",\"params\":{params}}}")
}

/// News in words.
pub(crate) fn news(news: &News<'_>, now: countersign_core::At) -> String {
    match news {
        News::Waits(waiting) => waits(waiting, now),
        News::StillWaits(waiting) => {
            let left = left(waiting.lapses_at().since(now));
            format!("still waiting for {}; it lapses in {left}: {}", waiting.asked(), waiting.link())
        }
        News::AskedAnew(_) => "what was approved is no longer what would run; it is asked for again".into(),
        News::Covered(covered) => format!("this runs under the approval of {}", covered.request),
        News::Begins(request, _) | News::Ends(request) | News::Apart(Apart { request, .. }) => {
            format!("this belongs to {request}")
        }
        News::Paused(paused) => {
            format!(
                "{}; this waits until somebody resumes it, and nothing has run yet",
                words::paused(paused)
            )
        }
        News::Resumed => "this session goes on".into(),
    }
}

fn waits(waiting: &Waiting, now: countersign_core::At) -> String {
    let lapses = waiting.lapses_at();
    let until = format!("until {} ({} left)", clock(lapses), left(lapses.since(now)));
    let (asked, link) = (waiting.asked(), waiting.link());
    format!("this waits for an approval by {asked}, {until}; nothing has run yet: {link}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_denied_call_is_a_result_and_all_else_is_an_error() {
        let words = Words::new(DENIED, "no \"way\"").hint("ask");
        assert_eq!(
            no(&Id::Number(7), "tools/call", &words),
            r#"{"jsonrpc":"2.0","id":7,"result":{"content":[{"type":"text","text":"not done: no \"way\"\nask"}],"isError":true}}"#
        );
        assert_eq!(
            no(&Id::Text("a".into()), "resources/read", &words),
            r#"{"jsonrpc":"2.0","id":"a","error":{"code":-32011,"message":"no \"way\"","data":{"hint":"ask"}}}"#
        );
    }

    #[test]
    fn progress_of_waiting_is_less_than_any_of_a_server() {
        assert_eq!(
            progress("\"t\"", 3, "waits"),
            r#"{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":"t","progress":0.000003,"message":"waits"}}"#
        );
    }
}
