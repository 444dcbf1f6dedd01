//! What the roof lends to the floors below: the clock, randomness, secrets kept elsewhere, keys, certificates.

use std::fs;
use std::future::Future;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result, anyhow, bail};
use aws_lc_rs::rand;
use countersign_core::{At, PrincipalId};
use countersign_engine::ports::{Clock, Entropy, Ports, SecretSource};
use countersign_engine::{Engine, Settings, SqliteStore, Store};
use countersign_integrations::oidc::WorkloadIssuers;
use nix::fcntl::{Flock, FlockArg};
use nix::sys::resource::{Resource, setrlimit};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use zeroize::Zeroizing;

use crate::home::write_private;
use crate::keepers::Master;

/// How long a certificate that the gateway makes for itself is valid.
const CERTIFICATE_DAYS: i64 = 397;
/// How long its authority is.
const AUTHORITY_DAYS: i64 = 3_650;
/// How long a sleep may be at most before the wall clock is asked again: machines are suspended, clocks are set.
const NAP: Duration = Duration::from_secs(1);

/// Chooses the cryptographic provider once, before anything uses TLS.
///
/// # Errors
/// Another one was chosen before.
pub fn install_crypto() -> Result<()> {
    let provider = rustls::crypto::aws_lc_rs::default_provider();
    provider.install_default().map_err(|_| anyhow!("a cryptographic provider is installed already"))
}

/// Sees to it that what this process knows is not written to a disk when it crashes, and not read by other programs of its
/// user: upstream secrets pass through it, and the keys of the house are in it.
pub fn keep_memory_private() {
    let no_dumps = setrlimit(Resource::RLIMIT_CORE, 0, 0);
    #[cfg(target_os = "linux")]
    let no_dumps = no_dumps.and_then(|()| nix::sys::prctl::set_dumpable(false));
    if let Err(error) = no_dumps {
        crate::output::note(&format!("core dumps of this process could not be ruled out: {error}"));
    }
}

/// The ports of a real gateway.
#[must_use]
pub fn ports() -> Ports {
    Ports {
        clock: Arc::new(WallClock),
        entropy: Arc::new(SystemEntropy::default()),
        secrets: Arc::new(OutsideSecrets),
    }
}

/// The system's clock.
#[derive(Debug)]
pub struct WallClock;

impl Clock for WallClock {
    #[expect(clippy::disallowed_methods, reason = "the roof is where the clock is read")]
    fn now(&self) -> At {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        At(i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
    }

    fn sleep_until(&self, at: At) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        Box::pin(async move {
            loop {
                let left = at.0.saturating_sub(WallClock.now().0);
                let Ok(left @ 1..) = u64::try_from(left) else { return };
                tokio::time::sleep(Duration::from_micros(left).min(NAP)).await;
            }
        })
    }
}

/// The system's randomness.
#[derive(Debug, Default)]
pub struct SystemEntropy {
    ready: Mutex<Ready>,
}

/// How much randomness is drawn at once, in bytes.
const READY_BYTES: usize = 2_048;
/// What is longer is drawn by itself: keys and tokens are, salts and nonces, of which each statement needs some, are not.
const DRAWN_ALONE_BYTES: usize = 17;

/// Randomness that nobody has been given yet.
#[derive(Debug)]
struct Ready {
    bytes: Zeroizing<[u8; READY_BYTES]>,
    left: usize,
}

impl Default for Ready {
    fn default() -> Self {
        Self { bytes: Zeroizing::new([0; READY_BYTES]), left: 0 }
    }
}

impl Entropy for SystemEntropy {
    fn fill(&self, into: &mut [u8]) {
        if into.len() < DRAWN_ALONE_BYTES {
            self.ready.lock().unwrap_or_else(PoisonError::into_inner).give(into);
        } else {
            draw(into);
        }
    }

    #[expect(clippy::disallowed_methods, reason = "the roof is where identifiers are minted")]
    fn id(&self) -> u128 {
        uuid::Uuid::now_v7().as_u128()
    }
}

impl Ready {
    /// Gives away bytes that were given to nobody, and forgets them.
    fn give(&mut self, into: &mut [u8]) {
        if self.left < into.len() {
            draw(self.bytes.as_mut_slice());
            self.left = READY_BYTES;
        }
        let from = self.left.saturating_sub(into.len());
        if let Some(given) = self.bytes.get_mut(from..self.left) {
            into.copy_from_slice(given);
            given.fill(0);
        }
        self.left = from;
    }
}

/// Draws from the system.
fn draw(into: &mut [u8]) {
    // Without randomness nothing here is safe: better no gateway than a predictable one.
    if rand::fill(into).is_err() {
        std::process::abort();
    }
}

