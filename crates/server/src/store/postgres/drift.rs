//! `drift`: access that no grant explains.

use super::step::{Miss, Step};
use super::{get, id, parse};
use crate::Time;
use crate::store::{DriftChange, DriftFilter, DriftRow, StoreError};
use gatepass_core::drift::Drift;
use gatepass_core::text::Digest;
use gatepass_core::wire::DriftState;
use std::collections::{BTreeMap, HashMap};
use tokio_postgres::Row;
use tokio_postgres::types::Type;
use uuid::Uuid;

pub fn write(change: &DriftChange) -> Result<Step, StoreError> {
    let DriftChange { drift, expected } = change;
    let body = serde_json::to_string(drift).map_err(|e| StoreError::Failed(e.to_string()))?;
    let state = match drift.state {
        DriftState::Open => "open",
        DriftState::Known => "known",
        DriftState::Gone => "gone",
    };
    let step = if *expected == 0 {
        Step::new(
            "INSERT INTO drift (id, target, state, body) VALUES ($1, $2, $3, $4)
             ON CONFLICT (id) DO NOTHING RETURNING 1",
        )
        .with(Type::UUID, drift.id.0)
        .with(Type::TEXT, drift.found.target.clone())
        .with(Type::TEXT, state)
        .with(Type::TEXT, body)
    } else {
        Step::new(
            "UPDATE drift SET state = $2, body = $3
             WHERE id = $1 AND (body::json ->> 'revision')::bigint = $4 RETURNING 1",
        )
        .with(Type::UUID, drift.id.0)
        .with(Type::TEXT, state)
        .with(Type::TEXT, body)
        .with(Type::INT8, i64::from(*expected))
    };
    Ok(step.or(Miss::Conflict))
}

/// Ids are in the order of time.
pub fn list(filter: &DriftFilter) -> Step {
    Step::new(
        "SELECT body FROM drift WHERE ($1 IS NULL OR id = $1) AND ($2 IS NULL OR target = $2)
             AND ($3 OR state <> 'gone') AND ($4 IS NULL OR id < $4) ORDER BY id DESC LIMIT $5",
    )
    .with(Type::UUID, filter.id.map(|d| d.0))
    .with(Type::TEXT, filter.target.clone())
    .with(Type::BOOL, filter.gone)
    .with(Type::UUID, filter.before.map(|d| d.0))
    .with(Type::INT8, i64::try_from(filter.limit).unwrap_or(i64::MAX))
}

pub fn read(row: &Row) -> Result<Drift, StoreError> {
    parse(get(row, 0)?)
}

pub fn texts(drift: &[Drift]) -> Step {
    let events: Vec<Uuid> = drift.iter().flat_map(Drift::events).map(|e| e.0).collect();
    Step::new("SELECT event_id, digest, text FROM text WHERE event_id = ANY ($1)")
        .with(Type::UUID_ARRAY, events)
}

pub fn beside(drift: Vec<Drift>, rows: &[Row]) -> Result<Vec<DriftRow>, StoreError> {
    let mut texts: HashMap<Uuid, Vec<(Digest, String)>> = HashMap::new();
    for row in rows {
        texts.entry(id(row, 0)?).or_default().push((Digest(get(row, 1)?), get(row, 2)?));
    }
    let with = |drift: Drift| {
        let found = drift.events().filter_map(|e| texts.get(&e.0)).flatten().cloned();
        DriftRow { texts: found.collect::<BTreeMap<_, _>>(), drift }
    };
    Ok(drift.into_iter().map(with).collect())
}

/// A grant has its end job until it is over.
pub fn unended(target: &str, after: Time) -> Step {
    Step::new("SELECT subject FROM job WHERE kind = 'end' AND target = $1 AND due > $2")
        .with(Type::TEXT, target.to_owned())
        .with(Type::TIMESTAMPTZ, after)
}
