//! Sessions: looking, pausing, ending, and what was done in them.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use countersign_core::SessionId;
use countersign_engine::Caller;
use countersign_engine::audit::LedgerQuery;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::{page, reading};
use crate::extract::{Json as Body, MaybeJson, Query, Segment};
use crate::guard::SignedIn;
use crate::problem::{Problem, Problems};
use crate::rooms::Rooms;
use crate::shapes::ledger::EventPage;
use crate::shapes::sessions::{ActionFilter, PauseReason, Session, SessionFilter};
use crate::shapes::{List, Reason};

pub(crate) fn router() -> OpenApiRouter<Rooms> {
    OpenApiRouter::new()
        .routes(routes!(sessions))
        .routes(routes!(session))
        .routes(routes!(end))
        .routes(routes!(pause))
        .routes(routes!(resume))
        .routes(routes!(actions))
}

/// Sessions that the caller may see, newest first.
#[utoipa::path(
    get, path = "/sessions", tag = "sessions", operation_id = "sessions",
    params(SessionFilter),
    responses((status = 200, description = "Sessions", body = List<Session>), Problems)
)]
async fn sessions(
    State(rooms): State<Rooms>,
    SignedIn(caller): SignedIn,
    Query(query): Query<SessionFilter>,
) -> Result<Json<List<Session>>, Problem> {
    let state = query.state.map(|state| state.as_str());
    let views = reading(&rooms, move |engine| engine.session_views(&caller, state)).await?;
    Ok(Json(List { items: views.into_iter().map(Into::into).collect() }))
}

/// One session, open or ended.
#[utoipa::path(
    get, path = "/sessions/{id}", tag = "sessions", operation_id = "session",
    params(("id" = String, Path, description = "the session's identifier")),
    responses((status = 200, description = "The session", body = Session), Problems)
)]
async fn session(
    State(rooms): State<Rooms>,
    SignedIn(caller): SignedIn,
    id: Segment,
) -> Result<Json<Session>, Problem> {
    let id: SessionId = id.parse()?;
    one(&rooms, caller, id).await
}

/// Ends a session.
#[utoipa::path(
    post, path = "/sessions/{id}/end", tag = "sessions", operation_id = "end_session",
    params(("id" = String, Path, description = "the session's identifier")),
    responses((status = 204, description = "Its end is ordered; the cut follows within a second"), Problems)
)]
async fn end(
    State(rooms): State<Rooms>,
    SignedIn(caller): SignedIn,
    id: Segment,
) -> Result<StatusCode, Problem> {
    let id: SessionId = id.parse()?;
    rooms.engine.end_session(&caller, id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Pauses a session: nothing new is begun in it until it is resumed or ends. What runs already goes on to its end.
#[utoipa::path(
    post, path = "/sessions/{id}/pause", tag = "sessions", operation_id = "pause_session",
    params(("id" = String, Path, description = "the session's identifier")),
    request_body = PauseReason,
    responses((status = 200, description = "The session as it stands then", body = Session), Problems)
)]
async fn pause(
    State(rooms): State<Rooms>,
    SignedIn(caller): SignedIn,
    id: Segment,
    Body(reason): Body<PauseReason>,
) -> Result<Json<Session>, Problem> {
    let id: SessionId = id.parse()?;
    rooms.engine.pause_session(&caller, id, reason.reason).await?;
    one(&rooms, caller, id).await
}

/// Lets a paused session go on.
#[utoipa::path(
    post, path = "/sessions/{id}/resume", tag = "sessions", operation_id = "resume_session",
    params(("id" = String, Path, description = "the session's identifier")),
    request_body = Reason,
    responses((status = 200, description = "The session as it stands then", body = Session), Problems)
)]
async fn resume(
    State(rooms): State<Rooms>,
    SignedIn(caller): SignedIn,
    id: Segment,
    MaybeJson(reason): MaybeJson<Reason>,
) -> Result<Json<Session>, Problem> {
    let id: SessionId = id.parse()?;
    rooms.engine.resume_session(&caller, id, reason.reason).await?;
    one(&rooms, caller, id).await
}

/// What was done in a session, newest first; reading it is recorded.
#[utoipa::path(
    get, path = "/sessions/{id}/actions", tag = "sessions", operation_id = "actions",
    params(("id" = String, Path, description = "the session's identifier"), ActionFilter),
    responses((status = 200, description = "Lines", body = EventPage), Problems)
)]
async fn actions(
    State(rooms): State<Rooms>,
    SignedIn(caller): SignedIn,
    id: Segment,
    Query(filter): Query<ActionFilter>,
) -> Result<Json<EventPage>, Problem> {
    let session: SessionId = id.parse()?;
    let query = LedgerQuery {
        session: Some(session),
        before: filter.before,
        limit: page(filter.limit),
        ..LedgerQuery::default()
    };
    Ok(Json(rooms.engine.search(&caller, query).await?.into()))
}

async fn one(rooms: &Rooms, caller: Caller, id: SessionId) -> Result<Json<Session>, Problem> {
    let view = reading(rooms, move |engine| engine.session_view(&caller, id)).await??;
    Ok(Json(view.into()))
}
