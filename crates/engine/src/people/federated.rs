//! Signing in with an identity provider: what is begun here and answered there, and who that is among us.
//!
//! A sign-in that is under way is remembered in memory, for minutes: its nonce, its verifier, and the browser that began it,
//! so that an answer counts once, for the provider that was asked, in that browser. Whoever comes for the first time is found
//! by what the operator chose (a verified address, or a claim that is their name); from then on issuer and subject are who
//! they are, whatever becomes of the address. An account that is one identity of a provider never becomes another one's by
//! itself.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use countersign_core::action::hash;
use countersign_core::{At, AuthenticatorId, PrincipalId, Span};
use zeroize::Zeroizing;

use super::SignInClient;
use super::authenticators::{Bound, Link};
use super::means::{Means, MeansSet};
use super::origin::{Came, FederatedSession};
use super::sign_in::{SignInRefused, SignedIn};
use crate::engine::Engine;
use crate::federation::{Answered, Asking, Federation, FederationError, Identity, Matching, Provider};
use crate::line::Topic;
use crate::store::{Drawer, Put};
use crate::words::{Refused, RefusedCode};

/// How long a person may take at the provider.
const WAITS_FOR: Span = Span::minutes(10);

/// How many sign-ins are under way at a time; beyond, the oldest has to begin anew.
const WAITING_MAX: usize = 10_000;

/// The longest path that somebody is led to afterwards.
const TO_BYTES_MAX: usize = 512;

/// Sign-ins that are under way, and whom they are begun with.
#[derive(Default)]
pub(super) struct Federated {
    federation: OnceLock<Arc<dyn Federation>>,
    waiting: Mutex<BTreeMap<[u8; 32], Waiting>>,
}

struct Waiting {
    provider: String,
    nonce: String,
    verifier: Zeroizing<String>,
    /// The hash of what the browser keeps.
    browser: [u8; 32],
    to: String,
    expires_at: At,
}

/// A sign-in that is begun.
#[derive(Debug)]
pub struct FederatedBegun {
    /// Where the browser goes.
    pub url: String,
    /// What the browser keeps until it comes back: whoever else comes with its answer is turned away.
    pub browser: Zeroizing<String>,
    /// Until when.
    pub expires_at: At,
}

/// An answer that a browser brings.
#[derive(Debug)]
pub struct FederatedAnswer<'a> {
    /// The provider that it was sent to answer for.
    pub provider: &'a str,
    /// What was asked with.
    pub state: &'a str,
    /// The code.
    pub code: &'a str,
    /// Who says to have answered.
    pub issuer: Option<String>,
    /// What the browser kept.
    pub browser: &'a str,
}

impl Federated {
    fn get(&self) -> Option<&Arc<dyn Federation>> {
        self.federation.get()
    }

    fn wait(&self, state: &str, waiting: Waiting, now: At) {
        let mut all = self.waiting();
        all.retain(|_, one| now < one.expires_at);
        if all.len() >= WAITING_MAX {
            let oldest = all.iter().min_by_key(|(_, one)| one.expires_at).map(|(key, _)| *key);
            oldest.map(|oldest| all.remove(&oldest));
        }
        all.insert(state_key(state), waiting);
    }

    /// What waits under this state. It counts once, whatever comes of it.
    fn take(&self, state: &str, now: At) -> Option<Waiting> {
        self.waiting().remove(&state_key(state)).filter(|one| now < one.expires_at)
    }

    fn waiting(&self) -> MutexGuard<'_, BTreeMap<[u8; 32], Waiting>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Engine {
    /// Has people sign in with these providers. Said once, at the start; what is said later is not heard.
    pub fn federate(&self, federation: Arc<dyn Federation>) {
        let _said_before = self.0.people.federated.federation.set(federation);
    }

    /// The providers that people may sign in with.
    #[must_use]
    pub fn providers(&self) -> Vec<Provider> {
        self.0.people.federated.get().map(|federation| federation.providers()).unwrap_or_default()
    }

