//! Resources, and credentials for them.

use std::path::Path;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use countersign_core::{ResourceId, catalogue};
use countersign_engine::Minted;
use url::Url;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::roles::offered;
use crate::extract::Json as Body;
use crate::guard::SignedIn;
use crate::problem::{Kind, Problem, Problems};
use crate::rooms::{DoorAddress, Rooms};
use crate::shapes::List;
use crate::shapes::roles::{
    Credential, CredentialState, MintCredential, Resource, ResourceState, Role, RoleState,
};

pub(crate) fn router() -> OpenApiRouter<Rooms> {
    OpenApiRouter::new().routes(routes!(resources)).routes(routes!(mint))
}

/// Resources that the caller can reach, or could with a role.
#[utoipa::path(
    get, path = "/resources", tag = "credentials", operation_id = "resources",
    responses((status = 200, description = "Resources, by name", body = List<Resource>), Problems)
)]
async fn resources(State(rooms): State<Rooms>, SignedIn(caller): SignedIn) -> Json<List<Resource>> {
    let roles = offered(&rooms, &caller);
    let snapshot = rooms.engine.snapshot();
    let resources = &snapshot.book.catalogue.resources;
    let items = resources.iter().filter_map(|(id, found)| resource(&rooms, &roles, id, found));
    Json(List { items: items.collect() })
}

/// Mints a credential for one's own client.
#[utoipa::path(
    post, path = "/credentials", tag = "credentials", operation_id = "mint",
    request_body = MintCredential,
    responses(
        (status = 201, description = "The credential; its password is shown this once", body = Credential),
        Problems,
    )
)]
async fn mint(
    State(rooms): State<Rooms>,
    SignedIn(caller): SignedIn,
    Body(wanted): Body<MintCredential>,
) -> Result<(StatusCode, Json<Credential>), Problem> {
    let bad = |bad: countersign_core::ids::BadId| Problem::new(Kind::Invalid, bad.to_string());
    let resource: ResourceId = wanted.resource.parse().map_err(bad)?;
    let snapshot = rooms.engine.snapshot();
    let kind = snapshot.book.catalogue.resources.get(&resource).map(|found| found.kind.clone());
    let kind = kind.ok_or_else(|| {
        Problem::new(Kind::NotFound, format!("there is no resource `{resource}`"))
            .hint("`countersign roles` lists what you may ask for")
    })?;
    let door = rooms.door(&kind).cloned().ok_or_else(|| {
        Problem::new(Kind::Conflict, format!("no door is open for resources of kind `{kind}`"))
    })?;
    let minted = rooms.engine.mint_credential(&caller, &resource).await?;
    Ok((StatusCode::CREATED, Json(credential(&rooms, &door, &resource, &minted)?)))
}

fn resource(rooms: &Rooms, roles: &[Role], id: &ResourceId, found: &catalogue::Resource) -> Option<Resource> {
    let reaching: Vec<&Role> =
        roles.iter().filter(|role| role.resources.iter().any(|one| one == id.as_str())).collect();
    if reaching.is_empty() {
        return None;
    }
    let held = reaching.iter().any(|role| role.state == RoleState::Held);
    let door = rooms.door(&found.kind);
    Some(Resource {
        id: id.to_string(),
        state: if held { ResourceState::Open } else { ResourceState::Closed },
        kind: found.kind.clone(),
        title: found.title.clone(),
        impact: found.impact.into(),
        owner: found.owner.as_ref().map(ToString::to_string),
        labels: found.labels.clone(),
        roles: reaching.iter().map(|role| role.id.clone()).collect(),
        host: door.map(|door| door.host.clone()),
        port: door.map(|door| door.port),
        database: door.map(|_| id.to_string()),
    })
}

fn credential(
    rooms: &Rooms,
    door: &DoorAddress,
    resource: &ResourceId,
    minted: &Minted,
) -> Result<Credential, Problem> {
    let authority = rooms.settings.authority.as_ref();
    let path = authority.and_then(|authority| authority.path.as_deref());
    let url = libpq_url(door, resource, minted, path)
        .ok_or_else(|| Problem::new(Kind::Internal, "the door's address makes no URL"))?;
    Ok(Credential {
        id: minted.id.to_string(),
        state: CredentialState::Live,
        resource: resource.to_string(),
        user: minted.user.clone(),
        password: minted.password.to_string(),
        host: door.host.clone(),
        port: door.port,
        database: resource.to_string(),
        expires_at: minted.expires_at.rfc3339(),
        url,
        ca: authority.map(|authority| authority.pem.clone()),
    })
}

/// A URL for libpq that accepts no server but the gateway. Without a path of the authority's certificate,
/// libpq looks for it where it always does (`~/.postgresql/root.crt`).
fn libpq_url(
    door: &DoorAddress,
    resource: &ResourceId,
    minted: &Minted,
    authority: Option<&Path>,
) -> Option<String> {
    let host = if door.host.contains(':') { format!("[{}]", door.host) } else { door.host.clone() };
    let mut url = Url::parse(&format!("postgresql://{host}:{}", door.port)).ok()?;
    url.set_username(&minted.user).ok()?;
    url.set_password(Some(&minted.password)).ok()?;
    url.path_segments_mut().ok()?.push(resource.as_str());
    let mut query = String::from("sslmode=verify-full");
    if let Some(path) = authority {
        // libpq decodes percent signs, but takes a plus sign for itself.
        let path: String = url::form_urlencoded::byte_serialize(path.to_str()?.as_bytes()).collect();
        query.push_str("&sslrootcert=");
        query.push_str(&path.replace('+', "%20"));
    }
    url.set_query(Some(&query));
    Some(url.into())
}
