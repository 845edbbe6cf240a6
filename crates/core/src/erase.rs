//! Which texts tell of a person: for erasing them, on the server and wherever a copy is.

use crate::event::{Event, Fact};
use crate::id::PersonId;
use crate::text::Digest;
use std::collections::BTreeSet;

/// How the handle of somebody who was erased begins. Nobody else is given one like it.
pub const HANDLE: &str = "erased-";

/// Whether this is the handle of somebody who was erased.
pub fn is_erased(handle: &str) -> bool {
    handle.starts_with(HANDLE)
}

/// Whose texts stand with an event: who wrote them, and whom they are about. What they are called, or why everything of
/// theirs ended, is theirs whoever wrote it.
pub fn whose(event: &Event) -> impl Iterator<Item = PersonId> {
    [event.by.person(), about(&event.fact)].into_iter().flatten()
}

fn about(fact: &Fact) -> Option<PersonId> {
    match fact {
        Fact::PersonRecorded { person, .. }
        | Fact::DeviceEnrolled { person, .. }
        | Fact::PersonRevoked { person, .. } => Some(*person),
        _ => None,
    }
}

/// Finds what is to be erased of people, event by event in the order of the log.
#[derive(Clone, Debug)]
pub struct Erasing {
    people: BTreeSet<PersonId>,
    /// Of texts that go: the same text may stand with several events, as the reason why everything ended does.
    digests: BTreeSet<Digest>,
}

impl Erasing {
    pub fn of(people: impl IntoIterator<Item = PersonId>) -> Self {
        Self { people: people.into_iter().collect(), digests: BTreeSet::new() }
    }

    /// Whether the texts of this event go.
    pub fn takes(&mut self, event: &Event) -> bool {
        let digests = event.fact.digests();
        let theirs = whose(event).any(|person| self.people.contains(&person));
        if theirs {
            self.digests.extend(digests.iter().map(|(_, digest)| (*digest).clone()));
        }
        !digests.is_empty() && (theirs || digests.iter().any(|(_, digest)| self.digests.contains(digest)))
    }

    /// The digests of all texts that go, of the events seen so far.
    pub fn digests(&self) -> impl Iterator<Item = &Digest> {
        self.digests.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Time;
    use crate::event::By;
    use crate::id::{DeviceId, EventId, GrantId, RequestId};
    use crate::wire::EndCause;
    use uuid::Uuid;

    fn event(by: Option<u128>, fact: Fact) -> Event {
        let by = by.map_or(By::Gatepass, |n| By::Person {
            person: PersonId(Uuid::from_u128(n)),
            device: DeviceId(Uuid::from_u128(n)),
        });
        let request = Some(RequestId(Uuid::from_u128(9)));
        Event { id: EventId(Uuid::from_u128(1)), at: Time::default(), by, request, fact, command: None }
    }

    #[test]
    fn what_they_wrote_and_what_they_are_called_goes_and_nothing_of_others() {
        let tomas = PersonId(Uuid::from_u128(1));
        let noor = PersonId(Uuid::from_u128(2));
        let digest = |n: u8| Digest::of(&[n]);
        let denied = |n| Fact::RequestDenied { note: Some(digest(n)) };
        let recorded = |person, n| Fact::PersonRecorded {
            person,
            groups: Vec::new(),
            auditor: false,
            admin: false,
            details: digest(n),
        };
        let ending = |n| Fact::GrantEnding {
            grant: GrantId(Uuid::nil()),
            cause: EndCause::Revoked,
            reason: Some(digest(n)),
        };
        let mut erasing = Erasing::of([tomas]);
        for (event, goes) in [
            (event(Some(1), denied(1)), true),
            (event(Some(2), denied(2)), false),
            (event(None, recorded(tomas, 3)), true),
            (event(None, recorded(noor, 4)), false),
            (event(Some(2), Fact::PersonRevoked { person: tomas, reason: digest(5) }), true),
            (event(None, ending(5)), true),
            (event(None, ending(6)), false),
            (event(Some(1), Fact::RequestWithdrawn), false),
        ] {
            assert_eq!(erasing.takes(&event), goes, "{event:?}");
        }
        assert_eq!(erasing.digests().count(), 3);
    }
}
