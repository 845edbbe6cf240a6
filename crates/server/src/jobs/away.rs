//! Targets that do not answer. Tries to end an access become rare while one is away, and everything that waits for it is
//! tried at once when it is back.

use crate::app::App;
use crate::store::{Change, JobChange};
use gatepass_connectors::Connector;
use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::{sleep, timeout};

/// Between two questions to one that is away; with [`ANSWER`], what is left of the five seconds in which nobody may have
/// access any more once it is back is enough to remove it.
const EVERY: Duration = Duration::from_millis(500);
const ANSWER: Duration = Duration::from_secs(2);

/// Those that an end failed on because they did not answer.
#[derive(Default)]
pub struct Away {
    targets: Mutex<BTreeSet<String>>,
    bell: Notify,
}

impl Away {
    pub fn add(&self, target: &str) {
        if self.targets.lock().unwrap_or_else(PoisonError::into_inner).insert(target.to_owned()) {
            self.bell.notify_one();
        }
    }

    fn now(&self) -> Vec<String> {
        self.targets.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }

    fn back(&self, target: &str) {
        self.targets.lock().unwrap_or_else(PoisonError::into_inner).remove(target);
    }
}

/// Asks those that are away whether they are back, for as long as it is polled.
pub async fn watch(app: &App) {
    // What the process before this one waited for.
    for (target, _) in app.targets.iter() {
        hasten(app, target).await;
    }
    loop {
        let away = app.away.now();
        if away.is_empty() {
            app.away.bell.notified().await;
            continue;
        }
        for target in away {
            let Ok(connector) = app.targets.get(&target) else {
                app.away.back(&target);
                continue;
            };
            if timeout(ANSWER, answers(&**connector)).await == Ok(true) {
                // Before it is looked at again: who fails from now on says so anew.
                app.away.back(&target);
                tracing::info!(target, "the target answers again");
                hasten(app, &target).await;
            }
        }
        sleep(EVERY).await;
    }
}

async fn answers(connector: &dyn Connector) -> bool {
    match connector.clock().await {
        Ok(Some(_)) => true,
        // It has no clock to ask.
        Ok(None) => connector.inspect().await.is_ok(),
        Err(_) => false,
    }
}

async fn hasten(app: &App, target: &str) {
    let jobs = vec![JobChange::Hasten { target: target.to_owned(), due: app.clock.now() }];
    if let Err(error) = app.commit(Change { jobs, ..Change::default() }).await {
        tracing::warn!(%error, target, "what waits for the target is tried when its time comes");
    }
}
