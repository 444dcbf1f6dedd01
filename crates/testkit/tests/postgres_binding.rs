//! What an approval is bound to, tried one by one: whatever moves between the yes and the run, nothing runs that was not
//! approved, and nothing twice. Both sides are told.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, bail};
use countersign_core::request::State;
use countersign_core::{PrincipalId, RequestId, ResourceId, Span};
use countersign_engine::Applied;
use countersign_engine::testing::ManualClock;
use countersign_testkit::{House, Psql, ScratchPostgres};

const UPDATE: &str = "UPDATE products SET stock = stock + 1 WHERE id = 1;";

/// A house whose rule for writes gives three uses, and may be answered by security too.
async fn house() -> Result<House> {
    let house = House::with(|files| {
        if let Some(rules) = files.get_mut("rules.toml") {
            *rules = rules.replace("uses = 1 #", "uses = 3 #");
            *rules =
                rules.replace("[\"group:dba\", \"owner\"]", "[\"group:dba\", \"owner\", \"group:security\"]");
        }
    })
    .await?;
    house.grant("alice", "shop-writer", Span::minutes(30)).await?;
    Ok(house)
}

async fn stock(house: &House) -> Result<i64> {
    let direct = house.database.direct().await?;
    Ok(direct.query_one("SELECT stock::bigint FROM products WHERE id = 1", &[]).await?.get(0))
}

/// Puts a changed bundle in force.
async fn apply(house: &House, change: impl FnOnce(&mut BTreeMap<String, String>)) -> Result<()> {
    let (dave, carol) = (house.person("dave").await?, house.person("carol").await?);
    let mut files = house.engine.bundle_files(&dave)?;
    change(&mut files);
    if let Applied::Pending(id) = house.engine.apply_bundle(&dave, files).await? {
        house.engine.approve(&carol, id, None, None).await?;
    }
    Ok(())
}

fn state(house: &House, request: RequestId) -> Result<&'static str> {
    let snapshot = house.engine.snapshot();
    Ok(snapshot.book.request(request).context("no request")?.state.as_str())
}

/// How often a request's receipt was used.
fn used(house: &House, request: RequestId) -> Result<u32> {
    let snapshot = house.engine.snapshot();
    match &snapshot.book.request(request).context("no request")?.state {
        State::Approved(receipt) => Ok(receipt.used),
        other => bail!("it is {}", other.as_str()),
    }
}

