//! The workers: they claim due jobs, do them on the targets, and report back. A job that was claimed is never
//! lost: its lease ends, and every step can be done again.

use crate::Time;
use crate::app::{App, ReportError};
use crate::store::{Job, JobKind, Lookup, Room, Row, Settled, StoreError};
use chrono::TimeDelta;
use futures_util::StreamExt as _;
use gatepass_core::command::Report;
use lease::{Lease, Leases};
use rand::Rng as _;
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::{Id, JoinSet};

mod ahead;
mod away;
mod end;
mod guard;
mod held;
mod lease;
mod provision;

pub use ahead::TargetClocks;
pub use away::Away;

/// How many jobs run on one target at once, over all nodes.
const PER_TARGET: usize = 8;
/// So many more only for ends that are urgent: eight setups that hang hold nobody's revocation up.
const KEPT: usize = 4;
/// How many run on a node that touch no target.
const WITHOUT_TARGET: usize = 32;
const FIRST_DELAY_MS: u64 = 500;
const LONGEST_DELAY_MS: u64 = 30_000;
/// How long a stopping server waits for what runs.
const PATIENCE: Duration = Duration::from_secs(20);
/// When the store does not take what a worker has to say.
const STORE_DELAY: TimeDelta = TimeDelta::seconds(1);
/// How often to look for what other nodes left: jobs they wrote, and those of a node that died.
const LOOK: TimeDelta = TimeDelta::seconds(2);
/// Looks because the log grew are at least so far apart.
const GAP: Duration = Duration::from_millis(50);

/// Runs until the server stops, then lets what runs finish.
pub async fn run(app: App) {
    let leases = Leases::default();
    tokio::select! {
        () = claim(&app, &leases) => {}
        () = leases.renew(&app, STORE_DELAY) => {}
        () = away::watch(&app) => {}
    }
}

async fn claim(app: &App, leases: &Leases) {
    let (shared, length) = (app.store.shared(), lease::length(&*app.store));
    let mut running: JoinSet<()> = JoinSet::new();
    let mut heads = app.store.heads();
    while !*app.stopping.borrow() {
        if app.held.is() {
            return held::run(app).await;
        }
        let now = app.clock.now();
        let next = match app.store.claim(now, now + length, leases.room(room())).await {
            Ok(claimed) => {
                for job in claimed.jobs {
                    let (until, lease) = Lease::new(now + length);
                    let task = running.spawn(under(app.clone(), job.clone(), lease));
                    leases.insert(task.id(), job, until);
                }
                claimed.next
            }
            Err(error) => {
                tracing::error!(%error, "could not claim jobs");
                if error == StoreError::Full {
                    end_unwritten(app, now).await;
                }
                Some(now + STORE_DELAY)
            }
        };
        let next = if shared { Some(next.map_or(now + LOOK, |next| next.min(now + LOOK))) } else { next };
        metrics::gauge!("gatepass_jobs_running").set(leases.len() as f64);
        tokio::select! {
            () = app.work.notified() => {}
            () = due(app, next) => {}
            Some(done) = running.join_next_with_id() => ended(app, done, leases).await,
            () = grown(&mut heads), if shared => {}
            () = app.stopped() => {}
        }
    }
    let finish = async { while running.join_next().await.is_some() {} };
    if tokio::time::timeout(PATIENCE, finish).await.is_err() {
        tracing::warn!("stopped with jobs unfinished; they go on at the next start, or on another node");
    }
}

/// The log grew: maybe by what another node has work from.
async fn grown(heads: &mut watch::Receiver<u64>) {
    if heads.changed().await.is_err() {
        std::future::pending::<()>().await;
    }
    tokio::time::sleep(GAP).await;
}

/// See [`end::remove_unwritten`].
async fn end_unwritten(app: &App, now: Time) {
    match app.store.due_ends(now).await {
        Ok(jobs) => {
            futures_util::stream::iter(&jobs)
                .for_each_concurrent(PER_TARGET, async |job| {
                    end::remove_unwritten(app, job).await;
                })
                .await
        }
        Err(error) => tracing::error!(%error, "could not read which accesses are to end"),
    }
}

async fn due(app: &App, next: Option<Time>) {
    match next {
        Some(at) => app.clock.sleep_until(at).await,
        None => std::future::pending().await,
    }
}

