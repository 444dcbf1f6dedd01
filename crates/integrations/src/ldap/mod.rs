//! LDAP and Active Directory: asked again and again who their people are.
//!
//! Each time all of them are listed, and handed to the engine: whoever is not listed any more is gone. A listing that
//! fails on the way is no listing; nothing is concluded from half of one, nor from an empty one. While none succeeds the
//! directory is not heard, and what follows from that is the engine's.
//!
//! Only over TLS, by a certificate that is verified. Referrals are never followed: they would take the gateway, and its
//! password, wherever the directory says. What a server sends is read by decoders that refuse; should the client
//! library panic over it, that ends one listing and no more.

mod client;
mod entry;
mod listing;

use std::sync::Arc;
use std::time::Duration;

use countersign_core::DirectoryName;
use countersign_engine::ports::SecretSource;
use countersign_engine::{Engine, Refused};

pub use client::Failed;

/// How long one listing may take altogether.
const LISTING_MS_MAX: u64 = 600_000;

/// How long after a listing that failed the next is tried, at most.
const AGAIN_MS: u64 = 10_000;

/// What kind of server it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Active Directory, or Samba in its stead.
    ActiveDirectory,
    /// Any other, such as OpenLDAP.
    Ldap,
}

/// How a directory is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LdapSettings {
    /// Its name in the bundle.
    pub directory: DirectoryName,
    /// What kind of server it is.
    pub kind: Kind,
    /// Its servers, tried in this order: `ldaps://HOST[:PORT]`, or `ldap://HOST[:PORT]` with `start_tls`.
    pub urls: Vec<String>,
    /// Begins in clear and asks for TLS before anything else is said.
    pub start_tls: bool,
    /// Who vouches for the servers, in PEM.
    pub authority: String,
    /// As whom the gateway binds.
    pub bind_dn: String,
    /// Where its password is: `file:PATH` or `env:NAME`.
    pub bind_password: String,
    /// Beneath what the accounts are.
    pub users_base: String,
    /// Which entries are accounts.
    pub users_filter: String,
    /// Beneath what the groups are.
    pub groups_base: String,
    /// Which attribute is an account's name.
    pub name: String,
    /// Which attribute says something of the human and not of the account: `employeeNumber`.
    pub number: Option<String>,
    /// How long after one listing the next begins.
    pub every: Duration,
}

/// What came of one listing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// Accounts that are ours.
    pub accounts: usize,
    /// Changes that were recorded.
    pub changes: usize,
    /// Accounts that can't be ours, and why.
    pub skipped: Vec<String>,
}

/// A directory that is asked.
#[derive(Clone)]
pub struct Ldap {
    engine: Engine,
    settings: Arc<LdapSettings>,
    secrets: Arc<dyn SecretSource>,
}

impl std::fmt::Debug for Ldap {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Ldap").field(&self.settings.directory).finish()
    }
}

impl LdapSettings {
    /// How long after one listing the next begins unless another time is named: somebody who is disabled there is so here
    /// within a minute, however long their listing takes in between.
    pub const USUAL_EVERY: Duration = Duration::from_secs(30);

    /// The filter that finds accounts unless another is named.
    #[must_use]
    pub const fn usual_filter(kind: Kind) -> &'static str {
        match kind {
            Kind::ActiveDirectory => "(&(objectCategory=person)(objectClass=user))",
            Kind::Ldap => "(objectClass=inetOrgPerson)",
        }
    }

    /// The attribute that is an account's name unless another is named.
    #[must_use]
    pub const fn usual_name(kind: Kind) -> &'static str {
        match kind {
            Kind::ActiveDirectory => "sAMAccountName",
            Kind::Ldap => "uid",
        }
    }

    /// What is wrong with the settings, if anything is. A bind without a password is no bind: servers take it for one by
    /// nobody (RFC 4513, section 5.1.2).
    ///
    /// # Errors
    /// What is wrong, in words.
    pub fn check(&self) -> Result<(), String> {
        if self.urls.is_empty() {
            return Err("`url` has to name a server".into());
        }
        for url in &self.urls {
            client::check_url(url, self.start_tls)?;
        }
        let texts = [
            ("bind_dn", &self.bind_dn),
            ("bind_password", &self.bind_password),
            ("users_base", &self.users_base),
            ("groups_base", &self.groups_base),
            ("name", &self.name),
        ];
        match texts.iter().find(|(_, text)| text.trim().is_empty()) {
            Some((name, _)) => return Err(format!("`{name}` is empty")),
            None => client::check_filter(&self.users_filter)?,
        }
        client::trusting(&self.authority).map(drop).map_err(|error| error.to_string())
    }
}

