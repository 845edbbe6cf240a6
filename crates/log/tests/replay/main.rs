//! The replay over logs that a server could have written, and over logs that none could.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod broken;
mod lives;
mod parts;

use gatepass_core::event::Event;
use gatepass_core::text::SaltedText;
use gatepass_log::replay::{Extent, Finding, Item, Replay, Report};
use gatepass_log::testing::items;

/// In batches of several sizes, so that none decides about the outcome.
fn replay(extent: Extent, items: Vec<Item>) -> Result<Report, Finding> {
    let mut replay = Replay::new(extent);
    let mut rest = items;
    for size in [1, 7, 300].into_iter().cycle() {
        if rest.is_empty() {
            break;
        }
        let after = rest.split_off(size.min(rest.len()));
        replay.take(std::mem::replace(&mut rest, after))?;
    }
    replay.finish()
}

fn whole(events: &[Event], texts: &[Vec<SaltedText>]) -> Result<Report, Finding> {
    replay(Extent::Whole, items(events, texts))
}

/// The rule that does not hold, and where.
fn found(outcome: Result<Report, Finding>) -> Option<(&'static str, u64)> {
    outcome.err().map(|finding| (finding.rule, finding.seq))
}
