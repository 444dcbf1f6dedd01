//! Trials: what policy would say, of one attempt, of everybody, and of what was done already.
//!
//! A trial asks the very code that judges, over the very state, and writes nothing. Under a bundle that is not in force
//! it asks over the book as it would be if that bundle were: applied to a copy, with all that would end by it. It is no
//! promise: what counts is what is said when it is done.

mod asking;
mod compare;
mod one;
mod replay;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use countersign_core::bundle::{Command as BundleCommand, Event as BundleEvent};
use countersign_core::question::{Context, Question, Target, Value};
use countersign_core::request::{Ask, Request, State};
use countersign_core::ruling::{Gate, PolicyRef, Ruling, Verdict};
use countersign_core::{
    ActionName, At, Command, Digest, Event, Facts, PersonId, PolicyId, PrincipalId, RequestId, ResourceId,
    RoleId, Span, decide,
};
use countersign_policy::context::Via;
use countersign_policy::{Compiled, Source, compile};

pub use compare::{Change, Difference, Ending, PersonChange, Presence, Scope, Word};
pub use replay::{Example, Replay, ReplayCounts};

use crate::api::{ApplyError, PreviewVerdict};
use crate::engine::Engine;
use crate::reading::Read;
use crate::snapshot::Snapshot;
use crate::views::StageView;
use crate::words::{Refused, RefusedCode};

/// How many of the long ones, over everybody or over the past, are made at once. Whoever asks for more waits.
pub(crate) const AT_ONCE_MAX: usize = 2;

/// Files of a bundle by path.
pub type Files = BTreeMap<String, String>;

/// One attempt that nobody makes.
#[derive(Clone, Debug)]
pub struct Trial {
    /// Who would make it.
    pub principal: PrincipalId,
    /// What.
    pub what: Trying,
    /// When; at present without one.
    pub at: Option<At>,
    /// From where.
    pub source: Option<IpAddr>,
    /// How they would speak to the gateway; a statement comes through its door.
    pub via: Via,
    /// By what they would have signed in, where policies look at that: `password`, `passkey`.
    pub means: BTreeSet<String>,
    /// How long ago they would have signed in with these.
    pub proved_ago: Span,
}

/// What would be attempted.
#[derive(Clone, Debug)]
pub enum Trying {
    /// To hold a role for a while.
    Access(TryAccess),
    /// To run a statement in a role.
    Statement(TryStatement),
    /// To do something to the gateway itself.
    House(ActionName),
}

/// To hold a role for a while.
#[derive(Clone, Debug)]
pub struct TryAccess {
    /// Which.
    pub role: RoleId,
    /// For how long.
    pub lasting: Span,
    /// Why.
    pub purpose: String,
    /// The ticket.
    pub ticket: Option<String>,
}

/// To run a statement in a role.
#[derive(Clone, Debug)]
pub struct TryStatement {
    /// Which.
    pub role: RoleId,
    /// On what.
    pub resource: ResourceId,
    /// The text.
    pub text: String,
    /// Why the role is held.
    pub purpose: String,
    /// The ticket of the grant.
    pub ticket: Option<String>,
    /// Inside a transaction of the client's own.
    pub in_transaction: bool,
}

/// What policy would say of an attempt.
#[derive(Clone, Debug)]
pub struct Tried {
    /// The verdict.
    pub verdict: PreviewVerdict,
    /// Why, in a sentence.
    pub reason: String,
    /// What it is called.
    pub action: ActionName,
    /// Its parts.
    pub actions: Vec<ActionName>,
    /// What was said, policy by policy.
    pub ruling: Ruling,
    /// Who would be asked.
    pub stages: Vec<StageView>,
    /// How a statement was understood.
    pub read: Option<Read>,
    /// The circumstances that policies were told.
    pub circumstances: Context,
    /// Whether they hold the role at present that they would act in.
    pub holds: Option<bool>,
    /// The instant that it was asked for.
    pub at: At,
}

impl Engine {
    /// A bundle that is tried: compiled, and kept by nobody.
    async fn draft(&self, files: Files) -> Result<Arc<Compiled>, ApplyError> {
        let compiled = tokio::task::spawn_blocking(move || compile(&Source { files })).await;
        let compiled =
            compiled.map_err(|_| Refused::new(RefusedCode::Invalid, "the bundle could not be compiled"))?;
        Ok(Arc::new(compiled.map_err(ApplyError::Invalid)?))
    }

    /// The bundle in force, compiled anew: what many questions leave in its memory is then nobody's loss.
    async fn in_force_again(&self, snapshot: &Snapshot) -> Result<Arc<Compiled>, ApplyError> {
        let in_force = snapshot.book.in_force.as_ref().ok_or(countersign_core::Refusal::NoBundle);
        let bundle = in_force.map_err(Refused::from)?.bundle;
        let files = self.0.house.files(&bundle).ok_or(countersign_core::Refusal::NoBundle);
        self.draft(files.map_err(Refused::from)?).await
    }

