//! A corpus of evasions, run: statements that do more than they look like, each judged as the door would judge it and
//! then executed on a live server under observation.
//!
//! For every case: the server does what the case says that it does; what is judged a provable read leaves no trace;
//! and otherwise the judgement names every relation that was in fact written, or says `sql.call` or `sql.unknown`.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test stops at the first surprise"
)]

mod case;
mod run;

use std::collections::{BTreeMap, BTreeSet};

use countersign_testkit::live::{Server, on_a_large_stack};

use case::File;
use run::{Outcome, Stage};

/// Set this variable to write into the corpus what was seen, for somebody to read the difference.
const RENEW: &str = "COUNTERSIGN_RENEW_EVASIONS";
/// The version that the corpus says what happens on. Others are held to the rule alone.
const MEASURED: u32 = 15;
/// How many cases there are at least.
const CASES_MIN: usize = 300;

fn run_on(major: u32) {
    on_a_large_stack(move || {
        let server = match Server::start(major) {
            Ok(server) => server,
            Err(why) => {
                println!("skipped: PostgreSQL {major}: {why:#}");
                return Ok(());
            }
        };
        let mut stage = Stage::new(&server)?;
        let mut wrong = Vec::new();
        let mut kinds: BTreeMap<&str, usize> = BTreeMap::new();
        for mut file in File::all() {
            for case in &mut file.cases {
                if major < case.since() {
                    continue;
                }
                let Outcome { seen, judged, breaches } = stage.play(case)?;
                *kinds.entry(judged).or_default() += 1;
                wrong.extend(
                    breaches.into_iter().map(|why| format!("{}: {}\n    {why}", file.name, case.sql)),
                );
                if major != MEASURED {
                    continue;
                }
                if std::env::var_os(RENEW).is_some() {
                    case.renew(seen, judged);
                } else {
                    let differs = case.differs(&seen, judged);
                    wrong.extend(differs.map(|why| format!("{}: {}\n    {why}", file.name, case.sql)));
                }
            }
            if major == MEASURED && std::env::var_os(RENEW).is_some() {
                file.write();
            }
        }
        println!("PostgreSQL {major}: {kinds:?}");
        assert!(wrong.is_empty(), "{} wrong on PostgreSQL {major}:\n{}", wrong.len(), wrong.join("\n"));
        Ok(())
    })
    .unwrap();
}

#[test]
fn no_evasion_passes_for_a_read_and_no_write_goes_unnamed() {
    run_on(MEASURED);
}

#[test]
fn the_same_holds_on_the_youngest_server() {
    run_on(18);
}

#[test]
fn the_corpus_is_large_and_says_everything_once() {
    let mut texts = BTreeSet::new();
    let mut count = 0;
    for file in File::all() {
        assert!(file.cases.len() >= 4, "{} is no group", file.name);
        for case in file.cases {
            count += 1;
            assert!(!case.does.is_empty(), "{}: {} says not what it does", file.name, case.sql);
            assert!(texts.insert(case.identity()), "{}: {} is there twice", file.name, case.sql);
        }
    }
    assert!(count >= CASES_MIN, "{count} cases");
}
