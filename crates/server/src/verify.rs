//! Recomputing the log: whether what is kept is what was recorded, and if not, from where. Pure.

use gatepass_core::wire::Head;
use gatepass_log::{Hash, Tree};
use std::fmt::Display;

/// One event as it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Dense, from 1.
    pub seq: u64,
    /// The leaf hash that was recorded with it, 32 bytes.
    pub leaf: Vec<u8>,
    /// The leaf's content.
    pub body: String,
}

/// The first thing about a log that does not hold.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Broken {
    #[error("the log can’t be read after position {after}: {why}")]
    Unreadable { after: u64, why: String },
    #[error("position {expected} of the log is missing: after {} comes {found}", expected - 1)]
    Gap { expected: u64, found: u64 },
    #[error("the event at position {seq} is not the one that was recorded: it has another hash")]
    Changed { seq: u64 },
    #[error("the log ends at position {size}, and its head says {expected}: position {} is missing", size + 1)]
    Short { size: u64, expected: u64 },
    #[error("the log goes on after position {expected}, where its head says it ends")]
    Long { expected: u64 },
    #[error(
        "an event from position {first} to {last} is not the one that was recorded, though its hash fits it"
    )]
    Forged { first: u64, last: u64 },
    #[error("the log’s head does not hold: it names another root than its tree has")]
    Head,
}

impl Broken {
    /// The first position that may be wrong.
    pub fn position(&self) -> u64 {
        match self {
            Self::Unreadable { after, .. } => after + 1,
            Self::Gap { expected, .. } => *expected,
            Self::Changed { seq } => *seq,
            Self::Short { size, .. } => size + 1,
            Self::Long { expected } => expected + 1,
            Self::Forged { first, .. } => *first,
            Self::Head => 1,
        }
    }
}

/// Recomputes every leaf and the root over `entries`, in their order, and compares them with what was recorded: each
/// leaf, the `head`, and the `tree` kept with it. `each` sees every entry that holds so far.
///
/// Finds any change that does not also change the head; whoever can rewrite the whole file can rewrite that too, and
/// is then contradicted by every desktop that has seen the old one.
pub fn verify<E: Display>(
    entries: impl IntoIterator<Item = Result<Entry, E>>,
    head: &Head,
    tree: &Tree,
    mut each: impl FnMut(&Entry) -> Result<(), Broken>,
) -> Result<(), Broken> {
    if tree.head() != *head {
        return Err(Broken::Head);
    }
    let mut peaks = Peaks::of(tree);
    let mut grown = Tree::default();
    for entry in entries {
        let expected = grown.size() + 1;
        let entry = entry.map_err(|e| Broken::Unreadable { after: grown.size(), why: e.to_string() })?;
        if entry.seq != expected {
            return Err(Broken::Gap { expected, found: entry.seq });
        }
        if expected > head.size {
            return Err(Broken::Long { expected: head.size });
        }
        let leaf = Hash::leaf(entry.body.as_bytes());
        if entry.leaf != leaf.0 {
            return Err(Broken::Changed { seq: expected });
        }
        grown.append(leaf);
        peaks.check(&grown)?;
        each(&entry)?;
    }
    if grown.size() < head.size {
        return Err(Broken::Short { size: grown.size(), expected: head.size });
    }
    Ok(())
}

/// The perfect subtrees of a recorded tree, each compared as soon as it is complete.
struct Peaks<'a> {
    left: std::slice::Iter<'a, Hash>,
    /// Positions in the subtrees compared so far, and how many are not.
    done: u64,
    rest: u64,
}

impl<'a> Peaks<'a> {
    fn of(tree: &'a Tree) -> Self {
        Self { left: tree.peaks().iter(), done: 0, rest: tree.size() }
    }

