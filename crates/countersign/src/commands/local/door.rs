//! The way from this machine to the gateway's door: credentials that are bound to a key made here, TLS, and the proof.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, bail};
use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::{Buf as _, BytesMut};
use countersign_doors::postgres::certificate_end_point;
use countersign_wire::postgres::backend::{Authentication, Body, Message};
use countersign_wire::postgres::encode::{client as to_door, server as to_tool};
use countersign_wire::postgres::scram::{Client as Exchange, ClientBinding, ServerProof};
use countersign_wire::postgres::startup::{ProtocolVersion, StartupMessage};
use countersign_wire::postgres::{Frame, Limits, Phase};
use jiff::Timestamp;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::Mutex;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::Wanted;
use crate::output::text_at;
use crate::wiring::random_text;

/// How long a credential has to live so that it is used once more, in seconds.
const LEFT_S_MIN: i64 = 60;

/// How long the door may take until it has said who we are to it.
const LETS_IN_WITHIN: Duration = Duration::from_secs(60);

/// How many messages the door may send before that: a dozen are usual.
const MESSAGES_MAX: usize = 64;

/// What the door says that it will encrypt.
const ENCRYPTED: u8 = b'S';

/// The way to one resource.
pub(super) struct Door {
    wanted: Wanted,
    /// The certificate that is shown, and its key.
    certificate: CertificateDer<'static>,
    key: PrivatePkcs8KeyDer<'static>,
    fresh: Mutex<Option<Value>>,
}

/// What a tool says of itself and of what it wants, as it said it.
pub(super) struct Parameters {
    version: ProtocolVersion,
    pairs: Vec<(Vec<u8>, Vec<u8>)>,
}

/// A connection to the door.
pub(super) struct Server {
    pub(super) stream: TlsStream<TcpStream>,
    /// Whether the door has let us in; otherwise it has said why not.
    pub(super) is_let_in: bool,
}

impl Parameters {
    pub(super) fn of(startup: &StartupMessage<'_>) -> Self {
        let pairs = startup.parameters().map(|(name, value)| (name.to_vec(), value.to_vec()));
        Self { version: startup.version, pairs: pairs.collect() }
    }

    /// The same, from whoever has the credential, to what it is for, in the role that was named.
    fn led(&self, credential: &Value, role: Option<&str>) -> Vec<(Vec<u8>, Vec<u8>)> {
        let is = |name: &[u8], other: &str| name.eq_ignore_ascii_case(other.as_bytes());
        let mut options = Vec::new();
        let mut led = vec![
            (b"user".to_vec(), text_at(credential, "/user").into_bytes()),
            (b"database".to_vec(), text_at(credential, "/database").into_bytes()),
        ];
        for (name, value) in &self.pairs {
            if is(name, "options") {
                options.clone_from(value);
            } else if !is(name, "user") && !is(name, "database") {
                led.push((name.clone(), value.clone()));
            }
        }
        if let Some(role) = role {
            let space: &[u8] = if options.is_empty() { b"" } else { b" " };
            options = [&options, space, format!("-c countersign.role={role}").as_bytes()].concat();
        }
        if !options.is_empty() {
            led.push((b"options".to_vec(), options));
        }
        led
    }
}

impl Door {
    pub(super) fn new(wanted: Wanted) -> Result<Self> {
        let key = rcgen::KeyPair::generate().context("could not make a key")?;
        let mut params = rcgen::CertificateParams::default();
        params.distinguished_name.push(rcgen::DnType::CommonName, "countersign connect");
        let made = params.self_signed(&key).context("could not make a certificate")?;
        Ok(Self {
            wanted,
            certificate: made.der().clone(),
            key: PrivatePkcs8KeyDer::from(key.serialize_der()),
            fresh: Mutex::default(),
        })
    }

    /// A credential that lives for a while yet.
    pub(super) async fn credential(&self) -> Result<Value> {
        let mut fresh = self.fresh.lock().await;
        if let Some(kept) = fresh.as_ref().filter(|kept| is_fresh(kept)) {
            return Ok(kept.clone());
        }
        let thumbprint = URL_SAFE_NO_PAD.encode(digest(&SHA256, &self.certificate));
        let asked = json!({ "resource": self.wanted.resource, "agent": self.wanted.agent, "certificate": thumbprint });
        let made = self.wanted.client.post("/credentials", asked).await?;
        *fresh = Some(made.clone());
        Ok(made)
    }

    /// The name of the database that tools say.
    pub(super) async fn database(&self) -> Result<String> {
        Ok(text_at(&self.credential().await?, "/database"))
    }

