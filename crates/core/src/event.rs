//! What happened. An event is a leaf of the log; its canonical JSON (RFC 8785) is the leaf's content.

use crate::Time;
use crate::catalogue::Session;
use crate::drift::{Found, Who};
use crate::id::{DeviceId, DriftId, EventId, GrantId, Number, PersonId, RequestId};
use crate::text::Digest;
use crate::wire::{EndCause, Head, Removal, SignedCommand};
use serde::{Deserialize, Serialize};

/// One event. Its position is not part of it: the sequencer gives it later.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Event {
    pub id: EventId,
    /// By the server's clock.
    pub at: Time,
    pub by: By,
    /// The request this belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request: Option<RequestId>,
    #[serde(flatten)]
    pub fact: Fact,
    /// The signed command: in the first event it caused, and in each when it was `person.revoke_all`, so that whoever
    /// sees only one of them can check it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command: Option<SignedCommand>,
}

/// Who caused an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum By {
    Person {
        person: PersonId,
        device: DeviceId,
    },
    /// Gatepass itself: the catalogue's rule, the clock, a worker, or an admin at the server's console.
    Gatepass,
}

impl By {
    pub const fn person(&self) -> Option<PersonId> {
        match self {
            Self::Person { person, .. } => Some(*person),
            Self::Gatepass => None,
        }
    }
}

/// The rule a request was made under, frozen into it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Rule {
    /// The catalogue's version.
    pub catalogue: Digest,
    pub target: String,
    pub kind: String,
    pub grants: Vec<String>,
    pub ask: Vec<String>,
    pub approve: Vec<crate::catalogue::Slot>,
    pub max_s: u32,
    #[serde(default, skip_serializing_if = "Session::is_default")]
    pub session: Session,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(tag = "kind")]
pub enum Fact {
    /// The catalogue that holds from here on. `catalogue` is [`Catalogue::hash`], `document` the salted digest of its
    /// canonical JSON, which stands beside the log for everybody; events before there were documents have none.
    #[serde(rename = "catalogue.published")]
    CataloguePublished {
        catalogue: Digest,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        document: Option<Digest>,
    },
    /// An older copy of the database was put in the place of the one that had the log up to `lost`, and whoever runs the
    /// server said that it goes on from there.
    #[serde(rename = "log.recovered")]
    LogRecovered { lost: Head },
    /// A person was added or changed. `details` is the salted digest of handle and name.
    #[serde(rename = "person.recorded")]
    PersonRecorded { person: PersonId, groups: Vec<String>, auditor: bool, admin: bool, details: Digest },
    #[serde(rename = "device.enrolled")]
    DeviceEnrolled { person: PersonId, device: DeviceId, signing_key: String, seal_key: String, name: Digest },
    /// Everything of a person ends. Each event that follows from it carries the same command.
    #[serde(rename = "person.revoked")]
    PersonRevoked { person: PersonId, reason: Digest },
    /// Their name and what they wrote was erased beside the log; whoever keeps a copy erases it too.
    #[serde(rename = "person.erased")]
    PersonErased { person: PersonId },
    /// Nothing that it signs from here on counts.
    #[serde(rename = "device.disabled")]
    DeviceDisabled { person: PersonId, device: DeviceId },
    #[serde(rename = "request.created")]
    RequestCreated {
        number: Number,
        resource: String,
        role: String,
        rule: Rule,
        duration_s: u32,
        lapses_at: Time,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<Digest>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        ticket: Option<Digest>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        extends: Option<GrantId>,
        /// The device's OpenSSH public key, on an ssh target.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        ssh_key: Option<String>,
    },
    /// One person approved.
    #[serde(rename = "request.approved")]
    RequestApproved {
        duration_s: u32,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        note: Option<Digest>,
    },
    /// The approval that `person` gave before counts no more; the request needs another.
    #[serde(rename = "request.approval_voided")]
    ApprovalVoided { person: PersonId },
    /// Enough approved, or nobody had to. `latest_end` is when the access is over at the very latest.
    #[serde(rename = "request.granted")]
    RequestGranted { grant: GrantId, duration_s: u32, latest_end: Time },
    #[serde(rename = "request.denied")]
    RequestDenied {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        note: Option<Digest>,
    },
    #[serde(rename = "request.withdrawn")]
    RequestWithdrawn,
    #[serde(rename = "request.lapsed")]
    RequestLapsed,
    #[serde(rename = "grant.provisioning")]
    GrantProvisioning { grant: GrantId },
    /// The access is there. Its end is fixed.
    #[serde(rename = "grant.active")]
    GrantActive { grant: GrantId, starts_at: Time, ends_at: Time },
    /// A try to set up or to remove failed; it goes on.
    #[serde(rename = "grant.delayed")]
    GrantDelayed { grant: GrantId, attempts: u32, message: String },
    /// A new decision moved the end.
    #[serde(rename = "grant.extended")]
    GrantExtended { grant: GrantId, ends_at: Time, by_request: RequestId },
    #[serde(rename = "grant.ending")]
    GrantEnding {
        grant: GrantId,
        cause: EndCause,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<Digest>,
    },
    /// Gone from the target, and read back.
    #[serde(rename = "grant.ended")]
    GrantEnded { grant: GrantId, cause: EndCause, removal: Removal },
    /// It could not be set up, and nothing of it is left on the target.
    #[serde(rename = "grant.failed")]
    GrantFailed { grant: GrantId, removal: Removal },
    /// An access with our tag that no live grant explained was taken away. `groups` as in [`Found`].
    #[serde(rename = "access.removed")]
    AccessRemoved { target: String, grant: GrantId, removal: Removal, groups: Vec<String> },
    /// Access that no grant explains; again when what it holds changed.
    #[serde(rename = "drift.found")]
    DriftFound {
        drift: DriftId,
        #[serde(flatten)]
        found: Found,
    },
    /// Someone said that it is as it should be.
    #[serde(rename = "drift.known")]
    DriftKnown {
        drift: DriftId,
        reason: Digest,
        #[serde(flatten)]
        found: Found,
    },
    /// Someone took that back.
    #[serde(rename = "drift.unknown")]
    DriftUnknown {
        drift: DriftId,
        reason: Digest,
        #[serde(flatten)]
        found: Found,
    },
    /// The target no longer shows it.
    #[serde(rename = "drift.gone")]
    DriftGone {
        drift: DriftId,
        #[serde(flatten)]
        found: Found,
    },
}

