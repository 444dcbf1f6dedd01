//! The ledger: its state, its lines, what a line commits to.

use countersign_engine::audit::{self, Stage};
use countersign_engine::line::Outcome;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

/// How far the ledger has come.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct LedgerState {
    /// The ledger's origin.
    pub id: String,
    /// Whether it takes lines.
    pub state: super::status::HealthState,
    /// How many lines are sequenced: durable, with an index.
    pub size: u64,
    /// How many of them are in the tree.
    pub integrated: u64,
    /// The last signed checkpoint.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub checkpoint: Option<Checkpoint>,
    /// The log's key, as a C2SP vkey. An auditor gets it by another way and compares.
    pub vkey: String,
}

/// A signed checkpoint.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Checkpoint {
    /// How many lines it covers.
    pub size: u64,
    /// The root hash over them, base 64 as the checkpoint has it.
    pub root: String,
    /// When it was signed; absent if that was before the gateway was last started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, format = DateTime)]
    pub at: Option<String>,
}

/// Which lines.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct EventFilter {
    /// Only those with this text in the line or in what it commits to. Not case-sensitive.
    #[param(max_length = 200)]
    pub text: Option<String>,
    /// Only this type, or those that begin with it and a dot: `grant` finds `grant.issued`.
    pub r#type: Option<String>,
    /// Only what this principal did or what was done to them.
    pub principal: Option<String>,
    /// Only this session.
    pub session: Option<String>,
    /// Only this request.
    pub request: Option<String>,
    /// Only evidence for this control: `AC-2`.
    pub control: Option<String>,
    /// Only what was done to this resource.
    pub resource: Option<String>,
    /// Only lines about statements that name this relation: `orders`, `public.orders`. Not case-sensitive.
    #[param(max_length = 200)]
    pub relation: Option<String>,
    /// Only lines from this instant on, in UTC.
    #[param(format = DateTime)]
    pub from: Option<String>,
    /// Only lines before this instant.
    #[param(format = DateTime)]
    pub until: Option<String>,
    /// Only lines before this index.
    pub before: Option<u64>,
    /// At most so many.
    #[param(minimum = 1, maximum = 500)]
    pub limit: Option<usize>,
}

/// A page of lines, newest first.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct EventPage {
    /// The lines.
    pub items: Vec<Event>,
    /// Give this as `before` to go on; absent at the end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub next: Option<u64>,
}

/// One line of the ledger.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Event {
    /// Its index, as text.
    pub id: String,
    /// How far it has come.
    pub state: EventState,
    /// Its index.
    pub seq: u64,
    /// When.
    #[schema(format = DateTime)]
    pub at: String,
    /// What happened: `request.created`.
    pub r#type: String,
    /// How it went.
    pub outcome: EventOutcome,
    /// Who did it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub actor: Option<String>,
    /// The human behind them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub person: Option<String>,
    /// To whom it was done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub subject: Option<String>,
    /// On what.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub resource: Option<String>,
    /// In which role.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub role: Option<String>,
    /// Under which grant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub grant: Option<String>,
    /// In which session.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub session: Option<String>,
    /// For which request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub request: Option<String>,
    /// How the action ended, in one word: `done`, `failed`, `beyond_bound`, `unknown`. This and what follows is there for
    /// `action.completed`, and for `action.allowed` if the action was done before its line was written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub result: Option<String>,
    /// Rows that it touched or gave, if the target told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub rows: Option<u64>,
    /// Bytes of the answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub bytes: Option<u64>,
    /// The target's error code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub code: Option<String>,
    /// How long it took, in microseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub micros: Option<u64>,
    /// Where the transaction stands that an approved statement was done in: `open`, `committed`, `rolled_back`, `unknown`.
    /// For `action.completed`, where it is `open` or was over at once, and for `action.concluded`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub transaction: Option<String>,
    /// The controls that this type of line is evidence for.
    pub controls: Vec<String>,
    /// The statement, command or reason behind it, when the caller may see it and it is kept still.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub text: Option<String>,
}

/// How it went, in one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum EventOutcome {
    /// It was done.
    Success,
    /// It was refused, or went wrong.
    Failure,
    /// It waits.
    Pending,
}

/// How far a line has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum EventState {
    /// Durable, with an index.
    Sequenced,
    /// In the tree, under no signed checkpoint.
    Integrated,
    /// Under a signed checkpoint.
    Published,
}

