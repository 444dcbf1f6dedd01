//! The HTTP API and the console.
//!
//! Everything the console and the command line do goes through here, and nothing is decided here: a handler
//! reads its call, asks the engine, and puts the answer into a shape of the API's own. What the portal adds
//! is what belongs to HTTP: who calls ([`origin`], `guard`), which endpoint is for whom ([`endpoints`]),
//! limits, headers, the event stream, and the console's files.
//!
//! Answers of the API are not compressed: some carry a secret next to words that somebody else chose, and how
//! well they compress would tell of it.
//!
//! Not here: policy (the engine asks it), records (the engine writes them), and any state that would have to
//! survive a restart.

mod benches;
pub mod console;
pub mod document;
mod dpop;
pub mod endpoints;
mod extract;
mod guard;
pub mod headers;
mod oauth;
pub mod origin;
pub mod problem;
mod rooms;
mod routes;
pub mod scim;
pub mod serve;
pub mod shapes;
pub mod throttle;

use std::time::Duration;

use axum::Router;
use axum::extract::{DefaultBodyLimit, OriginalUri, Request, State};
use axum::http::HeaderMap;
use axum::middleware::{self, Next};
use axum::response::{IntoResponse as _, Response};
use countersign_engine::Engine;
use tower_http::compression::CompressionLayer;
use utoipa_axum::router::OpenApiRouter;

pub use document::openapi;
pub use origin::BadHome;
pub use rooms::{Authority, DoorAddress, PortalSettings};
pub use serve::serve;

use console::Console;
use problem::{Kind, Problem};
use rooms::Rooms;

/// How large a body may be, unless an endpoint takes more.
pub const BODY_BYTES_MAX: usize = 64 * 1024;

/// Where probes look for what is elsewhere.
const PROBED: [&str; 6] = ["/health", "/healthz", "/livez", "/metrics", "/readyz", "/status"];

/// How long a call may take. Event streams are not calls in this sense: only their first answer is.
const CALL_MS_MAX: u64 = 30_000;

/// The portal.
#[derive(Debug)]
pub struct Portal;

impl Portal {
    /// The router of API and console.
    ///
    /// # Errors
    /// The console's address cannot be one.
    pub fn router(engine: Engine, settings: PortalSettings) -> Result<Router, BadHome> {
        let console = Console::embedded(settings.entropy.clone());
        let rooms = Rooms::new(engine, settings)?;
        let secure = rooms.home.is_secure();
        let (api, _) = OpenApiRouter::new().nest(document::PREFIX, routes::api()).split_for_parts();
        let api = api
            .route(&format!("{}/openapi.json", document::PREFIX), axum::routing::get(document::answer))
            .route_layer(middleware::from_fn_with_state(rooms.clone(), guard::guard))
            .method_not_allowed_fallback(no_such_method)
            .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
            .layer(middleware::from_fn(in_time));
        let router = api
            .merge(oauth::router().layer(middleware::from_fn(in_time)))
            .with_state(rooms)
            .fallback_service(Router::new().fallback(page).with_state(console).layer(CompressionLayer::new()))
            .layer(middleware::map_response(move |response: Response| async move {
                headers::harden(response, secure)
            }));
        Ok(router)
    }
}

/// Whatever is no endpoint is the console's, unless it looks for the API.
async fn page(
    State(console): State<Console>,
    uri: OriginalUri,
    headers: HeaderMap,
    call: Request,
) -> Response {
    let path = uri.path();
    if path == "/api" || path.starts_with("/api/") {
        let problem = Problem::new(Kind::NotFound, "the API has no such endpoint");
        return problem.hint(format!("{}/openapi.json lists them", document::PREFIX)).into_response();
    }
    if path.starts_with("/.well-known/") {
        // A page of the console would be taken for what was looked for.
        return Problem::new(Kind::NotFound, "nothing is known here by this name").into_response();
    }
    if PROBED.contains(&path) {
        // A page of the console would tell a probe that all is well.
        let problem = Problem::new(Kind::NotFound, "this is no endpoint");
        let hint = format!("health is at {0}/health, metrics are at {0}/metrics", document::PREFIX);
        return problem.hint(hint).into_response();
    }
    console.answer(call.method(), path, &headers)
}

async fn no_such_method() -> Problem {
    Problem::new(Kind::MethodNotAllowed, "this endpoint knows other methods")
}

async fn in_time(call: Request, next: Next) -> Response {
    match tokio::time::timeout(Duration::from_millis(CALL_MS_MAX), next.run(call)).await {
        Ok(response) => response,
        Err(_) => Problem::new(Kind::TimedOut, "the call took too long and was given up")
            .hint("look whether it happened before you try again")
            .into_response(),
    }
}
