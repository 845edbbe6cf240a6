//! The rows that a sync left in its cache, written again by a bare loop: same encryption, same tables and index,
//! one transaction per page, nothing fetched, checked or worked out.

use crate::Outcome;
use gatepass_core::event::Event;
use gatepass_core::id::RequestId;
use gatepass_core::text::Digest;
use rusqlite::types::Value;
use rusqlite::{Connection, params_from_iter};
use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::time::Instant;

type Row = Vec<Value>;

/// SQLite makes these itself.
const OWN: &str = "name NOT LIKE 'sqlite_%'";

/// Positions in one row of the search's index.
const BLOCK: i64 = 4_096;

/// All rows of a cache, in memory.
pub struct Rows {
    key: String,
    schema: Vec<String>,
    pages: Vec<(i64, Row)>,
    bodies: HashMap<i64, Row>,
    /// By their block: written whole, with the first page that is past it.
    postings: BTreeMap<i64, Vec<Row>>,
    /// What there is little of: written with the last page.
    small: Vec<(&'static str, Row)>,
    /// By the position of the event that they came with.
    texts: HashMap<i64, Vec<Row>>,
    requests: HashMap<i64, Vec<Row>>,
}

impl Rows {
    /// Reads the cache in a profile's directory.
    pub fn read(profile: &Path) -> Outcome<Self> {
        let keys: serde_json::Value = serde_json::from_slice(&std::fs::read(profile.join("keys.json"))?)?;
        let key = keys["cache"].as_str().ok_or("the cache has no key")?.to_owned();
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
            postings: BTreeMap::new(),
            small: Vec::new(),
            texts: HashMap::new(),
            requests: HashMap::new(),
        };
        let mut last: HashMap<RequestId, i64> = HashMap::new();
        for (seq, _) in &read.pages {
            let Some(Value::Text(json)) = read.bodies.get(seq).and_then(|row| row.get(1)) else { continue };
            let event: Event = serde_json::from_str(json)?;
            if let Some(id) = event.request {
                last.insert(id, *seq);
            }
            for (_, digest) in event.fact.digests() {
                let found = unhex(digest).and_then(|key| texts.get(&key));
                read.texts.entry(*seq).or_default().extend(found.cloned());
            }
        }
        for row in all(&db, "SELECT * FROM postings")? {
            if let Some(Value::Integer(block)) = row.first() {
                read.postings.entry(*block).or_default().push(row);
            }
        }
        for table in ["marks", "nodes"] {
            read.small
                .extend(all(&db, &format!("SELECT * FROM {table}"))?.into_iter().map(|row| (table, row)));
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
        let mut blocks = self.postings.iter().peekable();
        let mut pages = self.pages.chunks(page).peekable();
        while let Some(rows) = pages.next() {
            db.execute_batch("BEGIN IMMEDIATE")?;
            for (seq, row) in rows {
                insert(&db, "events", row)?;
                if let Some(body) = self.bodies.get(seq) {
                    insert(&db, "bodies", body)?;
                }
                for text in self.texts.get(seq).into_iter().flatten() {
                    insert(&db, "texts", text)?;
                }
                for request in self.requests.get(seq).into_iter().flatten() {
                    insert(&db, "requests", request)?;
                }
            }
            let end = rows.last().map_or(0, |(seq, _)| *seq);
            let last = pages.peek().is_none();
            let over = |block: i64| last || (block + 1) * BLOCK <= end;
            while let Some((_, terms)) = blocks.next_if(|(block, _)| over(**block)) {
                for term in terms {
                    insert(&db, "postings", term)?;
                }
            }
            if last {
                for (table, row) in &self.small {
                    insert(&db, table, row)?;
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

fn insert(db: &Connection, table: &str, row: &Row) -> Outcome<()> {
    let marks = vec!["?"; row.len()].join(", ");
    db.prepare_cached(&format!("INSERT OR REPLACE INTO {table} VALUES ({marks})"))?
        .execute(params_from_iter(row))?;
    Ok(())
}

fn unhex(digest: &Digest) -> Option<Vec<u8>> {
    let pair = |at: usize| u8::from_str_radix(digest.0.get(at..at + 2)?, 16).ok();
    (0..32).map(|at| pair(at * 2)).collect()
}
