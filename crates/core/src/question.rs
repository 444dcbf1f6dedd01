//! What is asked of policy: who, in which roles, does what, to what, in which circumstances.

use std::collections::{BTreeMap, BTreeSet};

use crate::ids::{ActionName, GrantId, PersonId, PrincipalId, RequestId, ResourceId, RoleId, SessionId};
use crate::time::{At, Span};

/// One question. Policy answers with a [`Ruling`](crate::ruling::Ruling).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    /// Who acts.
    pub principal: PrincipalId,
    /// The roles in which they act: those of the grants that are live for this action.
    pub roles: BTreeSet<RoleId>,
    /// What they attempt.
    pub action: ActionName,
    /// To what.
    pub target: Target,
    /// The circumstances, by the names of the policy schema.
    pub context: Context,
}

/// Circumstances by name. A name that the schema does not know is an error, hence a deny.
pub type Context = BTreeMap<&'static str, Value>;

/// One circumstance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// True or false.
    Bool(bool),
    /// A whole number.
    Long(i64),
    /// A text.
    Text(String),
    /// A set of texts.
    Texts(BTreeSet<String>),
    /// A length of time (Cedar `duration`).
    Span(Span),
    /// An instant (Cedar `datetime`).
    At(At),
    /// An IP address (Cedar `ipaddr`).
    Ip(std::net::IpAddr),
    /// Texts under names that whoever acts has chosen, such as the arguments of a call.
    Fields(BTreeMap<String, String>),
    /// Whole numbers under such names.
    Numbers(BTreeMap<String, i64>),
}

/// What an action is done to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// A protected resource.
    Resource(ResourceId),
    /// A role that somebody asks for.
    Role(RoleId),
    /// A request that somebody wants to answer, read or withdraw.
    Request {
        /// Which.
        id: RequestId,
        /// Whose.
        principal: PrincipalId,
        /// Whose person.
        person: PersonId,
        /// The action it would allow.
        action: ActionName,
    },
    /// A grant.
    Grant {
        /// Which.
        id: GrantId,
        /// Whose.
        principal: PrincipalId,
        /// Whose person.
        person: PersonId,
        /// The role held.
        role: RoleId,
    },
    /// A session.
    Session {
        /// Which.
        id: SessionId,
        /// Whose.
        principal: PrincipalId,
        /// Whose person.
        person: PersonId,
    },
    /// An account.
    Principal(PrincipalId),
    /// The gateway itself: its policy, its ledger.
    Gateway,
}
