//! Sessions: looking, ending, and what was done in them.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use countersign_core::SessionId;
use countersign_engine::audit::LedgerQuery;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::{page, reading};
use crate::extract::{Query, Segment};
use crate::guard::SignedIn;
use crate::problem::{Problem, Problems};
use crate::rooms::Rooms;
use crate::shapes::List;
use crate::shapes::ledger::EventPage;
use crate::shapes::sessions::{ActionFilter, Session, SessionFilter};

pub(crate) fn router() -> OpenApiRouter<Rooms> {
    OpenApiRouter::new()
        .routes(routes!(sessions))
        .routes(routes!(session))
        .routes(routes!(end))
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
    let view = reading(&rooms, move |engine| engine.session_view(&caller, id)).await??;
    Ok(Json(view.into()))
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
