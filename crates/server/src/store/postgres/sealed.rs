//! `sealed` and `setting`, where the nodes' turns are kept too.

use super::get;
use super::step::{Miss, Step};
use crate::Time;
use crate::store::{Sealed, StoreError};
use gatepass_core::id::{DeviceId, GrantId};
use tokio_postgres::Row;
use tokio_postgres::types::Type;

pub fn write(sealed: &Sealed) -> Step {
    Step::new(
        // Not to a device that was disabled meanwhile.
        "INSERT INTO sealed (grant_id, device_id, sealed) SELECT $1, $2, $3
         WHERE NOT EXISTS (SELECT FROM device WHERE id = $2 AND disabled)
         ON CONFLICT (grant_id) DO UPDATE SET device_id = excluded.device_id, sealed = excluded.sealed",
    )
    .with(Type::UUID, sealed.grant.0)
    .with(Type::UUID, sealed.device.0)
    .with(Type::TEXT, sealed.sealed.clone())
}

pub fn find(grant: GrantId) -> Step {
    Step::new("SELECT device_id, sealed FROM sealed WHERE grant_id = $1").with(Type::UUID, grant.0)
}

pub fn read(grant: GrantId, row: &Row) -> Result<Sealed, StoreError> {
    Ok(Sealed { grant, device: DeviceId(super::id(row, 0)?), sealed: get(row, 1)? })
}

pub fn setting(key: &str) -> Step {
    Step::new("SELECT value FROM setting WHERE key = $1").with(Type::TEXT, key.to_owned())
}

pub fn write_setting(key: &str, value: &str) -> Step {
    Step::new(
        "INSERT INTO setting (key, value) VALUES ($1, $2) ON CONFLICT (key) DO UPDATE SET value = excluded.value",
    )
    .with(Type::TEXT, key.to_owned())
    .with(Type::TEXT, value.to_owned())
}

/// A turn is a setting with the time, in milliseconds, at which it ends. One that would last twice as long as the one
/// that is asked for was taken before the clock was set back.
pub fn turn(at: &str, now: Time, until: Time) -> Step {
    Step::new(
        "INSERT INTO setting AS s (key, value) VALUES ($1, ($3::bigint)::text)
         ON CONFLICT (key) DO UPDATE SET value = excluded.value
         WHERE s.value::bigint <= $2 OR s.value::bigint > 2 * $3 - $2 RETURNING 1",
    )
    .with(Type::TEXT, at.to_owned())
    .with(Type::INT8, now.timestamp_millis())
    .with(Type::INT8, until.timestamp_millis())
    .or(Miss::Conflict)
}

pub fn read_turn(value: &str) -> Result<Time, StoreError> {
    let millis = value.parse().map_err(|_| StoreError::Failed(format!("{value} is no turn")))?;
    Time::from_timestamp_millis(millis).ok_or_else(|| StoreError::Failed(format!("{value} is no time")))
}
