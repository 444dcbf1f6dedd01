//! The workbench: a client of the door that lives inside the gateway is a client like any other.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use countersign_core::{ResourceId, Span};
use countersign_engine::audit::LedgerQuery;
use countersign_engine::workbench::{Export, Order, Said, Told, Transaction, Workbench};
use countersign_engine::{Client, RefusedCode};
use countersign_testkit::House;
use tokio::sync::mpsc;

const SOON: Duration = Duration::from_secs(20);

/// A workbench of somebody's on the shop, and what it tells.
struct Bench {
    workbench: Workbench,
    hears: Option<mpsc::Receiver<Told>>,
}

impl Bench {
    async fn open(house: &House, name: &str) -> Result<Self> {
        let caller = house.person(name).await?;
        let client = Client {
            address: "192.0.2.7:50000".parse()?,
            application: "Countersign workbench".into(),
            tls: true,
            proved: None,
        };
        let shop = ResourceId::new("shop");
        let workbench = house.engine.open_workbench(&caller, (&shop, None), client, None).await?;
        Ok(Self { workbench, hears: None })
    }

    async fn start(&mut self, text: &str, rows_max: u32) -> Result<()> {
        let (told, hears) = mpsc::channel(2);
        self.workbench.orders.send(Order::Run { text: Arc::from(text), rows_max, told }).await?;
        self.hears = Some(hears);
        Ok(())
    }

    async fn next(&mut self) -> Result<Option<Told>> {
        let hears = self.hears.as_mut().context("nothing runs")?;
        tokio::time::timeout(SOON, hears.recv()).await.context("nothing is told")
    }

    /// Everything to the end of the run.
    async fn rest(&mut self) -> Result<Seen> {
        let mut seen = Seen::default();
        while let Some(told) = self.next().await? {
            match told {
                Told::Statement { at, text, .. } => seen.statements.push((at, text)),
                Told::Columns(columns) => {
                    seen.columns = columns.into_iter().map(|column| column.name).collect();
                }
                Told::Rows(rows) => {
                    let before = seen.rows.len();
                    seen.cut
                        .extend(rows.cut.iter().map(|(row, column, bytes)| (before + row, *column, *bytes)));
                    seen.rows.extend(rows.rows);
                }
                Told::Notice(_) | Told::Held { .. } => {}
                Told::Done { tag, more } => seen.done.push((tag, more)),
                Told::Failed(said) => seen.failed = Some(said),
                Told::Over(transaction) => seen.over = Some(transaction),
                Told::Ended(said) => seen.ended = said,
            }
        }
        Ok(seen)
    }

    async fn run(&mut self, text: &str) -> Result<Seen> {
        self.start(text, 100).await?;
        self.rest().await
    }

    /// Reads until a statement waits; says for which request.
    async fn held(&mut self) -> Result<String> {
        while let Some(told) = self.next().await? {
            if let Told::Held { request, .. } = told {
                return Ok(request);
            }
        }
        bail!("nothing was held")
    }
}

#[derive(Debug, Default)]
struct Seen {
    statements: Vec<(usize, String)>,
    columns: Vec<String>,
    rows: Vec<Vec<Option<String>>>,
    cut: Vec<(usize, usize, usize)>,
    done: Vec<(String, bool)>,
    failed: Option<Said>,
    over: Option<Transaction>,
    ended: Option<Said>,
}

