//! `sealed` and `setting`.

use super::fail;
use crate::store::{Sealed, StoreError};
use gatepass_core::id::GrantId;
use rusqlite::{Connection, OptionalExtension as _, params};

pub fn write(db: &Connection, sealed: &Sealed) -> Result<(), StoreError> {
    // Not to a device that was disabled meanwhile.
    db.prepare_cached(
        "INSERT OR REPLACE INTO sealed (grant_id, device_id, sealed) SELECT ?1, ?2, ?3
         WHERE NOT EXISTS (SELECT 1 FROM device WHERE id = ?2 AND disabled)",
    )
    .and_then(|mut q| q.execute(params![sealed.grant.to_string(), sealed.device.to_string(), sealed.sealed]))
    .map(|_| ())
    .map_err(fail)
}

pub fn find(db: &Connection, grant: GrantId) -> Result<Option<Sealed>, StoreError> {
    let found: Option<(String, String)> = db
        .prepare_cached("SELECT device_id, sealed FROM sealed WHERE grant_id = ?1")
        .and_then(|mut q| q.query_row([grant.to_string()], |row| Ok((row.get(0)?, row.get(1)?))).optional())
        .map_err(fail)?;
    Ok(found.and_then(|(device, sealed)| Some(Sealed { grant, device: device.parse().ok()?, sealed })))
}

pub fn setting(db: &Connection, key: &str) -> Result<Option<String>, StoreError> {
    db.prepare_cached("SELECT value FROM setting WHERE key = ?1")
        .and_then(|mut q| q.query_row([key], |row| row.get(0)).optional())
        .map_err(fail)
}

pub fn write_setting(db: &Connection, key: &str, value: &str) -> Result<(), StoreError> {
    db.prepare_cached("INSERT OR REPLACE INTO setting (key, value) VALUES (?1, ?2)")
        .and_then(|mut q| q.execute([key, value]))
        .map(|_| ())
        .map_err(fail)
}
