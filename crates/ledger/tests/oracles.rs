//! What we write, other people's libraries verify, and the other way round.
//!
//! The oracles are `signed_note` and `tlog_tiles`, which were written from the same specifications by others.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a failing test may panic")]

use std::collections::BTreeMap;

use countersign_ledger::checkpoint::Checkpoint;
use countersign_ledger::export;
use countersign_ledger::hash::Hash;
use countersign_ledger::note::{self, Ed25519Signer, Sign as _, VerifierKey};
use countersign_ledger::proof::TlogProof;
use countersign_ledger::source::TileHashes;
use countersign_ledger::tile::{self, Kind, TileBuilder};
use countersign_ledger::tree::{self, Folded, Frontier};
use proptest::prelude::*;
use signed_note::{Note, Signer as _, StandardSigner, StandardVerifier, VerifierList};
use tlog_tiles::{HashReader, Tile, TileHashReader, TileReader};

const ORIGIN: &str = "log.example/1";

fn theirs(hash: Hash) -> tlog_tiles::Hash {
    tlog_tiles::Hash(hash.0)
}

fn theirs_all(hashes: Vec<Hash>) -> Vec<tlog_tiles::Hash> {
    hashes.into_iter().map(theirs).collect()
}

fn ours_all(hashes: Vec<tlog_tiles::Hash>) -> Vec<Hash> {
    hashes.into_iter().map(|hash| Hash(hash.0)).collect()
}

fn entry(index: u64) -> Vec<u8> {
    format!("{{\"seq\":{index}}}").into_bytes()
}

/// Their store of hashes, filled by their own code.
#[derive(Default)]
struct Stored(Vec<tlog_tiles::Hash>);

impl HashReader for Stored {
    fn read_hashes(&self, indexes: &[u64]) -> Result<Vec<tlog_tiles::Hash>, tlog_tiles::Error> {
        Ok(indexes.iter().map(|index| self.0[*index as usize]).collect())
    }
}

/// One log, kept by both.
#[derive(Default)]
struct Both {
    stored: Stored,
    nodes: BTreeMap<(u8, u64), Hash>,
    frontier: Frontier,
}

impl Both {
    fn of(size: u64) -> Self {
        let mut both = Self::default();
        (0..size).for_each(|_| both.append());
        both
    }

    fn append(&mut self) {
        let index = self.frontier.size();
        let new = tlog_tiles::stored_hashes(index, &entry(index), &self.stored).unwrap();
        self.stored.0.extend(new);
        for node in self.frontier.append(Hash::leaf(&entry(index))) {
            self.nodes.insert((node.level, node.index), node.hash);
        }
    }

    fn their_root(&self) -> tlog_tiles::Hash {
        tlog_tiles::tree_hash(self.frontier.size(), &self.stored).unwrap()
    }
}

#[test]
fn roots_of_every_size_agree() {
    let mut both = Both::default();
    for size in 1..=1_000 {
        both.append();
        assert_eq!(both.their_root(), theirs(both.frontier.root()), "size {size}");
    }
}

#[test]
fn a_log_of_70_000_agrees() {
    let both = Both::of(70_000);
    let root = both.frontier.root();
    assert_eq!(both.their_root(), theirs(root));
    let old: Frontier = Frontier::from_leaves((0..35_000).map(|index| Hash::leaf(&entry(index))));
    let proof = tree::consistency(&both.nodes, 35_000, 70_000).unwrap();
    tlog_tiles::check_tree(&theirs_all(proof), 70_000, theirs(root), 35_000, theirs(old.root())).unwrap();
    let proof = tlog_tiles::prove_tree(70_000, 35_000, &both.stored).unwrap();
    tree::check_consistency(&ours_all(proof), 35_000, &old.root(), 70_000, &root).unwrap();
    for index in [0, 255, 256, 65_535, 65_536, 69_999] {
        let leaf = Hash::leaf(&entry(index));
        let proof = tree::inclusion(&Folded(&both.nodes), index, 70_000).unwrap();
        tlog_tiles::check_record(&theirs_all(proof), 70_000, theirs(root), index, theirs(leaf)).unwrap();
        let proof = tlog_tiles::prove_record(70_000, index, &both.stored).unwrap();
        tree::check_inclusion(&ours_all(proof), index, &leaf, 70_000, &root).unwrap();
    }
}

