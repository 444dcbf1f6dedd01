//! Changing the house's keys while the gateway runs.
//!
//! A new key is put in front of the ring, with the line that says so; from then on everything is sealed under it. What is under
//! the older one is sealed anew, pass after pass, until one finds nothing for a while: then the older key is dropped, and that is
//! a line too. The gateway may stop anywhere in between: the ring in the store says how far it got, and the next start goes on.

use std::sync::{Arc, Weak};

use countersign_core::{At, Span};

use super::{KeeperError, KeysError, RING_KEY, Record, Ring, renewal};
use crate::engine::{Engine, Inner};
use crate::line::{Configured, Topic};
use crate::people::Caller;
use crate::store::{Drawer, StoreError};
use crate::words::{Refused, RefusedCode};
use crate::writer::work::Note;

/// How long an older key is kept at least: longer than anything that was sealed under it is on its way to the store.
const KEPT_FOR: Span = Span::minutes(1);

/// How long a pass is behind the one before.
const BETWEEN: Span = Span::seconds(20);

/// How the house's keys are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeysView {
    /// Who keeps them.
    pub keeper: String,
    /// The number of the key that seals.
    pub number: u32,
    /// When it was made; never, for one that followed from the master key.
    pub made_at: At,
    /// Keys under which something may still be sealed.
    pub older: Vec<u32>,
}

impl Engine {
    /// How the house's keys are.
    ///
    /// # Errors
    /// Policy does not permit it, or the keeper does not answer.
    pub async fn keys(&self, caller: &Caller) -> Result<KeysView, Refused> {
        self.may_on_keys(caller, "secret.read")?;
        let ring = self.ring().await.map_err(refused)?;
        Ok(self.keys_view(&ring))
    }

    /// Makes a new key, under which everything is sealed from now on. What is there is sealed anew while the gateway works.
    ///
    /// # Errors
    /// Policy does not permit it, a change is under way, the keeper does not answer, or it could not be recorded.
    pub async fn rotate_keys(&self, caller: &Caller) -> Result<KeysView, Refused> {
        self.may_on_keys(caller, "secret.rotate")?;
        let _one = self.0.keys.changing.lock().await;
        let ring = self.ring().await.map_err(refused)?;
        if !ring.is_settled() {
            // Whoever made it may not have got further than the store.
            self.0.house.keyring.change(&ring);
            self.settle_soon();
            return Err(Refused::new(RefusedCode::Conflict, "the keys are being changed already")
                .hint("what is under the older one is sealed anew; `countersign secrets keys` says when that is done"));
        }
        let ring = ring.with_new(&self.0.house.ports);
        self.record_ring(&ring, Some(caller), "house_key_made").await?;
        self.0.house.keyring.change(&ring);
        self.settle_soon();
        Ok(self.keys_view(&ring))
    }

    /// Has the house's keys wrapped anew, under the key that their keeper uses now.
    ///
    /// # Errors
    /// As for [`Engine::rotate_keys`].
    pub async fn rewrap_keys(&self, caller: &Caller) -> Result<KeysView, Refused> {
        self.may_on_keys(caller, "secret.rotate")?;
        let _one = self.0.keys.changing.lock().await;
        let keepers = &self.0.keys.keepers;
        let stored = self.stored_ring().await.map_err(refused)?;
        let (ring, _) = keepers.unwrapped(&stored).await.map_err(refused)?;
        let wrapped = match stored.keeper == keepers.current.name() {
            true => keepers.current.rewrap(&stored.bytes().map_err(refused)?).await,
            false => keepers.current.wrap(&ring.bytes()).await,
        };
        let wrapped = wrapped.map_err(|error| refused(error.into()))?;
        // What can't be unwrapped again is not put in place of what can.
        let again = keepers.current.unwrap(&wrapped).await.map_err(|error| refused(error.into()))?;
        if *again.plain != *ring.bytes() {
            return Err(refused(KeysError::Damaged));
        }
        let mut note = self.keys_note(&ring, Some(caller), "house_keys_wrapped");
        note.puts.push(keepers.record(&wrapped));
        self.note(note).await?;
        Ok(self.keys_view(&ring))
    }

    pub(super) fn may_on_keys(&self, caller: &Caller, action: &str) -> Result<(), Refused> {
        if self.permitted(caller, &countersign_core::ActionName::new(action)) {
            return Ok(());
        }
        Err(Refused::new(RefusedCode::NotPermitted, format!("policy does not permit you `{action}`"))
            .hint("ask those who apply policy whether you should have it"))
    }

