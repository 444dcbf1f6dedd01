//! TLS on both sides: the door's own certificate towards clients, the operator's demands towards servers.
//!
//! Towards a server there are four words, PostgreSQL's own: `disable`, `require` (encrypted, whoever answers),
//! `verify-ca` (a certificate of the given authority), `verify-full` (and made out to that host). The words that
//! fall back to clear text when the other side prefers it do not exist here.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;
use std::sync::Arc;

use countersign_engine::ClientIdentity;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{WebPkiServerVerifier, verify_server_name};
use rustls::crypto::{
    CryptoProvider, WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature,
};
use rustls::server::ParsedCertificate;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{CertificateError, DigitallySignedStruct, DistinguishedName, RootCertStore, SignatureScheme};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use sha2::{Digest, Sha256, Sha384, Sha512};

/// The application protocol that PostgreSQL clients name since version 17.
pub(crate) const ALPN: &[u8] = b"postgresql";

/// The door's side of TLS.
#[derive(Clone)]
pub struct ServerTls {
    pub(crate) config: Arc<rustls::ServerConfig>,
    /// Hash of the certificate, for channel binding (RFC 5929, `tls-server-end-point`).
    pub(crate) end_point: Option<Vec<u8>>,
}

impl ServerTls {
    /// TLS with this configuration, whose certificate is `certificate`.
    #[must_use]
    pub fn new(config: &rustls::ServerConfig, certificate: &CertificateDer<'_>) -> Self {
        let mut config = config.clone();
        config.alpn_protocols = vec![ALPN.to_vec()];
        Self { config: Arc::new(config), end_point: end_point(certificate) }
    }
}

impl fmt::Debug for ServerTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ServerTls")
    }
}

/// The configuration of a door with this certificate. A client may show a certificate of its own: whoever vouches for it is not
/// asked, for nobody is let in by it; it only tells that the client has its key, and a credential may be bound to that.
///
/// # Errors
/// The key does not belong to the certificate, or there is none.
pub fn server_config(
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
) -> Result<rustls::ServerConfig, rustls::Error> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let verifier = AnyClient(provider.signature_verification_algorithms);
    rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_client_cert_verifier(Arc::new(verifier))
        .with_single_cert(chain, key)
}

/// That whoever shows a certificate has its key is checked with the algorithms in this field.
macro_rules! checks_signatures {
    ($($field:tt).+) => {
        fn verify_tls12_signature(
            &self,
            message: &[u8],
            cert: &CertificateDer<'_>,
            dss: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, rustls::Error> {
            verify_tls12_signature(message, cert, dss, &self.$($field).+)
        }

        fn verify_tls13_signature(
            &self,
            message: &[u8],
            cert: &CertificateDer<'_>,
            dss: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, rustls::Error> {
            verify_tls13_signature(message, cert, dss, &self.$($field).+)
        }

        fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
            self.$($field).+.supported_schemes()
        }
    };
}

/// Clients that show any certificate, or none. That they have its key is checked.
#[derive(Debug)]
struct AnyClient(WebPkiSupportedAlgorithms);

impl ClientCertVerifier for AnyClient {
    fn client_auth_mandatory(&self) -> bool {
        false
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        Ok(ClientCertVerified::assertion())
    }

    checks_signatures!(0);
}

/// What is demanded of a server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Mode {
    /// In clear.
    Disable,
    /// Encrypted, whoever answers.
    Require,
    /// With a certificate of the given authority.
    VerifyCa,
    /// And made out to the host.
    #[default]
    VerifyFull,
}

impl FromStr for Mode {
    type Err = TlsError;

    fn from_str(word: &str) -> Result<Self, TlsError> {
        match word {
            "disable" => Ok(Self::Disable),
            "require" => Ok(Self::Require),
            "verify-ca" => Ok(Self::VerifyCa),
            "verify-full" => Ok(Self::VerifyFull),
            other => Err(TlsError::Mode(other.to_owned())),
        }
    }
}

