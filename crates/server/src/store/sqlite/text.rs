//! `text`: free text from people, beside the log.

use super::{fail, json, parse};
use crate::store::beside::Header;
use crate::store::{Position, StoreError, Worded};
use gatepass_core::id::RequestId;
use gatepass_core::text::{Digest, SaltedText};
use rusqlite::{Connection, params};
use std::collections::BTreeMap;

pub fn write(
    db: &Connection,
    seq: u64,
    digest: &Digest,
    request: Option<RequestId>,
    text: &SaltedText,
) -> Result<(), StoreError> {
    db.prepare_cached("INSERT INTO text (seq, digest, request_id, salt, text) VALUES (?1, ?2, ?3, ?4, ?5)")
        .and_then(|mut q| {
            q.execute(params![seq as i64, digest.0, request.map(|r| r.to_string()), text.salt, text.text])
        })
        .map_err(fail)?;
    Ok(())
}

pub fn erase(db: &Connection, seq: u64) -> Result<(), StoreError> {
    db.prepare_cached("DELETE FROM text WHERE seq = ?1")
        .and_then(|mut q| q.execute([seq as i64]))
        .map(|_| ())
        .map_err(fail)
}

pub fn worded(db: &Connection, after: u64, limit: usize) -> Result<Vec<Worded>, StoreError> {
    let mut query = db
        .prepare_cached(
            "SELECT e.seq, e.body, r.state = 'pending' OR coalesce(r.grant_state NOT IN ('ended', 'failed'), false)
             FROM (SELECT DISTINCT seq FROM text WHERE seq > ?1 ORDER BY seq LIMIT ?2) t
             JOIN event e ON e.seq = t.seq LEFT JOIN request r ON r.id = e.request_id ORDER BY e.seq",
        )
        .map_err(fail)?;
    let mut there =
        db.prepare_cached("SELECT 1 FROM drift WHERE id = ?1 AND state <> 'gone'").map_err(fail)?;
    let after = i64::try_from(after).unwrap_or(i64::MAX);
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let mut rows = query.query(params![after, limit]).map_err(fail)?;
    let mut found = Vec::new();
    while let Some(row) = rows.next().map_err(fail)? {
        let seq: i64 = row.get(0).map_err(fail)?;
        let header: Header = row.get_ref(1).and_then(|b| parse(b.as_str()?)).map_err(fail)?;
        let mut open = row.get::<_, Option<bool>>(2).map_err(fail)?.unwrap_or(false);
        if let Some(drift) = header.drift {
            open |= there.exists([drift.to_string()]).map_err(fail)?;
        }
        let position = Position { seq: seq as u64, event: header.id };
        found.push(Worded { position, at: header.at, kind: header.kind, over: !open });
    }
    Ok(found)
}

pub fn of_request(db: &Connection, request: RequestId) -> Result<BTreeMap<Digest, String>, StoreError> {
    let mut query = db.prepare_cached("SELECT digest, text FROM text WHERE request_id = ?1").map_err(fail)?;
    query
        .query_map([request.to_string()], |row| Ok((Digest(row.get(0)?), row.get(1)?)))
        .and_then(Iterator::collect)
        .map_err(fail)
}

pub fn of_requests(
    db: &Connection,
    requests: &[RequestId],
) -> Result<BTreeMap<RequestId, BTreeMap<Digest, String>>, StoreError> {
    let mut query = db
        .prepare_cached(
            "SELECT t.request_id, t.digest, t.text FROM json_each(?1) j JOIN text t ON t.request_id = j.value",
        )
        .map_err(fail)?;
    let mut rows = query.query([json(&requests).map_err(fail)?]).map_err(fail)?;
    let mut found: BTreeMap<RequestId, BTreeMap<Digest, String>> = BTreeMap::new();
    while let Some(row) = rows.next().map_err(fail)? {
        let id: String = row.get(0).map_err(fail)?;
        if let Ok(id) = id.parse() {
            let digest = Digest(row.get(1).map_err(fail)?);
            found.entry(id).or_default().insert(digest, row.get(2).map_err(fail)?);
        }
    }
    Ok(found)
}

/// Texts of the events `first..=last`, by position.
pub fn between(db: &Connection, first: u64, last: u64) -> Result<BTreeMap<u64, Vec<SaltedText>>, StoreError> {
    let mut query =
        db.prepare_cached("SELECT seq, salt, text FROM text WHERE seq BETWEEN ?1 AND ?2").map_err(fail)?;
    let mut rows = query.query(params![first as i64, last as i64]).map_err(fail)?;
    let mut found: BTreeMap<u64, Vec<SaltedText>> = BTreeMap::new();
    while let Some(row) = rows.next().map_err(fail)? {
        let seq: i64 = row.get(0).map_err(fail)?;
        let text = SaltedText { salt: row.get(1).map_err(fail)?, text: row.get(2).map_err(fail)? };
        found.entry(seq as u64).or_default().push(text);
    }
    Ok(found)
}
