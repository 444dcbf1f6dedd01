//! Reading the ledger: what anybody can verify (key, checkpoint, tiles, proofs), and what those who may can read.
//!
//! Tiles and checkpoints hold lines, and lines hold no content. Whatever shows content asks policy first, and is
//! itself a line: the audit trail is never read unrecorded.

mod following;
mod tiles;

pub use following::{Followed, Following};

use std::ops::Range;
use std::sync::PoisonError;

use countersign_core::action::Action;
use countersign_core::question::Target;
use countersign_core::{At, PrincipalId, RequestId, ResourceId, SessionId, Span};
use countersign_ledger::Hash;
use countersign_ledger::content::{Record, commitments};
use countersign_ledger::events;

use crate::action::capture::RESULT_AT;
use crate::engine::Engine;
use crate::house::Kept;
use crate::line::{Count, Line, Sealed, Topic, read};
use crate::people::Caller;
use crate::seal::Field;
use crate::settings::{PAGE_MAX, SEARCH_LINES_MAX};
use crate::words::{Refused, RefusedCode};

/// How many lines are read from the store at a time.
const READ_MAX: usize = 1_000;

/// For how long one record tells that somebody takes lines by the tile.
const TAKING_EVERY: Span = Span::minutes(10);

/// The most content that one export hands out, in bytes. It is gathered in memory.
const EXPORT_BYTES_MAX: usize = 256 << 20;

/// Which lines.
#[derive(Clone, Debug, Default)]
pub struct LedgerQuery {
    /// Only those with this text in the line or in what it commits to, whatever the case.
    pub text: Option<String>,
    /// Only this type, or those that begin with it and a dot: `grant` finds `grant.issued`.
    pub kind: Option<String>,
    /// Only what this principal did or what was done to them.
    pub principal: Option<PrincipalId>,
    /// Only this session.
    pub session: Option<SessionId>,
    /// Only this request.
    pub request: Option<RequestId>,
    /// Only evidence for this control: `AC-2`, and with it its enhancements and parts.
    pub control: Option<String>,
    /// Only what was done to this resource.
    pub resource: Option<ResourceId>,
    /// Only lines about statements that name this relation, as a word of its own: `orders`, `public.orders`.
    pub relation: Option<String>,
    /// Only lines from this instant on.
    pub from: Option<At>,
    /// Only lines before this one.
    pub until: Option<At>,
    /// Only lines before this index.
    pub before: Option<u64>,
    /// At most so many.
    pub limit: usize,
}

/// A page of lines, newest first.
#[derive(Clone, Debug)]
pub struct SearchPage {
    /// The lines.
    pub items: Vec<EventView>,
    /// Where to go on; nothing at the end.
    pub next: Option<u64>,
}

/// A line, and what it says to a person.
#[derive(Clone, Debug)]
pub struct EventView {
    /// The line.
    pub line: Line,
    /// The statement, comment, reason or purpose behind it, if it is kept still.
    pub text: Option<String>,
    /// How what it tells of ended, for `action.completed`, and for `action.allowed` if it was done before its line was written.
    pub ended: Option<EndedView>,
    /// Where the transaction stands that it was done in, in one word: `open`, `committed`, `rolled_back`, `unknown`. For
    /// `action.completed` and `action.concluded`.
    pub transaction: Option<String>,
    /// How far it has come.
    pub stage: Stage,
    /// The controls that its type is evidence for.
    pub controls: &'static [String],
}

/// How an action ended, as its line says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndedView {
    /// In one word: `done`, `failed`, `beyond_bound`, `unknown`.
    pub result: String,
    /// Rows touched or given, if the target told.
    pub rows: Option<u64>,
    /// Bytes of the answer.
    pub bytes: Option<u64>,
    /// The target's error code.
    pub code: Option<String>,
    /// How long it took, in microseconds.
    pub micros: Option<u64>,
}

/// How far a line has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Durable, with an index.
    Sequenced,
    /// In the tree, under no signed checkpoint.
    Integrated,
    /// Under a signed checkpoint.
    Published,
}

/// A line in full.
#[derive(Clone, Debug)]
pub struct EventDetail {
    /// The line.
    pub event: EventView,
    /// Its leaf hash.
    pub leaf: Hash,
    /// What it commits to.
    pub contents: Vec<ContentView>,
    /// Its inclusion proof under the last checkpoint (C2SP tlog-proof), once it is published.
    pub proof: Option<String>,
}