fn room() -> Room {
    Room {
        otherwise: PER_TARGET + KEPT,
        by_target: BTreeMap::from([(String::new(), WITHOUT_TARGET + KEPT)]),
        kept: KEPT,
        at_most: PER_TARGET + KEPT,
    }
}

async fn ended(app: &App, done: Result<(Id, ()), tokio::task::JoinError>, leases: &Leases) {
    match done {
        Ok((id, ())) => drop(leases.remove(id)),
        Err(error) => {
            if let Some(job) = leases.remove(error.id()) {
                tracing::error!(kind = job.kind.name(), subject = %job.subject, "a worker broke off");
                let due = app.clock.now() + TimeDelta::milliseconds(LONGEST_DELAY_MS as i64);
                if let Err(error) = app.settle(&job, Settled::Again { due, failed: true }).await {
                    tracing::error!(%error, "its job waits for its lease to end");
                }
            }
        }
    }
}

/// Does a job while its lease holds.
async fn under(app: App, job: Job, lease: Lease) {
    if lease.during(&*app.clock, work(&app, &job)).await.is_none() {
        let (kind, subject) = (job.kind.name(), job.subject);
        tracing::warn!(kind, %subject, "the lease of a job ran out before it was done; it is done again");
        lost(&app, &job);
    }
}

/// Someone else has the job, or it is over: whatever this worker found no longer matters. What it was about to set
/// up must not stay after the other one ended it.
fn lost(app: &App, job: &Job) {
    metrics::counter!("gatepass_leases_lost_total").increment(1);
    if job.kind == JobKind::Provision {
        app.suspects.add(&job.target);
    }
}

/// Does a job until what came of it is written down.
async fn work(app: &App, job: &Job) {
    loop {
        let outcome = match job.kind {
            JobKind::Lapse => lapse(app, job).await,
            JobKind::Provision => provision::run(app, job).await,
            JobKind::Guard => guard::run(app, job).await,
            JobKind::End => end::run(app, job).await,
        };
        match outcome {
            Ok(()) => return,
            Err(StoreError::LeaseLost) => return lost(app, job),
            Err(error) => {
                tracing::error!(%error, kind = job.kind.name(), subject = %job.subject, "could not write what a job did");
                tokio::select! {
                    () = app.clock.sleep_until(app.clock.now() + STORE_DELAY) => {}
                    () = app.stopped() => return,
                }
            }
        }
    }
}

async fn lapse(app: &App, job: &Job) -> Result<(), StoreError> {
    match app.report(job, Settled::Done, &Report::LapseDue, None).await {
        Ok(_) => Ok(()),
        Err(ReportError::Store(error)) => Err(error),
        // Decided meanwhile.
        Err(ReportError::Refused(_)) => app.settle(job, Settled::Done).await,
    }
}

async fn row(app: &App, job: &Job) -> Result<Option<Row>, StoreError> {
    Ok(app.store.load(None, Some(Lookup::Request(job.request))).await?.row)
}

/// When to try again after the `attempts`th failure: doubling, capped, with jitter.
fn again_at(now: Time, attempts: u32) -> Time {
    let base = FIRST_DELAY_MS.saturating_mul(1 << attempts.saturating_sub(1).min(10)).min(LONGEST_DELAY_MS);
    let millis = rand::thread_rng().gen_range(base * 4 / 5..=base);
    now + TimeDelta::milliseconds(i64::try_from(millis).unwrap_or(0))
}

/// Which failures are told in the log: the first, the third, and then every tenth.
const fn worth_telling(attempts: u32) -> bool {
    attempts == 1 || attempts == 3 || attempts.is_multiple_of(10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_grow_to_their_cap() {
        let now = Time::default();
        for (attempts, most) in [(1, 500), (2, 1_000), (6, 16_000), (7, 30_000), (4_000_000, 30_000)] {
            let wait = (again_at(now, attempts) - now).num_milliseconds();
            assert!((most * 4 / 5..=most).contains(&wait), "{attempts}: {wait}");
        }
    }

    #[test]
    fn a_long_outage_does_not_flood_the_log() {
        let told: Vec<u32> = (1..=40).filter(|n| worth_telling(*n)).collect();
        assert_eq!(told, [1, 3, 10, 20, 30, 40]);
    }
}
