//! A demo of the test's own: the built program on ports that the system chose, in a folder that goes away with it.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use crate::run::{program, quietly, target};

/// How long a demo may take until it is ready: it makes a database cluster first.
const READY_MS_MAX: u64 = 120_000;
/// How long it may take to stop.
const STOPPED_MS_MAX: u64 = 30_000;
/// How often it is looked at meanwhile.
const LOOK_MS: u64 = 50;

/// A running demo.
pub struct Demo {
    child: Child,
    folder: PathBuf,
    facts: Value,
}

impl Demo {
    /// Starts the program that was built last.
    pub fn start() -> Result<Self> {
        let folder = target().join("tmp").join(format!("demo-{}", std::process::id()));
        std::fs::create_dir_all(&folder).with_context(|| format!("could not make `{}`", folder.display()))?;
        let log = File::create(folder.join("demo.log"))?;
        let child = Command::new(target().join("debug/countersign"))
            .args(["demo", "--no-open", "--console-port", "0", "--postgres-port", "0", "--data"])
            .arg(&folder)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .context("could not start the demo")?;
        let mut demo = Self { child, folder, facts: Value::Null };
        demo.facts = demo.ready()?;
        Ok(demo)
    }

    /// The file is put in place when everything is ready.
    fn ready(&mut self) -> Result<Value> {
        let path = self.folder.join("demo.json");
        for _ in 0..READY_MS_MAX / LOOK_MS {
            if let Ok(bytes) = std::fs::read(&path) {
                return serde_json::from_slice(&bytes).context("`demo.json` is not JSON");
            }
            if self.child.try_wait()?.is_some() {
                break;
            }
            sleep(Duration::from_millis(LOOK_MS));
        }
        let said = std::fs::read_to_string(self.folder.join("demo.log")).unwrap_or_default();
        bail!("the demo is not ready:\n{}", said.trim())
    }

    /// Where its console is.
    pub fn console(&self) -> Result<&str> {
        self.facts.get("console").and_then(Value::as_str).context("`demo.json` names no console")
    }

    /// Somebody's password.
    pub fn password(&self, name: &str) -> Result<&str> {
        let people = self.facts.get("people").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
        let found = people.iter().find(|person| person.get("name").and_then(Value::as_str) == Some(name));
        let password = found.and_then(|person| person.get("password")?.as_str());
        password.with_context(|| format!("`demo.json` has no password of {name}"))
    }

    /// Its database and two accounts of it, for a gateway that is to be set up before it, as JSON.
    pub fn database(&self) -> Result<String> {
        let upstream = self.facts.get("upstream").context("`demo.json` names no server")?;
        let passwords: Value = serde_json::from_slice(&std::fs::read(self.folder.join("passwords.json"))?)?;
        let of = |key: &str| upstream.get(key).cloned().unwrap_or_default();
        let account = |name: &str| serde_json::json!({ "name": name, "password": passwords.get(name) });
        let database = serde_json::json!({
            "host": of("host"), "port": of("port"), "database": of("database"),
            "writer": account("shop_writer"), "reader": account("shop_reader"),
        });
        Ok(database.to_string())
    }

    /// Stops it in good order, and says so if that did not work.
    pub fn stop(mut self) -> Result<()> {
        self.end()
    }

    fn end(&mut self) -> Result<()> {
        if self.child.try_wait()?.is_none() {
            quietly(program("kill").args(["-TERM", &self.child.id().to_string()]))?;
        }
        for _ in 0..STOPPED_MS_MAX / LOOK_MS {
            if let Some(status) = self.child.try_wait()? {
                if !status.success() {
                    bail!("the demo ended with {status}");
                }
                return Ok(());
            }
            sleep(Duration::from_millis(LOOK_MS));
        }
        self.child.kill()?;
        bail!("the demo did not stop within {STOPPED_MS_MAX} ms")
    }

    fn folder(&self) -> &Path {
        &self.folder
    }
}

impl Drop for Demo {
    /// Also when what used it has failed: nothing that was started stays behind.
    fn drop(&mut self) {
        let _stopped_before = self.end();
        let _gone = std::fs::remove_dir_all(self.folder());
    }
}
