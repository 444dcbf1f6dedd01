//! The command line's side of the HTTP API.

use std::sync::Arc;

use anyhow::{Context as _, Result, anyhow, bail};
use reqwest::{Method, StatusCode};
use serde::Deserialize;
use serde_json::Value;

use crate::cli::Cli;
use crate::home::Home;
use crate::prover::Prover;

/// A gateway, and who we are to it.
#[derive(Clone, Debug)]
pub struct Client {
    http: reqwest::Client,
    url: String,
    token: Option<String>,
    /// A key that is shown with each call.
    prover: Option<Arc<Prover>>,
}

/// A problem as the API tells it (RFC 9457).
#[derive(Clone, Debug, Deserialize)]
pub struct Problem {
    /// In a few words.
    #[serde(default)]
    pub title: String,
    /// In full.
    #[serde(default)]
    pub detail: Option<String>,
    /// What to do next.
    #[serde(default)]
    pub hint: Option<String>,
}

/// The gateway refused, in its own words.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct Refused {
    /// What it said.
    pub message: String,
    /// What to do next.
    pub hint: Option<String>,
    /// HTTP status.
    pub status: u16,
}

/// The gateway could not be reached.
#[derive(Debug, thiserror::Error)]
#[error("no answer from the gateway at `{0}`")]
pub struct Unreachable(pub String);

impl Client {
    /// The gateway of the options, the environment or the kept sign-in, in this order.
    ///
    /// # Errors
    /// No gateway is known.
    pub fn new(cli: &Cli, home: &Home) -> Result<Self> {
        let kept = home.sign_in();
        let named = cli.url.clone().filter(|url| !url.is_empty());
        let url = named.or_else(|| kept.as_ref().map(|kept| kept.url.clone())).context(
            "no gateway is known; name one with --url or COUNTERSIGN_URL, or run `countersign login`",
        )?;
        let url = url.trim_end_matches('/').to_owned();
        let token = cli.token.clone().or_else(|| kept.filter(|kept| kept.url == url).map(|kept| kept.token));
        Self::at(&url, token)
    }

    /// The gateway at `url`.
    ///
    /// # Errors
    /// The address is not one of HTTP.
    pub fn at(url: &str, token: Option<String>) -> Result<Self> {
        let parsed =
            url::Url::parse(url).with_context(|| format!("`{url}` is not an address of a gateway"))?;
        if !matches!(parsed.scheme(), "http" | "https") {
            bail!("`{url}` is not an address of a gateway; it starts with http:// or https://");
        }
        let http = reqwest::Client::builder()
            .user_agent(concat!("countersign/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(std::time::Duration::from_secs(10))
            .redirect(reqwest::redirect::Policy::none())
            .build()?;
        Ok(Self { http, url: url.trim_end_matches('/').to_owned(), token, prover: None })
    }

    /// The same, and showing with each call to have a key of its own.
    ///
    /// # Errors
    /// The system has no randomness.
    pub fn proving(self) -> Result<Self> {
        Ok(Self { prover: Some(Arc::new(Prover::new()?)), ..self })
    }

    /// The same, with a token.
    #[must_use]
    pub fn with_token(self, token: &str) -> Self {
        Self { token: Some(token.to_owned()), ..self }
    }

    /// The gateway's address.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Reads.
    ///
    /// # Errors
    /// [`Refused`] or [`Unreachable`].
    pub async fn get(&self, path: &str) -> Result<Value> {
        self.call(Method::GET, path, None).await
    }

    /// Does.
    ///
    /// # Errors
    /// [`Refused`] or [`Unreachable`].
    pub async fn post(&self, path: &str, body: Value) -> Result<Value> {
        self.call(Method::POST, path, Some(body)).await
    }

    /// Reads bytes; `None` if there is no such thing.
    ///
    /// # Errors
    /// [`Refused`] or [`Unreachable`].
    pub async fn bytes(&self, path: &str) -> Result<Option<Vec<u8>>> {
        let answer = self.send(Method::GET, path, None).await?;
        if answer.status() == StatusCode::NOT_FOUND {
            return Ok(None);
        }
        let answer = refuse_errors(answer).await?;
        Ok(Some(answer.bytes().await.map_err(|_| Unreachable(self.url.clone()))?.to_vec()))
    }

    /// Reads something large, as it comes.
    ///
    /// # Errors
    /// [`Refused`] or [`Unreachable`].
    pub async fn stream(&self, path: &str) -> Result<reqwest::Response> {
        refuse_errors(self.send(Method::GET, path, None).await?).await
    }

    /// Follows the live changes; each line of the stream as it comes.
    ///
    /// # Errors
    /// [`Refused`] or [`Unreachable`].
    pub async fn follow(&self) -> Result<reqwest::Response> {
        self.stream("/events").await
    }

    async fn call(&self, method: Method, path: &str, body: Option<Value>) -> Result<Value> {
        let answer = refuse_errors(self.send(method, path, body).await?).await?;
        if answer.status() == StatusCode::NO_CONTENT {
            return Ok(Value::Null);
        }
        let bytes = answer.bytes().await.map_err(|_| Unreachable(self.url.clone()))?;
        if bytes.is_empty() {
            return Ok(Value::Null);
        }
        serde_json::from_slice(&bytes).with_context(|| {
            format!("`{}` answered with something that is not ours; is it a gateway?", self.url)
        })
    }

    async fn send(&self, method: Method, path: &str, body: Option<Value>) -> Result<reqwest::Response> {
        let url = format!("{}/api/v1{path}", self.url);
        let mut request = self.http.request(method.clone(), &url);
        if let Some(prover) = &self.prover {
            request = request.header("dpop", prover.proof(method.as_str(), &url, self.token.as_deref())?);
        }
        match (&self.token, &self.prover) {
            (Some(token), None) => request = request.bearer_auth(token),
            (Some(token), Some(_)) => request = request.header("authorization", format!("DPoP {token}")),
            (None, _) => {}
        }
        if let Some(body) = body {
            request = request.json(&body);
        }
        request.send().await.map_err(|error| anyhow!(error).context(Unreachable(self.url.clone())))
    }
}

async fn refuse_errors(answer: reqwest::Response) -> Result<reqwest::Response> {
    let status = answer.status();
    if status.is_success() {
        return Ok(answer);
    }
    let problem = answer.json::<Problem>().await.unwrap_or_else(|_| Problem {
        title: status.canonical_reason().unwrap_or("error").to_lowercase(),
        detail: None,
        hint: None,
    });
    let hint = problem.hint.or_else(|| {
        (status == StatusCode::UNAUTHORIZED)
            .then(|| "sign in with `countersign login --user NAME`".to_owned())
    });
    Err(Refused { message: problem.detail.unwrap_or(problem.title), hint, status: status.as_u16() }.into())
}
