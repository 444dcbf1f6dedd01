//! Resources, and credentials for them.

use std::path::Path;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use countersign_core::{PrincipalId, ResourceId, catalogue};
use countersign_engine::Minted;
use url::Url;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::bad;
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

/// The kind of resources whose clients send a bearer token to an endpoint.
const TOOLS: &str = "mcp";

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

/// Mints a credential for one's own client, or for an agent of one's own.
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
    let is_of_tools = door.kind == TOOLS || wanted.tools;
    if wanted.tools {
        check_tools(&rooms, (&resource, &kind), wanted.certificate.is_some())?;
    }
    let bound = wanted.certificate.as_deref().map(thumbprint).transpose()?;
    let minted = match (&wanted.agent, bound) {
        (Some(agent), bound) => {
            let agent: PrincipalId = agent.parse().map_err(bad)?;
            rooms.engine.mint_credential_for(&caller, &agent, &resource, bound).await?
        }
        (None, Some(bound)) => rooms.engine.mint_bound(&caller, &resource, bound).await?,
        (None, None) => rooms.engine.mint_credential(&caller, &resource).await?,
    };
    Ok((StatusCode::CREATED, Json(credential(&rooms, (&door, is_of_tools), &resource, &minted)?)))
}

/// Whether a client of tools can use a credential for this.
fn check_tools(rooms: &Rooms, (resource, kind): (&ResourceId, &str), is_bound: bool) -> Result<(), Problem> {
    let is_one = kind == TOOLS || rooms.engine.is_entered_from_inside(kind);
    if rooms.door(TOOLS).is_none() || !is_one {
        return Err(Problem::new(
            Kind::Conflict,
            format!("`{resource}` is nothing that clients of tools could use"),
        ));
    }
    if is_bound {
        return Err(Problem::new(Kind::Invalid, "clients of tools show no certificate")
            .hint("leave `certificate` out, or use the database's own door"));
    }
    Ok(())
}

fn thumbprint(text: &str) -> Result<[u8; 32], Problem> {
    let bytes = URL_SAFE_NO_PAD.decode(text).ok().and_then(|bytes| bytes.try_into().ok());
    bytes.ok_or_else(|| {
        Problem::new(Kind::Invalid, "`certificate` is no SHA-256 of a certificate")
            .hint("it is the hash of its DER form, base64url without padding")
    })
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
    (door, is_of_tools): (&DoorAddress, bool),
    resource: &ResourceId,
    minted: &Minted,
) -> Result<Credential, Problem> {
    let authority = rooms.settings.authority.as_ref();
    let path = authority.and_then(|authority| authority.path.as_deref());
    let url = match is_of_tools {
        true => Some(format!("{}/mcp/{resource}", rooms.settings.public_url.trim_end_matches('/'))),
        false => libpq_url(door, resource, minted, path),
    };
    let url = url.ok_or_else(|| Problem::new(Kind::Internal, "the door's address makes no URL"))?;
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
        token: is_of_tools.then(|| format!("{}~{}", minted.user, minted.password.as_str())),
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
