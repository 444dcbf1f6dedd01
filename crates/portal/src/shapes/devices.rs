//! Devices on which people are told of what waits for them.

use countersign_engine::people::devices::{DeviceView, Tested};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The caller's devices, and how a browser becomes one.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Devices {
    /// The newest first.
    pub items: Vec<Device>,
    /// The gateway's key for push services (RFC 8292), base64url; absent where nobody is told on devices.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub key: Option<String>,
}

/// A device on which somebody is told of what waits for them.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Device {
    /// Which.
    pub id: String,
    /// It is told on.
    pub state: DeviceState,
    /// What its program called itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub program: Option<String>,
    /// When it was added.
    #[schema(format = DateTime)]
    pub added_at: String,
}

/// Whether a device is told on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum DeviceState {
    /// It is.
    Live,
}

/// A browser's subscription at its push service (Push API, `PushSubscription.toJSON`).
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AddDevice {
    /// Its address there.
    #[schema(max_length = 1024)]
    pub endpoint: String,
    /// Its public key, base64url.
    pub p256dh: String,
    /// Its authentication secret, base64url.
    pub auth: String,
}

/// What came of a test.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct DeviceTested {
    /// In a word.
    pub outcome: TestOutcome,
    /// Why it could not be sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub why: Option<String>,
}

/// What came of a test, in a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum TestOutcome {
    /// The device's push service has taken it. Whether it is shown is the device's business.
    Taken,
    /// Its push service does not know the device any more, so it is taken away.
    Gone,
    /// It could not be sent.
    Failed,
}

impl From<Tested> for DeviceTested {
    fn from(tested: Tested) -> Self {
        match tested {
            Tested::Taken => Self { outcome: TestOutcome::Taken, why: None },
            Tested::Gone => Self { outcome: TestOutcome::Gone, why: None },
            Tested::Failed(why) => Self { outcome: TestOutcome::Failed, why: Some(why) },
        }
    }
}

impl From<DeviceView> for Device {
    fn from(view: DeviceView) -> Self {
        let DeviceView { id, program, added_at } = view;
        Self { id: id.to_string(), state: DeviceState::Live, program, added_at: added_at.rfc3339() }
    }
}
