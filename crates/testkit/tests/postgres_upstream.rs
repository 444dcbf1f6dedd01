//! How the gateway reaches the servers that it protects: what it demands of their certificates, how its accounts prove
//! themselves, which of several servers it chooses, and how long it waits for each.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test stops at the first surprise")]

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use countersign_core::Span;
use countersign_engine::views::GrantFilter;
use countersign_testkit::between::Between;
use countersign_testkit::postgres::{PASSWORD, Setup, WITH_CERTIFICATE, WITH_MD5};
use countersign_testkit::{Database, House, ScratchPostgres};
use tokio_postgres::{Client, NoTls};

/// Where nobody listens.
const NOBODY: &str = "127.0.0.1:1";

/// How the resource `shop` is reached.
#[derive(Clone, Debug, Default)]
struct Way {
    hosts: Vec<String>,
    /// Lines of its table.
    more: String,
    /// The role's account.
    account: Option<&'static str>,
    /// Lines behind its table.
    behind: String,
}

impl Way {
    fn to(hosts: &[&str], more: &str) -> Self {
        let hosts = hosts.iter().map(|host| (*host).to_owned()).collect();
        Self { hosts, more: more.to_owned(), ..Self::default() }
    }

    fn under(mut self, account: &'static str) -> Self {
        self.account = Some(account);
        self
    }

    fn with(mut self, behind: &str) -> Self {
        self.behind = behind.to_owned();
        self
    }

    async fn house(&self, database: &Database) -> Result<House> {
        let house = House::before(database.clone(), |files| self.write(files, database.port)).await?;
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
        ensure_port(resources, port);
        let _in_memory = write!(resources, "\n{}\n", self.behind);
        let roles = files.get_mut("roles.toml").unwrap();
        *roles = roles.replace("account = \"shop_writer\"", &format!("account = \"{account}\""));
    }
}

fn ensure_port(resources: &str, port: u16) {
    assert!(resources.contains(&format!("port = {port}")), "{resources}");
}

async fn connect(house: &House) -> Result<Client, tokio_postgres::Error> {
    connect_with(house, "").await
}

async fn connect_with(house: &House, options: &str) -> Result<Client, tokio_postgres::Error> {
    let credential = house.credential("alice").await.unwrap();
    let mut config = tokio_postgres::Config::new();
    config.host("127.0.0.1").port(house.door.port()).dbname("shop").options(options);
    config.user(&credential.user).password(credential.password.as_str());
    let (client, connection) = config.connect(NoTls).await?;
    tokio::spawn(connection);
    Ok(client)
}

