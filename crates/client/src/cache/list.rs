//! Results of searches as lists: by page, by place, by day.

use super::Cache;
use super::place::{at_or_after, spread};
use super::query::{Found, views};
use super::read::Seen;
use crate::ui::{EventMap, EventMark, EventPage, EventPlace, EventQuery, EventSlice, Failure};
use gatepass_core::Time;
use rusqlite::Connection;

/// Most events one page holds.
const PAGE: u32 = 5_000;

/// Into so many parts the log is told apart where matches are shown beside it.
pub const PARTS: u64 = 400;

/// Moments that are told with their place.
const MARKS: i64 = 256;

impl Cache {
    /// One page, newest first, and how many match in all. Empty before the first sync.
    pub fn events(&self, query: &EventQuery, now: Time) -> Result<EventPage, Failure> {
        self.page(&query.text, now, query.limit, |found| {
            let below = query.before.map_or(found.positions.total, |seq| found.positions.below(seq));
            found.positions.total - below
        })
    }

    pub fn event_slice(&self, slice: &EventSlice, now: Time) -> Result<EventPage, Failure> {
        self.page(&slice.text, now, slice.limit, |_| slice.offset)
    }

    fn page(
        &self,
        text: &str,
        now: Time,
        limit: u32,
        offset: impl FnOnce(&Found) -> u64,
    ) -> Result<EventPage, Failure> {
        let page = self.seen(now, |seen, conn| {
            let found = self.find(seen, conn, text)?;
            let seqs = found.positions.newest(offset(&found), limit.min(PAGE) as usize);
            let items = views(seen, conn, &seqs)?;
            Ok(EventPage { items, total: found.positions.total, capped: found.capped })
        })?;
        Ok(page.unwrap_or(EventPage { items: Vec::new(), total: 0, capped: false }))
    }

    pub fn event_counts(&self, texts: &[String], now: Time) -> Result<Vec<u64>, Failure> {
        let counts = self.seen(now, |seen, conn| {
            texts.iter().map(|text| Ok(self.find(seen, conn, text)?.positions.total)).collect()
        })?;
        Ok(counts.unwrap_or_else(|| vec![0; texts.len()]))
    }

    pub fn event_map(&self, text: &str, midnights: &[i64], now: Time) -> Result<EventMap, Failure> {
        let map = self.seen(now, |seen, conn| {
            let found = self.find(seen, conn, text)?;
            let marks = spread(conn, MARKS)?.into_iter().map(|(at, seq)| EventMark { at, seq });
            let mut below = 0;
            let mut days = Vec::with_capacity(midnights.len() + 1);
            for seq in self.days(conn, midnights, found.changes)? {
                let next = found.positions.below(seq).max(below);
                days.push(next - below);
                below = next;
            }
            days.push(found.positions.total - below);
            Ok(EventMap {
                total: found.positions.total,
                capped: found.capped,
                size: found.size,
                marks: marks.collect(),
                days,
                parts: found.positions.parts(found.size, PARTS),
            })
        })?;
        let nothing = || EventMap {
            total: 0,
            capped: false,
            size: 0,
            marks: Vec::new(),
            days: vec![0; midnights.len() + 1],
            parts: Vec::new(),
        };
        Ok(map.unwrap_or_else(nothing))
    }

    /// Where each day begins; as before while nothing changed.
    fn days(&self, conn: &Connection, midnights: &[i64], changes: u64) -> Result<Vec<u64>, Failure> {
        let mut known = self.days.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if known.changes != changes || known.midnights != midnights {
            let mut places = Vec::with_capacity(midnights.len());
            for midnight in midnights {
                let at = Time::from_timestamp_millis(*midnight).unwrap_or_default();
                places.push(at_or_after(conn, at)?.unwrap_or(u64::MAX));
            }
            *known = Days { changes, midnights: midnights.to_vec(), places };
        }
        Ok(known.places.clone())
    }

    pub fn place_at(&self, text: &str, at: Time, now: Time) -> Result<Option<EventPlace>, Failure> {
        let place = self.seen(now, |seen, conn| match at_or_after(conn, at)? {
            Some(seq) => self.place(seen, conn, text, seq),
            None => Ok(None),
        })?;
        Ok(place.flatten())
    }

    pub fn place_of(&self, text: &str, seq: u64, now: Time) -> Result<Option<EventPlace>, Failure> {
        Ok(self.seen(now, |seen, conn| self.place(seen, conn, text, seq))?.flatten())
    }

    /// Of the first readable event from `seq` on.
    fn place(
        &self,
        seen: &Seen<'_>,
        conn: &Connection,
        text: &str,
        seq: u64,
    ) -> Result<Option<EventPlace>, Failure> {
        let all = self.find(seen, conn, "")?;
        let Some(seq) = all.positions.nth(all.positions.below(seq)) else { return Ok(None) };
        let found = self.find(seen, conn, text)?;
        let before = found.positions.below(seq);
        // The first match at or after it; where there is none, the last one before.
        let offset = found.positions.total.saturating_sub(before + 1);
        let at = views(seen, conn, &[seq])?.first().map(|event| event.at);
        Ok(at.map(|at| EventPlace { seq, at, offset }))
    }
}

/// Where the days of whoever looks begin.
#[derive(Default)]
pub(crate) struct Days {
    changes: u64,
    midnights: Vec<i64>,
    places: Vec<u64>,
}