    fn redirect_uri(&self, provider: &str) -> String {
        // One for each provider, so that none can pass another's answer for its own (RFC 9700, section 4.4.2).
        format!("{}/api/v1/sign-in/oidc/{provider}/callback", self.0.house.settings.console_url)
    }

    /// Begins a sign-in with a provider; afterwards the browser is led to the path `to`.
    ///
    /// # Errors
    /// There is no such provider, or it does not answer.
    pub async fn begin_federated(&self, provider: &str, to: &str) -> Result<FederatedBegun, Refused> {
        let none = || Refused::new(RefusedCode::NotFound, "there is no such identity provider");
        let federation = self.0.people.federated.get().ok_or_else(none)?;
        let ports = &self.0.house.ports;
        let text = || URL_SAFE_NO_PAD.encode(ports.random::<32>());
        let (state, nonce, verifier, browser) =
            (text(), text(), Zeroizing::new(text()), Zeroizing::new(text()));
        let asking = Asking {
            state: state.clone(),
            nonce: nonce.clone(),
            challenge: URL_SAFE_NO_PAD.encode(digest(&SHA256, verifier.as_bytes())),
            redirect_uri: self.redirect_uri(provider),
            within: self.0.house.settings.sign_in_for,
        };
        let url = federation.authorize(provider, &asking).await.map_err(|error| match error {
            FederationError::NoSuchProvider(_) => none(),
            other => {
                tracing::warn!(provider, %other, "a sign-in could not be begun");
                Refused::new(RefusedCode::Unavailable, "the identity provider does not answer as it should")
                    .hint("try again in a moment; whoever runs the gateway finds the reason in its log")
            }
        })?;
        let expires_at = self.now().plus(WAITS_FOR);
        let waiting = Waiting {
            provider: provider.to_owned(),
            nonce,
            verifier,
            browser: browser_key(&browser),
            to: path(to).to_owned(),
            expires_at,
        };
        self.0.people.federated.wait(&state, waiting, self.now());
        Ok(FederatedBegun { url, browser, expires_at })
    }

    /// Signs in whoever comes back with a provider's answer, and says where they wanted to go.
    ///
    /// # Errors
    /// [`SignInRefused`]; recorded.
    pub async fn sign_in_federated(
        &self,
        answer: FederatedAnswer<'_>,
        client: SignInClient,
    ) -> Result<(SignedIn, String), SignInRefused> {
        let waiting = self.0.people.federated.take(answer.state, self.now());
        let is_this_browser =
            |one: &Waiting| verify_slices_are_equal(&one.browser, &browser_key(answer.browser)).is_ok();
        let waiting = waiting.filter(|one| one.provider == answer.provider && is_this_browser(one));
        let Some((waiting, federation)) = waiting.zip(self.0.people.federated.get()) else {
            self.failed("auth.failed", "", &client).await;
            return Err(SignInRefused::TooLate);
        };
        let answered = Answered {
            code: Zeroizing::new(answer.code.to_owned()),
            issuer: answer.issuer,
            nonce: waiting.nonce,
            verifier: waiting.verifier,
            redirect_uri: self.redirect_uri(&waiting.provider),
            within: self.0.house.settings.sign_in_for,
            now: self.now(),
        };
        let identity = match federation.redeem(&waiting.provider, &answered).await {
            Ok(identity) => identity,
            Err(error) => {
                tracing::warn!(provider = waiting.provider, %error, "a sign-in with a provider was refused");
                self.failed("auth.failed", "", &client).await;
                return Err(SignInRefused::Provider);
            }
        };
        let provider = federation.providers().into_iter().find(|one| one.name == waiting.provider);
        let provider = provider.ok_or(SignInRefused::Provider)?;
        let signed_in = self.admit_identity(identity, &provider, &client).await?;
        Ok((signed_in, waiting.to))
    }

