//! The house's own keys: what seals everything at rest, who keeps them safe, and how they change while the gateway runs.
//!
//! A ring of random keys seals the content keys, the upstream secrets, the log's key and all else that is secret. The ring is
//! kept in the store, wrapped by a *keeper*: a master key of the operator's, or a server that wraps and unwraps and never gives
//! its key away. So the master key may change without anything being sealed anew, and a sealing key may change without the
//! operator doing anything. The key of keyed digests is in the ring as well and stays for the life of the store: a digest
//! can't be made anew without what it was made of.
//!
//! What not: no key of the ring is ever written unwrapped, and without the keeper no gateway starts.

mod keeper;
mod renewal;
mod ring;
mod rotation;
mod shelf;

use std::sync::{Arc, PoisonError};

pub use keeper::{Answer, Keeper, KeeperError, MasterKey, MasterKeys, Unwrapped};
pub(crate) use ring::Ring;
pub use rotation::KeysView;
pub(crate) use rotation::settle;
pub use shelf::{SECRET_BYTES_MAX, SecretView};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use serde::{Deserialize, Serialize};

use crate::people::PUSH_KEY;
use crate::ports::Ports;
use crate::seal::Keyring;
use crate::store::{Drawer, Put, Store, StoreError};
use crate::writer::open::{LOG_KEY, MASTER_CHECK, StartError};

/// Where the ring is kept.
const RING_KEY: &[u8] = b"house-keys";

/// The ring as it is stored.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Record {
    /// Who wrapped it.
    keeper: String,
    /// What they gave, base64.
    wrapped: String,
}

impl Record {
    /// What the keeper gave.
    fn bytes(&self) -> Result<Vec<u8>, KeysError> {
        STANDARD_NO_PAD.decode(&self.wrapped).map_err(|_| KeysError::Damaged)
    }
}

/// Who may unwrap the ring: the keeper that wraps it from here on, and those that may have before.
#[derive(Clone)]
pub struct Keepers {
    current: Arc<dyn Keeper>,
    before: Vec<Arc<dyn Keeper>>,
}

/// The house's keys, found in a store or made for a new one, and who keeps them.
pub struct HouseKeys {
    pub(crate) ring: Ring,
    pub(crate) keepers: Keepers,
}

/// What the engine has of its keys while it runs.
pub(crate) struct Keys {
    keepers: Keepers,
    /// One change at a time.
    changing: tokio::sync::Mutex<()>,
    /// Whether somebody seals anew what is under an older key.
    settling: std::sync::Mutex<bool>,
}

impl std::fmt::Debug for HouseKeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("HouseKeys")
    }
}

impl std::fmt::Debug for Keepers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Keepers").field(&self.current.name()).finish()
    }
}

