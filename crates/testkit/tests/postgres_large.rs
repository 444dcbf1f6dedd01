//! What is large goes through in constant memory, however slow either end is: values, copies in both directions. A program of
//! its own, because it measures what its whole process holds.
//!
//! `COUNTERSIGN_LARGE_MB` says how large (64 if absent; at most 1,023, the most that a value of PostgreSQL has);
//! `cargo xtask large` does it with the most.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test stops at the first surprise")]

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use bytes::BytesMut;
use countersign_testkit::clients::permissive;
use countersign_testkit::peer::Peer;
use countersign_wire::postgres::encode::client;
use countersign_wire::postgres::startup::ProtocolVersion;

const MB: usize = 1024 * 1024;
/// What the process may hold more than before, in MB: both ends of the connection are in it, and what lies ready in between.
const MORE_MB_MAX: usize = 24;
/// How much a client says at a time.
const PIECE: usize = 256 * 1024;

/// What the process holds, in MB.
fn resident() -> Result<usize> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).context("no VmRSS")?;
    let kib: usize = line.split_whitespace().nth(1).context("no number")?.parse()?;
    Ok(kib / 1024)
}

/// The most that the process holds while something goes on.
async fn most_while<T>(work: impl Future<Output = Result<T>>) -> Result<(T, usize)> {
    let mut work = std::pin::pin!(work);
    let mut most = resident()?;
    loop {
        match tokio::time::timeout(Duration::from_millis(5), work.as_mut()).await {
            Ok(done) => return Ok((done?, most)),
            Err(_) => most = most.max(resident()?),
        }
    }
}

/// The head of a copy message whose body is this long.
fn copy_head(body: usize) -> Result<[u8; 5]> {
    let length = u32::try_from(body + 4)?.to_be_bytes();
    Ok([b'd', length[0], length[1], length[2], length[3]])
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_large_passes_in_constant_memory() -> Result<()> {
    let large =
        std::env::var("COUNTERSIGN_LARGE_MB").map_or(Ok(64), |text| text.parse::<usize>())?.min(1_023);
    let house = permissive().await?;
    let credential = house.credential("alice").await?;
    let mut peer = Peer::tls(house.door, true, &[]).await?;
    peer.enter(ProtocolVersion::V3_0, (&credential.user, credential.password.as_str()), "shop").await?;
    let direct = house.database.direct().await?;
    peer.query("SELECT repeat('x', 1000000); CREATE TABLE large (line text)").await?;
    peer.until(b'Z').await?;
    let before = resident()?;

    // One value, whose reader stops for a while in the middle: the server is made to wait.
    let size = large * MB;
    peer.query(&format!("SELECT repeat('x', {size})")).await?;
    peer.until(b'T').await?;
    let (tag, body) = peer.head().await?;
    assert_eq!((tag, body), (b'D', 2 + 4 + size));
    let (_, most) = most_while(async {
        peer.skip(size / 2).await?;
        let text = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'ClientWrite'";
        let waiting = async {
            while direct.query_one(text, &[]).await?.get::<_, i64>(0) == 0 {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            Ok::<_, anyhow::Error>(())
        };
        tokio::time::timeout(Duration::from_secs(60), waiting)
            .await
            .context("the server does not wait")??;
        peer.skip(body - size / 2).await
    })
    .await?;
    println!("a value of {large} MB: {before} MB held before, {most} MB at most");
    ensure!(most < before + MORE_MB_MAX, "{before} MB before, {most} MB at most");
    assert_eq!(peer.until(b'Z').await?.iter().map(|message| message.0).collect::<Vec<_>>(), b"CZ");
    drop(peer);

    // A copy to a server that does not read for a while: the client is made to wait.
    let mut peer = Peer::tls(house.door, true, &[]).await?;
    peer.enter(ProtocolVersion::V3_0, (&credential.user, credential.password.as_str()), "shop").await?;
    direct
        .batch_execute(
            "CREATE FUNCTION waits() RETURNS trigger LANGUAGE plpgsql AS
             $$ BEGIN PERFORM pg_advisory_xact_lock(4711); RETURN NULL; END $$;
             CREATE TRIGGER waits BEFORE INSERT ON large FOR EACH ROW EXECUTE FUNCTION waits();
             SELECT pg_advisory_lock(4711)",
        )
        .await?;
    peer.query("COPY large FROM STDIN").await?;
    peer.until(b'G').await?;
    let line = [&[b'y'; 1023][..], b"\n"].concat();
    let piece: Vec<u8> = line.iter().copied().cycle().take(PIECE).collect();
    let saying = async {
        let mut said = 0;
        while said < size {
            // One message is longer than any buffer; the others are a usual driver's.
            let body = if said == 0 { size / 2 } else { PIECE };
            peer.say(&copy_head(body)?).await?;
            for _ in 0..body / PIECE {
                peer.say(&piece).await?;
            }
            said += body;
        }
        let mut out = BytesMut::new();
        client::copy_done(&mut out);
        peer.say(&out).await?;
        peer.until(b'Z').await
    };
    let (said, most) = most_while(async {
        let mut saying = std::pin::pin!(saying);
        let early = tokio::time::timeout(Duration::from_secs(2), saying.as_mut()).await;
        ensure!(early.is_err(), "somebody has taken all of it");
        direct.batch_execute("SELECT pg_advisory_unlock(4711)").await?;
        saying.await
    })
    .await?;
    println!("a copy of {large} MB: {before} MB held before, {most} MB at most");
    ensure!(most < before + MORE_MB_MAX, "{before} MB before, {most} MB at most");
    ensure!(said.iter().any(|(tag, body)| *tag == b'C' && body.starts_with(b"COPY 0")), "{said:?}");
    drop(peer);
    house.close().await;
    Ok(())
}
