//! Disclosed content: whether each record is what its line committed to.

use std::io::{self, BufRead, Read as _};

use serde_json::Value;

use super::head::unreadable;
use super::report::{FindingKind, Place, Report};
use crate::content::{RECORD_BYTES_MAX, Record};
use crate::export::CONTENT_PATH;
use crate::line;
use crate::source::Source;
use crate::tile::{self, Kind, TILE_WIDTH, Tile};

/// Checks every record of `content.jsonl`, if there is one.
pub(super) fn check(source: &dyn Source, size: u64, report: &mut Report) {
    match source.open(CONTENT_PATH) {
        Ok(Some(mut reader)) => Checker { source, size, report, bundle: None, last: None }.run(&mut *reader),
        Ok(None) => (),
        Err(error) => unreadable(CONTENT_PATH, &error, report),
    }
}

struct Checker<'a> {
    source: &'a dyn Source,
    size: u64,
    report: &'a mut Report,
    /// The bundle read last: records come in the order of the log.
    bundle: Option<(Tile, Vec<u8>)>,
    last: Option<(u64, String)>,
}

impl Checker<'_> {
    fn run(mut self, reader: &mut dyn BufRead) {
        for number in 1_u64.. {
            match next_line(reader) {
                Ok(None) => return,
                Ok(Some(Ok(line))) => self.check_line(number, &line),
                Ok(Some(Err(what))) => {
                    let what = format!("line {number} {what}");
                    self.report.add(
                        FindingKind::Malformed,
                        Place::file(CONTENT_PATH),
                        what,
                        "the file was cut or changed",
                    );
                    return;
                }
                Err(error) => return unreadable(CONTENT_PATH, &error, self.report),
            }
        }
    }

    fn check_line(&mut self, number: u64, line: &[u8]) {
        let record = match Record::parse(line) {
            Ok(record) => record,
            Err(error) => {
                let what = format!("line {number}: {error}");
                self.report.add(
                    FindingKind::Malformed,
                    Place::file(CONTENT_PATH),
                    what,
                    "the record was changed",
                );
                return;
            }
        };
        let place = Place::entry(CONTENT_PATH, record.seq);
        let at = (record.seq, record.field.clone());
        if self.last.replace(at.clone()).is_some_and(|last| last >= at) {
            let what = format!("line {number} is repeated or out of order");
            self.report.add(FindingKind::Order, place.clone(), what, "records were reordered or added");
        }
        let entry = match self.entry(record.seq) {
            Ok(Some(entry)) => entry,
            Ok(None) => {
                let what =
                    format!("line {number} belongs to an entry that is not there or not readable as a line");
                return self.report.add(
                    FindingKind::Content,
                    place,
                    what,
                    "see what was found about that entry",
                );
            }
            Err(error) => return unreadable(CONTENT_PATH, &error, self.report),
        };
        match record.check(&entry) {
            Ok(()) => self.report.contents_held += 1,
            Err(error) => {
                self.report.add(FindingKind::Content, place, error, "the content or the entry was changed")
            }
        }
    }

    /// What the log's line of this index says; nothing if there is no such line.
    fn entry(&mut self, index: u64) -> io::Result<Option<Value>> {
        let Some(tile) = Tile::holding(Kind::Entries, index, self.size) else { return Ok(None) };
        if self.bundle.as_ref().is_none_or(|(kept, _)| *kept != tile) {
            self.bundle = match self.source.read(&tile.to_string())? {
                Some(bytes) => Some((tile, bytes)),
                None => self.source.read(&tile.full().to_string())?.map(|bytes| (tile, bytes)),
            };
        }
        let bytes = self.bundle.as_ref().map(|(_, bytes)| bytes.as_slice()).unwrap_or_default();
        let (entries, _) = tile::split_entries(bytes, tile.width);
        let entry =
            usize::try_from(index % u64::from(TILE_WIDTH)).ok().and_then(|at| entries.get(at).copied());
        Ok(entry.and_then(|entry| line::open(entry).ok()).map(|line| line.value))
    }
}

/// The next line without its newline; what is wrong with it if it is too long or has no end.
fn next_line(reader: &mut dyn BufRead) -> io::Result<Option<Result<Vec<u8>, &'static str>>> {
    let mut line = Vec::new();
    reader.take(RECORD_BYTES_MAX as u64 + 1).read_until(b'\n', &mut line)?;
    Ok(match line.pop() {
        None => None,
        Some(b'\n') => Some(Ok(line)),
        Some(_) if line.len() >= RECORD_BYTES_MAX => Some(Err("is too long")),
        Some(_) => Some(Err("does not end with a newline")),
    })
}
