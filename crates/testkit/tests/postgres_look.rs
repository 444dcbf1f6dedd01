//! What an approver is shown before they answer, held against tables of known content and against what then ran.

use anyhow::{Context as _, Result};
use countersign_core::Span;
use countersign_core::catalogue::Impact;
use countersign_engine::views::{RequestView, RowsView};
use countersign_testkit::House;
use tokio_postgres::Client;
use tokio_postgres::types::ToSql;

/// Ten rows in `t`, six in `s` (three of them in `t`), three generations that refer to each other.
const TABLES: &str = "
CREATE TABLE t (id bigint PRIMARY KEY, a int, at timestamptz DEFAULT '2024-01-01 00:30+00');
INSERT INTO t SELECT n, n % 3 FROM generate_series(1, 10) n;
CREATE TABLE s (id bigint PRIMARY KEY, gone boolean);
INSERT INTO s SELECT n, n = 9 FROM generate_series(8, 13) n;
CREATE TABLE parent (id bigint PRIMARY KEY, kind text UNIQUE);
INSERT INTO parent SELECT n, 'k' || n FROM generate_series(1, 4) n;
CREATE TABLE child (id bigint PRIMARY KEY, parent_id bigint NOT NULL REFERENCES parent ON DELETE CASCADE,
  kind text REFERENCES parent (kind) ON UPDATE CASCADE);
INSERT INTO child SELECT n, 1 + n % 4, 'k' || 1 + n % 4 FROM generate_series(1, 12) n;
CREATE TABLE grandchild (id bigint PRIMARY KEY, child_id bigint REFERENCES child ON DELETE SET NULL);
INSERT INTO grandchild SELECT n, 1 + n % 12 FROM generate_series(1, 24) n;
CREATE TABLE tree (id bigint PRIMARY KEY, up bigint REFERENCES tree ON DELETE CASCADE);
INSERT INTO tree VALUES (1, NULL), (2, 1), (3, 2);
CREATE TABLE guarded (id bigint PRIMARY KEY, a int);
INSERT INTO guarded SELECT n, n FROM generate_series(1, 6) n;
CREATE FUNCTION keep_odd() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS
  'BEGIN IF OLD.id % 2 = 1 THEN RETURN NULL; END IF; RETURN OLD; END';
CREATE TRIGGER keep BEFORE DELETE ON guarded FOR EACH ROW EXECUTE FUNCTION keep_odd();
CREATE TRIGGER late AFTER UPDATE OF a ON guarded FOR EACH STATEMENT EXECUTE FUNCTION keep_odd();
ALTER TABLE guarded DISABLE TRIGGER late;
CREATE TABLE ruled (id bigint PRIMARY KEY);
INSERT INTO ruled SELECT generate_series(1, 5);
CREATE RULE instead_of AS ON DELETE TO ruled DO INSTEAD NOTHING;
CREATE TABLE owned (id bigint PRIMARY KEY, who text DEFAULT 'shop_writer');
INSERT INTO owned SELECT generate_series(1, 3);
ALTER TABLE owned ENABLE ROW LEVEL SECURITY;
CREATE POLICY own ON owned USING (who = current_user);
CREATE FUNCTION sly(bigint) RETURNS boolean LANGUAGE sql IMMUTABLE AS 'SELECT true';
GRANT ALL ON t, s, parent, child, grandchild, tree, guarded, ruled, owned TO shop_writer;
GRANT SELECT ON t, s, parent, child, grandchild, tree, guarded, ruled, owned TO shop_looker;
ANALYZE;
";

async fn writer() -> Result<(House, Client)> {
    let house = House::open().await?;
    house.database.direct().await?.batch_execute(TABLES).await?;
    house.grant("alice", "shop-writer", Span::minutes(30)).await?;
    let client = house.connect("alice").await?;
    Ok((house, client))
}

