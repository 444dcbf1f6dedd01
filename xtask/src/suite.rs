//! Every check, in the order in which a failure is cheapest to find, and one closing line that counts.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::Stdio;

use anyhow::{Context as _, Result, bail};

use crate::clients::clients;
use crate::run::{cargo, program, quietly, root, say, target};
use crate::{bench, prerequisites, scim, web};

/// The dependency checker and its version.
const DENY: &str = "cargo-deny";
const DENY_VERSION: &str = "0.20.2";

/// What the property tests draw their cases from. The checks draw the same ones each time, so that what they say of a
/// tree does not change; [`properties`] draws others.
const SEED: &str = "PROPTEST_RNG_SEED";

/// The conversations with servers of tools that are part of the checks; `cargo xtask clients mcp` plays them all.
const TOOLS_PLAYED: [&str; 3] = ["typescript-sdk", "filesystem", "conformance"];

/// What has passed and failed so far.
#[derive(Default)]
struct Count {
    passed: u64,
    failed: u64,
}

/// Installs what the tests need, runs every check and prints `N passed, N failed`.
pub fn test() -> Result<()> {
    let mut count = Count::default();
    prerequisites::for_tests()?;
    let browser = prerequisites::browser();
    if let Err(error) = &browser {
        say(&format!("no browser: {error:#}"));
    }
    let driven = |drive: fn(&Path) -> Result<()>| match &browser {
        Ok(browser) => drive(browser),
        Err(_) => bail!("there is no browser to drive it with, see above"),
    };
    count.check("formatting", cargo(&["fmt", "--all", "--check"]));
    count.check("console: types, unit tests", web::check());
    count.check("console: build", web::build());
    count.check("console: in a browser, against a stand-in", driven(web::against_stand_in));
    count.check(
        "clippy",
        cargo(&["clippy", "--workspace", "--all-targets", "--locked", "--", "-D", "warnings"]),
    );
    count.check("dependencies and licences", dependencies());
    let tests = count.tests();
    count.check("tests", tests);
    count.check(
        "console: in a browser, against a demo",
        program_to_drive().and_then(|()| driven(web::against_demo)),
    );
    count.check("tools: official clients and servers, through the gateway", clients(&TOOLS_PLAYED));
    count.check("tools: a short benchmark", bench::tools_quickly());
    count.check("SCIM: an independent tester, against the gateway", scim::conformance());
    println(&format!("{} passed, {} failed", count.passed, count.failed));
    if count.failed > 0 {
        bail!("{} failed", count.failed);
    }
    Ok(())
}

/// Drives the console in a browser, twice.
pub fn console() -> Result<()> {
    prerequisites::for_tests()?;
    let browser = prerequisites::browser()?;
    web::against_stand_in(&browser)?;
    program_to_drive()?;
    web::against_demo(&browser)
}

/// The program as the tests built it, and with the console in it.
fn program_to_drive() -> Result<()> {
    cargo(&["build", "--workspace", "--locked", "--quiet", "--bin", "countersign"])
}

impl Count {
    fn check(&mut self, name: &str, result: Result<()>) {
        match result {
            Ok(()) => {
                self.passed += 1;
                say(&format!("passed: {name}"));
            }
            Err(error) => {
                self.failed += 1;
                say(&format!("FAILED: {name}: {error:#}"));
            }
        }
    }

    /// Every Rust test, counted one by one.
    fn tests(&mut self) -> Result<()> {
        let name = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let mut child = program(name)
            .args([
                "test",
                "--workspace",
                "--locked",
                "--no-fail-fast",
                "--bins",
                "--lib",
                "--tests",
                "--examples",
            ])
            .env(SEED, std::env::var(SEED).unwrap_or_else(|_| "1".to_owned()))
            .stdout(Stdio::piped())
            .spawn()
            .context("could not run the tests")?;
        let output = child.stdout.take().context("the tests have no output")?;
        for line in BufReader::new(output).lines() {
            let line = line?;
            if let Some((passed, failed)) = result_line(&line) {
                self.passed += passed;
                self.failed += failed;
            }
            println(&line);
        }
        if !child.wait()?.success() {
            bail!("see above");
        }
        Ok(())
    }
}

