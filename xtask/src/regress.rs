//! PostgreSQL's own regression suite against the judgement of statements: obtained, run, figures printed.

use anyhow::Result;

use crate::prerequisites;
use crate::run::{cargo, finish, program, say, target};

/// Builds what runs the suite and runs it; `args` are its own, see `cargo xtask regress --help`.
pub fn regress(args: &[&str]) -> Result<()> {
    prerequisites::for_regress()?;
    say("building");
    cargo(&["build", "--quiet", "--workspace", "--locked", "--example", "regress"])?;
    finish(program(target().join("debug/examples/regress")).args(args))
}
