//! Connections to the protected server: under the role's account, with its secret, which ends here.
//!
//! Several servers may hold the database; they are tried in their order, and which of them is meant is found out by asking
//! them ([`address`]), as libpq does. A connection remembers the very server that it leads to: what is cancelled there, or
//! looked for there, is not to be found at another one.
//!
//! Clear text passwords are told only to a server whose certificate was verified, MD5 answers only inside TLS or on
//! this machine ([`login`]). What went wrong is for the operator's log; the client is told that the server can't be reached.

mod address;
mod error;
mod keys;
mod login;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use countersign_core::ResourceId;
use countersign_engine::{ClientIdentity, SecretError};
use countersign_wire::postgres::encode::client;
use tokio::net::TcpStream;
use zeroize::Zeroizing;

use super::Shared;
use super::query;
use super::stream::{self, Link, Stream};
use super::tls::{self, Mode};
use address::{Attrs, Nature, Server};
use login::Trust;

pub(crate) use address::{Address, Place};
pub(crate) use error::ConnectError;
pub(crate) use keys::Keys;

/// How many settings a server may report when it starts.
const PARAMETERS_MAX: usize = 64;
/// How many addresses of one name are tried.
const ADDRESSES_MAX: usize = 8;

/// Under which account, and how.
pub(crate) struct Login<'a> {
    /// The upstream account.
    pub(crate) account: &'a str,
    /// How it proves that it is.
    pub(crate) credentials: &'a Credentials,
    /// What the server's own views show.
    pub(crate) application: &'a str,
    /// Settings to start with.
    pub(crate) settings: &'a [(String, String)],
    /// How many bytes one read takes at most.
    pub(crate) read_bytes_max: usize,
}

/// What an account can prove itself with: a password, a certificate, or both.
#[derive(Debug)]
pub(crate) struct Credentials {
    secret: Option<Zeroizing<String>>,
    identity: Option<ClientIdentity>,
    keys: Arc<Keys>,
}

impl Credentials {
    /// Fetches what the bundle refers to.
    ///
    /// # Errors
    /// [`ConnectError::NoSecret`] when it is not where the bundle says, or the bundle says nothing.
    pub(crate) fn of(shared: &Shared, resource: &ResourceId, account: &str) -> Result<Self, ConnectError> {
        let engine = &shared.engine;
        let missing = |error: SecretError| ConnectError::NoSecret(error.to_string());
        let identity = engine.client_identity(resource, account).map_err(missing)?;
        let secret = match engine.secret(resource, account) {
            Ok(secret) => Some(secret),
            Err(SecretError::NoReference { .. }) if identity.is_some() => None,
            Err(error) => return Err(missing(error)),
        };
        Ok(Self { secret, identity, keys: Arc::clone(&shared.keys) })
    }

    /// A password that the bundle does not refer to yet.
    pub(crate) fn password(shared: &Shared, password: Zeroizing<String>) -> Self {
        Self { secret: Some(password), identity: None, keys: Arc::clone(&shared.keys) }
    }

    fn secret(&self) -> Option<&str> {
        self.secret.as_ref().map(|secret| secret.as_str())
    }
}

/// How to cancel what a connection runs.
#[derive(Clone, Default, PartialEq, Eq)]
pub(crate) struct CancelKey {
    /// The server's process.
    pub(crate) process: u32,
    /// Its secret.
    pub(crate) key: Vec<u8>,
}

impl std::fmt::Debug for CancelKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "CancelKey({})", self.process)
    }
}

/// A connection that is ready.
pub(crate) struct Connected {
    /// The connection.
    pub(crate) link: Link,
    /// Where it leads.
    pub(crate) place: Place,
    /// How to cancel on it.
    pub(crate) cancel: CancelKey,
    /// The settings that the server reports.
    pub(crate) parameters: Vec<(Vec<u8>, Vec<u8>)>,
    /// Notices of the server, as they came: what is wrong with a setting that it has not taken, for example.
    pub(crate) notices: BytesMut,
}

