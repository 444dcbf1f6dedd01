//! The project's own commands. `cargo xtask demo` and `cargo xtask test` are the two that a stranger needs.

mod bench;
mod clients;
mod demo;
mod prerequisites;
mod regress;
mod run;
mod scim;
mod simulate;
mod suite;
mod web;

use std::process::ExitCode;

use anyhow::{Result, bail};

use run::{cargo, say};

const HELP: &str = "\
cargo xtask demo [ARGS]      build everything and start the demo; ARGS go to `countersign demo`
cargo xtask test             install what the tests need and run every check
cargo xtask bench [WHAT]     measure the gateway (postgres, mcp) and its judgement (verdict); default: all
cargo xtask regress [ARGS]   judge PostgreSQL's regression suite against a live server; --help lists the options
cargo xtask clients [NAME..] play real clients straight and through the gateway; they must not be able to tell
cargo xtask scim             have an independent tester try the gateway's SCIM server
cargo xtask large [MB]       send values and copies of this size (default: the most there is) in constant memory
cargo xtask web              build the console into web/dist
cargo xtask console          drive the console in a browser, against a stand-in and against a demo
cargo xtask deps             check licences, sources and advisories of all dependencies
cargo xtask simulate [ARGS]  crash the engine and its store from seeds; --seeds N, --seed S, --minutes M
cargo xtask properties [N]   run the property tests N times (default 10), each time with other cases
cargo xtask fuzz [SECONDS]   fuzz every decoder for this long each (default 60)
cargo xtask prerequisites    install what is missing, or say how to get it
";

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    match dispatch(&args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(&format!("error: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn dispatch(args: &[&str]) -> Result<()> {
    match args {
        ["demo", rest @ ..] => demo(rest),
        ["test"] => suite::test(),
        ["bench", rest @ ..] => bench::bench(rest),
        ["regress", rest @ ..] => regress::regress(rest),
        ["clients", rest @ ..] => clients::clients(rest),
        ["scim"] => scim::conformance(),
        ["large"] => suite::large("1023"),
        ["large", mb] => suite::large(mb),
        ["web"] => web::build(),
        ["console"] => suite::console(),
        ["deps"] => suite::dependencies(),
        ["simulate", rest @ ..] => simulate::simulate(rest),
        ["properties"] => suite::properties("10"),
        ["properties", rounds] => suite::properties(rounds),
        ["fuzz"] => suite::fuzz("60"),
        ["fuzz", seconds] => suite::fuzz(seconds),
        ["prerequisites"] => prerequisites::for_tests().and_then(|()| prerequisites::browser().map(drop)),
        ["help" | "--help" | "-h"] => {
            say(HELP);
            Ok(())
        }
        [] => bail!("say what to do:\n{HELP}"),
        [unknown, ..] => bail!("there is no command `{unknown}`:\n{HELP}"),
    }
}

/// Builds everything, console included, and runs the demo in the foreground.
fn demo(args: &[&str]) -> Result<()> {
    prerequisites::for_demo()?;
    web::build()?;
    say("building the gateway (the first time takes a while)");
    cargo(&["build", "--release", "--bin", "countersign"])?;
    run::replace(run::target().join("release/countersign"), &[&["demo"], args].concat())
}
