//! What is done with whatever comes, and what then has to hold. Used by the fuzz targets, and by a test of crates/log that
//! runs everything in fuzz/corpus through them.

use gatepass_core::event::Event;
use gatepass_core::text::Digest;
use gatepass_core::wire::Head;
use gatepass_log::bundle::Bundle;
use gatepass_log::replay::{Extent, Item, Replay};
use gatepass_log::{
    Hash, LogKey, LogVerifier, Tile, Tree, WIDTH, canonical, check_consistency, check_inclusion, head_of,
    leaf_hash,
};

pub type Check = fn(&[u8]);

/// Every target, by the name of its folder in the corpus.
pub const TARGETS: &[(&str, Check)] = &[
    ("bundle", bundle),
    ("event", event),
    ("note", note),
    ("proof", proof),
    ("query", query),
    ("tile", tile),
];

#[allow(dead_code)]
#[path = "../crates/client/src/cache/terms.rs"]
mod terms;

/// Lines that may be events: each is read, and all are replayed as a whole log and as parts of one.
pub fn event(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    for line in text.lines() {
        let Ok(event) = serde_json::from_str::<Event>(line) else { continue };
        let written = canonical(&event).expect("an event is JSON");
        // Not the same where a number is 2^53 or more: there is no canonical form of those, and a replay refuses them.
        let again: Event = serde_json::from_slice(&written).expect("what was written reads back");
        assert_eq!(leaf_hash(&again).ok(), Some(Hash::leaf(&written)));
        let digests = event.fact.digests().len();
        assert!(digests <= 2, "{}", event.fact.kind());
    }
    for extent in [Extent::Whole, Extent::Parts] {
        let items = text.lines().zip(1..).map(|(line, seq)| Item {
            seq,
            leaf: Hash::leaf(line.as_bytes()),
            content: Some(line.to_owned()),
            texts: Vec::new(),
        });
        let mut replay = Replay::new(extent);
        if replay.take(items.collect()).is_ok() && replay.finish().is_ok() && extent == Extent::Whole {
            // What holds as a whole log is a root over these very lines.
            let mut tree = Tree::default();
            text.lines().for_each(|line| tree.append(Hash::leaf(line.as_bytes())));
            assert_eq!(tree.size(), text.lines().count() as u64);
        }
    }
}

fn key() -> LogKey {
    LogKey::parse(&LogKey::generate("example.com/gatepass", &[0x4c; 32])).expect("a key")
}

/// A note, opened with a key that is known, and with the key on its first line.
pub fn note(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let known = key();
    if let Ok(head) = LogVerifier::new(known.vkey()).expect("a key").open(text) {
        // Only what the key signs opens: the same head, whatever else signed it too.
        let ours = known.sign(&head).expect("a head");
        let line = ours.lines().last().expect("a signature");
        assert!(text.lines().any(|other| other == line), "{text}");
        assert_eq!(head_of(text), Some(head));
    }
    let Some((vkey, note)) = text.split_once('\n') else { return };
    if let Ok(verifier) = LogVerifier::new(vkey) {
        assert!(!verifier.origin().is_empty());
        drop(verifier.open(note));
    }
    drop(LogKey::parse(text));
}

/// A bundle as JSON. What holds, holds again after it was written anew.
pub fn bundle(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let Ok(bundle) = Bundle::parse(text) else { return };
    if let Ok(held) = bundle.verify() {
        let written = serde_json::to_string(&bundle).expect("a bundle is JSON");
        let again = Bundle::parse(&written).expect("what was written reads back");
        assert_eq!(again.verify().ok(), Some(held));
    }
}

/// A path after `tile/<L>/`. What is taken is written in one way only.
pub fn tile(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let Some(tile) = Tile::parse(text) else { return };
    let mut path = format!("{:03}", tile.index % 1_000);
    let mut rest = tile.index / 1_000;
    while rest > 0 {
        path = format!("x{:03}/{path}", rest % 1_000);
        rest /= 1_000;
    }
    if tile.width < WIDTH {
        path = format!("{path}.p/{}", tile.width);
    }
    assert_eq!(path, text);
    for size in [0, 1, u64::MAX] {
        assert!(tile.first(size).is_none_or(|first| first < size));
    }
}

