//! What this server can do (RFC 7644, section 4), for clients that ask first.

use axum::Router;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::get;
use serde::Deserialize;
use serde_json::{Value, json};

use super::Shared;
use super::answer::{self, Wanted};
use super::error::{Error, Why};
use super::routes::PAGE_MAX;
use super::schema::{self, Object, SCHEMAS, TEAMS, Type, USERS};

pub fn router() -> Router<Shared> {
    Router::new()
        .route("/ServiceProviderConfig", get(configuration))
        .route("/ResourceTypes", get(types))
        .route("/ResourceTypes/{name}", get(one_type))
        .route("/Schemas", get(schemas))
        .route("/Schemas/{urn}", get(one_schema))
}

/// Discovery is not filtered (RFC 7644, section 4): whoever tries is refused rather than misled.
#[derive(Deserialize)]
struct Asked {
    filter: Option<String>,
}

async fn configuration(State(shared): State<Shared>) -> Response {
    let answer = json!({
        "schemas": ["urn:ietf:params:scim:schemas:core:2.0:ServiceProviderConfig"],
        "patch": { "supported": true },
        "bulk": { "supported": false, "maxOperations": 0, "maxPayloadSize": 0 },
        "filter": { "supported": true, "maxResults": PAGE_MAX },
        "changePassword": { "supported": false },
        "sort": { "supported": false },
        "etag": { "supported": true },
        "authenticationSchemes": [{
            "type": "oauthbearertoken",
            "name": "Bearer token",
            "description": "A token of the gateway's configuration, which may provision one directory and nothing else",
            "primary": true,
        }],
        "meta": {
            "resourceType": "ServiceProviderConfig",
            "location": format!("{}/ServiceProviderConfig", shared.base),
        },
    });
    answer::body(StatusCode::OK, &answer)
}

async fn types(State(shared): State<Shared>, Query(asked): Query<Asked>) -> Result<Response, Error> {
    unfiltered(&asked)?;
    Ok(whole([USERS, TEAMS].iter().map(|one| shown(one, &shared.base)).collect()))
}

async fn one_type(State(shared): State<Shared>, Path(name): Path<String>) -> Result<Response, Error> {
    let found = [USERS, TEAMS].into_iter().find(|one| one.name == name);
    let found = found.ok_or_else(|| Error::no_such(&name))?;
    Ok(answer::body(StatusCode::OK, &shown(&found, &shared.base)))
}

async fn schemas(State(shared): State<Shared>, Query(asked): Query<Asked>) -> Result<Response, Error> {
    unfiltered(&asked)?;
    Ok(whole(SCHEMAS.iter().map(|one| schema::shown(one, &shared.base)).collect()))
}

async fn one_schema(State(shared): State<Shared>, Path(urn): Path<String>) -> Result<Response, Error> {
    let found = SCHEMAS.iter().find(|one| one.urn.eq_ignore_ascii_case(&urn));
    let found = found.ok_or_else(|| Error::no_such(&urn))?;
    Ok(answer::body(StatusCode::OK, &schema::shown(found, &shared.base)))
}

fn unfiltered(asked: &Asked) -> Result<(), Error> {
    match asked.filter {
        // RFC 7644, section 4 asks for 403; there is no kind of error in it for this.
        Some(_) => Err(Error::new(Why::Forbidden, "what the server can do is shown whole")),
        None => Ok(()),
    }
}

fn whole(all: Vec<Value>) -> Response {
    let all: Vec<Object> = all.into_iter().filter_map(|one| one.as_object().cloned()).collect();
    let total = all.len();
    answer::list(all, (total, 1), &Wanted::default())
}

fn shown(kind: &Type, base: &str) -> Value {
    let extensions = kind.extensions.iter().map(|one| json!({ "schema": one.urn, "required": false }));
    json!({
        "schemas": ["urn:ietf:params:scim:schemas:core:2.0:ResourceType"],
        "id": kind.name,
        "name": kind.name,
        "endpoint": format!("/{}", kind.endpoint),
        "description": kind.core.doc,
        "schema": kind.core.urn,
        "schemaExtensions": extensions.collect::<Vec<_>>(),
        "meta": { "resourceType": "ResourceType", "location": format!("{base}/ResourceTypes/{}", kind.name) },
    })
}
