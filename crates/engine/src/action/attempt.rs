//! What a door tells the engine of an action, and of how it ended.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use countersign_core::action::{Action, RelationVersion};
use countersign_core::question::{Context, Value};
use countersign_core::request::{HoldsUp, Outcome, Transaction};
use countersign_core::{ActionName, ResourceId};

use crate::foreseen::Foreseen;
use crate::people::Proved;
use crate::writer::work::Ended;

/// The actions of what only steers a session.
const STEERING: [&str; 2] = ["sql.session", "mcp.session"];
/// A call of a tool.
const CALL: &str = "mcp.call";

/// One execution, as a door understood it.
#[derive(Clone, Debug)]
pub struct Attempt {
    /// What it is called, for people: the strictest of its parts.
    pub kind: ActionName,
    /// Its parts. All are judged, the stricter wins.
    pub actions: Arc<[ActionName]>,
    /// What it does, beneath its kind.
    pub verbs: Arc<[String]>,
    /// Whether it is a provable read (contract, section 1).
    pub provable_read: bool,
    /// Its circumstances. The instant, the source and the purpose are the engine's to add.
    pub context: Arc<Context>,
    /// The full text as sent.
    pub text: Arc<str>,
    /// Parameter types, by the protocol's identifiers.
    pub parameter_types: Arc<[u32]>,
    /// Parameter values in order.
    pub parameters: Arc<[Option<Parameter>]>,
    /// The relations it names, as the session's own search path resolves them.
    pub relations: Vec<RelationVersion>,
    /// Session settings that change its meaning.
    pub settings: Arc<BTreeMap<String, String>>,
    /// Exactly what will be forwarded.
    pub bytes: Bytes,
}

/// One parameter value, as sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parameter {
    /// In binary form, not as text.
    pub binary: bool,
    /// The value's bytes.
    pub bytes: Bytes,
}

/// Who connects, as far as that is known before anything is proved.
#[derive(Clone, Debug)]
pub struct Client {
    /// The other end of the connection.
    pub address: SocketAddr,
    /// What the program calls itself.
    pub application: String,
    /// Whether the connection is encrypted.
    pub tls: bool,
    /// What they proved when they signed in, if what they present here came of a sign-in of their own.
    pub proved: Option<Proved>,
}

/// Somebody who was turned away before there was a session.
#[derive(Clone, Debug)]
pub struct SessionRefused {
    /// What they wanted to reach, if there is such a thing.
    pub resource: Option<ResourceId>,
    /// Who they said they are.
    pub user: String,
    /// Who connected.
    pub client: Client,
    /// Why they were turned away, in words.
    pub why: String,
}

/// What was looked up about an action before somebody is asked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Look {
    /// How many rows it would touch, counted: at most so many, where [`Foreseen::rows_least`] says that it is a range.
    pub rows: Option<u64>,
    /// How many rows the server's plan expects it to touch or give.
    pub estimate: Option<u64>,
    /// What else was foreseen.
    pub foreseen: Foreseen,
    /// What else the approver should know, in words.
    pub notes: Vec<String>,
    /// The relations it names.
    pub relations: Vec<LookRelation>,
    /// The functions that it calls by name, all that could be meant.
    pub functions: Vec<LookFunction>,
    /// The types of its parameters that are not built in.
    pub types: Vec<LookType>,
    /// Whether the door can roll it back beyond a number of rows.
    pub can_bound_rows: bool,
    /// Whether its rows come after the yes.
    pub rows_come_later: bool,
    /// What it does to which version of which relation, each in one text. Empty unless it is known for certain that it
    /// touches nothing else.
    pub touches: Vec<String>,
    /// Why that is not certain, in words that end "an envelope can't be given for it:".
    pub no_envelope: Option<&'static str>,
    /// What it holds up while it waits.
    pub holds_up: HoldsUp,
}

/// What is known of a relation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LookRelation {
    /// Schema and name.
    pub name: String,
    /// The upstream account that owns it.
    pub owner: Option<String>,
    /// How many rows the server thinks it has.
    pub estimate_rows: Option<u64>,
    /// `read`, `write` or `ddl`.
    pub access: String,
    /// What it is: `table`, `view`, `partition` and so on.
    pub kinds: Vec<String>,
    /// Its columns that are read or written so.
    pub columns: Vec<String>,
    /// The text does not name it: it is reached by way of a view, a partition, an ancestor or a foreign key.
    pub reached: bool,
}

