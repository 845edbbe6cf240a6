//! Views out of the cache, built by the same code as the server's.

use super::Cache;
use super::documents::Documents;
use super::erase::Kept;
use super::write::{digest_bytes, replay};
use crate::ui::Failure;
use gatepass_core::event::{Event, Fact};
use gatepass_core::id::{GrantId, RequestId};
use gatepass_core::report::Record;
use gatepass_core::request::Request;
use gatepass_core::sentence::event_view;
use gatepass_core::text::{Digest, SaltedText};
use gatepass_core::view::Lens;
use gatepass_core::wire::{EventView, GrantView, RequestView, ResourceView};
use gatepass_core::{Code, Time};
use gatepass_log::Hash;
use rusqlite::{Connection, OptionalExtension as _, Params, params};
use std::collections::HashSet;
use std::sync::Arc;

/// The newest decided requests and over grants a list holds beside all that are open.
pub const LIST: usize = 1_000;

/// How many roles are offered again.
const RECENT: usize = 5;

/// The cache seen by its person at one time.
pub(super) struct Seen<'c> {
    conn: &'c Connection,
    documents: Arc<Documents>,
    kept: Kept,
    now: Time,
}

impl<'c> Seen<'c> {
    pub fn new(conn: &'c Connection, documents: Arc<Documents>, now: Time) -> Result<Self, Failure> {
        Ok(Self { conn, documents, kept: Kept::read(conn)?, now })
    }
}

impl Seen<'_> {
    /// As [`Self::event`], with what else is taken out of the log; `request` as it is to be told.
    pub fn record(
        &self,
        seq: u64,
        event: Event,
        raw: String,
        leaf: &Hash,
        request: Option<&Request>,
    ) -> Result<Record, Failure> {
        let mut record = self.lens(|lens| Record::new(seq, event, raw, leaf.digest(), request, lens));
        self.kept.mark(self.conn, &mut record.view, &record.event, request, self.now)?;
        Ok(record)
    }

    pub fn lens<T>(&self, look: impl FnOnce(&Lens<'_>) -> T) -> T {
        let text = |digest: &Digest| salted(self.conn, digest).ok().flatten().map(|t| t.text);
        look(&Lens {
            catalogue: &self.documents.catalogue,
            directory: &self.documents.directory,
            text: &text,
            viewer: self.documents.me.person.id,
            now: self.now,
        })
    }

    pub fn documents(&self) -> &Documents {
        &self.documents
    }

    pub fn catalogue_is(&self, version: &Digest) -> bool {
        self.documents.catalogue_is(version)
    }

    pub fn grant(&self, request: &Request) -> Result<Option<GrantView>, Failure> {
        let Some(grant) = &request.grant else { return Ok(None) };
        let extension = self
            .conn
            .prepare_cached("SELECT id FROM requests WHERE state = 'pending' AND extends = ?1")?
            .query_row([grant.id.0.as_bytes()], |row| row.get::<_, [u8; 16]>(0))
            .optional()?
            .map(|id| RequestId(uuid::Uuid::from_bytes(id)));
        Ok(self.lens(|lens| lens.grant(request, extension)))
    }

    /// The event with its request as it was then.
    pub fn event(&self, seq: u64, event: &Event) -> Result<EventView, Failure> {
        let request = match event.request {
            // What could not be done is told by the state of that moment.
            Some(id) if matches!(event.fact, Fact::GrantDelayed { .. }) => replay(self.conn, id, seq)?,
            Some(id) => projection(self.conn, id)?,
            None => None,
        };
        let mut view = self.lens(|lens| event_view(seq, event, request.as_ref(), lens));
        self.kept.mark(self.conn, &mut view, event, request.as_ref(), self.now)?;
        Ok(view)
    }
}

pub(super) fn projection(conn: &Connection, id: RequestId) -> Result<Option<Request>, Failure> {
    Ok(projections(conn, "WHERE id = ?1", [id.0.as_bytes()])?.pop())
}

/// `clause` is one of this module's own, never text from outside.
pub(super) fn projections(
    conn: &Connection,
    clause: &str,
    values: impl Params,
) -> Result<Vec<Request>, Failure> {
    let mut statement = conn.prepare_cached(&format!("SELECT json FROM requests {clause}"))?;
    let mut rows = statement.query(values)?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        let json = row.get_ref(0)?.as_str().map_err(|_| Failure::from(Code::CacheBroken))?;
        found.push(serde_json::from_str(json).map_err(|_| Failure::from(Code::CacheBroken))?);
    }
    Ok(found)
}

