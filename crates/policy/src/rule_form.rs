//! The canonical form of an approval rule, which its hash is of. A gate names the rule by this hash, so that
//! a receipt for one rule never lifts another of the same name.

use countersign_core::Digest;
use countersign_core::action::hash;
use countersign_core::catalogue::{Ceiling, Escalation, Place, Rule, Stage};
use serde::Serialize;

/// Members in the order of their names, as RFC 8785 has them; spans in microseconds.
#[derive(Serialize)]
struct Form {
    #[serde(skip_serializing_if = "Option::is_none")]
    envelope: Option<Bounds>,
    escalate: Vec<Step>,
    pending_for: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pending_in_transaction: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pending_with_locks: Option<i64>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    signed: bool,
    stages: Vec<Seats>,
    uses: u32,
    valid_for: i64,
}

#[derive(Serialize)]
struct Bounds {
    longest: i64,
    rows: u64,
    total: u64,
    uses: u32,
}

#[derive(Serialize)]
struct Step {
    add: Vec<String>,
    after: i64,
}

#[derive(Serialize)]
struct Seats {
    from: Vec<String>,
    need: u32,
}

/// `SHA-256("countersign/rule/v1" LF || JSON)`.
pub(crate) fn rule_hash(rule: &Rule) -> Digest {
    let form = Form {
        envelope: rule.envelope.map(bounds),
        escalate: rule.escalate.iter().map(step).collect(),
        pending_for: rule.pending_for.0,
        pending_in_transaction: rule.pending_in_transaction.map(|span| span.0),
        pending_with_locks: rule.pending_with_locks.map(|span| span.0),
        signed: rule.signed,
        stages: rule.stages.iter().map(seats).collect(),
        uses: rule.uses,
        valid_for: rule.valid_for.0,
    };
    // A struct of numbers and texts cannot fail to serialise.
    hash(&[b"countersign/rule/v1\n", &serde_json::to_vec(&form).unwrap_or_default()])
}

fn bounds(ceiling: Ceiling) -> Bounds {
    let Ceiling { rows, total, uses, longest } = ceiling;
    Bounds { longest: longest.0, rows, total, uses }
}

fn step(step: &Escalation) -> Step {
    Step { add: names(&step.add), after: step.after.0 }
}

fn seats(stage: &Stage) -> Seats {
    Seats { from: names(&stage.from), need: stage.need }
}

/// The order in which a rule names people means nothing.
fn names(places: &[Place]) -> Vec<String> {
    let mut names: Vec<String> = places.iter().map(ToString::to_string).collect();
    names.sort_unstable();
    names.dedup();
    names
}
