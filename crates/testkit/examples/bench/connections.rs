//! What connections cost: a new one, thousands that do nothing, hundreds that do something.
//!
//! A new one is measured one after the other, with a client whose own work is the same everywhere. Behind a proxy in session
//! mode each idle connection is one of the server's too.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use rustls::ClientConfig;

use crate::client::Client;
use crate::load::Login;
use crate::options::Options;
use crate::plan::{Cell, Load, Variant};
use crate::stats::{Process, Timer, float, median};
use crate::{Bench, report};

/// How many idle connections are opened at once, and how many when it is only to be seen whether everything works.
const IDLE: (u32, u32) = (2_000, 40);
/// How many clients are busy at once.
const BUSY: (u32, u32) = (500, 20);
/// How many connections one round opens one after the other.
const NEW: (u32, u32) = (60, 5);
/// How long it takes until memory is what it stays, after connections were opened or closed.
const CALM: Duration = Duration::from_secs(3);
/// How often it is looked whether closed connections are gone.
const LOOKS: u32 = 20;

/// What was measured.
#[derive(Debug, Default)]
pub struct Found {
    /// By variant: the median time of a new connection in microseconds, and the processor time of what is in between.
    pub new: Vec<(Variant, f64, Option<f64>)>,
    /// By variant: resident memory of one idle connection in KiB, and what of that is left when all are closed.
    pub idle: Vec<(Variant, u32, f64, f64)>,
    /// How many were busy, by variant: statements a second, 99th percentile in microseconds.
    pub busy: Vec<(Variant, u32, f64, f64)>,
}

/// Measures all three, with TLS.
pub fn measure(bench: &Bench, options: &Options) -> Result<Found> {
    let many = |(full, quick): (u32, u32)| if options.is_brief() { quick } else { full };
    let variants: Vec<Variant> = options.variants.iter().copied().filter(|one| bench.has(*one)).collect();
    let mut found = Found::default();
    let mut took: Vec<(Variant, Vec<f64>, Option<f64>, u32)> = Vec::new();
    for round in 0..options.rounds {
        for variant in turned(&variants, round) {
            let (times, cpu) = open_and_close(bench, variant, many(NEW))?;
            match took.iter_mut().find(|one| one.0 == variant) {
                Some((_, all, used, rounds)) => {
                    all.extend(times);
                    *used = used.zip(cpu).map(|(used, cpu)| used + cpu);
                    *rounds += 1;
                }
                None => took.push((variant, times, cpu, 1)),
            }
        }
    }
    for (variant, times, cpu, rounds) in took {
        let count = float(u64::from(rounds * many(NEW)));
        found.new.push((variant, median(times), cpu.map(|cpu| cpu / count)));
    }
    for variant in [Variant::Bouncer, Variant::Alongside].into_iter().filter(|one| variants.contains(one)) {
        let (kib, left) = idle(bench, variant, many(IDLE))?;
        found.idle.push((variant, many(IDLE), kib, left));
    }
    let cell = Cell { tls: true, load: Load::Prepared, clients: many(BUSY) };
    for variant in variants {
        let burst = bench.burst(&cell, variant, options.length)?;
        found.busy.push((variant, cell.clients, burst.rate, burst.p99));
    }
    Ok(found)
}

/// As a table.
pub fn table(found: &Found) -> String {
    let mut text = "connections, TLS\n".to_owned();
    for (variant, took, cpu) in &found.new {
        let cpu = cpu.map_or_else(|| "-".to_owned(), |cpu| format!("{cpu:.0}"));
        let _ = writeln!(text, "  {:<24} a new one: {took:>7.0} us, CPU {cpu:>6} us", variant.name());
    }
    for (variant, count, kib, left) in &found.idle {
        let _ = writeln!(
            text,
            "  {:<24} {count} idle: {kib:.1} KiB resident each; {left:.1} KiB each are left when they are closed",
            variant.name()
        );
    }
    for (variant, count, rate, p99) in &found.busy {
        let _ = writeln!(
            text,
            "  {:<24} {count} busy: {rate:>6.0} statements a second, p99 {:.0} ms",
            variant.name(),
            p99 / 1e3
        );
    }
    text
}

fn turned(variants: &[Variant], round: u32) -> Vec<Variant> {
    let mut turned = variants.to_vec();
    turned.rotate_left(usize::try_from(round).unwrap_or(0) % variants.len().max(1));
    turned
}

fn open_and_close(bench: &Bench, variant: Variant, count: u32) -> Result<(Vec<f64>, Option<f64>)> {
    let (port, login, process) = bench.way(variant)?;
    bench.gateway.apart();
    let before = process.map(Process::cpu_micros).transpose()?;
    let mut took = Vec::new();
    for _ in 0..count {
        let timer = Timer::start();
        let client = Client::connect(port, login, Some(&bench.tls))?;
        took.push(timer.micros());
        client.close()?;
    }
    let cpu = match (process, before) {
        (Some(process), Some(before)) => {
            std::thread::sleep(crate::load::SETTLE);
            Some(process.cpu_micros()? - before)
        }
        _ => None,
    };
    Ok((took, cpu))
}

/// Resident memory of each idle connection in KiB, and what is left of it afterwards.
fn idle(bench: &Bench, variant: Variant, count: u32) -> Result<(f64, f64)> {
    let (port, login, process) = bench.way(variant)?;
    let process = process.context("nothing is in between")?;
    bench.gateway.apart();
    let resident = || process.memory_mib("VmRSS:").map(|mib| mib * 1024.0);
    std::thread::sleep(CALM);
    let before = resident()?;
    report::say(&format!("{}: opening {count} connections", variant.name()));
    let clients = open(port, login, &bench.tls, count)?;
    std::thread::sleep(CALM);
    let with = resident()?;
    for client in clients {
        client.close()?;
    }
    let mut after = resident()?;
    for _ in 0..LOOKS {
        std::thread::sleep(CALM / LOOKS);
        after = after.min(resident()?);
    }
    let each = |kib: f64| (kib - before) / f64::from(count);
    Ok((each(with), each(after)))
}

fn open(port: u16, login: &Login, tls: &Arc<ClientConfig>, count: u32) -> Result<Vec<Client>> {
    (0..count).map(|_| Client::connect(port, login, Some(tls)).map(Client::at_rest)).collect()
}

/// The time of a new connection through the gateway, of direct's.
pub fn of_direct(found: &Found) -> Option<f64> {
    let time = |wanted| found.new.iter().find(|one| one.0 == wanted).map(|one| one.1);
    Some(time(Variant::Alongside)? / time(Variant::Direct)?)
}

/// Processor time of a new connection through the gateway, in milliseconds.
pub fn cpu_ms(found: &Found) -> Option<f64> {
    found.new.iter().find(|one| one.0 == Variant::Alongside)?.2.map(|micros| micros / 1e3)
}

/// Resident memory of an idle connection of the gateway, in KiB.
pub fn idle_kib(found: &Found) -> Option<f64> {
    found.idle.iter().find(|one| one.0 == Variant::Alongside).map(|one| one.2)
}

/// What hundreds of clients reach together, of pgbouncer's.
pub fn busy(found: &Found) -> Option<f64> {
    let rate = |wanted| found.busy.iter().find(|one| one.0 == wanted).map(|one| one.2);
    Some(rate(Variant::Alongside)? / rate(Variant::Bouncer)?)
}
