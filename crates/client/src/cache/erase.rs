//! People who were erased: their texts go here too, and so do the words by which those were found.

use super::documents::Documents;
use super::ingest::rewritten;
use super::positions::BLOCK;
use super::read::salted;
use super::write::{Writing, digest_bytes};
use super::{Cache, meta};
use crate::ui::Failure;
use gatepass_core::erase::{Erasing, is_erased, whose};
use gatepass_core::event::{Event, Fact};
use gatepass_core::id::PersonId;
use gatepass_core::request::Request;
use gatepass_core::retention::Retention;
use gatepass_core::wire::EventView;
use gatepass_core::{Code, Time};
use rusqlite::{Connection, TransactionBehavior, params};
use std::collections::{BTreeSet, HashMap};
use uuid::Uuid;

/// `reworded`: the index no longer has their name. Also made in a cache of before there was any.
pub(super) const TABLE: &str = "
CREATE TABLE IF NOT EXISTS erased(
    person BLOB PRIMARY KEY, seq INTEGER NOT NULL, at INTEGER NOT NULL, reworded INTEGER NOT NULL) WITHOUT ROWID;
";

/// Blocks of the index that are made anew in one transaction.
const AT_ONCE: usize = 8;

/// Where and when each was erased.
pub(super) struct Erased(HashMap<PersonId, (u64, Time)>);

impl Erased {
    pub fn read(conn: &Connection) -> Result<Self, Failure> {
        let mut statement = conn.prepare_cached("SELECT person, seq, at FROM erased")?;
        let rows = statement.query_map([], |row| {
            let at = Time::from_timestamp_millis(row.get(2)?).unwrap_or_default();
            Ok((PersonId(Uuid::from_bytes(row.get(0)?)), (row.get(1)?, at)))
        })?;
        Ok(Self(rows.collect::<Result<_, _>>()?))
    }

    /// When the texts of an event at `seq` were erased; `None` if they were not. What came after a person was erased
    /// is not theirs.
    pub fn at(&self, seq: u64, event: &Event) -> Option<Time> {
        whose(event).find_map(|person| self.of(person, seq))
    }

    fn of(&self, person: PersonId, seq: u64) -> Option<Time> {
        self.0.get(&person).filter(|(erased, _)| seq < *erased).map(|(_, at)| *at)
    }
}

/// Takes in that somebody was erased; answers whether that is news.
pub(super) fn take(conn: &Connection, erased: &mut Erased, seq: u64, event: &Event) -> Result<bool, Failure> {
    let Fact::PersonErased { person } = event.fact else { return Ok(false) };
    let new = conn
        .prepare_cached("INSERT OR IGNORE INTO erased(person, seq, at, reworded) VALUES(?1, ?2, ?3, 0)")?
        .execute(params![person.0.as_bytes(), seq, event.at.timestamp_millis()])?;
    erased.0.entry(person).or_insert((seq, event.at));
    Ok(new > 0)
}

/// Deletes the texts of people whose names the index may still have.
pub(super) fn texts(conn: &Connection) -> Result<(), Failure> {
    let mut statement = conn.prepare_cached(
        "SELECT json FROM events e JOIN bodies USING(seq)
         WHERE e.seq < ?2 AND (e.by = ?1 OR e.kind IN ('person.recorded', 'person.revoked', 'device.enrolled')
             OR e.kind = 'grant.ending' AND e.request IN (SELECT id FROM requests WHERE by = ?1))
         ORDER BY e.seq",
    )?;
    for (person, seq) in named(conn)? {
        let mut erasing = Erasing::of([person]);
        let mut rows = statement.query(params![person.0.as_bytes(), seq])?;
        while let Some(row) = rows.next()? {
            let json: String = row.get(0)?;
            let event: Event = serde_json::from_str(&json).map_err(|_| Failure::from(Code::CacheBroken))?;
            erasing.takes(&event);
        }
        for key in erasing.digests().filter_map(digest_bytes) {
            conn.prepare_cached("DELETE FROM texts WHERE digest = ?1")?.execute([key])?;
        }
    }
    Ok(())
}

