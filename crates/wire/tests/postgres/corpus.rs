//! The fuzz targets over the corpus in the repository, and over mutations of it from a fixed, printed seed.
//!
//! `WIRE_FUZZ_ROUNDS` and `WIRE_FUZZ_SEED` make it longer or different; `WIRE_CORPUS_WRITE=1` writes the
//! golden messages into the corpus.

use std::fs;
use std::path::PathBuf;

use countersign_wire::postgres::fuzz_targets::{fuzz_backend, fuzz_frontend, fuzz_track, fuzz_values};

use crate::random::Random;
use crate::vectors::{From, VECTORS};

const ROUNDS: u64 = 20_000;
const SEED: u64 = 0x636f_756e_7465_7273;

type Target = (&'static str, fn(&[u8]));
const TARGETS: [Target; 4] =
    [("frontend", fuzz_frontend), ("backend", fuzz_backend), ("track", fuzz_track), ("values", fuzz_values)];

fn folder(target: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus").join(target)
}

fn corpus(target: &str) -> Vec<Vec<u8>> {
    let mut paths: Vec<_> =
        fs::read_dir(folder(target)).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths.iter().map(|path| fs::read(path).unwrap()).collect()
}

/// The golden messages as seeds: the first byte is how the stream is cut, or who speaks.
fn seeds(target: &str) -> Vec<(String, Vec<u8>)> {
    let is_front = |from: From| matches!(from, From::Opening | From::ClientLogin | From::Client);
    let one = |first: u8, bytes: &[u8]| [&[first], bytes].concat();
    match target {
        "track" => sessions().into_iter().chain(recorded(target)).collect(),
        "values" => values(),
        _ => VECTORS
            .iter()
            .filter(|vector| is_front(vector.from) == (target == "frontend"))
            .map(|vector| (vector.name.to_owned(), one(6, vector.bytes)))
            .chain(recorded(target))
            .collect(),
    }
}

/// Binary values behind the OIDs of their types.
fn values() -> Vec<(String, Vec<u8>)> {
    let words = |words: &[u16]| words.iter().flat_map(|word| word.to_be_bytes()).collect::<Vec<u8>>();
    let array = |header: &[u32], elements: &[u8]| {
        let header = header.iter().flat_map(|word| word.to_be_bytes());
        header.chain(elements.iter().copied()).collect::<Vec<u8>>()
    };
    let values: [(&str, u32, Vec<u8>); 14] = [
        ("bool", 16, vec![1]),
        ("bigint", 20, 24_006_i64.to_be_bytes().to_vec()),
        ("text", 25, "ä".into()),
        ("jsonb", 3802, b"\x01{}".to_vec()),
        ("double", 701, 1e300_f64.to_be_bytes().to_vec()),
        ("real", 700, 0.1_f32.to_be_bytes().to_vec()),
        ("numeric", 1700, words(&[2, 0, 0x4000, 2, 12, 3_400])),
        ("numeric-large", 1700, words(&[1, 30, 0, 9, 1])),
        ("uuid", 2950, vec![0x11; 16]),
        ("date", 1082, (-730_120_i32).to_be_bytes().to_vec()),
        ("timestamp", 1184, (-1_i64).to_be_bytes().to_vec()),
        ("array", 1007, array(&[1, 1, 23, 2, 1], &[0, 0, 0, 4, 0, 0, 0, 7, 255, 255, 255, 255])),
        ("array-of-text", 1009, array(&[2, 0, 25, 1, 1, 2, 0], &[0, 0, 0, 1, 44, 0, 0, 0, 0])),
        ("array-of-numeric", 1231, array(&[1, 0, 1700, 1, 1], &[0, 0, 0, 8, 0, 0, 0, 9, 0, 0, 0, 9])),
    ];
    let seed = |(name, oid, bytes): &(&str, u32, Vec<u8>)| {
        ((*name).to_owned(), [&oid.to_be_bytes()[..], bytes].concat())
    };
    values.iter().map(seed).collect()
}

/// The beginnings of the recorded sessions.
fn recorded(target: &str) -> Vec<(String, Vec<u8>)> {
    let wanted = |from_client: bool| target == "track" || from_client == (target == "frontend");
    let mut all = Vec::new();
    for (name, reads) in crate::recorded::recordings() {
        let mut seed = if target == "track" { Vec::new() } else { vec![200] };
        // The tracker begins behind the login, which takes three reads of each side; messages cut in two end
        // the seed.
        let skipped = if target == "track" { 6 } else { 0 };
        for (from_client, data) in reads.iter().skip(skipped).filter(|(from_client, _)| wanted(*from_client))
        {
            match target {
                "track" => whole_messages(data).for_each(|message| {
                    seed.push(if *from_client { 0 } else { 4 });
                    seed.extend_from_slice(message);
                }),
                _ => seed.extend_from_slice(data),
            }
        }
        seed.truncate(2_048);
        all.push((format!("recorded-{name}"), seed));
    }
    all
}

fn whole_messages(data: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = data;
    std::iter::from_fn(move || {
        let len = u32::from_be_bytes(*rest.get(1..)?.first_chunk()?) as usize;
        let (message, tail) = rest.split_at_checked(len + 1)?;
        rest = tail;
        Some(message)
    })
}

/// Whole exchanges, by the names of their messages; `>` is the client.
fn sessions() -> Vec<(String, Vec<u8>)> {
    let scripts = [
        "> query < row-description < data-row < complete-delete < ready-idle",
        "> parse > bind > describe-portal > execute > sync \
         < parse-complete < bind-complete < no-data < complete-insert < ready-in-transaction",
        "> parse-unnamed > sync < error < ready-failed > query < error < ready-failed",
        "> query < copy-in > copy-data > copy-done < complete-delete < ready-idle",
        "> execute > sync < copy-in > copy-data > copy-fail < error > sync < ready-idle",
        "> query < copy-out < copy-out-data < copy-out-done < complete-delete < ready-idle",
        "> function-call < function-result < ready-idle \
         > close-statement > close-portal > flush < close-complete < close-complete > terminate",
        "> describe-statement < parameter-description < row-description \
         > execute < data-row < portal-suspended < notice < notification < fatal",
    ];
    let bytes = |client: bool, name: &str| {
        let of = |from: From| matches!(from, From::Client) == client && !matches!(from, From::ServerLogin);
        VECTORS.iter().find(|vector| vector.name == name && of(vector.from)).unwrap().bytes
    };
    let mut all = Vec::new();
    for (number, script) in scripts.iter().enumerate() {
        let mut session = Vec::new();
        let words: Vec<&str> = script.split(' ').collect();
        for pair in words.chunks(2) {
            let client = pair[0] == ">";
            session.push(if client { 0 } else { 4 });
            session.extend_from_slice(bytes(client, pair[1]));
        }
        all.push((format!("session-{number}"), session));
    }
    all
}

fn mutate(data: &mut Vec<u8>, others: &[Vec<u8>], random: &mut Random) {
    let at = random.below(data.len());
    match random.below(8) {
        0 if !data.is_empty() => data[at] ^= 1 << random.below(8),
        1 if !data.is_empty() => data[at] = [0, 1, 3, 4, 5, 127, 128, 255][random.below(8)],
        2 => data.insert(at, random.next() as u8),
        3 if !data.is_empty() => drop(data.remove(at)),
        4 => data.truncate(at),
        5 => {
            let other = &others[random.below(others.len())];
            let from = random.below(other.len());
            data.extend_from_slice(&other[from..]);
        }
        6 => {
            let word = [0_u32, 3, 4, 5, 0x7fff_ffff, 0x8000_0000, 0xffff_ffff][random.below(7)].to_be_bytes();
            for (slot, byte) in data.iter_mut().skip(at).zip(word) {
                *slot = byte;
            }
        }
        _ => {
            let other = others[random.below(others.len())].clone();
            data.splice(at..at, other);
        }
    }
    data.truncate(4_096);
}

#[test]
fn the_corpus_holds_every_golden_message() {
    for (target, _) in TARGETS {
        for (name, bytes) in seeds(target) {
            let path = folder(target).join(&name);
            if std::env::var_os("WIRE_CORPUS_WRITE").is_some() {
                fs::create_dir_all(folder(target)).unwrap();
                fs::write(&path, &bytes).unwrap();
            }
            let found = fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            assert_eq!(found, bytes, "{target} {name}: run once with WIRE_CORPUS_WRITE=1");
        }
    }
}

#[test]
fn the_corpus_and_its_mutations_break_no_property() {
    let number = |name, default| std::env::var(name).ok().map_or(default, |value| value.parse().unwrap());
    let (rounds, seed) = (number("WIRE_FUZZ_ROUNDS", ROUNDS), number("WIRE_FUZZ_SEED", SEED));
    println!("seed {seed}, {rounds} rounds a target");
    for (target, check) in TARGETS {
        let seeds = corpus(target);
        assert!(seeds.len() >= 8, "{target} has a corpus");
        seeds.iter().for_each(|seed| check(seed));
        let mut random = Random(seed);
        for _ in 0..rounds {
            let mut data = seeds[random.below(seeds.len())].clone();
            for _ in 0..=random.below(5) {
                mutate(&mut data, &seeds, &mut random);
            }
            check(&data);
        }
    }
}