pub(super) fn salted(conn: &Connection, digest: &Digest) -> Result<Option<SaltedText>, Failure> {
    let Some(key) = digest_bytes(digest) else { return Ok(None) };
    Ok(conn
        .prepare_cached("SELECT salt, text FROM texts WHERE digest = ?1")?
        .query_row([key], |row| Ok(SaltedText { salt: row.get(0)?, text: row.get(1)? }))
        .optional()?)
}

pub(super) fn event_at(conn: &Connection, seq: u64) -> Result<Option<(Event, String)>, Failure> {
    let json: Option<String> = conn
        .prepare_cached("SELECT json FROM bodies WHERE seq = ?1")?
        .query_row([seq], |row| row.get(0))
        .optional()?;
    json.map(|json| match serde_json::from_str(&json) {
        Ok(event) => Ok((event, json)),
        Err(_) => Err(Failure::from(Code::CacheBroken)),
    })
    .transpose()
}

impl Cache {
    /// `None` before the first sync.
    pub(super) fn seen<T>(
        &self,
        now: Time,
        look: impl FnOnce(&Seen<'_>, &Connection) -> Result<T, Failure>,
    ) -> Result<Option<T>, Failure> {
        let conn = self.reader();
        let Some(documents) = self.documents_with(&conn)? else { return Ok(None) };
        let kept = Kept::read(&conn)?;
        look(&Seen { conn: &conn, documents, kept, now }, &conn).map(Some)
    }

    /// All that are open, and the newest [`LIST`] of the others; newest first.
    pub fn requests(&self, now: Time) -> Result<Vec<RequestView>, Failure> {
        let found = self.seen(now, |seen, conn| {
            let mut all = projections(conn, "ORDER BY number DESC LIMIT ?1", [LIST])?;
            let oldest = all.last().map_or(0, |r| r.number.0);
            all.extend(projections(
                conn,
                "WHERE state = 'pending' AND number < ?1 ORDER BY number DESC",
                [oldest],
            )?);
            Ok(seen.lens(|lens| all.iter().map(|r| lens.request(r)).collect()))
        })?;
        Ok(found.unwrap_or_default())
    }

    pub fn request(&self, id: RequestId, now: Time) -> Result<Option<RequestView>, Failure> {
        let found = self
            .seen(now, |seen, conn| Ok(projection(conn, id)?.map(|r| seen.lens(|lens| lens.request(&r)))))?;
        Ok(found.flatten())
    }

    /// Requests that wait for this person.
    pub fn to_review(&self, now: Time) -> Result<Vec<RequestView>, Failure> {
        let found = self.seen(now, |seen, conn| {
            let pending = projections(conn, "WHERE state = 'pending' ORDER BY number DESC", [])?;
            Ok(seen.lens(|lens| {
                pending.iter().map(|r| lens.request(r)).filter(|v| v.can_decide).collect::<Vec<_>>()
            }))
        })?;
        Ok(found.unwrap_or_default())
    }

    /// All that are not over, and the newest [`LIST`] of the others; newest first.
    pub fn grants(&self, now: Time) -> Result<Vec<GrantView>, Failure> {
        let found = self.seen(now, |seen, conn| {
            let mut all =
                projections(conn, "WHERE grant_id IS NOT NULL ORDER BY number DESC LIMIT ?1", [LIST])?;
            let oldest = all.last().map_or(0, |r| r.number.0);
            all.extend(projections(
                conn,
                "WHERE grant_state NOT IN ('ended', 'failed') AND number < ?1 ORDER BY number DESC",
                [oldest],
            )?);
            all.iter().filter_map(|r| seen.grant(r).transpose()).collect()
        })?;
        Ok(found.unwrap_or_default())
    }

    pub fn grant(&self, id: GrantId, now: Time) -> Result<Option<GrantView>, Failure> {
        let found = self.seen(now, |seen, conn| {
            let request = projections(conn, "WHERE grant_id = ?1", [id.0.as_bytes()])?.pop();
            request.map_or(Ok(None), |r| seen.grant(&r))
        })?;
        Ok(found.flatten())
    }

    /// This person's accesses that are not over.
    pub fn active(&self, now: Time) -> Result<u32, Failure> {
        let found = self.seen(now, |seen, conn| {
            let me = seen.documents.me.person.id;
            let count: u32 = conn
                .prepare_cached(
                    "SELECT count(*) FROM requests WHERE grant_state NOT IN ('ended', 'failed') AND by = ?1",
                )?
                .query_row([me.0.as_bytes()], |row| row.get(0))?;
            Ok(count)
        })?;
        Ok(found.unwrap_or_default())
    }

    pub fn resources(&self, now: Time) -> Result<Vec<ResourceView>, Failure> {
        Ok(self.seen(now, |seen, _| Ok(seen.lens(|lens| lens.resources())))?.unwrap_or_default())
    }

    /// Roles this person asked for last and may still ask for: (resource, role), newest first.
    pub fn recent_roles(&self, now: Time) -> Result<Vec<(ResourceView, usize)>, Failure> {
        let found = self.seen(now, |seen, conn| {
            let me = seen.documents.me.person.id;
            let mut statement = conn.prepare_cached(
                "SELECT resource, role FROM requests WHERE by = ?1 GROUP BY resource, role
                 ORDER BY max(number) DESC LIMIT 50",
            )?;
            let asked: Vec<(String, String)> = statement
                .query_map([me.0.as_bytes()], |r| Ok((r.get(0)?, r.get(1)?)))?
                .collect::<Result<_, _>>()?;
            let offered = seen.lens(|lens| lens.resources());
            let found = asked.iter().filter_map(|(resource, role)| {
                let resource = offered.iter().find(|r| r.id == *resource)?;
                let place = resource.roles.iter().position(|r| r.id == *role && r.may_ask)?;
                Some((resource.clone(), place))
            });
            Ok(found.take(RECENT).collect())
        })?;
        Ok(found.unwrap_or_default())
    }

    /// A request's events, oldest first.
    pub fn timeline(&self, request: RequestId, now: Time) -> Result<Vec<EventView>, Failure> {
        let found = self.seen(now, |seen, conn| {
            let mut statement = conn.prepare_cached(
                "SELECT seq, json FROM events JOIN bodies USING(seq) WHERE request = ?1 ORDER BY seq",
            )?;
            collect_events(seen, statement.query(params![request.0.as_bytes()])?)
        })?;
        Ok(found.unwrap_or_default())
    }

    /// Readable events after `seq`, oldest first.
    pub fn events_after(&self, seq: u64, now: Time) -> Result<Vec<EventView>, Failure> {
        let found = self.seen(now, |seen, conn| {
            let mut statement =
                conn.prepare_cached("SELECT seq, json FROM bodies WHERE seq > ?1 ORDER BY seq")?;
            collect_events(seen, statement.query([seq])?)
        })?;
        Ok(found.unwrap_or_default())
    }

    /// The bare facts of readable events after `seq`, oldest first, at most `limit`.
    pub fn facts_after(&self, seq: u64, limit: u32) -> Result<Vec<(u64, Event)>, Failure> {
        let conn = self.reader();
        let mut statement =
            conn.prepare_cached("SELECT seq, json FROM bodies WHERE seq > ?1 ORDER BY seq LIMIT ?2")?;
        let mut rows = statement.query(params![seq, limit])?;
        let mut found = Vec::new();
        while let Some(row) = rows.next()? {
            let json: String = row.get(1)?;
            found.push((
                row.get(0)?,
                serde_json::from_str(&json).map_err(|_| Failure::from(Code::CacheBroken))?,
            ));
        }
        Ok(found)
    }

    /// The kinds of readable events after `seq`.
    pub fn kinds_after(&self, seq: u64) -> Result<HashSet<String>, Failure> {
        let conn = self.reader();
        let mut statement =
            conn.prepare_cached("SELECT DISTINCT kind FROM events WHERE seq > ?1 AND kind IS NOT NULL")?;
        let kinds = statement.query_map([seq], |row| row.get(0))?.collect::<Result<_, _>>()?;
        Ok(kinds)
    }
}

pub(super) fn collect_events(
    seen: &Seen<'_>,
    mut rows: rusqlite::Rows<'_>,
) -> Result<Vec<EventView>, Failure> {
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        let json: String = row.get(1)?;
        let event: Event = serde_json::from_str(&json).map_err(|_| Failure::from(Code::CacheBroken))?;
        found.push(seen.event(row.get(0)?, &event)?);
    }
    Ok(found)
}
