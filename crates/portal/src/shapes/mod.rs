//! The shapes of the HTTP API, one module per subject.
//!
//! They are the API's own: nothing of the core is serialised directly, so that the inside may move while
//! clients stay. Instants are RFC 3339 in UTC, lengths of time whole seconds (`*_s`), identifiers and names
//! text. Every thing has an `id` and a `state`. A member that does not apply is absent, never null.

pub mod accesses;
pub mod bundle;
pub mod catalogue;
pub mod consents;
pub mod devices;
pub mod grants;
pub mod identity;
pub mod ledger;
pub mod people;
pub mod programs;
pub mod requests;
pub mod roles;
pub mod secrets;
pub mod sessions;
pub mod setup;
pub mod status;
pub mod trial;
pub mod workbenches;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A list, newest first.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct List<T> {
    /// What the caller may see.
    pub items: Vec<T>,
}

/// Why something is done. Kept beside the chain, encrypted.
#[derive(Clone, Debug, Default, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Reason {
    /// In the caller's words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, max_length = 4000)]
    pub reason: Option<String>,
}

/// The verdict of policy: it may happen, it may not, or somebody has to say yes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// Nobody needs to be asked.
    Allow,
    /// Nothing lifts it.
    Deny,
    /// It waits until its approval rules are satisfied.
    Hold,
}

/// How bad it would be (FIPS 199).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Impact {
    /// Limited adverse effect.
    Low,
    /// Serious adverse effect.
    Moderate,
    /// Severe or catastrophic adverse effect.
    High,
}

impl From<countersign_core::catalogue::Impact> for Impact {
    fn from(impact: countersign_core::catalogue::Impact) -> Self {
        match impact {
            countersign_core::catalogue::Impact::Low => Self::Low,
            countersign_core::catalogue::Impact::Moderate => Self::Moderate,
            countersign_core::catalogue::Impact::High => Self::High,
        }
    }
}
