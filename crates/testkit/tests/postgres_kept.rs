//! Results that are kept: as the client was shown them, for whom policy lets read them, and no longer than they may be.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, ensure};
use countersign_core::Span;
use countersign_engine::{ContentView, LedgerQuery};
use countersign_testkit::House;

const CAPTURE: &str = "\n[resource.shop.capture]\nbytes = 4096\ndays = 7\n";

fn keeping(files: &mut BTreeMap<String, String>) {
    if let Some(resources) = files.get_mut("resources.toml") {
        let masked = "owner = \"group:security\"\nlabels = [\"personal\"]\n";
        *resources =
            resources.replacen(masked, &format!("{masked}columns.email = {{ mask = \"full\" }}\n"), 1);
        resources.push_str(CAPTURE);
    }
    files.insert(
        "kept.cedar".to_owned(),
        "@id(\"what-is-read-of-customers-is-kept\")\n\
         permit (principal, action == Action::\"sql.capture\", resource)\n\
         when { context.reads.contains(\"public.customers\") || context.verbs.contains(\"update\") };\n\
         @id(\"bob-reads-results\")\n\
         permit (principal == User::\"bob\", action == Action::\"session.results\", resource);\n\
         @id(\"dave-reads-the-ledger\")\n\
         permit (principal == User::\"dave\", action == Action::\"ledger.read\", resource);\n"
            .to_owned(),
    );
}

/// The newest line of this type with something kept beside it, as somebody is shown it.
async fn kept(house: &House, who: &str) -> Result<ContentView> {
    let caller = house.person(who).await?;
    let mut changed = house.engine.changed();
    let seen = async {
        loop {
            let query =
                LedgerQuery { kind: Some("action.completed".into()), limit: 50, ..LedgerQuery::default() };
            let page = house.engine.search(&caller, query).await?;
            let found = page.items.iter().find(|event| event.line.data.get("kept").is_some());
            if let Some(found) = found {
                let detail = house.engine.event(&caller, found.line.index).await?;
                let content = detail.contents.into_iter().find(|content| content.pointer == "/data/kept");
                return content.context("nothing is committed to");
            }
            changed.changed().await?;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(10), seen).await.context("nothing is kept")?
}

async fn lines(house: &House, text: &str) -> Result<usize> {
    let bob = house.person("bob").await?;
    let query = LedgerQuery { text: Some(text.to_owned()), limit: 100, ..LedgerQuery::default() };
    Ok(house
        .engine
        .search(&bob, query)
        .await?
        .items
        .iter()
        .filter(|event| event.line.kind != "ledger.read")
        .count())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_client_was_shown_is_kept_for_whom_policy_lets_read_it() -> Result<()> {
    let house = House::with(keeping).await?;
    house.grant("alice", "shop-writer", Span::minutes(30)).await?;
    let client = house.connect("alice").await?;
    let direct = house.database.direct().await?;
    let row = direct.query_one("SELECT name, email FROM customers WHERE id = 3", &[]).await?;
    let (name, email): (String, String) = (row.get(0), row.get(1));
    client.simple_query("SELECT id FROM products LIMIT 3").await?;
    client.simple_query("SELECT name, email FROM customers WHERE id = 3").await?;

    let content = kept(&house, "bob").await?;
    let bytes = content.kept.context("bob may not read it")?.bytes;
    let text = String::from_utf8(bytes)?;
    let shown: serde_json::Value = serde_json::from_str(&text)?;
    assert_eq!(shown["results"][0]["columns"], serde_json::json!(["name", "email"]));
    assert_eq!(
        shown["results"][0]["rows"],
        serde_json::json!([[name.clone(), "***"]]),
        "masks and all: {text}"
    );
    ensure!(shown["cut"] == false && !text.contains(&email), "{text}");

    let withheld = kept(&house, "dave").await?;
    ensure!(withheld.withheld && withheld.kept.is_none(), "dave reads the ledger, and no results");
    assert_eq!(lines(&house, &name).await?, 0, "what was given back is not searched");
    ensure!(
        lines(&house, "what it gave back").await? == 0,
        "reading it is told beside the lines about reading"
    );
    let bob = house.person("bob").await?;
    let query =
        LedgerQuery { text: Some("and what it gave back".into()), limit: 9, ..LedgerQuery::default() };
    let read = house.engine.search(&bob, query).await?;
    ensure!(read.items.iter().any(|event| event.line.kind == "ledger.read"), "that bob read it is recorded");
    let all = house.engine.snapshot().index;
    let auditor = house.person("bob").await?;
    if let Ok(content) = house.engine.export_content(&auditor, 0..all).await {
        ensure!(!String::from_utf8_lossy(&content).contains(&name), "it is not exported");
    }
    house.close().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_approved_is_kept_too_and_no_more_than_the_limit() -> Result<()> {
    let house = House::with(keeping).await?;
    house.grant("alice", "shop-writer", Span::minutes(30)).await?;
    let client = house.connect("alice").await?;
    let update = "UPDATE products SET stock = 9 WHERE id <= 40 RETURNING id, repeat('x', 1000) AS filler";
    let (ran, approved) =
        tokio::join!(client.simple_query(update), async { house.approve(house.held().await?.id).await });
    approved?;
    ran?;
    let text = String::from_utf8(kept(&house, "bob").await?.kept.context("nothing")?.bytes)?;
    let shown: serde_json::Value = serde_json::from_str(&text)?;
    let rows = shown["results"][0]["rows"].as_array().context("no rows")?.len();
    ensure!(shown["cut"] == true && (1..=4).contains(&rows), "{rows} rows of {text}");
    house.close().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_word_of_the_resource_nothing_is_kept() -> Result<()> {
    let house = House::with(|files| {
        keeping(files);
        if let Some(resources) = files.get_mut("resources.toml") {
            *resources = resources.replace(CAPTURE, "");
        }
    })
    .await?;
    house.grant("alice", "shop-writer", Span::minutes(30)).await?;
    let client = house.connect("alice").await?;
    client.simple_query("SELECT name FROM customers WHERE id = 3").await?;
    drop(client);
    house.deserted().await?;
    let bob = house.person("bob").await?;
    let query = LedgerQuery { kind: Some("action".into()), limit: 100, ..LedgerQuery::default() };
    let page = house.engine.search(&bob, query).await?;
    ensure!(page.items.iter().all(|event| event.line.data.get("kept").is_none()));
    house.close().await;
    Ok(())
}
