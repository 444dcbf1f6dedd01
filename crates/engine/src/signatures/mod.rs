//! Signed approvals, checked from an export alone: no gateway, no secret.
//!
//! What: every yes whose request wanted a signature has one, by a passkey of whoever said it, which was bound and not
//! taken away; it is over the digest of that request, that verdict, those bounds and rules; it was made at the site that
//! the passkey is for, with its owner there and known to the device; and where the request's content is disclosed, the
//! digest is that of what the approver was shown. Why here: these are the shapes of our lines and the checks of
//! [`crate::webauthn`], and an auditor runs the very code that admitted the signature.
//!
//! What not: that the lines are the log's and the contents what they committed to, which [`countersign_ledger::verify`]
//! proves first; and a signature whose assertion was erased or not disclosed is counted, not judged.

mod assertion;
mod check;
#[cfg(test)]
mod tests;

use std::io::BufRead;

use countersign_ledger::content::{RECORD_BYTES_MAX, Record};
use countersign_ledger::export::CONTENT_PATH;
use countersign_ledger::source::Source;
use countersign_ledger::tile::{self, Kind, Tile};
use countersign_ledger::verify::{FindingKind, Place, Report};

pub(crate) use assertion::AssertionContent;
pub use check::{Checker, Fault};

/// What came of looking at the signatures of an export.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Signatures that hold.
    pub held: u64,
    /// Signatures whose assertion is not there: erased, or not disclosed.
    pub undisclosed: u64,
}

/// Looks at every signed approval of an export that was verified. What is wrong is added to `report`.
pub fn check(source: &dyn Source, report: &mut Report) -> Tally {
    let mut checker = Checker::default();
    let mut contents = match source.open(CONTENT_PATH) {
        Ok(Some(reader)) => Contents { reader: Some(reader), next: None },
        // What can't be read was found before.
        Ok(None) | Err(_) => Contents { reader: None, next: None },
    };
    let mut position = 0;
    while let Some(bundle) = Tile::holding(Kind::Entries, position, report.size) {
        position += u64::from(bundle.width);
        // A hole was found before; beyond it nothing can be said of who bound or asked what.
        let Ok(Some(bytes)) = source.read(&bundle.to_string()) else { break };
        let (entries, _) = tile::split_entries(&bytes, bundle.width);
        let first = position - u64::from(bundle.width);
        for (index, entry) in (first..).zip(entries) {
            let records = if Checker::wants_contents(entry) { contents.of(index) } else { Vec::new() };
            if let Err(fault) = checker.line(index, entry, &records) {
                report.add(fault.kind, Place::entry(bundle, index), fault.what, fault.hint);
            }
        }
    }
    checker.tally
}

/// The disclosed contents, in the order of the log.
struct Contents<'a> {
    reader: Option<Box<dyn BufRead + 'a>>,
    next: Option<Record>,
}

impl Contents<'_> {
    /// Those of one line; what lies before it is skipped.
    fn of(&mut self, index: u64) -> Vec<Record> {
        let mut found = Vec::new();
        loop {
            if self.next.is_none() {
                self.next = self.read();
            }
            match self.next.take() {
                Some(record) if record.seq < index => {}
                Some(record) if record.seq == index => found.push(record),
                later => {
                    self.next = later;
                    return found;
                }
            }
        }
    }

    fn read(&mut self) -> Option<Record> {
        use std::io::Read as _;
        let reader = self.reader.as_mut()?;
        let mut line = Vec::new();
        reader.take(RECORD_BYTES_MAX as u64 + 1).read_until(b'\n', &mut line).ok()?;
        let record = line.strip_suffix(b"\n").and_then(|line| Record::parse(line).ok());
        if record.is_none() {
            // The end, or what was found to be malformed before.
            self.reader = None;
        }
        record
    }
}

impl Fault {
    pub(super) fn new(what: impl Into<String>, hint: &'static str) -> Self {
        Self { kind: FindingKind::Signature, what: what.into(), hint }
    }
}
