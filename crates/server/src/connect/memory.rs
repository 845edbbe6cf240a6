//! Where connectors remember what their target has no place for: the server's own store.

use crate::store::{Change, NoteChange, Store, StoreError};
use async_trait::async_trait;
use gatepass_connectors::{Notes, TargetError};
use gatepass_core::id::GrantId;
use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

/// The store, once it is open: connectors are made before, so that a fault in the configuration is told at once.
#[derive(Clone, Default)]
pub struct Memory(Arc<OnceLock<Arc<dyn Store>>>);

impl Memory {
    /// The first one stays.
    pub fn remember_in(&self, store: Arc<dyn Store>) {
        let _ = self.0.set(store);
    }

    pub fn of(&self, target: &str) -> Arc<dyn Notes> {
        Arc::new(Of { target: target.to_owned(), memory: self.clone() })
    }
}

struct Of {
    target: String,
    memory: Memory,
}

impl Of {
    fn store(&self) -> Result<&Arc<dyn Store>, TargetError> {
        self.memory.0.get().ok_or_else(|| unreachable("it is not open"))
    }

    async fn change(&self, note: NoteChange) -> Result<(), TargetError> {
        let change = Change { notes: vec![note], ..Change::default() };
        self.store()?.commit(change).await.map(|_| ()).map_err(failed)
    }
}

fn failed(error: StoreError) -> TargetError {
    unreachable(&error.to_string())
}

fn unreachable(why: &str) -> TargetError {
    TargetError::Unreachable(format!("Gatepass could not reach its own database: {why}"))
}

#[async_trait]
impl Notes for Of {
    async fn put(&self, grant: GrantId, text: &str) -> Result<(), TargetError> {
        self.change(NoteChange::Put { target: self.target.clone(), grant, text: text.to_owned() }).await
    }

    async fn delete(&self, grant: GrantId) -> Result<(), TargetError> {
        self.change(NoteChange::Delete { target: self.target.clone(), grant }).await
    }

    async fn get(&self, grant: GrantId) -> Result<Option<String>, TargetError> {
        self.store()?.note(&self.target, grant).await.map_err(failed)
    }

    async fn all(&self) -> Result<BTreeMap<GrantId, String>, TargetError> {
        let notes = self.store()?.notes(&self.target).await.map_err(failed)?;
        Ok(notes.into_iter().collect())
    }
}
