//! A SCIM 2.0 server (RFC 7643, RFC 7644): a directory's provisioning client says here who its people are.
//!
//! Who calls is proved by a token of the gateway's configuration. It belongs to one directory and may provision that one
//! directory: it is no sign-in, none of the API's endpoints knows it, and nothing here approves, mints or governs.
//!
//! What a client says of an account becomes what the directory says of a principal; the engine decides what follows.
//! When a call returns, it has followed: access that ends has ended.

mod answer;
mod desk;
mod discovery;
mod error;
mod filter;
mod patch;
mod records;
mod routes;
mod schema;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::{HeaderMap, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse as _, Response};
use countersign_core::DirectoryName;
use countersign_core::action::hash;
use countersign_engine::ports::SecretSource;
use countersign_engine::{Engine, Entropy};

use crate::serve::Peer;
use crate::throttle::Tries;
use desk::Desk;
use error::{Error, Why};

/// Where it is.
pub const PREFIX: &str = "/scim/v2";

/// How large a body may be: a group with all its members.
const BODY_BYTES_MAX: usize = 2 * 1024 * 1024;

/// How long a call may take.
const CALL_MS_MAX: u64 = 60_000;

/// The shortest token that is taken, in bytes: 128 bits in base 64 are 22.
const TOKEN_BYTES_MIN: usize = 22;

/// How long after a failed repetition it is tried again.
const REPEAT_AGAIN: countersign_core::Span = countersign_core::Span::seconds(5);

/// What differs between installations.
#[derive(Clone)]
pub struct ScimSettings {
    /// Where the console is: scheme, host and port, no path.
    pub public_url: String,
    /// Who may provision.
    pub clients: Vec<ScimClient>,
    /// Where tokens are.
    pub secrets: Arc<dyn SecretSource>,
    /// Unpredictable identifiers.
    pub entropy: Arc<dyn Entropy>,
}

/// A provisioning client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScimClient {
    /// The directory whose word it is.
    pub directory: DirectoryName,
    /// References to its tokens: `file:PATH` or `env:NAME`. Two, while one takes the place of the other.
    pub tokens: Vec<String>,
}

/// The server.
#[derive(Clone)]
pub struct Scim {
    shared: Shared,
}

/// What handlers share.
#[derive(Clone)]
pub(crate) struct Shared {
    engine: Engine,
    base: Arc<str>,
    clients: Arc<[(ScimClient, Desk)]>,
    secrets: Arc<dyn SecretSource>,
    tries: Arc<Tries>,
}

impl std::fmt::Debug for Scim {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Scim")
    }
}

impl Scim {
    /// A server for these clients.
    #[must_use]
    pub fn new(engine: Engine, settings: ScimSettings) -> Self {
        let clients = settings.clients.into_iter().map(|client| {
            let desk = Desk::new(engine.clone(), Arc::clone(&settings.entropy), client.directory.clone());
            (client, desk)
        });
        let base = format!("{}{PREFIX}", settings.public_url.trim_end_matches('/'));
        let (clients, secrets, tries) = (clients.collect(), settings.secrets, Arc::default());
        Self { shared: Shared { engine, base: base.into(), clients, secrets, tries } }
    }

    /// The router, to be merged with that of the portal.
    pub fn router(&self) -> Router {
        let endpoints = routes::router()
            .merge(discovery::router())
            .route("/Me", axum::routing::any(not_here))
            .route("/Bulk", axum::routing::any(not_here))
            .fallback(nothing);
        let endpoints = endpoints
            .layer(middleware::from_fn_with_state(self.shared.clone(), guard))
            .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
            .layer(middleware::from_fn(in_time))
            .method_not_allowed_fallback(no_such_method)
            .with_state(self.shared.clone());
        Router::new().nest(PREFIX, endpoints)
    }

