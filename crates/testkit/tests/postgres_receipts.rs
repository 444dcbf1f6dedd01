//! A yes that covers more than one execution: several uses of one text, and envelopes. What is not covered is held.

use anyhow::{Context as _, Result};
use countersign_core::Span;
use countersign_core::envelope::{Envelope, Terms};
use countersign_core::request::State;
use countersign_core::{GrantId, RequestId};
use countersign_testkit::{House, Psql};
use tokio_postgres::types::ToSql;

const UPDATE: &str = "UPDATE products SET stock = stock + 1 WHERE id = 1;";

/// A house whose rule for writes gives three uses and lets envelopes be given.
async fn house() -> Result<(House, GrantId)> {
    let house = House::with(|files| {
        if let Some(rules) = files.get_mut("rules.toml") {
            *rules = rules.replace("uses = 1 #", "uses = 3 #").replace("total = 500", "total = 300");
        }
    })
    .await?;
    let grant = house.grant("alice", "shop-writer", Span::minutes(30)).await?;
    Ok((house, grant))
}

async fn stock(house: &House) -> Result<i64> {
    let direct = house.database.direct().await?;
    Ok(direct.query_one("SELECT stock::bigint FROM products WHERE id = 1", &[]).await?.get(0))
}

/// How often a request's receipt was used, and how many rows of its envelope are gone.
fn used(house: &House, request: RequestId) -> Result<(u32, u64)> {
    let snapshot = house.engine.snapshot();
    match &snapshot.book.request(request).context("no request")?.state {
        State::Approved(receipt) => Ok((receipt.used, receipt.spent)),
        other => anyhow::bail!("it is {}", other.as_str()),
    }
}

/// Runs `text` in psql, sees to it that it is held, and says no.
async fn is_held(house: &House, psql: &mut Psql, text: &str) -> Result<()> {
    psql.send(text).await?;
    let held = house.held().await.with_context(|| format!("`{text}` ran"))?;
    house.deny(held.id, "not this").await?;
    psql.expect("denied by bob: not this").await?;
    Ok(())
}

