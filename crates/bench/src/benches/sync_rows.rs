//! The rows that a sync left in its cache, written again by a bare loop: same encryption, same tables and index,
//! one transaction per page, nothing fetched, checked or worked out.

use crate::Outcome;
use crate::device::Device;
use gatepass_core::directory::Directory;
use gatepass_core::event::Event;
use gatepass_core::id::{PersonId, RequestId};
use gatepass_core::request::{Request, apply};
use gatepass_core::sentence::event_view;
use gatepass_core::text::Digest;
use gatepass_core::view::Lens;
use gatepass_core::wire::{CatalogueDocument, PeopleDocument};
use rusqlite::types::Value;
use rusqlite::{Connection, params_from_iter};
use std::collections::HashMap;
use std::path::Path;
use std::time::Instant;
use uuid::Uuid;

type Row = Vec<Value>;

/// What the index is kept in; SQLite makes these tables itself.
const OWN: &str = "name NOT LIKE 'sqlite_%' AND name NOT LIKE 'search_%'";

/// All rows of a cache, in memory.
pub struct Rows {
    key: String,
    schema: Vec<String>,
    pages: Vec<(i64, Row)>,
    bodies: HashMap<i64, Row>,
    words: HashMap<i64, String>,
    /// By the position of the event that they came with.
    texts: HashMap<i64, Vec<Row>>,
    requests: HashMap<i64, Vec<Row>>,
}

impl Rows {
    /// Reads the cache in a profile's directory; `auditor` sees the same people and catalogue.
    pub async fn read(profile: &Path, auditor: &Device) -> Outcome<Self> {
        let keys: serde_json::Value = serde_json::from_slice(&std::fs::read(profile.join("keys.json"))?)?;
        let key = keys["cache"].as_str().ok_or("the cache has no key")?.to_owned();
        let CatalogueDocument { catalogue, .. } = auditor.get("/v1/catalogue").await?;
        let PeopleDocument { people, .. } = auditor.get("/v1/people").await?;
        let directory = Directory::new(people);
        let db = open(&profile.join("cache.db"), &key)?;
        let schema = db
            .prepare(&format!(
                "SELECT sql FROM sqlite_master WHERE sql IS NOT NULL AND {OWN} ORDER BY type DESC"
            ))?
            .query_map([], |row| row.get(0))?
            .collect::<rusqlite::Result<Vec<String>>>()?;
        let pages: Vec<(i64, Row)> =
            all(&db, "SELECT * FROM events ORDER BY seq")?.into_iter().filter_map(keyed).collect();
        let bodies: HashMap<i64, Row> =
            all(&db, "SELECT * FROM bodies")?.into_iter().filter_map(keyed).collect();
        let mut texts: HashMap<Vec<u8>, Row> = HashMap::new();
        for row in all(&db, "SELECT * FROM texts")? {
            if let Some(Value::Blob(digest)) = row.first() {
                texts.insert(digest.clone(), row);
            }
        }
        let mut stored: HashMap<Vec<u8>, Row> = HashMap::new();
        for row in all(&db, "SELECT * FROM requests")? {
            if let Some(Value::Blob(id)) = row.first() {
                stored.insert(id.clone(), row);
            }
        }
        let mut read = Self {
            key,
            schema,
            pages,
            bodies,
            words: HashMap::new(),
            texts: HashMap::new(),
            requests: HashMap::new(),
        };
        let mut last: HashMap<RequestId, i64> = HashMap::new();
        let mut states: HashMap<RequestId, Request> = HashMap::new();
        let now = crate::clock::now();
        for (seq, _) in &read.pages {
            let Some(Value::Text(json)) = read.bodies.get(seq).and_then(|row| row.get(1)) else { continue };
            let event: Event = serde_json::from_str(json)?;
            if let Some(id) = event.request {
                if let Some(state) = apply(states.remove(&id), &event) {
                    states.insert(id, state);
                }
                last.insert(id, *seq);
            }
            let mut words = HashMap::new();
            for (_, digest) in event.fact.digests() {
                let Some(row) = unhex(digest).and_then(|key| texts.get(&key)) else { continue };
                if let Some(Value::Text(text)) = row.get(2) {
                    words.insert(digest.clone(), text.clone());
                }
                read.texts.entry(*seq).or_default().push(row.clone());
            }
            let text = |digest: &Digest| words.get(digest).cloned();
            let viewer = PersonId(Uuid::nil());
            let lens = Lens { catalogue: &catalogue, directory: &directory, text: &text, viewer, now };
            let view = event_view(*seq as u64, &event, event.request.and_then(|id| states.get(&id)), &lens);
            let mut line = view.sentence;
            for word in [Some(&view.by), view.number.as_ref(), view.resource.as_ref(), view.role.as_ref()]
                .into_iter()
                .flatten()
                .chain(view.texts.values())
            {
                line.push(' ');
                line.push_str(word);
            }
            read.words.insert(*seq, line);
        }
        for (id, seq) in last {
            if let Some(row) = stored.remove(id.0.as_bytes().as_slice()) {
                read.requests.entry(seq).or_default().push(row);
            }
        }
        Ok(read)
    }

