//! A server that keeps a key and never gives it away: the transit engine of Vault, of OpenBao, and of whatever speaks like them.
//!
//! It wraps and unwraps the ring of the house's keys. It is asked when the gateway starts and when its keys change, and not in
//! between: while it is away the gateway goes on, and no gateway starts. Its token is read anew each time, so that whatever
//! renews it may do so. What not: no key of the server's is ever asked for.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use countersign_engine::ports::SecretSource;
use countersign_engine::{Keeper, KeeperAnswer, KeeperError, MasterKey, Unwrapped};
use reqwest::{Client, Response};
use serde::{Deserialize, Serialize};
use url::Url;
use zeroize::Zeroizing;

use crate::oidc::{outgoing, safe_url};

/// How operators know it.
const NAME: &str = "vault";

/// How long it may take.
const CALL: Duration = Duration::from_secs(10);

/// The largest answer that is read.
const ANSWER_BYTES_MAX: usize = 64 * 1024;

/// How much of what it says of a failure is repeated.
const WHY_BYTES_MAX: usize = 200;

/// Where it is, and with which key it wraps.
#[derive(Clone, Debug)]
pub struct VaultSettings {
    /// Its address: https, or this machine.
    pub address: String,
    /// Where the transit engine is mounted.
    pub mount: String,
    /// The name of the key.
    pub key: String,
    /// Its namespace, if it has several.
    pub namespace: Option<String>,
    /// Where the token is that the gateway shows: `env:NAME` or `file:PATH`.
    pub token: String,
    /// Who vouches for it (PEM), if not the authorities that the machine trusts.
    pub ca: Option<PathBuf>,
}

/// Why it can't be a keeper at all.
#[derive(Debug, thiserror::Error)]
pub enum BadVault {
    /// Its address is none that a token may be sent to.
    #[error("`{0}` is no address of a vault; it has to be https, or on this machine")]
    Address(String),
    /// A name that can't be part of an address.
    #[error(
        "`{0}` can't be the name of a mount or a key; letters, digits, `-`, `_`, `.` and `/` between them"
    )]
    Name(String),
    /// Its authority can't be read.
    #[error("`{path}` can't be read as a certificate ({why})")]
    Ca {
        /// Which file.
        path: String,
        /// Why not.
        why: String,
    },
    /// No client could be made.
    #[error("no client for the vault could be made")]
    Client(#[from] reqwest::Error),
}

/// The transit engine as a keeper.
pub struct Vault {
    http: Client,
    settings: VaultSettings,
    base: Url,
    secrets: Arc<dyn SecretSource>,
}

#[derive(Serialize)]
struct Wrap<'a> {
    plaintext: &'a str,
}

#[derive(Serialize)]
struct Wrapped<'a> {
    ciphertext: &'a str,
}

#[derive(Deserialize)]
struct Told<T> {
    data: T,
}

#[derive(Deserialize)]
struct Ciphertext {
    ciphertext: String,
}

#[derive(Deserialize)]
struct Plaintext {
    plaintext: String,
}

#[derive(Default, Deserialize)]
struct Errors {
    #[serde(default)]
    errors: Vec<String>,
}

impl Vault {
    /// The keeper at this address. It is not asked anything yet.
    ///
    /// # Errors
    /// [`BadVault`].
    pub fn new(settings: VaultSettings, secrets: Arc<dyn SecretSource>) -> Result<Self, BadVault> {
        let base = safe_url(&settings.address).ok_or_else(|| BadVault::Address(settings.address.clone()))?;
        for name in [&settings.mount, &settings.key] {
            if !is_name(name) {
                return Err(BadVault::Name(name.clone()));
            }
        }
        let mut client = outgoing(CALL);
        if let Some(path) = &settings.ca {
            let bad = |why: String| BadVault::Ca { path: path.display().to_string(), why };
            let pem = std::fs::read(path).map_err(|error| bad(error.to_string()))?;
            let ca = reqwest::Certificate::from_pem(&pem).map_err(|error| bad(error.to_string()))?;
            client = client.tls_certs_only([ca]);
        }
        Ok(Self { http: client.build()?, settings, base, secrets })
    }

