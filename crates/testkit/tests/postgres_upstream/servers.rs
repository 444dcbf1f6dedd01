//! Which server, for how long, and what becomes of sessions when it goes.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use countersign_engine::views::GrantFilter;
use countersign_testkit::between::Between;
use countersign_testkit::postgres::Setup;
use countersign_testkit::{Database, ScratchPostgres};
use tokio_postgres::{Client, NoTls};

use crate::way::{NOBODY, Way, connect, connect_with, reaches};

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
    let way = Way::to(&hosts, "tls = \"disable\"\ntarget_session_attrs = \"primary\"").freely();
    let house = way.house(&database).await?;
    let client = connect(&house).await?;
    let token = client.cancel_token();
    // Whoever cancels what is still being prepared cancels nothing that runs later.
    let long = client.prepare(LONG).await?;
    let cancelling = async {
        database.runs_text("shop_writer", LONG).await?;
        Ok::<_, anyhow::Error>(token.cancel_query(NoTls).await?)
    };
    let (said, asked) = soon(async { tokio::join!(client.query(&long, &[]), cancelling) }).await?;
    asked?;
    assert_eq!(said.unwrap_err().code().map(|code| code.code()), Some("57014"));
    // The server may still be at it when its client has read that it was cancelled.
    database.runs("shop_writer", 0).await?;
    let cutting = Box::pin(async {
        database.runs_text("shop_writer", LONG).await?;
        let caller = house.person("alice").await?;
        let grants = house.engine.grant_views(&caller, GrantFilter::default());
        let grant = grants.first().context("no grant")?.grant.id;
        house.engine.revoke(&house.person("bob").await?, grant, Some("enough".to_owned())).await?;
        Ok::<_, anyhow::Error>(())
    });
    let (said, cut) = soon(async { tokio::join!(client.query(&long, &[]), cutting) }).await?;
    cut?;
    let error = said.unwrap_err();
    assert_eq!(error.code().map(|code| code.code()), Some("57P01"), "{error:?}");
    database.runs("shop_writer", 0).await?;
    house.close().await;
    Ok(())
}

/// What runs until it is cancelled.
const LONG: &str = "SELECT count(*) FROM orders a, orders b, orders c, orders d";

/// What comes about in time.
async fn soon<T>(work: impl Future<Output = T>) -> Result<T> {
    tokio::time::timeout(Duration::from_secs(60), work).await.context("it takes too long")
}

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

/// Nobody is waited for who has gone, whatever their session waits for before it begins.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_leaves_before_the_server_answers_is_gone_at_once() -> Result<()> {
    let database = ScratchPostgres::shared().await?.database().await?;
    let silence = Between::silence().await?;
    let slow = "tls = \"require\"\nconnect_timeout = \"5m\"";
    let house = Arc::new(Way::to(&[&silence.address.to_string()], slow).house(&database).await?);
    let waiting = Arc::clone(&house);
    let waits = tokio::spawn(async move { connect(&waiting).await.map(drop) });
    soon(async {
        while house.engine.snapshot().book.sessions().next().is_none() {
            tokio::task::yield_now().await;
        }
    })
    .await?;
    waits.abort();
    let _ended = waits.await;
    house.deserted().await?;
    Arc::into_inner(house).context("it is still held")?.close().await;
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
    let stopping = async {
        database.runs("shop_writer", 1).await?;
        server.stop().await
    };
    let (said, stopped) = soon(async { tokio::join!(busy.query(LONG, &[]), stopping) }).await?;
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
