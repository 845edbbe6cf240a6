//! Who there is, and ending everything of one of them.

use crate::cache::blocking;
use crate::client::Client;
use crate::ui::{Failure, Holdings};
use crate::writes::Texts;
use gatepass_core::Code;
use gatepass_core::command::Command;
use gatepass_core::directory::Person;
use gatepass_core::id::PersonId;
use gatepass_core::wire::RevokedView;

impl Client {
    /// Everybody, by name, as of the last sync.
    pub async fn people(&self) -> Result<Vec<Person>, Failure> {
        let joined = self.joined()?;
        let documents = blocking(&joined.cache, |cache| cache.documents()).await?;
        let mut people: Vec<Person> =
            documents.map_or_else(Vec::new, |d| d.directory.people().cloned().collect());
        people.sort_by(|a, b| (&a.name, &a.handle).cmp(&(&b.name, &b.handle)));
        Ok(people)
    }

    /// What there is of a person, as of the last sync.
    pub async fn holdings(&self, person: PersonId) -> Result<Holdings, Failure> {
        let joined = self.joined()?;
        let now = joined.api.now();
        let held = blocking(&joined.cache, move |cache| cache.holdings(person, now)).await?;
        held.ok_or_else(|| Failure::new(Code::NotFound, "There is no such person."))
    }

    /// Ends everything of a person; the reason is needed.
    pub async fn revoke_all(&self, person: PersonId, reason: &str) -> Result<RevokedView, Failure> {
        let joined = self.joined()?;
        let mut texts = Texts::default();
        let reason = texts.add(Some(reason))?.ok_or_else(|| {
            Failure::new(Code::ReasonRequired, "Say why everything of this person is ended.")
        })?;
        let post = async |submit| joined.api.revoke_all(person, &submit).await;
        let answer = joined.send(Command::RevokeAll { person, reason }, texts, post).await;
        if let Ok(revoked) = &answer {
            joined.api.heard_of(revoked.head.size);
        }
        let revoked = self.heard(answer)?;
        self.0.kick.notify_one();
        Ok(revoked)
    }
}
