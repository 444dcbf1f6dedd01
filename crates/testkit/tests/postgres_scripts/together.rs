//! Steps of a script that are sent together, in one message of several statements: `psql -c`, and what many tools do.

use anyhow::{Context as _, Result, ensure};
use countersign_core::RequestId;
use countersign_core::request::{Fate, Outcome, Transaction};
use countersign_testkit::{House, Psql};

use super::{ONE, THREE, TWO, approved, changed, ended, house, is_held, put_forward, shown, three};

const COMMITTED: Option<Transaction> = Some(Transaction::Over(Fate::Committed));
const ROLLED_BACK: Option<Transaction> = Some(Transaction::Over(Fate::RolledBack));

const WROTE: Option<Outcome> = Some(Outcome::Done { rows: Some(3) });

/// What became of the transaction of each step.
async fn fates(house: &House, request: RequestId) -> Result<Vec<Option<Transaction>>> {
    Ok(shown(house, request).await?.steps.iter().map(|step| step.transaction).collect())
}

/// How each step ended, once nobody is connected any more.
async fn outcomes(house: &House, request: RequestId) -> Result<Vec<String>> {
    house.deserted().await?;
    Ok(ended(&shown(house, request).await?.steps))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn they_run_as_the_steps_that_they_are() -> Result<()> {
    let (house, _) = house().await?;
    let request = approved(&house, &three()).await?;
    // psql sends what stands behind -c as one message.
    let (status, said) = Psql::run_file(&house, "alice", "", &["-c", &three()]).await?;
    assert_eq!(status, 0, "{said}");
    assert_eq!(said.matches("UPDATE 1").count(), 3, "{said}");
    ensure!(
        said.contains("this begins the approved script") && said.contains("the last statement"),
        "{said}"
    );
    assert_eq!(changed(&house).await?, [1, 2, 3]);
    assert_eq!(outcomes(&house, request).await?, ["1", "1", "1"]);
    assert_eq!(fates(&house, request).await?, [COMMITTED; 3]);
    // Once is once.
    let mut psql = Psql::start(&house, "alice").await?;
    is_held(&house, &mut psql, "UPDATE products SET stock = 1001 WHERE id = 1\\; SELECT 1;").await?;
    house.close().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn some_of_them_follow_what_was_sent_by_itself() -> Result<()> {
    let (house, _) = house().await?;
    let request = approved(&house, &three()).await?;
    let client = house.connect("alice").await?;
    client.batch_execute(ONE).await?;
    assert_eq!(changed(&house).await?, [1]);
    client.batch_execute(&format!("{TWO}{THREE}")).await?;
    assert_eq!(changed(&house).await?, [1, 2, 3]);
    assert_eq!(client.query_one("SELECT 7", &[]).await?.get::<_, i32>(0), 7);
    drop(client);
    assert_eq!(outcomes(&house, request).await?, ["1", "1", "1"]);
    house.close().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_one_that_fails_nothing_stands() -> Result<()> {
    let (house, _) = house().await?;
    let text = format!("{ONE} INSERT INTO products SELECT * FROM products WHERE id = 1; {TWO}");
    let request = approved(&house, &text).await?;
    let client = house.connect("alice").await?;
    let error = client.batch_execute(&text).await.err().context("it ran")?;
    assert_eq!(error.code().map(|code| code.code()), Some("23505"), "{error:?}");
    assert_eq!(changed(&house).await?, [0_i64; 0]);
    house.becomes(request, "void").await?;
    // The session goes on, and in no transaction.
    client.batch_execute("BEGIN; ROLLBACK").await?;
    drop(client);
    assert_eq!(outcomes(&house, request).await?, ["1", "23505", "-"]);
    assert_eq!(fates(&house, request).await?[0], ROLLED_BACK);
    house.close().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_server_refuses_to_commit_does_not_stand() -> Result<()> {
    let (house, _) = house().await?;
    let direct = house.database.direct().await?;
    direct
        .batch_execute(
            "CREATE TABLE shelves (id bigint PRIMARY KEY, beside bigint REFERENCES shelves DEFERRABLE INITIALLY DEFERRED);
             GRANT ALL ON shelves TO shop_writer; GRANT SELECT ON shelves TO shop_looker",
        )
        .await?;
    let text = format!("{ONE} INSERT INTO shelves VALUES (1, 99);");
    let request = approved(&house, &text).await?;
    let client = house.connect("alice").await?;
    let error = client.batch_execute(&text).await.err().context("it stands")?;
    assert_eq!(error.code().map(|code| code.code()), Some("23503"), "{error:?}");
    assert_eq!(changed(&house).await?, [0_i64; 0]);
    drop(client);
    assert_eq!(outcomes(&house, request).await?, ["1", "23503"]);
    assert_eq!(fates(&house, request).await?[0], ROLLED_BACK);
    house.close().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn more_rows_than_were_counted_undo_all_of_them() -> Result<()> {
    let (house, _) = house().await?;
    let text = format!("{ONE} UPDATE orders SET status = 'cancelled' WHERE status = 'duplicate'; {TWO}");
    let request = approved(&house, &text).await?;
    let counted = shown(&house, request).await?.steps[1].rows.bound.context("it is not bounded")?;
    let direct = house.database.direct().await?;
    direct
        .batch_execute(
            "UPDATE orders SET status = 'duplicate' WHERE id = (SELECT min(id) FROM orders WHERE status <> 'duplicate')",
        )
        .await?;
    let client = house.connect("alice").await?;
    let error = client.batch_execute(&text).await.err().context("it ran")?;
    let error = error.as_db_error().context("no words")?;
    ensure!(error.message().contains(&format!("but {counted} were approved")), "{error:?}");
    assert_eq!(changed(&house).await?, [0_i64; 0]);
    let left = "SELECT count(*) FROM orders WHERE status = 'duplicate'";
    assert_eq!(u64::try_from(direct.query_one(left, &[]).await?.get::<_, i64>(0))?, counted + 1);
    drop(client);
    assert_eq!(outcomes(&house, request).await?, ["1", "beyond", "-"]);
    assert_eq!(fates(&house, request).await?[0], ROLLED_BACK);
    house.close().await;
    Ok(())
}

/// Its own transaction is the client's, also where it brings definitions.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_migration_in_one_message_makes_what_it_then_works_on() -> Result<()> {
    let (house, _) = house().await?;
    let direct = house.database.direct().await?;
    direct.batch_execute("GRANT CREATE ON SCHEMA public TO shop_writer").await?;
    let steps = |table: &str| {
        format!(
            "CREATE TABLE {table} (id bigint PRIMARY KEY, stock int);
             INSERT INTO {table} SELECT id, stock FROM products WHERE id < 4;
             ALTER TABLE {table} ADD COLUMN at timestamptz;
             UPDATE {table} SET at = now();"
        )
    };
    for (table, text) in [
        ("plain", steps("plain")),
        ("settled", format!("SET search_path = public; {}", steps("settled"))),
        ("own", format!("BEGIN; {} COMMIT;", steps("own"))),
    ] {
        let request = approved(&house, &text).await?;
        let client = house.connect("alice").await?;
        let ran = tokio::time::timeout(std::time::Duration::from_secs(10), client.batch_execute(&text));
        ran.await.with_context(|| format!("{table} is held"))?.with_context(|| table.to_owned())?;
        let kept = format!("SELECT count(*) FROM {table} WHERE at IS NOT NULL");
        assert_eq!(direct.query_one(&kept, &[]).await?.get::<_, i64>(0), 3);
        drop(client);
        house.deserted().await?;
        let view = shown(&house, request).await?;
        assert!(view.steps.iter().all(|step| step.outcome.is_some()), "{table}: {:?}", ended(&view.steps));
        let wrote: Vec<_> = view.steps.iter().filter(|step| step.outcome == WROTE).collect();
        assert_eq!(wrote.len(), 2, "{table}: {:?}", ended(&view.steps));
        assert!(wrote.iter().all(|step| step.transaction == COMMITTED), "{table}: {wrote:?}");
    }
    house.close().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_transaction_in_the_message_is_left_as_the_client_left_it() -> Result<()> {
    let (house, _) = house().await?;
    let text = format!("BEGIN; {ONE} SAVEPOINT here; {TWO} ROLLBACK TO here;");
    let request = approved(&house, &text).await?;
    let client = house.connect("alice").await?;
    client.batch_execute(&text).await?;
    assert_eq!(changed(&house).await?, [0_i64; 0], "it is open");
    client.batch_execute("COMMIT").await?;
    assert_eq!(changed(&house).await?, [1]);
    drop(client);
    assert_eq!(outcomes(&house, request).await?, ["done", "1", "done", "1", "done"]);
    assert_eq!(fates(&house, request).await?[3], ROLLED_BACK);
    house.close().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_step_among_them_holds_all_of_them() -> Result<()> {
    let (house, _) = house().await?;
    let together = |texts: &[&str]| format!("{};", texts.join("").trim_end_matches(';').replace(';', "\\;"));
    let request = approved(&house, &three()).await?;
    for (texts, why) in [
        (&[ONE, "DELETE FROM payments;"][..], "what was sent together with it is not what follows"),
        (&[ONE, TWO, THREE, "SELECT 1;"][..], "what was sent together with it is not what follows"),
        (&[TWO, THREE][..], ""),
        (&["SELECT 1;", ONE, TWO][..], ""),
    ] {
        let mut psql = Psql::start(&house, "alice").await?;
        psql.send(&together(texts)).await?;
        psql.expect(why).await?;
        house.deny(house.held().await?.id, "not this").await?;
        psql.expect("denied by bob").await?;
        psql.kill().await?;
    }
    assert_eq!(changed(&house).await?, [0_i64; 0]);
    assert_eq!(shown(&house, request).await?.state, "approved");
    // Some in a transaction and some not: of that it can't be said that all of it stands, or nothing.
    let text = format!("{ONE} BEGIN; {TWO} COMMIT;");
    let mixed = approved(&house, &text).await?;
    let mut psql = Psql::start(&house, "alice").await?;
    psql.send(&together(&[ONE, "BEGIN;", TWO, "COMMIT;"])).await?;
    psql.expect("some are in a transaction of their own").await?;
    house.deny(house.held().await?.id, "not this").await?;
    psql.expect("denied by bob").await?;
    assert_eq!(changed(&house).await?, [0_i64; 0]);
    assert_eq!(shown(&house, mixed).await?.state, "approved");
    house.close().await;
    Ok(())
}

/// While the first of them works, somebody else changes what the second one works on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_step_whose_ground_moves_while_those_before_it_run_undoes_them() -> Result<()> {
    let (house, _) = house().await?;
    let text = format!("UPDATE customers SET name = 'moved' WHERE id = 1; {ONE}");
    let request = approved(&house, &text).await?;
    let direct = house.database.direct().await?;
    direct.batch_execute("BEGIN; SELECT FROM customers WHERE id = 1 FOR UPDATE").await?;
    let client = house.connect("alice").await?;
    let ran = tokio::spawn(async move { (client.batch_execute(&text).await, client) });
    let watch = house.database.direct().await?;
    let waits = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE 'UPDATE customers%'";
    while watch.query_one(waits, &[]).await?.get::<_, i64>(0) == 0 {
        tokio::task::yield_now().await;
    }
    direct.batch_execute("ALTER TABLE products ADD COLUMN more int; COMMIT").await?;
    let (ran, client) = ran.await?;
    let error = ran.err().context("it ran")?;
    let message = error.as_db_error().context("no words")?.message().to_owned();
    ensure!(message.starts_with("statement 2 of those that were sent together"), "{message}");
    let moved = "SELECT count(*) FROM customers WHERE name = 'moved'";
    assert_eq!(watch.query_one(moved, &[]).await?.get::<_, i64>(0), 0);
    house.becomes(request, "void").await?;
    drop(client);
    assert_eq!(outcomes(&house, request).await?, ["1", "-"]);
    assert_eq!(fates(&house, request).await?[0], ROLLED_BACK);
    house.close().await;
    Ok(())
}

/// What stops between two of them stops all of them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_yes_that_ends_between_them_undoes_them() -> Result<()> {
    let (house, grant) = house().await?;
    let text = format!("UPDATE customers SET name = 'moved' WHERE id = 1; {ONE}");
    let request = put_forward(&house, &text).await??;
    house.approve(request).await?;
    let direct = house.database.direct().await?;
    direct.batch_execute("BEGIN; SELECT FROM customers WHERE id = 1 FOR UPDATE").await?;
    let client = house.connect("alice").await?;
    let ran = tokio::spawn(async move { client.batch_execute(&text).await });
    let watch = house.database.direct().await?;
    let waits = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE 'UPDATE customers%'";
    while watch.query_one(waits, &[]).await?.get::<_, i64>(0) == 0 {
        tokio::task::yield_now().await;
    }
    house.engine.revoke(&house.person("bob").await?, grant, None).await?;
    assert!(ran.await?.is_err());
    direct.batch_execute("COMMIT").await?;
    house.becomes(request, "void").await?;
    house.deserted().await?;
    assert_eq!(changed(&house).await?, [0_i64; 0]);
    let moved = "SELECT count(*) FROM customers WHERE name = 'moved'";
    assert_eq!(watch.query_one(moved, &[]).await?.get::<_, i64>(0), 0);
    house.close().await;
    Ok(())
}
