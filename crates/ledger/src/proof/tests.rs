use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::note::Sign as _;
use crate::note::tests::signer;
use crate::tree::Frontier;

const ORIGIN: &str = "log.example/1";

fn log(size: u64) -> (BTreeMap<(u8, u64), Hash>, String) {
    let (mut nodes, mut frontier) = (BTreeMap::new(), Frontier::new());
    for index in 0..size {
        frontier.push(Hash::leaf(&entry(index)), |node| {
            nodes.insert((node.level, node.index), node.hash);
        });
    }
    let checkpoint = Checkpoint { origin: ORIGIN.to_owned(), size, root: frontier.root() };
    (nodes, checkpoint.sign(&[&signer(ORIGIN, 1)]).unwrap())
}

fn entry(index: u64) -> Vec<u8> {
    format!("entry {index}").into_bytes()
}

#[test]
fn made_written_read_and_verified() {
    let known = [signer(ORIGIN, 1).key().clone()];
    for size in [1, 2, 7, 8, 100] {
        let (nodes, checkpoint) = log(size);
        for index in 0..size {
            let mut proof = TlogProof::make(&nodes, index, &checkpoint).unwrap();
            proof.extra = (index % 2 == 1).then(|| b"a\n\xff".to_vec());
            let read = TlogProof::parse(proof.to_string().as_bytes()).unwrap();
            assert_eq!(read, proof);
            assert_eq!(read.verify(&entry(index), &known).unwrap().size, size);
            assert_eq!(read.verify(&entry(index + 1), &known), Err(ProofError::Mismatch.into()));
            assert!(read.verify(&entry(index), &[signer(ORIGIN, 2).key().clone()]).is_err());
        }
    }
}

#[test]
fn the_text_is_as_specified() {
    let (nodes, checkpoint) = log(2);
    let text = TlogProof::make(&nodes, 1, &checkpoint).unwrap().to_string();
    let sibling = Hash::leaf(b"entry 0").to_base64();
    assert_eq!(text, format!("c2sp.org/tlog-proof@v1\nindex 1\n{sibling}\n\n{checkpoint}"));
}

#[test]
fn a_proof_that_would_not_hold_is_not_made() {
    let (nodes, checkpoint) = log(5);
    assert_eq!(TlogProof::make(&nodes, 5, &checkpoint), Err(ProofError::Index { index: 5, size: 5 }.into()));
    let (other, _) = {
        let mut other = log(5);
        other.0.insert((2, 0), Hash::empty());
        other
    };
    assert_eq!(TlogProof::make(&other, 4, &checkpoint), Err(ProofError::Mismatch.into()));
}

#[test]
fn malformed_proofs_are_refused_at_their_line() {
    let hash = Hash::empty().to_base64();
    let many = format!("{hash}\n").repeat(PROOF_HASHES_MAX + 1);
    for (text, line) in [
        ("", 1),
        ("c2sp.org/tlog-proof@v2\nindex 0\n\n", 1),
        ("c2sp.org/tlog-proof@v1", 1),
        ("c2sp.org/tlog-proof@v1\n", 2),
        ("c2sp.org/tlog-proof@v1\nindex 01\n\n", 2),
        ("c2sp.org/tlog-proof@v1\nindex -1\n\n", 2),
        ("c2sp.org/tlog-proof@v1\nindex 9007199254740992\n\n", 2),
        ("c2sp.org/tlog-proof@v1\nextra !\nindex 0\n\n", 2),
        ("c2sp.org/tlog-proof@v1\nextra AA==\n\n", 3),
        ("c2sp.org/tlog-proof@v1\nindex 0\nAAAA\n\n", 3),
        ("c2sp.org/tlog-proof@v1\nindex 0\n", 3),
        (&format!("c2sp.org/tlog-proof@v1\nindex 0\n{hash}"), 3),
        (&format!("c2sp.org/tlog-proof@v1\nindex 0\n{many}\n"), 3 + PROOF_HASHES_MAX),
    ] {
        match TlogProof::parse(text.as_bytes()) {
            Err(TlogProofError::Line { line: found, .. }) => assert_eq!(found, line, "{text}"),
            other => panic!("{text}: {other:?}"),
        }
    }
    assert_eq!(TlogProof::parse(b"\xff"), Err(TlogProofError::Text));
    assert_eq!(TlogProof::parse(&vec![b'a'; PROOF_BYTES_MAX + 1]), Err(TlogProofError::Text));
}

proptest! {
    #[test]
    fn no_changed_byte_survives(at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let (nodes, checkpoint) = log(6);
        let mut changed = TlogProof::make(&nodes, 2, &checkpoint).unwrap().to_string().into_bytes();
        let at = at.index(changed.len());
        prop_assume!(changed[at] != byte);
        changed[at] = byte;
        let verified = TlogProof::parse(&changed).and_then(|proof| {
            prop_assert_eq_bytes(&proof, &changed);
            proof.verify(&entry(2), &[signer(ORIGIN, 1).key().clone()])
        });
        prop_assert!(verified.is_err());
    }

    #[test]
    fn any_text_is_read_without_panic(
        tail in "(extra [a-z=]{0,6}\n)?(index [0-9]{0,3}\n)?([a-zA-Z+/=]{0,44}\n){0,4}",
    ) {
        let text = format!("{HEADER}\n{tail}");
        if let Ok(proof) = TlogProof::parse(text.as_bytes()) {
            prop_assert_eq!(proof.to_string(), text);
        }
    }
}

fn prop_assert_eq_bytes(proof: &TlogProof, bytes: &[u8]) {
    assert_eq!(proof.to_string().as_bytes(), bytes, "one proof, one spelling");
}
