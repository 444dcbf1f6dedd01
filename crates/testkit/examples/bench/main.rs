//! What the gateway costs: pgbench direct, through a blind TCP relay, through pgbouncer in session mode and through
//! the gateway, interleaved in one run. `cargo xtask bench postgres` builds and runs this; `docs/developers/benchmarks.md`
//! explains what it prints.
//!
//! Absolute figures say how busy a machine was; what is compared is always the same round. No timing makes this fail.
//! One thing does: a statement that was executed through the gateway and is not in the ledger, or is there twice.

mod bouncer;
mod client;
mod connections;
mod disk;
mod gateway;
mod load;
mod options;
mod plan;
mod relay;
mod report;
mod server;
mod stats;
mod streams;
mod targets;

use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context as _, Result, bail};
use rustls::ClientConfig;
use tempfile::TempDir;

use bouncer::Bouncer;
use gateway::Gateway;
use load::{Burst, Login};
use options::{Connections, Length, Options};
use plan::{Cell, Load, Variant};
use relay::Relay;
use server::Server;
use stats::{Process, Rounds};

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
    tls: Arc<ClientConfig>,
}

fn bench(options: &Options) -> Result<ExitCode> {
    report::say("starting PostgreSQL, the relay, pgbouncer and the gateway");
    let bench = Bench::start(options)?;
    report::say(&report::machine(&bench.server, bench.bouncer.is_some())?);
    let cells = match options.connections {
        Connections::Only => Vec::new(),
        Connections::Too | Connections::None => plan::cells(options),
    };
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
    let connections = match options.connections {
        Connections::None => connections::Found::default(),
        Connections::Only | Connections::Too => connections::measure(&bench, options)?,
    };
    println!("{}", connections::table(&connections));
    let memory = bench.gateway.memory()?;
    let count = bench.finish()?;
    println!("{}", report::closing(&rounds, &memory, &count));
    println!("{}", targets::table(&rounds, &connections));
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
        let tls = Arc::new(countersign_testkit::peer::client_config(&[])?);
        Ok(Self { folder, server, relay, bouncer, gateway, tls })
    }

    fn warm_up(&self) -> Result<()> {
        for variant in Variant::ALL {
            if self.has(variant) {
                self.burst(&plan::WARM_UP, variant, Length::BRIEF)?;
            }
        }
        Ok(())
    }

    /// Measures what connecting costs, which is then no part of what statements do.
    fn connect(&self, cell: &Cell, options: &Options, rounds: &mut Rounds) -> Result<()> {
        for variant in plan::turn(cell, options, self.bouncer.is_some(), 0) {
            if variant != Variant::Direct && !cell.load.is_stream() {
                // Twice: what stays open behind a pool is opened by the first.
                self.burst(cell, variant, Length::Statements(1))?;
                let burst = self.burst(cell, variant, Length::Statements(1))?;
                rounds.connecting(cell, variant, &burst);
            }
        }
        Ok(())
    }

    /// Whether there is such a way.
    fn has(&self, variant: Variant) -> bool {
        variant != Variant::Bouncer || self.bouncer.is_some()
    }

    /// Where it leads, who goes there, and what is in between.
    fn way(&self, variant: Variant) -> Result<(u16, &Login, Option<Process>)> {
        let server = &self.server;
        let bouncer = || self.bouncer.as_ref().context("there is no pgbouncer");
        let (port, process) = match variant {
            Variant::Direct => (server.port, None),
            Variant::Relay => (self.relay.port, Some(self.relay.process())),
            Variant::Bouncer => (bouncer()?.port, Some(bouncer()?.process())),
            Variant::Alongside | Variant::Release | Variant::Masked => {
                (self.gateway.port, Some(self.gateway.process()))
            }
        };
        let login = match variant {
            Variant::Alongside => &self.gateway.alongside,
            Variant::Release => &self.gateway.release,
            Variant::Masked => &self.gateway.masked,
            Variant::Direct | Variant::Relay | Variant::Bouncer => &server.login,
        };
        Ok((port, login, process))
    }

    fn burst(&self, cell: &Cell, variant: Variant, length: Length) -> Result<Burst> {
        let (port, login, process) = self.way(variant)?;
        if cell.load == Load::CopyIn {
            self.server.run(streams::EMPTIED)?;
        }
        let began = self.gateway.begin(variant);
        let burst = if cell.load.is_stream() {
            streams::run(cell, (port, login), process, (length, &self.tls))
        } else {
            load::run(self.folder.path(), cell, (port, login), process, length)
        };
        let burst = burst.with_context(|| format!("{}, {}", cell.name(), variant.name()))?;
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
