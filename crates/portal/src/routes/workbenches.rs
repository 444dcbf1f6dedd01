//! SQL in the browser: a session of a door, opened, worked in and closed by calls.
//!
//! What a run tells is streamed as lines of JSON (`application/x-ndjson`), as fast as the caller reads and no faster: the
//! server waits, and nothing piles up here. Whoever stops reading cancels what runs.

use std::convert::Infallible;
use std::sync::Arc;

use axum::Json;
use axum::body::Body as Stream;
use axum::extract::{DefaultBodyLimit, Extension, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use countersign_core::{ResourceId, RoleId};
use countersign_engine::workbench::{Export, Order, ROWS_MAX, TEXT_BYTES_MAX, Told};
use countersign_engine::{Caller, Client};
use futures_util::stream;
use tokio::sync::mpsc;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::bad;
use crate::benches::{Bench, Busy, Kept};
use crate::extract::{Json as Body, Segment};
use crate::guard::SignedIn;
use crate::problem::{Kind, Problem, Problems};
use crate::rooms::Rooms;
use crate::serve::Peer;
use crate::shapes::List;
use crate::shapes::workbenches::{
    ExportResult, OpenWorkbench, RunEvent, RunStatements, Workbench, WorkbenchCan, WorkbenchState,
};

/// How many rows of a result there are, unless the caller wants more or fewer.
const ROWS: u32 = 1_000;
/// How many words of a run may wait to be read.
const TOLD_MAX: usize = 4;
/// How a workbench is named.
const PREFIX: &str = "wb_";
/// The longest body of a run or an export, in bytes: JSON may write a character with six.
const BODY_BYTES_MAX: usize = 2 * TEXT_BYTES_MAX;

pub(crate) fn router() -> OpenApiRouter<Rooms> {
    let long = OpenApiRouter::new().routes(routes!(run)).routes(routes!(export));
    OpenApiRouter::new()
        .routes(routes!(workbenches, open))
        .routes(routes!(cancel))
        .routes(routes!(close))
        .merge(long.layer(DefaultBodyLimit::max(BODY_BYTES_MAX)))
}

/// Workbenches that are open in this sign-in, newest first.
#[utoipa::path(
    get, path = "/workbenches", tag = "workbenches", operation_id = "workbenches",
    responses((status = 200, description = "Workbenches", body = List<Workbench>), Problems)
)]
async fn workbenches(State(rooms): State<Rooms>, SignedIn(caller): SignedIn) -> Json<List<Workbench>> {
    let mine = rooms.benches.of(&caller);
    Json(List { items: mine.iter().map(|bench| shape(&rooms, bench)).collect() })
}

/// Opens a session of a door from here, on a live grant. It is held, masked, bounded and recorded like any client's.
#[utoipa::path(
    post, path = "/workbenches", tag = "workbenches", operation_id = "open_workbench",
    request_body = OpenWorkbench,
    responses((status = 201, description = "The workbench", body = Workbench), Problems)
)]
async fn open(
    State(rooms): State<Rooms>,
    SignedIn(caller): SignedIn,
    peer: Option<Extension<Peer>>,
    Body(wanted): Body<OpenWorkbench>,
) -> Result<(StatusCode, Json<Workbench>), Problem> {
    let resource: ResourceId = wanted.resource.parse().map_err(bad)?;
    let role: Option<RoleId> = wanted.role.map(|role| role.parse()).transpose().map_err(bad)?;
    rooms.benches.has_room(&caller)?;
    let workbench = rooms
        .engine
        .open_workbench(&caller, (&resource, role), client(&rooms, &caller, peer), wanted.reason)
        .await?;
    let kept = Kept { caller, resource, workbench };
    let bench = rooms.benches.keep(&rooms.engine, rooms.settings.entropy.id(), kept);
    Ok((StatusCode::CREATED, Json(shape(&rooms, &bench))))
}

/// Runs statements, and tells what comes of them as lines of JSON. Whoever stops reading cancels what runs.
#[utoipa::path(
    post, path = "/workbenches/{id}/run", tag = "workbenches", operation_id = "run",
    params(("id" = String, Path, description = "the workbench")),
    request_body = RunStatements,
    responses(
        (
            status = 200, body = RunEvent, content_type = "application/x-ndjson",
            description = "A `RunEvent` on each line; the last is `over` or `ended`"
        ),
        Problems,
    )
)]
async fn run(
    State(rooms): State<Rooms>,
    SignedIn(caller): SignedIn,
    id: Segment,
    Body(wanted): Body<RunStatements>,
) -> Result<Response, Problem> {
    let bench = found(&rooms, &caller, &id)?;
    if wanted.text.len() > TEXT_BYTES_MAX {
        return Err(Problem::new(Kind::TooLarge, "the text is longer than what is run at once"));
    }
    if wanted.text.contains('\0') {
        return Err(Problem::new(Kind::Invalid, "the text contains a NUL, which no statement can"));
    }
    let rows_max = wanted.rows_max.unwrap_or(ROWS).clamp(1, ROWS_MAX);
    let (told, hears) = mpsc::channel(TOLD_MAX);
    let order = Order::Run { text: wanted.text.into(), rows_max, told };
    let busy = bench.order(&rooms.engine, order).await?;
    let lines = stream::unfold((hears, busy), next);
    Ok(([(header::CONTENT_TYPE, "application/x-ndjson")], Stream::from_stream(lines)).into_response())
}

