//! What is kept of a directory's own records, sealed: content, beside the ledger.

use std::collections::BTreeMap;

use countersign_core::{DirectoryName, PrincipalId};

use super::Profile;
use crate::engine::Engine;
use crate::house::House;
use crate::store::{Drawer, Put, Scan, StoreError};

const RECORDS: &str = "record/";
const PROFILES: &str = "profile/";

/// A record that is to be kept, or taken away.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shelving {
    /// Under which key: at most 64 bytes, without a slash.
    pub key: String,
    /// What; nothing takes it away.
    pub value: Option<Vec<u8>>,
}

/// A record as it was kept: its key and its bytes.
pub type Shelved = (String, Vec<u8>);

impl Engine {
    /// All records that are kept of a directory.
    ///
    /// # Errors
    /// The store failed, or a record can't be read.
    pub async fn directory_records(&self, directory: &DirectoryName) -> Result<Vec<Shelved>, StoreError> {
        let (house, prefix) = (std::sync::Arc::clone(&self.0.house), format!("{RECORDS}{directory}/"));
        let read = tokio::task::spawn_blocking(move || {
            let scan = Scan::of(prefix.as_bytes(), usize::MAX);
            let pairs = house.store.scan(Drawer::Directories, &scan)?;
            let records = pairs.into_iter().map(|(key, sealed)| {
                let place = String::from_utf8_lossy(&key).into_owned();
                let plain = house.keyring.open(&place, &sealed);
                let plain = plain.map_err(|error| StoreError::failed("read a directory's record", error))?;
                Ok((place.strip_prefix(&prefix).unwrap_or_default().to_owned(), plain))
            });
            records.collect()
        });
        read.await.unwrap_or_else(|error| Err(StoreError::failed("read a directory's records", error)))
    }

    /// A profile as it is stored, if it is another one than is known.
    pub(super) fn profile_put(
        &self,
        directory: &DirectoryName,
        principal: &PrincipalId,
        profile: Option<&Profile>,
    ) -> Option<Put> {
        let had = self.0.directories.profiles().get(principal).cloned();
        if had.as_ref() == profile {
            return None;
        }
        let place = format!("{PROFILES}{directory}/{principal}");
        let Some(profile) = profile else { return Some(Put::remove(Drawer::Directories, place)) };
        // A struct of texts cannot fail to serialise.
        let json = serde_json::to_vec(profile).unwrap_or_default();
        let sealed = self.0.house.keyring.seal(&self.0.house.ports, &place, &json);
        Some(Put::set(Drawer::Directories, place, sealed))
    }
}

pub(super) fn put(house: &House, directory: &DirectoryName, one: Shelving) -> Put {
    let place = format!("{RECORDS}{directory}/{}", one.key);
    match one.value {
        None => Put::remove(Drawer::Directories, place),
        Some(value) => {
            let sealed = house.keyring.seal(&house.ports, &place, &value);
            Put::set(Drawer::Directories, place, sealed)
        }
    }
}

pub(super) fn load_profiles(house: &House) -> Result<BTreeMap<PrincipalId, Profile>, StoreError> {
    let scan = Scan::of(PROFILES.as_bytes(), usize::MAX);
    let pairs = house.store.scan(Drawer::Directories, &scan)?;
    let profiles = pairs.into_iter().filter_map(|(key, sealed)| {
        let place = String::from_utf8(key).ok()?;
        let plain = house.keyring.open(&place, &sealed).ok()?;
        let (_, principal) = place.rsplit_once('/')?;
        Some((principal.parse().ok()?, serde_json::from_slice(&plain).ok()?))
    });
    Ok(profiles.collect())
}
