//! One protected database: where it is, what is known of it, and the few connections that only look.
//!
//! Looks run under an account of their own that can write nothing (`look_account` in the resource's settings), with a
//! timeout. Without one there are no looks: an approver is told "unknown".

use std::sync::{Arc, Mutex, PoisonError};

use countersign_core::catalogue::Resource;
use countersign_core::{At, ResourceId};
use countersign_wire::sql::ClassCache;
use tokio::sync::Semaphore;

use super::Shared;
use super::catalogue::{Cache, Knowledge, Loaded};
use super::classify::KEPT_MAX;
use super::query::QueryError;
use super::stream::Link;
use super::upstream::{self, Address, ConnectError, Login};

/// How many look connections one resource has at most.
const LOOKS_MAX: usize = 2;
/// How long one look may take, as the server is told.
const LOOK_TIMEOUT: &str = "2s";

/// One protected database.
pub(crate) struct Target {
    /// Its name.
    pub(crate) resource: ResourceId,
    /// Where it is.
    pub(crate) address: Address,
    look_account: Option<String>,
    catalogue: Cache,
    /// Classifications of statements to it.
    pub(crate) classes: Arc<ClassCache>,
    idle: Mutex<Vec<Link>>,
    permits: Semaphore,
}

/// There is no look.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NoLook {
    #[error("the resource has no look account")]
    NoAccount,
    #[error("the secret of the look account is not there: {0}")]
    NoSecret(String),
    #[error("the look connection could not be made")]
    Connect(#[from] ConnectError),
    #[error("the look failed")]
    Query(#[from] QueryError),
}

impl Target {
    /// A database as its resource describes it.
    pub(crate) fn new(resource: ResourceId, described: &Resource) -> Result<Self, ConnectError> {
        Ok(Self {
            resource,
            address: Address::of(described)?,
            look_account: look_account(described),
            catalogue: Cache::default(),
            classes: Arc::new(ClassCache::new(KEPT_MAX)),
            idle: Mutex::new(Vec::new()),
            permits: Semaphore::new(LOOKS_MAX),
        })
    }

    /// Whether it is still what its resource describes.
    pub(crate) fn is(&self, described: &Resource) -> bool {
        Address::of(described).is_ok_and(|address| address == self.address)
            && look_account(described) == self.look_account
    }

    /// The catalogue to classify with now. Usually at hand; otherwise asked for first.
    pub(crate) fn knowledge(self: &Arc<Self>, shared: &Arc<Shared>) -> Knowledge {
        if self.look_account.is_none() {
            return Knowledge::Unavailable;
        }
        let knowledge = self.catalogue.knowledge(shared.engine.now());
        if matches!(knowledge, Knowledge::Ageing(_)) {
            let (target, shared) = (Arc::clone(self), Arc::clone(shared));
            tokio::spawn(async move { target.refresh(&shared).await });
        }
        knowledge
    }

    /// Asks for the catalogue. What went wrong is logged; the caller goes on without.
    pub(crate) async fn refresh(&self, shared: &Shared) -> Option<Arc<Loaded>> {
        let now = shared.engine.now();
        let Ok(_permit) = self.permits.acquire().await else { return None };
        // Somebody else may have asked while this one waited for its turn.
        if let Knowledge::Fresh(loaded) = self.catalogue.knowledge(now) {
            return Some(loaded);
        }
        self.ask(shared, now).await
    }

    /// The catalogue as it is from now on: what was defined up to this moment is in it. Without a look account, or when
    /// asking has failed a moment ago, there is none.
    pub(crate) async fn refreshed(&self, shared: &Shared) -> Option<Arc<Loaded>> {
        let now = shared.engine.now();
        if self.look_account.is_none() || self.catalogue.has_failed(now) {
            return None;
        }
        let Ok(_permit) = self.permits.acquire().await else { return None };
        if let Some(loaded) = self.catalogue.probed_after(now) {
            return Some(loaded);
        }
        self.ask(shared, now).await
    }

    async fn ask(&self, shared: &Shared, now: At) -> Option<Arc<Loaded>> {
        let mut link = match self.link(shared).await {
            Ok(link) => link,
            Err(error) => {
                self.catalogue.failed(now);
                tracing::warn!(resource = %self.resource, error = %error, cause = cause(&error), "no look connection");
                return None;
            }
        };
        let asked = shared.engine.now();
        match self.catalogue.refresh(&mut link, &shared.parser, asked).await {
            Ok(()) => self.keep(link),
            Err(error) => {
                self.catalogue.failed(now);
                tracing::warn!(resource = %self.resource, error = %error, cause = cause(&error), "no catalogue");
            }
        }
        match self.catalogue.knowledge(asked) {
            Knowledge::Fresh(loaded) | Knowledge::Ageing(loaded) => Some(loaded),
            Knowledge::Old | Knowledge::Unavailable => None,
        }
    }

    /// Runs something on a look connection, which is kept for the next one if it can be.
    pub(crate) async fn look<T, F>(&self, shared: &Shared, work: F) -> Result<T, NoLook>
    where
        F: AsyncFnOnce(&mut Link) -> Result<T, QueryError>,
    {
        let Ok(_permit) = self.permits.acquire().await else { return Err(NoLook::NoAccount) };
        let mut link = self.link(shared).await?;
        let result = work(&mut link).await;
        if result.as_ref().err().is_none_or(QueryError::is_reusable) {
            self.keep(link);
        }
        Ok(result?)
    }

    async fn link(&self, shared: &Shared) -> Result<Link, NoLook> {
        let kept = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        if let Some(link) = kept {
            return Ok(link);
        }
        let account = self.look_account.as_deref().ok_or(NoLook::NoAccount)?;
        let secret = shared
            .engine
            .secret(&self.resource, account)
            .map_err(|error| NoLook::NoSecret(error.to_string()))?;
        let settings = [
            ("default_transaction_read_only".to_owned(), "on".to_owned()),
            ("statement_timeout".to_owned(), LOOK_TIMEOUT.to_owned()),
            // Nobody's function or operator stands in for the ones that our questions mean.
            ("search_path".to_owned(), "pg_catalog".to_owned()),
        ];
        let login = Login { account, secret: &secret, application: "countersign look", settings: &settings };
        let connected = upstream::connect(&self.address, &login, &shared.nonce()).await?;
        Ok(connected.link)
    }

    fn keep(&self, link: Link) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < LOOKS_MAX {
            idle.push(link);
        }
    }
}

fn look_account(described: &Resource) -> Option<String> {
    described.settings.get("look_account").cloned()
}

/// The causes of an error, for the operator's log.
pub(crate) fn cause(error: &dyn std::error::Error) -> String {
    let mut words = Vec::new();
    let mut next = error.source();
    while let Some(source) = next {
        words.push(source.to_string());
        next = source.source();
    }
    words.join(": ")
}
