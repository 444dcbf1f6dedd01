//! One protected database: where it is, what is known of it, and the few connections that only look.
//!
//! Looks run under an account of their own that can write nothing (`look_account` in the resource's settings), with a
//! timeout. Without one there are no looks: an approver is told "unknown".

use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::Guard;
use countersign_core::catalogue::Resource;
use countersign_core::{At, ResourceId};
use countersign_wire::sql::ClassCache;
use tokio::sync::Semaphore;

use super::Shared;
use super::catalogue::{Cache, Knowledge, Loaded};
use super::classify::KEPT_MAX;
use super::mask::Masks;
use super::query::QueryError;
use super::stream::Link;
use super::upstream::{self, Address, ConnectError, Credentials, Login, Place};

/// How many look connections one resource has at most.
const LOOKS_MAX: usize = 2;
/// How long one look may take, as the server is told.
const LOOK_TIMEOUT: &str = "2s";

/// What the server's own views show of a connection that looks.
pub(crate) const LOOKING: &str = "countersign look";

/// One protected database.
pub(crate) struct Target {
    /// Its name.
    pub(crate) resource: ResourceId,
    /// Where it is.
    pub(crate) address: Address,
    look_account: Option<String>,
    /// What of it is masked.
    pub(crate) masks: Option<Arc<Masks>>,
    catalogue: Cache,
    /// Classifications of statements to it.
    pub(crate) classes: Arc<ClassCache>,
    /// The names of masks that cover nothing, as they were last told.
    told: Mutex<Vec<String>>,
    idle: Mutex<Vec<Look>>,
    permits: Semaphore,
}

/// A connection that looks.
struct Look {
    link: Link,
    /// Where it leads.
    place: Place,
}

