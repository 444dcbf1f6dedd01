//! How somebody came to sign in: from where, with what, by whose word, and where alone that counts.

use std::net::IpAddr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use countersign_core::{At, ClientId, PrincipalId, ResourceId, RoleId, SignInId};
use countersign_policy::context::Via;
use serde::{Deserialize, Serialize};

use super::SignInClient;
use super::jobs::Job;
use super::means::MeansSet;
use crate::house::House;
use crate::settings::CLIENT_BYTES_MAX;
use crate::words::cut;

/// From where somebody signed in, and with what.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Origin {
    pub(crate) address: Option<IpAddr>,
    pub(crate) program: Option<String>,
    pub(crate) via: String,
    /// The session at a provider that it stands on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) federation: Option<FederatedSession>,
    /// The sign-in that let it in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) let_in_by: Option<SignInId>,
    /// The job that it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) job: Option<Box<Job>>,
    /// SHA-256 of the key that it stands on (RFC 7638), base64url, if it is an agent's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) key: Option<String>,
    /// Where alone it counts, if it is a client's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) audience: Option<Box<Audience>>,
}

/// A client that somebody let in at one resource, and nowhere else.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Audience {
    pub(crate) client: ClientId,
    /// What the client calls itself.
    pub(crate) name: String,
    /// The host to which its code was brought.
    pub(crate) host: String,
    pub(crate) resource: ResourceId,
    /// The one role that it is for, if it is for one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) role: Option<RoleId>,
    /// Who let it in.
    pub(crate) by: PrincipalId,
}

/// A session at an identity provider.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct FederatedSession {
    pub(crate) issuer: String,
    pub(crate) subject: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) session: Option<String>,
}

/// How somebody came to sign in.
#[derive(Clone, Debug)]
pub(crate) struct Came {
    pub(crate) means: MeansSet,
    pub(crate) proved_at: At,
    pub(crate) federation: Option<FederatedSession>,
    pub(crate) let_in: Option<LetIn>,
    pub(crate) job: Option<Box<Job>>,
    /// The key that it stands on, if it is an agent's.
    pub(crate) key: Option<String>,
    /// Where alone it counts, if it is a client's.
    pub(crate) audience: Option<Box<Audience>>,
}

/// By whom a program was let in.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LetIn {
    pub(crate) by: SignInId,
    /// When it ends at the latest.
    pub(crate) until: At,
}

impl Came {
    /// Proved here, now.
    pub(crate) fn here(means: MeansSet, now: At) -> Self {
        Self { means, proved_at: now, federation: None, let_in: None, job: None, key: None, audience: None }
    }
}

impl Origin {
    pub(crate) fn of(client: &SignInClient) -> Self {
        Self {
            address: client.source,
            program: client.user_agent.as_deref().map(|agent| cut(agent, CLIENT_BYTES_MAX).to_owned()),
            via: client.via.as_str().to_owned(),
            federation: None,
            let_in_by: None,
            job: None,
            key: None,
            audience: None,
        }
    }

    /// How they spoke to the gateway.
    pub(crate) fn via(&self) -> Via {
        let all = [Via::Console, Via::Cli, Via::Api];
        all.into_iter().find(|via| via.as_str() == self.via).unwrap_or(Via::Api)
    }

    pub(super) fn sealed(&self, house: &House, place: &str) -> String {
        let json = serde_json::to_vec(self).unwrap_or_default();
        STANDARD_NO_PAD.encode(house.keyring.seal(&house.ports, place, &json))
    }

    pub(super) fn unsealed(house: &House, place: &str, sealed: &str) -> Option<Self> {
        let sealed = STANDARD_NO_PAD.decode(sealed).ok()?;
        serde_json::from_slice(&house.keyring.open(place, &sealed).ok()?).ok()
    }
}
