//! The demo as a stranger runs it: the real binary, a real PostgreSQL, a real psql.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on has failed"
)]

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use nix::sys::signal::{self, Signal};
use nix::unistd::Pid;
use serde_json::Value;

/// How long the demo may take to be ready: a scratch server is made and filled.
const READY: Duration = Duration::from_secs(120);
const PROGRAM: &str = env!("CARGO_BIN_EXE_countersign");

#[test]
fn the_story_goes_as_told_twice() {
    let mut demo = Demo::start(tempfile::tempdir().unwrap());
    for _ in 0..2 {
        let told =
            Command::new(PROGRAM).args(["demo", "--script", "--data"]).arg(demo.data()).output().unwrap();
        let text = words(&told);
        assert!(told.status.success(), "{text}");
        assert!(text.contains("DELETE 12"), "{text}");
    }
    assert!(demo.stop().success());
    assert!(!demo.data().join("demo.json").exists(), "demo.json is removed at the end");
}

/// Killed while a statement waits: it is withdrawn, nothing ran, the grant lives on, the ledger is proved. What was
/// answered before the crash is in the ledger after it.
#[test]
fn killed_while_a_statement_waits() {
    let mut demo = Demo::start(tempfile::tempdir().unwrap());
    let alice = demo.sign_in("alice");
    let bob = demo.sign_in("bob");
    let asked = alice.json(&["request", "shop-writer", "--for", "10m", "--reason", "a crash is coming"]);
    bob.json(&["approve", text(&asked, "id")]);
    let url = last_line(&alice.run(&["connect", "shop", "--print", "url"]));
    let answered = psql(&url, "SELECT 'the answer is ' || 6 * 7;\n").wait_with_output().unwrap();
    assert!(words(&answered).contains("the answer is 42"), "{}", words(&answered));

    let waiting = psql(&url, "DELETE FROM orders WHERE status = 'duplicate';\n");
    let held = bob.eventually(&["requests", "--inbox"], |list| first(list, "kind", "action"));
    let held = text(&held, "id").to_owned();
    let grants = bob.json(&["grants"]);
    demo.kill();
    assert!(!words(&waiting.wait_with_output().unwrap()).contains("DELETE 12"));

    let mut demo = demo.again();
    let bob = demo.sign_in("bob");
    assert_eq!(text(&bob.json(&["requests", &held]), "state"), "withdrawn");
    let all = bob.json(&["requests", "--state", "all"]);
    assert!(first(&all, "id", &held).is_some() && first(&all, "state", "approved").is_some(), "{all}");
    assert_eq!(
        bob.json(&["grants"]).pointer("/items/0/not_after"),
        grants.pointer("/items/0/not_after"),
        "the grant ends when it should have ended"
    );
    let verified = bob.run(&["audit", "verify"]);
    assert!(verified.status.success(), "{}", words(&verified));
    let found = bob.json(&["audit", "search", "--text", "the answer is", "--limit", "10"]);
    assert!(
        found.to_string().contains("6 * 7"),
        "the answer that reached the client is in the ledger: {found}"
    );
    let sessions = bob.json(&["sessions"]);
    assert_eq!(sessions.pointer("/items").unwrap().as_array().unwrap().len(), 0, "{sessions}");
    assert_eq!(demo.count("select count(*) from orders where status = 'duplicate'"), "12");
    assert!(demo.stop().success());
}

/// Killed while an approved statement runs: its outcome is unknown, said so, and it is never run again.
#[test]
fn killed_while_an_approved_statement_runs() {
    let demo = Demo::start(tempfile::tempdir().unwrap());
    let alice = demo.sign_in("alice");
    let bob = demo.sign_in("bob");
    let asked = alice.json(&["request", "shop-writer", "--for", "10m", "--reason", "a crash is coming"]);
    bob.json(&["approve", text(&asked, "id")]);
    let url = last_line(&alice.run(&["connect", "shop", "--print", "url"]));
    let slow = "UPDATE products SET stock = 4711 WHERE id = 1 \
                AND (SELECT count(*) FROM orders a, orders b, orders c WHERE a.id + b.id = c.id) > 0;\n";
    let running = psql(&url, slow);
    let held = bob.eventually(&["requests", "--inbox"], |list| first(list, "kind", "action"));
    let held = text(&held, "id").to_owned();
    bob.json(&["approve", &held]);
    demo.until("select count(*) from pg_stat_activity where state = 'active' and query like '%4711%' and pid <> pg_backend_pid()", "1");
    let mut demo = demo;
    demo.kill();
    drop(running.wait_with_output());

    let mut demo = demo.again();
    let bob = demo.sign_in("bob");
    let after = bob.json(&["requests", &held]);
    assert_eq!(after.pointer("/outcome/result").and_then(Value::as_str), Some("unknown"), "{after}");
    assert!(bob.run(&["audit", "verify"]).status.success());
    assert!(demo.stop().success());
}

