//! Signing in, who I am, and who else there is.

use countersign_core::{At, directory};
use countersign_engine::directory::DirectoryView;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::grants::Grant;
use super::identity::{Means, NewPlace};

/// A name and a password.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SignIn {
    /// The user's name.
    #[schema(max_length = 64, example = "alice")]
    pub user: String,
    /// The password. Never recorded, never logged.
    #[schema(max_length = 1024, format = Password)]
    pub password: String,
}

/// A sign-in.
#[derive(Clone, Serialize, Deserialize, ToSchema)]
pub struct SignedIn {
    /// The bearer token. Absent when the caller is a browser (it sent `X-Countersign`): there the token is in
    /// a cookie that scripts cannot read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub token: Option<String>,
    /// When it ends at the latest.
    #[schema(format = DateTime)]
    pub expires_at: String,
    /// Who signed in.
    pub principal: String,
}

/// An identity provider to sign in with.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct SignInProvider {
    /// Its name: `/sign-in/oidc/NAME` begins.
    pub name: String,
    /// As people call it.
    pub title: String,
}

/// The caller.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Me {
    /// The principal's name.
    pub id: String,
    /// Always `enabled`: whoever is disabled is signed out.
    pub state: PrincipalState,
    /// The principal's name.
    pub principal: String,
    /// The human behind it.
    pub person: String,
    /// How people call it.
    pub name: String,
    /// The groups it belongs to, nested ones included.
    pub groups: Vec<String>,
    /// The actions by which clients show or hide something as a whole: those that policy permits the caller on the
    /// gateway itself, and `principal.*`, `sign_in.*` and `authenticator.*` that it permits on somebody else. What is
    /// offered is judged again when it is done.
    pub capabilities: Vec<String>,
    /// The caller's live grants, newest first.
    pub grants: Vec<Grant>,
    /// When the caller signed in.
    #[schema(format = DateTime)]
    pub signed_in_at: String,
    /// By what this sign-in was proved.
    pub means: Vec<Means>,
    /// Sign-ins from new places that the caller has not said to know; this one is not among them.
    pub new_places: Vec<NewPlace>,
    /// The gateway's instant, so that countdowns do not depend on the client's clock.
    #[schema(format = DateTime)]
    pub now: String,
}

/// Whether a principal may act.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum PrincipalState {
    /// It may.
    Enabled,
    /// It, or somebody who answers for it, is shut out.
    Disabled,
}

/// What a principal is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum PrincipalKind {
    /// A person at a keyboard.
    User,
    /// A job that runs without one.
    Service,
    /// An AI agent.
    Agent,
}

/// A principal.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Principal {
    /// Its name.
    pub id: String,
    /// Whether it may act.
    pub state: PrincipalState,
    /// User, service or agent.
    pub kind: PrincipalKind,
    /// The human behind it.
    pub person: String,
    /// How people call it.
    pub name: String,
    /// The user who answers for a service or agent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub owner: Option<String>,
    /// The directory whose word it lives by; absent of somebody whom the bundle alone knows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub directory: Option<String>,
    /// The groups it belongs to, nested ones included.
    pub groups: Vec<String>,
    /// The roles it holds now.
    pub roles: Vec<String>,
    /// What the caller may do about it.
    pub can: PrincipalCan,
}

/// A directory that people come from.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Directory {
    /// Its name.
    pub id: String,
    /// Whether it is heard.
    pub state: Hearing,
    /// One line for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub title: Option<String>,
    /// When it was last heard; absent if it never was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, format = DateTime)]
    pub heard_at: Option<String>,
    /// Since when it stands so, if it ever stood otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, format = DateTime)]
    pub since: Option<String>,
    /// How many accounts it has here.
    pub accounts: usize,
    /// How many of them it lets in.
    pub active: usize,
}

/// Whether a directory is heard.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Hearing {
    /// It is.
    Heard,
    /// Not for a while: its people begin nothing new.
    Silent,
    /// Not for long: what its people had has ended.
    Lost,
}

impl From<DirectoryView> for Directory {
    fn from(view: DirectoryView) -> Self {
        Self {
            id: view.name.to_string(),
            state: match view.hearing {
                directory::Hearing::Heard => Hearing::Heard,
                directory::Hearing::Silent => Hearing::Silent,
                directory::Hearing::Lost => Hearing::Lost,
            },
            title: view.title,
            heard_at: view.heard_at.map(At::rfc3339),
            since: view.since.map(At::rfc3339),
            accounts: view.accounts,
            active: view.active,
        }
    }
}

/// What the caller may do about a principal.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, ToSchema)]
pub struct PrincipalCan {
    /// Shut it out.
    pub disable: bool,
    /// Let it in again.
    pub enable: bool,
}
