//! The crash simulation for longer than the tests run it, or one seed of it again.

use anyhow::{Context as _, Result, bail};

use crate::prerequisites;
use crate::run::{finish, program};

const HELP: &str = "\
cargo xtask simulate                 as many seeds as the tests run
cargo xtask simulate --seeds N       so many, from the first on, or from --seed on
cargo xtask simulate --seed S        that one, as it ran before
cargo xtask simulate --minutes M     seed after seed for that long";

/// Which options there are, and how the simulation is told.
const OPTIONS: [(&str, &str); 3] = [
    ("--seeds", "COUNTERSIGN_SIMULATION_SEEDS"),
    ("--seed", "COUNTERSIGN_SIMULATION_SEED"),
    ("--minutes", "COUNTERSIGN_SIMULATION_MINUTES"),
];

/// Runs the simulation; it prints what it came to, and of each seed that failed how to run it again.
pub fn simulate(args: &[&str]) -> Result<()> {
    let settings = settings(args)?;
    prerequisites::for_tests()?;
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = program(cargo);
    command.args(["test", "--workspace", "--locked", "--test", "simulation", "--", "--nocapture", "--exact"]);
    command.arg("nothing_breaks_its_word");
    command.envs(settings.into_iter().map(|(variable, number)| (variable, number.to_string())));
    finish(&mut command)
}

fn settings(args: &[&str]) -> Result<Vec<(&'static str, u64)>> {
    let (pairs, rest) = args.as_chunks::<2>();
    if let [unknown] = rest {
        bail!("`{unknown}` needs a number, or is no option:\n{HELP}");
    }
    let setting = |[option, number]: &[&str; 2]| {
        let known = OPTIONS.iter().find(|(name, _)| name == option);
        let (_, variable) = known.with_context(|| format!("there is no option `{option}`:\n{HELP}"))?;
        let number: u64 = number.parse().with_context(|| format!("`{number}` is no number:\n{HELP}"))?;
        Ok((*variable, number))
    };
    pairs.iter().map(setting).collect()
}