/// Why the ring can't be had or changed.
#[derive(Debug, thiserror::Error)]
pub enum KeysError {
    /// The keeper did not do it.
    #[error(transparent)]
    Keeper(#[from] KeeperError),
    /// What is stored is no ring.
    #[error("the house's keys in the store are damaged; restore the store from a backup")]
    Damaged,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Keepers {
    /// `current` wraps from here on; what one of `before` wrapped is unwrapped by it once more, and then wrapped by `current`.
    #[must_use]
    pub fn new(current: Arc<dyn Keeper>, before: Vec<Arc<dyn Keeper>>) -> Self {
        Self { current, before }
    }

    /// Finds the keys of the house in `store`, or makes them for a new one.
    ///
    /// # Errors
    /// The keeper can't be asked, is another one than the store was made with, or the store fails. Nothing was changed.
    pub async fn open(self, store: &dyn Store, ports: &Ports) -> Result<HouseKeys, StartError> {
        let ring = match self.read(store).await? {
            Some((ring, true)) => return Ok(HouseKeys { ring, keepers: self }),
            Some((ring, false)) => ring,
            None => self.first(store, ports)?,
        };
        let record = self.wrapped(&ring).await?;
        store.put(&[record])?;
        Ok(HouseKeys { ring, keepers: self })
    }

    /// The ring in the store, and whether the current keeper wrapped it with its current key.
    async fn read(&self, store: &dyn Store) -> Result<Option<(Ring, bool)>, KeysError> {
        let Some(stored) = store.get(Drawer::Meta, RING_KEY)? else { return Ok(None) };
        let record: Record = serde_json::from_slice(&stored).map_err(|_| KeysError::Damaged)?;
        self.unwrapped(&record).await.map(Some)
    }

    /// A stored ring, and whether the current keeper wrapped it with its current key.
    async fn unwrapped(&self, record: &Record) -> Result<(Ring, bool), KeysError> {
        let wrapped = record.bytes()?;
        let mut failed = None;
        for (place, keeper) in std::iter::once(&self.current).chain(&self.before).enumerate() {
            // The same master key may have moved from a file into the environment.
            let is_named = keeper.name() == record.keeper;
            match keeper.unwrap(&wrapped).await {
                Ok(unwrapped) => {
                    let ring = Ring::read(&unwrapped.plain).ok_or(KeysError::Damaged)?;
                    return Ok((ring, place == 0 && is_named && unwrapped.is_current));
                }
                Err(error) if is_named => failed = failed.or(Some(error)),
                Err(_) => {}
            }
        }
        Err(failed.unwrap_or_else(|| KeeperError::Other { found: record.keeper.clone() }).into())
    }

    /// The ring of a store that has none: new for a new store; for one that was made when its keys followed from the master
    /// key, those.
    fn first(&self, store: &dyn Store, ports: &Ports) -> Result<Ring, StartError> {
        let Some(check) = store.get(Drawer::Meta, MASTER_CHECK)? else { return Ok(Ring::new(ports)) };
        let keepers = std::iter::once(&self.current).chain(&self.before);
        let derived = keepers.filter_map(|keeper| keeper.master()).map(Ring::derived);
        let mut fitting = derived.filter(|ring| Keyring::new(ring).open("master-key", &check).is_ok());
        fitting.next().ok_or(StartError::MasterKey)
    }

    /// The ring as it is stored.
    async fn wrapped(&self, ring: &Ring) -> Result<Put, KeeperError> {
        let wrapped = self.current.wrap(&ring.bytes()).await?;
        Ok(self.record(&wrapped))
    }

    fn record(&self, wrapped: &[u8]) -> Put {
        let record = Record { keeper: self.current.name(), wrapped: STANDARD_NO_PAD.encode(wrapped) };
        // Two texts cannot fail to serialise.
        Put::set(Drawer::Meta, RING_KEY, serde_json::to_vec(&record).unwrap_or_default())
    }
}

impl HouseKeys {
    /// Those that the holder of a master key keeps.
    ///
    /// # Errors
    /// As for [`Keepers::open`].
    pub fn of(store: &dyn Store, master: &MasterKey, ports: &Ports) -> Result<Self, StartError> {
        let keeper = MasterKeys::new(vec![master.clone()], Arc::clone(&ports.entropy));
        let opening = Keepers::new(Arc::new(keeper), Vec::new());
        keeper::at_once(opening.open(store, ports)).unwrap_or(Err(StartError::MasterKey))
    }
}

impl Keys {
    pub(crate) fn new(keepers: Keepers) -> Self {
        Self { keepers, changing: tokio::sync::Mutex::default(), settling: std::sync::Mutex::default() }
    }

    /// Whether nobody settles yet; from here on the caller does.
    fn begin_settling(&self) -> bool {
        !std::mem::replace(&mut *self.settling.lock().unwrap_or_else(PoisonError::into_inner), true)
    }

    fn end_settling(&self) {
        *self.settling.lock().unwrap_or_else(PoisonError::into_inner) = false;
    }
}

impl From<KeysError> for StartError {
    fn from(error: KeysError) -> Self {
        match error {
            KeysError::Keeper(KeeperError::Stranger(_)) => Self::MasterKey,
            KeysError::Store(error) => Self::Store(error),
            error => Self::Keys(error),
        }
    }
}

impl From<KeeperError> for StartError {
    fn from(error: KeeperError) -> Self {
        KeysError::Keeper(error).into()
    }
}

/// The places of what is sealed in [`Drawer::Meta`].
fn meta_place(key: &[u8]) -> Option<&'static str> {
    match key {
        MASTER_CHECK => Some("master-key"),
        LOG_KEY => Some("log-key"),
        PUSH_KEY => Some("push-key"),
        _ => None,
    }
}
