//! Asking, answering, giving up.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use countersign_core::envelope::{Envelope, Terms};
use countersign_core::{Digest, RequestId, RoleId};
use countersign_engine::views::RequestFilter as Filter;
use countersign_engine::{AskAccess as Ask, Caller, SignatureAsked, Yes};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::roles::span;
use super::{bad, page, reading};
use crate::extract::{Json as Body, MaybeJson, Query, Segment};
use crate::guard::SignedIn;
use crate::problem::{Problem, Problems};
use crate::rooms::Rooms;
use crate::shapes::List;
use crate::shapes::requests::{
    Approve, AskAccess, Deny, Envelope as Bounds, Request, RequestFilter, SignatureAsked as Shape, ToSign,
};

pub(crate) fn router() -> OpenApiRouter<Rooms> {
    OpenApiRouter::new()
        .routes(routes!(requests, ask))
        .routes(routes!(request))
        .routes(routes!(approve))
        .routes(routes!(signature))
        .routes(routes!(deny))
        .routes(routes!(withdraw))
}

/// Requests that the caller may see, newest first.
#[utoipa::path(
    get, path = "/requests", tag = "requests", operation_id = "requests",
    params(RequestFilter),
    responses((status = 200, description = "Requests", body = List<Request>), Problems)
)]
async fn requests(
    State(rooms): State<Rooms>,
    SignedIn(caller): SignedIn,
    Query(query): Query<RequestFilter>,
) -> Result<Json<List<Request>>, Problem> {
    let filter = Filter {
        state: query.state.map(|state| state.as_str()),
        inbox: query.inbox,
        mine: query.mine,
        limit: page(query.limit),
    };
    let views = reading(&rooms, move |engine| engine.request_views(&caller, filter)).await?;
    Ok(Json(List { items: views.into_iter().map(Into::into).collect() }))
}

/// Asks for a role.
#[utoipa::path(
    post, path = "/requests", tag = "requests", operation_id = "ask",
    request_body = AskAccess,
    responses(
        (status = 201, description = "It is asked; its state says whether it waits", body = Request),
        Problems,
    )
)]
async fn ask(
    State(rooms): State<Rooms>,
    SignedIn(caller): SignedIn,
    Body(wanted): Body<AskAccess>,
) -> Result<(StatusCode, Json<Request>), Problem> {
    let role: RoleId = wanted.role.parse().map_err(bad)?;
    let ask = Ask { role, lasting: span(&wanted.lasting)?, purpose: wanted.reason, ticket: wanted.ticket };
    let id = rooms.engine.ask(&caller, ask).await?;
    Ok((StatusCode::CREATED, one(&rooms, caller, id).await?))
}

/// One request, with everything an approver is shown.
#[utoipa::path(
    get, path = "/requests/{id}", tag = "requests", operation_id = "request",
    params(("id" = String, Path, description = "the request's identifier")),
    responses((status = 200, description = "The request", body = Request), Problems)
)]
async fn request(
    State(rooms): State<Rooms>,
    SignedIn(caller): SignedIn,
    id: Segment,
) -> Result<Json<Request>, Problem> {
    one(&rooms, caller, id.parse()?).await
}

/// Says yes.
#[utoipa::path(
    post, path = "/requests/{id}/approve", tag = "requests", operation_id = "approve",
    params(("id" = String, Path, description = "the request's identifier")),
    request_body = Approve,
    responses((status = 200, description = "The request as it stands then", body = Request), Problems)
)]
async fn approve(
    State(rooms): State<Rooms>,
    SignedIn(caller): SignedIn,
    id: Segment,
    MaybeJson(yes): MaybeJson<Approve>,
) -> Result<Json<Request>, Problem> {
    let id: RequestId = id.parse()?;
    let (digest, terms) = said(yes.digest, (yes.uses, yes.lasting, yes.envelope))?;
    let assertion = yes.assertion.map(TryInto::try_into).transpose()?;
    rooms.engine.approve_as(&caller, id, Yes { digest, comment: yes.comment, terms, assertion }).await?;
    one(&rooms, caller, id).await
}

/// What the caller's passkey has to sign to say yes.
#[utoipa::path(
    post, path = "/requests/{id}/signature", tag = "requests", operation_id = "signature",
    params(("id" = String, Path, description = "the request's identifier")),
    request_body = ToSign,
    responses((status = 200, description = "What the browser needs for it", body = Shape), Problems)
)]
async fn signature(
    State(rooms): State<Rooms>,
    SignedIn(caller): SignedIn,
    id: Segment,
    MaybeJson(yes): MaybeJson<ToSign>,
) -> Result<Json<Shape>, Problem> {
    let id: RequestId = id.parse()?;
    let (digest, terms) = said(yes.digest, (yes.uses, yes.lasting, yes.envelope))?;
    let asked = rooms.engine.ask_signature(&caller, id, (digest, &terms)).await?;
    let SignatureAsked { challenge, rp_id, credentials, link } = asked;
    Ok(Json(Shape { challenge, rp_id, credentials, link }))
}

/// What is said with a yes, in the core's words.
fn said(
    digest: Option<String>,
    (uses, lasting, envelope): (Option<u32>, Option<String>, Option<Bounds>),
) -> Result<(Option<Digest>, Terms), Problem> {
    let digest = digest.map(|digest| digest.parse::<Digest>()).transpose().map_err(bad)?;
    let valid_for = lasting.as_deref().map(span).transpose()?;
    let envelope = envelope.map(|said| Envelope { rows: said.rows, total: said.total });
    Ok((digest, Terms { uses, valid_for, envelope }))
}

/// Says no; one no of somebody who may answer ends it.
#[utoipa::path(
    post, path = "/requests/{id}/deny", tag = "requests", operation_id = "deny",
    params(("id" = String, Path, description = "the request's identifier")),
    request_body = Deny,
    responses((status = 200, description = "The request as it stands then", body = Request), Problems)
)]
async fn deny(
    State(rooms): State<Rooms>,
    SignedIn(caller): SignedIn,
    id: Segment,
    MaybeJson(no): MaybeJson<Deny>,
) -> Result<Json<Request>, Problem> {
    let id: RequestId = id.parse()?;
    rooms.engine.deny(&caller, id, no.comment).await?;
    one(&rooms, caller, id).await
}

/// Gives up a request of one's own.
#[utoipa::path(
    post, path = "/requests/{id}/withdraw", tag = "requests", operation_id = "withdraw",
    params(("id" = String, Path, description = "the request's identifier")),
    responses((status = 200, description = "The request as it stands then", body = Request), Problems)
)]
async fn withdraw(
    State(rooms): State<Rooms>,
    SignedIn(caller): SignedIn,
    id: Segment,
) -> Result<Json<Request>, Problem> {
    let id: RequestId = id.parse()?;
    rooms.engine.withdraw_request(&caller, id).await?;
    one(&rooms, caller, id).await
}

pub(super) async fn one(rooms: &Rooms, caller: Caller, id: RequestId) -> Result<Json<Request>, Problem> {
    let view = reading(rooms, move |engine| engine.request_view(&caller, id)).await??;
    Ok(Json(view.into()))
}
