//! Letting in programs that have no sign-in page of their own.

use countersign_engine as engine;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The machine of a program that asks to be somebody.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Machine {
    /// What it is called: letters, digits, `-`, `_` and `.`. Shown to whoever is asked.
    #[schema(max_length = 64, example = "build-7")]
    pub machine: String,
}

/// What a program asks with, and what it shows (RFC 8628, section 3.2).
#[derive(Clone, Serialize, Deserialize, ToSchema)]
pub struct DeviceBegun {
    /// What it asks with whether it was let in. Shown to nobody.
    pub device_code: String,
    /// What somebody types in at the console.
    #[schema(example = "BCDF-GHJK")]
    pub user_code: String,
    /// Where.
    pub verification_uri: String,
    /// Until when.
    #[schema(format = DateTime)]
    pub expires_at: String,
    /// How many seconds to wait between asking.
    pub interval_s: u64,
}

/// A program that asks whether it was let in.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct DeviceCode {
    /// What it was given.
    #[schema(max_length = 64)]
    pub device_code: String,
}

/// Nobody has said anything yet.
#[derive(Clone, Serialize, Deserialize, ToSchema)]
pub struct DeviceWaits {
    /// How many seconds to wait before asking again.
    pub interval_s: u64,
}

/// A code that a machine shows.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct UserCode {
    /// As it was typed in.
    #[schema(max_length = 32, example = "BCDF-GHJK")]
    pub user_code: String,
}

/// What asks to be the caller.
#[derive(Clone, Serialize, Deserialize, ToSchema)]
pub struct DeviceAsked {
    /// What it says that its machine is called.
    pub machine: String,
    /// What the program calls itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub program: Option<String>,
    /// From where it asks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub address: Option<String>,
    /// Whether that is another network than the caller's.
    pub elsewhere: bool,
    /// Since when.
    #[schema(format = DateTime)]
    pub begun_at: String,
    /// Until when it can be answered.
    #[schema(format = DateTime)]
    pub expires_at: String,
}

/// Whether it may.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct UserAnswer {
    /// As it was typed in.
    #[schema(max_length = 32, example = "BCDF-GHJK")]
    pub user_code: String,
    /// Whether it may be the caller.
    pub allow: bool,
}

/// What a program on the caller's machine made of its verifier.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ProgramChallenge {
    /// SHA-256 of the verifier, base64url (RFC 7636, S256).
    #[schema(max_length = 43)]
    pub challenge: String,
}

/// A code for the browser to carry to the program.
#[derive(Clone, Serialize, Deserialize, ToSchema)]
pub struct ProgramAllowed {
    /// The code. It counts once, with the program's verifier.
    pub code: String,
    /// Until when.
    #[schema(format = DateTime)]
    pub expires_at: String,
}

/// What a program was brought, and what it kept.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ProgramCode {
    /// The code.
    #[schema(max_length = 64)]
    pub code: String,
    /// The verifier (RFC 7636).
    #[schema(max_length = 128)]
    pub verifier: String,
}

/// A job that signs in.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct JobToken {
    /// The token that its issuer gave it.
    #[schema(max_length = 65536)]
    pub token: String,
    /// The service that it is, where the bundle says that it may be several.
    #[serde(default)]
    #[schema(max_length = 64, nullable = false)]
    pub service: Option<String>,
}

/// A code for an agent's program to sign in with.
#[derive(Serialize, Deserialize, ToSchema)]
pub struct AgentCode {
    /// The code. It is shown this once, and counts once.
    pub code: String,
    /// Until when it counts.
    #[schema(format = DateTime)]
    pub expires_at: String,
}

/// An agent that signs in.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AgentSignIn {
    /// The code that its owner got for it.
    #[schema(max_length = 64)]
    pub code: String,
}

impl From<engine::DeviceAsked> for DeviceAsked {
    fn from(asked: engine::DeviceAsked) -> Self {
        Self {
            machine: asked.machine,
            program: asked.program,
            address: asked.address.map(|address| address.to_canonical().to_string()),
            elsewhere: asked.is_elsewhere,
            begun_at: asked.begun_at.rfc3339(),
            expires_at: asked.expires_at.rfc3339(),
        }
    }
}
