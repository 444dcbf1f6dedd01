//! `[push]` of the configuration: whether people are told on their devices of what waits for them.

use std::sync::Arc;

use anyhow::{Context as _, Result};
use countersign_engine::Engine;
use countersign_integrations::push::{PushSettings, Pusher};
use serde::Deserialize;

use crate::wiring::SystemEntropy;

/// Web Push: what waits for somebody is told on devices that they add.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PushSection {
    /// Whom the operators of push services may write to.
    contact: String,
    /// Also push services at addresses that are not public.
    #[serde(default)]
    private: bool,
}

/// Who tells them, if somebody does.
///
/// # Errors
/// The section is not right, or the gateway's key can't be had.
pub async fn pusher(section: Option<PushSection>, engine: &Engine) -> Result<Option<Pusher>> {
    let Some(PushSection { contact, private }) = section else { return Ok(None) };
    let settings = PushSettings { contact, private };
    let made = Pusher::new(engine.clone(), settings, Arc::new(SystemEntropy::default())).await;
    made.map(Some).context("[push] is not right")
}
