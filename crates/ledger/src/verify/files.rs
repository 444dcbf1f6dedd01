//! Whether anything is there that does not belong.

use std::io;

use super::head::unreadable;
use super::report::{FindingKind, Place, Report};
use crate::export::{CHECKPOINT_PATH, CONTENT_HASH_PATH, CONTENT_PATH, README_PATH, VKEY_PATH};
use crate::source::Source;
use crate::tile::{self, Kind, TILE_WIDTH, Tile};

const OWN: [&str; 5] = [CHECKPOINT_PATH, CONTENT_HASH_PATH, CONTENT_PATH, README_PATH, VKEY_PATH];

/// Looks at every file that the source lists.
pub(super) fn check(source: &dyn Source, size: u64, report: &mut Report) {
    let paths = match source.list() {
        Ok(Some(paths)) => paths,
        Ok(None) => return,
        Err(error) => return unreadable(".", &error, report),
    };
    report.files_listed = true;
    for path in paths.iter().filter(|path| !OWN.contains(&path.as_str())) {
        let what = "does not belong to a log of this size, or does not agree with it";
        match belongs(source, path, size) {
            Ok(true) => (),
            Ok(false) => {
                report.add(FindingKind::Unexpected, Place::file(path), what, "it was added, or is left over")
            }
            Err(error) => unreadable(path, &error, report),
        }
    }
}

fn belongs(source: &dyn Source, path: &str, size: u64) -> io::Result<bool> {
    match path.parse::<Tile>() {
        Ok(tile) if tile.belongs_to(size) => Ok(true),
        Ok(tile) => is_outgrown(source, &tile, size),
        Err(_) => Ok(false),
    }
}

/// Whether this is a partial tile of an earlier checkpoint, as archives keep them: it holds what the wider
/// tile at its place begins with.
fn is_outgrown(source: &dyn Source, tile: &Tile, size: u64) -> io::Result<bool> {
    let first = tile.index.checked_mul(u64::from(TILE_WIDTH));
    let wider = first.and_then(|first| Tile::holding(tile.kind, first, size));
    let Some(wider) = wider.filter(|wider| wider.width > tile.width) else { return Ok(false) };
    let bytes = source.read(&tile.to_string())?.unwrap_or_default();
    let whole = source.read(&wider.to_string())?.unwrap_or_default();
    let well_formed = match tile.kind {
        Kind::Entries => tile::decode_entries(&bytes, tile.width).is_ok(),
        Kind::Hashes(_) => tile::decode_hashes(&bytes, tile.width).is_ok(),
    };
    Ok(well_formed && whole.starts_with(&bytes))
}
