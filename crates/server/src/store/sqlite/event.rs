//! `event` and `head`: the log.

use super::{fail, json, parse};
use crate::log::{LARGEST_EVENT, Placed, Sequencer};
use crate::store::sight::groups;
use crate::store::{Slice, StoreError, Stored};
use gatepass_core::event::{Event, Fact};
use gatepass_core::text::Digest;
use gatepass_core::wire::Head;
use rusqlite::{Connection, OptionalExtension as _, params};
use serde_json::value::RawValue;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

pub fn write(db: &Connection, event: &Event, placed: &Placed) -> Result<(), StoreError> {
    let person = match &event.fact {
        Fact::PersonRecorded { person, .. }
        | Fact::DeviceEnrolled { person, .. }
        | Fact::PersonRevoked { person, .. }
        | Fact::PersonErased { person }
        | Fact::DeviceDisabled { person, .. } => Some(person.to_string()),
        _ => None,
    };
    if placed.content.len() >= LARGEST_EVENT {
        return Err(StoreError::TooLarge(placed.content.len()));
    }
    let content = std::str::from_utf8(&placed.content).map_err(|e| StoreError::Failed(e.to_string()))?;
    db.prepare_cached(
        "INSERT INTO event (seq, id, request_id, person_id, leaf, body) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
    )
    .and_then(|mut q| {
        q.execute(params![
            placed.seq as i64,
            event.id.to_string(),
            event.request.map(|r| r.to_string()),
            person,
            placed.leaf.0,
            content
        ])
    })
    .map_err(fail)?;
    placed.complete.iter().try_for_each(|made| super::subtree::write(db, made))
}

pub fn sequencer(db: &Connection) -> Result<Sequencer, StoreError> {
    let tree: Option<String> = db
        .prepare_cached("SELECT tree FROM head")
        .and_then(|mut q| q.query_row([], |row| row.get(0)).optional())
        .map_err(fail)?;
    tree.map_or_else(|| Ok(Sequencer::default()), |t| parse(&t).map(Sequencer::new)).map_err(fail)
}

pub fn write_head(db: &Connection, sequencer: &Sequencer) -> Result<Head, StoreError> {
    let head = sequencer.head();
    db.prepare_cached("INSERT OR REPLACE INTO head (one, size, root, tree) VALUES (1, ?1, ?2, ?3)")
        .and_then(|mut q| q.execute(params![head.size as i64, head.root.0, json(sequencer.tree())?]))
        .map_err(fail)?;
    Ok(head)
}

pub fn head(db: &Connection) -> Result<Head, StoreError> {
    let found = db
        .prepare_cached("SELECT size, root FROM head")
        .and_then(|mut q| {
            q.query_row([], |row| Ok(Head { size: row.get::<_, i64>(0)? as u64, root: Digest(row.get(1)?) }))
                .optional()
        })
        .map_err(fail)?;
    Ok(found.unwrap_or_else(|| Sequencer::default().head()))
}

/// One read transaction: the entries fit their head.
pub fn entries(db: &Connection, after: u64, limit: usize) -> Result<Slice, StoreError> {
    let mut query = db
        .prepare_cached(
            "SELECT seq, leaf, request_id, person_id, body FROM event WHERE seq > ?1 ORDER BY seq LIMIT ?2",
        )
        .map_err(fail)?;
    let after = i64::try_from(after).unwrap_or(i64::MAX);
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let mut entries = query
        .query_map(params![after, limit], read)
        .and_then(Iterator::collect::<rusqlite::Result<Vec<Stored>>>)
        .map_err(fail)?;
    if let (Some(first), Some(last)) = (entries.first().map(|e| e.seq), entries.last().map(|e| e.seq)) {
        let mut texts = super::text::between(db, first, last)?;
        for entry in &mut entries {
            entry.texts = texts.remove(&entry.seq).unwrap_or_default().into();
        }
    }
    let mut seen = HashMap::new();
    for request in entries.iter().filter_map(|e| e.request) {
        if let Entry::Vacant(place) = seen.entry(request)
            && let Some(who) = super::request::seen(db, request)?
        {
            place.insert(Arc::new(who));
        }
    }
    Ok(Slice { entries, seen, head: head(db)? })
}

fn read(row: &rusqlite::Row<'_>) -> rusqlite::Result<Stored> {
    let leaf: [u8; 32] = row.get(1)?;
    let id = |at: usize| Ok::<_, rusqlite::Error>(row.get_ref(at)?.as_str_or_null()?.map(str::to_owned));
    let (request, person) = (id(2)?.and_then(|i| i.parse().ok()), id(3)?.and_then(|i| i.parse().ok()));
    let body = parse::<Box<RawValue>>(row.get_ref(4)?.as_str()?)?;
    Ok(Stored {
        seq: row.get::<_, i64>(0)? as u64,
        leaf: Digest(hex::encode(leaf)),
        request,
        person,
        groups: groups(request, person, &body),
        body: body.into(),
        texts: Arc::default(),
    })
}
