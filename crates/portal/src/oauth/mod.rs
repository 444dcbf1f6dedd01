//! An authorization server for the door of tools (OAuth 2.1): what clients are told, where they register, and where they get
//! their tokens. Where people say yes or no is the console's (`routes::consents`).
//!
//! Clients are public: they have no secret, and prove with a verifier that a code is theirs (RFC 7636). What they get counts at
//! one resource of this gateway alone (RFC 8707). All that is decided, the engine decides.

mod error;
mod routes;
mod tokens;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::routing::{get, post};
use countersign_core::ResourceId;

use crate::rooms::Rooms;

/// How large a body may be: a registration with all its places.
const BODY_BYTES_MAX: usize = 16 * 1024;

/// What the scope that names a role begins with.
pub(crate) const ROLE_SCOPE: &str = "role:";

pub(crate) fn router() -> Router<Rooms> {
    Router::new()
        .route("/.well-known/oauth-authorization-server", get(routes::metadata))
        .route("/oauth/register", post(routes::register))
        .route("/oauth/token", post(tokens::token))
        .route("/oauth/revoke", post(tokens::revoke))
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
}

/// Who says so: the gateway, by its own address (RFC 8414).
pub(crate) fn issuer(rooms: &Rooms) -> &str {
    rooms.settings.public_url.trim_end_matches('/')
}

/// The resource that a client names by its address (RFC 8707), if it is one of this gateway's.
pub(crate) fn resource_at(rooms: &Rooms, address: &str) -> Option<ResourceId> {
    address.strip_prefix(issuer(rooms))?.strip_prefix("/mcp/")?.parse().ok()
}
