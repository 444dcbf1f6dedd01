//! A gateway that asks a directory, for the tests of both kinds of them.

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::{Context as _, Result};
use countersign_core::PrincipalId;
use countersign_engine::settings::Argon2Cost;
use countersign_engine::testing::{ManualClock, ports};
use countersign_engine::{Engine, MasterKey, Ports, SecretSource, Settings, SqliteStore};
use countersign_integrations::ldap::{Failed, Ldap, LdapSettings, Outcome};
use tempfile::TempDir;
use zeroize::Zeroizing;

/// Says one secret, whatever is asked.
pub(crate) struct Only(pub(crate) &'static str);

impl SecretSource for Only {
    fn resolve(&self, _: &str) -> Result<Zeroizing<String>, String> {
        Ok(Zeroizing::new(self.0.to_owned()))
    }
}

pub(crate) struct Gateway {
    pub(crate) engine: Engine,
    password: &'static str,
    _folder: TempDir,
}

impl Gateway {
    /// One whose bundle says this of people, and that asks with this password.
    pub(crate) async fn start(people: &str, password: &'static str, clock: &ManualClock) -> Result<Self> {
        Self::with(&[("people.toml", people.to_owned())], password, ports(clock, 1)).await
    }

    /// One with this bundle.
    pub(crate) async fn with(files: &[(&str, String)], password: &'static str, ports: Ports) -> Result<Self> {
        let folder = TempDir::new()?;
        let store = Arc::new(SqliteStore::open(&folder.path().join("countersign.db"))?);
        let settings = Settings { argon2: Argon2Cost { memory_kib: 64, passes: 1 }, ..Settings::default() };
        let engine = Engine::start(store, MasterKey::new([7; 32]), ports, settings)?;
        let mut bundle: BTreeMap<String, String> =
            files.iter().map(|(name, text)| ((*name).to_owned(), text.clone())).collect();
        bundle.insert("bundle.toml".into(), "name = \"test\"\nformat = 1\n".into());
        engine.first_bundle(bundle, &PrincipalId::new("dave")).await.ok().context("the bundle")?;
        Ok(Self { engine, password, _folder: folder })
    }

    pub(crate) async fn ask(&self, settings: LdapSettings) -> Result<Outcome, Failed> {
        settings.check().map_err(Failed::Refused)?;
        Ldap::new(self.engine.clone(), settings, Arc::new(Only(self.password))).ask().await
    }

    pub(crate) fn is_enabled(&self, name: &str) -> bool {
        self.engine.snapshot().book.is_enabled(&PrincipalId::new(name))
    }

    pub(crate) fn groups(&self, name: &str) -> Vec<String> {
        let snapshot = self.engine.snapshot();
        let groups = snapshot.book.catalogue.groups_of(&PrincipalId::new(name));
        groups.iter().map(ToString::to_string).collect()
    }
}
