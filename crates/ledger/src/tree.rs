//! The hash tree of RFC 6962: appending, roots, inclusion and consistency proofs, and checking them.
//!
//! What: [`Frontier`] is the writer's side: the few hashes from which the next root follows, so that a leaf
//! costs O(log n) and nothing is read back. [`HashReader`] is the prover's side: whoever keeps the completed
//! hashes (a table, tiles on a disk) answers for them, and [`inclusion`], [`consistency`] and [`root`] walk
//! over it. Checking needs neither. Why so: the writer stays tiny and serialisable, and proofs are made from
//! the same tiles that anyone else reads. What not: no storage, no leaf data; what a leaf says is not this
//! module's business.
//!
//! A node is named by level and index: it is the root over the leaves `index << level .. (index + 1) <<
//! level`.

mod check;
mod frontier;
mod prove;

use std::collections::BTreeMap;

pub use check::{check_consistency, check_inclusion};
pub use frontier::{Frontier, FrontierError};
pub use prove::{consistency, inclusion, root};

use crate::hash::Hash;

/// The largest tree: every index must fit the integers of canonical JSON.
pub const SIZE_MAX: u64 = crate::jcs::INTEGER_MAX;

/// The longest proof that a tree of at most [`SIZE_MAX`] leaves can need (a consistency proof has one hash
/// more than there are levels).
pub const PROOF_HASHES_MAX: usize = 54;

/// A completed node of the tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Node {
    /// Height above the leaves; a leaf is 0.
    pub level: u8,
    /// Position among the nodes of that level.
    pub index: u64,
    /// Its hash.
    pub hash: Hash,
}

/// Whoever keeps the hashes of completed nodes.
pub trait HashReader {
    /// The hash of a completed node, or nothing if it is not to be had.
    fn hash(&self, level: u8, index: u64) -> Option<Hash>;
}

impl<R: HashReader + ?Sized> HashReader for &R {
    fn hash(&self, level: u8, index: u64) -> Option<Hash> {
        (**self).hash(level, index)
    }
}

impl HashReader for BTreeMap<(u8, u64), Hash> {
    fn hash(&self, level: u8, index: u64) -> Option<Hash> {
        self.get(&(level, index)).copied()
    }
}

/// Why a proof can't be made, or does not hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ProofError {
    /// The index is not in the tree.
    #[error("entry {index} is not in a tree of {size} entries")]
    Index {
        /// The index asked for.
        index: u64,
        /// The size of the tree.
        size: u64,
    },
    /// The older tree is larger than the newer.
    #[error("a tree of {new} entries cannot grow out of one of {old}: the older one comes first")]
    Sizes {
        /// The size of the older tree.
        old: u64,
        /// The size of the newer tree.
        new: u64,
    },
    /// More leaves than [`SIZE_MAX`].
    #[error("a tree of {0} entries is larger than 2^53 - 1")]
    TooLarge(u64),
    /// The reader does not have a hash that the proof needs.
    #[error("the hash of node {index} on level {level} is missing")]
    Missing {
        /// The node's level.
        level: u8,
        /// The node's index.
        index: u64,
    },
    /// The number of hashes is not what the sizes demand.
    #[error("the proof has {found} hashes where another number is due")]
    Length {
        /// How many there are.
        found: usize,
    },
    /// The hashes do not lead to the root.
    #[error("the proof does not lead to the root")]
    Mismatch,
}

/// A prover's reader that keeps only every eighth level, as tiles do, and folds the levels in between.
///
/// A store needs to keep the leaf hashes and one hash for each completed 256 of them, and so on upwards:
/// 1.004 hashes for each entry, and at most 128 reads for one node.
#[derive(Debug, Clone, Copy)]
pub struct Folded<R>(pub R);

impl<R: HashReader> HashReader for Folded<R> {
    fn hash(&self, level: u8, index: u64) -> Option<Hash> {
        let base = level & !7;
        let span = 1_u64.checked_shl(u32::from(level - base))?;
        let first = index.checked_mul(span)?;
        let hashes: Vec<Hash> =
            (first..first.checked_add(span)?).map(|at| self.0.hash(base, at)).collect::<Option<_>>()?;
        fold_complete(hashes)
    }
}

/// The root over a whole power of two of hashes; nothing if it is no power of two.
pub(crate) fn fold_complete(mut hashes: Vec<Hash>) -> Option<Hash> {
    if !hashes.len().is_power_of_two() {
        return None;
    }
    while hashes.len() > 1 {
        hashes = hashes
            .chunks_exact(2)
            .filter_map(|pair| match pair {
                [left, right] => Some(Hash::node(left, right)),
                _ => None,
            })
            .collect();
    }
    hashes.first().copied()
}

#[cfg(test)]
mod tests;
