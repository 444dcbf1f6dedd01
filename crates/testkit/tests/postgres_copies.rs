//! COPY from the client under an approval: its data comes after the yes, so what is approved is the statement with a bound of
//! rows, and what came is known by its digest.

use anyhow::{Context as _, Result};
use bytes::Bytes;
use countersign_core::action::DataDigest;
use countersign_core::envelope::{Envelope, Terms};
use countersign_core::request::State;
use countersign_core::{RequestId, Span};
use countersign_engine::audit::LedgerQuery;
use countersign_testkit::{House, Psql};
use futures_util::SinkExt as _;
use tokio_postgres::Client;

const COPY: &str = "COPY tags FROM STDIN";

async fn house() -> Result<House> {
    let house = House::open().await?;
    house
        .database
        .direct()
        .await?
        .batch_execute("CREATE TABLE tags (id bigint, name text); GRANT SELECT, INSERT ON tags TO shop_writer, shop_looker")
        .await?;
    house.grant("alice", "shop-writer", Span::minutes(30)).await?;
    Ok(house)
}

async fn count(house: &House) -> Result<i64> {
    Ok(house.database.direct().await?.query_one("SELECT count(*) FROM tags", &[]).await?.get(0))
}

fn lines(count: usize) -> String {
    (0..count).map(|id| format!("{id}\ttag {id}\n")).collect()
}

async fn load(client: &Client, data: &str) -> Result<u64, tokio_postgres::Error> {
    let sink = client.copy_in::<_, Bytes>(COPY).await?;
    let mut sink = std::pin::pin!(sink);
    for piece in data.as_bytes().chunks(7) {
        sink.send(Bytes::copy_from_slice(piece)).await?;
    }
    sink.finish().await
}

