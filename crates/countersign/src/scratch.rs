//! A scratch PostgreSQL for the demo: made once in a folder of its own, started, adopted after a crash, stopped.
//!
//! PostgreSQL refuses to run as root, and an unprivileged account cannot enter every folder that root can. Where
//! the demo runs as root, the cluster therefore lives under `/var/tmp`, owned by an unprivileged account, and the
//! data folder remembers where.

use std::fs;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use nix::sys::signal::{self, Signal};
use nix::unistd::{Pid, User};
use serde::{Deserialize, Serialize};

use crate::home::write_private;

/// How long the server may take to answer after its start, recovery from a crash included.
const START_MAX: Duration = Duration::from_secs(60);
/// How long it may take to stop.
const STOP_MAX: Duration = Duration::from_secs(20);
/// Where Debian, Ubuntu, Homebrew and the PostgreSQL packages put the server's programs.
const PLACES: [&str; 5] =
    ["/usr/lib/postgresql", "/opt/homebrew/opt", "/usr/local/opt", "/Library/PostgreSQL", "/usr/pgsql"];

/// A running scratch server.
#[derive(Debug)]
pub struct Scratch {
    /// How to reach it as superuser.
    pub access: Access,
    cluster: PathBuf,
    child: Option<Child>,
}

/// How to reach the scratch server as its superuser.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Access {
    /// Always loopback.
    pub host: String,
    /// Chosen by the system.
    pub port: u16,
    /// The superuser.
    pub user: String,
    /// Random, kept in the data folder.
    pub password: String,
    cluster: PathBuf,
}

impl Scratch {
    /// Starts the scratch server of this data folder, makes it first if there is none, or adopts it if it runs.
    ///
    /// # Errors
    /// No PostgreSQL server is installed, or it does not start; the message says how to get it, or quotes its log.
    pub async fn start(data: &Path, password: impl FnOnce() -> String) -> Result<Self> {
        let programs = programs()?;
        let account = Account::new()?;
        let kept = data.join("scratch.json");
        let access = match fs::read(&kept).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok()) {
            Some(access) => access,
            None => make(&programs, &account, data, password())?,
        };
        write_private(&kept, &serde_json::to_vec_pretty(&access)?)?;
        let child = match postmaster(&access.cluster) {
            Some(_) => None,
            None => {
                still_free(access.port)?;
                Some(launch(&programs, &account, &access)?)
            }
        };
        let mut scratch = Self { cluster: access.cluster.clone(), access, child };
        scratch.answer().await?;
        Ok(scratch)
    }

    /// Connects as superuser.
    ///
    /// # Errors
    /// What the server says.
    pub async fn connect(&self, database: &str) -> Result<tokio_postgres::Client> {
        let (client, connection) = tokio_postgres::Config::new()
            .host(&self.access.host)
            .port(self.access.port)
            .user(&self.access.user)
            .password(&self.access.password)
            .dbname(database)
            .connect_timeout(Duration::from_secs(5))
            .connect(tokio_postgres::NoTls)
            .await?;
        tokio::spawn(connection);
        Ok(client)
    }

    /// Stops the server: sessions are ended, nothing is lost.
    pub async fn stop(mut self) {
        let Some(pid) = postmaster(&self.cluster) else { return };
        let _gone_already = signal::kill(pid, Signal::SIGINT);
        for _ in 0..STOP_MAX.as_millis() / 50 {
            let exited = self.child.as_mut().is_some_and(|child| matches!(child.try_wait(), Ok(Some(_))));
            if exited || postmaster(&self.cluster).is_none() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    async fn answer(&mut self) -> Result<()> {
        for _ in 0..START_MAX.as_millis() / 100 {
            if self.connect("postgres").await.is_ok() {
                return Ok(());
            }
            if let Some(child) = &mut self.child
                && let Some(status) = child.try_wait()?
            {
                bail!(
                    "the scratch PostgreSQL ended with {status}; its log says:\n{}",
                    log_tail(&self.cluster)
                );
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        bail!("the scratch PostgreSQL does not answer; its log says:\n{}", log_tail(&self.cluster))
    }
}

/// The account that the server runs as.
struct Account(Option<User>);

impl Account {
    /// Root lends itself an unprivileged account; others are themselves.
    fn new() -> Result<Self> {
        if !nix::unistd::geteuid().is_root() {
            return Ok(Self(None));
        }
        for name in ["postgres", "_postgres", "nobody"] {
            if let Some(user) = User::from_name(name)? {
                return Ok(Self(Some(user)));
            }
        }
        bail!(
            "PostgreSQL does not run as root, and there is no account `postgres` or `nobody`; run the demo as an ordinary user"
        )
    }

    fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command
            .env_clear()
            .env("PATH", "/usr/bin:/bin")
            .env("LC_ALL", "C.UTF-8")
            .env("TZ", "UTC")
            .stdin(Stdio::null());
        if let Some(user) = &self.0 {
            command.uid(user.uid.as_raw()).gid(user.gid.as_raw()).current_dir("/");
        }
        command
    }

    fn own(&self, path: &Path) -> Result<()> {
        if let Some(user) = &self.0 {
            nix::unistd::chown(path, Some(user.uid), Some(user.gid))?;
        }
        Ok(())
    }
}

fn make(programs: &Path, account: &Account, data: &Path, password: String) -> Result<Access> {
    let folder = match &account.0 {
        None => data.join("scratch"),
        Some(_) => {
            let name: String = password.bytes().take(16).map(|byte| format!("{byte:x}")).collect();
            Path::new("/var/tmp").join(format!("countersign-scratch-{name}"))
        }
    };
    fs::DirBuilder::new().recursive(true).mode(0o700).create(&folder)?;
    let cluster = folder.join("cluster");
    if cluster.exists() {
        fs::remove_dir_all(&cluster)
            .context("a half-made scratch cluster is in the way and cannot be removed")?;
    }
    let pwfile = folder.join("password");
    write_private(&pwfile, password.as_bytes())?;
    account.own(&folder)?;
    account.own(&pwfile)?;
    let made = account
        .command(&programs.join("initdb"))
        .args([
            "--username=shop_admin",
            "--auth=scram-sha-256",
            "--encoding=UTF8",
            "--no-locale",
            "--no-sync",
        ])
        .arg(format!("--pwfile={}", pwfile.display()))
        .arg("--pgdata")
        .arg(&cluster)
        .output()
        .context("could not run `initdb`")?;
    fs::remove_file(&pwfile)?;
    if !made.status.success() {
        bail!("could not make a scratch PostgreSQL: {}", String::from_utf8_lossy(&made.stderr).trim());
    }
    Ok(Access { host: "127.0.0.1".into(), port: free_port()?, user: "shop_admin".into(), password, cluster })
}

fn launch(programs: &Path, account: &Account, access: &Access) -> Result<Child> {
    let log = fs::OpenOptions::new().create(true).append(true).open(log_path(&access.cluster))?;
    log.set_permissions(fs::Permissions::from_mode(0o600))?;
    let settings = [
        "listen_addresses=127.0.0.1".to_owned(),
        format!("port={}", access.port),
        "unix_socket_directories=".to_owned(),
        "max_connections=120".to_owned(),
        "shared_buffers=64MB".to_owned(),
        "fsync=off".to_owned(),
    ];
    account
        .command(&programs.join("postgres"))
        .arg("-D")
        .arg(&access.cluster)
        .args(settings.iter().flat_map(|setting| ["-c", setting]))
        .stdout(log.try_clone()?)
        .stderr(log)
        // Its own process group: Ctrl-C at the terminal is for the demo, which then stops the server in order.
        .process_group(0)
        .spawn()
        .context("could not start the scratch PostgreSQL")
}

/// The process of a running server on this cluster, if there is one.
fn postmaster(cluster: &Path) -> Option<Pid> {
    let text = fs::read_to_string(cluster.join("postmaster.pid")).ok()?;
    let mut lines = text.lines();
    let pid = Pid::from_raw(lines.next()?.trim().parse().ok().filter(|pid| *pid > 1)?);
    let ours = Path::new(lines.next()?.trim()) == cluster;
    let alive = !matches!(signal::kill(pid, None), Err(nix::errno::Errno::ESRCH));
    (ours && alive && is_postgres(pid)).then_some(pid)
}

/// A number of an old process may belong to another one by now. Where the system tells, ask it.
fn is_postgres(pid: Pid) -> bool {
    match fs::read(format!("/proc/{pid}/cmdline")) {
        Ok(line) => line.windows(8).any(|part| part == b"postgres"),
        Err(_) => !Path::new("/proc/self").exists(),
    }
}

fn free_port() -> Result<u16> {
    Ok(std::net::TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port())
}

/// The bundle in force names the port, so a server that comes back has to have the same one.
fn still_free(port: u16) -> Result<()> {
    match std::net::TcpListener::bind(("127.0.0.1", port)) {
        Ok(_) => Ok(()),
        Err(_) => bail!(
            "port {port} of the demo's scratch database is taken by something else; end that, or start a new demo \
             with another --data folder"
        ),
    }
}

fn log_path(cluster: &Path) -> PathBuf {
    cluster.with_file_name("server.log")
}

fn log_tail(cluster: &Path) -> String {
    let read = || -> std::io::Result<String> {
        let mut file = fs::File::open(log_path(cluster))?;
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(2_000)))?;
        let mut bytes = Vec::new();
        file.take(2_000).read_to_end(&mut bytes)?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    };
    read().unwrap_or_default()
}

