//! The sequencer: the one place that gives events their position. It runs inside the store's write transaction,
//! so a position exists exactly when its event does.

use crate::Time;
use crate::store::{Store, StoreError};
use gatepass_core::event::Event;
use gatepass_core::wire::Head;
use gatepass_log::{
    HEIGHT, Hash, Nodes, ProofError, Tree, canonical, check_consistency, consistency, root_at,
};
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

/// An event has fewer bytes than this: its length has to fit the two bytes that it gets where the log is served.
pub const LARGEST_EVENT: usize = 1 << 16;

/// The tree as far as events have been placed.
#[derive(Clone, Debug, Default)]
pub struct Sequencer {
    tree: Tree,
}

/// An event with its place in the tree.
pub struct Placed {
    /// Dense, from 1.
    pub seq: u64,
    pub leaf: Hash,
    /// The leaf's content: RFC 8785 canonical JSON.
    pub content: Vec<u8>,
    /// The subtrees that it completed.
    pub complete: Vec<Subtree>,
}

/// A complete subtree of a height that is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Subtree {
    /// Over `1 << height` leaves; a multiple of [`HEIGHT`], not 0.
    pub height: u8,
    /// Among those of its height, from 0.
    pub index: u64,
    pub root: Hash,
}

/// So many of one height make one of the next.
pub use gatepass_log::WIDTH;

impl Subtree {
    /// The one over these, which are [`WIDTH`] of the height below; `None` when there are not as many.
    pub fn over(children: &[Hash], height: u8, index: u64) -> Option<Self> {
        let root = children.read(HEIGHT, 0, 1).ok().filter(|_| children.len() == WIDTH)?;
        Some(Self { height, index, root: *root.first()? })
    }
}

impl Sequencer {
    pub fn new(tree: Tree) -> Self {
        Self { tree }
    }

    pub fn place(&mut self, event: &Event) -> Result<Placed, serde_json::Error> {
        Ok(self.place_content(canonical(event)?))
    }

    /// Places an event by its canonical JSON.
    pub fn place_content(&mut self, content: Vec<u8>) -> Placed {
        let leaf = Hash::leaf(&content);
        let mut complete = Vec::new();
        self.tree.append_with(leaf, |height, index, root| {
            if height % HEIGHT == 0 {
                complete.push(Subtree { height, index, root });
            }
        });
        Placed { seq: self.tree.size(), leaf, content, complete }
    }

    pub fn head(&self) -> Head {
        self.tree.head()
    }

    pub fn tree(&self) -> &Tree {
        &self.tree
    }
}

/// So many of the newest are asked for their time: they are written by several at once, and not quite in order.
const NEWEST: u64 = 64;

/// The latest time that the newest events were written at.
pub async fn newest(store: &dyn Store) -> Result<Option<Time>, StoreError> {
    #[derive(serde::Deserialize)]
    struct At {
        at: Time,
    }
    let size = store.head().await?.size;
    let slice = store.entries(size.saturating_sub(NEWEST), NEWEST as usize).await?;
    Ok(slice.entries.iter().filter_map(|e| Some(serde_json::from_str::<At>(e.body.get()).ok()?.at)).max())
}

/// Proves something of a log out of the few hashes that it takes. What they are does not depend on what they hold: they
/// are asked for once, and then used.
pub struct Needed(Vec<(u8, u64, usize)>);

impl Needed {
    pub fn by<T>(prove: impl Fn(&dyn Nodes) -> Result<T, ProofError>) -> Result<Self, ProofError> {
        let asked = Asked::default();
        prove(&asked)?;
        // Those of one tile together.
        let mut tiles: BTreeMap<(u8, u64), BTreeSet<u64>> = BTreeMap::new();
        for (height, index, count) in asked.0.into_inner() {
            for index in index..index + count as u64 {
                tiles.entry((height, index / WIDTH as u64)).or_default().insert(index);
            }
        }
        let part = |((height, _), of): ((u8, u64), BTreeSet<u64>)| {
            let (first, last) = (*of.first()?, *of.last()?);
            Some((height, first, usize::try_from(last - first).ok()? + 1))
        };
        Ok(Self(tiles.into_iter().filter_map(part).collect()))
    }

    /// Height, index of the first, and how many.
    pub fn parts(&self) -> &[(u8, u64, usize)] {
        &self.0
    }
}

/// Remembers what it was asked for.
#[derive(Default)]
struct Asked(RefCell<Vec<(u8, u64, usize)>>);

impl Nodes for Asked {
    fn read(&self, height: u8, index: u64, count: usize) -> Result<Vec<Hash>, String> {
        self.0.borrow_mut().push((height, index, count));
        Ok(vec![Hash([0; 32]); count])
    }
}

/// The parts of a log that were needed.
#[derive(Default)]
pub struct Fetched(BTreeMap<(u8, u64), Hash>);