    /// Has a statement of another connection's cancelled.
    pub(super) async fn cancel(&self, process: u32, key: &[u8]) -> Result<()> {
        let mut stream = self.reach(&self.credential().await?).await?;
        let mut output = BytesMut::new();
        to_door::cancel_request(&mut output, process, key)?;
        stream.write_all(&output).await?;
        // The door closes once it has heard.
        let _ended = tokio::time::timeout(LETS_IN_WITHIN, stream.read(&mut [0; 1])).await;
        Ok(())
    }

    /// Enters as a tool wants it. Gives the connection, and what the tool is to be told.
    pub(super) async fn enter(&self, parameters: &Parameters) -> Result<(Server, BytesMut)> {
        let credential = self.credential().await?;
        let entering = async {
            let stream = self.reach(&credential).await?;
            self.prove(stream, parameters, &credential).await
        };
        let entered = tokio::time::timeout(LETS_IN_WITHIN, entering).await;
        entered.context("the gateway's door does not answer in time")?
    }

    /// A connection to the door, encrypted.
    async fn reach(&self, credential: &Value) -> Result<TlsStream<TcpStream>> {
        let host = text_at(credential, "/host");
        let port = credential.get("port").and_then(Value::as_u64).and_then(|port| u16::try_from(port).ok());
        let port = port.context("the gateway named no port of its door")?;
        let unreachable = || format!("the gateway's door at {host}:{port} can't be reached");
        let mut socket = TcpStream::connect((host.as_str(), port)).await.with_context(unreachable)?;
        let mut output = BytesMut::new();
        to_door::ssl_request(&mut output);
        socket.write_all(&output).await?;
        if socket.read_u8().await.with_context(unreachable)? != ENCRYPTED {
            bail!("the gateway's door does not encrypt; nothing is said to it");
        }
        let name =
            ServerName::try_from(host.clone()).with_context(|| format!("`{host}` is no name of a host"))?;
        let connector = TlsConnector::from(Arc::new(self.tls(&text_at(credential, "/ca"))?));
        connector
            .connect(name, socket)
            .await
            .with_context(|| format!("the gateway's door at {host}:{port} can't be trusted"))
    }

    /// The authority that the gateway names is the only one that counts; where it names none, those of this machine do.
    fn tls(&self, ca: &str) -> Result<ClientConfig> {
        let builder = ClientConfig::builder();
        let shown = vec![self.certificate.clone()];
        let key = PrivateKeyDer::Pkcs8(self.key.clone_key());
        let mut config = if ca.is_empty() {
            let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
            let verifier = rustls_platform_verifier::Verifier::new(provider)?;
            builder
                .dangerous()
                .with_custom_certificate_verifier(Arc::new(verifier))
                .with_client_auth_cert(shown, key)?
        } else {
            let mut roots = RootCertStore::empty();
            for root in CertificateDer::pem_slice_iter(ca.as_bytes()) {
                roots.add(root.context("the gateway's authority is damaged")?)?;
            }
            builder.with_root_certificates(roots).with_client_auth_cert(shown, key)?
        };
        config.alpn_protocols = vec![b"postgresql".to_vec()];
        // Each connection shows the certificate anew: what is resumed would show what another one showed.
        config.resumption = rustls::client::Resumption::disabled();
        Ok(config)
    }

    async fn prove(
        &self,
        mut stream: TlsStream<TcpStream>,
        parameters: &Parameters,
        credential: &Value,
    ) -> Result<(Server, BytesMut)> {
        let led = parameters.led(credential, self.wanted.role.as_deref());
        let led: Vec<(&[u8], &[u8])> = led.iter().map(|(name, value)| (&**name, &**value)).collect();
        let (mut output, mut input, mut said) = (BytesMut::new(), BytesMut::new(), BytesMut::new());
        to_door::startup(&mut output, parameters.version, &led)?;
        stream.write_all(&output).await?;
        stream.flush().await?;
        let shown =
            stream.get_ref().1.peer_certificates().and_then(<[_]>::first).and_then(certificate_end_point);
        let mut proof = Proof::new(text_at(credential, "/password"), shown);
        for _ in 0..MESSAGES_MAX {
            let raw = message(&mut stream, &mut input).await?;
            let limits = Limits::new(Phase::ServerLogin);
            let (message, _) = Message::decode(&raw, &limits)?.context("the door breaks off")?;
            output.clear();
            match message.body() {
                Body::Authentication(Authentication::Ok) if proof.is_done() => {
                    to_tool::authentication_ok(&mut said);
                    said.extend_from_slice(&input);
                    return Ok((Server { stream, is_let_in: true }, said));
                }
                Body::Authentication(step) => proof.step(step, &mut output)?,
                Body::NegotiateProtocolVersion(_) | Body::NoticeResponse(_) => said.extend_from_slice(&raw),
                Body::ErrorResponse(_) => {
                    said.extend_from_slice(&raw);
                    // Whatever it was, the next connection does not come with the same credential.
                    *self.fresh.lock().await = None;
                    return Ok((Server { stream, is_let_in: false }, said));
                }
                _ => bail!("the gateway's door says something before it has let in"),
            }
            stream.write_all(&output).await?;
            stream.flush().await?;
        }
        Err(anyhow!("the gateway's door goes on without letting in"))
    }
}

