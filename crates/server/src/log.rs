//! The sequencer: the one place that gives events their position. It runs inside the store's write transaction,
//! so a position exists exactly when its event does.

use gatepass_core::event::Event;
use gatepass_core::wire::Head;
use gatepass_log::{Hash, Tree, canonical};

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
}

impl Sequencer {
    pub fn new(tree: Tree) -> Self {
        Self { tree }
    }

    pub fn place(&mut self, event: &Event) -> Result<Placed, serde_json::Error> {
        let content = canonical(event)?;
        let (seq, leaf) = self.place_content(&content);
        Ok(Placed { seq, leaf, content })
    }

    /// Places an event by its canonical JSON; answers its position and leaf.
    pub fn place_content(&mut self, content: &[u8]) -> (u64, Hash) {
        let leaf = Hash::leaf(content);
        self.tree.append(leaf);
        (self.tree.size(), leaf)
    }

    pub fn head(&self) -> Head {
        self.tree.head()
    }

    pub fn tree(&self) -> &Tree {
        &self.tree
    }
}
