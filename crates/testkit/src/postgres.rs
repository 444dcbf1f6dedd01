//! A scratch PostgreSQL, shared by the tests of one process; each test gets a database of its own.
//!
//! The server is on a [leash](crate::leash): it ends with the test process, and its folder goes with it.

use std::path::PathBuf;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use tokio_postgres::{Client, NoTls};

use crate::leash::{self, Dog, Leash, free_port, run};

/// The superuser of the scratch server.
pub const SUPERUSER: &str = "scratch_admin";
/// The passwords of all accounts: the server listens on loopback and lives for seconds.
pub const PASSWORD: &str = "scratch-password";
/// The database that all others are copies of.
const TEMPLATE: &str = "shop_template";
/// How long the server may take to answer after its start, in seconds.
const START_S_MAX: u64 = 60;

/// A running scratch server.
#[derive(Debug)]
pub struct ScratchPostgres {
    /// Always loopback.
    pub host: &'static str,
    /// Chosen by the system.
    pub port: u16,
    _leash: Leash,
    databases: AtomicU32,
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
            SERVER.get_or_init(|| launch().map_err(|error| format!("{error:#}")))
        })
        .await?;
        match server {
            Ok(server) => Ok(server),
            Err(error) => bail!("{error}"),
        }
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
}

impl Database {
    /// A direct connection as superuser, around the gateway.
    ///
    /// # Errors
    /// What the server says.
    pub async fn direct(&self) -> Result<Client> {
        connect(self.port, &self.name, SUPERUSER).await
    }
}

async fn connect(port: u16, database: &str, user: &str) -> Result<Client> {
    let mut config = tokio_postgres::Config::new();
    config.host("127.0.0.1").port(port).user(user).password(PASSWORD).dbname(database);
    let (client, connection) = config.connect(NoTls).await?;
    tokio::spawn(connection);
    Ok(client)
}

fn launch() -> Result<ScratchPostgres> {
    let programs = programs()?;
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
    let port = free_port()?;
    let mut program = vec![programs.join("postgres").display().to_string()];
    program.extend(["-D".to_owned(), data.display().to_string()]);
    for setting in [
        "listen_addresses=127.0.0.1",
        "unix_socket_directories=",
        "fsync=off",
        "max_connections=200",
        "shared_buffers=64MB",
        "log_min_messages=fatal",
        &format!("port={port}"),
    ] {
        program.extend(["-c".to_owned(), setting.to_owned()]);
    }
    let log = folder.join("log");
    let leash = Leash::start(&Dog {
        program,
        unprivileged: true,
        signal: "INT",
        folder: Some(&folder),
        log: &log,
        env: &[],
    })?;
    let server = ScratchPostgres { host: "127.0.0.1", port, _leash: leash, databases: AtomicU32::new(0) };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(fill(port)).with_context(|| std::fs::read_to_string(&log).unwrap_or_default())?;
    Ok(server)
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
    Ok(())
}

async fn patiently(port: u16) -> Result<Client> {
    for _ in 0..START_S_MAX * 10 {
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
