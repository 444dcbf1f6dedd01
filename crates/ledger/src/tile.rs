//! Tiles: how the tree and its entries are laid out in files (c2sp.org/tlog-tiles).
//!
//! What: the name of each tile, its bytes, and which tiles a growth writes. A hash tile holds up to 256
//! consecutive hashes of every eighth tree level; an entry bundle holds up to 256 entries, each behind its
//! length. A tile that is not full carries its width in its name, so every file is immutable. Why so: what is
//! archived is what anyone verifies, with software that is not ours. What not: no reading or writing of files
//! (see [`crate::source`]).

mod build;
mod name;

pub use build::{Built, TileBuilder};
pub use name::{NAME_BYTES_MAX, NameError};

use crate::hash::{HASH_BYTES, Hash};
use crate::tree::{HashReader, fold_complete};

/// Hashes or entries in a full tile.
pub const TILE_WIDTH: u16 = 256;

/// Tree levels that one tile level spans.
pub const TILE_HEIGHT: u8 = 8;

/// The longest entry, in bytes: its length is written in 16 bits.
pub const ENTRY_BYTES_MAX: usize = 65_535;

/// The largest entry bundle, in bytes, and so the largest file of a log.
pub const BUNDLE_BYTES_MAX: usize = TILE_WIDTH as usize * (ENTRY_BYTES_MAX + LENGTH_BYTES);

/// The highest tile level that a tree of [`crate::tree::SIZE_MAX`] entries has.
pub const TILE_LEVEL_MAX: u8 = 6;

const LENGTH_BYTES: usize = 2;

/// What a tile holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// Entries: the bytes that the leaves are hashes of.
    Entries,
    /// Hashes of this tile level; level 0 are the leaves, each next level is eight tree levels higher.
    Hashes(u8),
}

/// One tile: what it holds, which one it is, and how wide it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Tile {
    /// What it holds.
    pub kind: Kind,
    /// Position among the tiles of its kind.
    pub index: u64,
    /// How many hashes or entries, 1 to 256; 256 is full.
    pub width: u16,
}

/// Why bytes are not the tile they are named for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TileError {
    /// A hash tile of the wrong length.
    #[error("{found} bytes where {due} hashes of 32 bytes are due")]
    Hashes {
        /// How many bytes there are.
        found: usize,
        /// How many hashes are due.
        due: u16,
    },
    /// A bundle that ends inside an entry.
    #[error("the bundle ends inside entry {position} of it")]
    Ended {
        /// Position of the entry in the bundle.
        position: usize,
    },
    /// A bundle with another number of entries.
    #[error("{found} entries where {due} are due")]
    Entries {
        /// How many there are; one more than a full bundle stands for "more".
        found: usize,
        /// How many are due.
        due: u16,
    },
    /// An entry that does not fit 16 bits of length.
    #[error("an entry of {0} bytes is longer than 65,535")]
    EntryLength(usize),
}

impl Tile {
    /// The tile of this kind that holds the `position`-th hash or entry, in a tree of `size` entries; nothing
    /// if the tree does not have it.
    #[must_use]
    pub fn holding(kind: Kind, position: u64, size: u64) -> Option<Self> {
        let count = count_on(kind, size);
        let index = position / u64::from(TILE_WIDTH);
        let width = count.saturating_sub(index * u64::from(TILE_WIDTH)).min(u64::from(TILE_WIDTH));
        (position < count).then_some(Self { kind, index, width: u16::try_from(width).unwrap_or(TILE_WIDTH) })
    }

    /// Whether it is as wide as a tile can be.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.width == TILE_WIDTH
    }

    /// The full tile at the same place.
    #[must_use]
    pub fn full(&self) -> Self {
        Self { width: TILE_WIDTH, ..*self }
    }

    /// Whether a tree of `size` entries has exactly this tile.
    #[must_use]
    pub fn belongs_to(&self, size: u64) -> bool {
        let first = self.index.checked_mul(u64::from(TILE_WIDTH));
        first.and_then(|first| Self::holding(self.kind, first, size)).is_some_and(|tile| tile == *self)
    }

    /// The first entry under this tile, and the number of entries under each of its hashes.
    #[must_use]
    pub fn span(&self) -> (u64, u64) {
        let each = match self.kind {
            Kind::Entries => 1,
            Kind::Hashes(level) => 1_u64.checked_shl(u32::from(level) * 8).unwrap_or(u64::MAX),
        };
        (self.index.saturating_mul(u64::from(TILE_WIDTH)).saturating_mul(each), each)
    }
}

