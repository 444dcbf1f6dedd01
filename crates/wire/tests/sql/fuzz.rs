//! The fuzz target over its seeds and the corpus, and over mutations of them from a fixed, printed seed.
//!
//! `SQL_FUZZ_ROUNDS` and `SQL_FUZZ_SEED` make it longer or different; `WIRE_CORPUS_WRITE=1` writes the corpus's
//! statements as seeds for libFuzzer.

use std::fs;
use std::path::PathBuf;

use countersign_wire::sql::fuzz_targets::fuzz_sql;

use crate::corpus;
use crate::random::Random;

const ROUNDS: u64 = 3_000;
const SEED: u64 = 0x7371_6c00;

/// Pieces that turn one statement into another.
const PIECES: &[&str] = &[
    " ",
    ";",
    "--",
    "/*",
    "*/",
    "'",
    "\"",
    "$$",
    "$a$",
    "E'",
    "U&'",
    "(",
    ")",
    ",",
    "\\",
    "\0",
    "\u{a0}",
    "\u{2028}",
    " select ",
    " delete from todo ",
    " with x as (",
    " returning * ",
    " into y ",
    " for update ",
    " union ",
    " explain analyze ",
    " copy x to program 'y' ",
    " execute ",
    " prepare p as ",
    " set role x ",
    "evil()",
    "pg_catalog.",
    "public.",
    "::checked",
    " operator(public.#) ",
    "$1",
    "null",
    "1e999",
    "password 'x'",
    " declare c cursor for ",
    " do $$x$$ ",
    " values (1) ",
    " lateral ",
    " tablesample system (1) ",
];

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus/sql")
}

fn statements() -> Vec<Vec<u8>> {
    corpus::cases().into_iter().map(|case| case.sql.into_bytes()).collect()
}

fn mutate(random: &mut Random, seeds: &[Vec<u8>]) -> Vec<u8> {
    let mut text = seeds[random.below(seeds.len())].clone();
    for _ in 0..=random.below(4) {
        let at = random.below(text.len() + 1);
        match random.below(6) {
            0 => drop(text.splice(at..at, PIECES[random.below(PIECES.len())].bytes())),
            1 => {
                let other = &seeds[random.below(seeds.len())];
                let from = random.below(other.len() + 1);
                text.splice(at..at, other[from..].iter().copied());
            }
            2 => text.truncate(at),
            3 => {
                let end = (at + random.below(8)).min(text.len());
                text.drain(at..end);
            }
            4 if at < text.len() => text[at] = u8::try_from(random.below(256)).unwrap(),
            _ => {
                let end = (at + random.below(16)).min(text.len());
                let piece = text[at..end].to_vec();
                for _ in 0..random.below(20) {
                    text.splice(at..at, piece.iter().copied());
                }
            }
        }
    }
    text
}

#[test]
fn seeds_and_their_mutations_break_nothing() {
    let variable = |name: &str, otherwise: u64| std::env::var(name).map_or(otherwise, |v| v.parse().unwrap());
    let (rounds, seed) = (variable("SQL_FUZZ_ROUNDS", ROUNDS), variable("SQL_FUZZ_SEED", SEED));
    if std::env::var_os("WIRE_CORPUS_WRITE").is_some() {
        fs::create_dir_all(folder()).unwrap();
        for (number, statement) in statements().iter().enumerate() {
            fs::write(folder().join(format!("case-{number:03}")), statement).unwrap();
        }
    }
    let mut seeds = statements();
    let mut found: Vec<_> = fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().path()).collect();
    found.sort();
    assert!(found.len() > 100, "the seeds are missing");
    seeds.extend(found.iter().map(|path| fs::read(path).unwrap()));
    seeds.iter().for_each(|seed| fuzz_sql(seed));
    println!("{rounds} rounds from seed {seed:#x}");
    let mut random = Random(seed);
    for round in 0..rounds {
        let text = mutate(&mut random, &seeds);
        let shown = String::from_utf8_lossy(&text).into_owned();
        let outcome = std::panic::catch_unwind(|| fuzz_sql(&text));
        assert!(outcome.is_ok(), "round {round}: {shown:?}");
    }
}
