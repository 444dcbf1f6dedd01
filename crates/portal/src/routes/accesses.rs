//! Who could, who did.

use axum::Json;
use axum::extract::State;
use countersign_core::{PersonId, ResourceId};
use countersign_engine::accesses::{ACTS_MAX, AccessQuery};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::bad;
use super::trial::instant;
use crate::extract::Query;
use crate::guard::SignedIn;
use crate::problem::{Problem, Problems};
use crate::rooms::Rooms;
use crate::shapes::accesses::{AccessFilter, AccessReport};

/// How many acts are shown one by one unless the caller says otherwise.
const ACTS: usize = 500;

pub(crate) fn router() -> OpenApiRouter<Rooms> {
    OpenApiRouter::new().routes(routes!(accesses))
}

/// Who had access to a resource or as a person, by which grant, who approved it, and what they did; reading it is recorded.
#[utoipa::path(
    get, path = "/accesses", tag = "ledger", operation_id = "accesses", params(AccessFilter),
    responses((status = 200, description = "Grants, and what was done under them", body = AccessReport), Problems)
)]
async fn accesses(
    State(rooms): State<Rooms>,
    SignedIn(caller): SignedIn,
    Query(filter): Query<AccessFilter>,
) -> Result<Json<AccessReport>, Problem> {
    let query = AccessQuery {
        resource: filter.resource.map(|name| name.parse::<ResourceId>()).transpose().map_err(bad)?,
        person: filter.person.map(|name| name.parse::<PersonId>()).transpose().map_err(bad)?,
        from: instant(&filter.from)?,
        until: instant(&filter.until)?,
        acts: filter.acts.unwrap_or(ACTS).min(ACTS_MAX),
    };
    let from = query.from.rfc3339();
    let report = rooms.engine.accesses(&caller, query).await?;
    Ok(Json(AccessReport::new(report, from)))
}
