//! The sequencer: the one place that gives events their position. It runs inside the store's write transaction,
//! so a position exists exactly when its event does.

use crate::Time;
use crate::store::{Store, StoreError};
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
