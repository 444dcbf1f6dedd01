//! Results that are kept: of what, how much, until when, and who may read them.
//!
//! Nothing is kept unless the resource says how (`capture`) and policy permits `sql.capture` for what is done. What is kept is
//! what the client was shown, masks included: content beside the line that tells how the statement ended, under a key that
//! all results of a resource share whose last day is the same. On that day the key is destroyed, which is a line too; the lines,
//! and the proof of them, stay. Reading it is a question of its own (`session.results`), and a line. It is never searched, and never exported.
//!
//! A door that can name its results exactly tells their digest and size, whether they are kept or not: content of the session,
//! since the digest of a short answer gives it away.

use std::sync::Arc;

use countersign_core::question::{Context, Target};
use countersign_core::ruling::{Denial, Verdict};
use countersign_core::{ActionName, At, Digest, ResourceId, Span};

use super::judge::{question, tell_impact};
use super::proof::Ran;
use crate::engine::Engine;
use crate::line::{Destroyed, Line, Topic};
use crate::people::Caller;
use crate::seal::Field;
use crate::session::Session;
use crate::store::{Drawer, Put, Scan, Store, StoreError};
use crate::words::Refused;

/// Where in a line the commitment to what was kept stands.
pub(crate) const RESULT_AT: &str = "/data/kept";
/// Where in a line the commitment to digest and size of what was given back stands.
pub(super) const DIGEST_AT: &str = "/data/digest";
/// Before the names of the keys of what is kept.
const PREFIX: &str = "result/";
/// How many keys are destroyed at a time.
const KEYS_MAX: usize = 1_000;

/// How the result of a statement is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keeping {
    /// At most so much of it.
    pub bytes_max: usize,
    /// For so many days.
    pub(super) days: i64,
}

/// What is to be kept of a result.
#[derive(Debug)]
pub(super) enum Gave {
    /// All of it, within its limit.
    Result(Vec<u8>, Keeping),
    /// Its digest and its size, in bytes.
    Digest(Digest, u64),
}

/// What is written of it.
#[derive(Clone, Debug)]
pub(crate) struct KeptResult {
    pub(crate) field: Field,
    pub(crate) key: Arc<str>,
}

impl Engine {
    /// How the result of something is kept of which this is told; nothing if it is not.
    #[must_use]
    pub fn keeps(&self, session: &Session, told: &Context) -> Option<Keeping> {
        let snapshot = self.snapshot();
        let at = self.now().max(snapshot.at);
        let settings = &snapshot.book.catalogue.resources.get(session.resource())?.settings;
        let bytes_max = settings.get("capture_bytes")?.parse().ok()?;
        let days = settings.get("capture_days")?.parse().ok()?;
        let kind = ActionName::new("sql.capture");
        let mut question = question(session, &kind, told.clone(), at);
        tell_impact(&snapshot.book.catalogue, session.resource(), &mut question.context);
        let keeps = match snapshot.policy.as_ref()?.rule_all(&snapshot.book, &question, &[kind]).verdict() {
            // What can't be decided is kept: it is the stricter answer.
            Verdict::Allow | Verdict::Deny(Denial::Undecidable(_)) => true,
            Verdict::Deny(_) | Verdict::Hold(_) => false,
        };
        keeps.then_some(Keeping { bytes_max, days })
    }

    /// What is written of the result of something that ran.
    pub(super) fn kept_result(&self, ran: &mut Ran) -> Option<KeptResult> {
        let ports = &self.0.house.ports;
        Some(match *ran.result.take()? {
            Gave::Result(bytes, keeping) => KeptResult {
                field: Field::new(ports, RESULT_AT, "statement.result", bytes),
                key: key(&ran.statement.resource, self.now(), keeping.days),
            },
            Gave::Digest(digest, bytes) => {
                let told = serde_json::json!({"bytes": bytes, "sha256": digest.to_string()});
                let field = Field::new(ports, DIGEST_AT, "call.digest", told.to_string().into_bytes());
                KeptResult { field, key: Arc::clone(&ran.statement.key) }
            }
        })
    }

