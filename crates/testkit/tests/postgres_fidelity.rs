//! An unmodified client cannot tell the gateway from the server: what it prints is the same, to the letter.
//!
//! These are the clients that come with the server; the others are played by `cargo xtask clients`.

use anyhow::{Result, ensure};
use countersign_testkit::clients::{Conversation, Way};

async fn same(name: &'static str, script: &str, way: Way) -> Result<()> {
    let compared = Conversation::shell(name, script).compare(way).await?;
    ensure!(compared.alike(), "{name} can tell:\n{}", compared.difference());
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn psql_cannot_tell() -> Result<()> {
    same("psql", "psql.sh", Way::Tls).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pg_dump_and_pg_restore_cannot_tell() -> Result<()> {
    same("pg_dump", "pg_dump.sh", Way::Tls).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pgbench_cannot_tell() -> Result<()> {
    same("pgbench", "pgbench.sh", Way::Tls).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn large_objects_cannot_tell() -> Result<()> {
    same("large_objects", "large_objects.sh", Way::Tls).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_a_read_ends_makes_no_difference() -> Result<()> {
    for (name, script) in [("psql", "psql.sh"), ("large_objects", "large_objects.sh")] {
        same(name, script, Way::Bytes).await?;
    }
    Ok(())
}
