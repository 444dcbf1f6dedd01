//! Checking proofs, with nothing but the hashes at hand (RFC 9162, sections 2.1.3.2 and 2.1.4.2).

use super::{PROOF_HASHES_MAX, ProofError, SIZE_MAX};
use crate::hash::Hash;

/// Checks that `leaf` is at `index` in the tree of `size` leaves with this root.
///
/// # Errors
/// [`ProofError::Index`], [`ProofError::TooLarge`], [`ProofError::Length`] and [`ProofError::Mismatch`].
pub fn check_inclusion(
    proof: &[Hash],
    index: u64,
    leaf: &Hash,
    size: u64,
    root: &Hash,
) -> Result<(), ProofError> {
    within_bounds(proof, size)?;
    if index >= size {
        return Err(ProofError::Index { index, size });
    }
    let wrong_length = ProofError::Length { found: proof.len() };
    let mut walk = Walk { node: index, last: size - 1 };
    let mut hash = *leaf;
    for sibling in proof {
        if walk.last == 0 {
            return Err(wrong_length);
        }
        hash = if walk.sibling_is_left() { Hash::node(sibling, &hash) } else { Hash::node(&hash, sibling) };
        walk.ascend();
    }
    match walk.last {
        0 if hash == *root => Ok(()),
        0 => Err(ProofError::Mismatch),
        _ => Err(wrong_length),
    }
}

/// Checks that the tree of `new` leaves with root `new_root` grew out of that of `old` leaves with root
/// `old_root`.
///
/// # Errors
/// [`ProofError::Sizes`], [`ProofError::TooLarge`], [`ProofError::Length`] and [`ProofError::Mismatch`].
pub fn check_consistency(
    proof: &[Hash],
    old: u64,
    old_root: &Hash,
    new: u64,
    new_root: &Hash,
) -> Result<(), ProofError> {
    within_bounds(proof, new)?;
    match old {
        _ if old > new => Err(ProofError::Sizes { old, new }),
        _ if (old == new || old == 0) && !proof.is_empty() => Err(ProofError::Length { found: proof.len() }),
        _ if old == new && old_root == new_root => Ok(()),
        0 if old != new && *old_root == Hash::empty() => Ok(()),
        _ if old == new || old == 0 => Err(ProofError::Mismatch),
        _ => check_growth(proof, (old, old_root), (new, new_root)),
    }
}

/// The walk for `0 < old < new`.
fn check_growth(proof: &[Hash], old: (u64, &Hash), new: (u64, &Hash)) -> Result<(), ProofError> {
    let wrong_length = ProofError::Length { found: proof.len() };
    // If the old tree is complete, its root is the first hash and is left out of the proof.
    let (seed, proof) = match proof.split_first() {
        None => return Err(wrong_length),
        Some(_) if old.0.is_power_of_two() => (old.1, proof),
        Some((first, rest)) => (first, rest),
    };
    let mut walk = Walk { node: old.0 - 1, last: new.0 - 1 };
    while walk.node & 1 == 1 {
        walk.halve();
    }
    let (mut old_hash, mut new_hash) = (*seed, *seed);
    for sibling in proof {
        if walk.last == 0 {
            return Err(wrong_length);
        }
        if walk.sibling_is_left() {
            old_hash = Hash::node(sibling, &old_hash);
            new_hash = Hash::node(sibling, &new_hash);
        } else {
            new_hash = Hash::node(&new_hash, sibling);
        }
        walk.ascend();
    }
    match walk.last {
        0 if old_hash == *old.1 && new_hash == *new.1 => Ok(()),
        0 => Err(ProofError::Mismatch),
        _ => Err(wrong_length),
    }
}

fn within_bounds(proof: &[Hash], size: u64) -> Result<(), ProofError> {
    match proof.len() {
        _ if size > SIZE_MAX => Err(ProofError::TooLarge(size)),
        found if found > PROOF_HASHES_MAX => Err(ProofError::Length { found }),
        _ => Ok(()),
    }
}

/// Where the walk from a leaf to the root stands: the node (`fn` in RFC 9162) and the last node of its level
/// (`sn`).
struct Walk {
    node: u64,
    last: u64,
}

impl Walk {
    fn sibling_is_left(&self) -> bool {
        self.node & 1 == 1 || self.node == self.last
    }

    /// One step up past a sibling; levels on which the rightmost node has no sibling are skipped.
    fn ascend(&mut self) {
        if self.node & 1 == 0 && self.node == self.last {
            while self.node & 1 == 0 && self.node != 0 {
                self.halve();
            }
        }
        self.halve();
    }

    fn halve(&mut self) {
        self.node >>= 1;
        self.last >>= 1;
    }
}
