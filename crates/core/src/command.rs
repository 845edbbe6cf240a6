//! What people tell Gatepass to do. A command is signed by a device; its body is kept in the event.

use crate::Time;
use crate::id::{CommandId, DeviceId, DriftId, GrantId, PersonId, RequestId};
use crate::text::Digest;
use crate::wire::{Head, Verdict};
use serde::{Deserialize, Serialize};

/// The signed body. Texts stand in it only as salted digests.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Body {
    /// Idempotency key: the same id with the same bytes is the same write.
    pub id: CommandId,
    pub device: DeviceId,
    /// When it was signed, by the server's clock as the device knows it.
    pub at: Time,
    /// The last head of the log this device checked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub head: Option<Head>,
    #[serde(flatten)]
    pub command: Command,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(tag = "kind")]
pub enum Command {
    /// Ask for a role. The request's id is the command's id.
    #[serde(rename = "request.create")]
    Create {
        resource: String,
        role: String,
        duration_s: u32,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<Digest>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        ticket: Option<Digest>,
        /// What to certify, on an ssh target: the device's OpenSSH public key, `ssh-ed25519 AAAA…`, without a comment.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        ssh_key: Option<String>,
    },
    /// Ask for more time on an active grant; decided like any request.
    #[serde(rename = "request.extend")]
    Extend {
        grant: GrantId,
        duration_s: u32,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<Digest>,
    },
    #[serde(rename = "request.decide")]
    Decide {
        request: RequestId,
        revision: u32,
        /// The digest of what was shown: [`crate::request::Request::shown`].
        shown: Digest,
        verdict: Verdict,
        /// Approve: the longest this approver allows. Not more than was asked for.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        duration_s: Option<u32>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        note: Option<Digest>,
    },
    #[serde(rename = "request.withdraw")]
    Withdraw { request: RequestId },
    /// The holder is done.
    #[serde(rename = "grant.return")]
    Return { grant: GrantId },
    /// An approver or admin ends someone's access.
    #[serde(rename = "grant.revoke")]
    Revoke { grant: GrantId, reason: Digest },
    /// An admin ends everything of a person: see [`crate::request::revoke_all`].
    #[serde(rename = "person.revoke_all")]
    RevokeAll { person: PersonId, reason: Digest },
    /// Access that no grant explains is as it should be. Names the revision that was shown.
    #[serde(rename = "drift.known")]
    DriftKnown { drift: DriftId, revision: u32, reason: Digest },
    /// Takes that back.
    #[serde(rename = "drift.unknown")]
    DriftUnknown { drift: DriftId, revision: u32, reason: Digest },
}

impl Command {
    /// The kind, as it stands in the body and in the signature's prefix.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Create { .. } => "request.create",
            Self::Extend { .. } => "request.extend",
            Self::Decide { .. } => "request.decide",
            Self::Withdraw { .. } => "request.withdraw",
            Self::Return { .. } => "grant.return",
            Self::Revoke { .. } => "grant.revoke",
            Self::RevokeAll { .. } => "person.revoke_all",
            Self::DriftKnown { .. } => "drift.known",
            Self::DriftUnknown { .. } => "drift.unknown",
        }
    }
}

/// What the server's own work reports, through the same `decide`.
#[derive(Clone, Debug, PartialEq)]
pub enum Report {
    /// The lapse time came.
    LapseDue,
    /// A worker is about to set the access up.
    SetupStarted,
    /// The access is there; `since` is when the successful try began, and the end was fixed from it.
    SetUp { since: Time },
    /// A try failed, the `attempts`th; `last` when it won't be tried again. Not every one is reported.
    SetupFailed { message: String, attempts: u32, last: bool },
    /// The end came.
    EndDue,
    /// A removal failed, the `attempts`th, and will be tried again. Not every one is reported. With no attempt: none
    /// failed, and what is left runs out by itself.
    RemovalFailed { message: String, attempts: u32 },
    /// The target was read back: nothing is left, at the `attempts`th try.
    Removed { checked_at: Time, sessions_ended: u32, attempts: u32 },
    /// Twice the target showed nothing of an access that should be there.
    Missing,
    /// The request `by` to extend this grant by `duration_s` was approved.
    Extended { by: RequestId, duration_s: u32 },
}

/// The body a new device signs when it joins, under the kind `device.enroll`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Enroll {
    pub id: CommandId,
    pub device: DeviceId,
    pub at: Time,
    /// Always `device.enroll`.
    pub kind: String,
    /// SHA-256 of the invite's code, hex; the code itself travels beside the body.
    pub invite: Digest,
    /// Ed25519 public key, base64.
    pub signing_key: String,
    /// X25519 public key for sealed secrets, base64.
    pub seal_key: String,
    /// Salted digest of the device's name.
    pub name: Digest,
}

/// The body a device signs to get a read token, under the kind `session.open`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct OpenSession {
    pub device: DeviceId,
    /// Always `session.open`.
    pub kind: String,
    pub challenge: String,
}