/// `test result: ok. 8 passed; 0 failed; ...`
fn result_line(line: &str) -> Option<(u64, u64)> {
    let rest = line.strip_prefix("test result: ")?;
    let mut counts = rest.split(". ").nth(1)?.split("; ");
    let number = |part: Option<&str>, word: &str| part?.strip_suffix(word)?.trim().parse::<u64>().ok();
    Some((number(counts.next(), "passed")?, number(counts.next(), "failed")?))
}

/// Licences, sources and duplicates of all dependencies; advisories where their database can be had.
pub fn dependencies() -> Result<()> {
    let deny = deny()?;
    quietly(program(&deny).args(["--locked", "check", "licenses", "bans", "sources"]))?;
    if quietly(program(&deny).args(["fetch", "db"])).is_err() {
        say("note: the advisory database could not be reached; advisories were not checked");
        return Ok(());
    }
    quietly(program(&deny).args(["check", "advisories"]))
}

/// The checker: on the path in the right version, or built once into the target folder.
fn deny() -> Result<std::path::PathBuf> {
    let own = target().join("tools/bin").join(DENY);
    for candidate in [own.clone(), DENY.into()] {
        let version = program(&candidate).arg("--version").output();
        if version.is_ok_and(|output| String::from_utf8_lossy(&output.stdout).contains(DENY_VERSION)) {
            return Ok(candidate);
        }
    }
    say("building the dependency checker (once)");
    let tools = target().join("tools");
    let tools = tools.to_str().context("the target folder's path is not UTF-8")?;
    cargo(&["install", DENY, "--version", DENY_VERSION, "--locked", "--quiet", "--root", tools])?;
    Ok(own)
}

/// Runs every fuzz target for `seconds`, from the corpus in the repository.
pub fn fuzz(seconds: &str) -> Result<()> {
    let seconds: u32 = seconds.parse().with_context(|| format!("`{seconds}` is not a number of seconds"))?;
    let targets = std::fs::read_dir(root().join("fuzz/fuzz_targets"))?;
    for target in targets {
        let path = target?.path();
        let name = path.file_stem().context("a fuzz target without a name")?;
        let limit = format!("-max_total_time={seconds}");
        crate::run::finish(program(root().join("fuzz/run")).arg(name).arg(limit))?;
    }
    Ok(())
}

/// Runs the property tests so many times, each time with other cases.
pub fn properties(rounds: &str) -> Result<()> {
    let rounds: u32 = rounds.parse().with_context(|| format!("`{rounds}` is not a number of rounds"))?;
    prerequisites::for_tests()?;
    let name = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    #[expect(
        clippy::disallowed_methods,
        reason = "cases that were not drawn before need a seed from outside"
    )]
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?.as_secs();
    for seed in (now..).take(rounds.try_into()?) {
        say(&format!("{SEED}={seed}"));
        let mut command = program(&name);
        command.args(["test", "--workspace", "--locked", "--quiet", "--lib"]);
        command.args(["--test", "envelopes", "--test", "oracles", "--test", "postgres"]);
        crate::run::finish(command.env(SEED, seed.to_string()))?;
    }
    Ok(())
}

/// Sends values and copies of so many MB through the gateway, and measures what it holds meanwhile.
pub fn large(mb: &str) -> Result<()> {
    let size: u32 = mb.parse().with_context(|| format!("`{mb}` is not a number of MB"))?;
    prerequisites::for_tests()?;
    let name = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = program(name);
    command.args(["test", "--workspace", "--test", "postgres_large", "--", "--nocapture"]);
    crate::run::finish(command.env("COUNTERSIGN_LARGE_MB", size.to_string()))
}

fn println(line: &str) {
    let _nobody_listens = writeln!(std::io::stdout().lock(), "{line}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn result_lines_are_counted() {
        let line = "test result: FAILED. 8 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out; finished in 1.07s";
        assert_eq!(result_line(line), Some((8, 2)));
        assert_eq!(result_line("running 8 tests"), None);
    }
}
