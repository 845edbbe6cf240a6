//! Texts that were kept for long enough go, by the rule the server told last; also with the server gone.

use super::erase::{flush, index_again};
use super::ingest::rewritten;
use super::positions::BLOCK;
use super::read::{event_at, projection};
use super::write::digest_bytes;
use super::{Cache, clear_meta, meta, set_meta};
use crate::ui::Failure;
use chrono::TimeDelta;
use gatepass_core::Time;
use gatepass_core::drift::about;
use gatepass_core::event::Event;
use gatepass_core::retention::{KINDS, Retention, request_over};
use rusqlite::{Connection, OptionalExtension as _, TransactionBehavior, params};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// How often it is looked at while the rule stays.
const EVERY: TimeDelta = TimeDelta::days(1);
/// Events looked at in one transaction.
const STEP: usize = 4_096;

/// How far it came.
#[derive(Default, Serialize, Deserialize)]
struct Expiry {
    /// The rule that it went by.
    rule: Retention,
    looked: Option<Time>,
    /// By how long texts are kept, in seconds: the last position whose time is over.
    reached: BTreeMap<u32, u64>,
    /// Positions whose time is over, and what they belong to is not.
    waiting: BTreeSet<u64>,
    /// Blocks of the index with words of texts that went.
    stale: BTreeSet<u64>,
}

/// Keeps the rule for when the server is gone.
pub(super) fn take(tx: &Connection, rule: &Retention) -> Result<(), Failure> {
    let known: Option<Retention> = meta(tx, "retention")?;
    if known.unwrap_or_default() != *rule { set_meta(tx, "retention", rule) } else { Ok(()) }
}

/// Everything is looked at again: what had gone may have come back with a resync.
pub(super) fn again(tx: &Connection) -> Result<(), Failure> {
    clear_meta(tx, "expiry")
}

impl Cache {
    /// Deletes the texts whose time is over, once a day and when the rule changed. Answers whether anything went.
    pub fn expire(&self, now: Time) -> Result<bool, Failure> {
        let mut conn = self.writer();
        let rule: Retention = meta(&conn, "retention")?.unwrap_or_default();
        let mut expiry: Expiry = meta(&conn, "expiry")?.unwrap_or_default();
        if expiry.rule != rule {
            expiry = Expiry { rule, stale: expiry.stale, ..Expiry::default() };
        } else if expiry.stale.is_empty()
            && (expiry.rule.is_empty() || expiry.looked.is_some_and(|at| at <= now && now < at + EVERY))
        {
            return Ok(false);
        }
        let Some(documents) = self.documents_with(&conn)? else { return Ok(false) };
        let tx = conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
        for seq in std::mem::take(&mut expiry.waiting) {
            expiry.look(&tx, seq)?;
        }
        set_meta(&tx, "expiry", &expiry)?;
        tx.commit()?;
        let ages: BTreeSet<u32> = KINDS.iter().filter_map(|kind| expiry.rule.seconds(kind)).collect();
        for age in ages {
            while expiry.step(&mut conn, age, now)? {}
        }
        let stale = std::mem::take(&mut expiry.stale);
        let any = !stale.is_empty();
        index_again(&mut conn, &documents, stale, now)?;
        expiry.looked = Some(now);
        let tx = conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
        set_meta(&tx, "expiry", &expiry)?;
        if any {
            rewritten(&tx)?;
        }
        tx.commit()?;
        if any {
            flush(&conn)?;
        }
        Ok(any)
    }
}

impl Expiry {
    /// The next events among those kept for `age`; answers whether there may be more.
    fn step(&mut self, conn: &mut Connection, age: u32, now: Time) -> Result<bool, Failure> {
        let limit = (now - TimeDelta::seconds(age.into())).timestamp_millis();
        let tx = conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let mut reached = self.reached.get(&age).copied().unwrap_or(0);
        let (mut rows, mut over) = (0, Vec::new());
        {
            let mut statement = tx.prepare_cached(
                "SELECT seq, at, kind FROM events WHERE seq > ?1 AND kind IS NOT NULL ORDER BY seq LIMIT ?2",
            )?;
            let mut found = statement.query(params![reached, STEP])?;
            while let Some(row) = found.next()? {
                // Events are in the order of time, give or take moments: the first that is not over ends it.
                if row.get::<_, i64>(1)? > limit {
                    break;
                }
                rows += 1;
                reached = row.get(0)?;
                if self.rule.seconds(row.get_ref(2)?.as_str().unwrap_or_default()) == Some(age) {
                    over.push(reached);
                }
            }
        }
        for seq in over {
            self.look(&tx, seq)?;
        }
        self.reached.insert(age, reached);
        set_meta(&tx, "expiry", self)?;
        tx.commit()?;
        Ok(rows == STEP)
    }

    /// Deletes the texts of an event, or has it wait until what it belongs to is over.
    fn look(&mut self, tx: &Connection, seq: u64) -> Result<(), Failure> {
        let Some((event, _)) = event_at(tx, seq)? else { return Ok(()) };
        if !over(tx, &event)? {
            self.waiting.insert(seq);
            return Ok(());
        }
        for key in event.fact.digests().into_iter().filter_map(|(_, digest)| digest_bytes(digest)) {
            if tx.prepare_cached("DELETE FROM texts WHERE digest = ?1")?.execute([key])? > 0 {
                self.stale.insert(seq / BLOCK);
            }
        }
        Ok(())
    }
}

fn over(tx: &Connection, event: &Event) -> Result<bool, Failure> {
    if let Some(id) = event.request {
        return Ok(projection(tx, id)?.is_none_or(|request| request_over(&request)));
    }
    let Some(drift) = about(&event.fact) else { return Ok(true) };
    let state: Option<String> = tx
        .prepare_cached("SELECT state FROM drift WHERE id = ?1")?
        .query_row([drift.0.as_bytes()], |row| row.get(0))
        .optional()?;
    Ok(state.is_none_or(|state| state == "gone"))
}