/// Something that a line commits to.
#[derive(Clone, Debug)]
pub struct ContentView {
    /// Where in the line (JSON pointer).
    pub pointer: String,
    /// The content, if it is kept still and matches.
    pub kept: Option<Kept>,
    /// It is not the caller's to read.
    pub withheld: bool,
}

/// How far the ledger has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LedgerState {
    /// Its origin.
    pub origin: String,
    /// How many lines are durable.
    pub size: u64,
    /// How many are in the tree.
    pub integrated: u64,
    /// How many are under a signed checkpoint.
    pub published: u64,
    /// The root of the last checkpoint.
    pub root: Option<Hash>,
    /// When it was signed, if this process signed it.
    pub signed_at: Option<At>,
}

impl Engine {
    /// The key that checkpoints are signed with, as a C2SP vkey.
    #[must_use]
    pub fn vkey(&self) -> String {
        self.verifier().to_string()
    }

    /// The last signed checkpoint.
    #[must_use]
    pub fn checkpoint(&self) -> Option<String> {
        self.0.hall.published.load().as_ref().map(|last| last.note.clone())
    }

    /// How far the ledger has come.
    #[must_use]
    pub fn ledger_state(&self) -> LedgerState {
        let published = self.0.hall.published.load_full();
        let size = self.snapshot().index;
        LedgerState {
            origin: self.0.house.settings.origin.clone(),
            size,
            // The writer hashes a line as it writes it.
            integrated: size,
            published: published.as_ref().map_or(0, |last| last.size),
            root: published.as_ref().map(|last| last.root),
            signed_at: published.as_ref().map(|last| last.at).filter(|at| *at > At(0)),
        }
    }

    /// Looks lines up, newest first. That is recorded, once.
    ///
    /// # Errors
    /// Policy does not permit it, or it can't be recorded.
    pub async fn search(&self, caller: &Caller, query: LedgerQuery) -> Result<SearchPage, Refused> {
        self.may_read(caller, query.session)?;
        let engine = self.clone();
        let words = describe(&query);
        let page = blocking(move || engine.find(&query)).await?;
        self.record_read_of(caller, "ledger.read", &words, page.items.len() as u64).await?;
        Ok(page)
    }

    /// One line in full, with what it commits to and its proof. That is recorded.
    ///
    /// # Errors
    /// Policy does not permit it, there is no such line, or it can't be recorded.
    pub async fn event(&self, caller: &Caller, index: u64) -> Result<EventDetail, Refused> {
        let line = self.line(index);
        let session = line.as_ref().and_then(|line| line.session);
        self.may_read(caller, session)?;
        let line = line
            .ok_or_else(|| Refused::new(RefusedCode::NotFound, format!("the ledger has no line {index}")))?;
        let gave = line.data.get("kept").is_some() && self.may_read_result(caller, &line);
        let engine = self.clone();
        let detail = blocking(move || Ok(engine.detail(line, gave))).await?;
        let words = format!("line {index}{}", if gave { ", and what it gave back" } else { "" });
        self.record_read_of(caller, "ledger.read", &words, 1).await?;
        Ok(detail)
    }

    /// What lines of a range commit to, one disclosure a line, for an export. That is recorded.
    ///
    /// # Errors
    /// Policy does not permit it, it is too much at a time, or it can't be recorded.
    pub async fn export_content(&self, caller: &Caller, range: Range<u64>) -> Result<Vec<u8>, Refused> {
        let snapshot = self.snapshot();
        if !self.may(caller, &snapshot, "ledger.export", Target::Gateway) {
            return Err(not_permitted("ledger.export"));
        }
        let range = range.start..range.end.min(snapshot.index);
        let (engine, words) = (self.clone(), format!("content of lines {} to {}", range.start, range.end));
        let lines = range.end.saturating_sub(range.start);
        let content = blocking(move || engine.disclose(range)).await?;
        self.record_read_of(caller, "ledger.exported", &words, lines).await?;
        Ok(content)
    }

    /// To be said before lines are handed out by the tile, whoever verifies or copies the ledger: that is recorded, once
    /// in a while however many tiles it is, since each record is a line too.
    ///
    /// # Errors
    /// It can't be recorded, so nothing may be handed out.
    pub async fn taking_tiles(&self, caller: &Caller) -> Result<(), Refused> {
        let now = self.now();
        let takers = &self.0.house.takers;
        let recorded = {
            let mut takers = takers.lock().unwrap_or_else(PoisonError::into_inner);
            takers.retain(|_, since| since.plus(TAKING_EVERY) > now);
            takers.contains_key(&caller.principal)
        };
        if recorded {
            return Ok(());
        }
        let size = self.ledger_state().published;
        self.record_read_of(caller, "ledger.read", &format!("lines 0 to {size}, by the tile"), size).await?;
        takers.lock().unwrap_or_else(PoisonError::into_inner).insert(caller.principal.clone(), now);
        Ok(())
    }

