//! Which policies can apply to a question at all.
//!
//! Judging a policy costs a few microseconds, so those whose head does not match are left out beforehand: by
//! action when the bundle is compiled, by principal and resource when a question comes. Only the head is
//! looked at, by the same rules as Cedar's; the whole policy, head included, is then judged by Cedar. A
//! property test holds both against each other.

use std::collections::BTreeSet;

use cedar_policy::{ActionConstraint, EntityUid, Policy, PrincipalConstraint, ResourceConstraint};

use crate::actions::{self, Spec};

/// The head of a policy, for one side.
#[derive(Clone, Debug)]
pub(crate) enum Side {
    Any,
    Is(String),
    Equals(EntityUid),
    In(EntityUid),
    IsIn(String, EntityUid),
}

/// The head of a policy.
#[derive(Clone, Debug)]
pub(crate) struct Scope {
    pub(crate) principal: Side,
    pub(crate) resource: Side,
    /// Action words; `None` is every action.
    actions: Option<BTreeSet<String>>,
}

/// One side of a question: an entity and everything it is in.
#[derive(Clone, Debug)]
pub(crate) struct Party {
    pub(crate) kind: &'static str,
    pub(crate) uid: EntityUid,
    pub(crate) within: BTreeSet<EntityUid>,
}

impl Scope {
    pub(crate) fn of(policy: &Policy) -> Self {
        Self {
            principal: match policy.principal_constraint() {
                PrincipalConstraint::Any => Side::Any,
                PrincipalConstraint::Is(kind) => Side::Is(kind.to_string()),
                PrincipalConstraint::Eq(uid) => Side::Equals(uid),
                PrincipalConstraint::In(uid) => Side::In(uid),
                PrincipalConstraint::IsIn(kind, uid) => Side::IsIn(kind.to_string(), uid),
            },
            resource: match policy.resource_constraint() {
                ResourceConstraint::Any => Side::Any,
                ResourceConstraint::Is(kind) => Side::Is(kind.to_string()),
                ResourceConstraint::Eq(uid) => Side::Equals(uid),
                ResourceConstraint::In(uid) => Side::In(uid),
                ResourceConstraint::IsIn(kind, uid) => Side::IsIn(kind.to_string(), uid),
            },
            actions: match policy.action_constraint() {
                ActionConstraint::Any => None,
                ActionConstraint::Eq(uid) => Some(descendants(&[uid], false)),
                ActionConstraint::In(uids) => Some(descendants(&uids, true)),
            },
        }
    }

    pub(crate) fn has_action(&self, spec: &Spec) -> bool {
        self.actions.as_ref().is_none_or(|actions| actions.contains(spec.name))
    }

    pub(crate) fn has_parties(&self, principal: &Party, resource: &Party) -> bool {
        self.principal.has(principal) && self.resource.has(resource)
    }
}

impl Side {
    fn has(&self, party: &Party) -> bool {
        match self {
            Self::Any => true,
            Self::Is(kind) => kind == party.kind,
            Self::Equals(uid) => *uid == party.uid,
            Self::In(uid) => party.is_in(uid),
            Self::IsIn(kind, uid) => kind == party.kind && party.is_in(uid),
        }
    }

    /// The entity that the head names.
    pub(crate) fn names(&self) -> Option<&EntityUid> {
        match self {
            Self::Any | Self::Is(_) => None,
            Self::Equals(uid) | Self::In(uid) | Self::IsIn(_, uid) => Some(uid),
        }
    }
}

impl Party {
    fn is_in(&self, uid: &EntityUid) -> bool {
        *uid == self.uid || self.within.contains(uid)
    }
}

/// The actions that are, or with `below` also those that are in, one of `uids`.
fn descendants(uids: &[EntityUid], below: bool) -> BTreeSet<String> {
    let named = |word: &str| uids.iter().any(|uid| uid.id().unescaped() == word);
    let specs = actions::ACTIONS.iter().filter(|spec| {
        if below { actions::lineage(spec).iter().any(|word| named(word)) } else { named(spec.name) }
    });
    specs.map(|spec| spec.name.to_owned()).collect()
}
