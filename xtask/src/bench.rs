//! `cargo xtask bench`: the gateway beside direct access, a plain relay and pgbouncer, in one run.

use anyhow::Result;

use crate::prerequisites;
use crate::run::{cargo, replace, target};

/// Builds in release and hands over to the benchmark, which prints ratios.
pub fn bench(args: &[&str]) -> Result<()> {
    prerequisites::for_bench()?;
    cargo(&["build", "--release", "--bin", "countersign", "--package", "countersign"])?;
    cargo(&["build", "--release", "--package", "countersign-testkit", "--example", "bench"])?;
    replace(target().join("release/examples/bench"), args)
}
