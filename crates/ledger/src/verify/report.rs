//! What a verification found.

use std::fmt;

use serde::Serialize;

use super::FINDINGS_MAX;
use crate::hash::Hash;

/// The result of a verification.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Report {
    /// The log's origin, as the checkpoint states it.
    pub origin: Option<String>,
    /// How many entries the checkpoint covers.
    pub size: u64,
    /// The root that the checkpoint states.
    pub root: Option<Hash>,
    /// What is known of the key that signed.
    pub key: KeyStatus,
    /// The size of the retained checkpoint that the log was found to have grown out of.
    pub grown_from: Option<u64>,
    /// How many entries were read and hashed.
    pub entries_read: u64,
    /// How many hash tiles were compared.
    pub tiles_compared: u64,
    /// How many disclosed contents were found to be what was committed to.
    pub contents_held: u64,
    /// Whether the source could list its files, so that added ones would have been found.
    pub files_listed: bool,
    /// What was found, in the order of looking; at most [`FINDINGS_MAX`].
    pub findings: Vec<Finding>,
    /// How many more findings there were.
    pub findings_omitted: u64,
    outcome: Outcome,
}

/// What is known of the key that signed the checkpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum KeyStatus {
    /// No key was at hand.
    #[default]
    Unknown,
    /// The signature holds under the export's own copy, which proves nothing about whose it is.
    Copy,
    /// The signature holds under a key that the auditor brought.
    Authenticated,
}

/// The verdict on the whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Everything that was looked at holds.
    #[default]
    Proved,
    /// Something could not be looked at, and what was looked at holds.
    Unchecked,
    /// Something is missing, malformed or does not match.
    Broken,
}

impl Outcome {
    /// The exit status for it: 0 proved, 1 broken, 2 could not check.
    #[must_use]
    pub fn exit_code(self) -> u8 {
        match self {
            Self::Proved => 0,
            Self::Broken => 1,
            Self::Unchecked => 2,
        }
    }
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What sort of thing.
    pub kind: FindingKind,
    /// Where.
    pub place: Place,
    /// What.
    pub what: String,
    /// What it may mean and what to do next.
    pub hint: &'static str,
}

/// The sorts of findings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum FindingKind {
    /// A file that is due is not there.
    Missing,
    /// A file, an entry or a record that can't be read as what it is.
    Malformed,
    /// Two things that should agree do not: an entry and its hash, a tile and the tree, the tree and the
    /// root.
    Mismatch,
    /// A line that states another index than its place.
    Order,
    /// A line that was written after another line than the one before it.
    Chain,
    /// A line that is older than the one before it.
    Clock,
    /// A signature that does not hold, or is not by the key that is due.
    Signature,
    /// Another history than the retained checkpoint's.
    Fork,
    /// Fewer entries than the retained checkpoint covers.
    Rollback,
    /// A file that does not belong.
    Unexpected,
    /// Content that is not what was committed to.
    Content,
    /// Something could not be read: not a statement about the log.
    Unreadable,
    /// The retained checkpoint is no use: not a statement about the log.
    Retained,
}

impl FindingKind {
    /// What such a finding makes of the whole.
    #[must_use]
    pub fn outcome(self) -> Outcome {
        match self {
            Self::Unreadable | Self::Retained => Outcome::Unchecked,
            _ => Outcome::Broken,
        }
    }
}

/// Where something is wrong.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Place {
    /// The path of the file.
    pub path: String,
    /// The index of the entry in the log.
    pub entry: Option<u64>,
}

impl Place {
    /// A file as a whole.
    #[must_use]
    pub fn file(path: impl fmt::Display) -> Self {
        Self { path: path.to_string(), entry: None }
    }

    /// An entry, in the file that holds it.
    #[must_use]
    pub fn entry(path: impl fmt::Display, index: u64) -> Self {
        Self { path: path.to_string(), entry: Some(index) }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.path)?;
        self.entry.map_or(Ok(()), |index| write!(f, ", entry {index}"))
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.what)?;
        if self.hint.is_empty() { Ok(()) } else { write!(f, " ({})", self.hint) }
    }
}

impl Report {
    /// The verdict on the whole. A broken log stays broken if something else could not be looked at.
    #[must_use]
    pub fn outcome(&self) -> Outcome {
        self.outcome
    }

    /// Adds something that is wrong. Whoever looks at more than the log itself adds what it finds here.
    pub fn add(&mut self, kind: FindingKind, place: Place, what: impl fmt::Display, hint: &'static str) {
        self.outcome = self.outcome.max(kind.outcome());
        if self.findings.len() < FINDINGS_MAX {
            self.findings.push(Finding { kind, place, what: what.to_string(), hint });
        } else {
            self.findings_omitted += 1;
        }
    }
}
