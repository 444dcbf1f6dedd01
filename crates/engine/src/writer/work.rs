//! What is handed to the writer, and what it says to it.

use std::net::IpAddr;
use std::sync::Arc;

use countersign_core::question::Context;
use countersign_core::request::{Command as RequestCommand, Outcome as RunOutcome};
use countersign_core::session::Command as SessionCommand;
use countersign_core::{
    ActionName, At, BundleHash, Command, Event, PrincipalId, Refusal, ResourceId, RoleId,
};
use countersign_policy::Compiled;
use countersign_policy::context::{Auth, Plain, Via};

use crate::action::Client;
use crate::action::capture::KeptResult;
use crate::line::{Envelope, Outcome, Policies, Ran, Sealed, Statement, Topic};
use crate::people::{Proof, Proved};
use crate::seal::Field;
use crate::store::Put;

use super::entry::Entry;

/// The content key of what belongs to nobody in particular.
const HOUSE_KEY: &str = "house";

/// How a statement is recorded that is forwarded only afterwards.
pub(crate) const FIRST: &str = "first";

/// One piece of work.
#[derive(Debug)]
pub(crate) enum Work {
    /// A command: decided, and what follows from it is written.
    Deed(Box<Deed>),
    /// A statement that may run, or may not, or ended.
    Statement(Box<StatementWork>),
    /// Other activity.
    Note(Box<Note>),
}

/// A command with what the ruling and the record of it need.
#[derive(Debug)]
pub(crate) struct Deed {
    pub(crate) command: Command,
    /// From where and how it was said.
    pub(crate) from: From,
    /// What is asked of policy about the action that a request is for.
    pub(crate) standing: Option<Arc<Standing>>,
    /// Content of the lines that carry its commitments.
    pub(crate) fields: Vec<Field>,
    /// Under which content key.
    pub(crate) key: Arc<str>,
    /// The bundle that is proposed or applied.
    pub(crate) proposed: Option<Arc<Compiled>>,
    /// What is kept beside the lines, in the same transaction.
    pub(crate) puts: Vec<Put>,
    /// How long a used receipt ran.
    pub(crate) ran: Option<Ran>,
    /// Under what something was spent.
    pub(crate) spent: Option<Arc<Statement>>,
}

/// From where and how a command was said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct From {
    pub(crate) source: Option<IpAddr>,
    pub(crate) via: Via,
    /// How whoever said it had signed in, if they had.
    pub(crate) proof: Option<Proof>,
}

impl From {
    /// The circumstances of whatever is asked about it.
    pub(crate) fn plain(self, now: At) -> Context {
        let mut context = Plain { now, source: self.source, via: self.via }.into();
        if let Some(proof) = self.proof {
            Auth { methods: proof.means.names(), age: proof.age }.tell(&mut context);
        }
        context
    }
}

/// From where and how a session was entered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Entrance {
    pub(crate) source: Option<IpAddr>,
    pub(crate) via: Via,
    /// What whoever entered had proved, if they had signed in.
    pub(crate) proved: Option<Proved>,
}

impl Entrance {
    /// By a door.
    pub(crate) fn at_door(door: &str, client: &Client) -> Self {
        Self { source: Some(client.address.ip()), via: crate::session::via(door), proved: client.proved }
    }

    /// As what is said through it at an instant.
    pub(crate) fn at(self, now: At) -> From {
        let proof = self.proved.map(|proved| proved.used(now));
        From { source: self.source, via: self.via, proof }
    }
}

/// The question that a request stands on: asked again whenever it is approved or used.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Standing {
    /// `access.request` on a role.
    Access { role: RoleId, context: Context, from: From },
    /// One action, perhaps with several parts, in a session.
    Act {
        principal: PrincipalId,
        role: RoleId,
        resource: ResourceId,
        action: ActionName,
        actions: Vec<ActionName>,
        context: Context,
        from: From,
    },
    /// Several actions, each of which must be let be: the parts of a script.
    Script(Vec<Self>),
    /// `policy.apply`.
    Apply { bundle: BundleHash, from: From },
}

/// A line about a statement.
#[derive(Debug)]
pub(crate) struct StatementWork {
    pub(crate) statement: Arc<Statement>,
    /// When it was judged, or ended.
    pub(crate) at: At,
    pub(crate) policies: Option<Arc<Policies>>,
    pub(crate) say: Say,
}

/// What is said of a statement.
#[derive(Debug)]
pub(crate) enum Say {
    /// It may run. With `claims`, only if its session still stands under the bundle it was judged by.
    /// Its index is told through `entry`, so that what comes behind it in the queue can refer to it.
    Allowed { body: Body, recorded: &'static str, claims: bool, entry: Arc<Entry> },
    /// It may not.
    Blocked { body: Body, reason: String },
    /// The one that was allowed in the line of `of` ended.
    Completed { of: Arc<Entry>, ended: Ended, kept: Option<KeptResult> },
}

/// How a statement ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Ended {
    pub(crate) outcome: RunOutcome,
    pub(crate) rows: Option<u64>,
    pub(crate) ran: Ran,
}