impl Ldap {
    /// A directory to be asked.
    #[must_use]
    pub fn new(engine: Engine, settings: LdapSettings, secrets: Arc<dyn SecretSource>) -> Self {
        Self { engine, settings: Arc::new(settings), secrets }
    }

    /// Asks, for as long as nobody stops it.
    pub async fn run(self) {
        let directory = self.settings.directory.clone();
        let mut was_well = None;
        loop {
            let is_declared = self.engine.snapshot().book.catalogue.directories.contains_key(&directory);
            let outcome = if is_declared { self.ask().await } else { Err(Failed::NotDeclared) };
            let pause = match &outcome {
                Ok(outcome) => {
                    if was_well != Some(true) || outcome.changes > 0 {
                        let (accounts, changes) = (outcome.accounts, outcome.changes);
                        tracing::info!(%directory, accounts, changes, "the directory was listed");
                    }
                    if was_well != Some(true) {
                        outcome
                            .skipped
                            .iter()
                            .for_each(|why| tracing::warn!(%directory, why, "an account is nobody here"));
                    }
                    self.settings.every
                }
                Err(error) => {
                    tracing::warn!(%directory, error = %chain(error), "the directory could not be listed");
                    self.settings.every.min(Duration::from_millis(AGAIN_MS))
                }
            };
            was_well = Some(outcome.is_ok());
            tokio::time::sleep(pause).await;
        }
    }

    /// Lists the directory once, and hands in what it says.
    ///
    /// # Errors
    /// It could not be listed, or what it says could not be recorded.
    pub async fn ask(&self) -> Result<Outcome, Failed> {
        let password = self.secrets.resolve(&self.settings.bind_password).map_err(Failed::Secret)?;
        let wanted = self.wanted();
        let (settings, now) = (Arc::clone(&self.settings), self.engine.now());
        // In a task of its own: a panic in it is an answer like any other.
        let listing = tokio::spawn(async move {
            listing::list(&settings, password.trim_end_matches('\n'), &wanted, now).await
        });
        let listing = Aborting(listing);
        let listed = match tokio::time::timeout(Duration::from_millis(LISTING_MS_MAX), listing).await {
            Ok(Ok(listed)) => listed?,
            Ok(Err(_)) => return Err(Failed::Unreadable("an answer that the client library can't take")),
            Err(_) => return Err(Failed::TooLong),
        };
        if listed.accounts.is_empty() {
            return Err(Failed::Empty);
        }
        let (mut skipped, directory) = (listed.skipped, &self.settings.directory);
        let done = self.engine.synchronise(directory, listed.accounts).await.map_err(refused)?;
        self.engine.directory_heard(directory).await.map_err(refused)?;
        skipped.extend(done.skipped.iter().map(ToString::to_string));
        Ok(Outcome { accounts: done.accounts, changes: done.changes, skipped })
    }

    /// The groups of the directory that the bundle fills groups from.
    fn wanted(&self) -> Vec<String> {
        let snapshot = self.engine.snapshot();
        let from = snapshot
            .book
            .stated()
            .groups
            .values()
            .filter_map(|group| group.from.get(&self.settings.directory));
        let mut wanted: Vec<String> = from.flatten().cloned().collect();
        wanted.sort_unstable();
        wanted.dedup();
        wanted
    }
}

fn refused(refused: Refused) -> Failed {
    Failed::Refused(refused.message)
}

/// An error with what caused it.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

/// A task that ends when nobody waits for it any more.
struct Aborting<T>(tokio::task::JoinHandle<T>);

impl<T> Future for Aborting<T> {
    type Output = Result<T, tokio::task::JoinError>;

    fn poll(
        mut self: std::pin::Pin<&mut Self>,
        context: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Self::Output> {
        std::pin::Pin::new(&mut self.0).poll(context)
    }
}

impl<T> Drop for Aborting<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}