    fn may_read(&self, caller: &Caller, session: Option<SessionId>) -> Result<(), Refused> {
        let snapshot = self.snapshot();
        if self.may(caller, &snapshot, "ledger.read", Target::Gateway) {
            return Ok(());
        }
        let target = session.and_then(|id| self.session_target(&snapshot, id));
        if target.is_some_and(|target| self.may(caller, &snapshot, "session.read", target)) {
            return Ok(());
        }
        Err(not_permitted("ledger.read"))
    }

    /// Whether the caller may read every line.
    pub(crate) fn may_read_all(&self, caller: &Caller) -> Result<(), Refused> {
        self.may_read(caller, None)
    }

    pub(crate) async fn record_read_of(
        &self,
        caller: &Caller,
        kind: &'static str,
        words: &str,
        lines: u64,
    ) -> Result<(), Refused> {
        let ports = &self.0.house.ports;
        let field = Field::new(ports, "/data/content", "ledger.query", words.as_bytes());
        let count = Count { content: Sealed(field.commitment()), lines };
        let mut note = self.note_by(kind, Topic::Count(count), Some(caller));
        note.key = format!("principal:{}", caller.principal).into();
        note.fields = vec![field];
        self.note(note).await.map(|_| ())
    }

    pub(crate) fn line(&self, index: u64) -> Option<Line> {
        let line = self.0.house.store.read(index, 1).ok()?.into_iter().next()?;
        (line.index == index).then(|| read(line.bytes).ok())?
    }

    /// The first line that is not before `at`: lines never go back in time.
    pub(crate) fn first_at(&self, at: At) -> Result<u64, Refused> {
        let (mut low, mut high) = (0, self.snapshot().index);
        while low < high {
            let middle = low + (high - low) / 2;
            let line = self.line(middle).ok_or_else(Refused::unavailable)?;
            if line.at < at { low = middle + 1 } else { high = middle }
        }
        Ok(low)
    }

    fn find(&self, query: &LedgerQuery) -> Result<SearchPage, Refused> {
        let limit = query.limit.clamp(1, PAGE_MAX);
        let words = Words::of(query);
        let mut before = query.before.unwrap_or(u64::MAX).min(self.snapshot().index);
        if let Some(until) = query.until {
            before = before.min(self.first_at(until)?);
        }
        let first = query.from.map_or(Ok(0), |from| self.first_at(from))?;
        let (mut items, mut seen) = (Vec::new(), 0);
        while before > first && items.len() < limit && seen < SEARCH_LINES_MAX {
            let from = before.saturating_sub(READ_MAX as u64).max(first);
            let count = usize::try_from(before - from).unwrap_or(READ_MAX);
            let lines = self.0.house.store.read(from, count).map_err(|error| {
                tracing::error!(%error, "the ledger could not be read");
                Refused::new(RefusedCode::Unavailable, "the ledger can't be read now")
                    .hint("try again in a moment")
            })?;
            for line in lines.into_iter().rev() {
                seen += 1;
                before = line.index;
                let Ok(line) = read(line.bytes) else { continue };
                if matches(query, &line) && self.has_words(&words, &line) {
                    items.push(self.view(line));
                    if items.len() >= limit {
                        break;
                    }
                }
            }
        }
        Ok(SearchPage { items, next: (before > first).then_some(before) })
    }

    fn has_words(&self, words: &Words, line: &Line) -> bool {
        if words.text.is_none() && words.relation.is_none() {
            return true;
        }
        let contents = self.0.house.contents_of(line);
        let all = || std::iter::once(line.bytes.as_slice()).chain(contents.iter().map(|kept| &*kept.bytes));
        let lower = |bytes: &[u8]| String::from_utf8_lossy(bytes).to_lowercase();
        let text = words.text.as_ref().is_none_or(|text| all().any(|bytes| lower(bytes).contains(text)));
        let names = |kept: &Kept, name: &str| statement_in(kept).is_some_and(|said| has_word(&said, name));
        text && words.relation.as_ref().is_none_or(|name| contents.iter().any(|kept| names(kept, name)))
    }