    fn check(&mut self, grown: &Tree) -> Result<(), Broken> {
        let Some(size) = self.rest.checked_ilog2().map(|height| 1 << height) else { return Ok(()) };
        if grown.size() < self.done + size {
            return Ok(());
        }
        let first = self.done + 1;
        self.done += size;
        self.rest -= size;
        if self.left.next() == grown.peaks().last() {
            return Ok(());
        }
        Err(Broken::Forged { first, last: self.done })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    fn recorded(bodies: &[String]) -> (Vec<Entry>, Tree) {
        let mut tree = Tree::default();
        let mut entries = Vec::new();
        for body in bodies {
            let leaf = Hash::leaf(body.as_bytes());
            tree.append(leaf);
            entries.push(Entry { seq: tree.size(), leaf: leaf.0.to_vec(), body: body.clone() });
        }
        (entries, tree)
    }

    fn outcome(entries: &[Entry], tree: &Tree) -> Result<(), Broken> {
        let entries = entries.iter().cloned().map(Ok::<_, String>);
        verify(entries, &tree.head(), tree, |_| Ok(()))
    }

    fn bodies(count: usize) -> Vec<String> {
        (0..count).map(|n| format!("{{\"n\":{n}}}")).collect()
    }

    proptest! {
        #[test]
        fn what_was_recorded_holds(bodies in prop::collection::vec(".{0,40}", 0..70)) {
            let (entries, tree) = recorded(&bodies);
            prop_assert_eq!(outcome(&entries, &tree), Ok(()));
        }

        #[test]
        fn any_changed_byte_of_any_event_is_found_where_it_is(
            bodies in prop::collection::vec("[ -~]{1,40}", 1..70), which: prop::sample::Index, byte: prop::sample::Index, by in 1u8..95,
        ) {
            let (mut entries, tree) = recorded(&bodies);
            let which = which.index(entries.len());
            let mut body = entries[which].body.clone().into_bytes();
            let byte = byte.index(body.len());
            body[byte] = b' ' + (body[byte] - b' ' + by) % 95;
            entries[which].body = String::from_utf8(body).unwrap();
            let seq = which as u64 + 1;
            prop_assert_eq!(outcome(&entries, &tree), Err(Broken::Changed { seq }));

            // With a hash that fits it, its subtree is found.
            entries[which].leaf = Hash::leaf(entries[which].body.as_bytes()).0.to_vec();
            match outcome(&entries, &tree) {
                Err(Broken::Forged { first, last }) => prop_assert!((first..=last).contains(&seq)),
                other => prop_assert!(false, "{other:?}"),
            }
        }

        #[test]
        fn any_changed_bit_of_a_hash_is_found(
            count in 1usize..70, which: prop::sample::Index, byte in 0usize..32, bit in 0u8..8,
        ) {
            let (mut entries, tree) = recorded(&bodies(count));
            let which = which.index(count);
            entries[which].leaf[byte] ^= 1 << bit;
            prop_assert_eq!(outcome(&entries, &tree), Err(Broken::Changed { seq: which as u64 + 1 }));
        }

        #[test]
        fn a_missing_doubled_or_exchanged_event_is_found(count in 2usize..70, which: prop::sample::Index) {
            let (entries, tree) = recorded(&bodies(count));
            let which = which.index(count);
            let mut missing = entries.clone();
            missing.remove(which);
            prop_assert_eq!(outcome(&missing, &tree).unwrap_err().position(), which as u64 + 1);
            let mut doubled = entries.clone();
            doubled.insert(which, entries[which].clone());
            prop_assert!(outcome(&doubled, &tree).is_err());
            // Numbered anew, so that no gap shows.
            let mut exchanged = entries;
            exchanged.swap(0, count - 1);
            for (n, entry) in exchanged.iter_mut().enumerate() {
                entry.seq = n as u64 + 1;
            }
            let found = outcome(&exchanged, &tree);
            prop_assert!(matches!(found, Err(Broken::Forged { first: 1, .. })), "{found:?}");
        }
    }

    #[test]
    fn a_log_that_is_cut_or_goes_on_is_found() {
        let (entries, tree) = recorded(&bodies(12));
        assert_eq!(outcome(&entries[..11], &tree), Err(Broken::Short { size: 11, expected: 12 }));
        let (longer, _) = recorded(&bodies(13));
        assert_eq!(outcome(&longer, &tree), Err(Broken::Long { expected: 12 }));
        let read = entries[..4].iter().cloned().map(Ok).chain([Err("the disk is gone")]);
        let broken = verify(read, &tree.head(), &tree, |_| Ok(())).unwrap_err();
        assert_eq!(broken.to_string(), "the log can’t be read after position 4: the disk is gone");
        assert_eq!(broken.position(), 5);
    }

    #[test]
    fn a_head_of_another_log_is_found() {
        let (entries, tree) = recorded(&bodies(3));
        let (_, other) = recorded(&bodies(4));
        let entries = entries.into_iter().map(Ok::<_, String>);
        assert_eq!(verify(entries, &other.head(), &tree, |_| Ok(())), Err(Broken::Head));
    }
}