    async fn admit_identity(
        &self,
        identity: Identity,
        provider: &Provider,
        client: &SignInClient,
    ) -> Result<SignedIn, SignInRefused> {
        let _changing = self.changing().await;
        let index = link_key(&identity.issuer, &identity.subject);
        let linked = self.owner_at(index.clone()).await.map_err(SignInRefused::Unavailable)?;
        let found = linked.clone().or_else(|| self.matched(&identity, &provider.matching));
        let Some(principal) = found.filter(|principal| self.user(principal.as_str()).is_some()) else {
            self.failed("auth.failed", "", client).await;
            return Err(SignInRefused::NotKnown);
        };
        if !self.snapshot().book.is_enabled(&principal) {
            self.failed("auth.failed", principal.as_str(), client).await;
            return Err(SignInRefused::Disabled);
        }
        let mut bound = self.bound(&principal).await.map_err(SignInRefused::Unavailable)?;
        let mut puts = Vec::new();
        let now = self.now();
        let is_it = |link: &&mut Link| link.issuer == identity.issuer && link.subject == identity.subject;
        if let Some(link) = bound.links.iter_mut().find(is_it) {
            link.used_at = now;
            puts.push(bound.put(&self.0.house, &principal));
        } else if linked.is_some() || bound.links.iter().any(|link| link.issuer == identity.issuer) {
            // It is somebody else there already, or the index leads astray: nobody becomes it by an address.
            self.failed("auth.failed", principal.as_str(), client).await;
            return Err(SignInRefused::NotKnown);
        } else {
            self.link(&principal, &mut bound, (&identity, &provider.title)).await?;
        }
        let two = identity.two_factors.then_some(Means::OidcTwoFactors);
        let means: Vec<Means> = [Means::Oidc].into_iter().chain(two).collect();
        let came = Came {
            means: MeansSet::of(&means),
            proved_at: identity.auth_time.map_or(now, |at| at.min(now)),
            federation: Some(FederatedSession {
                issuer: identity.issuer,
                subject: identity.subject,
                session: identity.session,
            }),
            let_in: None,
            job: None,
            key: None,
            audience: None,
        };
        self.admit_as(principal, came, client, puts).await
    }

    /// Binds an identity to the account that it matched. From then on it is found by issuer and subject.
    async fn link(
        &self,
        principal: &PrincipalId,
        bound: &mut Bound,
        (identity, title): (&Identity, &str),
    ) -> Result<(), SignInRefused> {
        let (id, now) = (AuthenticatorId(self.0.house.ports.entropy.id()), self.now());
        bound.links.push(Link {
            id,
            name: title.to_owned(),
            issuer: identity.issuer.clone(),
            subject: identity.subject.clone(),
            bound_at: now,
            used_at: now,
        });
        let mut note =
            self.binding_note("authenticator.bound", (None, principal), (Means::Oidc, Some(id), bound));
        let index = link_key(&identity.issuer, &identity.subject);
        note.puts.push(Put::set(Drawer::Authenticators, index, principal.as_str().as_bytes()));
        self.note(note).await.map(|_| ()).map_err(SignInRefused::Unavailable)
    }

    /// The user whom an identity is that was never seen before; nobody unless there is exactly one.
    fn matched(&self, identity: &Identity, matching: &Matching) -> Option<PrincipalId> {
        match matching {
            Matching::Name { .. } => self.user(identity.name.as_deref()?),
            Matching::Email { domains } => {
                let email = identity.verified_email.as_deref().filter(|email| email.is_ascii())?;
                let (_, domain) = email.rsplit_once('@')?;
                if !domains.is_empty() && !domains.iter().any(|one| one.eq_ignore_ascii_case(domain)) {
                    return None;
                }
                let snapshot = self.snapshot();
                let principals = snapshot.book.catalogue.principals.iter();
                let mut fitting = principals.filter(|(_, one)| {
                    one.is_user() && one.email.as_deref().is_some_and(|mine| mine.eq_ignore_ascii_case(email))
                });
                let (only, _) = fitting.next()?;
                fitting.next().is_none().then(|| only.clone())
            }
        }
    }

