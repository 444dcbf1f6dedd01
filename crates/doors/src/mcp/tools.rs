//! The tools that a server has: what it says of each is part of what is approved.
//!
//! The gateway asks for the list itself, when a call needs it and whenever the server says that it has changed. It is not
//! taken from what a client asked for: a client may have been shown less.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use countersign_wire::mcp::{Definition, Id, Message, Outcome, definitions};
use serde_json::Value;
use tokio::sync::Mutex;

use super::session::Session;

/// How many pages a list of tools may have.
const PAGES_MAX: usize = 32;
/// How many tools a server may have.
const TOOLS_MAX: usize = 2_000;
/// How long a server may take over a page, in seconds.
const PAGE_S_MAX: u64 = 30;

/// The tools of a server, as it said last.
#[derive(Debug, Default)]
pub(crate) struct Tools {
    known: Mutex<Option<BTreeMap<String, Arc<Definition>>>>,
    is_stale: AtomicBool,
}

/// A server's list of tools can't be had.
#[derive(Debug, thiserror::Error)]
#[error("the server's list of tools can't be had: {0}")]
pub(crate) struct NoTools(String);

impl Tools {
    /// The server says that they have changed.
    pub(crate) fn changed(&self) {
        self.is_stale.store(true, Ordering::Release);
    }
}

impl Session {
    /// What the server says of a tool now; nothing if it has none of that name.
    pub(crate) async fn tool(&self, name: &str) -> Result<Option<Arc<Definition>>, NoTools> {
        let mut known = self.tools.known.lock().await;
        if self.tools.is_stale.swap(false, Ordering::AcqRel) {
            *known = None;
        }
        let tools = match known.take() {
            Some(tools) => tools,
            None => self.list().await?,
        };
        let found = tools.get(name).cloned();
        *known = Some(tools);
        Ok(found)
    }

    async fn list(&self) -> Result<BTreeMap<String, Arc<Definition>>, NoTools> {
        let (mut tools, mut cursor) = (BTreeMap::new(), None);
        for _ in 0..PAGES_MAX {
            let (page, next) = self.page(cursor.as_deref()).await?;
            for tool in page {
                let twice = tools.insert(tool.name.clone(), Arc::new(tool));
                if let Some(twice) = twice {
                    return Err(NoTools(format!("`{}` is in it twice", twice.name)));
                }
            }
            if tools.len() > TOOLS_MAX {
                break;
            }
            match next {
                Some(next) => cursor = Some(next),
                None => return Ok(tools),
            }
        }
        Err(NoTools("it does not end".into()))
    }

    async fn page(&self, cursor: Option<&str>) -> Result<(Vec<Definition>, Option<String>), NoTools> {
        let params = cursor.map(|cursor| format!("{{\"cursor\":{}}}", Value::String(cursor.to_owned())));
        let answer = self.ask("tools/list", &params.unwrap_or_else(|| "{}".into())).await?;
        match Message::read(&answer) {
            Ok(Message::Response { outcome: Outcome::Result(result), .. }) => Ok(definitions(&result)),
            // A server without tools has none.
            Ok(Message::Response { outcome: Outcome::Error(super::answer::NO_METHOD, _), .. }) => {
                Ok((Vec::new(), None))
            }
            Ok(_) => Err(NoTools("the server answers with an error".into())),
            Err(error) => Err(NoTools(error.to_string())),
        }
    }

    /// Asks the server something for the gateway itself.
    async fn ask(&self, method: &str, params: &str) -> Result<Vec<u8>, NoTools> {
        let (id, flight) = self.begin_own().map_err(|error| NoTools(error.to_string()))?;
        let answered = self.ask_as(&id, flight.expect(), method, params).await;
        self.done(&id);
        answered
    }

    async fn ask_as(
        &self,
        id: &Id,
        answer: tokio::sync::oneshot::Receiver<super::line::Answer>,
        method: &str,
        params: &str,
    ) -> Result<Vec<u8>, NoTools> {
        let message = format!(
            "{{\"jsonrpc\":\"2.0\",\"id\":{},\"method\":\"{method}\",\"params\":{params}}}",
            id.json()
        );
        let sent = self.upstream.send(Bytes::from(message), Some(id.clone())).await;
        sent.map_err(|error| NoTools(error.to_string()))?;
        match tokio::time::timeout(Duration::from_secs(PAGE_S_MAX), answer).await {
            Ok(Ok(answer)) => answer.map_err(NoTools),
            Ok(Err(_)) => Err(NoTools("the session is over".into())),
            Err(_) => Err(NoTools(format!("the server did not answer in {PAGE_S_MAX} seconds"))),
        }
    }
}
