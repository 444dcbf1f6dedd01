//! What the lines of decisions say beside their envelope. Members in the order of their names.

use countersign_core::request::{Voidance, Withdrawal};
use countersign_core::session::Ending;
use countersign_core::{ActionName, BundleHash, Digest, DirectoryName, GroupId};
use serde::{Deserialize, Serialize};

use crate::line::shapes::{
    BoundsShape, EnvelopeShape, GateShape, ReachShape, ResultShape, SignatureShape, StepShape, TermsShape,
    TransactionShape,
};
use crate::line::{Sealed, Stamp};

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Nothing {}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct AskedData {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) action: Option<ActionName>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) bounds: Option<BoundsShape>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) content: Option<Sealed>,
    pub(super) gates: Vec<GateShape>,
    pub(super) lapses_at: Stamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) lasting_us: Option<i64>,
    pub(super) locked: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) proposed: Option<BundleHash>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) reach: Option<ReachShape>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) steps: Vec<StepShape>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct AnswerData {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) comment: Option<Sealed>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) signature: Option<SignatureShape>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) terms: Option<TermsShape>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ReceiptData {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) envelope: Option<EnvelopeShape>,
    pub(super) uses: u32,
    pub(super) valid_until: Stamp,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct UsedData {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) rows: Option<u64>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WithdrawnData {
    pub(super) why: Withdrawal,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct VoidedData {
    pub(super) why: Voidance,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct EscalatedData {
    pub(super) step: u32,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SettledData {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) bytes: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) code: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) data: Option<Digest>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) digest: Option<Sealed>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) kept: Option<Sealed>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) micros: Option<u64>,
    pub(super) result: ResultShape,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) rows: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) transaction: Option<TransactionShape>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ConcludedData {
    /// The first use that it is said of, counted from one.
    pub(super) from: u32,
    pub(super) transaction: TransactionShape,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct IssuedData {
    pub(super) not_after: Stamp,
    pub(super) not_before: Stamp,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ReasonData {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) reason: Option<Sealed>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct OpenedData {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) content: Option<Sealed>,
    pub(super) door: String,
}

/// Without a reason: its end was ordered. With one: it is over.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TerminatedData {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) why: Option<Ending>,
}

/// What a directory says of an account.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ToldData {
    pub(super) active: bool,
    pub(super) directory: DirectoryName,
    pub(super) groups: Vec<GroupId>,
    pub(super) record: Digest,
}

/// Which directory a line is about.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct DirectoryData {
    pub(super) directory: DirectoryName,
}

/// Whether a line about an account is the word of a directory.
#[derive(Debug, Deserialize)]
pub(super) struct Whose {
    #[serde(default)]
    pub(super) directory: Option<DirectoryName>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ActivatedData {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) previous: Option<BundleHash>,
    pub(super) version: u64,
}