/// Killed between two statements of a script: the first one stands, the second is not run, and nothing takes it up again.
#[test]
fn killed_between_the_statements_of_a_script() {
    let mut demo = Demo::start(tempfile::tempdir().unwrap());
    let alice = demo.sign_in("alice");
    let bob = demo.sign_in("bob");
    let asked = alice.json(&["request", "shop-writer", "--for", "10m", "--reason", "a crash is coming"]);
    bob.json(&["approve", text(&asked, "id")]);
    let (one, two) = (
        "UPDATE products SET stock = 4711 WHERE id = 1;",
        "-- the second shelf\nUPDATE products SET stock = 4711 WHERE id = 2;",
    );
    let file = demo.data().join("fix.sql");
    std::fs::write(&file, format!("{one}\n{two}\n")).unwrap();
    let file = file.to_str().unwrap().to_owned();
    let script = alice.json(&["request", "script", &file, "--resource", "shop", "--reason", "two shelves"]);
    let id = text(&script, "id").to_owned();
    assert_eq!((text(&script, "kind"), text(&script, "state")), ("script", "pending"));
    let shown = String::from_utf8(bob.run(&["requests", &id]).stdout).unwrap();
    assert!(
        shown.contains("Statement 2 of 2, waiting:") && shown.contains("stock = 4711 WHERE id = 2"),
        "{shown}"
    );
    bob.json(&["approve", &id]);
    let url = last_line(&alice.run(&["connect", "shop", "--print", "url"]));
    let running = psql(&url, &format!("{one}\n\\! sleep 3\n{two}\n"));
    bob.eventually(&["requests", &id], |found| {
        (found.pointer("/steps/0/state").and_then(Value::as_str) == Some("ended")).then(|| found.clone())
    });
    demo.kill();
    drop(running.wait_with_output());

    let mut demo = demo.again();
    let bob = demo.sign_in("bob");
    let after = bob.json(&["requests", &id]);
    assert_eq!((text(&after, "state"), text(&after, "why")), ("withdrawn", "gateway_restarted"), "{after}");
    let state = |step: usize| after.pointer(&format!("/steps/{step}/state")).and_then(Value::as_str);
    assert_eq!((state(0), state(1)), (Some("ended"), Some("skipped")), "{after}");
    assert_eq!(demo.count("select count(*) from products where stock = 4711"), "1");
    let alice = demo.sign_in("alice");
    let url = last_line(&alice.run(&["connect", "shop", "--print", "url"]));
    let waiting = psql(&url, &format!("{two}\n"));
    let held = bob.eventually(&["requests", "--inbox"], |list| first(list, "kind", "action"));
    bob.json(&["deny", text(&held, "id"), "--comment", "not again"]);
    assert!(words(&waiting.wait_with_output().unwrap()).contains("not again"));
    assert_eq!(demo.count("select count(*) from products where stock = 4711"), "1");
    assert!(bob.run(&["audit", "verify"]).status.success());
    assert!(demo.stop().success());
}

/// A demo that runs, and its data folder.
struct Demo {
    child: Child,
    folder: Option<tempfile::TempDir>,
    facts: Value,
}

impl Demo {
    fn start(folder: tempfile::TempDir) -> Self {
        let log = std::fs::File::create(folder.path().join("demo.log")).unwrap();
        let child = Command::new(PROGRAM)
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

    fn data(&self) -> &Path {
        self.folder.as_ref().expect("a folder").path()
    }

    fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        // A crash leaves the file behind; the next start removes it before anything else.
        assert!(self.data().join("demo.json").exists());
    }

    fn again(mut self) -> Self {
        let folder = self.folder.take().expect("a folder");
        std::fs::remove_file(folder.path().join("demo.json")).unwrap();
        Self::start(folder)
    }

    fn stop(&mut self) -> std::process::ExitStatus {
        signal::kill(Pid::from_raw(self.child.id().try_into().unwrap()), Signal::SIGTERM).unwrap();
        self.child.wait().unwrap()
    }

    fn sign_in(&self, name: &str) -> Person {
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
    fn count(&self, query: &str) -> String {
        let upstream = &self.facts["upstream"];
        let output = Command::new("psql")
            .args(["-X", "-A", "-t", "-h", text(upstream, "host"), "-U", text(upstream, "user")])
            .args(["-p", &upstream["port"].to_string(), "-d", text(upstream, "database"), "-c", query])
            .env("PGPASSWORD", text(upstream, "password"))
            .output()
            .unwrap();
        words(&output).trim().to_owned()
    }

    fn until(&self, query: &str, expected: &str) {
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
struct Person {
    url: String,
    home: PathBuf,
    token: Option<String>,
}

impl Person {
    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(PROGRAM);
        command.args(args).env("COUNTERSIGN_URL", &self.url).env("COUNTERSIGN_HOME", &self.home);
        if let Some(token) = &self.token {
            command.env("COUNTERSIGN_TOKEN", token);
        }
        command
    }

    fn run(&self, args: &[&str]) -> Output {
        self.command(args).stdin(Stdio::null()).output().unwrap()
    }

    fn json(&self, args: &[&str]) -> Value {
        let output = self.run(&[&["--output", "json"], args].concat());
        assert!(output.status.success(), "{args:?}: {}", words(&output));
        serde_json::from_slice(&output.stdout)
            .unwrap_or_else(|error| panic!("{args:?}: {error}: {}", words(&output)))
    }

    fn eventually(&self, args: &[&str], find: impl Fn(&Value) -> Option<Value>) -> Value {
        for _ in 0..200 {
            if let Some(found) = find(&self.json(args)) {
                return found;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        panic!("{args:?} never shows it: {}", self.json(args));
    }
}

fn psql(url: &str, typed: &str) -> Child {
    let mut child = Command::new("psql")
        .args(["-X", "-A", "-t", url])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(typed.as_bytes()).unwrap();
    child
}

fn first(list: &Value, key: &str, value: &str) -> Option<Value> {
    list["items"].as_array()?.iter().find(|item| item[key] == value).cloned()
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or_else(|| panic!("no `{key}` in {value}"))
}

fn words(output: &Output) -> String {
    String::from_utf8_lossy(&[output.stdout.clone(), output.stderr.clone()].concat()).into_owned()
}

fn last_line(output: &Output) -> String {
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.lines().last().unwrap_or_else(|| panic!("nothing was printed: {}", words(output))).to_owned()
}
