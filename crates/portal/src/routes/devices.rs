//! Devices on which people are told of what waits for them: listed, added and taken away by whose they are.

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use countersign_core::DeviceId;
use countersign_engine::people::devices::NewDevice;
use url::Url;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::extract::{Json as Body, Segment};
use crate::guard::SignedIn;
use crate::problem::{Kind, Problem, Problems};
use crate::rooms::Rooms;
use crate::shapes::devices::{AddDevice, Device, DeviceTested, Devices};

pub(crate) fn router() -> OpenApiRouter<Rooms> {
    OpenApiRouter::new().routes(routes!(devices, add)).routes(routes!(remove)).routes(routes!(test))
}

/// The caller's devices, and the key that a browser asks its push service with.
#[utoipa::path(
    get, path = "/me/devices", tag = "me", operation_id = "devices",
    responses((status = 200, description = "Devices, the newest first", body = Devices), Problems)
)]
async fn devices(State(rooms): State<Rooms>, SignedIn(caller): SignedIn) -> Json<Devices> {
    let items = rooms.engine.devices(&caller).into_iter().map(Into::into).collect();
    Json(Devices { items, key: rooms.engine.push_public().map(|key| URL_SAFE_NO_PAD.encode(key)) })
}

/// Adds a device. What is told on it is encrypted for it.
#[utoipa::path(
    post, path = "/me/devices", tag = "me", operation_id = "add_device",
    request_body = AddDevice,
    responses((status = 201, description = "The device", body = Device), Problems)
)]
async fn add(
    State(rooms): State<Rooms>,
    SignedIn(caller): SignedIn,
    headers: HeaderMap,
    Body(wanted): Body<AddDevice>,
) -> Result<(StatusCode, Json<Device>), Problem> {
    let read = |text: &str| URL_SAFE_NO_PAD.decode(text.trim_end_matches('=')).ok();
    let (key, secret) = (read(&wanted.p256dh), read(&wanted.auth));
    let is_web = Url::parse(&wanted.endpoint).is_ok_and(|url| matches!(url.scheme(), "https" | "http"));
    let (Some(key), Some(secret), true) = (key, secret, is_web) else {
        return Err(Problem::new(Kind::Invalid, "this is not what a browser's push service gives"));
    };
    let program = headers.get(header::USER_AGENT).and_then(|agent| agent.to_str().ok()).map(str::to_owned);
    let new = NewDevice { endpoint: wanted.endpoint, key, secret, program };
    let added = rooms.engine.add_device(&caller, new).await?;
    Ok((StatusCode::CREATED, Json(added.into())))
}

/// Takes a device away.
#[utoipa::path(
    post, path = "/me/devices/{id}/remove", tag = "me", operation_id = "remove_device",
    params(("id" = String, Path, description = "the device")),
    responses((status = 204, description = "Nothing is told on it any more"), Problems)
)]
async fn remove(
    State(rooms): State<Rooms>,
    SignedIn(caller): SignedIn,
    id: Segment,
) -> Result<StatusCode, Problem> {
    let id: DeviceId = id.parse()?;
    rooms.engine.remove_device(&caller, id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Sends a test to a device, and says what came of it.
#[utoipa::path(
    post, path = "/me/devices/{id}/test", tag = "me", operation_id = "test_device",
    params(("id" = String, Path, description = "the device")),
    responses((status = 200, description = "What came of it", body = DeviceTested), Problems)
)]
async fn test(
    State(rooms): State<Rooms>,
    SignedIn(caller): SignedIn,
    id: Segment,
) -> Result<Json<DeviceTested>, Problem> {
    let id: DeviceId = id.parse()?;
    Ok(Json(rooms.engine.test_device(&caller, id).await?.into()))
}
