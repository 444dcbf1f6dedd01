//! The right edge of a growing tree: the roots of its complete subtrees, largest first.

use serde::{Deserialize, Serialize};

use super::{Node, SIZE_MAX};
use crate::hash::{HASH_BYTES, Hash};

const SIZE_BYTES: usize = 8;

/// The roots of the complete subtrees that a tree of some size is made of, largest (leftmost) first: one for
/// each bit set in the size. Enough to append and to give the root; a few hundred bytes for any log.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(try_from = "Parts", into = "Parts")]
pub struct Frontier {
    size: u64,
    hashes: Vec<Hash>,
}

/// Why stored parts are no frontier.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FrontierError {
    /// Not one hash for each bit set in the size.
    #[error("a frontier of {size} entries has {due} hashes, {found} are there")]
    Count {
        /// The size said.
        size: u64,
        /// How many hashes that needs.
        due: usize,
        /// How many there are.
        found: usize,
    },
    /// More leaves than [`SIZE_MAX`].
    #[error("a frontier of {0} entries is larger than 2^53 - 1")]
    TooLarge(u64),
    /// Not eight bytes and a whole number of hashes.
    #[error("{0} bytes are no frontier: 8 and a multiple of 32 are due")]
    Bytes(usize),
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Parts {
    size: u64,
    hashes: Vec<Hash>,
}

impl Frontier {
    /// The frontier of the empty tree.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Rebuilds a frontier from what [`Self::size`] and [`Self::hashes`] gave.
    ///
    /// # Errors
    /// [`FrontierError::Count`] and [`FrontierError::TooLarge`]. Whether the hashes are the right ones shows
    /// only when the root is compared.
    pub fn from_parts(size: u64, hashes: Vec<Hash>) -> Result<Self, FrontierError> {
        let due = size.count_ones() as usize;
        match hashes.len() {
            _ if size > SIZE_MAX => Err(FrontierError::TooLarge(size)),
            found if found != due => Err(FrontierError::Count { size, due, found }),
            _ => Ok(Self { size, hashes }),
        }
    }

    /// Rebuilds a frontier from the leaf hashes themselves.
    #[must_use]
    pub fn from_leaves(leaves: impl IntoIterator<Item = Hash>) -> Self {
        let mut frontier = Self::new();
        for leaf in leaves {
            frontier.push(leaf, |_| ());
        }
        frontier
    }

    /// The stored form: the size as eight bytes, most significant first, and the hashes.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let hashes = self.hashes.iter().flat_map(|hash| hash.0);
        self.size.to_be_bytes().into_iter().chain(hashes).collect()
    }

    /// Reads [`Self::to_bytes`].
    ///
    /// # Errors
    /// [`FrontierError`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, FrontierError> {
        let wrong = || FrontierError::Bytes(bytes.len());
        let (size, rest) = bytes.split_first_chunk::<SIZE_BYTES>().ok_or_else(wrong)?;
        let (hashes, rest) = rest.as_chunks::<HASH_BYTES>();
        if !rest.is_empty() {
            return Err(wrong());
        }
        Self::from_parts(u64::from_be_bytes(*size), hashes.iter().copied().map(Hash).collect())
    }

    /// How many leaves there are.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The roots of the complete subtrees, largest first.
    #[must_use]
    pub fn hashes(&self) -> &[Hash] {
        &self.hashes
    }

    /// Appends a leaf; returns every node that it completed: the leaf itself, then upwards. Two on average.
    pub fn append(&mut self, leaf: Hash) -> Vec<Node> {
        let mut completed = Vec::with_capacity(self.size.trailing_ones() as usize + 1);
        self.push(leaf, |node| completed.push(node));
        completed
    }

    /// [`Self::append`] without a list: `completed` is called for each node, the leaf first.
    pub fn push(&mut self, leaf: Hash, mut completed: impl FnMut(Node)) {
        let mut node = Node { level: 0, index: self.size, hash: leaf };
        completed(node);
        while node.index & 1 == 1
            && let Some(left) = self.hashes.pop()
        {
            node =
                Node { level: node.level + 1, index: node.index >> 1, hash: Hash::node(&left, &node.hash) };
            completed(node);
        }
        self.hashes.push(node.hash);
        self.size += 1;
    }

    /// The root of the tree; the empty tree's is the hash of nothing.
    #[must_use]
    pub fn root(&self) -> Hash {
        let rightmost_first = self.hashes.iter().rev().copied();
        rightmost_first.reduce(|right, left| Hash::node(&left, &right)).unwrap_or_else(Hash::empty)
    }
}

impl TryFrom<Parts> for Frontier {
    type Error = FrontierError;

    fn try_from(parts: Parts) -> Result<Self, Self::Error> {
        Self::from_parts(parts.size, parts.hashes)
    }
}

impl From<Frontier> for Parts {
    fn from(frontier: Frontier) -> Self {
        Self { size: frontier.size, hashes: frontier.hashes }
    }
}
