//! Looking again at what is held: one event with its signature, or the whole tree.

use super::check::Breach;
use super::ingest::tree;
use super::read::{event_at, projection, salted};
use super::{Cache, meta};
use crate::ui::{EventDetail, Failure, SignatureCheck};
use gatepass_core::command::{Body, Command, Enroll};
use gatepass_core::event::{By, Event, Fact};
use gatepass_core::id::{DeviceId, PersonId};
use gatepass_core::text::Digest;
use gatepass_core::wire::{EndCause, Head, SignedCommand, Verdict};
use gatepass_core::{Code, Time};
use gatepass_log::{Hash, Tree, canonical, fingerprint, verify};
use rusqlite::{Connection, OptionalExtension as _};
use std::collections::HashMap;

struct Enrolled {
    person: [u8; 16],
    signing_key: String,
    name: Option<String>,
}

impl Cache {
    /// `None` when there is no such position, or this person may not read it.
    pub fn event(&self, seq: u64, now: Time) -> Result<Option<EventDetail>, Failure> {
        let found = self.seen(now, |seen, conn| {
            let Some((event, raw)) = event_at(conn, seq)? else { return Ok(None) };
            let leaf: [u8; 32] = conn
                .prepare_cached("SELECT leaf FROM events WHERE seq = ?1")?
                .query_row([seq], |row| row.get(0))?;
            let verified = meta::<super::ingest::Verified>(conn, "verified")?;
            let head = verified.as_ref().map_or_else(|| Tree::default().head(), |v| v.head.clone());
            let holds = Hash::leaf(raw.as_bytes()).0 == leaf;
            Ok(Some(EventDetail {
                event: seen.event(seq, &event)?,
                signature: signature(conn, seq, &event, &disabled(conn)?)?,
                in_verified_tree: holds && verified.is_some_and(|v| seq <= v.head.size),
                raw,
                leaf: Hash(leaf).digest(),
                head_size: head.size,
                head_root: head.root,
            }))
        })?;
        Ok(found.flatten())
    }

    /// Hashes every readable event again, builds the tree from the leaves again, compares it with the last head
    /// that held, and checks every signature whose key is known.
    pub fn verify_all(&self) -> Result<Result<Head, Breach>, Failure> {
        let conn = self.reader();
        let tx = rusqlite::Transaction::new_unchecked(&conn, rusqlite::TransactionBehavior::Deferred)?;
        let kept = tree(&tx)?;
        let verified = meta::<super::ingest::Verified>(&tx, "verified")?;
        let mut built = Tree::default();
        let disabled = disabled(&tx)?;
        let mut statement = tx.prepare_cached(
            "SELECT e.seq, leaf, json FROM events e LEFT JOIN bodies USING(seq) ORDER BY e.seq",
        )?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let seq: u64 = row.get(0)?;
            let leaf = Hash(row.get(1)?);
            let json: Option<String> = row.get(2)?;
            if let Some(breach) =
                json.as_deref().map_or(Ok(None), |json| event_breach(&tx, seq, leaf, json, &disabled))?
            {
                return Ok(Err(breach));
            }
            built.append(leaf);
            if built.size() != seq {
                return Ok(Err(Breach::new(format!(
                    "Position {} is missing in the local cache.",
                    built.size()
                ))));
            }
            if let Some(v) = verified.as_ref().filter(|v| v.head.size == seq && v.head != built.head()) {
                let what = format!(
                    "The local cache does not add up to the head it was checked against ({seq} events)."
                );
                let (seen, got) = (Some(v.head.clone()), Some(built.head()));
                return Ok(Err(Breach { seen, got, ..Breach::new(what) }));
            }
        }
        if built != kept {
            let what = format!("The local cache holds {} events instead of {}.", built.size(), kept.size());
            let (seen, got) = (Some(kept.head()), Some(built.head()));
            return Ok(Err(Breach { seen, got, ..Breach::new(what) }));
        }
        Ok(Ok(built.head()))
    }
}

fn event_breach(
    conn: &Connection,
    seq: u64,
    leaf: Hash,
    json: &str,
    disabled: &Disabled,
) -> Result<Option<Breach>, Failure> {
    let value: serde_json::Value =
        serde_json::from_str(json).map_err(|_| Failure::from(Code::CacheBroken))?;
    let bytes = canonical(&value).map_err(|e| Failure::local("An event can’t be hashed", e))?;
    if Hash::leaf(&bytes) != leaf {
        let breach = Breach::new(format!("The event at position {seq} is not the one in the log."));
        return Ok(Some(Breach { leaf: Some(leaf.digest()), ..breach }));
    }
    let event: Event = serde_json::from_value(value).map_err(|_| Failure::from(Code::CacheBroken))?;
    Ok(match signature(conn, seq, &event, disabled)? {
        Some(check) if !check.valid => {
            Some(Breach::new(format!("The signature of the event at position {seq} does not hold.")))
        }
        _ => None,
    })
}

