//! What an approval is bound to, tried one by one: whatever moves between the yes and the run, nothing runs that was not
//! approved, and nothing twice. Both sides are told.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, bail};
use countersign_core::request::State;
use countersign_core::{PrincipalId, RequestId, Span};
use countersign_engine::Applied;
use countersign_testkit::{House, Psql};

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
