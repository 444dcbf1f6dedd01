//! A gateway in front of a scratch database, with the sample bundle in force: alice asks, bob answers.

use std::collections::BTreeMap;
use std::future::Future;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result, anyhow, bail};
use countersign_core::envelope::Terms;
use countersign_core::{At, GrantId, PrincipalId, RequestId, ResourceId, RoleId, Span};
use countersign_doors::postgres::{Door, DoorSettings};
use countersign_engine::people::Caller;
use countersign_engine::ports::{Clock, Entropy, Ports, SecretSource};
use countersign_engine::settings::Argon2Cost;
use countersign_engine::testing::ManualClock;
use countersign_engine::views::{GrantFilter, RequestFilter, RequestView};
use countersign_engine::{
    AskAccess, Engine, MasterKey, Minted, Settings, SignInClient, SqliteStore, Via, Yes,
};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio_postgres::{Client, NoTls};
use zeroize::Zeroizing;

use crate::authority::{Authority, NAMES};
use crate::postgres::{Database, PASSWORD, ScratchPostgres};

/// The password of every person in the house.
pub const PERSON_PASSWORD: &str = "correct horse battery staple";
/// The upstream accounts of the sample bundle.
const ACCOUNTS: [&str; 3] = ["shop_reader", "shop_writer", "shop_looker"];
/// How long a test waits for something that happens at once.
const SOON: Duration = Duration::from_secs(10);

/// A running gateway.
pub struct House {
    /// The engine beneath.
    pub engine: Engine,
    /// Where the door is.
    pub door: SocketAddr,
    /// The certificate of the authority that vouches for the door.
    pub ca: PathBuf,
    /// The database behind it.
    pub database: Database,
    stop: Option<oneshot::Sender<()>>,
    running: Option<JoinHandle<()>>,
    _data: TempDir,
}

impl House {
    /// Opens a house on a fresh database, with the sample bundle as it is.
    ///
    /// # Errors
    /// Whatever is missing.
    pub async fn open() -> Result<Self> {
        Self::with(|_| {}).await
    }

    /// As [`House::open`], with a bundle that was changed first.
    ///
    /// # Errors
    /// Whatever is missing.
    pub async fn with(change: impl FnOnce(&mut BTreeMap<String, String>)) -> Result<Self> {
        Self::before(ScratchPostgres::shared().await?.database().await?, change).await
    }

    /// As [`House::with`], in front of this database.
    ///
    /// # Errors
    /// Whatever is missing.
    pub async fn before(
        database: Database,
        change: impl FnOnce(&mut BTreeMap<String, String>),
    ) -> Result<Self> {
        Self::built(database, change, DoorSettings::new(Arc::new(Random))).await
    }

    /// As [`House::before`], by bytes: each read of the door's takes one, so that every end of every read is somewhere within
    /// or between messages.
    ///
    /// # Errors
    /// Whatever is missing.
    pub async fn by_bytes(
        database: Database,
        change: impl FnOnce(&mut BTreeMap<String, String>),
    ) -> Result<Self> {
        let settings = DoorSettings { read_bytes_max: 1, ..DoorSettings::new(Arc::new(Random)) };
        Self::built(database, change, settings).await
    }

    /// As [`House::with`], with the clock in the hand of the test.
    ///
    /// # Errors
    /// Whatever is missing.
    pub async fn on_clock(
        clock: &ManualClock,
        change: impl FnOnce(&mut BTreeMap<String, String>),
    ) -> Result<Self> {
        let database = ScratchPostgres::shared().await?.database().await?;
        let ports = Ports { clock: Arc::new(clock.clone()), ..system_ports() };
        Self::with_ports(database, change, DoorSettings::new(Arc::new(Random)), ports).await
    }

    async fn built(
        database: Database,
        change: impl FnOnce(&mut BTreeMap<String, String>),
        door_settings: DoorSettings,
    ) -> Result<Self> {
        Self::with_ports(database, change, door_settings, system_ports()).await
    }

