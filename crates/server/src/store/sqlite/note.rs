//! `note`.

use super::{fail, id};
use crate::store::{NoteChange, StoreError};
use gatepass_core::id::GrantId;
use rusqlite::{Connection, OptionalExtension as _, params};

pub fn change(db: &Connection, change: &NoteChange) -> Result<(), StoreError> {
    match change {
        NoteChange::Put { target, grant, text } => db
            .prepare_cached("INSERT OR REPLACE INTO note (target, grant_id, text) VALUES (?1, ?2, ?3)")
            .and_then(|mut q| q.execute(params![target, grant.to_string(), text])),
        NoteChange::Delete { target, grant } => db
            .prepare_cached("DELETE FROM note WHERE target = ?1 AND grant_id = ?2")
            .and_then(|mut q| q.execute(params![target, grant.to_string()])),
    }
    .map(|_| ())
    .map_err(fail)
}

pub fn find(db: &Connection, target: &str, grant: GrantId) -> Result<Option<String>, StoreError> {
    db.prepare_cached("SELECT text FROM note WHERE target = ?1 AND grant_id = ?2")
        .and_then(|mut q| q.query_row(params![target, grant.to_string()], |row| row.get(0)).optional())
        .map_err(fail)
}

pub fn of(db: &Connection, target: &str) -> Result<Vec<(GrantId, String)>, StoreError> {
    db.prepare_cached("SELECT grant_id, text FROM note WHERE target = ?1 ORDER BY grant_id")
        .and_then(|mut q| q.query_map([target], |row| Ok((id(row, 0)?, row.get(1)?)))?.collect())
        .map_err(fail)
}