    /// The ring in the store, unwrapped.
    async fn ring(&self) -> Result<Ring, KeysError> {
        let stored = self.stored_ring().await?;
        Ok(self.0.keys.keepers.unwrapped(&stored).await?.0)
    }

    async fn stored_ring(&self) -> Result<Record, KeysError> {
        let store = Arc::clone(&self.0.house.store);
        let read = tokio::task::spawn_blocking(move || store.get(Drawer::Meta, RING_KEY)).await;
        let read = read.unwrap_or_else(|error| Err(StoreError::failed("read the house's keys", error)))?;
        let read = read.and_then(|stored| serde_json::from_slice(&stored).ok());
        read.ok_or(KeysError::Damaged)
    }

    /// Stores a ring with the line that tells of it.
    async fn record_ring(&self, ring: &Ring, by: Option<&Caller>, what: &'static str) -> Result<(), Refused> {
        let put = self.0.keys.keepers.wrapped(ring).await.map_err(|error| refused(error.into()))?;
        let mut note = self.keys_note(ring, by, what);
        note.puts.push(put);
        self.note(note).await.map(|_| ())
    }

    fn keys_note(&self, ring: &Ring, by: Option<&Caller>, what: &'static str) -> Note {
        let keeper = Some(self.0.keys.keepers.current.name());
        let topic = Configured { keeper, key: Some(ring.newest()), secret: None, what };
        self.configured(topic, by)
    }

    /// A line about how the gateway itself is set up.
    pub(super) fn configured(&self, topic: Configured, by: Option<&Caller>) -> Note {
        self.note_by("config.changed", Topic::Configured(topic), by)
    }

    fn keys_view(&self, ring: &Ring) -> KeysView {
        let newest = ring.keys.first();
        KeysView {
            keeper: self.0.keys.keepers.current.name(),
            number: ring.newest(),
            made_at: newest.map_or(At(0), |key| key.made_at),
            older: ring.keys.iter().skip(1).map(|key| key.number).collect(),
        }
    }

    fn settle_soon(&self) {
        tokio::spawn(settle(Arc::downgrade(&self.0)));
    }
}

/// Seals anew what is under older keys until nothing is, and drops them. For as long as the engine is there.
pub(crate) async fn settle(engine: Weak<Inner>) {
    let since = match engine.upgrade() {
        Some(inner) if inner.keys.begin_settling() => Engine(inner).now(),
        _ => return,
    };
    loop {
        let Some(inner) = engine.upgrade() else { return };
        let engine_now = Engine(inner);
        let passed = {
            let house = Arc::clone(&engine_now.0.house);
            tokio::task::spawn_blocking(move || renewal::pass(&house)).await
        };
        let now = engine_now.now();
        match passed {
            Ok(Ok(0)) if since.plus(KEPT_FOR) <= now => match engine_now.drop_older_keys().await {
                Ok(()) => {
                    engine_now.0.keys.end_settling();
                    return;
                }
                Err(error) => tracing::warn!(%error, "an older key of the house could not be dropped yet"),
            },
            Ok(Ok(renewed)) => tracing::info!(renewed, "values were sealed anew under the newest key"),
            Ok(Err(error)) => {
                tracing::warn!(error = error.chain(), "not everything could be sealed anew yet")
            }
            Err(error) => tracing::error!(%error, "sealing anew ended abnormally"),
        }
        let clock = Arc::clone(&engine_now.0.house.ports.clock);
        drop(engine_now);
        clock.sleep_until(now.plus(BETWEEN)).await;
    }
}

impl Engine {
    async fn drop_older_keys(&self) -> Result<(), Refused> {
        let _one = self.0.keys.changing.lock().await;
        let ring = self.ring().await.map_err(refused)?;
        let settled = ring.settled();
        if !ring.is_settled() {
            self.record_ring(&settled, None, "house_key_dropped").await?;
        }
        self.0.house.keyring.change(&settled);
        Ok(())
    }
}

fn refused(error: KeysError) -> Refused {
    tracing::error!(%error, "the house's keys can't be had");
    let hint = match &error {
        KeysError::Keeper(KeeperError::Silent { .. }) => {
            "nothing was changed; whoever runs the gateway can see why it does not answer"
        }
        _ => "nothing was changed; whoever runs the gateway finds the cause in its log",
    };
    Refused::new(RefusedCode::Unavailable, error.to_string()).hint(hint)
}
