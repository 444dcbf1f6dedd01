//! Actions in a session: judged, recorded, held, forwarded, completed.
//!
//! ```text
//! Attempt ─ judge ─┬─ Judged ─ record ──────> Recorded ─ into_forward ─> bytes, Ran ─ completed
//!                  │    └──── record_read ──> Forward, Pending ─ durable ─> Ran ─ Withheld::release
//!                  ├─ Held ─ hold ─> Waiting ─ answer ─ use_receipt ─> Recorded
//!                  │    └─── cover ─> Cover ─ use_cover ─> Recorded
//!   Judged or Held ─┴─ next_steps ─> NextStep ─ use_step ─> Recorded
//!                  └─ Denied ─ denied ─> Refused
//! ```
//!
//! Each arrow consumes what it starts from, and only the engine makes what it ends in: what was not judged can't be
//! recorded, what was not recorded can't be forwarded (a provable read: not answered), and nothing twice.

pub(crate) mod again;
mod attempt;
pub(crate) mod capture;
mod cover;
pub(crate) mod hold;
pub(crate) mod judge;
mod proof;
mod record;
mod step;
mod unmask;

pub use attempt::{
    Attempt, Client, Completion, CompletionResult, Ground, Look, LookFunction, LookRelation, LookType,
    Parameter, SessionRefused,
};
pub use capture::Keeping;
pub use cover::{Cover, Covered, NotCovered};
pub use hold::{Answer, NotUsed, Waiting};
pub(crate) use judge::tell_impact;
pub use proof::{
    Denied, Forward, Held, Judged, Judgement, Pending, Ran, Recorded, Telling, Unrecorded, Used, Withheld,
};
pub use step::{NextStep, NotStepped, Stepped};
pub use unmask::Unmasking;