/// The exchange that shows the password without saying it, and that the door knows it too.
struct Proof {
    password: String,
    certificate: Option<Vec<u8>>,
    at: At,
}

enum At {
    Beginning,
    Started(Exchange),
    Answered(ServerProof),
    Done,
}

impl Proof {
    fn new(password: String, certificate: Option<Vec<u8>>) -> Self {
        Self { password, certificate, at: At::Beginning }
    }

    const fn is_done(&self) -> bool {
        matches!(self.at, At::Done)
    }

    fn step(&mut self, step: &Authentication<'_>, output: &mut BytesMut) -> Result<()> {
        let at = std::mem::replace(&mut self.at, At::Beginning);
        self.at = match (step, at) {
            (Authentication::Sasl(offered), At::Beginning) => {
                let offered: Vec<&[u8]> = offered.iter().collect();
                let binding = ClientBinding::choose(offered.iter().copied(), self.certificate.take());
                let binding = binding.context("the gateway's door offers no proof that is known here")?;
                let mechanism = binding.mechanism();
                let (exchange, first) = Exchange::start(binding, &random_text(18))?;
                to_door::sasl_initial(output, mechanism.as_bytes(), Some(&first))?;
                At::Started(exchange)
            }
            (Authentication::SaslContinue(data), At::Started(exchange)) => {
                let challenge = exchange.challenge(data)?;
                let keys = challenge.keys(self.password.as_bytes())?;
                let (proof, answer) = challenge.answer(&keys);
                to_door::sasl_response(output, &answer)?;
                At::Answered(proof)
            }
            (Authentication::SaslFinal(data), At::Answered(proof)) => {
                proof.verify(data)?;
                At::Done
            }
            _ => bail!("the gateway's door asks for another proof than expected"),
        };
        Ok(())
    }
}

/// The next message of the door's, whole.
async fn message(stream: &mut TlsStream<TcpStream>, input: &mut BytesMut) -> Result<bytes::Bytes> {
    let limits = Limits::new(Phase::ServerLogin);
    loop {
        if let Some((_, used)) = Frame::decode(input, &limits)? {
            return Ok(input.copy_to_bytes(used));
        }
        if stream.read_buf(input).await? == 0 {
            bail!("the gateway's door breaks off");
        }
    }
}

fn is_fresh(credential: &Value) -> bool {
    let ends = text_at(credential, "/expires_at").parse::<Timestamp>();
    ends.is_ok_and(|ends| ends.as_second().saturating_sub(Timestamp::now().as_second()) >= LEFT_S_MIN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tool_is_led_to_its_resource_in_its_role_and_keeps_the_rest() {
        let credential = json!({ "user": "alice", "database": "shop" });
        let pair = |name: &str, value: &str| (name.as_bytes().to_vec(), value.as_bytes().to_vec());
        let said = Parameters {
            version: ProtocolVersion::V3_0,
            pairs: vec![
                pair("User", "postgres"),
                pair("application_name", "dbeaver"),
                pair("options", "-c statement_timeout=5s"),
                pair("DATABASE", "template1"),
            ],
        };
        assert_eq!(
            said.led(&credential, Some("shop-reader")),
            [
                pair("user", "alice"),
                pair("database", "shop"),
                pair("application_name", "dbeaver"),
                pair("options", "-c statement_timeout=5s -c countersign.role=shop-reader"),
            ]
        );
        assert_eq!(said.led(&credential, None)[3], pair("options", "-c statement_timeout=5s"));
    }

    #[test]
    fn a_credential_that_is_about_to_end_is_not_used_again() {
        let ends = |seconds: i64| {
            let at = Timestamp::now().checked_add(jiff::SignedDuration::from_secs(seconds)).unwrap();
            json!({ "expires_at": at.to_string() })
        };
        assert!(is_fresh(&ends(LEFT_S_MIN + 30)));
        assert!(!is_fresh(&ends(LEFT_S_MIN - 30)));
        assert!(!is_fresh(&ends(-1)));
        assert!(!is_fresh(&json!({})));
    }
}
