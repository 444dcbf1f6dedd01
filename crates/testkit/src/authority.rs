//! An authority that lives for one test, and the certificates that it gives.

use std::sync::Arc;

use anyhow::{Result, anyhow};
use countersign_doors::postgres::ServerTls;
use rcgen::{
    BasicConstraints, Certificate, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};
use rustls::ServerConfig;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// Under which names a server of a test is reached.
pub const NAMES: [&str; 2] = ["localhost", "127.0.0.1"];

/// An authority.
#[derive(Debug)]
pub struct Authority {
    /// Its certificate, in PEM.
    pub pem: String,
    issuer: Issuer<'static, KeyPair>,
}

/// A certificate with its key.
#[derive(Debug)]
pub struct Issued {
    /// The certificate.
    pub certificate: CertificateDer<'static>,
    /// The certificate, in PEM.
    pub certificate_pem: String,
    /// The key, in PEM.
    pub key_pem: String,
    key: KeyPair,
}

impl Authority {
    /// A new one.
    ///
    /// # Errors
    /// No key can be made.
    pub fn new() -> Result<Self> {
        let mut params = CertificateParams::default();
        // Two of one name would be taken for each other, up to the signature.
        let mut number = [0; 8];
        aws_lc_rs::rand::fill(&mut number).map_err(|_| anyhow!("there is no randomness"))?;
        let name = format!("authority {} of a test", u64::from_be_bytes(number));
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate()?;
        let pem = params.self_signed(&key)?.pem();
        Ok(Self { pem, issuer: Issuer::new(params, key) })
    }

    /// A certificate for a server that is reached under these names or addresses.
    ///
    /// # Errors
    /// It can't be made.
    pub fn server(&self, names: &[&str]) -> Result<Issued> {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names)?;
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        self.issue(params)
    }

    /// A certificate that a server has made for itself: an authority's and a server's in one.
    ///
    /// # Errors
    /// It can't be made.
    pub fn of_itself(names: &[&str]) -> Result<Issued> {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names)?;
        params.distinguished_name.push(DnType::CommonName, "a server of a test");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate()?;
        let made = params.self_signed(&key)?;
        Ok(Issued::of(&made, key))
    }

    /// A certificate for an account of a server.
    ///
    /// # Errors
    /// It can't be made.
    pub fn client(&self, account: &str) -> Result<Issued> {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, account);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        self.issue(params)
    }

    fn issue(&self, params: CertificateParams) -> Result<Issued> {
        let key = KeyPair::generate()?;
        let made = params.signed_by(&key, &self.issuer)?;
        Ok(Issued::of(&made, key))
    }
}

impl Issued {
    fn of(made: &Certificate, key: KeyPair) -> Self {
        Self {
            certificate: made.der().clone(),
            certificate_pem: made.pem(),
            key_pem: key.serialize_pem(),
            key,
        }
    }

    /// A server's side of TLS that shows this certificate.
    ///
    /// # Errors
    /// The library refuses it.
    pub fn server_config(&self) -> Result<ServerConfig> {
        let key = PrivateKeyDer::try_from(self.key.serialize_der())
            .map_err(|error| anyhow!("a bad key: {error}"))?;
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        Ok(ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(vec![self.certificate.clone()], key)?)
    }

    /// The door's side of TLS that shows this certificate.
    ///
    /// # Errors
    /// The library refuses it.
    pub fn door(&self) -> Result<ServerTls> {
        let key = PrivateKeyDer::try_from(self.key.serialize_der())
            .map_err(|error| anyhow!("a bad key: {error}"))?;
        let config = countersign_doors::postgres::server_config(vec![self.certificate.clone()], key)?;
        Ok(ServerTls::new(&config, &self.certificate))
    }
}
