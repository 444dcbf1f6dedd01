//! Judges PostgreSQL's regression suite statement by statement against a live server; see `cargo xtask regress --help`.

use std::io::Write as _;
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context as _, Result, bail};
use countersign_testkit::live::obtain::{self, SUITE_MAJOR};
use countersign_testkit::live::suite::{COMMON, Figures, Suite};
use countersign_testkit::live::{Server, on_a_large_stack};

const HELP: &str = "\
cargo xtask regress [--server MAJOR] [--threads N] [NAME...]

Judges each statement of PostgreSQL's regression suite as the door would, runs it on a scratch server (15 unless
said otherwise) and compares: command tags with verbs, what provable reads and writes really did with what was
promised. NAMEs are scripts of the suite (`select`, `triggers`); all of them if none is given.
";

fn main() -> ExitCode {
    match run() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            say(&format!("error: {error:#}"));
            ExitCode::from(2)
        }
    }
}

fn run() -> Result<bool> {
    let (mut major, mut threads) = (SUITE_MAJOR, std::thread::available_parallelism()?.get());
    let mut names = Vec::new();
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let mut number =
            || arguments.next().and_then(|n| n.parse::<u32>().ok()).context("a number must follow");
        match argument.as_str() {
            "--server" => major = number()?,
            "--threads" => threads = number()? as usize,
            "--help" | "-h" => {
                say(HELP);
                return Ok(true);
            }
            option if option.starts_with('-') => bail!("there is no option `{option}`:\n{HELP}"),
            name => names.push(name.to_owned()),
        }
    }
    let scripts = obtain::suite().context("the regression suite is not to be had")?;
    if names.is_empty() {
        names = Suite::names(&scripts)?;
    }
    names.reverse();
    let waiting = Arc::new(Mutex::new(names));
    let total = Arc::new(Mutex::new(Figures::default()));
    let mut workers = Vec::new();
    for first in 0..threads.max(1) {
        let (waiting, total, scripts) = (Arc::clone(&waiting), Arc::clone(&total), scripts.clone());
        workers.push(std::thread::spawn(move || {
            on_a_large_stack(move || {
                let server = Server::start(major)?;
                let suite = Suite::prepare(&server, &scripts, &COMMON)?;
                if first == 0 {
                    add(&total, suite.common().clone());
                }
                loop {
                    let next = waiting.lock().unwrap_or_else(PoisonError::into_inner).pop();
                    let Some(name) = next else { return Ok(()) };
                    let figures = suite.run(&name).with_context(|| name.clone())?;
                    say(&format!("{name}: {} statements", figures.statements));
                    add(&total, figures);
                }
            })
        }));
    }
    for worker in workers {
        worker.join().map_err(|_| anyhow::anyhow!("a worker panicked"))??;
    }
    let total = total.lock().unwrap_or_else(PoisonError::into_inner);
    let mut out = std::io::stdout().lock();
    for (what, found) in [
        ("not parsed", &total.not_parsed),
        ("broke off", &total.broken),
        ("wrong verb", &total.wrong_verbs),
        ("unnamed", &total.unnamed),
        ("changed", &total.changed),
    ] {
        for one in found {
            writeln!(out, "{what}: {one}")?;
        }
    }
    writeln!(out, "PostgreSQL {major}\n{}", total.table())?;
    Ok(total.is_clean())
}

fn add(total: &Mutex<Figures>, figures: Figures) {
    total.lock().unwrap_or_else(PoisonError::into_inner).add(figures);
}

fn say(text: &str) {
    let _nobody_listens = writeln!(std::io::stderr().lock(), "{}", text.trim_end());
}
