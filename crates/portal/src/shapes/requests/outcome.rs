//! How what was approved ended.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// How an approved action ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Outcome {
    /// In one word.
    pub result: OutcomeResult,
    /// Rows touched; for `beyond_bound` those it would have touched.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub rows: Option<u64>,
    /// The target's error code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub code: Option<String>,
    /// Bytes of the answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub bytes: Option<u64>,
    /// How long it took, in microseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub micros: Option<u64>,
    /// Where the transaction stands that it was done in. Absent where nothing of it stands, or none is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub transaction: Option<OutcomeTransaction>,
}

/// Where a transaction stands, in one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum OutcomeTransaction {
    /// It goes on: what was done may still be undone.
    Open,
    /// It is committed.
    Committed,
    /// It was rolled back: nothing of what was done stands.
    RolledBack,
    /// Nobody can know, or it differs for parts of what was done.
    Unknown,
}

/// How an approved action ended, in one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum OutcomeResult {
    /// It runs, or nobody has said how it ended yet.
    Running,
    /// The target did it.
    Done,
    /// The target refused, or it was rolled back.
    Failed,
    /// It touched more rows than were approved and was rolled back.
    BeyondBound,
    /// Nobody can know. It is never retried.
    Unknown,
}
