//! A gateway whose resource is reached in one way or another.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use anyhow::{Context as _, Result};
use countersign_core::Span;
use countersign_testkit::postgres::{PASSWORD, WITH_CERTIFICATE};
use countersign_testkit::{Database, House};
use tokio_postgres::{Client, NoTls};

/// Where nobody listens.
pub(crate) const NOBODY: &str = "127.0.0.1:1";

/// How the resource `shop` is reached.
#[derive(Clone, Debug, Default)]
pub(crate) struct Way {
    hosts: Vec<String>,
    /// Lines of its table.
    more: String,
    /// The role's account.
    account: Option<&'static str>,
    /// Lines behind its table.
    behind: String,
    /// Nothing is held.
    freely: bool,
    /// Each read of the door's takes one byte.
    by_bytes: bool,
}

impl Way {
    pub(crate) fn to(hosts: &[&str], more: &str) -> Self {
        let hosts = hosts.iter().map(|host| (*host).to_owned()).collect();
        Self { hosts, more: more.to_owned(), ..Self::default() }
    }

    pub(crate) fn under(mut self, account: &'static str) -> Self {
        self.account = Some(account);
        self
    }

    pub(crate) fn with(mut self, behind: &str) -> Self {
        self.behind = behind.to_owned();
        self
    }

    pub(crate) fn freely(mut self) -> Self {
        self.freely = true;
        self
    }

    pub(crate) fn by_bytes(mut self) -> Self {
        self.by_bytes = true;
        self
    }

    pub(crate) async fn house(&self, database: &Database) -> Result<House> {
        let write = |files: &mut BTreeMap<String, String>| self.write(files, database.port);
        let house = if self.by_bytes {
            House::by_bytes(database.clone(), write).await?
        } else {
            House::before(database.clone(), write).await?
        };
        if let Some(account) = self.account {
            house.engine.put_secret(account, PASSWORD).await?;
        }
        house.grant("alice", "shop-writer", Span::minutes(30)).await?;
        Ok(house)
    }

    fn write(&self, files: &mut BTreeMap<String, String>, port: u16) {
        let hosts: Vec<String> = self.hosts.iter().map(|host| format!("\"{host}\"")).collect();
        let (hosts, more) = (hosts.join(", "), &self.more);
        let account = self.account.unwrap_or("shop_writer");
        let resources = files.get_mut("resources.toml").unwrap();
        *resources = resources
            .replace("host = \"127.0.0.1\"", &format!("host = [{hosts}]"))
            .replace("tls = \"disable\"", more)
            .replace(
                "shop_writer = \"secret:shop_writer\"",
                &match account {
                    WITH_CERTIFICATE => String::new(),
                    account => format!("{account} = \"secret:{account}\""),
                },
            );
        assert!(resources.contains(&format!("port = {port}")), "{resources}");
        let _in_memory = write!(resources, "\n{}\n", self.behind);
        if self.freely {
            files.remove("statements.cedar");
        }
        let roles = files.get_mut("roles.toml").unwrap();
        *roles = roles.replace("account = \"shop_writer\"", &format!("account = \"{account}\""));
    }
}

pub(crate) async fn connect(house: &House) -> Result<Client, tokio_postgres::Error> {
    connect_with(house, "").await
}

pub(crate) async fn connect_with(house: &House, options: &str) -> Result<Client, tokio_postgres::Error> {
    let mut config = house.login("alice").await.unwrap();
    let (client, connection) = config.options(options).connect(NoTls).await?;
    tokio::spawn(connection);
    Ok(client)
}

/// Whether a connection through the gateway comes about; if not, its client is told no more than that it does not.
pub(crate) async fn reaches(way: &Way, database: &Database) -> Result<bool> {
    let house = way.house(database).await?;
    let connected = connect(&house).await;
    let reached = match connected {
        Ok(client) => {
            assert_eq!(client.query_one("SELECT 1", &[]).await?.get::<_, i32>(0), 1);
            true
        }
        Err(error) => {
            let told = error.as_db_error().context("not the door's words")?;
            assert_eq!(
                (told.code().code(), told.message()),
                ("08006", "the database behind `shop` can't be reached")
            );
            false
        }
    };
    // What was not reached has left no session behind, and what was reached is gone.
    house.deserted().await?;
    house.close().await;
    Ok(reached)
}
