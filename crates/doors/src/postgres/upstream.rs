//! Connections to the protected server: under the role's account, with its secret, which ends here.
//!
//! Clear text passwords are told only to a server whose certificate was verified, MD5 answers only inside TLS or on
//! this machine. What went wrong is for the operator's log; the client is told that the server can't be reached.

use std::time::Duration;

use bytes::{Buf, BytesMut};
use countersign_core::catalogue::Resource;
use countersign_wire::postgres::backend::{Authentication, Body, Message};
use countersign_wire::postgres::encode::{Report, Unencodable, client};
use countersign_wire::postgres::scram::{Client, ClientBinding, ScramError};
use countersign_wire::postgres::startup::ProtocolVersion;
use countersign_wire::postgres::{ErrorFields, Frame, Limits, Malformed, Phase, md5};
use tokio::net::TcpStream;

use super::stream::{Link, Stream};
use super::tls::{self, Mode, TlsError};
use super::wording;

/// How long connecting and authenticating may take, in milliseconds.
const CONNECT_MS_MAX: u64 = 10_000;
/// How many settings a server may report when it starts.
const PARAMETERS_MAX: usize = 64;
/// How much of a server's notices at the start is passed on, in bytes.
const NOTICES_BYTES_MAX: usize = 16 * 1024;
/// What PostgreSQL listens on.
const PORT: u16 = 5432;

/// Where a resource is, and how to speak to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Address {
    /// Host name or address.
    pub(crate) host: String,
    /// Port.
    pub(crate) port: u16,
    /// Database.
    pub(crate) database: String,
    /// What is demanded of the server.
    pub(crate) mode: Mode,
    /// PEM file of the authority.
    pub(crate) ca: Option<String>,
}

/// Under which account, and how.
pub(crate) struct Login<'a> {
    /// The upstream account.
    pub(crate) account: &'a str,
    /// Its secret.
    pub(crate) secret: &'a str,
    /// What the server's own views show.
    pub(crate) application: &'a str,
    /// Settings to start with.
    pub(crate) settings: &'a [(String, String)],
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
    /// How to cancel on it.
    pub(crate) cancel: CancelKey,
    /// The settings that the server reports.
    pub(crate) parameters: Vec<(Vec<u8>, Vec<u8>)>,
    /// Notices of the server, as they came: what is wrong with a setting that it has not taken, for example.
    pub(crate) notices: BytesMut,
}

/// What a server said instead of letting somebody in.
#[derive(Debug)]
pub(crate) struct ServerError {
    /// The SQLSTATE.
    pub(crate) code: String,
    message: String,
    detail: Option<String>,
    hint: Option<String>,
    /// It had accepted the account before.
    accepted: bool,
}

impl std::fmt::Display for ServerError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.code, self.message)
    }
}

/// There is no connection.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConnectError {
    #[error("the resource's `{0}` is missing or can't be used; correct it in the bundle")]
    Setting(&'static str),
    #[error("connecting took more than {CONNECT_MS_MAX} ms")]
    Slow,
    #[error("the connection failed")]
    Io(#[from] std::io::Error),
    #[error("TLS is not possible")]
    Tls(#[from] TlsError),
    #[error(
        "the server does not offer TLS; set `tls = \"disable\"` only if the network in between is trusted"
    )]
    NoTls,
    #[error("the server's message is malformed")]
    Malformed(#[from] Malformed),
    #[error("the server went away")]
    Gone,
    #[error("the server says no: {0}")]
    Server(ServerError),
    #[error("the account's secret is not there: {0}")]
    NoSecret(String),
    #[error(
        "the server asks for {0}, which is not given to it over this connection; use SCRAM or verified TLS"
    )]
    Method(&'static str),
    #[error("the password exchange failed")]
    Scram(#[from] ScramError),
    #[error("a name or setting can't be written")]
    Unencodable(#[from] Unencodable),
    #[error(
        "the server reports more than {PARAMETERS_MAX} settings; check that the address is the right server's"
    )]
    Parameters,
}

impl ConnectError {
    /// What the client reads in the server's own words: that a setting of its own is wrong, or that the server takes
    /// nobody now. Everything else is between the gateway and the server.
    pub(crate) fn for_client(&self) -> Option<Report> {
        let Self::Server(error) = self else { return None };
        let busy = matches!(error.code.as_str(), "53300" | "57P03");
        let setting = error.accepted
            && (error.code.starts_with("22") || matches!(error.code.as_str(), "42501" | "42704"));
        if !busy && !setting {
            return None;
        }
        let mut report = wording::fatal(&error.code, &error.message);
        if let Some(detail) = &error.detail {
            report = report.detail(wording::clean(detail));
        }
        if let Some(hint) = &error.hint {
            report = report.hint(wording::clean(hint));
        }
        Some(report)
    }
}

