//! Proofs in a file: one entry's inclusion with the checkpoint it holds under (c2sp.org/tlog-proof).
//!
//! What: the `.tlog-proof` text that goes into an evidence package and is checked offline, with the entry's
//! bytes and the log's key at hand. What not: the extra data is carried but vouched for by nobody.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::checkpoint::{Checkpoint, CheckpointError};
use crate::hash::Hash;
use crate::note::{NOTE_BYTES_MAX, VerifierKey};
use crate::tree::{self, HashReader, PROOF_HASHES_MAX, ProofError, SIZE_MAX};

/// The first line of a proof.
pub const HEADER: &str = "c2sp.org/tlog-proof@v1";

/// The largest proof that is read, in bytes: its checkpoint, its hashes and 64 KiB of extra data.
pub const PROOF_BYTES_MAX: usize = NOTE_BYTES_MAX + 100_000;

/// One entry's proof.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlogProof {
    /// Data that is carried along and vouched for by nobody.
    pub extra: Option<Vec<u8>>,
    /// The index of the entry.
    pub index: u64,
    /// The inclusion proof, from the leaf's sibling upwards.
    pub hashes: Vec<Hash>,
    /// The signed checkpoint, byte for byte.
    pub checkpoint: String,
}

/// Why there is no proof, or it does not hold.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TlogProofError {
    /// Not of the form; what is due, and in which line.
    #[error("not a proof: line {line} is malformed, {due} is due")]
    Line {
        /// The line, counted from 1.
        line: usize,
        /// What is due there.
        due: &'static str,
    },
    /// Larger than [`PROOF_BYTES_MAX`], or not UTF-8.
    #[error("not a proof: not UTF-8 text of at most {PROOF_BYTES_MAX} bytes")]
    Text,
    /// The checkpoint in it.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// The hashes in it.
    #[error(transparent)]
    Proof(#[from] ProofError),
}

impl TlogProof {
    /// Makes the proof for an entry under this signed checkpoint.
    ///
    /// # Errors
    /// [`TlogProofError::Checkpoint`] if it is malformed, [`TlogProofError::Proof`] if the proof cannot be
    /// made or would not lead to the checkpoint's root.
    pub fn make(reader: &impl HashReader, index: u64, checkpoint: &str) -> Result<Self, TlogProofError> {
        let stated = Checkpoint::read_unverified(checkpoint.as_bytes())?;
        let hashes = tree::inclusion(reader, index, stated.size)?;
        let leaf = reader.hash(0, index).ok_or(ProofError::Missing { level: 0, index })?;
        tree::check_inclusion(&hashes, index, &leaf, stated.size, &stated.root)?;
        Ok(Self { extra: None, index, hashes, checkpoint: checkpoint.to_owned() })
    }

    /// Reads a proof. Nothing in it is checked but its form.
    ///
    /// # Errors
    /// [`TlogProofError::Text`] and [`TlogProofError::Line`].
    pub fn parse(bytes: &[u8]) -> Result<Self, TlogProofError> {
        let text = std::str::from_utf8(bytes).map_err(|_| TlogProofError::Text)?;
        if text.len() > PROOF_BYTES_MAX {
            return Err(TlogProofError::Text);
        }
        let mut lines = Lines { rest: text, number: 0 };
        if lines.next() != Some(HEADER) {
            return Err(lines.due("`c2sp.org/tlog-proof@v1`"));
        }
        let mut line = lines.next();
        let mut extra = None;
        if let Some(data) = line.and_then(|line| line.strip_prefix("extra ")) {
            extra = Some(STANDARD.decode(data).map_err(|_| lines.due("base64"))?);
            line = lines.next();
        }
        let index = line.and_then(|line| line.strip_prefix("index ")).and_then(parse_index);
        let index = index.ok_or_else(|| lines.due("`index` and a number without leading zeroes"))?;
        let hashes = parse_hashes(&mut lines)?;
        Ok(Self { extra, index, hashes, checkpoint: lines.rest.to_owned() })
    }

    /// Checks that these bytes are the entry at [`Self::index`] of the log with these keys, and returns the
    /// checkpoint that it holds under.
    ///
    /// # Errors
    /// [`TlogProofError::Checkpoint`] and [`TlogProofError::Proof`].
    pub fn verify(&self, entry: &[u8], known: &[VerifierKey]) -> Result<Checkpoint, TlogProofError> {
        let checkpoint = Checkpoint::open(self.checkpoint.as_bytes(), known)?;
        let leaf = Hash::leaf(entry);
        tree::check_inclusion(&self.hashes, self.index, &leaf, checkpoint.size, &checkpoint.root)?;
        Ok(checkpoint)
    }
}

impl std::fmt::Display for TlogProof {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        writeln!(f, "{HEADER}")?;
        if let Some(extra) = &self.extra {
            writeln!(f, "extra {}", STANDARD.encode(extra))?;
        }
        writeln!(f, "index {}", self.index)?;
        self.hashes.iter().try_for_each(|hash| writeln!(f, "{}", hash.to_base64()))?;
        write!(f, "\n{}", self.checkpoint)
    }
}

fn parse_index(text: &str) -> Option<u64> {
    text.parse().ok().filter(|index: &u64| *index <= SIZE_MAX && index.to_string() == text)
}

fn parse_hashes(lines: &mut Lines<'_>) -> Result<Vec<Hash>, TlogProofError> {
    let mut hashes = Vec::new();
    loop {
        match lines.next() {
            Some("") => return Ok(hashes),
            Some(line) if hashes.len() < PROOF_HASHES_MAX => {
                hashes.push(
                    Hash::from_base64(line).map_err(|_| lines.due("a hash in base64 or a blank line"))?,
                );
            }
            Some(_) => return Err(lines.due("a blank line, since no proof has more hashes")),
            None => return Err(lines.due("a blank line and a checkpoint")),
        }
    }
}

/// The lines of a text, each ended by a newline, and what has not been taken yet.
struct Lines<'a> {
    rest: &'a str,
    number: usize,
}

impl<'a> Lines<'a> {
    fn next(&mut self) -> Option<&'a str> {
        self.number += 1;
        let (line, rest) = self.rest.split_once('\n')?;
        self.rest = rest;
        Some(line)
    }

    fn due(&self, due: &'static str) -> TlogProofError {
        TlogProofError::Line { line: self.number, due }
    }
}

#[cfg(test)]
mod tests;
