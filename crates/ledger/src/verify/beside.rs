//! What lies beside the log in an export: the instructions, and the hash that says which content was disclosed.

use std::io::{self, Read as _};

use sha2::{Digest as _, Sha256};

use super::head::{Head, unreadable};
use super::report::{FindingKind, Place, Report};
use crate::export::{self, CONTENT_HASH_PATH, CONTENT_PATH, README_PATH, VKEY_PATH};
use crate::hash::Hash;
use crate::note::VerifierKey;
use crate::source::Source;

/// Looks at both.
pub(super) fn check(source: &dyn Source, head: &Head, report: &mut Report) {
    if let Err((path, error)) = look(source, head, report) {
        unreadable(path, &error, report);
    }
}

fn look(source: &dyn Source, head: &Head, report: &mut Report) -> Result<(), (&'static str, io::Error)> {
    let key = source.read(VKEY_PATH).map_err(|error| (VKEY_PATH, error))?;
    let key = key.and_then(|bytes| String::from_utf8(bytes).ok()?.trim().parse::<VerifierKey>().ok());
    match source.read(README_PATH).map_err(|error| (README_PATH, error))? {
        None => missing(README_PATH, report),
        Some(found) => {
            let due = key.map(|key| export::readme(head.stated(), &key));
            if due.is_some_and(|due| due.as_bytes() != found) {
                let what = "is not what the export was written with";
                report.add(
                    FindingKind::Mismatch,
                    Place::file(README_PATH),
                    what,
                    "the instructions were changed",
                );
            }
        }
    }
    let stated = source.read(CONTENT_HASH_PATH).map_err(|error| (CONTENT_HASH_PATH, error))?;
    let found = content_hash(source).map_err(|error| (CONTENT_PATH, error))?;
    match (stated, found) {
        (None, None) => {}
        (Some(_), None) => missing(CONTENT_PATH, report),
        (None, Some(_)) => missing(CONTENT_HASH_PATH, report),
        (Some(stated), Some(found)) => {
            if stated != export::content_hash_file(&found).bytes {
                let what = format!("does not have the hash that `{CONTENT_HASH_PATH}` states");
                let hint = "records were changed, added or left out after the export";
                report.add(FindingKind::Mismatch, Place::file(CONTENT_PATH), what, hint);
            }
        }
    }
    Ok(())
}

fn missing(path: &str, report: &mut Report) {
    report.add(FindingKind::Missing, Place::file(path), "is not there", "an export has it; it was deleted");
}

/// SHA-256 of the disclosed content, a piece at a time; nothing if there is none.
fn content_hash(source: &dyn Source) -> io::Result<Option<Hash>> {
    let Some(mut reader) = source.open(CONTENT_PATH)? else { return Ok(None) };
    let (mut hasher, mut piece) = (Sha256::new(), vec![0; 64 * 1024]);
    loop {
        let length = reader.read(&mut piece)?;
        if length == 0 {
            return Ok(Some(Hash(hasher.finalize().into())));
        }
        hasher.update(piece.get(..length).unwrap_or_default());
    }
}
