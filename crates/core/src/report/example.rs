//! One access from its request to its removal, with texts that mean no good, and an event about nobody's access.

use super::Record;
use crate::Time;
use crate::catalogue::{Catalogue, Resource, Role, Slot};
use crate::directory::{Directory, Person};
use crate::event::{By, Event, Fact, Rule};
use crate::id::{DeviceId, EventId, GrantId, Number, PersonId, RequestId};
use crate::request::{Request, apply};
use crate::text::{Digest, SaltedText};
use crate::view::Lens;
use crate::wire::{EndCause, Removal};
use chrono::TimeDelta;
use std::collections::BTreeMap;
use uuid::Uuid;

pub const REASON: &str = "=HYPERLINK(\"http://x\",\"y\")\n<script>alert(1)</script> \u{202e}gnp.exe";
pub const TOMAS: u128 = 1;
pub const NOOR: u128 = 2;

fn id(n: u128) -> Uuid {
    Uuid::from_u128(n)
}

pub fn at(seconds: i64) -> Time {
    // 17 November 2026, 09:29:14 UTC
    Time::UNIX_EPOCH + TimeDelta::seconds(1_794_907_754 + seconds)
}

pub fn by(person: u128) -> By {
    By::Person { person: PersonId(id(person)), device: DeviceId(id(10 + person)) }
}

fn texts() -> BTreeMap<Digest, String> {
    let reason = SaltedText::new([1; 16], REASON);
    let note = SaltedText::new([2; 16], "Lock only, no deletes.");
    let known = [reason, note].into_iter().filter_map(|t| Some((t.digest()?, t.text)));
    known.collect()
}

fn digest(text: &str, salt: u8) -> Option<Digest> {
    SaltedText::new([salt; 16], text).digest()
}

fn rule() -> Rule {
    Rule {
        catalogue: Digest("b0".repeat(32)),
        target: "orders-pg".to_owned(),
        kind: "postgres".to_owned(),
        grants: vec!["orders_rw".to_owned()],
        ask: vec!["backend".to_owned()],
        approve: vec![Slot { from: vec!["dba".to_owned()], count: 1 }],
        max_s: 7_200,
        session: crate::catalogue::Session::default(),
    }
}

pub fn catalogue() -> Catalogue {
    let role = Role {
        id: "write".to_owned(),
        name: "Write".to_owned(),
        grants: vec!["orders_rw".to_owned()],
        ask: vec!["backend".to_owned()],
        approve: rule().approve,
        default_s: 1_800,
        min_s: 60,
        max_s: 7_200,
        lapse_s: 3_600,
        reason: crate::catalogue::Reason::Required,
        ticket: None,
        session: crate::catalogue::Session::default(),
    };
    Catalogue {
        resources: vec![Resource {
            id: "orders-db".to_owned(),
            name: "Orders, database".to_owned(),
            environment: "production".to_owned(),
            target: "orders-pg".to_owned(),
            kind: "postgres".to_owned(),
            roles: vec![role],
        }],
    }
}

pub fn directory() -> Directory {
    let person = |n: u128, handle: &str, name: &str, group: &str| Person {
        id: PersonId(id(n)),
        handle: handle.to_owned(),
        name: name.to_owned(),
        groups: [group.to_owned()].into(),
        auditor: false,
        admin: false,
    };
    Directory::new([
        person(TOMAS, "tomas", "Tomás Rivera", "backend"),
        person(NOOR, "noor", "Noor \"N\" Haddad", "dba"),
    ])
}

pub fn events() -> Vec<Event> {
    let grant = GrantId(id(30));
    let removal = Removal { checked_at: at(2_087), sessions_ended: 1, attempts: 1 };
    let created = Fact::RequestCreated {
        number: Number(3_187),
        resource: "orders-db".to_owned(),
        role: "write".to_owned(),
        rule: rule(),
        duration_s: 3_600,
        lapses_at: at(3_600),
        reason: digest(REASON, 1),
        ticket: None,
        extends: None,
        ssh_key: None,
    };
    let note = digest("Lock only, no deletes.", 2);
    let facts = [
        (0, by(TOMAS), created),
        (113, by(NOOR), Fact::RequestApproved { duration_s: 1_800, note }),
        (113, By::Gatepass, Fact::RequestGranted { grant, duration_s: 1_800, latest_end: at(3_000) }),
        (280, By::Gatepass, Fact::GrantProvisioning { grant }),
        (281, By::Gatepass, Fact::GrantActive { grant, starts_at: at(281), ends_at: at(2_081) }),
        (2_081, By::Gatepass, Fact::GrantEnding { grant, cause: EndCause::Expired, reason: None }),
        (2_087, By::Gatepass, Fact::GrantEnded { grant, cause: EndCause::Expired, removal }),
    ];
    let mut events: Vec<Event> = facts
        .into_iter()
        .zip(100..)
        .map(|((seconds, by, fact), n)| Event {
            id: EventId(id(n)),
            at: at(seconds),
            by,
            request: Some(RequestId(id(20))),
            fact,
            command: None,
        })
        .collect();
    events.push(Event {
        id: EventId(id(99)),
        at: at(4_000),
        by: By::Gatepass,
        request: None,
        fact: Fact::CataloguePublished { catalogue: Digest("b1".repeat(32)), document: None },
        command: None,
    });
    events
}

/// The request after all of it.
pub fn request() -> Option<Request> {
    events().iter().fold(None, apply)
}

pub fn look<T>(look: impl FnOnce(&Lens<'_>) -> T) -> T {
    let texts = texts();
    look(&Lens {
        catalogue: &catalogue(),
        directory: &directory(),
        text: &|digest| texts.get(digest).cloned(),
        viewer: PersonId(id(NOOR)),
        now: at(5_000),
    })
}

pub fn records() -> Vec<Record> {
    let request = request();
    look(|lens| {
        let record = |(event, seq): (Event, u64)| {
            let raw = serde_json::to_string(&event).unwrap_or_default();
            let request = request.as_ref().filter(|_| event.request.is_some());
            Record::new(seq, event, raw, Digest(format!("{seq:064x}")), request, lens)
        };
        events().into_iter().zip(48_208..).map(record).collect()
    })
}
