//! What the window asks of the client and gets back. Exported to TypeScript.

use gatepass_core::Time;
use gatepass_core::directory::Person;
use gatepass_core::error::Code;
use gatepass_core::id::{DeviceId, GrantId, RequestId};
use gatepass_core::text::Digest;
use gatepass_core::wire::{EventView, GrantView, Head, Me, PersonRef, Removal, RequestView, Verdict};
use serde::{Deserialize, Serialize};
use ts_rs::TS;

pub use crate::search::{EventMap, EventMark, EventPlace, EventSlice, SavedSearch};

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
        /// Words, and `person:` `resource:` `role:` `kind:` `outcome:` `env:` `after:` `before:`; `-` before what must not be.
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
        /// There may be more, older ones: words in a row were looked for in the newest events that hold them all.
        pub capped: bool,
    }

    pub struct EventDetail {
        pub event: EventView,
        /// The event's canonical JSON.
        pub raw: String,
        pub leaf: Digest,
        /// The signature of the command behind it; absent for what Gatepass did by itself.
        pub signature: Option<SignatureCheck>,
        /// The event hashes to its leaf, and the leaf leads to the head below, which was checked.
        pub in_verified_tree: bool,
        /// The head that `proof` leads to: the signed one where it has this position already, else the newest that was
        /// checked.
        #[ts(type = "number")]
        pub head_size: u64,
        pub head_root: Digest,
        /// From the leaf up; empty when this position was not checked yet, and in a tree of one event.
        pub proof: Vec<ProofStep>,
        /// The proof was recomputed for this answer and led to the head.
        pub proof_holds: bool,
        /// The signed note of the head; absent when the head is newer than the last signed one.
        pub checkpoint: Option<String>,
        /// The key of the log that this device keeps, `<origin>+<id>+<key>`.
        pub log_key: Option<String>,
        /// The rule its request was made under.
        pub rule: Option<RuleView>,
        /// What was read back from the target when its access ended.
        pub removal: Option<Removal>,
        /// Its request's events, oldest first, as far as this person may read them; itself alone when it has none.
        pub story: Vec<EventView>,
    }

    /// One hash on the way up from a leaf.
    pub struct ProofStep {
        pub hash: Digest,
        /// It is the left one of the two that are hashed together.
        pub left: bool,
    }

    pub struct SignatureCheck {
        pub valid: bool,
        pub device_name: String,
        /// Of the device's key.
        pub fingerprint: String,
        /// What was signed: `request.decide`, `device.enroll`, …
        pub kind: String,
        pub person: Option<PersonRef>,
        pub device: DeviceId,
        /// By the device, in the server's time as it knew it.
        #[ts(type = "string | null")]
        pub signed_at: Option<Time>,
        /// A decision's digest of what was shown to the person.
        pub shown: Option<Digest>,
        /// Whether that is the digest of what was asked.
        pub shown_matches: Option<bool>,
        /// The last head of the log that the device had checked when it signed.
        pub head: Option<Head>,
        /// Whether the log had that root at that size; absent when this copy does not reach so far.
        pub head_holds: Option<bool>,
    }

    /// A rule as it was frozen into a request.
    pub struct RuleView {
        /// The version of the catalogue.
        pub catalogue: Digest,
        /// Where in the log, and when, that version came into force.
        #[ts(type = "number | null")]
        pub published_seq: Option<u64>,
        #[ts(type = "string | null")]
        pub published_at: Option<Time>,
        /// It is the version in force now.
        pub current: bool,
        pub resource: String,
        pub role: String,
        pub target: String,
        /// Kind of the target: postgres, mariadb, ssh, ldap, webhook, command.
        pub kind: String,
        pub grants: Vec<String>,
        /// Groups whose members may ask.
        pub ask: Vec<String>,
        pub approve: Vec<RuleNeed>,
        pub max_s: u32,
        /// The role as that version of the catalogue has it, JSON; absent when the version is not in this copy.
        pub source: Option<String>,
    }

    /// So many different people from any of these groups.
    pub struct RuleNeed {
        pub from: Vec<String>,
        pub count: u32,
    }

    /// What checking the local copy of the log came to.
    pub struct VerifyReport {
        /// Everything from the first event on; otherwise only what came after `from`.
        pub full: bool,
        /// What came before was checked earlier, while this program ran.
        #[ts(type = "number")]
        pub from: u64,
        /// Positions up to which it was checked.
        #[ts(type = "number")]
        pub size: u64,
        pub root: Digest,
        /// The size of the last head the log signed, which the tree agreed with; absent when there is none.
        #[ts(type = "number | null")]
        pub signed_size: Option<u64>,
        /// Of all that was checked since `full` was last set: positions whose event this person may read, and what is in
        /// them.
        #[ts(type = "number")]
        pub events: u64,
        #[ts(type = "number")]
        pub signatures: u64,
        #[ts(type = "number")]
        pub decisions: u64,
        #[ts(type = "number")]
        pub grants: u64,
        #[ts(type = "number")]
        pub ended: u64,
        /// The first thing that does not hold.
        pub finding: Option<VerifyFinding>,
        /// It was stopped before its end.
        pub cancelled: bool,
    }

    pub struct VerifyFinding {
        /// Absent when it is not about one position.
        #[ts(type = "number | null")]
        pub seq: Option<u64>,
        /// The rule of docs/log-format.md that does not hold.
        pub rule: String,
        pub message: String,
    }

    /// How far a check under way is.
    pub struct VerifyProgress {
        #[ts(type = "number")]
        pub done: u64,
        #[ts(type = "number")]
        pub total: u64,
    }

    /// The log contradicted what this device had seen: both sides.
    pub struct MismatchView {
        #[ts(type = "string")]
        pub at: Time,
        /// A sentence for people.
        pub what: String,
        /// What kind of contradiction: see docs/cli.md.
        pub rule: String,
        /// The first position that is known to differ.
        #[ts(type = "number | null")]
        pub seq: Option<u64>,
        /// The leaf this device has there, and the one the server gave.
        pub kept_leaf: Option<Digest>,
        pub given_leaf: Option<Digest>,
        /// The head that held, and the one that contradicts it.
        pub seen: Option<Head>,
        pub got: Option<Head>,
        /// Both as the log signed them.
        pub seen_note: Option<String>,
        pub got_note: Option<String>,
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
