//! `request` and `sight`: the projections, and who may see them.

use super::{fail, json, parse};
use crate::store::{Detail, ListFilter, Loaded, Lookup, Row, RowChange, Seen, StoreError};
use gatepass_core::directory::Person;
use gatepass_core::id::{GrantId, Number, PersonId, RequestId};
use gatepass_core::request::Request;
use gatepass_core::text::Digest;
use rusqlite::{Connection, OptionalExtension as _, params};
use std::collections::{BTreeMap, BTreeSet};

pub fn next_number(db: &Connection) -> Result<Number, StoreError> {
    let max: Option<i64> = db
        .prepare_cached("SELECT max(number) FROM request")
        .and_then(|mut q| q.query_row([], |row| row.get(0)))
        .map_err(fail)?;
    Ok(Number(u64::try_from(max.unwrap_or(0)).unwrap_or(0) + 1))
}

pub fn write(db: &Connection, change: &RowChange) -> Result<Row, StoreError> {
    let request = &change.request;
    let deciders: Vec<_> = request.deciders().collect();
    let version = change.expected + 1;
    let grant_state = request.grant.as_ref().map(|g| name_of(&g.state)).transpose()?;
    let state = name_of(&request.state)?;
    let written = if change.expected == 0 {
        db.prepare_cached(
            "INSERT INTO request (id, number, version, state, asker, groups, deciders, extends, grant_id,
                 grant_state, body)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11) ON CONFLICT (id) DO NOTHING",
        )
        .and_then(|mut q| {
            q.execute(params![
                request.id.to_string(),
                request.number.0 as i64,
                version as i64,
                state,
                request.by.to_string(),
                json(&request.approver_groups())?,
                json(&deciders)?,
                request.extends.map(|g| g.to_string()),
                request.grant.as_ref().map(|g| g.id.to_string()),
                grant_state,
                json(request)?
            ])
        })
    } else {
        db.prepare_cached(
            "UPDATE request SET version = ?3, state = ?4, deciders = ?5, grant_id = ?6, grant_state = ?7, body = ?8
             WHERE id = ?1 AND version = ?2",
        )
        .and_then(|mut q| {
            q.execute(params![
                request.id.to_string(),
                change.expected as i64,
                version as i64,
                state,
                json(&deciders)?,
                request.grant.as_ref().map(|g| g.id.to_string()),
                grant_state,
                json(request)?
            ])
        })
    };
    if written.map_err(fail)? == 0 {
        return Err(StoreError::Conflict);
    }
    for decider in deciders {
        let_see(db, &format!("p:{decider}"), request.number)?;
    }
    if change.expected == 0 {
        let_see(db, &format!("p:{}", request.by), request.number)?;
        for group in request.approver_groups() {
            let_see(db, &format!("g:{group}"), request.number)?;
        }
    }
    Ok(Row { request: request.clone(), version })
}

/// Whoever goes by the name `viewer` may see the request.
fn let_see(db: &Connection, viewer: &str, number: Number) -> Result<(), StoreError> {
    db.prepare_cached("INSERT INTO sight (viewer, number) VALUES (?1, ?2) ON CONFLICT DO NOTHING")
        .and_then(|mut q| q.execute(params![viewer, number.0 as i64]))
        .map_err(fail)?;
    Ok(())
}

/// An enum's word on the wire.
fn name_of<T: serde::Serialize>(value: &T) -> Result<String, StoreError> {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(name)) => Ok(name),
        _ => Err(StoreError::Failed("a state has no name".to_owned())),
    }
}

fn read(row: &rusqlite::Row<'_>) -> rusqlite::Result<Row> {
    let body: String = row.get(0)?;
    let version: i64 = row.get(1)?;
    Ok(Row { request: parse(&body)?, version: version as u64 })
}

pub fn find(db: &Connection, lookup: Lookup) -> Result<Option<Row>, StoreError> {
    let one = |sql: &str, key: &dyn rusqlite::ToSql| {
        db.prepare_cached(sql).and_then(|mut q| q.query_row([key], read).optional()).map_err(fail)
    };
    match lookup {
        Lookup::Request(id) => one("SELECT body, version FROM request WHERE id = ?1", &id.to_string()),
        Lookup::Number(number) => {
            one("SELECT body, version FROM request WHERE number = ?1", &i64::try_from(number).unwrap_or(0))
        }
        Lookup::Grant(id) => one("SELECT body, version FROM request WHERE grant_id = ?1", &id.to_string()),
        Lookup::Either(id) => {
            one("SELECT body, version FROM request WHERE id = ?1 OR grant_id = ?1", &id.to_string())
        }
    }
}