/// There is no look.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NoLook {
    #[error("the resource has no look account")]
    NoAccount,
    #[error("the look connection could not be made")]
    Connect(#[from] ConnectError),
    #[error("the look failed")]
    Query(#[from] QueryError),
}

impl Target {
    /// A database as its resource describes it.
    pub(crate) fn new(resource: ResourceId, described: &Resource) -> Result<Self, ConnectError> {
        let masks = Masks::of(described).map(Arc::new);
        let protections = masks.as_ref().map(|masks| masks.protections().to_vec());
        Ok(Self {
            resource,
            address: Address::of(described)?,
            look_account: look_account(described),
            masks,
            catalogue: Cache::protecting(protections),
            classes: Arc::new(ClassCache::new(KEPT_MAX)),
            told: Mutex::default(),
            idle: Mutex::new(Vec::new()),
            permits: Semaphore::new(LOOKS_MAX),
        })
    }

    /// Whether it is still what its resource describes.
    pub(crate) fn is(&self, described: &Resource) -> bool {
        Address::of(described).is_ok_and(|address| address == self.address)
            && look_account(described) == self.look_account
            && self.masks_as(described)
    }

    /// Whether what is masked is still what its resource says.
    pub(crate) fn masks_as(&self, described: &Resource) -> bool {
        Masks::of(described).as_ref() == self.masks.as_deref()
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

    /// The catalogue to classify with at `now`, if it is at hand and need not be asked for again.
    pub(crate) fn at_hand(&self, now: At) -> Option<Guard<Option<Arc<Loaded>>>> {
        self.catalogue.at_hand(now)
    }

    /// The catalogue to classify with, asked for first if it must be.
    pub(crate) async fn loaded(self: &Arc<Self>, shared: &Arc<Shared>) -> Option<Arc<Loaded>> {
        match self.knowledge(shared) {
            Knowledge::Fresh(loaded) | Knowledge::Ageing(loaded) => Some(loaded),
            Knowledge::Old => self.refresh(shared).await,
            Knowledge::Unavailable => None,
        }
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
        let mut look = match self.take(shared, None).await {
            Ok(look) => look,
            Err(error) => {
                self.catalogue.failed(now);
                tracing::warn!(resource = %self.resource, error = %error, cause = cause(&error), "no look connection");
                return None;
            }
        };
        let asked = shared.engine.now();
        match self.catalogue.refresh(&mut look.link, &shared.parser, asked).await {
            Ok(()) => self.keep(look),
            Err(error) => {
                self.catalogue.failed(now);
                tracing::warn!(resource = %self.resource, error = %error, cause = cause(&error), "no catalogue");
            }
        }
        let loaded = self.catalogue.knowledge(asked).loaded()?;
        self.tell_unprotected(&loaded);
        Some(loaded)
    }

    /// Warns once of masks that cover nothing, because what they name is not there.
    fn tell_unprotected(&self, loaded: &Loaded) {
        let names = loaded.catalogue.unprotected();
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        if *told != names {
            *told = names.to_vec();
            if !told.is_empty() {
                let names = told.join(", ");
                tracing::warn!(resource = %self.resource, names, "masks that cover nothing: there is no such column");
            }
        }
    }

    /// Runs something on a look connection, which is kept for the next one if it can be.
    pub(crate) async fn look<T, F>(&self, shared: &Shared, work: F) -> Result<T, NoLook>
    where
        F: AsyncFnOnce(&mut Link) -> Result<T, QueryError>,
    {
        self.run(shared, None, work).await
    }

    /// As [`Target::look`], at the very server that a session is connected to.
    pub(crate) async fn look_at<T, F>(&self, shared: &Shared, place: &Place, work: F) -> Result<T, NoLook>
    where
        F: AsyncFnOnce(&mut Link) -> Result<T, QueryError>,
    {
        self.run(shared, Some(place), work).await
    }

    async fn run<T, F>(&self, shared: &Shared, place: Option<&Place>, work: F) -> Result<T, NoLook>
    where
        F: AsyncFnOnce(&mut Link) -> Result<T, QueryError>,
    {
        let Ok(_permit) = self.permits.acquire().await else { return Err(NoLook::NoAccount) };
        let mut look = self.take(shared, place).await?;
        let result = work(&mut look.link).await;
        if result.as_ref().err().is_none_or(QueryError::is_reusable) {
            self.keep(look);
        }
        Ok(result?)
    }

    async fn take(&self, shared: &Shared, place: Option<&Place>) -> Result<Look, NoLook> {
        if let Some(kept) = self.kept(place) {
            return Ok(kept);
        }
        let account = self.look_account.as_deref().ok_or(NoLook::NoAccount)?;
        let credentials = Credentials::of(shared, &self.resource, account)?;
        let settings = looking(LOOK_TIMEOUT);
        let login = Login {
            account,
            credentials: &credentials,
            application: LOOKING,
            settings: &settings,
            read_bytes_max: usize::MAX,
        };
        let nonces = || shared.nonce();
        let connected = match place {
            Some(place) => upstream::connect_at(&self.address, place, &login, &nonces).await?,
            None => upstream::connect(&self.address, &login, &nonces).await?,
        };
        Ok(Look { link: connected.link, place: connected.place })
    }

    fn kept(&self, place: Option<&Place>) -> Option<Look> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        // What the server has ended meanwhile, or said unasked, is of no use.
        idle.retain_mut(|look| look.link.is_quiet());
        let found = idle.iter().rposition(|look| place.is_none_or(|place| look.place == *place))?;
        Some(idle.swap_remove(found))
    }

    fn keep(&self, look: Look) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < LOOKS_MAX {
            idle.push(look);
        }
    }
}

/// The settings of a connection that only looks: it writes nothing, and no question takes longer than this.
pub(crate) fn looking(timeout: &str) -> [(String, String); 3] {
    [
        ("default_transaction_read_only".to_owned(), "on".to_owned()),
        ("statement_timeout".to_owned(), timeout.to_owned()),
        // Nobody's function or operator stands in for the ones that our questions mean.
        ("search_path".to_owned(), "pg_catalog".to_owned()),
    ]
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
