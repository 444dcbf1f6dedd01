//! The assertion as it is kept beside the line of a yes.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};

use crate::people::PasskeyShown;

/// What the browser handed over, base64url. Members in the order of their names.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct AssertionContent {
    authenticator_data: String,
    client_data: String,
    credential: String,
    signature: String,
}

/// The same, as bytes.
pub(super) struct AssertionBytes {
    pub(super) authenticator_data: Vec<u8>,
    pub(super) client_data: Vec<u8>,
    pub(super) signature: Vec<u8>,
}

impl AssertionContent {
    pub(crate) fn of(shown: &PasskeyShown) -> Self {
        let text = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        Self {
            authenticator_data: text(&shown.authenticator_data),
            client_data: text(&shown.client_data),
            credential: text(&shown.credential),
            signature: text(&shown.signature),
        }
    }

    /// The bytes that the line commits to.
    pub(crate) fn canonical(&self) -> Vec<u8> {
        // A struct of strings cannot fail to serialise.
        serde_json::to_vec(self).unwrap_or_default()
    }

    pub(super) fn read(bytes: &[u8]) -> Option<AssertionBytes> {
        let read: Self = serde_json::from_slice(bytes).ok()?;
        let bytes = |text: &str| URL_SAFE_NO_PAD.decode(text).ok();
        Some(AssertionBytes {
            authenticator_data: bytes(&read.authenticator_data)?,
            client_data: bytes(&read.client_data)?,
            signature: bytes(&read.signature)?,
        })
    }
}
