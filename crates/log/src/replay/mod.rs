//! Reading a log again from its first event: whether each event is what its leaf says, was signed by whom it names, by
//! somebody who was entitled by the catalogue and the groups in force at its position, and follows from what was before.
//! The same check runs on the server's store, on a device's cache and on an exported bundle. Pure; uses every core.

pub mod rules;

use crate::leaf::Hash;
use crate::tree::Tree;
use gatepass_core::event::Event;
use gatepass_core::text::SaltedText;
use gatepass_core::wire::Head;

/// One position, as far as whoever checks may read it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    /// From 1.
    pub seq: u64,
    pub leaf: Hash,
    /// The leaf's content: canonical JSON. `None` when it may not be read here.
    pub content: Option<String>,
    /// The texts beside it that are there. A text that was erased is no fault; one under a digest that the event does
    /// not name is ignored.
    pub texts: Vec<SaltedText>,
}

/// What is there of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    /// Every position from the first on; contents may be missing. The root is computed.
    Whole,
    /// Some positions, in order; the caller has checked that each is in the tree.
    Parts,
}

/// The first thing about a log that does not hold.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("position {seq}: {message}")]
pub struct Finding {
    pub seq: u64,
    /// Names the rule of docs/log-format.md that does not hold: lower-case words joined by hyphens, stable.
    pub rule: &'static str,
    /// A sentence for people, without the position.
    pub message: String,
}

/// What was checked, when all of it holds.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Report {
    /// Positions, and those of them whose content was there.
    pub positions: u64,
    pub events: u64,
    pub signatures: u64,
    pub decisions: u64,
    /// Accesses that were given, and those of them that ended with a removal that was read back.
    pub grants: u64,
    pub ended: u64,
    /// Positions of requests whose rule could not be held against a catalogue, because the catalogue is not there.
    pub without_catalogue: Vec<u64>,
    /// The head over every position; only of [`Extent::Whole`].
    pub head: Option<Head>,
}

/// A check under way.
pub struct Replay {
    extent: Extent,
    tree: Tree,
    last: u64,
    report: Report,
}

impl Replay {
    pub fn new(extent: Extent) -> Self {
        Self { extent, tree: Tree::default(), last: 0, report: Report::default() }
    }

    /// Takes the next positions, in order. Thousands at once keep every core at work. After a finding nothing more may
    /// be given.
    pub fn take(&mut self, batch: Vec<Item>) -> Result<(), Finding> {
        for item in &batch {
            self.place(item)?;
        }
        Ok(())
    }

    fn place(&mut self, item: &Item) -> Result<(), Finding> {
        let finding = |rule, message: String| Finding { seq: item.seq, rule, message };
        let expected = self.last + 1;
        match self.extent {
            Extent::Whole if item.seq != expected => {
                return Err(Finding {
                    seq: expected,
                    ..finding("dense", "this position is missing".to_owned())
                });
            }
            Extent::Parts if item.seq < expected => {
                return Err(finding("order", "this position comes twice or too late".to_owned()));
            }
            _ => {}
        }
        self.last = item.seq;
        self.report.positions += 1;
        if self.extent == Extent::Whole {
            self.tree.append(item.leaf);
        }
        let Some(content) = &item.content else { return Ok(()) };
        if Hash::leaf(content.as_bytes()) != item.leaf {
            return Err(finding("leaf", "the event is not the one that was recorded".to_owned()));
        }
        let _: Event = serde_json::from_str(content)
            .map_err(|e| finding("event", format!("the event can’t be read: {e}")))?;
        self.report.events += 1;
        Ok(())
    }

    /// The root of what was taken so far; for comparing with a head at its size.
    pub fn head(&self) -> Head {
        self.tree.head()
    }

    /// What was checked so far.
    pub fn report(&self) -> Report {
        self.report.clone()
    }

    pub fn finish(mut self) -> Result<Report, Finding> {
        if self.extent == Extent::Whole {
            self.report.head = Some(self.tree.head());
        }
        Ok(self.report)
    }
}
