//! A script: several actions that are put forward as one request, and run one by one as they were approved.
//!
//! A yes to a script is a yes to each of its steps, in their order, each once, in one session of whoever asked. It says
//! nothing about anything else. So the script is over with the first step that does not end well, and as soon as
//! something else that is more than a read comes between two of its steps: what was approved is the whole, and what is
//! left of it would run on a ground that nobody has seen.

use serde::{Deserialize, Serialize};

use crate::ids::{Digest, GrantId, ResourceId, SessionId};
use crate::refusal::Refusal;
use crate::request::{Ask, Bounds, Outcome, Receipt, Request, RowBound, State};

/// The most steps of a script. The line of its request names each by its digest, and lines have a limit.
pub const STEPS_MAX: usize = 256;

/// What a script is called among actions.
pub const ACTION: &str = "sql.script";

/// One action of a script.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// Digest of its canonical action, under the salt of the request.
    pub digest: Digest,
    /// What a yes covers of it.
    pub bounds: Bounds,
}

/// How far a script has come. Nothing of it is known before its first step.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// In which session it runs.
    pub session: Option<SessionId>,
    /// How its steps ended that did, in order.
    pub outcomes: Vec<Outcome>,
}

impl Request {
    /// The steps, if it is a script.
    #[must_use]
    pub fn steps(&self) -> Option<&[Step]> {
        match &self.ask {
            Ask::Script { steps, .. } => Some(steps),
            Ask::Access { .. } | Ask::Act { .. } | Ask::Apply { .. } => None,
        }
    }

    /// Which step of a script comes next, counted from zero. Nothing if it is no script, or none of it may be run.
    #[must_use]
    pub fn next_step(&self) -> Option<usize> {
        let steps = self.steps()?;
        let State::Approved(receipt) = &self.state else { return None };
        let next = usize::try_from(receipt.used).ok()?;
        (!receipt.is_spent() && next < steps.len()).then_some(next)
    }

    /// The session that a script is under way in: its first step was run there, and there are more to come.
    #[must_use]
    pub fn under_way(&self) -> Option<SessionId> {
        self.next_step()?;
        self.progress.as_ref()?.session
    }

    /// The ground of an action or a script: the grant, and on what.
    pub(crate) fn stands_on(&self) -> Option<(GrantId, &ResourceId)> {
        match &self.ask {
            Ask::Act { grant, resource, .. } | Ask::Script { grant, resource, .. } => {
                Some((*grant, resource))
            }
            Ask::Access { .. } | Ask::Apply { .. } => None,
        }
    }

    /// Whether `digest` is that of the step that comes next.
    pub(crate) fn covers_step(&self, receipt: &Receipt, digest: &Digest) -> Result<(), Refusal> {
        let next = usize::try_from(receipt.used).ok();
        let step = self.steps().zip(next).and_then(|(steps, next)| steps.get(next));
        if step.is_some_and(|step| step.digest == *digest) { Ok(()) } else { Err(Refusal::OtherAction) }
    }
}

/// The canonical JSON (RFC 8785) of what a yes to these steps covers: their rows, in order.
pub(crate) fn bounds_canonical(steps: &[Step]) -> String {
    let rows = steps.iter().map(|step| match step.bounds.rows {
        RowBound::AtMost(rows) => rows.to_string(),
        // What brings its rows later is no step of a script.
        RowBound::Unbounded | RowBound::Later(_) => "null".to_owned(),
    });
    rows.collect::<Vec<_>>().join(",")
}

/// Whether a script can be put forward at all.
pub(crate) fn check(steps: &[Step]) -> Result<(), Refusal> {
    match steps.len() {
        0 => Err(Refusal::Denied("a script has at least one statement".into())),
        count if count > STEPS_MAX => Err(Refusal::Denied(format!(
            "a script has at most {STEPS_MAX} statements, this one has {count}; put it forward in parts"
        ))),
        _ => Ok(()),
    }
}
