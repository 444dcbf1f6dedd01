//! Letting in clients at one resource.

use countersign_engine as engine;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Impact;

/// What a client asks for, as it stands in the address that it had a browser open (RFC 6749, RFC 7636, RFC 8707).
#[derive(Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AuthorizationRequest {
    /// Which client.
    #[schema(max_length = 64)]
    pub client_id: String,
    /// Where the answer is brought.
    #[schema(max_length = 512)]
    pub redirect_uri: String,
    /// `code`.
    #[serde(default)]
    #[schema(nullable = false, example = "code")]
    pub response_type: Option<String>,
    /// What the client made of its verifier.
    #[serde(default)]
    #[schema(nullable = false, max_length = 43)]
    pub code_challenge: Option<String>,
    /// `S256`.
    #[serde(default)]
    #[schema(nullable = false, example = "S256")]
    pub code_challenge_method: Option<String>,
    /// The address of the resource.
    #[serde(default)]
    #[schema(nullable = false)]
    pub resource: Option<String>,
    /// `role:NAME`, if it wants one role.
    #[serde(default)]
    #[schema(nullable = false)]
    pub scope: Option<String>,
    /// What the client wants to hear again.
    #[serde(default)]
    #[schema(nullable = false, max_length = 2048)]
    pub state: Option<String>,
}

/// A client that asks to be let in.
#[derive(Clone, Serialize, Deserialize, ToSchema)]
pub struct AuthorizationAsked {
    /// What it calls itself. Anybody may call themselves anything.
    pub client: String,
    /// The host to which the answer is brought.
    pub host: String,
    /// Whether that is this very machine.
    pub here: bool,
    /// When it was registered.
    #[schema(format = DateTime)]
    pub registered_at: String,
    /// At which resource.
    pub resource: String,
    /// The resource's one line.
    pub title: String,
    /// How bad it would be.
    pub impact: Impact,
    /// Until when it would be let in at the latest.
    #[schema(format = DateTime)]
    pub until: String,
    /// As whom it could act: the caller first, then the agents they answer for.
    pub actors: Vec<AuthorizationActor>,
    /// The role that it asks for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub role: Option<String>,
}

/// As whom a client could act.
#[derive(Clone, Serialize, Deserialize, ToSchema)]
pub struct AuthorizationActor {
    /// Who.
    pub principal: String,
    /// Whether it is an agent.
    pub agent: bool,
    /// Their live grants that reach the resource, the newest first.
    pub grants: Vec<AuthorizationGrant>,
}

/// A live grant that reaches the resource.
#[derive(Clone, Serialize, Deserialize, ToSchema)]
pub struct AuthorizationGrant {
    /// Of which role.
    pub role: String,
    /// Until when.
    #[schema(format = DateTime)]
    pub until: String,
}

/// Whether it may.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AuthorizationAnswer {
    /// What was asked.
    pub request: AuthorizationRequest,
    /// Whether it is let in.
    pub allow: bool,
    /// As whom; the caller if absent.
    #[serde(default)]
    #[schema(nullable = false, max_length = 64)]
    pub principal: Option<String>,
    /// In which one role; in any that they hold if absent.
    #[serde(default)]
    #[schema(nullable = false, max_length = 64)]
    pub role: Option<String>,
}

/// Where the browser goes with the answer.
#[derive(Clone, Serialize, Deserialize, ToSchema)]
pub struct AuthorizationDone {
    /// The client's address, with a code or a no.
    pub redirect_to: String,
}

impl AuthorizationAsked {
    /// What a person is shown.
    pub(crate) fn of(asked: engine::ConsentAsked, resource: String, role: Option<String>) -> Self {
        Self {
            client: asked.client.name,
            here: asked.is_here,
            host: asked.host,
            registered_at: asked.client.registered_at.rfc3339(),
            resource,
            title: asked.title,
            impact: asked.impact.into(),
            until: asked.until.rfc3339(),
            actors: asked.actors.into_iter().map(Into::into).collect(),
            role,
        }
    }
}

impl From<engine::ConsentActor> for AuthorizationActor {
    fn from(actor: engine::ConsentActor) -> Self {
        let grants = actor.roles.into_iter();
        let grants =
            grants.map(|(role, until)| AuthorizationGrant { role: role.to_string(), until: until.rfc3339() });
        Self { principal: actor.principal.to_string(), agent: actor.is_agent, grants: grants.collect() }
    }
}
