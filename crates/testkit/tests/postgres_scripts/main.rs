//! Scripts against a real server: what is put forward as one is run by the requester's own client, statement by statement,
//! as it was approved; whatever is otherwise is judged as if there were no script.

mod together;

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, ensure};
use countersign_core::request::{Fate, Outcome, Transaction};
use countersign_core::{GrantId, RequestId, ResourceId, RoleId, Span};
use countersign_engine::views::StepView;
use countersign_engine::{AskScript, Refused, RequestView};
use countersign_testkit::{House, Psql};

const ONE: &str = "UPDATE products SET stock = 1001 WHERE id = 1;";
const TWO: &str = "UPDATE products SET stock = 1002 WHERE id = 2;";
const THREE: &str = "UPDATE products SET stock = 1003 WHERE id = 3;";

fn three() -> String {
    format!("-- three shelves\n{ONE}\n{TWO}\n{THREE}\n")
}

async fn house() -> Result<(House, GrantId)> {
    let house = House::open().await?;
    let grant = house.grant("alice", "shop-writer", Span::minutes(30)).await?;
    Ok((house, grant))
}

async fn put_forward(house: &House, text: &str) -> Result<Result<RequestId, Refused>> {
    put_forward_with(house, text, &[]).await
}

/// Puts a script forward that a client is to run which begins with these settings.
async fn put_forward_with(
    house: &House,
    text: &str,
    settings: &[(&str, &str)],
) -> Result<Result<RequestId, Refused>> {
    let ask = AskScript {
        settings: settings.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
        resource: ResourceId::new("shop"),
        role: Some(RoleId::new("shop-writer")),
        text: text.to_owned(),
        purpose: "move stock".into(),
        ticket: Some("SHOP-7".into()),
    };
    Ok(house.engine.ask_script(&house.person("alice").await?, ask).await)
}

async fn approved(house: &House, text: &str) -> Result<RequestId> {
    let request = put_forward(house, text).await??;
    house.approve(request).await?;
    Ok(request)
}

async fn shown(house: &House, request: RequestId) -> Result<RequestView> {
    Ok(house.engine.request_view(&house.person("bob").await?, request)?)
}

/// How each step ended: rows, or a word.
fn ended(steps: &[StepView]) -> Vec<String> {
    let word = |step: &StepView| match &step.outcome {
        None => "-".to_owned(),
        Some(Outcome::Done { rows }) => rows.map_or("done".to_owned(), |rows| rows.to_string()),
        Some(Outcome::Failed { code }) => code.clone(),
        Some(Outcome::BeyondBound { .. }) => "beyond".to_owned(),
        Some(Outcome::Unknown) => "unknown".to_owned(),
    };
    steps.iter().map(word).collect()
}

/// The shelves that carry what the script puts there.
async fn changed(house: &House) -> Result<Vec<i64>> {
    let direct = house.database.direct().await?;
    let rows =
        direct.query("SELECT id::bigint FROM products WHERE stock = 1000 + id ORDER BY id", &[]).await?;
    Ok(rows.iter().map(|row| row.get(0)).collect())
}