#[test]
fn every_proof_up_to_70_is_the_same() {
    let both = Both::of(70);
    for size in 1..=70 {
        for index in 0..size {
            let ours = tree::inclusion(&both.nodes, index, size).unwrap();
            assert_eq!(
                theirs_all(ours),
                tlog_tiles::prove_record(size, index, &both.stored).unwrap(),
                "{index} {size}"
            );
        }
        for old in 1..=size {
            let ours = tree::consistency(&both.nodes, old, size).unwrap();
            assert_eq!(
                theirs_all(ours),
                tlog_tiles::prove_tree(size, old, &both.stored).unwrap(),
                "{old} {size}"
            );
        }
    }
}

/// Their names of our tiles: the height is left out, and entries are `data` there.
fn our_name(tile: &Tile) -> String {
    tile.path().replace("tile/8/", "tile/").replace("tile/data/", "tile/entries/")
}

#[test]
fn growth_writes_the_same_tiles() {
    for (old, new) in
        [(0, 1), (0, 256), (1, 256), (255, 257), (256, 257), (0, 70_000), (65_535, 65_536), (69_000, 70_000)]
    {
        let ours: Vec<String> = tile::written_by_growth(old, new)
            .filter(|tile| tile.kind != Kind::Entries)
            .map(|tile| tile.to_string())
            .collect();
        let theirs: Vec<String> = Tile::new_tiles(8, old, new).iter().map(our_name).collect();
        assert_eq!(ours, theirs, "{old} to {new}");
    }
}

/// Their tile reader over our files.
struct OurFiles(BTreeMap<String, Vec<u8>>);

impl TileReader for OurFiles {
    fn height(&self) -> u8 {
        8
    }

    fn read_tiles(&self, tiles: &[Tile]) -> Result<Vec<Vec<u8>>, tlog_tiles::Error> {
        Ok(tiles.iter().map(|tile| self.0[&our_name(tile)].clone()).collect())
    }

    fn save_tiles(&self, _: &[Tile], _: &[Vec<u8>]) {}
}

#[test]
fn proofs_are_rebuilt_from_our_exported_tiles() {
    let both = Both::of(1_000);
    let signer = Ed25519Signer::from_seed(ORIGIN, &[1; 32]).unwrap();
    let checkpoint = Checkpoint { origin: ORIGIN.to_owned(), size: 1_000, root: both.frontier.root() };
    let note = checkpoint.sign(&[&signer]).unwrap();
    let exported = export::files((0..1_000).map(entry), &note, signer.key()).unwrap();
    let files: BTreeMap<String, Vec<u8>> = exported.into_iter().map(|file| (file.path, file.bytes)).collect();
    let our_hashes = TileHashes::new(&files, 1_000);
    let their_files = OurFiles(files.clone());
    // Their reader authenticates each tile against the root before it is used.
    let their_hashes = TileHashReader::new(1_000, both.their_root(), &their_files);
    for index in [0, 1, 255, 256, 511, 767, 768, 999] {
        let from_tiles = tlog_tiles::prove_record(1_000, index, &their_hashes).unwrap();
        assert_eq!(theirs_all(tree::inclusion(&our_hashes, index, 1_000).unwrap()), from_tiles);
        let proof = TlogProof::make(&our_hashes, index, &note).unwrap();
        assert_eq!(proof.verify(&entry(index), &[signer.key().clone()]).unwrap(), checkpoint);
    }
    for old in [1, 255, 256, 600, 999] {
        let from_tiles = tlog_tiles::prove_tree(1_000, old, &their_hashes).unwrap();
        assert_eq!(theirs_all(tree::consistency(&our_hashes, old, 1_000).unwrap()), from_tiles);
    }
    assert_eq!(tree::root(&our_hashes, 1_000), Ok(checkpoint.root));
    assert_eq!(
        tree::root(&our_hashes, 999),
        Ok(Frontier::from_leaves((0..999).map(|i| Hash::leaf(&entry(i)))).root())
    );
}

#[test]
fn the_builder_makes_the_tiles_that_theirs_reads() {
    let both = Both::of(600);
    let mut builder = TileBuilder::new();
    let mut built: Vec<tile::Built> =
        (0..600).flat_map(|index| builder.push(Hash::leaf(&entry(index)))).collect();
    built.extend(builder.finish());
    let mut theirs: BTreeMap<String, Vec<u8>> = BTreeMap::new();
    for tile in Tile::new_tiles(8, 0, 600) {
        theirs.insert(our_name(&tile), tile.read_data(&both.stored).unwrap());
    }
    let ours =
        built.into_iter().map(|(tile, hashes)| (tile.to_string(), tile::encode_hashes(&hashes))).collect();
    assert_eq!(theirs, ours);
}

