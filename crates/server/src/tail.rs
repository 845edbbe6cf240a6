//! The newest part of the log in memory. When ten thousand desktops pull the same decision, the store is read once.

use crate::store::{Seen, Slice, Store, StoreError, Stored};
use gatepass_core::id::RequestId;
use gatepass_core::wire::Head;
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
    entries: VecDeque<Stored>,
    seen: HashMap<RequestId, Arc<Seen>>,
    head: Option<Head>,
}

impl Tail {
    /// The log after a position; from memory when it is that new. One reader at a time reads the store for all.
    pub async fn read(&self, store: &dyn Store, after: u64, limit: usize) -> Result<Slice, StoreError> {
        let newest = *store.heads().borrow();
        let mut ring = self.0.lock().await;
        if ring.head.as_ref().is_none_or(|h| h.size != newest) {
            ring.catch_up(store, newest).await?;
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

impl Ring {
    async fn catch_up(&mut self, store: &dyn Store, newest: u64) -> Result<(), StoreError> {
        if self.head.as_ref().is_some_and(|h| h.size > newest) {
            // The log went back: nothing of what is held counts any more.
            *self = Self::default();
        }
        let mut after = match &self.head {
            // Far behind: what is between is not worth having.
            Some(head) if newest - head.size <= KEPT as u64 => head.size,
            _ => {
                *self = Self::default();
                newest
            }
        };
        loop {
            let slice = store.entries(after, STEP).await?;
            after += slice.entries.len() as u64;
            self.entries.extend(slice.entries);
            self.seen.extend(slice.seen);
            let done = after >= slice.head.size;
            if done {
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
