//! One provider: its document (OpenID Connect Discovery 1.0), its keys, and the two calls of a sign-in.

use std::sync::Arc;

use countersign_core::{At, Span};
use countersign_engine::federation::{Answered, Asking, FederationError, Identity, LoggedOut, Matching};
use serde::Deserialize;
use tokio::sync::Mutex;
use url::Url;
use zeroize::Zeroizing;

use super::http::{Http, safe};
use super::keys::Keys;
use super::token::{self, BadToken, Expected, IdToken, LogoutToken, text};

/// How long a provider's document is believed without asking again.
const DOCUMENT_GOOD_FOR: Span = Span::hours(1);

/// How often at most a document is asked for that did not come.
const AGAIN_AFTER: Span = Span::seconds(5);

/// What an operator says of a provider.
#[derive(Clone)]
pub struct ProviderSettings {
    /// Its name here, in links: small letters, digits and `-`.
    pub name: String,
    /// As people call it.
    pub title: String,
    /// Its identifier, exactly as it says it itself.
    pub issuer: String,
    /// Ours there.
    pub client_id: String,
    /// Ours there, if it gave us one.
    pub client_secret: Option<Zeroizing<String>>,
    /// What is asked for; `openid` always is.
    pub scopes: Vec<String>,
    /// Who is let in by what it says.
    pub matching: Matching,
    /// Values of `amr` (RFC 8176) or `acr` that stand for two factors.
    pub two_factors: Vec<String>,
}

/// A provider.
pub(crate) struct Provider {
    pub(crate) settings: ProviderSettings,
    http: Http,
    kept: Mutex<Kept>,
}

#[derive(Default)]
struct Kept {
    document: Option<(At, Arc<Document>)>,
    /// When the document was asked for last, in vain.
    failed_at: Option<At>,
    keys: Option<Arc<Keys>>,
}

/// What is read of a provider's document.
#[derive(Deserialize)]
struct RawDocument {
    issuer: String,
    authorization_endpoint: String,
    token_endpoint: String,
    jwks_uri: String,
    #[serde(default)]
    token_endpoint_auth_methods_supported: Option<Vec<String>>,
    #[serde(default)]
    code_challenge_methods_supported: Option<Vec<String>>,
    #[serde(default)]
    authorization_response_iss_parameter_supported: bool,
}

struct Document {
    authorization_endpoint: Url,
    token_endpoint: Url,
    jwks_uri: Url,
    /// The secret goes into the form, not into the header.
    secret_in_form: bool,
    says_who_answers: bool,
}

#[derive(Deserialize)]
struct Tokens {
    id_token: String,
}

#[derive(Deserialize)]
struct TokenError {
    error: String,
}

fn unavailable(why: impl Into<String>) -> FederationError {
    FederationError::Unavailable(why.into())
}

fn refused(why: impl Into<String>) -> FederationError {
    FederationError::Refused(why.into())
}

impl Provider {
    pub(crate) fn new(settings: ProviderSettings, http: Http) -> Self {
        Self { settings, http, kept: Mutex::default() }
    }

    pub(crate) async fn authorize(&self, asking: &Asking, now: At) -> Result<String, FederationError> {
        let document = self.document(now).await?;
        let mut scopes = vec!["openid".to_owned()];
        scopes.extend(self.settings.scopes.iter().filter(|scope| *scope != "openid").cloned());
        let mut url = document.authorization_endpoint.clone();
        url.query_pairs_mut()
            .append_pair("response_type", "code")
            .append_pair("client_id", &self.settings.client_id)
            .append_pair("redirect_uri", &asking.redirect_uri)
            .append_pair("scope", &scopes.join(" "))
            .append_pair("state", &asking.state)
            .append_pair("nonce", &asking.nonce)
            .append_pair("code_challenge", &asking.challenge)
            .append_pair("code_challenge_method", "S256")
            // Makes it say when the person was there (Core, section 3.1.2.1).
            .append_pair("max_age", &(asking.within.millis() / 1_000).to_string());
        Ok(url.into())
    }