/// A yes for three uses, one of them made.
async fn used_once(house: &House) -> Result<(Psql, RequestId)> {
    let mut psql = Psql::start(house, "alice").await?;
    psql.send(UPDATE).await?;
    let held = house.held().await?;
    house.approve(held.id).await?;
    psql.expect("UPDATE 1").await?;
    Ok((psql, held.id))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_approver_who_is_disabled_takes_the_yes_along() -> Result<()> {
    let house = house().await?;
    let before = stock(&house).await?;
    let (mut psql, request) = used_once(&house).await?;
    let dave = house.person("dave").await?;
    house.engine.disable(&dave, &PrincipalId::new("bob"), None).await?;
    psql.send(UPDATE).await?;
    psql.expect("this waits for an approval").await?;
    assert_eq!(state(&house, request)?, "void");
    assert_eq!(stock(&house).await?, before + 1);
    psql.interrupt()?;
    psql.expect("the request was withdrawn").await?;
    house.close().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stricter_policy_wins_over_a_yes_and_an_unrelated_one_does_not() -> Result<()> {
    let house = house().await?;
    let before = stock(&house).await?;
    let (mut psql, _) = used_once(&house).await?;
    apply(&house, |files| drop(files.insert("more.cedar".into(), "// Nothing.\n".into()))).await?;
    psql.send(UPDATE).await?;
    psql.expect("1 use is left").await?;
    psql.expect("UPDATE 1").await?;
    let forbid = "@id(\"no-updates\")\nforbid (principal, action == Action::\"sql.update\", resource);\n";
    apply(&house, |files| drop(files.insert("more.cedar".into(), forbid.into()))).await?;
    psql.send(UPDATE).await?;
    psql.expect("ERROR:").await?;
    assert_eq!(stock(&house).await?, before + 2);
    house.close().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_policy_that_becomes_stricter_while_it_waits_voids_the_yes() -> Result<()> {
    let house = house().await?;
    let before = stock(&house).await?;
    let mut psql = Psql::start(&house, "alice").await?;
    psql.send(UPDATE).await?;
    let held = house.held().await?;
    let forbid = "@id(\"no-updates\")\nforbid (principal, action == Action::\"sql.update\", resource);\n";
    apply(&house, |files| drop(files.insert("more.cedar".into(), forbid.into()))).await?;
    assert!(house.approve(held.id).await.is_err());
    psql.expect("ERROR:").await?;
    assert_eq!((state(&house, held.id)?, stock(&house).await?), ("void", before));
    house.close().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_approvers_at_once_are_one_run() -> Result<()> {
    let house = house().await?;
    let before = stock(&house).await?;
    let mut psql = Psql::start(&house, "alice").await?;
    psql.send(UPDATE).await?;
    let held = house.held().await?;
    let (bob, carol) = (house.person("bob").await?, house.person("carol").await?);
    let (one, other) = tokio::join!(
        house.engine.approve(&bob, held.id, Some(held.digest), None),
        house.engine.approve(&carol, held.id, Some(held.digest), None)
    );
    assert!(one.is_ok() != other.is_ok(), "{one:?}, {other:?}");
    psql.expect("UPDATE 1").await?;
    psql.send("SELECT 'next' AS state;").await?;
    psql.expect("next").await?;
    assert_eq!(stock(&house).await?, before + 1);
    let snapshot = house.engine.snapshot();
    let State::Approved(receipt) = &snapshot.book.request(held.id).context("no request")?.state else {
        bail!("it is not approved")
    };
    assert_eq!(receipt.used, 1);
    house.close().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_yes_is_nobody_elses() -> Result<()> {
    let house = house().await?;
    let before = stock(&house).await?;
    let (_psql, _) = used_once(&house).await?;
    house.grant("carol", "shop-writer", Span::minutes(30)).await?;
    let mut other = Psql::start(&house, "carol").await?;
    other.send(UPDATE).await?;
    let held = house.held().await?;
    house.deny(held.id, "not yours").await?;
    other.expect("denied by bob: not yours").await?;
    assert_eq!(stock(&house).await?, before + 1);
    house.close().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_waits_ends_when_the_server_goes_away() -> Result<()> {
    let house = house().await?;
    let mut psql = Psql::start(&house, "alice").await?;
    psql.send(UPDATE).await?;
    let held = house.held().await?;
    psql.expect("this waits for an approval").await?;
    let direct = house.database.direct().await?;
    let backends = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
                    WHERE usename = 'shop_writer' AND datname = $1";
    direct.execute(backends, &[&house.database.name]).await?;
    house.becomes(held.id, "withdrawn").await?;
    house.deserted().await?;
    assert!(house.approve(held.id).await.is_err(), "nothing waits for a yes any more");
    house.close().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_left_of_a_yes_outlives_its_session_and_ends_with_its_grant() -> Result<()> {
    let house = house().await?;
    let (mut psql, request) = used_once(&house).await?;
    // The session that waited goes; another one of the same principal has what is left, under the same grant.
    psql.kill().await?;
    house.deserted().await?;
    let mut again = Psql::start(&house, "alice").await?;
    again.send(UPDATE).await?;
    again.expect("1 use is left").await?;
    again.expect("UPDATE 1").await?;
    let grants: Vec<_> = {
        let snapshot = house.engine.snapshot();
        snapshot.book.grants().map(|grant| grant.id).collect()
    };
    let bob = house.person("bob").await?;
    for grant in grants {
        house.engine.revoke(&bob, grant, None).await?;
    }
    house.becomes(request, "void").await?;
    house.close().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_yes_is_for_one_database() -> Result<()> {
    let other = ScratchPostgres::shared().await?.database().await?;
    let name = other.name.clone();
    let house = House::with(|files| {
        if let Some(rules) = files.get_mut("rules.toml") {
            *rules = rules.replace("uses = 1 #", "uses = 3 #");
        }
        let Some(resources) = files.get_mut("resources.toml") else { return };
        let port = other.port;
        resources.push_str(&format!(
            "\n[resource.annex]\nkind = \"postgres\"\ntitle = \"The annex\"\nowner = \"group:dba\"\nimpact = \"high\"\n\
             recording = \"before-release\"\nhost = \"127.0.0.1\"\nport = {port}\ndatabase = \"{name}\"\ntls = \"disable\"\n\
             look_account = \"shop_looker\"\n[resource.annex.secrets]\nshop_reader = \"secret:shop_reader\"\n\
             shop_writer = \"secret:shop_writer\"\nshop_looker = \"secret:shop_looker\"\n"
        ));
        if let Some(roles) = files.get_mut("roles.toml") {
            *roles = roles.replace("resources = [\"shop\"]", "resources = [\"shop\", \"annex\"]");
        }
    })
    .await?;
    house.grant("alice", "shop-writer", Span::minutes(30)).await?;
    let (_psql, request) = used_once(&house).await?;
    let alice = house.person("alice").await?;
    let credential = house.engine.mint_credential(&alice, &ResourceId::new("annex")).await?;
    let mut config = tokio_postgres::Config::new();
    config.host("127.0.0.1").port(house.door.port()).dbname("annex");
    config.user(&credential.user).password(credential.password.as_str());
    let (annex, connection) = config.connect(tokio_postgres::NoTls).await?;
    tokio::spawn(connection);
    // The same statement, the same account, the same grant, the same tables by name: another database.
    let (ran, denied) = tokio::join!(annex.batch_execute(UPDATE), async {
        let held = house.held().await?;
        house.deny(held.id, "not there").await
    });
    denied?;
    assert!(ran.is_err());
    assert_eq!(used(&house, request)?, 1);
    house.close().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_yes_for_one_use_is_for_the_connection_that_waits() -> Result<()> {
    let house = House::open().await?;
    house.grant("alice", "shop-writer", Span::minutes(30)).await?;
    let before = stock(&house).await?;
    // Two connections, by two credentials, send the same: each waits for a yes of its own.
    let (mut one, mut other) = (Psql::start(&house, "alice").await?, Psql::start(&house, "alice").await?);
    one.send(UPDATE).await?;
    let first = house.held().await?;
    other.send(UPDATE).await?;
    other.expect("this waits for an approval").await?;
    house.approve(first.id).await?;
    one.expect("UPDATE 1").await?;
    let second = house.held().await?;
    assert_ne!(second.id, first.id);
    house.deny(second.id, "once was enough").await?;
    other.expect("denied by bob: once was enough").await?;
    assert_eq!(stock(&house).await?, before + 1);
    house.close().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_yes_that_is_over_is_not_used() -> Result<()> {
    let clock = ManualClock::default();
    let house = House::on_clock(&clock, |files| {
        if let Some(rules) = files.get_mut("rules.toml") {
            *rules = rules.replace("uses = 1 #", "uses = 3 #");
        }
    })
    .await?;
    house.grant("alice", "shop-writer", Span::minutes(60)).await?;
    let before = stock(&house).await?;
    let (mut psql, request) = used_once(&house).await?;
    clock.advance(Span::minutes(11));
    house.becomes(request, "lapsed").await?;
    psql.send(UPDATE).await?;
    let held = house.held().await?;
    house.deny(held.id, "too late").await?;
    psql.expect("denied by bob: too late").await?;
    assert_eq!(stock(&house).await?, before + 1);
    house.close().await;
    Ok(())
}

/// What an approver was shown is compared with what the server says that it ran.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_shown_is_what_the_server_ran() -> Result<()> {
    let house = house().await?;
    let direct = house.database.direct().await?;
    direct
        .batch_execute(
            "CREATE TABLE ran (text text); GRANT INSERT ON ran TO shop_writer;
             CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS \
               'BEGIN INSERT INTO ran VALUES (current_query()); RETURN NEW; END';
             CREATE TRIGGER note BEFORE UPDATE ON products FOR EACH ROW EXECUTE FUNCTION note()",
        )
        .await?;
    let client = house.connect("alice").await?;
    let long = format!("/* {} */ UPDATE products SET stock = 7 WHERE id = 1", "long ".repeat(4_000));
    for text in [
        "UPDATE products SET stock = 1 -- , price = 0\n WHERE id = 1",
        "UPDATE products SET name = 'a\u{202e}b; DROP TABLE x; --' WHERE id = 1",
        "UPDATE products SET name = E'\\x41' || '\u{0430}' /* \u{200b} */ WHERE id = 1",
        long.as_str(),
    ] {
        let (ran, shown) = tokio::join!(client.batch_execute(text), async {
            let held = house.held().await?;
            house.approve(held.id).await?;
            Ok::<_, anyhow::Error>(held)
        });
        ran?;
        let shown = shown?.text.context("nothing was shown")?;
        let last = direct.query_one("DELETE FROM ran RETURNING text", &[]).await?;
        assert_eq!(shown, last.get::<_, String>(0));
        assert_eq!(shown, text);
    }
    house.close().await;
    Ok(())
}
