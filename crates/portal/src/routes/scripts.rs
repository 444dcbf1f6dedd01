//! Putting a script forward.

use axum::Json;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::StatusCode;
use countersign_core::{ResourceId, RoleId};
use countersign_engine::AskScript as Script;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::bad;
use super::requests::one;
use crate::extract::Json as Body;
use crate::guard::SignedIn;
use crate::problem::{Problem, Problems};
use crate::rooms::Rooms;
use crate::shapes::requests::{AskScript, Request};

/// The longest body: a script that may be shown, each of whose characters is escaped, and words.
const SCRIPT_BYTES_MAX: usize = 2 * 1024 * 1024;

pub(crate) fn router() -> OpenApiRouter<Rooms> {
    OpenApiRouter::new().routes(routes!(ask_script)).layer(DefaultBodyLimit::max(SCRIPT_BYTES_MAX))
}

/// Puts a script forward: each statement is shown, the whole is approved, and it is run by the caller's own client.
#[utoipa::path(
    post, path = "/scripts", tag = "requests", operation_id = "ask_script",
    request_body = AskScript,
    responses(
        (status = 201, description = "It is put forward; its state says whether it waits", body = Request),
        Problems,
    )
)]
async fn ask_script(
    State(rooms): State<Rooms>,
    SignedIn(caller): SignedIn,
    Body(wanted): Body<AskScript>,
) -> Result<(StatusCode, Json<Request>), Problem> {
    let role: Option<RoleId> = wanted.role.as_deref().map(str::parse).transpose().map_err(bad)?;
    let resource: ResourceId = wanted.resource.parse().map_err(bad)?;
    let AskScript { text, settings, reason: purpose, ticket, .. } = wanted;
    let script = Script { resource, role, text, settings, purpose, ticket };
    let id = rooms.engine.ask_script(&caller, script).await?;
    Ok((StatusCode::CREATED, one(&rooms, caller, id).await?))
}
