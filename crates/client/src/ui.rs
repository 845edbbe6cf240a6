//! What the window asks of the client and gets back. Exported to TypeScript.

use gatepass_core::Time;
use gatepass_core::directory::Person;
use gatepass_core::error::Code;
use gatepass_core::id::{DeviceId, GrantId, RequestId};
use gatepass_core::text::Digest;
use gatepass_core::wire::{EventView, GrantView, Me, RequestView, Verdict};
use serde::{Deserialize, Serialize};
use ts_rs::TS;

macro_rules! ui {
    ($($(#[$meta:meta])* pub struct $name:ident { $($body:tt)* })*) => {
        $(
            #[derive(Clone, Debug, PartialEq, Serialize, Deserialize, TS)]
            #[ts(export)]
            $(#[$meta])*
            pub struct $name { $($body)* }
        )*
    };
}

ui! {
    /// Where this profile stands: who, which server, how fresh, what waits.
    pub struct Status {
        pub profile: String,
        pub version: String,
        /// Absent until a server was joined.
        pub me: Option<Me>,
        pub server_name: Option<String>,
        pub server_url: Option<String>,
        pub online: bool,
        /// Why it is offline, or why this device may not sign.
        pub problem: Option<Failure>,
        /// Server time of the last complete sync.
        #[ts(type = "string | null")]
        pub synced_at: Option<Time>,
        /// The log was checked against the server's head up to this position.
        #[ts(type = "number | null")]
        pub verified_to: Option<u64>,
        #[ts(type = "string | null")]
        pub verified_at: Option<Time>,
        /// The server's log contradicted what this device had seen; deciding is off.
        pub mismatch: bool,
        /// Server clock minus this computer's, milliseconds.
        #[ts(type = "number")]
        pub clock_offset_ms: i64,
        /// `keyring` or `file`
        pub keystore: String,
        /// The server runs inside this app ("Try on this machine").
        pub trial: bool,
        /// Requests that wait for this person's decision.
        pub to_review: u32,
        /// Accesses this person holds or will hold.
        pub active: u32,
        /// Accesses on targets that no grant explains and nobody marked as known, as far as this person may see them.
        pub drift: u32,
    }

    /// A refusal or failure as the window shows it.
    pub struct Failure {
        pub code: Code,
        pub message: String,
    }

    /// A decision in the making.
    pub struct DecisionDraft {
        pub request: RequestId,
        pub verdict: Verdict,
        /// Approve: not more than was asked for.
        pub duration_s: Option<u32>,
        /// Approve: optional. Deny: the reason, needed.
        pub note: Option<String>,
    }

    /// Exactly what will be signed. Sending it twice is one decision.
    pub struct Prepared {
        /// The command's id; give it to `send_prepared`.
        pub id: String,
        /// The canonical bytes under the signature, as text.
        pub bytes: String,
        pub digest: Digest,
        pub device_name: String,
        pub fingerprint: String,
        /// The access can't last longer than this if the decision is made now.
        #[ts(type = "string | null")]
        pub not_after: Option<Time>,
    }

    /// How to use an access; what is secret in it is fetched apart, and only when asked for.
    pub struct CredentialView {
        pub grant: GrantId,
        pub kind: String,
        /// The line to run, without any secret in it; empty where there is nothing to run.
        pub command: String,
        pub user: String,
        /// What else there is to know.
        pub lines: Vec<CredentialLine>,
        /// What to add to `~/.ssh/config`.
        pub config: Option<String>,
        /// What the secret is called, such as `Password`; absent where there is none.
        pub secret: Option<String>,
        #[ts(type = "string")]
        pub expires_at: Time,
    }

    pub struct CredentialLine {
        pub label: String,
        pub value: String,
    }

    pub struct EventQuery {
        /// Words, and `person:` `resource:` `kind:` `outcome:` `env:` `after:` `before:`.
        pub text: String,
        /// Only events below this position (for the next page).
        #[ts(type = "number | null")]
        pub before: Option<u64>,
        pub limit: u32,
    }

    pub struct EventPage {
        /// Newest first.
        pub items: Vec<EventView>,
        /// How many match in all.
        #[ts(type = "number")]
        pub total: u64,
    }

    pub struct EventDetail {
        pub event: EventView,
        /// The event's canonical JSON.
        pub raw: String,
        pub leaf: Digest,
        /// The signature of the command behind it; absent for what Gatepass did by itself.
        pub signature: Option<SignatureCheck>,
        /// The leaf was part of the tree whose root matched the server's.
        pub in_verified_tree: bool,
        #[ts(type = "number")]
        pub head_size: u64,
        pub head_root: Digest,
    }

    pub struct SignatureCheck {
        pub valid: bool,
        pub device_name: String,
        pub fingerprint: String,
    }

    /// What there is of a person that ending everything ends, as of the last sync.
    pub struct Holdings {
        pub person: Person,
        /// Not over yet.
        pub grants: Vec<GrantView>,
        /// Undecided requests that they made.
        pub requests: Vec<RequestView>,
        /// Undecided requests that they approved.
        pub approvals: Vec<RequestView>,
        /// Also those that are disabled already.
        pub devices: Vec<DeviceView>,
    }

    /// A device of a person.
    pub struct DeviceView {
        pub id: DeviceId,
        /// Absent when it was erased, or is not this person's to read.
        pub name: Option<String>,
        pub fingerprint: String,
        #[ts(type = "string")]
        pub enrolled_at: Time,
        pub disabled: bool,
    }

    pub struct RecentRole {
        pub resource: String,
        pub resource_name: String,
        pub role: String,
        pub role_name: String,
    }

    /// Kept per profile on this computer.
    #[serde(default)]
    pub struct Settings {
        pub notify_review: bool,
        pub notify_decided: bool,
        pub notify_ready: bool,
        pub notify_ending: bool,
        pub notify_ended: bool,
        pub autostart: bool,
        /// system, light or dark
        pub theme: String,
        /// small, normal or large
        pub text_size: String,
        pub single_letter_shortcuts: bool,
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            notify_review: true,
            notify_decided: true,
            notify_ready: true,
            notify_ending: true,
            notify_ended: true,
            autostart: false,
            theme: "system".to_owned(),
            text_size: "normal".to_owned(),
            single_letter_shortcuts: true,
        }
    }
}
