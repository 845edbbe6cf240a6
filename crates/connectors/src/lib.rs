//! The real systems behind resources, each behind one small port.

pub mod checks;
#[cfg(feature = "command")]
pub mod command;
#[cfg(any(test, feature = "conformance"))]
pub mod conformance;
pub mod fake;
#[cfg(any(feature = "command", feature = "webhook"))]
mod foreign;
#[cfg(feature = "ldap")]
pub mod ldap;
#[cfg(feature = "mariadb")]
pub mod mariadb;
mod notes;
pub mod points;
#[cfg(feature = "postgres")]
pub mod postgres;
#[cfg(feature = "ssh")]
pub mod ssh;
#[cfg(feature = "webhook")]
pub mod webhook;

use async_trait::async_trait;
use gatepass_core::Time;
pub use notes::{Forgetful, Notes};

use gatepass_core::catalogue::Session;
use gatepass_core::id::{GrantId, PersonId};
use gatepass_core::wire::Secret;

/// One access to give on a target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Access {
    pub grant: GrantId,
    pub holder: Holder,
    /// The catalogue's `grants` of the role; their meaning is the connector's.
    pub grants: Vec<String>,
    /// What becomes of open sessions at the end, on a target that leaves it to the role.
    pub session: Session,
    /// The fixed end. The connector sets it as the target-side guard where the target has one.
    pub until: Time,
}

/// Who an access is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    pub person: PersonId,
    /// What the person is called in Gatepass, such as `mara` or `mara@example.com`.
    pub handle: String,
    /// The device's OpenSSH public key, `ssh-ed25519 AAAA…`, when it sent one.
    pub ssh_key: Option<String>,
}

/// Somebody who holds what a role gives, and whom Gatepass did not give it to.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Stranger {
    /// What the person or account is called on the target.
    pub name: String,
    /// Which of the entitlements, sorted.
    pub grants: Vec<String>,
}

/// An access found on the target that carries Gatepass's tag.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    pub grant: GrantId,
    /// What it is called on the target.
    pub name: String,
    /// The guard as the target has it.
    pub until: Option<Time>,
    /// Sessions open now.
    pub sessions: u32,
}

/// What a removal read back: the access is absent and no session of it is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Removed {
    /// Sessions this call ended.
    pub sessions_ended: u32,
}

/// What holds on the target when Gatepass does nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// Access ends by itself, open sessions included.
    A,
    /// New logins stop by themselves; open sessions must be ended.
    B,
    /// Access must be removed.
    C,
}

/// Why a target did not do it. `message` has no secret in it and may be shown to people.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TargetError {
    /// The target did not answer; whether the change was applied is not known.
    #[error("the target does not answer: {0}")]
    Unreachable(String),
    /// The target answered and refused.
    #[error("the target refused: {0}")]
    Refused(String),
    /// It is taken away as far as it can be now, and the rest runs out by itself at `until`: a certificate that hosts
    /// may still take. Not a failure; asked again then.
    #[error("{why}")]
    RunsOut { until: Time, why: String },
    /// The configuration can't work: an unknown group role, a missing privilege, a bad URL.
    #[error("{0}")]
    Configuration(String),
}

/// A kind of target.
///
/// Every call is idempotent on the grant's id, may be repeated after any error, may run on several
/// connections at once for different grants, and returns within the connector's own time limit.
#[async_trait]
pub trait Connector: Send + Sync {
    fn class(&self) -> Class;

    /// Gives the access. Repeated: still one access, with a new secret and `until` as given last.
    /// After an error the access may or may not exist.
    async fn provision(&self, access: &Access) -> Result<Secret, TargetError>;

    /// Moves the target-side guard to `access.until`. Keeps the secret where it can; where the end is part of it (a
    /// certificate), answers the new one. Refused when the access is absent.
    async fn guard(&self, access: &Access) -> Result<Option<Secret>, TargetError>;

    /// Takes the access away and ends its open sessions. `Ok` only after reading back that both are gone;
    /// removing what is absent succeeds with no session ended.
    async fn remove(&self, grant: GrantId) -> Result<Removed, TargetError>;

    /// Every access on the target that carries Gatepass's tag.
    async fn inspect(&self) -> Result<Vec<Found>, TargetError>;

    /// Who else holds any of these entitlements on the target, sorted: neither through an access that carries our tag,
    /// nor as the account Gatepass itself uses there. Empty where the target can't tell.
    async fn strangers(&self, _grants: &[String]) -> Result<Vec<Stranger>, TargetError> {
        Ok(Vec::new())
    }

    /// The target's own time, where its guard goes by one that can be asked.
    async fn clock(&self) -> Result<Option<Time>, TargetError> {
        Ok(None)
    }

    /// The revocation list that the target's hosts fetch, in the form they read.
    async fn revocations(&self) -> Result<Option<Vec<u8>>, TargetError> {
        Ok(None)
    }
}
