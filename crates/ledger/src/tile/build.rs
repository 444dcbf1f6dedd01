//! Building the hash tiles of a log while its leaves go by, holding no more than one tile of each level.

use super::{Kind, TILE_WIDTH, Tile, root_of_full};
use crate::hash::Hash;

/// A hash tile with its hashes.
pub type Built = (Tile, Vec<Hash>);

/// Takes leaf hashes one by one and gives each tile when it is complete.
#[derive(Debug, Clone, Default)]
pub struct TileBuilder {
    /// The unfinished tile of each tile level, lowest first.
    levels: Vec<Level>,
}

#[derive(Debug, Clone, Default)]
struct Level {
    /// How many tiles of this level are complete.
    complete: u64,
    hashes: Vec<Hash>,
}

impl TileBuilder {
    /// A builder for a tree without leaves.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the next leaf hash; gives the tiles that it completed, the lowest first. Nearly always none.
    pub fn push(&mut self, leaf: Hash) -> Vec<Built> {
        let mut built = Vec::new();
        let mut hash = leaf;
        for level in 0_u8.. {
            if self.levels.len() <= usize::from(level) {
                self.levels.push(Level::default());
            }
            let Some(tile) = self.levels.get_mut(usize::from(level)).and_then(|own| own.push(level, hash))
            else {
                break;
            };
            let root = root_of_full(&tile.1);
            built.push(tile);
            let Some(root) = root else { break };
            hash = root;
        }
        built
    }

    /// The tiles at the right edge, which are not full.
    #[must_use]
    pub fn finish(self) -> Vec<Built> {
        let levels = (0_u8..).zip(self.levels).filter(|(_, level)| !level.hashes.is_empty());
        levels.map(|(at, level)| level.into_tile(at)).collect()
    }
}

impl Level {
    /// Adds a hash; gives the tile if that filled it.
    fn push(&mut self, at: u8, hash: Hash) -> Option<Built> {
        self.hashes.push(hash);
        if self.hashes.len() < usize::from(TILE_WIDTH) {
            return None;
        }
        let full = std::mem::take(self);
        self.complete = full.complete + 1;
        Some(full.into_tile(at))
    }

    fn into_tile(self, at: u8) -> Built {
        let width = u16::try_from(self.hashes.len()).unwrap_or(TILE_WIDTH);
        (Tile { kind: Kind::Hashes(at), index: self.complete, width }, self.hashes)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::tile::{decode_hashes, produce_hashes, written_by_growth};
    use crate::tree::Frontier;

    #[test]
    fn the_tiles_of_every_size() {
        let leaf = |index: u64| Hash::leaf(&index.to_be_bytes());
        let (mut builder, mut frontier) = (TileBuilder::new(), Frontier::new());
        let (mut nodes, mut complete) = (BTreeMap::new(), BTreeMap::new());
        for size in 1..=66_000 {
            complete.extend(builder.push(leaf(size - 1)));
            frontier.push(leaf(size - 1), |node| {
                nodes.insert((node.level, node.index), node.hash);
            });
            if size % 256 < 2 && !(1_000..=65_000).contains(&size) {
                let all: BTreeMap<Tile, Vec<Hash>> =
                    complete.clone().into_iter().chain(builder.clone().finish()).collect();
                let due: BTreeMap<Tile, Vec<Hash>> = written_by_growth(0, size)
                    .filter_map(|tile| Some((tile, produce_hashes(&tile, &nodes)?)))
                    .map(|(tile, bytes)| (tile, decode_hashes(&bytes, tile.width).unwrap()))
                    .collect();
                assert_eq!(all, due, "size {size}");
            }
        }
    }
}