impl Address {
    /// Reads a resource's settings.
    ///
    /// # Errors
    /// [`ConnectError::Setting`] names the one that is wrong.
    pub(crate) fn of(resource: &Resource) -> Result<Self, ConnectError> {
        let setting = |name: &str| resource.settings.get(name).map(String::as_str);
        let port = setting("port").map_or(Ok(PORT), str::parse);
        Ok(Self {
            host: setting("host").ok_or(ConnectError::Setting("host"))?.to_owned(),
            port: port.map_err(|_| ConnectError::Setting("port"))?,
            database: setting("database").ok_or(ConnectError::Setting("database"))?.to_owned(),
            mode: setting("tls").map_or(Ok(Mode::default()), str::parse)?,
            ca: setting("tls_ca").map(str::to_owned),
        })
    }
}

/// Opens a connection and authenticates.
///
/// # Errors
/// [`ConnectError`], which holds no secret.
pub(crate) async fn connect(
    address: &Address,
    login: &Login<'_>,
    nonce: &str,
) -> Result<Connected, ConnectError> {
    let limit = Duration::from_millis(CONNECT_MS_MAX);
    let work = async {
        let (stream, certificate_hash, local) = open(address).await?;
        let mut link = Link::new(stream);
        start(&mut link, address, login).await?;
        let trust = Trust { certificate_hash, local, verified: address.mode >= Mode::VerifyCa };
        authenticate(&mut link, login, trust, nonce).await?;
        ready(link).await
    };
    tokio::time::timeout(limit, work).await.unwrap_or(Err(ConnectError::Slow))
}

/// Asks the server to cancel what the connection with this key runs. Nobody answers.
///
/// # Errors
/// [`ConnectError`] when it could not be asked.
pub(crate) async fn cancel(address: &Address, key: &CancelKey) -> Result<(), ConnectError> {
    let limit = Duration::from_millis(CONNECT_MS_MAX);
    let work = async {
        let (stream, _, _) = open(address).await?;
        let mut link = Link::new(stream);
        client::cancel_request(&mut link.output, key.process, &key.key)?;
        link.drain().await?;
        // The server closes when it has sent the signal; waiting for it orders the cancel before what follows.
        while link.fill().await? > 0 {
            link.input.clear();
        }
        Ok(())
    };
    tokio::time::timeout(limit, work).await.unwrap_or(Err(ConnectError::Slow))
}

/// What is known of the other end when it asks for a password.
struct Trust {
    certificate_hash: Option<Vec<u8>>,
    local: bool,
    verified: bool,
}

async fn open(address: &Address) -> Result<(Stream, Option<Vec<u8>>, bool), ConnectError> {
    let mut socket = TcpStream::connect((address.host.as_str(), address.port)).await?;
    socket.set_nodelay(true)?;
    let local = socket.peer_addr()?.ip().is_loopback();
    if address.mode == Mode::Disable {
        return Ok((Stream::Plain(socket), None, local));
    }
    ask_for_tls(&mut socket).await?;
    let config = tls::client_config(address.mode, address.ca.as_deref())?;
    let name = tls::server_name(&address.host)?;
    let stream = tokio_rustls::TlsConnector::from(config).connect(name, socket).await?;
    let certificate = stream.get_ref().1.peer_certificates().and_then(<[_]>::first);
    let hash = certificate.and_then(tls::end_point);
    Ok((Stream::Client(Box::new(stream)), hash, local))
}

async fn ask_for_tls(socket: &mut TcpStream) -> Result<(), ConnectError> {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let mut request = bytes::BytesMut::new();
    client::ssl_request(&mut request);
    socket.write_all(&request).await?;
    // Exactly one byte is read: whatever follows it must be inside TLS.
    match socket.read_u8().await? {
        b'S' => Ok(()),
        _ => Err(ConnectError::NoTls),
    }
}

async fn start(link: &mut Link, address: &Address, login: &Login<'_>) -> Result<(), ConnectError> {
    let mut parameters: Vec<(&[u8], &[u8])> = vec![
        (b"user", login.account.as_bytes()),
        (b"database", address.database.as_bytes()),
        (b"application_name", login.application.as_bytes()),
    ];
    parameters.extend(login.settings.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes())));
    if !login.settings.iter().any(|(name, _)| name == "client_encoding") {
        parameters.push((b"client_encoding", b"UTF8"));
    }
    client::startup(&mut link.output, ProtocolVersion::V3_0, &parameters)?;
    link.drain().await?;
    Ok(())
}

