//! What clients are told of the server (RFC 8414), and where they register (RFC 7591).

use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, Method, StatusCode, header};
use countersign_engine::RefusedCode;
use serde::Deserialize;
use serde_json::{Value, json};

use super::error::Error;
use super::issuer;
use crate::rooms::Rooms;
use crate::routes::From;

/// What the server can do.
pub(super) async fn metadata(State(rooms): State<Rooms>) -> Json<Value> {
    let issuer = issuer(&rooms);
    Json(json!({
        "issuer": issuer,
        "authorization_endpoint": format!("{issuer}/authorize"),
        "token_endpoint": format!("{issuer}/oauth/token"),
        "registration_endpoint": format!("{issuer}/oauth/register"),
        "revocation_endpoint": format!("{issuer}/oauth/revoke"),
        "response_types_supported": ["code"],
        "response_modes_supported": ["query"],
        "grant_types_supported": ["authorization_code", "refresh_token"],
        "code_challenge_methods_supported": ["S256"],
        "token_endpoint_auth_methods_supported": ["none"],
        "revocation_endpoint_auth_methods_supported": ["none"],
        "authorization_response_iss_parameter_supported": true,
    }))
}

/// What a client says of itself. The rest of what it may say is not looked at (RFC 7591, section 2).
#[derive(Deserialize)]
struct Registration {
    redirect_uris: Vec<String>,
    #[serde(default)]
    client_name: Option<String>,
}

/// Registers a client. It is told what it is registered with, which may be less than it asked for.
pub(super) async fn register(
    State(rooms): State<Rooms>,
    from: From,
    headers: HeaderMap,
    body: Bytes,
) -> Result<(StatusCode, Json<Value>), Error> {
    let_come(&rooms, &headers)?;
    // What is registered is never given back: it takes up room until it is forgotten.
    rooms.tries.take(from.client.source, rooms.engine.now()).map_err(Error::too_many)?;
    let asked: Registration = serde_json::from_slice(&body).map_err(|_| {
        Error::new("invalid_client_metadata", "the body is no client's metadata with `redirect_uris`")
    })?;
    let registered = rooms.engine.register_client(asked.client_name.as_deref(), asked.redirect_uris).await;
    let client = registered.map_err(|refused| match refused.code {
        RefusedCode::Invalid => Error::new("invalid_redirect_uri", refused.message),
        _ => Error::unavailable(refused),
    })?;
    let told = json!({
        "client_id": client.id.to_string(),
        "client_id_issued_at": client.registered_at.0 / 1_000_000,
        "client_name": client.name,
        "redirect_uris": client.redirect_uris,
        "grant_types": ["authorization_code", "refresh_token"],
        "response_types": ["code"],
        "token_endpoint_auth_method": "none",
    });
    Ok((StatusCode::CREATED, Json(told)))
}

/// A page of another site may not call here.
pub(super) fn let_come(rooms: &Rooms, headers: &HeaderMap) -> Result<(), Error> {
    let foreign = |_| Error::new("invalid_request", "pages of other sites may not call here");
    if headers.contains_key(header::AUTHORIZATION) {
        return Err(Error::new(
            "invalid_client",
            "clients have no secret here; they name themselves in the body",
        ));
    }
    rooms.home.refuse_foreign(&Method::POST, headers).map_err(foreign)
}
