//! LDAP: the person's own entry becomes a member of the role's groups, for as long as a grant needs it.
//!
//! Class C: a directory has no end for a membership, and no sessions; it must be removed. Several grants may need
//! the same one, so what is ours is remembered in [`Notes`]; the rules are in `membership.rs`. What the login needs, and
//! the limits, are in docs/connectors/ldap.md.

mod directory;
mod failed;
#[cfg(test)]
mod interleaved;
mod link;
mod membership;
mod note;
mod place;
mod range;
mod tls;

use crate::{Access, Class, Connector, Found, Notes, Removed, Stranger, TargetError};
use async_trait::async_trait;
use gatepass_core::id::GrantId;
use gatepass_core::wire::Secret;
use link::Link;
use membership::Memberships;
use place::Place;
pub use place::Settings;
use secrecy::SecretString;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::timeout;

/// For a call about one grant.
const LIMIT: Duration = Duration::from_secs(20);
/// For a call about all of them.
const LONG_LIMIT: Duration = Duration::from_secs(50);

/// One directory.
pub struct Ldap {
    place: Place,
    notes: Arc<dyn Notes>,
}

impl Ldap {
    /// Reads `ca_file`; connects only when called.
    ///
    /// # Errors
    /// `Configuration` when the settings can't be used. The message does not repeat the URL.
    pub fn new(
        settings: Settings,
        password: &SecretString,
        notes: Arc<dyn Notes>,
    ) -> Result<Self, TargetError> {
        Ok(Self { place: Place::new(settings, password)?, notes })
    }

    async fn with<T>(
        &self,
        limit: Duration,
        work: impl AsyncFnOnce(Memberships<'_>) -> Result<T, TargetError>,
    ) -> Result<T, TargetError> {
        let all = async {
            let link = Link::open(&self.place).await?;
            work(Memberships { directory: &link, notes: &*self.notes }).await
        };
        timeout(limit, all).await.unwrap_or_else(|_| Err(failed::slow()))
    }
}

#[async_trait]
impl Connector for Ldap {
    fn class(&self) -> Class {
        Class::C
    }

    async fn provision(&self, access: &Access) -> Result<Secret, TargetError> {
        let (grant, handle) = (access.grant, &access.holder.handle);
        let groups = self.with(LIMIT, async |m| m.give(grant, handle, &access.grants).await).await?;
        Ok(Secret::Ldap { groups })
    }

    async fn guard(&self, access: &Access) -> Result<Option<Secret>, TargetError> {
        if self.with(LIMIT, async |m| m.held(access.grant).await).await? {
            return Ok(None);
        }
        let text =
            "the person is not a member of all the groups, so there is no access whose end could be moved";
        Err(TargetError::Refused(text.to_owned()))
    }

    async fn remove(&self, grant: GrantId) -> Result<Removed, TargetError> {
        self.with(LIMIT, async |m| m.take(grant).await).await?;
        Ok(Removed { sessions_ended: 0 })
    }

    async fn inspect(&self) -> Result<Vec<Found>, TargetError> {
        self.with(LONG_LIMIT, async |m| m.found().await).await
    }

    async fn strangers(&self, grants: &[String]) -> Result<Vec<Stranger>, TargetError> {
        let own = &self.place.settings.bind_dn;
        self.with(LONG_LIMIT, async |m| m.strangers(grants, own).await).await
    }
}
