//! A scratch PostgreSQL, shared by the tests of one process; each test gets a database of its own. A test that does to a
//! server what others would feel gets one of its own.
//!
//! The server is on a [leash](crate::leash): it ends with the test process, and its folder goes with it. It speaks TLS
//! with a certificate of an authority of its own, and lets accounts in by each method that servers have: SCRAM, MD5
//! ([`WITH_MD5`]) and a client certificate ([`WITH_CERTIFICATE`]).

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use tokio_postgres::{Client, NoTls};

use crate::authority::{Authority, NAMES};
use crate::leash::{self, Dog, Leash, free_port, run};
use crate::live::obtain;

/// The superuser of the scratch server.
pub const SUPERUSER: &str = "scratch_admin";
/// The passwords of all accounts: the server listens on loopback and lives for seconds.
pub const PASSWORD: &str = "scratch-password";
/// An account that may do what `shop_writer` may, whose password the server keeps and asks for as MD5.
pub const WITH_MD5: &str = "shop_md5";
/// An account that may do what `shop_writer` may, and is let in by a client certificate alone.
pub const WITH_CERTIFICATE: &str = "shop_certificate";
/// The database that all others are copies of.
const TEMPLATE: &str = "shop_template";
/// How long the server may take to answer after its start, or to end, in tenths of a second.
const PATIENCE_TENTHS: u64 = 600;

/// Who is let in, and how.
const HOSTS: &str = "\
hostssl all shop_certificate all cert
host all shop_certificate all reject
host all shop_md5 all md5
host all all all scram-sha-256
host replication all all scram-sha-256
";

/// A running scratch server.
#[derive(Debug)]
pub struct ScratchPostgres {
    /// Always loopback.
    pub host: &'static str,
    /// Chosen by the system.
    pub port: u16,
    /// Whoever made its certificate, and those of its clients.
    pub authority: Authority,
    /// The authority's certificate.
    pub ca: PathBuf,
    /// The server's program, with its arguments.
    program: Vec<String>,
    folder: PathBuf,
    programs: PathBuf,
    databases: AtomicU32,
    /// What it runs on since it was started again; the first one takes the folder with it.
    again: Mutex<Option<Leash>>,
    first: Leash,
}

/// What is special about a server of one's own.
#[derive(Clone, Debug, Default)]
pub struct Setup {
    /// The major version; the newest that is installed if absent.
    pub major: Option<u32>,
    /// Settings beside the usual, as `name=value`.
    pub settings: Vec<String>,
}

/// A database of one test, with the shop in it.
#[derive(Clone, Debug)]
pub struct Database {
    /// Its name.
    pub name: String,
    /// The server's port.
    pub port: u16,
}

impl ScratchPostgres {
    /// The server of this process, started when first asked for.
    ///
    /// # Errors
    /// No PostgreSQL server is installed, or it does not start.
    pub async fn shared() -> Result<&'static Self> {
        static SERVER: OnceLock<Result<ScratchPostgres, String>> = OnceLock::new();
        let server = tokio::task::spawn_blocking(|| {
            SERVER.get_or_init(|| launch(&Setup::default()).map_err(|error| format!("{error:#}")))
        })
        .await?;
        match server {
            Ok(server) => Ok(server),
            Err(error) => bail!("{error}"),
        }
    }

    /// A server of one's own.
    ///
    /// # Errors
    /// There is no such server, or it does not start.
    pub async fn start(setup: Setup) -> Result<Self> {
        tokio::task::spawn_blocking(move || launch(&setup)).await?
    }

    /// A copy of the shop for one test.
    ///
    /// # Errors
    /// What the server says.
    pub async fn database(&self) -> Result<Database> {
        let number = self.databases.fetch_add(1, Ordering::Relaxed);
        let name = format!("shop_{number}");
        let admin = connect(self.port, "postgres", SUPERUSER).await?;
        // Copying needs the template to itself; tests that start together take turns.
        admin.batch_execute("SELECT pg_advisory_lock(1)").await?;
        admin.batch_execute(&format!("CREATE DATABASE {name} TEMPLATE {TEMPLATE}")).await?;
        Ok(Database { name, port: self.port })
    }

    /// A standby that follows this server.
    ///
    /// # Errors
    /// It can't be made, or does not start.
    pub async fn standby(&self) -> Result<Self> {
        let (port, programs) = (self.port, self.programs.clone());
        tokio::task::spawn_blocking(move || follow(port, programs)).await?
    }

    /// Stops the server as an operator would who is in a hurry: sessions are ended, with a word to their clients.
    ///
    /// # Errors
    /// It does not end.
    pub async fn stop(&self) -> Result<()> {
        let pid = self.again.lock().unwrap_or_else(PoisonError::into_inner).as_ref().map(Leash::pid);
        let pid = pid.unwrap_or_else(|| self.first.pid()).to_string();
        run(Command::new("kill").args(["-INT", &pid]))?;
        let mark = self.folder.join("data/postmaster.pid");
        for _ in 0..PATIENCE_TENTHS {
            if !mark.exists() {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        bail!("the scratch server does not end")
    }

    /// Starts it again where it was, after it was stopped.
    ///
    /// # Errors
    /// It does not start.
    pub async fn start_again(&self) -> Result<()> {
        let log = self.folder.join("log-of-another-start");
        let leash = leashed(&self.program, None, &log)?;
        *self.again.lock().unwrap_or_else(PoisonError::into_inner) = Some(leash);
        patiently(self.port).await.map(drop)
    }

    /// The process of the server itself.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.first.pid()
    }
}

