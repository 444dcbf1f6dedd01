//! One client's session before a server: what it stands on, and its server.

use std::ops::Deref;
use std::sync::{Arc, OnceLock};

use countersign_engine as engine;
use countersign_wire::mask::Detectors;
use countersign_wire::mcp::{cover, json, one_line};

use super::asked::Asked;
use super::line::Line;
use super::tools::Tools;
use super::upstream::Upstream;

/// A client's session.
pub(crate) struct Session {
    line: Arc<Line>,
    pub(crate) engine: engine::Session,
    pub(crate) upstream: Upstream,
    pub(crate) tools: Tools,
    /// What is covered in all that the server says.
    detectors: Detectors,
    /// What the server asked of the client.
    pub(crate) asked: Asked,
    /// What the server calls itself.
    pub(crate) server: OnceLock<String>,
}

impl Deref for Session {
    type Target = Line;

    fn deref(&self) -> &Line {
        &self.line
    }
}

impl Session {
    pub(crate) fn new(
        line: Arc<Line>,
        engine: engine::Session,
        (upstream, detectors): (Upstream, Detectors),
    ) -> Self {
        let (tools, asked, server) = (Tools::default(), Asked::default(), OnceLock::new());
        Self { line, engine, upstream, tools, detectors, asked, server }
    }

    /// What the client is shown of a server's message: all of it, but for what the resource covers.
    pub(crate) fn shown(&self, message: &[u8]) -> String {
        if self.detectors.is_empty() {
            return one_line(message);
        }
        let covered = json::read(message).ok().and_then(|value| cover(&value, self.detectors));
        one_line(covered.as_ref().map_or(message, String::as_bytes))
    }

    /// Looks after it until it is over, and closes it.
    pub(crate) async fn keep(self: Arc<Self>) {
        let ending = tokio::select! {
            biased;
            ending = self.engine.ended() => ending,
            ending = self.line.ended() => ending,
        };
        self.end(ending);
        self.shared.forget(&self.name);
        self.upstream.close().await;
        self.shared.engine.close_session(&self.engine, ending).await;
    }
}
