//! The shipped engine and its shipped store, under crashes and concurrency, from seeds.
//!
//! Each seed is one run: people, doors and a disk that forgets what was not synced, with everything that may go wrong
//! going wrong. `docs/developers/simulation.md` says what is simulated and what is not, and how to replay a seed.
#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a simulation that meets what can't be has failed"
)]

mod actors;
mod bundles;
mod dice;
mod disk;
mod oracle;
mod run;
mod scene;
mod scripts;
mod stores;

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use countersign_engine::testing::Mistake;
use oracle::Violation;
use run::{Mutation, Summary, lines_of, run};
use scene::Fault;

/// How many seeds the tests run.
const SEEDS: u64 = 1_000;

/// How many seeds may pass before a mutation is caught.
const SEEDS_TO_CATCH: u64 = 240;

/// What there is to do, and what came of it.
struct Watch {
    next: AtomicU64,
    end: u64,
    until: Option<Instant>,
    failed: AtomicBool,
    all: Mutex<Summary>,
    found: Mutex<Vec<(u64, Violation)>>,
}

#[test]
fn nothing_breaks_its_word() {
    let number = |name| std::env::var(name).ok().and_then(|text: String| text.parse::<u64>().ok());
    let minutes = number("COUNTERSIGN_SIMULATION_MINUTES").map(|minutes| Duration::from_secs(60 * minutes));
    let (from, count) = match number("COUNTERSIGN_SIMULATION_SEED") {
        Some(seed) => (seed, number("COUNTERSIGN_SIMULATION_SEEDS").unwrap_or(1)),
        None if minutes.is_some() => (0, u64::MAX),
        None => (0, number("COUNTERSIGN_SIMULATION_SEEDS").unwrap_or(SEEDS)),
    };
    let started = now();
    let watch = Watch {
        next: AtomicU64::new(from),
        end: from.saturating_add(count),
        until: minutes.map(|minutes| started + minutes),
        failed: AtomicBool::new(false),
        all: Mutex::default(),
        found: Mutex::default(),
    };
    let workers = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        (0..workers).for_each(|_| drop(scope.spawn(|| watch.work())));
    });
    let all = watch.all.into_inner().expect("nobody panicked");
    println!("{all:#?}\nin {:.1} s", started.elapsed().as_secs_f64());
    let found = watch.found.into_inner().expect("nobody panicked");
    for (seed, violation) in &found {
        println!("seed {seed}: {}: {}", violation.rule, violation.what);
        println!("  again: COUNTERSIGN_SIMULATION_SEED={seed} cargo test --workspace --test simulation");
    }
    assert!(found.is_empty(), "{} seeds failed", found.len());
    let covered = count < SEEDS || (all.power_cuts > 0 && all.kills > 0 && all.failures > 0);
    assert!(
        covered
            && (count < SEEDS
                || all.approved > 0 && all.within_bounds > 0 && all.reads_lost > 0 && all.scripts > 0),
        "nothing was put to the test"
    );
}

impl Watch {
    fn work(&self) {
        loop {
            let seed = self.next.fetch_add(1, Ordering::Relaxed);
            let late = self.until.is_some_and(|until| now() >= until);
            if seed >= self.end || late || self.failed.load(Ordering::Relaxed) {
                return;
            }
            match run(seed, None) {
                Ok(summary) => {
                    let mut all = self.all.lock().expect("nobody panicked");
                    *all = all.and(summary);
                }
                Err(violation) => {
                    let mut found = self.found.lock().expect("nobody panicked");
                    found.push((seed, violation));
                    self.failed.store(found.len() >= 10, Ordering::Relaxed);
                }
            }
        }
    }
}

#[test]
fn the_same_seed_is_the_same_run() {
    for seed in [0, 3, 7, 11, 19] {
        let (once, again) = (lines_of(seed), lines_of(seed));
        let (once, again) = (once.expect("it holds"), again.expect("it holds"));
        assert!(once == again, "seed {seed} ran otherwise the second time");
    }
}

