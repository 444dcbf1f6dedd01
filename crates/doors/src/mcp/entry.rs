//! Letting clients in: who is it, for which resource, in which session.
//!
//! A credential opens a session, as a connection is opened with a password; whoever speaks in the session shows the same
//! one. It may run out meanwhile: what a session stands on is its grant. A client that somebody let in (OAuth 2.1) shows a bearer
//! token that counts now, in each call; its next ones belong to the same session, which ends when it is let in no more.

use std::sync::Arc;

use axum::http::{HeaderMap, header};
use countersign_core::catalogue::Resource;
use countersign_core::session::Ending;
use countersign_core::{PrincipalId, ResourceId, RoleId};
use countersign_engine as engine;
use countersign_engine::{Bearer, Refused, RefusedCode, SessionRefused};
use countersign_wire::mask::Detectors;
use countersign_wire::mask::detect::Detector;
use sha2::{Digest as _, Sha256};
use tokio::task::JoinHandle;

use super::desk::{Desk, Onward, Why};
use super::line::Line;
use super::session::Session;
use super::upstream::Upstream;
use super::{Entered, KIND, Peer, Shared, events};

/// What stands between the name and the password in a bearer token.
const BETWEEN: char = '~';
/// The longest bearer token that is looked at, in bytes.
const TOKEN_BYTES_MAX: usize = 512;
/// How much of what a client calls itself is kept, in bytes.
const AGENT_BYTES_MAX: usize = 256;

/// A credential, as a client shows it.
pub(crate) struct Shown<'a> {
    token: &'a str,
}

/// By what the calls of a session are known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Proved {
    /// By the credential that it was opened with: its hash.
    Credential([u8; 32]),
    /// By the sign-in of a client that somebody let in.
    Client(Bearer),
}

/// What a client says of the session that it wants.
#[derive(Debug, Default, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Wanted {
    /// In which role.
    pub(crate) role: Option<String>,
    /// Why.
    pub(crate) purpose: Option<String>,
    /// The ticket it belongs to.
    pub(crate) ticket: Option<String>,
}

/// Why a client is not let in.
#[derive(Debug)]
pub(crate) enum NoEntry {
    /// It has not proved who it is.
    Unproved,
    /// The engine says no.
    Refused(Refused),
    /// It was let in for another role.
    OtherRole(RoleId),
    /// The server can't be had; the operator's log says why.
    NoServer,
    /// There are too many sessions.
    Full,
}

impl<'a> Shown<'a> {
    /// The credential in a call's headers.
    pub(crate) fn of(headers: &'a HeaderMap) -> Option<Self> {
        let mut values = headers.get_all(header::AUTHORIZATION).iter();
        let (Some(value), None) = (values.next(), values.next()) else { return None };
        let (scheme, token) = value.to_str().ok()?.split_once(' ')?;
        let token = token.trim();
        let is_one =
            scheme.eq_ignore_ascii_case("bearer") && !token.is_empty() && token.len() <= TOKEN_BYTES_MAX;
        is_one.then_some(Self { token })
    }

    /// Its hash, by which the calls of a session are known.
    pub(crate) fn hash(&self) -> [u8; 32] {
        Sha256::digest(self.token.as_bytes()).into()
    }

    /// The client whose bearer token this is, at this resource. None if it is a credential, which has two parts.
    pub(crate) fn client(&self, shared: &Shared, resource: &str) -> Option<Bearer> {
        let resource = resource.parse().ok().filter(|_| self.parts().is_none())?;
        shared.engine.bearer(&resource, self.token)
    }

    /// Whether it is a credential: a name and a password.
    pub(crate) fn is_credential(&self) -> bool {
        self.parts().is_some()
    }

    fn parts(&self) -> Option<(&str, &str)> {
        self.token.rsplit_once(BETWEEN)
    }
}

impl Proved {
    /// Whether a call that shows this belongs to the session; `client` is whose bearer token it is.
    pub(crate) fn is_shown_by(&self, shown: &Shown<'_>, client: Option<&Bearer>) -> bool {
        match self {
            Self::Credential(hash) => *hash == shown.hash(),
            Self::Client(own) => client.is_some_and(|client| client.sign_in == own.sign_in),
        }
    }
}

/// The resource of this name, if it is one of this door's.
pub(crate) fn resource(shared: &Shared, name: &str) -> Option<(ResourceId, Resource)> {
    let id: ResourceId = name.parse().ok()?;
    let snapshot = shared.engine.snapshot();
    let found = snapshot.book.catalogue.resources.get(&id)?.clone();
    let is_served = found.kind == KIND || shared.engine.is_entered_from_inside(&found.kind);
    is_served.then_some((id, found))
}

/// Who a client is.
pub(crate) fn client(shared: &Shared, headers: &HeaderMap, peer: Peer) -> engine::Client {
    let agent = headers.get(header::USER_AGENT).and_then(|agent| agent.to_str().ok()).unwrap_or_default();
    let application = agent.chars().take(AGENT_BYTES_MAX).collect();
    let tls = shared.settings.public_url.starts_with("https:");
    engine::Client { address: peer.0, application, tls, proved: None }
}

