//! `command`: what was already carried out.

use super::fail;
use crate::store::{Recorded, StoreError};
use gatepass_core::id::CommandId;
use gatepass_core::text::Digest;
use rusqlite::{Connection, OptionalExtension as _, params};

pub fn find(db: &Connection, id: CommandId) -> Result<Option<Recorded>, StoreError> {
    db.prepare_cached("SELECT digest, request_id FROM command WHERE id = ?1")
        .and_then(|mut q| {
            q.query_row([id.to_string()], |row| {
                let request: Option<String> = row.get(1)?;
                let request = request.and_then(|r| r.parse().ok());
                Ok(Recorded { id, digest: Digest(row.get(0)?), request })
            })
            .optional()
        })
        .map_err(fail)
}

pub fn write(db: &Connection, command: &Recorded) -> Result<(), StoreError> {
    let written = db
        .prepare_cached(
            "INSERT INTO command (id, digest, request_id) VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING",
        )
        .and_then(|mut q| {
            q.execute(params![
                command.id.to_string(),
                command.digest.0,
                command.request.map(|r| r.to_string())
            ])
        })
        .map_err(fail)?;
    if written == 1 {
        return Ok(());
    }
    Err(find(db, command.id)?.map_or(StoreError::Conflict, StoreError::Repeated))
}
