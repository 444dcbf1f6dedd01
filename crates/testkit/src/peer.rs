//! A client that says exactly what a test wants to say, byte by byte, to the door or straight to a server; in clear, or
//! inside TLS that trusts anybody.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use bytes::{Buf as _, BytesMut};
use countersign_wire::postgres::backend::{Body, Message};
use countersign_wire::postgres::encode::client;
use countersign_wire::postgres::scram::{Client as Scram, ClientBinding};
use countersign_wire::postgres::startup::ProtocolVersion;
use countersign_wire::postgres::{Limits, Phase};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// How long a test waits for an answer.
const SOON: Duration = Duration::from_mins(1);
/// `PostgreSQL`'s name within TLS.
pub const ALPN: &[u8] = b"postgresql";

/// A message of the server's: its tag and its body.
pub type Said = (u8, Vec<u8>);

trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Duplex for T {}

/// A connection.
pub struct Peer {
    stream: Box<dyn Duplex>,
    input: BytesMut,
    /// The hash of the certificate that was shown, to bind a proof to.
    certificate_hash: Option<Vec<u8>>,
    /// How to cancel on it, once it is known.
    pub cancel: Option<(u32, Vec<u8>)>,
}

impl std::fmt::Debug for Peer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Peer")
    }
}

impl Peer {
    /// A connection in clear.
    ///
    /// # Errors
    /// Nobody listens.
    pub async fn clear(address: SocketAddr) -> Result<Self> {
        let socket = TcpStream::connect(address).await?;
        socket.set_nodelay(true)?;
        Ok(Self { stream: Box::new(socket), input: BytesMut::new(), certificate_hash: None, cancel: None })
    }

