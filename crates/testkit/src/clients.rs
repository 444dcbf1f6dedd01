//! Real clients, each playing one conversation twice: straight to the server, and through a gateway that permits
//! everything. What they print is compared to the letter: an unmodified client must not be able to tell.
//!
//! The conversations are in `clients/` at the root of the repository. They print what they get, and nothing that
//! differs from run to run (times, process numbers, names of databases).

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, Result};
use countersign_core::Span;
use tokio::process::Command;

use crate::House;
use crate::postgres::{PASSWORD, SUPERUSER, ScratchPostgres};

/// How long a conversation may take, in seconds; one that hangs is a difference.
const CONVERSATION_S_MAX: u64 = 300;

/// A client, and how its conversation is started.
#[derive(Clone, Debug)]
pub struct Conversation {
    /// What people call it.
    pub name: String,
    /// The program.
    pub program: PathBuf,
    /// Its arguments.
    pub args: Vec<OsString>,
}

/// How a client is led through the gateway.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// Inside TLS.
    Tls,
    /// In clear.
    Clear,
    /// In clear, and each read of the gateway's takes one byte, from the client and from the server.
    Bytes,
}

/// Where a client connects.
#[derive(Debug)]
struct Route {
    port: u16,
    user: String,
    password: String,
    database: String,
    sslmode: &'static str,
}

/// What a client printed on each way.
#[derive(Debug)]
pub struct Compared {
    /// Straight to the server.
    pub direct: Said,
    /// Through the gateway.
    pub gateway: Said,
}

/// What a client printed, and how it ended.
#[derive(Debug, PartialEq, Eq)]
pub struct Said {
    /// Standard output, with standard error behind it.
    pub text: String,
    /// Whether it ended well.
    pub success: bool,
}

impl Compared {
    /// Whether the client could tell nothing, and did well.
    #[must_use]
    pub fn alike(&self) -> bool {
        self.direct == self.gateway && self.direct.success
    }

    /// The lines that differ, `-` what the server said, `+` what came through the gateway.
    #[must_use]
    pub fn difference(&self) -> String {
        let (direct, gateway) = (whole(&self.direct), whole(&self.gateway));
        let changes = similar::TextDiff::from_lines(&direct, &gateway);
        changes.unified_diff().context_radius(2).header("direct", "gateway").to_string()
    }
}

fn whole(said: &Said) -> String {
    format!("{}(ended {})\n", said.text, if said.success { "well" } else { "badly" })
}

impl Conversation {
    /// A script of the repository, for a shell.
    #[must_use]
    pub fn shell(name: &str, script: &str) -> Self {
        Self { name: name.to_owned(), program: "/bin/sh".into(), args: vec![folder().join(script).into()] }
    }

    /// Plays it on both ways, each with a fresh database of its own.
    ///
    /// # Errors
    /// The client cannot be started, or there is no server.
    pub async fn compare(&self, way: Way) -> Result<Compared> {
        let database = ScratchPostgres::shared().await?.database().await?;
        let direct = Route {
            port: database.port,
            user: SUPERUSER.into(),
            password: PASSWORD.into(),
            database: database.name,
            sslmode: "disable",
        };
        let direct = self.play(&direct).await?;
        let house = match way {
            Way::Tls | Way::Clear => permissive().await?,
            Way::Bytes => {
                let database = ScratchPostgres::shared().await?.database().await?;
                opened(House::by_bytes(database, permit_all).await?).await?
            }
        };
        let credential = house.credential("alice").await?;
        let gateway = Route {
            port: house.door.port(),
            user: credential.user.clone(),
            password: credential.password.to_string(),
            database: "shop".into(),
            sslmode: if way == Way::Tls { "require" } else { "disable" },
        };
        let gateway = self.play(&gateway).await?;
        house.close().await;
        Ok(Compared { direct, gateway })
    }

    async fn play(&self, route: &Route) -> Result<Said> {
        let mut command = Command::new(&self.program);
        command.args(&self.args).current_dir(folder()).stdin(Stdio::null()).kill_on_drop(true);
        command.env("PGHOST", "127.0.0.1").env("PGPORT", route.port.to_string());
        command.env("PGUSER", &route.user).env("PGPASSWORD", &route.password);
        command.env("PGDATABASE", &route.database).env("PGSSLMODE", route.sslmode);
        command
            .env("LC_ALL", "C.UTF-8")
            .env("TZ", "UTC")
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .env("NODE_NO_WARNINGS", "1");
        let running = tokio::time::timeout(Duration::from_secs(CONVERSATION_S_MAX), command.output());
        let Ok(output) = running.await else {
            return Ok(Said { text: format!("it hung for {CONVERSATION_S_MAX} s"), success: false });
        };
        let output = output.with_context(|| format!("could not start {}", self.program.display()))?;
        let mut text = String::from_utf8_lossy(&output.stdout).into_owned();
        text.push_str(&String::from_utf8_lossy(&output.stderr));
        Ok(Said { text: anonymous(&text, route), success: output.status.success() })
    }
}

/// A client knows its account and database by the names it gave, which are not the same on both ways.
fn anonymous(text: &str, route: &Route) -> String {
    let text = text.replace(&route.database, "shop").replace(&route.user, SUPERUSER);
    text.replace(&format!("port {}", route.port), "port PORT")
}

/// Where the conversations are.
#[must_use]
pub fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../clients")
}

/// A house that stands in nobody's way: everything is permitted under the server's own superuser, nothing is held.
///
/// # Errors
/// Whatever is missing.
pub async fn permissive() -> Result<House> {
    opened(House::with(permit_all).await?).await
}

async fn opened(house: House) -> Result<House> {
    house.engine.put_secret(SUPERUSER, PASSWORD).await?;
    house.grant("alice", "shop-writer", Span::hours(1)).await?;
    Ok(house)
}

fn permit_all(files: &mut BTreeMap<String, String>) {
    files.remove("statements.cedar");
    for text in files.values_mut() {
        *text = text
            .replace("account = \"shop_writer\"", &format!("account = \"{SUPERUSER}\""))
            .replace(
                "\"sql.read\", \"sql.write\", \"sql.ddl\"",
                "\"sql.admin\", \"sql.read\", \"sql.write\", \"sql.ddl\"",
            )
            .replace("shop_writer = \"secret:shop_writer\"", &format!("{SUPERUSER} = \"secret:{SUPERUSER}\""))
            .replace("recording = \"before-release\"", "recording = \"alongside\"");
    }
}
