//! psql as people use it: what is typed goes in, and its lines can be waited for.

use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, Result};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::process::{Child, ChildStdin, Command};
use tokio::sync::mpsc;

use crate::house::House;

/// How long a test waits for a line.
const SOON: Duration = Duration::from_secs(10);

/// A psql whose lines can be waited for.
pub struct Psql {
    child: Child,
    input: Option<ChildStdin>,
    lines: mpsc::UnboundedReceiver<String>,
    seen: Vec<String>,
}

impl Psql {
    /// Connects to the shop as this person.
    ///
    /// # Errors
    /// There is no psql, or no such person.
    pub async fn start(house: &House, person: &str) -> Result<Self> {
        Self::with_options(house, person, "").await
    }

    /// As [`Psql::start`], with `PGOPTIONS`.
    ///
    /// # Errors
    /// As there.
    pub async fn with_options(house: &House, person: &str, options: &str) -> Result<Self> {
        let credential = house.credential(person).await?;
        // One pipe for both, so that lines come in the order in which they were said.
        let mut child = Command::new("sh")
            .args([
                "-c",
                "exec psql \"$@\" 2>&1",
                "psql",
                "-X",
                "-h",
                "127.0.0.1",
                "-p",
                &house.door.port().to_string(),
            ])
            .args(["-U", &credential.user, "-d", "shop"])
            .env("PGPASSWORD", credential.password.as_str())
            .env("PGOPTIONS", options)
            .env("PGSSLMODE", "require")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let (sender, lines) = mpsc::unbounded_channel();
        let out = BufReader::new(child.stdout.take().context("no stdout")?);
        tokio::spawn(forward(out, sender));
        let input = child.stdin.take();
        Ok(Self { child, input, lines, seen: Vec::new() })
    }

    /// Runs `text` as a file (`psql -f`), to its end: the exit code, and what was said.
    ///
    /// # Errors
    /// There is no psql, or it does not end.
    pub async fn run_file(
        house: &House,
        person: &str,
        text: &str,
        options: &[&str],
    ) -> Result<(i32, String)> {
        let credential = house.credential(person).await?;
        let file = tempfile::NamedTempFile::new()?;
        std::fs::write(file.path(), text)?;
        let running = Command::new("psql")
            .args(["-X", "-h", "127.0.0.1", "-p", &house.door.port().to_string()])
            .args(["-U", &credential.user, "-d", "shop"])
            .args(options)
            .arg("-f")
            .arg(file.path())
            .env("PGPASSWORD", credential.password.as_str())
            .env("PGSSLMODE", "require")
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .output();
        let done = tokio::time::timeout(SOON * 3, running).await.context("psql does not end")??;
        let said = [done.stdout, done.stderr].concat();
        Ok((done.status.code().unwrap_or(-1), String::from_utf8_lossy(&said).into_owned()))
    }

    /// Types a line.
    ///
    /// # Errors
    /// It has gone.
    pub async fn send(&mut self, text: &str) -> Result<()> {
        let input = self.input.as_mut().context("closed")?;
        input.write_all(text.as_bytes()).await?;
        input.write_all(b"\n").await?;
        Ok(input.flush().await?)
    }

    /// Waits for a line that contains `wanted`.
    ///
    /// # Errors
    /// None comes in time.
    pub async fn expect(&mut self, wanted: &str) -> Result<String> {
        let waiting = async {
            while let Some(line) = self.lines.recv().await {
                self.seen.push(line.clone());
                if line.contains(wanted) {
                    return Some(line);
                }
            }
            None
        };
        let found = tokio::time::timeout(SOON, waiting).await;
        found.ok().flatten().with_context(|| format!("no line with `{wanted}` in {:#?}", self.seen))
    }

    /// The lines that came so far, as far as they were waited for.
    #[must_use]
    pub fn seen(&self) -> &[String] {
        &self.seen
    }

    /// Presses Ctrl-C.
    ///
    /// # Errors
    /// It has gone.
    pub fn interrupt(&self) -> Result<()> {
        let id = self.child.id().context("gone")?.to_string();
        std::process::Command::new("kill").args(["-INT", &id]).status()?;
        Ok(())
    }

    /// Ends it as a closed terminal does.
    ///
    /// # Errors
    /// It has gone.
    pub async fn kill(&mut self) -> Result<()> {
        Ok(self.child.kill().await?)
    }
}

async fn forward(mut lines: impl tokio::io::AsyncBufRead + Unpin, into: mpsc::UnboundedSender<String>) {
    let mut line = String::new();
    while matches!(lines.read_line(&mut line).await, Ok(1..)) {
        let _ = into.send(std::mem::take(&mut line));
    }
}
