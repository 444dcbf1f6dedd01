//! Much at once: a SELECT of five million rows, and COPY in both directions.
//!
//! One client that keeps nothing of what it reads, so that what is in between is what can be slow.

use std::sync::Arc;

use anyhow::{Context as _, Result, ensure};
use rustls::ClientConfig;

use crate::client::Client;
use crate::load::{Burst, Login, SETTLE};
use crate::options::Length;
use crate::plan::{Cell, Load};
use crate::server::SCALE;
use crate::stats::{Process, Timer, float};

/// Where copied rows go.
pub const COPIED: &str =
    "CREATE UNLOGGED TABLE copied (aid integer, bid integer, abalance integer, filler text)";
/// And are taken away again, between copies.
pub const EMPTIED: &str = "TRUNCATE copied";

/// How many rows are in the table.
const ROWS: u64 = 100_000 * SCALE as u64;
/// How often all rows of the table are asked for, and copied.
const TIMES: u64 = 5;
/// How many rows are in one message of a copy.
const ROWS_A_MESSAGE: u64 = 100;

/// Runs one burst.
pub fn run(
    cell: &Cell,
    (port, login): (u16, &Login),
    process: Option<Process>,
    (length, tls): (Length, &Arc<ClientConfig>),
) -> Result<Burst> {
    let mut client = Client::connect(port, login, cell.tls.then_some(tls))?;
    // Whether it works at all is seen with a fiftieth of it.
    let rows = if matches!(length, Length::Seconds(_)) { ROWS * TIMES } else { ROWS * TIMES / 50 };
    let before = process.map(Process::cpu_micros).transpose()?;
    let timer = Timer::start();
    let bytes = stream(&mut client, cell.load, rows)?;
    let took = timer.micros();
    let cpu = match (process, before) {
        (Some(process), Some(before)) => {
            std::thread::sleep(SETTLE);
            Some(process.cpu_micros()? - before)
        }
        _ => None,
    };
    client.close()?;
    Ok(Burst { executed: 1, failed: 0, rate: float(bytes) / took, p50: took, p99: took, cpu, bytes })
}

/// How many bytes went through.
fn stream(client: &mut Client, load: Load, rows: u64) -> Result<u64> {
    let times: Vec<String> = (1..=TIMES).map(|time| format!("({time})")).collect();
    let select = format!(
        "SELECT aid, bid, abalance, filler FROM pgbench_accounts, (VALUES {}) AS times (time) LIMIT {rows}",
        times.join(", ")
    );
    match load {
        Load::CopyIn => {
            let row = format!("4711\t1\t0\t{:84}\n", "");
            let piece = row.repeat(usize::try_from(ROWS_A_MESSAGE)?);
            let times = rows / ROWS_A_MESSAGE;
            client.copy_in("COPY copied FROM STDIN", piece.as_bytes(), times)?;
            Ok(u64::try_from(piece.len())? * times)
        }
        load => {
            let text = if load == Load::CopyOut { format!("COPY ({select}) TO STDOUT") } else { select };
            let came = client.query(&text).with_context(|| text.clone())?;
            ensure!(came.rows == rows, "{} rows came in place of {rows}", came.rows);
            Ok(came.bytes)
        }
    }
}
