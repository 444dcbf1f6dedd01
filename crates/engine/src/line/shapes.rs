//! Parts of lines that are larger than a name: gates, rules, bounds, asks. Members in the order of their names.

use std::sync::Arc;

use countersign_core::catalogue::{Ceiling, Escalation, Place, Rule, Stage};
use countersign_core::envelope::{Envelope, Reach, Terms};
use countersign_core::request::{Bounds, Fate, Outcome, RowBound, Signature, Transaction};
use countersign_core::ruling::{Gate, PolicyRef};
use countersign_core::script::Step;
use countersign_core::{Digest, PolicyId, RuleName, Span};
use serde::{Deserialize, Serialize};

/// A policy by name and hash.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct PolicyShape {
    pub(crate) hash: Digest,
    pub(crate) id: PolicyId,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) reason: Option<Arc<str>>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct GateShape {
    policies: Vec<PolicyShape>,
    rule: RuleName,
    rule_hash: Digest,
    terms: RuleShape,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct RuleShape {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    envelope: Option<CeilingShape>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    escalate: Vec<EscalationShape>,
    pending_for_us: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pending_in_transaction_us: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pending_with_locks_us: Option<i64>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    signed: bool,
    stages: Vec<StageShape>,
    uses: u32,
    valid_for_us: i64,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StageShape {
    from: Vec<PlaceShape>,
    need: u32,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct EscalationShape {
    add: Vec<PlaceShape>,
    after_us: i64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct CeilingShape {
    longest_us: i64,
    rows: u64,
    total: u64,
    uses: u32,
}

/// Bounds that are approved instead of one text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct EnvelopeShape {
    rows: u64,
    total: u64,
}

/// What an approver says beside yes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TermsShape {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    envelope: Option<EnvelopeShape>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    uses: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    valid_for_us: Option<i64>,
}

/// What an action touches, in salted digests.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ReachShape {
    ground: Digest,
    parts: Vec<Digest>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct PlaceShape(Place);

/// What a yes covers; no rows is no bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct BoundsShape {
    /// They come after the yes.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    later: bool,
    rows: Option<u64>,
}

/// A step of a script; no rows is no bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct StepShape {
    digest: Digest,
    rows: Option<u64>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SignatureShape {
    assertion: String,
    credential: String,
}

/// How an action ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ResultShape {
    Done,
    Failed,
    BeyondBound,
    Unknown,
}

/// Where a transaction stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum TransactionShape {
    Open,
    Committed,
    RolledBack,
    Unknown,
}

impl TransactionShape {
    /// What became of it, if it is over.
    pub(super) fn fate(self) -> Option<Fate> {
        match self {
            Self::Open => None,
            Self::Committed => Some(Fate::Committed),
            Self::RolledBack => Some(Fate::RolledBack),
            Self::Unknown => Some(Fate::Unknown),
        }
    }
}

impl From<Transaction> for TransactionShape {
    fn from(transaction: Transaction) -> Self {
        match transaction {
            Transaction::Open => Self::Open,
            Transaction::Over(Fate::Committed) => Self::Committed,
            Transaction::Over(Fate::RolledBack) => Self::RolledBack,
            Transaction::Over(Fate::Unknown) => Self::Unknown,
        }
    }
}

impl From<TransactionShape> for Transaction {
    fn from(shape: TransactionShape) -> Self {
        shape.fate().map_or(Self::Open, Self::Over)
    }
}

impl From<&PolicyRef> for PolicyShape {
    fn from(policy: &PolicyRef) -> Self {
        Self { hash: policy.hash, id: policy.id.clone(), reason: policy.reason.clone() }
    }
}

impl From<PolicyShape> for PolicyRef {
    fn from(shape: PolicyShape) -> Self {
        Self { id: shape.id, hash: shape.hash, reason: shape.reason }
    }
}

impl From<&Gate> for GateShape {
    fn from(gate: &Gate) -> Self {
        Self {
            policies: gate.policies.iter().map(Into::into).collect(),
            rule: gate.rule.clone(),
            rule_hash: gate.rule_hash,
            terms: gate.terms.as_ref().into(),
        }
    }
}

impl From<GateShape> for Gate {
    fn from(shape: GateShape) -> Self {
        Self {
            rule: shape.rule,
            rule_hash: shape.rule_hash,
            terms: Arc::new(shape.terms.into()),
            policies: shape.policies.into_iter().map(Into::into).collect(),
        }
    }
}

impl From<&Rule> for RuleShape {
    fn from(rule: &Rule) -> Self {
        let places = |from: &[Place]| from.iter().cloned().map(PlaceShape).collect();
        Self {
            envelope: rule.envelope.map(Into::into),
            escalate: rule
                .escalate
                .iter()
                .map(|step| EscalationShape { add: places(&step.add), after_us: step.after.0 })
                .collect(),
            pending_for_us: rule.pending_for.0,
            pending_in_transaction_us: rule.pending_in_transaction.map(|span| span.0),
            pending_with_locks_us: rule.pending_with_locks.map(|span| span.0),
            signed: rule.signed,
            stages: rule
                .stages
                .iter()
                .map(|stage| StageShape { from: places(&stage.from), need: stage.need })
                .collect(),
            uses: rule.uses,
            valid_for_us: rule.valid_for.0,
        }
    }
}

