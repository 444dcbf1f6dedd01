//! The directories that people come from, and whether they are heard.

use axum::Json;
use axum::extract::State;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::guard::SignedIn;
use crate::problem::Problems;
use crate::rooms::Rooms;
use crate::shapes::List;
use crate::shapes::people::Directory;

pub(crate) fn router() -> OpenApiRouter<Rooms> {
    OpenApiRouter::new().routes(routes!(directories))
}

/// The directories that the bundle in force names. Whether one is heard decides what its people may begin, so that
/// everybody who is signed in may know.
#[utoipa::path(
    get, path = "/directories", tag = "principals", operation_id = "directories",
    responses((status = 200, description = "Directories, by name", body = List<Directory>), Problems)
)]
async fn directories(State(rooms): State<Rooms>, _: SignedIn) -> Json<List<Directory>> {
    Json(List { items: rooms.engine.directories().into_iter().map(Into::into).collect() })
}