/// What a server says as it opens a session.
struct Opened {
    link: Link,
    cancel: CancelKey,
    parameters: Vec<(Vec<u8>, Vec<u8>)>,
    notices: BytesMut,
}

/// Where the nonces of exchanges come from: each connection has one of its own.
pub(crate) type Nonces<'a> = &'a (dyn Fn() -> String + Send + Sync);

/// Opens a connection to the first server that is as the resource wants it, and authenticates.
///
/// # Errors
/// [`ConnectError`], which holds no secret: that of the last server, unless one had words for the client.
pub(crate) async fn connect(
    address: &Address,
    login: &Login<'_>,
    nonces: Nonces<'_>,
) -> Result<Connected, ConnectError> {
    let mut failed: Option<ConnectError> = None;
    for wanted in address.attrs.rounds() {
        for server in &address.servers {
            let error = match connect_to(address, (server, *wanted), login, nonces).await {
                Ok(connected) => return Ok(connected),
                Err(error) => error,
            };
            if !error.is_of_one_server() {
                return Err(error);
            }
            if address.servers.len() > 1 {
                let Server { host, port } = server;
                tracing::warn!(host, port, error = %error, cause = super::target::cause(&error), "not this server");
            }
            if failed.as_ref().and_then(ConnectError::for_client).is_none() {
                failed = Some(error);
            }
        }
    }
    Err(failed.unwrap_or(ConnectError::Setting("host")))
}

/// Tries the addresses of one server.
async fn connect_to(
    address: &Address,
    (server, wanted): (&Server, Attrs),
    login: &Login<'_>,
    nonces: Nonces<'_>,
) -> Result<Connected, ConnectError> {
    let Server { host, port } = server;
    let lookup = tokio::net::lookup_host((host.as_str(), *port));
    let found = tokio::time::timeout(address.limit, lookup).await.map_err(|_| slow(address.limit))??;
    let sockets: Vec<SocketAddr> = found.take(ADDRESSES_MAX).collect();
    let mut failed = ConnectError::Io(std::io::ErrorKind::NotFound.into());
    for socket in sockets {
        let place = Place { host: host.clone(), socket };
        let attempt = async {
            let mut connected = open_session(address, place, login, nonces).await?;
            if is_suitable(&mut connected, wanted, login).await? {
                return Ok(connected);
            }
            client::terminate(&mut connected.link.output);
            connected.link.close().await;
            Err(ConnectError::Unsuitable(address.attrs.word()))
        };
        match tokio::time::timeout(address.limit, attempt).await.unwrap_or_else(|_| Err(slow(address.limit)))
        {
            Err(error) if error.is_of_one_server() => failed = error,
            other => return other,
        }
    }
    Err(failed)
}

/// Opens a connection to the very server that another one leads to.
///
/// # Errors
/// [`ConnectError`].
pub(crate) async fn connect_at(
    address: &Address,
    place: &Place,
    login: &Login<'_>,
    nonces: Nonces<'_>,
) -> Result<Connected, ConnectError> {
    let attempt = open_session(address, place.clone(), login, nonces);
    tokio::time::timeout(address.limit, attempt).await.unwrap_or_else(|_| Err(slow(address.limit)))
}

const fn slow(limit: Duration) -> ConnectError {
    ConnectError::Slow(limit.as_millis())
}

async fn open_session(
    address: &Address,
    place: Place,
    login: &Login<'_>,
    nonces: Nonces<'_>,
) -> Result<Connected, ConnectError> {
    let (stream, certificate_hash) = open(address, &place, login.credentials.identity.as_ref()).await?;
    let mut link = Link::new(stream);
    link.read_at_most(login.read_bytes_max);
    login::start(&mut link, &address.database, login).await?;
    let trust = Trust {
        certificate_hash,
        local: place.socket.ip().is_loopback(),
        verified: address.mode >= Mode::VerifyCa,
    };
    login::authenticate(&mut link, login, trust, &nonces()).await?;
    let Opened { link, cancel, parameters, notices } = login::ready(link).await?;
    Ok(Connected { link, place, cancel, parameters, notices })
}