impl From<RuleShape> for Rule {
    fn from(shape: RuleShape) -> Self {
        let places = |from: Vec<PlaceShape>| from.into_iter().map(|place| place.0).collect();
        Self {
            stages: shape
                .stages
                .into_iter()
                .map(|stage| Stage { need: stage.need, from: places(stage.from) })
                .collect(),
            pending_for: Span(shape.pending_for_us),
            valid_for: Span(shape.valid_for_us),
            uses: shape.uses,
            escalate: shape
                .escalate
                .into_iter()
                .map(|step| Escalation { after: Span(step.after_us), add: places(step.add) })
                .collect(),
            envelope: shape.envelope.map(Into::into),
            signed: shape.signed,
            pending_in_transaction: shape.pending_in_transaction_us.map(Span),
            pending_with_locks: shape.pending_with_locks_us.map(Span),
        }
    }
}

impl From<Ceiling> for CeilingShape {
    fn from(ceiling: Ceiling) -> Self {
        let Ceiling { rows, total, uses, longest } = ceiling;
        Self { longest_us: longest.0, rows, total, uses }
    }
}

impl From<CeilingShape> for Ceiling {
    fn from(shape: CeilingShape) -> Self {
        let CeilingShape { longest_us, rows, total, uses } = shape;
        Self { rows, total, uses, longest: Span(longest_us) }
    }
}

impl From<Envelope> for EnvelopeShape {
    fn from(envelope: Envelope) -> Self {
        Self { rows: envelope.rows, total: envelope.total }
    }
}

impl From<EnvelopeShape> for Envelope {
    fn from(shape: EnvelopeShape) -> Self {
        Self { rows: shape.rows, total: shape.total }
    }
}

impl TermsShape {
    /// Nothing is written where nothing was said.
    pub(super) fn of(terms: &Terms) -> Option<Self> {
        let Terms { uses, valid_for, envelope } = *terms;
        let shape =
            Self { envelope: envelope.map(Into::into), uses, valid_for_us: valid_for.map(|span| span.0) };
        (!terms.is_plain()).then_some(shape)
    }
}

impl From<TermsShape> for Terms {
    fn from(shape: TermsShape) -> Self {
        let TermsShape { envelope, uses, valid_for_us } = shape;
        Self { uses, valid_for: valid_for_us.map(Span), envelope: envelope.map(Into::into) }
    }
}

impl From<&Reach> for ReachShape {
    fn from(reach: &Reach) -> Self {
        Self { ground: reach.ground, parts: reach.parts.clone() }
    }
}

impl From<ReachShape> for Reach {
    fn from(shape: ReachShape) -> Self {
        Self { ground: shape.ground, parts: shape.parts }
    }
}

impl Serialize for PlaceShape {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for PlaceShape {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        text.parse().map(Self).map_err(serde::de::Error::custom)
    }
}

impl From<Bounds> for BoundsShape {
    fn from(bounds: Bounds) -> Self {
        match bounds.rows {
            RowBound::AtMost(rows) => Self { later: false, rows: Some(rows) },
            RowBound::Unbounded => Self { later: false, rows: None },
            RowBound::Later(rows) => Self { later: true, rows: Some(rows) },
        }
    }
}

impl From<BoundsShape> for Bounds {
    fn from(shape: BoundsShape) -> Self {
        let bound = if shape.later { RowBound::Later } else { RowBound::AtMost };
        Self { rows: shape.rows.map_or(RowBound::Unbounded, bound) }
    }
}

impl From<&Step> for StepShape {
    fn from(step: &Step) -> Self {
        Self { digest: step.digest, rows: BoundsShape::from(step.bounds).rows }
    }
}

impl From<StepShape> for Step {
    fn from(shape: StepShape) -> Self {
        Self { digest: shape.digest, bounds: BoundsShape { later: false, rows: shape.rows }.into() }
    }
}

impl From<&Signature> for SignatureShape {
    fn from(signature: &Signature) -> Self {
        Self { assertion: signature.assertion.clone(), credential: signature.credential.clone() }
    }
}

impl From<SignatureShape> for Signature {
    fn from(shape: SignatureShape) -> Self {
        Self { credential: shape.credential, assertion: shape.assertion }
    }
}

/// An outcome as its word, its rows and its code.
pub(crate) fn outcome_parts(outcome: &Outcome) -> (ResultShape, Option<u64>, Option<String>) {
    match outcome {
        Outcome::Done { rows } => (ResultShape::Done, *rows, None),
        Outcome::Failed { code } => (ResultShape::Failed, None, Some(code.clone())),
        Outcome::BeyondBound { rows } => (ResultShape::BeyondBound, Some(*rows), None),
        Outcome::Unknown => (ResultShape::Unknown, None, None),
    }
}

/// The outcome of these parts, if they fit together.
pub(super) fn outcome_of(result: ResultShape, rows: Option<u64>, code: Option<String>) -> Option<Outcome> {
    match result {
        ResultShape::Done => Some(Outcome::Done { rows }),
        ResultShape::Failed => Some(Outcome::Failed { code: code? }),
        ResultShape::BeyondBound => Some(Outcome::BeyondBound { rows: rows? }),
        ResultShape::Unknown => Some(Outcome::Unknown),
    }
}