    async fn with_ports(
        database: Database,
        change: impl FnOnce(&mut BTreeMap<String, String>),
        door_settings: DoorSettings,
        ports: Ports,
    ) -> Result<Self> {
        let mut files = bundle(&database)?;
        change(&mut files);
        let data = tempfile::tempdir()?;
        let store = SqliteStore::open(&data.path().join("ledger.db"))?;
        let settings = Settings {
            argon2: Argon2Cost { memory_kib: 64, passes: 1 },
            console_url: "http://localhost:1".into(),
            ..Settings::default()
        };
        let engine = Engine::start(Arc::new(store), MasterKey::new([7; 32]), ports, settings)?;
        let dave = PrincipalId::new("dave");
        engine.first_bundle(files, &dave).await.map_err(|error| anyhow!("{error:?}"))?;
        for account in ACCOUNTS {
            engine.put_secret(account, PASSWORD).await?;
        }
        for person in ["alice", "bob", "carol", "dave"] {
            engine.set_password(&PrincipalId::new(person), PERSON_PASSWORD).await?;
        }
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let authority = Authority::new()?;
        let ca = data.path().join("ca.pem");
        std::fs::write(&ca, &authority.pem)?;
        let tls = authority.server(&NAMES)?.door()?;
        let door = Door::new(engine.clone(), listener, Some(tls), door_settings)?;
        let address = door.local_addr();
        let (stop, stopped) = oneshot::channel::<()>();
        let running = tokio::spawn(async move {
            door.run(async move {
                let _ = stopped.await;
            })
            .await;
        });
        Ok(Self {
            engine,
            door: address,
            ca,
            database,
            stop: Some(stop),
            running: Some(running),
            _data: data,
        })
    }

    /// Closes the door and the ledger.
    pub async fn close(mut self) {
        drop(self.stop.take());
        if let Some(running) = self.running.take() {
            let _ = running.await;
        }
        self.engine.stop().await;
    }

    /// Signs a person in.
    ///
    /// # Errors
    /// There is no such person.
    pub async fn person(&self, name: &str) -> Result<Caller> {
        let client = SignInClient { source: None, via: Via::Cli, user_agent: None };
        let signed_in =
            self.engine.sign_in(name, PERSON_PASSWORD, client).await?.done().context("a second factor")?;
        self.engine.caller(&signed_in.token, Via::Cli, None).await.context("not signed in")
    }

    /// A fresh credential for the shop.
    ///
    /// # Errors
    /// It is not permitted.
    pub async fn credential(&self, name: &str) -> Result<Minted> {
        let caller = self.person(name).await?;
        Ok(self.engine.mint_credential(&caller, &ResourceId::new("shop")).await?)
    }

    /// How a driver reaches the shop through the door, with a fresh credential.
    ///
    /// # Errors
    /// No credential is permitted.
    pub async fn login(&self, name: &str) -> Result<tokio_postgres::Config> {
        let credential = self.credential(name).await?;
        let mut config = tokio_postgres::Config::new();
        config.host("127.0.0.1").port(self.door.port()).dbname("shop");
        config.user(&credential.user).password(credential.password.as_str());
        Ok(config)
    }

    /// A driver's connection through the door, in clear: it is loopback.
    ///
    /// # Errors
    /// No credential is permitted, or the door refuses.
    pub async fn connect(&self, name: &str) -> Result<Client> {
        let (client, connection) = self.login(name).await?.connect(NoTls).await?;
        tokio::spawn(connection);
        Ok(client)
    }

    /// Asks for a role and has bob say yes.
    ///
    /// # Errors
    /// Somebody said no.
    pub async fn grant(&self, name: &str, role: &str, lasting: Span) -> Result<GrantId> {
        let ask = AskAccess { role: RoleId::new(role), lasting, purpose: "test".into(), ticket: None };
        let request = self.engine.ask(&self.person(name).await?, ask).await?;
        self.engine.approve(&self.person("bob").await?, request, None, None).await?;
        let caller = self.person(name).await?;
        let grants = self.engine.grant_views(&caller, GrantFilter::default());
        grants.first().map(|view| view.grant.id).context("no grant")
    }

