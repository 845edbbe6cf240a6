//! The hashes a proof is made of, out of the few that are kept: every eighth height of the tree, as in C2SP tlog-tiles.

use crate::leaf::Hash;
use tlog_tiles::{Error, HashReader, split_stored_hash_index};

/// The heights whose complete subtrees are kept are multiples of this; leaves are at height 0.
pub const HEIGHT: u8 = 8;

/// Reads roots of complete subtrees.
pub trait Nodes {
    /// The roots of the `count` subtrees from the one with `index` on, each over `1 << height` leaves; `height` is a
    /// multiple of [`HEIGHT`]. An error says in words what is missing. Never fewer than `count`.
    fn read(&self, height: u8, index: u64, count: usize) -> Result<Vec<Hash>, String>;
}

/// Leaves in memory, for small trees and tests.
impl Nodes for [Hash] {
    fn read(&self, height: u8, index: u64, count: usize) -> Result<Vec<Hash>, String> {
        let of = |n: u64| {
            let missing = || format!("leaves under subtree {n} of height {height} are missing");
            let width = 1usize.checked_shl(height.into()).ok_or_else(missing)?;
            let from = usize::try_from(n).ok().and_then(|n| n.checked_mul(width)).ok_or_else(missing)?;
            let leaves = from.checked_add(width).and_then(|to| self.get(from..to)).ok_or_else(missing)?;
            Ok(fold(leaves.to_vec()))
        };
        (index..index + count as u64).map(of).collect()
    }
}

/// The root over a power of two of hashes, at least one.
fn fold(mut hashes: Vec<Hash>) -> Hash {
    while hashes.len() > 1 {
        hashes = hashes.chunks(2).map(|pair| Hash::node(&pair[0], pair.last().unwrap_or(&pair[0]))).collect();
    }
    hashes.first().copied().unwrap_or(Hash([0; 32]))
}

/// Any complete subtree, for the proofs of `tlog_tiles`.
pub(crate) struct Any<'a, N: ?Sized>(pub &'a N);

impl<N: Nodes + ?Sized> HashReader for Any<'_, N> {
    fn read_hashes(&self, indexes: &[u64]) -> Result<Vec<tlog_tiles::Hash>, Error> {
        let read = |stored: &u64| {
            let (level, n) = split_stored_hash_index(*stored);
            let above = level % HEIGHT;
            let kept = self.0.read(level - above, n << above, 1 << above).map_err(Error::InvalidInput)?;
            if kept.len() != 1 << above {
                return Err(Error::IndexesNotInTree);
            }
            Ok(tlog_tiles::Hash(fold(kept).0))
        };
        indexes.iter().map(read).collect()
    }
}