    /// A connection inside TLS, which trusts anybody. `asks`: with an `SSLRequest` first, as clients did before version 17.
    ///
    /// # Errors
    /// There is no TLS.
    pub async fn tls(address: SocketAddr, asks: bool, alpn: &[&[u8]]) -> Result<Self> {
        let mut socket = TcpStream::connect(address).await?;
        if asks {
            let mut request = BytesMut::new();
            client::ssl_request(&mut request);
            socket.write_all(&request).await?;
            let answer = socket.read_u8().await?;
            ensure!(answer == b'S', "no TLS: {}", char::from(answer));
        }
        let connecting = tokio_rustls::TlsConnector::from(Arc::new(client_config(alpn)?))
            .connect("localhost".try_into()?, socket);
        let stream = tokio::time::timeout(SOON, connecting).await??;
        let shown = stream.get_ref().1.peer_certificates().and_then(<[_]>::first);
        // What tests make is signed with SHA-256.
        let hash = shown.map(|certificate| {
            aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, certificate).as_ref().to_vec()
        });
        Ok(Self { stream: Box::new(stream), input: BytesMut::new(), certificate_hash: hash, cancel: None })
    }

    /// Starts a session and proves who it is, up to the first `ReadyForQuery`.
    ///
    /// # Errors
    /// It is not let in.
    pub async fn enter(
        &mut self,
        version: ProtocolVersion,
        (user, password): (&str, &str),
        database: &str,
    ) -> Result<()> {
        self.start(version, &[("user", user), ("database", database)]).await?;
        self.prove(password.as_bytes()).await?;
        for (tag, body) in self.until(b'Z').await? {
            match tag {
                b'K' => {
                    let mut body = &body[..];
                    self.cancel = Some((body.get_u32(), body.to_vec()));
                }
                b'E' => bail!("not let in: {}", String::from_utf8_lossy(&body)),
                _ => {}
            }
        }
        Ok(())
    }

    /// Says `StartupMessage`.
    ///
    /// # Errors
    /// The connection is over.
    pub async fn start(&mut self, version: ProtocolVersion, parameters: &[(&str, &str)]) -> Result<()> {
        let mut out = BytesMut::new();
        let parameters: Vec<(&[u8], &[u8])> =
            parameters.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes())).collect();
        client::startup(&mut out, version, &parameters)?;
        self.say(&out).await
    }

    /// Proves who it is, with channel binding where that is offered.
    ///
    /// # Errors
    /// It is not believed.
    pub async fn prove(&mut self, password: &[u8]) -> Result<()> {
        let mut out = BytesMut::new();
        let offered = self.authentication(10).await?;
        let offered = offered.split(|byte| *byte == 0).filter(|name| !name.is_empty());
        let binding = ClientBinding::choose(offered, self.certificate_hash.clone()).context("no SCRAM")?;
        let mechanism = binding.mechanism();
        let (exchange, first) = Scram::start(binding, "a-nonce-of-this-test")?;
        client::sasl_initial(&mut out, mechanism.as_bytes(), Some(&first))?;
        self.say(&out.split()).await?;
        let challenge = exchange.challenge(&self.authentication(11).await?)?;
        let keys = challenge.keys(password)?;
        let (proof, answer) = challenge.answer(&keys);
        client::sasl_response(&mut out, &answer)?;
        self.say(&out).await?;
        proof.verify(&self.authentication(12).await?)?;
        Ok(())
    }

    async fn authentication(&mut self, kind: u32) -> Result<Vec<u8>> {
        let (tag, body) = self.message().await?.context("the connection is over")?;
        ensure!(tag == b'R', "not let in: {}", String::from_utf8_lossy(&body));
        let mut body = &body[..];
        ensure!(body.get_u32() == kind, "another step of authentication");
        Ok(body.to_vec())
    }

    /// Says these bytes.
    ///
    /// # Errors
    /// The connection is over.
    pub async fn say(&mut self, bytes: &[u8]) -> Result<()> {
        self.stream.write_all(bytes).await?;
        Ok(self.stream.flush().await?)
    }

    /// Says `Query`.
    ///
    /// # Errors
    /// The connection is over.
    pub async fn query(&mut self, text: &str) -> Result<()> {
        let mut out = BytesMut::new();
        client::query(&mut out, text.as_bytes())?;
        self.say(&out).await
    }

    /// The next byte, which belongs to no message.
    ///
    /// # Errors
    /// The connection is over.
    pub async fn byte(&mut self) -> Result<u8> {
        ensure!(self.input.is_empty(), "more has come than was asked for");
        Ok(tokio::time::timeout(SOON, self.stream.read_u8()).await??)
    }

    /// The next message; `None` at the end of the connection.
    ///
    /// # Errors
    /// The connection breaks, or nothing comes.
    pub async fn message(&mut self) -> Result<Option<Said>> {
        loop {
            let head = self.input.get(1..5).and_then(<[u8]>::first_chunk);
            if let Some(length) = head.map(|head| u32::from_be_bytes(*head) as usize)
                && self.input.len() > length
            {
                let tag = self.input.get_u8();
                let mut body = self.input.split_to(length);
                body.advance(4);
                return Ok(Some((tag, body.to_vec())));
            }
            let read = tokio::time::timeout(SOON, self.stream.read_buf(&mut self.input));
            if read.await.context("no answer")?? == 0 {
                ensure!(self.input.is_empty(), "it ends within a message");
                return Ok(None);
            }
        }
    }

    /// Everything up to a message with this tag, or to the end of the connection.
    ///
    /// # Errors
    /// The connection breaks, or nothing comes.
    pub async fn until(&mut self, last: u8) -> Result<Vec<Said>> {
        let mut said = Vec::new();
        while let Some(message) = self.message().await? {
            let done = message.0 == last;
            said.push(message);
            if done {
                break;
            }
        }
        Ok(said)
    }

    /// The tag and the length of the next message's body, which is not read yet.
    ///
    /// # Errors
    /// The connection breaks, or nothing comes.
    pub async fn head(&mut self) -> Result<(u8, usize)> {
        while self.input.len() < 5 {
            let read = tokio::time::timeout(SOON, self.stream.read_buf(&mut self.input));
            ensure!(read.await.context("no answer")?? > 0, "the connection is over");
        }
        let (tag, length) = (self.input.get_u8(), self.input.get_u32());
        Ok((tag, usize::try_from(length)?.saturating_sub(4)))
    }

    /// Throws away what comes, up to so many bytes or the end. Says how many there were.
    ///
    /// # Errors
    /// The connection breaks, or nothing comes.
    pub async fn skip(&mut self, bytes: usize) -> Result<usize> {
        let (mut buffer, mut seen) = (vec![0; 64 * 1024], self.input.len().min(bytes));
        self.input.advance(seen);
        while seen < bytes {
            let most = buffer.len().min(bytes - seen);
            let place = buffer.get_mut(..most).unwrap_or_default();
            let count = tokio::time::timeout(SOON, self.stream.read(place)).await.context("no answer")??;
            if count == 0 {
                break;
            }
            seen += count;
        }
        Ok(seen)
    }

    /// Everything up to the end, which inside TLS must be TLS's own: a connection that is only cut is an error.
    ///
    /// # Errors
    /// The connection breaks, or does not end.
    pub async fn rest(&mut self) -> Result<Vec<u8>> {
        let mut rest = self.input.split().to_vec();
        tokio::time::timeout(SOON, self.stream.read_to_end(&mut rest)).await.context("no end")??;
        Ok(rest)
    }

    /// Says that it says no more, and goes on reading.
    ///
    /// # Errors
    /// The connection is over.
    pub async fn half_close(&mut self) -> Result<()> {
        Ok(self.stream.shutdown().await?)
    }
}

/// The SQLSTATE and the message of an error.
#[must_use]
pub fn error((tag, body): &Said) -> Option<(String, String)> {
    let mut raw = vec![*tag];
    raw.extend_from_slice(&u32::try_from(body.len() + 4).unwrap_or(u32::MAX).to_be_bytes());
    raw.extend_from_slice(body);
    let message = Message::decode(&raw, &Limits::new(Phase::Server)).ok()??.0;
    let Body::ErrorResponse(fields) = message.body() else { return None };
    let text = |bytes: Option<&[u8]>| String::from_utf8_lossy(bytes.unwrap_or_default()).into_owned();
    Some((text(fields.code()), text(fields.message())))
}

/// A client's side of TLS that trusts anybody.
///
/// # Errors
/// The library refuses it.
pub fn client_config(alpn: &[&[u8]]) -> Result<rustls::ClientConfig> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = rustls::ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Anybody(provider)))
        .with_no_client_auth();
    config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
    Ok(config)
}

#[derive(Debug)]
struct Anybody(Arc<CryptoProvider>);

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &rustls::DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &rustls::DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<rustls::SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
