//! Access that no grant explains: projections made by `core::drift::apply` as events come.

use super::Cache;
use super::write::word;
use crate::ui::Failure;
use gatepass_core::drift::{Drift, about, apply};
use gatepass_core::event::Event;
use gatepass_core::id::DriftId;
use gatepass_core::wire::DriftView;
use gatepass_core::{Code, Time};
use rusqlite::{Connection, OptionalExtension as _, Params, params};

/// The newest that are gone, which a list holds beside all that are there.
const GONE: usize = 100;

/// Also made in a cache of before there was any.
pub(super) const TABLE: &str = "
CREATE TABLE IF NOT EXISTS drift(id BLOB PRIMARY KEY, state TEXT NOT NULL, json TEXT NOT NULL) WITHOUT ROWID;
";

/// What an event does to the drift it is about.
pub(super) fn take(conn: &Connection, event: &Event) -> Result<(), Failure> {
    let Some(id) = about(&event.fact) else { return Ok(()) };
    let before = read(conn, "WHERE id = ?1", [id.0.as_bytes()])?.pop();
    match apply(before, event) {
        Some(drift) => write(conn, &drift),
        // Of what came before it, this person may read nothing.
        None => Ok(()),
    }
}

/// Builds all of it again, after what may be read has changed.
pub(super) fn rebuild(conn: &Connection) -> Result<(), Failure> {
    conn.prepare_cached("DELETE FROM drift")?.execute([])?;
    let mut statement = conn.prepare_cached(
        "SELECT json FROM events JOIN bodies USING(seq) WHERE kind GLOB 'drift.*' ORDER BY seq",
    )?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let json: String = row.get(0)?;
        let event: Event = serde_json::from_str(&json).map_err(|_| Failure::from(Code::CacheBroken))?;
        take(conn, &event)?;
    }
    Ok(())
}

fn write(conn: &Connection, drift: &Drift) -> Result<(), Failure> {
    let json = serde_json::to_string(drift).map_err(|e| Failure::local("Drift can’t be kept", e))?;
    conn.prepare_cached("INSERT OR REPLACE INTO drift(id, state, json) VALUES(?1, ?2, ?3)")?
        .execute(params![drift.id.0.as_bytes(), word(&drift.state), json])?;
    Ok(())
}

/// `clause` is one of this module's own, never text from outside.
fn read(conn: &Connection, clause: &str, values: impl Params) -> Result<Vec<Drift>, Failure> {
    let mut statement = conn.prepare_cached(&format!("SELECT json FROM drift {clause}"))?;
    let mut rows = statement.query(values)?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        let json: String = row.get(0)?;
        found.push(serde_json::from_str(&json).map_err(|_| Failure::from(Code::CacheBroken))?);
    }
    Ok(found)
}

impl Cache {
    /// All that is there and the newest that is gone; newest first, since ids are in the order of time.
    pub fn drift(&self, now: Time) -> Result<Vec<DriftView>, Failure> {
        let found = self.seen(now, |seen, conn| {
            let mut all = read(conn, "WHERE state <> 'gone' ORDER BY id DESC", [])?;
            all.extend(read(conn, "WHERE state = 'gone' ORDER BY id DESC LIMIT ?1", [GONE])?);
            Ok(seen.lens(|lens| all.iter().filter_map(|d| lens.drift(d)).collect()))
        })?;
        Ok(found.unwrap_or_default())
    }

    pub fn drift_of(&self, id: DriftId, now: Time) -> Result<Option<DriftView>, Failure> {
        let found = self.seen(now, |seen, conn| {
            let drift = read(conn, "WHERE id = ?1", [id.0.as_bytes()])?.pop();
            Ok(drift.and_then(|d| seen.lens(|lens| lens.drift(&d))))
        })?;
        Ok(found.flatten())
    }

    /// How many are open.
    pub fn open_drift(&self) -> Result<u32, Failure> {
        let conn = self.reader();
        let count = conn
            .prepare_cached("SELECT count(*) FROM drift WHERE state = 'open'")?
            .query_row([], |row| row.get(0))
            .optional()?;
        Ok(count.unwrap_or(0))
    }
}
