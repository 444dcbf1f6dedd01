//! The rows of the drawer of tokens: sign-ins by the hash of their token, when each was used last, and which tokens of jobs
//! were used up. What a sign-in says is not read here.

use std::collections::BTreeMap;

use countersign_core::At;

use crate::store::{Drawer, Put};

/// What the drawer has, by kind.
#[derive(Default)]
pub(super) struct Rows {
    pub(super) sign_ins: Vec<([u8; 32], Vec<u8>)>,
    pub(super) seen: BTreeMap<[u8; 32], At>,
    pub(super) used: BTreeMap<[u8; 32], At>,
    /// What takes out the rest, of which no use is.
    pub(super) over: Vec<Put>,
}

/// Sorts the rows of the drawer.
pub(super) fn read(drawer: Vec<(Vec<u8>, Vec<u8>)>, now: At) -> Rows {
    let mut rows = Rows::default();
    for (key, value) in drawer {
        if let Some((key, at)) = seen(&key, &value) {
            rows.seen.insert(key, at);
        } else if let Some((key, until)) = used_up(&key, &value).filter(|(_, until)| now < *until) {
            rows.used.insert(key, until);
        } else if let Ok(key) = <[u8; 32]>::try_from(key.as_slice()) {
            rows.sign_ins.push((key, value));
        } else {
            rows.over.push(Put::remove(Drawer::Tokens, key));
        }
    }
    rows
}

/// What takes the sign-in with this key out of the store.
pub(super) fn taken_out(key: &[u8; 32]) -> [Put; 2] {
    [Put::remove(Drawer::Tokens, *key), Put::remove(Drawer::Tokens, seen_key(key))]
}

/// When a sign-in was used last. Beside sign-ins, whose keys are shorter.
pub(super) fn seen_key(key: &[u8; 32]) -> Vec<u8> {
    [b"s".as_slice(), key].concat()
}

fn seen(key: &[u8], value: &[u8]) -> Option<([u8; 32], At)> {
    let key = key.strip_prefix(b"s")?.try_into().ok()?;
    Some((key, At(i64::from_be_bytes(value.try_into().ok()?))))
}

/// Beside sign-ins, whose keys are shorter.
pub(super) fn used_key(key: &[u8; 32]) -> Vec<u8> {
    [b"u".as_slice(), key].concat()
}

fn used_up(key: &[u8], value: &[u8]) -> Option<([u8; 32], At)> {
    let key = key.strip_prefix(b"u")?.try_into().ok()?;
    Some((key, At(i64::from_be_bytes(value.try_into().ok()?))))
}
