//! When directories were heard, and what follows when they are not.

use std::collections::BTreeMap;
use std::sync::{Arc, Weak};

use countersign_core::directory::{Command as DirectoryCommand, Hearing};
use countersign_core::{At, Command, DirectoryName, Span};

use super::is_declared;
use crate::engine::{Engine, Inner};
use crate::house::House;
use crate::store::{Drawer, Put, Scan, StoreError};
use crate::words::Refused;
use crate::writer::work::{Deed, From};

/// How often it is looked whether a directory has been silent for too long.
const LOOK_EVERY: Span = Span::seconds(1);

/// The keys of [`Drawer::Directories`] under which the instants are.
const HEARD: &[u8] = b"heard/";

pub(super) fn load(house: &House) -> Result<BTreeMap<DirectoryName, At>, StoreError> {
    let scan = Scan::of(HEARD, usize::MAX);
    let pairs = house.store.scan(Drawer::Directories, &scan)?;
    let heard = pairs.into_iter().filter_map(|(key, value)| {
        let name = std::str::from_utf8(key.get(HEARD.len()..)?).ok()?.parse().ok()?;
        Some((name, At(i64::from_be_bytes(value.try_into().ok()?))))
    });
    Ok(heard.collect())
}

impl Engine {
    /// A directory answered, or said something. If it was not heard, its people may begin anew.
    ///
    /// # Errors
    /// It could not be recorded.
    pub async fn directory_heard(&self, directory: &DirectoryName) -> Result<(), Refused> {
        let now = self.now();
        let last = self.0.directories.heard().insert(directory.clone(), now);
        if last.is_none_or(|last| last.plus(LOOK_EVERY) <= now) {
            let (store, key) =
                (Arc::clone(&self.0.house.store), [HEARD, directory.as_str().as_bytes()].concat());
            let put = Put::set(Drawer::Directories, key, now.0.to_be_bytes());
            let stored = tokio::task::spawn_blocking(move || store.put(&[put])).await;
            if !matches!(stored, Ok(Ok(()))) {
                // After a restart it counts as heard longer ago than it was, which is stricter.
                tracing::warn!(%directory, "that a directory was heard could not be stored");
            }
        }
        let snapshot = self.snapshot();
        if is_declared(&snapshot, directory) && snapshot.book.hearing(directory) != Hearing::Heard {
            self.hear(directory, Hearing::Heard).await?;
            tracing::info!(%directory, "the directory is heard again");
        }
        Ok(())
    }

    /// Makes things stricter where a directory has not been heard for as long as the bundle states.
    pub async fn watch_directories(&self) {
        let (snapshot, now) = (self.snapshot(), self.now());
        for (name, described) in &snapshot.book.catalogue.directories {
            let heard_at = *self.0.directories.heard().entry(name.clone()).or_insert(now);
            let unheard = now.since(heard_at);
            let is_over = |limit: Option<Span>| limit.is_some_and(|limit| unheard >= limit);
            let due = match (is_over(described.silent_after), is_over(described.lost_after)) {
                (_, true) => Hearing::Lost,
                (true, false) => Hearing::Silent,
                (false, false) => Hearing::Heard,
            };
            if due <= snapshot.book.hearing(name) {
                continue;
            }
            tracing::warn!(directory = %name, state = due.as_str(), "the directory does not answer");
            if let Err(refused) = self.hear(name, due).await {
                tracing::error!(directory = %name, why = refused.message, "that could not be recorded");
            }
        }
    }

    async fn hear(&self, directory: &DirectoryName, hearing: Hearing) -> Result<(), Refused> {
        let command = DirectoryCommand::Hear { directory: directory.clone(), hearing };
        self.deed(Deed::new(Command::Directory(command), From::HOUSE)).await.map(|_| ())
    }
}

/// Looks again and again, for as long as the engine is there.
pub(crate) async fn keep_watch(engine: Weak<Inner>) {
    let mut ended_at = None;
    loop {
        let Some(inner) = engine.upgrade() else { return };
        let engine_now = Engine(inner);
        if !engine_now.snapshot().book.catalogue.directories.is_empty() {
            engine_now.watch_directories().await;
        }
        let decided = engine_now.snapshot().decided;
        if ended_at != Some(decided) && engine_now.end_of_shut_out().await.is_ok() {
            ended_at = Some(decided);
        }
        // A job that went away without a word is noticed by its silence as well.
        engine_now.end_jobs().await;
        let (clock, now) = (Arc::clone(&engine_now.0.house.ports.clock), engine_now.now());
        drop(engine_now);
        clock.sleep_until(now.plus(LOOK_EVERY)).await;
    }
}
