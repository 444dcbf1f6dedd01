use proptest::prelude::*;

use super::*;
use crate::hash::Hash;

/// The textbook definition of RFC 6962, section 2.1, to compare with.
fn textbook_root(leaves: &[Hash]) -> Hash {
    match leaves {
        [] => Hash::empty(),
        [leaf] => *leaf,
        _ => {
            let (left, right) = leaves.split_at(leaves.len().next_power_of_two() / 2);
            Hash::node(&textbook_root(left), &textbook_root(right))
        }
    }
}

fn leaf(index: u64) -> Hash {
    Hash::leaf(&index.to_be_bytes())
}

pub(crate) struct Grown {
    pub nodes: BTreeMap<(u8, u64), Hash>,
    pub roots: Vec<Hash>,
}

fn grown(size: u64) -> Grown {
    let mut frontier = Frontier::new();
    let mut grown = Grown { nodes: BTreeMap::new(), roots: vec![frontier.root()] };
    for index in 0..size {
        for node in frontier.append(leaf(index)) {
            assert_eq!(grown.nodes.insert((node.level, node.index), node.hash), None, "completed once");
        }
        grown.roots.push(frontier.root());
    }
    grown
}

/// The leaves and roots of the test suite of the certificate-transparency reference implementation.
#[test]
fn vectors_of_certificate_transparency() {
    let inputs: [&[u8]; 8] = [
        b"",
        &[0x00],
        &[0x10],
        &[0x20, 0x21],
        &[0x30, 0x31],
        &[0x40, 0x41, 0x42, 0x43],
        &[0x50, 0x51, 0x52, 0x53, 0x54, 0x55, 0x56, 0x57],
        &[0x60, 0x61, 0x62, 0x63, 0x64, 0x65, 0x66, 0x67, 0x68, 0x69, 0x6a, 0x6b, 0x6c, 0x6d, 0x6e, 0x6f],
    ];
    let roots = [
        "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
        "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
        "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
        "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
        "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
        "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
    ];
    let mut frontier = Frontier::new();
    let mut nodes = BTreeMap::new();
    for (input, root) in inputs.iter().zip(roots) {
        for node in frontier.append(Hash::leaf(input)) {
            nodes.insert((node.level, node.index), node.hash);
        }
        assert_eq!(frontier.root().to_string(), root);
    }
    // Inclusion of leaf 5 in 8, and consistency from 6 to 8, as printed there.
    let shown = |proof: Vec<Hash>| proof.iter().map(Hash::to_string).collect::<Vec<_>>();
    assert_eq!(
        shown(inclusion(&nodes, 5, 8).unwrap()),
        [
            "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
            "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
            "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        ]
    );
    assert_eq!(
        shown(consistency(&nodes, 6, 8).unwrap()),
        [
            "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
            "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
            "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        ]
    );
}

#[test]
fn every_size_has_the_textbook_root() {
    let grown = grown(300);
    let leaves: Vec<Hash> = (0..300).map(leaf).collect();
    for size in 0..=300 {
        assert_eq!(grown.roots[size], textbook_root(&leaves[..size]), "size {size}");
        assert_eq!(root(&grown.nodes, size as u64).unwrap(), grown.roots[size], "size {size}");
    }
}

#[test]
fn every_inclusion_up_to_130_holds_and_no_other() {
    let grown = grown(130);
    for size in 1..=130 {
        for index in 0..size {
            let proof = inclusion(&grown.nodes, index, size).unwrap();
            let root = &grown.roots[size as usize];
            check_inclusion(&proof, index, &leaf(index), size, root).unwrap();
            check_inclusion(&proof, index, &leaf(index + 1), size, root).unwrap_err();
            check_inclusion(&proof, index, &leaf(index), size, &grown.roots[size as usize - 1]).unwrap_err();
            for other in
                [proof.split_last().map(|(_, fewer)| fewer.to_vec()), Some([&proof[..], &[*root]].concat())]
            {
                let Some(other) = other else { continue };
                let wrong = ProofError::Length { found: other.len() };
                assert_eq!(check_inclusion(&other, index, &leaf(index), size, root), Err(wrong));
            }
            check_inclusion(&proof, (index + 1) % size, &leaf(index), size, root).map_or_else(drop, |()| {
                assert_eq!(size, 1, "index {index} of {size}");
            });
        }
    }
}

#[test]
fn every_consistency_up_to_130_holds_and_no_other() {
    let grown = grown(130);
    for new in 0..=130_u64 {
        for old in 0..=new {
            let proof = consistency(&grown.nodes, old, new).unwrap();
            let (old_root, new_root) = (&grown.roots[old as usize], &grown.roots[new as usize]);
            check_consistency(&proof, old, old_root, new, new_root).unwrap();
            let forked = leaf(1_000);
            check_consistency(&proof, old, &forked, new, new_root).unwrap_err();
            if old > 0 {
                check_consistency(&proof, old, old_root, new, &forked).unwrap_err();
            }
            for changed in 0..proof.len() {
                let mut proof = proof.clone();
                proof[changed] = forked;
                check_consistency(&proof, old, old_root, new, new_root).unwrap_err();
                proof.remove(changed);
                check_consistency(&proof, old, old_root, new, new_root).unwrap_err();
            }
            let longer = [proof, vec![forked]].concat();
            let wrong = Err(ProofError::Length { found: longer.len() });
            assert_eq!(check_consistency(&longer, old, old_root, new, new_root), wrong);
        }
    }
}

#[test]
fn nonsense_is_refused_in_words() {
    let grown = grown(4);
    let root = grown.roots[4];
    assert_eq!(
        inclusion(&grown.nodes, 4, 4).unwrap_err().to_string(),
        "entry 4 is not in a tree of 4 entries"
    );
    assert_eq!(check_inclusion(&[], 4, &root, 4, &root), Err(ProofError::Index { index: 4, size: 4 }));
    assert_eq!(check_inclusion(&[], 0, &root, 0, &root), Err(ProofError::Index { index: 0, size: 0 }));
    assert_eq!(consistency(&grown.nodes, 5, 4), Err(ProofError::Sizes { old: 5, new: 4 }));
    assert_eq!(check_consistency(&[], 5, &root, 4, &root), Err(ProofError::Sizes { old: 5, new: 4 }));
    assert_eq!(inclusion(&grown.nodes, 0, 5), Err(ProofError::Missing { level: 0, index: 4 }));
    assert_eq!(inclusion(&grown.nodes, 0, u64::MAX), Err(ProofError::TooLarge(u64::MAX)));
    assert_eq!(check_inclusion(&[], 0, &root, u64::MAX, &root), Err(ProofError::TooLarge(u64::MAX)));
    let long = vec![root; PROOF_HASHES_MAX + 1];
    assert_eq!(check_inclusion(&long, 0, &root, SIZE_MAX, &root), Err(ProofError::Length { found: 55 }));
    assert_eq!(check_consistency(&long, 1, &root, SIZE_MAX, &root), Err(ProofError::Length { found: 55 }));
}

#[test]
fn the_longest_proofs_are_within_their_limit() {
    struct Everywhere;
    impl HashReader for Everywhere {
        fn hash(&self, _: u8, _: u64) -> Option<Hash> {
            Some(Hash::empty())
        }
    }
    let longest = (0..200).map(|back| inclusion(&Everywhere, SIZE_MAX - 1 - back, SIZE_MAX).unwrap().len());
    assert_eq!(longest.max(), Some(53));
    let longest = (1..200).map(|old| consistency(&Everywhere, old, SIZE_MAX).unwrap().len()).max();
    assert_eq!(longest, Some(PROOF_HASHES_MAX));
}

#[test]
fn a_frontier_is_stored_and_rebuilt() {
    let mut frontier = Frontier::new();
    for index in 0..200 {
        let bytes = frontier.to_bytes();
        assert_eq!(Frontier::from_bytes(&bytes), Ok(frontier.clone()));
        assert_eq!(Frontier::from_parts(frontier.size(), frontier.hashes().to_vec()), Ok(frontier.clone()));
        let json = serde_json::to_string(&frontier).unwrap();
        assert_eq!(serde_json::from_str::<Frontier>(&json).unwrap(), frontier);
        assert_eq!(Frontier::from_leaves((0..index).map(leaf)), frontier);
        frontier.append(leaf(index));
    }
    let bytes = frontier.to_bytes();
    assert_eq!(Frontier::from_bytes(&bytes[1..]), Err(FrontierError::Bytes(bytes.len() - 1)));
    assert_eq!(Frontier::from_bytes(&bytes[..7]), Err(FrontierError::Bytes(7)));
    assert_eq!(Frontier::from_bytes(&bytes[..40]), Err(FrontierError::Count { size: 200, due: 3, found: 1 }));
    assert_eq!(Frontier::from_bytes(&[0xff; 8]), Err(FrontierError::TooLarge(u64::MAX)));
    assert!(serde_json::from_str::<Frontier>(r#"{"size":3,"hashes":[]}"#).is_err());
}

#[test]
fn folding_gives_the_levels_between() {
    let grown = grown(1_000);
    let tiles_only: BTreeMap<_, _> =
        grown.nodes.iter().filter(|(at, _)| at.0 % 8 == 0).map(|(at, hash)| (*at, *hash)).collect();
    let folded = Folded(&tiles_only);
    for (&(level, index), &hash) in &grown.nodes {
        assert_eq!(folded.hash(level, index), Some(hash), "level {level}, index {index}");
    }
    assert_eq!(folded.hash(10, 0), None, "1,024 leaves are not there");
    assert_eq!(folded.hash(255, u64::MAX), None);
}

proptest! {
    #[test]
    fn random_sizes(
        size in 1_u64..5_000,
        index in any::<prop::sample::Index>(),
        old in any::<prop::sample::Index>(),
    ) {
        let grown = grown(size);
        let index = index.index(size as usize) as u64;
        let old = old.index(size as usize + 1) as u64;
        let root = &grown.roots[size as usize];
        let proof = inclusion(&grown.nodes, index, size).unwrap();
        prop_assert_eq!(check_inclusion(&proof, index, &leaf(index), size, root), Ok(()));
        let proof = consistency(&grown.nodes, old, size).unwrap();
        prop_assert_eq!(check_consistency(&proof, old, &grown.roots[old as usize], size, root), Ok(()));
    }

    /// Whatever is thrown at the checkers, they answer, and a made-up proof does not hold.
    #[test]
    fn made_up_proofs_fail(
        proof in prop::collection::vec(any::<[u8; 32]>().prop_map(Hash), 0..60),
        index in any::<u64>(), size in any::<u64>(), root in any::<[u8; 32]>().prop_map(Hash),
    ) {
        prop_assert!(check_inclusion(&proof, index, &Hash::empty(), size, &root).is_err());
        prop_assert!(check_consistency(&proof, index, &Hash::leaf(b""), size, &root).is_err());
    }
}