impl Database {
    /// A direct connection as superuser, around the gateway.
    ///
    /// # Errors
    /// What the server says.
    pub async fn direct(&self) -> Result<Client> {
        connect(self.port, &self.name, SUPERUSER).await
    }

    /// Has every statement that reads `orders` wait until this is dropped: something that runs and costs nothing.
    ///
    /// # Errors
    /// What the server says.
    pub async fn locked(&self) -> Result<Client> {
        let direct = self.direct().await?;
        direct.batch_execute("BEGIN; LOCK TABLE orders IN ACCESS EXCLUSIVE MODE").await?;
        Ok(direct)
    }

    /// Waits until so many statements of an account's sessions run.
    ///
    /// # Errors
    /// They do not, in time.
    pub async fn runs(&self, account: &str, wanted: i64) -> Result<()> {
        self.comes(account, "true", wanted).await
    }

    /// Waits until a session of an account runs this text, as the server quotes it, and nothing else.
    ///
    /// # Errors
    /// It does not, in time.
    pub async fn runs_text(&self, account: &str, text: &str) -> Result<()> {
        self.comes(account, &format!("query = '{}'", text.replace('\'', "''")), 1).await
    }

    /// Between Bind and Execute a session calls itself active, and waits for its client.
    async fn comes(&self, account: &str, such: &str, wanted: i64) -> Result<()> {
        let direct = self.direct().await?;
        let question = format!(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = '{}' AND usename = '{account}'
             AND state = 'active' AND wait_event IS DISTINCT FROM 'ClientRead'
             AND backend_type = 'client backend' AND {such}",
            self.name
        );
        let mut found = -1;
        for _ in 0..PATIENCE_TENTHS {
            found = direct.query_one(&question, &[]).await?.get::<_, i64>(0);
            if found == wanted {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        bail!("{found} statements of `{account}` run, not {wanted}")
    }
}

async fn connect(port: u16, database: &str, user: &str) -> Result<Client> {
    let mut config = tokio_postgres::Config::new();
    config.host("127.0.0.1").port(port).user(user).password(PASSWORD).dbname(database);
    let (client, connection) = config.connect(NoTls).await?;
    tokio::spawn(connection);
    Ok(client)
}

fn launch(setup: &Setup) -> Result<ScratchPostgres> {
    let programs = setup.major.map_or_else(programs, obtain::programs)?;
    let folder = leash::folder("test")?;
    let data = folder.join("data");
    let password = folder.join("password");
    std::fs::write(&password, PASSWORD)?;
    let mut initdb = leash::command(programs.join("initdb"), true);
    initdb.args([
        "--username",
        SUPERUSER,
        "--auth=scram-sha-256",
        "--encoding=UTF8",
        "--no-locale",
        "--no-sync",
    ]);
    initdb.arg(format!("--pwfile={}", password.display())).arg("-D").arg(&data);
    run(&mut initdb)?;
    let server = serve(&programs, folder, &setup.settings)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let log = server.folder.join("log");
    runtime.block_on(fill(server.port)).with_context(|| std::fs::read_to_string(&log).unwrap_or_default())?;
    Ok(server)
}

/// A copy of the server at this port, which goes on following it.
fn follow(port: u16, programs: PathBuf) -> Result<ScratchPostgres> {
    let folder = leash::folder("test")?;
    let mut copy = leash::command(programs.join("pg_basebackup"), true);
    copy.args(["--host=127.0.0.1", "--username", SUPERUSER, "--write-recovery-conf", "--wal-method=stream"]);
    copy.args(["--checkpoint=fast", "--no-sync", "--port", &port.to_string()]).env("PGPASSWORD", PASSWORD);
    run(copy.arg("-D").arg(folder.join("data")))?;
    let server = serve(&programs, folder, &[])?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(patiently(server.port))?;
    Ok(server)
}

/// Starts the server whose data is in the folder.
fn serve(programs: &Path, folder: PathBuf, settings: &[String]) -> Result<ScratchPostgres> {
    let data = folder.join("data");
    let authority = Authority::new()?;
    let issued = authority.server(&NAMES)?;
    let ca = folder.join("ca.pem");
    private(&folder.join("server.key"), &issued.key_pem)?;
    for (name, text) in
        [("server.pem", issued.certificate_pem.as_str()), ("ca.pem", &authority.pem), ("hba", HOSTS)]
    {
        std::fs::write(folder.join(name), text)?;
    }
    let port = free_port()?;
    let mut program = vec![programs.join("postgres").display().to_string()];
    program.extend(["-D".to_owned(), data.display().to_string()]);
    let file = |setting: &str, name: &str| format!("{setting}={}", folder.join(name).display());
    let usual = [
        "listen_addresses=127.0.0.1",
        "unix_socket_directories=",
        "fsync=off",
        "max_connections=200",
        // A worker of a parallel plan that is stopped tells of itself before its leader does.
        "max_parallel_workers_per_gather=0",
        "shared_buffers=64MB",
        "log_min_messages=fatal",
        "ssl=on",
        &file("ssl_cert_file", "server.pem"),
        &file("ssl_key_file", "server.key"),
        &file("ssl_ca_file", "ca.pem"),
        &file("hba_file", "hba"),
        &format!("port={port}"),
    ];
    for setting in usual.into_iter().chain(settings.iter().map(String::as_str)) {
        program.extend(["-c".to_owned(), setting.to_owned()]);
    }
    let first = leashed(&program, Some(&folder), &folder.join("log"))?;
    Ok(ScratchPostgres {
        host: "127.0.0.1",
        port,
        authority,
        ca,
        program,
        folder,
        programs: programs.to_owned(),
        databases: AtomicU32::new(0),
        again: Mutex::new(None),
        first,
    })
}

fn leashed(program: &[String], folder: Option<&Path>, log: &Path) -> Result<Leash> {
    Leash::start(&Dog { program: program.to_vec(), unprivileged: true, signal: "INT", folder, log, env: &[] })
}

/// A file that only the server's account may read.
fn private(path: &Path, text: &str) -> Result<()> {
    std::fs::write(path, text)?;
    std::fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o600))?;
    if leash::is_root() {
        run(Command::new("chown").arg("postgres").arg(path))?;
    }
    Ok(())
}

