//! The hash tree beside the lines: what is integrated, and the checkpoints over it.
//!
//! The writer hashes each line anyway (the next one carries the hash), so the tree grows with it at the price of
//! one more hash. Full tiles are written with the next transaction; the rest of the tree is a few hashes that are
//! stored with each checkpoint. All of it follows from the lines and is rebuilt from them after a crash.

use countersign_core::At;
use countersign_ledger::tile::{TILE_HEIGHT, TILE_WIDTH, encode_hashes};
use countersign_ledger::{Checkpoint, Frontier, Hash};

use crate::store::{Drawer, Put};

/// The growing tree.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tree {
    frontier: Frontier,
    /// Hashes of each tile level that are not in a full tile yet.
    partials: Vec<Vec<Hash>>,
    /// Full tiles that are not stored yet.
    unsaved: Vec<Put>,
}

/// A checkpoint that was persisted, with what its partial tiles are made of.
#[derive(Clone, Debug)]
pub(crate) struct Published {
    pub(crate) size: u64,
    pub(crate) root: Hash,
    /// The signed note.
    pub(crate) note: String,
    /// When it was signed.
    pub(crate) at: At,
    pub(crate) partials: Vec<Vec<Hash>>,
}

/// Why stored bytes are no tree.
#[derive(Debug, thiserror::Error)]
#[error("the stored state of the hash tree is malformed")]
pub(crate) struct BadTree;

impl Tree {
    pub(crate) fn size(&self) -> u64 {
        self.frontier.size()
    }

    pub(crate) fn root(&self) -> Hash {
        self.frontier.root()
    }

    pub(crate) fn partials(&self) -> &[Vec<Hash>] {
        &self.partials
    }

    /// Adds a line's leaf hash.
    pub(crate) fn push(&mut self, leaf: Hash) {
        let (partials, unsaved) = (&mut self.partials, &mut self.unsaved);
        self.frontier.push(leaf, |node| {
            if !node.level.is_multiple_of(TILE_HEIGHT) {
                return;
            }
            let level = node.level / TILE_HEIGHT;
            while partials.len() <= usize::from(level) {
                partials.push(Vec::with_capacity(usize::from(TILE_WIDTH)));
            }
            let Some(partial) = partials.get_mut(usize::from(level)) else { return };
            partial.push(node.hash);
            if partial.len() == usize::from(TILE_WIDTH) {
                let index = node.index / u64::from(TILE_WIDTH);
                unsaved.push(Put::set(Drawer::Tiles, tile_key(level, index), encode_hashes(partial)));
                partial.clear();
            }
        });
    }

    /// Full tiles that are not stored yet; they go into the next transaction.
    pub(crate) fn unsaved(&self) -> &[Put] {
        &self.unsaved
    }

    /// The first `count` unsaved tiles are stored.
    pub(crate) fn saved(&mut self, count: usize) {
        self.unsaved.drain(..count.min(self.unsaved.len()));
    }

    /// The checkpoint over this tree, unsigned.
    pub(crate) fn checkpoint(&self, origin: &str) -> Checkpoint {
        Checkpoint { origin: origin.to_owned(), size: self.size(), root: self.root() }
    }

    /// The stored form: the frontier behind its length, and the partial tiles, each behind its count.
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let frontier = self.frontier.to_bytes();
        let mut bytes = Vec::with_capacity(frontier.len() + 8 + self.partials.len() * 8_196);
        bytes.extend_from_slice(&(frontier.len() as u64).to_be_bytes());
        bytes.extend_from_slice(&frontier);
        for partial in &self.partials {
            bytes.extend_from_slice(&(partial.len() as u64).to_be_bytes());
            partial.iter().for_each(|hash| bytes.extend_from_slice(&hash.0));
        }
        bytes
    }

    /// Reads [`Tree::to_bytes`].
    pub(crate) fn from_bytes(bytes: &[u8]) -> Result<Self, BadTree> {
        let (length, rest) = bytes.split_first_chunk::<8>().ok_or(BadTree)?;
        let length = usize::try_from(u64::from_be_bytes(*length)).map_err(|_| BadTree)?;
        let (frontier, mut rest) = rest.split_at_checked(length).ok_or(BadTree)?;
        let frontier = Frontier::from_bytes(frontier).map_err(|_| BadTree)?;
        let mut partials = Vec::new();
        while let Some((count, tail)) = rest.split_first_chunk::<8>() {
            let count = usize::try_from(u64::from_be_bytes(*count)).map_err(|_| BadTree)?;
            if count >= usize::from(TILE_WIDTH) {
                return Err(BadTree);
            }
            let (hashes, tail) = tail.split_at_checked(count * 32).ok_or(BadTree)?;
            let (hashes, _) = hashes.as_chunks::<32>();
            partials.push(hashes.iter().copied().map(Hash).collect());
            rest = tail;
        }
        if !rest.is_empty() {
            return Err(BadTree);
        }
        Ok(Self { frontier, partials, unsaved: Vec::new() })
    }
}

/// Where a full hash tile is kept.
pub(crate) fn tile_key(level: u8, index: u64) -> Vec<u8> {
    let mut key = vec![level];
    key.extend_from_slice(&index.to_be_bytes());
    key
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stored_form_reads_back_and_grows_on() {
        let leaf = |n: u64| Hash::leaf(&n.to_be_bytes());
        let mut grown = Tree::default();
        for n in 0..70_000 {
            if [0, 1, 255, 256, 257, 65_535, 65_536, 65_537].contains(&n) {
                let mut read = Tree::from_bytes(&grown.to_bytes()).unwrap();
                assert_eq!((read.size(), read.root()), (n, grown.root()));
                let mut on = grown.clone();
                on.unsaved.clear();
                read.push(leaf(n));
                on.push(leaf(n));
                assert_eq!(read, on);
            }
            grown.push(leaf(n));
        }
        assert_eq!(grown.root(), Frontier::from_leaves((0..70_000).map(leaf)).root());
        assert_eq!(grown.unsaved().len(), 70_000 / 256 + 1);
        assert_eq!(grown.partials().iter().map(Vec::len).collect::<Vec<_>>(), [112, 17, 1]);
    }

    #[test]
    fn malformed_bytes_are_refused() {
        let mut tree = Tree::default();
        (0..300).for_each(|n: u64| tree.push(Hash::leaf(&n.to_be_bytes())));
        let bytes = tree.to_bytes();
        assert!(Tree::from_bytes(&bytes).is_ok());
        for end in 0..bytes.len() {
            if let Ok(read) = Tree::from_bytes(&bytes[..end]) {
                assert_eq!(read.root(), tree.root());
            }
        }
        assert!(Tree::from_bytes(&[0xff; 64]).is_err());
    }
}