/// How many hashes or entries of a kind a tree of `size` entries has.
#[must_use]
pub fn count_on(kind: Kind, size: u64) -> u64 {
    match kind {
        Kind::Entries => size,
        Kind::Hashes(level) => size.checked_shr(u32::from(level) * u32::from(TILE_HEIGHT)).unwrap_or(0),
    }
}

/// The tiles that a growth from `old` to `new` entries writes: full ones that were not, and the partial one
/// at each right edge that moved. Bundles first, then hashes level by level. From 0: every tile of the tree.
pub fn written_by_growth(old: u64, new: u64) -> impl Iterator<Item = Tile> {
    let kinds = std::iter::once(Kind::Entries).chain((0..=TILE_LEVEL_MAX).map(Kind::Hashes));
    kinds.flat_map(move |kind| {
        let (from, to) = (count_on(kind, old), count_on(kind, new));
        let first = if from < to { from / u64::from(TILE_WIDTH) } else { u64::MAX };
        (first..to.div_ceil(u64::from(TILE_WIDTH)))
            .filter_map(move |index| Tile::holding(kind, index * u64::from(TILE_WIDTH), new))
    })
}

/// The bytes of a hash tile.
#[must_use]
pub fn encode_hashes(hashes: &[Hash]) -> Vec<u8> {
    hashes.iter().flat_map(|hash| hash.0).collect()
}

/// The hashes of a hash tile of this width.
///
/// # Errors
/// [`TileError::Hashes`] unless there are exactly as many.
pub fn decode_hashes(bytes: &[u8], width: u16) -> Result<Vec<Hash>, TileError> {
    let (hashes, rest) = bytes.as_chunks::<HASH_BYTES>();
    if !rest.is_empty() || hashes.len() != usize::from(width) {
        return Err(TileError::Hashes { found: bytes.len(), due: width });
    }
    Ok(hashes.iter().copied().map(Hash).collect())
}

/// The bytes of an entry bundle.
///
/// # Errors
/// [`TileError::EntryLength`].
pub fn encode_entries<E: AsRef<[u8]>>(entries: &[E]) -> Result<Vec<u8>, TileError> {
    let mut out = Vec::new();
    for entry in entries.iter().map(AsRef::as_ref) {
        let length = u16::try_from(entry.len()).map_err(|_| TileError::EntryLength(entry.len()))?;
        out.extend_from_slice(&length.to_be_bytes());
        out.extend_from_slice(entry);
    }
    Ok(out)
}

/// The entries of a bundle of this width.
///
/// # Errors
/// [`TileError::Ended`] and [`TileError::Entries`].
pub fn decode_entries(bytes: &[u8], width: u16) -> Result<Vec<&[u8]>, TileError> {
    let (entries, fault) = split_entries(bytes, width);
    fault.map_or(Ok(entries), Err)
}

/// What can be read of a bundle, and what is wrong with the rest: a verifier says more about a damaged bundle
/// if it sees the part that is whole.
#[must_use]
pub fn split_entries(bytes: &[u8], width: u16) -> (Vec<&[u8]>, Option<TileError>) {
    let mut entries = Vec::with_capacity(usize::from(width));
    let mut rest = bytes;
    while !rest.is_empty() && entries.len() <= usize::from(TILE_WIDTH) {
        let position = entries.len();
        let Some((entry, after)) = split_entry(rest) else {
            return (entries, Some(TileError::Ended { position }));
        };
        entries.push(entry);
        rest = after;
    }
    let fault = TileError::Entries { found: entries.len(), due: width };
    let wrong = entries.len() != usize::from(width);
    (entries, wrong.then_some(fault))
}

fn split_entry(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_first_chunk::<LENGTH_BYTES>()?;
    rest.split_at_checked(usize::from(u16::from_be_bytes(*length)))
}

/// The bytes of a hash tile, made from whoever keeps the hashes; nothing if one is missing or the tile is a
/// bundle.
#[must_use]
pub fn produce_hashes(tile: &Tile, reader: &impl HashReader) -> Option<Vec<u8>> {
    let Kind::Hashes(level) = tile.kind else { return None };
    let level = level.checked_mul(TILE_HEIGHT)?;
    let first = tile.index.checked_mul(u64::from(TILE_WIDTH))?;
    let positions = first..first.checked_add(u64::from(tile.width))?;
    let hashes: Vec<Hash> = positions.map(|index| reader.hash(level, index)).collect::<Option<_>>()?;
    Some(encode_hashes(&hashes))
}

/// The root over a full tile: the hash that stands for it one tile level higher.
#[must_use]
pub fn root_of_full(hashes: &[Hash]) -> Option<Hash> {
    let full = hashes.len() == usize::from(TILE_WIDTH);
    full.then(|| fold_complete(hashes.to_vec())).flatten()
}

#[cfg(test)]
mod tests;
