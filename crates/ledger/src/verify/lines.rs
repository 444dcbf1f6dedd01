//! Whether each line binds itself to its place.

use super::report::{FindingKind, Place, Report};
use crate::hash::Hash;
use crate::line::{self, Header, Ts};
use crate::tile::Tile;

/// Follows the lines in their order.
pub(super) struct LineChecker {
    /// The leaf hash of the line before; nothing if it is not known.
    prev: Option<Hash>,
    /// The instant of the latest line that could be read.
    ts: Option<Ts>,
}

impl LineChecker {
    pub(super) fn new() -> Self {
        Self { prev: Some(Hash::empty()), ts: None }
    }

    /// Looks at the line with this index, which is in this bundle and has this leaf hash.
    pub(super) fn check(&mut self, bundle: &Tile, index: u64, bytes: &[u8], leaf: Hash, report: &mut Report) {
        let place = || Place::entry(bundle, index);
        match line::open(bytes) {
            Ok(line) => self.check_header(&line.header, index, &place, report),
            Err(error) => {
                report.add(FindingKind::Malformed, place(), error, "this is not what the ledger writes")
            }
        }
        self.prev = Some(leaf);
    }

    /// After the lines of a bundle: the hash of its last line, if that is known.
    pub(super) fn settle(&mut self, last_leaf: Option<Hash>) {
        self.prev = last_leaf;
    }

    fn check_header(&mut self, header: &Header, index: u64, place: &impl Fn() -> Place, report: &mut Report) {
        if header.seq != index {
            let what = format!("the line says that it is entry {}", header.seq);
            report.add(FindingKind::Order, place(), what, "entries were removed, added or reordered");
        }
        if self.prev.is_some_and(|prev| prev != header.prev) {
            let what = "the line was written after another line than the one before it";
            report.add(
                FindingKind::Chain,
                place(),
                what,
                "the line before it was changed, removed or reordered",
            );
        }
        if let Some(before) = self.ts.filter(|before| header.ts < *before) {
            let what = format!("the line is of {}, the one before it of {before}", header.ts);
            report.add(
                FindingKind::Clock,
                place(),
                what,
                "the clock was set back, or the line is not in its place",
            );
        }
        self.ts = Some(header.ts);
    }
}
