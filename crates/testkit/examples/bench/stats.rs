//! Figures: what was measured in which round, medians, and what the kernel knows of a process.

use std::collections::BTreeMap;
use std::sync::OnceLock;
use std::time::Instant;

use anyhow::{Context as _, Result};

use crate::load::Burst;
use crate::plan::{Cell, Variant};
use countersign_testkit::leash;

/// Measures a span of time.
pub struct Timer(Instant);

impl Timer {
    /// From now on.
    #[expect(clippy::disallowed_methods, reason = "a benchmark reads the clock; nothing it measures does")]
    pub fn start() -> Self {
        Self(Instant::now())
    }

    /// Until now.
    pub fn micros(&self) -> f64 {
        self.0.elapsed().as_secs_f64() * 1e6
    }
}

/// A process, by number.
#[derive(Clone, Copy, Debug)]
pub struct Process(pub u32);

impl Process {
    /// Processor time so far, of all its threads, in the kernel and outside, in microseconds.
    pub fn cpu_micros(self) -> Result<f64> {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.0))?;
        // The name, in parentheses, may hold anything; behind it come numbers.
        let (_, numbers) = stat.rsplit_once(") ").context("the kernel's account is not understood")?;
        let ticks: f64 =
            numbers.split(' ').skip(11).take(2).filter_map(|word| word.parse::<f64>().ok()).sum();
        Ok(ticks / ticks_a_second() * 1e6)
    }

    /// A figure of `/proc/PID/status` in MiB.
    pub fn memory_mib(self, name: &str) -> Result<f64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.0))?;
        let line = status.lines().find(|line| line.starts_with(name)).context("no such figure")?;
        let kib: f64 = line.split_whitespace().nth(1).context("no figure")?.parse()?;
        Ok(kib / 1024.0)
    }
}

fn ticks_a_second() -> f64 {
    static TICKS: OnceLock<f64> = OnceLock::new();
    *TICKS.get_or_init(|| {
        let said = leash::run(leash::command("getconf", false).arg("CLK_TCK"));
        said.ok().and_then(|said| said.trim().parse().ok()).unwrap_or(100.0)
    })
}

/// Everything that was measured.
#[derive(Default)]
pub struct Rounds {
    bursts: BTreeMap<(Cell, Variant), BTreeMap<u32, Burst>>,
    connecting: BTreeMap<(Cell, Variant), Burst>,
    fsyncs: Vec<f64>,
}

impl Rounds {
    /// Takes in a burst.
    pub fn add(&mut self, cell: &Cell, variant: Variant, round: u32, burst: Burst) {
        self.bursts.entry((*cell, variant)).or_default().insert(round, burst);
    }

    /// Takes in a burst that did little but connect.
    pub fn connecting(&mut self, cell: &Cell, variant: Variant, burst: &Burst) {
        self.connecting.insert((*cell, variant), burst.clone());
    }

    /// Takes in what a sync costs now.
    pub fn fsync(&mut self, micros: f64) {
        self.fsyncs.push(micros);
    }

    /// What a sync cost in the median of the rounds, in microseconds.
    pub fn fsync_micros(&self) -> f64 {
        median(self.fsyncs.clone())
    }

    /// What the syncs cost, from the quietest round to the busiest.
    pub fn fsync_range(&self) -> (f64, f64) {
        let fold = |start: f64, pick: fn(f64, f64) -> f64| self.fsyncs.iter().copied().fold(start, pick);
        (fold(f64::INFINITY, f64::min), fold(0.0, f64::max))
    }

    /// Whether a variant was measured in a cell.
    pub fn has(&self, cell: &Cell, variant: Variant) -> bool {
        self.bursts.contains_key(&(*cell, variant))
    }

    /// The median of a figure over the rounds.
    pub fn of(&self, cell: &Cell, variant: Variant, figure: impl Fn(&Burst) -> f64) -> Option<f64> {
        let rounds = self.bursts.get(&(*cell, variant))?;
        Some(median(rounds.values().map(figure).collect()))
    }

    /// The median over the rounds of the ratio of two variants' rates.
    pub fn ratio(&self, cell: &Cell, variant: Variant, to: Variant) -> Option<f64> {
        let (these, those) = (self.bursts.get(&(*cell, variant))?, self.bursts.get(&(*cell, to))?);
        let pairs = these.iter().filter_map(|(round, this)| Some((this, those.get(round)?)));
        let ratios: Vec<f64> = pairs.map(|(this, that)| this.rate / that.rate).collect();
        (!ratios.is_empty()).then(|| median(ratios))
    }

    /// Processor seconds per gigabyte over all rounds.
    pub fn cpu_a_gigabyte(&self, cell: &Cell, variant: Variant) -> Option<f64> {
        let rounds = self.bursts.get(&(*cell, variant))?;
        let micros: f64 = rounds.values().map(|burst| burst.cpu).sum::<Option<f64>>()?;
        let bytes: u64 = rounds.values().map(|burst| burst.bytes).sum();
        (bytes > 0).then(|| micros / float(bytes) * 1e3)
    }

    /// Processor time per statement over all rounds, connecting not included, in microseconds.
    pub fn cpu(&self, cell: &Cell, variant: Variant) -> Option<f64> {
        let rounds = self.bursts.get(&(*cell, variant))?;
        let connecting = self.connecting.get(&(*cell, variant)).cloned().unwrap_or_default();
        let total: f64 = rounds.values().map(|burst| burst.cpu).sum::<Option<f64>>()?;
        let executed: u64 =
            rounds.values().map(|burst| burst.executed - connecting.executed.min(burst.executed)).sum();
        let rounds = float(u64::try_from(rounds.len()).unwrap_or_default());
        let total = (total - rounds * connecting.cpu.unwrap_or_default()).max(0.0);
        (executed > 0).then(|| total / float(executed))
    }
}

/// The median; zero of nothing.
pub fn median(mut of: Vec<f64>) -> f64 {
    of.sort_by(f64::total_cmp);
    percentile(&of, 50.0)
}

/// A percentile of sorted figures; zero of nothing.
pub fn percentile(sorted: &[f64], percent: f64) -> f64 {
    let last = sorted.len().saturating_sub(1);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "an index between zero and the last"
    )]
    let index = (last as f64 * percent / 100.0).round() as usize;
    sorted.get(index).copied().unwrap_or_default()
}

/// A count as a figure.
#[expect(clippy::cast_precision_loss, reason = "counts of a benchmark are far below 2^52")]
pub fn float(count: u64) -> f64 {
    count as f64
}