/// Runs a mutated gateway from seed to seed until somebody notices; by which rule.
fn caught(mutation: Mutation, rules: &[&str]) {
    let violation = (0..SEEDS_TO_CATCH).find_map(|seed| Some((seed, run(seed, Some(mutation)).err()?)));
    let (seed, violation) = violation.unwrap_or_else(|| panic!("{mutation:?} went unnoticed"));
    println!("{mutation:?}: seed {seed}: {}: {}", violation.rule, violation.what);
    assert!(rules.contains(&violation.rule), "{mutation:?} was caught by another rule: {violation:?}");
}

#[test]
fn a_receipt_that_is_not_consumed_is_noticed() {
    caught(Mutation::Writer(Mistake::ReceiptIsNotConsumed), &["a yes is used up"]);
}

#[test]
fn a_receipt_used_without_asking_again_is_noticed() {
    let rules = [
        "the stricter policy wins",
        "what ran was approved",
        "access is live grants",
        "an end is an end",
        "rows stay in their bounds",
    ];
    caught(Mutation::Writer(Mistake::NotAskedAgain), &rules);
}

#[test]
fn a_yes_to_ones_own_request_is_noticed() {
    caught(Mutation::Writer(Mistake::OwnYesCounts), &["nobody approves their own"]);
}

#[test]
fn a_pause_that_holds_nothing_is_noticed() {
    caught(Mutation::Writer(Mistake::PauseHoldsNothing), &["a pause is a pause"]);
}

#[test]
fn a_revocation_that_is_none_is_noticed() {
    caught(Mutation::Writer(Mistake::RevokesNothing), &["an answer is in the ledger"]);
}

#[test]
fn an_hour_that_passes_unnoticed_is_noticed() {
    caught(Mutation::Writer(Mistake::SweepsNothing), &["an end is an end"]);
}

#[test]
fn what_a_crash_leaves_open_is_noticed() {
    let rules = ["what waited is withdrawn", "sessions end with the gateway"];
    caught(Mutation::Writer(Mistake::RestartsAsIfNothingWere), &rules);
}

#[test]
fn a_dropped_record_is_noticed() {
    caught(
        Mutation::Writer(Mistake::DropsAlongside(2)),
        &["recorded is executed", "an outcome is of something"],
    );
}

#[test]
fn forwarding_before_recording_is_noticed() {
    caught(Mutation::Door(Fault::ForwardsFirst), &["no effect without a record"]);
}

#[test]
fn forwarding_twice_is_noticed() {
    caught(Mutation::Door(Fault::ForwardsTwice), &["what is recorded runs once", "a yes is used up"]);
}

#[test]
fn a_script_out_of_order_is_noticed() {
    let rules = ["what ran was approved", "a script stays where it began", "a yes is used up"];
    caught(Mutation::Writer(Mistake::AnyStepWillDo), &rules);
}

#[test]
fn letting_more_rows_stand_than_were_given_is_noticed() {
    caught(Mutation::Door(Fault::LetsRowsStand), &["rows stay in their bounds"]);
}

#[test]
fn rows_that_are_not_counted_are_noticed() {
    caught(Mutation::Writer(Mistake::RowsAreNotCounted), &["rows stay in their bounds"]);
}

#[test]
fn an_envelope_without_a_fence_is_noticed() {
    let rules = ["what ran was approved", "rows stay in their bounds"];
    caught(Mutation::Writer(Mistake::EverythingIsInside), &rules);
}

#[test]
fn answering_before_recording_is_noticed() {
    caught(Mutation::Door(Fault::ReleasesEarly), &["no answer without a record"]);
}

#[test]
fn a_store_that_does_not_sync_is_noticed() {
    caught(Mutation::StoreDoesNotSync, &["what is committed is kept"]);
}

#[test]
fn a_store_that_acknowledges_first_is_noticed() {
    let rules = ["nobody sees what is not durable", "the first bundle is applied"];
    caught(Mutation::StoreAcknowledgesFirst, &rules);
}

#[test]
fn a_checkpoint_published_first_is_noticed() {
    caught(Mutation::PublishesFirst, &["persisted before published"]);
}

#[expect(clippy::disallowed_methods, reason = "only how long it took, and when a long run is to end")]
fn now() -> Instant {
    Instant::now()
}
