//! Moving the target's own guard to a grant's new end.

use super::{again_at, row};
use crate::app::App;
use crate::store::{Job, Settled, StoreError};
use gatepass_core::wire::GrantState;

pub async fn run(app: &App, job: &Job) -> Result<(), StoreError> {
    let held = row(app, job).await?.and_then(|r| r.request.grant);
    let Some((grant, until)) =
        held.filter(|g| g.state == GrantState::Active).and_then(|g| g.ends_at.map(|end| (g.id, end)))
    else {
        // Over, or ending: the end job sees to it.
        return app.settle(job, Settled::Done).await;
    };
    let moved = match app.targets.get(&job.target) {
        Ok(connector) => connector.guard(grant, until).await,
        Err(error) => Err(error),
    };
    match moved {
        // Moved once more meanwhile: then this stays to be done.
        Ok(()) => app.settle(job, Settled::Done).await,
        Err(error) => {
            let attempts = job.attempts + 1;
            tracing::warn!(%error, attempts, %grant, target = job.target, "the guard could not be moved");
            let due = again_at(app.clock.now(), attempts);
            app.settle(job, Settled::Again { due, failed: true }).await
        }
    }
}