/// Loads while bob says yes, with these terms.
async fn loads(
    house: &House,
    client: &Client,
    data: &str,
    terms: Terms,
) -> Result<(RequestId, Result<u64, tokio_postgres::Error>)> {
    let (loaded, approved) = tokio::join!(load(client, data), async {
        let held = house.held().await?;
        house.approve_as(held.id, terms).await?;
        Ok::<_, anyhow::Error>(held.id)
    });
    Ok((approved?, loaded))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_comes_after_the_yes_is_bounded_and_known_by_its_digest() -> Result<()> {
    let house = house().await?;
    let client = house.connect("alice").await?;
    let three = lines(3);
    let (loaded, shown) = tokio::join!(load(&client, &three), async {
        let held = house.held().await?;
        house.approve(held.id).await?;
        Ok::<_, anyhow::Error>(held)
    });
    let shown = shown?;
    assert_eq!((loaded?, count(&house).await?), (3, 3));
    assert_eq!(shown.rows.and_then(|rows| rows.bound), Some(100), "what the rule lets its approvers give");
    assert!(shown.notes.iter().any(|note| note.contains("come after the yes")), "{:?}", shown.notes);
    house.becomes(shown.id, "approved").await?;
    // Whoever has the file can tell that it is this one.
    let bob = house.person("bob").await?;
    let asked = LedgerQuery {
        request: Some(shown.id),
        kind: Some("action.held".into()),
        limit: 1,
        ..LedgerQuery::default()
    };
    let asked = house.engine.search(&bob, asked).await?.items;
    let asked = house.engine.kept(asked.first().context("no line")?.line.index);
    let content = asked.iter().find(|kept| kept.at == "/data/content").context("no content")?;
    let content: serde_json::Value = serde_json::from_slice(&content.bytes)?;
    let digits = content["salt"].as_str().context("no salt")?;
    let mut salt = [0; 16];
    for (at, byte) in salt.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&digits[2 * at..2 * at + 2], 16)?;
    }
    let mut digest = DataDigest::new(&salt);
    digest.update(three.as_bytes());
    let digest = digest.finish().to_string();
    let query = LedgerQuery { text: Some(digest), limit: 1, ..LedgerQuery::default() };
    let said = async {
        loop {
            let changed = house.engine.changed();
            if !house.engine.search(&bob, query.clone()).await?.items.is_empty() {
                return Ok::<_, anyhow::Error>(());
            }
            let mut changed = changed;
            changed.changed().await?;
        }
    };
    let found = tokio::time::timeout(std::time::Duration::from_secs(10), said).await.is_ok();
    assert!(found, "the ledger does not say what was loaded");
    house.close().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn beyond_the_bound_nothing_stands() -> Result<()> {
    let house = house().await?;
    let client = house.connect("alice").await?;
    let (request, loaded) = loads(&house, &client, &lines(101), Terms::default()).await?;
    let error = loaded.err().context("it was loaded")?;
    assert!(
        error.as_db_error().is_some_and(|error| error.message().contains("101 rows, but 100 were approved")),
        "{error:?}"
    );
    assert_eq!(count(&house).await?, 0);
    // The connection goes on, and the approver may give less.
    let five = Terms { envelope: Some(Envelope { rows: 5, total: 8 }), ..Terms::default() };
    let (within, loaded) = loads(&house, &client, &lines(5), five).await?;
    assert_eq!((loaded?, count(&house).await?), (5, 5));
    assert_eq!(load(&client, &lines(3)).await?, 3, "the envelope has three left");
    let snapshot = house.engine.snapshot();
    let State::Approved(receipt) = &snapshot.book.request(within).context("no request")?.state else {
        anyhow::bail!("it is not approved")
    };
    assert_eq!((receipt.used, receipt.spent), (2, 8));
    assert_ne!(request, within);
    house.close().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_a_transaction_it_is_the_clients_to_commit() -> Result<()> {
    let house = house().await?;
    let client = house.connect("alice").await?;
    client.batch_execute("BEGIN").await?;
    let (_, loaded) = loads(&house, &client, &lines(4), Terms::default()).await?;
    assert_eq!((loaded?, count(&house).await?), (4, 0));
    client.batch_execute("ROLLBACK").await?;
    assert_eq!(count(&house).await?, 0);
    client.batch_execute("BEGIN").await?;
    let (_, loaded) = loads(&house, &client, &lines(101), Terms::default()).await?;
    assert!(loaded.is_err());
    assert!(client.batch_execute("SELECT 1").await.is_err(), "the transaction is aborted");
    client.batch_execute("ROLLBACK").await?;
    assert_eq!(count(&house).await?, 0);
    house.close().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn psql_copies_too_and_a_client_that_gives_up_leaves_nothing() -> Result<()> {
    let house = house().await?;
    let mut psql = Psql::start(&house, "alice").await?;
    psql.send("COPY tags FROM STDIN;").await?;
    house.approve(house.held().await?.id).await?;
    psql.send("1\tone\n2\ttwo\n\\.").await?;
    psql.expect("COPY 2").await?;
    assert_eq!(count(&house).await?, 2);
    psql.send("COPY tags FROM STDIN;").await?;
    house.approve(house.held().await?.id).await?;
    psql.send("not a number\tx\n\\.").await?;
    psql.expect("invalid input syntax").await?;
    psql.send("COPY tags FROM STDIN;").await?;
    let held = house.held().await?.id;
    house.approve(held).await?;
    psql.send("3\tthree").await?;
    psql.kill().await?;
    house.deserted().await?;
    assert_eq!(count(&house).await?, 2);
    house.close().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_bound_in_the_rule_and_beside_other_statements_it_is_refused() -> Result<()> {
    let house = House::with(|files| {
        if let Some(rules) = files.get_mut("rules.toml") {
            *rules =
                rules.lines().filter(|line| !line.starts_with("envelope")).collect::<Vec<_>>().join("\n");
        }
    })
    .await?;
    house.grant("alice", "shop-writer", Span::minutes(30)).await?;
    let client = house.connect("alice").await?;
    let refused = client.copy_in::<_, Bytes>("COPY products FROM STDIN").await.err().context("it waits")?;
    assert!(
        refused.as_db_error().is_some_and(|error| error.message().contains("no bound for it")),
        "{refused:?}"
    );
    let client = house.connect("alice").await?;
    let refused =
        client.batch_execute("COPY products FROM STDIN; SELECT 1").await.err().context("it waits")?;
    assert!(
        refused.as_db_error().is_some_and(|error| error.message().contains("only by itself")),
        "{refused:?}"
    );
    house.close().await;
    Ok(())
}
