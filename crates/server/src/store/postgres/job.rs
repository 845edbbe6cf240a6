//! `job`: durable work, leased, shared by every node.

use super::step::{Miss, Step};
use super::{get, id};
use crate::Time;
use crate::store::{Backlog, Job, JobChange, JobKind, Room, Settle, Settled, StoreError};
use gatepass_core::id::RequestId;
use tokio_postgres::Row;
use tokio_postgres::types::Type;

macro_rules! columns {
    () => {
        "j.id, j.kind, j.subject, j.request_id, j.target, j.due, j.attempts, j.fence, j.puts"
    };
}

/// None when a newer version wrote a kind that this one does not know: those do it.
pub fn read(row: &Row) -> Result<Option<Job>, StoreError> {
    let name: &str = get(row, 1)?;
    let kinds = [JobKind::End, JobKind::Provision, JobKind::Guard, JobKind::Lapse];
    let Some(kind) = kinds.into_iter().find(|k| k.name() == name) else { return Ok(None) };
    Ok(Some(Job {
        id: get(row, 0)?,
        kind,
        subject: id(row, 2)?,
        request: RequestId(id(row, 3)?),
        target: get(row, 4)?,
        due: get::<Time>(row, 5)?,
        attempts: u32::try_from(get::<i32>(row, 6)?).unwrap_or(0),
        fence: get(row, 7)?,
        puts: get(row, 8)?,
    }))
}

pub fn change(change: &JobChange, settle: Option<&Settle>) -> Vec<Step> {
    match change {
        // The worker that holds this very job is doing it.
        JobChange::Put { kind, subject, .. }
            if settle.is_some_and(|s| {
                s.how == Settled::Hold && s.job.kind == *kind && s.job.subject == *subject
            }) =>
        {
            Vec::new()
        }
        JobChange::Put { kind, subject, request, target, due } => vec![
            Step::new(
                "INSERT INTO job (kind, subject, request_id, target, due) VALUES ($1, $2, $3, $4, $5)
                 ON CONFLICT (kind, subject)
                 DO UPDATE SET due = least(job.due, excluded.due), puts = job.puts + 1",
            )
            .with(Type::TEXT, kind.name())
            .with(Type::UUID, *subject)
            .with(Type::UUID, request.0)
            .with(Type::TEXT, target.clone())
            .with(Type::TIMESTAMPTZ, *due),
        ],
        JobChange::Postpone { kind, subject, due } => vec![
            Step::new(
                "UPDATE job SET due = $3, first_due = NULL, puts = puts + 1 WHERE kind = $1 AND subject = $2",
            )
            .with(Type::TEXT, kind.name())
            .with(Type::UUID, *subject)
            .with(Type::TIMESTAMPTZ, *due),
        ],
        JobChange::Urge { kind, subject, due } => vec![
            Step::new(
                "UPDATE job SET due = least(due, $3), urgent = true, puts = puts + 1 WHERE kind = $1 AND subject = $2",
            )
            .with(Type::TEXT, kind.name())
            .with(Type::UUID, *subject)
            .with(Type::TIMESTAMPTZ, *due),
        ],
        JobChange::Hasten { target, due } => vec![
            // In the order of their ids, as whoever else changes several.
            Step::new(
                "WITH late AS MATERIALIZED (SELECT id FROM job
                     WHERE kind = 'end' AND target = $1 AND attempts > 0 AND due > $2 AND leased_until IS NULL
                     ORDER BY id FOR UPDATE SKIP LOCKED)
                 UPDATE job SET due = $2 FROM late WHERE job.id = late.id",
            )
            .with(Type::TEXT, target.clone())
            .with(Type::TIMESTAMPTZ, *due),
        ],
        JobChange::Cancel { kind, subject } => vec![
            Step::new("DELETE FROM job WHERE kind = $1 AND subject = $2")
                .with(Type::TEXT, kind.name())
                .with(Type::UUID, *subject),
        ],
        JobChange::Forget { grant } => vec![
            Step::new("DELETE FROM job WHERE subject = $1").with(Type::UUID, grant.0),
            Step::new("DELETE FROM sealed WHERE grant_id = $1").with(Type::UUID, grant.0),
        ],
    }
}

pub fn settle(settle: &Settle) -> Step {
    let Job { id, fence, puts, .. } = settle.job;
    let step = match settle.how {
        // Held until the transaction ends: nobody takes the job over in between.
        Settled::Hold => Step::new("SELECT 1 FROM job WHERE id = $1 AND fence = $2 FOR UPDATE")
            .with(Type::INT8, id)
            .with(Type::INT8, fence),
        // Moved meanwhile, it stays to be done again.
        Settled::Done => Step::new(
            "WITH held AS (SELECT id, puts FROM job WHERE id = $1 AND fence = $2 FOR UPDATE),
                 done AS (DELETE FROM job USING held WHERE job.id = held.id AND held.puts = $3),
                 moved AS (UPDATE job SET leased_until = NULL FROM held
                           WHERE job.id = held.id AND held.puts <> $3)
             SELECT 1 FROM held",
        )
        .with(Type::INT8, id)
        .with(Type::INT8, fence)
        .with(Type::INT8, puts),
        Settled::Again { due, failed } => Step::new(
            "UPDATE job SET leased_until = NULL, attempts = attempts + $4,
                 first_due = CASE WHEN $4 > 0 THEN coalesce(first_due, due) END,
                 due = CASE WHEN puts = $5 THEN $3 ELSE due END
             WHERE id = $1 AND fence = $2 RETURNING 1",
        )
        .with(Type::INT8, id)
        .with(Type::INT8, fence)
        .with(Type::TIMESTAMPTZ, due)
        .with(Type::INT4, i32::from(failed))
        .with(Type::INT8, puts),
    };
    step.or(Miss::LeaseLost)
}

