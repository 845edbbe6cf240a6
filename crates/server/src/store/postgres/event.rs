//! `outbox`, `event` and `head`: the log.

use super::step::Step;
use super::{get, id, parse};
use crate::log::LARGEST_EVENT;
use crate::store::sight::groups;
use crate::store::{Seen, Slice, StoreError, Stored};
use gatepass_core::event::{Event, Fact};
use gatepass_core::id::{PersonId, RequestId};
use gatepass_core::text::{Digest, SaltedText};
use gatepass_core::wire::Head;
use gatepass_log::canonical;
use serde_json::value::RawValue;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use tokio_postgres::Row;
use tokio_postgres::types::Type;
use uuid::Uuid;

/// Puts events on their way to the log, in order. Whoever reads the outbox places them in the order of its ids.
pub fn post(events: &[Event]) -> Result<Option<Step>, StoreError> {
    if events.is_empty() {
        return Ok(None);
    }
    let mut bodies = Vec::with_capacity(events.len());
    for event in events {
        let body = canonical(event).map_err(|e| StoreError::Failed(e.to_string()))?;
        if body.len() >= LARGEST_EVENT {
            return Err(StoreError::TooLarge(body.len()));
        }
        bodies.push(String::from_utf8(body).map_err(|e| StoreError::Failed(e.to_string()))?);
    }
    let ids: Vec<Uuid> = events.iter().map(|e| e.id.0).collect();
    let requests: Vec<Option<Uuid>> = events.iter().map(|e| e.request.map(|r| r.0)).collect();
    let people: Vec<Option<Uuid>> = events.iter().map(|e| about(&e.fact).map(|p| p.0)).collect();
    Ok(Some(
        Step::new(
            "INSERT INTO outbox (event_id, request_id, person_id, body)
             SELECT e, r, p, b FROM unnest($1, $2, $3, $4) WITH ORDINALITY AS u (e, r, p, b, n) ORDER BY n",
        )
        .with(Type::UUID_ARRAY, ids)
        .with(Type::UUID_ARRAY, requests)
        .with(Type::UUID_ARRAY, people)
        .with(Type::TEXT_ARRAY, bodies),
    ))
}

/// Whom an event about a person is about.
fn about(fact: &Fact) -> Option<PersonId> {
    match fact {
        Fact::PersonRecorded { person, .. }
        | Fact::DeviceEnrolled { person, .. }
        | Fact::PersonRevoked { person, .. }
        | Fact::PersonErased { person }
        | Fact::DeviceDisabled { person, .. } => Some(*person),
        _ => None,
    }
}

pub fn head() -> Step {
    Step::new("SELECT size, root FROM head")
}

pub fn read_head(rows: &[Row]) -> Result<Head, StoreError> {
    let row = rows.first().ok_or_else(|| StoreError::Failed("the log has no head".to_owned()))?;
    Ok(Head { size: get::<i64>(row, 0)? as u64, root: Digest(get(row, 1)?) })
}

/// Three reads, the head first: what comes after is at least as new.
pub fn entries(after: u64, limit: usize) -> Vec<Step> {
    let from = || i64::try_from(after).unwrap_or(i64::MAX);
    let many = || i64::try_from(limit).unwrap_or(i64::MAX);
    vec![
        head(),
        Step::new(
            "SELECT seq, leaf, request_id, person_id, body, id FROM event WHERE seq > $1 ORDER BY seq LIMIT $2",
        )
        .with(Type::INT8, from())
        .with(Type::INT8, many()),
        Step::new(
            "SELECT e.seq, t.salt, t.text
             FROM (SELECT seq, id FROM event WHERE seq > $1 ORDER BY seq LIMIT $2) e
             JOIN text t ON t.event_id = e.id",
        )
        .with(Type::INT8, from())
        .with(Type::INT8, many()),
        Step::new(
            "SELECT id, asker, groups, deciders FROM request WHERE id IN
                 (SELECT request_id FROM (SELECT request_id FROM event WHERE seq > $1 ORDER BY seq LIMIT $2) e)",
        )
        .with(Type::INT8, from())
        .with(Type::INT8, many()),
    ]
}

pub fn read_entries(answers: &[Vec<Row>]) -> Result<Slice, StoreError> {
    let [head, events, texts, requests] = answers else {
        return Err(StoreError::Failed("a page of the log has four parts".to_owned()));
    };
    let head = read_head(head)?;
    let mut beside: BTreeMap<u64, Vec<SaltedText>> = BTreeMap::new();
    for row in texts {
        let text = SaltedText { salt: get(row, 1)?, text: get(row, 2)? };
        beside.entry(get::<i64>(row, 0)? as u64).or_default().push(text);
    }
    let mut entries = Vec::with_capacity(events.len());
    for row in events {
        let seq = get::<i64>(row, 0)? as u64;
        // Placed after the head was read.
        if seq > head.size {
            break;
        }
        let request = get::<Option<Uuid>>(row, 2)?.map(RequestId);
        let person = get::<Option<Uuid>>(row, 3)?.map(PersonId);
        let body = parse::<Box<RawValue>>(get(row, 4)?)?;
        entries.push(Stored {
            seq,
            leaf: Digest(hex::encode(get::<&[u8]>(row, 1)?)),
            request,
            person,
            groups: groups(request, person, &body),
            body: body.into(),
            texts: beside.remove(&seq).unwrap_or_default().into(),
        });
    }
    let mut seen = HashMap::with_capacity(requests.len());
    for row in requests {
        let deciders: Vec<Uuid> = get(row, 3)?;
        let who = Seen {
            asker: PersonId(id(row, 1)?),
            groups: get(row, 2)?,
            deciders: deciders.into_iter().map(PersonId).collect(),
        };
        seen.insert(RequestId(id(row, 0)?), Arc::new(who));
    }
    Ok(Slice { entries, seen, head })
}
