//! What one sync costs on the ledger's disk, now.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::Path;

use anyhow::Result;

use crate::stats::{Timer, median};

/// How many times it is tried.
const TRIES: usize = 40;
/// How much is written before each: a page of the store.
const PAGE: [u8; 4096] = [7; 4096];

/// The median microseconds of an append of one page and its sync, in the folder where the ledger is.
pub fn fsync_micros(folder: &Path) -> Result<f64> {
    let path = folder.join("sync");
    let mut file = OpenOptions::new().create(true).append(true).open(&path)?;
    let mut took = Vec::with_capacity(TRIES);
    for _ in 0..TRIES {
        let timer = Timer::start();
        file.write_all(&PAGE)?;
        file.sync_data()?;
        took.push(timer.micros());
    }
    std::fs::remove_file(&path)?;
    Ok(median(took))
}