#[test]
fn their_note_opens_ours_and_ours_theirs() {
    let ours = Ed25519Signer::from_seed(ORIGIN, &[1; 32]).unwrap();
    let witness = Ed25519Signer::from_seed("witness.example", &[2; 32]).unwrap();
    let checkpoint = Checkpoint { origin: ORIGIN.to_owned(), size: 7, root: Hash::leaf(b"x") };
    let bytes = checkpoint.sign(&[&ours, &witness]).unwrap();

    let verifier = StandardVerifier::new(&ours.key().to_string()).unwrap();
    let note = Note::from_bytes(bytes.as_bytes()).unwrap();
    let (verified, unverified) = note.verify(&VerifierList::new(vec![Box::new(verifier)])).unwrap();
    assert_eq!((verified[0].name(), verified[0].id()), (ORIGIN, ours.key().id()));
    assert_eq!(unverified.len(), 1, "the witness is not known");
    let read = tlog_tiles::Checkpoint::from_bytes(note.text()).unwrap();
    assert_eq!(
        (read.origin(), read.size(), *read.hash(), read.extension()),
        (ORIGIN, 7, theirs(checkpoint.root), "")
    );

    let same_key = StandardSigner::new(&ours.to_secret_text()).unwrap();
    let mut note = Note::new(checkpoint.to_text().as_bytes(), &[]).unwrap();
    note.add_sigs(&[&same_key]).unwrap();
    assert_eq!(note.to_bytes(), checkpoint.sign(&[&ours]).unwrap().into_bytes(), "Ed25519 is deterministic");
    assert_eq!(Checkpoint::open(&note.to_bytes(), &[ours.key().clone()]), Ok(checkpoint));
    assert_eq!(same_key.key_id(), ours.key().id());
}

proptest! {
    #[test]
    fn keys_agree(seed: [u8; 32], name in "[a-z./0-9é]{1,20}", text in "[ -~é\n]{0,60}\n") {
        let ours = Ed25519Signer::from_seed(&name, &seed).unwrap();
        let theirs = StandardSigner::new(&ours.to_secret_text()).unwrap();
        prop_assert_eq!((theirs.name(), theirs.key_id()), (ours.key().name(), ours.key().id()));
        prop_assert_eq!(theirs.sign(text.as_bytes()).unwrap(), ours.sign(text.as_bytes()).unwrap());
        prop_assert!(StandardVerifier::new(&ours.key().to_string()).is_ok());
        let signed = note::sign(&text, &[&ours]).unwrap();
        prop_assert!(Note::from_bytes(signed.as_bytes()).is_ok());
        prop_assert_eq!(note::open(signed.as_bytes(), &[ours.key().clone()]).unwrap().text, text);
    }

    /// Damaged notes: whatever we read, they read alike. We refuse more.
    #[test]
    fn we_read_no_note_that_they_refuse(at in any::<prop::sample::Index>(), byte: u8, remove: bool) {
        let ours = Ed25519Signer::from_seed(ORIGIN, &[1; 32]).unwrap();
        let mut bytes = note::sign("a\n\nb\n", &[&ours]).unwrap().into_bytes();
        let at = at.index(bytes.len());
        if remove { bytes.remove(at); } else { bytes[at] = byte; }
        if let Ok(read) = note::parse(&bytes) {
            let theirs = Note::from_bytes(&bytes).unwrap();
            prop_assert_eq!(read.text.as_bytes(), theirs.text());
        }
        let known: VerifierKey = ours.key().clone();
        let verifier = StandardVerifier::new(&known.to_string()).unwrap();
        let theirs = Note::from_bytes(&bytes).is_ok_and(|note| note.verify(&VerifierList::new(vec![Box::new(verifier)])).is_ok());
        prop_assert_eq!(note::open(&bytes, &[known]).is_ok(), theirs);
    }

    #[test]
    fn random_logs_agree(
        size in 1_u64..3_000,
        index in any::<prop::sample::Index>(),
        old in any::<prop::sample::Index>(),
    ) {
        let both = Both::of(size);
        let (index, old) = (index.index(size as usize) as u64, old.index(size as usize) as u64 + 1);
        prop_assert_eq!(both.their_root(), theirs(both.frontier.root()));
        let ours = tree::inclusion(&both.nodes, index, size).unwrap();
        prop_assert_eq!(theirs_all(ours), tlog_tiles::prove_record(size, index, &both.stored).unwrap());
        let ours = tree::consistency(&both.nodes, old, size).unwrap();
        prop_assert_eq!(theirs_all(ours), tlog_tiles::prove_tree(size, old, &both.stored).unwrap());
    }
}
