//! The benchmarks: built in release, run from the repository's root. They print; they assert nothing about time.

use anyhow::{Result, bail};

use crate::prerequisites;
use crate::run::{cargo, finish, program, say, target};

/// How the benchmarks are asked for.
const HELP: &str = "\
cargo xtask bench                       all of:
cargo xtask bench postgres [OPTIONS]    direct, relay, pgbouncer and gateway; --help lists the options
cargo xtask bench mcp [OPTIONS]         calls of tools, direct and through the gateway; --help lists the options
cargo xtask bench verdict               what one verdict of the policy costs";

/// Runs what is named, or everything.
pub fn bench(args: &[&str]) -> Result<()> {
    match args {
        [] => {
            build()?;
            verdict()?;
            tools(&[])?;
            postgres(&[])
        }
        ["mcp", options @ ..] => {
            build()?;
            tools(options)
        }
        ["postgres", options @ ..] => {
            build()?;
            postgres(options)
        }
        ["verdict"] => {
            build()?;
            verdict()
        }
        [unknown, ..] => bail!("there is no benchmark `{unknown}`:\n{HELP}"),
    }
}

/// Everything at once, as the tests build it: other features of a dependency would mean another gateway.
fn build() -> Result<()> {
    prerequisites::for_bench()?;
    say("building in release (the first time takes a while)");
    cargo(&["build", "--release", "--workspace", "--bins", "--examples", "--locked"])
}

fn postgres(options: &[&str]) -> Result<()> {
    finish(program(target().join("release/examples/bench")).args(options))
}

fn tools(options: &[&str]) -> Result<()> {
    finish(program(target().join("release/examples/tools_bench")).args(options))
}

/// A short run of what calls of tools cost, as the tests build it: whether everything works.
pub fn tools_quickly() -> Result<()> {
    cargo(&["build", "--workspace", "--locked", "--quiet", "--example", "tools_bench"])?;
    finish(program(target().join("debug/examples/tools_bench")).arg("--quick"))
}

fn verdict() -> Result<()> {
    finish(&mut program(target().join("release/examples/verdict_bench")))
}
