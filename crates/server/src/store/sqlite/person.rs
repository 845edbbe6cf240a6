//! `person`, `device`, `invite`: who may talk to the server.

use super::{fail, id, json, millis, parse, time};
use crate::store::{Device, Erased, Invite, NO_DEVICE_NAME, Revoked, StoreError};
use gatepass_core::directory::Person;
use gatepass_core::id::DeviceId;
use gatepass_core::text::Digest;
use rusqlite::{Connection, OptionalExtension as _, params};

pub fn people(db: &Connection) -> Result<Vec<Person>, StoreError> {
    let mut query = db
        .prepare_cached("SELECT id, handle, name, groups, auditor, admin FROM person ORDER BY handle")
        .map_err(fail)?;
    query
        .query_map([], |row| {
            Ok(Person {
                id: id(row, 0)?,
                handle: row.get(1)?,
                name: row.get(2)?,
                groups: parse(&row.get::<_, String>(3)?)?,
                auditor: row.get(4)?,
                admin: row.get(5)?,
            })
        })
        .and_then(Iterator::collect)
        .map_err(fail)
}

pub fn write(db: &Connection, person: &Person) -> Result<(), StoreError> {
    db.prepare_cached(
        "INSERT INTO person (id, handle, name, groups, auditor, admin) VALUES (?1, ?2, ?3, ?4, ?5, ?6)
         ON CONFLICT (id) DO UPDATE SET handle = excluded.handle, name = excluded.name,
             groups = excluded.groups, auditor = excluded.auditor, admin = excluded.admin",
    )
    .and_then(|mut q| {
        q.execute(params![
            person.id.to_string(),
            person.handle,
            person.name,
            json(&person.groups)?,
            person.auditor,
            person.admin
        ])
    })
    .map(|_| ())
    .map_err(|error| match error.sqlite_error_code() {
        // Another process gave the handle to someone at the same moment.
        Some(rusqlite::ErrorCode::ConstraintViolation) => StoreError::Conflict,
        _ => fail(error),
    })
}

pub fn devices(db: &Connection) -> Result<Vec<Device>, StoreError> {
    let mut query = db
        .prepare_cached("SELECT id, person_id, name, signing_key, seal_key, disabled FROM device")
        .map_err(fail)?;
    query
        .query_map([], |row| {
            Ok(Device {
                id: id(row, 0)?,
                person: id(row, 1)?,
                name: row.get(2)?,
                signing_key: row.get(3)?,
                seal_key: row.get(4)?,
                disabled: row.get(5)?,
            })
        })
        .and_then(Iterator::collect)
        .map_err(fail)
}

/// Uses the invite up. Both or neither.
pub fn join(db: &Connection, device: &Device, invite: &Digest) -> Result<(), StoreError> {
    let used = db
        .prepare_cached(
            "UPDATE invite SET used_by = ?2 WHERE code = ?1 AND used_by IS NULL AND expires_at > 0",
        )
        .and_then(|mut q| q.execute(params![invite.0, device.id.to_string()]))
        .map_err(fail)?;
    let written = db
        .prepare_cached(
            "INSERT INTO device (id, person_id, name, signing_key, seal_key, disabled)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT DO NOTHING",
        )
        .and_then(|mut q| {
            q.execute(params![
                device.id.to_string(),
                device.person.to_string(),
                device.name,
                device.signing_key,
                device.seal_key,
                device.disabled
            ])
        })
        .map_err(fail)?;
    if used == 1 && written == 1 { Ok(()) } else { Err(StoreError::AlreadyJoined) }
}

pub fn invite(db: &Connection, code: &Digest) -> Result<Option<Invite>, StoreError> {
    db.prepare_cached("SELECT person_id, expires_at, used_by FROM invite WHERE code = ?1")
        .and_then(|mut q| {
            q.query_row([&code.0], |row| {
                let used: Option<String> = row.get(2)?;
                Ok(Invite {
                    code: code.clone(),
                    person: id(row, 0)?,
                    expires_at: time(row.get(1)?),
                    used_by: used.and_then(|d| d.parse().ok()),
                })
            })
            .optional()
        })
        .map_err(fail)
}

pub fn write_invite(db: &Connection, invite: &Invite) -> Result<(), StoreError> {
    db.prepare_cached("INSERT INTO invite (code, person_id, expires_at) VALUES (?1, ?2, ?3)")
        .and_then(|mut q| {
            q.execute(params![invite.code.0, invite.person.to_string(), millis(invite.expires_at)])
        })
        .map(|_| ())
        .map_err(fail)
}

/// The device may still sign.
pub fn check_signer(db: &Connection, device: DeviceId) -> Result<(), StoreError> {
    let disabled = db
        .prepare_cached("SELECT 1 FROM device WHERE id = ?1 AND disabled")
        .and_then(|mut q| q.exists([device.to_string()]))
        .map_err(fail)?;
    if disabled { Err(StoreError::Disabled) } else { Ok(()) }
}

/// Voids invites (their end is the beginning of time), disables devices and deletes what is sealed to them.
pub fn revoke(db: &Connection, revoked: &Revoked) -> Result<(), StoreError> {
    let person = revoked.person.to_string();
    db.prepare_cached("UPDATE invite SET expires_at = 0 WHERE person_id = ?1 AND used_by IS NULL")
        .and_then(|mut q| q.execute([&person]))
        .map_err(fail)?;
    for device in &revoked.devices {
        let device = device.to_string();
        let disabled = db
            .prepare_cached("UPDATE device SET disabled = 1 WHERE id = ?1 AND NOT disabled")
            .and_then(|mut q| q.execute([&device]))
            .map_err(fail)?;
        if disabled == 0 {
            return Err(StoreError::Conflict);
        }
        db.prepare_cached("DELETE FROM sealed WHERE device_id = ?1")
            .and_then(|mut q| q.execute([&device]))
            .map_err(fail)?;
    }
    let more = db
        .prepare_cached("SELECT 1 FROM device WHERE person_id = ?1 AND NOT disabled")
        .and_then(|mut q| q.exists([&person]))
        .map_err(fail)?;
    if more { Err(StoreError::Conflict) } else { Ok(()) }
}

/// Deletes invites and the names of devices; a conflict while a device is enabled, or the log tells of the person after
/// what was read.
pub fn erase(db: &Connection, erased: &Erased) -> Result<(), StoreError> {
    let person = erased.person.to_string();
    let seen = i64::try_from(erased.seen).unwrap_or(i64::MAX);
    db.prepare_cached("DELETE FROM invite WHERE person_id = ?1")
        .and_then(|mut q| q.execute([&person]))
        .map_err(fail)?;
    db.prepare_cached("UPDATE device SET name = ?2 WHERE person_id = ?1")
        .and_then(|mut q| q.execute([person.as_str(), NO_DEVICE_NAME]))
        .map_err(fail)?;
    let more = db
        .prepare_cached(
            "SELECT 1 FROM device WHERE person_id = ?1 AND NOT disabled
             UNION ALL SELECT 1 FROM event WHERE seq > ?2 AND instr(body, ?1) > 0",
        )
        .and_then(|mut q| q.exists(params![person, seen]))
        .map_err(fail)?;
    if more { Err(StoreError::Conflict) } else { Ok(()) }
}