    /// Has every directory say everything anew when another bundle is in force, and once at the start. Ends with the
    /// engine.
    pub async fn follow(&self) {
        let mut changed = self.shared.engine.changed();
        let mut seen = None;
        loop {
            let bundle = self.shared.engine.snapshot().book.in_force.as_ref().map(|had| had.bundle);
            if bundle.is_some() && bundle != seen {
                seen = if self.repeat().await { bundle } else { None };
            }
            if seen == bundle {
                if changed.changed().await.is_err() {
                    return;
                }
            } else {
                let millis = u64::try_from(REPEAT_AGAIN.millis()).unwrap_or(1_000);
                tokio::time::sleep(Duration::from_millis(millis)).await;
            }
        }
    }

    /// Whether all that are named could say everything anew.
    async fn repeat(&self) -> bool {
        let mut went_well = true;
        let snapshot = self.shared.engine.snapshot();
        for (client, desk) in self.shared.clients.iter() {
            if !snapshot.book.catalogue.directories.contains_key(&client.directory) {
                continue;
            }
            if let Err(error) = desk.repeat().await {
                tracing::warn!(directory = %client.directory, why = error.detail, "its accounts could not be said anew");
                went_well = false;
            }
        }
        went_well
    }
}

/// Finds out who calls. A wrong token is told from none by nothing, and wrong ones are rationed.
async fn guard(State(shared): State<Shared>, mut call: Request, next: Next) -> Response {
    let source = call.extensions().get::<Peer>().map(|peer| peer.0.ip());
    match shared.admit(call.headers(), source).await {
        Ok(desk) => {
            call.extensions_mut().insert(desk);
            next.run(call).await
        }
        Err(error) => error.into_response(),
    }
}

impl Shared {
    async fn admit(&self, headers: &HeaderMap, source: Option<IpAddr>) -> Result<Desk, Error> {
        if let Err(seconds) = self.tries.take(source, self.engine.now()) {
            return Err(Error::new(Why::Throttled(seconds), "too many calls without a token that stands"));
        }
        let unknown = || Error::new(Why::Unauthenticated, "a token of a provisioning client is needed");
        let token = bearer(headers).ok_or_else(unknown)?;
        let desk = self.holder(token).ok_or_else(unknown)?;
        self.tries.give_back(source);
        let directory = desk.directory();
        if !self.engine.snapshot().book.catalogue.directories.contains_key(directory) {
            let message = format!("the bundle names no directory `{directory}`");
            return Err(Error::new(Why::Unavailable, message));
        }
        self.engine.directory_heard(directory).await?;
        Ok(desk.clone())
    }

    /// Whose token this is. Every one is compared, and by its hash, so that nothing is learnt from how long it takes.
    fn holder(&self, token: &str) -> Option<&Desk> {
        let presented = hash(&[b"countersign/scim-token/v1\n", token.as_bytes()]);
        let mut holder = None;
        for (client, desk) in self.clients.iter() {
            for reference in &client.tokens {
                let kept = match self.secrets.resolve(reference) {
                    Ok(kept) => kept,
                    Err(why) => {
                        tracing::error!(directory = %client.directory, why, "a provisioning token can't be had");
                        continue;
                    }
                };
                let kept = kept.trim();
                if kept.len() < TOKEN_BYTES_MIN {
                    tracing::error!(directory = %client.directory, "a provisioning token is too short to be taken");
                    continue;
                }
                if hash(&[b"countersign/scim-token/v1\n", kept.as_bytes()]) == presented {
                    holder = Some(desk);
                }
            }
        }
        holder
    }
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let mut lines = headers.get_all(header::AUTHORIZATION).iter();
    let (scheme, token) = lines.next()?.to_str().ok()?.split_once(' ')?;
    (lines.next().is_none() && scheme.eq_ignore_ascii_case("bearer")).then_some(token.trim())
}

async fn nothing() -> Error {
    Error::new(Why::NotFound, "there is no such endpoint")
}

async fn not_here() -> Error {
    Error::new(Why::NotImplemented, "this server does not do this; /ServiceProviderConfig says what it does")
}

async fn no_such_method() -> Error {
    Error::new(Why::Method, "this endpoint knows other methods")
}

async fn in_time(call: Request, next: Next) -> Response {
    match tokio::time::timeout(Duration::from_millis(CALL_MS_MAX), next.run(call)).await {
        Ok(response) => response,
        Err(_) => Error::new(Why::Unavailable, "the call took too long and was given up").into_response(),
    }
}