/// What is typed into the search. What was read of it reads again as the same.
pub fn query(data: &[u8]) {
    use terms::Term::{After, Before, Environment, Kind, Outcome, Person, Resource, Role, Word};
    let Ok(text) = std::str::from_utf8(data) else { return };
    let Ok(wanted) = terms::parse(text) else { return };
    let quoted = |key: &str, value: &str| {
        // A quote can't be in a value.
        assert!(!value.contains('"'), "{value}");
        format!("{key}\"{value}\"")
    };
    let written = wanted.iter().map(|wanted| {
        let said = match &wanted.term {
            Word(value) => quoted("", value),
            Person(value) => quoted("person:", value),
            Resource(value) => quoted("resource:", value),
            Role(value) => quoted("role:", value),
            Kind(value) => quoted("kind:", value),
            Outcome(value) => quoted("outcome:", value),
            Environment(value) => quoted("env:", value),
            After(at) => format!("after:{}", at.to_rfc3339()),
            Before(at) => format!("before:{}", at.to_rfc3339()),
        };
        format!("{}{said} ", if wanted.not { "-" } else { "" })
    });
    let written: String = written.collect();
    assert_eq!(
        terms::parse(&written).as_ref().map_err(|e| &e.message),
        Ok(&wanted),
        "{text:?} as {written:?}"
    );
}

/// Two sizes and hashes: read as an inclusion proof and as a consistency proof, and compared with RFC 9162's algorithms.
pub fn proof(data: &[u8]) {
    let Some((sizes, rest)) = data.split_at_checked(16) else { return };
    let number = |bytes: &[u8]| bytes.iter().fold(0u64, |n, b| n << 8 | u64::from(*b));
    let (a, b) = (number(&sizes[..8]), number(&sizes[8..]));
    let hashes: Vec<Hash> =
        rest.chunks_exact(32).map(|chunk| Hash(std::array::from_fn(|i| chunk[i]))).collect();
    let Some((first, proof)) = hashes.split_first() else { return };

    let no_root = Hash([0; 32]);
    let root = root_by_inclusion(proof, a, b, *first);
    let head = Head { size: b, root: root.unwrap_or(no_root).digest() };
    let ours = check_inclusion(proof, a, *first, &head).is_ok();
    assert_eq!(ours, root.is_some(), "{a} in {b} by {}", proof.len());

    let roots = roots_by_consistency(proof, a, b, *first);
    let (old, new) = roots.unwrap_or((no_root, no_root));
    let (old, new) = (Head { size: a, root: old.digest() }, Head { size: b, root: new.digest() });
    // The empty tree is how every tree began.
    if a > 0 {
        assert_eq!(check_consistency(proof, &old, &new).is_ok(), roots.is_some(), "{a} to {b}");
    }
    let wrong = Head { root: Digest("no digest".to_owned()), ..new };
    assert!(check_consistency(proof, &old, &wrong).is_err());
    assert!(check_inclusion(proof, a, *first, &wrong).is_err());
}

/// No log of ours is longer.
const LARGEST: u64 = 1 << 62;

/// RFC 9162, section 2.1.3.2; `seq` from 1.
fn root_by_inclusion(proof: &[Hash], seq: u64, size: u64, leaf: Hash) -> Option<Hash> {
    if !(1..=size).contains(&seq) || size > LARGEST {
        return None;
    }
    let (mut at, mut last, mut node) = (seq - 1, size - 1, leaf);
    for sibling in proof {
        if last == 0 {
            return None;
        }
        if at & 1 == 1 || at == last {
            node = Hash::node(sibling, &node);
            while at & 1 == 0 && at != 0 {
                (at, last) = (at >> 1, last >> 1);
            }
        } else {
            node = Hash::node(&node, sibling);
        }
        (at, last) = (at >> 1, last >> 1);
    }
    (last == 0).then_some(node)
}

/// RFC 9162, section 2.1.4.2: the two roots that the proof is between. `root` is the old one where the proof does not
/// hold it.
fn roots_by_consistency(proof: &[Hash], old: u64, new: u64, root: Hash) -> Option<(Hash, Hash)> {
    if old == 0 || old > new || new > LARGEST {
        return None;
    }
    if old == new {
        return proof.is_empty().then_some((root, root));
    }
    let mut nodes = proof.to_vec();
    if old.is_power_of_two() {
        nodes.insert(0, root);
    }
    let (mut at, mut last) = (old - 1, new - 1);
    while at & 1 == 1 {
        (at, last) = (at >> 1, last >> 1);
    }
    let (first, rest) = nodes.split_first()?;
    let (mut before, mut after) = (*first, *first);
    for node in rest {
        if last == 0 {
            return None;
        }
        if at & 1 == 1 || at == last {
            (before, after) = (Hash::node(node, &before), Hash::node(node, &after));
            while at & 1 == 0 && at != 0 {
                (at, last) = (at >> 1, last >> 1);
            }
        } else {
            after = Hash::node(&after, node);
        }
        (at, last) = (at >> 1, last >> 1);
    }
    (last == 0).then_some((before, after))
}
