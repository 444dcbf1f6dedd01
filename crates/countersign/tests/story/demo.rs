//! The demo as a child process, and people at command lines of their own.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use nix::sys::signal::{self, Signal};
use nix::unistd::Pid;
use serde_json::Value;

/// How long the demo may take to be ready: a scratch server is made and filled.
const READY: Duration = Duration::from_secs(120);
/// How long an answer may take.
const ANSWERS: Duration = Duration::from_secs(30);
pub const PROGRAM: &str = env!("CARGO_BIN_EXE_countersign");

/// A demo that runs, and its data folder.
pub struct Demo {
    pub child: Child,
    folder: Option<tempfile::TempDir>,
    pub facts: Value,
}

impl Demo {
    pub fn start(folder: tempfile::TempDir) -> Self {
        Self::start_by(Command::new(PROGRAM), folder)
    }

    /// As what `program` begins, which is given the demo's arguments.
    pub fn start_by(mut program: Command, folder: tempfile::TempDir) -> Self {
        let log = std::fs::File::create(folder.path().join("demo.log")).unwrap();
        let child = program
            .args(["demo", "--no-open", "--console-port", "0", "--postgres-port", "0", "--data"])
            .arg(folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        let mut demo = Self { child, folder: Some(folder), facts: Value::Null };
        let path = demo.data().join("demo.json");
        for _ in 0..READY.as_millis() / 50 {
            if let Some(bytes) =
                std::fs::read(&path).ok().filter(|_| demo.child.try_wait().unwrap().is_none())
            {
                demo.facts = serde_json::from_slice(&bytes).unwrap();
                return demo;
            }
            if demo.child.try_wait().unwrap().is_some() {
                break;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        panic!("the demo is not ready: {}", std::fs::read_to_string(demo.data().join("demo.log")).unwrap());
    }

    pub fn data(&self) -> &Path {
        self.folder.as_ref().expect("a folder").path()
    }

    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        // A crash leaves the file behind; the next start removes it before anything else.
        assert!(self.data().join("demo.json").exists());
    }

    pub fn again(mut self) -> Self {
        let folder = self.folder.take().expect("a folder");
        std::fs::remove_file(folder.path().join("demo.json")).unwrap();
        Self::start(folder)
    }

    /// Stops and starts with what it has.
    pub fn anew(mut self) -> Self {
        assert!(self.stop().success());
        Self::start(self.folder.take().expect("a folder"))
    }

    pub fn stop(&mut self) -> std::process::ExitStatus {
        signal::kill(Pid::from_raw(self.child.id().try_into().unwrap()), Signal::SIGTERM).unwrap();
        self.child.wait().unwrap()
    }

    /// Stops, within a minute.
    pub fn stop_soon(&mut self) -> std::process::ExitStatus {
        signal::kill(Pid::from_raw(self.child.id().try_into().unwrap()), Signal::SIGTERM).unwrap();
        for _ in 0..1_200 {
            if let Some(ended) = self.child.try_wait().unwrap() {
                return ended;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        self.child.kill().unwrap();
        panic!("the demo did not end within a minute");
    }

    pub fn sign_in(&self, name: &str) -> Person {
        let people = self.facts["people"].as_array().unwrap();
        let password =
            text(people.iter().find(|person| person["name"] == name).unwrap(), "password").to_owned();
        let mut person = Person {
            url: text(&self.facts, "console").to_owned(),
            home: self.data().join(format!("home-{name}-{}", self.child.id())),
            token: None,
        };
        let mut child = person
            .command(&["login", "--user", name, "--password-stdin", "--print-token"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(format!("{password}\n").as_bytes()).unwrap();
        person.token = Some(last_line(&child.wait_with_output().unwrap()));
        person
    }

    /// What the scratch server itself says, past the gateway.
    pub fn count(&self, query: &str) -> String {
        let upstream = &self.facts["upstream"];
        let output = Command::new("psql")
            .args(["-X", "-A", "-t", "-h", text(upstream, "host"), "-U", text(upstream, "user")])
            .args(["-p", &upstream["port"].to_string(), "-d", text(upstream, "database"), "-c", query])
            .env("PGPASSWORD", text(upstream, "password"))
            .output()
            .unwrap();
        words(&output).trim().to_owned()
    }

    pub fn until(&self, query: &str, expected: &str) {
        for _ in 0..200 {
            if self.count(query) == expected {
                return;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        panic!("`{query}` never gives {expected}");
    }
}

impl Drop for Demo {
    /// Ends what this test started, also when it fails: the gateway, and the scratch server that outlives it.
    fn drop(&mut self) {
        let Some(folder) = &self.folder else { return };
        if self.child.try_wait().is_ok_and(|ended| ended.is_none()) {
            let _gone = signal::kill(Pid::from_raw(self.child.id().try_into().unwrap_or(0)), Signal::SIGTERM);
            let _ended = self.child.wait();
        }
        let scratch = std::fs::read(folder.path().join("scratch.json")).ok();
        let scratch = scratch.and_then(|bytes| serde_json::from_slice::<Value>(&bytes).ok());
        let Some(cluster) = scratch.as_ref().and_then(|found| found["cluster"].as_str()) else { return };
        let cluster = PathBuf::from(cluster);
        let pid = std::fs::read_to_string(cluster.join("postmaster.pid")).ok();
        if let Some(pid) =
            pid.and_then(|text| text.lines().next()?.parse::<i32>().ok()).filter(|pid| *pid > 1)
        {
            let _gone = signal::kill(Pid::from_raw(pid), Signal::SIGQUIT);
            std::thread::sleep(Duration::from_millis(300));
        }
        if let Some(home) =
            cluster.parent().filter(|home| home.to_string_lossy().contains("countersign-scratch-"))
        {
            let _gone = std::fs::remove_dir_all(home);
        }
    }
}

/// Somebody at a command line of their own.
pub struct Person {
    pub url: String,
    home: PathBuf,
    pub token: Option<String>,
}

impl Person {
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(PROGRAM);
        command.args(args).env("COUNTERSIGN_URL", &self.url).env("COUNTERSIGN_HOME", &self.home);
        if let Some(token) = &self.token {
            command.env("COUNTERSIGN_TOKEN", token);
        }
        command
    }

    pub fn run(&self, args: &[&str]) -> Output {
        self.command(args).stdin(Stdio::null()).output().unwrap()
    }

    pub fn json(&self, args: &[&str]) -> Value {
        let output = self.run(&[&["--output", "json"], args].concat());
        assert!(output.status.success(), "{args:?}: {}", words(&output));
        serde_json::from_slice(&output.stdout)
            .unwrap_or_else(|error| panic!("{args:?}: {error}: {}", words(&output)))
    }

    /// What the API answers to this.
    pub fn post(&self, path: &str, body: &Value) -> Value {
        let body = body.to_string();
        let host = self.url.trim_start_matches("http://");
        let token = self.token.as_deref().unwrap();
        let mut socket = TcpStream::connect(host).unwrap();
        socket.set_read_timeout(Some(ANSWERS)).unwrap();
        write!(
            socket,
            "POST /api/v1{path} HTTP/1.1\r\nhost: {host}\r\nauthorization: Bearer {token}\r\n\
             content-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
            body.len()
        )
        .unwrap();
        let mut answer = String::new();
        socket.read_to_string(&mut answer).unwrap();
        let (_, body) = answer.split_once("\r\n\r\n").unwrap();
        serde_json::from_str(body).unwrap_or_else(|_| panic!("no JSON: {answer}"))
    }

    pub fn eventually(&self, args: &[&str], find: impl Fn(&Value) -> Option<Value>) -> Value {
        for _ in 0..200 {
            if let Some(found) = find(&self.json(args)) {
                return found;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        panic!("{args:?} never shows it: {}", self.json(args));
    }
}

/// psql at a place, which waits for what is typed.
pub fn open_psql(url: &str) -> Child {
    Command::new("psql")
        .args(["-X", "-A", "-t", url])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

pub fn psql(url: &str, typed: &str) -> Child {
    let mut child = open_psql(url);
    child.stdin.take().unwrap().write_all(typed.as_bytes()).unwrap();
    child
}

pub fn first(list: &Value, key: &str, value: &str) -> Option<Value> {
    list["items"].as_array()?.iter().find(|item| item[key] == value).cloned()
}

pub fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or_else(|| panic!("no `{key}` in {value}"))
}

pub fn words(output: &Output) -> String {
    String::from_utf8_lossy(&[output.stdout.clone(), output.stderr.clone()].concat()).into_owned()
}

pub fn last_line(output: &Output) -> String {
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.lines().last().unwrap_or_else(|| panic!("nothing was printed: {}", words(output))).to_owned()
}
