//! A small whole log, the same every time: two requests, one approved by two people and given back, one denied, and what
//! has to be known to check them. Every key comes from a fixed seed.

use chrono::{DateTime, TimeDelta};
use gatepass_core::Time;
use gatepass_core::catalogue::{Catalogue, Reason, Resource, Role, Slot};
use gatepass_core::command::{Body, Command, Enroll};
use gatepass_core::event::{By, Event, Fact, Rule};
use gatepass_core::id::{CommandId, DeviceId, EventId, GrantId, Number, PersonId, RequestId};
use gatepass_core::request::{Request, apply};
use gatepass_core::text::{Digest, SaltedText};
use gatepass_core::wire::{EndCause, Head, Removal, SignedCommand, Verdict};
use gatepass_log::{Key, LogKey, Tree, canonical, leaf_hash};
use std::collections::BTreeMap;
use uuid::Uuid;

pub const ORIGIN: &str = "example.com/gatepass";
pub const LOG_SEED: [u8; 32] = [0x4c; 32];

/// Who asks, and who approves.
pub const ADA: u8 = 1;
pub const BEA: u8 = 2;
pub const CEM: u8 = 3;

pub fn log_key() -> LogKey {
    LogKey::parse(&LogKey::generate(ORIGIN, &LOG_SEED)).unwrap()
}

/// The seed of a person's only device is their number, 32 times.
pub fn device_key(who: u8) -> Key {
    Key::from_bytes(&[who; 32])
}

/// Ids look as the server makes them; what they are made of does not matter.
fn id(kind: u128, n: u128) -> Uuid {
    Uuid::from_u128(0x019a_0000_0000_7000_8000_0000_0000_0000 | kind << 32 | n)
}

pub fn person(who: u8) -> PersonId {
    PersonId(id(1, who.into()))
}

pub fn device(who: u8) -> DeviceId {
    DeviceId(id(2, who.into()))
}

pub fn by(who: u8) -> By {
    By::Person { person: person(who), device: device(who) }
}

fn catalogue() -> Catalogue {
    let slot = |from: &str| Slot { from: vec![from.to_owned()], count: 1 };
    let write = Role {
        id: "write".to_owned(),
        name: "Read and write".to_owned(),
        grants: vec!["orders_writer".to_owned()],
        ask: vec!["backend".to_owned()],
        approve: vec![slot("dba"), slot("oncall")],
        default_s: 1_800,
        min_s: 1,
        max_s: 7_200,
        lapse_s: 28_800,
        reason: Reason::Required,
        ticket: Some("^INC-[0-9]+$".to_owned()),
        session: Default::default(),
    };
    let orders = Resource {
        id: "orders-db".to_owned(),
        name: "Orders database".to_owned(),
        environment: "production".to_owned(),
        target: "orders-pg".to_owned(),
        kind: "postgres".to_owned(),
        roles: vec![write],
    };
    Catalogue { resources: vec![orders] }
}

/// Events with the texts beside them.
#[derive(Default)]
pub struct Story {
    pub events: Vec<Event>,
    pub texts: Vec<Vec<SaltedText>>,
    requests: BTreeMap<RequestId, Request>,
    made: u128,
}

impl Story {
    /// From the first catalogue to a request that was denied.
    pub fn told() -> Self {
        let mut story = Self::default();
        story.begin();
        let request = story.ask("Stuck orders since the deploy: 12 rows “pending”.", "INC-4711");
        story.approve(BEA, request, Some(1_200));
        story.approve(CEM, request, None);
        let grant = story.granted(request, 1_200);
        story.ended(request, grant);
        let request = story.ask("Same again, für Zoë.", "INC-4712");
        story.deny(BEA, request);
        story
    }

