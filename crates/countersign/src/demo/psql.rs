//! A psql that the story drives: a real one, with pipes for a terminal.

use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use nix::sys::signal::{self, Signal};
use nix::unistd::Pid;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::{Child, ChildStdin, Command};

/// One psql.
pub struct Psql {
    child: Child,
    input: Option<ChildStdin>,
    said: Arc<Said>,
    read: usize,
}

/// Everything psql has printed, on both channels, in the order of arrival.
#[derive(Default)]
struct Said {
    text: Mutex<String>,
    more: tokio::sync::Notify,
}

impl Psql {
    /// Starts psql on `url`.
    ///
    /// # Errors
    /// psql is not installed.
    pub fn start(url: &str) -> Result<Self> {
        let mut child = Command::new("psql")
            .args(["--no-psqlrc", "--no-align", "--tuples-only", "--set", "VERBOSITY=verbose", url])
            .env("PGCONNECT_TIMEOUT", "10")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .context("could not start `psql`; install the PostgreSQL client")?;
        let said = Arc::new(Said::default());
        listen(child.stdout.take().context("psql has no output")?, said.clone());
        listen(child.stderr.take().context("psql has no output")?, said.clone());
        Ok(Self { input: child.stdin.take(), child, said, read: 0 })
    }

    /// Types a line.
    ///
    /// # Errors
    /// psql is gone.
    pub async fn type_line(&mut self, line: &str) -> Result<()> {
        let input = self.input.as_mut().context("psql's input is closed")?;
        input.write_all(format!("{line}\n").as_bytes()).await.context("psql is gone")?;
        input.flush().await.context("psql is gone")
    }

    /// Waits until psql prints `expected`, and returns all it printed since the last time, up to that.
    ///
    /// # Errors
    /// It does not within `within`; the error quotes what it printed.
    pub async fn expect(&mut self, expected: &str, within: Duration) -> Result<String> {
        let wait = async {
            loop {
                let more = self.said.more.notified();
                if let Some(text) = self.until(expected) {
                    return text;
                }
                more.await;
            }
        };
        match tokio::time::timeout(within, wait).await {
            Ok((text, read)) => {
                self.read = read;
                Ok(text)
            }
            Err(_) => bail!("psql did not print `{expected}` in time; it printed: {}", self.unread()),
        }
    }

    /// Ctrl-C.
    ///
    /// # Errors
    /// psql is gone.
    pub fn interrupt(&self) -> Result<()> {
        self.signal(Signal::SIGINT)
    }

    /// What happens to psql when its terminal is closed.
    ///
    /// # Errors
    /// psql is gone.
    pub fn hang_up(&self) -> Result<()> {
        self.signal(Signal::SIGKILL)
    }

    /// Closes its input and returns its exit code, with what it printed last.
    ///
    /// # Errors
    /// It does not end.
    pub async fn quit(mut self) -> Result<(Option<i32>, String)> {
        drop(self.input.take());
        let status = tokio::time::timeout(Duration::from_secs(15), self.child.wait()).await;
        let status = status.context("psql does not end")??;
        tokio::time::sleep(Duration::from_millis(50)).await;
        Ok((status.code(), self.unread()))
    }

    fn signal(&self, signal: Signal) -> Result<()> {
        let pid = self.child.id().and_then(|id| i32::try_from(id).ok()).context("psql is gone")?;
        Ok(signal::kill(Pid::from_raw(pid), signal)?)
    }

    fn until(&self, expected: &str) -> Option<(String, usize)> {
        let text = self.said.text.lock().unwrap_or_else(PoisonError::into_inner);
        let unread = text.get(self.read..)?;
        let end = unread.find(expected)? + expected.len();
        Some((unread.get(..end)?.to_owned(), self.read + end))
    }

    fn unread(&self) -> String {
        let text = self.said.text.lock().unwrap_or_else(PoisonError::into_inner);
        text.get(self.read..).unwrap_or_default().to_owned()
    }
}

fn listen(mut from: impl AsyncRead + Unpin + Send + 'static, said: Arc<Said>) {
    tokio::spawn(async move {
        let mut buffer = vec![0; 4096];
        while let Ok(length @ 1..) = from.read(&mut buffer).await {
            let text = String::from_utf8_lossy(buffer.get(..length).unwrap_or_default()).into_owned();
            said.text.lock().unwrap_or_else(PoisonError::into_inner).push_str(&text);
            said.more.notify_waiters();
        }
    });
}
