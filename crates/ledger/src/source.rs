//! Where a log's files are read from: a folder, a map in memory, whatever answers for a path.
//!
//! What: [`Source`], the reading side of verification and proofs; [`DirSource`] over a folder, since an
//! auditor builds this crate alone; [`TileHashes`], which finds the hashes for a proof in the tiles of a
//! source. What not: writing, and networks; a client of an HTTP server implements [`Source`] where it lives.

mod dir;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io::{self, BufRead, Cursor};

pub use dir::{DEPTH_MAX, DirSource, FILES_MAX};

use crate::hash::Hash;
use crate::tile::{self, BUNDLE_BYTES_MAX, Kind, TILE_HEIGHT, TILE_LEVEL_MAX, Tile};
use crate::tree::{Folded, HashReader};

/// The largest file that is read whole, in bytes: a full bundle of the longest entries. A source may cut a
/// longer file one byte after this; it is malformed either way.
pub const FILE_BYTES_MAX: usize = BUNDLE_BYTES_MAX;

/// Whoever answers for the files of a log. Paths are relative, with `/` between their parts.
pub trait Source {
    /// The bytes of a file; nothing if there is none.
    ///
    /// # Errors
    /// If it could not be found out: unreachable, not permitted.
    fn read(&self, path: &str) -> io::Result<Option<Vec<u8>>>;

    /// A file that may be large, to be read bit by bit.
    ///
    /// # Errors
    /// As [`Self::read`].
    fn open(&self, path: &str) -> io::Result<Option<Box<dyn BufRead + '_>>> {
        Ok(self.read(path)?.map(|bytes| Box::new(Cursor::new(bytes)) as Box<dyn BufRead>))
    }

    /// The paths of all files, in order; nothing if the source cannot tell.
    ///
    /// # Errors
    /// As [`Self::read`].
    fn list(&self) -> io::Result<Option<Vec<String>>> {
        Ok(None)
    }
}

impl Source for BTreeMap<String, Vec<u8>> {
    fn read(&self, path: &str) -> io::Result<Option<Vec<u8>>> {
        Ok(self.get(path).cloned())
    }

    fn list(&self) -> io::Result<Option<Vec<String>>> {
        Ok(Some(self.keys().cloned().collect()))
    }
}

/// The completed hashes of a tree of some size, found in the tiles of a source.
///
/// The tiles are believed as they are: a proof made from them is worth what checking it against a checkpoint
/// says.
pub struct TileHashes<'a> {
    tiles: Folded<TileLevels<'a>>,
}

struct TileLevels<'a> {
    source: &'a dyn Source,
    size: u64,
    /// The tile read last on each level: a proof asks for neighbours.
    last: RefCell<BTreeMap<u8, (Tile, Vec<Hash>)>>,
}

impl<'a> TileHashes<'a> {
    /// The hashes of the tree of `size` entries whose tiles this source has.
    #[must_use]
    pub fn new(source: &'a dyn Source, size: u64) -> Self {
        Self { tiles: Folded(TileLevels { source, size, last: RefCell::default() }) }
    }
}

impl HashReader for TileHashes<'_> {
    fn hash(&self, level: u8, index: u64) -> Option<Hash> {
        self.tiles.hash(level, index)
    }
}

impl HashReader for TileLevels<'_> {
    fn hash(&self, level: u8, index: u64) -> Option<Hash> {
        let level = Some(level / TILE_HEIGHT).filter(|level| *level <= TILE_LEVEL_MAX)?;
        let tile = Tile::holding(Kind::Hashes(level), index, self.size)?;
        let position = usize::try_from(index % u64::from(tile::TILE_WIDTH)).ok()?;
        let mut last = self.last.borrow_mut();
        if let Some((_, hashes)) = last.get(&level).filter(|(kept, _)| *kept == tile) {
            return hashes.get(position).copied();
        }
        let hashes = self.read(&tile)?;
        let found = hashes.get(position).copied();
        last.insert(level, (tile, hashes));
        found
    }
}

impl TileLevels<'_> {
    /// A log that has grown may have dropped the partial tile; the full one begins with the same hashes.
    fn read(&self, tile: &Tile) -> Option<Vec<Hash>> {
        if let Some(bytes) = self.source.read(&tile.to_string()).ok()? {
            return tile::decode_hashes(&bytes, tile.width).ok();
        }
        let bytes = self.source.read(&tile.full().to_string()).ok()??;
        tile::decode_hashes(&bytes, tile::TILE_WIDTH).ok()
    }
}