type Values<'a> = &'a [&'a (dyn ToSql + Sync)];

/// What bob is shown of a statement, which he then denies.
async fn shown(house: &House, client: &Client, sql: &str, values: Values<'_>) -> Result<RequestView> {
    let running = async { Ok::<_, anyhow::Error>(client.execute(sql, values).await.err()) };
    let looking = async {
        let held = house.held().await.with_context(|| sql.to_owned())?;
        house.deny(held.id, "only looking").await?;
        Ok::<_, anyhow::Error>(held)
    };
    let (ran, held) = tokio::join!(running, looking);
    assert!(ran?.is_some(), "`{sql}` ran");
    held
}

/// Has bob approve a statement: what he was shown, and how many rows it then touched.
async fn approved(
    house: &House,
    client: &Client,
    sql: &str,
    values: Values<'_>,
) -> Result<(RequestView, u64)> {
    let running = client.execute(sql, values);
    let approving = async {
        let held = house.held().await.with_context(|| sql.to_owned())?;
        house.approve(held.id).await?;
        Ok::<_, anyhow::Error>(held)
    };
    let (ran, held) = tokio::join!(running, approving);
    Ok((held?, ran?))
}

fn rows(view: &RequestView) -> Result<RowsView> {
    view.rows.context("no rows")
}

fn parts(view: &RequestView) -> Vec<String> {
    let branches = view.foreseen.branches.iter();
    branches.map(|one| format!("{} {}: {:?}", one.when, one.does, one.rows)).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn counted_rows_are_the_rows_that_are_touched() -> Result<()> {
    let (house, client) = writer().await?;
    let (seven, one) = (7_i64, 1_i32);
    let cases: &[(&str, Values<'_>, u64)] = &[
        ("UPDATE t SET a = 5 WHERE id > $1", &[&seven], 3),
        ("UPDATE t SET a = 6 FROM s, s AS s2 WHERE t.id = s.id AND s2.id > 0", &[], 3),
        ("DELETE FROM t USING s WHERE t.id = s.id AND s.gone", &[], 1),
        (
            "WITH few AS (SELECT id FROM t WHERE a = $1) DELETE FROM t USING few WHERE t.id = few.id",
            &[&one],
            3,
        ),
        ("INSERT INTO t (id, a) VALUES (101, 1), (102, 2)", &[], 2),
        ("INSERT INTO t (id, a) VALUES (101, 1), (103, 2) ON CONFLICT (id) DO UPDATE SET a = 7", &[], 2),
        ("INSERT INTO s (id) SELECT id + 1000 FROM t WHERE id < 100 LIMIT 4", &[], 4),
        ("DELETE FROM child WHERE false", &[], 0),
    ];
    for (sql, values, expected) in cases {
        let (held, touched) = approved(&house, &client, sql, values).await?;
        let found = rows(&held)?;
        assert_eq!(found.count, Some(*expected), "{sql}: {:?}", held.foreseen.rows_unknown);
        assert_eq!((found.least, found.bound, touched), (None, Some(*expected), *expected), "{sql}");
    }
    house.close().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_merge_is_counted_branch_by_branch_and_a_truncate_table_by_table() -> Result<()> {
    let (house, client) = writer().await?;
    let merge = "MERGE INTO t USING s ON t.id = s.id WHEN MATCHED AND s.gone THEN DELETE \
                 WHEN MATCHED THEN UPDATE SET a = 9 WHEN NOT MATCHED AND s.id > 12 THEN DO NOTHING \
                 WHEN NOT MATCHED THEN INSERT (id, a) VALUES (s.id, 0)";
    let (held, touched) = approved(&house, &client, merge, &[]).await?;
    assert_eq!(
        parts(&held),
        [
            "matched and s.gone delete: Some(1)",
            "matched update: Some(2)",
            "not matched and s.id > 12 nothing: Some(1)",
            "not matched insert: Some(2)",
        ]
    );
    assert_eq!((rows(&held)?.count, touched), (Some(5), 5));
    let held = shown(&house, &client, "TRUNCATE grandchild, s", &[]).await?;
    assert_eq!(parts(&held), ["grandchild truncate: Some(24)", "s truncate: Some(6)"]);
    assert_eq!((rows(&held)?.count, rows(&held)?.bound), (Some(30), None), "its answer counts no rows");
    house.close().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_may_be_there_already_is_a_range() -> Result<()> {
    let (house, client) = writer().await?;
    let held =
        shown(&house, &client, "INSERT INTO t (id) VALUES (1), (50) ON CONFLICT DO NOTHING", &[]).await?;
    assert_eq!((rows(&held)?.least, rows(&held)?.count), (Some(0), Some(2)));
    let upsert = "INSERT INTO t (id) SELECT id FROM s ON CONFLICT (id) DO UPDATE SET a = 1 WHERE t.a = 0";
    let (held, touched) = approved(&house, &client, upsert, &[]).await?;
    assert_eq!((rows(&held)?.least, rows(&held)?.count), (Some(0), Some(6)));
    assert!(touched <= 6, "{touched}");
    house.close().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_not_known_says_why() -> Result<()> {
    let (house, client) = writer().await?;
    let direct = house.database.direct().await?;
    for (sql, why) in [
        ("DELETE FROM t WHERE sly(id)", "sly"),
        ("WITH d AS (DELETE FROM s RETURNING id) DELETE FROM t USING d WHERE t.id = d.id", "WITH clause"),
        ("DELETE FROM owned", "row level security"),
    ] {
        let held = shown(&house, &client, sql, &[]).await?;
        let unknown = held.foreseen.rows_unknown.clone().unwrap_or_default();
        assert!(unknown.contains(why), "{sql}: {unknown}");
        assert_eq!((rows(&held)?.count, rows(&held)?.bound), (None, None), "{sql}");
    }
    direct.batch_execute("REVOKE SELECT ON t FROM shop_looker").await?;
    let held = shown(&house, &client, "DELETE FROM t WHERE id = 2", &[]).await?;
    let unknown = held.foreseen.rows_unknown.unwrap_or_default();
    assert!(unknown.contains("42501") && unknown.contains("permission denied"), "{unknown}");
    // A look that takes too long is given up, by the server itself.
    direct
        .batch_execute("GRANT SELECT ON t TO shop_looker; INSERT INTO t SELECT generate_series(1000, 6000)")
        .await?;
    let slow = "DELETE FROM t WHERE (SELECT count(*) FROM t a, t b WHERE a.id + b.id + t.id > 0) < 0";
    let held = shown(&house, &client, slow, &[]).await?;
    let unknown = held.foreseen.rows_unknown.unwrap_or_default();
    assert!(unknown.contains("57014"), "{unknown}");
    house.close().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_servers_plan_is_shown_beside_the_count() -> Result<()> {
    let (house, client) = writer().await?;
    let held = shown(&house, &client, "DELETE FROM grandchild", &[]).await?;
    assert_eq!((rows(&held)?.count, rows(&held)?.estimate), (Some(24), Some(24)));
    let held = shown(&house, &client, "DELETE FROM grandchild WHERE id = $1", &[&3_i64]).await?;
    assert_eq!(
        (rows(&held)?.count, rows(&held)?.estimate),
        (Some(1), Some(1)),
        "not as many as the table has"
    );
    let held = shown(&house, &client, "DELETE FROM t WHERE sly(id)", &[]).await?;
    assert_eq!(rows(&held)?.estimate, None, "planning it could run it");
    house.close().await;
    Ok(())
}

/// What is counted is what the session means: its time zone decides which rows are of which day.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_look_counts_under_the_settings_of_the_session() -> Result<()> {
    let (house, client) = writer().await?;
    let sql = "DELETE FROM t WHERE at < '2024-01-01'";
    client.batch_execute("SET TimeZone = 'America/New_York'").await?;
    assert_eq!(rows(&shown(&house, &client, sql, &[]).await?)?.count, Some(10));
    client.batch_execute("SET TimeZone = 'UTC'").await?;
    assert_eq!(rows(&shown(&house, &client, sql, &[]).await?)?.count, Some(0));
    house.close().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tables_that_follow_are_named_with_their_rows() -> Result<()> {
    let (house, client) = writer().await?;
    let steps = |view: &RequestView| -> Vec<String> {
        let steps = view.foreseen.cascades.iter();
        let told = |rows: Option<u64>| rows.map_or("unknown".to_owned(), |rows| rows.to_string());
        steps
            .map(|one| {
                format!("{} {} -> {} {}: {}", one.depth, one.from, one.does, one.relation, told(one.rows))
            })
            .collect()
    };
    let (held, touched) = approved(&house, &client, "DELETE FROM parent WHERE id <= 2", &[]).await?;
    assert_eq!(
        steps(&held),
        ["1 public.parent -> delete public.child: 6", "2 public.child -> set null public.grandchild: 12"]
    );
    assert_eq!(touched, 2);
    let direct = house.database.direct().await?;
    let count = |sql: &'static str| {
        let direct = &direct;
        async move { Ok::<i64, anyhow::Error>(direct.query_one(sql, &[]).await?.get(0)) }
    };
    assert_eq!(count("SELECT count(*) FROM child").await?, 12 - 6);
    assert_eq!(count("SELECT count(*) FROM grandchild WHERE child_id IS NULL").await?, 12);
    // Only columns that are referred to make others follow.
    assert_eq!(steps(&shown(&house, &client, "UPDATE parent SET id = id WHERE id = 3", &[]).await?), [""; 0]);
    let held = shown(&house, &client, "UPDATE parent SET kind = 'new' WHERE id = 3", &[]).await?;
    assert_eq!(steps(&held), ["1 public.parent -> update public.child: 3"]);
    let held = shown(&house, &client, "DELETE FROM tree WHERE id = 1", &[]).await?;
    assert_eq!(steps(&held), ["1 public.tree -> delete public.tree: unknown"]);
    assert!(held.foreseen.cascades[0].unknown.is_some(), "{:?}", held.foreseen.cascades);
    let held = shown(&house, &client, "TRUNCATE parent CASCADE", &[]).await?;
    assert!(
        steps(&held).contains(&"1 public.parent -> truncate public.child: 6".to_owned()),
        "{:?}",
        steps(&held)
    );
    house.close().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn triggers_rules_and_row_security_are_named() -> Result<()> {
    let (house, client) = writer().await?;
    let (held, touched) = approved(&house, &client, "DELETE FROM guarded", &[]).await?;
    let [keep] = held.foreseen.triggers.as_slice() else { panic!("{:?}", held.foreseen.triggers) };
    assert_eq!((keep.name.as_str(), keep.relation.as_str()), ("keep", "public.guarded"));
    assert_eq!(
        (keep.timing.as_str(), keep.events.as_str(), keep.level.as_str()),
        ("before", "delete", "row")
    );
    assert_eq!((keep.function.as_str(), keep.enabled.as_str()), ("public.keep_odd", "origin"));
    assert!(
        keep.definer.is_some() && keep.definition.starts_with("CREATE TRIGGER keep BEFORE DELETE"),
        "{keep:?}"
    );
    // It leaves rows out, so the count is only an upper limit.
    assert_eq!((rows(&held)?.least, rows(&held)?.count, touched), (Some(0), Some(6), 3));
    let held = shown(&house, &client, "UPDATE guarded SET a = 1", &[]).await?;
    let named = held.foreseen.triggers.iter().map(|one| (one.name.as_str(), one.enabled.as_str()));
    assert_eq!(named.collect::<Vec<_>>(), [("late", "disabled")]);
    // What only inserts updates nothing, unless it says so.
    let held = shown(&house, &client, "INSERT INTO guarded VALUES (70, 1)", &[]).await?;
    assert_eq!(held.foreseen.triggers, []);
    let upsert = "INSERT INTO guarded VALUES (2, 1) ON CONFLICT (id) DO UPDATE SET a = 2";
    let held = shown(&house, &client, upsert, &[]).await?;
    assert_eq!(held.foreseen.triggers.len(), 1);
    let held = shown(&house, &client, "DELETE FROM ruled", &[]).await?;
    let [rule] = held.foreseen.rules.as_slice() else { panic!("{:?}", held.foreseen.rules) };
    assert_eq!((rule.name.as_str(), rule.event.as_str(), rule.instead), ("instead_of", "delete", true));
    assert_eq!(rows(&held)?.count, None, "the rule does something else");
    let held = shown(&house, &client, "DELETE FROM owned", &[]).await?;
    let [security] = held.foreseen.row_security.as_slice() else {
        panic!("{:?}", held.foreseen.row_security)
    };
    assert_eq!((security.relation.as_str(), security.applies), ("public.owned", Some(true)));
    let policy = &security.policies[0];
    assert_eq!((policy.name.as_str(), policy.command.as_str(), policy.restrictive), ("own", "all", false));
    assert!(policy.using.as_deref().unwrap_or_default().contains("who"), "{policy:?}");
    house.close().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn relations_are_shown_with_who_answers_for_them() -> Result<()> {
    let (house, client) = writer().await?;
    let held = shown(&house, &client, "DELETE FROM customers WHERE id = 0", &[]).await?;
    let customers =
        held.relations.iter().find(|one| one.name == "public.customers").context("no customers")?;
    assert_eq!(customers.responsible.as_deref(), Some("group:security"));
    assert_eq!(
        (customers.impact, customers.labels.as_slice()),
        (Some(Impact::High), &["personal".to_owned()][..])
    );
    assert!(customers.title.is_some());
    let held = shown(&house, &client, "DELETE FROM t WHERE id = 0", &[]).await?;
    let t = held.relations.iter().find(|one| one.name == "public.t").context("no t")?;
    assert_eq!(
        (t.responsible.as_deref(), t.impact, t.title.as_deref()),
        (Some("group:dba"), Some(Impact::High), None)
    );
    house.close().await;
    Ok(())
}

/// A gate may look at the impact of what is touched instead of that of the whole database.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn policies_see_the_highest_impact_of_what_is_touched() -> Result<()> {
    let house = House::with(|files| {
        let text = files.entry("statements.cedar".into()).or_default();
        *text = text.replace("resource.impact == \"high\"", "context.impact == \"high\"");
    })
    .await?;
    house.grant("alice", "shop-writer", Span::minutes(30)).await?;
    let client = house.connect("alice").await?;
    assert_eq!(
        client.execute("UPDATE products SET stock = stock WHERE id < 4", &[]).await?,
        3,
        "of low impact"
    );
    for sql in [
        "UPDATE customers SET city = city WHERE id = 1",
        // The highest of what is touched counts, be it only read.
        "UPDATE products SET stock = stock WHERE id IN (SELECT id FROM customers)",
    ] {
        shown(&house, &client, sql, &[]).await?;
    }
    house.close().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_came_before_is_put_forward_with_the_question() -> Result<()> {
    let (house, client) = writer().await?;
    client.batch_execute("SELECT 17").await?;
    assert!(client.batch_execute("SELECT 1 / 0").await.is_err());
    let sql = "DELETE FROM s WHERE id = 13";
    let (first, _) = approved(&house, &client, sql, &[]).await?;
    let so_far = first.so_far.clone().context("nothing came before")?;
    assert!(so_far.since_us.is_some() && !so_far.more, "{so_far:?}");
    let texts: Vec<_> = so_far.statements.iter().map(|one| one.text.clone().unwrap_or_default()).collect();
    assert_eq!(texts[..2], ["SELECT 1 / 0", "SELECT 17"], "newest first");
    let ended: Vec<_> = so_far
        .statements
        .iter()
        .take(2)
        .map(|one| (one.verdict.as_str(), one.result.as_deref(), one.code.as_deref()))
        .collect();
    assert_eq!(ended, [("allow", Some("failed"), Some("22012")), ("allow", Some("done"), None)]);
    assert_eq!(first.earlier.as_ref().map(|earlier| earlier.by_anybody), Some(0));

    let second = shown(&house, &client, sql, &[]).await?;
    let done =
        second.so_far.as_ref().and_then(|so_far| so_far.statements.first()).context("nothing came before")?;
    assert_eq!((done.verdict.as_str(), done.text.as_deref(), done.rows), ("hold", Some(sql), Some(1)));
    assert_eq!(done.request, Some(first.id));
    let earlier = second.earlier.context("not asked")?;
    assert_eq!((earlier.by_person, earlier.by_anybody), (1, 1));
    let time = &earlier.last[0];
    assert_eq!((time.id, time.state, time.by.as_str()), (first.id, "approved", "alice"));
    assert_eq!(time.answered.iter().map(ToString::to_string).collect::<Vec<_>>(), ["bob"]);
    // Another text is another action, however alike.
    let other = shown(&house, &client, "DELETE FROM s WHERE id = 12", &[]).await?;
    assert_eq!(other.earlier.map(|earlier| earlier.by_anybody), Some(0));
    house.close().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_outcome_is_shown_in_figures_afterwards() -> Result<()> {
    let (house, client) = writer().await?;
    let (held, _) = approved(&house, &client, "DELETE FROM s WHERE id > 11 RETURNING id", &[]).await?;
    house.becomes(held.id, "approved").await?;
    let bob = house.person("bob").await?;
    let mut changed = house.engine.changed();
    let ended = loop {
        let view = house.engine.request_view(&bob, held.id)?;
        if let Some(ended) = view.ended {
            break ended;
        }
        changed.changed().await?;
    };
    assert_eq!((ended.result.as_str(), ended.rows), ("done", Some(2)));
    assert!(ended.bytes.unwrap_or(0) > 0 && ended.micros.unwrap_or(0) > 0, "{ended:?}");
    house.close().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn names_that_lead_nowhere_are_told() -> Result<()> {
    let house = House::with(|files| {
        let text = files.entry("resources.toml".into()).or_default();
        text.push_str("[resource.shop.relation.\"public.custmers\"]\nimpact = \"low\"\n");
        text.push_str("[resource.shop.relation.\"public.orders\"]\ncolumns.status = { labels = [\"x\"] }\n");
        text.push_str("columns.sttus = { labels = [\"x\"] }\n");
    })
    .await?;
    let read = house.engine.read_back_accounts().await.context("no answer")?;
    let missing: Vec<String> =
        read.relations.iter().flat_map(|found| found.missing.clone().unwrap_or_default()).collect();
    assert_eq!(missing, ["there is no relation `public.custmers`", "`public.orders` has no column `sttus`"]);
    house.close().await;
    let house = House::open().await?;
    let read = house.engine.read_back_accounts().await.context("no answer")?;
    assert_eq!(read.relations, [], "the sample bundle names what is there");
    house.close().await;
    Ok(())
}