    /// Ends the sign-ins whose sessions a provider says have ended.
    ///
    /// # Errors
    /// The token does not count, or the end of a sign-in could not be recorded.
    pub async fn federated_logout(&self, token: &str) -> Result<(), Refused> {
        let none = || Refused::new(RefusedCode::NotFound, "nobody signs in with an identity provider here");
        let federation = self.0.people.federated.get().ok_or_else(none)?;
        let told = federation.logged_out(token, self.now()).await.map_err(|error| {
            tracing::warn!(%error, "a logout token was refused");
            match error {
                FederationError::Unavailable(_) => Refused::new(
                    RefusedCode::Unavailable,
                    "the identity provider's keys can't be fetched now",
                ),
                _ => Refused::new(RefusedCode::Invalid, "the logout token does not count"),
            }
        })?;
        for (key, kept) in self.0.people.tokens.came_by(&told) {
            let client = SignInClient { source: None, via: kept.from.via(), user_agent: None };
            let mut note = self.sign_in_note("token.revoked", kept.principal.as_str(), &client);
            note.line.subject = Some(kept.principal.clone());
            if let Topic::SignIn(line) = &mut note.line.data {
                line.sign_in = Some(kept.id);
                line.means = vec![Means::Oidc.as_str()];
            }
            self.forget(&key, note).await?;
        }
        Ok(())
    }
}

/// A path of the console, and nothing that leads elsewhere.
fn path(to: &str) -> &str {
    let leads_astray = !to.starts_with('/')
        || to.starts_with("//")
        || to.len() > TO_BYTES_MAX
        || to.bytes().any(|byte| byte == b'\\' || byte.is_ascii_control() || !byte.is_ascii());
    if leads_astray { "/" } else { to }
}

/// Under which key an identity leads to whom it belongs to. No name begins so.
pub(super) fn link_key(issuer: &str, subject: &str) -> Vec<u8> {
    let parts = [issuer.as_bytes(), b"\0", subject.as_bytes()].concat();
    [b"\0oidc:".as_slice(), &hash(&[b"countersign/identity/v1\n", &parts]).0].concat()
}

fn state_key(state: &str) -> [u8; 32] {
    hash(&[b"countersign/oidc-state/v1\n", state.as_bytes()]).0
}

fn browser_key(browser: &str) -> [u8; 32] {
    hash(&[b"countersign/oidc-browser/v1\n", browser.as_bytes()]).0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_is_led_elsewhere() {
        for good in ["/", "/requests/req_1", "/ask?role=a&reason=b"] {
            assert_eq!(path(good), good);
        }
        for bad in ["", "//evil.example", "/\\evil.example", "https://evil.example", "/a\nb", "/ä", "evil"] {
            assert_eq!(path(bad), "/", "{bad}");
        }
        assert_eq!(path(&format!("/{}", "a".repeat(600))), "/");
    }

    #[test]
    fn a_sign_in_under_way_counts_once_and_not_for_long() {
        let federated = Federated::default();
        let waiting = |n: i64| Waiting {
            provider: "corp".into(),
            nonce: n.to_string(),
            verifier: Zeroizing::default(),
            browser: [0; 32],
            to: "/".into(),
            expires_at: At(n).plus(WAITS_FOR),
        };
        federated.wait("one", waiting(0), At(0));
        assert!(federated.take("two", At(1)).is_none());
        assert!(federated.take("one", At(1)).is_some() && federated.take("one", At(1)).is_none());
        federated.wait("one", waiting(0), At(0));
        assert!(federated.take("one", At(0).plus(WAITS_FOR)).is_none());
        for n in 0..=i64::try_from(WAITING_MAX).unwrap() {
            federated.wait(&n.to_string(), waiting(n), At(0));
        }
        assert_eq!(federated.waiting().len(), WAITING_MAX);
        assert!(federated.take("0", At(0)).is_none(), "the oldest begins anew");
    }
}
