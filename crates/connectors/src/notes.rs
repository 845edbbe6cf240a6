//! What a connector has to remember of a grant, on a target that has no place for a tag.

use crate::TargetError;
use async_trait::async_trait;
use gatepass_core::id::GrantId;
use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

/// One text per grant, the connector's own, on one target.
///
/// What `put` and `delete` answered is durable, and seen by every other node's next read. An `Unreachable` may have
/// happened or not. Different grants' notes are written at once from different places; a grant's own are not.
#[async_trait]
pub trait Notes: Send + Sync {
    /// Replaces the grant's note.
    async fn put(&self, grant: GrantId, text: &str) -> Result<(), TargetError>;
    /// Deleting what is absent succeeds.
    async fn delete(&self, grant: GrantId) -> Result<(), TargetError>;
    async fn get(&self, grant: GrantId) -> Result<Option<String>, TargetError>;
    /// All of this target, by grant.
    async fn all(&self) -> Result<BTreeMap<GrantId, String>, TargetError>;
}

/// Notes that end with the process: for tests, and to try a connector by hand.
#[derive(Debug, Default)]
pub struct Forgetful(Mutex<BTreeMap<GrantId, String>>);

#[async_trait]
impl Notes for Forgetful {
    async fn put(&self, grant: GrantId, text: &str) -> Result<(), TargetError> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(grant, text.to_owned());
        Ok(())
    }

    async fn delete(&self, grant: GrantId) -> Result<(), TargetError> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&grant);
        Ok(())
    }

    async fn get(&self, grant: GrantId) -> Result<Option<String>, TargetError> {
        Ok(self.0.lock().unwrap_or_else(PoisonError::into_inner).get(&grant).cloned())
    }

    async fn all(&self) -> Result<BTreeMap<GrantId, String>, TargetError> {
        Ok(self.0.lock().unwrap_or_else(PoisonError::into_inner).clone())
    }
}
