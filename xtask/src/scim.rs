//! An independent tester of SCIM servers, held against a gateway of its own.

use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use crate::clients;
use crate::run::{cargo, finish, program, root, target};

/// A token that opens a gateway of a few seconds.
const TOKEN: &str = "a-token-of-a-gateway-for-a-test-alone";

/// How long the gateway may take to start, in tenths of a second.
const START_TENTHS_MAX: u32 = 300;

/// A gateway that ends with this.
struct Gateway(Child);

impl Drop for Gateway {
    fn drop(&mut self) {
        let _ended = self.0.kill().and_then(|()| self.0.wait());
    }
}

/// Installs the tester, starts a gateway, and has the one try the other.
pub fn conformance() -> Result<()> {
    let python = clients::venv("scim", &root().join("clients/scim/requirements.txt"))?;
    cargo(&["build", "--workspace", "--locked", "--quiet", "--bin", "countersign"])?;
    let folder = target().join("clients/scim-gateway");
    if folder.exists() {
        std::fs::remove_dir_all(&folder)?;
    }
    let port = configure(&folder)?;
    let log = std::fs::File::create(folder.join("log"))?;
    let mut gateway = program(target().join("debug/countersign"));
    gateway.arg("serve").arg("--config").arg(&folder).stdout(Stdio::null()).stderr(log);
    let mut gateway = Gateway(gateway.spawn().context("the gateway does not start")?);
    answers(&mut gateway, port, &folder)?;
    let mut tester = program(python);
    tester.arg(root().join("clients/scim/conformance.py")).env("SCIM_TOKEN", TOKEN);
    finish(tester.env("SCIM_URL", format!("http://localhost:{port}/scim/v2")))
}

/// A configuration with the sample bundle and a directory in it, and the port of its console.
fn configure(folder: &Path) -> Result<u16> {
    let bundle = folder.join("bundle");
    std::fs::create_dir_all(&bundle)?;
    for file in std::fs::read_dir(root().join("demo/bundle"))?.flatten().filter(|file| file.path().is_file())
    {
        std::fs::copy(file.path(), bundle.join(file.file_name()))?;
    }
    let people = bundle.join("people.toml");
    let text = std::fs::read_to_string(&people)?;
    std::fs::write(&people, format!("{text}\n[directory.corp]\ntitle = \"A tester\"\n"))?;
    let port = std::net::TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port();
    let token: PathBuf = folder.join("token");
    std::fs::write(&token, TOKEN)?;
    let settings = format!(
        "[gateway]\ndata = \"{}\"\n[console]\nlisten = \"127.0.0.1:{port}\"\n[postgres]\nlisten = \"127.0.0.1:0\"\n\
         [bootstrap]\nby = \"dave\"\n[scim.corp]\ntokens = [\"file:{}\"]\n",
        folder.join("data").display(),
        token.display(),
    );
    std::fs::write(folder.join("countersign.toml"), settings)?;
    Ok(port)
}

fn answers(gateway: &mut Gateway, port: u16, folder: &Path) -> Result<()> {
    for _ in 0..START_TENTHS_MAX {
        if std::net::TcpStream::connect(("127.0.0.1", port)).is_ok() {
            return Ok(());
        }
        if gateway.0.try_wait()?.is_some() {
            break;
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    bail!("the gateway does not answer:\n{}", std::fs::read_to_string(folder.join("log")).unwrap_or_default())
}
