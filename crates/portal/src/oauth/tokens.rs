//! Where clients get tokens for a code, and the next for the last (RFC 6749, RFC 7636, RFC 8707), and give them back (RFC 7009).

use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use countersign_core::{ClientId, ResourceId};
use countersign_engine::{IssuedTokens, Redeemed};
use serde_json::{Value, json};

use super::error::Error;
use super::routes::let_come;
use super::{ROLE_SCOPE, resource_at};
use crate::rooms::Rooms;
use crate::routes::From;

/// What a client sends: each name once.
struct Form(Vec<(String, String)>);

impl Form {
    fn read(headers: &HeaderMap, body: &[u8]) -> Result<Self, Error> {
        let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
        let kind = kind.split(';').next().unwrap_or_default().trim();
        if !kind.eq_ignore_ascii_case("application/x-www-form-urlencoded") {
            return Err(Error::new("invalid_request", "the body has to be a form"));
        }
        let pairs: Vec<(String, String)> = url::form_urlencoded::parse(body).into_owned().collect();
        let mut names: Vec<&str> = pairs.iter().map(|(name, _)| name.as_str()).collect();
        names.sort_unstable();
        if names.windows(2).any(|two| matches!(two, [one, other] if one == other)) {
            return Err(Error::new("invalid_request", "a parameter is there twice"));
        }
        Ok(Self(pairs))
    }

    /// What is said under this name. Nothing said is not there (RFC 6749, section 3.2).
    fn get(&self, name: &str) -> Option<&str> {
        let found = self.0.iter().find(|(own, _)| own == name);
        found.map(|(_, value)| value.as_str()).filter(|value| !value.is_empty())
    }

    fn want(&self, name: &str) -> Result<&str, Error> {
        self.get(name).ok_or_else(|| Error::new("invalid_request", format!("`{name}` is missing")))
    }

    fn client(&self) -> Result<ClientId, Error> {
        self.want("client_id")?.parse().map_err(|_| Error::no_client())
    }

    fn resource(&self, rooms: &Rooms) -> Result<Option<ResourceId>, Error> {
        let Some(address) = self.get("resource") else { return Ok(None) };
        let found = resource_at(rooms, address);
        found.map(Some).ok_or_else(|| Error::new("invalid_target", "there is no such resource here"))
    }
}

/// Gives tokens for a code, or the next for the last.
pub(super) async fn token(
    State(rooms): State<Rooms>,
    from: From,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Json<Value>, Error> {
    let_come(&rooms, &headers)?;
    rooms.tries.take(from.client.source, rooms.engine.now()).map_err(Error::too_many)?;
    let form = Form::read(&headers, &body)?;
    let client = form.client()?;
    if rooms.engine.client(client).is_none() {
        return Err(Error::no_client());
    }
    let resource = form.resource(&rooms)?;
    let given = match form.want("grant_type")? {
        "authorization_code" => {
            let brought = Redeemed {
                code: form.want("code")?,
                verifier: form.want("code_verifier")?,
                client,
                redirect_uri: form.want("redirect_uri")?,
                resource: resource.as_ref(),
            };
            rooms.engine.redeem_code(brought, from.client.clone()).await
        }
        "refresh_token" => {
            let token = form.want("refresh_token")?;
            rooms.engine.refresh(token, client, resource.as_ref(), from.client.clone()).await
        }
        _ => {
            return Err(Error::new(
                "unsupported_grant_type",
                "tokens are given for a code, or for the last token",
            ));
        }
    };
    let given = given?;
    rooms.tries.give_back(from.client.source);
    Ok(Json(told(&rooms, &given)))
}

fn told(rooms: &Rooms, given: &IssuedTokens) -> Value {
    let mut told = json!({
        "access_token": given.access.as_str(),
        "token_type": "Bearer",
        "expires_in": given.expires_at.since(rooms.engine.now()).millis() / 1_000,
        "refresh_token": given.refresh.as_str(),
    });
    if let (Some(role), Some(told)) = (&given.role, told.as_object_mut()) {
        told.insert("scope".into(), format!("{ROLE_SCOPE}{role}").into());
    }
    told
}

/// Takes a token back, and ends all that came of the same yes.
pub(super) async fn revoke(
    State(rooms): State<Rooms>,
    from: From,
    headers: HeaderMap,
    body: Bytes,
) -> Result<StatusCode, Error> {
    let_come(&rooms, &headers)?;
    rooms.tries.take(from.client.source, rooms.engine.now()).map_err(Error::too_many)?;
    let form = Form::read(&headers, &body)?;
    let (token, client) = (form.want("token")?, form.client()?);
    rooms.engine.give_back(token, client, from.client.clone()).await.map_err(Error::unavailable)?;
    rooms.tries.give_back(from.client.source);
    Ok(StatusCode::OK)
}