/// The statement itself.
#[derive(Clone, Debug)]
pub(crate) struct Body {
    pub(crate) action: ActionName,
    pub(crate) verbs: Arc<[String]>,
    pub(crate) text: Arc<str>,
    /// Canonical JSON of the parameters, if there are any.
    pub(crate) parameters: Option<Arc<[u8]>>,
}

/// Other activity: an envelope whose commitments stand already.
#[derive(Debug)]
pub(crate) struct Note {
    pub(crate) line: Envelope<Topic>,
    pub(crate) fields: Vec<Field>,
    pub(crate) key: Arc<str>,
    pub(crate) puts: Vec<Put>,
}

/// What became of a piece of work. Said only once it is durable, or certain not to be.
pub(crate) type Reply = Result<Done, NotDone>;

/// It is in the ledger.
#[derive(Clone, Debug)]
pub(crate) struct Done {
    /// The first line that it made, if it made any.
    pub(crate) index: Option<u64>,
    /// What followed from a command.
    pub(crate) events: Vec<Event>,
}

/// It is not in the ledger, and did not happen.
#[derive(Clone, Debug)]
pub(crate) enum NotDone {
    /// The house said no.
    Refused(Refusal),
    /// What it was judged under is no longer so.
    Stale,
    /// It can't be written as a line.
    Unwritable(String),
    /// The ledger can't take anything now.
    Unavailable,
}

impl Ended {
    /// What a line says of it.
    pub(crate) fn line(&self, of: u64) -> (Outcome, crate::line::Completed) {
        let (result, rows, code) = crate::line::outcome_parts(&self.outcome);
        let went_well = matches!(self.outcome, RunOutcome::Done { .. });
        let completed = crate::line::Completed {
            bytes: self.ran.bytes,
            code,
            digest: self.ran.digest.map(Sealed),
            kept: self.ran.kept.map(Sealed),
            micros: self.ran.micros,
            of,
            result,
            rows: rows.or(self.rows),
        };
        (if went_well { Outcome::Success } else { Outcome::Failure }, completed)
    }

    /// What the line that allowed it says of it.
    pub(crate) fn within(&self) -> crate::line::Within {
        let (_, line) = self.line(0);
        crate::line::Within { bytes: line.bytes, micros: line.micros, result: line.result, rows: line.rows }
    }
}

impl Deed {
    pub(crate) fn new(command: Command, from: From) -> Self {
        Self {
            command,
            from,
            standing: None,
            fields: Vec::new(),
            key: HOUSE_KEY.into(),
            proposed: None,
            puts: Vec::new(),
            ran: None,
            spent: None,
        }
    }
}

impl From {
    /// The house itself.
    pub(crate) const HOUSE: Self = Self { source: None, via: Via::Api, proof: None };
}

impl Work {
    /// Whether it tells of something that has happened already, and so must be written however long that takes.
    pub(crate) fn must_be_written(&self) -> bool {
        match self {
            Self::Statement(work) => match &work.say {
                Say::Completed { .. } => true,
                Say::Allowed { claims, .. } => !claims,
                Say::Blocked { .. } => false,
            },
            Self::Deed(deed) => matches!(
                deed.command,
                Command::Request(RequestCommand::Settle { .. } | RequestCommand::Conclude { .. })
                    | Command::Session(SessionCommand::Close { .. })
            ),
            Self::Note(_) => false,
        }
    }

    /// Roughly how much memory and log it takes.
    pub(crate) fn weight(&self) -> usize {
        const LINE: usize = 1_024;
        let fields = |fields: &[Field]| fields.iter().map(|field| field.bytes.len()).sum::<usize>();
        match self {
            Self::Deed(deed) => LINE + fields(&deed.fields),
            Self::Note(note) => LINE + fields(&note.fields),
            Self::Statement(work) => match &work.say {
                Say::Allowed { body, .. } | Say::Blocked { body, .. } => {
                    LINE + body.text.len() + body.parameters.as_ref().map_or(0, |bytes| bytes.len())
                }
                Say::Completed { kept, .. } => LINE + kept.as_ref().map_or(0, |kept| kept.field.bytes.len()),
            },
        }
    }
}

impl Note {
    pub(crate) fn new(kind: &'static str, topic: Topic) -> Self {
        Self { line: Envelope::new(kind, topic), fields: Vec::new(), key: HOUSE_KEY.into(), puts: Vec::new() }
    }

    pub(crate) fn failed(mut self) -> Self {
        self.line.outcome = Outcome::Failure;
        self
    }
}
