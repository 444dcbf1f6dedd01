//! The gateway: the binary itself, with a bundle that lets one person read and write without asking anybody.
//!
//! What a person would do first (put the bundle in force, hold the role, mint credentials) is done through the engine
//! before the gateway starts. When it has stopped, its ledger is read back: what was executed must be in it, once.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, anyhow, bail};
use countersign_core::{At, PrincipalId, ResourceId, RoleId, Span};
use countersign_engine::{
    AskAccess, Engine, MasterKey, Settings, SignInClient, SqliteStore, Store as _, Via,
};
use serde::Deserialize;

use crate::load::Login;
use crate::plan::Variant;
use crate::server::{ACCOUNT, PASSWORD};
use crate::stats::Process;
use countersign_testkit::leash::{Dog, Leash, free_port};

/// Who runs the statements, and whose password that is.
const PERSON: &str = "alice";
const PERSON_PASSWORD: &str = "correct horse battery staple";
/// The role that is held.
const ROLE: &str = "bench";
/// One resource for each way of recording, and one with a masked column; all are the same database.
const RESOURCES: [(&str, &str); 3] =
    [("alongside", "alongside"), ("release", "before-release"), (MASKED, "alongside")];
/// The one with a masked column.
const MASKED: &str = "masked";
/// How many lines are read back at a time.
const LINES: usize = 20_000;

/// A running gateway.
pub struct Gateway {
    /// Where its door listens.
    pub port: u16,
    /// The login for the resource whose reads are recorded alongside.
    pub alongside: Login,
    /// The login for the resource whose reads are recorded before their answer is released.
    pub release: Login,
    /// The login for the resource with a masked column.
    pub masked: Login,
    leash: Leash,
    data: PathBuf,
    bursts: RefCell<Vec<Expected>>,
}

/// A burst that went through the gateway.
struct Expected {
    resource: &'static str,
    /// When it began, as lines have it.
    from: String,
    executed: u64,
    recorded: u64,
    /// Whether anybody has counted.
    counted: bool,
}

