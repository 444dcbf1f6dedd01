//! Sessions: who is connected, and what they did.

use countersign_engine::views::{PausedView, SessionView};
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

impl SessionState {
    /// The state in one word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::Ended => "ended",
        }
    }
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
    /// How people call them.
    pub display: String,
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
    /// Nothing new is begun in it as long as this is here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub paused: Option<SessionPaused>,
    /// What the caller may do about it.
    pub can: SessionCan,
}

/// That a session is paused.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct SessionPaused {
    /// Who paused it.
    pub by: String,
    /// How people call them.
    pub display: String,
    /// Since when.
    #[schema(format = DateTime)]
    pub at: String,
    /// Why, in their words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub reason: Option<String>,
}

/// What the caller may do about a session.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, ToSchema)]
pub struct SessionCan {
    /// End it.
    pub end: bool,
    /// Pause it.
    pub pause: bool,
    /// Let it go on.
    pub resume: bool,
}

/// Why a session is paused.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PauseReason {
    /// Why, for whoever waits in it and for the record.
    #[schema(max_length = 4000)]
    pub reason: String,
}

impl From<SessionView> for Session {
    fn from(view: SessionView) -> Self {
        let state =
            if view.state == SessionState::Live.as_str() { SessionState::Live } else { SessionState::Ended };
        Self {
            id: view.id.to_string(),
            state,
            principal: view.principal.id.to_string(),
            display: view.principal.display,
            person: view.person.to_string(),
            role: view.role.to_string(),
            resource: view.resource.to_string(),
            door: view.door,
            address: view.address,
            application: view.application,
            opened_at: view.opened_at.rfc3339(),
            ended_at: view.ended.map(|(at, _)| at.rfc3339()),
            ending: view.ended.map(|(_, why)| why.as_str().to_owned()),
            grant: view.grant.to_string(),
            purpose: view.purpose,
            paused: view.paused.map(Into::into),
            can: SessionCan { end: view.can_end, pause: view.can_pause, resume: view.can_resume },
        }
    }
}

impl From<PausedView> for SessionPaused {
    fn from(view: PausedView) -> Self {
        let PausedView { by, at, reason } = view;
        Self { by: by.id.to_string(), display: by.display, at: at.rfc3339(), reason }
    }
}

/// From where a session is followed.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct FollowFrom {
    /// From this line on; from the session's beginning without it.
    pub from: Option<u64>,
}

/// Lines of a session, as they come.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct FollowedLines {
    /// The lines, in order.
    pub items: Vec<super::ledger::Event>,
    /// Give this as `from` to go on after the stream was lost.
    pub next: u64,
    /// The session is over: nothing follows.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub over: bool,
}