/// TLS towards a server cannot be set up.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TlsError {
    #[error("`{0}` is not a TLS mode; use `disable`, `require`, `verify-ca` or `verify-full`")]
    Mode(String),
    #[error("TLS mode `{0}` needs an authority; set `tls_ca` to a PEM file")]
    NoAuthority(&'static str),
    #[error(
        "the authority's certificate `{path}` can't be used; give a PEM file with at least one certificate"
    )]
    Authority {
        path: String,
        #[source]
        cause: Box<dyn std::error::Error + Send + Sync>,
    },
    #[error(
        "the account's client certificate can't be used; give PEM texts of a certificate and of its unencrypted key"
    )]
    Identity(#[source] Box<dyn std::error::Error + Send + Sync>),
    #[error("the TLS library refuses the configuration")]
    Library(#[source] rustls::Error),
    #[error("`{0}` is not a host name or address; correct the resource's `host`")]
    Host(String),
}

/// The client configuration for a mode.
pub(crate) fn client_config(
    mode: Mode,
    ca: Option<&str>,
    identity: Option<&ClientIdentity>,
) -> Result<Arc<rustls::ClientConfig>, TlsError> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let verifier: Arc<dyn ServerCertVerifier> = match mode {
        Mode::Disable | Mode::Require => Arc::new(Anybody(provider.signature_verification_algorithms)),
        Mode::VerifyCa => Arc::new(AnyName(trusted(&provider, ca, "verify-ca")?)),
        Mode::VerifyFull => Arc::new(trusted(&provider, ca, "verify-full")?),
    };
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(TlsError::Library)?
        .dangerous()
        .with_custom_certificate_verifier(verifier);
    let mut config = match identity {
        None => config.with_no_client_auth(),
        Some(identity) => {
            let (chain, key) = shown(identity)?;
            config.with_client_auth_cert(chain, key).map_err(|cause| TlsError::Identity(cause.into()))?
        }
    };
    config.alpn_protocols = vec![ALPN.to_vec()];
    Ok(Arc::new(config))
}

/// The certificates and the key in an account's PEM texts.
fn shown(
    identity: &ClientIdentity,
) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), TlsError> {
    let unusable = |cause: rustls_pki_types::pem::Error| TlsError::Identity(cause.into());
    let chain = CertificateDer::pem_slice_iter(identity.certificate.as_bytes()).collect::<Result<_, _>>();
    let key = PrivateKeyDer::from_pem_slice(identity.key.as_bytes());
    Ok((chain.map_err(unusable)?, key.map_err(unusable)?))
}

/// The name to verify and to ask for.
pub(crate) fn server_name(host: &str) -> Result<ServerName<'static>, TlsError> {
    if let Ok(address) = host.parse::<IpAddr>() {
        return Ok(ServerName::IpAddress(address.into()));
    }
    ServerName::try_from(host.to_owned()).map_err(|_| TlsError::Host(host.to_owned()))
}

fn trusted(
    provider: &Arc<CryptoProvider>,
    ca: Option<&str>,
    mode: &'static str,
) -> Result<Trusted, TlsError> {
    let path = ca.ok_or(TlsError::NoAuthority(mode))?;
    let unusable = |cause: Box<dyn std::error::Error + Send + Sync>| TlsError::Authority {
        path: path.to_owned(),
        cause,
    };
    let (mut roots, mut themselves) = (RootCertStore::empty(), Vec::new());
    for certificate in CertificateDer::pem_file_iter(path).map_err(|cause| unusable(cause.into()))? {
        let certificate = certificate.map_err(|cause| unusable(cause.into()))?;
        roots.add(certificate.clone()).map_err(|cause| unusable(cause.into()))?;
        themselves.push(certificate);
    }
    let chain = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider))
        .build()
        .map_err(|cause| unusable(cause.into()))?;
    Ok(Trusted { chain, themselves, algorithms: provider.signature_verification_algorithms })
}

/// `verify-full`: a certificate of the authority, made out to the host. What a server makes for itself is often a certificate
/// of an authority too, and may be given as what is trusted: libpq takes that one for a server's as it is, and so is it here.
#[derive(Debug)]
struct Trusted {
    chain: Arc<WebPkiServerVerifier>,
    themselves: Vec<CertificateDer<'static>>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl ServerCertVerifier for Trusted {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let verified =
            self.chain.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now);
        match verified {
            // Its time was looked at before this can be said of it, its name was not.
            Err(rustls::Error::InvalidCertificate(CertificateError::Other(_)))
                if self.themselves.iter().any(|one| one == end_entity) =>
            {
                verify_server_name(&ParsedCertificate::try_from(end_entity)?, server_name)?;
                Ok(ServerCertVerified::assertion())
            }
            other => other,
        }
    }

    checks_signatures!(algorithms);
}

/// `require`: whoever answers. The handshake's signatures are checked all the same.
#[derive(Debug)]
struct Anybody(WebPkiSupportedAlgorithms);

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

    checks_signatures!(0);
}

/// `verify-ca`: a certificate of the authority, made out to anybody.
#[derive(Debug)]
struct AnyName(Trusted);

impl ServerCertVerifier for AnyName {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        match self.0.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now) {
            Err(rustls::Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) => Ok(ServerCertVerified::assertion()),
            other => other,
        }
    }

    checks_signatures!(0.algorithms);
}

