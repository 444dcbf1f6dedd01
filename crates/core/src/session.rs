//! Sessions: one client connection through a door.
//!
//! A session stands on a principal's membership in a role, not on one grant: when one of two overlapping
//! grants ends, it goes on under the other.

use serde::{Deserialize, Serialize};

use crate::ids::{Digest, GrantId, PersonId, PrincipalId, ResourceId, RoleId, SessionId};
use crate::time::At;

/// What is done about sessions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// A client came through a door and proved who it is. The ruling in the facts is on opening the session.
    Open(Opening),
    /// A session is over.
    Close {
        /// Which.
        session: SessionId,
        /// Why.
        why: Ending,
    },
    /// Somebody ends a session. The ruling in the facts is on `session.end`.
    End {
        /// Which.
        session: SessionId,
        /// Who says so.
        by: PrincipalId,
    },
    /// Somebody pauses a session: nothing new is begun in it until somebody resumes it. The ruling in the facts is on
    /// `session.pause`.
    Pause {
        /// Which.
        session: SessionId,
        /// Who says so.
        by: PrincipalId,
        /// Commitment to why.
        reason: Option<Digest>,
    },
    /// Somebody lets a paused session go on. The ruling in the facts is on `session.resume`.
    Resume {
        /// Which.
        session: SessionId,
        /// Who says so.
        by: PrincipalId,
        /// Commitment to why.
        reason: Option<Digest>,
    },
}

/// A session about to begin.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Opening {
    /// Minted by the caller.
    pub session: SessionId,
    /// Who.
    pub principal: PrincipalId,
    /// On what.
    pub resource: ResourceId,
    /// In which role.
    pub role: RoleId,
    /// The door's protocol: `postgres`.
    pub door: String,
    /// Commitment to the client's address and program.
    pub content: Option<Digest>,
}

/// What happened to a session.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Event {
    /// It began.
    Opened {
        /// Its particulars.
        opening: Opening,
        /// Who answers for the principal.
        person: PersonId,
        /// The grant it stood on then.
        grant: GrantId,
    },
    /// Somebody ordered its end.
    EndOrdered {
        /// Which.
        session: SessionId,
        /// Who.
        by: PrincipalId,
    },
    /// Nothing new is begun in it from here on.
    Locked {
        /// Which.
        session: SessionId,
        /// Who paused it.
        by: PrincipalId,
        /// Commitment to why.
        reason: Option<Digest>,
    },
    /// It goes on.
    Unlocked {
        /// Which.
        session: SessionId,
        /// Who resumed it.
        by: PrincipalId,
        /// Commitment to why.
        reason: Option<Digest>,
    },
    /// It is over.
    Closed {
        /// Which.
        session: SessionId,
        /// Why.
        why: Ending,
    },
}

/// Why a session ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ending {
    /// The client left.
    User,
    /// Its grant is over: expired.
    GrantEnd,
    /// Its grant was revoked or relinquished.
    Revoked,
    /// The principal was disabled.
    Disabled,
    /// Policy no longer permits it.
    Policy,
    /// Somebody ended it.
    Kill,
    /// It was idle for too long.
    Idle,
    /// A limit was reached.
    Limit,
    /// The target went away.
    Upstream,
    /// The protocol was violated, or another error.
    Error,
    /// The gateway stopped, or was started again after a crash.
    Gateway,
}

/// A session that is open.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Session {
    /// Its particulars.
    pub opening: Opening,
    /// Who answers for the principal.
    pub person: PersonId,
    /// The grant it stood on when it was opened.
    pub grant: GrantId,
    /// When.
    pub opened_at: At,
    /// Who ordered its end.
    pub end_ordered: Option<PrincipalId>,
    /// Nothing new is begun in it, if it is paused.
    pub paused: Option<Pause>,
}

/// That a session is paused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pause {
    /// Who paused it.
    pub by: PrincipalId,
    /// Since when.
    pub at: At,
    /// Commitment to why.
    pub reason: Option<Digest>,
}

impl Ending {
    /// The reason in one word, as the ledger has it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::GrantEnd => "grant_end",
            Self::Revoked => "revoked",
            Self::Disabled => "disabled",
            Self::Policy => "policy",
            Self::Kill => "kill",
            Self::Idle => "idle",
            Self::Limit => "limit",
            Self::Upstream => "upstream",
            Self::Error => "error",
            Self::Gateway => "gateway",
        }
    }
}