    /// The catalogue, three people and their devices.
    pub fn begin(&mut self) {
        let text = serde_json::to_string(&catalogue()).unwrap();
        let document = self.text(&text);
        let published = Fact::CataloguePublished {
            catalogue: Digest::of(text.as_bytes()),
            document: Some(document.digest().unwrap()),
        };
        self.put(By::Gatepass, None, published, None, vec![document]);
        for (who, handle, group) in [(ADA, "ada", "backend"), (BEA, "bea", "dba"), (CEM, "cem", "oncall")] {
            let details = self.text(&format!(r#"{{"handle":"{handle}","name":"{handle}"}}"#));
            let recorded = Fact::PersonRecorded {
                person: person(who),
                groups: vec![group.to_owned()],
                auditor: false,
                admin: false,
                details: details.digest().unwrap(),
            };
            self.put(By::Gatepass, None, recorded, None, vec![details]);
        }
        [ADA, BEA, CEM].into_iter().for_each(|who| self.enroll(who));
    }

    fn enroll(&mut self, who: u8) {
        use base64::Engine as _;
        let name = self.text("a laptop");
        let digest = name.digest().unwrap();
        let (signing_key, now) = (device_key(who).public(), self.now());
        let seal_key = base64::engine::general_purpose::STANDARD.encode([0x40 + who; 32]);
        let body = Enroll {
            id: CommandId(self.fresh(3)),
            device: device(who),
            at: now,
            kind: "device.enroll".to_owned(),
            invite: Digest::of(&[who]),
            signing_key: signing_key.clone(),
            seal_key: seal_key.clone(),
            name: digest.clone(),
        };
        let command = device_key(who).sign("device.enroll", &body).unwrap();
        let fact = Fact::DeviceEnrolled {
            person: person(who),
            device: device(who),
            signing_key,
            seal_key,
            name: digest,
        };
        self.put(by(who), None, fact, Some(command), vec![name]);
    }

    pub fn ask(&mut self, reason: &str, ticket: &str) -> RequestId {
        let (reason, ticket) = (self.text(reason), self.text(ticket));
        let role = catalogue().resources[0].roles[0].clone();
        let command = Command::Create {
            resource: "orders-db".to_owned(),
            role: role.id.clone(),
            duration_s: 1_800,
            reason: reason.digest(),
            ticket: ticket.digest(),
            ssh_key: None,
        };
        let (command, id) = self.sign(ADA, command);
        let request = RequestId::from(id);
        let rule = Rule {
            catalogue: catalogue().hash(),
            target: "orders-pg".to_owned(),
            kind: "postgres".to_owned(),
            grants: role.grants,
            ask: role.ask,
            approve: role.approve,
            max_s: role.max_s,
            session: role.session,
        };
        let created = Fact::RequestCreated {
            number: Number(1 + self.requests.len() as u64),
            resource: "orders-db".to_owned(),
            role: role.id,
            rule,
            duration_s: 1_800,
            lapses_at: self.now() + TimeDelta::hours(8),
            reason: reason.digest(),
            ticket: ticket.digest(),
            extends: None,
            ssh_key: None,
        };
        self.put(by(ADA), Some(request), created, Some(command), vec![reason, ticket]);
        request
    }

    fn decide(
        &mut self,
        who: u8,
        request: RequestId,
        verdict: Verdict,
        duration_s: Option<u32>,
    ) -> SignedCommand {
        let shown = self.requests[&request].shown();
        let command = Command::Decide { request, revision: 1, shown, verdict, duration_s, note: None };
        self.sign(who, command).0
    }

    pub fn approve(&mut self, who: u8, request: RequestId, allowed_s: Option<u32>) {
        let command = self.decide(who, request, Verdict::Approve, allowed_s);
        let fact = Fact::RequestApproved { duration_s: allowed_s.unwrap_or(1_800), note: None };
        self.put(by(who), Some(request), fact, Some(command), Vec::new());
    }

    pub fn deny(&mut self, who: u8, request: RequestId) {
        let command = self.decide(who, request, Verdict::Deny, None);
        self.put(by(who), Some(request), Fact::RequestDenied { note: None }, Some(command), Vec::new());
    }

    pub fn granted(&mut self, request: RequestId, duration_s: u32) -> GrantId {
        let (grant, now) = (GrantId(self.fresh(4)), self.now());
        let latest_end = now + TimeDelta::seconds(900 + i64::from(duration_s));
        let granted = Fact::RequestGranted { grant, duration_s, latest_end };
        self.put(By::Gatepass, Some(request), granted, None, Vec::new());
        self.put(By::Gatepass, Some(request), Fact::GrantProvisioning { grant }, None, Vec::new());
        let starts_at = self.now();
        let ends_at = starts_at + TimeDelta::seconds(duration_s.into());
        let active = Fact::GrantActive { grant, starts_at, ends_at };
        self.put(By::Gatepass, Some(request), active, None, Vec::new());
        grant
    }

    /// Given back, and read back from the target.
    pub fn ended(&mut self, request: RequestId, grant: GrantId) {
        let (command, _) = self.sign(ADA, Command::Return { grant });
        let cause = EndCause::Returned;
        let ending = Fact::GrantEnding { grant, cause, reason: None };
        self.put(by(ADA), Some(request), ending, Some(command), Vec::new());
        let removal = Removal { checked_at: self.now(), sessions_ended: 1, attempts: 1 };
        let ended = Fact::GrantEnded { grant, cause, removal };
        self.put(By::Gatepass, Some(request), ended, None, Vec::new());
    }

    fn sign(&mut self, who: u8, command: Command) -> (SignedCommand, CommandId) {
        let (kind, id) = (command.kind(), CommandId(self.fresh(3)));
        let (head, at) = (Some(self.head()), self.now());
        let body = Body { id, device: device(who), at, head, command };
        (device_key(who).sign(kind, &body).unwrap(), id)
    }

    pub fn put(
        &mut self,
        by: By,
        request: Option<RequestId>,
        fact: Fact,
        command: Option<SignedCommand>,
        texts: Vec<SaltedText>,
    ) {
        let event = Event { id: EventId(self.fresh(5)), at: self.now(), by, request, fact, command };
        if let Some(id) = request {
            let state = apply(self.requests.remove(&id), &event);
            self.requests.extend(state.map(|request| (id, request)));
        }
        self.events.push(event);
        self.texts.push(texts);
    }

    fn text(&mut self, text: &str) -> SaltedText {
        self.made += 1;
        SaltedText::new([u8::try_from(self.made).unwrap(); 16], text)
    }

    fn fresh(&mut self, kind: u128) -> Uuid {
        self.made += 1;
        id(kind, self.made)
    }

    /// Two seconds and a bit from event to event.
    fn now(&self) -> Time {
        let begin = DateTime::from_timestamp_millis(1_795_000_000_000).unwrap();
        begin + TimeDelta::milliseconds(2_125 * self.events.len() as i64)
    }

    pub fn head(&self) -> Head {
        let mut tree = Tree::default();
        self.events.iter().for_each(|event| tree.append(leaf_hash(event).unwrap()));
        tree.head()
    }

    pub fn contents(&self) -> Vec<Vec<u8>> {
        self.events.iter().map(|event| canonical(event).unwrap()).collect()
    }
}
