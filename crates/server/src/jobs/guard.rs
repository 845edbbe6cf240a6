//! Moving the target's own guard to a grant's new end.

use super::{again_at, ahead, provision, row};
use crate::app::App;
use crate::store::{Change, Job, Row, Sealed, Settle, Settled, StoreError};
use gatepass_connectors::TargetError;
use gatepass_connectors::points::{Point, reached};
use gatepass_core::request::Grant;
use gatepass_core::wire::GrantState;

pub async fn run(app: &App, job: &Job) -> Result<(), StoreError> {
    reached(Point::GuardClaimed);
    let held = row(app, job).await?;
    let grant = held.as_ref().and_then(|r| r.request.grant.clone());
    let (Some(row), Some(grant)) = (held, grant.filter(|g| g.state == GrantState::Active)) else {
        // Over, or ending: the end job sees to it.
        return app.settle(job, Settled::Done).await;
    };
    match moved(app, job, &row, &grant).await {
        // Moved once more meanwhile: then this stays to be done.
        Ok(sealed) => {
            reached(Point::GuardCalled);
            let settle = Some(Settle { job: job.clone(), how: Settled::Done });
            app.commit(Change { settle, sealed, ..Change::default() }).await?;
            reached(Point::GuardSettled);
            Ok(())
        }
        Err(error) => {
            let attempts = job.attempts + 1;
            tracing::warn!(%error, attempts, grant = %grant.id, target = job.target, "the guard could not be moved");
            let due = again_at(app.clock.now(), attempts);
            app.settle(job, Settled::Again { due, failed: true }).await
        }
    }
}

/// The new secret, where the end is part of it.
async fn moved(app: &App, job: &Job, row: &Row, grant: &Grant) -> Result<Option<Sealed>, TargetError> {
    let until = grant.ends_at.unwrap_or(grant.latest_end);
    let connector = app.targets.get(&job.target)?;
    let until = ahead::guard(app, &job.target, &**connector, until).await;
    let secret = connector.guard(&provision::access(app, row, grant, until)?).await?;
    secret.map(|secret| provision::sealed(app, row, grant, &secret)).transpose()
}
