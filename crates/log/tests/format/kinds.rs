//! One event of every kind.

use crate::rng::Random;
use gatepass_core::catalogue::{Session, Slot};
use gatepass_core::drift::{Found, Who};
use gatepass_core::event::{By, Event, Fact, Rule};
use gatepass_core::id::{DeviceId, DriftId, EventId, GrantId, Number, PersonId, RequestId};
use gatepass_core::text::Digest;
use gatepass_core::wire::{EndCause, Head, Removal, SignedCommand};
use serde_json::json;
use uuid::Uuid;

/// The kind after `before`, filled with whatever comes. Every kind is named here, or this does not compile.
fn after(before: Option<&Fact>, random: &mut Random) -> Option<Fact> {
    let digest = Digest::of(&random.next().to_be_bytes());
    let mut uuid = || Uuid::from_u64_pair(random.next(), random.next());
    let (person, device) = (PersonId(uuid()), DeviceId(uuid()));
    let (grant, drift) = (GrantId(uuid()), DriftId(uuid()));
    let at =
        chrono::DateTime::from_timestamp_millis(1_795_000_000_000 + i64::from(uuid().as_fields().1)).unwrap();
    let removal = Removal { checked_at: at, sessions_ended: 3, attempts: 1 };
    let some = Some(digest.clone());
    let found = Found {
        target: "orders-pg".to_owned(),
        who: Who::Name(digest.clone()),
        grants: vec!["orders_writer".to_owned()],
        resources: vec!["orders-db".to_owned()],
        groups: vec!["dba".to_owned()],
    };
    let Some(before) = before else {
        return Some(Fact::CataloguePublished { catalogue: digest, document: some });
    };
    let next = match before {
        Fact::CataloguePublished { .. } => Fact::LogRecovered { lost: Head { size: 12, root: digest } },
        Fact::LogRecovered { .. } => Fact::PersonRecorded {
            person,
            groups: vec!["backend".to_owned(), "Łódź".to_owned()],
            auditor: true,
            admin: false,
            details: digest,
        },
        Fact::PersonRecorded { .. } => {
            let (signing_key, seal_key) = ("MFkw+/8=".to_owned(), "AAAA".to_owned());
            Fact::DeviceEnrolled { person, device, signing_key, seal_key, name: digest }
        }
        Fact::DeviceEnrolled { .. } => Fact::PersonRevoked { person, reason: digest },
        Fact::PersonRevoked { .. } => Fact::PersonErased { person },
        Fact::PersonErased { .. } => Fact::DeviceDisabled { person, device },
        Fact::DeviceDisabled { .. } => Fact::RequestCreated {
            number: Number(9_007_199_254_740_991),
            resource: "orders-db".to_owned(),
            role: "write".to_owned(),
            rule: Rule {
                catalogue: digest,
                target: "orders-pg".to_owned(),
                kind: "ssh".to_owned(),
                grants: vec!["a \"quoted\\ one\u{7}".to_owned()],
                ask: vec!["backend".to_owned()],
                approve: vec![Slot { from: vec!["dba".to_owned(), "\u{1f511}".to_owned()], count: 2 }],
                max_s: 7_200,
                session: Session::Cut,
            },
            duration_s: 1_800,
            lapses_at: at,
            reason: some,
            ticket: None,
            extends: Some(grant),
            ssh_key: Some("ssh-ed25519 AAAA".to_owned()),
        },
        Fact::RequestCreated { .. } => Fact::RequestApproved { duration_s: 60, note: some },
        Fact::RequestApproved { .. } => Fact::ApprovalVoided { person },
        Fact::ApprovalVoided { .. } => Fact::RequestGranted { grant, duration_s: 60, latest_end: at },
        Fact::RequestGranted { .. } => Fact::RequestDenied { note: None },
        Fact::RequestDenied { .. } => Fact::RequestWithdrawn,
        Fact::RequestWithdrawn => Fact::RequestLapsed,
        Fact::RequestLapsed => Fact::GrantProvisioning { grant },
        Fact::GrantProvisioning { .. } => Fact::GrantActive { grant, starts_at: at, ends_at: at },
        Fact::GrantActive { .. } => {
            Fact::GrantDelayed {
                grant, attempts: 3, message: "FATAL: “no”\r\n\tline \u{2028}2".to_owned()
            }
        }
        Fact::GrantDelayed { .. } => {
            Fact::GrantExtended { grant, ends_at: at, by_request: RequestId(person.0) }
        }
        Fact::GrantExtended { .. } => Fact::GrantEnding { grant, cause: EndCause::Revoked, reason: some },
        Fact::GrantEnding { .. } => Fact::GrantEnded { grant, cause: EndCause::Expired, removal },
        Fact::GrantEnded { .. } => Fact::GrantFailed { grant, removal },
        Fact::GrantFailed { .. } => {
            Fact::AccessRemoved { target: "orders-pg".to_owned(), grant, removal, groups: Vec::new() }
        }
        Fact::AccessRemoved { .. } => {
            Fact::DriftFound { drift, found: Found { who: Who::More(7), grants: Vec::new(), ..found } }
        }
        Fact::DriftFound { .. } => Fact::DriftKnown { drift, reason: digest, found },
        Fact::DriftKnown { .. } => Fact::DriftUnknown { drift, reason: digest, found },
        Fact::DriftUnknown { .. } => Fact::DriftGone { drift, found },
        Fact::DriftGone { .. } => return None,
    };
    Some(next)
}

/// One of every kind, with all that an event may carry.
pub fn every(seed: u64) -> Vec<Event> {
    let mut random = Random(seed);
    let mut facts: Vec<Fact> = Vec::new();
    while let Some(fact) = after(facts.last(), &mut random) {
        facts.push(fact);
    }
    let mut event = |fact: Fact| {
        let mut uuid = || Uuid::from_u64_pair(random.next(), random.next());
        let (id, person, device) = (EventId(uuid()), PersonId(uuid()), DeviceId(uuid()));
        let request = (fact.kind().starts_with("re")).then(|| RequestId(uuid()));
        let (by, command) = if uuid().as_bytes()[0] % 2 == 0 {
            let body =
                json!({ "kind": "request.decide", "id": uuid(), "z": [1, null, true], "a": { "ü": -1 } });
            (By::Person { person, device }, Some(SignedCommand { body, signature: "AA==".to_owned() }))
        } else {
            (By::Gatepass, None)
        };
        let at = chrono::DateTime::from_timestamp_micros(1_795_000_000_000_001).unwrap();
        Event { id, at, by, request, fact, command }
    };
    facts.into_iter().map(&mut event).collect()
}
