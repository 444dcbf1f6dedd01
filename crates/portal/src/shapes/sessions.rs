//! Sessions: who is connected, and what they did.

use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

/// Which sessions.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct SessionFilter {
    /// Only those in this state; without it, those that are open.
    #[param(inline)]
    pub state: Option<SessionState>,
}

/// Which lines of a session.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ActionFilter {
    /// Only lines before this index.
    pub before: Option<u64>,
    /// At most so many.
    #[param(minimum = 1, maximum = 500)]
    pub limit: Option<usize>,
}

/// Whether a session goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum SessionState {
    /// It goes on.
    Live,
    /// It is over.
    Ended,
}

/// One client connection through a door.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Session {
    /// Which.
    pub id: String,
    /// Whether it goes on.
    pub state: SessionState,
    /// Who.
    pub principal: String,
    /// The human behind them.
    pub person: String,
    /// In which role.
    pub role: String,
    /// On what.
    pub resource: String,
    /// The door's protocol: `postgres`.
    pub door: String,
    /// The client's address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub address: Option<String>,
    /// The client's program, as it calls itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub application: Option<String>,
    /// When it began.
    #[schema(format = DateTime)]
    pub opened_at: String,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, format = DateTime)]
    pub ended_at: Option<String>,
    /// Why it ended, in one word: `user`, `revoked`, `grant_end`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub ending: Option<String>,
    /// The grant it stood on when it began.
    pub grant: String,
    /// Why it is needed: the grant's purpose.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub purpose: Option<String>,
    /// What the caller may do about it.
    pub can: SessionCan,
}

/// What the caller may do about a session.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, ToSchema)]
pub struct SessionCan {
    /// End it.
    pub end: bool,
}
