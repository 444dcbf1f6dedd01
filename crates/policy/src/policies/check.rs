//! What Cedar does not know about a policy: which annotations mean something here, and who and what exists.

use std::collections::BTreeSet;

use cedar_policy::{EntityUid, Policy};
use countersign_core::catalogue::{Catalogue, PrincipalKind};

use super::Piece;
use crate::diagnostic::{Problems, did_you_mean};
use crate::schema::GATEWAY;

const ANNOTATIONS: &[&str] = &["id", "gate", "reason"];

/// Refuses annotations that mean nothing here: a misspelt `@gate` would make a forbid absolute, or worse be
/// believed to hold.
pub(super) fn annotations(piece: Piece<'_>, policy: &Policy, problems: &mut Problems) {
    for (key, value) in policy.annotations() {
        let place = Some(piece.place(&format!("@{key}")));
        if !ANNOTATIONS.contains(&key) {
            let hint = did_you_mean(key, ANNOTATIONS.iter().copied());
            problems.error(piece.within, place, format!("there is no annotation `@{key}`"), hint);
        } else if key == "reason" && value.trim().is_empty() {
            problems.error(piece.within, place, "this reason is empty".into(), None);
        }
    }
}

/// Refuses policies that name people and things that do not exist: they would silently never match.
pub(super) fn entities(piece: Piece<'_>, policy: &Policy, catalogue: &Catalogue, problems: &mut Problems) {
    let mentioned: BTreeSet<EntityUid> = policy.entity_literals().into_iter().collect();
    for uid in mentioned {
        let (kind, name) = (uid.type_name().to_string(), uid.id().unescaped());
        let Some(known) = known(&kind, catalogue) else { continue };
        if !known.contains(name) {
            let place = Some(piece.place(&format!("{kind}::\"{name}\"")));
            let hint = did_you_mean(name, known.into_iter());
            let message = format!("there is no {} `{name}`", kind.to_lowercase());
            problems.error(piece.within, place, message, hint);
        }
    }
}

/// The names of all entities of a kind; `None` for kinds that validation has judged already. Nothing is
/// known of requests, grants and sessions: a policy is about all of them.
fn known<'a>(kind: &str, catalogue: &'a Catalogue) -> Option<BTreeSet<&'a str>> {
    let principals = |wanted: fn(&PrincipalKind) -> bool| {
        let found = catalogue.principals.iter().filter(move |(_, one)| wanted(&one.kind));
        found.map(|(id, _)| id.as_str()).collect()
    };
    match kind {
        "User" => Some(principals(|kind| matches!(kind, PrincipalKind::User))),
        "Service" => Some(principals(|kind| matches!(kind, PrincipalKind::Service { .. }))),
        "Agent" => Some(principals(|kind| matches!(kind, PrincipalKind::Agent { .. }))),
        "Group" => Some(catalogue.groups.keys().map(|id| id.as_str()).collect()),
        "Role" => Some(catalogue.roles.keys().map(|id| id.as_str()).collect()),
        "Resource" => Some(catalogue.resources.keys().map(|id| id.as_str()).collect()),
        "Gateway" => Some(BTreeSet::from([GATEWAY])),
        "Request" | "Grant" | "Session" => Some(BTreeSet::new()),
        _ => None,
    }
}
