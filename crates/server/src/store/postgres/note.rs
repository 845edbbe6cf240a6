//! `note`.

use super::step::Step;
use super::{get, id};
use crate::store::{NoteChange, StoreError};
use gatepass_core::id::GrantId;
use tokio_postgres::Row;
use tokio_postgres::types::Type;

pub fn change(change: &NoteChange) -> Step {
    match change {
        NoteChange::Put { target, grant, text } => Step::new(
            "INSERT INTO note (target, grant_id, text) VALUES ($1, $2, $3)
             ON CONFLICT (target, grant_id) DO UPDATE SET text = excluded.text",
        )
        .with(Type::TEXT, target.clone())
        .with(Type::UUID, grant.0)
        .with(Type::TEXT, text.clone()),
        NoteChange::Delete { target, grant } => {
            Step::new("DELETE FROM note WHERE target = $1 AND grant_id = $2")
                .with(Type::TEXT, target.clone())
                .with(Type::UUID, grant.0)
        }
    }
}

pub fn find(target: &str, grant: GrantId) -> Step {
    Step::new("SELECT text FROM note WHERE target = $1 AND grant_id = $2")
        .with(Type::TEXT, target.to_owned())
        .with(Type::UUID, grant.0)
}

pub fn of(target: &str) -> Step {
    Step::new("SELECT grant_id, text FROM note WHERE target = $1 ORDER BY grant_id")
        .with(Type::TEXT, target.to_owned())
}

pub fn read(row: &Row) -> Result<(GrantId, String), StoreError> {
    Ok((GrantId(id(row, 0)?), get(row, 1)?))
}
