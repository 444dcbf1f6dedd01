//! Making proofs from completed hashes (RFC 6962, sections 2.1, 2.1.1 and 2.1.2).

use super::{HashReader, ProofError, SIZE_MAX};
use crate::hash::Hash;

/// The root of the first `size` leaves.
///
/// # Errors
/// [`ProofError::TooLarge`] and [`ProofError::Missing`].
pub fn root(reader: &impl HashReader, size: u64) -> Result<Hash, ProofError> {
    within_bounds(size)?;
    range_hash(reader, 0, size)
}

/// The proof that the leaf at `index` is in the tree of the first `size` leaves: the siblings from the leaf
/// upwards.
///
/// # Errors
/// [`ProofError::Index`], [`ProofError::TooLarge`] and [`ProofError::Missing`].
pub fn inclusion(reader: &impl HashReader, index: u64, size: u64) -> Result<Vec<Hash>, ProofError> {
    within_bounds(size)?;
    if index >= size {
        return Err(ProofError::Index { index, size });
    }
    let (mut low, mut high) = (0, size);
    let mut from_root = Vec::new();
    while high - low > 1 {
        let middle = low + split(high - low);
        if index < middle {
            from_root.push(range_hash(reader, middle, high)?);
            high = middle;
        } else {
            from_root.push(range_hash(reader, low, middle)?);
            low = middle;
        }
    }
    from_root.reverse();
    Ok(from_root)
}

/// The proof that the tree of the first `new` leaves grew out of that of the first `old`. Empty if the sizes
/// are equal or the older tree is empty.
///
/// # Errors
/// [`ProofError::Sizes`], [`ProofError::TooLarge`] and [`ProofError::Missing`].
pub fn consistency(reader: &impl HashReader, old: u64, new: u64) -> Result<Vec<Hash>, ProofError> {
    within_bounds(new)?;
    if old > new {
        return Err(ProofError::Sizes { old, new });
    }
    if old == 0 || old == new {
        return Ok(Vec::new());
    }
    let (mut low, mut high) = (0, new);
    let mut from_root = Vec::new();
    while high != old {
        let middle = low + split(high - low);
        if old <= middle {
            from_root.push(range_hash(reader, middle, high)?);
            high = middle;
        } else {
            from_root.push(range_hash(reader, low, middle)?);
            low = middle;
        }
    }
    // The subtree that ends where the old tree ends is known to whoever knows the old root, if it *is* the
    // old tree.
    if low != 0 {
        from_root.push(range_hash(reader, low, high)?);
    }
    from_root.reverse();
    Ok(from_root)
}

fn within_bounds(size: u64) -> Result<(), ProofError> {
    if size > SIZE_MAX { Err(ProofError::TooLarge(size)) } else { Ok(()) }
}

/// The largest power of two smaller than `count`; `count` is at least two wherever this is asked.
fn split(count: u64) -> u64 {
    let below = count.saturating_sub(1).max(1);
    1 << below.ilog2()
}

/// The root over the leaves `low..high`, where `low` is a multiple of the largest complete subtree in the
/// range: so it is for every range that a proof names.
fn range_hash(reader: &impl HashReader, low: u64, high: u64) -> Result<Hash, ProofError> {
    let mut complete = Vec::new();
    let mut at = low;
    while at < high {
        let level = (high - at).ilog2();
        complete.push(node(reader, level, at >> level)?);
        at += 1 << level;
    }
    let rightmost_first = complete.into_iter().rev();
    Ok(rightmost_first.reduce(|right, left| Hash::node(&left, &right)).unwrap_or_else(Hash::empty))
}

fn node(reader: &impl HashReader, level: u32, index: u64) -> Result<Hash, ProofError> {
    let level = u8::try_from(level).unwrap_or(u8::MAX);
    reader.hash(level, index).ok_or(ProofError::Missing { level, index })
}
