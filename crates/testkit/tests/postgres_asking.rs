//! A client without a grant asks for one as it connects, and waits for the answer where it is.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use countersign_core::{RequestId, Span};
use countersign_engine::RequestView;
use countersign_engine::views::RequestFilter;
use countersign_testkit::{House, Psql};
use tokio_postgres::NoTls;

const ASK: &str =
    "-c countersign.ask=shop-reader -c countersign.reason=count\\ stock -c countersign.ticket=SHOP-9";
const SOON: Duration = Duration::from_secs(10);

/// How a driver connects that asks, and what it reads if it may not enter.
async fn refused(house: &House, options: &str) -> Result<String> {
    let mut config = house.login("alice").await?;
    let answer = config.options(options).connect(NoTls).await;
    let error = answer.err().with_context(|| format!("`{options}` was let in"))?;
    let error = error.as_db_error().context("no error of the door's")?;
    Ok(format!("{} {} {}", error.code().code(), error.message(), error.hint().unwrap_or_default()))
}

async fn asked(house: &House) -> Result<Vec<RequestView>> {
    let filter = RequestFilter { state: Some("pending"), inbox: false, mine: false, limit: 0 };
    Ok(house.engine.request_views(&house.person("bob").await?, filter))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_waits_in_place_and_enters_when_somebody_says_yes() -> Result<()> {
    let house = House::open().await?;
    let options = format!("{ASK} -c countersign.for=20m -c countersign.wait=5m");
    let mut psql = Psql::with_options(&house, "alice", &options).await?;
    psql.expect("your access waits for an approval by group:dba (bob); 5m left").await?;
    let request = house.held().await?;
    assert_eq!(
        (request.purpose.as_deref(), request.ticket.as_deref()),
        (Some("count stock"), Some("SHOP-9"))
    );
    assert_eq!(request.role.as_ref().map(|role| role.as_str()), Some("shop-reader"));
    assert_eq!(request.lasting, Some(Span::minutes(20)));
    house.approve(request.id).await?;
    psql.send("SELECT 'let ' || 'in' AS state;").await?;
    psql.expect("let in").await?;
    // Who holds a grant is not asked anything.
    let mut again = Psql::with_options(&house, "alice", &options).await?;
    again.send("SELECT 'once ' || 'more' AS state;").await?;
    again.expect("once more").await?;
    assert!(asked(&house).await?.is_empty());
    house.close().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_no_is_read_where_it_was_waited_for() -> Result<()> {
    let house = House::open().await?;
    let mut psql = Psql::with_options(&house, "alice", &format!("{ASK} -c countersign.wait=5m")).await?;
    psql.expect("your access waits").await?;
    house.deny(house.held().await?.id, "ask for the report").await?;
    psql.expect("your access was denied by bob: ask for the report").await?;
    house.close().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_waiting_it_is_asked_once_and_said() -> Result<()> {
    let house = House::open().await?;
    let first = refused(&house, ASK).await?;
    assert!(first.contains("28000 you hold no grant, so it was asked for: req_"), "{first}");
    assert!(first.contains("connect again when it is approved: http"), "{first}");
    let second = refused(&house, ASK).await?;
    assert!(second.contains("it is asked for already: req_"), "{second}");
    let requests = asked(&house).await?;
    assert_eq!(requests.len(), 1);
    house.approve(requests[0].id).await?;
    let client = house.login("alice").await?.options(ASK).connect(NoTls).await?;
    drop(client);
    house.close().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn going_away_withdraws_what_was_asked_there() -> Result<()> {
    let house = House::open().await?;
    let options = format!("{ASK} -c countersign.wait=5m");
    let mut psql = Psql::with_options(&house, "alice", &options).await?;
    psql.expect("your access waits").await?;
    let request = house.held().await?.id;
    psql.kill().await?;
    house.becomes(request, "withdrawn").await?;
    // What was asked elsewhere is not: another connection only waits for it too.
    refused(&house, ASK).await?;
    let standing = house.held().await?.id;
    let mut psql = Psql::with_options(&house, "alice", &options).await?;
    psql.expect("your access waits").await?;
    psql.kill().await?;
    let mut psql = Psql::with_options(&house, "alice", &options).await?;
    psql.expect("your access waits").await?;
    assert_eq!(house.held().await?.id, standing);
    house.approve(standing).await?;
    psql.send("SELECT 'let ' || 'in' AS state;").await?;
    psql.expect("let in").await?;
    house.close().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn policy_rules_on_asking_at_the_door() -> Result<()> {
    let forbid = "@id(\"not-at-the-door\")\n@reason(\"ask in the console\")\nforbid (principal, \
         action == Action::\"access.request\", resource) when { context.via == \"postgres\" };\n";
    let house = House::with(|files| drop(files.insert("more.cedar".into(), forbid.into()))).await?;
    let said = refused(&house, &format!("{ASK} -c countersign.wait=5m")).await?;
    assert!(said.contains("ask in the console"), "{said}");
    assert!(asked(&house).await?.is_empty());
    // Elsewhere it may be asked.
    house.grant("alice", "shop-reader", Span::minutes(5)).await?;
    house.close().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_question_is_refused() -> Result<()> {
    let house = House::open().await?;
    for (options, why) in [
        ("-c countersign.ask=shop-reader", "a request needs a purpose"),
        ("-c countersign.ask=no-such-role -c countersign.reason=x", "no-such-role"),
        ("-c countersign.wait=5m", "`countersign.wait`"),
    ] {
        let said = refused(&house, options).await?;
        assert!(said.contains(why), "{options}: {said}");
    }
    assert!(asked(&house).await?.is_empty());
    house.close().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_more_than_a_few_wait_at_once() -> Result<()> {
    let house = House::open().await?;
    let options = format!("{ASK} -c countersign.wait=5m");
    let mut waiting = Vec::new();
    for _ in 0..4 {
        let mut psql = Psql::with_options(&house, "alice", &options).await?;
        psql.expect("your access waits").await?;
        waiting.push(psql);
    }
    let said = refused(&house, &options).await?;
    assert!(said.contains("too many connections wait"), "{said}");
    assert_eq!(asked(&house).await?.len(), 1, "they wait for one answer");
    // A place that is left is free.
    let one: RequestId = house.held().await?.id;
    waiting.truncate(3);
    let freed = async {
        loop {
            let mut config = house.login("alice").await?;
            let connecting = config.options(&options).connect(NoTls);
            match tokio::time::timeout(Duration::from_millis(300), connecting).await {
                Err(_) => return Ok::<_, anyhow::Error>(()),
                Ok(answer) => ensure!(answer.is_err(), "nobody has said yes to {one}"),
            }
        }
    };
    tokio::time::timeout(SOON, freed).await.context("no place became free")??;
    house.close().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_said_within_a_session_counts_from_then_on() -> Result<()> {
    let house = House::open().await?;
    house.grant("alice", "shop-writer", Span::minutes(30)).await?;
    let mut psql = Psql::with_options(&house, "alice", "-c countersign.reason=at\\ first").await?;
    let update = "UPDATE products SET stock = 1 WHERE id = 1;";
    for (said, purpose, ticket) in [
        ("SELECT 1;", "at first", None),
        (
            "SET countersign.reason = 'it''s due'; SET countersign.ticket TO SHOP_7;",
            "it's due",
            Some("SHOP_7"),
        ),
        ("RESET countersign.reason;", "at first", Some("SHOP_7")),
    ] {
        psql.send(said).await?;
        psql.send(update).await?;
        let held = house.held().await?;
        assert_eq!((held.purpose.as_deref(), held.ticket.as_deref()), (Some(purpose), ticket), "{said}");
        house.deny(held.id, "not yet").await?;
        psql.expect("denied by bob").await?;
    }
    psql.send("SHOW countersign.ticket; SHOW countersign.role;").await?;
    psql.expect("SHOP_7").await?;
    psql.expect("shop-writer").await?;
    // The server does not know of it, and a transaction that has failed takes nothing.
    psql.send(
        "SELECT 'it is ' || coalesce(current_setting('countersign.reason', true), 'unknown') AS known;",
    )
    .await?;
    psql.expect("it is unknown").await?;
    psql.send("BEGIN; SET countersign.ticket = 'A-1'; ROLLBACK; SHOW countersign.ticket;").await?;
    psql.expect("A-1").await?;
    for (text, why) in [
        ("SET countersign.admin = 'x';", "does not exist"),
        ("SET countersign.role = 'shop-reader';", "as a session begins"),
        ("SET LOCAL countersign.reason = 'x';", "lasts for the session"),
        ("SET countersign.reason = 'x' \\; SELECT 1;", "write SET"),
        ("SELECT 1 \\; SET countersign.reason = 'x';", "a statement of its own"),
    ] {
        psql.send(text).await?;
        psql.expect(why).await.with_context(|| text.to_owned())?;
    }
    let client = house.connect("alice").await?;
    let refused = client.execute("SET countersign.reason = 'x'", &[]).await.err().context("it was taken")?;
    assert!(refused.as_db_error().is_some_and(|error| error.message().contains("a statement of its own")));
    client.batch_execute("SET countersign.reason = 'by the driver'").await?;
    let shown = client.simple_query("SHOW countersign.reason").await?;
    assert!(format!("{shown:?}").contains("by the driver"));
    house.close().await;
    Ok(())
}