/// The folder with `postgres` and `initdb`: the newest server that is installed.
///
/// # Errors
/// There is none; the message says how to get one.
pub fn programs() -> Result<PathBuf> {
    let mut found: Vec<PathBuf> = PLACES.iter().flat_map(|place| servers_below(Path::new(place))).collect();
    let path = std::env::var_os("PATH").unwrap_or_default();
    found.extend(std::env::split_paths(&path).filter(|folder| is_server(folder)).filter_map(|f| home_of(&f)));
    found.sort_by_key(|folder| version_of(folder));
    found.pop().context(
        "no PostgreSQL server is installed; get it with `sudo apt-get install postgresql` (Debian, Ubuntu) or \
         `brew install postgresql@17` (macOS), and run this again",
    )
}

fn servers_below(place: &Path) -> Vec<PathBuf> {
    let versions = fs::read_dir(place).into_iter().flatten().flatten();
    versions.map(|version| version.path().join("bin")).filter(|folder| is_server(folder)).collect()
}

fn is_server(folder: &Path) -> bool {
    folder.join("postgres").exists() && folder.join("initdb").exists()
}

/// Where the programs really are, behind links.
fn home_of(folder: &Path) -> Option<PathBuf> {
    fs::canonicalize(folder.join("postgres")).ok()?.parent().map(Path::to_owned)
}

fn version_of(folder: &Path) -> u32 {
    let text = folder.parent().and_then(Path::file_name).map(|name| name.to_string_lossy().into_owned());
    let digits: String = text.unwrap_or_default().chars().filter(char::is_ascii_digit).take(3).collect();
    digits.parse().unwrap_or_default()
}
