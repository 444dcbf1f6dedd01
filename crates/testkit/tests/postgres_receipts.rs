//! A yes that covers more than one execution: several uses of one text, and envelopes. What is not covered is held.

use std::time::Duration;

use anyhow::{Context as _, Result, anyhow};
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

/// Waits until so many uses and rows are used: rows that were set aside are given back behind the answer.
async fn becomes_used(house: &House, request: RequestId, wanted: (u32, u64)) -> Result<()> {
    let mut changed = house.engine.changed();
    let settled = async {
        while used(house, request)? != wanted {
            changed.changed().await?;
        }
        Ok(())
    };
    let settled = tokio::time::timeout(Duration::from_secs(10), settled).await;
    settled.unwrap_or_else(|_| Err(anyhow!("{:?} are used, not {wanted:?}", used(house, request)?)))
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

/// What an envelope names is that relation and nothing that belongs to it, by whatever way a statement comes there.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_envelope_is_for_the_relation_that_it_names_and_for_none_of_its_relatives() -> Result<()> {
    let (house, _) = house().await?;
    let direct = house.database.direct().await?;
    direct
        .batch_execute(
            "CREATE TABLE visits (id int PRIMARY KEY, n int DEFAULT 0) PARTITION BY RANGE (id);
             CREATE TABLE visits_low PARTITION OF visits FOR VALUES FROM (0) TO (100);
             CREATE TABLE visits_high PARTITION OF visits FOR VALUES FROM (100) TO (200);
             CREATE TABLE desks (id int PRIMARY KEY, n int DEFAULT 0);
             CREATE TABLE lamps (id int PRIMARY KEY, desk int);
             CREATE TABLE chairs (id int, n int DEFAULT 0);
             INSERT INTO visits SELECT g * 10 FROM generate_series(1, 15) g;
             INSERT INTO desks SELECT g FROM generate_series(1, 20) g;
             INSERT INTO lamps SELECT g, g FROM generate_series(1, 20) g;
             INSERT INTO chairs SELECT g FROM generate_series(1, 20) g;
             CREATE VIEW all_desks AS SELECT * FROM desks;
             GRANT ALL ON visits, visits_low, visits_high, desks, lamps, chairs, all_desks TO shop_writer;
             GRANT SELECT ON visits, visits_low, visits_high, desks, lamps, chairs, all_desks TO shop_looker",
        )
        .await?;
    let mut psql = Psql::start(&house, "alice").await?;
    for (asked, said, inside) in [
        (
            "UPDATE visits_low SET n = 1 WHERE id = 10;",
            "UPDATE 1",
            "UPDATE visits_low SET n = 2 WHERE id = 20;",
        ),
        ("DELETE FROM desks WHERE id = 20;", "DELETE 1", "DELETE FROM desks WHERE id = 19;"),
        ("UPDATE chairs SET n = 1 WHERE id = 1;", "UPDATE 1", "UPDATE chairs SET n = 1 WHERE id = 2;"),
    ] {
        psql.send(asked).await?;
        let held = house.held().await?;
        house.approve_as(held.id, envelope(10, 100)).await.with_context(|| asked.to_owned())?;
        psql.expect(said).await?;
        psql.send(inside).await?;
        psql.expect(said).await?;
        becomes_used(&house, held.id, (2, 2)).await.context(inside)?;
    }
    for outside in [
        // The partition by way of its table, another one, and what would move rows to another one.
        "UPDATE visits SET n = 3 WHERE id = 10;",
        "UPDATE visits_high SET n = 3 WHERE id = 110;",
        "INSERT INTO visits VALUES (199);",
        // The same rows by way of a view.
        "DELETE FROM all_desks WHERE id = 18;",
    ] {
        is_held(&house, &mut psql, outside).await?;
    }
    // From here on rows go along, by foreign keys and by a table that inherits: none of them was there to be signed for.
    direct
        .batch_execute(
            "ALTER TABLE lamps ADD FOREIGN KEY (desk) REFERENCES desks ON DELETE CASCADE NOT VALID;
             CREATE TABLE stools () INHERITS (chairs); INSERT INTO stools SELECT g FROM generate_series(1, 5) g;
             GRANT ALL ON stools TO shop_writer; GRANT SELECT ON stools TO shop_looker",
        )
        .await?;
    for text in ["DELETE FROM desks WHERE id = 17;", "UPDATE chairs SET n = 1 WHERE id = 3;"] {
        is_held(&house, &mut psql, text).await?;
    }
    // Nor can one be given for them, once the door has asked the server again how its tables belong together.
    let noticed = async {
        loop {
            psql.send("UPDATE chairs SET n = 1 WHERE id = 3;").await?;
            let held = house.held().await?;
            house.deny(held.id, "no").await?;
            psql.expect("denied by bob").await?;
            if held.ceiling.is_none() {
                return Ok::<_, anyhow::Error>(());
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(10), noticed)
        .await
        .context("an envelope can be given for it")??;
    let lamps = direct.query_one("SELECT count(*) FROM lamps", &[]).await?;
    assert_eq!(lamps.get::<_, i64>(0), 20);
    house.close().await;
    Ok(())
}

/// Runs `text` in so many sessions at once. Who is asked for is told no. How many ran.
async fn at_once(house: &House, sessions: usize, text: &str) -> Result<usize> {
    let mut clients = Vec::new();
    for _ in 0..sessions {
        clients.push(house.connect("alice").await?);
    }
    let running = futures_util::future::join_all(clients.iter().map(|client| client.batch_execute(text)));
    let denying = async {
        loop {
            if let Ok(held) = house.held().await {
                house.deny(held.id, "not this").await?;
            }
        }
    };
    tokio::select! {
        ran = running => Ok(ran.iter().filter(|one| one.is_ok()).count()),
        denied = denying => denied,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sessions_that_use_it_at_the_same_time_use_it_no_more_often() -> Result<()> {
    let (house, _) = house().await?;
    let before = stock(&house).await?;
    let client = house.connect("alice").await?;
    let approving = async {
        let held = house.held().await?;
        house.approve(held.id).await?;
        Ok::<_, anyhow::Error>(held.id)
    };
    let (ran, request) = tokio::join!(client.batch_execute(UPDATE), approving);
    ran?;
    let request = request?;
    // Two uses are left, for six at once.
    let ran = at_once(&house, 6, UPDATE).await?;
    let (uses, _) = used(&house, request)?;
    assert_eq!(stock(&house).await? - before, i64::from(uses));
    assert_eq!(u32::try_from(ran)? + 1, uses);
    assert!(uses <= 3, "{uses} uses of three");
    house.close().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sessions_together_write_no_more_rows_than_an_envelope_gives_in_all() -> Result<()> {
    let (house, _) = house().await?;
    let direct = house.database.direct().await?;
    direct.batch_execute("UPDATE products SET stock = 0").await?;
    let client = house.connect("alice").await?;
    let approving = async {
        let held = house.held().await?;
        house.approve_as(held.id, envelope(40, 100)).await?;
        Ok::<_, anyhow::Error>(held.id)
    };
    let first = "UPDATE products SET stock = stock + 1 WHERE id = 1";
    let (ran, request) = tokio::join!(client.batch_execute(first), approving);
    ran?;
    let request = request?;
    let ran = at_once(&house, 5, "UPDATE products SET stock = stock + 1 WHERE id <= 40").await?;
    let written: i64 = direct.query_one("SELECT sum(stock)::bigint FROM products", &[]).await?.get(0);
    assert_eq!(written, 1 + 40 * i64::try_from(ran)?);
    assert!(written <= 100, "{written} rows of 100");
    assert_eq!(used(&house, request)?.1, u64::try_from(written)?);
    house.close().await;
    Ok(())
}

/// The same value in another format, or as another type, is another parameter: nobody has read it so.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_parameter_in_another_format_is_another_one() -> Result<()> {
    let (house, _) = house().await?;
    let client = house.connect("alice").await?;
    let text = "UPDATE products SET stock = stock + 1 WHERE id = $1";
    let as_bigint = client.prepare_typed(text, &[tokio_postgres::types::Type::INT8]).await?;
    let as_int = client.prepare_typed(text, &[tokio_postgres::types::Type::INT4]).await?;
    let approving = async { house.approve(house.held().await?.id).await };
    let (ran, approved) = tokio::join!(client.execute(&as_bigint, &[&1_i64]), approving);
    approved?;
    assert_eq!(ran?, 1);
    assert_eq!(client.execute(&as_bigint, &[&1_i64]).await?, 1, "as it was approved");
    let denying = async { house.deny(house.held().await?.id, "another one").await };
    let (ran, denied) = tokio::join!(client.execute(&as_int, &[&1_i32]), denying);
    denied.context("it ran")?;
    assert!(ran.is_err());
    house.close().await;
    Ok(())
}

/// A name that stands for something else in this session, and a role that is changed in the same breath.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_session_makes_of_the_text_is_part_of_it() -> Result<()> {
    let (house, _) = house().await?;
    let direct = house.database.direct().await?;
    let name = &house.database.name;
    direct
        .batch_execute(&format!(
            "GRANT TEMPORARY ON DATABASE {name} TO shop_writer; GRANT shop_looker TO shop_writer"
        ))
        .await?;
    let mut psql = Psql::start(&house, "alice").await?;
    psql.send(UPDATE).await?;
    let request = house.held().await?.id;
    house.approve(request).await?;
    psql.expect("UPDATE 1").await?;
    // What comes with it in one message is approved with it or not at all.
    for trick in [
        "CREATE TEMPORARY TABLE products AS SELECT 1 AS id, 1 AS stock",
        "SET search_path = pg_temp, public",
        "PREPARE it AS SELECT 1",
    ] {
        is_held(&house, &mut psql, &format!("{trick}\\; {UPDATE}")).await.context(trick)?;
    }
    // Another role is not to be had at all.
    let before = stock(&house).await?;
    psql.send(&format!("SET ROLE shop_looker\\; {UPDATE}")).await?;
    psql.expect("does not permit `sql.admin`").await?;
    assert_eq!(stock(&house).await?, before);
    psql.send("CREATE TEMPORARY TABLE products AS SELECT 1 AS id, 1 AS stock;").await?;
    house.approve(house.held().await?.id).await?;
    psql.expect("SELECT 1").await?;
    is_held(&house, &mut psql, UPDATE).await.context("a temporary table stands for it")?;
    assert_eq!(used(&house, request)?.0, 1);
    house.close().await;
    Ok(())
}

/// Neither a savepoint nor what comes behind it saves what exceeds its rows.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_exceeds_its_rows_is_not_kept_by_a_savepoint() -> Result<()> {
    let (house, _) = house().await?;
    let direct = house.database.direct().await?;
    let client = house.connect("alice").await?;
    client.batch_execute("BEGIN; SAVEPOINT before").await?;
    let write = "UPDATE products SET stock = 4321 WHERE stock <> 4321 AND id IN (SELECT id FROM products WHERE name = 'chosen')";
    direct.batch_execute("UPDATE products SET name = 'chosen' WHERE id = 1").await?;
    let approving = async {
        let held = house.held().await?;
        // Behind the count, and before the yes.
        direct.batch_execute("UPDATE products SET name = 'chosen' WHERE id IN (2, 3)").await?;
        house.approve(held.id).await
    };
    let (ran, approved) = tokio::join!(client.batch_execute(write), approving);
    approved?;
    let error = ran.err().context("it stands")?;
    assert!(
        error.to_string().contains("db error")
            && error.as_db_error().is_some_and(|error| error.message().contains("1 were approved")),
        "{error:?}"
    );
    assert!(client.batch_execute("RELEASE before").await.is_err(), "the transaction is aborted");
    client.batch_execute("ROLLBACK TO before; COMMIT").await?;
    let stands: i64 = direct.query_one("SELECT count(*) FROM products WHERE stock = 4321", &[]).await?.get(0);
    assert_eq!(stands, 0);
    house.close().await;
    Ok(())
}
