//! The root that the log had at any size, for the heads that signed bodies name.

use crate::leaf::Hash;
use crate::tree::Tree;
use gatepass_core::wire::Head;

/// The roots of all complete subtrees, by height.
#[derive(Default)]
pub struct Roots {
    levels: Vec<Vec<Hash>>,
}

impl Roots {
    /// Appends to the tree, and keeps what that completes.
    pub fn append(&mut self, tree: &mut Tree, leaf: Hash) {
        self.level(0).push(leaf);
        tree.append_with(leaf, |height, _, root| self.level(height.into()).push(root));
    }

    fn level(&mut self, height: usize) -> &mut Vec<Hash> {
        if self.levels.len() <= height {
            self.levels.resize_with(height + 1, Vec::new);
        }
        &mut self.levels[height]
    }

    /// Whether the log had this head.
    pub fn had(&self, head: &Head) -> bool {
        self.root(head.size).is_some_and(|root| Hash::parse(&head.root) == Some(root))
    }

    fn root(&self, size: u64) -> Option<Hash> {
        if size == 0 {
            return Some(Tree::default().root());
        }
        let mut peaks = Vec::with_capacity(32);
        let mut from = 0u64;
        for height in (0..=size.ilog2()).rev() {
            if size >> height & 1 == 1 {
                let index = usize::try_from(from >> height).ok()?;
                peaks.push(*self.levels.get(height as usize)?.get(index)?);
                from += 1 << height;
            }
        }
        peaks.into_iter().rev().reduce(|right, left| Hash::node(&left, &right))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn every_head_there_was_is_known_and_no_other() {
        let (mut roots, mut tree) = (Roots::default(), Tree::default());
        let mut heads = vec![tree.head()];
        for n in 0..300_u32 {
            roots.append(&mut tree, Hash::leaf(&n.to_be_bytes()));
            heads.push(tree.head());
        }
        for (size, head) in heads.iter().enumerate() {
            assert!(roots.had(head), "{size}");
            let other = Head { root: heads[(size + 1) % heads.len()].root.clone(), ..head.clone() };
            assert!(!roots.had(&other), "{size}");
        }
        assert!(!roots.had(&Head { size: 301, ..tree.head() }));
        assert!(!roots.had(&Head { size: u64::MAX, ..tree.head() }));
    }
}