    /// Whether the caller may read what a statement of this line's session gave back.
    pub(crate) fn may_read_result(&self, caller: &Caller, line: &Line) -> bool {
        let snapshot = self.snapshot();
        let target: Option<Target> = line.session.and_then(|id| self.session_target(&snapshot, id));
        target.is_some_and(|target| self.may(caller, &snapshot, "session.results", target))
    }

    /// Destroys the keys of what was to be kept no longer than until today. Each goes with the line that tells of it, in one
    /// transaction: without its line none goes. How many there were.
    ///
    /// # Errors
    /// The store or the ledger can't do it now. What was done is done; the rest is for the next time.
    pub(crate) async fn destroy_results(&self) -> Result<usize, Refused> {
        let (store, today) = (Arc::clone(&self.0.house.store), day(self.now()));
        let found = tokio::task::spawn_blocking(move || over(&*store, &today)).await;
        let found = found.unwrap_or_else(|error| Err(StoreError::failed("look for keys", error)));
        let found = found.map_err(|error| {
            tracing::error!(error = %error.chain(), "it is not known which results are over");
            Refused::unavailable()
        })?;
        let count = found.len();
        for Over { name, resource, due } in found {
            let mut note = self.note_by("result.destroyed", Topic::Destroyed(Destroyed { due }), None);
            note.line.resource = Some(resource);
            note.puts.push(Put::remove(Drawer::Keys, name));
            self.note(note).await?;
        }
        Ok(count)
    }
}

/// A key of what was kept, by its name, of which resource, and the day on which it is destroyed.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Over {
    name: Vec<u8>,
    resource: ResourceId,
    due: String,
}

impl Over {
    /// Nothing if it is to be kept for longer.
    fn on(today: &str, name: &[u8]) -> Option<Self> {
        let (resource, due) = std::str::from_utf8(name).ok()?.strip_prefix(PREFIX)?.rsplit_once('/')?;
        let resource = resource.parse().ok()?;
        (due <= today).then(|| Self { name: name.to_vec(), resource, due: due.to_owned() })
    }
}

/// The keys that are to be destroyed by this day, no more than [`KEYS_MAX`] of them.
fn over(store: &dyn Store, today: &str) -> Result<Vec<Over>, StoreError> {
    let (mut over, mut after) = (Vec::new(), None::<Vec<u8>>);
    loop {
        let scan = Scan { after: after.as_deref(), ..Scan::of(PREFIX.as_bytes(), KEYS_MAX) };
        let found = store.scan(Drawer::Keys, &scan)?;
        over.extend(found.iter().filter_map(|(name, _)| Over::on(today, name)));
        match found.last() {
            Some((last, _)) if over.len() < KEYS_MAX => after = Some(last.clone()),
            _ => break,
        }
    }
    over.truncate(KEYS_MAX);
    Ok(over)
}

impl Ran {
    /// It gave back this, which is to be kept.
    pub fn has_result(&mut self, bytes: Vec<u8>, keeping: Keeping) {
        self.result = Some(Box::new(Gave::Result(bytes, keeping)));
    }

    /// What it gave back has this SHA-256 and so many bytes. It is not kept itself.
    pub fn has_digest(&mut self, digest: Digest, bytes: u64) {
        self.result = Some(Box::new(Gave::Digest(digest, bytes)));
    }
}

/// The key of what is kept of a resource from now on: its last part is the day on which it is destroyed.
fn key(resource: &ResourceId, now: At, days: i64) -> Arc<str> {
    format!("{PREFIX}{resource}/{}", day(now.plus(Span::hours(24 * (days + 1))))).into()
}

/// `2026-11-23`: as texts, days are in order.
fn day(at: At) -> String {
    at.rfc3339().chars().take(10).collect()
}
