//! Checking all that is held, with the one check there is: `gatepass_log::replay`. Where it ended it can be taken up again,
//! so that what is new costs only what is new.

use super::ingest::{Signed, Verified, tree};
use super::nodes::Kept;
use super::read::salted;
use super::{Cache, meta, schema};
use crate::ui::{Failure, VerifyFinding, VerifyReport};
use gatepass_core::Code;
use gatepass_core::event::Event;
use gatepass_core::text::{Digest, SaltedText};
use gatepass_core::wire::Head;
use gatepass_log::replay::{Extent, Item, Replay};
use gatepass_log::{Hash, LogVerifier};
use rusqlite::{Connection, params};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};

/// Positions in one step: enough for every core, little enough to be stopped at once.
const STEP: u64 = 8_192;
/// Steps that are read ahead.
const AHEAD: usize = 2;

/// How far a check is, and whether it is to stop.
#[derive(Default)]
pub(crate) struct Progress {
    pub done: AtomicU64,
    pub total: AtomicU64,
    pub stop: AtomicBool,
}

/// A check that came to the end of what was held and can go on from there.
pub(crate) struct Running {
    replay: Replay,
    size: u64,
    rewritten: u64,
}

/// What the tree has to agree with.
pub(crate) struct Against<'a> {
    pub log: Option<&'a LogVerifier>,
    /// The newest head that was checked, as it is kept beside the cache.
    pub witness: Option<Head>,
}

impl Cache {
    /// Checks everything, or what came after `before`. A finding is an answer, no failure; then, and when it was
    /// stopped, there is nothing to go on from.
    pub fn verify(
        &self,
        before: Option<Running>,
        against: &Against<'_>,
        progress: &Progress,
    ) -> Result<(VerifyReport, Option<Running>), Failure> {
        let conn = schema::connect(&self.path, &self.key)?;
        // One state of the cache, whatever a sync writes meanwhile.
        conn.execute_batch("BEGIN")?;
        let kept = tree(&conn)?;
        let rewritten = meta::<u64>(&conn, "rewritten")?.unwrap_or(0);
        let signed = meta::<Signed>(&conn, "signed")?;
        let running = before.filter(|r| r.rewritten == rewritten && r.size <= kept.size());
        let full = running.is_none();
        let running =
            running.unwrap_or_else(|| Running { replay: Replay::new(Extent::Whole), size: 0, rewritten });
        progress.done.store(running.size, Ordering::Relaxed);
        progress.total.store(kept.size(), Ordering::Relaxed);
        let mut report = VerifyReport {
            full,
            from: running.size,
            size: running.size,
            root: running.replay.head().root,
            ..VerifyReport::from_first()
        };
        let mut heads = vec![kept.head()];
        match opened(signed.as_ref(), against.log) {
            Ok(head) => {
                report.signed_size = head.as_ref().map(|h| h.size);
                heads.extend(head);
            }
            Err(finding) => {
                report.finding = Some(finding);
                return Ok((report, None));
            }
        }
        heads.extend(meta::<Verified>(&conn, "verified")?.map(|v| v.head));
        heads.extend(against.witness.clone());
        report.finding = earlier(&conn, running.size, &heads).or(if full { texts(&conn)? } else { None });
        if report.finding.is_some() {
            return Ok((report, None));
        }
        heads.retain(|head| head.size > running.size);
        // What this copy does not reach yet can't be held against it.
        heads.retain(|head| head.size <= kept.size());
        heads.sort_by_key(|head| head.size);
        let went = go(conn, running, &heads, progress)?;
        Ok(finished(report, went))
    }
}

/// Where a check came to.
enum Went {
    Through(Box<Running>),
    Found { size: u64, head: Head, finding: VerifyFinding },
    Stopped { size: u64, head: Head },
}

fn finished(mut report: VerifyReport, went: Went) -> (VerifyReport, Option<Running>) {
    let (size, head, running) = match went {
        Went::Through(running) => {
            let found = running.replay.report();
            report.events = found.events;
            report.signatures = found.signatures;
            report.decisions = found.decisions;
            report.grants = found.grants;
            report.ended = found.ended;
            (running.size, running.replay.head(), Some(*running))
        }
        Went::Found { size, head, finding } => {
            report.finding = Some(finding);
            (size, head, None)
        }
        Went::Stopped { size, head } => {
            report.cancelled = true;
            (size, head, None)
        }
    };
    report.size = size;
    report.root = head.root;
    (report, running)
}