/// Cancels what runs or waits.
#[utoipa::path(
    post, path = "/workbenches/{id}/cancel", tag = "workbenches", operation_id = "cancel",
    params(("id" = String, Path, description = "the workbench")),
    responses((status = 204, description = "It is ordered; the run tells what came of it"), Problems)
)]
async fn cancel(
    State(rooms): State<Rooms>,
    SignedIn(caller): SignedIn,
    id: Segment,
) -> Result<StatusCode, Problem> {
    found(&rooms, &caller, &id)?.cancel();
    Ok(StatusCode::NO_CONTENT)
}

/// Closes a workbench; what runs or waits in it is cancelled, and an open transaction rolled back.
#[utoipa::path(
    post, path = "/workbenches/{id}/close", tag = "workbenches", operation_id = "close_workbench",
    params(("id" = String, Path, description = "the workbench")),
    responses((status = 204, description = "Its session ends"), Problems)
)]
async fn close(
    State(rooms): State<Rooms>,
    SignedIn(caller): SignedIn,
    id: Segment,
) -> Result<StatusCode, Problem> {
    found(&rooms, &caller, &id)?.close();
    Ok(StatusCode::NO_CONTENT)
}

/// Says that a result is carried away, which policy has to permit; it is recorded.
#[utoipa::path(
    post, path = "/workbenches/{id}/export", tag = "workbenches", operation_id = "export_result",
    params(("id" = String, Path, description = "the workbench")),
    request_body = ExportResult,
    responses((status = 204, description = "It is permitted and recorded"), Problems)
)]
async fn export(
    State(rooms): State<Rooms>,
    SignedIn(caller): SignedIn,
    id: Segment,
    Body(wanted): Body<ExportResult>,
) -> Result<StatusCode, Problem> {
    let bench = found(&rooms, &caller, &id)?;
    let ExportResult { text, columns, rows } = wanted;
    let export = Export { session: bench.begun.session.id(), text, columns, rows };
    rooms.engine.export_result(&caller, export).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// The next line of a run; while it is not over the workbench is at work.
async fn next(
    (mut hears, busy): (mpsc::Receiver<Told>, Busy),
) -> Option<(Result<Bytes, Infallible>, (mpsc::Receiver<Told>, Busy))> {
    let told = hears.recv().await?;
    let mut line = serde_json::to_vec(&RunEvent::from(told)).ok()?;
    line.push(b'\n');
    Some((Ok(line.into()), (hears, busy)))
}

fn found(rooms: &Rooms, caller: &Caller, id: &Segment) -> Result<Arc<Bench>, Problem> {
    let number = id.0.strip_prefix(PREFIX).filter(|hex| hex.len() == 32);
    let number = number.and_then(|hex| u128::from_str_radix(hex, 16).ok());
    let number = number.ok_or_else(|| Problem::new(Kind::NotFound, "this is no workbench"))?;
    rooms.benches.find(caller, number)
}

/// Who the session's client is: the browser, by the address that called.
fn client(rooms: &Rooms, caller: &Caller, peer: Option<Extension<Peer>>) -> Client {
    let called = peer.map(|peer| peer.0.0);
    let address = called.or_else(|| caller.source.map(|source| (source, 0).into()));
    let nowhere = std::net::SocketAddr::from(([0, 0, 0, 0], 0));
    let application = countersign_engine::workbench::APPLICATION.to_owned();
    let tls = rooms.home.is_secure();
    Client { address: address.unwrap_or(nowhere), application, tls, proved: None }
}

fn shape(rooms: &Rooms, bench: &Bench) -> Workbench {
    Workbench {
        id: format!("{PREFIX}{:032x}", bench.id),
        state: if bench.is_busy() { WorkbenchState::Busy } else { WorkbenchState::Idle },
        session: bench.begun.session.id().to_string(),
        resource: bench.resource.to_string(),
        role: bench.begun.session.role().to_string(),
        server: bench.begun.server.clone(),
        opened_at: bench.opened_at.rfc3339(),
        rows_max: ROWS_MAX,
        can: WorkbenchCan { export: rooms.engine.may_export(&bench.caller, bench.begun.session.id()) },
    }
}
