//! From a socket to a session of the server: the start-up packet, the proof of who the account is, and what the server says
//! of itself.

use bytes::{Buf, BytesMut};
use countersign_wire::postgres::backend::{Authentication, Body, Message};
use countersign_wire::postgres::encode::client;
use countersign_wire::postgres::scram::{Client, ClientBinding};
use countersign_wire::postgres::startup::ProtocolVersion;
use countersign_wire::postgres::{Frame, Limits, Phase, md5};

use super::super::stream::Link;
use super::{CancelKey, ConnectError, Login, Opened, PARAMETERS_MAX};

/// How much of a server's notices at the start is passed on, in bytes.
const NOTICES_BYTES_MAX: usize = 16 * 1024;

/// What is known of the other end when it asks for a password.
pub(super) struct Trust {
    /// Hash of its certificate, to bind the exchange to.
    pub(super) certificate_hash: Option<Vec<u8>>,
    /// It is on this machine.
    pub(super) local: bool,
    /// Its certificate was verified.
    pub(super) verified: bool,
}

/// Says who wants what.
pub(super) async fn start(link: &mut Link, database: &str, login: &Login<'_>) -> Result<(), ConnectError> {
    let mut parameters: Vec<(&[u8], &[u8])> = vec![
        (b"user", login.account.as_bytes()),
        (b"database", database.as_bytes()),
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

/// Proves who the account is, as the server asks for it.
pub(super) async fn authenticate(
    link: &mut Link,
    login: &Login<'_>,
    trust: Trust,
    nonce: &str,
) -> Result<(), ConnectError> {
    let (mut started, mut challenged) = (None, None);
    let secret = || login.credentials.secret().ok_or(ConnectError::NoPassword);
    loop {
        let raw = message(link).await?;
        let step = match body(&raw)? {
            Body::Authentication(step) => step,
            Body::NegotiateProtocolVersion(_) | Body::NoticeResponse(_) => continue,
            Body::ErrorResponse(fields) => return Err(ConnectError::of_server(&fields, false)),
            _ => return Err(ConnectError::Method("something before authentication")),
        };
        match step {
            Authentication::Ok if challenged.is_none() && started.is_none() => return Ok(()),
            Authentication::CleartextPassword if trust.verified => {
                client::password(&mut link.output, secret()?.as_bytes())?;
            }
            Authentication::Md5Password(salt) if trust.local || link.is_tls() => {
                let answer = md5::answer(login.account.as_bytes(), secret()?.as_bytes(), salt);
                client::password(&mut link.output, answer.as_bytes())?;
            }
            Authentication::Sasl(mechanisms) => {
                secret()?;
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
                let keys = login.credentials.keys.of(secret()?, &challenge)?;
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

/// Takes in what the server says until it is ready.
pub(super) async fn ready(mut link: Link) -> Result<Opened, ConnectError> {
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
            Body::ReadyForQuery(_) => return Ok(Opened { link, cancel, parameters, notices }),
            Body::ErrorResponse(fields) => return Err(ConnectError::of_server(&fields, true)),
            Body::NoticeResponse(_) if notices.len() + raw.len() <= NOTICES_BYTES_MAX => {
                notices.extend_from_slice(&raw);
            }
            _ => {}
        }
    }
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