/// Those who were erased, and whom the index may still name.
fn named(conn: &Connection) -> Result<Vec<(PersonId, u64)>, Failure> {
    let mut statement = conn.prepare_cached("SELECT person, seq FROM erased WHERE NOT reworded")?;
    let rows = statement.query_map([], |row| Ok((PersonId(Uuid::from_bytes(row.get(0)?)), row.get(1)?)))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

impl Cache {
    /// Makes the index anew where it names people who were erased, once the directory has no name for them any more;
    /// that may come later than the event. Answers whether anything changed.
    pub fn reword(&self, now: Time) -> Result<bool, Failure> {
        let Some(documents) = self.documents()? else { return Ok(false) };
        let nameless =
            |person: &PersonId| documents.directory.get(*person).is_none_or(|known| is_erased(&known.handle));
        let mut conn = self.writer();
        let people: Vec<PersonId> = named(&conn)?.into_iter().map(|(p, _)| p).filter(nameless).collect();
        if people.is_empty() {
            return Ok(false);
        }
        let mut blocks = BTreeSet::new();
        for person in &people {
            let mut statement = conn.prepare_cached(
                "SELECT seq / ?1 FROM bodies WHERE instr(json, ?2) > 0
                 UNION SELECT seq / ?1 FROM events WHERE request IN (SELECT id FROM requests WHERE by = ?3)",
            )?;
            let found = statement
                .query_map(params![BLOCK, person.to_string(), person.0.as_bytes()], |row| row.get(0))?;
            blocks.extend(found.collect::<Result<Vec<u64>, _>>()?);
        }
        index_again(&mut conn, &documents, blocks, now)?;
        let tx = conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
        for person in &people {
            tx.prepare_cached("UPDATE erased SET reworded = 1 WHERE person = ?1")?
                .execute([person.0.as_bytes()])?;
        }
        rewritten(&tx)?;
        tx.commit()?;
        flush(&conn)?;
        Ok(true)
    }
}

/// Makes blocks of the index anew, a few at a time: others write between.
pub(super) fn index_again(
    conn: &mut Connection,
    documents: &Documents,
    blocks: BTreeSet<u64>,
    now: Time,
) -> Result<(), Failure> {
    let blocks: Vec<u64> = blocks.into_iter().collect();
    for some in blocks.chunks(AT_ONCE) {
        let tx = conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let mut writing = Writing::new(&tx, documents, now)?;
        some.iter().for_each(|block| writing.reindex(*block));
        writing.finish()?;
        tx.commit()?;
    }
    Ok(())
}

/// What was deleted is overwritten in the file; this empties the log beside it, unless somebody reads just then.
pub(super) fn flush(conn: &Connection) -> Result<(), Failure> {
    Ok(conn.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))?)
}

/// How long texts are kept, and whose went before.
pub(super) struct Kept {
    erased: Erased,
    retention: Retention,
}

impl Kept {
    pub fn read(conn: &Connection) -> Result<Self, Failure> {
        Ok(Self { erased: Erased::read(conn)?, retention: meta(conn, "retention")?.unwrap_or_default() })
    }

    /// Says of an event that has texts what became of them, or will.
    pub fn mark(
        &self,
        conn: &Connection,
        view: &mut EventView,
        event: &Event,
        request: Option<&Request>,
        now: Time,
    ) -> Result<(), Failure> {
        let mut missing = false;
        let digests = event.fact.digests();
        for (_, digest) in &digests {
            missing |= salted(conn, digest)?.is_none();
        }
        if digests.is_empty() {
            return Ok(());
        }
        if missing {
            // Why an access ended may be why everything of its holder did.
            let holder = request.filter(|_| matches!(event.fact, Fact::GrantEnding { .. })).map(|r| r.by);
            let theirs = || holder.and_then(|holder| self.erased.of(holder, view.seq));
            view.erased_at = self.erased.at(view.seq, event).or_else(theirs);
        }
        let until = self.retention.until(event.fact.kind(), event.at);
        view.kept_until = until.filter(|until| view.erased_at.is_none() && missing == (*until <= now));
        Ok(())
    }
}
