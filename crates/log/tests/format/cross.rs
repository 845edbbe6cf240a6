//! Roots and proofs, made and checked by another implementation of RFC 6962 as well: ct-merkle.

use crate::rng::Random;
use ct_merkle::mem_backed_tree::MemoryBackedTree;
use ct_merkle::{ConsistencyProof, InclusionProof, RootHash};
use gatepass_core::text::Digest;
use gatepass_core::wire::Head;
use gatepass_log::{Hash, Tree, check_consistency, check_inclusion, consistency, inclusion};
use proptest::prelude::*;
use sha2_of_ct_merkle::Sha256;

type Theirs = MemoryBackedTree<Sha256, Vec<u8>>;

fn bytes(proof: &[Hash]) -> Vec<u8> {
    proof.iter().flat_map(|hash| hash.0).collect()
}

fn hashes(bytes: &[u8]) -> Vec<Hash> {
    bytes.chunks(32).map(|hash| Hash(hash.try_into().unwrap())).collect()
}

fn root(head: &Head) -> RootHash<Sha256> {
    RootHash::new(Hash::parse(&head.root).unwrap().0.into(), head.size)
}

/// Both trees over the same leaves of all lengths.
struct Both {
    contents: Vec<Vec<u8>>,
    leaves: Vec<Hash>,
    theirs: Theirs,
}

impl Both {
    fn grown(count: usize, seed: u64) -> Self {
        let mut random = Random(seed);
        let contents: Vec<Vec<u8>> = (0..count).map(|_| random.bytes(200)).collect();
        let leaves = contents.iter().map(|content| Hash::leaf(content)).collect();
        let mut theirs = Theirs::new();
        contents.iter().for_each(|content| theirs.push(content.clone()));
        Self { contents, leaves, theirs }
    }

    fn head(&self, size: usize) -> Head {
        let mut tree = Tree::default();
        self.leaves[..size].iter().for_each(|leaf| tree.append(*leaf));
        tree.head()
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn roots_and_inclusion(count in 1usize..700, seed: u64, at: prop::sample::Index) {
        let both = Both::grown(count, seed);
        let head = both.head(count);
        prop_assert_eq!(&head.root, &Digest(hex::encode(both.theirs.root().as_bytes())));
        let index = at.index(count);
        let proof = inclusion(both.leaves.as_slice(), index as u64 + 1, head.size).unwrap();
        let made = both.theirs.prove_inclusion(index);
        prop_assert_eq!(bytes(&proof), made.as_bytes());
        let theirs = InclusionProof::<Sha256>::try_from_bytes(bytes(&proof)).unwrap();
        prop_assert!(root(&head).verify_inclusion(&both.contents[index], index as u64, &theirs).is_ok());
        let made = hashes(made.as_bytes());
        prop_assert_eq!(check_inclusion(&made, index as u64 + 1, both.leaves[index], &head), Ok(()));
        // What one refuses, the other does too.
        let wrong = (index + 1) % count;
        let ours = check_inclusion(&made, wrong as u64 + 1, both.leaves[index], &head).is_ok();
        let others = root(&head).verify_inclusion(&both.contents[index], wrong as u64, &theirs).is_ok();
        prop_assert_eq!(ours, others);
    }

    #[test]
    fn consistency_from_every_size(count in 1usize..700, seed: u64, at: prop::sample::Index) {
        let both = Both::grown(count, seed);
        let old = 1 + at.index(count);
        let (before, after) = (both.head(old), both.head(count));
        let proof = consistency(both.leaves.as_slice(), before.size, after.size).unwrap();
        let theirs = both.theirs.prove_consistency(count - old);
        prop_assert_eq!(bytes(&proof), theirs.as_bytes());
        prop_assert_eq!(check_consistency(&hashes(theirs.as_bytes()), &before, &after), Ok(()));
        let ours = ConsistencyProof::<Sha256>::try_from_bytes(bytes(&proof)).unwrap();
        prop_assert!(root(&after).verify_consistency(&root(&before), &ours).is_ok());
        let forked = Head { root: Hash::leaf(b"another").digest(), ..before };
        prop_assert!(root(&after).verify_consistency(&root(&forked), &ours).is_err());
        prop_assert!(check_consistency(&proof, &forked, &after).is_err());
    }
}
