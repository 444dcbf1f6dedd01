//! Every parser of this crate as one function, for fuzzing.
//!
//! What: each takes any bytes, must not panic, and answers whether what it read is written back as the same
//! bytes: a second spelling of one meaning is a defect here. A fuzz target asserts the answer.

use crate::checkpoint::Checkpoint;
use crate::content::{Commitment, Record};
use crate::jcs;
use crate::line::{self, Ts};
use crate::note::{self, VerifierKey};
use crate::proof::TlogProof;
use crate::tile::{self, Tile};
use crate::tree::Frontier;

/// A parser under test: false means that it read a second spelling.
pub type Probe = fn(&[u8]) -> bool;

/// Every parser, by name.
pub const PROBES: [(&str, Probe); 12] = [
    ("jcs", |bytes| jcs::parse(bytes).map_or(true, |value| jcs::encode(&value).as_deref() == Ok(bytes))),
    ("line", |bytes| line::open(bytes).map_or(true, |line| jcs::encode(&line.value).as_deref() == Ok(bytes))),
    ("note", |bytes| note::parse(bytes).map_or(true, |note| note.to_bytes() == bytes)),
    ("checkpoint", |bytes| {
        same_text(bytes, |text| Checkpoint::from_text(text).ok().map(|read| read.to_text()))
    }),
    ("vkey", |bytes| same_text(bytes, |text| Some(text.parse::<VerifierKey>().ok()?.to_string()))),
    ("proof", |bytes| TlogProof::parse(bytes).map_or(true, |proof| proof.to_string().as_bytes() == bytes)),
    ("tile name", |bytes| same_text(bytes, |text| Some(text.parse::<Tile>().ok()?.to_string()))),
    ("entries", entries),
    ("hashes", hashes),
    ("frontier", |bytes| Frontier::from_bytes(bytes).map_or(true, |read| read.to_bytes() == bytes)),
    ("content", |bytes| {
        Record::parse(bytes).map_or(true, |record| record.to_line().as_deref() == Ok(bytes))
            && same_text(bytes, |text| Some(text.parse::<Commitment>().ok()?.to_string()))
    }),
    ("ts", |bytes| same_text(bytes, |text| Some(text.parse::<Ts>().ok()?.to_string()))),
];

/// Whether a text that is read at all is written back as it was.
fn same_text(bytes: &[u8], reread: impl Fn(&str) -> Option<String>) -> bool {
    std::str::from_utf8(bytes).ok().and_then(|text| Some(reread(text)? == text)).unwrap_or(true)
}

/// The first byte says how wide the bundle is.
fn entries(bytes: &[u8]) -> bool {
    let Some((width, bundle)) = bytes.split_first() else { return true };
    tile::decode_entries(bundle, u16::from(*width) + 1)
        .map_or(true, |entries| tile::encode_entries(&entries).as_deref() == Ok(bundle))
}

/// The first byte says how wide the tile is.
fn hashes(bytes: &[u8]) -> bool {
    let Some((width, tile)) = bytes.split_first() else { return true };
    tile::decode_hashes(tile, u16::from(*width) + 1)
        .map_or(true, |hashes| tile::encode_hashes(&hashes) == tile)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::hash::Hash;
    use crate::line::tests::chain;
    use crate::note::Sign as _;
    use crate::note::tests::signer;

    /// One good input for each probe, to be damaged.
    fn good(name: &str) -> Vec<u8> {
        let line = chain([serde_json::json!({"a": [1, "\u{1}é", null]})]).remove(0);
        let checkpoint = Checkpoint { origin: "log".to_owned(), size: 2, root: Hash::leaf(b"") };
        let note = checkpoint.sign(&[&signer("log", 1)]).unwrap();
        let frontier = Frontier::from_leaves([Hash::leaf(b"a"), Hash::leaf(b"b"), Hash::leaf(b"c")]);
        let proof = TlogProof {
            extra: Some(vec![1]),
            index: 1,
            hashes: vec![Hash::empty()],
            checkpoint: note.clone(),
        };
        let kind = "text".to_owned();
        let record = Record { seq: 1, field: "/a".to_owned(), kind, salt: [3; 16], bytes: vec![1, 2] };
        match name {
            "jcs" | "line" => line,
            "note" => note.into_bytes(),
            "checkpoint" => checkpoint.to_text().into_bytes(),
            "vkey" => signer("log", 1).key().to_string().into_bytes(),
            "proof" => proof.to_string().into_bytes(),
            "tile name" => b"tile/1/x001/x234/067.p/200".to_vec(),
            "entries" => [&[2][..], &tile::encode_entries(&["a", "", "bc"]).unwrap()].concat(),
            "hashes" => [&[1][..], &[7; 64]].concat(),
            "frontier" => frontier.to_bytes(),
            "content" => record.to_line().unwrap(),
            "ts" => b"2026-03-03T09:30:00.000000Z".to_vec(),
            other => panic!("no example for {other}"),
        }
    }

    #[test]
    fn good_inputs_pass() {
        for (name, probe) in PROBES {
            assert!(probe(&good(name)), "{name}");
            assert!(probe(b""), "{name}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]

        #[test]
        fn damaged_inputs_pass(
            at in any::<prop::sample::Index>(),
            change in 0..4_u8,
            byte: u8,
            noise: Vec<u8>,
        ) {
            for (name, probe) in PROBES {
                let mut bytes = good(name);
                let at = at.index(bytes.len());
                match change {
                    0 => bytes[at] = byte,
                    1 => bytes.insert(at, byte),
                    2 => drop(bytes.remove(at)),
                    _ => bytes.truncate(at),
                }
                prop_assert!(probe(&bytes), "{name}");
                prop_assert!(probe(&noise), "{name}");
            }
        }
    }
}
