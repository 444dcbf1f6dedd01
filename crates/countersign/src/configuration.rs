//! The configuration of a gateway, `countersign.toml`: what may stand in it, and reading it.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use serde::Deserialize;

use crate::directories::{LdapSection, ScimSection};
use crate::keepers::{Master, VaultSection};
use crate::programs::McpSection;
use crate::telling::PushSection;

/// `countersign.toml`. Every key is known or refused; `docs/operators/configuration.md` explains each.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Configuration {
    #[serde(default)]
    pub gateway: GatewaySection,
    pub console: Listener,
    pub postgres: Listener,
    #[serde(default)]
    pub bootstrap: Option<Bootstrap>,
    #[serde(default)]
    pub sign_in: SignInSection,
    /// Who may provision a directory over SCIM, by the directory's name.
    #[serde(default)]
    pub scim: BTreeMap<String, ScimSection>,
    /// Directories that are asked over LDAP, by their names.
    #[serde(default)]
    pub ldap: BTreeMap<String, LdapSection>,
    /// Servers of tools that are programs.
    #[serde(default)]
    pub mcp: McpSection,
    /// People may be told on their devices.
    #[serde(default)]
    pub push: Option<PushSection>,
    /// A server that keeps the master key.
    #[serde(default)]
    pub vault: Option<VaultSection>,
}

/// How long a sign-in lasts, as texts like `24h`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SignInSection {
    /// At most.
    pub r#for: Option<String>,
    /// Unused.
    pub idle: Option<String>,
    /// Whether a machine without a browser may be let in by a code that somebody types in at the console.
    pub device_codes: Option<bool>,
    /// Identity providers.
    pub oidc: Vec<ProviderSection>,
}

/// An identity provider. Its secret is a reference: it is never in this file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProviderSection {
    /// In links.
    pub name: String,
    /// As people call it; the name if absent.
    #[serde(default)]
    pub title: Option<String>,
    pub issuer: String,
    pub client_id: String,
    /// `env:NAME` or `file:PATH`; none for a public client.
    #[serde(default)]
    pub client_secret: Option<String>,
    #[serde(default = "usual_scopes")]
    pub scopes: Vec<String>,
    /// `email`, or the claim that is the principal's name.
    pub r#match: String,
    /// Whose verified addresses count; all if absent.
    #[serde(default)]
    pub email_domains: Vec<String>,
    /// Values of `amr` or `acr` that stand for two factors.
    #[serde(default)]
    pub two_factors: Vec<String>,
}

fn usual_scopes() -> Vec<String> {
    ["openid", "email", "profile"].map(str::to_owned).into()
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct GatewaySection {
    /// Written into every line of the ledger.
    pub node: Option<String>,
    /// The ledger's origin: a URL without scheme.
    pub origin: Option<String>,
    /// The data folder.
    pub data: Option<PathBuf>,
    /// Where people reach the console; links lead there.
    pub console_url: Option<String>,
    /// Where clients reach the postgres door, if not where it listens: `db.example.com:5432`.
    pub postgres_address: Option<String>,
    /// `env:NAME`, `file:PATH` or `vault`; a file in the data folder if absent.
    pub master_key: Option<String>,
    /// Where it was before, while it is changed.
    #[serde(default)]
    pub master_key_before: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Listener {
    pub listen: SocketAddr,
    pub certificate: Option<PathBuf>,
    pub key: Option<PathBuf>,
}

/// The first bundle is a recorded, one-time act of this person.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bootstrap {
    pub by: String,
}

/// What the configuration in this folder says of the master key.
///
/// # Errors
/// The configuration can't be read, or is not right.
pub fn master_of(config: &Path) -> Result<Master> {
    configuration(config).map(|found| found.master())
}

/// Reads it from this folder.
///
/// # Errors
/// It can't be read, or is not right.
pub fn configuration(folder: &Path) -> Result<Configuration> {
    let file = folder.join("countersign.toml");
    let text = std::fs::read_to_string(&file)
        .with_context(|| format!("could not read the configuration `{}`", file.display()))?;
    toml::from_str(&text).with_context(|| format!("`{}` is not right", file.display()))
}

impl Configuration {
    /// What it says of the master key.
    #[must_use]
    pub fn master(&self) -> Master {
        Master {
            current: self.gateway.master_key.clone(),
            before: self.gateway.master_key_before.clone(),
            vault: self.vault.clone().map(Into::into),
        }
    }
}
