//! Grants: looking, ending, giving back.

use axum::Json;
use axum::extract::State;
use countersign_core::GrantId;
use countersign_engine::Caller;
use countersign_engine::views::GrantFilter as Filter;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::reading;
use crate::extract::{MaybeJson, Query, Segment};
use crate::guard::SignedIn;
use crate::problem::{Problem, Problems};
use crate::rooms::Rooms;
use crate::shapes::grants::{Grant, GrantFilter};
use crate::shapes::{List, Reason};

pub(crate) fn router() -> OpenApiRouter<Rooms> {
    OpenApiRouter::new().routes(routes!(grants)).routes(routes!(revoke)).routes(routes!(relinquish))
}

/// Grants that the caller may see, newest first.
#[utoipa::path(
    get, path = "/grants", tag = "grants", operation_id = "grants",
    params(GrantFilter),
    responses((status = 200, description = "Grants", body = List<Grant>), Problems)
)]
async fn grants(
    State(rooms): State<Rooms>,
    SignedIn(caller): SignedIn,
    Query(query): Query<GrantFilter>,
) -> Result<Json<List<Grant>>, Problem> {
    let filter = Filter { state: query.state.map(|state| state.as_str()), mine: query.mine };
    Ok(Json(List { items: seen(&rooms, caller, filter).await? }))
}

/// Ends somebody's grant and cuts what stands on it.
#[utoipa::path(
    post, path = "/grants/{id}/revoke", tag = "grants", operation_id = "revoke",
    params(("id" = String, Path, description = "the grant's identifier")),
    request_body = Reason,
    responses((status = 200, description = "The grant as it stands then", body = Grant), Problems)
)]
async fn revoke(
    State(rooms): State<Rooms>,
    SignedIn(caller): SignedIn,
    id: Segment,
    MaybeJson(reason): MaybeJson<Reason>,
) -> Result<Json<Grant>, Problem> {
    let id: GrantId = id.parse()?;
    rooms.engine.revoke(&caller, id, reason.reason).await?;
    one(&rooms, caller, id).await
}

/// Gives back a grant of one's own.
#[utoipa::path(
    post, path = "/grants/{id}/relinquish", tag = "grants", operation_id = "relinquish",
    params(("id" = String, Path, description = "the grant's identifier")),
    responses((status = 200, description = "The grant as it stands then", body = Grant), Problems)
)]
async fn relinquish(
    State(rooms): State<Rooms>,
    SignedIn(caller): SignedIn,
    id: Segment,
) -> Result<Json<Grant>, Problem> {
    let id: GrantId = id.parse()?;
    rooms.engine.relinquish(&caller, id).await?;
    one(&rooms, caller, id).await
}

/// The caller's own live grants.
pub(super) async fn own(rooms: &Rooms, caller: Caller) -> Result<Vec<Grant>, Problem> {
    seen(rooms, caller, Filter { state: None, mine: true }).await
}

async fn seen(rooms: &Rooms, caller: Caller, filter: Filter) -> Result<Vec<Grant>, Problem> {
    let views = reading(rooms, move |engine| engine.grant_views(&caller, filter)).await?;
    Ok(views.into_iter().map(Into::into).collect())
}

async fn one(rooms: &Rooms, caller: Caller, id: GrantId) -> Result<Json<Grant>, Problem> {
    let view = reading(rooms, move |engine| engine.grant_view(&caller, id)).await??;
    Ok(Json(view.into()))
}
