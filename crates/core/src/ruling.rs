//! What policy said of an action, and the verdict that follows.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::catalogue::Rule;
use crate::ids::{BundleHash, Digest, PolicyId, RuleName};

/// The policy's input to a verdict. Recorded with the decision, never recomputed on replay.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ruling {
    /// The bundle that was asked.
    pub bundle: BundleHash,
    /// Permits that matched.
    pub permits: Vec<PolicyRef>,
    /// Forbids without a gate that matched. Nothing lifts them.
    pub forbids: Vec<PolicyRef>,
    /// Gated forbids that matched, grouped by the approval rule that lifts them.
    pub gates: Vec<Gate>,
    /// Policies that could not be evaluated. Any is a deny.
    pub errors: Vec<String>,
}

/// One policy, by name and by hash of its text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicyRef {
    /// Its name.
    pub id: PolicyId,
    /// SHA-256 of its text.
    pub hash: Digest,
    /// Its `@reason`, for people.
    pub reason: Option<Arc<str>>,
}

/// An approval rule that holds an action, and the policies that ask for it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gate {
    /// The approval rule.
    pub rule: RuleName,
    /// SHA-256 of the rule's canonical form. Another hash is another rule.
    pub rule_hash: Digest,
    /// The rule as it was when the action was held.
    pub terms: Arc<Rule>,
    /// The gated forbids that matched.
    pub policies: Vec<PolicyRef>,
}

/// The engine's answer to an action.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict<'a> {
    /// It may happen.
    Allow,
    /// It may not.
    Deny(Denial<'a>),
    /// It may, once every gate is lifted.
    Hold(&'a [Gate]),
}

/// Why an action is denied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Denial<'a> {
    /// No policy permits it.
    NoPermit,
    /// A policy forbids it.
    Forbidden(&'a [PolicyRef]),
    /// A policy could not be evaluated.
    Undecidable(&'a [String]),
}

impl Ruling {
    /// The verdict: errors deny, then a missing permit, then hard forbids, then gates hold.
    #[must_use]
    pub fn verdict(&self) -> Verdict<'_> {
        if !self.errors.is_empty() {
            return Verdict::Deny(Denial::Undecidable(&self.errors));
        }
        if self.permits.is_empty() {
            return Verdict::Deny(Denial::NoPermit);
        }
        if !self.forbids.is_empty() {
            return Verdict::Deny(Denial::Forbidden(&self.forbids));
        }
        if self.gates.is_empty() { Verdict::Allow } else { Verdict::Hold(&self.gates) }
    }

    /// What policy says of both: permitted only if both are, and held by every gate that holds one of them.
    #[must_use]
    pub fn and(mut self, other: Self) -> Self {
        if self.permits.is_empty() || other.permits.is_empty() {
            self.permits.clear();
        } else {
            more(&mut self.permits, other.permits);
        }
        more(&mut self.forbids, other.forbids);
        more(&mut self.errors, other.errors);
        for gate in other.gates {
            let same = |had: &&mut Gate| had.rule == gate.rule && had.rule_hash == gate.rule_hash;
            match self.gates.iter_mut().find(same) {
                Some(had) => more(&mut had.policies, gate.policies),
                None => self.gates.push(gate),
            }
        }
        self.gates.sort_by(|one, other| one.rule.cmp(&other.rule));
        if self.bundle != other.bundle {
            self.errors.push("the policy changed while it was asked".to_owned());
        }
        self
    }

    /// Whether this ruling asks for nothing beyond `lifted`: it permits, does not forbid, and every gate it
    /// has is among them with the same terms.
    #[must_use]
    pub fn is_covered_by(&self, lifted: &[Gate]) -> bool {
        match self.verdict() {
            Verdict::Allow => true,
            Verdict::Deny(_) => false,
            Verdict::Hold(gates) => gates.iter().all(|gate| {
                lifted.iter().any(|had| had.rule == gate.rule && had.rule_hash == gate.rule_hash)
            }),
        }
    }
}

impl fmt::Display for Denial<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoPermit => f.write_str("no policy permits it"),
            Self::Forbidden(policies) => {
                f.write_str("forbidden by ")?;
                list(f, policies.iter())
            }
            Self::Undecidable(errors) => {
                write!(f, "a policy could not be evaluated: {}", errors.first().map_or("", String::as_str))
            }
        }
    }
}

impl fmt::Display for PolicyRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.reason {
            Some(reason) => write!(f, "`{}` ({reason})", self.id),
            None => write!(f, "`{}`", self.id),
        }
    }
}

/// What is not there yet.
fn more<T: PartialEq>(to: &mut Vec<T>, from: Vec<T>) {
    for one in from {
        if !to.contains(&one) {
            to.push(one);
        }
    }
}

fn list<'a>(f: &mut fmt::Formatter<'_>, mut items: impl Iterator<Item = &'a PolicyRef>) -> fmt::Result {
    items.try_fold("", |comma, item| write!(f, "{comma}{item}").map(|()| ", ")).map(|_| ())
}
