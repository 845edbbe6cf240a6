//! A log in which everything follows from what was before, signed by whom it names: what a check finds nothing in.

use super::{NOOR, State, TOMAS};
use chrono::TimeDelta;
use gatepass_core::command::{Body, Command, Enroll};
use gatepass_core::event::{By, Event, Fact};
use gatepass_core::id::{CommandId, DeviceId, GrantId, PersonId, RequestId};
use gatepass_core::request::{Request, SETUP_LIMIT_S, apply};
use gatepass_core::text::{Digest, SaltedText};
use gatepass_core::wire::{Removal, SignedCommand, Verdict};
use gatepass_log::Key;
use uuid::Uuid;

pub const HIS: DeviceId = DeviceId(Uuid::from_u128(11));
pub const HERS: DeviceId = DeviceId(Uuid::from_u128(22));

/// The key of a device.
pub fn key(of: DeviceId) -> Key {
    Key::from_bytes(&[of.0.as_u128() as u8; 32])
}

fn salted(text: String) -> (Digest, Vec<SaltedText>) {
    let text = SaltedText::new([9; 16], text);
    (text.digest().unwrap(), vec![text])
}

impl State {
    /// The catalogue, the people and a device of each: positions 1 to 5.
    pub fn found(&mut self) {
        let document = serde_json::to_string(&self.catalogue).unwrap();
        let (document, texts) = salted(document);
        let catalogue = self.catalogue.hash();
        self.put(By::Gatepass, None, Fact::CataloguePublished { catalogue, document: Some(document) }, texts);
        for person in self.people.clone() {
            let (details, texts) = salted(format!("{} {}", person.handle, person.name));
            let groups = person.groups.into_iter().collect();
            let (auditor, admin) = (person.auditor, person.admin);
            let fact = Fact::PersonRecorded { person: person.id, groups, auditor, admin, details };
            self.put(By::Gatepass, None, fact, texts);
        }
        for (person, device) in [(TOMAS, HIS), (NOOR, HERS)] {
            self.enroll(person, device);
        }
    }

    fn enroll(&mut self, person: PersonId, device: DeviceId) {
        let (name, texts) = salted("laptop".to_owned());
        let (signing_key, seal_key) = (key(device).public(), key(device).public());
        let body = Enroll {
            id: CommandId(Uuid::from_u128(900_000 + device.0.as_u128())),
            device,
            at: self.now,
            kind: "device.enroll".to_owned(),
            invite: Digest::of(b"invite"),
            signing_key: signing_key.clone(),
            seal_key: seal_key.clone(),
            name: name.clone(),
        };
        let signed = key(device).sign("device.enroll", &body).unwrap();
        let fact = Fact::DeviceEnrolled { person, device, signing_key, seal_key, name };
        self.signed(By::Person { person, device }, None, fact, texts, signed);
    }

    fn signed(
        &mut self,
        by: By,
        about: Option<RequestId>,
        fact: Fact,
        texts: Vec<SaltedText>,
        command: SignedCommand,
    ) -> u64 {
        let seq = self.put(by, about, fact, texts);
        self.log.last_mut().unwrap().0.command = Some(command);
        seq
    }

    /// Signs `command` with the device; the body names the head there was.
    pub fn sign(&self, device: DeviceId, id: CommandId, command: Command) -> SignedCommand {
        let body = Body { id, device, at: self.now, head: Some(self.head()), command };
        key(device).sign(body.command.kind(), &body).unwrap()
    }

    /// Tomás asks for ten minutes.
    pub fn asks(&mut self, number: u64, why: &str) -> RequestId {
        let id = Uuid::from_u128(10_000 + u128::from(number));
        let reason = SaltedText::new([number as u8; 16], why);
        let command = Command::Create {
            resource: "orders-db".into(),
            role: "write".into(),
            duration_s: 600,
            reason: reason.digest(),
            ticket: None,
            ssh_key: None,
        };
        let signed = self.sign(HIS, CommandId(id), command);
        self.ask(number, why);
        let (Event { fact, command, at, .. }, _) = self.log.last_mut().unwrap();
        *command = Some(signed);
        if let Fact::RequestCreated { lapses_at, .. } = fact {
            *lapses_at = *at + TimeDelta::hours(8);
        }
        RequestId(id)
    }

    pub fn request(&self, id: RequestId) -> Request {
        let events = self.log.iter().map(|(event, _)| event).filter(|e| e.request == Some(id));
        events.fold(None, apply).unwrap()
    }

    /// Noor approves, and it runs.
    pub fn lives(&mut self, id: RequestId) -> GrantId {
        let shown = self.request(id);
        let command = Command::Decide {
            request: id,
            revision: shown.revision,
            shown: shown.shown(),
            verdict: Verdict::Approve,
            duration_s: Some(600),
            note: None,
        };
        let signed = self.sign(HERS, CommandId(Uuid::from_u128(id.0.as_u128() + 500_000)), command);
        let by = By::Person { person: NOOR, device: HERS };
        self.signed(by, Some(id), Fact::RequestApproved { duration_s: 600, note: None }, vec![], signed);
        let grant = GrantId(Uuid::from_u128(id.0.as_u128() + 10_000));
        // In the same moment.
        self.now -= TimeDelta::seconds(1);
        let latest_end = self.now + TimeDelta::seconds(1 + 600 + i64::from(SETUP_LIMIT_S));
        self.put(By::Gatepass, Some(id), Fact::RequestGranted { grant, duration_s: 600, latest_end }, vec![]);
        self.put(By::Gatepass, Some(id), Fact::GrantProvisioning { grant }, vec![]);
        let starts_at = self.now;
        let ends_at = starts_at + TimeDelta::seconds(600);
        self.put(By::Gatepass, Some(id), Fact::GrantActive { grant, starts_at, ends_at }, vec![]);
        grant
    }

    /// Its time is over, and it is gone.
    pub fn ends(&mut self, id: RequestId, grant: GrantId) {
        self.now += TimeDelta::seconds(600);
        self.end(id, grant);
        let (event, _) = self.log.last_mut().unwrap();
        if let Fact::GrantEnded { removal, .. } = &mut event.fact {
            *removal = Removal { checked_at: event.at, ..removal.clone() };
        }
    }
}
