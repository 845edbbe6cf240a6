//! `subtree`: what the log's proofs and tiles are made of.

use super::{event, fail};
use crate::log::{Subtree, WIDTH};
use crate::store::StoreError;
use gatepass_log::{HEIGHT, Hash, Nodes};
use rusqlite::{Connection, params};
use std::collections::BTreeSet;

/// How many are made in one transaction, so that others may write between.
const STEP: usize = 64;

pub fn write(db: &Connection, made: &Subtree) -> Result<(), StoreError> {
    db.prepare_cached("INSERT OR IGNORE INTO subtree (height, number, root) VALUES (?1, ?2, ?3)")
        .and_then(|mut q| q.execute(params![made.height, made.index as i64, made.root.0]))
        .map(|_| ())
        .map_err(fail)
}

/// Those that are there, up to the first that is not.
pub fn read(db: &Connection, height: u8, index: u64, count: usize) -> rusqlite::Result<Vec<Hash>> {
    // Both answer a number from 0.
    let sql = if height == 0 {
        "SELECT seq - 1, leaf FROM event WHERE ?1 = 0 AND seq > ?2 ORDER BY seq LIMIT ?3"
    } else {
        "SELECT number, root FROM subtree WHERE height = ?1 AND number >= ?2 ORDER BY number LIMIT ?3"
    };
    let (from, many) = (i64::try_from(index).unwrap_or(i64::MAX), i64::try_from(count).unwrap_or(i64::MAX));
    let mut query = db.prepare_cached(sql)?;
    let rows = query.query_map(params![height, from, many], |row| {
        Ok((row.get::<_, i64>(0)?.cast_unsigned(), Hash(row.get(1)?)))
    })?;
    let mut found = Vec::with_capacity(count.min(WIDTH));
    for (row, expected) in rows.zip(index..) {
        let (number, hash) = row?;
        if number != expected {
            break;
        }
        found.push(hash);
    }
    Ok(found)
}

/// All of them.
pub fn whole(db: &Connection, height: u8, index: u64, count: usize) -> Result<Vec<Hash>, StoreError> {
    let found = read(db, height, index, count).map_err(fail)?;
    if found.len() == count {
        return Ok(found);
    }
    let first = index + found.len() as u64;
    Err(StoreError::Failed(format!("the log has no complete subtree {first} of height {height}")))
}

/// Makes those that are missing: all of a log from before there were any.
pub fn fill(db: &Connection) -> Result<(), StoreError> {
    let size = event::head(db)?.size;
    for height in (HEIGHT..u8::MAX).step_by(HEIGHT.into()) {
        let complete = size.checked_shr(height.into()).unwrap_or(0);
        if complete == 0 {
            break;
        }
        for some in missing(db, height, complete)?.chunks(STEP) {
            db.execute_batch("BEGIN IMMEDIATE").map_err(fail)?;
            let made = some.iter().try_for_each(|index| make(db, height, *index));
            let end = if made.is_ok() { "COMMIT" } else { "ROLLBACK" };
            made.and_then(|()| db.execute_batch(end).map_err(fail))?;
        }
    }
    Ok(())
}

fn missing(db: &Connection, height: u8, complete: u64) -> Result<Vec<u64>, StoreError> {
    let mut query = db.prepare_cached("SELECT number FROM subtree WHERE height = ?1").map_err(fail)?;
    let there: BTreeSet<u64> = query
        .query_map([height], |row| row.get::<_, i64>(0).map(i64::cast_unsigned))
        .and_then(Iterator::collect)
        .map_err(fail)?;
    Ok((0..complete).filter(|number| !there.contains(number)).collect())
}

fn make(db: &Connection, height: u8, index: u64) -> Result<(), StoreError> {
    let below = whole(db, height - HEIGHT, index * WIDTH as u64, WIDTH)?;
    let made = Subtree::over(&below, height, index);
    made.map_or(Ok(()), |made| write(db, &made))
}

/// A file that nobody writes. What is missing of it, as in one of an older version, is made again and not kept.
pub struct Kept<'a>(pub &'a Connection);

impl Nodes for Kept<'_> {
    fn read(&self, height: u8, index: u64, count: usize) -> Result<Vec<Hash>, String> {
        let found = read(self.0, height, index, count);
        if height == 0 {
            let found = found.map_err(|e| e.to_string())?;
            let missing = || format!("the event at position {} is missing", index + found.len() as u64 + 1);
            return if found.len() == count { Ok(found) } else { Err(missing()) };
        }
        // A file of an older version has no such table.
        let mut found = found.unwrap_or_default();
        for index in index + found.len() as u64..index + count as u64 {
            let below = self.read(height - HEIGHT, index * WIDTH as u64, WIDTH)?;
            found.extend(Subtree::over(&below, height, index).map(|made| made.root));
        }
        Ok(found)
    }
}
