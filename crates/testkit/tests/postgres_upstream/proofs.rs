//! Who the server is, and who the account is.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use anyhow::{Context as _, Result};
use countersign_testkit::authority::{Authority, NAMES};
use countersign_testkit::between::Between;
use countersign_testkit::postgres::{Setup, WITH_CERTIFICATE, WITH_MD5};
use countersign_testkit::{Database, ScratchPostgres};
use tokio_postgres::Client;

use crate::way::{NOBODY, Way, connect, reaches};

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
    let eavesdropper = Between::eavesdropper(server, &Authority::new()?.server(&NAMES)?).await?;
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
async fn a_certificate_that_a_server_has_made_for_itself_may_be_what_is_trusted() -> Result<()> {
    let database = ScratchPostgres::shared().await?.database().await?;
    let server = SocketAddr::from(([127, 0, 0, 1], database.port));
    let folder = tempfile::tempdir()?;
    for (names, mode, reached) in [
        (&NAMES[..], "verify-full", true),
        (&["db.example"], "verify-full", false),
        (&["db.example"], "verify-ca", true),
    ] {
        let (own, other) = (Authority::of_itself(names)?, Authority::of_itself(names)?);
        let shows = Between::eavesdropper(server, &own).await?;
        for (trusted, reached) in [(&own, reached), (&other, false)] {
            let ca = folder.path().join("ca.pem");
            std::fs::write(&ca, &trusted.certificate_pem)?;
            let more = format!("tls = \"{mode}\"\ntls_ca = \"{}\"", ca.display());
            let way = Way::to(&[&shows.address.to_string()], &more).under(WITH_MD5);
            let house = way.house(&database).await?;
            assert_eq!(connect(&house).await.is_ok(), reached, "{names:?} {mode}");
            house.close().await;
        }
    }
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
        let way = Way::to(&["127.0.0.1"], mode).under(account);
        for way in [way.clone(), way.by_bytes()] {
            let house = way.house(&database).await?;
            let client = connect(&house).await?;
            assert_eq!(
                client.query_one("SELECT current_user::text", &[]).await?.get::<_, String>(0),
                account
            );
            assert_eq!(own(&client, "ssl").await?, (mode != plain).to_string());
            house.close().await;
        }
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
