//! The server's clock beside the targets'. An access ends by the server's clock, and its guard by the target's. Where the
//! two differ by more than clocks do, one of them is wrong, and whichever it is: nobody's guard is set to the wrong
//! time, and no access is ended that the target says is still good.

use crate::Time;
use crate::app::App;
use crate::clock::{BOUND, Clock};
use crate::store::{Job, Row};
use chrono::TimeDelta;
use gatepass_connectors::{Connector, TargetError};
use gatepass_core::id::GrantId;
use gatepass_core::wire::GrantState;
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// What a target said is carried on by the monotonic clock so long: a clock that is set is this machine's own most of the
/// time, and that shows at once.
const FRESH: Duration = Duration::from_secs(30);
/// For one that does not answer, the end does not wait.
const ANSWER: Duration = Duration::from_secs(2);
/// When to look again at an end that waits.
const AGAIN: TimeDelta = TimeDelta::seconds(2);

/// What the targets said.
#[derive(Default)]
pub struct TargetClocks(Mutex<HashMap<String, (Instant, Option<Time>)>>);

impl TargetClocks {
    /// How far the server's clock is ahead of the target's, when that is more than [`BOUND`] either way.
    pub async fn differ(
        &self,
        clock: &dyn Clock,
        target: &str,
        connector: &dyn Connector,
        fresh: Duration,
    ) -> Option<TimeDelta> {
        let theirs = self.now(target, connector, fresh).await?;
        let off = clock.now() - theirs;
        metrics::gauge!("gatepass_target_clock_offset_seconds", "target" => target.to_owned())
            .set(off.num_milliseconds() as f64 / 1000.0);
        (off.abs() > BOUND).then_some(off)
    }

    /// The target's time, if it has one and says it.
    async fn now(&self, target: &str, connector: &dyn Connector, fresh: Duration) -> Option<Time> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner).get(target).copied();
        let (at, said) = match known.filter(|(at, _)| at.elapsed() <= fresh) {
            Some(known) => known,
            None => {
                let asked = Instant::now();
                let said = tokio::time::timeout(ANSWER, connector.clock()).await.ok()?.ok()?;
                let at = asked + asked.elapsed() / 2;
                self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(target.to_owned(), (at, said));
                (at, said)
            }
        };
        Some(said? + TimeDelta::from_std(at.elapsed()).unwrap_or_default())
    }
}

/// When the guard of an access has to end by the target's clock.
pub async fn guard(app: &App, target: &str, connector: &dyn Connector, until: Time) -> Time {
    match app.clocks.differ(&*app.clock, target, connector, FRESH).await {
        Some(off) => until - off,
        None => until,
    }
}

/// Whether the time of this access is over by the server's clock alone: then when to look again. An access that somebody
/// ended is over.
pub async fn still_good(app: &App, job: &Job, row: impl Future<Output = Option<Row>>) -> Option<Time> {
    let connector = app.targets.get(&job.target).ok()?;
    let ahead = |off: &TimeDelta| *off > TimeDelta::zero();
    app.clocks.differ(&*app.clock, &job.target, &**connector, FRESH).await.filter(ahead)?;
    row.await.and_then(|row| row.request.grant).filter(|grant| grant.state == GrantState::Active)?;
    // Both clocks may be right by now.
    let off =
        app.clocks.differ(&*app.clock, &job.target, &**connector, Duration::ZERO).await.filter(ahead)?;
    let theirs = app.clock.now() - off;
    let left = guarded(&**connector, GrantId(job.subject)).await.ok()?? - theirs;
    if left <= BOUND {
        return None;
    }
    metrics::counter!("gatepass_ends_held_total").increment(1);
    tracing::error!(
        grant = %job.subject,
        target = job.target,
        ahead_s = off.num_seconds(),
        left_s = left.num_seconds(),
        alarm = true,
        "an access is over by this server’s clock and not by its target’s; it waits: set the clocks right"
    );
    Some(app.clock.now() + AGAIN.min(left))
}

/// Until when the target itself lets the holder in.
async fn guarded(connector: &dyn Connector, grant: GrantId) -> Result<Option<Time>, TargetError> {
    let inspected = tokio::time::timeout(ANSWER, connector.inspect()).await;
    let found = inspected.map_err(|_| TargetError::Unreachable("no answer".to_owned()))??;
    Ok(found.into_iter().find(|found| found.grant == grant).and_then(|found| found.until))
}