impl Seen {
    fn failure(&self) -> &str {
        self.failed.as_ref().map_or("", |said| said.message.as_str())
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_grant_it_is_refused_as_any_client_is() -> Result<()> {
    let house = House::open().await?;
    let refused = Bench::open(&house, "alice").await.err().context("let in")?;
    let refused = refused.downcast::<countersign_engine::Refused>()?;
    assert_eq!(refused.code, RefusedCode::NoGrant);
    assert_eq!(refused.message, "you hold no live grant that reaches `shop`");
    assert!(refused.hint.unwrap_or_default().contains("countersign request shop-"));
    house.deserted().await?;
    house.close().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn statements_run_one_by_one_up_to_the_first_that_fails() -> Result<()> {
    let house = House::open().await?;
    house.grant("alice", "shop-writer", Span::minutes(30)).await?;
    let mut bench = Bench::open(&house, "alice").await?;
    assert_eq!(bench.workbench.begun.session.role().as_str(), "shop-writer");
    assert!(bench.workbench.begun.server.chars().next().is_some_and(|first| first.is_ascii_digit()));
    let text = "SELECT 1 AS a, NULL AS b;\n-- the second; really\nSELECT 'x' AS a; SELECT 1/0; SELECT 3";
    let seen = bench.run(text).await?;
    assert_eq!(seen.statements.len(), 3, "what follows one that fails is not sent: {seen:?}");
    assert!(seen.statements.iter().all(|(at, one)| text[*at..].starts_with(one.as_str())), "{seen:?}");
    assert_eq!(seen.done, [("SELECT 1".into(), false), ("SELECT 1".into(), false)]);
    assert_eq!(seen.rows, [vec![Some("1".into()), None], vec![Some("x".into())]]);
    assert_eq!((seen.failure(), seen.over), ("division by zero", Some(Transaction::None)));

    let wrong = bench.run("SELECT 1; SELECT nonsense FROM orders").await?;
    assert_eq!(wrong.failed.context("no error")?.position, Some(8), "in the statement, not in the text");
    assert_eq!(bench.run("-- nothing").await?.over, Some(Transaction::None));
    assert_eq!(bench.run("BEGIN").await?.over, Some(Transaction::Open));
    assert_eq!(bench.run("SELECT nonsense").await?.over, Some(Transaction::Failed));
    assert_eq!(bench.run("ROLLBACK").await?.over, Some(Transaction::None));
    house.close().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_result_ends_where_it_is_enough_and_goes_on_being_usable() -> Result<()> {
    let house = House::open().await?;
    house.grant("alice", "shop-reader", Span::minutes(30)).await?;
    let mut bench = Bench::open(&house, "alice").await?;
    bench.start("SELECT n FROM generate_series(1, 100000) AS n", 1_200).await?;
    let seen = bench.rest().await?;
    assert_eq!(seen.rows.len(), 1_200);
    assert_eq!(seen.done, [("SELECT 1200".into(), true)]);
    let long = bench.run("SELECT repeat('é', 100000) AS long, 1 AS one").await?;
    assert_eq!(long.cut, [(0, 0, 200_000)]);
    assert_eq!(long.rows[0][0].as_ref().map(String::len), Some(64 << 10));
    assert_eq!(long.rows[0][1].as_deref(), Some("1"));
    let huge = bench.run("SELECT repeat('x', 20000000) AS huge").await?;
    assert_eq!(huge.failure(), "a row of more than 4 MiB can't be shown here", "{huge:?}");
    let much = bench.run("SELECT repeat('x', 3000000) AS much FROM generate_series(1, 90)").await?;
    assert_eq!(much.failure(), "the result is more than 64 MiB; the statement was cancelled");
    assert_eq!(bench.run("SELECT 'usable' AS state").await?.rows, [[Some("usable".to_owned())]]);
    house.close().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_write_waits_and_runs_when_it_is_approved() -> Result<()> {
    let house = House::open().await?;
    house.grant("alice", "shop-writer", Span::minutes(30)).await?;
    let mut bench = Bench::open(&house, "alice").await?;
    bench.start("DELETE FROM orders WHERE status = 'duplicate' RETURNING id", 100).await?;
    let request = bench.held().await?;
    let held = house.held().await?;
    assert_eq!(held.id.to_string(), request);
    assert_eq!(held.text.as_deref(), Some("DELETE FROM orders WHERE status = 'duplicate' RETURNING id"));
    assert_eq!(held.rows.context("no rows")?.bound, Some(12));
    house.approve(held.id).await?;
    let seen = bench.rest().await?;
    assert_eq!((seen.rows.len(), seen.done), (12, vec![("DELETE 12".into(), false)]));

    bench.start("DELETE FROM orders", 100).await?;
    bench.held().await?;
    house.deny(house.held().await?.id, "all of them?").await?;
    assert_eq!(bench.rest().await?.failure(), "denied by bob: all of them?");
    assert_eq!(
        bench.run("DROP TABLE orders").await?.failed.context("dropped")?.code,
        "42501",
        "what nothing lifts is refused here as well"
    );
    house.close().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cancelling_withdraws_what_waits_and_so_does_not_listening_any_more() -> Result<()> {
    let house = House::open().await?;
    house.grant("alice", "shop-writer", Span::minutes(30)).await?;
    let mut bench = Bench::open(&house, "alice").await?;
    bench.start("DELETE FROM orders", 100).await?;
    bench.held().await?;
    let held = house.held().await?.id;
    bench.workbench.orders.send(Order::Cancel).await?;
    let seen = bench.rest().await?;
    assert_eq!(seen.failed.as_ref().map(|said| said.code.as_str()), Some("57014"), "{seen:?}");
    house.becomes(held, "withdrawn").await?;

    bench.start("DELETE FROM orders", 100).await?;
    bench.held().await?;
    let held = house.held().await?.id;
    bench.hears = None;
    house.becomes(held, "withdrawn").await?;
    let after = bench.run("SELECT 'usable' AS state").await?;
    assert_eq!(after.rows, [[Some("usable".to_owned())]], "{after:?}");

    bench.start("SELECT pg_sleep(60)", 100).await?;
    bench.held().await?;
    house.approve(house.held().await?.id).await?;
    bench.workbench.leave.send_replace(true);
    house.deserted().await?;
    house.close().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_revoked_grant_ends_it_idle_and_while_something_waits() -> Result<()> {
    let house = House::open().await?;
    let grant = house.grant("alice", "shop-writer", Span::minutes(30)).await?;
    let mut waiting = Bench::open(&house, "alice").await?;
    let idle = Bench::open(&house, "alice").await?;
    waiting.start("DELETE FROM orders", 100).await?;
    waiting.held().await?;
    house.engine.revoke(&house.person("bob").await?, grant, Some("enough".into())).await?;
    let seen = waiting.rest().await?;
    assert!(seen.ended.is_some_and(|said| said.severity == "FATAL"), "it is said");
    tokio::time::timeout(SOON, idle.workbench.orders.closed()).await.context("still open")?;
    house.deserted().await?;
    house.close().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_data_is_loaded_and_what_copy_gives_is_shown() -> Result<()> {
    let house = House::open().await?;
    house.grant("alice", "shop-writer", Span::minutes(30)).await?;
    let mut bench = Bench::open(&house, "alice").await?;
    bench.start("COPY (SELECT 1 AS a, 'x' AS b) TO STDOUT", 100).await?;
    bench.held().await?;
    house.approve(house.held().await?.id).await?;
    let seen = bench.rest().await?;
    assert_eq!((seen.rows, seen.columns), (vec![vec![Some("1\tx".to_owned())]], vec!["copy".to_owned()]));
    bench.start("COPY products FROM STDIN", 100).await?;
    let text = loop {
        match bench.next().await? {
            Some(Told::Held { .. }) => house.approve(house.held().await?.id).await?,
            Some(Told::Failed(said)) => break said.message,
            Some(_) => {}
            None => bail!("no answer"),
        }
    };
    assert!(text.contains("no data to load"), "{text}");
    assert_eq!(bench.rest().await?.over, Some(Transaction::None));
    assert_eq!(bench.run("SELECT 'usable' AS state").await?.rows, [[Some("usable".to_owned())]]);
    house.close().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_result_is_carried_away_where_policy_permits_it_and_that_is_recorded() -> Result<()> {
    let house = House::open().await?;
    house.grant("alice", "shop-reader", Span::minutes(30)).await?;
    let bench = Bench::open(&house, "alice").await?;
    let alice = house.person("alice").await?;
    let session = bench.workbench.begun.session.id();
    let export = Export {
        session,
        text: "SELECT email FROM customers".into(),
        columns: vec!["email".into()],
        rows: 7,
    };
    assert!(house.engine.may_export(&alice, session));
    house.engine.export_result(&alice, export.clone()).await?;
    let bob = house.person("bob").await?;
    let query = LedgerQuery { kind: Some("result.exported".into()), limit: 10, ..LedgerQuery::default() };
    let lines = house.engine.search(&bob, query).await?.items;
    let [line] = lines.as_slice() else { bail!("{lines:?}") };
    assert_eq!(line.line.session, Some(session));
    assert_eq!(line.line.data["rows"], 7);
    assert!(!line.line.data.to_string().contains("email"), "what it was is beside the chain");

    let others = house.engine.export_result(&bob, export.clone()).await;
    assert_eq!(others.err().map(|refused| refused.code), Some(RefusedCode::NotFound));
    drop(bench);
    house.deserted().await?;
    house.grant("alice", "shop-writer", Span::minutes(30)).await?;
    let bench = Bench::open(&house, "alice").await?;
    let export = Export { session: bench.workbench.begun.session.id(), ..export };
    let refused = house.engine.export_result(&alice, export).await.err().context("carried away")?;
    assert_eq!(refused.code, RefusedCode::NotPermitted, "shop-writer does not list `sql.export`");
    house.close().await;
    Ok(())
}
