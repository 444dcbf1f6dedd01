//! What the bundle in force says there is, for whoever may read policy.

use std::collections::BTreeSet;

use axum::Json;
use axum::extract::State;
use countersign_core::{PrincipalId, RoleId};
use countersign_engine::Snapshot;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::principals::called;
use super::reading;
use crate::problem::{Kind, Problem, Problems};
use crate::rooms::Rooms;
use crate::shapes::bundle::BundleState;
use crate::shapes::catalogue::{Catalogue, DescribedGroup, DescribedResource, DescribedRole, DescribedRule};
use crate::shapes::requests::Party;

pub(crate) fn router() -> OpenApiRouter<Rooms> {
    OpenApiRouter::new().routes(routes!(catalogue))
}

/// Resources, roles, groups and approval rules of the bundle in force, with who holds what and when it was granted last.
#[utoipa::path(
    get, path = "/catalogue", tag = "bundle", operation_id = "catalogue",
    responses((status = 200, description = "What there is", body = Catalogue), Problems)
)]
async fn catalogue(State(rooms): State<Rooms>) -> Result<Json<Catalogue>, Problem> {
    let snapshot = rooms.engine.snapshot();
    let none = || {
        Problem::new(Kind::NotFound, "no bundle is in force").hint("`countersign apply FOLDER` applies one")
    };
    let in_force = snapshot.book.in_force.as_ref().ok_or_else(none)?.bundle;
    let used = reading(&rooms, |engine| engine.grants_of_roles()).await??;
    let said = &snapshot.book.catalogue;
    let scope = |id| DescribedRole::of(said, id, holders(&rooms, &snapshot, id), used.get(id).copied());
    Ok(Json(Catalogue {
        id: in_force.to_string(),
        state: BundleState::Active,
        resources: DescribedResource::all(said),
        roles: said.roles.keys().filter_map(scope).collect(),
        groups: DescribedGroup::all(said, &|id| party(&rooms, &snapshot, id)),
        rules: said.rules.iter().map(|(id, rule)| DescribedRule::of(id, rule)).collect(),
    }))
}

fn holders(rooms: &Rooms, snapshot: &Snapshot, role: &RoleId) -> Vec<Party> {
    let now = rooms.engine.now();
    let live = snapshot.book.grants().filter(|grant| grant.role == *role && grant.state_at(now) == "live");
    let who: BTreeSet<&PrincipalId> = live.map(|grant| &grant.principal).collect();
    who.into_iter().map(|id| party(rooms, snapshot, id)).collect()
}

/// Somebody, as people call them.
fn party(rooms: &Rooms, snapshot: &Snapshot, id: &PrincipalId) -> Party {
    let known = snapshot.book.catalogue.principals.get(id);
    let display = known.map_or_else(|| id.to_string(), |found| called(&rooms.engine, id, found));
    Party { name: id.to_string(), display }
}
