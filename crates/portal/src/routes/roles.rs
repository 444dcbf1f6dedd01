//! What can be asked for.

use axum::Json;
use axum::extract::State;
use countersign_core::catalogue::Role;
use countersign_core::request::{self, Ask};
use countersign_core::{RoleId, Span};
use countersign_engine::{Caller, Snapshot};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::extract::{Query, Segment};
use crate::guard::SignedIn;
use crate::problem::{Kind, Problem, Problems};
use crate::rooms::Rooms;
use crate::shapes::roles::{For, Preview, Role as Shown, RoleState};
use crate::shapes::{List, Verdict};

pub(crate) fn router() -> OpenApiRouter<Rooms> {
    OpenApiRouter::new().routes(routes!(roles)).routes(routes!(preview))
}

/// The roles that the caller may ask for.
#[utoipa::path(
    get, path = "/roles", tag = "roles", operation_id = "roles",
    responses((status = 200, description = "Roles, by name", body = List<Shown>), Problems)
)]
async fn roles(State(rooms): State<Rooms>, SignedIn(caller): SignedIn) -> Json<List<Shown>> {
    Json(List { items: offered(&rooms, &caller) })
}

/// Says who would be asked, before asking.
#[utoipa::path(
    get, path = "/roles/{role}/preview", tag = "roles", operation_id = "preview",
    params(("role" = String, Path, description = "the role's name"), For),
    responses((status = 200, description = "What would follow", body = Preview), Problems)
)]
async fn preview(
    State(rooms): State<Rooms>,
    SignedIn(caller): SignedIn,
    role: Segment,
    Query(query): Query<For>,
) -> Result<Json<Preview>, Problem> {
    let role: RoleId = role.parse()?;
    let lasting = span(&query.lasting)?;
    let preview = rooms.engine.preview(&caller, &role, lasting);
    let verdict = Verdict::from(preview.verdict);
    Ok(Json(Preview {
        id: role.to_string(),
        state: verdict,
        verdict,
        for_s: lasting.millis() / 1_000,
        rules: preview.rules.iter().map(ToString::to_string).collect(),
        asked: preview.asked,
        reason: preview.reason,
    }))
}

/// A length of time as people write it.
pub(super) fn span(text: &str) -> Result<Span, Problem> {
    text.parse().map_err(|bad: countersign_core::time::BadSpan| Problem::new(Kind::Invalid, bad.to_string()))
}

/// The roles that the caller holds or may ask for, by name.
pub(super) fn offered(rooms: &Rooms, caller: &Caller) -> Vec<Shown> {
    let snapshot = rooms.engine.snapshot();
    let roles = &snapshot.book.catalogue.roles;
    roles.iter().filter_map(|(id, role)| offer(rooms, caller, &snapshot, (id, role))).collect()
}

fn offer(rooms: &Rooms, caller: &Caller, snapshot: &Snapshot, role: (&RoleId, &Role)) -> Option<Shown> {
    let (id, role) = role;
    let preview = rooms.engine.preview(caller, id, role.longest);
    let verdict = Verdict::from(preview.verdict);
    let state = state(rooms, caller, snapshot, id);
    if verdict == Verdict::Deny && state != RoleState::Held {
        return None;
    }
    let resources = &snapshot.book.catalogue.resources;
    let impact = role.resources.iter().filter_map(|id| resources.get(id)).map(|found| found.impact).max();
    Some(Shown {
        id: id.to_string(),
        state,
        title: role.title.clone(),
        resources: role.resources.iter().map(ToString::to_string).collect(),
        impact: impact.map(Into::into),
        actions: role.actions.iter().map(ToString::to_string).collect(),
        longest_s: role.longest.millis() / 1_000,
        verdict,
        asked: preview.asked,
    })
}

fn state(rooms: &Rooms, caller: &Caller, snapshot: &Snapshot, role: &RoleId) -> RoleState {
    if snapshot.book.live_grant(&caller.principal, role, rooms.engine.now()).is_some() {
        return RoleState::Held;
    }
    let asked = snapshot.book.requests().any(|request| {
        let for_it = matches!(&request.ask, Ask::Access { role: asked, .. } if asked == role);
        for_it && request.by == caller.principal && matches!(request.state, request::State::Pending)
    });
    if asked { RoleState::Asked } else { RoleState::Open }
}
