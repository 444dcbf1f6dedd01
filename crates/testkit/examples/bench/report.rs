//! What is printed.

use std::fmt::Write as _;
use std::io::Write as _;

use anyhow::Result;

use crate::gateway::{Count, Memory};
use crate::plan::{Cell, Variant};
use crate::server::Server;
use crate::stats::{Rounds, float};
use countersign_testkit::leash;

/// Says how it goes, on standard error.
pub fn say(text: &str) {
    let _nobody_listens = writeln!(std::io::stderr().lock(), "{}", text.trim_end());
}

/// On what this runs.
pub fn machine(server: &Server, bouncer: bool) -> Result<String> {
    let cores = std::thread::available_parallelism()?;
    let kernel = leash::run(leash::command("uname", false).arg("-sr"))?;
    let load = std::fs::read_to_string("/proc/loadavg")?;
    let load = load.split(' ').next().unwrap_or_default();
    let without = if bouncer { "" } else { "; pgbouncer is not installed" };
    let (kernel, version) = (kernel.trim(), &server.version);
    Ok(format!("{cores} cores, {kernel}, PostgreSQL {version}, load {load} before{without}"))
}

/// One cell: a line for each variant.
pub fn cell(cell: &Cell, rounds: &Rounds) -> String {
    let mut text = format!(
        "{}\n  {:<24} {:>9} {:>9} {:>12} {:>9} {:>9} {:>9}\n",
        cell.name(),
        "",
        if cell.load.is_stream() { "MB/s" } else { "a second" },
        "of direct",
        "of pgbouncer",
        "p50 us",
        "p99 us",
        if cell.load.is_stream() { "CPU s/GB" } else { "CPU us" },
    );
    for variant in Variant::ALL.into_iter().filter(|variant| rounds.has(cell, *variant)) {
        let figure = |value: Option<f64>, digits: usize| {
            value.map_or_else(|| "-".to_owned(), |value| format!("{value:.digits$}"))
        };
        let (cpu, digits) = if cell.load.is_stream() {
            (rounds.cpu_a_gigabyte(cell, variant), 2)
        } else {
            (rounds.cpu(cell, variant), 1)
        };
        let _ = writeln!(
            text,
            "  {:<24} {:>9} {:>9} {:>12} {:>9} {:>9} {:>9}",
            variant.name(),
            figure(rounds.of(cell, variant, |burst| burst.rate), 0),
            figure(rounds.ratio(cell, variant, Variant::Direct), 2),
            figure(rounds.ratio(cell, variant, Variant::Bouncer), 2),
            figure(rounds.of(cell, variant, |burst| burst.p50), 0),
            figure(rounds.of(cell, variant, |burst| burst.p99), 0),
            figure(cpu, digits),
        );
    }
    text
}

/// What concerns no single cell.
pub fn closing(rounds: &Rounds, memory: &Memory, count: &Count) -> String {
    let (least, most) = rounds.fsync_range();
    format!(
        "one sync of the ledger's disk: {:.0} us (from {least:.0} to {most:.0} between rounds)\n\
         gateway, resident: {:.0} MiB at the end, {:.0} MiB at most\n\
         recorded / executed: {:.3} over {} statements in {} bursts; not 1.000 in {} of them; ledger {} lines\n",
        rounds.fsync_micros(),
        memory.now_mib,
        memory.most_mib,
        float(count.recorded()) / float(count.executed().max(1)),
        count.executed(),
        count.bursts(),
        count.wrong(),
        count.lines,
    )
}
