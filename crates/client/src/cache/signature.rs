//! One event's signature: whose it is, and whether it stands for what the event says.

use super::detail::was_head;
use super::read::{Seen, projection, salted};
use super::write::replay;
use crate::ui::{Failure, SignatureCheck};
use gatepass_core::Code;
use gatepass_core::command::{Body, Command, Enroll};
use gatepass_core::event::{By, Event, Fact};
use gatepass_core::id::{DeviceId, PersonId};
use gatepass_core::text::Digest;
use gatepass_log::replay::{enrols, follows, stands_for};
use gatepass_log::{Hash, fingerprint, verify};
use rusqlite::{Connection, OptionalExtension as _};
use std::collections::HashMap;

struct Enrolled {
    person: [u8; 16],
    signing_key: String,
    name: Option<String>,
}

/// Absent when there is no command behind the event, or its device's key never came here. What a device signed after it
/// was disabled does not hold.
pub(super) fn signature(
    seen: &Seen<'_>,
    conn: &Connection,
    seq: u64,
    event: &Event,
    disabled: &Disabled,
) -> Result<Option<SignatureCheck>, Failure> {
    let (Some(command), By::Person { person, device }) = (&event.command, event.by) else { return Ok(None) };
    let check = |valid, device_name: Option<String>, key: &str| SignatureCheck {
        valid,
        device_name: device_name.unwrap_or_else(|| "a device".to_owned()),
        fingerprint: fingerprint(key),
        kind: "device.enroll".to_owned(),
        person: Some(seen.lens(|lens| lens.person(person))),
        device,
        signed_at: None,
        shown: None,
        shown_matches: None,
        head: None,
        head_holds: None,
    };
    if let Fact::DeviceEnrolled { signing_key, name, .. } = &event.fact {
        // The new device vouches for itself; the server vouches for the invite.
        let body: Option<Enroll> = serde_json::from_value(command.body.clone()).ok();
        let valid = body.as_ref().is_some_and(|body| enrols(body, &event.fact))
            && verify(signing_key, "device.enroll", command).is_ok();
        let name = salted(conn, name)?.map(|t| t.text);
        let signed_at = body.map(|body| body.at);
        return Ok(Some(SignatureCheck { signed_at, ..check(valid, name, signing_key) }));
    }
    let Some(enrolled) = enrolled(conn, device.0.as_bytes())? else { return Ok(None) };
    let body: Option<Body> = serde_json::from_value(command.body.clone()).ok();
    let Some(body) = body else {
        return Ok(Some(check(false, enrolled.name, &enrolled.signing_key)));
    };
    let in_time = disabled.get(&device).is_none_or(|after| seq <= *after || ends_itself(event, person));
    let follows = match &body.command {
        Command::RevokeAll { person, reason } => ordered(conn, &body.command, *person, reason, event)?,
        command => stands_for(command, event),
    };
    let valid = in_time
        && follows
        && enrolled.person == *person.0.as_bytes()
        && body.device == device
        && verify(&enrolled.signing_key, body.command.kind(), command).is_ok();
    let (shown, shown_matches) = match &body.command {
        Command::Decide { request, shown, .. } => {
            // As it was asked at that moment.
            let asked = replay(conn, *request, seq)?;
            (Some(shown.clone()), asked.map(|asked| asked.shown() == *shown))
        }
        _ => (None, None),
    };
    let head_holds = body.head.as_ref().map_or(Ok(None), |head| was_head(conn, head))?;
    Ok(Some(SignatureCheck {
        kind: body.command.kind().to_owned(),
        signed_at: Some(body.at),
        shown,
        shown_matches,
        head: body.head,
        head_holds,
        ..check(valid, enrolled.name, &enrolled.signing_key)
    }))
}

fn enrolled(conn: &Connection, device: &[u8; 16]) -> Result<Option<Enrolled>, Failure> {
    let found = conn
        .prepare_cached("SELECT person, signing_key, name FROM devices WHERE id = ?1")?
        .query_row([device], |row| {
            Ok((row.get::<_, [u8; 16]>(0)?, row.get::<_, String>(1)?, row.get::<_, Option<[u8; 32]>>(2)?))
        })
        .optional()?;
    let Some((person, signing_key, name)) = found else { return Ok(None) };
    let name = name.map_or(Ok(None), |digest| salted(conn, &Hash(digest).digest()))?.map(|t| t.text);
    Ok(Some(Enrolled { person, signing_key, name }))
}

/// Where each device that is disabled was.
pub(super) type Disabled = HashMap<DeviceId, u64>;

pub(super) fn disabled(conn: &Connection) -> Result<Disabled, Failure> {
    let mut statement = conn.prepare_cached(
        "SELECT seq, json FROM events JOIN bodies USING(seq) WHERE request IS NULL AND kind = 'device.disabled'
         ORDER BY seq",
    )?;
    let mut rows = statement.query([])?;
    let mut found = Disabled::new();
    while let Some(row) = rows.next()? {
        let json: String = row.get(1)?;
        let event: Event = serde_json::from_str(&json).map_err(|_| Failure::from(Code::CacheBroken))?;
        if let Fact::DeviceDisabled { device, .. } = event.fact {
            found.entry(device).or_insert(row.get(0)?);
        }
    }
    Ok(found)
}

/// An admin who ends everything of their own signs the events that follow with a device that one of them disables.
fn ends_itself(event: &Event, by: PersonId) -> bool {
    let command = event.command.as_ref().and_then(|c| serde_json::from_value::<Body>(c.body.clone()).ok());
    matches!(command, Some(Body { command: Command::RevokeAll { person, .. }, .. }) if person == by)
}

/// Whether the event is what the order to end everything of `person` says, or follows from it.
fn ordered(
    conn: &Connection,
    command: &Command,
    person: PersonId,
    reason: &Digest,
    event: &Event,
) -> Result<bool, Failure> {
    let asker = event.request.map_or(Ok(None), |id| projection(conn, id))?.map(|r| r.by);
    Ok(stands_for(command, event) || follows(person, reason, &event.fact, asker))
}
