//! What a statement is, without a session: asked of the door that speaks its resource's protocol.
//!
//! Only doors understand statements, and only they know the target's own catalogue. Whoever wants to know what policy
//! would say of a text asks here, and reads the answer that a session's own would have been, as far as it does not depend
//! on what the session did before: a fresh one, with the server's ordinary settings. Nothing is sent to the target but
//! questions about its catalogue.

use std::sync::Arc;
use std::time::Duration;

use countersign_core::catalogue::Catalogue;
use countersign_core::question::Context;
use countersign_core::{ActionName, Refusal, ResourceId};
use tokio::sync::{mpsc, oneshot};

use crate::engine::Engine;
use crate::words::{Refused, RefusedCode};

/// How many texts may wait for a door. Whoever asks when there are more waits as well.
const WAITING_MAX: usize = 32;

/// How long whoever asks waits for the door, in seconds.
const ANSWER_S_MAX: u64 = 10;

/// The longest text that is looked at, in bytes.
pub const TEXT_BYTES_MAX: usize = 256 << 10;

/// What a statement is, as a door understood it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Read {
    /// What it is called: the strictest of its parts.
    pub kind: ActionName,
    /// Its parts. All are judged.
    pub actions: Vec<ActionName>,
    /// What it does, beneath its kind.
    pub verbs: Vec<String>,
    /// Its circumstances, those aside that are the engine's to add.
    pub context: Context,
    /// Why it is what it is, in words.
    pub reasons: Vec<String>,
    /// The target's catalogue was known, so that names could be looked up.
    pub catalogue: bool,
}

/// A text that somebody wants understood.
#[derive(Debug)]
pub struct Wish {
    /// On what it would run.
    pub resource: ResourceId,
    /// Under which upstream account.
    pub account: String,
    /// The text.
    pub text: Arc<str>,
    answer: oneshot::Sender<Result<Read, String>>,
}

impl Wish {
    /// Answers it: what the statement is, or why nobody knows.
    pub fn answer(self, read: Result<Read, String>) {
        // Whoever asked may have given up.
        let _gone = self.answer.send(read);
    }
}

impl Engine {
    /// For doors: the texts to understand on resources of this kind, until the receiver is dropped.
    #[must_use]
    pub fn reading_wishes(&self, kind: &str) -> mpsc::Receiver<Wish> {
        self.0.lectern.serve(kind, WAITING_MAX)
    }

    /// What `text` is on `resource` under `account`.
    ///
    /// # Errors
    /// There is no such resource, no door serves it, or the door could not say.
    pub(crate) async fn read_statement(
        &self,
        catalogue: &Catalogue,
        (resource, account): (&ResourceId, &str),
        text: Arc<str>,
    ) -> Result<Read, Refused> {
        let described = catalogue.resources.get(resource);
        let described = described.ok_or_else(|| Refusal::NoSuchResource(resource.clone()))?;
        if text.len() > TEXT_BYTES_MAX {
            let message = format!("a statement of {} bytes is more than {TEXT_BYTES_MAX}", text.len());
            return Err(Refused::new(RefusedCode::TooLarge, message));
        }
        let unread = |why: String| {
            Refused::new(RefusedCode::Unavailable, why)
                .hint("the gateway's log says more; try again in a moment")
        };
        let door = self.0.lectern.door(&described.kind);
        let door = door.ok_or_else(|| unread(format!("no door understands `{}`", described.kind)))?;
        let (answer, answered) = oneshot::channel();
        let wish = Wish { resource: resource.clone(), account: account.to_owned(), text, answer };
        let asked = async {
            door.send(wish).await.map_err(|_| "the door is closing".to_owned())?;
            answered.await.map_err(|_| "the door gave no answer".to_owned())?
        };
        let read = tokio::time::timeout(Duration::from_secs(ANSWER_S_MAX), asked).await;
        read.unwrap_or_else(|_| Err("the door took too long".to_owned()))
            .map_err(|why| unread(format!("the statement on `{resource}` was not understood: {why}")))
    }
}
