//! Who there is; shutting somebody out, and letting them in again.

use axum::Json;
use axum::extract::State;
use countersign_core::PrincipalId;
use countersign_core::catalogue::{self, PrincipalKind};
use countersign_engine::{Caller, Engine, Snapshot};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::extract::{MaybeJson, Segment};
use crate::guard::SignedIn;
use crate::problem::{Kind, Problem, Problems};
use crate::rooms::Rooms;
use crate::shapes::people::{Principal, PrincipalCan, PrincipalKind as ShownKind, PrincipalState};
use crate::shapes::{List, Reason};

pub(crate) fn router() -> OpenApiRouter<Rooms> {
    OpenApiRouter::new().routes(routes!(principals)).routes(routes!(disable)).routes(routes!(enable))
}

/// Who there is.
#[utoipa::path(
    get, path = "/principals", tag = "principals", operation_id = "principals",
    responses((status = 200, description = "Principals, by name", body = List<Principal>), Problems)
)]
async fn principals(State(rooms): State<Rooms>, SignedIn(caller): SignedIn) -> Json<List<Principal>> {
    let snapshot = rooms.engine.snapshot();
    let everybody = snapshot.book.catalogue.principals.iter();
    let items = everybody
        .filter(|(id, _)| rooms.engine.permitted_on(&caller, "principal.read", id))
        .map(|(id, found)| show(&rooms, &caller, &snapshot, (id, found)));
    Json(List { items: items.collect() })
}

/// Shuts somebody out, at once.
#[utoipa::path(
    post, path = "/principals/{name}/disable", tag = "principals", operation_id = "disable",
    params(("name" = String, Path, description = "the principal's name")),
    request_body = Reason,
    responses((status = 200, description = "The principal as it stands then", body = Principal), Problems)
)]
async fn disable(
    State(rooms): State<Rooms>,
    SignedIn(caller): SignedIn,
    name: Segment,
    MaybeJson(reason): MaybeJson<Reason>,
) -> Result<Json<Principal>, Problem> {
    let name: PrincipalId = name.parse()?;
    rooms.engine.disable(&caller, &name, reason.reason).await?;
    one(&rooms, &caller, &name)
}

/// Lets somebody in again.
#[utoipa::path(
    post, path = "/principals/{name}/enable", tag = "principals", operation_id = "enable",
    params(("name" = String, Path, description = "the principal's name")),
    responses((status = 200, description = "The principal as it stands then", body = Principal), Problems)
)]
async fn enable(
    State(rooms): State<Rooms>,
    SignedIn(caller): SignedIn,
    name: Segment,
) -> Result<Json<Principal>, Problem> {
    let name: PrincipalId = name.parse()?;
    rooms.engine.enable(&caller, &name).await?;
    one(&rooms, &caller, &name)
}

fn one(rooms: &Rooms, caller: &Caller, name: &PrincipalId) -> Result<Json<Principal>, Problem> {
    let snapshot = rooms.engine.snapshot();
    let found = snapshot.book.catalogue.principals.get(name);
    let found =
        found.ok_or_else(|| Problem::new(Kind::NotFound, format!("there is no principal `{name}`")))?;
    Ok(Json(show(rooms, caller, &snapshot, (name, found))))
}

/// How people call somebody: as their directory says, or else the bundle.
pub(super) fn called(engine: &Engine, id: &PrincipalId, found: &catalogue::Principal) -> String {
    let profile = engine.profile(id).and_then(|profile| profile.display);
    profile.unwrap_or_else(|| found.display.clone())
}

fn show(
    rooms: &Rooms,
    caller: &Caller,
    snapshot: &Snapshot,
    principal: (&PrincipalId, &catalogue::Principal),
) -> Principal {
    let (id, found) = principal;
    let book = &snapshot.book;
    let enabled = book.is_enabled(id);
    let disabled_itself = book.disabled().any(|one| one == id);
    let now = rooms.engine.now();
    Principal {
        id: id.to_string(),
        state: if enabled { PrincipalState::Enabled } else { PrincipalState::Disabled },
        kind: match found.kind {
            PrincipalKind::User => ShownKind::User,
            PrincipalKind::Service { .. } => ShownKind::Service,
            PrincipalKind::Agent { .. } => ShownKind::Agent,
        },
        person: found.person.to_string(),
        name: called(&rooms.engine, id, found),
        owner: found.owner().map(ToString::to_string),
        directory: found.directory.as_ref().map(ToString::to_string),
        groups: book.catalogue.groups_of(id).iter().map(ToString::to_string).collect(),
        roles: book.live_roles(id, now).iter().map(|(role, _)| role.to_string()).collect(),
        can: PrincipalCan {
            // Whoever wants to leave asks somebody else: shutting oneself out is offered to nobody.
            disable: !disabled_itself
                && *id != caller.principal
                && rooms.engine.permitted_on(caller, "principal.disable", id),
            enable: disabled_itself && rooms.engine.permitted_on(caller, "principal.enable", id),
        },
    }
}