pub fn seen(db: &Connection, request: RequestId) -> Result<Option<Seen>, StoreError> {
    db.prepare_cached("SELECT asker, groups, deciders FROM request WHERE id = ?1")
        .and_then(|mut q| {
            q.query_row([request.to_string()], |row| {
                Ok(Seen {
                    asker: super::id(row, 0)?,
                    groups: parse(row.get_ref(1)?.as_str()?)?,
                    deciders: parse(row.get_ref(2)?.as_str()?)?,
                })
            })
            .optional()
        })
        .map_err(fail)
}

pub fn load(db: &Connection, lookup: Lookup) -> Result<Loaded, StoreError> {
    let row = find(db, lookup)?;
    let parent = match row.as_ref().and_then(|r| r.request.extends) {
        Some(grant) => find(db, Lookup::Grant(grant))?,
        None => None,
    };
    Ok(Loaded { recorded: None, row, parent })
}

pub fn detail(db: &Connection, request: &Request) -> Result<Detail, StoreError> {
    let texts = super::text::of_request(db, request.id)?;
    let extension = match &request.grant {
        Some(grant) => db
            .prepare_cached("SELECT id FROM request WHERE extends = ?1 AND state = 'pending' LIMIT 1")
            .and_then(|mut q| q.query_row([grant.id.to_string()], |row| row.get::<_, String>(0)).optional())
            .map_err(fail)?
            .and_then(|id| id.parse::<RequestId>().ok()),
        None => None,
    };
    Ok(Detail { texts, extension })
}

/// The names by which a person sees requests.
fn names(viewer: &Person) -> Vec<String> {
    let groups = viewer.groups.iter().map(|g| format!("g:{g}"));
    std::iter::once(format!("p:{}", viewer.id)).chain(groups).collect()
}

/// Newest first. Each form reads the newest from an index and stops: what it costs does not grow with the number of
/// requests. What the viewer may see is `core::view::may_see`, kept in `sight`.
pub fn list(db: &Connection, filter: &ListFilter) -> Result<Vec<(Row, Detail)>, StoreError> {
    let rows = newest(db, filter)?;
    let ids: Vec<RequestId> = rows.iter().map(|r| r.request.id).collect();
    let grants: Vec<GrantId> = rows.iter().filter_map(|r| r.request.grant.as_ref().map(|g| g.id)).collect();
    let mut texts: BTreeMap<RequestId, BTreeMap<Digest, String>> = super::text::of_requests(db, &ids)?;
    let mut extensions = extensions(db, &grants)?;
    Ok(rows
        .into_iter()
        .map(|row| {
            let detail = Detail {
                texts: texts.remove(&row.request.id).unwrap_or_default(),
                extension: row.request.grant.as_ref().and_then(|g| extensions.remove(&g.id)),
            };
            (row, detail)
        })
        .collect())
}

fn newest(db: &Connection, filter: &ListFilter) -> Result<Vec<Row>, StoreError> {
    macro_rules! rows {
        ($where:literal) => {
            concat!(
                "SELECT body, version FROM request r WHERE number < ?1 AND ",
                $where,
                " ORDER BY number DESC LIMIT ?2"
            )
        };
    }
    let viewer = &filter.viewer;
    let all = viewer.auditor || viewer.admin;
    let who = viewer.id.to_string();
    let sql = match (filter.mine, filter.pending, filter.with_grant) {
        (true, true, true) => rows!("asker = ?3 AND state = 'pending' AND grant_id IS NOT NULL"),
        (true, true, false) => rows!("asker = ?3 AND state = 'pending'"),
        (true, false, true) => rows!("asker = ?3 AND grant_id IS NOT NULL"),
        (true, false, false) => rows!("asker = ?3"),
        (false, true, true) if all => rows!("state = 'pending' AND grant_id IS NOT NULL"),
        (false, true, false) if all => rows!("state = 'pending'"),
        (false, false, true) if all => rows!("grant_id IS NOT NULL"),
        (false, false, false) if all => rows!("true"),
        (false, true, true) => rows!(
            "state = 'pending' AND grant_id IS NOT NULL AND EXISTS (
                 SELECT 1 FROM sight s WHERE s.number = r.number AND s.viewer IN (SELECT value FROM json_each(?3)))"
        ),
        (false, true, false) => rows!(
            "state = 'pending' AND EXISTS (
                 SELECT 1 FROM sight s WHERE s.number = r.number AND s.viewer IN (SELECT value FROM json_each(?3)))"
        ),
        (false, false, with_grant) => return newest_in_sight(db, filter, with_grant),
    };
    let limit = i64::try_from(filter.limit).unwrap_or(i64::MAX);
    let third = match (filter.mine, all) {
        (true, _) => Some(who),
        (false, true) => None,
        (false, false) => Some(json(&names(viewer)).map_err(fail)?),
    };
    let mut query = db.prepare_cached(sql).map_err(fail)?;
    let rows = match third {
        Some(third) => query.query_map(params![before(filter), limit, third], read),
        None => query.query_map(params![before(filter), limit], read),
    };
    rows.and_then(Iterator::collect).map_err(fail)
}

