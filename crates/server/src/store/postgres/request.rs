//! `request` and `sight`: the projections, and who may see them.

use super::step::{Miss, Step};
use super::{get, id, parse};
use crate::store::{ListFilter, Loaded, Lookup, Row, RowChange, StoreError};
use gatepass_core::directory::Person;
use gatepass_core::id::{GrantId, Number, PersonId, RequestId};
use gatepass_core::request::Request;
use std::collections::BTreeMap;
use tokio_postgres::types::Type;
use uuid::Uuid;

pub fn next_number() -> Step {
    Step::new("SELECT nextval('request_number')")
}

pub fn read_number(rows: &[tokio_postgres::Row]) -> Result<Number, StoreError> {
    let row = rows.first().ok_or_else(|| StoreError::Failed("no number".to_owned()))?;
    Ok(Number(get::<i64>(row, 0)? as u64))
}

fn json(request: &Request) -> Result<String, StoreError> {
    serde_json::to_string(request).map_err(|e| StoreError::Failed(e.to_string()))
}

/// An enum's word on the wire.
fn name_of<T: serde::Serialize>(value: &T) -> Result<String, StoreError> {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(name)) => Ok(name),
        _ => Err(StoreError::Failed("a state has no name".to_owned())),
    }
}

/// The projection if it is still at the version it was made from, and whom it lets see it.
pub fn write(change: &RowChange) -> Result<Vec<Step>, StoreError> {
    let request = &change.request;
    let version = change.expected as i64 + 1;
    let decided: Vec<Uuid> = request.deciders().map(|p| p.0).collect();
    let grant = request.grant.as_ref();
    let grant_state = grant.map(|g| name_of(&g.state)).transpose()?;
    let mut steps = Vec::with_capacity(2);
    let row = if change.expected == 0 {
        Step::new(
            "INSERT INTO request (id, number, version, state, deciders, grant_id, grant_state, body, asker, groups,
                 extends)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11) ON CONFLICT (id) DO NOTHING RETURNING 1",
        )
        .with(Type::UUID, request.id.0)
        .with(Type::INT8, request.number.0 as i64)
    } else {
        Step::new(
            "UPDATE request SET version = $3, state = $4, deciders = $5, grant_id = $6, grant_state = $7, body = $8
             WHERE id = $1 AND version = $2 RETURNING 1",
        )
        .with(Type::UUID, request.id.0)
        .with(Type::INT8, change.expected as i64)
    };
    let row = row
        .with(Type::INT8, version)
        .with(Type::TEXT, name_of(&request.state)?)
        .with(Type::UUID_ARRAY, decided.clone())
        .with(Type::UUID, grant.map(|g| g.id.0))
        .with(Type::TEXT, grant_state)
        .with(Type::TEXT, json(request)?)
        .or(Miss::Conflict);
    let mut viewers: Vec<String> = decided.into_iter().map(|p| format!("p:{p}")).collect();
    if change.expected == 0 {
        let groups: Vec<String> = request.approver_groups().iter().map(ToString::to_string).collect();
        viewers.push(format!("p:{}", request.by));
        viewers.extend(groups.iter().map(|g| format!("g:{g}")));
        steps.push(
            row.with(Type::UUID, request.by.0)
                .with(Type::TEXT_ARRAY, groups)
                .with(Type::UUID, request.extends.map(|g| g.0)),
        );
    } else {
        steps.push(row);
    }
    if !viewers.is_empty() {
        steps.push(
            Step::new("INSERT INTO sight (viewer, number) SELECT unnest($1), $2 ON CONFLICT DO NOTHING")
                .with(Type::TEXT_ARRAY, viewers)
                .with(Type::INT8, request.number.0 as i64),
        );
    }
    Ok(steps)
}

/// The row, and the one whose grant it extends: both of one moment.
pub fn load(lookup: Lookup) -> Step {
    macro_rules! by {
        ($condition:literal) => {
            concat!(
                "SELECT r.body, r.version, p.body, p.version FROM request r
                 LEFT JOIN request p ON p.grant_id = r.extends WHERE ",
                $condition
            )
        };
    }
    match lookup {
        Lookup::Request(id) => Step::new(by!("r.id = $1")).with(Type::UUID, id.0),
        Lookup::Number(n) => Step::new(by!("r.number = $1")).with(Type::INT8, i64::try_from(n).unwrap_or(0)),
        Lookup::Grant(id) => Step::new(by!("r.grant_id = $1")).with(Type::UUID, id.0),
        Lookup::Either(id) => Step::new(by!("r.id = $1 OR r.grant_id = $1")).with(Type::UUID, id),
    }
}

pub fn read_loaded(row: &tokio_postgres::Row) -> Result<Loaded, StoreError> {
    let parent = match get::<Option<&str>>(row, 2)? {
        Some(body) => Some(Row { request: parse(body)?, version: get::<i64>(row, 3)? as u64 }),
        None => None,
    };
    Ok(Loaded { recorded: None, row: Some(read(row)?), parent })
}

pub fn read(row: &tokio_postgres::Row) -> Result<Row, StoreError> {
    Ok(Row { request: parse(get(row, 0)?)?, version: get::<i64>(row, 1)? as u64 })
}

