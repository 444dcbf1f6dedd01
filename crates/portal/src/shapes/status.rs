//! How the gateway is, and what changed.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// How the gateway is.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Health {
    /// Always `gateway`.
    pub id: String,
    /// Whether it takes actions.
    pub state: HealthState,
    /// Since when it does not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, format = DateTime)]
    pub since: Option<String>,
    /// It is to be set up, by whoever started it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub setup: bool,
}

/// Whether the gateway takes actions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum HealthState {
    /// It does.
    Ok,
    /// The ledger cannot take lines: actions are refused until it can.
    Degraded,
}

/// What changed. Sent as `event: change` of the event stream.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Change {
    /// The ledger's size after the change.
    pub index: u64,
    /// What a client that shows them should read again.
    pub topics: Vec<Topic>,
}

/// A subject that changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Topic {
    /// Requests.
    Requests,
    /// Grants.
    Grants,
    /// Sessions.
    Sessions,
    /// Principals.
    Principals,
    /// The bundle.
    Bundle,
    /// Anything in the ledger.
    Ledger,
}

impl Topic {
    /// Every subject.
    pub const ALL: [Self; 6] =
        [Self::Requests, Self::Grants, Self::Sessions, Self::Principals, Self::Bundle, Self::Ledger];

    /// The subject of that name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|topic| topic.as_str() == name)
    }

    fn as_str(self) -> &'static str {
        match self {
            Self::Requests => "requests",
            Self::Grants => "grants",
            Self::Sessions => "sessions",
            Self::Principals => "principals",
            Self::Bundle => "bundle",
            Self::Ledger => "ledger",
        }
    }
}