impl Fact {
    /// The kind, as it stands in the event.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::CataloguePublished { .. } => "catalogue.published",
            Self::LogRecovered { .. } => "log.recovered",
            Self::PersonRecorded { .. } => "person.recorded",
            Self::DeviceEnrolled { .. } => "device.enrolled",
            Self::PersonRevoked { .. } => "person.revoked",
            Self::PersonErased { .. } => "person.erased",
            Self::DeviceDisabled { .. } => "device.disabled",
            Self::RequestCreated { .. } => "request.created",
            Self::RequestApproved { .. } => "request.approved",
            Self::ApprovalVoided { .. } => "request.approval_voided",
            Self::RequestGranted { .. } => "request.granted",
            Self::RequestDenied { .. } => "request.denied",
            Self::RequestWithdrawn => "request.withdrawn",
            Self::RequestLapsed => "request.lapsed",
            Self::GrantProvisioning { .. } => "grant.provisioning",
            Self::GrantActive { .. } => "grant.active",
            Self::GrantDelayed { .. } => "grant.delayed",
            Self::GrantExtended { .. } => "grant.extended",
            Self::GrantEnding { .. } => "grant.ending",
            Self::GrantEnded { .. } => "grant.ended",
            Self::GrantFailed { .. } => "grant.failed",
            Self::AccessRemoved { .. } => "access.removed",
            Self::DriftFound { .. } => "drift.found",
            Self::DriftKnown { .. } => "drift.known",
            Self::DriftUnknown { .. } => "drift.unknown",
            Self::DriftGone { .. } => "drift.gone",
        }
    }

    /// Whose members see an event that belongs to no request, beside admins and auditors; `None`: everybody, or those
    /// whom it is about.
    pub fn groups(&self) -> Option<&[String]> {
        match self {
            Self::AccessRemoved { groups, .. } => Some(groups),
            fact => fact.found().map(|found| found.groups.as_slice()),
        }
    }

    /// What drift this is about, as it was shown.
    pub fn found(&self) -> Option<&Found> {
        match self {
            Self::DriftFound { found, .. }
            | Self::DriftKnown { found, .. }
            | Self::DriftUnknown { found, .. }
            | Self::DriftGone { found, .. } => Some(found),
            _ => None,
        }
    }

    /// The digests of texts that stand with this fact, by field.
    pub fn digests(&self) -> Vec<(&'static str, &Digest)> {
        let found: [Option<(&'static str, &Digest)>; 2] = match self {
            Self::CataloguePublished { document, .. } => [document.as_ref().map(|d| ("document", d)), None],
            Self::PersonRecorded { details, .. } => [Some(("details", details)), None],
            Self::DeviceEnrolled { name, .. } => [Some(("name", name)), None],
            Self::PersonRevoked { reason, .. } => [Some(("reason", reason)), None],
            Self::RequestCreated { reason, ticket, .. } => {
                [reason.as_ref().map(|d| ("reason", d)), ticket.as_ref().map(|d| ("ticket", d))]
            }
            Self::RequestApproved { note, .. } | Self::RequestDenied { note } => {
                [note.as_ref().map(|d| ("note", d)), None]
            }
            Self::GrantEnding { reason, .. } => [reason.as_ref().map(|d| ("reason", d)), None],
            Self::DriftFound { found: Found { who: Who::Name(name), .. }, .. } => {
                [Some(("name", name)), None]
            }
            Self::DriftKnown { reason, .. } | Self::DriftUnknown { reason, .. } => {
                [Some(("reason", reason)), None]
            }
            _ => [None, None],
        };
        found.into_iter().flatten().collect()
    }
}
