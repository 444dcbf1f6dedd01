//! A scratch server of a chosen version on a Unix socket, for one test or one run.
//!
//! It is on a [leash](crate::leash): it ends with its owner, however that ends. Nothing but the statements of its one
//! client disturbs what is observed: no autovacuum, no checkpoints in between.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use super::client::Client;
use super::obtain;
use crate::leash::{self, Dog, Leash, run};

/// The superuser, called as the regression suite has it in its own runs.
pub const SUPERUSER: &str = "postgres";
/// How long the server may take to answer after its start, in tenths of a second.
const START_TENTHS_MAX: u32 = 300;
/// The port that names the socket; the folder is this server's own.
const PORT: u16 = 5432;
/// What the regression suite's own runner sets.
const LOCALE: &str = "C";

/// A running scratch server.
#[derive(Debug)]
pub struct Server {
    folder: PathBuf,
    /// The server's major version.
    pub major: u32,
    /// Where its loadable libraries are.
    pub libraries: PathBuf,
    _leash: Leash,
}

impl Server {
    /// Makes a cluster and starts it.
    ///
    /// # Errors
    /// There is no such server here, or it does not start; its log is in the message.
    pub fn start(major: u32) -> Result<Self> {
        let programs = obtain::programs(major)?;
        let folder = leash::folder("live")?;
        let started = launch(&programs, &folder, major);
        if started.is_err() {
            let _nothing_to_clean = std::fs::remove_dir_all(&folder);
        }
        started
    }

    /// A folder that the server may read and that goes away with it.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// A session.
    ///
    /// # Errors
    /// The server refuses it.
    pub fn session(&self, user: &str, database: &str) -> Result<Client> {
        Client::connect(&self.folder, PORT, user, database)
    }

    /// A session of the superuser.
    ///
    /// # Errors
    /// The server refuses it.
    pub fn superuser(&self, database: &str) -> Result<Client> {
        self.session(SUPERUSER, database)
    }
}

fn launch(programs: &Path, folder: &Path, major: u32) -> Result<Server> {
    let data = folder.join("data");
    let mut initdb = leash::command(programs.join("initdb"), true);
    initdb.args(["--username", SUPERUSER, "--auth=trust", "--encoding=UTF8", "--no-locale", "--no-sync"]);
    run(initdb.arg("-D").arg(&data).env("LC_ALL", LOCALE))?;
    let mut program = vec![programs.join("postgres").display().to_string()];
    program.extend(["-D".to_owned(), data.display().to_string()]);
    let sockets = format!("unix_socket_directories={}", folder.display());
    let port = format!("port={PORT}");
    for setting in [
        sockets.as_str(),
        port.as_str(),
        "listen_addresses=",
        "fsync=off",
        "full_page_writes=off",
        "autovacuum=off",
        "checkpoint_timeout=1h",
        "max_wal_size=4GB",
        "wal_level=logical",
        "max_prepared_transactions=10",
        "shared_buffers=64MB",
        "log_min_messages=fatal",
        // As the regression suite's own runner sets them.
        "timezone=PST8PDT",
        "datestyle=Postgres, MDY",
        "intervalstyle=postgres_verbose",
    ] {
        program.extend(["-c".to_owned(), setting.to_owned()]);
    }
    let log = folder.join("log");
    let leash = Leash::start(&Dog {
        program,
        unprivileged: true,
        signal: "INT",
        folder: Some(folder),
        log: &log,
        env: &[("LC_ALL", LOCALE)],
    })?;
    let libraries = libraries(programs)?;
    let server = Server { folder: folder.to_owned(), major, libraries, _leash: leash };
    let mut last = None;
    for _ in 0..START_TENTHS_MAX {
        match server.superuser("postgres") {
            Ok(_) => return Ok(server),
            Err(error) => last = Some(error),
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    let log = std::fs::read_to_string(&log).unwrap_or_default();
    bail!("it does not answer: {}: {log}", last.map(|error| format!("{error:#}")).unwrap_or_default())
}

/// Where modules are: beside the programs in Debian's layout, under `lib/postgresql` in the other.
fn libraries(programs: &Path) -> Result<PathBuf> {
    let home = programs.parent().context("the programs have no folder")?;
    let nested = home.join("lib/postgresql");
    Ok(if nested.exists() { nested } else { home.join("lib") })
}
