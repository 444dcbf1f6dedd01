//! A scratch server of a chosen version on a Unix socket, for one test or one run.
//!
//! It ends with its owner, however that ends: it runs beneath a shell that holds the reading end of a pipe. Nothing
//! but the statements of its one client disturbs what is observed: no autovacuum, no checkpoints in between.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};

use super::client::Client;
use super::obtain;

/// The superuser, called as the regression suite has it in its own runs.
pub const SUPERUSER: &str = "postgres";
/// How long the server may take to answer after its start, in tenths of a second.
const START_TENTHS_MAX: u32 = 300;
/// The port that names the socket; the folder is this server's own.
const PORT: u16 = 5432;

/// A running scratch server.
#[derive(Debug)]
pub struct Server {
    folder: PathBuf,
    /// The server's major version.
    pub major: u32,
    /// Where its loadable libraries are.
    pub libraries: PathBuf,
    shell: Child,
}

impl Server {
    /// Makes a cluster and starts it.
    ///
    /// # Errors
    /// There is no such server here, or it does not start; its log is in the message.
    pub fn start(major: u32) -> Result<Self> {
        let programs = obtain::programs(major)?;
        let folder = tempfile::Builder::new().prefix("countersign-live-").tempdir_in("/var/tmp")?.keep();
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

impl Drop for Server {
    fn drop(&mut self) {
        // The shell stops the server and removes the folder when its standard input closes.
        drop(self.shell.stdin.take());
        let _ended = self.shell.wait();
    }
}

fn launch(programs: &Path, folder: &Path, major: u32) -> Result<Server> {
    let root = std::fs::metadata("/proc/self").map(|meta| meta.uid() == 0).unwrap_or(false);
    if root {
        run(Command::new("chown").arg("postgres").arg(folder))?;
    }
    let data = folder.join("data");
    let mut initdb = lent(root, &programs.join("initdb"));
    initdb.args(["--username", SUPERUSER, "--auth=trust", "--encoding=UTF8", "--no-locale", "--no-sync"]);
    run(initdb.arg("-D").arg(&data))?;
    let mut shell = lent(root, Path::new("/bin/sh"));
    shell.arg("-c").arg("folder=$1; shift; \"$@\" & read -r _; kill -INT $!; wait $!; rm -rf \"$folder\"");
    shell.arg("sh").arg(folder).arg(programs.join("postgres")).arg("-D").arg(&data);
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
        shell.args(["-c", setting]);
    }
    let log = std::fs::File::create(folder.join("log"))?;
    let shell = shell.stdin(Stdio::piped()).stdout(log.try_clone()?).stderr(log).spawn()?;
    let libraries = libraries(programs)?;
    let server = Server { folder: folder.to_owned(), major, libraries, shell };
    let mut last = None;
    for _ in 0..START_TENTHS_MAX {
        match server.superuser("postgres") {
            Ok(_) => return Ok(server),
            Err(error) => last = Some(error),
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    let log = std::fs::read_to_string(folder.join("log")).unwrap_or_default();
    bail!("it does not answer: {}: {log}", last.map(|error| format!("{error:#}")).unwrap_or_default())
}

/// Where modules are: beside the programs in Debian's layout, under `lib/postgresql` in the other.
fn libraries(programs: &Path) -> Result<PathBuf> {
    let home = programs.parent().context("the programs have no folder")?;
    let nested = home.join("lib/postgresql");
    Ok(if nested.exists() { nested } else { home.join("lib") })
}

fn lent(root: bool, program: &Path) -> Command {
    let mut command = if root {
        let mut command = Command::new("runuser");
        command.args(["-u", "postgres", "--"]).arg(program);
        command
    } else {
        Command::new(program)
    };
    command.current_dir("/").env("LC_ALL", "C").env("TZ", "UTC").stdin(Stdio::null());
    command
}

fn run(command: &mut Command) -> Result<()> {
    let output = command.output().with_context(|| format!("could not run {command:?}"))?;
    ensure!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr).trim());
    Ok(())
}
