//! `person`, `device`, `invite`: who may talk to the server.

use super::step::{Miss, Step};
use super::{get, id};
use crate::Time;
use crate::store::{Device, Erased, Invite, NO_DEVICE_NAME, Revoked, StoreError};
use gatepass_core::directory::Person;
use gatepass_core::id::{DeviceId, PersonId};
use gatepass_core::text::Digest;
use tokio_postgres::Row;
use tokio_postgres::types::Type;
use uuid::Uuid;

pub fn people() -> Step {
    Step::new("SELECT id, handle, name, groups, auditor, admin FROM person ORDER BY handle")
}

pub fn read(row: &Row) -> Result<Person, StoreError> {
    Ok(Person {
        id: PersonId(id(row, 0)?),
        handle: get(row, 1)?,
        name: get(row, 2)?,
        groups: get::<Vec<String>>(row, 3)?.into_iter().collect(),
        auditor: get(row, 4)?,
        admin: get(row, 5)?,
    })
}

/// A handle that somebody else has meanwhile is a conflict.
pub fn write(person: &Person) -> Step {
    Step::new(
        "INSERT INTO person (id, handle, name, groups, auditor, admin) VALUES ($1, $2, $3, $4, $5, $6)
         ON CONFLICT (id) DO UPDATE SET handle = excluded.handle, name = excluded.name,
             groups = excluded.groups, auditor = excluded.auditor, admin = excluded.admin",
    )
    .with(Type::UUID, person.id.0)
    .with(Type::TEXT, person.handle.clone())
    .with(Type::TEXT, person.name.clone())
    .with(Type::TEXT_ARRAY, person.groups.iter().cloned().collect::<Vec<_>>())
    .with(Type::BOOL, person.auditor)
    .with(Type::BOOL, person.admin)
}

/// Lets every node notice that people or devices changed.
pub fn changed() -> Step {
    Step::new("UPDATE directory SET version = version + 1")
}

pub fn devices() -> Step {
    Step::new("SELECT id, person_id, name, signing_key, seal_key, disabled FROM device")
}

pub fn read_device(row: &Row) -> Result<Device, StoreError> {
    Ok(Device {
        id: DeviceId(id(row, 0)?),
        person: PersonId(id(row, 1)?),
        name: get(row, 2)?,
        signing_key: get(row, 3)?,
        seal_key: get(row, 4)?,
        disabled: get(row, 5)?,
    })
}

/// Uses the invite up. Both or neither.
pub fn join(device: &Device, invite: &Digest) -> [Step; 2] {
    [
        Step::new(
            "UPDATE invite SET used_by = $2
             WHERE code = $1 AND used_by IS NULL AND expires_at > 'epoch' RETURNING 1",
        )
        .with(Type::TEXT, invite.0.clone())
        .with(Type::UUID, device.id.0)
        .or(Miss::AlreadyJoined),
        Step::new(
            "INSERT INTO device (id, person_id, name, signing_key, seal_key, disabled)
             VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT DO NOTHING RETURNING 1",
        )
        .with(Type::UUID, device.id.0)
        .with(Type::UUID, device.person.0)
        .with(Type::TEXT, device.name.clone())
        .with(Type::TEXT, device.signing_key.clone())
        .with(Type::TEXT, device.seal_key.clone())
        .with(Type::BOOL, device.disabled)
        .or(Miss::AlreadyJoined),
    ]
}

pub fn invite(code: &Digest) -> Step {
    Step::new("SELECT person_id, expires_at, used_by FROM invite WHERE code = $1")
        .with(Type::TEXT, code.0.clone())
}

pub fn read_invite(code: &Digest, row: &Row) -> Result<Invite, StoreError> {
    Ok(Invite {
        code: code.clone(),
        person: PersonId(id(row, 0)?),
        expires_at: get::<Time>(row, 1)?,
        used_by: get::<Option<Uuid>>(row, 2)?.map(DeviceId),
    })
}

pub fn write_invite(invite: &Invite) -> Step {
    Step::new("INSERT INTO invite (code, person_id, expires_at) VALUES ($1, $2, $3)")
        .with(Type::TEXT, invite.code.0.clone())
        .with(Type::UUID, invite.person.0)
        .with(Type::TIMESTAMPTZ, invite.expires_at)
}

/// The device may still sign, and is not disabled before the change that it signed is committed.
pub fn check_signer(device: DeviceId) -> Step {
    Step::new("SELECT 1 FROM device WHERE id = $1 AND NOT disabled FOR SHARE")
        .with(Type::UUID, device.0)
        .or(Miss::Disabled)
}

/// Voids invites (their end is the beginning of time), disables devices and deletes what is sealed to them. Devices are
/// locked in the order of their ids, the signer's with them, so that two admins who revoke each other do not wait for
/// each other for ever.
pub fn revoke(revoked: &Revoked, signer: Option<DeviceId>) -> Vec<Step> {
    let person = || revoked.person.0;
    let devices: Vec<Uuid> = revoked.devices.iter().map(|d| d.0).collect();
    let locked: Vec<Uuid> = devices.iter().copied().chain(signer.map(|d| d.0)).collect();
    let count = devices.len() as i64;
    let mut steps = vec![
        Step::new("SELECT 1 FROM device WHERE id = ANY ($1) ORDER BY id FOR UPDATE")
            .with(Type::UUID_ARRAY, locked),
    ];
    steps.extend(signer.map(check_signer));
    steps.extend([
        // Waits for devices that are just joining with one.
        Step::new("UPDATE invite SET expires_at = 'epoch' WHERE person_id = $1 AND used_by IS NULL")
            .with(Type::UUID, person()),
        Step::new(
            "WITH gone AS (UPDATE device SET disabled = true WHERE id = ANY ($1) AND NOT disabled RETURNING 1)
             SELECT 1 FROM gone HAVING count(*) = $2",
        )
        .with(Type::UUID_ARRAY, devices.clone())
        .with(Type::INT8, count)
        .or(Miss::Conflict),
        Step::new("SELECT 1 WHERE NOT EXISTS (SELECT FROM device WHERE person_id = $1 AND NOT disabled)")
            .with(Type::UUID, person())
            .or(Miss::Conflict),
        Step::new("DELETE FROM sealed WHERE device_id = ANY ($1)").with(Type::UUID_ARRAY, devices),
    ]);
    steps
}

/// Deletes invites and the names of devices; a conflict while a device is enabled, or the log tells of the person after
/// what was read. What has no place in it yet counts, too.
pub fn erase(erased: &Erased) -> [Step; 4] {
    let person = || erased.person.0;
    [
        // Waits for devices that are just joining with one.
        Step::new("DELETE FROM invite WHERE person_id = $1").with(Type::UUID, person()),
        Step::new("UPDATE device SET name = $2 WHERE person_id = $1")
            .with(Type::UUID, person())
            .with(Type::TEXT, NO_DEVICE_NAME.to_owned()),
        Step::new("SELECT 1 WHERE NOT EXISTS (SELECT FROM device WHERE person_id = $1 AND NOT disabled)")
            .with(Type::UUID, person())
            .or(Miss::Conflict),
        Step::new(
            "SELECT 1 WHERE NOT EXISTS (SELECT FROM event WHERE seq > $2 AND strpos(body, $1) > 0)
             AND NOT EXISTS (SELECT FROM outbox WHERE strpos(body, $1) > 0)",
        )
        .with(Type::TEXT, erased.person.to_string())
        .with(Type::INT8, i64::try_from(erased.seen).unwrap_or(i64::MAX))
        .or(Miss::Conflict),
    ]
}
