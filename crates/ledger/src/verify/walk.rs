//! Rebuilding the tree from the entries, bundle by bundle, and comparing every tile on the way.

use super::head::{Head, unreadable};
use super::lines::LineChecker;
use super::report::{FindingKind, Place, Report};
use super::{Layout, MISSING_MAX};
use crate::hash::Hash;
use crate::source::Source;
use crate::tile::{self, Kind, TILE_WIDTH, Tile, TileBuilder};
use crate::tree::Frontier;

/// The roots over what was read; nothing where a gap made them unknowable.
pub(super) struct Rebuilt {
    pub(super) root: Option<Hash>,
    pub(super) retained_root: Option<Hash>,
}

/// Reads every bundle and every hash tile of the log.
pub(super) fn rebuild(source: &dyn Source, layout: Layout, head: &Head, report: &mut Report) -> Rebuilt {
    let mut walk = Walk {
        files: Files { source, layout },
        report,
        retained_size: head.retained_size(),
        frontier: Frontier::new(),
        builder: TileBuilder::new(),
        lines: LineChecker::new(),
        gap: false,
        missing_in_a_row: 0,
        retained_root: None,
    };
    walk.note_retained();
    let mut bundles = tile::written_by_growth(0, head.size()).take_while(|tile| tile.kind == Kind::Entries);
    let complete = bundles.all(|bundle| walk.visit(&bundle));
    if complete {
        walk.finish(head.size());
    }
    Rebuilt { root: (!walk.gap).then(|| walk.frontier.root()), retained_root: walk.retained_root }
}

struct Walk<'a> {
    files: Files<'a>,
    report: &'a mut Report,
    retained_size: Option<u64>,
    frontier: Frontier,
    builder: TileBuilder,
    lines: LineChecker,
    /// Some leaves are known neither from entries nor from hashes, so nothing above them can be rebuilt.
    gap: bool,
    missing_in_a_row: u64,
    retained_root: Option<Hash>,
}