/// Of each name the viewer goes by, the newest; of them all, the newest.
fn newest_in_sight(db: &Connection, filter: &ListFilter, with_grant: bool) -> Result<Vec<Row>, StoreError> {
    let mut query = db
        .prepare_cached(if with_grant {
            // CROSS JOIN: in the order of `sight`, so that it can stop.
            "SELECT s.number FROM sight s CROSS JOIN request g ON g.number = s.number AND g.grant_id IS NOT NULL
             WHERE s.viewer = ?3 AND s.number < ?1 ORDER BY s.number DESC LIMIT ?2"
        } else {
            "SELECT number FROM sight WHERE viewer = ?3 AND number < ?1 ORDER BY number DESC LIMIT ?2"
        })
        .map_err(fail)?;
    let limit = i64::try_from(filter.limit).unwrap_or(i64::MAX);
    let mut numbers = BTreeSet::new();
    for name in names(&filter.viewer) {
        let found = query
            .query_map(params![before(filter), limit, name], |row| row.get::<_, i64>(0))
            .and_then(Iterator::collect::<rusqlite::Result<Vec<_>>>)
            .map_err(fail)?;
        numbers.extend(found);
    }
    let mut query = db.prepare_cached("SELECT body, version FROM request WHERE number = ?1").map_err(fail)?;
    let newest = numbers.into_iter().rev().take(filter.limit);
    newest.map(|number| query.query_row([number], read).map_err(fail)).collect()
}

/// The number that all are below.
fn before(filter: &ListFilter) -> i64 {
    filter.before.map_or(i64::MAX, |n| i64::try_from(n).unwrap_or(i64::MAX))
}

/// The pending requests that extend these grants.
fn extensions(db: &Connection, grants: &[GrantId]) -> Result<BTreeMap<GrantId, RequestId>, StoreError> {
    let mut query = db
        .prepare_cached(
            "SELECT r.extends, r.id FROM json_each(?1) g
             CROSS JOIN request r ON r.extends = g.value AND r.state = 'pending'",
        )
        .map_err(fail)?;
    let rows = query
        .query_map([json(&grants).map_err(fail)?], |row| Ok((super::id(row, 0)?, super::id(row, 1)?)))
        .and_then(Iterator::collect::<rusqlite::Result<BTreeMap<GrantId, RequestId>>>);
    rows.map_err(fail)
}

pub fn live(db: &Connection, grants: &[GrantId]) -> Result<Vec<GrantId>, StoreError> {
    let mut query = db
        .prepare_cached(
            "SELECT 1 FROM request WHERE grant_id = ?1 AND grant_state NOT IN ('ended', 'failed')",
        )
        .map_err(fail)?;
    let mut found = BTreeSet::new();
    for grant in grants {
        if query.exists([grant.to_string()]).map_err(fail)? {
            found.insert(*grant);
        }
    }
    Ok(found.into_iter().collect())
}

/// See [`crate::store::Store::held`].
pub fn held(db: &Connection, person: PersonId) -> Result<Vec<Row>, StoreError> {
    let mut query = db
        .prepare_cached(
            "SELECT body, version FROM request WHERE asker = ?1 AND state = 'pending'
             UNION SELECT body, version FROM request
                 WHERE asker = ?1 AND grant_id IS NOT NULL AND grant_state NOT IN ('ended', 'failed')
             UNION SELECT body, version FROM request
                 WHERE state = 'pending' AND EXISTS (SELECT 1 FROM json_each(deciders) WHERE value = ?1)",
        )
        .map_err(fail)?;
    query.query_map([person.to_string()], read).and_then(Iterator::collect).map_err(fail)
}

/// Whether nothing is held beside these.
pub fn check_held(db: &Connection, person: PersonId, known: &[RequestId]) -> Result<(), StoreError> {
    let held = held(db, person)?;
    let all = held.iter().all(|row| known.contains(&row.request.id));
    if all { Ok(()) } else { Err(StoreError::Conflict) }
}
