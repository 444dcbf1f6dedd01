//! Grants: a live, time-bound membership of a principal in a role.
//!
//! A grant is over when its hour has come, whether or not that was written down; `Expired` only records it.

use serde::{Deserialize, Serialize};

use crate::ids::{Digest, GrantId, PersonId, PrincipalId, RequestId, RoleId};
use crate::time::At;

/// What is done about grants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Ends somebody's grant. The ruling in the facts is on `grant.revoke`.
    Revoke {
        /// Which.
        grant: GrantId,
        /// Who says so.
        by: PrincipalId,
        /// Commitment to the reason.
        reason: Option<Digest>,
    },
    /// Gives back one's own.
    Relinquish {
        /// Which.
        grant: GrantId,
        /// Who says so.
        by: PrincipalId,
    },
}

/// What happened to a grant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Event {
    /// It begins.
    Issued {
        /// Which.
        grant: GrantId,
        /// On which request.
        request: RequestId,
        /// To whom.
        principal: PrincipalId,
        /// Their person.
        person: PersonId,
        /// In which role.
        role: RoleId,
        /// From when, inclusive.
        not_before: At,
        /// Until when, exclusive.
        not_after: At,
    },
    /// Its hour has come.
    Expired {
        /// Which.
        grant: GrantId,
    },
    /// Somebody ended it.
    Revoked {
        /// Which.
        grant: GrantId,
        /// Who; the gateway itself when a principal was disabled.
        by: PrincipalId,
        /// Commitment to the reason.
        reason: Option<Digest>,
    },
    /// Its holder gave it back.
    Relinquished {
        /// Which.
        grant: GrantId,
    },
}

/// A grant and where it stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grant {
    /// Which.
    pub id: GrantId,
    /// On which request.
    pub request: RequestId,
    /// To whom.
    pub principal: PrincipalId,
    /// Their person.
    pub person: PersonId,
    /// In which role.
    pub role: RoleId,
    /// From when, inclusive.
    pub not_before: At,
    /// Until when, exclusive.
    pub not_after: At,
    /// Where it stands.
    pub state: State,
}

/// Where a grant stands. `Live` still needs the hour to be asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum State {
    /// Not ended by anybody.
    Live,
    /// Its hour came.
    Expired {
        /// When that was recorded.
        at: At,
    },
    /// Somebody ended it.
    Revoked {
        /// When.
        at: At,
        /// Who.
        by: PrincipalId,
        /// Commitment to the reason.
        reason: Option<Digest>,
    },
    /// Given back.
    Relinquished {
        /// When.
        at: At,
    },
}

impl Grant {
    /// Whether it holds at `now`: `not_before <= now < not_after`, and nobody ended it.
    #[must_use]
    pub fn is_live(&self, now: At) -> bool {
        self.state == State::Live && self.not_before <= now && now < self.not_after
    }

    /// The state in one word at `now`: `live`, `expired`, `revoked`, `relinquished`.
    #[must_use]
    pub fn state_at(&self, now: At) -> &'static str {
        match &self.state {
            State::Live if now < self.not_after => "live",
            State::Live | State::Expired { .. } => "expired",
            State::Revoked { .. } => "revoked",
            State::Relinquished { .. } => "relinquished",
        }
    }
}
