//! The same text, another meaning: search paths, encodings and quotes that are not what they were.

use anyhow::{Context as _, Result};

use crate::raw::{Raw, completed, errors};
use crate::{duplicates, free_calls, is_free, is_held, number, with_sandbox};

/// What is free in the sandbox and held outside of it.
const DELETE: &str = "DELETE FROM orders WHERE status = 'duplicate'";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_search_path_that_was_rolled_back_is_no_longer_believed() -> Result<()> {
    let house = with_sandbox(|_| {}).await?;
    let mut raw = Raw::start(&house, "alice", &[]).await?;
    for text in ["BEGIN", "SET search_path = sandbox", "SAVEPOINT a", "ROLLBACK TO a", "SELECT 1"] {
        is_free(raw.query(text)).await?;
    }
    is_free(raw.query("ROLLBACK")).await?;
    let (held, _) = is_held(&house, raw.query(DELETE)).await?;
    assert!(held.relations.iter().any(|one| one.name == "public.orders"), "{:?}", held.relations);
    assert_eq!(duplicates(&house).await?, 12);
    house.close().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_that_fails_takes_its_search_path_with_it() -> Result<()> {
    let house = with_sandbox(|_| {}).await?;
    let mut raw = Raw::start(&house, "alice", &[]).await?;
    let batch = raw.run("SET search_path = sandbox").run("SELECT 1").run("SELECT 1/0").sync();
    assert_eq!(errors(&batch.ready().await?), ["division by zero"]);
    is_held(&house, raw.query(DELETE)).await?;
    // One that succeeds keeps it, and a local one ends with its batch.
    is_free(raw.run("SET search_path = sandbox").run("SELECT 1").sync()).await?;
    assert_eq!(completed(&is_free(raw.query(DELETE)).await?), ["DELETE 3"]);
    is_free(raw.run("RESET search_path").run("SET LOCAL search_path = sandbox").run("SELECT 1").sync())
        .await?;
    is_held(&house, raw.query(DELETE)).await?;
    assert_eq!(duplicates(&house).await?, 12);
    house.close().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_statement_keeps_the_encoding_that_it_was_prepared_under() -> Result<()> {
    let house = with_sandbox(|_| {}).await?;
    let mut raw = Raw::start(&house, "alice", &[("client_encoding", "SJIS")]).await?;
    // In UTF-8 one literal. In Shift JIS the second byte of the letter and the backslash are one letter, the quote
    // behind it ends the literal, and a function is called.
    let text = b"SELECT E'\xc3\x83\\', lo_create(0) --'";
    let said = raw.parse("two-faced", text).sync().ready().await?;
    assert_eq!(errors(&said), [""; 0]);
    is_free(raw.query("SET client_encoding = 'UTF8'")).await?;
    let said = raw.bind("", "two-faced").execute("").sync().ready().await?;
    assert!(!errors(&said).is_empty(), "it ran");
    assert_eq!(number(&house, "SELECT count(*) FROM pg_largeobject_metadata").await?, 0);
    house.close().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn settings_that_change_within_a_batch_are_known_to_what_follows() -> Result<()> {
    let house = with_sandbox(|_| {}).await?;
    let mut raw = Raw::start(&house, "alice", &[("client_encoding", "SJIS")]).await?;
    is_free(raw.query("SET client_encoding = 'UTF8'")).await?;
    // The server reports it only at the end of the batch.
    raw.run("RESET ALL").parse("", b"SELECT E'\xc3\x83\\', lo_create(0) --'").bind("", "").execute("").sync();
    let said = raw.ready().await?;
    assert!(!errors(&said).is_empty(), "it ran");
    assert_eq!(number(&house, "SELECT count(*) FROM pg_largeobject_metadata").await?, 0);
    // What no encoding reads otherwise goes on as ever.
    is_free(raw.query("SELECT count(*) FROM orders WHERE status = 'paid'")).await?;
    is_free(raw.query("SET client_encoding = 'UTF8'")).await?;
    is_free(raw.query("SELECT 'ä'")).await?;
    house.close().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_table_that_steps_in_front_while_a_statement_waits_voids_the_yes() -> Result<()> {
    let house = with_sandbox(|_| {}).await?;
    let direct = house.database.direct().await?;
    direct
        .batch_execute("CREATE SCHEMA front; GRANT USAGE ON SCHEMA front TO shop_writer, shop_looker")
        .await?;
    let mut raw = Raw::start(&house, "alice", &[("search_path", "front, public")]).await?;
    raw.query("DELETE FROM orders WHERE id <= 3").flush().await?;
    let held = house.held().await?;
    assert!(held.relations.iter().any(|one| one.name == "public.orders"), "{held:?}");
    direct
        .batch_execute(
            "CREATE TABLE front.orders AS SELECT id FROM generate_series(1, 3) id;
             GRANT ALL ON front.orders TO shop_writer; GRANT SELECT ON front.orders TO shop_looker",
        )
        .await?;
    house.approve(held.id).await?;
    house.becomes(held.id, "void").await?;
    let again = house.held().await?;
    // Whether the account may look into the schema in front is the server's to know.
    assert!(again.relations.iter().all(|one| one.name == "orders"), "{:?}", again.relations);
    house.deny(again.id, "another table").await?;
    assert_eq!(errors(&raw.ready().await?), ["denied by bob: another table"]);
    assert_eq!(number(&house, "SELECT count(*) FROM front.orders").await?, 3);
    house.close().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_definition_of_an_open_transaction_or_of_a_moment_ago_makes_no_read() -> Result<()> {
    let house = with_sandbox(|files| {
        // Whoever makes a function in the sandbox needs nobody's yes.
        if let Some(text) = files.get_mut("statements.cedar") {
            *text = text.replace("action in Action::\"sql.ddl\"", "action == Action::\"sql.drop\"");
        }
    })
    .await?;
    let direct = house.database.direct().await?;
    direct.batch_execute("GRANT CREATE ON SCHEMA sandbox TO shop_writer").await?;
    let mut raw = Raw::start(&house, "alice", &[("search_path", "sandbox, public")]).await?;
    let define = "CREATE FUNCTION sandbox.upper(bigint) RETURNS bigint LANGUAGE sql AS \
                  'DELETE FROM public.orders WHERE status = ''duplicate'' RETURNING id'";
    let innocent = "SELECT upper(1::bigint)";
    is_free(raw.query("BEGIN")).await?;
    is_free(raw.query(define)).await?;
    is_held(&house, raw.query(innocent)).await?;
    raw.query("ROLLBACK").ready().await?;
    is_free(raw.query(define)).await?;
    is_held(&house, raw.query(innocent)).await.context("right behind the definition")?;
    assert_eq!(duplicates(&house).await?, 12);
    house.close().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_approves_letters_that_the_server_reads_as_others() -> Result<()> {
    let house = with_sandbox(|_| {}).await?;
    let mut raw = Raw::start(&house, "alice", &[("client_encoding", "GBK")]).await?;
    // These bytes are one word in UTF-8, in which they would be shown, and another one in the session's encoding.
    let word = "你好";
    let text = format!("DELETE FROM orders WHERE status = '{word}'");
    let said = raw.query(&text).ready().await?;
    assert_eq!(errors(&said), ["the session's encoding is `GBK`; only UTF8 and SQL_ASCII are understood"]);
    raw.parse("", "DELETE FROM orders WHERE status = $1")
        .bind_values(&[Some(word.as_bytes())])
        .execute("")
        .sync();
    let said = raw.ready().await?;
    assert_eq!(errors(&said), ["the session's encoding is `GBK`; only UTF8 and SQL_ASCII are understood"]);
    // What is the same in both waits like everything else.
    is_held(&house, raw.query(DELETE)).await?;
    house.close().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_function_that_is_replaced_while_a_statement_waits_voids_the_yes() -> Result<()> {
    let house = with_sandbox(|_| {}).await?;
    let direct = house.database.direct().await?;
    let function = |body: &str| {
        format!("CREATE OR REPLACE FUNCTION sandbox.tidy() RETURNS bigint LANGUAGE sql AS '{body}'")
    };
    direct.batch_execute(&function("SELECT 1::bigint")).await?;
    let mut raw = Raw::start(&house, "alice", &[]).await?;
    raw.query("SELECT sandbox.tidy()").flush().await?;
    let held = house.held().await?;
    let worse = "DELETE FROM public.orders WHERE status = ''duplicate'' RETURNING id";
    direct.batch_execute(&function(worse)).await?;
    house.approve(held.id).await?;
    house.becomes(held.id, "void").await?;
    house.deny(house.held().await?.id, "another function").await?;
    assert_eq!(errors(&raw.ready().await?), ["denied by bob: another function"]);
    assert_eq!(duplicates(&house).await?, 12);
    house.close().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_approver_is_shown_every_setting_that_changes_what_is_meant() -> Result<()> {
    let house = with_sandbox(|_| {}).await?;
    let mut raw = Raw::start(&house, "alice", &[]).await?;
    is_free(raw.run("SET DateStyle = 'SQL, DMY'").run("SET lc_monetary = 'POSIX'").sync()).await?;
    let (held, _) = is_held(&house, raw.query(DELETE)).await?;
    let value =
        |name: &str| held.settings.iter().find(|(known, _)| *known == name).map(|(_, value)| value.as_str());
    assert_eq!((value("DateStyle"), value("lc_monetary")), (Some("SQL, DMY"), Some("POSIX")));
    for name in
        ["client_encoding", "search_path", "role", "account", "TimeZone", "standard_conforming_strings"]
    {
        assert!(value(name).is_some(), "{name} in {:?}", held.settings);
    }
    house.close().await;
    Ok(())
}

/// Ways to leave the sandbox again. Whatever comes behind them in the same breath is judged where it then is.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_search_path_is_followed_wherever_it_goes() -> Result<()> {
    let house = with_sandbox(free_calls).await?;
    let ways: &[&[&str]] = &[
        &["BEGIN", "SET LOCAL search_path = sandbox", "SELECT 1", "COMMIT"],
        &["BEGIN", "SET search_path = sandbox", "SELECT 1/0", "ROLLBACK"],
        &["BEGIN", "SET search_path = sandbox", "SELECT 1", "ROLLBACK AND CHAIN"],
        &["BEGIN; SET LOCAL search_path = sandbox; SELECT 1; COMMIT"],
        &["SET LOCAL search_path = sandbox; SELECT 1"],
        &["SET search_path = sandbox; SELECT 1/0"],
        &["SET search_path = sandbox", "SELECT 1", "DISCARD ALL"],
        &["SET search_path = sandbox", "SELECT 1", "RESET ALL"],
        &["SET search_path = sandbox", "SELECT 1", "SET search_path TO DEFAULT"],
        &["SELECT set_config('search_path', 'sandbox', true)", "SELECT 1"],
        &["SET search_path = sandbox", "SELECT set_config('search_path', 'public', false)"],
        &["BEGIN", "SAVEPOINT a", "SET search_path = sandbox", "SELECT 1", "ROLLBACK TO a"],
        &["BEGIN", "SET search_path = sandbox", "SAVEPOINT a", "SELECT 1/0", "ROLLBACK TO a", "ROLLBACK"],
    ];
    for way in ways {
        let mut raw = Raw::start(&house, "alice", &[]).await?;
        way.iter().for_each(|text| {
            raw.query(text);
        });
        raw.query(DELETE).flush().await?;
        for _ in *way {
            raw.ready().await?;
        }
        is_held(&house, &mut raw).await.with_context(|| format!("behind {way:?}"))?;
        // In the extended protocol, each in a batch of its own, and all in one where that is possible.
        for single in [true, false] {
            if way.iter().any(|text| text.contains(';')) {
                continue;
            }
            let mut raw = Raw::start(&house, "alice", &[]).await?;
            way.iter().for_each(|text| {
                raw.run(text);
                if single {
                    raw.sync();
                }
            });
            let batches = if single { way.len() } else { 0 };
            raw.run(DELETE).sync().flush().await?;
            for _ in 0..batches {
                raw.ready().await?;
            }
            let before = duplicates(&house).await?;
            tokio::select! {
                held = house.held() => house.deny(held?.id, "no").await?,
                // A batch that has failed before is skipped to its end.
                said = raw.ready() => assert!(!errors(&said?).is_empty(), "{way:?} in one batch: {single}"),
            }
            assert_eq!((before, duplicates(&house).await?), (12, 12), "{way:?}");
        }
    }
    house.close().await;
    Ok(())
}
