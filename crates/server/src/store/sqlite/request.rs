//! `request`: the projections.

use super::{fail, json, parse};
use crate::store::{Detail, ListFilter, Loaded, Lookup, Row, RowChange, Seen, StoreError};
use gatepass_core::id::{GrantId, Number, RequestId};
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
    let deciders: Vec<_> =
        request.approvals.iter().map(|a| a.by).chain(request.denial.iter().map(|d| d.by)).collect();
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
    Ok(Row { request: request.clone(), version })
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

/// Newest first. What the viewer may see is `core::view::may_see`, said in SQL.
pub fn list(db: &Connection, filter: &ListFilter) -> Result<Vec<(Row, Detail)>, StoreError> {
    let viewer = &filter.viewer;
    let mut query = db
        .prepare_cached(
            "SELECT body, version FROM request r
             WHERE number < ?1
               AND (?2 OR asker = ?3
                    OR EXISTS (SELECT 1 FROM json_each(r.groups) g JOIN json_each(?4) m ON g.value = m.value)
                    OR EXISTS (SELECT 1 FROM json_each(r.deciders) d WHERE d.value = ?3))
               AND (NOT ?5 OR asker = ?3)
               AND (NOT ?6 OR state = 'pending')
               AND (NOT ?7 OR grant_id IS NOT NULL)
             ORDER BY number DESC LIMIT ?8",
        )
        .map_err(fail)?;
    let before = filter.before.map_or(i64::MAX, |n| i64::try_from(n).unwrap_or(i64::MAX));
    let rows = query
        .query_map(
            params![
                before,
                viewer.auditor || viewer.admin,
                viewer.id.to_string(),
                json(&viewer.groups).map_err(fail)?,
                filter.mine,
                filter.pending,
                filter.with_grant,
                filter.limit as i64
            ],
            read,
        )
        .and_then(Iterator::collect::<rusqlite::Result<Vec<Row>>>)
        .map_err(fail)?;
    let ids: Vec<RequestId> = rows.iter().map(|r| r.request.id).collect();
    let mut texts: BTreeMap<RequestId, BTreeMap<Digest, String>> = super::text::of_requests(db, &ids)?;
    let mut extensions = extensions(db)?;
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

fn extensions(db: &Connection) -> Result<BTreeMap<GrantId, RequestId>, StoreError> {
    let mut query = db
        .prepare_cached("SELECT extends, id FROM request WHERE extends IS NOT NULL AND state = 'pending'")
        .map_err(fail)?;
    let rows = query
        .query_map([], |row| Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?)))
        .and_then(Iterator::collect::<rusqlite::Result<Vec<_>>>)
        .map_err(fail)?;
    Ok(rows.into_iter().filter_map(|(grant, id)| Some((grant.parse().ok()?, id.parse().ok()?))).collect())
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