/// Whether a server is as it is wanted to be. Since version 14 it has said so already; an older one is asked.
async fn is_suitable(
    connected: &mut Connected,
    wanted: Attrs,
    login: &Login<'_>,
) -> Result<bool, ConnectError> {
    /// What says whether transactions only read.
    const READ_ONLY: &str = "default_transaction_read_only";
    if wanted == Attrs::Any {
        return Ok(true);
    }
    let reported = |name: &str| {
        let mut found = connected.parameters.iter().filter(|(known, _)| known == name.as_bytes());
        found.next().map(|(_, value)| value == b"on")
    };
    let (standby, read_only) = match (reported("in_hot_standby"), reported(READ_ONLY)) {
        (Some(standby), Some(read_only)) => (standby, read_only),
        _ => {
            let question = format!(
                "SELECT pg_catalog.pg_is_in_recovery(), pg_catalog.current_setting('{READ_ONLY}')::pg_catalog.bool"
            );
            let rows = query::simple(&mut connected.link, &question).await?;
            let row = rows.first().map(Vec::as_slice).unwrap_or_default();
            let is = |index: usize| row.get(index).is_some_and(|value| value.as_deref() != Some("f"));
            (is(0), is(1))
        }
    };
    let own = login.settings.iter().any(|(name, _)| name == READ_ONLY);
    Ok(wanted.suits(Nature { standby, read_only: (!own).then_some(read_only) }))
}

/// Asks a server to cancel what the connection with this key runs. Nobody answers.
///
/// # Errors
/// [`ConnectError`] when it could not be asked.
pub(crate) async fn cancel(address: &Address, place: &Place, key: &CancelKey) -> Result<(), ConnectError> {
    let work = async {
        // Whoever knows the key may cancel: the server asks for nothing else, no certificate either.
        let (stream, _) = open(address, place, None).await?;
        let mut link = Link::new(stream);
        client::cancel_request(&mut link.output, key.process, &key.key)?;
        link.drain().await?;
        // The server closes when it has sent the signal; waiting for it orders the cancel before what follows.
        while link.fill().await? > 0 {
            link.input.clear();
        }
        Ok(())
    };
    tokio::time::timeout(address.limit, work).await.unwrap_or_else(|_| Err(slow(address.limit)))
}

/// A socket, inside TLS if that is wanted, and the hash of the certificate to bind an exchange to.
async fn open(
    address: &Address,
    place: &Place,
    identity: Option<&ClientIdentity>,
) -> Result<(Stream, Option<Vec<u8>>), ConnectError> {
    let mut socket = TcpStream::connect(place.socket).await?;
    stream::prepare(&socket)?;
    if address.mode == Mode::Disable {
        return Ok((Stream::Plain(socket), None));
    }
    let config = tls::client_config(address.mode, address.ca.as_deref(), identity)?;
    let name = tls::server_name(&place.host)?;
    ask_for_tls(&mut socket).await?;
    let stream = tokio_rustls::TlsConnector::from(config).connect(name, socket).await?;
    let certificate = stream.get_ref().1.peer_certificates().and_then(<[_]>::first);
    let hash = certificate.and_then(tls::end_point);
    Ok((Stream::Client(Box::new(stream)), hash))
}

async fn ask_for_tls(socket: &mut TcpStream) -> Result<(), ConnectError> {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let mut request = BytesMut::new();
    client::ssl_request(&mut request);
    socket.write_all(&request).await?;
    // Exactly one byte is read: whatever follows it must be inside TLS.
    match socket.read_u8().await? {
        b'S' => Ok(()),
        _ => Err(ConnectError::NoTls),
    }
}