    /// Writes them into a new file, `page` events in a transaction; seconds.
    pub fn write(&self, file: &Path, page: usize) -> Outcome<f64> {
        let db = open(file, &self.key)?;
        for sql in &self.schema {
            db.execute_batch(sql)?;
        }
        let from = Instant::now();
        for rows in self.pages.chunks(page) {
            db.execute_batch("BEGIN IMMEDIATE")?;
            for (seq, row) in rows {
                insert(&db, "INSERT INTO events VALUES (?, ?, ?, ?, ?, ?)", row)?;
                if let Some(body) = self.bodies.get(seq) {
                    insert(&db, "INSERT INTO bodies VALUES (?, ?)", body)?;
                }
                for text in self.texts.get(seq).into_iter().flatten() {
                    insert(&db, "INSERT OR REPLACE INTO texts VALUES (?, ?, ?)", text)?;
                }
                if let Some(words) = self.words.get(seq) {
                    db.prepare_cached("INSERT INTO search(rowid, words) VALUES (?, ?)")?
                        .execute((seq, words))?;
                }
                for request in self.requests.get(seq).into_iter().flatten() {
                    insert(
                        &db,
                        "INSERT OR REPLACE INTO requests VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                        request,
                    )?;
                }
            }
            db.execute_batch("COMMIT")?;
        }
        Ok(from.elapsed().as_secs_f64())
    }
}

/// As the client opens it.
fn open(file: &Path, key: &str) -> Outcome<Connection> {
    let db = Connection::open(file)?;
    db.execute_batch(&format!(
        "PRAGMA key = \"x'{key}'\"; PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL;
         PRAGMA temp_store = MEMORY; PRAGMA cache_size = -32768;"
    ))?;
    db.set_prepared_statement_cache_capacity(64);
    Ok(db)
}

fn all(db: &Connection, sql: &str) -> Outcome<Vec<Row>> {
    let mut query = db.prepare(sql)?;
    let width = query.column_count();
    let rows = query.query_map([], |row| (0..width).map(|column| row.get(column)).collect())?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

/// The row with its position in the log, which is its first column.
fn keyed(row: Row) -> Option<(i64, Row)> {
    match row.first() {
        Some(Value::Integer(seq)) => Some((*seq, row)),
        _ => None,
    }
}

fn insert(db: &Connection, sql: &str, row: &Row) -> Outcome<()> {
    db.prepare_cached(sql)?.execute(params_from_iter(row))?;
    Ok(())
}

fn unhex(digest: &Digest) -> Option<Vec<u8>> {
    let pair = |at: usize| u8::from_str_radix(digest.0.get(at..at + 2)?, 16).ok();
    (0..32).map(|at| pair(at * 2)).collect()
}
