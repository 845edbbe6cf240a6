//! The root over all leaves (RFC 6962, section 2.1), kept in O(log n).

use crate::leaf::Hash;
use gatepass_core::text::Digest;
use gatepass_core::wire::Head;
use serde::{Deserialize, Serialize};
use sha2::Digest as _;

/// An append-only tree, reduced to the roots of its perfect subtrees, largest first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tree {
    size: u64,
    peaks: Vec<Hash>,
}

impl Tree {
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The roots of the perfect subtrees, largest first; their sizes are the powers of two that make up [`Self::size`].
    pub fn peaks(&self) -> &[Hash] {
        &self.peaks
    }

    pub fn append(&mut self, leaf: Hash) {
        self.append_with(leaf, |_, _, _| {});
    }

    /// `complete` gets each perfect subtree above the leaf that the leaf completes: its height, its index among those of
    /// that height, and its root.
    pub fn append_with(&mut self, leaf: Hash, mut complete: impl FnMut(u8, u64, Hash)) {
        let mut node = leaf;
        // Each trailing one bit of the size is a perfect subtree of the same height as `node`.
        let mut rest = self.size;
        let mut height = 0;
        while rest & 1 == 1 {
            if let Some(left) = self.peaks.pop() {
                node = Hash::node(&left, &node);
            }
            rest >>= 1;
            height += 1;
            complete(height, rest, node);
        }
        self.peaks.push(node);
        self.size += 1;
    }

    /// The root; SHA-256 of nothing when empty.
    pub fn root(&self) -> Hash {
        let mut peaks = self.peaks.iter().rev();
        match peaks.next() {
            None => Hash(sha2::Sha256::digest([]).into()),
            Some(last) => peaks.fold(*last, |right, left| Hash::node(left, &right)),
        }
    }

    pub fn head(&self) -> Head {
        Head { size: self.size, root: self.root_digest() }
    }

    fn root_digest(&self) -> Digest {
        self.root().digest()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// RFC 6962's recursive definition, word for word.
    fn mth(leaves: &[Hash]) -> Hash {
        match leaves.len() {
            0 => Hash(sha2::Sha256::digest([]).into()),
            1 => leaves[0],
            n => {
                let k = n.next_power_of_two() / 2;
                Hash::node(&mth(&leaves[..k]), &mth(&leaves[k..]))
            }
        }
    }

    proptest! {
        #[test]
        fn the_root_is_the_one_of_rfc_6962(count in 0usize..200) {
            let leaves: Vec<Hash> = (0..count).map(|i| Hash::leaf(&i.to_be_bytes())).collect();
            let mut tree = Tree::default();
            for leaf in &leaves {
                tree.append(*leaf);
            }
            prop_assert_eq!(tree.root(), mth(&leaves));
            prop_assert_eq!(tree.size(), count as u64);
        }
    }

    #[test]
    fn a_leaf_tells_which_subtrees_it_completes() {
        let leaves: Vec<Hash> = (0..600_usize).map(|i| Hash::leaf(&i.to_be_bytes())).collect();
        let mut tree = Tree::default();
        let mut seen = 0;
        for leaf in &leaves {
            tree.append_with(*leaf, |height, index, root| {
                let width = 1usize << height;
                let from = usize::try_from(index).unwrap_or(usize::MAX) * width;
                assert_eq!(root, mth(&leaves[from..from + width]));
                seen += 1;
            });
        }
        assert_eq!(seen, 600 - 600_u32.count_ones());
    }

    /// Test vectors of the Certificate Transparency project (also used by RFC 9162 implementations).
    #[test]
    fn known_roots() {
        let mut tree = Tree::default();
        assert_eq!(tree.root_digest().0, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
        tree.append(Hash::leaf(b""));
        assert_eq!(tree.root_digest().0, "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d");
    }
}
