//! `job`: durable work, leased.

use super::{fail, millis, time};
use crate::Time;
use crate::store::{Backlog, Claimed, Job, JobChange, JobKind, Room, Settle, Settled, StoreError};
use rusqlite::{Connection, OptionalExtension as _, params};
use std::collections::HashSet;
use uuid::Uuid;

fn kind(name: &str) -> Option<JobKind> {
    [JobKind::End, JobKind::Provision, JobKind::Guard, JobKind::Lapse].into_iter().find(|k| k.name() == name)
}

fn read(row: &rusqlite::Row<'_>) -> rusqlite::Result<Option<Job>> {
    let (name, subject, request): (String, String, String) = (row.get(1)?, row.get(2)?, row.get(3)?);
    let (Some(kind), Ok(subject), Ok(request)) = (kind(&name), Uuid::parse_str(&subject), request.parse())
    else {
        return Ok(None);
    };
    Ok(Some(Job {
        id: row.get(0)?,
        kind,
        subject,
        request,
        target: row.get(4)?,
        due: time(row.get(5)?),
        attempts: row.get(6)?,
        fence: row.get(7)?,
        puts: row.get(8)?,
    }))
}

pub fn change(db: &Connection, change: &JobChange, settle: Option<&Settle>) -> Result<(), StoreError> {
    match change {
        JobChange::Put { kind, subject, .. }
            if settle.is_some_and(|s| {
                s.how == Settled::Hold && s.job.kind == *kind && s.job.subject == *subject
            }) =>
        {
            // The worker that holds this very job is doing it.
            Ok(())
        }
        JobChange::Put { kind, subject, request, target, due } => db
            .prepare_cached(
                "INSERT INTO job (kind, subject, request_id, target, due) VALUES (?1, ?2, ?3, ?4, ?5)
                 ON CONFLICT (kind, subject) DO UPDATE SET due = min(due, excluded.due), puts = puts + 1",
            )
            .and_then(|mut q| {
                q.execute(params![
                    kind.name(),
                    subject.to_string(),
                    request.to_string(),
                    target,
                    millis(*due)
                ])
            })
            .map(|_| ())
            .map_err(fail),
        JobChange::Postpone { kind, subject, due } => db
            .prepare_cached(
                "UPDATE job SET due = ?3, first_due = NULL, puts = puts + 1 WHERE kind = ?1 AND subject = ?2",
            )
            .and_then(|mut q| q.execute(params![kind.name(), subject.to_string(), millis(*due)]))
            .map(|_| ())
            .map_err(fail),
        JobChange::Urge { kind, subject, due } => db
            .prepare_cached(
                "UPDATE job SET due = min(due, ?3), urgent = 1, puts = puts + 1 WHERE kind = ?1 AND subject = ?2",
            )
            .and_then(|mut q| q.execute(params![kind.name(), subject.to_string(), millis(*due)]))
            .map(|_| ())
            .map_err(fail),
        JobChange::Hasten { target, due } => db
            .prepare_cached(
                "UPDATE job SET due = ?2
                 WHERE kind = 'end' AND target = ?1 AND attempts > 0 AND due > ?2 AND leased_until IS NULL",
            )
            .and_then(|mut q| q.execute(params![target, millis(*due)]))
            .map(|_| ())
            .map_err(fail),
        JobChange::Cancel { kind, subject } => db
            .prepare_cached("DELETE FROM job WHERE kind = ?1 AND subject = ?2")
            .and_then(|mut q| q.execute(params![kind.name(), subject.to_string()]))
            .map(|_| ())
            .map_err(fail),
        JobChange::Forget { grant } => {
            let grant = grant.to_string();
            db.prepare_cached("DELETE FROM job WHERE subject = ?1")
                .and_then(|mut q| q.execute([&grant]))
                .map_err(fail)?;
            db.prepare_cached("DELETE FROM sealed WHERE grant_id = ?1")
                .and_then(|mut q| q.execute([&grant]))
                .map(|_| ())
                .map_err(fail)
        }
    }
}

pub fn settle(db: &Connection, settle: &Settle) -> Result<(), StoreError> {
    let Job { id, fence, puts, .. } = &settle.job;
    let touched = match settle.how {
        // Only looks: a step that changes nothing else then costs no write.
        Settled::Hold => db
            .prepare_cached("SELECT 1 FROM job WHERE id = ?1 AND fence = ?2")
            .and_then(|mut q| q.exists(params![id, fence]))
            .map(usize::from),
        Settled::Done => db
            .prepare_cached("DELETE FROM job WHERE id = ?1 AND fence = ?2 AND puts = ?3")
            .and_then(|mut q| q.execute(params![id, fence, puts]))
            .and_then(|deleted| if deleted > 0 { Ok(deleted) } else { release(db, *id, *fence) }),
        Settled::Again { due, failed } => db
            .prepare_cached(
                "UPDATE job SET leased_until = NULL, attempts = attempts + ?4,
                     first_due = CASE WHEN ?4 THEN coalesce(first_due, due) END,
                     due = CASE WHEN puts = ?5 THEN ?3 ELSE due END
                 WHERE id = ?1 AND fence = ?2",
            )
            .and_then(|mut q| q.execute(params![id, fence, millis(due), failed, puts])),
    };
    if touched.map_err(fail)? == 0 { Err(StoreError::LeaseLost) } else { Ok(()) }
}