/// The pending requests that extend these grants.
pub fn extensions(grants: Vec<GrantId>) -> Step {
    let grants: Vec<Uuid> = grants.into_iter().map(|g| g.0).collect();
    Step::new("SELECT extends, id FROM request WHERE extends = ANY ($1) AND state = 'pending'")
        .with(Type::UUID_ARRAY, grants)
}

pub fn read_extensions(rows: &[tokio_postgres::Row]) -> Result<BTreeMap<GrantId, RequestId>, StoreError> {
    rows.iter().map(|row| Ok((GrantId(id(row, 0)?), RequestId(id(row, 1)?)))).collect()
}

fn viewers(viewer: &Person) -> Vec<String> {
    let groups = viewer.groups.iter().map(|g| format!("g:{g}"));
    std::iter::once(format!("p:{}", viewer.id)).chain(groups).collect()
}

/// Newest first. Each form reads the newest from an index and stops: what it costs does not grow with the number of
/// requests. What the viewer may see is `core::view::may_see`, kept in `sight`.
pub fn list(filter: &ListFilter) -> Step {
    macro_rules! rows {
        ($where:literal) => {
            concat!(
                "SELECT body, version FROM request r WHERE number < $1 AND ",
                $where,
                " ORDER BY number DESC LIMIT $2"
            )
        };
    }
    // Of each name the viewer goes by, the newest; of them all, the newest.
    macro_rules! sights {
        ($join:literal) => {
            concat!(
                "SELECT r.body, r.version FROM (
                     SELECT DISTINCT n.number FROM unnest($3) v CROSS JOIN LATERAL (
                         SELECT s.number FROM sight s ",
                $join,
                " WHERE s.viewer = v AND s.number < $1
                         ORDER BY s.number DESC LIMIT $2) n
                     ORDER BY n.number DESC LIMIT $2) newest
                 JOIN request r ON r.number = newest.number ORDER BY r.number DESC"
            )
        };
    }
    let viewer = &filter.viewer;
    let all = viewer.auditor || viewer.admin;
    let sql = match (filter.mine, filter.pending, filter.with_grant) {
        (true, true, true) => rows!("asker = $3 AND state = 'pending' AND grant_id IS NOT NULL"),
        (true, true, false) => rows!("asker = $3 AND state = 'pending'"),
        (true, false, true) => rows!("asker = $3 AND grant_id IS NOT NULL"),
        (true, false, false) => rows!("asker = $3"),
        (false, true, true) if all => rows!("state = 'pending' AND grant_id IS NOT NULL"),
        (false, true, false) if all => rows!("state = 'pending'"),
        (false, false, true) if all => rows!("grant_id IS NOT NULL"),
        (false, false, false) if all => rows!("true"),
        // What is pending is little, and each of its rows says who may see it.
        (false, true, true) => {
            rows!(
                "state = 'pending' AND grant_id IS NOT NULL
                 AND (asker = $3 OR groups && $4 OR deciders @> ARRAY[$3])"
            )
        }
        (false, true, false) => {
            rows!("state = 'pending' AND (asker = $3 OR groups && $4 OR deciders @> ARRAY[$3])")
        }
        (false, false, true) => sights!("JOIN request g ON g.number = s.number AND g.grant_id IS NOT NULL"),
        (false, false, false) => sights!(""),
    };
    let before = filter.before.map_or(i64::MAX, |n| i64::try_from(n).unwrap_or(i64::MAX));
    let step = Step::new(sql)
        .with(Type::INT8, before)
        .with(Type::INT8, i64::try_from(filter.limit).unwrap_or(i64::MAX));
    match (filter.mine, all, filter.pending) {
        (true, _, _) => step.with(Type::UUID, viewer.id.0),
        (false, true, _) => step,
        (false, false, false) => step.with(Type::TEXT_ARRAY, viewers(viewer)),
        (false, false, true) => {
            let groups: Vec<String> = viewer.groups.iter().cloned().collect();
            step.with(Type::UUID, viewer.id.0).with(Type::TEXT_ARRAY, groups)
        }
    }
}

pub fn live(grants: &[GrantId]) -> Step {
    let grants: Vec<Uuid> = grants.iter().map(|g| g.0).collect();
    Step::new(
        "SELECT grant_id FROM request WHERE grant_id = ANY ($1) AND grant_state NOT IN ('ended', 'failed')",
    )
    .with(Type::UUID_ARRAY, grants)
}

macro_rules! held {
    () => {
        "((asker = $1 AND (state = 'pending' OR grant_state NOT IN ('ended', 'failed')))
          OR (state = 'pending' AND deciders @> ARRAY[$1]))"
    };
}

/// See [`crate::store::Store::held`].
pub fn held(person: PersonId) -> Step {
    Step::new(concat!("SELECT body, version FROM request WHERE ", held!(), " ORDER BY number"))
        .with(Type::UUID, person.0)
}

/// Whether nothing is held beside these.
pub fn check_held(person: PersonId, known: &[RequestId]) -> Step {
    Step::new(concat!(
        "SELECT 1 WHERE NOT EXISTS (SELECT FROM request WHERE id <> ALL ($2) AND ",
        held!(),
        ")"
    ))
    .with(Type::UUID, person.0)
    .with(Type::UUID_ARRAY, known.iter().map(|k| k.0).collect::<Vec<_>>())
    .or(Miss::Conflict)
}
