//! Signing in from a terminal by way of the console: with whatever somebody signs in there, a passkey or an identity
//! provider included. The gateway's own password way is in [`super::people`].
//!
//! Where there is a browser, this listens on the loopback interface for the code that the browser brings (RFC 8252), which
//! counts with the verifier alone that never leaves this process (RFC 7636). Where there is none, it shows a short code to
//! be typed in elsewhere (RFC 8628).

use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::client::Client;
use crate::output::{harmless, note, text_at};
use crate::wiring::random_text;

/// How long somebody may take at the console.
const WAITS_FOR: Duration = Duration::from_secs(600);

/// How long a connection from a browser may take to say what it wants.
const READS_FOR: Duration = Duration::from_secs(5);

/// The longest head of a call from a browser.
const HEAD_BYTES_MAX: usize = 16 * 1024;

/// What a browser brought.
#[derive(Debug, PartialEq, Eq)]
enum Brought {
    /// A code.
    Code(String),
    /// Somebody said no.
    No,
}

/// Whether a browser can be opened here that somebody sits at.
pub fn has_browser() -> bool {
    let is_set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    let is_remote = ["SSH_CONNECTION", "SSH_TTY"].into_iter().any(is_set);
    !is_remote && (cfg!(target_os = "macos") || is_set("DISPLAY") || is_set("WAYLAND_DISPLAY"))
}

/// Signs in by way of a browser on this machine. Gives the gateway's answer.
///
/// # Errors
/// Somebody said no, it took too long, or the gateway refused.
pub async fn by_browser(client: &Client, open: bool) -> Result<Value> {
    let listener =
        TcpListener::bind(("127.0.0.1", 0)).await.context("could not listen on the loopback interface")?;
    let port = listener.local_addr()?.port();
    let [state, verifier] = [(); 2].map(|()| random_text(32));
    let challenge = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, verifier.as_bytes());
    let link = format!(
        "{}/let-in?challenge={}&state={state}&port={port}&machine={}",
        client.url(),
        URL_SAFE_NO_PAD.encode(challenge),
        machine()
    );
    note(&format!("Sign in at the console and let this terminal in: {link}"));
    if open {
        crate::browser::open(&link);
    }
    let waited = tokio::time::timeout(WAITS_FOR, brought(&listener, &state)).await;
    let (mut browser, brought) =
        waited.context("nobody let this terminal in; run `countersign login` again")??;
    let done = match &brought {
        Brought::Code(code) => {
            client.post("/sign-in/program", json!({ "code": code, "verifier": verifier })).await
        }
        Brought::No => Err(anyhow::anyhow!("this sign-in was declined at the console")),
    };
    // Back to the console's own page, so that the code stays in no address bar.
    let word = match (&done, &brought) {
        (Ok(_), _) => "yes",
        (Err(_), Brought::No) => "no",
        (Err(_), Brought::Code(_)) => "failed",
    };
    let answer = format!("303 See Other\r\nLocation: {}/let-in?done={word}", client.url());
    reply(&mut browser, &answer).await;
    done
}

/// The first call that brings what was asked for. Whatever else comes to this port is told that there is nothing.
async fn brought(listener: &TcpListener, state: &str) -> Result<(TcpStream, Brought)> {
    loop {
        let (mut browser, _) = listener.accept().await?;
        let head = tokio::time::timeout(READS_FOR, head(&mut browser)).await;
        let Ok(Ok(head)) = head else { continue };
        match read(&head, state) {
            Some(brought) => return Ok((browser, brought)),
            None => reply(&mut browser, "404 Not Found").await,
        }
    }
}

async fn head(browser: &mut TcpStream) -> std::io::Result<Vec<u8>> {
    let mut head = Vec::new();
    let mut buffer = [0; 2048];
    while !head.windows(4).any(|end| end == b"\r\n\r\n") {
        let count = browser.read(&mut buffer).await?;
        head.extend_from_slice(buffer.get(..count).unwrap_or_default());
        if count == 0 || head.len() > HEAD_BYTES_MAX {
            return Err(std::io::ErrorKind::InvalidData.into());
        }
    }
    Ok(head)
}

/// What a call brings, if it has the state that was asked with: whoever else on this machine calls does not know it.
fn read(head: &[u8], state: &str) -> Option<Brought> {
    let line = std::str::from_utf8(head).ok()?.lines().next()?;
    let target = line.strip_prefix("GET /?")?.split(' ').next()?;
    let find = |name: &str| {
        let mut found = url::form_urlencoded::parse(target.as_bytes()).filter(|(key, _)| key == name);
        let value = found.next()?.1.into_owned();
        found.next().is_none().then_some(value)
    };
    let given = find("state")?;
    aws_lc_rs::constant_time::verify_slices_are_equal(given.as_bytes(), state.as_bytes()).ok()?;
    match find("code") {
        Some(code) => Some(Brought::Code(code)),
        None => find("error").map(|_| Brought::No),
    }
}