    pub(crate) fn view(&self, line: Line) -> EventView {
        let published = self.0.hall.published.load().as_ref().map_or(0, |last| last.size);
        let stage = if line.index < published { Stage::Published } else { Stage::Integrated };
        let controls = events::find(&line.kind).map(|kind| kind.controls.as_slice()).unwrap_or_default();
        let text = words_in(&self.0.house.contents_of(&line)).or_else(|| {
            let request = line.request.filter(|_| line.kind.starts_with("action."))?;
            let content = self.0.house.content_of_request(request)?;
            let action: serde_json::Value = serde_json::from_str(&content.action).ok()?;
            action.get("text")?.as_str().map(str::to_owned)
        });
        EventView { ended: ended(&line), transaction: transaction(&line), line, text, stage, controls }
    }

    /// A line in full; what a statement gave back only if that is the caller's to read.
    fn detail(&self, line: Line, gave: bool) -> EventDetail {
        let mut kept = self.0.house.contents_of(&line);
        if gave {
            kept.extend(self.0.house.content_at(&line, RESULT_AT));
        }
        let value = serde_json::from_slice(&line.bytes).unwrap_or_default();
        let contents = commitments(&value).into_iter().map(|(pointer, commitment)| {
            let fits = |kept: &&Kept| kept.at == pointer && kept.commitment().0 == commitment.0.0;
            let kept = kept.iter().find(fits).cloned();
            let withheld = pointer == RESULT_AT && !gave;
            ContentView { pointer, kept, withheld }
        });
        EventDetail {
            leaf: Hash::leaf(&line.bytes),
            contents: contents.collect(),
            proof: self.proof(line.index),
            event: self.view(line),
        }
    }

    fn disclose(&self, range: Range<u64>) -> Result<Vec<u8>, Refused> {
        let mut content = Vec::new();
        let mut next = range.start;
        while next < range.end {
            let count = usize::try_from(range.end - next).unwrap_or(READ_MAX).min(READ_MAX);
            let lines = self.0.house.store.read(next, count).map_err(|_| Refused::unavailable())?;
            if lines.is_empty() {
                break;
            }
            for line in lines {
                next = line.index + 1;
                let Ok(line) = read(line.bytes) else { continue };
                for kept in self.0.house.contents_of(&line) {
                    let Kept { at: field, kind, salt, bytes } = kept;
                    let record = Record { seq: line.index, field, kind, salt, bytes };
                    if let Ok(record) = record.to_line() {
                        content.extend_from_slice(&record);
                        content.push(b'\n');
                    }
                }
                if content.len() > EXPORT_BYTES_MAX {
                    let message = "this is more content than one export hands out";
                    return Err(Refused::new(RefusedCode::TooLarge, message)
                        .hint(format!("export up to line {next} first, then the rest")));
                }
            }
        }
        Ok(content)
    }
}

/// What is looked for in words, in lower case.
struct Words {
    text: Option<String>,
    relation: Option<String>,
}

impl Words {
    fn of(query: &LedgerQuery) -> Self {
        let lower = |words: &Option<String>| {
            words.as_ref().map(|words| words.trim().to_lowercase()).filter(|words| !words.is_empty())
        };
        Self {
            text: query.text.as_ref().map(|text| text.to_lowercase()).filter(|text| !text.is_empty()),
            relation: lower(&query.relation),
        }
    }
}

/// What a content says of a statement, in lower case: its text, and the relations that were put forward with it. Words of
/// people are none.
fn statement_in(kept: &Kept) -> Option<String> {
    match kept.at.as_str() {
        "/data/text" => Some(String::from_utf8_lossy(&kept.bytes).to_lowercase()),
        "/data/content" => {
            let content: serde_json::Value = serde_json::from_slice(&kept.bytes).ok()?;
            let action: Action = serde_json::from_str(content.get("action")?.as_str()?).ok()?;
            let names = action.relations.iter().map(|relation| relation.name.as_str());
            let said: Vec<&str> = action.text.as_deref().into_iter().chain(names).collect();
            Some(said.join("\n").to_lowercase())
        }
        _ => None,
    }
}

/// Whether a name stands in a text as a word of its own: `orders` in `public.orders`, not in `reorders`.
fn has_word(text: &str, name: &str) -> bool {
    let part = |letter: char| letter.is_alphanumeric() || letter == '_' || letter == '$';
    text.match_indices(name).any(|(at, found)| {
        let before = text.get(..at).and_then(|before| before.chars().next_back());
        let after = text.get(at + found.len()..).and_then(|after| after.chars().next());
        !before.is_some_and(part) && !after.is_some_and(part)
    })
}

