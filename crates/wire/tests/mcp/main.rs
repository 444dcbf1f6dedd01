//! The fuzz targets of the Model Context Protocol over their corpora, and over mutations of them from a fixed, printed seed.
//!
//! `MCP_FUZZ_ROUNDS` and `MCP_FUZZ_SEED` make it longer or different.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test stops at the first surprise"
)]

use std::fs;
use std::path::Path;

use countersign_wire::mcp::fuzz_targets::{fuzz_mcp_client, fuzz_mcp_server};
use random::Random;

#[path = "../random/mod.rs"]
mod random;

const ROUNDS: u64 = 20_000;
const SEED: u64 = 0x6d63_7000;

/// Pieces that turn one message into another.
const PIECES: &[&str] = &[
    "{",
    "}",
    "[",
    "]",
    "\"",
    ":",
    ",",
    " ",
    "\n",
    "\r",
    "\\",
    "\\u0000",
    "\\ud800",
    "\\udc00",
    "null",
    "true",
    "1e999",
    "-0",
    "0.1",
    "12345678901234567890",
    "\u{feff}",
    "\u{202e}",
    "\"name\":\"x\",",
    "\"id\":1,",
    "\"method\":\"ping\",",
    "\"params\":{}",
    "\"$ref\":\"#/\"",
    "\"type\":\"integer\",",
    "\"anyOf\":[{}],",
    "data: ",
    "\n\n",
    "\0",
];

fn mutate(random: &mut Random, seeds: &[Vec<u8>]) -> Vec<u8> {
    let mut text = seeds[random.below(seeds.len())].clone();
    for _ in 0..=random.below(4) {
        let at = random.below(text.len() + 1);
        let end = (at + random.below(12)).min(text.len());
        match random.below(6) {
            0 => drop(text.splice(at..at, PIECES[random.below(PIECES.len())].bytes())),
            1 => {
                let other = &seeds[random.below(seeds.len())];
                let from = random.below(other.len() + 1);
                text.splice(at..at, other[from..].iter().copied());
            }
            2 => text.truncate(at),
            3 => drop(text.drain(at..end)),
            4 if at < text.len() => text[at] = u8::try_from(random.below(256)).unwrap(),
            _ => {
                let piece = text[at..end].repeat(random.below(100));
                text.splice(at..at, piece);
            }
        }
    }
    text
}

/// Plays the seeds of a target, and mutations of them.
fn play(target: &str, fuzz: fn(&[u8])) {
    let variable = |name: &str, otherwise: u64| std::env::var(name).map_or(otherwise, |v| v.parse().unwrap());
    let (rounds, seed) = (variable("MCP_FUZZ_ROUNDS", ROUNDS), variable("MCP_FUZZ_SEED", SEED));
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus").join(target);
    let mut found: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    found.sort();
    let seeds: Vec<Vec<u8>> = found.iter().map(|path| fs::read(path).unwrap()).collect();
    assert!(seeds.len() > 9, "the seeds are missing");
    seeds.iter().for_each(|seed| fuzz(seed));
    println!("seed {seed}, {rounds} rounds");
    let mut random = Random(seed);
    for _ in 0..rounds {
        fuzz(&mutate(&mut random, &seeds));
    }
}

#[test]
fn seeds_of_clients_and_their_mutations_break_nothing() {
    play("mcp_client", fuzz_mcp_client);
}

#[test]
fn seeds_of_servers_and_their_mutations_break_nothing() {
    play("mcp_server", fuzz_mcp_server);
}
