//! People, their devices, and the catalogue.

use super::read::{Said, key};
use super::world::{Device, Fault, Held, Published, World, fault, hold};
use gatepass_core::catalogue::Catalogue;
use gatepass_core::directory::Person;
use gatepass_core::event::{By, Event, Fact};
use gatepass_core::id::{DeviceId, PersonId};
use gatepass_core::text::{Digest, SaltedText};
use std::sync::Arc;

impl World {
    pub(super) fn people_event(
        &mut self,
        event: &Event,
        said: Option<&Said<'_>>,
        texts: &[SaltedText],
    ) -> Held {
        match &event.fact {
            Fact::CataloguePublished { catalogue, document } => {
                let catalogue =
                    Published { hash: catalogue.clone(), catalogue: read(catalogue, document, texts)? };
                let before = self.published.replace(catalogue);
                self.superseded = before.map(|before| (event.at, before));
                Ok(())
            }
            Fact::PersonRecorded { person, groups, auditor, admin, .. } => {
                let person = Person {
                    id: *person,
                    handle: String::new(),
                    name: String::new(),
                    groups: groups.iter().cloned().collect(),
                    auditor: *auditor,
                    admin: *admin,
                };
                self.record(event.at, person);
                Ok(())
            }
            Fact::PersonErased { person } => self.person(*person).map(|_| ()),
            Fact::DeviceEnrolled { person, device, signing_key, .. } => {
                self.enrolled(event.by, *person, *device, signing_key)
            }
            Fact::PersonRevoked { person, reason } => {
                self.person(*person)?;
                if let Some(by) = event.by.person() {
                    let admin = self.people(event.at, |d| d.get(by).is_some_and(|p| p.admin));
                    hold(admin, "admin", || format!("{by}, who ended everything of {person}, is no admin"))?;
                }
                self.order(said, *person, reason, event.at);
                Ok(())
            }
            Fact::DeviceDisabled { person, device } => match self.devices.get_mut(device) {
                Some(known) if known.person == *person && !known.disabled => {
                    known.disabled = true;
                    Ok(())
                }
                Some(known) if known.person == *person => {
                    fault("device", format!("the device {device} was disabled before"))
                }
                _ => fault("device", format!("{person} has no device {device} that was enrolled before")),
            },
            _ => Ok(()),
        }
    }

    fn enrolled(&mut self, by: By, person: PersonId, device: DeviceId, signing_key: &str) -> Held {
        hold(by == By::Person { person, device }, "enrolment", || {
            format!("the device {device} of {person} was enrolled by another")
        })?;
        hold(!self.devices.contains_key(&device), "enrolment", || {
            format!("the device {device} was enrolled before")
        })?;
        hold(key(signing_key).is_some(), "enrolment", || {
            format!("the key of the device {device} is no Ed25519 key")
        })?;
        self.devices.insert(device, Device { person, disabled: false });
        Ok(())
    }
}

/// The catalogue, where its document is there.
fn read(
    hash: &Digest,
    document: &Option<Digest>,
    texts: &[SaltedText],
) -> Result<Option<Arc<Catalogue>>, Fault> {
    let Some(document) = document else { return Ok(None) };
    let Some(text) = texts.iter().find(|t| t.digest().as_ref() == Some(document)) else { return Ok(None) };
    let other = || Fault {
        rule: "catalogue",
        message: format!("the document beside it is not the catalogue {hash}"),
    };
    if Digest::of(text.text.as_bytes()) != *hash {
        return Err(other());
    }
    serde_json::from_str(&text.text).map(|c| Some(Arc::new(c))).map_err(|_| other())
}
