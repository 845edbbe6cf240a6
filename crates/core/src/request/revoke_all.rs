//! Ending everything of a person: they left, or lost a device. One decision about all there is, so that nothing can
//! stop half-way.

use super::{Request, Words};
use crate::directory::Directory;
use crate::error::{Code, Refusal};
use crate::event::Fact;
use crate::id::{DeviceId, GrantId, PersonId, RequestId};
use crate::text::Digest;
use crate::wire::{EndCause, GrantState, RequestState};

/// What there is of a person. More requests than theirs do no harm.
#[derive(Clone, Copy, Debug)]
pub struct Held<'a> {
    pub person: PersonId,
    pub requests: &'a [&'a Request],
    /// Their devices that are not disabled.
    pub devices: &'a [DeviceId],
}

/// What follows.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RevokedAll {
    /// In order, each with the request it belongs to.
    pub facts: Vec<(Option<RequestId>, Fact)>,
    /// Accesses whose ends come before all other work, also those that were ending already.
    pub urgent: Vec<GrantId>,
}

/// Ends everything of a person by `by`, an admin; `None` is an admin at the server's console. Their accesses end, their
/// devices are disabled, what they asked for is withdrawn, and what they approved of what is still undecided counts no
/// more. What was granted with their approval stays granted. To repeat it is to end what came since.
pub fn revoke_all(
    held: Held<'_>,
    by: Option<PersonId>,
    reason: &Digest,
    words: &Words,
    directory: &Directory,
) -> Result<RevokedAll, Refusal> {
    if by.is_some_and(|by| !directory.get(by).is_some_and(|p| p.admin)) {
        return Err(Refusal::new(Code::NotAllowed, "Only admins can end everything of a person."));
    }
    if words.reason.as_deref().is_none_or(|r| r.trim().is_empty()) {
        return Err(Refusal::new(Code::ReasonRequired, "Say why everything of this person is ended."));
    }
    let Held { person, requests, devices } = held;
    if directory.get(person).is_none() {
        return Err(Refusal::new(Code::NotFound, "There is no such person."));
    }
    let mut all = RevokedAll::default();
    all.facts.push((None, Fact::PersonRevoked { person, reason: reason.clone() }));
    all.facts.extend(devices.iter().map(|device| (None, Fact::DeviceDisabled { person, device: *device })));
    for request in requests {
        let about = Some(request.id);
        let pending = request.state == RequestState::Pending;
        if pending && request.by == person {
            all.facts.push((about, Fact::RequestWithdrawn));
        } else if pending && request.approvals.iter().any(|a| a.by == person) {
            all.facts.push((about, Fact::ApprovalVoided { person }));
        }
        let Some(grant) = request.grant.as_ref().filter(|g| request.by == person && !g.over()) else {
            continue;
        };
        if grant.state != GrantState::Ending {
            let (cause, reason) = (EndCause::Revoked, Some(reason.clone()));
            all.facts.push((about, Fact::GrantEnding { grant: grant.id, cause, reason }));
        }
        all.urgent.push(grant.id);
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::directory::Person;
    use uuid::Uuid;

    fn person(n: u128, admin: bool) -> Person {
        Person {
            id: PersonId(Uuid::from_u128(n)),
            handle: n.to_string(),
            name: n.to_string(),
            groups: Default::default(),
            auditor: !admin,
            admin,
        }
    }

    fn decide(person: u128, by: Option<u128>, reason: Option<&str>) -> Result<RevokedAll, Code> {
        let directory = Directory::new([self::person(1, true), self::person(2, false)]);
        let words = Words { reason: reason.map(str::to_owned), ..Words::default() };
        let device = DeviceId(Uuid::from_u128(7));
        let held = Held { person: PersonId(Uuid::from_u128(person)), requests: &[], devices: &[device] };
        let by = by.map(|by| PersonId(Uuid::from_u128(by)));
        revoke_all(held, by, &Digest::of(b"left"), &words, &directory).map_err(|r| r.code)
    }

    #[test]
    fn only_admins_and_the_console_may_and_they_say_why() {
        assert_eq!(decide(1, Some(2), Some("left")), Err(Code::NotAllowed));
        assert_eq!(decide(2, Some(1), Some(" ")), Err(Code::ReasonRequired));
        assert_eq!(decide(2, None, None), Err(Code::ReasonRequired));
        assert_eq!(decide(3, Some(1), Some("left")), Err(Code::NotFound));
        for by in [Some(1), None] {
            let kinds: Vec<&str> =
                decide(2, by, Some("left")).unwrap().facts.iter().map(|(_, f)| f.kind()).collect();
            assert_eq!(kinds, ["person.revoked", "device.disabled"]);
        }
    }
}
