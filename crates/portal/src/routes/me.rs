//! Who the caller is.

use std::collections::BTreeSet;

use axum::Json;
use axum::extract::State;
use countersign_core::ActionName;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::guard::SignedIn;
use crate::origin::unauthenticated;
use crate::problem::{Problem, Problems};
use crate::rooms::Rooms;
use crate::shapes::people::{Me, PrincipalState};

/// What clients offer or leave out as a whole, by the action on the gateway itself that it needs.
const OFFERED: &[&str] = &["ledger.export", "ledger.read", "policy.read"];
/// The same where an approval may be waited for.
const OFFERED_WITH_APPROVAL: &[&str] = &["policy.apply"];
/// The same by the action on a principal of another person.
const OFFERED_ON_OTHERS: &[&str] = &[
    "authenticator.reset",
    "principal.disable",
    "principal.enable",
    "principal.read",
    "sign_in.end",
    "sign_in.read",
];
/// How many principals are tried for that. Policies speak of groups, so the first of them mostly decides; and what is not
/// offered may be done nevertheless.
const OTHERS_TRIED_MAX: usize = 64;

pub(crate) fn router() -> OpenApiRouter<Rooms> {
    OpenApiRouter::new().routes(routes!(me))
}

/// Who the caller is and what they may do.
#[utoipa::path(
    get, path = "/me", tag = "me", operation_id = "me",
    responses((status = 200, description = "The caller", body = Me), Problems)
)]
async fn me(State(rooms): State<Rooms>, SignedIn(caller): SignedIn) -> Result<Json<Me>, Problem> {
    let snapshot = rooms.engine.snapshot();
    let catalogue = &snapshot.book.catalogue;
    let principal = catalogue.principals.get(&caller.principal).ok_or_else(unauthenticated)?;
    let permitted = |action: &&&str| rooms.engine.permitted(&caller, &ActionName::new(action));
    let in_the_end = |action: &&&str| rooms.engine.permitted_in_the_end(&caller, &ActionName::new(action));
    let others = || catalogue.principals.iter().filter(|(_, other)| other.person != principal.person);
    let permitted_on_others = |action: &&&str| {
        others().take(OTHERS_TRIED_MAX).any(|(id, _)| rooms.engine.permitted_on(&caller, action, id))
    };
    let offered = OFFERED.iter().filter(permitted).chain(OFFERED_WITH_APPROVAL.iter().filter(in_the_end));
    let offered = offered.chain(OFFERED_ON_OTHERS.iter().filter(permitted_on_others));
    Ok(Json(Me {
        id: caller.principal.to_string(),
        state: PrincipalState::Enabled,
        principal: caller.principal.to_string(),
        person: principal.person.to_string(),
        name: super::principals::called(&rooms.engine, &caller.principal, principal),
        groups: catalogue.groups_of(&caller.principal).iter().map(ToString::to_string).collect(),
        capabilities: offered.map(ToString::to_string).collect::<BTreeSet<String>>().into_iter().collect(),
        signed_in_at: caller.signed_in_at.rfc3339(),
        means: caller.proof.means.iter().map(Into::into).collect(),
        new_places: rooms.engine.new_places(&caller).into_iter().map(Into::into).collect(),
        grants: super::grants::own(&rooms, caller).await?,
        now: rooms.engine.now().rfc3339(),
    }))
}