/// A burst that has begun.
pub struct Began(Option<(&'static str, String)>);

/// What the ledger says of the bursts.
pub struct Count {
    bursts: Vec<Expected>,
    /// How many lines there are in all.
    pub lines: u64,
}

/// How much memory the gateway has.
pub struct Memory {
    /// Now.
    pub now_mib: f64,
    /// At most so far.
    pub most_mib: f64,
}

impl Gateway {
    /// Prepares a data folder below `own` and starts the gateway on it.
    pub fn start(own: &Path, upstream: u16, binary: Option<&Path>) -> Result<Self> {
        let (data, config) = (own.join("data"), own.join("config"));
        std::fs::create_dir_all(&data)?;
        std::fs::create_dir_all(&config)?;
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
        let [alongside, release, masked] = runtime.block_on(prepare(&data, upstream))?;
        let (port, console) = (free_port()?, free_port()?);
        std::fs::write(
            config.join("countersign.toml"),
            format!(
                "[console]\nlisten = \"127.0.0.1:{console}\"\n[postgres]\nlisten = \"127.0.0.1:{port}\"\n"
            ),
        )?;
        let program = [
            binary.map_or_else(beside, |named| Ok(named.to_owned()))?.display().to_string(),
            "serve".into(),
            "--config".into(),
            config.display().to_string(),
            "--data".into(),
            data.display().to_string(),
        ];
        let log = own.join("gateway.log");
        let dog = Dog {
            program: program.to_vec(),
            unprivileged: false,
            signal: "TERM",
            folder: None,
            log: &log,
            env: &[("RUST_LOG", "warn")],
        };
        let leash = Leash::start(&dog)?;
        leash.listens(port, &log)?;
        Ok(Self { port, alongside, release, masked, leash, data, bursts: RefCell::default() })
    }

    /// Its process.
    pub fn process(&self) -> Process {
        Process(self.leash.pid())
    }

    /// Says that a burst begins.
    pub fn begin(&self, variant: Variant) -> Began {
        let resource = match variant {
            Variant::Alongside => "alongside",
            Variant::Release => "release",
            Variant::Masked => MASKED,
            Variant::Direct | Variant::Relay | Variant::Bouncer => return Began(None),
        };
        Began(Some((resource, now().rfc3339())))
    }

    /// Says what the clients have counted.
    pub fn end(&self, began: Began, executed: u64) {
        let Began(Some((resource, from))) = began else { return };
        let counted = true;
        self.bursts.borrow_mut().push(Expected { resource, from, executed, recorded: 0, counted });
    }

    /// Says that from now on, until a burst begins, connections are opened, and nothing is counted.
    pub fn apart(&self) {
        let (resource, from) = ("", now().rfc3339());
        self.bursts.borrow_mut().push(Expected { resource, from, executed: 0, recorded: 0, counted: false });
    }

    /// How much memory it has.
    pub fn memory(&self) -> Result<Memory> {
        let process = self.process();
        Ok(Memory { now_mib: process.memory_mib("VmRSS:")?, most_mib: process.memory_mib("VmHWM:")? })
    }

    /// Stops it in good order and counts what it wrote.
    pub fn count(self) -> Result<Count> {
        drop(self.leash);
        let mut count = Count { bursts: self.bursts.into_inner(), lines: 0 };
        let store = SqliteStore::open(&self.data.join("countersign.db"))?;
        loop {
            let lines = store.read(count.lines, LINES)?;
            if lines.is_empty() {
                return Ok(count);
            }
            for line in lines {
                count.take(&line.bytes)?;
            }
        }
    }
}

/// What of a line counts.
#[derive(Deserialize)]
struct Line<'a> {
    resource: Option<&'a str>,
    ts: &'a str,
    #[serde(rename = "type")]
    kind: &'a str,
}

impl Count {
    /// Counts a line for the burst in whose time it was judged. Bursts follow each other, and a line is never older
    /// than the one before it.
    fn take(&mut self, bytes: &[u8]) -> Result<()> {
        self.lines += 1;
        let line: Line<'_> =
            serde_json::from_slice(bytes).context("a line of the ledger is not understood")?;
        if line.kind != "action.allowed" {
            return Ok(());
        }
        let later = self.bursts.partition_point(|burst| burst.from.as_str() <= line.ts);
        let burst = later.checked_sub(1).and_then(|index| self.bursts.get_mut(index));
        let burst = burst.context("an action is recorded from before the first burst")?;
        if !burst.counted {
            return Ok(());
        }
        if line.resource != Some(burst.resource) {
            bail!("an action is recorded of another resource than the burst's");
        }
        burst.recorded += 1;
        Ok(())
    }

    /// Statements in the ledger.
    pub fn recorded(&self) -> u64 {
        self.bursts.iter().map(|burst| burst.recorded).sum()
    }

    /// Statements that the clients have counted.
    pub fn executed(&self) -> u64 {
        self.bursts.iter().map(|burst| burst.executed).sum()
    }

    /// How many bursts there were.
    pub fn bursts(&self) -> usize {
        self.bursts.iter().filter(|burst| burst.counted).count()
    }

    /// In how many of them the ledger has another number than the clients.
    pub fn wrong(&self) -> usize {
        self.bursts.iter().filter(|burst| burst.recorded != burst.executed).count()
    }
}

/// The bundle in force, the role held, a credential for each resource.
async fn prepare(data: &Path, upstream: u16) -> Result<[Login; 3]> {
    std::fs::write(data.join("master.key"), "07".repeat(32))?;
    let store = SqliteStore::open(&data.join("countersign.db"))?;
    let settings = Settings { credential_for: Span::hours(24), ..Settings::default() };
    let ports = countersign_testkit::system_ports();
    let engine = Engine::start(std::sync::Arc::new(store), MasterKey::new([7; 32]), ports, settings)?;
    engine
        .first_bundle(bundle(upstream), &PrincipalId::new("dave"))
        .await
        .map_err(|error| anyhow!("{error:?}"))?;
    engine.put_secret(ACCOUNT, PASSWORD).await?;
    engine.set_password(&PrincipalId::new(PERSON), PERSON_PASSWORD).await?;
    let client = SignInClient { source: None, via: Via::Cli, user_agent: None };
    let signed_in =
        engine.sign_in(PERSON, PERSON_PASSWORD, client).await?.done().context("a second factor")?;
    let caller = engine.caller(&signed_in.token, Via::Cli, None).await.context("not signed in")?;
    let ask = AskAccess {
        role: RoleId::new(ROLE),
        lasting: Span::hours(12),
        purpose: "measure the gateway".into(),
        ticket: None,
    };
    engine.ask(&caller, ask).await?;
    let mut logins = Vec::new();
    for (resource, _) in RESOURCES {
        let minted = engine.mint_credential(&caller, &ResourceId::new(resource)).await?;
        logins.push(Login {
            user: minted.user,
            password: minted.password.to_string(),
            database: resource.to_owned(),
        });
    }
    engine.stop().await;
    logins.try_into().map_err(|_| anyhow!("there are not three credentials"))
}

/// A small company's policies: reads pass, what would be held or forbidden is not what is measured.
fn bundle(upstream: u16) -> BTreeMap<String, String> {
    let resources = RESOURCES.map(|(name, recording)| {
        format!(
            "[resource.{name}]\nkind = \"postgres\"\ntitle = \"{name}\"\nowner = \"group:admins\"\nimpact = \"low\"\n\
             recording = \"{recording}\"\nhost = \"127.0.0.1\"\nport = {upstream}\ndatabase = \"postgres\"\n\
             tls = \"disable\"\nlook_account = \"{ACCOUNT}\"\nsecrets = {{ {ACCOUNT} = \"secret:{ACCOUNT}\" }}\n"
        )
    });
    // Its balances are nothing but zeros, which is what they are masked as, so that as many bytes go through.
    let masks = format!(
        "[resource.{MASKED}.relation.\"public.pgbench_accounts\"]\ncolumns.abalance = {{ mask = \"full\" }}\n"
    );
    let files = [
        ("bundle.toml", "name = \"bench\"\nformat = 1\n".to_owned()),
        (
            "people.toml",
            format!(
                "[user.{PERSON}]\nname = \"Alice\"\n[user.dave]\nname = \"Dave\"\n[group.admins]\nmembers = [\"dave\"]\n"
            ),
        ),
        ("resources.toml", resources.concat() + &masks),
        (
            "roles.toml",
            format!(
                "[role.{ROLE}]\ntitle = \"Bench\"\nactions = [\"sql.read\", \"sql.write\", \"sql.call\"]\n\
                 resources = [\"alongside\", \"release\", \"{MASKED}\"]\naccount = \"{ACCOUNT}\"\nlongest = \"12h\"\n"
            ),
        ),
        (
            "rules.toml",
            "[approval.write]\nstages = [{ need = 1, from = [\"group:admins\"] }]\n\
             pending_for = \"15m\"\nvalid_for = \"10m\"\n"
                .to_owned(),
        ),
        ("policies.cedar", POLICIES.to_owned()),
    ];
    files.into_iter().map(|(name, text)| (name.to_owned(), text)).collect()
}

const POLICIES: &str = r#"
@id("everyone-may-ask")
permit (principal is User, action == Action::"access.request", resource is Role);
@id("writes-to-high-impact") @gate("write")
forbid (principal, action in Action::"sql.write", resource) when { resource.impact == "high" };
@id("schema-changes") @gate("write")
forbid (principal, action in Action::"sql.ddl", resource);
@id("what-may-change-anything") @gate("write")
forbid (principal, action == Action::"sql.unknown", resource);
@id("changes-of-many-rows")
forbid (principal, action in Action::"sql.write", resource) unless { context.has_where };
@id("no-cards")
forbid (principal, action in Action::"sql", resource) when { context.reads.contains("public.cards") };
"#;

/// The gateway's binary lies beside the examples' folder.
fn beside() -> Result<PathBuf> {
    let own = std::env::current_exe()?;
    let folder = own.parent().and_then(Path::parent).context("the bench lies nowhere")?;
    let found = folder.join("countersign");
    if !found.exists() {
        bail!("`{}` is not there; build it with `cargo build --release --workspace --bins`", found.display());
    }
    Ok(found)
}

fn now() -> At {
    countersign_testkit::system_ports().clock.now()
}
