//! `text`: free text from people, beside the log.

use super::get;
use super::step::Step;
use crate::store::{Change, StoreError};
use gatepass_core::id::RequestId;
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
