//! The checkpoint, the key it is signed with, and the checkpoint from before.

use super::report::{FindingKind, KeyStatus, Place, Report};
use super::walk::Rebuilt;
use super::{Layout, Options};
use crate::checkpoint::Checkpoint;
use crate::export::{CHECKPOINT_PATH, VKEY_PATH};
use crate::note::VerifierKey;
use crate::source::Source;

/// What the rest is compared with.
pub(super) struct Head {
    stated: Checkpoint,
    retained: Option<Checkpoint>,
}

impl Head {
    pub(super) fn stated(&self) -> &Checkpoint {
        &self.stated
    }

    pub(super) fn size(&self) -> u64 {
        self.stated.size
    }

    /// The size at which the root is wanted besides the last one.
    pub(super) fn retained_size(&self) -> Option<u64> {
        self.retained.as_ref().map(|retained| retained.size)
    }
}

/// Reads checkpoint and key; nothing if there is no checkpoint that could be read at all.
pub(super) fn read(source: &dyn Source, options: &Options<'_>, report: &mut Report) -> Option<Head> {
    let place = || Place::file(CHECKPOINT_PATH);
    let copy = read_copy(source, options.layout, report);
    let note = fetch(source, CHECKPOINT_PATH, report)?;
    let stated = match Checkpoint::read_unverified(&note) {
        Ok(stated) => stated,
        Err(error) => {
            let hint = "nothing can be proved without a signed checkpoint";
            report.add(FindingKind::Malformed, place(), error, hint);
            return None;
        }
    };
    check_signature(&note, options.keys, copy.as_ref(), report);
    report.origin = Some(stated.origin.clone());
    report.size = stated.size;
    report.root = Some(stated.root);
    let retained = options.retained.and_then(|note| read_retained(note, options.keys, copy.as_ref(), report));
    Some(Head { stated, retained })
}

/// Whether the keys that the auditor brought have signed, and whether the export's copy of the key has.
fn check_signature(note: &[u8], keys: &[VerifierKey], copy: Option<&VerifierKey>, report: &mut Report) {
    let signature = FindingKind::Signature;
    let by_copy = copy.map(|copy| Checkpoint::open(note, std::slice::from_ref(copy)));
    let by_keys = (!keys.is_empty()).then(|| Checkpoint::open(note, keys));
    match (by_keys, by_copy) {
        (None, None) => report.key = KeyStatus::Unknown,
        (None, Some(Ok(_))) => report.key = KeyStatus::Copy,
        (None, Some(Err(error))) => {
            report.add(signature, Place::file(CHECKPOINT_PATH), error, "checked with the export's own copy");
        }
        (Some(by_keys), by_copy) => {
            match by_keys {
                Ok(_) => report.key = KeyStatus::Authenticated,
                Err(error) => {
                    report.add(signature, Place::file(CHECKPOINT_PATH), error, "not made by this log");
                }
            }
            if by_copy.is_some_and(|opened| opened.is_err()) {
                let what = "the copy of the key is not the one that signed the checkpoint";
                report.add(FindingKind::Mismatch, Place::file(VKEY_PATH), what, "the copy was changed");
            }
        }
    }
}

/// Compares what the entries hash to with what the checkpoints state.
pub(super) fn compare(head: &Head, rebuilt: &Rebuilt, report: &mut Report) {
    let stated = &head.stated;
    if let Some(root) = rebuilt.root.filter(|root| *root != stated.root) {
        let what = format!("the entries hash to {root}, the checkpoint states {}", stated.root);
        let hint = "entries were changed, or the checkpoint is of another log";
        report.add(FindingKind::Mismatch, Place::file(CHECKPOINT_PATH), what, hint);
    }
    if let Some(retained) = &head.retained {
        compare_with_retained(stated, retained, rebuilt, report);
    }
}

fn compare_with_retained(stated: &Checkpoint, retained: &Checkpoint, rebuilt: &Rebuilt, report: &mut Report) {
    let mut broken = |kind, what: String, hint| report.add(kind, Place::file(CHECKPOINT_PATH), what, hint);
    let same_size_other_root = retained.size == stated.size && retained.root != stated.root;
    if retained.origin != stated.origin {
        let what =
            format!("the log is `{}`, the retained checkpoint is of `{}`", stated.origin, retained.origin);
        broken(FindingKind::Fork, what, "this is another log than the one you kept a checkpoint of");
    } else if retained.size > stated.size {
        let what = format!("the log has {} entries, it had {} before", stated.size, retained.size);
        broken(FindingKind::Rollback, what, "entries were cut off, or an old backup was restored");
    } else if same_size_other_root {
        let what = format!("two roots for {} entries: the log forked", stated.size);
        broken(FindingKind::Fork, what, "both checkpoints together are the evidence: keep them");
    } else if rebuilt.retained_root.is_some_and(|root| root != retained.root) {
        let what = format!("the first {} entries are not those that were there before", retained.size);
        broken(FindingKind::Fork, what, "history was rewritten: keep both checkpoints");
    } else if rebuilt.retained_root.is_some() {
        report.grown_from = Some(retained.size);
    }
}

fn read_copy(source: &dyn Source, layout: Layout, report: &mut Report) -> Option<VerifierKey> {
    if layout == Layout::Log {
        return None;
    }
    let bytes = fetch(source, VKEY_PATH, report)?;
    let line = std::str::from_utf8(&bytes).ok().and_then(|text| text.strip_suffix('\n'));
    match line.unwrap_or_default().parse() {
        Ok(key) => Some(key),
        Err(error) => {
            report.add(
                FindingKind::Malformed,
                Place::file(VKEY_PATH),
                error,
                "the copy of the key was changed",
            );
            None
        }
    }
}

/// The checkpoint from before, if it can be relied on. Under a key that the auditor brought, one that does
/// not open is a wrong argument. Under the export's own copy, it means that the key is another than before.
fn read_retained(
    note: &[u8],
    keys: &[VerifierKey],
    copy: Option<&VerifierKey>,
    report: &mut Report,
) -> Option<Checkpoint> {
    let place = || Place::file("retained checkpoint");
    let hint = "give a checkpoint of this log, as it was signed";
    let opened = match (keys, copy) {
        ([], None) => Checkpoint::read_unverified(note),
        ([], Some(copy)) => Checkpoint::open(note, std::slice::from_ref(copy)),
        (keys, _) => Checkpoint::open(note, keys),
    };
    match (opened, Checkpoint::read_unverified(note)) {
        (Ok(retained), _) => Some(retained),
        (Err(error), Ok(retained)) if keys.is_empty() => {
            let hint = "the log's key changed since, or this is not its export: verify with the log's key";
            report.add(FindingKind::Signature, place(), error, hint);
            Some(retained)
        }
        (Err(error), _) => {
            report.add(FindingKind::Retained, place(), error, hint);
            None
        }
    }
}

/// A file that is due; its absence is a finding.
pub(super) fn fetch(source: &dyn Source, path: &str, report: &mut Report) -> Option<Vec<u8>> {
    match source.read(path) {
        Ok(Some(bytes)) => Some(bytes),
        Ok(None) => {
            report.add(
                FindingKind::Missing,
                Place::file(path),
                "not there",
                "it was deleted or never copied",
            );
            None
        }
        Err(error) => {
            unreadable(path, &error, report);
            None
        }
    }
}

pub(super) fn unreadable(path: &str, error: &std::io::Error, report: &mut Report) {
    let what = format!("could not be read: {error}");
    report.add(
        FindingKind::Unreadable,
        Place::file(path),
        what,
        "check the path and its permissions, then try again",
    );
}
