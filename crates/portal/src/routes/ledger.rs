//! The ledger: what anybody can verify, and what those who may can read.
//!
//! Tiles and checkpoints are served as they are archived (C2SP tlog-tiles): they hold lines, which hold no
//! content. What shows content asks the engine, which records that it was read.

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use countersign_core::{PrincipalId, RequestId, ResourceId, SessionId};
use countersign_engine::Health;
use countersign_engine::audit::LedgerQuery;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::trial::instant;
use super::{bad, page, reading};
use crate::extract::{Query, Segment};
use crate::guard::SignedIn;
use crate::problem::{Kind, Problem, Problems};
use crate::rooms::Rooms;
use crate::shapes::ledger::{ContentRange, EventDetail, EventFilter, EventPage, LedgerState};
use crate::shapes::status::HealthState;

const TEXT: &str = "text/plain; charset=utf-8";
const BYTES: &str = "application/octet-stream";
const JSON_LINES: &str = "application/jsonl";

/// A full tile never changes; whoever has it may keep it.
const FOR_EVER: &str = "private, max-age=31536000, immutable";

/// The longest text that lines are searched for.
const TEXT_BYTES_MAX: usize = 200;

pub(crate) fn router() -> OpenApiRouter<Rooms> {
    OpenApiRouter::new()
        .routes(routes!(vkey))
        .routes(routes!(checkpoint))
        .routes(routes!(tile))
        .routes(routes!(state))
        .routes(routes!(events))
        .routes(routes!(event))
        .routes(routes!(content))
}

/// The log's key as a C2SP vkey.
#[utoipa::path(
    get, path = "/ledger/vkey", tag = "ledger", operation_id = "vkey",
    responses((status = 200, description = "The key", body = String, content_type = "text/plain"), Problems)
)]
async fn vkey(State(rooms): State<Rooms>) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, TEXT)], rooms.engine.vkey() + "\n")
}

/// The last signed checkpoint (C2SP tlog-checkpoint).
#[utoipa::path(
    get, path = "/ledger/checkpoint", tag = "ledger", operation_id = "checkpoint",
    responses(
        (status = 200, description = "A signed note", body = String, content_type = "text/plain"),
        Problems,
    )
)]
async fn checkpoint(State(rooms): State<Rooms>) -> Result<impl IntoResponse, Problem> {
    let note = rooms.engine.checkpoint().ok_or_else(|| {
        Problem::new(Kind::NotFound, "the ledger has no checkpoint yet").hint("try again in a moment")
    })?;
    Ok(([(header::CONTENT_TYPE, TEXT)], note))
}

/// One tile (C2SP tlog-tiles). That somebody takes lines is recorded, once in ten minutes.
#[utoipa::path(
    get, path = "/ledger/tile/{*path}", tag = "ledger", operation_id = "tile",
    params(("path" = String, Path, description = "what follows `tile/`: `0/x001/067`, `entries/000.p/12`")),
    responses(
        (status = 200, description = "The tile's bytes", body = Vec<u8>,
            content_type = "application/octet-stream"),
        Problems,
    )
)]
async fn tile(
    State(rooms): State<Rooms>,
    SignedIn(caller): SignedIn,
    path: Segment,
) -> Result<Response, Problem> {
    if path.0.starts_with("entries") {
        rooms.engine.taking_tiles(&caller).await?;
    }
    let path = format!("tile/{}", path.0);
    let keep = if path.contains(".p/") { "no-store" } else { FOR_EVER };
    let tile = reading(&rooms, move |engine| engine.tile(&path)).await?;
    let tile = tile.ok_or_else(|| Problem::new(Kind::NotFound, "the ledger has no such tile"))?;
    Ok(([(header::CONTENT_TYPE, BYTES), (header::CACHE_CONTROL, keep)], tile).into_response())
}

/// How far the ledger has come.
#[utoipa::path(
    get, path = "/ledger/state", tag = "ledger", operation_id = "ledger_state",
    responses((status = 200, description = "Its state", body = LedgerState), Problems)
)]
async fn state(State(rooms): State<Rooms>) -> Json<LedgerState> {
    let healthy = matches!(rooms.engine.health(), Health::Ok);
    let state = if healthy { HealthState::Ok } else { HealthState::Degraded };
    Json(LedgerState::new(rooms.engine.ledger_state(), state, rooms.engine.vkey()))
}

/// Lines, newest first; reading them is recorded.
#[utoipa::path(
    get, path = "/ledger/events", tag = "ledger", operation_id = "ledger_events",
    params(EventFilter),
    responses((status = 200, description = "Lines", body = EventPage), Problems)
)]
async fn events(
    State(rooms): State<Rooms>,
    SignedIn(caller): SignedIn,
    Query(filter): Query<EventFilter>,
) -> Result<Json<EventPage>, Problem> {
    Ok(Json(rooms.engine.search(&caller, query(filter)?).await?.into()))
}

/// One line in full, with its proof; reading it is recorded.
#[utoipa::path(
    get, path = "/ledger/events/{seq}", tag = "ledger", operation_id = "event",
    params(("seq" = u64, Path, description = "the line's index")),
    responses((status = 200, description = "The line", body = EventDetail), Problems)
)]
async fn event(
    State(rooms): State<Rooms>,
    SignedIn(caller): SignedIn,
    seq: Segment,
) -> Result<Json<EventDetail>, Problem> {
    let seq: u64 = seq.parse()?;
    Ok(Json(rooms.engine.event(&caller, seq).await?.into()))
}

/// What lines commit to, as JSON lines for an export; it is recorded.
#[utoipa::path(
    get, path = "/ledger/content", tag = "ledger", operation_id = "content",
    params(ContentRange),
    responses(
        (status = 200, description = "One disclosure a line", body = String,
            content_type = "application/jsonl"),
        Problems,
    )
)]
async fn content(
    State(rooms): State<Rooms>,
    SignedIn(caller): SignedIn,
    Query(range): Query<ContentRange>,
) -> Result<Response, Problem> {
    let lines = rooms.engine.export_content(&caller, range.from..range.to.unwrap_or(u64::MAX)).await?;
    Ok(([(header::CONTENT_TYPE, JSON_LINES)], Body::from(lines)).into_response())
}

fn query(filter: EventFilter) -> Result<LedgerQuery, Problem> {
    let long = |words: &Option<String>| words.as_ref().is_some_and(|words| words.len() > TEXT_BYTES_MAX);
    if long(&filter.text) || long(&filter.relation) {
        let most = format!("lines are searched for at most {TEXT_BYTES_MAX} bytes of text");
        return Err(Problem::new(Kind::Invalid, most));
    }
    Ok(LedgerQuery {
        text: filter.text,
        kind: filter.r#type,
        principal: filter.principal.map(|name| name.parse::<PrincipalId>()).transpose().map_err(bad)?,
        session: filter.session.map(|id| id.parse::<SessionId>()).transpose().map_err(bad)?,
        request: filter.request.map(|id| id.parse::<RequestId>()).transpose().map_err(bad)?,
        control: filter.control,
        resource: filter.resource.map(|name| name.parse::<ResourceId>()).transpose().map_err(bad)?,
        relation: filter.relation,
        from: filter.from.as_deref().map(instant).transpose()?,
        until: filter.until.as_deref().map(instant).transpose()?,
        before: filter.before,
        limit: page(filter.limit),
    })
}
