//! What can be asked for, and where it leads: roles, resources, credentials.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::{Impact, Verdict};

/// A role that the caller may ask for.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Role {
    /// Its name.
    pub id: String,
    /// Whether the caller holds it.
    pub state: RoleState,
    /// One line for people who choose.
    pub title: String,
    /// The resources it reaches.
    pub resources: Vec<String>,
    /// The highest impact level among them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub impact: Option<Impact>,
    /// The actions it permits.
    pub actions: Vec<String>,
    /// The longest grant, in seconds.
    pub longest_s: i64,
    /// What policy says if it were asked for now, for as long as it allows: `allow` or `hold`.
    pub verdict: Verdict,
    /// Who would be asked, in words: `1 of group:dba or owner`.
    pub asked: Vec<String>,
}

/// Whether the caller holds a role.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum RoleState {
    /// Not held: it can be asked for.
    Open,
    /// A request for it waits.
    Asked,
    /// Held by a live grant.
    Held,
}

/// For how long.
#[derive(Clone, Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct For {
    /// A length of time: `30m`, `1h30m`.
    #[serde(rename = "for")]
    #[param(rename = "for", example = "30m")]
    pub lasting: String,
}

/// What would follow if a role were asked for.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Preview {
    /// The role.
    pub id: String,
    /// The verdict in the form of a state: `allow`, `deny` or `hold`.
    pub state: Verdict,
    /// The verdict.
    pub verdict: Verdict,
    /// For how long, in seconds.
    pub for_s: i64,
    /// The approval rules that would hold it.
    pub rules: Vec<String>,
    /// Who would be asked, in words.
    pub asked: Vec<String>,
    /// Why, in words.
    pub reason: String,
}

/// A protected resource that the caller may see, as clients reach it through the gateway.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Resource {
    /// Its name.
    pub id: String,
    /// Whether the caller can connect.
    pub state: ResourceState,
    /// Which protocol it speaks: `postgres`.
    pub kind: String,
    /// One line for people who choose.
    pub title: String,
    /// How bad it would be.
    pub impact: Impact,
    /// Who answers for it: `group:dba`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub owner: Option<String>,
    /// Free labels.
    pub labels: BTreeMap<String, String>,
    /// The roles that reach it and that the caller holds or may ask for.
    pub roles: Vec<String>,
    /// Where clients connect; absent when no door serves its kind.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub host: Option<String>,
    /// The door's port.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub port: Option<u16>,
    /// The database name that clients give.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub database: Option<String>,
}

/// Whether the caller can connect to a resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum ResourceState {
    /// A live grant reaches it.
    Open,
    /// None does: ask for a role first.
    Closed,
}

/// For which resource a credential is wanted.
#[derive(Clone, Debug, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct MintCredential {
    /// The resource's name.
    #[schema(example = "shop")]
    pub resource: String,
    /// The agent of the caller's that it is for, if it is for one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(max_length = 64, nullable = false)]
    pub agent: Option<String>,
    /// SHA-256 of the certificate that the client shows inside TLS, base64url (RFC 8705, `x5t#S256`): without it the credential is
    /// of no use.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(min_length = 43, max_length = 43, nullable = false)]
    pub certificate: Option<String>,
    /// It is for a client of tools, before which a database is a server whose tools are statements: the answer has the endpoint and the
    /// bearer token. Of no meaning for what is a server of tools by itself.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    #[schema(required = false)]
    pub tools: bool,
}

/// A credential: what a client presents to the gateway. It opens nothing by itself; every connection and
/// every action asks for a live grant.
#[derive(Clone, Serialize, Deserialize, ToSchema)]
pub struct Credential {
    /// Which.
    pub id: String,
    /// Always `live` in this answer.
    pub state: CredentialState,
    /// The resource.
    pub resource: String,
    /// The user name that the client gives.
    pub user: String,
    /// The password. It is shown once and cannot be read again.
    #[schema(format = Password)]
    pub password: String,
    /// Where the client connects.
    pub host: String,
    /// The port.
    pub port: u16,
    /// The database name that the client gives.
    pub database: String,
    /// When it stops working.
    #[schema(format = DateTime)]
    pub expires_at: String,
    /// The same as one URL for libpq; for a server of tools, its endpoint.
    pub url: String,
    /// For a server of tools: what its client sends as a bearer token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, format = Password)]
    pub token: Option<String>,
    /// The certificate authority of the gateway's own certificate, PEM.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub ca: Option<String>,
}

/// Whether a credential works.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum CredentialState {
    /// Until it expires.
    Live,
}
