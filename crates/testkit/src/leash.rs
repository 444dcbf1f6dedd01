//! Programs that end when the process that started them ends, however it ends.
//!
//! Each runs beneath a shell that reads from a pipe which only its owner holds. When the pipe closes, the shell stops
//! the program, waits for it and cleans up. PostgreSQL and pgbouncer refuse to run as root, so root lends them the
//! account `postgres`.

use std::io::{BufRead as _, BufReader};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};

/// How long a program may take until it listens, in tenths of a second.
const START_TENTHS_MAX: u32 = 600;

/// Stops the program with the signal `$1`, then removes the folder `$2` if one is named.
const SHELL: &str = "signal=$1; folder=$2; shift 2; \"$@\" & echo $!; read -r _; kill -\"$signal\" $!; wait $!; \
                     [ -z \"$folder\" ] || rm -rf \"$folder\"";

/// A program on a leash. It is stopped, and waited for, when this is dropped.
#[derive(Debug)]
pub struct Leash {
    shell: Child,
    pid: u32,
    folder: Option<PathBuf>,
}

/// What is put on a leash.
#[derive(Debug)]
pub struct Dog<'a> {
    /// The program with its arguments.
    pub program: Vec<String>,
    /// Whether it refuses to run as root.
    pub unprivileged: bool,
    /// What stops it in good order.
    pub signal: &'a str,
    /// What is removed behind it.
    pub folder: Option<&'a Path>,
    /// Where it writes what it says.
    pub log: &'a Path,
    /// Its environment, beside the usual.
    pub env: &'a [(&'a str, &'a str)],
}

impl Leash {
    /// Starts a program.
    ///
    /// # Errors
    /// Its log can't be written, or there is no such program.
    pub fn start(dog: &Dog<'_>) -> Result<Self> {
        let log = std::fs::File::create(dog.log)?;
        let mut command = command("/bin/sh", dog.unprivileged);
        command.args(["-c", SHELL, "sh", dog.signal]).arg(dog.folder.unwrap_or(Path::new("")));
        command.args(&dog.program).envs(dog.env.iter().copied());
        let mut shell =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(log).spawn().with_context(|| {
                format!("could not start `{}`", dog.program.first().map_or("", String::as_str))
            })?;
        let output = shell.stdout.take().context("the shell has no output")?;
        let mut line = String::new();
        BufReader::new(output).read_line(&mut line)?;
        let pid = line.trim().parse().context("the shell names no process")?;
        Ok(Self { shell, pid, folder: dog.folder.map(Path::to_owned) })
    }

    /// The program's process.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// Waits until the program listens on a port of loopback.
    ///
    /// # Errors
    /// It ended, or took longer than a minute; what it wrote to `log` is in the message.
    pub fn listens(&self, port: u16, log: &Path) -> Result<()> {
        for _ in 0..START_TENTHS_MAX {
            if TcpStream::connect(("127.0.0.1", port)).is_ok() {
                return Ok(());
            }
            if !Path::new(&format!("/proc/{}", self.pid)).exists() {
                break;
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        bail!("a program did not start; it said:\n{}", std::fs::read_to_string(log).unwrap_or_default())
    }
}

impl Drop for Leash {
    fn drop(&mut self) {
        drop(self.shell.stdin.take());
        let _ended = self.shell.wait();
        // What its owner put there belongs to its owner, and the shell may not remove it.
        if let Some(folder) = &self.folder {
            let _gone = std::fs::remove_dir_all(folder);
        }
    }
}

/// A command as whoever runs this, or, where that is root and the program refuses root, as `postgres`.
#[must_use]
pub fn command(program: impl AsRef<Path>, unprivileged: bool) -> Command {
    let mut command = if unprivileged && is_root() {
        let mut command = Command::new("runuser");
        command.args(["-u", "postgres", "--"]).arg(program.as_ref());
        command
    } else {
        Command::new(program.as_ref())
    };
    command.current_dir("/").env("LC_ALL", "C.UTF-8").env("TZ", "UTC").stdin(Stdio::null());
    command
}

/// Whether this runs as root.
#[must_use]
pub fn is_root() -> bool {
    std::fs::metadata("/proc/self").is_ok_and(|meta| meta.uid() == 0)
}

/// Runs a program to its end and hands back what it printed.
///
/// # Errors
/// There is no such program, or it failed; what it said is in the message.
pub fn run(command: &mut Command) -> Result<String> {
    let output = command.output().with_context(|| format!("could not run {command:?}"))?;
    ensure!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr).trim());
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// A port of loopback that nobody has.
///
/// # Errors
/// The system has none left.
pub fn free_port() -> Result<u16> {
    Ok(TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port())
}

/// A folder of the account that the unprivileged run as. Removed by whoever uses it last.
///
/// # Errors
/// It can't be made.
pub fn folder(name: &str) -> Result<PathBuf> {
    let prefix = format!("countersign-{name}-");
    let folder = tempfile::Builder::new().prefix(&prefix).tempdir_in("/var/tmp")?.keep();
    if is_root() {
        run(Command::new("chown").arg("postgres").arg(&folder))?;
    }
    Ok(folder)
}