/// Absent when there is no command behind the event, or its device's key never came here. What a device signed after it
/// was disabled does not hold.
fn signature(
    conn: &Connection,
    seq: u64,
    event: &Event,
    disabled: &Disabled,
) -> Result<Option<SignatureCheck>, Failure> {
    let (Some(command), By::Person { person, device }) = (&event.command, event.by) else { return Ok(None) };
    if let Fact::DeviceEnrolled { signing_key, name, .. } = &event.fact {
        // The new device vouches for itself; the server vouches for the invite.
        let valid = verify(signing_key, "device.enroll", command).is_ok() && enrols(event, command);
        let device_name = salted(conn, name)?.map_or_else(|| "a device".to_owned(), |t| t.text);
        return Ok(Some(SignatureCheck { valid, device_name, fingerprint: fingerprint(signing_key) }));
    }
    let Some(enrolled) = enrolled(conn, device.0.as_bytes())? else { return Ok(None) };
    let body: Option<Body> = serde_json::from_value(command.body.clone()).ok();
    let in_time = disabled.get(&device).is_none_or(|after| seq <= *after || ends_itself(event, person));
    let valid = in_time
        && enrolled.person == *person.0.as_bytes()
        && match body {
            Some(body) => {
                let follows = match &body.command {
                    Command::RevokeAll { person, reason } => revokes(conn, *person, reason, event)?,
                    command => stands_for(command, event),
                };
                follows
                    && body.device == device
                    && verify(&enrolled.signing_key, body.command.kind(), command).is_ok()
            }
            None => false,
        };
    Ok(Some(SignatureCheck {
        valid,
        device_name: enrolled.name.unwrap_or_else(|| "a device".to_owned()),
        fingerprint: fingerprint(&enrolled.signing_key),
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

fn enrols(event: &Event, command: &SignedCommand) -> bool {
    let Fact::DeviceEnrolled { device, signing_key, seal_key, name, .. } = &event.fact else { return false };
    serde_json::from_value::<Enroll>(command.body.clone()).is_ok_and(|body| {
        body.device == *device
            && body.signing_key == *signing_key
            && body.seal_key == *seal_key
            && body.name == *name
    })
}

/// Where each device that is disabled was.
type Disabled = HashMap<DeviceId, u64>;

fn disabled(conn: &Connection) -> Result<Disabled, Failure> {
    let mut statement = conn.prepare_cached(
        "SELECT seq, json FROM events JOIN bodies USING(seq) WHERE kind = 'device.disabled' ORDER BY seq",
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

/// Whether the event is one that follows from ending everything of `person`.
fn revokes(conn: &Connection, person: PersonId, why: &Digest, event: &Event) -> Result<bool, Failure> {
    let theirs = || -> Result<bool, Failure> {
        let request = event.request.map_or(Ok(None), |id| projection(conn, id))?;
        Ok(request.is_some_and(|r| r.by == person))
    };
    Ok(match &event.fact {
        Fact::PersonRevoked { person: p, reason } => *p == person && reason == why,
        Fact::DeviceDisabled { person: p, .. } | Fact::ApprovalVoided { person: p } => *p == person,
        Fact::GrantEnding { cause: EndCause::Revoked, reason, .. } => {
            reason.as_ref() == Some(why) && theirs()?
        }
        Fact::RequestWithdrawn => theirs()?,
        _ => false,
    })
}

/// Whether what was signed is what the event says happened.
fn stands_for(command: &Command, event: &Event) -> bool {
    let note_is = |a: &Option<Digest>, b: &Option<Digest>| a == b;
    match (command, &event.fact) {
        (
            Command::Create { resource, role, duration_s, reason, ticket, ssh_key },
            Fact::RequestCreated {
                resource: r,
                role: o,
                duration_s: d,
                reason: why,
                ticket: t,
                extends: None,
                ssh_key: key,
                ..
            },
        ) => {
            let same = resource == r && role == o && duration_s == d && (key.is_none() || key == ssh_key);
            same && note_is(reason, why) && note_is(ticket, t)
        }
        (
            Command::Extend { grant, duration_s, reason },
            Fact::RequestCreated { duration_s: d, reason: why, extends, .. },
        ) => Some(*grant) == *extends && duration_s == d && note_is(reason, why),
        (
            Command::Decide { request, verdict: Verdict::Approve, duration_s, note, .. },
            Fact::RequestApproved { duration_s: d, note: n },
        ) => Some(*request) == event.request && duration_s.is_none_or(|s| s == *d) && note_is(note, n),
        (Command::Decide { request, verdict: Verdict::Deny, note, .. }, Fact::RequestDenied { note: n }) => {
            Some(*request) == event.request && note_is(note, n)
        }
        (Command::Withdraw { request }, Fact::RequestWithdrawn) => Some(*request) == event.request,
        (Command::Return { grant }, Fact::GrantEnding { grant: g, .. }) => grant == g,
        (Command::Revoke { grant, reason }, Fact::GrantEnding { grant: g, reason: r, .. }) => {
            grant == g && r.as_ref() == Some(reason)
        }
        (Command::DriftKnown { drift, reason, .. }, Fact::DriftKnown { drift: of, reason: why, .. })
        | (Command::DriftUnknown { drift, reason, .. }, Fact::DriftUnknown { drift: of, reason: why, .. }) => {
            drift == of && reason == why
        }
        _ => false,
    }
}
