//! The gateway's own secrets, by name, and the keys that seal them. No answer ever holds a secret.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use zeroize::Zeroizing;

use crate::extract::{Json as Body, Segment};
use crate::guard::SignedIn;
use crate::problem::{Problem, Problems};
use crate::rooms::Rooms;
use crate::shapes::List;
use crate::shapes::secrets::{HouseKeys, Secret, StoreSecret};

pub(crate) fn router() -> OpenApiRouter<Rooms> {
    OpenApiRouter::new()
        .routes(routes!(secrets, store))
        .routes(routes!(remove))
        .routes(routes!(keys))
        .routes(routes!(rotate))
        .routes(routes!(wrap))
}

/// The gateway's own upstream secrets by name, and those that the bundle in force asks for. Never what they are.
#[utoipa::path(
    get, path = "/secrets", tag = "secrets", operation_id = "secrets",
    responses((status = 200, description = "Secrets, by name", body = List<Secret>), Problems)
)]
async fn secrets(
    State(rooms): State<Rooms>,
    SignedIn(caller): SignedIn,
) -> Result<Json<List<Secret>>, Problem> {
    let found = rooms.engine.secrets(&caller).await?;
    Ok(Json(List { items: found.into_iter().map(Into::into).collect() }))
}

/// Puts a secret into the gateway's own store, in place of one of that name. New connections upstream take it at once.
#[utoipa::path(
    post, path = "/secrets", tag = "secrets", operation_id = "storeSecret", request_body = StoreSecret,
    responses((status = 204, description = "It is there"), Problems)
)]
async fn store(
    State(rooms): State<Rooms>,
    SignedIn(caller): SignedIn,
    Body(StoreSecret { name, value }): Body<StoreSecret>,
) -> Result<StatusCode, Problem> {
    rooms.engine.store_secret(&caller, &name, Zeroizing::new(value)).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Takes a secret out of the gateway's own store.
#[utoipa::path(
    post, path = "/secrets/{name}/remove", tag = "secrets", operation_id = "removeSecret",
    params(("name" = String, Path, description = "the secret's name")),
    responses((status = 204, description = "It is gone"), Problems)
)]
async fn remove(
    State(rooms): State<Rooms>,
    SignedIn(caller): SignedIn,
    name: Segment,
) -> Result<StatusCode, Problem> {
    rooms.engine.remove_secret(&caller, &name.0).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// The keys that seal everything at rest: who keeps them, and whether they are being changed.
#[utoipa::path(
    get, path = "/house-keys", tag = "secrets", operation_id = "houseKeys",
    responses((status = 200, description = "How they are", body = HouseKeys), Problems)
)]
async fn keys(State(rooms): State<Rooms>, SignedIn(caller): SignedIn) -> Result<Json<HouseKeys>, Problem> {
    Ok(Json(rooms.engine.keys(&caller).await?.into()))
}

/// Makes a new key, under which everything is sealed from now on. What is there is sealed anew while the gateway works.
#[utoipa::path(
    post, path = "/house-keys/rotate", tag = "secrets", operation_id = "rotateHouseKeys",
    responses((status = 200, description = "How they are then", body = HouseKeys), Problems)
)]
async fn rotate(State(rooms): State<Rooms>, SignedIn(caller): SignedIn) -> Result<Json<HouseKeys>, Problem> {
    Ok(Json(rooms.engine.rotate_keys(&caller).await?.into()))
}

/// Has the keys wrapped anew, under the key that their keeper uses now: after the master key was changed.
#[utoipa::path(
    post, path = "/house-keys/wrap", tag = "secrets", operation_id = "wrapHouseKeys",
    responses((status = 200, description = "How they are then", body = HouseKeys), Problems)
)]
async fn wrap(State(rooms): State<Rooms>, SignedIn(caller): SignedIn) -> Result<Json<HouseKeys>, Problem> {
    Ok(Json(rooms.engine.rewrap_keys(&caller).await?.into()))
}
