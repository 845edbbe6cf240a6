//! `drift`: access that no grant explains.

use super::{fail, id, json, millis, parse};
use crate::Time;
use crate::store::{DriftChange, DriftFilter, DriftRow, StoreError};
use gatepass_core::drift::Drift;
use gatepass_core::id::{EventId, GrantId};
use gatepass_core::text::Digest;
use gatepass_core::wire::DriftState;
use rusqlite::{Connection, params};
use std::collections::BTreeMap;

pub fn write(db: &Connection, change: &DriftChange) -> Result<(), StoreError> {
    let DriftChange { drift, expected } = change;
    let (id, state) = (drift.id.to_string(), name_of(drift.state));
    let written = if *expected == 0 {
        db.prepare_cached(
            "INSERT INTO drift (id, target, state, body) VALUES (?1, ?2, ?3, ?4) ON CONFLICT (id) DO NOTHING",
        )
        .and_then(|mut q| q.execute(params![id, drift.found.target, state, json(drift)?]))
    } else {
        db.prepare_cached(
            "UPDATE drift SET state = ?2, body = ?3 WHERE id = ?1 AND json_extract(body, '$.revision') = ?4",
        )
        .and_then(|mut q| q.execute(params![id, state, json(drift)?, expected]))
    };
    if written.map_err(fail)? == 0 { Err(StoreError::Conflict) } else { Ok(()) }
}

fn name_of(state: DriftState) -> &'static str {
    match state {
        DriftState::Open => "open",
        DriftState::Known => "known",
        DriftState::Gone => "gone",
    }
}

/// Ids are in the order of time.
pub fn list(db: &Connection, filter: &DriftFilter) -> Result<Vec<DriftRow>, StoreError> {
    let mut query = db
        .prepare_cached(
            "SELECT body FROM drift WHERE (?1 IS NULL OR id = ?1) AND (?2 IS NULL OR target = ?2)
                 AND (?3 OR state <> 'gone') AND (?4 IS NULL OR id < ?4) ORDER BY id DESC LIMIT ?5",
        )
        .map_err(fail)?;
    let (id, before) = (filter.id.map(|d| d.to_string()), filter.before.map(|d| d.to_string()));
    let limit = i64::try_from(filter.limit).unwrap_or(i64::MAX);
    let found: Vec<Drift> = query
        .query_map(params![id, filter.target, filter.gone, before, limit], |row| {
            parse(row.get_ref(0)?.as_str()?)
        })
        .and_then(Iterator::collect)
        .map_err(fail)?;
    found.into_iter().map(|drift| Ok(DriftRow { texts: texts(db, &drift)?, drift })).collect()
}

fn texts(db: &Connection, drift: &Drift) -> Result<BTreeMap<Digest, String>, StoreError> {
    let mut query = db
        .prepare_cached("SELECT digest, text FROM text WHERE seq = (SELECT seq FROM event WHERE id = ?1)")
        .map_err(fail)?;
    let mut texts = BTreeMap::new();
    let events: Vec<EventId> = drift.events().collect();
    for event in events {
        let found = query
            .query_map([event.to_string()], |row| Ok((Digest(row.get(0)?), row.get(1)?)))
            .and_then(Iterator::collect::<rusqlite::Result<Vec<(Digest, String)>>>)
            .map_err(fail)?;
        texts.extend(found);
    }
    Ok(texts)
}

/// A grant has its end job until it is over.
pub fn unended(db: &Connection, target: &str, after: Time) -> Result<Vec<GrantId>, StoreError> {
    db.prepare_cached("SELECT subject FROM job WHERE kind = 'end' AND target = ?1 AND due > ?2")
        .and_then(|mut q| q.query_map(params![target, millis(after)], |row| id(row, 0))?.collect())
        .map_err(fail)
}