    /// Waits until bob has a held action in his inbox.
    ///
    /// # Errors
    /// There is none in time.
    pub async fn held(&self) -> Result<RequestView> {
        let bob = self.person("bob").await?;
        let mut changed = self.engine.changed();
        let waiting = async {
            loop {
                let filter = RequestFilter { state: Some("pending"), inbox: true, mine: false, limit: 0 };
                if let Some(found) = self.engine.request_views(&bob, filter).into_iter().next() {
                    return Ok(self.engine.request_view(&bob, found.id)?);
                }
                changed.changed().await?;
            }
        };
        tokio::time::timeout(SOON, waiting).await.context("nothing was held")?
    }

    /// Has bob say yes.
    ///
    /// # Errors
    /// He may not.
    pub async fn approve(&self, request: RequestId) -> Result<()> {
        Ok(self.engine.approve(&self.person("bob").await?, request, None, None).await?)
    }

    /// Has bob say yes, and what it covers.
    ///
    /// # Errors
    /// He may not.
    pub async fn approve_as(&self, request: RequestId, terms: Terms) -> Result<()> {
        let yes = Yes { terms, ..Yes::default() };
        Ok(self.engine.approve_as(&self.person("bob").await?, request, yes).await?)
    }

    /// Has bob say no.
    ///
    /// # Errors
    /// He may not.
    pub async fn deny(&self, request: RequestId, comment: &str) -> Result<()> {
        Ok(self.engine.deny(&self.person("bob").await?, request, Some(comment.to_owned())).await?)
    }

    /// Waits until a request is in this state.
    ///
    /// # Errors
    /// It is not in time.
    pub async fn becomes(&self, request: RequestId, state: &str) -> Result<()> {
        let mut changed = self.engine.changed();
        let waiting = async {
            loop {
                let snapshot = self.engine.snapshot();
                let found = snapshot.book.request(request).map(|found| found.state.as_str());
                if found == Some(state) {
                    return Ok(());
                }
                if changed.changed().await.is_err() {
                    bail!("the engine stopped");
                }
            }
        };
        tokio::time::timeout(SOON, waiting).await.with_context(|| format!("`{request}` is not {state}"))?
    }

    /// Waits until no session is open.
    ///
    /// # Errors
    /// One still is.
    pub async fn deserted(&self) -> Result<()> {
        let mut changed = self.engine.changed();
        let waiting = async {
            while self.engine.snapshot().book.sessions().next().is_some() {
                let _ = changed.changed().await;
            }
        };
        tokio::time::timeout(SOON, waiting).await.context("a session is still open")
    }
}

/// The sample bundle, with this database in it.
fn bundle(database: &Database) -> Result<BTreeMap<String, String>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../demo/bundle");
    let mut files = BTreeMap::new();
    for entry in std::fs::read_dir(&folder)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let text = std::fs::read_to_string(entry.path())?
            .replace("port = 5432", &format!("port = {}", database.port))
            .replace("database = \"shop\"", &format!("database = \"{}\"", database.name));
        files.insert(name, text);
    }
    Ok(files)
}

/// The system's clock and randomness; no secret is known outside the engine's own store.
#[must_use]
pub fn system_ports() -> Ports {
    Ports { clock: Arc::new(WallClock), entropy: Arc::new(Random), secrets: Arc::new(NoSecrets) }
}

/// The system's clock.
struct WallClock;

impl Clock for WallClock {
    #[expect(clippy::disallowed_methods, reason = "tests of connections run in real time")]
    fn now(&self) -> At {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        At(i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
    }

    fn sleep_until(&self, at: At) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        let left = u64::try_from(at.since(self.now()).0).unwrap_or(0);
        Box::pin(tokio::time::sleep(Duration::from_micros(left)))
    }
}

/// The system's randomness.
pub(crate) struct Random;

impl Entropy for Random {
    fn fill(&self, into: &mut [u8]) {
        // A test without randomness fails where it matters.
        let _ = aws_lc_rs::rand::fill(into);
    }

    #[expect(clippy::disallowed_methods, reason = "tests of connections run in real time")]
    fn id(&self) -> u128 {
        uuid::Uuid::now_v7().as_u128()
    }
}

/// All secrets are in the engine's own store.
struct NoSecrets;

impl SecretSource for NoSecrets {
    fn resolve(&self, reference: &str) -> Result<Zeroizing<String>, String> {
        Err(format!("`{reference}` is not known in tests"))
    }
}
