//! The newest part of the log in memory. When ten thousand desktops pull the same decision, the store is read once.

use crate::store::{Seen, Slice, Store, StoreError, Stored};
use gatepass_core::id::RequestId;
use gatepass_core::wire::Head;
use serde_json::value::RawValue;
use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;
use tokio::sync::Mutex;

/// Positions kept.
const KEPT: usize = 4_096;
/// Read at once when it catches up.
const STEP: usize = 2_048;

/// Begins empty: at the head it finds first.
#[derive(Default)]
pub struct Tail(Mutex<Ring>);

#[derive(Default)]
struct Ring {
    /// The store's own word on its size when it was last asked.
    told: u64,
    entries: VecDeque<Stored>,
    seen: HashMap<RequestId, Arc<Seen>>,
    head: Option<Head>,
}

impl Tail {
    /// The log after a position; from memory when it is that new. One reader at a time reads the store for all.
    /// The answer is no older than `known`, a size that the reader heard of elsewhere: from another node maybe, whose
    /// news did not arrive here yet.
    pub async fn read(
        &self,
        store: &dyn Store,
        after: u64,
        limit: usize,
        known: u64,
    ) -> Result<Slice, StoreError> {
        let told = *store.heads().borrow();
        let mut ring = self.0.lock().await;
        if told < ring.told {
            // The log went back: nothing of what is held counts any more.
            *ring = Ring::default();
        }
        ring.told = told;
        if ring.head.as_ref().is_none_or(|h| h.size < told.max(known).max(after)) {
            ring.catch_up(store).await?;
        }
        match ring.slice(after, limit) {
            Some(slice) => Ok(slice),
            None => {
                drop(ring);
                store.entries(after, limit).await
            }
        }
    }
}

impl Tail {
    /// Texts may have been deleted since they were read.
    pub async fn forget(&self) {
        *self.0.lock().await = Ring::default();
    }
}

/// Whether texts of events before this one are not there any more.
fn erases(event: &RawValue) -> bool {
    event.get().contains(r#""kind":"person.erased""#)
}

impl Ring {
    async fn catch_up(&mut self, store: &dyn Store) -> Result<(), StoreError> {
        let mut after = match &self.head {
            // Far behind: what is between is not worth having.
            Some(head) if self.told.saturating_sub(head.size) <= KEPT as u64 => head.size,
            _ => {
                *self = Self { told: self.told, ..Self::default() };
                self.told
            }
        };
        loop {
            let slice = store.entries(after, STEP).await?;
            let last = slice.entries.len() < STEP;
            if slice.entries.iter().any(|e| erases(&e.body)) {
                self.entries.clear();
            }
            after += slice.entries.len() as u64;
            self.entries.extend(slice.entries);
            self.seen.extend(slice.seen);
            if last || after >= slice.head.size {
                self.head = Some(slice.head);
                break;
            }
        }
        self.trim();
        Ok(())
    }

    fn trim(&mut self) {
        let surplus = self.entries.len().saturating_sub(KEPT);
        self.entries.drain(..surplus);
        if self.seen.len() > 2 * KEPT {
            let named: HashSet<RequestId> = self.entries.iter().filter_map(|e| e.request).collect();
            self.seen.retain(|request, _| named.contains(request));
        }
    }

    /// None when it begins before what is held.
    fn slice(&self, after: u64, limit: usize) -> Option<Slice> {
        let head = self.head.clone()?;
        let from = match self.entries.front() {
            Some(first) if after + 1 >= first.seq => usize::try_from(after + 1 - first.seq).ok()?,
            None if after >= head.size => 0,
            _ => return None,
        };
        let entries: Vec<Stored> = self.entries.iter().skip(from).take(limit).cloned().collect();
        let named = entries.iter().filter_map(|e| e.request);
        let seen = named.filter_map(|r| Some((r, self.seen.get(&r)?.clone()))).collect();
        Some(Slice { entries, seen, head })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::store::Change;
    use crate::store::sqlite::{SqliteOptions, SqliteStore};
    use gatepass_core::event::{By, Event, Fact};
    use gatepass_core::id::EventId;
    use gatepass_core::text::Digest;
    use uuid::Uuid;

    async fn grow(store: &dyn Store, by: usize) {
        let event = |n: usize| Event {
            id: EventId(Uuid::now_v7()),
            at: gatepass_core::Time::default(),
            by: By::Gatepass,
            request: None,
            fact: Fact::CataloguePublished { catalogue: Digest::of(&n.to_be_bytes()), document: None },
            command: None,
        };
        store.commit(Change { events: (0..by).map(event).collect(), ..Change::default() }).await.unwrap();
    }

    fn places(slice: &Slice) -> Vec<u64> {
        slice.entries.iter().map(|e| e.seq).collect()
    }

    #[tokio::test]
    async fn it_gives_what_the_store_gives() {
        let directory = tempfile::tempdir().unwrap();
        let store = SqliteStore::open(directory.path(), SqliteOptions::default()).unwrap();
        let tail = Tail::default();
        for grown in [1, 3, KEPT + 10, 0, 2, 2 * STEP + 1] {
            if grown > 0 {
                grow(&store, grown).await;
            }
            let size = store.head().await.unwrap().size;
            for after in [0, 1, size.saturating_sub(KEPT as u64), size - 1, size, size + 5] {
                let (ours, theirs) = (
                    tail.read(&store, after, 700, 0).await.unwrap(),
                    store.entries(after, 700).await.unwrap(),
                );
                assert_eq!((places(&ours), ours.head), (places(&theirs), theirs.head), "after {after}");
            }
        }
    }
}