async fn reply(browser: &mut TcpStream, status: &str) {
    let answer = format!(
        "HTTP/1.1 {status}\r\nContent-Length: 0\r\nCache-Control: no-store\r\nReferrer-Policy: no-referrer\r\n\
         Connection: close\r\n\r\n"
    );
    // A browser that is gone misses nothing: the terminal says how it went.
    let _gone = browser.write_all(answer.as_bytes()).await;
    let _closed = browser.shutdown().await;
}

/// Signs in by a code that somebody types in at the console, on another machine. Gives the gateway's answer.
///
/// # Errors
/// Somebody said no, it took too long, or the gateway refused.
pub async fn by_device(client: &Client) -> Result<Value> {
    let begun = client.post("/sign-in/device", json!({ "machine": machine() })).await?;
    let code = text_at(&begun, "/device_code");
    note(&harmless(&format!(
        "On a machine with a browser, open {} and type in the code {}\n\
         Type it in for yourself alone: whoever has it typed in for them becomes you.",
        text_at(&begun, "/verification_uri"),
        text_at(&begun, "/user_code"),
    )));
    let mut wait = interval(&begun);
    let asking = async {
        loop {
            tokio::time::sleep(wait).await;
            let answer = client.post("/sign-in/device/token", json!({ "device_code": code })).await?;
            if answer.get("token").is_some() {
                return Ok(answer);
            }
            wait = interval(&answer);
        }
    };
    match tokio::time::timeout(WAITS_FOR, asking).await {
        Ok(done) => done,
        Err(_) => bail!("nobody let this terminal in; run `countersign login` again"),
    }
}

fn interval(answer: &Value) -> Duration {
    let seconds = answer.get("interval_s").and_then(Value::as_u64).unwrap_or(5);
    Duration::from_secs(seconds.clamp(1, 60))
}

/// What this machine is called, in the letters that names of machines have.
fn machine() -> String {
    let said = std::process::Command::new("uname").arg("-n").output();
    let said =
        said.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned()).unwrap_or_default();
    plain(&said)
}

fn plain(name: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    let name: String = name.chars().take(64).map(|c| if is_plain(c) { c } else { '-' }).collect();
    if name.is_empty() { "unknown".into() } else { name }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_asked_for_is_taken_from_a_browser() {
        let read = |line: &str| read(format!("{line} HTTP/1.1\r\nHost: x\r\n\r\n").as_bytes(), "right");
        assert_eq!(read("GET /?code=a%2Bb&state=right"), Some(Brought::Code("a+b".into())));
        assert_eq!(read("GET /?error=access_denied&state=right"), Some(Brought::No));
        for other in [
            "GET /favicon.ico",
            "GET /",
            "GET /?code=a",
            "GET /?code=a&state=wrong",
            "GET /?code=a&state=right&state=wrong",
            "GET /?code=a&code=b&state=right",
            "GET /?state=right",
            "POST /?code=a&state=right",
            "\u{1f600}",
        ] {
            assert_eq!(read(other), None, "{other}");
        }
    }

    #[test]
    fn a_machine_has_a_name_that_the_gateway_takes() {
        assert_eq!(plain("build-7.example.com"), "build-7.example.com");
        assert_eq!(plain("Zoë's laptop"), "Zo--s-laptop");
        assert_eq!(plain(""), "unknown");
        assert_eq!(plain(&"a".repeat(100)).len(), 64);
    }

    /// A browser that brings the code late, behind others that bring nothing.
    #[tokio::test]
    async fn it_waits_for_the_browser_that_brings_the_code() {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let visitors = tokio::spawn(async move {
            let mut answers = Vec::new();
            for call in ["", "GET /favicon.ico HTTP/1.1\r\n\r\n", "GET /?code=c&state=s HTTP/1.1\r\n\r\n"] {
                let mut stream = TcpStream::connect(address).await.unwrap();
                stream.write_all(call.as_bytes()).await.unwrap();
                let mut answer = String::new();
                if call.is_empty() {
                    drop(stream);
                } else {
                    stream.read_to_string(&mut answer).await.unwrap();
                }
                answers.push(answer);
            }
            answers
        });
        let (mut browser, brought) = brought(&listener, "s").await.unwrap();
        assert_eq!(brought, Brought::Code("c".into()));
        reply(&mut browser, "303 See Other\r\nLocation: http://localhost/let-in?done=yes").await;
        drop(browser);
        let answers = visitors.await.unwrap();
        assert!(answers[1].starts_with("HTTP/1.1 404 "), "{answers:?}");
        assert!(answers[2].contains("Location: http://localhost/let-in?done=yes\r\n"), "{answers:?}");
    }
}
