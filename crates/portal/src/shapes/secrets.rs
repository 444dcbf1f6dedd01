//! The gateway's own secrets, which are named and never shown, and the keys that seal them.

use countersign_engine::{KeysView, SecretView};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A secret of the gateway's own: `secret:ID` in a bundle leads to it.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Secret {
    /// Its name.
    pub id: String,
    /// Whether it is there, and asked for.
    pub state: SecretState,
}

/// Whether a secret is there, and asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum SecretState {
    /// The bundle in force asks for it, and it is there.
    Used,
    /// It is there, and nothing asks for it.
    Unused,
    /// The bundle in force asks for it, and nobody has put it there.
    Missing,
}

/// A secret to be put there.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct StoreSecret {
    /// Its name: letters, digits, `-`, `_` and `.`.
    #[schema(max_length = 64, example = "shop_writer")]
    pub name: String,
    /// What it is. Never recorded, never logged, never shown.
    #[schema(max_length = 65536, format = Password)]
    pub value: String,
}

/// The keys that seal everything at rest.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct HouseKeys {
    /// The number of the key that seals.
    pub id: String,
    /// Whether they are being changed.
    pub state: HouseKeysState,
    /// Who keeps them.
    #[schema(example = "vault")]
    pub keeper: String,
    /// When the key that seals was made; absent, if it followed from the master key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, format = DateTime)]
    pub made_at: Option<String>,
    /// Keys under which something may still be sealed.
    pub older: Vec<u32>,
}

/// Whether the keys are being changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum HouseKeysState {
    /// Everything is sealed under one key.
    Settled,
    /// What is under an older key is being sealed anew.
    Changing,
}

impl From<SecretView> for Secret {
    fn from(view: SecretView) -> Self {
        let state = match (view.is_kept, view.is_used) {
            (true, true) => SecretState::Used,
            (true, false) => SecretState::Unused,
            (false, _) => SecretState::Missing,
        };
        Self { id: view.name, state }
    }
}

impl From<KeysView> for HouseKeys {
    fn from(view: KeysView) -> Self {
        let state = match view.older.is_empty() {
            true => HouseKeysState::Settled,
            false => HouseKeysState::Changing,
        };
        Self {
            id: view.number.to_string(),
            state,
            keeper: view.keeper,
            made_at: (view.made_at.0 > 0).then(|| view.made_at.rfc3339()),
            older: view.older,
        }
    }
}
