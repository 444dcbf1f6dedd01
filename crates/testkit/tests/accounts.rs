//! What upstream accounts may do, read back from a real server, against what their roles promise.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test stops at the first surprise"
)]

use anyhow::{Context as _, Result};
use countersign_testkit::House;

/// Accounts are the server's, which the tests of this process share; one changes what they are members of.
static ALONE: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

/// As `demo/accounts.sql` has it for the shop; a copy of a database does not take its privileges along.
async fn as_the_sample(house: &House) -> Result<()> {
    let revoke = format!("revoke temporary on database {} from public", house.database.name);
    Ok(house.database.direct().await?.batch_execute(&revoke).await?)
}

/// Reads back now; each finding as `role account: what; what`.
async fn found(house: &House) -> Result<Vec<String>> {
    let read = house.engine.read_back_accounts().await.context("no door has answered")?;
    let words = |found: &countersign_engine::accounts::AccountFinding| match &found.beyond {
        Ok(beyond) => format!("{} {}: {}", found.role, found.account, beyond.join("; ")),
        Err(why) => format!("{} {}: unknown: {why}", found.role, found.account),
    };
    Ok(read.found.iter().map(words).collect())
}

#[tokio::test]
async fn the_accounts_of_the_sample_can_do_what_their_roles_say() -> Result<()> {
    let _alone = ALONE.lock().await;
    let house = House::open().await?;
    let before = found(&house).await?;
    assert_eq!(before.len(), 1, "{before:?}");
    assert!(before[0].starts_with("shop-reader shop_reader: may create temporary objects"), "{before:?}");
    as_the_sample(&house).await?;
    assert_eq!(found(&house).await?, [""; 0]);
    assert!(house.engine.accounts().is_some(), "it was read back when the bundle came into force");
    house.close().await;
    Ok(())
}

#[tokio::test]
async fn an_account_that_can_write_for_a_role_that_reads_is_shown() -> Result<()> {
    let _alone = ALONE.lock().await;
    let house = House::open().await?;
    as_the_sample(&house).await?;
    let admin = house.database.direct().await?;
    for (grant, revoke, wanted) in [
        (
            "grant insert on orders to shop_reader",
            "revoke insert on orders from shop_reader",
            "may change rows of public.orders",
        ),
        (
            "grant update (status) on orders to shop_reader",
            "revoke update (status) on orders from shop_reader",
            "may change rows of public.orders",
        ),
        (
            "create sequence tickets; grant usage on sequence tickets to shop_reader",
            "drop sequence tickets",
            "may move the sequence public.tickets",
        ),
        (
            "create function strong() returns int language sql security definer as 'select 1'",
            "drop function strong()",
            "may call, with the rights of its owner, public.strong()",
        ),
        (
            "grant create on schema public to shop_reader",
            "revoke create on schema public from shop_reader",
            "may create in the schema public",
        ),
        (
            "create table owned (id int); alter table owned owner to shop_reader",
            "drop table owned",
            "owns public.owned; may change rows of public.owned",
        ),
    ] {
        admin.batch_execute(grant).await?;
        let shown = found(&house).await?;
        let about_reader: Vec<&String> = shown.iter().filter(|one| one.contains("shop_reader")).collect();
        assert_eq!(about_reader, [&format!("shop-reader shop_reader: {wanted}")], "{grant}");
        admin.batch_execute(revoke).await?;
        assert_eq!(found(&house).await?, [""; 0], "{revoke}");
    }
    house.close().await;
    Ok(())
}

#[tokio::test]
async fn what_comes_through_another_role_counts_and_a_promise_is_no_excess() -> Result<()> {
    let _alone = ALONE.lock().await;
    let house = House::with(|files| {
        let roles = files.get_mut("roles.toml").unwrap();
        // The same account for a role that may read alone.
        *roles = roles.replace("account = \"shop_reader\"", "account = \"shop_writer\"");
    })
    .await?;
    as_the_sample(&house).await?;
    let shown = found(&house).await?;
    assert_eq!(shown.len(), 1, "{shown:?}");
    assert!(shown[0].starts_with("shop-reader shop_writer: may change rows of public."), "{shown:?}");
    let admin = house.database.direct().await?;
    let group = format!("makers_{}", house.database.name);
    // Not inherited, but one SET ROLE away.
    admin
        .batch_execute(&format!(
            "create role {group} createrole; create table made (id int); alter table made owner to {group};
             alter role shop_writer noinherit; grant {group} to shop_writer"
        ))
        .await?;
    let shown = found(&house).await?;
    admin
        .batch_execute(&format!("drop owned by {group}; drop role {group}; alter role shop_writer inherit"))
        .await?;
    let writer = shown.iter().find(|one| one.starts_with("shop-writer ")).context("the role is not shown")?;
    assert!(writer.contains("may create roles"), "{writer}");
    house.close().await;
    Ok(())
}

#[tokio::test]
async fn an_account_that_cannot_be_asked_is_shown() -> Result<()> {
    let house = House::with(|files| {
        let resources = files.get_mut("resources.toml").unwrap();
        *resources =
            resources.replace("shop_reader = \"secret:shop_reader\"", "shop_reader = \"secret:nowhere\"");
    })
    .await?;
    as_the_sample(&house).await?;
    let shown = found(&house).await?;
    assert_eq!(shown.len(), 1, "{shown:?}");
    assert!(shown[0].starts_with("shop-reader shop_reader: unknown: "), "{shown:?}");
    house.close().await;
    Ok(())
}
