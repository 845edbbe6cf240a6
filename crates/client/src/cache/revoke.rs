//! What there is of a person, and who answers for an access.

use super::Cache;
use super::read::{projection, projections, salted};
use crate::ui::{DeviceView, Failure, Holdings};
use gatepass_core::event::{Event, Fact};
use gatepass_core::id::{PersonId, RequestId};
use gatepass_core::request::may_revoke;
use gatepass_core::text::Digest;
use gatepass_core::wire::RequestState;
use gatepass_core::{Code, Time};
use gatepass_log::fingerprint;
use rusqlite::Connection;
use std::collections::BTreeSet;

impl Cache {
    /// Whether this person answers for the access that the request gave: an admin, or one who may approve it.
    pub fn answers_for(&self, id: RequestId) -> Result<bool, Failure> {
        let conn = self.reader();
        let Some(documents) = self.documents_with(&conn)? else { return Ok(false) };
        let request = projection(&conn, id)?;
        Ok(request.is_some_and(|r| may_revoke(&r, documents.me.person.id, &documents.directory)))
    }

    /// As far as this person may see it: admins and auditors see all.
    pub fn holdings(&self, person: PersonId, now: Time) -> Result<Option<Holdings>, Failure> {
        let Some(known) = self.documents()?.and_then(|d| d.directory.get(person).cloned()) else {
            return Ok(None);
        };
        self.seen(now, |seen, conn| {
            let mut held = Holdings {
                person: known,
                grants: Vec::new(),
                requests: Vec::new(),
                approvals: Vec::new(),
                devices: devices(conn, person)?,
            };
            let open = "WHERE grant_state NOT IN ('ended', 'failed') OR state = 'pending' ORDER BY number";
            for request in projections(conn, open, [])? {
                let mine = request.by == person;
                if mine && request.grant.as_ref().is_some_and(|g| !g.over()) {
                    held.grants.extend(seen.grant(&request)?);
                }
                if request.state != RequestState::Pending {
                    continue;
                }
                let view = || seen.lens(|lens| lens.request(&request));
                if mine {
                    held.requests.push(view());
                } else if request.approvals.iter().any(|a| a.by == person) {
                    held.approvals.push(view());
                }
            }
            Ok(held)
        })
    }
}

/// In the order in which they joined.
fn devices(conn: &Connection, person: PersonId) -> Result<Vec<DeviceView>, Failure> {
    let mut statement = conn.prepare_cached(
        "SELECT json FROM events JOIN bodies USING(seq) WHERE kind IN ('device.enrolled', 'device.disabled')
         ORDER BY seq",
    )?;
    let mut rows = statement.query([])?;
    let (mut found, mut disabled) = (Vec::new(), BTreeSet::new());
    while let Some(row) = rows.next()? {
        let json: String = row.get(0)?;
        let event: Event = serde_json::from_str(&json).map_err(|_| Failure::from(Code::CacheBroken))?;
        match event.fact {
            Fact::DeviceEnrolled { person: p, device, signing_key, name, .. } if p == person => {
                found.push(DeviceView {
                    id: device,
                    name: named(conn, &name)?,
                    fingerprint: fingerprint(&signing_key),
                    enrolled_at: event.at,
                    disabled: false,
                });
            }
            Fact::DeviceDisabled { device, .. } => drop(disabled.insert(device)),
            _ => {}
        }
    }
    for device in &mut found {
        device.disabled = disabled.contains(&device.id);
    }
    Ok(found)
}

fn named(conn: &Connection, name: &Digest) -> Result<Option<String>, Failure> {
    Ok(salted(conn, name)?.map(|t| t.text))
}
