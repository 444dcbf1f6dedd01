//! How the gateway is: for load balancers, for Prometheus.

use std::fmt::Write as _;

use axum::Json;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use countersign_core::request;
use countersign_engine::Health;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::problem::Problems;
use crate::rooms::Rooms;
use crate::shapes::status::{Health as Shown, HealthState};

/// Prometheus' text form.
const PROMETHEUS: &str = "text/plain; version=0.0.4; charset=utf-8";

pub(crate) fn router() -> OpenApiRouter<Rooms> {
    OpenApiRouter::new().routes(routes!(health)).routes(routes!(metrics))
}

/// Whether the gateway takes actions.
#[utoipa::path(
    get, path = "/health", tag = "status", operation_id = "health",
    responses(
        (status = 200, description = "It does", body = Shown),
        (status = 503, description = "It does not", body = Shown),
    ),
    security(())
)]
async fn health(State(rooms): State<Rooms>) -> Response {
    let setup = rooms.engine.setup().await.is_ok();
    let shown = |state, since| Json(Shown { id: "gateway".into(), state, since, setup });
    match rooms.engine.health() {
        Health::Ok => shown(HealthState::Ok, None).into_response(),
        // Why is for the operator: it is in the log and in the ledger.
        Health::Degraded { since, .. } => {
            let shown = shown(HealthState::Degraded, Some(since.rfc3339()));
            (StatusCode::SERVICE_UNAVAILABLE, shown).into_response()
        }
    }
}

/// Figures in Prometheus' text form, for callers on this machine or signed in.
#[utoipa::path(
    get, path = "/metrics", tag = "status", operation_id = "metrics",
    responses((status = 200, description = "Figures", body = String, content_type = "text/plain"), Problems)
)]
async fn metrics(State(rooms): State<Rooms>) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, PROMETHEUS)], figures(&rooms))
}

fn figures(rooms: &Rooms) -> String {
    let snapshot = rooms.engine.snapshot();
    let book = &snapshot.book;
    let now = rooms.engine.now();
    let pending = || book.requests().filter(|request| matches!(request.state, request::State::Pending));
    let locked = pending().filter(|request| request.locked).count();
    let live = book.grants().filter(|grant| grant.is_live(now)).count();
    let ledger = rooms.engine.ledger_state();
    let healthy = matches!(rooms.engine.health(), Health::Ok);
    let figures: [(&str, &str, u64); 10] = [
        ("healthy", "whether the ledger takes lines", u64::from(healthy)),
        ("requests_pending", "requests that wait for an answer", count(pending().count())),
        ("requests_locked", "requests that nobody can answer", count(locked)),
        ("grants_live", "live grants", count(live)),
        ("sessions_open", "open sessions", count(book.sessions().count())),
        ("principals_disabled", "principals who are shut out", count(book.disabled().count())),
        ("bundle_version", "version of the bundle in force", book.in_force.as_ref().map_or(0, |b| b.version)),
        ("ledger_lines", "durable lines", ledger.size),
        ("ledger_lines_published", "lines under a signed checkpoint", ledger.published),
        ("console_streams_open", "open event streams", count(rooms.streams.open())),
    ];
    figures.iter().fold(String::new(), |mut text, (name, what, value)| {
        // Writing to a string does not fail.
        let _ = write!(
            text,
            "# HELP countersign_{name} {what}\n# TYPE countersign_{name} gauge\ncountersign_{name} {value}\n"
        );
        text
    })
}

fn count(n: usize) -> u64 {
    u64::try_from(n).unwrap_or(u64::MAX)
}