    async fn ask<T: serde::de::DeserializeOwned>(
        &self,
        what: &str,
        body: &impl Serialize,
    ) -> Result<T, KeeperError> {
        let silent = |why: String| KeeperError::Silent { keeper: NAME.into(), why };
        let refused = |why: String| KeeperError::Refused { keeper: NAME.into(), why };
        let token =
            self.secrets.resolve(&self.settings.token).map_err(|why| silent(format!("no token: {why}")))?;
        let path = format!("v1/{}/{what}/{}", self.settings.mount, self.settings.key);
        let mut url = self.base.clone();
        url.set_path(&format!("{}/{path}", self.base.path().trim_end_matches('/')));
        let body = Zeroizing::new(serde_json::to_vec(body).unwrap_or_default());
        let mut request = self.http.post(url).header("content-type", "application/json");
        let mut shown = reqwest::header::HeaderValue::from_str(token.trim())
            .map_err(|_| silent("its token is no token".into()))?;
        shown.set_sensitive(true);
        request = request.header("x-vault-token", shown).header("x-vault-request", "true");
        if let Some(namespace) = &self.settings.namespace {
            request = request.header("x-vault-namespace", namespace);
        }
        let answer = request.body(body.to_vec()).send().await.map_err(|error| silent(cause(&error)))?;
        let status = answer.status();
        let answer = read(answer).await.map_err(silent)?;
        if !status.is_success() {
            let told: Errors = serde_json::from_slice(&answer).unwrap_or_default();
            let told: String = told.errors.join("; ").chars().filter(|one| !one.is_control()).collect();
            let told: String = told.chars().take(WHY_BYTES_MAX).collect();
            return Err(match status {
                // Sealed, standing by, or out of order.
                status if status.is_server_error() => {
                    silent(format!("it answers {} {told}", status.as_u16()))
                }
                status => refused(format!("{} {told}", status.as_u16())),
            });
        }
        let told: Told<T> =
            serde_json::from_slice(&answer).map_err(|_| refused("its answer is none".into()))?;
        Ok(told.data)
    }

    fn text(wrapped: &[u8]) -> Result<&str, KeeperError> {
        std::str::from_utf8(wrapped).map_err(|_| KeeperError::Stranger(NAME.into()))
    }
}

impl Keeper for Vault {
    fn name(&self) -> String {
        NAME.to_owned()
    }

    fn wrap<'a>(&'a self, plain: &'a [u8]) -> KeeperAnswer<'a, Vec<u8>> {
        Box::pin(async move {
            let plaintext = Zeroizing::new(STANDARD.encode(plain));
            let told: Ciphertext = self.ask("encrypt", &Wrap { plaintext: &plaintext }).await?;
            Ok(told.ciphertext.into_bytes())
        })
    }

    fn unwrap<'a>(&'a self, wrapped: &'a [u8]) -> KeeperAnswer<'a, Unwrapped> {
        Box::pin(async move {
            let body = Wrapped { ciphertext: Self::text(wrapped)? };
            let told: Plaintext = self.ask("decrypt", &body).await?;
            let plain = STANDARD.decode(Zeroizing::new(told.plaintext).as_bytes());
            let plain = Zeroizing::new(plain.map_err(|_| KeeperError::Stranger(NAME.into()))?);
            // Which of its keys that was is its own business: it is asked to wrap anew when somebody says so.
            Ok(Unwrapped { plain, is_current: true })
        })
    }

    fn rewrap<'a>(&'a self, wrapped: &'a [u8]) -> KeeperAnswer<'a, Vec<u8>> {
        Box::pin(async move {
            let body = Wrapped { ciphertext: Self::text(wrapped)? };
            let told: Ciphertext = self.ask("rewrap", &body).await?;
            Ok(told.ciphertext.into_bytes())
        })
    }

    fn master(&self) -> Option<MasterKey> {
        None
    }
}

impl std::fmt::Debug for Vault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Vault").field("settings", &self.settings).finish_non_exhaustive()
    }
}

async fn read(mut answer: Response) -> Result<Zeroizing<Vec<u8>>, String> {
    // It never grows, so that no part of it is left behind where it was.
    let mut body = Zeroizing::new(Vec::with_capacity(ANSWER_BYTES_MAX));
    while let Some(chunk) = answer.chunk().await.map_err(|error| cause(&error))? {
        if body.len() + chunk.len() > ANSWER_BYTES_MAX {
            return Err(format!("its answer has more than {ANSWER_BYTES_MAX} bytes"));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

/// What went wrong, without the address and without what was sent.
fn cause(error: &reqwest::Error) -> String {
    let why = if error.is_timeout() { "it does not answer in time" } else { "it can't be reached" };
    let mut text = why.to_owned();
    let mut cause = std::error::Error::source(error);
    while let Some(next) = cause {
        text.push_str(": ");
        text.push_str(&next.to_string());
        cause = next.source();
    }
    text
}

/// Parts of a path, each of which is a plain word.
fn is_name(name: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    name.split('/')
        .all(|part| !part.is_empty() && part.bytes().all(is_plain) && !part.bytes().all(|byte| byte == b'.'))
}

#[cfg(test)]
mod tests;
