//! `text`: free text from people, beside the log.

use super::get;
use super::step::Step;
use crate::store::beside::Header;
use crate::store::{Change, Position, StoreError, Worded};
use gatepass_core::id::{DriftId, RequestId};
use gatepass_core::text::Digest;
use std::collections::BTreeMap;
use tokio_postgres::Row;
use tokio_postgres::types::Type;
use uuid::Uuid;

/// The texts that the change's events name.
pub fn write(change: &Change) -> Option<Step> {
    let (mut events, mut digests, mut requests, mut salts, mut texts) =
        (Vec::new(), Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for event in &change.events {
        for (_, digest) in event.fact.digests() {
            if let Some(words) = change.texts.get(digest) {
                events.push(event.id.0);
                digests.push(digest.0.clone());
                requests.push(event.request.map(|r| r.0));
                salts.push(words.salt.clone());
                texts.push(words.text.clone());
            }
        }
    }
    (!events.is_empty()).then(|| {
        Step::new(
            "INSERT INTO text (event_id, digest, request_id, salt, text)
             SELECT * FROM unnest($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING",
        )
        .with(Type::UUID_ARRAY, events)
        .with(Type::TEXT_ARRAY, digests)
        .with(Type::UUID_ARRAY, requests)
        .with(Type::TEXT_ARRAY, salts)
        .with(Type::TEXT_ARRAY, texts)
    })
}

pub fn erase(positions: &[Position]) -> Option<Step> {
    let events: Vec<Uuid> = positions.iter().map(|p| p.event.0).collect();
    (!events.is_empty())
        .then(|| Step::new("DELETE FROM text WHERE event_id = ANY ($1)").with(Type::UUID_ARRAY, events))
}

/// Events that have texts, with what is left to happen to their requests.
pub fn worded(after: u64, limit: usize) -> Step {
    Step::new(
        "SELECT e.seq, e.body,
             coalesce(r.state = 'pending', false) OR coalesce(r.grant_state NOT IN ('ended', 'failed'), false)
         FROM event e LEFT JOIN request r ON r.id = e.request_id
         WHERE e.seq > $1 AND EXISTS (SELECT FROM text t WHERE t.event_id = e.id) ORDER BY e.seq LIMIT $2",
    )
    .with(Type::INT8, i64::try_from(after).unwrap_or(i64::MAX))
    .with(Type::INT8, i64::try_from(limit).unwrap_or(i64::MAX))
}

/// Of these, what is not gone.
pub fn there(drift: &[DriftId]) -> Step {
    let drift: Vec<Uuid> = drift.iter().map(|d| d.0).collect();
    Step::new("SELECT id FROM drift WHERE id = ANY ($1) AND state <> 'gone'").with(Type::UUID_ARRAY, drift)
}

/// What [`worded`] answered, with the drift that it is about.
pub fn read_worded(rows: &[Row]) -> Result<Vec<(Worded, Option<DriftId>)>, StoreError> {
    rows.iter()
        .map(|row| {
            let header: Header = super::parse(get(row, 1)?)?;
            let position = Position { seq: get::<i64>(row, 0)?.cast_unsigned(), event: header.id };
            let open: bool = get(row, 2)?;
            Ok((Worded { position, at: header.at, kind: header.kind, over: !open }, header.drift))
        })
        .collect()
}

pub fn of_requests(requests: &[RequestId]) -> Step {
    let requests: Vec<Uuid> = requests.iter().map(|r| r.0).collect();
    Step::new("SELECT request_id, digest, text FROM text WHERE request_id = ANY ($1)")
        .with(Type::UUID_ARRAY, requests)
}

pub fn read(rows: &[Row]) -> Result<BTreeMap<RequestId, BTreeMap<Digest, String>>, StoreError> {
    let mut found: BTreeMap<RequestId, BTreeMap<Digest, String>> = BTreeMap::new();
    for row in rows {
        let request = RequestId(super::id(row, 0)?);
        found.entry(request).or_default().insert(Digest(get(row, 1)?), get(row, 2)?);
    }
    Ok(found)
}