    pub(crate) async fn redeem(&self, answered: &Answered) -> Result<Identity, FederationError> {
        let document = self.document(answered.now).await?;
        // Another provider's answer, or one that nobody vouches for (RFC 9207, section 2.4).
        match &answered.issuer {
            Some(issuer) if *issuer != self.settings.issuer => {
                return Err(refused("another provider answered"));
            }
            None if document.says_who_answers => return Err(refused("the answer does not say whose it is")),
            _ => {}
        }
        let id_token = self.exchange(&document, answered).await?;
        let checked = self.checked(&document, &id_token, answered).await?;
        Ok(self.identity(checked))
    }

    /// The ID token for a code (Core, section 3.1.3). The other tokens are not wanted, and not kept.
    async fn exchange(
        &self,
        document: &Document,
        answered: &Answered,
    ) -> Result<Zeroizing<String>, FederationError> {
        let settings = &self.settings;
        let mut form = vec![
            ("grant_type", "authorization_code"),
            ("code", answered.code.as_str()),
            ("redirect_uri", answered.redirect_uri.as_str()),
            ("code_verifier", answered.verifier.as_str()),
        ];
        let mut basic = None;
        match &settings.client_secret {
            Some(secret) if !document.secret_in_form => {
                basic = Some((settings.client_id.as_str(), secret.as_str()))
            }
            secret => {
                form.push(("client_id", &settings.client_id));
                form.extend(secret.as_ref().map(|secret| ("client_secret", secret.as_str())));
            }
        }
        let (status, body) =
            self.http.post(&document.token_endpoint, &form, basic).await.map_err(unavailable)?;
        let body = Zeroizing::new(body);
        if !status.is_success() {
            let error = serde_json::from_slice::<TokenError>(&body).map(|found| found.error);
            let why = error.unwrap_or_else(|_| format!("it answered {}", status.as_u16()));
            return Err(refused(format!(
                "the code was not accepted: {}",
                why.chars().take(100).collect::<String>()
            )));
        }
        let tokens: Tokens = serde_json::from_slice(&body).map_err(|_| refused("it gave no ID token"))?;
        Ok(Zeroizing::new(tokens.id_token))
    }

    async fn checked(
        &self,
        document: &Document,
        id_token: &str,
        answered: &Answered,
    ) -> Result<IdToken, FederationError> {
        let name = token::key_named(id_token).map_err(|bad| refused(format!("its ID token: {bad}")))?;
        let keys = self.keys(document, name.as_deref(), answered.now).await?;
        let checked = token::id_token(
            id_token,
            &keys,
            self.expected(answered.now),
            (&answered.nonce, Some(answered.within)),
        );
        checked.map_err(|bad| refused(format!("its ID token: {bad}")))
    }

    fn identity(&self, checked: IdToken) -> Identity {
        let settings = &self.settings;
        let is_verified = checked.claims.get("email_verified") == Some(&serde_json::Value::Bool(true));
        let email = text(&checked.claims, "email").filter(|_| is_verified).map(str::to_owned);
        let name = match &settings.matching {
            Matching::Name { claim } => text(&checked.claims, claim).map(str::to_owned),
            Matching::Email { .. } => None,
        };
        let class = text(&checked.claims, "acr");
        let stands = |value: &str| settings.two_factors.iter().any(|one| one == value);
        Identity {
            issuer: settings.issuer.clone(),
            two_factors: checked.methods.iter().any(|method| stands(method)) || class.is_some_and(stands),
            subject: checked.subject,
            session: checked.session,
            auth_time: checked.auth_time,
            verified_email: email,
            name,
        }
    }