async fn authenticate(
    link: &mut Link,
    login: &Login<'_>,
    trust: Trust,
    nonce: &str,
) -> Result<(), ConnectError> {
    let (mut started, mut challenged) = (None, None);
    loop {
        let raw = message(link).await?;
        let step = match body(&raw)? {
            Body::Authentication(step) => step,
            Body::NegotiateProtocolVersion(_) | Body::NoticeResponse(_) => continue,
            Body::ErrorResponse(fields) => return Err(server_error(&fields, false)),
            _ => return Err(ConnectError::Method("something before authentication")),
        };
        match step {
            Authentication::Ok if challenged.is_none() && started.is_none() => return Ok(()),
            Authentication::CleartextPassword if trust.verified => {
                client::password(&mut link.output, login.secret.as_bytes())?;
            }
            Authentication::Md5Password(salt) if trust.local || link.is_tls() => {
                let answer = md5::answer(login.account.as_bytes(), login.secret.as_bytes(), salt);
                client::password(&mut link.output, answer.as_bytes())?;
            }
            Authentication::Sasl(mechanisms) => {
                let offered: Vec<&[u8]> = mechanisms.iter().collect();
                let hash = trust.certificate_hash.clone();
                let binding = ClientBinding::choose(offered.iter().copied(), hash)
                    .ok_or(ConnectError::Method("an unknown SASL mechanism"))?;
                let mechanism = binding.mechanism();
                let (exchange, first) = Client::start(binding, nonce)?;
                client::sasl_initial(&mut link.output, mechanism.as_bytes(), Some(&first))?;
                started = Some(exchange);
            }
            Authentication::SaslContinue(data) => {
                let exchange = started.take().ok_or(ConnectError::Method("SASL out of order"))?;
                let challenge = exchange.challenge(data)?;
                let keys = challenge.keys(login.secret.as_bytes())?;
                let (proof, answer) = challenge.answer(&keys);
                client::sasl_response(&mut link.output, &answer)?;
                challenged = Some(proof);
            }
            Authentication::SaslFinal(data) => {
                let proof = challenged.take().ok_or(ConnectError::Method("SASL out of order"))?;
                proof.verify(data)?;
            }
            other => return Err(ConnectError::Method(method(&other))),
        }
        link.drain().await?;
    }
}

const fn method(step: &Authentication<'_>) -> &'static str {
    match step {
        Authentication::Ok => "an end of authentication without its proof",
        Authentication::CleartextPassword => "the password in clear text",
        Authentication::Md5Password(_) => "an MD5 password",
        Authentication::KerberosV5
        | Authentication::Gss
        | Authentication::GssContinue(_)
        | Authentication::Sspi => "Kerberos",
        Authentication::Sasl(_) | Authentication::SaslContinue(_) | Authentication::SaslFinal(_) => "SASL",
    }
}

async fn ready(mut link: Link) -> Result<Connected, ConnectError> {
    let (mut parameters, mut cancel, mut notices) = (Vec::new(), CancelKey::default(), BytesMut::new());
    loop {
        let raw = message(&mut link).await?;
        match body(&raw)? {
            Body::ParameterStatus(status) => {
                if parameters.len() >= PARAMETERS_MAX {
                    return Err(ConnectError::Parameters);
                }
                parameters.push((status.name.to_vec(), status.value.to_vec()));
            }
            Body::BackendKeyData(data) => {
                cancel = CancelKey { process: data.process, key: data.key.to_vec() }
            }
            Body::ReadyForQuery(_) => return Ok(Connected { link, cancel, parameters, notices }),
            Body::ErrorResponse(fields) => return Err(server_error(&fields, true)),
            Body::NoticeResponse(_) if notices.len() + raw.len() <= NOTICES_BYTES_MAX => {
                notices.extend_from_slice(&raw);
            }
            _ => {}
        }
    }
}

fn server_error(fields: &ErrorFields<'_>, accepted: bool) -> ConnectError {
    let part = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    ConnectError::Server(ServerError {
        code: part(fields.code().unwrap_or_default()),
        message: part(fields.message().unwrap_or_default()),
        detail: fields.get(b'D').map(part),
        hint: fields.get(b'H').map(part),
        accepted,
    })
}

fn body(raw: &[u8]) -> Result<Body<'_>, ConnectError> {
    match Message::decode(raw, &Limits::new(Phase::ServerLogin))? {
        Some((message, _)) => Ok(*message.body()),
        None => Err(ConnectError::Gone),
    }
}

async fn message(link: &mut Link) -> Result<bytes::Bytes, ConnectError> {
    let limits = Limits::new(Phase::ServerLogin);
    loop {
        if let Some((_, used)) = Frame::decode(&link.input, &limits)? {
            return Ok(link.input.copy_to_bytes(used));
        }
        if link.fill().await? == 0 {
            return Err(ConnectError::Gone);
        }
    }
}
