//! `command`: what was already carried out.

use super::step::{Miss, Step};
use crate::store::{Recorded, StoreError};
use gatepass_core::id::{CommandId, RequestId};
use gatepass_core::text::Digest;
use tokio_postgres::Row;
use tokio_postgres::types::Type;
use uuid::Uuid;

pub fn find(id: CommandId) -> Step {
    Step::new("SELECT digest, request_id FROM command WHERE id = $1").with(Type::UUID, id.0)
}

pub fn read(id: CommandId, row: &Row) -> Result<Recorded, StoreError> {
    let request: Option<Uuid> = super::get(row, 1)?;
    Ok(Recorded { id, digest: Digest(super::get(row, 0)?), request: request.map(RequestId) })
}

/// Waits for another transaction with the same command to end.
pub fn write(command: &Recorded) -> Step {
    Step::new(
        "INSERT INTO command (id, digest, request_id) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING RETURNING 1",
    )
    .with(Type::UUID, command.id.0)
    .with(Type::TEXT, command.digest.0.clone())
    .with(Type::UUID, command.request.map(|r| r.0))
    .or(Miss::Repeated)
}
