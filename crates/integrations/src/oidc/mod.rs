//! Signing in with identity providers (OpenID Connect): a relying party of our own.
//!
//! What: the code flow with PKCE, state and nonce; discovery, keys with rotation, ID tokens and logout tokens checked claim by
//! claim; several providers, none of which can answer for another. Why our own: what is needed is small, the instant is
//! given, and nothing of it keeps a state but documents and keys. The signatures are checked by `jsonwebtoken`. What not:
//! implicit and hybrid flows, user info, refresh: of the tokens only the ID token is wanted, and none is kept. Who somebody
//! is here, the engine says.

mod http;
mod keys;
mod provider;
#[cfg(test)]
mod tests;
mod token;
mod workload;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use countersign_core::At;
use countersign_engine::federation::{
    Answered, Answering, Asking, Federation, FederationError, Identity, LoggedOut, Provider as Named,
};
use countersign_engine::ports::Clock;

pub use provider::ProviderSettings;
pub use workload::WorkloadIssuers;

pub(crate) use http::{outgoing, safe as safe_url};

use http::Http;
use provider::Provider;

/// How many logout tokens are remembered so that each counts once.
const LOGOUTS_MAX: usize = 10_000;

/// The providers of an installation.
pub struct Providers {
    providers: Vec<Provider>,
    clock: Arc<dyn Clock>,
    /// Logout tokens that counted, by issuer and name, until when they would have.
    logouts: Mutex<BTreeMap<(String, String), At>>,
}

/// Why providers can't be what the configuration says.
#[derive(Debug, thiserror::Error)]
pub enum BadProviders {
    /// The name can't stand in a link.
    #[error("`{0}` is not a name of a provider; use small letters, digits and `-`")]
    Name(String),
    /// There is another one of this name, or with this issuer.
    #[error("there are two providers `{0}`")]
    Twice(String),
    /// Secrets would be sent there in clear.
    #[error("the issuer `{0}` has no https address")]
    Issuer(String),
    /// No calls can be made at all.
    #[error("no client for providers could be made")]
    Client(#[source] reqwest::Error),
}

impl Providers {
    /// These providers.
    ///
    /// # Errors
    /// [`BadProviders`].
    pub fn new(settings: Vec<ProviderSettings>, clock: Arc<dyn Clock>) -> Result<Self, BadProviders> {
        let http = Http::new().map_err(BadProviders::Client)?;
        let mut providers: Vec<Provider> = Vec::new();
        for one in settings {
            let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
            if one.name.is_empty() || one.name.len() > 32 || !one.name.bytes().all(fits) {
                return Err(BadProviders::Name(one.name));
            }
            http::safe(&one.issuer).ok_or_else(|| BadProviders::Issuer(one.issuer.clone()))?;
            let same =
                |other: &Provider| other.settings.name == one.name || other.settings.issuer == one.issuer;
            if providers.iter().any(same) {
                return Err(BadProviders::Twice(one.name));
            }
            providers.push(Provider::new(one, http.clone()));
        }
        Ok(Self { providers, clock, logouts: Mutex::default() })
    }

    fn named(&self, name: &str) -> Result<&Provider, FederationError> {
        let found = self.providers.iter().find(|one| one.settings.name == name);
        found.ok_or_else(|| FederationError::NoSuchProvider(name.chars().take(32).collect()))
    }

    /// Whether a logout token counts for the first time.
    fn is_first(&self, issuer: &str, id: String, (until, now): (At, At)) -> bool {
        let mut logouts = self.logouts.lock().unwrap_or_else(PoisonError::into_inner);
        logouts.retain(|_, until| now < *until);
        let key = (issuer.to_owned(), id);
        if logouts.contains_key(&key) || logouts.len() >= LOGOUTS_MAX {
            return false;
        }
        logouts.insert(key, until);
        true
    }
}

impl Federation for Providers {
    fn providers(&self) -> Vec<Named> {
        let named = self.providers.iter().map(|one| Named {
            name: one.settings.name.clone(),
            title: one.settings.title.clone(),
            matching: one.settings.matching.clone(),
        });
        named.collect()
    }

    fn authorize<'a>(&'a self, provider: &'a str, asking: &'a Asking) -> Answering<'a, String> {
        Box::pin(async move { self.named(provider)?.authorize(asking, self.clock.now()).await })
    }

    fn redeem<'a>(&'a self, provider: &'a str, answered: &'a Answered) -> Answering<'a, Identity> {
        Box::pin(async move { self.named(provider)?.redeem(answered).await })
    }

    fn logged_out<'a>(&'a self, token: &'a str, now: At) -> Answering<'a, LoggedOut> {
        Box::pin(async move {
            // The issuer that a token names is not believed; it says whose keys to check it with.
            let claimed = token::issuer_claimed(token);
            let provider = self.providers.iter().find(|one| Some(&one.settings.issuer) == claimed.as_ref());
            let nobody = || FederationError::Refused("no provider that is known here sent it".into());
            let (told, checked) = provider.ok_or_else(nobody)?.logged_out(token, now).await?;
            let again = || FederationError::Refused("the logout token was used before".into());
            let is_first = self.is_first(&told.issuer, checked.id, (checked.until, now));
            is_first.then_some(told).ok_or_else(again)
        })
    }
}

impl std::fmt::Debug for Providers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let names = self.providers.iter().map(|one| &one.settings.name);
        f.debug_list().entries(names).finish()
    }
}
