//! Clients that want one thing approved and another one run, or run and not recorded. Each test is one way that would
//! work if a rule of the door were not kept.

mod cancelling;
mod meaning;
mod names;
mod portals;
mod raw;
mod records;

use std::collections::BTreeMap;

use anyhow::{Context as _, Result};
use countersign_core::Span;
use countersign_engine::views::RequestView;
use countersign_testkit::House;

use raw::{Message, Raw};

/// A house in which writing to `sandbox.orders` needs nobody, and writing to `public.orders` does.
pub(crate) async fn with_sandbox(change: impl FnOnce(&mut BTreeMap<String, String>)) -> Result<House> {
    let gate = "when { resource.impact == \"high\" };";
    let unless = "when { resource.impact == \"high\" && ![\"sandbox.orders\"].containsAll(context.writes) };";
    let house = House::with(|files| {
        if let Some(text) = files.get_mut("statements.cedar") {
            *text = text.replacen(gate, unless, 1);
        }
        change(files);
    })
    .await?;
    let direct = house.database.direct().await?;
    direct
        .batch_execute(
            "CREATE SCHEMA sandbox; CREATE TABLE sandbox.orders (id bigint, status text);
             INSERT INTO sandbox.orders SELECT n, 'duplicate' FROM generate_series(1, 3) n;
             GRANT USAGE ON SCHEMA sandbox TO shop_writer, shop_looker;
             GRANT SELECT, INSERT, UPDATE, DELETE ON sandbox.orders TO shop_writer;
             GRANT SELECT ON sandbox.orders TO shop_looker",
        )
        .await?;
    house.grant("alice", "shop-writer", Span::minutes(30)).await?;
    Ok(house)
}

/// In which calls need nobody's yes.
pub(crate) fn free_calls(files: &mut BTreeMap<String, String>) {
    for text in files.values_mut() {
        *text = text.replace(
            "action in [Action::\"sql.call\", Action::\"sql.unknown\"]",
            "action == Action::\"sql.unknown\"",
        );
    }
}

/// Says what was prepared, and sees to it that it is held; then says no.
pub(crate) async fn is_held(house: &House, raw: &mut Raw) -> Result<(RequestView, Vec<Message>)> {
    raw.flush().await?;
    let held = tokio::select! {
        held = house.held() => held?,
        said = raw.ready() => anyhow::bail!("it was not held: {:?}", said?.iter().map(|(tag, body)|
            (char::from(*tag), String::from_utf8_lossy(body).into_owned())).collect::<Vec<_>>()),
    };
    house.deny(held.id, "no").await?;
    let said = raw.ready().await?;
    Ok((held, said))
}

/// Says what was prepared, and sees to it that it is done without anybody's yes.
pub(crate) async fn is_free(raw: &mut Raw) -> Result<Vec<Message>> {
    let said = raw.ready().await?;
    anyhow::ensure!(raw::errors(&said).is_empty(), "{:?}", raw::errors(&said));
    Ok(said)
}

/// How many duplicates are left among the orders that are protected. There are twelve.
pub(crate) async fn duplicates(house: &House) -> Result<i64> {
    number(house, "SELECT count(*) FROM public.orders WHERE status = 'duplicate'").await
}

/// The answer to a question that is asked around the gateway.
pub(crate) async fn number(house: &House, question: &str) -> Result<i64> {
    let direct = house.database.direct().await?;
    let row = direct.query_one(question, &[]).await.context("a direct question")?;
    Ok(row.get(0))
}
