//! People and what they hold: passwords, sign-ins, credentials for doors, and the gateway's own secrets.
//!
//! None of it is event-sourced: it is in tables, with a line in the ledger for each change that matters. Passwords
//! are stored as argon2id verifiers, tokens as SHA-256, credentials as SCRAM keys, secrets encrypted.

mod credentials;
mod noise;
mod secrets;
mod sign_in;
mod tokens;

use std::net::IpAddr;
use std::sync::Arc;

use countersign_core::{At, PrincipalId};
use countersign_policy::context::Via;

pub use credentials::{Minted, ScramVerifiers};
pub(crate) use noise::Noise;
pub use secrets::SecretError;
pub use sign_in::{SetPasswordError, SignInClient, SignInRefused, SignedIn};
pub use tokens::Unauthenticated;

use crate::house::House;
use crate::store::StoreError;
use crate::writer::work::From;
use credentials::Credentials;
use sign_in::{Hashing, Lockouts};
use tokens::Tokens;

/// Somebody who is signed in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// Who.
    pub principal: PrincipalId,
    /// How they speak to the gateway.
    pub via: Via,
    /// From where.
    pub source: Option<IpAddr>,
    /// When they signed in.
    pub signed_in_at: At,
    /// Which sign-in: the hash of its token.
    pub(crate) token: [u8; 32],
}

/// What is kept in memory of people.
pub(crate) struct People {
    pub(crate) tokens: Tokens,
    pub(crate) credentials: Credentials,
    lockouts: Lockouts,
    hashing: Hashing,
}

impl People {
    pub(crate) fn load(house: &Arc<House>) -> Result<Self, StoreError> {
        Ok(Self {
            tokens: Tokens::load(house)?,
            credentials: Credentials::load(house)?,
            lockouts: Lockouts::default(),
            hashing: Hashing::new(house),
        })
    }
}

impl Caller {
    pub(crate) fn from(&self) -> From {
        From { source: self.source, via: self.via }
    }
}
