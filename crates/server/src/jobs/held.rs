//! Ends while nothing may be written to the log: they do not wait for it.

use super::end;
use crate::app::App;
use futures_util::StreamExt as _;
use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use uuid::Uuid;

const EVERY: Duration = Duration::from_secs(1);
const AT_ONCE: usize = 8;

/// Removes what is due and writes nothing, until the server stops.
pub async fn run(app: &App) {
    let done = Mutex::new(HashSet::<Uuid>::new());
    while !*app.stopping.borrow() {
        match app.store.due_ends(app.clock.now()).await {
            Ok(jobs) => {
                let known = done.lock().unwrap_or_else(PoisonError::into_inner).clone();
                let left = jobs.iter().filter(|job| !known.contains(&job.subject));
                futures_util::stream::iter(left)
                    .for_each_concurrent(AT_ONCE, async |job| {
                        if end::remove_unwritten(app, job).await {
                            done.lock().unwrap_or_else(PoisonError::into_inner).insert(job.subject);
                        }
                    })
                    .await;
            }
            Err(error) => tracing::error!(%error, "could not read which accesses are to end"),
        }
        tokio::select! {
            () = tokio::time::sleep(EVERY) => {}
            () = app.stopped() => return,
        }
    }
}
