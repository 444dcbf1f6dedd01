//! What the gateway is meant to reach, beside what it reached in this run.

use std::fmt::Write as _;

use crate::connections::{self, Found};
use crate::plan::{Cell, Load, Variant};
use crate::stats::Rounds;

/// One target: what, at least or at most how much, and what was reached.
struct Target {
    what: String,
    bound: Bound,
    reached: Option<f64>,
}

#[derive(Clone, Copy)]
enum Bound {
    AtLeast(f64),
    AtMost(f64),
}

impl Bound {
    fn holds(self, reached: f64) -> bool {
        match self {
            Self::AtLeast(bound) => reached >= bound,
            Self::AtMost(bound) => reached <= bound,
        }
    }
}

/// All targets that this run says something about.
pub fn table(rounds: &Rounds, connections: &Found) -> String {
    let mut text = "targets, TLS to the client\n".to_owned();
    for target in targets(rounds).into_iter().chain(of_connections(connections)) {
        let Some(reached) = target.reached else { continue };
        let (word, bound) = match target.bound {
            Bound::AtLeast(bound) => ("at least", bound),
            Bound::AtMost(bound) => ("at most", bound),
        };
        let mark = if target.bound.holds(reached) { "reached" } else { "missed" };
        let _ = writeln!(text, "  {:<72} {word:>8} {bound:>5.2}  {reached:>7.2}  {mark}", target.what);
    }
    text
}

fn targets(rounds: &Rounds) -> Vec<Target> {
    let cell = |load, clients| Cell { tls: true, load, clients };
    let mut targets = Vec::new();
    for (load, bound) in [(Load::Prepared, 0.95), (Load::Simple, 0.8)] {
        for clients in [8, 32, 64] {
            targets.push(Target {
                what: format!("alongside, {}, {clients} clients: throughput of pgbouncer's", load.word()),
                bound: Bound::AtLeast(bound),
                reached: rounds.ratio(&cell(load, clients), Variant::Alongside, Variant::Bouncer),
            });
        }
    }
    for load in [Load::Prepared, Load::Simple] {
        let one = cell(load, 1);
        let p50 = |variant| rounds.of(&one, variant, |burst| burst.p50);
        targets.push(Target {
            what: format!("alongside, {}, 1 client: p50 of pgbouncer's", load.word()),
            bound: Bound::AtMost(1.0),
            reached: quotient(p50(Variant::Alongside), p50(Variant::Bouncer)),
        });
    }
    for (load, bound) in [(Load::Prepared, 1.3), (Load::Simple, 1.8)] {
        for clients in [8, 32, 64] {
            let cpu = |variant| rounds.cpu(&cell(load, clients), variant);
            targets.push(Target {
                what: format!("alongside, {}, {clients} clients: CPU of pgbouncer's", load.word()),
                bound: Bound::AtMost(bound),
                reached: quotient(cpu(Variant::Alongside), cpu(Variant::Bouncer)),
            });
        }
    }
    for load in [Load::Prepared, Load::Simple] {
        let busy = cell(load, 32);
        targets.push(Target {
            what: format!(
                "before release, {}, 32 clients: of 32 / (sync + direct p50), or pgbouncer's",
                load.word()
            ),
            bound: Bound::AtLeast(0.8),
            reached: of_durable_bound(rounds, &busy),
        });
    }
    targets.push(Target {
        what: "an autocommitted UPDATE, 1 client: p50 over direct's, in syncs".into(),
        bound: Bound::AtMost(1.2),
        reached: update_in_syncs(rounds, &cell(Load::Update, 1)),
    });
    targets.extend(of_streams(rounds));
    targets
}

fn of_streams(rounds: &Rounds) -> Vec<Target> {
    let mut targets = Vec::new();
    for load in [Load::Select, Load::CopyOut, Load::CopyIn] {
        let cell = Cell { tls: true, load, clients: 1 };
        targets.push(Target {
            what: format!("{}: throughput of direct's", load.word()),
            bound: Bound::AtLeast(0.95),
            reached: rounds.ratio(&cell, Variant::Release, Variant::Direct),
        });
        targets.push(Target {
            what: format!("{}: processor seconds a gigabyte", load.word()),
            bound: Bound::AtMost(2.5),
            reached: rounds.cpu_a_gigabyte(&cell, Variant::Release),
        });
    }
    targets
}

fn of_connections(found: &Found) -> Vec<Target> {
    let target = |what: &str, bound, reached| Target { what: what.to_owned(), bound, reached };
    vec![
        target("a new connection: time of direct's", Bound::AtMost(1.2), connections::of_direct(found)),
        target("a new connection: processor milliseconds", Bound::AtMost(2.0), connections::cpu_ms(found)),
        target("an idle connection: KiB resident", Bound::AtMost(25.0), connections::idle_kib(found)),
        target(
            "hundreds of busy clients: throughput of pgbouncer's",
            Bound::AtLeast(0.8),
            connections::busy(found),
        ),
    ]
}

fn quotient(this: Option<f64>, that: Option<f64>) -> Option<f64> {
    Some(this? / that?)
}

/// How much of what one sync per statement allows, clients side by side, or of pgbouncer's rate where that is lower.
fn of_durable_bound(rounds: &Rounds, cell: &Cell) -> Option<f64> {
    let direct = rounds.of(cell, Variant::Direct, |burst| burst.p50)?;
    let bound = f64::from(cell.clients) / (rounds.fsync_micros() + direct) * 1e6;
    let bouncer = rounds.of(cell, Variant::Bouncer, |burst| burst.rate)?;
    Some(rounds.of(cell, Variant::Release, |burst| burst.rate)? / bound.min(bouncer))
}

fn update_in_syncs(rounds: &Rounds, cell: &Cell) -> Option<f64> {
    let p50 = |variant| rounds.of(cell, variant, |burst| burst.p50);
    Some((p50(Variant::Release)? - p50(Variant::Direct)?) / rounds.fsync_micros())
}
