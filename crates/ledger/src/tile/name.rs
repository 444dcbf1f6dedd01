//! The path of a tile: `tile/<L>/<N>[.p/<W>]` and `tile/entries/<N>[.p/<W>]`.

use std::fmt;
use std::str::FromStr;

use super::{Kind, TILE_LEVEL_MAX, TILE_WIDTH, Tile};
use crate::tree::SIZE_MAX;

/// The longest path of a tile, in bytes.
pub const NAME_BYTES_MAX: usize = 64;

/// Why a path names no tile.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{path}` names no tile: `tile/<level>/<index>` or `tile/entries/<index>` is due")]
pub struct NameError {
    /// The path, cut to [`NAME_BYTES_MAX`] characters.
    pub path: String,
}

impl fmt::Display for Tile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            Kind::Entries => write!(f, "tile/entries/")?,
            Kind::Hashes(level) => write!(f, "tile/{level}/")?,
        }
        write_index(f, self.index)?;
        if self.is_full() { Ok(()) } else { write!(f, ".p/{}", self.width) }
    }
}

/// Groups of three digits, all but the last behind an `x`: 1234067 is `x001/x234/067`.
fn write_index(f: &mut fmt::Formatter<'_>, index: u64) -> fmt::Result {
    let mut divisor = 1_u64;
    while index / divisor >= 1_000 {
        divisor *= 1_000;
    }
    while divisor > 1 {
        write!(f, "x{:03}/", index / divisor % 1_000)?;
        divisor /= 1_000;
    }
    write!(f, "{:03}", index % 1_000)
}

impl FromStr for Tile {
    type Err = NameError;

    /// Reads a path; one tile has exactly one path.
    fn from_str(path: &str) -> Result<Self, NameError> {
        let tile = (path.len() <= NAME_BYTES_MAX).then(|| read(path)).flatten();
        // What is written back is what was read: no second spelling of a number survives this.
        tile.filter(|tile| tile.to_string() == path)
            .ok_or_else(|| NameError { path: path.chars().take(NAME_BYTES_MAX).collect() })
    }
}

fn read(path: &str) -> Option<Tile> {
    let (kind, rest) = path.strip_prefix("tile/")?.split_once('/')?;
    let kind = match kind {
        "entries" => Kind::Entries,
        level => Kind::Hashes(level.parse().ok().filter(|level| *level <= TILE_LEVEL_MAX)?),
    };
    let (index, width) = match rest.split_once(".p/") {
        Some((index, width)) => (index, width.parse().ok().filter(|width| (1..TILE_WIDTH).contains(width))?),
        None => (rest, TILE_WIDTH),
    };
    Some(Tile { kind, index: read_index(index)?, width })
}

fn read_index(groups: &str) -> Option<u64> {
    let mut index = 0_u64;
    for group in groups.split('/') {
        let digits: u64 =
            group.strip_prefix('x').unwrap_or(group).parse().ok().filter(|value| *value < 1_000)?;
        index = index.checked_mul(1_000)?.checked_add(digits)?;
    }
    Some(index).filter(|index| *index <= SIZE_MAX)
}
