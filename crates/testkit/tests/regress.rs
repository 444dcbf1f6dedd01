//! A part of PostgreSQL's regression suite, judged and run; `cargo xtask regress` runs all of it.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test stops at the first surprise"
)]

use countersign_testkit::live::obtain::{self, SUITE_MAJOR};
use countersign_testkit::live::suite::{COMMON, Figures, Suite};
use countersign_testkit::live::{Server, on_a_large_stack};

/// Few statements, many ways: inheritance, truncation, sequences, functions, quotes, settings, prepared statements.
const SCRIPTS: [&str; 6] = ["select", "inherit", "truncate", "sequence", "strings", "prepare"];

#[test]
fn part_of_the_regression_suite_is_judged_as_it_runs() {
    let scripts = match obtain::suite() {
        Ok(scripts) => scripts,
        Err(why) => return eprintln!("skipped: the regression suite is not to be had: {why:#}"),
    };
    on_a_large_stack(move || {
        let server = match Server::start(SUITE_MAJOR) {
            Ok(server) => server,
            Err(why) => {
                eprintln!("skipped: no PostgreSQL {SUITE_MAJOR}: {why:#}");
                return Ok(());
            }
        };
        let suite = Suite::prepare(&server, &scripts, &COMMON[..1])?;
        let mut total: Figures = suite.common().clone();
        for script in SCRIPTS {
            total.add(suite.run(script)?);
        }
        println!("{}", total.table());
        let found = [&total.wrong_verbs, &total.changed, &total.unnamed, &total.broken];
        assert!(total.is_clean(), "{found:#?}");
        assert!(total.statements > 1_200 && total.watched > 200 && total.watched_writes > 70);
        assert!(total.exact * 1_000 > total.statements * 993, "{} of {}", total.exact, total.statements);
        Ok(())
    })
    .unwrap();
}
