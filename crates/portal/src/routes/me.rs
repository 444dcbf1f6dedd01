//! Who the caller is.

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

/// What clients offer or leave out as a whole, by the action that it needs.
const OFFERED: &[&str] = &["ledger.export", "ledger.read", "policy.apply", "policy.read"];

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
    Ok(Json(Me {
        id: caller.principal.to_string(),
        state: PrincipalState::Enabled,
        principal: caller.principal.to_string(),
        person: principal.person.to_string(),
        name: principal.display.clone(),
        groups: catalogue.groups_of(&caller.principal).iter().map(ToString::to_string).collect(),
        capabilities: OFFERED.iter().filter(permitted).map(ToString::to_string).collect(),
        signed_in_at: caller.signed_in_at.rfc3339(),
        grants: super::grants::own(&rooms, caller).await?,
        now: rooms.engine.now().rfc3339(),
    }))
}
