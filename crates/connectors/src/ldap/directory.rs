//! What the rules of membership need of a directory.

use super::note::{Group, Person};
use crate::TargetError;
use async_trait::async_trait;

/// Every call is one or a few operations, done or not when it fails, and may be repeated.
#[async_trait]
pub(super) trait Directory: Send + Sync {
    /// The one entry that is this person's.
    async fn person(&self, handle: &str) -> Result<Person, TargetError>;

    /// The group as it is called in the catalogue.
    async fn group(&self, dn: &str) -> Result<Group, TargetError>;

    /// The person as the entry is now; `None` when it is gone.
    async fn person_now(&self, person: &Person) -> Result<Option<Person>, TargetError>;

    /// The group's name now; `None` when it is gone, and its memberships with it.
    async fn group_now(&self, group: &Group) -> Result<Option<Group>, TargetError>;

    async fn has(&self, group: &Group, value: &str) -> Result<bool, TargetError>;

    /// Adding what is there succeeds.
    async fn add(&self, group: &Group, value: &str) -> Result<(), TargetError>;

    /// Deleting what is absent succeeds.
    async fn delete(&self, group: &Group, value: &str) -> Result<(), TargetError>;

    /// Everybody in it, but for what only keeps the schema content.
    async fn members(&self, group: &Group) -> Result<Vec<String>, TargetError>;
}
