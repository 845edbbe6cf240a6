//! The real systems behind resources, each behind one small port.

#[cfg(any(test, feature = "conformance"))]
pub mod conformance;
pub mod fake;
#[cfg(feature = "postgres")]
pub mod postgres;

use async_trait::async_trait;
use gatepass_core::Time;
use gatepass_core::id::GrantId;
use gatepass_core::wire::Secret;

/// One access to give on a target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Access {
    pub grant: GrantId,
    /// The catalogue's `grants` of the role; their meaning is the connector's.
    pub grants: Vec<String>,
    /// The fixed end. The connector sets it as the target-side guard where the target has one.
    pub until: Time,
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

    /// Moves the target-side guard to `until`, keeping the secret. Refused when the access is absent.
    async fn guard(&self, grant: GrantId, until: Time) -> Result<(), TargetError>;

    /// Takes the access away and ends its open sessions. `Ok` only after reading back that both are gone;
    /// removing what is absent succeeds with no session ended.
    async fn remove(&self, grant: GrantId) -> Result<Removed, TargetError>;

    /// Every access on the target that carries Gatepass's tag.
    async fn inspect(&self) -> Result<Vec<Found>, TargetError>;
}
