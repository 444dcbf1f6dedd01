//! tokio-postgres and sqlx: pipelines, prepared statements, portals, COPY, streams, transactions, pools.

use anyhow::{Context as _, Result};
use futures_util::{SinkExt as _, StreamExt as _, TryStreamExt as _, future::try_join_all};
use sqlx::postgres::{PgConnectOptions, PgListener, PgPoolOptions};
use sqlx::{Connection as _, Executor as _, Row as _};
use tokio_postgres::NoTls;

#[tokio::main]
async fn main() -> Result<()> {
    match std::env::args().nth(1).as_deref() {
        Some("tokio-postgres") => tokio_postgres().await,
        Some("sqlx") => sqlx().await,
        _ => anyhow::bail!("say which: tokio-postgres or sqlx"),
    }
}

fn env(name: &str) -> Result<String> {
    std::env::var(name).with_context(|| format!("{name} is not set"))
}

async fn tokio_postgres() -> Result<()> {
    let mut config = tokio_postgres::Config::new();
    config.host(env("PGHOST")?).port(env("PGPORT")?.parse()?).user(env("PGUSER")?);
    config.password(env("PGPASSWORD")?).dbname(env("PGDATABASE")?);
    let (mut client, connection) = config.connect(NoTls).await?;
    tokio::spawn(connection);
    client.batch_execute("CREATE TABLE r(id int PRIMARY KEY, t text, b bytea)").await?;
    let insert = client.prepare("INSERT INTO r VALUES ($1, $2, $3)").await?;
    println!("{:?}", insert.params());
    let client_ref = &client;
    let inserts = (0..200_i32).map(|id| {
        let insert = insert.clone();
        async move { client_ref.execute(&insert, &[&id, &format!("row {id}"), &vec![id as u8; 3]]).await }
    });
    println!("{}", try_join_all(inserts).await?.iter().sum::<u64>());
    let transaction = client.transaction().await?;
    let portal = transaction.bind("SELECT id FROM r ORDER BY id", &[]).await?;
    for rows in [3, 10, 0] {
        let got = transaction.query_portal(&portal, rows).await?;
        println!("{} {:?}", got.len(), got.first().map(|row| row.get::<_, i32>(0)));
    }
    transaction.rollback().await?;
    let sink = client.copy_in("COPY r(id, t) FROM STDIN").await?;
    futures_util::pin_mut!(sink);
    for id in 1_000..2_000 {
        sink.send(bytes::Bytes::from(format!("{id}\tcopied\n"))).await?;
    }
    println!("{}", sink.finish().await?);
    let copied: Vec<_> = client.copy_out("COPY r TO STDOUT (FORMAT BINARY)").await?.try_collect().await?;
    println!("{}", copied.iter().map(|chunk| chunk.len()).sum::<usize>());
    for wrong in ["SELECT 1/0", "SELEC", "SELECT * FROM nowhere", "INSERT INTO r VALUES (1)"] {
        let error = client.query(wrong, &[]).await.err().context("no error")?;
        let error = error.as_db_error().context("not the server's")?;
        println!("{} {} {:?} {:?} {:?}", error.code().code(), error.message(), error.position(), error.constraint(), error.routine());
    }
    for message in client.simple_query("SELECT 1 AS a; UPDATE r SET t = 'x' WHERE id < 5; SELECT 2 AS b").await? {
        match message {
            tokio_postgres::SimpleQueryMessage::Row(row) => println!("row {:?}", row.get(0)),
            tokio_postgres::SimpleQueryMessage::CommandComplete(count) => println!("complete {count}"),
            _ => {}
        }
    }
    let token = client.cancel_token();
    let (slept, _) = tokio::join!(client.query("SELECT pg_sleep(30)", &[]), async {
        tokio::time::sleep(std::time::Duration::from_millis(500)).await;
        token.cancel_query(NoTls).await
    });
    println!("{:?}", slept.err().and_then(|error| error.code().map(|code| code.code().to_owned())));
    Ok(())
}


async fn sqlx() -> Result<()> {
    let options: PgConnectOptions = PgConnectOptions::new();
    let mut connection = sqlx::PgConnection::connect_with(&options).await?;
    connection.execute("CREATE TABLE s(id serial PRIMARY KEY, t text NOT NULL, n int8[])").await?;
    for id in 0..150_i64 {
        sqlx::query("INSERT INTO s(t, n) VALUES ($1, $2)").bind(format!("row {id}")).bind(vec![id, id * 2]).execute(&mut connection).await?;
    }
    let described = connection.describe("SELECT id, t, n FROM s WHERE id = $1").await?;
    println!("{:?}", described.nullable);
    let mut rows = sqlx::query("SELECT id, t, n FROM s ORDER BY id").fetch(&mut connection);
    let mut sum = 0_i64;
    while let Some(row) = rows.next().await {
        let row = row?;
        sum += row.get::<Vec<i64>, _>("n").iter().sum::<i64>();
    }
    drop(rows);
    println!("{sum}");
    let mut transaction = connection.begin().await?;
    let error = sqlx::query("INSERT INTO s(id, t) VALUES (1, 'twice')").execute(&mut *transaction).await.err().context("no error")?;
    println!("{:?}", error.as_database_error().and_then(|error| error.code().map(|code| code.into_owned())));
    transaction.rollback().await?;
    let mut copy = sqlx::postgres::PgPoolCopyExt::copy_in_raw(&PgPoolOptions::new().connect_with(options.clone()).await?, "COPY s(t) FROM STDIN").await?;
    copy.send("one\ntwo\n".as_bytes()).await?;
    println!("{}", copy.finish().await?);
    let mut listener = PgListener::connect_with(&PgPoolOptions::new().connect_with(options.clone()).await?).await?;
    listener.listen("here").await?;
    connection.execute("NOTIFY here, 'there'").await?;
    println!("{}", listener.recv().await?.payload());
    let pool = PgPoolOptions::new().max_connections(5).connect_with(options).await?;
    let all = try_join_all((0..50_i32).map(|i| {
        let pool = pool.clone();
        async move { sqlx::query_scalar::<_, i32>("SELECT $1 * 2").bind(i).fetch_one(&pool).await }
    }))
    .await?;
    println!("{}", all.iter().sum::<i32>());
    pool.close().await;
    Ok(())
}
