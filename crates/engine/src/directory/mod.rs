//! Directories: what the company says of its own people, on its way into the ledger.
//!
//! Whoever speaks a directory's protocol (SCIM, LDAP) hands its words in here: names, identifiers, whether an account is
//! active, the groups it is in, as the directory calls them. Here they become names and groups of ours, by what the
//! bundle says; the writer decides what is new. What a directory says beyond that (how people are called, where mail
//! reaches them, its own records) is content: it is kept encrypted in a table and never reaches the ledger.
//!
//! When a directory was last heard is kept as well, across restarts. A directory that is not heard makes things
//! stricter, after the times that the bundle states; that is watched here and not by whoever asks the directory,
//! because whoever asks may be what fails.

mod humans;
mod shelf;
mod tell;
mod watch;
mod words;

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use countersign_core::directory::Hearing;
use countersign_core::{At, DirectoryName, PrincipalId};

pub use shelf::{Shelved, Shelving};
pub use tell::Synchronised;
pub(crate) use watch::keep_watch;
pub use words::{Listed, NotNamed, Word, folded};

use crate::engine::Engine;
use crate::house::House;
use crate::snapshot::Snapshot;
use crate::store::StoreError;
use crate::words::Refused;

/// What is kept in memory of directories.
pub(crate) struct Directories {
    heard: Mutex<BTreeMap<DirectoryName, At>>,
    profiles: Mutex<BTreeMap<PrincipalId, Profile>>,
    /// Held by whoever is telling: what one call finds out about an account is so until it has told it.
    telling: tokio::sync::Mutex<()>,
}

/// How a directory calls somebody, and where mail reaches them.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Profile {
    /// How people call them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub display: Option<String>,
    /// Where mail reaches them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
    /// What is said of the human and not of the account: the number of an employee.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub number: Option<String>,
}

/// How a directory stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DirectoryView {
    /// Its name.
    pub name: DirectoryName,
    /// One line for people.
    pub title: Option<String>,
    /// Whether it is heard.
    pub hearing: Hearing,
    /// Since when it stands so, if it ever stood otherwise.
    pub since: Option<At>,
    /// When it was last heard.
    pub heard_at: Option<At>,
    /// How many accounts it has here.
    pub accounts: usize,
    /// How many of them it lets in.
    pub active: usize,
}

impl Directories {
    pub(crate) fn load(house: &House) -> Result<Self, StoreError> {
        Ok(Self {
            heard: Mutex::new(watch::load(house)?),
            profiles: Mutex::new(shelf::load_profiles(house)?),
            telling: tokio::sync::Mutex::default(),
        })
    }

    fn heard(&self) -> MutexGuard<'_, BTreeMap<DirectoryName, At>> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn profiles(&self) -> MutexGuard<'_, BTreeMap<PrincipalId, Profile>> {
        self.profiles.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Engine {
    /// How the directories stand that the bundle in force names.
    #[must_use]
    pub fn directories(&self) -> Vec<DirectoryView> {
        let snapshot = self.snapshot();
        let heard = self.0.directories.heard();
        let views = snapshot.book.directories().map(|(name, roll)| DirectoryView {
            name: name.clone(),
            title: snapshot.book.catalogue.directories.get(name).and_then(|found| found.title.clone()),
            hearing: snapshot.book.hearing(name),
            since: roll.map(|roll| roll.since).filter(|since| since.0 != 0),
            heard_at: heard.get(name).copied(),
            accounts: roll.map_or(0, |roll| roll.accounts.len()),
            active: roll.map_or(0, |roll| roll.accounts.values().filter(|one| one.is_active).count()),
        });
        views.collect()
    }

    /// The name of ours that a directory's account gets.
    ///
    /// # Errors
    /// The bundle names no such directory, or the name can't be one of ours, or is somebody else's.
    pub fn directory_name(&self, directory: &DirectoryName, theirs: &str) -> Result<PrincipalId, Refused> {
        let snapshot = self.snapshot();
        let described = tell::declared(&snapshot, directory)?;
        let principal = words::name(described, theirs)?;
        Ok(words::untaken(&snapshot, directory, principal)?)
    }

    /// How its directory calls a principal; nothing of somebody whom no directory knows.
    #[must_use]
    pub fn profile(&self, principal: &PrincipalId) -> Option<Profile> {
        let is_known = self.snapshot().book.account(principal).is_some();
        is_known.then(|| self.0.directories.profiles().get(principal).cloned()).flatten()
    }
}

/// Whether `directory` is one that the bundle in force names.
fn is_declared(snapshot: &Snapshot, directory: &DirectoryName) -> bool {
    snapshot.book.catalogue.directories.contains_key(directory)
}
