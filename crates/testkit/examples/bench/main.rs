//! What the gateway costs: pgbench direct, through a blind TCP relay, through pgbouncer in session mode and through
//! the gateway, interleaved in one run. `cargo xtask bench postgres` builds and runs this; `docs/developers/benchmarks.md`
//! explains what it prints.
//!
//! Absolute figures say how busy a machine was; what is compared is always the same round. No timing makes this fail.
//! One thing does: a statement that was executed through the gateway and is not in the ledger, or is there twice.

mod bouncer;
mod disk;
mod gateway;
mod load;
mod options;
mod plan;
mod relay;
mod report;
mod server;
mod stats;
mod targets;

use std::process::ExitCode;

use anyhow::{Context as _, Result, bail};
use tempfile::TempDir;

use bouncer::Bouncer;
use gateway::Gateway;
use load::Burst;
use options::{Length, Options};
use plan::{Cell, Load, Variant};
use relay::Relay;
use server::Server;
use stats::Rounds;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let done = match args.as_slice() {
        ["relay", listen, upstream] => relay::run(listen, upstream).map(|()| ExitCode::SUCCESS),
        ["--help" | "-h"] => {
            println!("{}", options::HELP);
            Ok(ExitCode::SUCCESS)
        }
        args => Options::read(args).and_then(|options| bench(&options)),
    };
    done.unwrap_or_else(|error| {
        report::say(&format!("error: {error:#}"));
        ExitCode::FAILURE
    })
}

/// Everything that is measured.
struct Bench {
    folder: TempDir,
    server: Server,
    relay: Relay,
    bouncer: Option<Bouncer>,
    gateway: Gateway,
}

fn bench(options: &Options) -> Result<ExitCode> {
    report::say("starting PostgreSQL, the relay, pgbouncer and the gateway");
    let bench = Bench::start(options)?;
    report::say(&report::machine(&bench.server, bench.bouncer.is_some())?);
    let cells = plan::cells(options);
    let mut rounds = Rounds::default();
    // Once each, unmeasured: files come into memory, and what is made at first use is made.
    bench.warm_up()?;
    for cell in &cells {
        bench.connect(cell, options, &mut rounds)?;
        for round in 0..options.rounds {
            rounds.fsync(disk::fsync_micros(bench.folder.path())?);
            for variant in plan::turn(cell, options, bench.bouncer.is_some(), round) {
                let burst = bench.burst(cell, variant, options.length)?;
                rounds.add(cell, variant, round, burst);
            }
        }
        println!("{}", report::cell(cell, &rounds));
    }
    let memory = bench.gateway.memory()?;
    let count = bench.finish()?;
    println!("{}", report::closing(&rounds, &memory, &count));
    println!("{}", targets::table(&rounds));
    match count.wrong() {
        0 => Ok(ExitCode::SUCCESS),
        wrong => {
            report::say(&format!("error: recorded / executed is not 1.000 in {wrong} bursts"));
            Ok(ExitCode::FAILURE)
        }
    }
}

impl Bench {
    fn start(options: &Options) -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("countersign-bench-").tempdir_in("/var/tmp")?;
        let server = Server::start(folder.path())?;
        let relay = Relay::start(server.port)?;
        let bouncer = Bouncer::start(&server)?;
        let gateway = Gateway::start(folder.path(), server.port, options.gateway.as_deref())?;
        Ok(Self { folder, server, relay, bouncer, gateway })
    }

    fn warm_up(&self) -> Result<()> {
        for variant in Variant::ALL {
            if variant == Variant::Bouncer && self.bouncer.is_none() {
                continue;
            }
            self.burst(&plan::WARM_UP, variant, Length::BRIEF)?;
        }
        Ok(())
    }

    /// Measures what connecting costs, which is then no part of what statements do.
    fn connect(&self, cell: &Cell, options: &Options, rounds: &mut Rounds) -> Result<()> {
        for variant in plan::turn(cell, options, self.bouncer.is_some(), 0) {
            if variant != Variant::Direct && cell.load != Load::Rows {
                // Twice: what stays open behind a pool is opened by the first.
                self.burst(cell, variant, Length::Statements(1))?;
                let burst = self.burst(cell, variant, Length::Statements(1))?;
                rounds.connecting(cell, variant, &burst);
            }
        }
        Ok(())
    }

    fn burst(&self, cell: &Cell, variant: Variant, length: Length) -> Result<Burst> {
        let server = &self.server;
        let bouncer = || self.bouncer.as_ref().context("there is no pgbouncer");
        let (port, process) = match variant {
            Variant::Direct => (server.port, None),
            Variant::Relay => (self.relay.port, Some(self.relay.process())),
            Variant::Bouncer => (bouncer()?.port, Some(bouncer()?.process())),
            Variant::Alongside | Variant::Release => (self.gateway.port, Some(self.gateway.process())),
        };
        let login = match variant {
            Variant::Alongside => &self.gateway.alongside,
            Variant::Release => &self.gateway.release,
            Variant::Direct | Variant::Relay | Variant::Bouncer => &server.login,
        };
        let began = self.gateway.begin(variant);
        let burst = load::run(self.folder.path(), cell, (port, login), process, length)
            .with_context(|| format!("{}, {}", cell.name(), variant.name()))?;
        if burst.failed > 0 {
            bail!("{}, {}: {} statements failed", cell.name(), variant.name(), burst.failed);
        }
        self.gateway.end(began, burst.executed);
        Ok(burst)
    }

    /// Stops the gateway in good order and counts what it wrote.
    fn finish(self) -> Result<gateway::Count> {
        self.gateway.count()
    }
}