/// One claim at a time over all nodes: so a target's bound and “one job of a grant at a time” hold among them.
pub fn one_claim() -> Step {
    Step::new("SELECT pg_advisory_xact_lock(7420, 2)::text")
}

/// Whether anything is due, and when the next of the rest is.
pub fn outlook(now: Time) -> Step {
    Step::new(
        "SELECT EXISTS (SELECT FROM job WHERE due <= $1 AND (leased_until IS NULL OR leased_until < $1)),
             (SELECT min(due) FROM job WHERE due > $1 AND (leased_until IS NULL OR leased_until < $1))",
    )
    .with(Type::TIMESTAMPTZ, now)
}

/// What may be claimed: of each target the urgent, then the longest due, as many as fit. Jobs that somebody is just
/// changing are left.
pub fn claimable(now: Time, room: &Room) -> Step {
    let (targets, rooms): (Vec<String>, Vec<i64>) =
        room.by_target.iter().map(|(t, n)| (t.clone(), *n as i64)).unzip();
    macro_rules! due {
        ($which:literal, $places:literal) => {
            concat!(
                "SELECT * FROM (SELECT * FROM job c
                     WHERE c.target = t.target AND c.due <= $1 AND (c.leased_until IS NULL OR c.leased_until < $1)
                       AND ",
                $which,
                " AND NOT EXISTS (SELECT FROM job o WHERE o.subject = c.subject AND o.leased_until >= $1)
                     ORDER BY c.due, c.id LIMIT greatest(",
                $places,
                ", 0) FOR UPDATE SKIP LOCKED) d"
            )
        };
    }
    Step::new(concat!(
        "SELECT ",
        columns!(),
        " FROM (SELECT j.*, free.places,
                    row_number() OVER (PARTITION BY j.target ORDER BY j.urgent DESC, j.due, j.id) AS place
                FROM (SELECT DISTINCT target FROM job
                      WHERE due <= $1 AND (leased_until IS NULL OR leased_until < $1)) t
                LEFT JOIN unnest($2, $3) AS here (target, room) ON here.target = t.target
                CROSS JOIN LATERAL (SELECT count(*) AS running FROM job o
                    WHERE o.target = t.target AND o.leased_until >= $1) busy
                CROSS JOIN LATERAL (SELECT least(coalesce(here.room, $4),
                    CASE WHEN t.target = '' THEN $4 ELSE $5 - busy.running END) AS places) free
                CROSS JOIN LATERAL (",
        due!("c.urgent", "free.places"),
        " UNION ALL ",
        due!("NOT c.urgent", "free.places - $6"),
        ") j) j
         WHERE j.urgent OR j.place <= j.places - $6
         ORDER BY j.urgent DESC, j.due, j.id"
    ))
    .with(Type::TIMESTAMPTZ, now)
    .with(Type::TEXT_ARRAY, targets)
    .with(Type::INT8_ARRAY, rooms)
    .with(Type::INT8, room.otherwise as i64)
    .with(Type::INT8, room.at_most as i64)
    .with(Type::INT8, room.kept as i64)
}

pub fn lease(jobs: &[Job], until: Time) -> Step {
    let ids: Vec<i64> = jobs.iter().map(|j| j.id).collect();
    Step::new("UPDATE job SET leased_until = $2, fence = fence + 1 WHERE id = ANY ($1)")
        .with(Type::INT8_ARRAY, ids)
        .with(Type::TIMESTAMPTZ, until)
}

pub fn renew(jobs: &[Job], until: Time) -> Step {
    Step::new(
        "UPDATE job SET leased_until = $3 FROM unnest($1, $2) AS held (id, fence)
         WHERE job.id = held.id AND job.fence = held.fence AND leased_until IS NOT NULL RETURNING job.id",
    )
    .with(Type::INT8_ARRAY, jobs.iter().map(|j| j.id).collect::<Vec<_>>())
    .with(Type::INT8_ARRAY, jobs.iter().map(|j| j.fence).collect::<Vec<_>>())
    .with(Type::TIMESTAMPTZ, until)
}

pub fn due_ends(now: Time) -> Step {
    Step::new(concat!(
        "SELECT ",
        columns!(),
        " FROM job j WHERE kind = 'end' AND due <= $1 AND (leased_until IS NULL OR leased_until < $1)
         ORDER BY urgent DESC, due"
    ))
    .with(Type::TIMESTAMPTZ, now)
}

pub fn backlog() -> Step {
    Step::new(
        "SELECT count(*), count(leased_until), min(due) FILTER (WHERE leased_until IS NULL),
             count(*) FILTER (WHERE kind = 'end' AND attempts >= 3),
             min(coalesce(first_due, due)) FILTER (WHERE kind = 'end') FROM job",
    )
}

pub fn read_backlog(row: &Row) -> Result<Backlog, StoreError> {
    Ok(Backlog {
        jobs: get::<i64>(row, 0)? as u64,
        leased: get::<i64>(row, 1)? as u64,
        next: get(row, 2)?,
        alarms: get::<i64>(row, 3)? as u64,
        oldest_end: get(row, 4)?,
    })
}
