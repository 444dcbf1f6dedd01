//! People and what they hold: passwords and what stands beside them, sign-ins, credentials for doors, and the gateway's
//! own secrets.
//!
//! None of it is event-sourced: it is in tables, with a line in the ledger for each change that matters. Passwords
//! are stored as argon2id verifiers, tokens as SHA-256, credentials as SCRAM keys, secrets encrypted.

mod agents;
mod authenticators;
mod bearers;
mod clients;
mod consents;
mod credentials;
mod device_tests;
pub mod devices;
mod federated;
mod first;
mod jobs;
mod lockouts;
mod means;
mod noise;
mod origin;
mod own;
mod passkeys;
mod passwords;
mod places;
mod programs;
mod refreshing;
mod rows;
mod second;
mod secrets;
mod shut_out;
mod sign_in;
mod signing;
mod tokens;
pub(crate) mod totp;
mod unbinding;

use std::net::IpAddr;
use std::sync::Arc;

use countersign_core::{At, PrincipalId, SignInId};
use countersign_policy::context::Via;

pub use agents::AgentCode;
pub use authenticators::AuthenticatorView;
pub(crate) use authenticators::place as authenticators_place;
pub use bearers::Bearer;
pub use clients::{Client as OauthClient, redirect_host};
pub use consents::{ConsentActor, ConsentAsk, ConsentAsked, IssuedTokens, Redeemed, TokenRefused};
pub use credentials::{Minted, ScramVerifiers};
pub(crate) use devices::{PUSH_KEY, place as devices_place};
pub use federated::{FederatedAnswer, FederatedBegun};
pub(crate) use first::FirstPasskey;
pub use first::Invitation;
pub use means::{Means, MeansSet, Proof, Proved};
pub(crate) use noise::Noise;
pub use own::{ClientView, NewPlace, SignInView};
pub use passkeys::{PasskeyAsked, PasskeyMade, PasskeyOffer, PasskeyShown};
pub use passwords::SetPasswordError;
pub(crate) use places::place_of as place_place;
pub use programs::{DeviceAsked, DeviceBegun, DeviceStep, ProgramCode};
pub use second::{SecondStep, TotpBound, TotpOffer};
pub(crate) use secrets::secret_place;
pub use secrets::{ClientIdentity, SecretError};
pub(crate) use shut_out::may_let_in;
pub use sign_in::{SignInClient, SignInRefused, SignInStep, SignedIn};
pub use signing::SignatureAsked;
#[cfg(any(test, feature = "testing"))]
pub(crate) use tokens::Fresh;
pub use tokens::Unauthenticated;
pub(crate) use tokens::renewed as renewed_sign_in;

use crate::house::House;
use crate::store::StoreError;
use crate::writer::work::From;
use agents::Agents;
use authenticators::Authenticators;
use bearers::Bearers;
use clients::Clients;
use consents::Consents;
use credentials::Credentials;
use devices::Devices;
use federated::Federated;
use jobs::Jobs;
use lockouts::Lockouts;
use passkeys::Challenges;
use passwords::Hashing;
use places::Places;
use programs::Programs;
use second::Seconds;
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
    /// Which sign-in.
    pub sign_in: SignInId,
    /// By what it was proved, and how long ago.
    pub proof: Proof,
    /// The hash of its token.
    pub(crate) token: [u8; 32],
}

/// What is kept in memory of people.
pub(crate) struct People {
    pub(crate) tokens: Tokens,
    pub(crate) credentials: Credentials,
    bearers: Bearers,
    clients: Clients,
    consents: Consents,
    authenticators: Authenticators,
    places: Places,
    pub(crate) devices: Devices,
    seconds: Seconds,
    challenges: Challenges,
    federated: Federated,
    jobs: Jobs,
    agents: Agents,
    programs: Programs,
    lockouts: Lockouts,
    hashing: Hashing,
}

impl People {
    pub(crate) fn load(house: &Arc<House>) -> Result<Self, StoreError> {
        Ok(Self {
            tokens: Tokens::load(house)?,
            credentials: Credentials::load(house)?,
            bearers: Bearers::load(house)?,
            clients: Clients::load(house)?,
            consents: Consents::default(),
            authenticators: Authenticators::default(),
            places: Places::load(house)?,
            devices: Devices::load(house)?,
            seconds: Seconds::default(),
            challenges: Challenges::default(),
            federated: Federated::default(),
            jobs: Jobs::default(),
            agents: Agents::default(),
            programs: Programs::default(),
            lockouts: Lockouts::default(),
            hashing: Hashing::new(house),
        })
    }
}

impl Caller {
    pub(crate) fn from(&self) -> From {
        From { source: self.source, via: self.via, proof: Some(self.proof) }
    }
}
