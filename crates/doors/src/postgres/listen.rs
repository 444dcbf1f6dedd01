//! Taking connections in: from the first byte to a session, or to the sentence that says why not.
//!
//! Everything up to the proof of a credential is under one deadline and small limits. Clear text is for clients on this machine;
//! a cancel request is taken from anywhere, because clients send it in clear.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Buf;
use countersign_core::catalogue::Resource;
use countersign_core::session::Ending;
use countersign_core::{PrincipalId, ResourceId};
use countersign_engine as engine;
use countersign_engine::{CompletionResult, SessionRefused};
use countersign_wire::postgres::encode::{Report, Severity, server as to_client};
use countersign_wire::postgres::scram::{ServerBinding, StoredKey, Verifiers};
use countersign_wire::postgres::startup::{Opening, ProtocolVersion, StartupMessage, TLS_HANDSHAKE};
use countersign_wire::postgres::{Malformed, TransactionStatus};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, oneshot};
use tokio_util::task::TaskTracker;

use super::asking::{self, NoGrant};
use super::auth::{self, AuthError};
use super::cancel::Registered;
use super::session::{Parts, Session};
use super::startup::{self, Wish};
use super::state::Known;
use super::stream::{self, Link, Stream};
use super::target::{Target, cause};
use super::upstream::{self, ConnectError, Connected, Credentials, Login};
use super::{KIND, Shared, powers, reading, settings, tls, trying, wording, workbench};

/// How many requests for encryption a client may make before it starts: one of each kind.
const ENCRYPTION_REQUESTS_MAX: u32 = 2;
/// How long sessions may take to end when the door closes, in seconds.
const CLOSING_S_MAX: u64 = 15;
/// How long to wait when no connection can be accepted (out of file descriptors), in milliseconds.
const ACCEPT_AGAIN_MS: u64 = 100;

/// Accepts connections until `shutdown`.
pub(super) async fn run(
    listener: TcpListener,
    shared: Arc<Shared>,
    shutdown: impl Future<Output = ()> + Send,
) {
    let places = Arc::new(Semaphore::new(shared.settings.connections_max));
    let sessions = TaskTracker::new();
    let mut shutdown = std::pin::pin!(shutdown);
    sessions.spawn(powers::keep(Arc::clone(&shared)));
    sessions.spawn(reading::keep(Arc::clone(&shared)));
    sessions.spawn(trying::keep(Arc::clone(&shared)));
    sessions.spawn(workbench::keep(Arc::clone(&shared), Arc::clone(&places), sessions.clone()));
    loop {
        let accepted = tokio::select! {
            () = &mut shutdown => break,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((socket, peer)) => {
                let Ok(place) = Arc::clone(&places).try_acquire_owned() else {
                    // Too many: closed without a word, which costs nothing that could run out.
                    tracing::warn!(%peer, "a connection was turned away: too many");
                    continue;
                };
                let shared = Arc::clone(&shared);
                sessions.spawn(async move {
                    serve(socket, peer, shared).await;
                    drop(place);
                });
            }
            Err(error) => {
                tracing::warn!(error = %error, "no connection could be accepted");
                tokio::time::sleep(Duration::from_millis(ACCEPT_AGAIN_MS)).await;
            }
        }
    }
    drop(listener);
    shared.stopping.cancel();
    sessions.close();
    if tokio::time::timeout(Duration::from_secs(CLOSING_S_MAX), sessions.wait()).await.is_err() {
        tracing::warn!("some sessions did not end in time");
    }
}

async fn serve(socket: TcpStream, peer: SocketAddr, shared: Arc<Shared>) {
    let limit = Duration::from_secs(shared.settings.startup_s_max);
    let arriving = Box::pin(arrive(socket, peer, &shared));
    match tokio::time::timeout(limit, arriving).await {
        Ok(Ok(Some(arrived))) => Box::pin(enter(arrived, shared)).await,
        Ok(Ok(None)) => {}
        Ok(Err(error)) => {
            tracing::debug!(%peer, error = %error, "a connection ended before it was a session")
        }
        Err(_) => tracing::debug!(%peer, "a client took too long to start"),
    }
}

