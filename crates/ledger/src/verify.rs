//! The auditor's verification: is this folder, or this server, exactly the log that its checkpoint signed?
//!
//! What: [`verify`] rebuilds the whole tree from the entries and compares it with every hash tile, the
//! checkpoint's root, and an older checkpoint that the auditor kept; it checks that each line binds itself to
//! its place, that disclosed content is what was committed to, and that nothing is missing or added.
//! Everything found is in the [`Report`], with its place. It does not stop at the first finding: after
//! damage, where else is the question. Why so: no part is believed because another part says so. Memory is
//! bounded by a few tiles, whatever the size and however hostile the source.
//!
//! What not: completeness at the source and the truth of the clock; and without the log's key from elsewhere,
//! or a checkpoint kept from before, whoever could rewrite everything can also sign it anew. The report says
//! which of these it had.

mod beside;
mod content;
mod files;
mod head;
mod lines;
mod report;
mod walk;

pub use report::{Finding, FindingKind, KeyStatus, Outcome, Place, Report};

use crate::note::VerifierKey;
use crate::source::Source;

/// The most findings that are listed; more are counted.
pub const FINDINGS_MAX: usize = 1_000;

/// After this many missing bundles in a row nothing further is looked for: a checkpoint may state any size.
pub const MISSING_MAX: u64 = 64;

/// What the auditor brings, and what is looked at.
#[derive(Debug, Clone, Copy, Default)]
pub struct Options<'a> {
    /// The log's keys, from elsewhere; several during a rotation. None: the key is not authenticated.
    pub keys: &'a [VerifierKey],
    /// A checkpoint of the log that was kept from before, as a signed note.
    pub retained: Option<&'a [u8]>,
    /// What is looked at.
    pub layout: Layout,
}

/// What is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Layout {
    /// An export: it has a copy of the key.
    #[default]
    Export,
    /// A log as it is served or archived: checkpoint and tiles. It may have grown past its checkpoint, so a
    /// full tile stands in for a partial one.
    Log,
}

/// Verifies everything that a source holds.
#[must_use]
pub fn verify(source: &dyn Source, options: &Options<'_>) -> Report {
    let mut report = Report::default();
    let Some(head) = head::read(source, options, &mut report) else {
        return report;
    };
    let rebuilt = walk::rebuild(source, options.layout, &head, &mut report);
    head::compare(&head, &rebuilt, &mut report);
    content::check(source, head.size(), &mut report);
    files::check(source, head.size(), &mut report);
    if options.layout == Layout::Export {
        beside::check(source, &head, &mut report);
    }
    report
}

#[cfg(test)]
mod tests;
