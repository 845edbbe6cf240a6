//! Whether what was signed is what an event says happened.

use gatepass_core::command::{Command, Enroll};
use gatepass_core::event::{Event, Fact};
use gatepass_core::id::PersonId;
use gatepass_core::text::Digest;
use gatepass_core::wire::{EndCause, Verdict};

/// Whether the event is the one that the command caused. Ending everything of a person causes several: [`follows`].
pub fn stands_for(command: &Command, event: &Event) -> bool {
    match (command, &event.fact) {
        (
            Command::Create { resource, role, duration_s, reason, ticket, ssh_key },
            Fact::RequestCreated {
                resource: r,
                role: o,
                duration_s: d,
                reason: why,
                ticket: t,
                extends: None,
                ssh_key: key,
                ..
            },
        ) => {
            let same = resource == r && role == o && duration_s == d && (key.is_none() || key == ssh_key);
            same && reason == why && ticket == t
        }
        (
            Command::Extend { grant, duration_s, reason },
            Fact::RequestCreated {
                duration_s: d,
                reason: why,
                extends: Some(of),
                ticket: None,
                ssh_key: None,
                ..
            },
        ) => grant == of && duration_s == d && reason == why,
        (
            Command::Decide { request, verdict: Verdict::Approve, duration_s, note, .. },
            Fact::RequestApproved { duration_s: d, note: n },
        ) => Some(*request) == event.request && duration_s.is_none_or(|s| s == *d) && note == n,
        (Command::Decide { request, verdict: Verdict::Deny, note, .. }, Fact::RequestDenied { note: n }) => {
            Some(*request) == event.request && note == n
        }
        (Command::Withdraw { request }, Fact::RequestWithdrawn) => Some(*request) == event.request,
        (
            Command::Return { grant },
            Fact::GrantEnding { grant: g, cause: EndCause::Returned, reason: None },
        ) => grant == g,
        (
            Command::Revoke { grant, reason },
            Fact::GrantEnding { grant: g, cause: EndCause::Revoked, reason: r },
        ) => grant == g && r.as_ref() == Some(reason),
        (Command::RevokeAll { person, reason }, Fact::PersonRevoked { person: p, reason: r }) => {
            person == p && reason == r
        }
        (Command::DriftKnown { drift, reason, .. }, Fact::DriftKnown { drift: of, reason: why, .. })
        | (Command::DriftUnknown { drift, reason, .. }, Fact::DriftUnknown { drift: of, reason: why, .. }) => {
            drift == of && reason == why
        }
        _ => false,
    }
}

/// Whether the fact is one that follows from ending everything of `person` for this reason. `asker` is who made the
/// request it belongs to; `None` where that is not known, which nothing is held against.
pub fn follows(person: PersonId, reason: &Digest, fact: &Fact, asker: Option<PersonId>) -> bool {
    let theirs = asker.is_none_or(|asker| asker == person);
    match fact {
        Fact::DeviceDisabled { person: p, .. } | Fact::ApprovalVoided { person: p } => *p == person,
        Fact::GrantEnding { cause: EndCause::Revoked, reason: why, .. } => {
            why.as_ref() == Some(reason) && theirs
        }
        Fact::RequestWithdrawn => theirs,
        _ => false,
    }
}

/// Whether the fact is the enrolment that was signed.
pub fn enrols(body: &Enroll, fact: &Fact) -> bool {
    let Fact::DeviceEnrolled { device, signing_key, seal_key, name, .. } = fact else { return false };
    body.device == *device
        && body.signing_key == *signing_key
        && body.seal_key == *seal_key
        && body.name == *name
}
