//! The database: a scratch PostgreSQL with pgbench's tables at scale 10.
//!
//! It does not sync: what is measured is what stands in front of it, and the disk is the ledger's.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;

use countersign_testkit::leash::{self, Dog, Leash, free_port, run};
use countersign_testkit::postgres::programs;

use crate::load::Login;
use crate::streams;

/// The superuser, and the account under which everything runs.
pub const ACCOUNT: &str = "bench";
/// Its password: the server listens on loopback and lives for minutes.
pub const PASSWORD: &str = "bench-password";
/// How many times 100,000 accounts there are.
pub const SCALE: u32 = 10;

/// The running server.
pub struct Server {
    /// Where it listens.
    pub port: u16,
    /// How to reach it.
    pub login: Login,
    /// Its version.
    pub version: String,
    /// A certificate with its key, readable by the server's account.
    pub certificate: (PathBuf, PathBuf),
    _leash: Leash,
}

impl Server {
    /// Makes and starts it. `own` is a folder of the bench itself.
    pub fn start(own: &Path) -> Result<Self> {
        let programs = programs()?;
        let folder = leash::folder("bench-server")?;
        let (data, password) = (folder.join("data"), folder.join("password"));
        std::fs::write(&password, PASSWORD)?;
        let certificate = certificate(&folder)?;
        let mut initdb = leash::command(programs.join("initdb"), true);
        initdb.args([
            "--auth=scram-sha-256",
            "--encoding=UTF8",
            "--no-locale",
            "--no-sync",
            "--username",
            ACCOUNT,
        ]);
        run(initdb.arg(format!("--pwfile={}", password.display())).arg("-D").arg(&data))?;
        let port = free_port()?;
        let mut program: Vec<String> = [programs.join("postgres"), "-D".into(), data]
            .iter()
            .map(|part| part.display().to_string())
            .collect();
        for setting in [
            "listen_addresses=127.0.0.1",
            "unix_socket_directories=",
            "fsync=off",
            "max_connections=2300",
            "shared_buffers=256MB",
            "log_min_messages=fatal",
            "ssl=on",
            &format!("port={port}"),
            &format!("ssl_cert_file={}", certificate.0.display()),
            &format!("ssl_key_file={}", certificate.1.display()),
        ] {
            program.extend(["-c".to_owned(), setting.to_owned()]);
        }
        let log = own.join("server.log");
        let dog =
            Dog { program, unprivileged: true, signal: "INT", folder: Some(&folder), log: &log, env: &[] };
        let leash = Leash::start(&dog)?;
        leash.listens(port, &log)?;
        let login = Login { user: ACCOUNT.into(), password: PASSWORD.into(), database: "postgres".into() };
        let mut made = login.command("pgbench", port, false);
        run(made.args(["-i", "-q", "-s", &SCALE.to_string()]))?;
        run(login.command("psql", port, false).args(["-qXc", streams::COPIED]))?;
        let mut asked = login.command("psql", port, false);
        let version = run(asked.args(["-AtXc", "VACUUM ANALYZE", "-c", "SHOW server_version"]))?;
        let version = version.lines().last().unwrap_or_default().to_owned();
        Ok(Self { port, login, version, certificate, _leash: leash })
    }
}

impl Server {
    /// Has a statement run by the server itself.
    pub fn run(&self, text: &str) -> Result<()> {
        run(self.login.command("psql", self.port, false).args(["-qXc", text])).map(|_| ())
    }
}

/// A certificate that everything which ends TLS uses, except for the gateway, which makes its own of the same kind.
fn certificate(folder: &Path) -> Result<(PathBuf, PathBuf)> {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()])?;
    let paths = (folder.join("server.crt"), folder.join("server.key"));
    std::fs::write(&paths.0, made.cert.pem())?;
    std::fs::write(&paths.1, made.signing_key.serialize_pem())?;
    run(Command::new("chmod").arg("600").arg(&paths.1))?;
    if leash::is_root() {
        run(Command::new("chown").arg("postgres").arg(&paths.0).arg(&paths.1))?;
    }
    Ok(paths)
}
