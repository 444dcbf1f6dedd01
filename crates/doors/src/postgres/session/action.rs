//! One thing that a client wants to run, and what may be forwarded of it.

use std::sync::Arc;

use bytes::Bytes;
use countersign_core::request::RowBound;
use countersign_engine::{Parameter, Pending, Ran};
use countersign_wire::postgres::Format;

use super::super::classify::{Statement, Understood};
use super::super::look;
use super::super::mask::Cover;
use super::super::script::{Place, Read};
use super::Portal;
use super::cursors::{has_open_types, is_declared};
use super::kept::Kept;
use super::lift::Lift;

/// One thing that a client wants to run.
pub(super) struct Action {
    pub(super) statement: Arc<Statement>,
    pub(super) understood: Arc<Understood>,
    pub(super) parameters: Arc<[Option<Parameter>]>,
    /// The types of the parameters: as declared, and for a held action as the server has resolved them.
    pub(super) types: Arc<[u32]>,
    /// The name under which the server has the statement.
    pub(super) prepared: Option<Bytes>,
    /// It is a `Bind` without its `Execute`.
    pub(super) alone: bool,
    /// The portal that it goes on with.
    pub(super) running: Option<Bytes>,
    /// What it does was decided before, and no name or setting that changes now changes it.
    pub(super) settled: bool,
    pub(super) bytes: Bytes,
    pub(super) seen: look::Seen,
    /// The formats that a portal's results are wanted in.
    formats: Option<Arc<[Format]>>,
    /// The mask that is to be lifted for it.
    pub(super) lift: Option<Arc<Lift>>,
    /// What it is as a step of a script that was sent together with other steps.
    pub(super) step: Option<Box<Step>>,
}

/// A step of a script that was sent together with others.
pub(super) struct Step {
    /// Behind those that have run.
    pub(super) place: Place,
    /// What it is there.
    pub(super) read: Read,
}

impl Action {
    /// A statement without parameters.
    pub(super) fn new(statement: &Arc<Statement>, understood: Arc<Understood>, bytes: Bytes) -> Self {
        Self {
            statement: Arc::clone(statement),
            understood,
            parameters: Arc::default(),
            types: Arc::clone(&statement.types),
            prepared: None,
            alone: false,
            running: None,
            settled: false,
            bytes,
            seen: look::Seen::default(),
            formats: None,
            lift: None,
            step: None,
        }
    }

    /// The same, as a step of a script.
    pub(super) fn of_step(self, step: Step) -> Self {
        Self { step: Some(Box::new(step)), ..self }
    }

    /// What it was approved as, if it is a step of a script, or else what is known of it now.
    pub(super) fn as_approved(&self) -> &Understood {
        self.step.as_ref().map_or(&self.understood, |step| &step.read.understood)
    }

    /// A statement with the parameters of its portal.
    pub(super) fn of_portal(portal: &Portal, understood: Arc<Understood>, bytes: Bytes) -> Self {
        let (parameters, prepared) = (Arc::clone(&portal.parameters), Some(portal.prepared.clone()));
        let formats = Some(Arc::clone(&portal.formats));
        let mut action =
            Self { parameters, prepared, formats, ..Self::new(&portal.statement, understood, bytes) };
        if let Some(types) = portal.types.get() {
            action.resolve(types);
        }
        action
    }

    /// The same, if it is a `Bind` alone.
    pub(super) fn alone(self, alone: bool) -> Self {
        Self { alone, ..self }
    }

    /// The same, if it goes on with what is running.
    pub(super) fn of_running(self, name: Bytes) -> Self {
        Self { running: Some(name), settled: true, ..self }
    }

    /// The same, if it is a call without a statement, with these arguments.
    pub(super) fn of_call(self, arguments: Arc<[Option<Parameter>]>) -> Self {
        Self { parameters: arguments, settled: true, ..self }
    }

    /// The same, in other words for whoever is asked.
    pub(super) fn shown_as(self, statement: &Arc<Statement>) -> Self {
        Self { statement: Arc::clone(statement), ..self }
    }

    /// The formats that its results are wanted in, if it is one of a portal.
    pub(super) fn formats(&self) -> Option<Arc<[Format]>> {
        self.formats.clone()
    }

    /// What it is in words.
    pub(super) fn statement(&self) -> Arc<Statement> {
        Arc::clone(&self.statement)
    }

    /// Whether the client has left the type of a parameter to the server.
    pub(super) fn has_open_types(&self) -> bool {
        has_open_types(&self.types, self.parameters.len())
    }

    /// Fills in what the client has left open.
    pub(super) fn resolve(&mut self, resolved: &[u32]) {
        let declared = self.types.iter().copied().chain(std::iter::repeat(0));
        let either = |(oid, resolved): (u32, &u32)| if is_declared(oid) { oid } else { *resolved };
        self.types = declared.zip(resolved).map(either).collect();
    }
}

/// What may be forwarded now.
pub(super) struct Granted {
    /// The very bytes that were judged.
    pub(super) bytes: Bytes,
    pub(super) order: Order,
    pub(super) action: Action,
    pub(super) cover: Option<Box<Cover>>,
    /// What is kept of its answer.
    pub(super) result: Option<Box<Kept>>,
}

/// In which order it is recorded.
pub(super) enum Order {
    First(Ran),
    BeforeRelease(Pending),
}

impl Granted {
    /// The most rows that it may write, if that is to be kept.
    pub(super) fn rows_max(&self) -> Option<u64> {
        self.bound().filter(|_| self.action.as_approved().can_bound_rows())
    }

    /// The most rows that it may give, where a mask is lifted for what was counted.
    pub(super) fn gives_max(&self) -> Option<u64> {
        self.bound().filter(|_| self.action.lift.is_some() && !self.action.understood.can_bound_rows())
    }

    fn bound(&self) -> Option<u64> {
        match &self.order {
            Order::First(ran) => match ran.bounds()?.rows {
                RowBound::AtMost(rows) | RowBound::Later(rows) => Some(rows),
                RowBound::Unbounded => None,
            },
            Order::BeforeRelease(_) => None,
        }
    }

    /// What is known of it.
    pub(super) fn understood(&self) -> Arc<Understood> {
        Arc::clone(&self.action.understood)
    }
}
