//! What the targets have, compared with the grants: what carries our tag and no live grant explains is removed, a live
//! grant without its access ends, and what others hold is told.

mod ours;
mod strangers;

use crate::app::App;
use crate::store::StoreError;
use chrono::TimeDelta;
use futures_util::StreamExt as _;
use gatepass_connectors::Connector;
use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};
use tokio::sync::{Notify, watch};

const EVERY: TimeDelta = TimeDelta::minutes(1);
/// When the store does not say whose turn it is.
const AGAIN: TimeDelta = TimeDelta::seconds(5);

/// So many targets are looked at at the same time: one that does not answer keeps no other waiting.
const AT_ONCE: usize = 8;

/// Targets that may have something nobody will ask about any more.
#[derive(Default)]
pub struct Suspects {
    targets: Mutex<BTreeSet<String>>,
    bell: Notify,
}

impl Suspects {
    /// Has a target looked at now instead of within a minute.
    pub fn add(&self, target: &str) {
        self.targets.lock().unwrap_or_else(PoisonError::into_inner).insert(target.to_owned());
        self.bell.notify_one();
    }

    async fn taken(&self) -> BTreeSet<String> {
        self.bell.notified().await;
        std::mem::take(&mut *self.targets.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// At start and every minute, until the server stops; of several nodes, one at a time.
pub async fn run(app: App) {
    let mut heads = app.store.heads();
    let mut known = *heads.borrow();
    loop {
        let now = app.clock.now();
        let next = match app.store.turn("reconcile", now, now + EVERY).await {
            Ok(None) => {
                look(&app, |_| true).await;
                now + EVERY
            }
            Ok(Some(free)) => free,
            Err(error) => {
                tracing::warn!(%error, "could not ask which node compares the targets with the grants");
                now + AGAIN
            }
        };
        app.limits.tidy();
        tokio::select! {
            () = app.clock.sleep_until(next) => {}
            () = went_back(&mut heads, &mut known) => look(&app, |_| true).await,
            suspects = app.suspects.taken() => look(&app, |target| suspects.contains(target)).await,
            () = app.stopped() => return,
        }
    }
}

/// The store lost the end of its log: nobody knows any more of accesses that were given then.
async fn went_back(heads: &mut watch::Receiver<u64>, known: &mut u64) {
    loop {
        let before = std::mem::replace(known, *heads.borrow_and_update());
        if *known < before {
            return;
        }
        if heads.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

async fn look(app: &App, which: impl Fn(&str) -> bool) {
    let these = app.targets.iter().filter(|(target, _)| which(target));
    futures_util::stream::iter(these)
        .for_each_concurrent(AT_ONCE, async |(target, connector)| {
            if let Err(error) = reconcile(app, target, &**connector).await {
                tracing::warn!(%error, target, "could not compare the target with the grants");
            }
        })
        .await;
}

#[derive(Debug, thiserror::Error)]
enum Failed {
    #[error(transparent)]
    Target(#[from] gatepass_connectors::TargetError),
    #[error(transparent)]
    Store(#[from] StoreError),
}

async fn reconcile(app: &App, target: &str, connector: &dyn Connector) -> Result<(), Failed> {
    ours::compare(app, target, connector).await?;
    strangers::compare(app, target, connector).await
}
