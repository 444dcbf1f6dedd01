//! Sealing anew what is under an older key: a pass over everything that the ring seals.
//!
//! Each value is changed only if it is still what was read: whatever was written, erased or sealed anew meanwhile stays as it
//! is. So a pass may run while the gateway works, may end anywhere, and may be run again.

use countersign_core::{Digest, PrincipalId};

use super::meta_place;
use crate::house::{House, bundle_place, key_place};
use crate::people;
use crate::store::{Drawer, Scan, StoreError, Swap};

/// How many values are sealed anew in one transaction.
const PAGE: usize = 256;

/// The drawers in which something is sealed with the ring.
const SEALED: [Drawer; 10] = [
    Drawer::Meta,
    Drawer::Keys,
    Drawer::Bundles,
    Drawer::Secrets,
    Drawer::Tokens,
    Drawer::Authenticators,
    Drawer::Places,
    Drawer::Devices,
    Drawer::Directories,
    Drawer::Cursors,
];

/// Seals anew all that is found under an older key. Gives how many values that were.
pub(super) fn pass(house: &House) -> Result<u64, StoreError> {
    let mut renewed = 0_u64;
    for drawer in SEALED {
        let mut after: Option<Vec<u8>> = None;
        loop {
            let scan = Scan { after: after.as_deref(), ..Scan::of(&[], PAGE) };
            let pairs = house.store.scan(drawer, &scan)?;
            let Some((last, _)) = pairs.last() else { break };
            after = Some(last.clone());
            let swaps = pairs.into_iter().filter_map(|(key, before)| {
                let then = renew(house, drawer, &key, &before)?;
                Some(Swap { key, before, then })
            });
            let swaps: Vec<Swap> = swaps.collect();
            if !swaps.is_empty() {
                renewed = renewed.saturating_add(house.store.swap(drawer, &swaps)?);
            }
        }
    }
    Ok(renewed)
}

/// A value under the newest key, if it is one that is sealed, under an older one.
fn renew(house: &House, drawer: Drawer, key: &[u8], value: &[u8]) -> Option<Vec<u8>> {
    let text = || std::str::from_utf8(key).ok();
    let place = match drawer {
        Drawer::Meta => meta_place(key)?.to_owned(),
        Drawer::Keys => key_place(text()?),
        Drawer::Bundles => bundle_place(&Digest(key.try_into().ok()?)),
        Drawer::Secrets => people::secret_place(text()?),
        Drawer::Tokens => return people::renewed_sign_in(house, value),
        Drawer::Authenticators => people::authenticators_place(&text()?.parse::<PrincipalId>().ok()?),
        Drawer::Places => people::place_place(key)?,
        Drawer::Devices => people::devices_place(&text()?.parse::<PrincipalId>().ok()?),
        Drawer::Directories => text()?.to_owned(),
        Drawer::Cursors => text().filter(|key| *key == "book")?.to_owned(),
        Drawer::Content
        | Drawer::Sheets
        | Drawer::Passwords
        | Drawer::Credentials
        | Drawer::Clients
        | Drawer::Tiles
        | Drawer::Checkpoints
        | Drawer::History => return None,
    };
    house.keyring.renew(&house.ports, &place, value)
}
