//! What a person is shown: views, previews, problems. Exported to TypeScript.

use crate::Time;
use crate::directory::Person;
use crate::error::Code;
use crate::id::{DeviceId, DriftId, EventId, GrantId, PersonId, RequestId};
use crate::text::Digest;
use crate::wire::{DriftState, EndCause, GrantState, RequestState, Verdict};
use serde::{Deserialize, Serialize};
use ts_rs::TS;

macro_rules! wire {
    ($($(#[$meta:meta])* pub struct $name:ident { $($body:tt)* })*) => {
        $(
            $(#[$meta])*
            #[derive(Clone, Debug, PartialEq, Serialize, Deserialize, TS)]
            #[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
            #[ts(export)]
            pub struct $name { $($body)* }
        )*
    };
}

wire! {
    /// What was read back from the target after a removal.
    pub struct Removal {
        /// The time of the read-back, by the server's clock.
        #[ts(type = "string")]
        pub checked_at: Time,
        /// Open sessions that were ended.
        pub sessions_ended: u32,
        /// Tries it took, 1 when the first succeeded.
        pub attempts: u32,
    }

    /// A person, as shown.
    pub struct PersonRef {
        pub id: PersonId,
        pub handle: String,
        pub name: String,
    }

    /// One approval that was given.
    pub struct Given {
        pub by: PersonRef,
        #[ts(type = "string")]
        pub at: Time,
        pub note: Option<String>,
        pub duration_s: u32,
    }

    /// One need of a request: `count` distinct people from any of `from`.
    pub struct Need {
        pub from: Vec<String>,
        pub count: u32,
        pub given: Vec<Given>,
        /// Who could still give it; never the person who asked.
        pub candidates: Vec<PersonRef>,
        /// Whether the viewer is one of the candidates.
        pub yours: bool,
    }

    /// A request as one viewer sees it.
    pub struct RequestView {
        pub id: RequestId,
        /// `R-3187`
        pub number: String,
        pub state: RequestState,
        pub resource: String,
        pub resource_name: String,
        pub environment: String,
        /// Kind of the target: postgres, mariadb, ssh, ldap, webhook, command.
        pub kind: String,
        pub role: String,
        pub role_name: String,
        /// What the role gives on the target.
        pub grants: Vec<String>,
        /// The handle of who asked.
        pub by: String,
        pub by_name: String,
        pub by_id: PersonId,
        pub reason: Option<String>,
        pub ticket: Option<String>,
        pub duration_s: u32,
        /// The shortest time any approver allowed so far.
        pub allowed_s: u32,
        #[ts(type = "string")]
        pub created_at: Time,
        #[ts(type = "string")]
        pub lapses_at: Time,
        #[ts(type = "string | null")]
        pub decided_at: Option<Time>,
        /// Who denied it, and what they said.
        pub denied_by: Option<Given>,
        pub revision: u32,
        /// The digest of what was asked, as a decision signs it.
        pub shown: Digest,
        pub catalogue: Digest,
        /// The grant this request would extend.
        pub extends: Option<GrantId>,
        pub needs: Vec<Need>,
        /// Whether the viewer may decide now.
        pub can_decide: bool,
        /// Whether the viewer's approval would be the last one needed.
        pub last_approval: bool,
        /// Whether the viewer asked.
        pub mine: bool,
        pub my_verdict: Option<Verdict>,
        pub grant: Option<GrantId>,
    }

    /// An access as one viewer sees it.
    pub struct GrantView {
        pub id: GrantId,
        pub request: RequestId,
        pub number: String,
        pub state: GrantState,
        pub resource: String,
        pub resource_name: String,
        pub environment: String,
        pub kind: String,
        pub role: String,
        pub role_name: String,
        pub by: String,
        pub by_name: String,
        pub by_id: PersonId,
        /// Names of those who approved; empty when the catalogue grants it at once.
        pub approved_by: Vec<String>,
        pub duration_s: u32,
        /// The longest the role allows, for extending.
        pub max_s: u32,
        #[ts(type = "string | null")]
        pub starts_at: Option<Time>,
        #[ts(type = "string | null")]
        pub ends_at: Option<Time>,
        pub end: Option<EndCause>,
        /// Who gave it back or ended it early.
        pub ended_by: Option<String>,
        pub end_reason: Option<String>,
        #[ts(type = "string | null")]
        pub ended_at: Option<Time>,
        pub removal: Option<Removal>,
        /// Set while setting up or removing fails: tries so far and what the target said.
        pub trouble: Option<Trouble>,
        pub mine: bool,
        /// Whether the viewer may end it.
        pub can_revoke: bool,
        /// The pending request to extend it, if any.
        pub extension: Option<RequestId>,
    }

    /// Access that no grant explains, as one viewer sees it.
    pub struct DriftView {
        pub id: DriftId,
        pub revision: u32,
        pub state: DriftState,
        pub target: String,
        /// Kind of the target: postgres, mariadb, ssh, ldap, webhook, command.
        pub kind: String,
        /// What it is called on the target; absent when it was erased, and when it stands for `more`.
        pub name: Option<String>,
        /// Stands for about so many that are not told by name.
        pub more: Option<u32>,
        /// Which entitlements it holds there.
        pub grants: Vec<String>,
        /// The resources whose roles give them: `orders-db`.
        pub resources: Vec<String>,
        pub resource_names: Vec<String>,
        pub environment: String,
        #[ts(type = "string")]
        pub found_at: Time,
        /// When what it holds last changed.
        #[ts(type = "string")]
        pub changed_at: Time,
        /// Who said that it is as it should be, and why.
        pub known: Option<DriftKnown>,
        #[ts(type = "string | null")]
        pub gone_at: Option<Time>,
        /// Whether the viewer may mark it.
        pub can_mark: bool,
    }

    pub struct DriftKnown {
        pub by: PersonRef,
        #[ts(type = "string")]
        pub at: Time,
        /// Absent when it was erased.
        pub reason: Option<String>,
    }

    /// What came of ending everything of a person, as it stands now.
    pub struct RevokedView {
        pub person: PersonRef,
        /// Their accesses that are not over: each ends at once, and is gone when it was read back from its target.
        pub grants: Vec<GrantView>,
        /// So many devices of theirs are disabled.
        pub devices: u32,
        pub head: Head,
    }

    pub struct Trouble {
        pub attempts: u32,
        pub message: String,
        #[ts(type = "string")]
        pub since: Time,
    }

    /// One piece of a sentence; facts are strong, the glue is not.
    pub struct Part {
        pub text: String,
        pub strong: bool,
    }

    /// An event as shown in Audit.
    pub struct EventView {
        /// Position in the log, from 1.
        #[ts(type = "number")]
        pub seq: u64,
        pub id: EventId,
        #[ts(type = "string")]
        pub at: Time,
        /// `request.approved`, `grant.ended`, …
        pub kind: String,
        /// The handle of the person, or `gatepass`.
        pub by: String,
        pub by_name: String,
        pub sentence: String,
        pub parts: Vec<Part>,
        pub request: Option<RequestId>,
        /// `R-3187`
        pub number: Option<String>,
        pub resource: Option<String>,
        pub role: Option<String>,
        /// Texts of this event by their field: reason, ticket, note.
        #[ts(type = "Record<string, string>")]
        pub texts: std::collections::BTreeMap<String, String>,
        /// When its texts were erased with all that was known of a person.
        #[ts(type = "string | null")]
        pub erased_at: Option<Time>,
        /// Until when its texts are kept; once past, and the texts not here any more, they were kept for long enough.
        #[ts(type = "string | null")]
        pub kept_until: Option<Time>,
    }

    /// The newest position of the log and the root over all leaves up to it (RFC 6962), in hex.
    pub struct Head {
        #[ts(type = "number")]
        pub size: u64,
        pub root: Digest,
    }

    /// What is wrong with what would be sent.
    pub struct Problem {
        pub code: Code,
        /// The field it is about: resource, role, duration, reason or ticket.
        pub field: String,
        pub message: String,
    }

    /// What would happen if this were sent.
    pub struct Preview {
        /// Whether it would be accepted.
        pub allowed: bool,
        pub problems: Vec<Problem>,
        pub needs: Vec<Need>,
        /// Nobody has to approve.
        pub at_once: bool,
        pub grants: Vec<String>,
        pub duration_s: u32,
        #[ts(type = "string | null")]
        pub lapses_at: Option<Time>,
        pub catalogue: Digest,
    }

    /// The unsigned question behind a preview; texts are not kept.
    pub struct Ask {
        pub resource: String,
        pub role: String,
        pub duration_s: u32,
        #[serde(default)]
        pub reason: Option<String>,
        #[serde(default)]
        pub ticket: Option<String>,
        /// Set when asking to extend this grant instead.
        #[serde(default)]
        pub extends: Option<GrantId>,
    }

    /// A resource in the catalogue, as offered to one person.
    pub struct ResourceView {
        pub id: String,
        pub name: String,
        pub environment: String,
        pub kind: String,
        pub roles: Vec<RoleView>,
    }

    pub struct RoleView {
        pub id: String,
        pub name: String,
        pub grants: Vec<String>,
        pub default_s: u32,
        pub min_s: u32,
        pub max_s: u32,
        pub reason_required: bool,
        /// The pattern a ticket must match, if one is needed.
        pub ticket: Option<String>,
        /// Nobody has to approve.
        pub at_once: bool,
        /// Whether the viewer may ask.
        pub may_ask: bool,
    }

    /// Who is signed in, and on what.
    pub struct Me {
        pub person: Person,
        pub device: DeviceId,
        pub device_name: String,
        /// First bytes of the SHA-256 of the device's public key, `7d:1a:c4:9e`.
        pub device_fingerprint: String,
        pub server: String,
    }

    /// RFC 9457 problem details with a stable code.
    pub struct ProblemDetails {
        #[serde(rename = "type")]
        pub kind: String,
        pub title: String,
        pub status: u16,
        pub code: Code,
        pub detail: String,
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        pub problems: Vec<Problem>,
    }
}