    /// A turn at something long: given back when it is dropped.
    async fn turn(&self) -> Result<tokio::sync::OwnedSemaphorePermit, Refused> {
        Arc::clone(&self.0.trials).acquire_owned().await.map_err(|_| Refused::unavailable())
    }

    /// The state as it would be if `next` were put in force now, and what would follow from that.
    fn after(&self, snapshot: &Snapshot, next: &Arc<Compiled>, by: &PrincipalId) -> (Snapshot, Vec<Event>) {
        let now = self.now().max(snapshot.at);
        let command = BundleCommand::Activate {
            bundle: next.hash,
            catalogue: Arc::clone(&next.catalogue),
            by: by.clone(),
            request: None,
        };
        let permitted = PolicyRef { id: PolicyId::new("trial"), hash: Digest([0; 32]), reason: None };
        let had = snapshot.book.in_force.as_ref();
        let ruling = had.map(|had| Ruling {
            bundle: had.bundle,
            permits: vec![permitted],
            forbids: Vec::new(),
            gates: Vec::new(),
            errors: Vec::new(),
        });
        let facts = Facts { now, ruling, standing: None };
        // Whoever may not apply is shown the bundle's own effect all the same; one that is in force has none.
        let events = decide(&snapshot.book, Command::Bundle(command), &facts).unwrap_or_else(|_| {
            vec![Event::Bundle(BundleEvent::Activated {
                bundle: next.hash,
                previous: had.map(|had| had.bundle),
                version: had.map_or(1, |had| had.version),
                catalogue: Arc::clone(&next.catalogue),
                by: by.clone(),
                request: None,
            })]
        });
        let mut after = Snapshot { policy: Some(Arc::clone(next)), ..snapshot.clone() };
        events.iter().for_each(|event| after.book.apply(event, now));
        (after, events)
    }

    /// Who would be asked.
    fn stages_of(&self, snapshot: &Snapshot, by: &PrincipalId, ask: Ask, gates: &[Gate]) -> Vec<StageView> {
        let request = imagined(snapshot, by, ask, gates, self.now());
        crate::views::stages_of(snapshot, &request, self.now())
    }
}

/// A request as it would be the moment it is made.
pub(crate) fn imagined(snapshot: &Snapshot, by: &PrincipalId, ask: Ask, gates: &[Gate], now: At) -> Request {
    Request {
        id: RequestId(0),
        by: by.clone(),
        person: snapshot.book.person(by).cloned().unwrap_or_else(|| PersonId::new("")),
        ask,
        digest: Digest([0; 32]),
        content: None,
        gates: gates.to_vec(),
        bundle: Digest([0; 32]),
        asked_at: now,
        lapses_at: now,
        locked: false,
        escalated: 0,
        approvals: Vec::new(),
        state: State::Pending,
        uses: Vec::new(),
        progress: None,
    }
}

/// The verdict in one word, and why in a sentence.
fn in_words(ruling: &Ruling) -> (PreviewVerdict, String) {
    match ruling.verdict() {
        Verdict::Allow => (PreviewVerdict::Allow, String::new()),
        Verdict::Deny(denial) => (PreviewVerdict::Deny, denial.to_string()),
        Verdict::Hold(gates) => (PreviewVerdict::Hold, crate::api::reasons(gates)),
    }
}

/// A question about a statement in a role, with everything that the engine adds to what its door says.
fn statement_question(
    snapshot: &Snapshot,
    (principal, role, resource): (&PrincipalId, &RoleId, &ResourceId),
    read: &Read,
    said: Said<'_>,
) -> Question {
    let mut context = read.context.clone();
    context.extend(Context::from(said.plain));
    context.insert("purpose", Value::Text(said.purpose.to_owned()));
    context.insert("over_budget", Value::Texts(BTreeSet::new()));
    context.insert("in_transaction", Value::Bool(said.in_transaction));
    if let Some(ticket) = said.ticket {
        context.insert("ticket", Value::Text(ticket.to_owned()));
    }
    crate::action::tell_impact(&snapshot.book.catalogue, resource, &mut context);
    Question {
        principal: principal.clone(),
        roles: BTreeSet::from([role.clone()]),
        action: read.kind.clone(),
        target: Target::Resource(resource.clone()),
        context,
    }
}

/// What is said of a statement beside its text.
struct Said<'a> {
    plain: countersign_policy::context::Plain,
    purpose: &'a str,
    ticket: Option<&'a str>,
    in_transaction: bool,
}
