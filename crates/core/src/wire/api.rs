//! What only server and client exchange; the window never sees these.

use crate::Time;
use crate::catalogue::Catalogue;
use crate::directory::Person;
use crate::event::Event;
use crate::id::{DeviceId, GrantId};
use crate::retention::Retention;
use crate::text::{Digest, SaltedText};
use crate::wire::{DriftView, GrantView, Head, RequestView};
use serde::{Deserialize, Serialize};

macro_rules! inner {
    ($($(#[$meta:meta])* pub struct $name:ident { $($body:tt)* })*) => {
        $(
            $(#[$meta])*
            #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
            #[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
            pub struct $name { $($body)* }
        )*
    };
}

inner! {
    /// A command as it was signed: the exact body, and the signature over
    /// `"gatepass/v1 <kind>\n" || JCS(body)`, Ed25519, base64.
    pub struct SignedCommand {
        /// Parsed as [`crate::command::Body`]; kept as sent, since these are the signed bytes.
        pub body: serde_json::Value,
        pub signature: String,
    }

    /// What a write sends: the signed command and the texts behind its digests.
    pub struct Submit {
        pub command: SignedCommand,
        #[serde(default)]
        pub texts: Vec<SaltedText>,
    }

    /// The answer to every write.
    pub struct Accepted {
        pub request: RequestView,
        pub grant: Option<GrantView>,
        pub head: Head,
    }

    /// The answer to marking drift.
    pub struct Marked {
        pub drift: DriftView,
        pub head: Head,
    }

    pub struct Enrolled {
        pub person: Person,
        pub device: DeviceId,
        /// The server's name; the origin of its log.
        pub server: String,
        /// The verifier key of its log, `<origin>+<id>+<key>` (C2SP signed-note): whoever joins keeps it.
        #[serde(default)]
        pub log_key: String,
    }

    pub struct Challenge {
        /// Random, base64; good for one sign-in within a minute.
        pub challenge: String,
        pub now: Time,
    }

    pub struct Session {
        pub token: String,
        pub expires_at: Time,
        pub now: Time,
    }

    /// One position of the log for one reader: everybody gets the leaf hash, the entitled the event.
    pub struct Entry {
        pub seq: u64,
        /// RFC 6962 leaf hash, hex.
        pub leaf: Digest,
        pub event: Option<Event>,
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        pub texts: Vec<SaltedText>,
    }

    /// A page of the log after a cursor.
    pub struct LogPage {
        pub entries: Vec<Entry>,
        /// The head at the time of the answer, which may be past the last entry.
        pub head: Head,
        /// The newest signed head, a C2SP checkpoint: up to a second older than `head`, or as new. Absent while the log
        /// is held.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub checkpoint: Option<String>,
        pub now: Time,
        /// Changes when the catalogue does: pull it again.
        pub catalogue: Digest,
        /// Changes when people or groups do: pull them again.
        pub directory: Digest,
        /// Changes when what this reader may see does: pull everything again.
        pub scope: Digest,
        /// How long texts are kept: whoever keeps a copy deletes them there too.
        #[serde(default, skip_serializing_if = "Retention::is_empty")]
        pub retention: Retention,
    }

    /// The catalogue with its hash, for views and the request form.
    pub struct CatalogueDocument {
        pub hash: Digest,
        pub catalogue: Catalogue,
    }

    pub struct PeopleDocument {
        pub hash: Digest,
        pub people: Vec<Person>,
    }

    /// The secret of a grant, sealed to the device that asked (libsodium sealed box, base64).
    pub struct SealedCredential {
        pub grant: GrantId,
        pub sealed: String,
        pub expires_at: Time,
    }

}

/// A page of a list.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Page<T> {
    pub items: Vec<T>,
    /// Give it back as `after` for the next page; absent on the last.
    pub next: Option<String>,
}

/// What a sealed credential holds, once opened.
#[derive(Clone, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum Secret {
    /// A libpq URL with the password in it.
    Postgres { url: String },
    /// `mysql://USER:PASSWORD@HOST:PORT/DATABASE`
    Mariadb { url: String },
    /// No secret: what the device's own key was certified with.
    Ssh {
        /// One line: `ssh-ed25519-cert-v01@openssh.com AAAA…`.
        certificate: String,
        /// `HOST` or `HOST:PORT`, as the target has them.
        hosts: Vec<String>,
        /// Who to log in as.
        user: String,
    },
    /// No secret: the groups whose member the person became.
    Ldap { groups: Vec<String> },
    /// Whatever the webhook answered to `provision`.
    Webhook { details: serde_json::Value },
    /// Whatever the program answered to `provision`.
    Command { details: serde_json::Value },
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// What joining sends: the signed [`crate::command::Enroll`], the invite's code and the device's name.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct EnrollSubmit {
    pub command: SignedCommand,
    pub code: String,
    pub name: SaltedText,
}