/// Reads on one thread while the other checks. The last of `heads` is the one over everything held.
fn go(conn: Connection, mut running: Running, heads: &[Head], progress: &Progress) -> Result<Went, Failure> {
    let Some(end) = heads.last().map(|head| head.size) else { return Ok(Went::Through(Box::new(running))) };
    // A step ends where a head is to be compared.
    let mut ends: Vec<u64> = heads.iter().map(|head| head.size).collect();
    let mut at = running.size;
    while at < end {
        ends.push(at);
        at += STEP;
    }
    ends.sort_unstable();
    ends.dedup();
    let from = running.size;
    let (sender, steps) = sync_channel(AHEAD);
    std::thread::scope(|scope| {
        let reading = scope.spawn(move || read(&conn, from, &ends, &sender));
        for step in steps {
            let done = running.size;
            if progress.stop.load(Ordering::Relaxed) {
                return Ok(Went::Stopped { size: done, head: running.replay.head() });
            }
            let count = Vec::len(&step) as u64;
            if let Err(finding) = running.replay.take(step) {
                return Ok(Went::Found { size: done, head: running.replay.head(), finding: finding.into() });
            }
            running.size += count;
            progress.done.store(running.size, Ordering::Relaxed);
            let head = running.replay.head();
            if let Some(other) = heads.iter().find(|h| h.size == head.size && **h != head) {
                let finding = root(other.size);
                return Ok(Went::Found { size: running.size, head, finding });
            }
        }
        reading.join().map_err(|_| Failure::new(Code::Internal, "Reading the local cache failed."))??;
        if running.size < end {
            let message = format!("The local cache holds {} events instead of {end}.", running.size);
            let finding = VerifyFinding { seq: Some(running.size + 1), rule: "dense".to_owned(), message };
            return Ok(Went::Found { size: running.size, head: running.replay.head(), finding });
        }
        Ok(Went::Through(Box::new(running)))
    })
}

fn root(size: u64) -> VerifyFinding {
    let message = format!("The events up to {size} do not add up to the head that was checked before.");
    VerifyFinding { seq: None, rule: "root".to_owned(), message }
}

/// The last signed head, if the log's key still says so.
fn opened(signed: Option<&Signed>, log: Option<&LogVerifier>) -> Result<Option<Head>, VerifyFinding> {
    let (Some(signed), Some(log)) = (signed, log) else { return Ok(None) };
    log.open(&signed.note).map(Some).map_err(|error| VerifyFinding {
        seq: None,
        rule: "checkpoint".to_owned(),
        message: format!("The last signed head does not hold: {error}."),
    })
}

/// Heads within what was checked before.
fn earlier(conn: &Connection, size: u64, heads: &[Head]) -> Option<VerifyFinding> {
    let within = heads.iter().filter(|head| head.size <= size);
    let mut wrong = within.filter(|head| Kept(conn).head_at(head.size).as_ref() != Some(head));
    wrong.next().map(|head| root(head.size))
}

/// Texts that are not the ones under their digests.
fn texts(conn: &Connection) -> Result<Option<VerifyFinding>, Failure> {
    let mut statement = conn.prepare("SELECT digest, salt, text FROM texts")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let digest: Digest = Hash(row.get(0)?).digest();
        let text = SaltedText { salt: row.get(1)?, text: row.get(2)? };
        if text.digest().as_ref() != Some(&digest) {
            let message = format!("A text in the local cache is not the one under its digest {digest}.");
            return Ok(Some(VerifyFinding { seq: None, rule: "text".to_owned(), message }));
        }
    }
    Ok(None)
}

/// Sends the positions after `from`, a step up to each of `ends`. Ends early when nobody takes them any more.
fn read(conn: &Connection, from: u64, ends: &[u64], steps: &SyncSender<Vec<Item>>) -> Result<(), Failure> {
    let mut statement = conn.prepare(
        "SELECT e.seq, leaf, json, kind = 'catalogue.published' FROM events e LEFT JOIN bodies USING(seq)
         WHERE e.seq > ?1 AND e.seq <= ?2 ORDER BY e.seq",
    )?;
    let mut last = from;
    for end in ends.iter().filter(|end| **end > from) {
        let mut step = Vec::with_capacity(usize::try_from(end - last).unwrap_or_default());
        let mut rows = statement.query(params![last, end])?;
        while let Some(row) = rows.next()? {
            let content: Option<String> = row.get(2)?;
            // The one text that a rule is about; all others were checked at once.
            let texts = match (&content, row.get::<_, Option<bool>>(3)?) {
                (Some(content), Some(true)) => documents(conn, content)?,
                _ => Vec::new(),
            };
            step.push(Item { seq: row.get(0)?, leaf: Hash(row.get(1)?), content, texts });
        }
        if steps.send(step).is_err() {
            return Ok(());
        }
        last = *end;
    }
    Ok(())
}

fn documents(conn: &Connection, content: &str) -> Result<Vec<SaltedText>, Failure> {
    // What can't be read is found by the check.
    let Ok(event) = serde_json::from_str::<Event>(content) else { return Ok(Vec::new()) };
    let mut found = Vec::new();
    for (_, digest) in event.fact.digests() {
        found.extend(salted(conn, digest)?);
    }
    Ok(found)
}