impl Walk<'_> {
    /// One bundle and the hash tile over it; false when so many are missing that looking on makes no sense.
    fn visit(&mut self, bundle: &Tile) -> bool {
        let hash_tile = Tile { kind: Kind::Hashes(0), ..*bundle };
        let hashes = self.files.hashes(&hash_tile, self.report);
        self.report.tiles_compared += u64::from(hashes.is_some());
        let bytes = self.files.read(bundle, self.report);
        let leaves = bytes.as_ref().map(|found| self.read_entries(bundle, found, hashes.as_deref()));
        let whole = leaves.filter(|leaves| leaves.len() == usize::from(bundle.width));
        // A damaged bundle's hash tile stands in for it, so that the rest can still be looked at.
        let leaves = whole.or(hashes);
        self.lines.settle(leaves.as_ref().and_then(|leaves| leaves.last().copied()));
        self.missing_in_a_row =
            if leaves.is_some() || bytes.is_some() { 0 } else { self.missing_in_a_row + 1 };
        match leaves {
            Some(leaves) if !self.gap => self.integrate(leaves),
            _ => self.gap = true,
        }
        let go_on = self.missing_in_a_row < MISSING_MAX;
        if !go_on {
            let what =
                format!("{MISSING_MAX} bundles in a row are missing: nothing after them was looked for");
            self.report.add(FindingKind::Missing, Place::file(bundle), what, "the log was cut off here");
        }
        go_on
    }

    /// Compares entries with their hashes and looks at each line; gives the leaf hashes of those that could
    /// be read.
    fn read_entries(&mut self, bundle: &Tile, found: &Found, hashes: Option<&[Hash]>) -> Vec<Hash> {
        let (entries, fault) = tile::split_entries(&found.bytes, found.width);
        if let Some(fault) = fault {
            let hint = "entries were removed, added or cut";
            self.report.add(FindingKind::Malformed, Place::file(bundle), fault, hint);
        }
        let first = bundle.index * u64::from(TILE_WIDTH);
        let mut leaves = Vec::with_capacity(entries.len());
        for ((index, entry), position) in (first..).zip(entries).zip(0..usize::from(bundle.width)) {
            let leaf = Hash::leaf(entry);
            if hashes.and_then(|hashes| hashes.get(position)).is_some_and(|stated| *stated != leaf) {
                let what =
                    format!("the entry is not the one that `{}` has the hash of", hash_tile_of(bundle));
                let hint = "the entry or its hash was changed";
                self.report.add(FindingKind::Mismatch, Place::entry(bundle, index), what, hint);
            }
            self.lines.check(bundle, index, entry, leaf, self.report);
            self.report.entries_read += 1;
            leaves.push(leaf);
        }
        leaves
    }

    fn integrate(&mut self, leaves: Vec<Hash>) {
        for leaf in leaves {
            self.frontier.push(leaf, |_| ());
            self.note_retained();
            for built in self.builder.push(leaf) {
                self.compare(&built);
            }
        }
    }

    fn note_retained(&mut self) {
        if self.retained_size == Some(self.frontier.size()) {
            self.retained_root = Some(self.frontier.root());
        }
    }

    /// Compares a rebuilt tile above the leaves with its file; that of the leaves was compared with the
    /// entries.
    fn compare(&mut self, (tile, rebuilt): &tile::Built) {
        if tile.kind == Kind::Hashes(0) {
            return;
        }
        let Some(stated) = self.files.hashes(tile, self.report) else { return };
        self.report.tiles_compared += 1;
        let (first, each) = tile.span();
        let positions =
            (0_u64..).zip(rebuilt.iter().zip(&stated)).filter(|(_, (ours, stated))| ours != stated);
        for (position, _) in positions {
            let from = first + position * each;
            let what = format!("hash {position} is not that of entries {from} to {}", from + each - 1);
            let hint = "those entries, their hashes or this tile were changed";
            self.report.add(FindingKind::Mismatch, Place::entry(tile, from), what, hint);
        }
    }

    /// The tiles that were not completed: those at the right edge or, after a gap, whatever could not be
    /// rebuilt, which is then only looked at for its form.
    fn finish(&mut self, size: u64) {
        if !self.gap {
            std::mem::take(&mut self.builder).finish().iter().for_each(|built| self.compare(built));
            return;
        }
        let known = self.frontier.size();
        let above = tile::written_by_growth(0, size).filter(|tile| matches!(tile.kind, Kind::Hashes(1..)));
        for tile in above {
            let (first, each) = tile.span();
            if !tile.is_full() || first + each * u64::from(TILE_WIDTH) > known {
                self.files.hashes(&tile, self.report);
            }
        }
    }
}

fn hash_tile_of(bundle: &Tile) -> Tile {
    Tile { kind: Kind::Hashes(0), ..*bundle }
}

/// The tiles of the source.
struct Files<'a> {
    source: &'a dyn Source,
    layout: Layout,
}

/// A tile's file: wider than asked for, if the full tile stood in for a partial one.
struct Found {
    bytes: Vec<u8>,
    width: u16,
}

impl Files<'_> {
    fn hashes(&self, tile: &Tile, report: &mut Report) -> Option<Vec<Hash>> {
        let found = self.read(tile, report)?;
        match tile::decode_hashes(&found.bytes, found.width) {
            Ok(mut hashes) => {
                hashes.truncate(usize::from(tile.width));
                Some(hashes)
            }
            Err(error) => {
                report.add(FindingKind::Malformed, Place::file(tile), error, "the tile was cut or changed");
                None
            }
        }
    }

    fn read(&self, tile: &Tile, report: &mut Report) -> Option<Found> {
        let full_may_stand_in = self.layout == Layout::Log && !tile.is_full();
        let candidates = [Some(*tile), full_may_stand_in.then(|| tile.full())];
        for candidate in candidates.into_iter().flatten() {
            match self.source.read(&candidate.to_string()) {
                Ok(Some(bytes)) => return Some(Found { bytes, width: candidate.width }),
                Ok(None) => (),
                Err(error) => {
                    unreadable(&tile.to_string(), &error, report);
                    return None;
                }
            }
        }
        report.add(FindingKind::Missing, Place::file(tile), "not there", "it was deleted or never copied");
        None
    }
}
