//! The log after a bad day: whole, nothing in it twice, and everything that was acknowledged.

use crate::load::Outcome;
use gatepass_core::command::Body;
use gatepass_core::event::Event;
use gatepass_core::id::CommandId;
use gatepass_log::{Hash, Tree};
use gatepass_server::store::Store;
use std::collections::{BTreeMap, BTreeSet};

/// Panics with what does not hold.
pub async fn holds(store: &dyn Store, outcome: &Outcome) {
    let commands = whole(store).await;
    for (id, count) in &commands {
        assert_eq!(*count, 1, "the command {id:?} was carried out once");
    }
    let lost: Vec<_> = outcome.acknowledged.iter().filter(|id| !commands.contains_key(id)).collect();
    assert!(lost.is_empty(), "{} acknowledged writes are not in the log, such as {:?}", lost.len(), lost[0]);
}

/// How often each command is in the log, which has to be dense and as its head says.
pub async fn whole(store: &dyn Store) -> BTreeMap<CommandId, usize> {
    let slice = store.entries(0, usize::MAX >> 1).await.expect("the log reads");
    let head = store.head().await.expect("the head reads");
    let (mut tree, mut ids, mut commands) = (Tree::default(), BTreeSet::new(), BTreeMap::new());
    for (place, entry) in (1..).zip(&slice.entries) {
        assert_eq!(entry.seq, place, "positions are dense");
        let leaf = Hash::leaf(entry.body.get().as_bytes());
        assert_eq!(leaf.digest(), entry.leaf, "the leaf of {place}");
        tree.append(leaf);
        let event: Event = serde_json::from_str(entry.body.get()).expect("an event");
        assert!(ids.insert(event.id), "the event {:?} is there once", event.id);
        if let Some(command) = event.command
            && let Ok(body) = serde_json::from_value::<Body>(command.body)
            && matches!(event.fact.kind(), "request.created")
        {
            *commands.entry(body.id).or_default() += 1;
        }
    }
    assert_eq!((tree.head().size, tree.head().root), (head.size, head.root), "the root");
    commands
}
