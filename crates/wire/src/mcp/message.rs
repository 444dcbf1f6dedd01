//! JSON-RPC 2.0, as the Model Context Protocol uses it: one message at a time, no batches, no `null` for an identifier.

use super::Malformed;
use super::json::{self, Json, Kind};

/// The longest identifier of a request, in bytes.
const ID_BYTES_MAX: usize = 256;
/// The longest name of a method, in bytes.
const METHOD_BYTES_MAX: usize = 128;

/// The identifier of a request.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Id {
    /// A whole number.
    Number(i64),
    /// A text.
    Text(String),
}

/// A message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message<'a> {
    /// Something is asked, and an answer is waited for.
    Request {
        /// Which answer belongs to it.
        id: Id,
        /// What is asked.
        method: String,
        /// How.
        params: Option<Json<'a>>,
    },
    /// Something is told.
    Notification {
        /// What.
        method: String,
        /// How.
        params: Option<Json<'a>>,
    },
    /// An answer.
    Response {
        /// To which request.
        id: Id,
        /// What it is.
        outcome: Outcome<'a>,
    },
}

/// What came of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome<'a> {
    /// The result.
    Result(Json<'a>),
    /// The error, with its code.
    Error(i64, Json<'a>),
}

impl<'a> Message<'a> {
    /// Reads a message.
    ///
    /// # Errors
    /// [`Malformed`].
    pub fn read(bytes: &'a [u8]) -> Result<Self, Malformed> {
        let value = json::read(bytes)?;
        let Kind::Object(members) = value.kind else {
            return Err(Malformed::Envelope(match value.kind {
                Kind::List(_) => "batches are not part of this protocol; send each message by itself",
                _ => "it is no object",
            }));
        };
        let (mut version, mut id, mut method, mut params) = (None, None, None, None);
        let (mut result, mut error) = (None, None);
        for (name, value) in members {
            let slot = match &*name {
                "jsonrpc" => &mut version,
                "id" => &mut id,
                "method" => &mut method,
                "params" => &mut params,
                "result" => &mut result,
                "error" => &mut error,
                _ => return Err(Malformed::Envelope("it has a member that no message has")),
            };
            *slot = Some(value);
        }
        if version.as_ref().and_then(Json::text) != Some("2.0") {
            return Err(Malformed::Envelope("`jsonrpc` is not \"2.0\""));
        }
        let id = id.map(|id| Id::of(&id)).transpose()?;
        let method = method.map(|method| method_of(&method)).transpose()?;
        if params.as_ref().is_some_and(|params| params.members().is_none()) {
            return Err(Malformed::Envelope("`params` is no object"));
        }
        match (id, method, params, result, error) {
            (Some(id), Some(method), params, None, None) => Ok(Self::Request { id, method, params }),
            (None, Some(method), params, None, None) => Ok(Self::Notification { method, params }),
            (Some(id), None, None, Some(result), None) => {
                Ok(Self::Response { id, outcome: Outcome::Result(result) })
            }
            (Some(id), None, None, None, Some(error)) => {
                let code = error.get("code").and_then(Json::whole);
                let code = code.ok_or(Malformed::Envelope("`error` has no `code`"))?;
                Ok(Self::Response { id, outcome: Outcome::Error(code, error) })
            }
            _ => Err(Malformed::Envelope("it is neither a request nor a notification nor an answer")),
        }
    }
}

fn method_of(value: &Json<'_>) -> Result<String, Malformed> {
    let named = value.text().filter(|name| !name.is_empty() && name.len() <= METHOD_BYTES_MAX);
    let named = named.filter(|name| name.bytes().all(|byte| byte.is_ascii_graphic()));
    named.map(str::to_owned).ok_or(Malformed::Envelope("`method` is no name of a method"))
}

impl Id {
    /// An identifier.
    ///
    /// # Errors
    /// It is neither a text of reasonable length nor a whole number.
    pub fn of(value: &Json<'_>) -> Result<Self, Malformed> {
        match (&value.kind, value.whole()) {
            (_, Some(number)) => Ok(Self::Number(number)),
            (Kind::Text(text), None) if text.len() <= ID_BYTES_MAX => Ok(Self::Text(text.to_string())),
            _ => Err(Malformed::Envelope("`id` is neither a short text nor a whole number")),
        }
    }

    /// As JSON.
    #[must_use]
    pub fn json(&self) -> String {
        match self {
            Self::Number(number) => number.to_string(),
            Self::Text(text) => {
                let mut out = String::new();
                json::write_text(text, &mut out);
                out
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Message<'_>, String> {
        Message::read(text.as_bytes()).map_err(|error| error.to_string())
    }

    #[test]
    fn each_message_is_one_of_three() {
        let asked = read(r#"{"jsonrpc":"2.0","id":7,"method":"ping"}"#);
        assert_eq!(asked, Ok(Message::Request { id: Id::Number(7), method: "ping".into(), params: None }));
        let told = read(r#"{"method":"notifications/initialized","jsonrpc":"2.0"}"#);
        assert_eq!(
            told,
            Ok(Message::Notification { method: "notifications/initialized".into(), params: None })
        );
        let answer = read(r#"{"jsonrpc":"2.0","id":"a","error":{"code":-32601,"message":"x"}}"#).unwrap();
        assert!(
            matches!(answer, Message::Response { id: Id::Text(id), outcome: Outcome::Error(-32_601, _) } if id == "a")
        );
    }

    #[test]
    fn what_could_be_read_as_two_things_is_neither() {
        for text in [
            r#"[{"jsonrpc":"2.0","id":1,"method":"ping"}]"#,
            r#"{"jsonrpc":"2.0","id":null,"method":"ping"}"#,
            r#"{"jsonrpc":"2.0","id":1.5,"method":"ping"}"#,
            r#"{"jsonrpc":"2.0","id":1e3,"method":"ping"}"#,
            r#"{"jsonrpc":"1.0","id":1,"method":"ping"}"#,
            r#"{"id":1,"method":"ping"}"#,
            r#"{"jsonrpc":"2.0","id":1,"method":"ping","result":{}}"#,
            r#"{"jsonrpc":"2.0","id":1,"result":{},"error":{"code":1}}"#,
            r#"{"jsonrpc":"2.0","id":1,"method":"ping","Method":"tools/call"}"#,
            r#"{"jsonrpc":"2.0","id":1,"method":"ping","params":[]}"#,
            r#"{"jsonrpc":"2.0","id":1,"method":"pi ng"}"#,
            r#"{"jsonrpc":"2.0","id":1,"method":""}"#,
            r#"{"jsonrpc":"2.0"}"#,
            "7",
        ] {
            assert!(read(text).is_err(), "{text}");
        }
    }
}
