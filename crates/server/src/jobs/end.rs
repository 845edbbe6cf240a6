//! Ending an access: retried for ever, and over only when the target was read back.

use super::{again_at, ahead, row, worth_telling};
use crate::Time;
use crate::app::{App, ReportError};
use crate::store::{Job, Settled, StoreError};
use chrono::TimeDelta;
use gatepass_connectors::TargetError;
use gatepass_connectors::points::{Point, reached};
use gatepass_core::command::Report;
use gatepass_core::id::GrantId;
use gatepass_core::wire::GrantState;

/// From here on a removal that fails is an alarm.
const ALARM: u32 = 3;

pub async fn run(app: &App, job: &Job) -> Result<(), StoreError> {
    reached(Point::EndClaimed);
    let held = async { row(app, job).await.ok().flatten() };
    if let Some(again) = ahead::still_good(app, job, held).await {
        return app.settle(job, Settled::Again { due: again, failed: false }).await;
    }
    match app.report(job, Settled::Hold, &Report::EndDue, None).await {
        Ok(_) => remove(app, job).await,
        Err(ReportError::Store(error)) => {
            if error == StoreError::Full {
                remove_unwritten(app, job).await;
            }
            Err(error)
        }
        Err(ReportError::Refused(_)) => moved(app, job).await,
    }
}

/// Ends an access that is due although nothing can be written down: an end does not wait for room on a disk. The
/// job stays, and tells of it when there is room. Answers whether it is gone.
pub async fn remove_unwritten(app: &App, job: &Job) -> bool {
    let held = row(app, job).await.ok().flatten().and_then(|r| r.request.grant);
    let due = held.is_some_and(|g| {
        !g.over() && (g.state == GrantState::Ending || app.clock.now() >= g.ends_at.unwrap_or(g.latest_end))
    });
    if let (true, Ok(connector)) = (due, app.targets.get(&job.target)) {
        match connector.remove(GrantId(job.subject)).await {
            Ok(_) => {
                tracing::error!(grant = %job.subject, alarm = true, "ended an access without writing it down");
                return true;
            }
            Err(error) => {
                tracing::error!(%error, grant = %job.subject, alarm = true, "an access could not be removed")
            }
        }
    }
    false
}

/// The end is later than the job had it, or the grant is over already.
async fn moved(app: &App, job: &Job) -> Result<(), StoreError> {
    let held = row(app, job).await?.and_then(|r| r.request.grant);
    match held.filter(|g| !g.over()) {
        None => app.settle(job, Settled::Done).await,
        Some(grant) => {
            // Never at once again, also if the clock was set back.
            let soon = app.clock.now() + TimeDelta::milliseconds(100);
            let due = grant.ends_at.unwrap_or(grant.latest_end).max(soon);
            app.settle(job, Settled::Again { due, failed: false }).await
        }
    }
}

async fn remove(app: &App, job: &Job) -> Result<(), StoreError> {
    reached(Point::EndReported);
    let grant = GrantId(job.subject);
    let removed = match app.targets.get(&job.target) {
        Ok(connector) => connector.remove(grant).await,
        Err(error) => Err(error),
    };
    match removed {
        Ok(removed) => {
            reached(Point::EndCalled);
            let said = Report::Removed {
                checked_at: app.clock.now(),
                sessions_ended: removed.sessions_ended,
                attempts: job.attempts + 1,
            };
            match app.report(job, Settled::Done, &said, None).await {
                Ok(_) => {
                    reached(Point::EndSettled);
                    metrics::counter!("gatepass_grants_ended_total").increment(1);
                    Ok(())
                }
                Err(ReportError::Store(error)) => Err(error),
                Err(ReportError::Refused(refusal)) => {
                    // Can't be: only this job's holder moves a grant on from Ending.
                    tracing::error!(%refusal, %grant, "a removal was refused");
                    app.settle(job, Settled::Done).await
                }
            }
        }
        Err(TargetError::RunsOut { until, why }) => runs_out(app, job, until, why).await,
        Err(error) => failed(app, job, grant, error).await,
    }
}

/// What is left of it ends by itself, and is read back then: no failure, but told once to whoever waits for the end.
async fn runs_out(app: &App, job: &Job, until: Time, why: String) -> Result<(), StoreError> {
    // The target's clock may be behind: not at once again.
    let due = until.max(app.clock.now() + TimeDelta::seconds(1));
    let how = Settled::Again { due, failed: false };
    let held = row(app, job).await?.and_then(|r| r.request.grant);
    if held.and_then(|g| g.delay).is_some_and(|told| told.message == why) {
        return app.settle(job, how).await;
    }
    match app.report(job, how, &Report::RemovalFailed { message: why, attempts: 0 }, None).await {
        Ok(_) => Ok(()),
        Err(ReportError::Store(error)) => Err(error),
        Err(ReportError::Refused(_)) => app.settle(job, how).await,
    }
}

async fn failed(app: &App, job: &Job, grant: GrantId, error: TargetError) -> Result<(), StoreError> {
    reached(Point::EndFailed);
    let away = matches!(error, TargetError::Unreachable(_));
    let written = put_off(app, job, grant, error).await;
    if away {
        app.away.add(&job.target);
    }
    written
}

async fn put_off(app: &App, job: &Job, grant: GrantId, error: TargetError) -> Result<(), StoreError> {
    let attempts = job.attempts + 1;
    metrics::counter!("gatepass_removal_failures_total").increment(1);
    if attempts >= ALARM {
        tracing::error!(%error, attempts, %grant, target = job.target, alarm = true, "an access could not be removed");
    } else {
        tracing::warn!(%error, attempts, %grant, target = job.target, "an access could not be removed");
    }
    let how = Settled::Again { due: again_at(app.clock.now(), attempts), failed: true };
    if !worth_telling(attempts) {
        return app.settle(job, how).await;
    }
    let said = Report::RemovalFailed { message: error.to_string(), attempts };
    match app.report(job, how, &said, None).await {
        Ok(_) => Ok(()),
        Err(ReportError::Store(error)) => Err(error),
        Err(ReportError::Refused(_)) => app.settle(job, how).await,
    }
}