/// One line in full, with what it commits to and its proof.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct EventDetail {
    /// The line's members.
    #[serde(flatten)]
    pub event: Event,
    /// The stored bytes, exactly: canonical JSON. This is what is hashed.
    pub line: String,
    /// Its leaf hash, hexadecimal.
    pub leaf: String,
    /// What it commits to, as far as it is kept still.
    pub content: Vec<Content>,
    /// Inclusion proof under the last checkpoint in C2SP tlog-proof form; absent until it is published.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub proof: Option<String>,
}

/// Something kept beside the chain that a line commits to.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Content {
    /// Where in the line the commitment stands (JSON pointer).
    pub pointer: String,
    /// The content as text; absent when it is erased or no text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub text: Option<String>,
    /// Whether it is kept still and matches the commitment.
    pub state: ContentState,
}

/// What became of content.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum ContentState {
    /// Kept, and it matches the commitment.
    Kept,
    /// Erased or aged out. The proof of the line is not affected.
    Erased,
    /// What a statement gave back, which policy does not let the caller read (`session.results`).
    Withheld,
}

/// Which lines' content is exported.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ContentRange {
    /// From this index, inclusive.
    #[serde(default)]
    pub from: u64,
    /// To this index, exclusive.
    pub to: Option<u64>,
}

impl LedgerState {
    /// The ledger's state as the engine has it.
    #[must_use]
    pub fn new(found: audit::LedgerState, state: super::status::HealthState, vkey: String) -> Self {
        let checkpoint = found.root.map(|root| Checkpoint {
            size: found.published,
            root: root.to_base64(),
            at: found.signed_at.map(countersign_core::At::rfc3339),
        });
        Self { id: found.origin, state, size: found.size, integrated: found.integrated, checkpoint, vkey }
    }
}

impl From<audit::SearchPage> for EventPage {
    fn from(page: audit::SearchPage) -> Self {
        Self { items: page.items.into_iter().map(Into::into).collect(), next: page.next }
    }
}

impl From<audit::EventView> for Event {
    fn from(view: audit::EventView) -> Self {
        let line = view.line;
        let text = |id: &dyn ToString| id.to_string();
        let (result, rows, bytes, code, micros) = match view.ended {
            Some(ended) => (Some(ended.result), ended.rows, ended.bytes, ended.code, ended.micros),
            None => (None, None, None, None, None),
        };
        Self {
            id: line.index.to_string(),
            state: match view.stage {
                Stage::Sequenced => EventState::Sequenced,
                Stage::Integrated => EventState::Integrated,
                Stage::Published => EventState::Published,
            },
            seq: line.index,
            at: line.at.rfc3339(),
            r#type: line.kind,
            outcome: match line.outcome {
                Outcome::Success => EventOutcome::Success,
                Outcome::Failure => EventOutcome::Failure,
                Outcome::Pending => EventOutcome::Pending,
            },
            actor: line.actor.map(|id| text(&id)),
            person: line.person.map(|id| text(&id)),
            subject: line.subject.map(|id| text(&id)),
            resource: line.resource.map(|id| text(&id)),
            role: line.role.map(|id| text(&id)),
            grant: line.grant.map(|id| text(&id)),
            session: line.session.map(|id| text(&id)),
            request: line.request.map(|id| text(&id)),
            result,
            rows,
            bytes,
            code,
            micros,
            transaction: view.transaction,
            controls: view.controls.iter().map(ToString::to_string).collect(),
            text: view.text,
        }
    }
}

impl From<audit::EventDetail> for EventDetail {
    fn from(detail: audit::EventDetail) -> Self {
        Self {
            line: String::from_utf8_lossy(&detail.event.line.bytes).into_owned(),
            leaf: detail.leaf.to_string(),
            content: detail.contents.into_iter().map(Into::into).collect(),
            proof: detail.proof,
            event: detail.event.into(),
        }
    }
}

impl From<audit::ContentView> for Content {
    fn from(view: audit::ContentView) -> Self {
        let state = match &view.kept {
            Some(_) => ContentState::Kept,
            None if view.withheld => ContentState::Withheld,
            None => ContentState::Erased,
        };
        let text = view.kept.and_then(|kept| String::from_utf8(kept.bytes).ok());
        Self { pointer: view.pointer, text, state }
    }
}