/// `tls-server-end-point` (RFC 5929, section 4): the certificate under the hash of its own signature algorithm, where
/// MD5 and SHA-1 stand for SHA-256. `None` where that hash is undefined (Ed25519) or unknown.
#[must_use]
pub fn end_point(certificate: &CertificateDer<'_>) -> Option<Vec<u8>> {
    let bytes = certificate.as_ref();
    Some(match signature_hash(bytes)? {
        SignatureHash::Sha256 => Sha256::digest(bytes).to_vec(),
        SignatureHash::Sha384 => Sha384::digest(bytes).to_vec(),
        SignatureHash::Sha512 => Sha512::digest(bytes).to_vec(),
    })
}

#[derive(Debug, PartialEq, Eq)]
enum SignatureHash {
    Sha256,
    Sha384,
    Sha512,
}

/// `Certificate ::= SEQUENCE { tbsCertificate SEQUENCE, signatureAlgorithm SEQUENCE { OBJECT IDENTIFIER, ... }, ... }`
fn signature_hash(certificate: &[u8]) -> Option<SignatureHash> {
    const SEQUENCE: u8 = 0x30;
    const OBJECT_IDENTIFIER: u8 = 0x06;
    /// 1.2.840.113549.1.1
    const PKCS1: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01];
    /// 1.2.840.10045.4
    const ECDSA: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04];
    let (outer, _) = der(certificate, SEQUENCE)?;
    let (_, rest) = der(outer, SEQUENCE)?;
    let (algorithm, _) = der(rest, SEQUENCE)?;
    let (oid, _) = der(algorithm, OBJECT_IDENTIFIER)?;
    if let Some(rest) = oid.strip_prefix(PKCS1) {
        return match rest {
            [4 | 5 | 11] => Some(SignatureHash::Sha256),
            [12] => Some(SignatureHash::Sha384),
            [13] => Some(SignatureHash::Sha512),
            _ => None,
        };
    }
    match oid.strip_prefix(ECDSA)? {
        [1] | [3, 2] => Some(SignatureHash::Sha256),
        [3, 3] => Some(SignatureHash::Sha384),
        [3, 4] => Some(SignatureHash::Sha512),
        _ => None,
    }
}

/// The contents of the DER value at the front, which must have this tag, and what follows it.
fn der(bytes: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (&found, rest) = bytes.split_first()?;
    let (&first, rest) = rest.split_first()?;
    if found != tag {
        return None;
    }
    if first < 0x80 {
        return rest.split_at_checked(usize::from(first));
    }
    let (length, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
    if length.len() > 4 {
        return None;
    }
    let length = length.iter().fold(0_usize, |sum, byte| (sum << 8) | usize::from(*byte));
    rest.split_at_checked(length)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes_are_the_four_words() {
        assert_eq!("verify-full".parse::<Mode>().unwrap(), Mode::VerifyFull);
        for bad in ["prefer", "allow", "", "Require"] {
            assert!(bad.parse::<Mode>().is_err(), "{bad}");
        }
    }

    #[test]
    fn verifying_needs_an_authority() {
        let error = client_config(Mode::VerifyFull, None, None).unwrap_err();
        assert_eq!(
            error.to_string(),
            "TLS mode `verify-full` needs an authority; set `tls_ca` to a PEM file"
        );
        assert!(client_config(Mode::VerifyCa, Some("/nonexistent.pem"), None).is_err());
        assert!(client_config(Mode::Require, None, None).is_ok());
    }

    #[test]
    fn the_signature_algorithm_is_found_or_not_guessed() {
        let certificate = |oid: &[u8]| {
            let mut algorithm = vec![6, u8::try_from(oid.len()).unwrap()];
            algorithm.extend_from_slice(oid);
            let mut outer = vec![0x30, 2, 5, 0, 0x30];
            outer.push(u8::try_from(algorithm.len()).unwrap());
            outer.extend(algorithm);
            let mut all = vec![0x30, 0x81, u8::try_from(outer.len()).unwrap()];
            all.extend(outer);
            all
        };
        let ecdsa_sha256 = certificate(&[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 3, 2]);
        assert_eq!(signature_hash(&ecdsa_sha256), Some(SignatureHash::Sha256));
        let rsa_sha512 = certificate(&[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 13]);
        assert_eq!(signature_hash(&rsa_sha512), Some(SignatureHash::Sha512));
        assert_eq!(signature_hash(&certificate(&[0x2b, 0x65, 0x70])), None, "Ed25519 has no hash");
        for end in 0..rsa_sha512.len() {
            let _ = signature_hash(&rsa_sha512[..end]);
        }
        assert_eq!(signature_hash(&[0x30, 0x84, 0xff, 0xff, 0xff, 0xff]), None);
    }
}
