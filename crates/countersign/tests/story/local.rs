//! A place on this machine by which any tool connects without a password, and credentials that are bound to a key.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::process::{Child, ChildStdin, Stdio};

use nix::sys::signal::{self, Signal};
use nix::unistd::Pid;

use crate::demo::{Demo, Person, first, open_psql, psql, text, words};

/// `connect --listen` that runs, and the URL that it printed.
struct Listening {
    child: Child,
    url: String,
}

impl Listening {
    fn start(person: &Person, place: &str) -> Self {
        let mut child = person
            .command(&["connect", "shop", "--role", "shop-writer", "--listen", place])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut url = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut url).unwrap();
        Self { child, url: url.trim().to_owned() }
    }

    fn tell(&mut self, signal: Signal) {
        signal::kill(Pid::from_raw(self.child.id().try_into().unwrap()), signal).unwrap();
        assert!(self.child.wait().unwrap().success());
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        let _gone_already = self.child.kill();
        let _gone_already = self.child.wait();
    }
}

/// Waits for what a program says, for a while.
fn asked(url: &str, text: &str) -> String {
    words(&psql(url, text).wait_with_output().unwrap())
}

/// A client whose session has begun, and its keyboard.
fn begun(url: &str) -> (Child, ChildStdin) {
    let mut child = open_psql(url);
    let mut keys = child.stdin.take().unwrap();
    writeln!(keys, "SELECT 'begun';").unwrap();
    let mut said = [0; 6];
    child.stdout.as_mut().unwrap().read_exact(&mut said).unwrap();
    assert_eq!(&said, b"begun\n");
    (child, keys)
}

#[test]
fn any_tool_connects_without_a_password() {
    let demo = Demo::start(tempfile::tempdir().unwrap());
    let (alice, bob) = (demo.sign_in("alice"), demo.sign_in("bob"));
    let request = alice.json(&["request", "shop-writer", "--for", "10m", "--reason", "a tool of mine"]);
    bob.json(&["approve", text(&request, "id")]);

    let mut port = Listening::start(&alice, "0");
    assert!(port.url.starts_with("postgresql://127.0.0.1:") && !port.url.contains('@'), "{}", port.url);
    assert!(asked(&port.url, "SELECT 4000 + 711;\n").contains("4711"));
    // Whoever it says that it is, it is who listens; and it is led to what was asked for.
    let other = port.url.replace("postgresql://", "postgresql://postgres@").replace("/shop", "/template1");
    assert!(asked(&other, "SELECT 4000 + 712;\n").contains("4712"));
    // What it cancels is cancelled, through the same way.
    let slow = psql(&port.url, "DELETE FROM orders WHERE status = 'duplicate';\n");
    bob.eventually(&["requests", "--inbox"], |list| first(list, "kind", "action"));
    signal::kill(Pid::from_raw(slow.id().try_into().unwrap()), Signal::SIGINT).unwrap();
    let told = words(&slow.wait_with_output().unwrap());
    assert!(told.contains("cancel"), "{told}");

    let folder = demo.data().join("socket");
    let mut socket = Listening::start(&alice, &format!("{}/", folder.display()));
    assert!(asked(&socket.url, "SELECT 'by a socket';\n").contains("by a socket"), "{}", socket.url);
    let others = alice.run(&["connect", "shop", "--listen", "/tmp/"]);
    assert!(!others.status.success() && words(&others).contains("others may enter"), "{}", words(&others));

    // The grant ends, and with it what is connected; nobody is let in any more, and the tool is told why.
    let (mut idle, mut keys) = begun(&port.url);
    let grant = bob.eventually(&["grants"], |list| list.pointer("/items/0").cloned());
    bob.json(&["revoke", text(&grant, "id"), "--reason", "enough"]);
    let told = asked(&port.url, "SELECT 'never';\n");
    assert!(!told.contains("never") && told.contains("FATAL"), "{told}");
    writeln!(keys, "SELECT 4000 + 713;").unwrap();
    drop(keys);
    let mut told = String::new();
    idle.stderr.take().unwrap().read_to_string(&mut told).unwrap();
    let mut answered = String::new();
    idle.stdout.take().unwrap().read_to_string(&mut answered).unwrap();
    assert!(!answered.contains("4713") && told.contains("FATAL"), "{answered}{told}");
    assert!(!idle.wait().unwrap().success());
    socket.tell(Signal::SIGTERM);
    assert!(!folder.join(".s.PGSQL.5432").exists(), "the socket goes with whoever listens");
    port.tell(Signal::SIGINT);
    assert!(asked(&port.url, "SELECT 1;\n").contains("refused"));
}

/// The password of a credential that is bound to a key opens nothing by itself.
#[test]
fn a_bound_credential_is_of_no_use_without_its_key() {
    let demo = Demo::start(tempfile::tempdir().unwrap());
    let (alice, bob) = (demo.sign_in("alice"), demo.sign_in("bob"));
    let request = alice.json(&["request", "shop-reader", "--for", "10m", "--reason", "keys"]);
    bob.json(&["approve", text(&request, "id")]);
    let folder = tempfile::tempdir().unwrap();
    let made = |name: &str| {
        let (key, certificate) =
            (folder.path().join(format!("{name}.key")), folder.path().join(format!("{name}.pem")));
        let pair = rcgen::KeyPair::generate().unwrap();
        let signed = rcgen::CertificateParams::default().self_signed(&pair).unwrap();
        std::fs::write(&certificate, signed.pem()).unwrap();
        std::fs::write(&key, pair.serialize_pem()).unwrap();
        // libpq wants a key that nobody else reads.
        let mode = <std::fs::Permissions as std::os::unix::fs::PermissionsExt>::from_mode(0o600);
        std::fs::set_permissions(&key, mode).unwrap();
        (signed.der().to_vec(), format!("sslcert={}&sslkey={}", certificate.display(), key.display()))
    };
    let ((own, shown), (_, stranger)) = (made("own"), made("stranger"));
    let thumbprint = {
        use base64::Engine as _;
        let hash = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &own);
        base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(hash)
    };
    let minted =
        alice.post("/credentials", &serde_json::json!({ "resource": "shop", "certificate": thumbprint }));
    let url = format!(
        "postgresql://alice:{}@localhost:{}/shop?sslmode=verify-full&sslrootcert={}",
        text(&minted, "password"),
        minted["port"],
        text(&demo.facts, "ca"),
    );
    assert!(asked(&format!("{url}&{shown}"), "SELECT 'bound';\n").contains("bound"));
    for (what, other) in [("none", "sslcert=/nonexistent"), ("a stranger's", stranger.as_str())] {
        let told = asked(&format!("{url}&{other}"), "SELECT 'bound';\n");
        assert!(told.contains("password authentication failed"), "{what}: {told}");
    }
    let bad = alice.post("/credentials", &serde_json::json!({ "resource": "shop", "certificate": "AA" }));
    assert!(text(&bad, "type").ends_with("invalid"), "{bad}");
}