/// Whether a connection through the gateway comes about; if not, its client is told no more than that it does not.
async fn reaches(way: &Way, database: &Database) -> Result<bool> {
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

/// What the server says of the connection itself.
async fn own(client: &Client, what: &str) -> Result<String> {
    let text = format!("SELECT ({what})::text FROM pg_stat_ssl WHERE pid = pg_backend_pid()");
    Ok(client.query_one(&text, &[]).await?.get(0))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_mode_of_tls_demands_what_it_says() -> Result<()> {
    let server = ScratchPostgres::shared().await?;
    let database = server.database().await?;
    let ca = format!("tls_ca = \"{}\"", server.ca.display());
    let stranger = ScratchPostgres::start(Setup::default()).await?;
    let other_ca = format!("tls_ca = \"{}\"", stranger.ca.display());
    // The certificate is made out to `localhost` and `127.0.0.1`, not to this address.
    let elsewhere = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2));
    let relay = Between::relay(elsewhere, SocketAddr::from(([127, 0, 0, 1], database.port))).await?;
    let relay = relay.address.to_string();
    for (host, mode, reached) in [
        ("127.0.0.1", "tls = \"require\"".to_owned(), true),
        (&relay, "tls = \"require\"".to_owned(), true),
        ("127.0.0.1", format!("tls = \"verify-ca\"\n{ca}"), true),
        (&relay, format!("tls = \"verify-ca\"\n{ca}"), true),
        ("127.0.0.1", format!("tls = \"verify-ca\"\n{other_ca}"), false),
        ("127.0.0.1", format!("tls = \"verify-full\"\n{ca}"), true),
        ("localhost", format!("tls = \"verify-full\"\n{ca}"), true),
        (&relay, format!("tls = \"verify-full\"\n{ca}"), false),
        ("127.0.0.1", format!("tls = \"verify-full\"\n{other_ca}"), false),
        ("127.0.0.1", ca.clone(), true),
        ("127.0.0.1", other_ca, false),
        ("127.0.0.1", "tls_ca = \"/nowhere.pem\"".to_owned(), false),
    ] {
        let way = Way::to(&[host], &mode);
        assert_eq!(reaches(&way, &database).await?, reached, "{host} {mode}");
    }
    // A server without TLS is not spoken to in clear instead.
    let clear = Between::answering(b"N").await?;
    let way = Way::to(&[&clear.address.to_string()], "tls = \"require\"");
    assert!(!reaches(&way, &database).await?);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_password_exchange_is_bound_to_the_servers_certificate() -> Result<()> {
    let database = ScratchPostgres::shared().await?.database().await?;
    let server = SocketAddr::from(([127, 0, 0, 1], database.port));
    let eavesdropper = Between::eavesdropper(server).await?;
    let host = eavesdropper.address.to_string();
    let way = Way::to(&[&host], "tls = \"require\"");
    // `require` trusts whoever answers; it is the proof that tells.
    assert!(!reaches(&way, &database).await?);
    // An older method has nothing to bind: it shows that the listener in between does its work.
    let house = way.under(WITH_MD5).house(&database).await?;
    assert!(connect(&house).await.is_ok());
    house.close().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn accounts_prove_themselves_as_the_server_wants_it() -> Result<()> {
    let server = ScratchPostgres::shared().await?;
    let database = server.database().await?;
    let full = format!("tls = \"verify-full\"\ntls_ca = \"{}\"", server.ca.display());
    let plain = "tls = \"disable\"";
    for (account, mode) in
        [("shop_writer", full.as_str()), ("shop_writer", plain), (WITH_MD5, &full), (WITH_MD5, plain)]
    {
        let house = Way::to(&["127.0.0.1"], mode).under(account).house(&database).await?;
        let client = connect(&house).await?;
        assert_eq!(client.query_one("SELECT current_user::text", &[]).await?.get::<_, String>(0), account);
        assert_eq!(own(&client, "ssl").await?, (mode != plain).to_string());
        house.close().await;
    }
    Ok(())
}

/// The lines that say where an account's certificate is, and the secrets that must be put there.
fn certificate(account: &str) -> String {
    format!(
        "[resource.shop.client_certificates.{account}]\ncertificate = \"secret:certificate\"\nkey = \"secret:key\"\n"
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_certificate_opens_where_no_password_does() -> Result<()> {
    let server = ScratchPostgres::shared().await?;
    let database = server.database().await?;
    let full = format!("tls = \"verify-full\"\ntls_ca = \"{}\"", server.ca.display());
    let way = Way::to(&["127.0.0.1"], &full).under(WITH_CERTIFICATE).with(&certificate(WITH_CERTIFICATE));
    let house = way.house(&database).await?;
    let issued = server.authority.client(WITH_CERTIFICATE)?;
    let other = server.authority.client("shop_writer")?;
    for (certificate, key, reached) in [
        (&issued.certificate_pem, &issued.key_pem, true),
        // Made out to another account; with another's key; no certificate at all.
        (&other.certificate_pem, &other.key_pem, false),
        (&issued.certificate_pem, &other.key_pem, false),
        (&issued.key_pem, &issued.key_pem, false),
    ] {
        house.engine.put_secret("certificate", certificate).await?;
        house.engine.put_secret("key", key).await?;
        let client = connect(&house).await;
        assert_eq!(client.is_ok(), reached, "{:?}", client.err());
        if let Ok(client) = client {
            assert_eq!(own(&client, "client_dn").await?, format!("/CN={WITH_CERTIFICATE}"));
        }
    }
    house.close().await;
    // A password in its place is none.
    let house = Way::to(&["127.0.0.1"], &full).under(WITH_MD5).house(&database).await?;
    assert!(connect(&house).await.is_ok());
    house.close().await;
    Ok(())
}

/// Who looks at the database now, under this account.
async fn looks(database: &Database, account: &str, more: &str) -> Result<i64> {
    let text = format!(
        "SELECT count(*) FROM pg_stat_activity JOIN pg_stat_ssl USING (pid)
         WHERE datname = '{}' AND usename = '{account}' AND application_name = 'countersign look' {more}",
        database.name
    );
    Ok(database.direct().await?.query_one(&text, &[]).await?.get(0))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_looks_goes_the_same_way() -> Result<()> {
    let server = ScratchPostgres::shared().await?;
    let database = server.database().await?;
    let more = format!("tls = \"verify-full\"\ntls_ca = \"{}\"", server.ca.display());
    let way = Way::to(&[NOBODY, "127.0.0.1"], &format!("{more}\ntarget_session_attrs = \"read-write\""))
        .with(&certificate("shop_looker"));
    let house = way.house(&database).await?;
    let issued = server.authority.client("shop_looker")?;
    house.engine.put_secret("certificate", &issued.certificate_pem).await?;
    house.engine.put_secret("key", &issued.key_pem).await?;
    let client = connect(&house).await?;
    let held = client.batch_execute("DELETE FROM orders WHERE id = 1");
    let answered = async {
        let request = house.held().await?;
        house.deny(request.id, "no").await?;
        Ok::<_, anyhow::Error>(())
    };
    let (said, answered) = tokio::join!(held, answered);
    answered?;
    assert!(said.is_err());
    let shown = "AND ssl AND client_dn = '/CN=shop_looker'";
    assert!(looks(&database, "shop_looker", shown).await? > 0, "they are kept for the next look");
    assert_eq!(looks(&database, "shop_looker", "AND NOT ssl").await?, 0);
    let read = house.engine.read_back_accounts().await.context("no door has answered")?;
    assert!(read.found.iter().all(|found| found.beyond.is_ok()), "{:?}", read.found);
    house.close().await;
    Ok(())
}

/// A server, one that follows it, and a database that both have.
async fn pair() -> Result<(ScratchPostgres, ScratchPostgres, Database)> {
    let primary = ScratchPostgres::start(Setup::default()).await?;
    let standby = primary.standby().await?;
    let database = primary.database().await?;
    let there = Database { name: database.name.clone(), port: standby.port };
    let limit = tokio::time::timeout(Duration::from_secs(60), async {
        while there.direct().await.is_err() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    });
    limit.await.context("the standby does not follow")?;
    Ok((primary, standby, database))
}

/// Whether the server behind this connection is a standby.
async fn is_standby(client: &Client) -> Result<bool> {
    Ok(client.query_one("SELECT pg_catalog.pg_is_in_recovery()", &[]).await?.get(0))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_server_that_is_meant_is_found_among_several() -> Result<()> {
    let (primary, standby, database) = pair().await?;
    let (first, second) = (format!("127.0.0.1:{}", primary.port), format!("127.0.0.1:{}", standby.port));
    let (first, second) = (first.as_str(), second.as_str());
    for (hosts, attrs, found) in [
        (&[second, first][..], "any", Some(true)),
        (&[first, second], "any", Some(false)),
        (&[NOBODY, second, first], "any", Some(true)),
        (&[second, first], "read-write", Some(false)),
        (&[first, second], "read-only", Some(true)),
        (&[second, first], "primary", Some(false)),
        (&[first, second], "standby", Some(true)),
        (&[first, second], "prefer-standby", Some(true)),
        (&[first, NOBODY], "prefer-standby", Some(false)),
        (&[first, NOBODY], "standby", None),
        (&[second], "primary", None),
        (&[second], "read-write", None),
        (&[first], "read-only", None),
    ] {
        let house = Way::to(hosts, &format!("tls = \"disable\"\ntarget_session_attrs = \"{attrs}\""))
            .house(&database)
            .await?;
        let client = connect(&house).await;
        match (client, found) {
            (Ok(client), Some(found)) => assert_eq!(is_standby(&client).await?, found, "{hosts:?} {attrs}"),
            (Err(_), None) => {}
            (client, _) => anyhow::bail!("{hosts:?} {attrs}: {:?}", client.map(|_| "connected")),
        }
        house.close().await;
    }
    // What a client asks of its own transactions does not change which server is meant.
    let house = Way::to(&[second, first], "tls = \"disable\"\ntarget_session_attrs = \"read-write\"")
        .house(&database)
        .await?;
    let client = connect_with(&house, "-c default_transaction_read_only=on").await?;
    assert!(!is_standby(&client).await?);
    house.close().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cancelling_and_cutting_reach_the_server_of_the_session() -> Result<()> {
    let (primary, standby, database) = pair().await?;
    let hosts = [format!("127.0.0.1:{}", standby.port), format!("127.0.0.1:{}", primary.port)];
    let hosts: Vec<&str> = hosts.iter().map(String::as_str).collect();
    let way = Way::to(&hosts, "tls = \"disable\"\ntarget_session_attrs = \"primary\"");
    let house = way.house(&database).await?;
    let client = connect(&house).await?;
    let _locked = database.locked().await?;
    let token = client.cancel_token();
    let cancelling = async {
        database.runs("shop_writer", 1).await?;
        token.cancel_query(NoTls).await?;
        Ok::<_, anyhow::Error>(())
    };
    let (said, cancelled) = tokio::join!(client.query(LONG, &[]), cancelling);
    cancelled?;
    assert_eq!(said.unwrap_err().code().map(|code| code.code()), Some("57014"));
    let cutting = async {
        database.runs("shop_writer", 1).await?;
        let caller = house.person("alice").await?;
        let grants = house.engine.grant_views(&caller, GrantFilter::default());
        let grant = grants.first().context("no grant")?.grant.id;
        house.engine.revoke(&house.person("bob").await?, grant, Some("enough".to_owned())).await?;
        Ok::<_, anyhow::Error>(())
    };
    let (said, cut) = tokio::join!(client.query(LONG, &[]), cutting);
    cut?;
    assert_eq!(said.unwrap_err().code().map(|code| code.code()), Some("57P01"));
    database.runs("shop_writer", 0).await?;
    house.close().await;
    Ok(())
}

/// What runs until it is cancelled, as long as somebody has locked the table.
const LONG: &str = "SELECT count(*) FROM orders";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_does_not_say_what_it_is_is_asked() -> Result<()> {
    // Version 13 reports neither of the settings that tell.
    let old = match ScratchPostgres::start(Setup { major: Some(13), settings: Vec::new() }).await {
        Ok(old) => old,
        Err(error) => {
            println!("no PostgreSQL 13 is to be had: {error:#}");
            return Ok(());
        }
    };
    let database = old.database().await?;
    for (attrs, reached) in [
        ("primary", true),
        ("read-write", true),
        ("standby", false),
        ("read-only", false),
        ("prefer-standby", true),
    ] {
        let way = Way::to(&["127.0.0.1"], &format!("tls = \"disable\"\ntarget_session_attrs = \"{attrs}\""));
        assert_eq!(reaches(&way, &database).await?, reached, "{attrs}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_does_not_answer_is_waited_for_no_longer_than_said() -> Result<()> {
    let database = ScratchPostgres::shared().await?.database().await?;
    let silence = Between::silence().await?;
    let silence = silence.address.to_string();
    let slow = "tls = \"require\"\nconnect_timeout = \"1s\"";
    assert!(!reaches(&Way::to(&[&silence], slow), &database).await?);
    let house = Way::to(&[&silence, "127.0.0.1"], slow).house(&database).await?;
    let connected = tokio::time::timeout(Duration::from_secs(8), connect(&house)).await;
    assert!(connected.context("it is still waited for")?.is_ok(), "the next one is tried");
    house.close().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_account_that_one_server_refuses_is_not_tried_at_the_next() -> Result<()> {
    let database = ScratchPostgres::shared().await?.database().await?;
    let wrong = ScratchPostgres::start(Setup::default()).await?;
    let admin = Database { name: "postgres".into(), port: wrong.port }.direct().await?;
    admin.batch_execute("ALTER ROLE shop_writer PASSWORD 'another'").await?;
    let host = format!("127.0.0.1:{}", wrong.port);
    assert!(!reaches(&Way::to(&[&host, "127.0.0.1"], "tls = \"disable\""), &database).await?);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn that_the_server_takes_nobody_is_told_in_its_words() -> Result<()> {
    let settings = ["max_connections=12", "superuser_reserved_connections=1"].map(str::to_owned).into();
    let server = ScratchPostgres::start(Setup { major: None, settings }).await?;
    let database = server.database().await?;
    let house = Way::to(&["127.0.0.1"], "tls = \"disable\"").house(&database).await?;
    let mut kept = Vec::new();
    while let Ok(one) = database.direct().await {
        ensure!(kept.len() < 20, "it takes everybody");
        kept.push(one);
    }
    let error = connect(&house).await.err().context("it was let in")?;
    let told = error.as_db_error().context("not the server's words")?;
    assert_eq!(told.code().code(), "53300");
    assert_eq!(told.message(), "sorry, too many clients already");
    drop(kept);
    house.deserted().await?;
    let limit = tokio::time::timeout(Duration::from_secs(20), async {
        while connect(&house).await.is_err() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    });
    limit.await.context("it never lets anybody in again")?;
    // A limit of the database's alone comes behind the proof.
    let limit = tokio::time::timeout(Duration::from_secs(20), async {
        loop {
            match database.direct().await {
                Ok(direct) => return direct,
                Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
            }
        }
    });
    let direct = limit.await.context("it never lets anybody in again")?;
    direct.batch_execute(&format!("ALTER DATABASE {} CONNECTION LIMIT 0", database.name)).await?;
    let error = connect(&house).await.err().context("it was let in")?;
    let told = error.as_db_error().context("not the server's words")?;
    assert_eq!(told.code().code(), "53300");
    ensure!(told.message().starts_with("too many connections for database"), "{}", told.message());
    house.close().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_stops_says_so_to_its_clients_and_is_found_again() -> Result<()> {
    let server = ScratchPostgres::start(Setup::default()).await?;
    let database = server.database().await?;
    let house = Way::to(&["127.0.0.1"], "tls = \"disable\"").house(&database).await?;
    let (idle, busy, open) = (connect(&house).await?, connect(&house).await?, connect(&house).await?);
    open.batch_execute("BEGIN; SELECT 1 FROM customers").await?;
    let _locked = database.locked().await?;
    let stopping = async {
        database.runs("shop_writer", 1).await?;
        server.stop().await
    };
    let (said, stopped) = tokio::join!(busy.query(LONG, &[]), stopping);
    stopped?;
    let error = said.unwrap_err();
    assert_eq!(error.code().map(|code| code.code()), Some("57P01"), "{error:?}");
    assert_eq!(error.as_db_error().unwrap().message(), "terminating connection due to administrator command");
    house.deserted().await?;
    for client in [&idle, &open] {
        assert!(client.query("SELECT 1", &[]).await.is_err());
    }
    let error = connect(&house).await.err().context("there is no server")?;
    assert_eq!(error.code().map(|code| code.code()), Some("08006"));
    server.start_again().await?;
    let client = connect(&house).await?;
    // What was kept to look with had ended as well.
    let held = client.batch_execute("DELETE FROM orders WHERE id = 1");
    let answered = async {
        let request = house.held().await?;
        house.deny(request.id, "no").await?;
        Ok::<_, anyhow::Error>(request)
    };
    let (_, request) = tokio::join!(held, answered);
    assert_eq!(request?.rows.and_then(|rows| rows.count), Some(1), "it was looked at");
    house.close().await;
    Ok(())
}
