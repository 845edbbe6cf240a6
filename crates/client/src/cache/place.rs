//! Where in the log a moment is. Times hardly ever go back along the log, but nodes of one server may differ by a
//! moment; so a place is the first position whose time is not before it.

use crate::ui::Failure;
use gatepass_core::Time;
use rusqlite::{Connection, OptionalExtension as _, params};

/// The table `marks` has the time at positions a little way apart, so that looking from a mark on is looking at few
/// rows: a new one after so many milliseconds, or so many positions.
const APART_MS: i64 = 15 * 60 * 1_000;
const APART: u64 = 256;

/// Sets marks while the log grows.
pub(super) struct Marking {
    last: Option<(i64, u64)>,
}

impl Marking {
    pub fn new(conn: &Connection) -> Result<Self, Failure> {
        let last = conn
            .prepare_cached("SELECT at, seq FROM marks ORDER BY at DESC LIMIT 1")?
            .query_row([], |row| Ok((row.get(0)?, row.get(1)?)))
            .optional()?;
        Ok(Self { last })
    }

    pub fn pass(&mut self, conn: &Connection, seq: u64, at: i64) -> Result<(), Failure> {
        let due = self.last.is_none_or(|(then, there)| {
            at > then && (at - then >= APART_MS || seq.saturating_sub(there) >= APART)
        });
        if due {
            conn.prepare_cached("INSERT OR IGNORE INTO marks(at, seq) VALUES(?1, ?2)")?
                .execute(params![at, seq])?;
            self.last = Some((at, seq));
        }
        Ok(())
    }
}

/// Sets the marks anew: events came into sight before those that there are.
pub(super) fn mark_again(conn: &Connection) -> Result<(), Failure> {
    conn.execute("DELETE FROM marks", [])?;
    let mut marking = Marking { last: None };
    let mut statement =
        conn.prepare_cached("SELECT seq, at FROM events WHERE at IS NOT NULL ORDER BY seq")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        marking.pass(conn, row.get(0)?, row.get(1)?)?;
    }
    Ok(())
}

/// The first readable position at or after a moment.
pub(super) fn at_or_after(conn: &Connection, at: Time) -> Result<Option<u64>, Failure> {
    let at = at.timestamp_millis();
    let from: Option<u64> = conn
        .prepare_cached("SELECT seq FROM marks WHERE at < ?1 ORDER BY at DESC LIMIT 1")?
        .query_row([at], |row| row.get(0))
        .optional()?;
    Ok(conn
        .prepare_cached("SELECT seq FROM events WHERE seq >= ?1 AND at >= ?2 ORDER BY seq LIMIT 1")?
        .query_row(params![from.unwrap_or(0), at], |row| row.get(0))
        .optional()?)
}

/// Moments over the whole log and where they are, about evenly spread in time, oldest first.
pub(super) fn spread(conn: &Connection, count: i64) -> Result<Vec<(Time, u64)>, Failure> {
    let ends: (Option<i64>, Option<i64>) = conn
        .prepare_cached("SELECT min(at), (SELECT max(at) FROM marks) FROM marks")?
        .query_row([], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let (Some(first), Some(last)) = ends else { return Ok(Vec::new()) };
    let mut one = conn.prepare_cached("SELECT at, seq FROM marks WHERE at >= ?1 ORDER BY at LIMIT 1")?;
    let mut found: Vec<(Time, u64)> = Vec::new();
    for n in 0..=count {
        let wanted = first + (last - first) / count.max(1) * n;
        let mark: Option<(i64, u64)> =
            one.query_row([wanted], |row| Ok((row.get(0)?, row.get(1)?))).optional()?;
        let Some((at, seq)) = mark else { break };
        if let Some(at) = Time::from_timestamp_millis(at)
            && found.last().is_none_or(|(_, before)| *before < seq)
        {
            found.push((at, seq));
        }
    }
    Ok(found)
}
