//! What drivers do: the extended protocol, pipelines, COPY, cancels, errors; and what hostile clients try.

use std::time::Duration;

use anyhow::{Context as _, Result};
use countersign_core::Span;
use countersign_engine::views::{ParameterView, RequestFilter, RequestView};
use countersign_testkit::House;
use countersign_wire::postgres::binary;
use futures_util::{SinkExt as _, StreamExt as _, TryStreamExt as _};
use tokio_postgres::error::SqlState;
use tokio_postgres::{Client, NoTls, SimpleQueryMessage};

async fn writer() -> Result<(House, Client)> {
    let house = House::open().await?;
    house.grant("alice", "shop-writer", Span::minutes(30)).await?;
    let client = house.connect("alice").await?;
    Ok((house, client))
}

fn code(error: &tokio_postgres::Error) -> &SqlState {
    error.code().unwrap_or(&SqlState::SUCCESSFUL_COMPLETION)
}

fn count(rows: &[tokio_postgres::Row]) -> i64 {
    rows.first().map_or(-1, |row| row.get(0))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn parameters_are_part_of_what_is_approved() -> Result<()> {
    let (house, client) = writer().await?;
    let delete = client.prepare("DELETE FROM orders WHERE status = $1 AND id > $2").await?;
    let (status, above) = ("duplicate", 24_006_i64);
    let values: [&(dyn tokio_postgres::types::ToSql + Sync); 2] = [&status, &above];
    let running = client.execute(&delete, &values);
    let approving = async {
        let held = house.held().await?;
        assert_eq!(held.text.as_deref(), Some("DELETE FROM orders WHERE status = $1 AND id > $2"));
        // The driver left both types to the server.
        assert_eq!(shown(&held), [(25, true, "duplicate".into()), (20, true, "24006".into())]);
        assert_eq!(held.rows.as_ref().and_then(|rows| rows.count), Some(6), "{:?}", held.notes);
        house.approve(held.id).await
    };
    let (deleted, approved) = tokio::join!(running, approving);
    approved?;
    assert_eq!(deleted?, 6);
    // The next execution of the same prepared statement is another action.
    let values: [&(dyn tokio_postgres::types::ToSql + Sync); 2] = [&status, &0_i64];
    let running = client.execute(&delete, &values);
    let denying = async { house.deny(house.held().await?.id, "enough").await };
    let (denied, answered) = tokio::join!(running, denying);
    answered?;
    let denied = denied.err().context("it ran")?;
    assert_eq!(denied.as_db_error().map(|error| error.message()), Some("denied by bob: enough"));
    assert_eq!(count(&client.query("SELECT count(*) FROM orders WHERE status = 'duplicate'", &[]).await?), 6);
    house.close().await;
    Ok(())
}

/// Type, whether it came in binary form, and what an approver reads.
fn shown(held: &RequestView) -> Vec<(u32, bool, String)> {
    let read = |one: &ParameterView| {
        let bytes = one.bytes.clone().unwrap_or_default();
        let text =
            if one.binary { binary::text(one.written_like, &bytes) } else { String::from_utf8(bytes).ok() };
        (one.type_id, one.binary, text.unwrap_or_default())
    };
    held.parameters.iter().map(read).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn types_that_a_client_leaves_open_are_known_when_it_waits() -> Result<()> {
    let house = House::open().await?;
    house.grant("alice", "shop-writer", Span::minutes(30)).await?;
    let credential = house.credential("alice").await?;
    let script = tempfile::NamedTempFile::new()?;
    std::fs::write(&script, "DELETE FROM orders WHERE status = :status AND id > :above;\n")?;
    // pgbench names no types and describes nothing: parse, bind and execute come in one go.
    let mut pgbench = tokio::process::Command::new("pgbench");
    pgbench.args(["-n", "-t", "1", "-M", "extended", "-D", "status=duplicate", "-D", "above=24006", "-f"]);
    pgbench.arg(script.path()).args(["-h", "127.0.0.1", "-p", &house.door.port().to_string()]);
    pgbench.args(["-U", &credential.user, "shop"]).env("PGPASSWORD", credential.password.as_str());
    let approving = async {
        let held = house.held().await?;
        assert_eq!(shown(&held), [(25, false, "duplicate".into()), (20, false, "24006".into())]);
        house.approve(held.id).await
    };
    let (ran, approved) = tokio::join!(pgbench.output(), approving);
    approved?;
    let ran = ran?;
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    let direct = house.database.direct().await?;
    let left = direct.query("SELECT count(*) FROM orders WHERE status = 'duplicate'", &[]).await?;
    assert_eq!(count(&left), 6);
    house.close().await;
    Ok(())
}

/// A value in binary form, whatever its type.
#[derive(Debug)]
struct Raw(&'static [u8]);

impl tokio_postgres::types::ToSql for Raw {
    fn to_sql(
        &self,
        _: &tokio_postgres::types::Type,
        out: &mut bytes::BytesMut,
    ) -> Result<tokio_postgres::types::IsNull, Box<dyn std::error::Error + Sync + Send>> {
        out.extend_from_slice(self.0);
        Ok(tokio_postgres::types::IsNull::No)
    }

    fn accepts(_: &tokio_postgres::types::Type) -> bool {
        true
    }

    tokio_postgres::types::to_sql_checked!();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn types_that_users_made_are_named_and_read() -> Result<()> {
    let (house, client) = writer().await?;
    let direct = house.database.direct().await?;
    direct
        .batch_execute(
            "CREATE TYPE mood AS ENUM ('calm', 'loud');
             CREATE DOMAIN rank AS int4 CHECK (VALUE > 0);
             CREATE DOMAIN grade AS rank CHECK (VALUE < 10);
             CREATE TYPE pair AS (a int4, b int4);
             CREATE TABLE notes (mood mood, grade grade, moods mood[], pair pair);
             GRANT SELECT, INSERT ON notes TO shop_writer, shop_looker",
        )
        .await?;
    // The catalogue may be a second old.
    tokio::time::sleep(Duration::from_millis(1_200)).await;
    let values: [&(dyn tokio_postgres::types::ToSql + Sync); 4] =
        [&Raw(b"calm"), &Raw(&[0, 0, 0, 7]), &Raw(&[0; 12]), &Raw(&[0; 4])];
    let insert = client.prepare("INSERT INTO notes VALUES ($1, $2, $3, $4)");
    let asking = async {
        // Finding out about types of its own, the driver may ask what is held.
        let insert = insert.await?;
        client.execute(&insert, &values).await
    };
    let looking = async {
        loop {
            let held = house.held().await?;
            if !held.verbs.iter().any(|verb| verb == "insert") {
                house.approve(held.id).await?;
                continue;
            }
            let named: Vec<Option<String>> =
                held.parameters.iter().map(|one| one.type_name.clone()).collect();
            let named: Vec<&str> = named.iter().flatten().map(String::as_str).collect();
            assert_eq!(named, ["public.mood", "public.grade", "public.mood[]", "public.pair"]);
            let read: Vec<String> = shown(&held).into_iter().map(|(_, _, text)| text).collect();
            assert_eq!(read, ["calm", "7", "", ""]);
            return house.deny(held.id, "enough").await;
        }
    };
    let (asked, looked) = tokio::join!(asking, looking);
    looked?;
    assert!(asked.is_err());
    house.close().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_is_asked_for_what_the_server_has_refused_already() -> Result<()> {
    let house = House::open().await?;
    house.grant("alice", "shop-writer", Span::minutes(30)).await?;
    let credential = house.credential("alice").await?;
    let script = tempfile::NamedTempFile::new()?;
    std::fs::write(&script, "DELETE FROM nowhere WHERE id = :id;\n")?;
    let mut pgbench = tokio::process::Command::new("pgbench");
    pgbench.args(["-n", "-t", "1", "-M", "extended", "-D", "id=1", "-f"]).arg(script.path());
    pgbench.args(["-h", "127.0.0.1", "-p", &house.door.port().to_string(), "-U", &credential.user, "shop"]);
    let ran = pgbench.env("PGPASSWORD", credential.password.as_str()).output().await?;
    let said = String::from_utf8_lossy(&ran.stderr).into_owned();
    assert!(said.contains("relation \"nowhere\" does not exist"), "{said}");
    let bob = house.person("bob").await?;
    let filter = RequestFilter { state: Some("withdrawn"), ..RequestFilter::default() };
    assert_eq!(house.engine.request_views(&bob, filter).len(), 0);
    house.close().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pipeline_keeps_its_order_while_something_in_it_waits() -> Result<()> {
    let (house, client) = writer().await?;
    // Prepared before, each is sent the first time that it is polled, and so in this order.
    let counting = client.prepare("SELECT count(*) FROM products").await?;
    let updating = client.prepare("UPDATE products SET stock = 7 WHERE id = 3").await?;
    let reading = client.prepare("SELECT stock::int8 FROM products WHERE id = 3").await?;
    let first = client.query(&counting, &[]);
    let second = client.execute(&updating, &[]);
    let third = client.query(&reading, &[]);
    let approving = async { house.approve(house.held().await?.id).await };
    let (first, second, third, approved) = tokio::join!(first, second, third, approving);
    approved?;
    assert_eq!((count(&first?), second?, count(&third?)), (240, 1, 7));
    house.close().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_write_never_touches_more_rows_than_were_approved() -> Result<()> {
    let (house, client) = writer().await?;
    let direct = house.database.direct().await?;
    let extended = client.execute("DELETE FROM orders WHERE status = 'duplicate'", &[]);
    let growing = async {
        let held = house.held().await?;
        direct.batch_execute("INSERT INTO orders (id, customer_id, status, total, created_at) VALUES (99001, 1, 'duplicate', 1, now())").await?;
        house.approve(held.id).await
    };
    let (result, grown) = tokio::join!(extended, growing);
    grown?;
    let error = result.err().context("it ran")?;
    let message = error.as_db_error().map(|error| error.message().to_owned()).unwrap_or_default();
    assert_eq!(message, "it would have touched 13 rows, but 12 were approved; it was rolled back");
    let simple = client.simple_query("DELETE FROM orders WHERE status = 'duplicate'");
    let growing = async {
        let held = house.held().await?;
        direct.batch_execute("INSERT INTO orders (id, customer_id, status, total, created_at) VALUES (99002, 1, 'duplicate', 1, now())").await?;
        house.approve(held.id).await
    };
    let (result, grown) = tokio::join!(simple, growing);
    grown?;
    let message = result.err().and_then(|error| error.as_db_error().map(|error| error.message().to_owned()));
    assert_eq!(
        message.as_deref(),
        Some("it would have touched 14 rows, but 13 were approved; it was rolled back")
    );
    let left = direct.query("SELECT count(*) FROM orders WHERE status = 'duplicate'", &[]).await?;
    assert_eq!(count(&left), 14);
    let simple = client.simple_query("DELETE FROM orders WHERE status = 'duplicate' RETURNING id");
    let approving = async { house.approve(house.held().await?.id).await };
    let (result, approved) = tokio::join!(simple, approving);
    approved?;
    let rows = result?.iter().filter(|message| matches!(message, SimpleQueryMessage::Row(_))).count();
    assert_eq!(rows, 14);
    house.close().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cancel_from_a_driver_reaches_what_waits_and_what_runs() -> Result<()> {
    let (house, client) = writer().await?;
    let cancel = client.cancel_token();
    let waiting = client.execute("DELETE FROM payments", &[]);
    let cancelling = async {
        house.held().await?;
        Ok::<_, anyhow::Error>(cancel.cancel_query(NoTls).await?)
    };
    let (result, cancelled) = tokio::join!(waiting, cancelling);
    cancelled?;
    assert_eq!(code(&result.err().context("it ran")?), &SqlState::QUERY_CANCELED);
    let running =
        client.query("SELECT count(*) FROM orders a, orders b, orders c WHERE a.id + b.id = c.id * 3", &[]);
    let cancelling = async {
        tokio::time::sleep(Duration::from_millis(500)).await;
        cancel.cancel_query(NoTls).await
    };
    let (result, cancelled) = tokio::join!(running, cancelling);
    cancelled?;
    assert_eq!(code(&result.err().context("it ran")?), &SqlState::QUERY_CANCELED);
    assert_eq!(count(&client.query("SELECT 1::int8", &[]).await?), 1);
    house.close().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn errors_of_the_server_arrive_with_all_their_fields() -> Result<()> {
    let (house, client) = writer().await?;
    let error = client.simple_query("SELECT 1/0").await.err().context("no error")?;
    assert_eq!(code(&error), &SqlState::DIVISION_BY_ZERO);
    let error = client.simple_query("SELECT nothing FROM orders").await.err().context("no error")?;
    let error = error.as_db_error().context("no server error")?;
    assert_eq!(error.code(), &SqlState::UNDEFINED_COLUMN);
    assert!(error.position().is_some());
    // A text that does not parse is nobody's to approve.
    for wrong in ["SELEC 1", "SELECT 'open"] {
        let error = client.simple_query(wrong).await.err().context("no error")?;
        assert_eq!(code(&error), &SqlState::SYNTAX_ERROR, "{wrong}");
        let error = client.query(wrong, &[]).await.err().context("no error")?;
        assert_eq!(code(&error), &SqlState::SYNTAX_ERROR, "{wrong}");
    }
    client.simple_query("BEGIN").await?;
    assert!(client.simple_query("SELEC 1").await.is_err());
    let error = client.simple_query("SELECT 1").await.err().context("the transaction goes on")?;
    assert_eq!(code(&error), &SqlState::IN_FAILED_SQL_TRANSACTION);
    client.simple_query("ROLLBACK").await?;
    assert_eq!(client.simple_query("").await?.len(), 1, "an empty query is lawful");
    house.close().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn large_results_and_copies_stream_through() -> Result<()> {
    let (house, client) = writer().await?;
    let rows = client
        .query_raw("SELECT a.id, b.name FROM orders a, products b WHERE b.id <= 20", Vec::<i32>::new())
        .await?
        .try_fold(0_u64, |sum, _| async move { Ok(sum + 1) })
        .await?;
    assert_eq!(rows, 20 * 24_012);
    let long = client.query("SELECT repeat('x', 20000000)", &[]).await?;
    assert_eq!(long.first().map(|row| row.get::<_, String>(0).len()), Some(20_000_000));
    let mut copied = 0;
    // A COPY is no provable read: it is held like any other call, and streams once it may.
    let approving = async { house.approve(house.held().await?.id).await };
    let (stream, approved) = tokio::join!(client.copy_out("COPY orders TO STDOUT"), approving);
    approved?;
    let mut stream = Box::pin(stream?);
    while let Some(chunk) = stream.next().await {
        copied += chunk?.iter().filter(|byte| **byte == b'\n').count();
    }
    assert_eq!(copied, 24_012);
    house.close().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_in_that_policy_allows_streams_too() -> Result<()> {
    let house = House::with(|files| {
        for text in files.values_mut() {
            *text = text.replace("impact = \"high\"", "impact = \"low\"");
        }
    })
    .await?;
    house.grant("alice", "shop-writer", Span::minutes(30)).await?;
    let client = house.connect("alice").await?;
    let sink = client.copy_in("COPY products FROM STDIN").await?;
    let mut sink = Box::pin(sink);
    for id in 1_000..1_500 {
        sink.send(bytes::Bytes::from(format!("{id}\tThing {id}\t1.50\t3\n"))).await?;
    }
    assert_eq!(sink.as_mut().finish().await?, 500);
    assert_eq!(count(&client.query("SELECT count(*) FROM products", &[]).await?), 740);
    house.close().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_only_looks_like_a_read_is_held() -> Result<()> {
    let (house, client) = writer().await?;
    let direct = house.database.direct().await?;
    direct
        .batch_execute(
            "CREATE FUNCTION peek(bigint) RETURNS bigint LANGUAGE sql AS 'UPDATE products SET stock = 0 WHERE id = 1 RETURNING id';
             GRANT CREATE ON SCHEMA public TO shop_writer",
        )
        .await?;
    // The catalogue may be a second old.
    tokio::time::sleep(Duration::from_millis(1_200)).await;
    for tricky in [
        "SELECT peek(1)",
        "WITH gone AS (DELETE FROM payments RETURNING *) SELECT count(*) FROM gone",
        "SELECT pg_notify('a', 'b')",
        "SELECT * FROM orders LIMIT 1 FOR UPDATE",
        "EXPLAIN ANALYZE DELETE FROM payments",
        "SELECT set_config('search_path', 'evil', false)",
        "DO $$ BEGIN DELETE FROM payments; END $$",
        "PREPARE later AS DELETE FROM payments",
        "SELECT 1; DELETE FROM payments",
    ] {
        let running = client.simple_query(tricky);
        let denying = async {
            let held = house.held().await?;
            assert_eq!(held.text.as_deref(), Some(tricky));
            house.deny(held.id, "no").await
        };
        let (result, denied) = tokio::join!(running, denying);
        denied.with_context(|| tricky.to_owned())?;
        assert!(result.is_err(), "{tricky}");
    }
    let stock = direct.query("SELECT stock::int8 FROM products WHERE id = 1", &[]).await?;
    assert_ne!(count(&stock), 0);
    house.close().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn statements_prepared_by_sql_are_judged_when_they_are_executed() -> Result<()> {
    let (house, client) = writer().await?;
    let preparing = client.simple_query("PREPARE later AS DELETE FROM orders WHERE id = $1");
    let approving = async { house.approve(house.held().await?.id).await };
    let (prepared, approved) = tokio::join!(preparing, approving);
    approved?;
    prepared?;
    let executing = client.simple_query("EXECUTE later(24001)");
    let denying = async {
        let held = house.held().await?;
        assert!(held.verbs.iter().any(|verb| verb == "delete"), "{:?}", held.verbs);
        house.deny(held.id, "no").await
    };
    let (executed, denied) = tokio::join!(executing, denying);
    denied?;
    assert!(executed.is_err());
    house.close().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_approved_is_void_when_it_means_something_else() -> Result<()> {
    let (house, client) = writer().await?;
    let direct = house.database.direct().await?;
    let running = client.simple_query("DELETE FROM orders WHERE status = 'duplicate'");
    let changing = async {
        let held = house.held().await?;
        direct.batch_execute("ALTER TABLE orders ADD COLUMN note text").await?;
        house.approve(held.id).await?;
        house.becomes(held.id, "void").await?;
        // It is asked for anew, as what it means now.
        let again = house.held().await?;
        assert_ne!(again.id, held.id);
        house.approve(again.id).await
    };
    let (result, changed) = tokio::join!(running, changing);
    changed?;
    result?;
    house.close().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn strangers_learn_nothing_and_hostile_starts_are_refused() -> Result<()> {
    let house = House::open().await?;
    let credential = house.credential("alice").await?;
    let attempt = |user: &str, password: &str, database: &str, options: &str| {
        let mut config = tokio_postgres::Config::new();
        config.host("127.0.0.1").port(house.door.port()).user(user).password(password).dbname(database);
        if !options.is_empty() {
            config.options(options);
        }
        async move { config.connect(NoTls).await.err() }
    };
    let mut sentences = Vec::new();
    for (user, password, database) in [
        ("alice", "wrong", "shop"),
        ("nobody", "wrong", "shop"),
        ("alice", "wrong", "nowhere"),
        ("a' OR 1", "x", "shop"),
    ] {
        let error = attempt(user, password, database, "").await.context("let in")?;
        let error = error.as_db_error().context("no words")?;
        assert_eq!(error.code(), &SqlState::INVALID_PASSWORD);
        sentences.push(error.message().replace(user, "X"));
    }
    sentences.dedup();
    assert_eq!(sentences.len(), 1, "{sentences:?}");
    house.grant("alice", "shop-writer", Span::minutes(30)).await?;
    for options in ["-c session_preload_libraries=x", "-c role=scratch_admin", "--log_statement=all"] {
        let error = attempt("alice", &credential.password, "shop", options).await.context("let in")?;
        let words = error.as_db_error().map(|error| error.message());
        assert_eq!(words, Some("role `shop-writer` does not permit `sql.admin` on `shop`"), "{options}");
    }
    house.close().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_takes_more_than_their_role_lets_them() -> Result<()> {
    let house = House::with(|files| {
        if let Some(roles) = files.get_mut("roles.toml") {
            roles.push_str("\n[role.shop-writer.budget]\ngrant = { rows = 10 }\n");
        }
    })
    .await?;
    house.grant("alice", "shop-writer", Span::minutes(30)).await?;
    let client = house.connect("alice").await?;
    client.batch_execute("BEGIN").await?;
    let six = "SELECT id FROM products ORDER BY id LIMIT 6";
    assert_eq!(client.query(six, &[]).await?.len(), 6);
    // What reaches the limit runs to its end.
    assert_eq!(client.query(six, &[]).await?.len(), 6);
    let refused = client.query(six, &[]).await.err().context("it ran")?;
    let words = refused.as_db_error().context("no error of the server's")?;
    assert_eq!(words.code(), &SqlState::CONFIGURATION_LIMIT_EXCEEDED);
    assert_eq!(words.message(), "the budget of your grant is used up: 12 of 10 rows");
    // Nobody is left in the middle of a transaction, and another session has the same grant.
    client.batch_execute("ROLLBACK").await?;
    let other = house.connect("alice").await?;
    let refused = other.simple_query("SELECT 1").await.err().context("it ran")?;
    assert_eq!(code(&refused), &SqlState::CONFIGURATION_LIMIT_EXCEEDED);
    other.batch_execute("SET work_mem = '5MB'").await?;
    Ok(())
}
