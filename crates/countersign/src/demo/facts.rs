//! `demo.json`: what scripts need to know of a running demo.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};

/// Written when everything is ready, readable by its owner only, removed at start.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct DemoFacts {
    /// The console's address, without a path.
    pub console: String,
    /// The certificate authority of the doors.
    pub ca: PathBuf,
    /// Who can sign in.
    pub people: Vec<Person>,
    /// What is protected.
    pub resources: Vec<Resource>,
    /// The scratch server behind the gateway, as its superuser reaches it.
    pub upstream: Upstream,
}

/// Somebody who can sign in.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Person {
    /// The name to sign in with.
    pub name: String,
    /// Made up for this demo.
    pub password: String,
    /// Their groups.
    pub groups: Vec<String>,
}

/// Something protected, as clients reach it through the gateway.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Resource {
    /// Its name in the bundle.
    pub name: String,
    /// `postgres`.
    pub kind: String,
    /// The door's host.
    pub host: String,
    /// The door's port.
    pub port: u16,
    /// The database to name.
    pub database: String,
}

/// The scratch server.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Upstream {
    /// Loopback.
    pub host: String,
    /// Chosen by the system.
    pub port: u16,
    /// The superuser.
    pub user: String,
    /// Made up for this demo.
    pub password: String,
    /// The shop.
    pub database: String,
}

impl DemoFacts {
    /// Where a demo in `data` writes them.
    #[must_use]
    pub fn path(data: &Path) -> PathBuf {
        data.join("demo.json")
    }

    /// Reads those of the demo that runs in `data`.
    ///
    /// # Errors
    /// None runs there.
    pub fn read(data: &Path) -> Result<Self> {
        let path = Self::path(data);
        let bytes = std::fs::read(&path).with_context(|| {
            format!("no demo is running in `{}`; start one there with `countersign demo`", data.display())
        })?;
        serde_json::from_slice(&bytes).with_context(|| format!("`{}` is not ours", path.display()))
    }

    /// The password of `name`.
    ///
    /// # Errors
    /// There is no such person in the demo.
    pub fn password(&self, name: &str) -> Result<&str> {
        let found = self.people.iter().find(|person| person.name == name);
        Ok(&found.with_context(|| format!("the demo has no `{name}`"))?.password)
    }
}