/// Makes the accounts and the shop.
async fn fill(port: u16) -> Result<()> {
    let admin = patiently(port).await?;
    admin.batch_execute(&format!("CREATE DATABASE {TEMPLATE}")).await?;
    let shop = connect(port, TEMPLATE, SUPERUSER).await?;
    shop.batch_execute(include_str!("../../../demo/shop.sql")).await?;
    let mut accounts = include_str!("../../../demo/accounts.sql")
        .replace("on database shop ", &format!("on database {TEMPLATE} "));
    while let Some((before, rest)) = accounts.split_once(":'") {
        let (_, after) = rest.split_once('\'').context("a password without an end")?;
        accounts = format!("{before}'{PASSWORD}'{after}");
    }
    shop.batch_execute(&accounts).await?;
    shop.batch_execute(&format!(
        "SET password_encryption = 'md5'; CREATE ROLE {WITH_MD5} LOGIN PASSWORD '{PASSWORD}' IN ROLE shop_writer;
         RESET password_encryption; CREATE ROLE {WITH_CERTIFICATE} LOGIN IN ROLE shop_writer"
    ))
    .await?;
    Ok(())
}

async fn patiently(port: u16) -> Result<Client> {
    for _ in 0..PATIENCE_TENTHS {
        if let Ok(client) = connect(port, "postgres", SUPERUSER).await {
            return Ok(client);
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    bail!("the scratch server does not answer")
}

/// The folder with the server's programs: the newest that is installed.
///
/// # Errors
/// None is installed.
pub fn programs() -> Result<PathBuf> {
    let versions = std::fs::read_dir("/usr/lib/postgresql").context("no PostgreSQL server is installed")?;
    let mut found: Vec<(u32, PathBuf)> = versions
        .flatten()
        .filter_map(|entry| Some((entry.file_name().to_str()?.parse().ok()?, entry.path().join("bin"))))
        .filter(|(_, folder)| folder.join("initdb").exists())
        .collect();
    found.sort();
    found.pop().map(|(_, folder)| folder).context("no PostgreSQL server is installed")
}
