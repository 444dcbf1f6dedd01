//! How a session begins and ends on the wire: settings that a client starts with, keys to cancel with, the closing of TLS,
//! and a server that takes nobody or goes away.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use countersign_core::Span;
use countersign_engine::audit::LedgerQuery;
use countersign_testkit::House;
use tokio_postgres::error::SqlState;
use tokio_postgres::{Client, NoTls};

async fn house() -> Result<House> {
    let house = House::open().await?;
    house.grant("alice", "shop-writer", Span::minutes(30)).await?;
    Ok(house)
}

#[expect(clippy::expect_used, reason = "a test without a credential has failed")]
async fn with_options(house: &House, options: &str) -> Result<Client, tokio_postgres::Error> {
    let mut config = house.login("alice").await.expect("a credential");
    let (client, connection) = config.options(options).connect(NoTls).await?;
    tokio::spawn(connection);
    Ok(client)
}

async fn refused(house: &House, options: &str) -> Result<(String, String, String)> {
    let error =
        with_options(house, options).await.err().with_context(|| format!("`{options}` was let in"))?;
    let error = error.as_db_error().context("no error of the door's")?;
    let detail = error.detail().unwrap_or_default().to_owned();
    Ok((error.code().code().to_owned(), error.message().to_owned(), detail))
}

async fn shown(client: &Client, question: &str) -> Result<String> {
    Ok(client.query_one(question, &[]).await?.get(0))
}

/// The texts of the ledger's lines of a kind, newest first.
async fn texts(house: &House, kind: &str, containing: &str) -> Result<usize> {
    let query = LedgerQuery {
        kind: Some(kind.to_owned()),
        text: Some(containing.to_owned()),
        limit: 100,
        ..LedgerQuery::default()
    };
    Ok(house.engine.search(&house.person("bob").await?, query).await?.items.len())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn settings_at_the_start_are_judged_recorded_and_the_servers_own() -> Result<()> {
    let house = house().await?;
    let client = with_options(&house, "-c work_mem=5MB -c statement_timeout=9s").await?;
    assert_eq!(shown(&client, "SHOW work_mem").await?, "5MB");
    client.batch_execute("SET work_mem = '7MB'; RESET work_mem").await?;
    assert_eq!(shown(&client, "SHOW work_mem").await?, "5MB", "it is what a RESET goes back to");
    assert_eq!(texts(&house, "action.allowed", "SET \"work_mem\" = '5MB'").await?, 1);
    assert_eq!(texts(&house, "action.allowed", "SET \"statement_timeout\" = '9s'").await?, 1);
    house.close().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn settings_at_the_start_that_policy_denies_keep_the_client_out() -> Result<()> {
    let house = house().await?;
    for (options, name) in [
        ("-c log_statement=none", "log_statement"),
        ("-c role=shop_reader", "role"),
        ("-c session_authorization=postgres", "session_authorization"),
        ("-c standard_conforming_strings=off", "standard_conforming_strings"),
        ("-c session_preload_libraries=evil", "session_preload_libraries"),
        ("-c my.own=1", "my.own"),
    ] {
        let (code, message, detail) = refused(&house, options).await?;
        assert_eq!(code, "42501", "{options}");
        assert_eq!(message, "role `shop-writer` does not permit `sql.admin` on `shop`");
        assert_eq!(detail, format!("it is asked for by the start-up setting `{name}`"));
    }
    assert_eq!(texts(&house, "action.blocked", "SET \"role\" = 'shop_reader'").await?, 1);
    house.deserted().await?;
    // A packet's own parameters are no settings.
    let (code, message, _) = refused(&house, "-c replication=database").await?;
    assert_eq!(
        (code.as_str(), message.as_str()),
        ("42704", "`replication` is not the name of a setting; correct it")
    );
    house.close().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn settings_at_the_start_that_would_be_held_are_refused_with_a_way_out() -> Result<()> {
    let house = House::with(|files| {
        files.insert(
            "settings.cedar".to_owned(),
            "@id(\"time-limits-need-the-dba\")\n@gate(\"prod-write\")\n@reason(\"time is money\")\n\
             forbid (principal, action == Action::\"sql.session\", resource)\n\
             when { context.verbs.contains(\"set\") };"
                .to_owned(),
        );
    })
    .await?;
    house.grant("alice", "shop-writer", Span::minutes(30)).await?;
    let (code, message, _) = refused(&house, "-c statement_timeout=1s").await?;
    assert_eq!(code, "42501");
    // The driver sets its encoding too, behind it.
    ensure!(message.starts_with("the setting `statement_timeout` needs an approval"), "{message}");
    house.close().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_setting_is_told_in_the_servers_words() -> Result<()> {
    let house = house().await?;
    let (code, message, _) = refused(&house, "-c work_mem=much").await?;
    assert_eq!(
        (code.as_str(), message.as_str()),
        ("22023", "invalid value for parameter \"work_mem\": \"much\"")
    );
    let recorded = async {
        while texts(&house, "action.completed", "").await? == 0 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok::<_, anyhow::Error>(())
    };
    tokio::time::timeout(Duration::from_secs(5), recorded).await.context("its end is not recorded")??;
    house.close().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_server_says_when_it_ends_a_session_arrives() -> Result<()> {
    let house = house().await?;
    let client = with_options(&house, "").await?;
    assert_eq!(shown(&client, "SHOW work_mem").await?, "4MB");
    let direct = house.database.direct().await?;
    let database = &house.database.name;
    let ended = format!(
        "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname = '{database}' AND usename = 'shop_writer' AND backend_type = 'client backend'"
    );
    let running = client.query("SELECT pg_catalog.count(*) FROM orders a, orders b, orders c, orders d", &[]);
    let ending = async {
        loop {
            let active = format!(
                "SELECT count(*) FROM pg_stat_activity WHERE datname = '{database}' AND usename = 'shop_writer' AND state = 'active'"
            );
            if direct.query_one(&active, &[]).await?.get::<_, i64>(0) > 0 {
                break;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok::<_, anyhow::Error>(direct.query_one(&ended, &[]).await?.get::<_, i64>(0))
    };
    let (said, terminated) = tokio::join!(running, ending);
    assert_eq!(terminated?, 1);
    let error = said.err().context("it went on")?;
    assert_eq!(error.code(), Some(&SqlState::ADMIN_SHUTDOWN), "{error:?}");
    assert_eq!(
        error.as_db_error().map(|error| error.message()),
        Some("terminating connection due to administrator command")
    );
    house.deserted().await?;
    house.close().await;
    Ok(())
}
