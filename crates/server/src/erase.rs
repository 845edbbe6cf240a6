//! Erasing a person at the server's console: what they are called and what they wrote goes, the log stays as it is.

use crate::Time;
use crate::people::Snapshot;
use crate::store::{Change, Erased, Position, Row, Store, StoreError};
use gatepass_core::directory::Person;
use gatepass_core::erase::{Erasing, HANDLE, is_erased};
use gatepass_core::event::{By, Event, Fact};
use gatepass_core::id::{EventId, PersonId, RequestId};
use gatepass_core::text::{Digest, SaltedText, Texts, visible};
use gatepass_core::wire::RequestState;
use rand::RngCore as _;
use rand::rngs::OsRng;
use serde::Serialize;
use uuid::Uuid;

/// What an erased person is called from then on.
const NAME: &str = "Erased person";
/// Read at once.
const STEP: usize = 2_000;
/// How often it is begun again because something of theirs changed meanwhile.
const TRIES: usize = 64;

/// What goes, as `erase --json` prints it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Gone {
    /// The handle until now.
    pub person: String,
    /// The handle from now on; none when nothing was done.
    pub now: Option<String>,
    /// Reasons, tickets, notes, and what they and their devices were called.
    pub texts: usize,
    pub devices: usize,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EraseError {
    #[error("there is no person “{0}”, expected the id they were invited with")]
    Unknown(String),
    /// The handle, and what they hold.
    #[error(
        "“{0}” still has {1}: end it first with “gatepass-server revoke-all --config FILE --reason … {0}”, and come back \
         when it is over"
    )]
    Holds(String, String),
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Erases the person, or only tells what would go. Safe beside a running server, which notices; without one it is as
/// good. Somebody erased before has nothing left.
pub async fn at_console(
    store: &dyn Store,
    handle: &str,
    dry_run: bool,
    now: Time,
) -> Result<Gone, EraseError> {
    let mut found: Option<Found> = None;
    for _ in 0..TRIES {
        let (people, devices) = store.people().await?;
        let people = Snapshot::new(people, devices);
        let known = people.directory.by_handle(handle);
        let known = known.ok_or_else(|| EraseError::Unknown(visible(handle)))?;
        if is_erased(handle) {
            return Ok(Gone { person: handle.to_owned(), ..Gone::default() });
        }
        let enabled = people.devices(known.id).filter(|d| !d.disabled).count();
        let voided = holds(store, known, enabled).await?;
        let mut look = found.take().filter(|f| f.person == known.id).unwrap_or_else(|| Found::of(known.id));
        look.read(store).await?;
        let devices = people.devices(known.id).count();
        let mut gone = Gone { person: handle.to_owned(), now: None, texts: look.texts, devices };
        if dry_run {
            return Ok(gone);
        }
        let (change, named) = change(&look, voided, now);
        match store.commit(change).await {
            Ok(_) => {
                gone.now = Some(named);
                return Ok(gone);
            }
            // Something came between; or, once in a long while, the handle is taken.
            Err(StoreError::Conflict) => found = Some(look),
            Err(error) => return Err(error.into()),
        }
    }
    Err(StoreError::Conflict.into())
}

/// Refuses while there is anything that has to end first. Answers the undecided requests of others on which an approval of
/// theirs counts no more.
async fn holds(store: &dyn Store, person: &Person, enabled: usize) -> Result<Vec<RequestId>, EraseError> {
    let (mut accesses, mut asked, mut approved, mut voided) = (0, 0, 0, Vec::new());
    for Row { request, .. } in store.held(person.id).await? {
        if request.by != person.id {
            match request.approvals.iter().any(|a| a.by == person.id) {
                true => approved += 1,
                false => voided.push(request.id),
            }
        } else if request.state == RequestState::Pending {
            asked += 1;
        } else {
            accesses += 1;
        }
    }
    let counted = [
        (accesses, "an access that is not over", "accesses that are not over"),
        (asked, "an undecided request", "undecided requests"),
        (approved, "an approval of an undecided request", "approvals of undecided requests"),
        (enabled, "an enabled device", "enabled devices"),
    ];
    let parts: Vec<String> = counted
        .into_iter()
        .filter(|(n, ..)| *n > 0)
        .map(|(n, one, more)| if n == 1 { one.to_owned() } else { format!("{n} {more}") })
        .collect();
    if parts.is_empty() {
        Ok(voided)
    } else {
        Err(EraseError::Holds(person.handle.clone(), parts.join(" and ")))
    }
}

/// The person's texts in the log as far as it was read.
struct Found {
    person: PersonId,
    erasing: Erasing,
    seen: u64,
    positions: Vec<Position>,
    texts: usize,
}

impl Found {
    fn of(person: PersonId) -> Self {
        Self { person, erasing: Erasing::of([person]), seen: 0, positions: Vec::new(), texts: 0 }
    }

    async fn read(&mut self, store: &dyn Store) -> Result<(), StoreError> {
        let id = self.person.to_string();
        loop {
            let slice = store.entries(self.seen, STEP).await?;
            let Some(last) = slice.entries.last().map(|e| e.seq) else { return Ok(()) };
            for entry in &slice.entries {
                let body = entry.body.get();
                // Few are about them: most need not be read. An end may carry the reason why everything ended.
                if !body.contains(&id) && !body.contains("\"grant.ending\"") {
                    continue;
                }
                let event: Event =
                    serde_json::from_str(body).map_err(|e| StoreError::Failed(e.to_string()))?;
                if self.erasing.takes(&event) {
                    self.positions.push(Position { seq: entry.seq, event: event.id });
                    self.texts += entry.texts.len();
                }
            }
            self.seen = last;
        }
    }
}

/// The event first, so that what stands after it about the person is not theirs any more.
fn change(found: &Found, voided: Vec<RequestId>, now: Time) -> (Change, String) {
    let person = found.person;
    let handle = neutral();
    let details = serde_json::json!({ "handle": handle, "name": NAME }).to_string();
    let mut salt = [0; 16];
    OsRng.fill_bytes(&mut salt);
    let details = SaltedText::new(salt, details);
    let digest = details.digest().unwrap_or_else(|| Digest::of(&[]));
    let event = |fact| Event {
        id: EventId(Uuid::now_v7()),
        at: now,
        by: By::Gatepass,
        request: None,
        fact,
        command: None,
    };
    let recorded = Fact::PersonRecorded {
        person,
        groups: Vec::new(),
        auditor: false,
        admin: false,
        details: digest.clone(),
    };
    let named = Person {
        id: person,
        handle: handle.clone(),
        name: NAME.to_owned(),
        groups: Default::default(),
        auditor: false,
        admin: false,
    };
    let change = Change {
        erased: Some(Erased { person, seen: found.seen, voided }),
        forgotten: found.positions.clone(),
        events: vec![event(Fact::PersonErased { person }), event(recorded)],
        texts: Texts::from([(digest, details)]),
        people: vec![named],
        ..Change::default()
    };
    (change, handle)
}

/// A handle that says nothing. Letters and digits that are not taken for one another.
fn neutral() -> String {
    const LETTERS: &[u8; 32] = b"23456789abcdefghijkmnpqrstuvwxyz";
    let mut random = [0; 4];
    OsRng.fill_bytes(&mut random);
    let letters: String = random.iter().map(|b| char::from(LETTERS[usize::from(b % 32)])).collect();
    format!("{HANDLE}{letters}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_neutral_handle_is_told_from_a_persons() {
        let handle = neutral();
        assert_eq!(handle.len(), HANDLE.len() + 4);
        assert!(is_erased(&handle) && !is_erased("erasmus"));
    }
}