fn envelope(rows: u64, total: u64) -> Terms {
    Terms { envelope: Some(Envelope { rows, total }), ..Terms::default() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_yes_for_three_uses_is_used_three_times_and_the_fourth_is_held() -> Result<()> {
    let (house, _) = house().await?;
    let before = stock(&house).await?;
    let mut psql = Psql::start(&house, "alice").await?;
    psql.send(UPDATE).await?;
    let held = house.held().await?;
    house.approve(held.id).await?;
    psql.expect("UPDATE 1").await?;
    psql.send(UPDATE).await?;
    psql.expect("1 use is left").await?;
    psql.expect("UPDATE 1").await?;
    // Another session of the same principal has the third.
    let mut other = Psql::start(&house, "alice").await?;
    other.send(UPDATE).await?;
    other.expect("none is left").await?;
    other.expect("UPDATE 1").await?;
    assert_eq!(stock(&house).await?, before + 3);
    assert_eq!(used(&house, held.id)?.0, 3);
    is_held(&house, &mut other, UPDATE).await?;
    is_held(&house, &mut psql, UPDATE).await?;
    assert_eq!(stock(&house).await?, before + 3);
    house.close().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_approver_may_give_fewer_uses_and_one_is_bound_to_the_session_that_waits() -> Result<()> {
    let (house, _) = house().await?;
    let mut psql = Psql::start(&house, "alice").await?;
    psql.send(UPDATE).await?;
    let held = house.held().await?;
    let four = Terms { uses: Some(4), ..Terms::default() };
    let refused = house.approve_as(held.id, four).await.err().context("four uses were given")?;
    assert!(refused.to_string().contains("at most 3 times"), "{refused}");
    let one = Terms { uses: Some(1), valid_for: Some(Span::minutes(1)), envelope: None };
    house.approve_as(held.id, one).await?;
    psql.expect("UPDATE 1").await?;
    is_held(&house, &mut psql, UPDATE).await?;
    house.close().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_not_the_same_statement_in_the_same_circumstances_is_held() -> Result<()> {
    let (house, _) = house().await?;
    let mut psql = Psql::start(&house, "alice").await?;
    psql.send(UPDATE).await?;
    house.approve(house.held().await?.id).await?;
    psql.expect("UPDATE 1").await?;
    is_held(&house, &mut psql, "UPDATE products SET stock = stock + 1 WHERE id = 2;").await?;
    is_held(&house, &mut psql, "UPDATE products SET stock = stock + 1 WHERE id = 1 ;").await?;
    for (change, back) in [
        ("SET search_path = public, pg_catalog;", "RESET search_path;"),
        ("SET DateStyle = 'SQL, DMY';", "RESET DateStyle;"),
        ("SET TimeZone = 'Asia/Tokyo';", "RESET TimeZone;"),
    ] {
        psql.send(change).await?;
        is_held(&house, &mut psql, UPDATE).await.with_context(|| change.to_owned())?;
        psql.send(back).await?;
    }
    // Another reason is another action.
    let mut other = Psql::with_options(&house, "alice", "-c countersign.reason=something\\ else").await?;
    is_held(&house, &mut other, UPDATE).await?;
    // The table is another one.
    house.database.direct().await?.batch_execute("ALTER TABLE products ADD COLUMN more int").await?;
    is_held(&house, &mut psql, UPDATE).await?;
    house.close().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn parameters_are_part_of_what_is_used_again() -> Result<()> {
    let (house, _) = house().await?;
    let client = house.connect("alice").await?;
    let update = client.prepare("UPDATE products SET stock = stock + 1 WHERE id = $1").await?;
    let run = async |id: i64| client.execute(&update, &[&id as &(dyn ToSql + Sync)]).await;
    let (ran, approved) = tokio::join!(run(1), async { house.approve(house.held().await?.id).await });
    approved?;
    assert_eq!(ran?, 1);
    assert_eq!(run(1).await?, 1, "the same values need nobody");
    let (other, denied) = tokio::join!(run(2), async { house.deny(house.held().await?.id, "no").await });
    denied?;
    assert!(other.is_err());
    house.close().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_revocation_ends_what_is_left_of_a_yes() -> Result<()> {
    let (house, grant) = house().await?;
    let mut psql = Psql::start(&house, "alice").await?;
    psql.send(UPDATE).await?;
    let held = house.held().await?;
    house.approve(held.id).await?;
    psql.expect("UPDATE 1").await?;
    house.engine.revoke(&house.person("bob").await?, grant, None).await?;
    house.becomes(held.id, "void").await?;
    house.deserted().await?;
    house.grant("alice", "shop-writer", Span::minutes(30)).await?;
    let mut psql = Psql::start(&house, "alice").await?;
    is_held(&house, &mut psql, UPDATE).await?;
    house.close().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn within_an_envelope_any_text_runs_and_outside_it_is_held() -> Result<()> {
    let (house, _) = house().await?;
    let mut psql = Psql::start(&house, "alice").await?;
    psql.send(UPDATE).await?;
    let held = house.held().await?;
    let most = held.ceiling.context("no envelope may be given")?;
    assert_eq!((most.rows, most.total, most.uses), (100, 300, 20));
    house.approve_as(held.id, envelope(50, 120)).await?;
    psql.expect("UPDATE 1").await?;
    for inside in [
        "UPDATE products SET stock = stock + 1 WHERE id = 2;",
        "UPDATE products SET price = price + 0 WHERE id BETWEEN 1 AND 40;",
        "BEGIN; ",
        "UPDATE public.products SET stock = 7 WHERE id = 3;",
        "COMMIT;",
    ] {
        psql.send(inside).await?;
    }
    psql.expect("UPDATE 1").await?;
    psql.expect("UPDATE 40").await?;
    psql.expect("UPDATE 1").await?;
    psql.expect("COMMIT").await?;
    psql.send("SELECT 'next' AS state;").await?;
    psql.expect("next").await?;
    assert_eq!(used(&house, held.id)?, (4, 43), "rows that were set aside are given back");
    for outside in [
        "DELETE FROM products WHERE id = 999999;",
        "INSERT INTO products SELECT * FROM products WHERE false;",
        "UPDATE customers SET name = name WHERE id = 1;",
        // More rows than a statement may touch, and so known beforehand.
        "UPDATE products SET stock = stock WHERE id <= 51;",
        "UPDATE products SET stock = (SELECT count(*) FROM orders) WHERE id = 1;",
        "UPDATE products SET stock = 0 WHERE id = 1\\; UPDATE products SET stock = 0 WHERE id = 2;",
        "UPDATE products SET stock = length(pg_sleep(0)::text) WHERE id = 1;",
        "WITH gone AS (DELETE FROM payments RETURNING 1) UPDATE products SET stock = 1 WHERE id = 1;",
        "TRUNCATE payments;",
    ] {
        is_held(&house, &mut psql, outside).await?;
    }
    assert_eq!(used(&house, held.id)?, (4, 43));
    house.close().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_in_all_are_never_exceeded_and_what_exceeds_is_rolled_back() -> Result<()> {
    let (house, _) = house().await?;
    let client = house.connect("alice").await?;
    let before = stock(&house).await?;
    let first = "UPDATE products SET stock = stock + 1 WHERE id = 1";
    let (ran, approved) = tokio::join!(client.batch_execute(first), async {
        let held = house.held().await?;
        house.approve_as(held.id, envelope(60, 100)).await?;
        Ok::<_, anyhow::Error>(held.id)
    });
    ran?;
    let request = approved?;
    client.batch_execute("UPDATE products SET stock = stock + 1 WHERE id <= 60").await?;
    assert_eq!(used(&house, request)?, (2, 61));
    // 39 are left. What nobody could count beforehand shows it when it runs, and leaves nothing behind.
    let volatile = "UPDATE products SET stock = stock + 1 WHERE id <= $1";
    let update = client.prepare(volatile).await?;
    let held = async { house.deny(house.held().await?.id, "too many").await };
    let (ran, denied) = tokio::join!(client.execute(&update, &[&60_i64]), held);
    denied?;
    assert!(ran.is_err());
    assert_eq!(client.execute(&update, &[&39_i64]).await?, 39);
    assert_eq!(used(&house, request)?, (3, 100));
    assert_eq!(stock(&house).await?, before + 3);
    let held = async { house.deny(house.held().await?.id, "spent").await };
    let (ran, denied) = tokio::join!(client.batch_execute(first), held);
    denied?;
    assert!(ran.is_err());
    house.close().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_trigger_that_comes_later_is_outside_the_envelope() -> Result<()> {
    let (house, _) = house().await?;
    let mut psql = Psql::start(&house, "alice").await?;
    psql.send(UPDATE).await?;
    let held = house.held().await?;
    house.approve_as(held.id, envelope(10, 100)).await?;
    psql.expect("UPDATE 1").await?;
    let direct = house.database.direct().await?;
    direct
        .batch_execute(
            "CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN DELETE FROM payments; RETURN NEW; END';
             CREATE TRIGGER note BEFORE UPDATE ON products FOR EACH ROW EXECUTE FUNCTION note()",
        )
        .await?;
    is_held(&house, &mut psql, "UPDATE products SET stock = 1 WHERE id = 1;").await?;
    house.close().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_more_than_one_table_follows_no_envelope_can_be_given() -> Result<()> {
    let (house, _) = house().await?;
    let mut psql = Psql::start(&house, "alice").await?;
    // Its items go with it.
    psql.send("DELETE FROM orders WHERE status = 'duplicate';").await?;
    let held = house.held().await?;
    assert_eq!(held.ceiling, None);
    let refused = house.approve_as(held.id, envelope(50, 100)).await.err().context("it was given")?;
    assert!(refused.to_string().contains("not known for certain"), "{refused}");
    let told = |held: &countersign_engine::RequestView| {
        held.notes.iter().any(|note| note.starts_with("an envelope can't be given for it: "))
    };
    assert!(told(&held), "{:?}", held.notes);
    house.deny(held.id, "no").await?;
    psql.expect("denied by bob").await?;

    let direct = house.database.direct().await?;
    let others = "CREATE VIEW cheap AS SELECT * FROM products; \
                  CREATE TABLE events (id int, at date) PARTITION BY RANGE (at); \
                  CREATE TABLE events_all PARTITION OF events DEFAULT; \
                  GRANT ALL ON cheap, events, events_all TO shop_writer; \
                  GRANT SELECT ON cheap, events, events_all TO shop_looker";
    direct.batch_execute(others).await?;
    for text in ["UPDATE cheap SET stock = 1 WHERE id = 1;", "DELETE FROM events WHERE id = 1;"] {
        psql.send(text).await?;
        let held = house.held().await?;
        assert_eq!(held.ceiling, None, "{text}");
        assert!(told(&held), "{text}: {:?}", held.notes);
        house.deny(held.id, "no").await?;
        psql.expect("denied by bob").await?;
    }
    house.close().await;
    Ok(())
}
