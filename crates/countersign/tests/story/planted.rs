//! Secrets are planted in a gateway that works, and then looked for in all that it leaves behind: files, logs, errors, answers,
//! exports, the list of processes, and the memory of the process itself.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::json;

use crate::demo::{Demo, Person, last_line, psql, text, words};

/// How much of a large file is looked through at a time, and how much of it once more.
const PIECE: usize = 16 * 1024 * 1024;
const OVERLAP: usize = 4_096;

const OWN: &str = "a secret of the gateway's own";
const MASTER: &str = "the master key";

/// What was planted.
struct Planted(Vec<(&'static str, Vec<u8>)>);

impl Planted {
    /// In any form that a file may have it in.
    fn found(&self, place: &str, bytes: &[u8]) -> Vec<String> {
        let mut found = Vec::new();
        for (what, secret) in &self.0 {
            let wide: Vec<u8> = secret.iter().flat_map(|byte| [*byte, 0]).collect();
            let hex: String = secret.iter().map(|byte| format!("{byte:02x}")).collect();
            for (form, needle) in
                [("itself", secret.clone()), ("in UTF-16", wide), ("in hexadecimal", hex.into_bytes())]
            {
                if memchr::memmem::find(bytes, &needle).is_some() {
                    found.push(format!("{what}, {form}, in {place}"));
                }
            }
        }
        found
    }

    fn found_below(&self, folder: &Path, skip: &dyn Fn(&Path) -> bool) -> Vec<String> {
        let mut found = Vec::new();
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if skip(&path) {
                continue;
            }
            if path.is_dir() {
                found.extend(self.found_below(&path, skip));
            } else if path.is_file() {
                found.extend(self.found(&path.display().to_string(), &std::fs::read(&path).unwrap()));
            }
        }
        found
    }
}

fn put(person: &Person, name: &str, value: &str) -> String {
    let mut child = person
        .command(&["secrets", "put", name])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(value.as_bytes()).unwrap();
    words(&child.wait_with_output().unwrap())
}

/// What a gateway says while it works: what is put is put, statements run and fail, and somebody has a wrong password.
fn said_at_work(people: &[Person; 4], value: &str, wrong: &str) -> (Vec<String>, String) {
    let [alice, bob, _, dave] = people;
    let mut said =
        vec![put(dave, "planted", value), put(dave, "no such name", value), put(alice, "planted", value)];
    assert!(
        said[0].contains("`planted`")
            && said[1].contains("can't be the name")
            && said[2].contains("does not permit"),
        "{said:?}"
    );
    said.push(dave.post("/secrets", &json!({ "name": "x", "value": value, "planted": true })).to_string());
    let request = alice.json(&["request", "shop-writer", "--for", "10m", "--reason", "planting"]);
    bob.json(&["approve", text(&request, "id")]);
    let url = last_line(&alice.run(&["connect", "shop", "--print", "url"]));
    let password = url::Url::parse(&url).unwrap().password().unwrap().to_owned();
    for typed in ["SELECT count(*) FROM products;\n", "SELECT 1 / (count(*) - count(*)) FROM products;\n"] {
        said.push(words(&psql(&url, typed).wait_with_output().unwrap()));
    }
    said.push(words(&psql(&url.replace(&password, wrong), "SELECT 1;\n").wait_with_output().unwrap()));
    (said, password)
}

/// What it says of itself, while the keys that seal everything change.
fn said_of_itself(people: &[Person; 4]) -> Vec<String> {
    let [_, bob, carol, dave] = people;
    let keys = dave.json(&["secrets", "rotate"]);
    assert_eq!((text(&keys, "id"), text(&keys, "state")), ("2", "changing"), "{keys}");
    let asked: [(&Person, &[&str]); 8] = [
        (dave, &["secrets", "wrap"]),
        (dave, &["secrets", "list"]),
        (dave, &["secrets", "keys"]),
        (dave, &["sign-ins"]),
        (bob, &["requests", "--state", "all"]),
        (bob, &["sessions", "--state", "all"]),
        (carol, &["audit", "search", "--text", "planted", "--limit", "100"]),
        (carol, &["audit", "search", "--text", "config", "--limit", "100"]),
    ];
    let say =
        |(person, args): (&Person, &[&str])| words(&person.run(&[&["--output", "json"], args].concat()));
    asked.map(say).into()
}

/// What people and programs present to a gateway, and what it hands out, over connections that are closed then.
fn presented(people: &[Person; 4]) -> [(&'static str, Vec<u8>); 3] {
    let [alice, _, _, dave] = people;
    let (value, wrong) = ("planted-and-put-there-91bd3e", "planted-wrong-password-78");
    assert!(put(dave, "planted-too", value).contains("`planted-too`"));
    let mut child = alice
        .command(&["login", "--user", "alice", "--password-stdin"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(format!("{wrong}\n").as_bytes()).unwrap();
    assert!(!child.wait_with_output().unwrap().status.success());
    let url = last_line(&alice.run(&["connect", "shop", "--print", "url"]));
    let password = url::Url::parse(&url).unwrap().password().unwrap().to_owned();
    let answer = words(&psql(&url, "SELECT count(*) FROM products;\n").wait_with_output().unwrap());
    assert_eq!(answer.trim(), "240");
    let secret = |what, text: &str| (what, text.as_bytes().to_vec());
    [
        secret("a secret that was put there", value),
        secret("a wrong password at signing in", wrong),
        secret("a password of a door", &password),
    ]
}

#[test]
fn nothing_planted_is_found_anywhere() {
    let demo = Demo::start(tempfile::tempdir().unwrap());
    let everybody = ["alice", "bob", "carol", "dave"];
    let (value, wrong) = ("planted-upstream-secret-5f0c2a", "planted-wrong-password-77");
    let people = everybody.map(|name| demo.sign_in(name));
    let (mut said, password) = said_at_work(&people, value, wrong);
    let secret = |what, text: &str| (what, text.as_bytes().to_vec());
    let master = std::fs::read_to_string(demo.data().join("master.key")).unwrap();
    let mut planted = Planted(vec![
        secret(OWN, value),
        secret("the password of a door", &password),
        secret("a wrong password", wrong),
        secret(MASTER, master.trim()),
        secret("the password of the scratch server", text(&demo.facts["upstream"], "password")),
    ]);
    let tokens = |people: &[Person; 4]| {
        people.each_ref().map(|person| ("a token", person.token.clone().unwrap().into_bytes()))
    };
    planted.0.extend(tokens(&people));
    // What is said to whoever made it is theirs: the file for scripts, and what command lines keep.
    let theirs = |path: &Path| {
        let name = path.file_name().unwrap().to_string_lossy();
        name.starts_with("home-") || name == "demo.json" || name == "master.key" || name == "scratch.json"
    };
    let mut found = planted.found_below(demo.data(), &theirs);

    // Nobody has brought the next one anything: what it has of them, it has from its store.
    let demo = demo.anew();
    let people = everybody.map(|name| demo.sign_in(name));
    planted.0.extend(tokens(&people));
    said.extend(said_of_itself(&people));
    let export = demo.data().join("export");
    assert!(people[2].run(&["audit", "export", "--out", export.to_str().unwrap()]).status.success());
    found.extend(planted.found_below(demo.data(), &theirs));
    found.extend(said.iter().flat_map(|words| planted.found("an answer", words.as_bytes())));
    let pid = demo.child.id();
    for file in ["cmdline", "environ"] {
        found.extend(planted.found(file, &std::fs::read(format!("/proc/{pid}/{file}")).unwrap()));
    }
    planted.0.retain(|(what, _)| [OWN, MASTER].contains(what));
    planted.0.extend(tokens(&people));
    planted.0.extend(presented(&people));
    found.extend(in_memory(pid, &planted));
    assert!(found.is_empty(), "{found:#?}");
}

/// In a core dump of the gateway, where the system permits one (a gateway that is not a demo rules them out): what is kept sealed is
/// there only while it is used, and so are what unwraps the keys, and what people and programs present (passwords, tokens): the
/// buffers of HTTP and TLS that it passes through are wiped when their connection is closed.
#[expect(clippy::print_stderr, reason = "a test that is skipped says so")]
fn in_memory(pid: u32, planted: &Planted) -> Vec<String> {
    let folder = tempfile::tempdir().unwrap();
    let name = folder.path().join("core");
    let dumped =
        Command::new("gcore").arg("-o").arg(&name).arg(pid.to_string()).stdin(Stdio::null()).output();
    let is_dumped = dumped.is_ok_and(|output| output.status.success());
    let core = is_dumped.then(|| File::open(folder.path().join(format!("core.{pid}"))));
    let Some(Ok(mut core)) = core else {
        eprintln!("SKIPPED: no core dump of the gateway could be taken (gcore is absent, or not permitted)");
        return Vec::new();
    };
    // It is large: piece by piece, each with the end of the one before.
    let (mut piece, mut length, mut found) = (vec![0; PIECE + OVERLAP], 0, Vec::new());
    loop {
        let read = core.read(&mut piece[length..]).unwrap();
        length += read;
        if read > 0 && length < piece.len() {
            continue;
        }
        found.extend(planted.found("a core dump", &piece[..length]));
        if read == 0 {
            break;
        }
        piece.copy_within(length - OVERLAP..length, 0);
        length = OVERLAP;
    }
    found
}