    /// Checks a logout token of this provider.
    pub(crate) async fn logged_out(
        &self,
        raw: &str,
        now: At,
    ) -> Result<(LoggedOut, LogoutToken), FederationError> {
        let document = self.document(now).await?;
        let bad = |bad: BadToken| refused(format!("its logout token: {bad}"));
        let name = token::key_named(raw).map_err(bad)?;
        let keys = self.keys(&document, name.as_deref(), now).await?;
        let checked = token::logout_token(raw, &keys, self.expected(now)).map_err(bad)?;
        let issuer = self.settings.issuer.clone();
        let told = LoggedOut { issuer, subject: checked.subject.clone(), session: checked.session.clone() };
        Ok((told, checked))
    }

    fn expected(&self, now: At) -> Expected<'_> {
        Expected { issuer: &self.settings.issuer, client_id: &self.settings.client_id, now }
    }

    async fn document(&self, now: At) -> Result<Arc<Document>, FederationError> {
        let mut kept = self.kept.lock().await;
        if let Some((at, document)) = &kept.document
            && now.since(*at) < DOCUMENT_GOOD_FOR
        {
            return Ok(Arc::clone(document));
        }
        if kept.failed_at.is_some_and(|at| now.since(at) < AGAIN_AFTER) {
            return Err(unavailable("it did not answer just now"));
        }
        match self.fetch_document().await {
            Ok(document) => {
                let document = Arc::new(document);
                (kept.document, kept.failed_at) = (Some((now, Arc::clone(&document))), None);
                Ok(document)
            }
            Err(why) => {
                kept.failed_at = Some(now);
                // What it said of itself an hour ago still leads to it.
                match &kept.document {
                    Some((_, document)) => Ok(Arc::clone(document)),
                    None => Err(unavailable(why)),
                }
            }
        }
    }

    async fn fetch_document(&self) -> Result<Document, String> {
        let issuer = &self.settings.issuer;
        let at = format!("{}/.well-known/openid-configuration", issuer.trim_end_matches('/'));
        let url = safe(&at).ok_or_else(|| format!("`{at}` is not an https address"))?;
        let body = self.http.get(&url).await?;
        let raw: RawDocument = serde_json::from_slice(&body)
            .map_err(|_| format!("`{url}` is not the document of a provider"))?;
        Document::read(raw, issuer)
    }

    /// The provider's keys, fetched again when they are old or lack one of this name.
    async fn keys(
        &self,
        document: &Document,
        name: Option<&str>,
        now: At,
    ) -> Result<Arc<Keys>, FederationError> {
        let mut kept = self.kept.lock().await;
        if let Some(keys) = kept.keys.as_ref().filter(|keys| !keys.is_due(name, now)) {
            return Ok(Arc::clone(keys));
        }
        let fetched = self.http.get(&document.jwks_uri).await;
        let fetched = fetched.and_then(|body| {
            Keys::read(&body, now).ok_or_else(|| format!("`{}` is not a set of keys", document.jwks_uri))
        });
        let keys = Arc::new(fetched.map_err(unavailable)?);
        kept.keys = Some(Arc::clone(&keys));
        Ok(keys)
    }
}

impl Document {
    fn read(raw: RawDocument, issuer: &str) -> Result<Self, String> {
        if raw.issuer != *issuer {
            return Err(format!("it calls itself `{}`, the configuration calls it `{issuer}`", raw.issuer));
        }
        if raw
            .code_challenge_methods_supported
            .is_some_and(|methods| !methods.iter().any(|one| one == "S256"))
        {
            return Err("it does not support PKCE with S256".into());
        }
        let at = |text: &str| safe(text).ok_or_else(|| format!("its address `{text}` is not one of https"));
        let methods = raw.token_endpoint_auth_methods_supported;
        let supports =
            |method: &str| methods.as_ref().is_some_and(|methods| methods.iter().any(|one| one == method));
        Ok(Self {
            authorization_endpoint: at(&raw.authorization_endpoint)?,
            token_endpoint: at(&raw.token_endpoint)?,
            jwks_uri: at(&raw.jwks_uri)?,
            // Without a word it is the header (Discovery, section 3).
            secret_in_form: !supports("client_secret_basic") && supports("client_secret_post"),
            says_who_answers: raw.authorization_response_iss_parameter_supported,
        })
    }
}