/// A client that has proved who it is.
pub(super) struct Arrived {
    pub(super) link: Link,
    pub(super) wish: Wish,
    pub(super) version: ProtocolVersion,
    pub(super) principal: PrincipalId,
    pub(super) resource: ResourceId,
    pub(super) described: Resource,
    pub(super) client: engine::Client,
    /// Who wants to know of the session, beside the client.
    pub(super) entered: Option<oneshot::Sender<engine::Session>>,
}

/// Why there is no session. The client has been told what it may know.
#[derive(Debug, thiserror::Error)]
enum NoEntry {
    #[error("the connection failed")]
    Io(#[from] std::io::Error),
    #[error("the client's packet is malformed")]
    Malformed(#[from] Malformed),
    #[error("the client sent more in clear after asking for encryption")]
    Smuggled,
    #[error("the client asked for encryption again and again")]
    Insistent,
    #[error("the client started TLS for another protocol")]
    OtherProtocol,
}

/// From the first byte to the proof. `None`: there was nothing to serve, or it was refused.
async fn arrive(socket: TcpStream, peer: SocketAddr, shared: &Shared) -> Result<Option<Arrived>, NoEntry> {
    stream::prepare(&socket)?;
    let mut first = [0];
    if socket.peek(&mut first).await? == 0 {
        return Ok(None);
    }
    let mut link = match (first, &shared.tls) {
        ([TLS_HANDSHAKE], Some(_)) => direct_tls(socket, shared).await?,
        _ => Link::new(Stream::Plain(socket)),
    };
    for _ in 0..=ENCRYPTION_REQUESTS_MAX {
        link.read_at_most(shared.settings.read_bytes_max);
        let step = match open(&mut link).await {
            Ok(step) => step,
            Err(NoEntry::Malformed(malformed)) => {
                farewell(&mut link, &wording::fatal(malformed.sqlstate(), malformed.to_string())).await;
                return Err(malformed.into());
            }
            Err(error) => return Err(error),
        };
        match step {
            Step::Gone => return Ok(None),
            Step::Cancel { process, key } => {
                shared.cancels.cancel(process, &key, peer.ip(), shared.engine.now());
                // Its client waits for the end of the connection, inside TLS for TLS's own.
                goodbye(&mut link).await;
                return Ok(None);
            }
            Step::Ssl if !link.is_tls() && shared.tls.is_some() => {
                link = accept_tls(link, shared, true).await?
            }
            Step::Ssl | Step::Gss => {
                link.output.extend_from_slice(&[to_client::ENCRYPTION_REFUSED]);
                link.drain().await?;
            }
            Step::Start { version, wish, unknown } => {
                return Box::pin(prove(link, peer, shared, (version, *wish, unknown))).await;
            }
        }
    }
    Err(NoEntry::Insistent)
}

async fn direct_tls(socket: TcpStream, shared: &Shared) -> Result<Link, NoEntry> {
    let link = accept_tls(Link::new(Stream::Plain(socket)), shared, false).await?;
    // Without the protocol's name this could be another protocol's client, made to talk to us.
    match link.alpn() {
        Some(name) if name == tls::ALPN => Ok(link),
        _ => Err(NoEntry::OtherProtocol),
    }
}

/// Goes over to TLS, saying so first if the client has asked.
async fn accept_tls(link: Link, shared: &Shared, asked: bool) -> Result<Link, NoEntry> {
    let Some(tls) = &shared.tls else { return Ok(link) };
    let (stream, input) = link.into_parts();
    let Stream::Plain(mut socket) = stream else { return Err(NoEntry::Insistent) };
    // Whatever came in clear behind the request would be taken for something said inside TLS.
    if !input.is_empty() {
        return Err(NoEntry::Smuggled);
    }
    if asked {
        tokio::io::AsyncWriteExt::write_all(&mut socket, &[to_client::ENCRYPTION_SSL]).await?;
    }
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::clone(&tls.config));
    Ok(Link::new(Stream::Server(Box::new(acceptor.accept(socket).await?))))
}

/// What a client begins with.
enum Step {
    Gone,
    Ssl,
    Gss,
    Cancel { process: u32, key: Vec<u8> },
    Start { version: ProtocolVersion, wish: Box<Result<Wish, startup::BadWish>>, unknown: Vec<Vec<u8>> },
}

async fn open(link: &mut Link) -> Result<Step, NoEntry> {
    loop {
        if let Some((opening, used)) = Opening::decode(&link.input)? {
            let step = match opening {
                Opening::Ssl => Step::Ssl,
                Opening::Gss => Step::Gss,
                Opening::Cancel(request) => {
                    Step::Cancel { process: request.process, key: request.key.to_vec() }
                }
                Opening::Startup(startup) => start(&startup),
            };
            link.input.advance(used);
            return Ok(step);
        }
        if link.fill().await? == 0 {
            return Ok(Step::Gone);
        }
    }
}

fn start(startup: &StartupMessage<'_>) -> Step {
    Step::Start {
        version: startup.version,
        wish: Box::new(startup::read(startup)),
        unknown: startup.protocol_parameters().map(<[u8]>::to_vec).collect(),
    }
}

async fn prove(
    mut link: Link,
    peer: SocketAddr,
    shared: &Shared,
    (version, wish, unknown): (ProtocolVersion, Result<Wish, startup::BadWish>, Vec<Vec<u8>>),
) -> Result<Option<Arrived>, NoEntry> {
    let wish = match wish {
        Ok(wish) => wish,
        Err(bad) => {
            farewell(&mut link, &wording::fatal(bad.sqlstate(), bad.to_string())).await;
            return Ok(None);
        }
    };
    if !is_private(link.is_tls(), peer) {
        let report = wording::fatal(wording::NO_ACCESS, "this door is entered with TLS only")
            .hint("connect with sslmode=require");
        farewell(&mut link, &report).await;
        return Ok(None);
    }
    if version > ProtocolVersion::V3_2 || !unknown.is_empty() {
        let newest = version.min(ProtocolVersion::V3_2);
        let _ = to_client::negotiate_protocol_version(
            &mut link.output,
            newest,
            unknown.iter().map(Vec::as_slice),
        );
    }
    let (application, tls) = (wish.application.clone(), link.is_tls());
    let mut client = engine::Client { address: peer, application, tls, proved: None };
    let found = resource(shared, &wish.database);
    match authenticate(&mut link, shared, &wish, found.as_ref().map(|(id, _)| id)).await {
        Ok(proved) => client.proved = proved,
        Err(error) => {
            let refused = SessionRefused {
                resource: found.map(|(id, _)| id),
                user: wish.user.clone(),
                client,
                why: error.to_string(),
            };
            shared.engine.refused(refused).await;
            farewell(&mut link, &no_proof(&wish)).await;
            return Ok(None);
        }
    }
    let (Some((resource, described)), Ok(principal)) = (found, wish.user.parse()) else { return Ok(None) };
    Ok(Some(Arrived { link, wish, version, principal, resource, described, client, entered: None }))
}

/// Whether a secret may be asked for: inside TLS, or from this machine, also where that comes as an IPv4 address within IPv6.
fn is_private(tls: bool, peer: SocketAddr) -> bool {
    tls || peer.ip().to_canonical().is_loopback()
}

/// The resource that a database name means: its own name, or the name of the database behind exactly one.
fn resource(shared: &Shared, database: &str) -> Option<(ResourceId, Resource)> {
    let snapshot = shared.engine.snapshot();
    let resources = || snapshot.book.catalogue.resources.iter().filter(|(_, found)| found.kind == KIND);
    let named = resources().find(|(id, _)| id.as_str() == database);
    let behind = || {
        let mut found =
            resources().filter(|(_, one)| one.settings.get("database").is_some_and(|name| name == database));
        found.next().filter(|_| found.next().is_none())
    };
    named.or_else(behind).map(|(id, found)| (id.clone(), found.clone()))
}

async fn authenticate(
    link: &mut Link,
    shared: &Shared,
    wish: &Wish,
    resource: Option<&ResourceId>,
) -> Result<Option<engine::Proved>, AuthError> {
    // An unknown database is asked for a password like any other.
    let nowhere = ResourceId::new("-");
    let shown = link.certificate_shown();
    let known = shared.engine.verifiers_showing(resource.unwrap_or(&nowhere), &wish.user, shown.as_ref());
    let keys =
        known.keys.iter().map(|key| StoredKey { stored_key: key.stored_key, server_key: key.server_key });
    let verifiers = Verifiers::new(known.salt.clone(), known.iterations, keys.collect())?;
    let end_point = shared.tls.as_ref().and_then(|tls| tls.end_point.clone()).filter(|_| link.is_tls());
    let binding = end_point.map_or(ServerBinding::None, ServerBinding::TlsServerEndPoint);
    let key = auth::prove(link, &binding, verifiers, &shared.nonce()).await?;
    Ok(known.keys.get(key).and_then(|key| key.proved))
}

fn no_proof(wish: &Wish) -> Report {
    wording::fatal(wording::NO_PROOF, format!("password authentication failed for user \"{}\"", wish.user))
        .hint(wording::clean(&format!(
            "a credential lives for minutes; get a fresh one: countersign connect {}",
            wish.database
        )))
}

/// From the proof to the end of the session.
pub(super) async fn enter(arrived: Arrived, shared: Arc<Shared>) {
    let Arrived { mut link, wish, version, principal, resource, described, client, entered } = arrived;
    // Whatever is said from here on is said to somebody who is known: clients tell such errors from failed proofs.
    to_client::authentication_ok(&mut link.output);
    let me = match Box::pin(let_in(&mut link, &shared, (&principal, &resource, &client), &wish)).await {
        Ok(me) => me,
        Err(NoGrant::Said(report)) => return farewell(&mut link, &report).await,
        Err(NoGrant::Gone) => return goodbye(&mut link).await,
    };
    if let Some(entered) = entered {
        // Whoever wanted to know may be gone; the client's end is noticed like any other's.
        let _gone = entered.send(me.clone());
    }
    let connecting = async {
        tokio::select! {
            // Its ground may go while the server is reached, or a pause is waited for; and so may the client.
            ending = me.ended() => Err((wording::fatal(wording::ENDED, "this session is over"), ending)),
            () = link.left() => Err((wording::fatal(wording::ENDED, "its client has gone"), Ending::User)),
            connected = Box::pin(connect(&shared, &me, &wish, &described)) => {
                connected.map_err(|report| (report, Ending::Upstream))
            }
        }
    };
    match connecting.await {
        Ok((target, connected)) => {
            let Some((registered, known)) = welcome(&mut link, &shared, &me, version, &connected) else {
                shared.engine.close_session(&me, Ending::Error).await;
                return;
            };
            let Connected { link: server, place, cancel: cancel_key, .. } = connected;
            let parts =
                Parts { shared, target, me, client: link, server, place, cancel_key, registered, known };
            Box::pin(Box::new(Session::new(parts)).run()).await;
        }
        Err((report, ending)) => {
            farewell(&mut link, &report).await;
            shared.engine.close_session(&me, ending).await;
        }
    }
}

/// Opens a session; where there is no grant, and the client wants it so, asks for one first.
async fn let_in(
    link: &mut Link,
    shared: &Shared,
    (principal, resource, client): (&PrincipalId, &ResourceId, &engine::Client),
    wish: &Wish,
) -> Result<engine::Session, NoGrant> {
    let open = || {
        shared.engine.open_session(
            principal.clone(),
            resource.clone(),
            wish.role.clone(),
            KIND,
            client.clone(),
            wish.reason.clone(),
            wish.ticket.clone(),
        )
    };
    let said = |refused: &engine::Refused| {
        NoGrant::Said(Box::new(wording::refused(Severity::Fatal, wording::NO_ACCESS, refused)))
    };
    match (open().await, &wish.ask) {
        (Ok(me), _) => Ok(me),
        (Err(refused), Some(role)) if refused.code == engine::RefusedCode::NoGrant => {
            Box::pin(asking::obtain(link, shared, (principal, client), (wish, role.clone()))).await?;
            open().await.map_err(|refused| said(&refused))
        }
        (Err(refused), _) => Err(said(&refused)),
    }
}

/// The connection to the server. What went wrong is the operator's to read; the client learns that it did.
async fn connect(
    shared: &Arc<Shared>,
    me: &engine::Session,
    wish: &Wish,
    described: &Resource,
) -> Result<(Arc<Target>, Connected), Report> {
    let resource = me.resource();
    let unreachable = |error: &dyn std::error::Error| {
        tracing::error!(session = %me.id(), %resource, error = %error, cause = cause(error), "no connection to the server");
        wording::fatal(wording::NO_SERVER, format!("the database behind `{resource}` can't be reached"))
            .hint("its operators find the reason in the gateway's log")
    };
    let target = shared.target(resource, described).map_err(|error| unreachable(&error))?;
    let granted = settings::permit(shared, &target, me, &wish.settings).await?;
    let connected = reach(shared, me, wish, &target).await;
    granted.ended(shared, &outcome(&connected)).await;
    match connected {
        Ok(connected) => Ok((target, connected)),
        Err(error) => match error.for_client() {
            Some(report) => Err(report),
            None => Err(unreachable(&error)),
        },
    }
}

/// What became of the settings that a client starts with.
fn outcome(connected: &Result<Connected, ConnectError>) -> CompletionResult {
    match connected {
        Ok(_) => CompletionResult::Done,
        Err(ConnectError::Server(error)) => CompletionResult::Failed { code: error.code.clone() },
        Err(_) => CompletionResult::Failed { code: wording::NO_SERVER.to_owned() },
    }
}

async fn reach(
    shared: &Shared,
    me: &engine::Session,
    wish: &Wish,
    target: &Target,
) -> Result<Connected, ConnectError> {
    let credentials = Credentials::of(shared, me.resource(), me.account())?;
    let login = Login {
        account: me.account(),
        credentials: &credentials,
        application: &wish.application,
        settings: &wish.settings,
        read_bytes_max: shared.settings.read_bytes_max,
    };
    upstream::connect(&target.address, &login, &|| shared.nonce()).await
}

/// Tells the client that it is in, as the server would, but with a cancel key of ours.
fn welcome(
    link: &mut Link,
    shared: &Shared,
    me: &engine::Session,
    version: ProtocolVersion,
    connected: &Connected,
) -> Option<(Registered, Known)> {
    let (registered, process, key) = register(shared, version)?;
    let out = &mut link.output;
    for (name, value) in &connected.parameters {
        to_client::parameter_status(out, name, value).ok()?;
    }
    out.extend_from_slice(&connected.notices);
    to_client::backend_key_data(out, process, &key).ok()?;
    to_client::ready_for_query(out, TransactionStatus::Idle);
    Some((registered, Known::new(me.account(), &connected.parameters)))
}

fn register(shared: &Shared, version: ProtocolVersion) -> Option<(Registered, u32, Vec<u8>)> {
    /// How often a process number that is taken is drawn again.
    const DRAWS_MAX: u32 = 16;
    let key = if version >= ProtocolVersion::V3_2 {
        shared.random::<32>().to_vec()
    } else {
        shared.random::<4>().to_vec()
    };
    (0..DRAWS_MAX).find_map(|_| {
        // Clients print it as a signed number: keep it positive, as process numbers are.
        let process = u32::from_be_bytes(shared.random()) >> 1;
        shared.cancels.register(process, &key).map(|registered| (registered, process, key.clone()))
    })
}

async fn farewell(link: &mut Link, report: &Report) {
    // A report that can't be written is not said; the connection is closed in good order all the same.
    let _ = report.encode(&mut link.output);
    goodbye(link).await;
}

async fn goodbye(link: &mut Link) {
    /// How long a client may take to read why it is refused, in seconds.
    const FAREWELL_S_MAX: u64 = 2;
    let _ = tokio::time::timeout(Duration::from_secs(FAREWELL_S_MAX), link.close()).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_secret_is_asked_for_in_clear_from_elsewhere() {
        for (peer, may) in [
            ("127.0.0.1:1", true),
            ("[::1]:1", true),
            ("[::ffff:127.0.0.1]:1", true),
            ("10.0.0.1:1", false),
            ("[::ffff:10.0.0.1]:1", false),
            ("[fe80::1]:1", false),
            ("0.0.0.0:1", false),
        ] {
            let peer = peer.parse().unwrap();
            assert_eq!(is_private(false, peer), may, "{peer}");
            assert!(is_private(true, peer));
        }
    }
}
