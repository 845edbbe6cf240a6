//! Inclusion and consistency proofs (RFC 6962, sections 2.1.1 and 2.1.2). Positions are from 1, as everywhere in
//! Gatepass; the RFC's index is one less.

use crate::leaf::Hash;
use crate::nodes::{Any, Nodes};
use gatepass_core::wire::Head;
use tlog_tiles::{Hash as Theirs, check_record, check_tree, prove_record, prove_tree, tree_hash};

/// Hashes of siblings: of an inclusion proof from the leaf up.
pub type Proof = Vec<Hash>;

/// More than any proof in a tree of 2^62 leaves has.
const LONGEST: usize = 128;
/// No log is longer; keeps the arithmetic of proofs within 64 bits.
const LARGEST: u64 = 1 << 62;

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProofError {
    #[error("position {seq} is not in a tree of {size}")]
    Outside { seq: u64, size: u64 },
    #[error("a tree of {old} does not come before one of {new}")]
    Backwards { old: u64, new: u64 },
    #[error("the proof does not hold")]
    Wrong,
    #[error("{0}")]
    Unreadable(String),
}

/// That the leaf at `seq` is in the tree of `size`.
pub fn inclusion<N: Nodes + ?Sized>(nodes: &N, seq: u64, size: u64) -> Result<Proof, ProofError> {
    inside(seq, size)?;
    made(prove_record(size, seq - 1, &Any(nodes)))
}

/// Holds when `leaf` is at `seq` in the tree of `head`.
pub fn check_inclusion(proof: &[Hash], seq: u64, leaf: Hash, head: &Head) -> Result<(), ProofError> {
    inside(seq, head.size)?;
    let root = Hash::parse(&head.root).ok_or(ProofError::Wrong)?;
    let proof = theirs(proof)?;
    check_record(&proof, head.size, Theirs(root.0), seq - 1, Theirs(leaf.0)).map_err(|_| ProofError::Wrong)
}

/// The root over the first `size` leaves.
pub fn root_at<N: Nodes + ?Sized>(nodes: &N, size: u64) -> Result<Hash, ProofError> {
    match size {
        0 => Ok(crate::Tree::default().root()),
        size if size > LARGEST => Err(ProofError::Outside { seq: size, size: LARGEST }),
        size => tree_hash(size, &Any(nodes))
            .map(|root| Hash(root.0))
            .map_err(|e| ProofError::Unreadable(e.to_string())),
    }
}

/// That the tree of `old` leaves is how the one of `new` leaves began.
pub fn consistency<N: Nodes + ?Sized>(nodes: &N, old: u64, new: u64) -> Result<Proof, ProofError> {
    ordered(old, new)?;
    if old == 0 || old == new {
        return Ok(Proof::new());
    }
    made(prove_tree(new, old, &Any(nodes)))
}

/// Holds when the tree of `old` is how the one of `new` began.
pub fn check_consistency(proof: &[Hash], old: &Head, new: &Head) -> Result<(), ProofError> {
    ordered(old.size, new.size)?;
    let (before, after) = (Hash::parse(&old.root), Hash::parse(&new.root));
    let (before, after) = before.zip(after).ok_or(ProofError::Wrong)?;
    let empty = crate::Tree::default().root();
    match (old.size, new.size) {
        (0, _) if before == empty && proof.is_empty() => Ok(()),
        (0, _) => Err(ProofError::Wrong),
        (a, b) if a == b => {
            if before == after && proof.is_empty() {
                Ok(())
            } else {
                Err(ProofError::Wrong)
            }
        }
        (a, b) => check_tree(&theirs(proof)?, b, Theirs(after.0), a, Theirs(before.0))
            .map_err(|_| ProofError::Wrong),
    }
}

fn inside(seq: u64, size: u64) -> Result<(), ProofError> {
    if (1..=size).contains(&seq) && size <= LARGEST { Ok(()) } else { Err(ProofError::Outside { seq, size }) }
}

fn ordered(old: u64, new: u64) -> Result<(), ProofError> {
    if old <= new && new <= LARGEST { Ok(()) } else { Err(ProofError::Backwards { old, new }) }
}

fn made(proof: Result<Vec<Theirs>, tlog_tiles::Error>) -> Result<Proof, ProofError> {
    let proof = proof.map_err(|e| ProofError::Unreadable(e.to_string()))?;
    Ok(proof.into_iter().map(|h| Hash(h.0)).collect())
}

fn theirs(proof: &[Hash]) -> Result<Vec<Theirs>, ProofError> {
    if proof.len() > LONGEST {
        return Err(ProofError::Wrong);
    }
    Ok(proof.iter().map(|h| Theirs(h.0)).collect())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::Tree;
    use proptest::prelude::*;

    fn leaves(count: usize) -> Vec<Hash> {
        (0..count).map(|i| Hash::leaf(&i.to_be_bytes())).collect()
    }

    fn head(leaves: &[Hash]) -> Head {
        let mut tree = Tree::default();
        leaves.iter().for_each(|leaf| tree.append(*leaf));
        tree.head()
    }

    proptest! {
        #[test]
        fn every_leaf_is_proven_and_no_other(count in 1usize..600, at: prop::sample::Index, other: prop::sample::Index) {
            let leaves = leaves(count);
            let head = head(&leaves);
            let seq = at.index(count) as u64 + 1;
            let proof = inclusion(leaves.as_slice(), seq, head.size).unwrap();
            let leaf = leaves[seq as usize - 1];
            prop_assert_eq!(check_inclusion(&proof, seq, leaf, &head), Ok(()));
            let wrong = other.index(count) as u64 + 1;
            prop_assert_eq!(check_inclusion(&proof, wrong, leaf, &head).is_ok(), wrong == seq);
            let mut broken = proof.clone();
            if let Some(hash) = broken.first_mut() {
                hash.0[0] ^= 1;
                prop_assert_eq!(check_inclusion(&broken, seq, leaf, &head), Err(ProofError::Wrong));
            }
            prop_assert!(check_inclusion(&proof, seq, Hash::leaf(b"another"), &head).is_err());
        }

        #[test]
        fn every_earlier_tree_is_proven_and_no_other(count in 0usize..600, at: prop::sample::Index) {
            let leaves = leaves(count);
            let new = head(&leaves);
            let old = head(&leaves[..at.index(count + 1)]);
            prop_assert_eq!(root_at(leaves.as_slice(), old.size).unwrap().digest(), old.root.clone());
            let proof = consistency(leaves.as_slice(), old.size, new.size).unwrap();
            prop_assert_eq!(check_consistency(&proof, &old, &new), Ok(()));
            if old.size > 0 {
                let mut fork = leaves[..old.size as usize].to_vec();
                fork[0] = Hash::leaf(b"another");
                prop_assert_eq!(check_consistency(&proof, &head(&fork), &new), Err(ProofError::Wrong));
            }
        }
    }

    #[test]
    fn what_is_outside_is_refused() {
        let head = head(&leaves(3));
        assert_eq!(inclusion(leaves(3).as_slice(), 0, 3), Err(ProofError::Outside { seq: 0, size: 3 }));
        assert_eq!(
            check_inclusion(&[], 4, Hash([0; 32]), &head),
            Err(ProofError::Outside { seq: 4, size: 3 })
        );
        assert_eq!(consistency(leaves(3).as_slice(), 3, 2), Err(ProofError::Backwards { old: 3, new: 2 }));
        assert!(matches!(inclusion(leaves(2).as_slice(), 1, 3), Err(ProofError::Unreadable(_))));
    }
}
