//! Grants: who holds what, until when.

use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

/// Which grants.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct GrantFilter {
    /// Only those in this state; without it, those that are live.
    #[param(inline)]
    pub state: Option<GrantState>,
    /// Only the caller's own.
    #[serde(default)]
    pub mine: bool,
}

/// Where a grant stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum GrantState {
    /// It holds.
    Live,
    /// Its hour came.
    Expired,
    /// Somebody ended it.
    Revoked,
    /// Its holder gave it back.
    Relinquished,
}

/// A live, time-bound membership of a principal in a role.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Grant {
    /// Which.
    pub id: String,
    /// Where it stands.
    pub state: GrantState,
    /// Who holds it.
    pub principal: String,
    /// The human behind them.
    pub person: String,
    /// In which role.
    pub role: String,
    /// What the role reaches.
    pub resources: Vec<String>,
    /// The request it followed from.
    pub request: String,
    /// From when, inclusive.
    #[schema(format = DateTime)]
    pub not_before: String,
    /// Until when, exclusive.
    #[schema(format = DateTime)]
    pub not_after: String,
    /// Why it was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub purpose: Option<String>,
    /// How it ended before its hour.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub ended: Option<GrantEnd>,
    /// What the caller may do about it.
    pub can: GrantCan,
}

/// How a grant ended before its hour.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct GrantEnd {
    /// When.
    #[schema(format = DateTime)]
    pub at: String,
    /// Who ended it.
    pub by: String,
}

/// What the caller may do about a grant.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, ToSchema)]
pub struct GrantCan {
    /// End it.
    pub revoke: bool,
    /// Give it back.
    pub relinquish: bool,
}