/// Types a statement, sees to it that it is held by itself, and says no.
async fn is_held(house: &House, psql: &mut Psql, text: &str) -> Result<()> {
    psql.send(text).await?;
    let held = house.held().await.with_context(|| format!("`{text}` ran"))?;
    ensure!(held.steps.is_empty(), "it is a script");
    house.deny(held.id, "not this").await?;
    psql.expect("denied by bob: not this").await.map(|_| ())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_runs_in_psql_as_it_was_approved() -> Result<()> {
    let (house, _) = house().await?;
    let text = format!("BEGIN;\n{}SELECT count(*) FROM products;\nCOMMIT;\n", three());
    let request = put_forward(&house, &text).await??;
    let view = shown(&house, request).await?;
    assert_eq!(view.text.as_deref(), Some(text.as_str()));
    assert_eq!((view.steps.len(), view.purpose.as_deref()), (6, Some("move stock")));
    let step = &view.steps[1];
    assert_eq!(step.text.as_deref(), Some(format!("-- three shelves\n{ONE}").as_str()));
    assert_eq!((step.rows.count, step.rows.bound), (Some(1), Some(1)));
    assert!(step.relations.iter().any(|one| one.name == "public.products"), "{:?}", step.relations);
    assert_eq!(view.steps[2].rows.count, None, "what an earlier statement changes is not counted");
    let digests: std::collections::BTreeSet<_> = view.steps.iter().map(|step| step.digest).collect();
    assert_eq!(digests.len(), 6);
    house.approve(request).await?;
    let (status, said) = Psql::run_file(&house, "alice", &text, &["-v", "ON_ERROR_STOP=1"]).await?;
    assert_eq!(status, 0, "{said}");
    assert!(
        said.contains("this begins the approved script") && said.contains("the last statement"),
        "{said}"
    );
    assert_eq!(changed(&house).await?, [1, 2, 3]);
    house.deserted().await?;
    let view = shown(&house, request).await?;
    assert_eq!(
        (view.state, ended(&view.steps)),
        ("approved", ["done", "1", "1", "1", "1", "done"].map(String::from).to_vec())
    );
    for step in &view.steps[1..4] {
        assert_eq!(step.transaction, Some(Transaction::Over(Fate::Committed)));
    }
    // Once is once.
    let mut psql = Psql::start(&house, "alice").await?;
    is_held(&house, &mut psql, ONE).await?;
    house.close().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_else_is_run_under_it() -> Result<()> {
    let (house, _) = house().await?;
    for (name, before, instead) in [
        ("reorder", &[][..], TWO),
        ("skip", &[ONE][..], THREE),
        ("repeat", &[ONE][..], ONE),
        ("another literal", &[ONE][..], "UPDATE products SET stock = 1002 WHERE id = 20;"),
        (
            "two at once",
            &[ONE][..],
            "UPDATE products SET stock = 1002 WHERE id = 2\\; UPDATE products SET stock = 1003 WHERE id = 30;",
        ),
        ("another string", &[ONE][..], "UPDATE products SET stock = 1002 WHERE id = 2 AND name <> 'a  b';"),
    ] {
        let request = approved(&house, &three()).await?;
        let mut psql = Psql::start(&house, "alice").await?;
        for text in before {
            psql.send(text).await?;
            psql.expect("UPDATE 1").await?;
        }
        is_held(&house, &mut psql, instead).await.context(name)?;
        let view = shown(&house, request).await?;
        if before.is_empty() {
            assert_eq!(view.state, "approved", "{name}");
            house.engine.withdraw_request(&house.person("alice").await?, request).await?;
        } else {
            assert_eq!((view.state, view.why.as_deref()), ("void", Some("stopped")), "{name}");
            assert_eq!(ended(&view.steps), ["1", "-", "-"].map(String::from), "{name}");
            is_held(&house, &mut psql, TWO).await.context(name)?;
        }
    }
    house.close().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_comes_between_ends_it_unless_it_is_a_read() -> Result<()> {
    let (house, _) = house().await?;
    let request = approved(&house, &three()).await?;
    let mut psql = Psql::start(&house, "alice").await?;
    psql.send(ONE).await?;
    psql.expect("UPDATE 1").await?;
    psql.send("SELECT 'a read' AS this; SHOW search_path;").await?;
    psql.expect("a read").await?;
    psql.send("/* as it pleases */ UPDATE  products\nSET stock=1002 WHERE id =\n2 ; -- the second").await?;
    psql.expect("UPDATE 1").await?;
    assert_eq!(changed(&house).await?, [1, 2]);
    for between in ["SET search_path = pg_catalog, public;", "BEGIN;", "SET DateStyle = 'SQL, DMY';"] {
        let other = approved(&house, &three()).await?;
        let mut psql = Psql::start(&house, "alice").await?;
        psql.send(ONE).await?;
        psql.expect("UPDATE 1").await?;
        psql.send(between).await?;
        psql.expect("has stopped before statement 2 of 3").await?;
        is_held(&house, &mut psql, TWO).await.context(between)?;
        assert_eq!(shown(&house, other).await?.state, "void");
    }
    psql.send(THREE).await?;
    psql.expect("UPDATE 1").await?;
    assert_eq!(shown(&house, request).await?.state, "approved");
    house.close().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_begins_in_no_other_circumstances() -> Result<()> {
    let (house, _) = house().await?;
    let request = approved(&house, &three()).await?;
    for setting in ["SET search_path = pg_catalog, public;", "SET TimeZone = 'Asia/Tokyo';"] {
        let mut psql = Psql::start(&house, "alice").await?;
        psql.send(setting).await?;
        psql.send(ONE).await?;
        psql.expect("is not as it was approved").await?;
        house.deny(house.held().await?.id, "not so").await?;
        psql.expect("denied by bob").await?;
    }
    assert_eq!(shown(&house, request).await?.state, "approved");
    house.database.direct().await?.batch_execute("ALTER TABLE products ADD COLUMN more int").await?;
    let mut psql = Psql::start(&house, "alice").await?;
    psql.send(ONE).await?;
    psql.expect("is not what it was when this was approved").await?;
    house.deny(house.held().await?.id, "not so").await?;
    psql.expect("denied by bob").await?;
    assert_eq!(changed(&house).await?, [0_i64; 0]);
    house.close().await;
    Ok(())
}

/// All three statements of the script run, none of them held.
async fn runs_through(house: &House, client: &tokio_postgres::Client) -> Result<()> {
    for step in [ONE, TWO, THREE] {
        let ran = tokio::time::timeout(std::time::Duration::from_secs(10), client.execute(step, &[]));
        assert_eq!(ran.await.context("it is held")??, 1, "{step}");
    }
    assert_eq!(changed(house).await?, [1, 2, 3]);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_drivers_say_before_it_does_not_spoil_it() -> Result<()> {
    let (house, _) = house().await?;
    approved(&house, &three()).await?;
    let client = house.connect("alice").await?;
    // As JDBC and others do as they connect, and then statement by statement in the extended protocol.
    for said in [
        "SET extra_float_digits = 3",
        "SET application_name = 'PostgreSQL JDBC Driver'",
        "SHOW transaction_isolation",
        "SELECT 1",
    ] {
        client.execute(said, &[]).await?;
    }
    runs_through(&house, &client).await?;
    house.close().await;
    Ok(())
}

/// JDBC's driver sends its machine's time zone as it connects; others set a search path.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn settings_that_a_client_begins_with_are_approved_with_it() -> Result<()> {
    let (house, _) = house().await?;
    let said = [("timezone", "Asia/Tokyo"), ("search_path", "public, pg_catalog")];
    let request = put_forward_with(&house, &three(), &said).await??;
    let view = shown(&house, request).await?;
    let shown_setting = |name: &str| view.settings.iter().find(|one| one.0 == name).map(|one| one.1.clone());
    assert_eq!(shown_setting("TimeZone").as_deref(), Some("Asia/Tokyo"));
    assert_eq!(shown_setting("search_path").as_deref(), Some("public, pg_catalog"));
    house.approve(request).await?;

    // A session without them is not the one that was approved, and is told in what it differs.
    let mut psql = Psql::start(&house, "alice").await?;
    psql.send(ONE).await?;
    psql.expect("the setting `TimeZone` is not as it was approved").await?;
    psql.expect("and was `Asia/Tokyo`").await?;
    house.deny(house.held().await?.id, "not so").await?;
    psql.expect("denied by bob").await?;
    assert_eq!(shown(&house, request).await?.state, "approved");

    let mut login = house.login("alice").await?;
    login.options("-c TimeZone=Asia/Tokyo -c search_path=public,pg_catalog -c extra_float_digits=3");
    let (client, connection) = login.connect(tokio_postgres::NoTls).await?;
    tokio::spawn(connection);
    runs_through(&house, &client).await?;
    house.close().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn settings_that_no_client_begins_with_are_refused() -> Result<()> {
    let (house, _) = house().await?;
    for (settings, why) in [
        (&[("TimeZone", "Mars/Olympus")][..], "no session begins so: invalid value for parameter"),
        (&[("TimeZone", "a\0b")][..], "the value of `TimeZone` is none"),
        (&[("role", "postgres")][..], "can't be bound to the setting `role`"),
        (
            &[("standard_conforming_strings", "off")][..],
            "can't be bound to the setting `standard_conforming_strings`",
        ),
        (&[("TimeZone", "UTC"), ("timezone", "UTC")][..], "`TimeZone` is said twice"),
    ] {
        let refused = put_forward_with(&house, ONE, settings).await?.err().context("it was taken")?;
        assert!(refused.message.contains(why), "{settings:?}: {refused:?}");
    }
    house.close().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_sessions_do_not_share_it() -> Result<()> {
    let (house, _) = house().await?;
    let request = approved(&house, &three()).await?;
    let (mut one, mut other) = (Psql::start(&house, "alice").await?, Psql::start(&house, "alice").await?);
    // Both at once: one of them has it, the other is held.
    tokio::try_join!(one.send(ONE), other.send(ONE))?;
    let held = house.held().await?;
    house.deny(held.id, "the other one").await?;
    let (first, second) = tokio::join!(one.expect("UPDATE 1"), other.expect("denied by bob"));
    let (mut with, mut without) = match (first, second) {
        (Ok(_), Ok(_)) => (one, other),
        _ => (other, one),
    };
    is_held(&house, &mut without, TWO).await?;
    with.send(TWO).await?;
    with.expect("UPDATE 1").await?;
    // It ends with its session, and nobody takes it up.
    with.kill().await?;
    house.becomes(request, "withdrawn").await?;
    is_held(&house, &mut without, THREE).await?;
    let view = shown(&house, request).await?;
    assert_eq!(
        (view.why.as_deref(), ended(&view.steps)),
        (Some("session_ended"), ["1", "1", "-"].map(String::from).to_vec())
    );
    house.close().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_step_that_fails_ends_it_whatever_the_client_makes_of_it() -> Result<()> {
    let (house, _) = house().await?;
    let text = format!("{ONE}\nINSERT INTO products SELECT * FROM products WHERE id = 1;\n{TWO}\n");
    let request = approved(&house, &text).await?;
    let mut psql = Psql::start(&house, "alice").await?;
    psql.send(&text.replace(TWO, "")).await?;
    psql.expect("UPDATE 1").await?;
    psql.expect("duplicate key").await?;
    house.becomes(request, "void").await?;
    is_held(&house, &mut psql, TWO).await?;
    psql.kill().await?;
    let view = shown(&house, request).await?;
    assert_eq!(ended(&view.steps), ["1", "23505", "-"].map(String::from));
    // In a transaction of its own nothing of it stands, and that is said.
    let text = format!("BEGIN;\n{TWO}\nINSERT INTO products SELECT * FROM products WHERE id = 1;\nCOMMIT;\n");
    let request = approved(&house, &text).await?;
    let (_, said) = Psql::run_file(&house, "alice", &text, &[]).await?;
    assert!(said.contains("ROLLBACK"), "{said}");
    house.becomes(request, "void").await?;
    house.deserted().await?;
    let view = shown(&house, request).await?;
    assert_eq!(ended(&view.steps), ["done", "1", "23505", "-"].map(String::from));
    assert_eq!(view.steps[1].transaction, Some(Transaction::Over(Fate::RolledBack)));
    assert_eq!(changed(&house).await?, [1]);
    house.close().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_of_a_step_are_bounded_by_what_was_counted() -> Result<()> {
    let (house, _) = house().await?;
    let text = "UPDATE orders SET status = 'cancelled' WHERE status = 'duplicate';\nUPDATE products SET stock = 1001 WHERE id = 1;\n";
    let request = approved(&house, text).await?;
    let view = shown(&house, request).await?;
    let counted = view.steps[0].rows.bound.context("it is not bounded")?;
    let direct = house.database.direct().await?;
    direct
        .batch_execute("UPDATE orders SET status = 'duplicate' WHERE id IN (SELECT id FROM orders WHERE status <> 'duplicate' LIMIT 5)")
        .await?;
    let mut psql = Psql::start(&house, "alice").await?;
    psql.send(text).await?;
    psql.expect(&format!("but {counted} were approved")).await?;
    house.becomes(request, "void").await?;
    let left: i64 =
        direct.query_one("SELECT count(*) FROM orders WHERE status = 'duplicate'", &[]).await?.get(0);
    assert_eq!(u64::try_from(left)?, counted + 5);
    house.deny(house.held().await?.id, "no").await?;
    psql.expect("denied by bob").await?;
    house.close().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_migration_makes_what_it_then_works_on() -> Result<()> {
    let (house, _) = house().await?;
    let direct = house.database.direct().await?;
    direct.batch_execute("GRANT CREATE ON SCHEMA public TO shop_writer").await?;
    let text = "SET search_path = public;\n\
        CREATE TABLE archive (id bigint PRIMARY KEY, stock int);\n\
        INSERT INTO archive SELECT id, stock FROM products WHERE id < 4;\n\
        UPDATE products SET stock = 0 WHERE id IN (SELECT id FROM archive);\n\
        ALTER TABLE archive ADD COLUMN at timestamptz;\n\
        UPDATE archive SET at = now();\n";
    let request = approved(&house, text).await?;
    let view = shown(&house, request).await?;
    let made = |number: usize| view.steps[number].relations.iter().any(|one| one.name.ends_with("archive"));
    assert!(made(2) && made(3) && made(5), "{:?}", view.steps);
    let (status, said) = Psql::run_file(&house, "alice", text, &["-v", "ON_ERROR_STOP=1"]).await?;
    assert_eq!(status, 0, "{said}");
    let kept: i64 = direct.query_one("SELECT count(*) FROM archive WHERE at IS NOT NULL", &[]).await?.get(0);
    assert_eq!(kept, 3);
    house.deserted().await?;
    assert_eq!(
        ended(&shown(&house, request).await?.steps),
        ["done", "done", "3", "3", "done", "3"].map(String::from)
    );
    house.close().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_temporary_table_stands_in_for_what_it_makes() -> Result<()> {
    let (house, _) = house().await?;
    let direct = house.database.direct().await?;
    let name = &house.database.name;
    direct
        .batch_execute(&format!(
            "GRANT CREATE ON SCHEMA public TO shop_writer; GRANT TEMPORARY ON DATABASE {name} TO shop_writer"
        ))
        .await?;
    let text =
        "CREATE TABLE archive (id bigint);\nINSERT INTO archive SELECT id FROM products WHERE id = 1;\n";
    let request = approved(&house, text).await?;
    let mut psql = Psql::start(&house, "alice").await?;
    psql.send("CREATE TEMPORARY TABLE archive (id bigint);").await?;
    house.approve(house.held().await?.id).await?;
    psql.expect("CREATE TABLE").await?;
    psql.send("CREATE TABLE archive (id bigint);").await?;
    psql.expect("may have temporary tables").await?;
    house.deny(house.held().await?.id, "no").await?;
    psql.expect("denied by bob").await?;
    assert_eq!(shown(&house, request).await?.state, "approved");
    house.close().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_revocation_ends_it_and_what_is_left_is_not_run() -> Result<()> {
    let (house, grant) = house().await?;
    let request = approved(&house, &three()).await?;
    let mut psql = Psql::start(&house, "alice").await?;
    psql.send(ONE).await?;
    psql.expect("UPDATE 1").await?;
    house.engine.revoke(&house.person("bob").await?, grant, None).await?;
    house.becomes(request, "void").await?;
    house.deserted().await?;
    house.grant("alice", "shop-writer", Span::minutes(30)).await?;
    let mut psql = Psql::start(&house, "alice").await?;
    is_held(&house, &mut psql, TWO).await?;
    assert_eq!(changed(&house).await?, [1]);
    house.close().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn drivers_run_it_by_either_protocol() -> Result<()> {
    let (house, _) = house().await?;
    approved(&house, &three()).await?;
    let client = house.connect("alice").await?;
    assert_eq!(client.execute(ONE, &[]).await?, 1);
    client.batch_execute(TWO).await?;
    let three = client.prepare(THREE).await?;
    assert_eq!(client.execute(&three, &[]).await?, 1);
    assert_eq!(changed(&house).await?, [1, 2, 3]);
    house.close().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_put_forward_says_why() -> Result<()> {
    let (house, _) = house().await?;
    for (text, why) in [
        ("", "there is no statement in the script"),
        ("-- nothing", "there is no statement in the script"),
        ("SELECT 1; SHOW search_path;", "nothing in this script needs an approval"),
        ("DELETE FROM payments; SELEC 1;", "statement 2 of the script"),
        ("UPDATE products SET stock = 'open", "can't be taken apart"),
        ("DELETE FROM payments;\n\\connect other\nDELETE FROM orders;", "statement 2 of the script"),
        ("COPY products FROM STDIN;", "brings data that is no part of the script"),
        ("DELETE FROM payments; DROP TABLE payments;", "statement 2 of the script is denied"),
    ] {
        let refused =
            put_forward(&house, text).await?.err().with_context(|| format!("`{text}` was taken"))?;
        assert!(refused.message.contains(why), "{text}: {refused:?}");
    }
    let many = ONE.repeat(257);
    let refused = put_forward(&house, &many).await?.err().context("it was taken")?;
    assert!(refused.message.contains("257 statements"), "{refused:?}");
    let long = format!("SELECT '{}'; {ONE}", "x".repeat(300_000));
    let refused = put_forward(&house, &long).await?.err().context("it was taken")?;
    assert!(refused.message.contains("more than can be shown"), "{refused:?}");
    let ask = AskScript {
        resource: ResourceId::new("shop"),
        role: None,
        settings: BTreeMap::new(),
        text: ONE.into(),
        purpose: "because".into(),
        ticket: None,
    };
    let carol = house.person("carol").await?;
    let refused = house.engine.ask_script(&carol, ask).await.err().context("carol has no grant")?;
    assert!(refused.message.contains("no live grant"), "{refused:?}");
    house.close().await;
    Ok(())
}