fn matches(query: &LedgerQuery, line: &Line) -> bool {
    let kind = query.kind.as_deref().is_none_or(|kind| is_or_is_beneath(&line.kind, kind));
    let of = |who: &PrincipalId| line.actor.as_ref() == Some(who) || line.subject.as_ref() == Some(who);
    let control = |control: &str| {
        events::find(&line.kind).is_some_and(|kind| kind.controls.iter().any(|one| covers(control, one)))
    };
    kind && query.principal.as_ref().is_none_or(of)
        && query.session.is_none_or(|id| line.session == Some(id))
        && query.request.is_none_or(|id| line.request == Some(id))
        && query.control.as_deref().is_none_or(control)
        && query.resource.as_ref().is_none_or(|resource| line.resource.as_ref() == Some(resource))
}

/// `grant.issued` is beneath `grant`, with or without the dot, and not beneath `gra`.
fn is_or_is_beneath(kind: &str, asked: &str) -> bool {
    let asked = asked.strip_suffix('.').unwrap_or(asked);
    kind.strip_prefix(asked).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

/// Whether a control id is the one asked for, or a part of it: `AC-2` covers `AC-2(6)` and `AC-2e`, not `AC-24`.
fn covers(asked: &str, control: &str) -> bool {
    let Some((start, rest)) = control.split_at_checked(asked.len()) else { return false };
    start.eq_ignore_ascii_case(asked) && !rest.starts_with(|next: char| next.is_ascii_digit())
}

fn ended(line: &Line) -> Option<EndedView> {
    let said = match line.kind.as_str() {
        "action.completed" => &line.data,
        "action.allowed" => line.data.get("ended")?,
        _ => return None,
    };
    let text = |name: &str| Some(said.get(name)?.as_str()?.to_owned());
    let number = |name: &str| said.get(name)?.as_u64();
    Some(EndedView {
        result: text("result")?,
        rows: number("rows"),
        bytes: number("bytes"),
        code: text("code"),
        micros: number("micros"),
    })
}

fn transaction(line: &Line) -> Option<String> {
    let tells = matches!(line.kind.as_str(), "action.completed" | "action.concluded");
    line.data.get("transaction").filter(|_| tells)?.as_str().map(str::to_owned)
}

/// What a person reads first: the statement, comment, reason or purpose.
fn words_in(contents: &[Kept]) -> Option<String> {
    let plain = ["/data/text", "/data/comment", "/data/reason"];
    let found = contents.iter().find(|kept| plain.contains(&kept.at.as_str()));
    if let Some(found) = found {
        return Some(String::from_utf8_lossy(&found.bytes).into_owned());
    }
    let found = contents.iter().find(|kept| kept.at == "/data/content")?;
    let Ok(content) = serde_json::from_slice::<serde_json::Value>(&found.bytes) else {
        return Some(String::from_utf8_lossy(&found.bytes).into_owned());
    };
    let action = content.get("action").and_then(serde_json::Value::as_str);
    let action: Option<serde_json::Value> = action.and_then(|action| serde_json::from_str(action).ok());
    let text = action.as_ref().and_then(|action| action.get("text"));
    let words = text.or_else(|| content.get("why")).or_else(|| content.get("purpose"));
    words.and_then(serde_json::Value::as_str).filter(|words| !words.is_empty()).map(str::to_owned)
}

fn describe(query: &LedgerQuery) -> String {
    serde_json::json!({
        "before": query.before,
        "control": query.control,
        "from": query.from.map(At::rfc3339),
        "limit": query.limit,
        "principal": query.principal,
        "relation": query.relation,
        "request": query.request,
        "resource": query.resource,
        "session": query.session,
        "text": query.text,
        "type": query.kind,
        "until": query.until.map(At::rfc3339),
    })
    .to_string()
}

fn not_permitted(action: &str) -> Refused {
    Refused::new(RefusedCode::NotPermitted, format!("policy does not permit you `{action}`"))
        .hint("ask those who apply policy whether you should have it")
}

/// Runs what reads a lot where it holds nobody up.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Refused> + Send + 'static,
) -> Result<T, Refused> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|error| {
        tracing::error!(%error, "reading the ledger ended abnormally");
        Err(Refused::new(RefusedCode::Unavailable, "the ledger can't be read now"))
    })
}