impl Fetched {
    pub fn insert(&mut self, height: u8, index: u64, hashes: Vec<Hash>) {
        self.0.extend((index..).zip(hashes).map(|(index, hash)| ((height, index), hash)));
    }
}

impl Nodes for Fetched {
    fn read(&self, height: u8, index: u64, count: usize) -> Result<Vec<Hash>, String> {
        let known = |n| self.0.get(&(height, n)).copied();
        let missing = || format!("subtrees of height {height} from {index} on are missing");
        (index..index + count as u64).map(|n| known(n).ok_or_else(missing)).collect()
    }
}

/// A proof out of the store.
pub async fn proven<T>(
    store: &dyn Store,
    prove: impl Fn(&dyn Nodes) -> Result<T, ProofError>,
) -> Result<Result<T, ProofError>, StoreError> {
    let needed = match Needed::by(&prove) {
        Ok(needed) => needed,
        Err(error) => return Ok(Err(error)),
    };
    let mut fetched = Fetched::default();
    for (height, index, count) in needed.parts() {
        fetched.insert(*height, *index, store.nodes(*height, *index, *count).await?);
    }
    match prove(&fetched) {
        Err(ProofError::Unreadable(why)) => Err(StoreError::Failed(why)),
        other => Ok(other),
    }
}

/// Whether the log had this head when it was so long.
pub async fn had(store: &dyn Store, head: &Head) -> Result<bool, StoreError> {
    let root = proven(store, |nodes| root_at(nodes, head.size)).await?;
    Ok(root.is_ok_and(|root| Some(root) == Hash::parse(&head.root)))
}

/// Whether the tree of `old` is how the one of `new`, which the store has, began.
pub async fn goes_on(store: &dyn Store, old: &Head, new: &Head) -> Result<bool, StoreError> {
    let proof = proven(store, |nodes| consistency(nodes, old.size, new.size)).await?;
    Ok(proof.is_ok_and(|proof| check_consistency(&proof, old, new).is_ok()))
}

/// The same, of nodes at hand. An error says what is missing of them.
pub fn went_on(nodes: &dyn Nodes, old: &Head, new: &Head) -> Result<bool, String> {
    match consistency(nodes, old.size, new.size) {
        Ok(proof) => Ok(check_consistency(&proof, old, new).is_ok()),
        Err(ProofError::Unreadable(why)) => Err(why),
        Err(_) => Ok(false),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use gatepass_log::{check_inclusion, inclusion};

    #[test]
    fn a_proof_takes_a_few_parts_and_what_is_kept_is_enough() {
        let mut sequencer = Sequencer::default();
        let (mut kept, mut heads) = (BTreeMap::new(), vec![sequencer.head()]);
        for n in 0..70_000_u64 {
            let placed = sequencer.place_content(n.to_string().into_bytes());
            kept.insert((0, n), placed.leaf);
            kept.extend(placed.complete.iter().map(|s| ((s.height, s.index), s.root)));
            heads.push(sequencer.head());
        }
        assert_eq!(kept.keys().filter(|(height, _)| *height > 0).count(), 70_000 / 256 + 1);
        let children: Vec<Hash> = (0..WIDTH as u64).map(|n| kept[&(8, n)]).collect();
        assert_eq!(Subtree::over(&children, 16, 0).map(|s| s.root), kept.get(&(16, 0)).copied());
        assert_eq!(Subtree::over(&children[1..], 16, 0), None);
        let fetch = |needed: &Needed| {
            let mut fetched = Fetched::default();
            for (height, index, count) in needed.parts() {
                let hashes = (*index..*index + *count as u64).map(|n| kept[&(*height, n)]);
                fetched.insert(*height, *index, hashes.collect());
            }
            fetched
        };
        let new = &heads[70_000];
        for old in [1, 255, 256, 257, 65_536, 65_537, 69_999] {
            let needed = Needed::by(|nodes| consistency(nodes, old, 70_000)).unwrap();
            assert!(needed.parts().len() <= 6, "{:?}", needed.parts());
            let fetched = fetch(&needed);
            let old = &heads[old as usize];
            assert_eq!(went_on(&fetched, old, new), Ok(true));
            let other = Head { size: old.size, root: heads[1].root.clone() };
            assert_eq!(went_on(&fetched, &other, new), Ok(old.size == 1));
            assert_eq!(went_on(&fetched, new, old), Ok(false));
            let proof =
                inclusion(&fetch(&Needed::by(|n| inclusion(n, old.size, 70_000)).unwrap()), old.size, 70_000);
            let leaf = kept[&(0, old.size - 1)];
            assert_eq!(check_inclusion(&proof.unwrap(), old.size, leaf, new), Ok(()));
        }
        assert!(went_on(&Fetched::default(), &heads[300], new).is_err());
    }
}