/// Opens a session.
pub(crate) async fn open(
    shared: &Arc<Shared>,
    name: &str,
    (shown, mut client): (&Shown<'_>, engine::Client),
    wanted: Wanted,
) -> Result<Entered, NoEntry> {
    let found = resource(shared, name);
    let proved = prove(shared, found.as_ref().map(|(id, _)| id), shown).await;
    let (Some((principal, proved, signed_in)), Some((id, described))) = (proved, found) else {
        let user = shown.parts().map(|(user, _)| user.to_owned()).unwrap_or_default();
        let resource = resource(shared, name).map(|(id, _)| id);
        let why = "the credential is wrong, over, or for another resource".to_owned();
        shared.engine.refused(SessionRefused { resource, user, client, why }).await;
        return Err(NoEntry::Unproved);
    };
    let role = wanted.role.map(|role| role.parse::<RoleId>()).transpose().map_err(|error| {
        NoEntry::Refused(Refused::new(RefusedCode::Invalid, error.to_string()).hint("name a role, or none"))
    })?;
    let role = match &proved {
        Proved::Client(Bearer { role: Some(own), .. }) => match role {
            Some(other) if other != *own => return Err(NoEntry::OtherRole(other)),
            _ => Some(own.clone()),
        },
        Proved::Client(_) | Proved::Credential(_) => role,
    };
    client.proved = signed_in;
    let line = Arc::new(Line::new(Arc::clone(shared), proved, (principal.clone(), id.clone())));
    if described.kind != KIND {
        let why = Why { role, purpose: wanted.purpose, ticket: wanted.ticket };
        return sit(shared, line, (described.title, client), why).await;
    }
    let (purpose, ticket) = (wanted.purpose.clone(), wanted.ticket.clone());
    let opened =
        shared.engine.open_session(principal, id, role.clone(), KIND, client.clone(), purpose, ticket);
    match opened.await {
        Ok(engine) => begin(shared, &described, engine, line).await,
        Err(refused) if refused.code == RefusedCode::NoGrant => {
            let why = Why { role, purpose: wanted.purpose, ticket: wanted.ticket };
            let title = described.title.clone();
            let desk = Desk::before_server(line, (title, client), why, Onward::new(described));
            keep_desk(shared, desk)
        }
        Err(refused) => Err(NoEntry::Refused(refused)),
    }
}

/// A client's session before its server, and what takes all that comes from there.
///
/// # Errors
/// There is no server; the engine's session is closed.
pub(crate) async fn before(
    line: Arc<Line>,
    described: &Resource,
    engine: engine::Session,
) -> Result<(Arc<Session>, JoinHandle<()>), NoEntry> {
    let shared = Arc::clone(&line.shared);
    let (upstream, from) = match Upstream::open(&shared, (&line.resource, described), engine.account()) {
        Ok(opened) => opened,
        Err(error) => {
            tracing::error!(resource = %line.resource, error = %chain(&error), "there is no server");
            shared.engine.close_session(&engine, Ending::Upstream).await;
            return Err(NoEntry::NoServer);
        }
    };
    let detect = described.settings.get("masking_detect").map(String::as_str).unwrap_or_default();
    let detectors: Detectors = detect.split(',').filter_map(Detector::named).collect();
    let session = Arc::new(Session::new(line, engine, (upstream, detectors)));
    let taking = tokio::spawn(events::take(Arc::clone(&session), from));
    Ok((session, taking))
}

async fn begin(
    shared: &Arc<Shared>,
    described: &Resource,
    engine: engine::Session,
    line: Arc<Line>,
) -> Result<Entered, NoEntry> {
    let (session, taking) = before(line, described, engine).await?;
    if !shared.keep(Entered::Session(Arc::clone(&session))) {
        taking.abort();
        session.upstream.close().await;
        shared.engine.close_session(&session.engine, Ending::Limit).await;
        return Err(NoEntry::Full);
    }
    shared.tasks.spawn(Arc::clone(&session).keep());
    Ok(Entered::Session(session))
}

/// A place at the desk before a database.
async fn sit(
    shared: &Arc<Shared>,
    line: Arc<Line>,
    (title, client): (String, engine::Client),
    why: Why,
) -> Result<Entered, NoEntry> {
    keep_desk(shared, Desk::open(line, title, client, why).await.map_err(NoEntry::Refused)?)
}

fn keep_desk(shared: &Shared, desk: Arc<Desk>) -> Result<Entered, NoEntry> {
    shared.tasks.spawn(Arc::clone(&desk).keep());
    let entered = Entered::Desk(desk);
    if shared.keep(entered.clone()) {
        return Ok(entered);
    }
    entered.line().end(Ending::Limit);
    Err(NoEntry::Full)
}

/// Whose credential it is, and what they proved when they signed in. An unknown resource takes as much work as one that is known.
async fn prove(
    shared: &Shared,
    resource: Option<&ResourceId>,
    shown: &Shown<'_>,
) -> Option<(PrincipalId, Proved, Option<engine::Proved>)> {
    let Some((user, password)) = shown.parts() else {
        let client = shared.engine.bearer(resource?, shown.token)?;
        return Some((client.principal.clone(), Proved::Client(client.clone()), client.proved));
    };
    let proved = Proved::Credential(shown.hash());
    let resource = resource.cloned().unwrap_or_else(|| ResourceId::new("-"));
    let _place = shared.proofs.acquire().await.ok()?;
    let (engine, user, password) =
        (shared.engine.clone(), user.to_owned(), zeroize::Zeroizing::new(password.to_owned()));
    let work = tokio::task::spawn_blocking(move || {
        let key = engine.credential_of(&resource, &user, &password)?;
        Some((user.parse().ok()?, key.proved))
    });
    work.await.ok().flatten().map(|(principal, signed_in)| (principal, proved, signed_in))
}

/// An error with its causes.
fn chain(error: &dyn std::error::Error) -> String {
    let mut words = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        words.push_str(": ");
        words.push_str(&cause.to_string());
        next = cause.source();
    }
    words
}
