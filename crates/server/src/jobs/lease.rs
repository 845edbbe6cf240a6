//! Leases: a job is this node's while its lease holds, and not a step longer.

use crate::Time;
use crate::app::App;
use crate::clock::Clock;
use crate::store::{Job, Room, Store, StoreError};
use chrono::TimeDelta;
use std::collections::HashMap;
use std::future::poll_fn;
use std::pin::pin;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::Poll;
use tokio::sync::watch;
use tokio::task::Id;

/// So long the other nodes leave alone what a node had when it died.
const SHARED: TimeDelta = TimeDelta::seconds(30);
/// Nobody waits for a node that has its store for itself: longer than any connector's own time limit.
const ALONE: TimeDelta = TimeDelta::minutes(10);
/// How often in its length a lease is renewed.
const RENEWALS: i32 = 3;

/// How long a lease is, of this store.
pub fn length(store: &dyn Store) -> TimeDelta {
    if store.shared() { SHARED } else { ALONE }
}

/// What this node holds, by the task that does it.
#[derive(Default)]
pub struct Leases(Mutex<HashMap<Id, (Job, watch::Sender<Time>)>>);

/// One job's, as the one who does it sees it.
pub struct Lease(watch::Receiver<Time>);

impl Leases {
    fn lock(&self) -> MutexGuard<'_, HashMap<Id, (Job, watch::Sender<Time>)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn insert(&self, task: Id, job: Job, until: watch::Sender<Time>) {
        self.lock().insert(task, (job, until));
    }

    pub fn remove(&self, task: Id) -> Option<Job> {
        self.lock().remove(&task).map(|(job, _)| job)
    }

    pub fn len(&self) -> usize {
        self.lock().len()
    }

    /// What is left of `room` beside what is held.
    pub fn room(&self, mut room: Room) -> Room {
        for (job, _) in self.lock().values() {
            room.take(&job.target);
        }
        room
    }

    /// Renews what is held, for as long as it is polled.
    pub async fn renew(&self, app: &App, again: TimeDelta) {
        let length = length(&*app.store);
        let mut at = app.clock.now();
        loop {
            at = (at + length / RENEWALS).max(app.clock.now());
            app.clock.sleep_until(at).await;
            while let Err(error) = self.renew_once(app, length).await {
                tracing::warn!(%error, "could not renew the leases of running jobs");
                app.clock.sleep_until(app.clock.now() + again).await;
            }
        }
    }

    /// A job that is not renewed is either done at this moment or was lost; a lost one's lease ends by itself.
    async fn renew_once(&self, app: &App, length: TimeDelta) -> Result<(), StoreError> {
        let jobs: Vec<Job> = self.lock().values().map(|(job, _)| job.clone()).collect();
        if jobs.is_empty() {
            return Ok(());
        }
        let until = app.clock.now() + length;
        let kept = app.store.renew(&jobs, until).await?;
        for (job, lease) in self.lock().values() {
            if jobs.contains(job) && kept.contains(&job.id) {
                lease.send_replace(until);
            }
        }
        Ok(())
    }
}

impl Lease {
    pub fn new(until: Time) -> (watch::Sender<Time>, Self) {
        let (sender, receiver) = watch::channel(until);
        (sender, Self(receiver))
    }

    /// Does `work` while the lease holds; `None` when it ran out. It is looked at before every step: a node that was
    /// stopped in the middle and goes on much later does nothing more on a target that others work on by then.
    pub async fn during<T>(&self, clock: &dyn Clock, work: impl Future<Output = T>) -> Option<T> {
        let mut work = pin!(work);
        let mut over = pin!(self.over(clock));
        poll_fn(|context| {
            if clock.now() >= *self.0.borrow() {
                return Poll::Ready(None);
            }
            if let Poll::Ready(done) = work.as_mut().poll(context) {
                return Poll::Ready(Some(done));
            }
            over.as_mut().poll(context).map(|()| None)
        })
        .await
    }

    async fn over(&self, clock: &dyn Clock) {
        let mut until = self.0.clone();
        loop {
            let at = *until.borrow_and_update();
            tokio::select! {
                () = clock.sleep_until(at) => return,
                Ok(()) = until.changed() => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::testing::TestClock;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};
    use tokio::sync::Notify;

    fn noon() -> Time {
        "2026-11-17T12:00:00Z".parse().unwrap()
    }

    #[tokio::test]
    async fn work_goes_on_while_its_lease_is_renewed() {
        let clock = TestClock::new(noon());
        let (renew, lease) = Lease::new(noon() + TimeDelta::seconds(30));
        let (bell, heard) = (Arc::new(Notify::new()), clock.clone());
        let rung = bell.clone();
        let work = tokio::spawn(async move { lease.during(&*heard, rung.notified()).await });
        clock.advance(TimeDelta::seconds(20));
        renew.send_replace(noon() + TimeDelta::seconds(50));
        clock.advance(TimeDelta::seconds(20));
        bell.notify_one();
        assert_eq!(work.await.unwrap(), Some(()));
    }

    #[tokio::test]
    async fn not_one_step_after_its_end() {
        let clock = TestClock::new(noon());
        let (_renew, lease) = Lease::new(noon() + TimeDelta::seconds(30));
        let steps = AtomicU32::new(0);
        let bell = Notify::new();
        let work = lease.during(&*clock, async {
            loop {
                steps.fetch_add(1, Ordering::Relaxed);
                bell.notified().await;
            }
        });
        let mut work = pin!(work);
        assert!(poll_fn(|context| Poll::Ready(work.as_mut().poll(context).is_pending())).await);
        // As after a stop: what it waited for has come, and its time is over.
        clock.advance(TimeDelta::seconds(30));
        bell.notify_one();
        let over: Option<()> = work.await;
        assert_eq!((over, steps.load(Ordering::Relaxed)), (None, 1));
    }
}
