//! Tiles of the published tree and proofs from them: what anybody can verify, with no content in it.

use countersign_ledger::proof::TlogProof;
use countersign_ledger::tile::{Kind, TILE_HEIGHT, TILE_WIDTH, Tile, encode_entries, encode_hashes};
use countersign_ledger::tree::{Folded, HashReader};
use countersign_ledger::{Hash, tile};

use crate::engine::Engine;
use crate::house::House;
use crate::store::Drawer;
use crate::writer::tree::{Published, tile_key};

impl Engine {
    /// A tile of the published tree, by its C2SP path: `tile/0/x001/067`, `tile/entries/000.p/12`. Partial tiles of
    /// every checkpoint that was ever published are to be had. Reads the store.
    #[must_use]
    pub fn tile(&self, path: &str) -> Option<Vec<u8>> {
        let tile: Tile = path.parse().ok()?;
        let published = self.0.hall.published.load_full()?;
        let width = u64::from(tile.width);
        let end = tile.index.checked_mul(u64::from(TILE_WIDTH))?.checked_add(width)?;
        if end > tile::count_on(tile.kind, published.size) {
            return None;
        }
        match tile.kind {
            Kind::Entries => {
                let first = tile.index * u64::from(TILE_WIDTH);
                let lines = self.0.house.store.read(first, usize::from(tile.width)).ok()?;
                let entries: Vec<Vec<u8>> = lines.into_iter().map(|line| line.bytes).collect();
                (entries.len() == usize::from(tile.width)).then(|| encode_entries(&entries).ok())?
            }
            Kind::Hashes(level) => {
                let hashes = tile_hashes(&self.0.house, &published, level, tile.index)?;
                hashes.get(..usize::from(tile.width)).map(encode_hashes)
            }
        }
    }

    /// The proof that a line is under the last checkpoint.
    pub(super) fn proof(&self, index: u64) -> Option<String> {
        let published = self.0.hall.published.load_full()?;
        if index >= published.size {
            return None;
        }
        let tiles = Tiles { house: &self.0.house, published: &published };
        let proof = TlogProof::make(&Folded(tiles), index, &published.note).ok()?;
        Some(proof.to_string())
    }
}

/// Completed nodes of the published tree, on the levels that tiles keep.
struct Tiles<'a> {
    house: &'a House,
    published: &'a Published,
}

impl HashReader for Tiles<'_> {
    fn hash(&self, level: u8, index: u64) -> Option<Hash> {
        if !level.is_multiple_of(TILE_HEIGHT) {
            return None;
        }
        let (tile, place) = (index / u64::from(TILE_WIDTH), index % u64::from(TILE_WIDTH));
        let hashes = tile_hashes(self.house, self.published, level / TILE_HEIGHT, tile)?;
        hashes.get(usize::try_from(place).ok()?).copied()
    }
}

/// The hashes of a tile of the published tree, as many as there are.
fn tile_hashes(house: &House, published: &Published, level: u8, index: u64) -> Option<Vec<Hash>> {
    let count = tile::count_on(Kind::Hashes(level), published.size);
    if (index + 1).checked_mul(u64::from(TILE_WIDTH))? <= count {
        let bytes = house.store.get(Drawer::Tiles, &tile_key(level, index)).ok()??;
        return tile::decode_hashes(&bytes, TILE_WIDTH).ok();
    }
    if index == count / u64::from(TILE_WIDTH) {
        return published.partials.get(usize::from(level)).cloned();
    }
    None
}
