//! What one statement may take: more is cut while it runs.

use anyhow::{Context as _, Result};
use countersign_core::Span;
use countersign_testkit::{House, Psql};
use tokio_postgres::Client;

async fn house(limits: &'static str) -> Result<(House, Client)> {
    let house = House::with(|files| {
        if let Some(roles) = files.get_mut("roles.toml") {
            roles.push_str(&format!("\n[role.shop-writer.budget]\nstatement = {limits}\n"));
        }
    })
    .await?;
    house.grant("alice", "shop-writer", Span::minutes(30)).await?;
    let client = house.connect("alice").await?;
    Ok((house, client))
}

fn told(error: &tokio_postgres::Error) -> Result<(String, String)> {
    let error = error.as_db_error().with_context(|| format!("no error of the door's: {error}"))?;
    Ok((error.code().code().to_owned(), error.message().to_owned()))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_beyond_the_limit_are_not_passed_on() -> Result<()> {
    let (house, client) = house("{ rows = 100 }").await?;
    assert_eq!(client.query("SELECT id FROM orders LIMIT 100", &[]).await?.len(), 100);
    assert_eq!(
        client.query("SELECT id FROM orders LIMIT 100", &[]).await?.len(),
        100,
        "it is each statement's own"
    );
    let error = client.query("SELECT id FROM orders LIMIT 101", &[]).await.err().context("it was given")?;
    let (code, message) = told(&error)?;
    assert!(code == "53400" && message.contains("more than 100 rows"), "{code} {message}");
    house.deserted().await?;
    house.close().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_large_answer_is_cut_and_what_it_has_changed_does_not_stand() -> Result<()> {
    let (house, client) = house("{ bytes = 100000 }").await?;
    let update = "UPDATE products SET stock = 9 WHERE id <= 40 RETURNING repeat('x', 10000)";
    let (ran, approved) =
        tokio::join!(client.query(update, &[]), async { house.approve(house.held().await?.id).await });
    approved?;
    let (code, message) = told(&ran.err().context("it was given")?)?;
    assert!(code == "53400" && message.contains("more than 100000 bytes"), "{code} {message}");
    house.deserted().await?;
    let direct = house.database.direct().await?;
    let left: i64 =
        direct.query_one("SELECT count(*) FROM products WHERE stock = 9 AND id <= 40", &[]).await?.get(0);
    assert_eq!(left, 0);
    house.close().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_works_for_too_long_is_stopped_at_the_server() -> Result<()> {
    let (house, _client) = house("{ time = \"1s\" }").await?;
    let mut psql = Psql::start(&house, "alice").await?;
    psql.send("SELECT count(*) FROM orders a, orders b, orders c WHERE a.id + b.id = c.id;").await?;
    psql.expect("more than 1 seconds").await?;
    let direct = house.database.direct().await?;
    let running = "SELECT count(*) FROM pg_stat_activity WHERE usename = 'shop_writer' AND state = 'active' AND datname = $1";
    let left: i64 = direct.query_one(running, &[&house.database.name]).await?.get(0);
    assert_eq!(left, 0, "the server goes on with it");
    house.close().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn relations_are_counted_through_views_and_what_is_left_is_told() -> Result<()> {
    let (house, client) = house("{ rows = 500 }\ngrant = { relations = 2, rows = 1000 }").await?;
    let direct = house.database.direct().await?;
    let view = "CREATE VIEW stock_of AS SELECT id, stock FROM products; GRANT SELECT ON stock_of TO shop_writer, shop_looker";
    direct.batch_execute(view).await?;
    let left = async || -> Result<Vec<(String, String)>> {
        let said = client.simple_query("SHOW countersign.budget").await?;
        let rows = said.iter().filter_map(|message| match message {
            tokio_postgres::SimpleQueryMessage::Row(row) => Some(row),
            _ => None,
        });
        let cell =
            |row: &tokio_postgres::SimpleQueryRow, place| row.get(place).unwrap_or_default().to_owned();
        Ok(rows.map(|row| (format!("{} {}", cell(row, 0), cell(row, 1)), cell(row, 3))).collect())
    };
    let pair = |what: &str, left: &str| (what.to_owned(), left.to_owned());
    assert_eq!(
        left().await?,
        [pair("grant rows", "1000"), pair("grant relations", "2"), pair("one statement rows", "500")]
    );
    client.query("SELECT id FROM orders LIMIT 10", &[]).await?;
    client.query("SELECT relname FROM pg_catalog.pg_class LIMIT 10", &[]).await?;
    // The view is one, and what it stands on another.
    let error = client.query("SELECT * FROM stock_of", &[]).await.err().context("it was given")?;
    let (code, message) = told(&error)?;
    assert!(code == "53400" && message.contains("3 of 2 relations"), "{code} {message}");
    client.query("SELECT id FROM products LIMIT 1", &[]).await?;
    client.query("SELECT p.id FROM products p JOIN orders o ON o.id = p.id LIMIT 5", &[]).await?;
    let error = client.query("SELECT id FROM customers LIMIT 1", &[]).await.err().context("it was given")?;
    let (_, message) = told(&error)?;
    assert!(message.contains("the budget of your grant is used up: 3 of 2 relations"), "{message}");
    let told = left().await?;
    assert!(told.contains(&pair("grant relations", "0")), "{told:?}");
    house.close().await;
    Ok(())
}