fn release(db: &Connection, id: i64, fence: i64) -> rusqlite::Result<usize> {
    db.prepare_cached("UPDATE job SET leased_until = NULL WHERE id = ?1 AND fence = ?2")
        .and_then(|mut q| q.execute(params![id, fence]))
}

/// Free to be claimed: nobody holds it, nor another job of its subject.
macro_rules! free {
    ($rest:literal) => {
        concat!(
            "SELECT id, kind, subject, request_id, target, due, attempts, fence, puts FROM job j
             WHERE (leased_until IS NULL OR leased_until < ?1)
               AND NOT EXISTS (SELECT 1 FROM job o WHERE o.subject = j.subject AND o.leased_until >= ?1) ",
            $rest
        )
    };
}

/// Target by target, so that what one has no room for is not read, however much is due there.
pub fn claim(db: &Connection, now: Time, until: Time, mut room: Room) -> Result<Claimed, StoreError> {
    let mut found = Vec::new();
    let mut subjects = HashSet::new();
    for target in targets(db)? {
        for urgent in [true, false] {
            let mut query = db
                .prepare_cached(free!("AND target = ?2 AND urgent = ?3 AND due <= ?1 ORDER BY due"))
                .map_err(fail)?;
            let mut rows = query.query(params![millis(now), target, urgent]).map_err(fail)?;
            // The others wait for room, or for their grant's other job: whoever ends that work claims again.
            while room.left(&target, urgent) > 0 {
                let Some(row) = rows.next().map_err(fail)? else { break };
                let Some(job) = read(row).map_err(fail)? else { continue };
                if subjects.insert(job.subject) {
                    room.take(&target);
                    found.push((!urgent, job.due, job));
                }
            }
        }
    }
    found.sort_by_key(|(later, due, job)| (*later, *due, job.id));
    let next = db
        .prepare_cached(free!("AND due > ?1 ORDER BY due LIMIT 1"))
        .and_then(|mut q| q.query_row([millis(now)], |row| row.get(5)).optional())
        .map_err(fail)?;
    let jobs = found.into_iter().map(|(_, _, job)| job).collect();
    let mut claimed = Claimed { jobs, next: next.map(time) };
    let mut lease = db
        .prepare_cached("UPDATE job SET leased_until = ?2, fence = fence + 1 WHERE id = ?1")
        .map_err(fail)?;
    for job in &mut claimed.jobs {
        lease.execute(params![job.id, millis(until)]).map_err(fail)?;
        job.fence += 1;
    }
    Ok(claimed)
}

/// Those that have jobs: one step in the index for each, not one for each job.
fn targets(db: &Connection) -> Result<Vec<String>, StoreError> {
    let mut next = db.prepare_cached("SELECT min(target) FROM job WHERE target > ?1").map_err(fail)?;
    let first = db
        .prepare_cached("SELECT min(target) FROM job")
        .and_then(|mut q| q.query_row([], |row| row.get::<_, Option<String>>(0)))
        .map_err(fail)?;
    let mut targets: Vec<String> = first.into_iter().collect();
    while let Some(last) = targets.last() {
        match next.query_row([last], |row| row.get::<_, Option<String>>(0)).map_err(fail)? {
            Some(target) => targets.push(target),
            None => break,
        }
    }
    Ok(targets)
}

pub fn due_ends(db: &Connection, now: Time) -> Result<Vec<Job>, StoreError> {
    let mut query = db
        .prepare_cached(
            "SELECT id, kind, subject, request_id, target, due, attempts, fence, puts FROM job
             WHERE kind = 'end' AND due <= ?1 AND (leased_until IS NULL OR leased_until < ?1)
             ORDER BY urgent DESC, due",
        )
        .map_err(fail)?;
    let found = query.query_map([millis(now)], read).and_then(Iterator::collect::<rusqlite::Result<Vec<_>>>);
    Ok(found.map_err(fail)?.into_iter().flatten().collect())
}

/// `held`: id and fence of each.
pub fn renew(db: &Connection, held: &[(i64, i64)], until: Time) -> Result<Vec<i64>, StoreError> {
    let mut query = db
        .prepare_cached(
            "UPDATE job SET leased_until = ?3 WHERE id = ?1 AND fence = ?2 AND leased_until IS NOT NULL",
        )
        .map_err(fail)?;
    let mut kept = Vec::new();
    for (id, fence) in held {
        if query.execute(params![id, fence, millis(until)]).map_err(fail)? > 0 {
            kept.push(*id);
        }
    }
    Ok(kept)
}

pub fn reclaim(db: &Connection) -> Result<(), StoreError> {
    db.execute("UPDATE job SET leased_until = NULL, fence = fence + 1 WHERE leased_until IS NOT NULL", [])
        .map(|_| ())
        .map_err(fail)
}

pub fn backlog(db: &Connection) -> Result<Backlog, StoreError> {
    db.prepare_cached(
        "SELECT count(*), count(leased_until), min(due) FILTER (WHERE leased_until IS NULL),
             count(*) FILTER (WHERE kind = 'end' AND attempts >= 3),
             min(coalesce(first_due, due)) FILTER (WHERE kind = 'end') FROM job",
    )
    .and_then(|mut q| {
        q.query_row([], |row| {
            Ok(Backlog {
                jobs: row.get::<_, i64>(0)? as u64,
                leased: row.get::<_, i64>(1)? as u64,
                next: row.get::<_, Option<i64>>(2)?.map(time),
                alarms: row.get::<_, i64>(3)? as u64,
                oldest_end: row.get::<_, Option<i64>>(4)?.map(time),
            })
        })
    })
    .map_err(fail)
}
