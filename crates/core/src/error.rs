//! Why something was refused: a stable code for programs, a sentence for people.

use serde::{Deserialize, Serialize};
use ts_rs::TS;

macro_rules! codes {
    ($($(#[$doc:meta])* $variant:ident = $status:literal, $sentence:literal;)*) => {
        /// Stable codes; on the wire in snake_case. Never renamed, only added.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, TS)]
        #[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
        #[serde(rename_all = "snake_case")]
        #[ts(export)]
        pub enum Code { $($(#[$doc])* $variant,)* }

        impl Code {
            /// Every code, for documentation and tests.
            pub const ALL: &'static [Code] = &[$(Code::$variant),*];

            /// The HTTP status that carries this code.
            pub const fn status(self) -> u16 {
                match self { $(Code::$variant => $status,)* }
            }

            /// A sentence for people when nothing more is known.
            pub const fn sentence(self) -> &'static str {
                match self { $(Code::$variant => $sentence,)* }
            }
        }
    };
}

codes! {
    Malformed = 400, "The server could not read what was sent.";
    UnknownResource = 404, "There is no such resource.";
    UnknownRole = 404, "This resource has no such role.";
    NotFound = 404, "There is no such thing, or you may not see it.";
    NotAllowedToAsk = 403, "You are not in a group that may ask for this role.";
    DurationTooLong = 422, "That is longer than this role allows.";
    DurationTooShort = 422, "That is shorter than this role allows.";
    ReasonRequired = 422, "This role needs a reason.";
    TicketRequired = 422, "This role needs a ticket.";
    TicketMismatch = 422, "The ticket does not look like one this role accepts.";
    TextTooLong = 422, "The text is too long.";
    DigestMismatch = 400, "A text does not match the digest that was signed.";
    AlreadyDecided = 409, "This request is already decided.";
    DecidedTwice = 409, "You have already decided on this request.";
    SelfApproval = 403, "Nobody decides on their own request.";
    NotAnApprover = 403, "You may not decide on this request.";
    NotNeeded = 409, "The approval you could give is already given; another group has to approve.";
    StaleRevision = 409, "The request changed after it was shown to you.";
    Lapsed = 409, "The request lapsed before it was decided.";
    NotYours = 403, "Only the person who asked can do this.";
    MayNotRevoke = 403, "Only the approvers of this role and admins can end this access.";
    GrantNotActive = 409, "This access is not active.";
    GrantOver = 409, "This access has already ended.";
    NoCredential = 404, "There is no credential for this access.";
    WrongSignature = 401, "The signature does not match this device’s key.";
    UnknownDevice = 401, "The server does not know this device.";
    DeviceDisabled = 403, "This device was disabled.";
    ClockSkew = 401, "This computer’s clock is too far from the server’s.";
    IdReused = 409, "This id was already used for something else.";
    InviteUnknown = 404, "This invite is not known to the server.";
    InviteUsed = 409, "This invite was already used.";
    InviteEnded = 410, "This invite has ended; ask for a new one.";
    Unauthenticated = 401, "Sign in first.";
    TokenEnded = 401, "The session ended; sign in again.";
    NotAllowed = 403, "You may not do this.";
    BodyTooLarge = 413, "That is more than the server accepts.";
    RateLimited = 429, "Too many requests from this device; try again shortly.";
    NoApprovers = 422, "Nobody who could approve this is left; an admin has to change the catalogue.";
    DiskFull = 507, "The server cannot write: its disk is full. Nothing was changed.";
    LogHeld = 409, "The server’s log is older than what was seen of it. Nothing is written until whoever runs the server settles that.";
    Unavailable = 503, "The server cannot answer now. Try again in a moment: nothing is done twice.";
    Internal = 500, "Something went wrong in the server. Nothing was changed.";
    // Said by `/readyz` only.
    Starting = 503, "The server is starting; ask again in a moment.";
    Draining = 503, "The server is about to stop; ask again in a moment.";
    DatabaseAway = 503, "The server cannot reach its database; it goes on by itself once it can.";
    // What only a client can know.
    Unreachable = 0, "The server could not be reached.";
    CertificateMismatch = 0, "The server’s certificate does not match its address.";
    NotJoined = 0, "This profile has not joined a server; use an invite link.";
    AlreadyJoined = 0, "This profile has already joined a server.";
    NoKeyring = 0, "No keyring answers on this computer.";
    KeyringLocked = 0, "The keyring is locked.";
    CacheBroken = 0, "The local cache could not be opened.";
    NotVerified = 0, "The server’s log does not match what this device has seen.";
    CheckpointOld = 0, "The server shows an old signed head of its log, or none.";
    WaitedTooLong = 0, "Nothing was decided in the time to wait.";
}

impl std::fmt::Display for Code {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match serde_json::to_value(self) {
            Ok(serde_json::Value::String(s)) => f.write_str(&s),
            _ => f.write_str("internal"),
        }
    }
}

/// A refusal is a value: it says why nothing happened.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Refusal {
    pub code: Code,
    /// A sentence for the person, with the particulars.
    pub message: String,
}

impl Refusal {
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }
}

impl From<Code> for Refusal {
    fn from(code: Code) -> Self {
        Self { code, message: code.sentence().to_owned() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_snake_case_and_say_something() {
        for code in Code::ALL {
            let name = code.to_string();
            assert!(name.chars().all(|c| c.is_ascii_lowercase() || c == '_'), "{name}");
            assert!(code.sentence().ends_with('.'), "{name}");
        }
    }
}
