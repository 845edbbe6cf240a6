//! `event` and `head`: the log.

use super::{fail, json, parse};
use crate::log::{Placed, Sequencer};
use crate::store::{LogEntry, LogSlice, StoreError};
use gatepass_core::directory::Person;
use gatepass_core::event::{Event, Fact};
use gatepass_core::text::Digest;
use gatepass_core::wire::Head;
use rusqlite::{Connection, OptionalExtension as _, params};
use std::collections::{HashMap, HashSet};

pub fn write(db: &Connection, event: &Event, placed: &Placed) -> Result<(), StoreError> {
    let person = match &event.fact {
        Fact::PersonRecorded { person, .. } | Fact::DeviceEnrolled { person, .. } => Some(person.to_string()),
        _ => None,
    };
    let content = std::str::from_utf8(&placed.content).map_err(|e| StoreError::Failed(e.to_string()))?;
    db.prepare_cached(
        "INSERT INTO event (seq, id, request_id, person_id, leaf, body) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
    )
    .and_then(|mut q| {
        q.execute(params![
            placed.seq as i64,
            event.id.to_string(),
            event.request.map(|r| r.to_string()),
            person,
            placed.leaf.0,
            content
        ])
    })
    .map_err(fail)?;
    Ok(())
}

pub fn sequencer(db: &Connection) -> Result<Sequencer, StoreError> {
    let tree: Option<String> = db
        .prepare_cached("SELECT tree FROM head")
        .and_then(|mut q| q.query_row([], |row| row.get(0)).optional())
        .map_err(fail)?;
    tree.map_or_else(|| Ok(Sequencer::default()), |t| parse(&t).map(Sequencer::new)).map_err(fail)
}

pub fn write_head(db: &Connection, sequencer: &Sequencer) -> Result<Head, StoreError> {
    let head = sequencer.head();
    db.prepare_cached("INSERT OR REPLACE INTO head (one, size, root, tree) VALUES (1, ?1, ?2, ?3)")
        .and_then(|mut q| q.execute(params![head.size as i64, head.root.0, json(sequencer.tree())?]))
        .map_err(fail)?;
    Ok(head)
}

pub fn head(db: &Connection) -> Result<Head, StoreError> {
    let found = db
        .prepare_cached("SELECT size, root FROM head")
        .and_then(|mut q| {
            q.query_row([], |row| Ok(Head { size: row.get::<_, i64>(0)? as u64, root: Digest(row.get(1)?) }))
                .optional()
        })
        .map_err(fail)?;
    Ok(found.unwrap_or_else(|| Sequencer::default().head()))
}

/// Who may see a request, as `core::view::may_see` has it.
struct Sight<'a> {
    viewer: &'a Person,
    id: String,
    all: bool,
    requests: HashMap<String, bool>,
}

impl Sight<'_> {
    fn of_request(&mut self, db: &Connection, request: &str) -> Result<bool, StoreError> {
        if let Some(known) = self.requests.get(request) {
            return Ok(*known);
        }
        let row: Option<(String, String, String)> = db
            .prepare_cached("SELECT asker, groups, deciders FROM request WHERE id = ?1")
            .and_then(|mut q| {
                q.query_row([request], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?))).optional()
            })
            .map_err(fail)?;
        let sees = match row {
            None => false,
            Some((asker, groups, deciders)) => {
                let groups: Vec<String> = parse(&groups).map_err(fail)?;
                let deciders: Vec<String> = parse(&deciders).map_err(fail)?;
                asker == self.id
                    || groups.iter().any(|g| self.viewer.groups.contains(g))
                    || deciders.contains(&self.id)
            }
        };
        self.requests.insert(request.to_owned(), sees);
        Ok(sees)
    }
}

/// The reader gets each leaf, and the events they may see. One read transaction: the page fits its head.
pub fn page(db: &Connection, viewer: &Person, after: u64, limit: usize) -> Result<LogSlice, StoreError> {
    let mut sight = Sight {
        viewer,
        id: viewer.id.to_string(),
        all: viewer.auditor || viewer.admin,
        requests: HashMap::new(),
    };
    let mut query = db
        .prepare_cached(
            "SELECT seq, leaf, request_id, person_id, body FROM event WHERE seq > ?1 ORDER BY seq LIMIT ?2",
        )
        .map_err(fail)?;
    let after = i64::try_from(after).unwrap_or(i64::MAX);
    let mut rows = query.query(params![after, limit as i64]).map_err(fail)?;
    let mut entries: Vec<LogEntry> = Vec::new();
    let mut nameless = HashSet::new();
    while let Some(row) = rows.next().map_err(fail)? {
        let seq = row.get::<_, i64>(0).map_err(fail)? as u64;
        let leaf: [u8; 32] = row.get(1).map_err(fail)?;
        let request = row.get_ref(2).and_then(|v| Ok(v.as_str_or_null()?)).map_err(fail)?;
        let person = row.get_ref(3).and_then(|v| Ok(v.as_str_or_null()?)).map_err(fail)?;
        let sees = sight.all
            || match (request, person) {
                (Some(request), _) => sight.of_request(db, request)?,
                (None, Some(person)) => person == sight.id,
                (None, None) => true,
            };
        // Everybody checks signatures, so everybody gets the keys; a device's name stays its person's.
        let key = !sees
            && person.is_some()
            && enrolment(row.get_ref(4).and_then(|v| Ok(v.as_str()?)).map_err(fail)?);
        if key {
            nameless.insert(seq);
        }
        let event = if sees || key { Some(row.get(4).map_err(fail)?) } else { None };
        entries.push(LogEntry { seq, leaf: Digest(hex::encode(leaf)), event, texts: Vec::new() });
    }
    if let (Some(first), Some(last)) = (entries.first().map(|e| e.seq), entries.last().map(|e| e.seq)) {
        let mut texts = super::text::between(db, first, last)?;
        for entry in entries.iter_mut().filter(|e| e.event.is_some() && !nameless.contains(&e.seq)) {
            entry.texts = texts.remove(&entry.seq).unwrap_or_default();
        }
    }
    Ok(LogSlice { entries, head: head(db)? })
}

fn enrolment(body: &str) -> bool {
    matches!(parse::<Event>(body), Ok(Event { fact: Fact::DeviceEnrolled { .. }, .. }))
}
