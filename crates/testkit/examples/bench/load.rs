//! One burst: pgbench with its own log, and what the process in between used meanwhile.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use crate::options::Length;
use crate::plan::{Cell, Load};
use crate::server::SCALE;
use crate::stats::{Process, percentile};
use countersign_testkit::leash;

/// What `pgbench -S` runs. As a file, pgbench asks nothing else of its own, so that statements can be counted.
const SELECT: &str =
    "\\set aid random(1, 100000 * :scale)\nSELECT abalance FROM pgbench_accounts WHERE aid = :aid;\n";
/// One row is changed, and committed by itself.
const UPDATE: &str = "\\set aid random(1, 100000 * :scale)\n\
                      UPDATE pgbench_accounts SET abalance = abalance + 1 WHERE aid = :aid;\n";
/// How long the process in between has to finish what nobody waits for, before its time is read.
pub const SETTLE: Duration = Duration::from_millis(60);

/// Who connects to what.
#[derive(Clone, Debug)]
pub struct Login {
    /// The user.
    pub user: String,
    /// Their password.
    pub password: String,
    /// The database.
    pub database: String,
}

/// What one burst came to.
#[derive(Clone, Debug, Default)]
pub struct Burst {
    /// Statements that ended well.
    pub executed: u64,
    /// Statements that did not.
    pub failed: u64,
    /// Statements a second, connecting not included; where bytes are the question, megabytes a second.
    pub rate: f64,
    /// The median time of a statement, in microseconds.
    pub p50: f64,
    /// Its 99th percentile.
    pub p99: f64,
    /// Processor time of the process in between, in microseconds, connecting included.
    pub cpu: Option<f64>,
    /// Bytes of rows that went through, where that is the question.
    pub bytes: u64,
}

impl Login {
    /// A client program with this login.
    pub fn command(&self, program: &str, port: u16, tls: bool) -> Command {
        let mut command = leash::command(program, false);
        command
            .env("PGHOST", "127.0.0.1")
            .env("PGPORT", port.to_string())
            .env("PGUSER", &self.user)
            .env("PGPASSWORD", &self.password)
            .env("PGDATABASE", &self.database)
            .env("PGSSLMODE", if tls { "require" } else { "disable" })
            .env("PGCONNECT_TIMEOUT", "20");
        command
    }
}

/// Runs one burst.
pub fn run(
    folder: &Path,
    cell: &Cell,
    (port, login): (u16, &Login),
    process: Option<Process>,
    length: Length,
) -> Result<Burst> {
    let (script, mode) = match cell.load {
        Load::Simple => (SELECT, "simple"),
        Load::Extended => (SELECT, "extended"),
        Load::Prepared => (SELECT, "prepared"),
        Load::Update => (UPDATE, "prepared"),
        Load::Select | Load::CopyOut | Load::CopyIn => bail!("that is no load of pgbench"),
    };
    let path = folder.join("script.sql");
    std::fs::write(&path, script)?;
    let logs = tempfile::tempdir_in(folder)?;
    let mut command = login.command("pgbench", port, cell.tls);
    command.current_dir(logs.path()).args(["-n", "-l", "-M", mode, "-D", &format!("scale={SCALE}")]);
    command.args(["-c", &cell.clients.to_string(), "-j", &cell.clients.min(2).to_string()]);
    command.arg("-f").arg(&path);
    match length {
        Length::Statements(count) => command.args(["-t", &count.to_string()]),
        Length::Seconds(seconds) => command.args(["-T", &seconds.to_string()]),
    };
    let before = process.map(Process::cpu_micros).transpose()?;
    let said = leash::run(&mut command)?;
    let cpu = match (process, before) {
        (Some(process), Some(before)) => {
            std::thread::sleep(SETTLE);
            Some(process.cpu_micros()? - before)
        }
        _ => None,
    };
    let took = latencies(logs.path())?;
    Ok(Burst {
        executed: number(&said, "number of transactions actually processed: ")?,
        failed: number(&said, "number of failed transactions: ")?,
        rate: after(&said, "tps = ")?.parse().context("pgbench's rate is no number")?,
        p50: percentile(&took, 50.0),
        p99: percentile(&took, 99.0),
        cpu,
        bytes: 0,
    })
}

/// The word behind a label of pgbench's report.
fn after<'a>(said: &'a str, label: &str) -> Result<&'a str> {
    let rest =
        said.split(label).nth(1).with_context(|| format!("pgbench does not say `{label}`:\n{said}"))?;
    Ok(rest.split_whitespace().next().unwrap_or_default())
}

/// `6789`, or `6789/6789`.
fn number(said: &str, label: &str) -> Result<u64> {
    let word = after(said, label)?;
    let first = word.split('/').next().unwrap_or_default();
    first.parse().with_context(|| format!("pgbench's `{label}` is no number"))
}

/// The times of all statements, from pgbench's own log, in microseconds, shortest first.
fn latencies(folder: &Path) -> Result<Vec<f64>> {
    let mut took = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        for line in BufReader::new(std::fs::File::open(entry?.path())?).lines() {
            let line = line?;
            let word = line.split(' ').nth(2).context("pgbench's log is not understood")?;
            took.push(word.parse().context("pgbench's log is not understood")?);
        }
    }
    took.sort_by(f64::total_cmp);
    Ok(took)
}
