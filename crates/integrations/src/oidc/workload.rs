//! Identities of workloads: tokens that a CI system or a cluster issues to a job, which says with it who it is.
//!
//! The bundle names the issuers and says which of their workloads are which service; here it is checked that a token is an
//! issuer's word, meant for this gateway, and in time. The issuer's document and keys are fetched when they are first needed,
//! by its name in the bundle alone: nothing in a token leads anywhere.

use std::collections::BTreeMap;
use std::sync::Arc;

use countersign_core::{At, Span};
use countersign_engine::federation::{Answering, FederationError, WorkloadToken, Workloads};
use serde::Deserialize;
use serde_json::Value;
use tokio::sync::Mutex;
use url::Url;

use super::http::{Http, safe};
use super::keys::Keys;
use super::token;

/// How long an issuer's document is believed without asking again.
const DOCUMENT_GOOD_FOR: Span = Span::hours(1);

/// How often at most an issuer is asked that did not answer.
const AGAIN_AFTER: Span = Span::seconds(5);

/// How many issuers are remembered: those that a bundle names, and those that earlier ones did.
const ISSUERS_MAX: usize = 256;

/// How many claims of a token are told, and how long each may be, in bytes.
const CLAIMS_MAX: usize = 64;
const CLAIM_BYTES_MAX: usize = 1_024;

/// Whoever checks the tokens of workloads.
pub struct WorkloadIssuers {
    http: Http,
    kept: Mutex<BTreeMap<String, Arc<Mutex<Kept>>>>,
}

#[derive(Default)]
struct Kept {
    jwks_uri: Option<(At, Url)>,
    failed_at: Option<At>,
    keys: Option<Arc<Keys>>,
}

/// What is read of an issuer's document (OpenID Connect Discovery 1.0). An issuer of workloads has no more of it.
#[derive(Deserialize)]
struct Document {
    issuer: String,
    jwks_uri: String,
}

impl WorkloadIssuers {
    /// Nobody is asked anything yet.
    ///
    /// # Errors
    /// No calls can be made at all.
    pub fn new() -> Result<Self, reqwest::Error> {
        Ok(Self { http: Http::new()?, kept: Mutex::default() })
    }

    async fn keys(&self, issuer: &str, name: Option<&str>, now: At) -> Result<Arc<Keys>, String> {
        let kept = {
            let mut all = self.kept.lock().await;
            if all.len() >= ISSUERS_MAX && !all.contains_key(issuer) {
                all.clear();
            }
            Arc::clone(all.entry(issuer.to_owned()).or_default())
        };
        let mut kept = kept.lock().await;
        if let Some(keys) = kept.keys.as_ref().filter(|keys| !keys.is_due(name, now)) {
            return Ok(Arc::clone(keys));
        }
        if kept.failed_at.is_some_and(|at| now.since(at) < AGAIN_AFTER) {
            return Err("it did not answer just now".into());
        }
        match self.fetch(&mut kept, issuer, now).await {
            Ok(keys) => {
                (kept.keys, kept.failed_at) = (Some(Arc::clone(&keys)), None);
                Ok(keys)
            }
            Err(why) => {
                kept.failed_at = Some(now);
                Err(why)
            }
        }
    }

    async fn fetch(&self, kept: &mut Kept, issuer: &str, now: At) -> Result<Arc<Keys>, String> {
        let known = kept.jwks_uri.as_ref().filter(|(at, _)| now.since(*at) < DOCUMENT_GOOD_FOR);
        let at = match known {
            Some((_, url)) => url.clone(),
            None => {
                let url = self.document(issuer).await?;
                kept.jwks_uri = Some((now, url.clone()));
                url
            }
        };
        let body = self.http.get(&at).await?;
        Keys::read(&body, now).map(Arc::new).ok_or_else(|| format!("`{at}` is not a set of keys"))
    }

    /// Where the issuer's keys are.
    async fn document(&self, issuer: &str) -> Result<Url, String> {
        let at = format!("{}/.well-known/openid-configuration", issuer.trim_end_matches('/'));
        let url = safe(&at).ok_or_else(|| format!("`{at}` is not an https address"))?;
        let body = self.http.get(&url).await?;
        let found: Document =
            serde_json::from_slice(&body).map_err(|_| format!("`{url}` is not the document of an issuer"))?;
        if found.issuer != issuer {
            return Err(format!("it calls itself `{}`, the bundle calls it `{issuer}`", found.issuer));
        }
        safe(&found.jwks_uri).ok_or_else(|| "the address of its keys is not one of https".into())
    }
}

impl Workloads for WorkloadIssuers {
    fn issuer_claimed(&self, token: &str) -> Option<String> {
        token::issuer_claimed(token)
    }

    fn verify<'a>(
        &'a self,
        (issuer, audience): (&'a str, &'a str),
        token: &'a str,
        now: At,
    ) -> Answering<'a, WorkloadToken> {
        Box::pin(async move {
            let refused = |bad: token::BadToken| FederationError::Refused(format!("its token: {bad}"));
            let name = token::key_named(token).map_err(refused)?;
            let keys = self.keys(issuer, name.as_deref(), now).await.map_err(FederationError::Unavailable)?;
            let expected = token::Expected { issuer, client_id: audience, now };
            let checked = token::workload_token(token, &keys, expected).map_err(refused)?;
            let claims = checked.claims.iter().filter_map(|(name, value)| {
                let text = match value {
                    Value::String(text) => text.clone(),
                    Value::Number(_) | Value::Bool(_) => value.to_string(),
                    _ => return None,
                };
                (text.len() <= CLAIM_BYTES_MAX).then(|| (name.clone(), text))
            });
            Ok(WorkloadToken {
                subject: checked.subject,
                claims: claims.take(CLAIMS_MAX).collect(),
                id: checked.id,
                until: checked.until,
            })
        })
    }
}

impl std::fmt::Debug for WorkloadIssuers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("WorkloadIssuers")
    }
}
