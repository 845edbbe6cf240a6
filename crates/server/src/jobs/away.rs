//! Targets that do not answer. Tries to end an access become rare while one is away, and everything that waits for it is
//! tried at once when it is back.

use crate::app::App;
use crate::store::{Change, JobChange};
use futures_util::future::join_all;
use gatepass_connectors::Connector;
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::Notify;
use tokio::time::{sleep, timeout};

/// Between two questions to one that is away; with [`ANSWER`], what is left of the five seconds in which nobody may have
/// access any more once it is back is enough to remove it.
const EVERY: Duration = Duration::from_millis(500);
const ANSWER: Duration = Duration::from_secs(2);

/// So long after it did not answer, what failed on it may have been on its way since.
const SINCE: Duration = Duration::from_secs(30);

/// Those that an end failed on because they did not answer.
#[derive(Default)]
pub struct Away {
    targets: Mutex<BTreeMap<String, State>>,
    bell: Notify,
}

#[derive(Default)]
struct State {
    /// Something failed that was not tried again.
    waiting: bool,
    /// When it last did not answer here either. Without that it is not away, and what failed is tried when its time comes.
    silent: Option<Instant>,
}

impl Away {
    /// Told when the failure is written down: what is tried again at once has to be there.
    pub fn add(&self, target: &str) {
        self.lock().entry(target.to_owned()).or_default().waiting = true;
        self.bell.notify_one();
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, State>> {
        self.targets.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self) -> Vec<String> {
        self.lock().iter().filter(|(_, state)| state.waiting).map(|(target, _)| target.clone()).collect()
    }

    /// Answers whether it was away. Who fails from now on says so anew.
    fn answered(&self, target: &str) -> bool {
        let mut targets = self.lock();
        let Some(state) = targets.get_mut(target) else { return false };
        state.waiting = false;
        state.silent.is_some_and(|at| at.elapsed() < SINCE)
    }

    fn silent(&self, target: &str) {
        self.lock().entry(target.to_owned()).or_default().silent = Some(Instant::now());
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
        join_all(away.iter().map(|target| ask(app, target))).await;
        sleep(EVERY).await;
    }
}

async fn ask(app: &App, target: &str) {
    let back = match app.targets.get(target) {
        Ok(connector) => timeout(ANSWER, answers(&**connector)).await == Ok(true),
        Err(_) => true,
    };
    if !back {
        app.away.silent(target);
    } else if app.away.answered(target) {
        tracing::info!(target, "the target answers again");
        hasten(app, target).await;
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