/// What is known of a function.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LookFunction {
    /// Schema and name.
    pub name: String,
    /// It says that it changes something, or that its answer can be another one each time.
    pub volatile: bool,
    /// It runs with the rights of its owner.
    pub definer: bool,
}

/// What is known of a type that users made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LookType {
    /// The protocol's identifier of it.
    pub oid: u32,
    /// Schema and name.
    pub name: String,
    /// The built-in type that its values are written like; 0 for none.
    pub written_like: u32,
}

/// What an action would mean now: compared with what was approved.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ground {
    /// The relations it names.
    pub relations: Vec<RelationVersion>,
    /// Session settings that change its meaning.
    pub settings: BTreeMap<String, String>,
    /// As [`Look::touches`].
    pub touches: Vec<String>,
}

/// How an action ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Completion {
    /// Whether it was done.
    pub result: CompletionResult,
    /// Rows touched or given, if the target tells.
    pub rows: Option<u64>,
    /// Bytes of its answer.
    pub bytes: u64,
    /// How long it took, in microseconds.
    pub micros: u64,
    /// Where the transaction stands that it was done in. Nothing where there is none, or nothing of it stands.
    pub transaction: Option<Transaction>,
}

/// Whether an action was done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CompletionResult {
    /// The target did it.
    Done,
    /// The target refused, or it was rolled back.
    Failed {
        /// The target's own error code.
        code: String,
    },
    /// It touched more rows than were approved, and was rolled back.
    BeyondBound {
        /// Rows it would have touched.
        rows: u64,
    },
    /// Nobody can know.
    Unknown,
}

impl Attempt {
    /// The tool that is called, if it is that.
    pub(super) fn tool(&self) -> Option<&str> {
        if self.kind.as_str() != CALL {
            return None;
        }
        match self.context.get("tool") {
            Some(Value::Text(tool)) => Some(tool),
            _ => None,
        }
    }

    /// The parameters as they are digested, shown and kept: base64 behind their format.
    pub(super) fn parameter_texts(&self) -> Vec<Option<String>> {
        let text = |parameter: &Parameter| Action::parameter(parameter.binary, &parameter.bytes);
        self.parameters.iter().map(|parameter| parameter.as_ref().map(text)).collect()
    }

    /// Whether it takes anything of a budget. What only steers the session (transactions, settings) must always be
    /// possible, or nobody could end what they began.
    pub(super) fn is_counted(&self) -> bool {
        self.actions.iter().any(|action| !STEERING.contains(&action.as_str()))
    }

    /// [`Attempt::parameter_texts`] as canonical JSON. Base64 and its prefix need no escaping.
    pub(super) fn parameters_json(&self) -> Vec<u8> {
        let bytes = self.parameters.iter().flatten().map(|parameter| parameter.bytes.len());
        let mut json = String::with_capacity(bytes.sum::<usize>() * 3 / 2 + self.parameters.len() * 12 + 2);
        for (place, parameter) in self.parameters.iter().enumerate() {
            json.push(if place == 0 { '[' } else { ',' });
            match parameter {
                Some(Parameter { binary, bytes }) => {
                    json.push('"');
                    Action::write_parameter(*binary, bytes, &mut json);
                    json.push('"');
                }
                None => json.push_str("null"),
            }
        }
        json.push_str(if self.parameters.is_empty() { "[]" } else { "]" });
        json.into_bytes()
    }

    /// Text and parameters together, in bytes.
    pub(super) fn shown_bytes(&self) -> usize {
        let parameters = self.parameters.iter().flatten().map(|parameter| parameter.bytes.len());
        self.text.len().saturating_add(parameters.sum())
    }
}

impl Completion {
    pub(super) fn ended(&self) -> Ended {
        let ran =
            crate::line::Ran { bytes: self.bytes, micros: self.micros, data: None, kept: None, digest: None };
        Ended { outcome: self.outcome(), rows: self.rows, ran }
    }

    pub(super) fn outcome(&self) -> Outcome {
        match &self.result {
            CompletionResult::Done => Outcome::Done { rows: self.rows },
            CompletionResult::Failed { code } => Outcome::Failed { code: code.clone() },
            CompletionResult::BeyondBound { rows } => Outcome::BeyondBound { rows: *rows },
            CompletionResult::Unknown => Outcome::Unknown,
        }
    }
}
