//! Bundles that hold and bundles that do not, each with what a checker answers.

use crate::story::{self, Story};
use crate::vectors::bundle;
use gatepass_log::LogKey;
use gatepass_log::bundle::Bundle;

/// Name, verdict (`holds`, `malformed`, `checkpoint`, or the rule and the position), and the bundle.
pub fn bundles() -> Vec<(&'static str, &'static str, Bundle)> {
    let story = Story::told();
    let whole = bundle(&story, |_| true);
    let mut rows = vec![("whole", "holds", whole.clone())];

    // Without the second request.
    rows.push(("part", "holds", bundle(&story, |seq| seq <= 15)));

    // Texts that were erased are no fault.
    let mut erased = whole.clone();
    erased.texts.retain(|text| !text.text.contains("Stuck orders"));
    rows.push(("erased", "holds", erased));

    let mut other = whole.clone();
    let key = LogKey::parse(&LogKey::generate(story::ORIGIN, &[0x4d; 32])).unwrap();
    other.checkpoint = key.sign(&story.head()).unwrap();
    rows.push(("other-key", "checkpoint", other));

    let mut other = whole.clone();
    let key = LogKey::parse(&LogKey::generate("example.org/other", &story::LOG_SEED)).unwrap();
    other.checkpoint = key.sign(&story.head()).unwrap();
    rows.push(("other-origin", "checkpoint", other));

    let mut cut = whole.clone();
    cut.events[2].proof.pop();
    rows.push(("proof-cut", "inclusion at 3", cut));

    let mut moved = whole.clone();
    moved.events[8].seq = 10;
    moved.events[9].seq = 9;
    rows.push(("moved", "inclusion at 10", moved));

    let mut changed = whole.clone();
    changed.events[7].leaf = changed.events[6].leaf.clone();
    rows.push(("changed", "inclusion at 8", changed));

    let mut swapped = whole.clone();
    swapped.events.swap(4, 5);
    rows.push(("order", "order at 5", swapped));
    rows
}