/// Random bytes as text that needs no quoting anywhere.
#[must_use]
pub fn random_text(bytes: usize) -> String {
    let mut random = vec![0; bytes];
    draw(&mut random);
    random.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Secrets in the environment, in files, and in systemd's credentials.
#[derive(Debug)]
pub struct OutsideSecrets;

impl SecretSource for OutsideSecrets {
    fn resolve(&self, reference: &str) -> Result<Zeroizing<String>, String> {
        match reference.split_once(':') {
            Some(("env", name)) => std::env::var(name)
                .map(Zeroizing::new)
                .map_err(|_| format!("the environment has no `{name}`; set it where the gateway is started")),
            Some(("file", path)) => fs::read_to_string(path)
                .map(|text| Zeroizing::new(text.trim_end_matches(['\r', '\n']).to_owned()))
                .map_err(|error| {
                    format!("`{path}` cannot be read ({error}); check that the gateway may read it")
                }),
            _ => Err(format!("`{reference}` is not a reference to a secret; write env:NAME or file:PATH")),
        }
    }
}

/// A data folder that this process alone uses.
pub struct DataFolder {
    path: PathBuf,
    _lock: Flock<fs::File>,
}

impl DataFolder {
    /// Makes the folder if need be, and locks it.
    ///
    /// # Errors
    /// It cannot be written, or another gateway uses it.
    pub fn open(path: &Path) -> Result<Self> {
        let path = std::path::absolute(path)?;
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&path)
            .with_context(|| format!("could not make the data folder `{}`", path.display()))?;
        let file = fs::OpenOptions::new().create(true).append(true).open(path.join("lock"))?;
        let lock = Flock::lock(file, FlockArg::LockExclusiveNonblock).map_err(|_| {
            anyhow!("another gateway uses `{}`; stop it, or name another data folder", path.display())
        })?;
        Ok(Self { path, _lock: lock })
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Opens the store, has its keys unwrapped, and starts the engine on it.
    ///
    /// # Errors
    /// The ledger is damaged, the master key is another one, its keeper does not answer, or the disk fails.
    pub async fn engine(&self, master: &Master, settings: Settings) -> Result<Engine> {
        let keepers = master.keepers(&self.path)?;
        let store = SqliteStore::open(&self.path.join("countersign.db"))
            .with_context(|| format!("could not open the store in `{}`", self.path.display()))?;
        let store: Arc<dyn Store> = Arc::new(store);
        let ports = ports();
        let keys = keepers.open(&*store, &ports).await?;
        let engine = Engine::start_with(store, keys, ports, settings)?;
        let issuers = WorkloadIssuers::new().context("no client for issuers of workloads could be made")?;
        engine.check_jobs_with(Arc::new(issuers));
        Ok(engine)
    }
}

/// The engine of a gateway that is stopped, and its data folder, which nobody else uses as long as it is held.
async fn stopped(data: &Path, config: Option<&Path>) -> Result<(DataFolder, Engine)> {
    if !data.join("countersign.db").exists() {
        bail!("there is no gateway's data in `{}`", data.display());
    }
    let master = config.map(crate::configuration::master_of).transpose()?.unwrap_or_default();
    let folder = DataFolder::open(data)?;
    let engine = folder.engine(&master, Settings::default()).await?;
    Ok((folder, engine))
}

/// Sets a local person's password while the gateway is stopped.
///
/// # Errors
/// The gateway runs, nobody has that name, or the password is too weak.
pub async fn set_password(name: &str, data: &Path, config: Option<&Path>) -> Result<()> {
    let (_folder, engine) = stopped(data, config).await?;
    let principal: PrincipalId = name.parse()?;
    let first = rpassword::prompt_password("new password: ").context("could not read the password")?;
    if first != *rpassword::prompt_password("once more: ")? {
        bail!("the two are not the same; nothing was changed");
    }
    let done = engine.set_password(&principal, &first).await;
    engine.stop().await;
    done?;
    crate::output::line(&format!("{name} has a new password."))
}

/// Takes away what somebody has bound beside a password, while the gateway is stopped. It is recorded.
///
/// # Errors
/// The gateway runs, or nothing is bound.
pub async fn reset_authenticators(name: &str, data: &Path, config: Option<&Path>) -> Result<()> {
    let (_folder, engine) = stopped(data, config).await?;
    let principal: PrincipalId = name.parse()?;
    let done = engine.clear_authenticators(&principal).await;
    engine.stop().await;
    done?;
    crate::output::line(&format!("{name} has bound nothing any more; a password is enough until they do."))
}

/// A certificate with its key, ready for a listener.
pub struct Certificate {
    /// What a listener needs.
    pub config: Arc<ServerConfig>,
    /// What a door's needs: its clients may show certificates of their own.
    pub door: Arc<ServerConfig>,
    /// The certificate itself, for channel binding.
    pub end: CertificateDer<'static>,
    /// The authority that clients should trust, if it is ours.
    pub authority: Option<Authority>,
}

/// The gateway's own authority.
#[derive(Clone)]
pub struct Authority {
    /// Where it is.
    pub path: PathBuf,
    /// What it is.
    pub pem: String,
}

impl Certificate {
    /// The operator's own.
    ///
    /// # Errors
    /// A file cannot be read, or is not PEM.
    pub fn given(chain: &Path, key: &Path) -> Result<Self> {
        let read = || format!("could not read the certificate `{}`", chain.display());
        let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_file_iter(chain)
            .with_context(read)?
            .collect::<Result<_, _>>()
            .with_context(read)?;
        let key = PrivateKeyDer::from_pem_file(key)
            .with_context(|| format!("could not read the private key `{}`", key.display()))?;
        Self::of(chain, key, None)
    }

    /// One made by the gateway's own authority, which is made at first start. It is made anew at each start, so
    /// that it never runs out while somebody looks away.
    ///
    /// # Errors
    /// The data folder cannot be written.
    pub fn own(folder: &DataFolder, names: &[String]) -> Result<Self> {
        let (authority, issuer) = authority(folder)?;
        let mut params = CertificateParams::new(names)?;
        params
            .distinguished_name
            .push(DnType::CommonName, names.first().map_or("countersign", String::as_str));
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.use_authority_key_identifier_extension = true;
        (params.not_before, params.not_after) = validity(CERTIFICATE_DAYS)?;
        let key = KeyPair::generate()?;
        let end = params.signed_by(&key, &issuer)?;
        let key = PrivateKeyDer::try_from(key.serialize_der())
            .map_err(|error| anyhow!("a bad key was made: {error}"))?;
        let ca = CertificateDer::from_pem_slice(authority.pem.as_bytes())?;
        Self::of(vec![end.der().clone(), ca], key, Some(authority))
    }

    fn of(
        chain: Vec<CertificateDer<'static>>,
        key: PrivateKeyDer<'static>,
        authority: Option<Authority>,
    ) -> Result<Self> {
        let end = chain.first().context("the certificate file holds no certificate")?.clone();
        let door = countersign_doors::postgres::server_config(chain.clone(), key.clone_key())?;
        let config = ServerConfig::builder().with_no_client_auth().with_single_cert(chain, key)?;
        Ok(Self { config: Arc::new(config), door: Arc::new(door), end, authority })
    }
}

fn authority(folder: &DataFolder) -> Result<(Authority, Issuer<'static, KeyPair>)> {
    let (path, key_path) = (folder.path().join("ca.pem"), folder.path().join("ca.key"));
    if !path.exists() || !key_path.exists() {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, "Countersign authority of this gateway");
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        (params.not_before, params.not_after) = validity(AUTHORITY_DAYS)?;
        let key = KeyPair::generate()?;
        let made = params.self_signed(&key)?;
        write_private(&key_path, key.serialize_pem().as_bytes())?;
        write_private(&path, made.pem().as_bytes())?;
    }
    let pem = fs::read_to_string(&path)?;
    let key = KeyPair::from_pem(&fs::read_to_string(&key_path)?).context("the authority's key is damaged")?;
    let issuer = Issuer::from_ca_cert_pem(&pem, key).context("the authority's certificate is damaged")?;
    Ok((Authority { path, pem }, issuer))
}

/// From yesterday, so that a clock that is a little behind is no obstacle.
fn validity(days: i64) -> Result<(time::OffsetDateTime, time::OffsetDateTime)> {
    let now = time::OffsetDateTime::from_unix_timestamp(WallClock.now().0 / 1_000_000)?;
    Ok((now - time::Duration::days(1), now + time::Duration::days(days)))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn randomness_is_given_away_once() {
        let entropy = SystemEntropy::default();
        let mut seen = BTreeSet::new();
        for length in (8..=40).cycle().take(2_000) {
            let mut bytes = vec![0; length];
            entropy.fill(&mut bytes);
            assert!(seen.insert(bytes[..8].to_vec()), "the same again");
        }
        let ready = entropy.ready.lock().unwrap();
        assert!(ready.bytes[ready.left..].iter().all(|byte| *byte == 0), "what was given away is kept");
        assert!(ready.bytes[..ready.left].chunks(8).all(|bytes| !seen.contains(bytes)));
    }
}
