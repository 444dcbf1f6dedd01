//! The outside world behind the engine's ports.

pub mod oidc;
