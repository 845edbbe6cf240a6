//! The database's clock: the time that all nodes go by, however wrong their own clocks are.

use crate::Time;
use crate::clock::{Clock, SystemClock};
use async_trait::async_trait;
use chrono::{SubsecRound as _, TimeDelta};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// A difference of less is the way to the database, not the clock.
const JITTER: TimeDelta = TimeDelta::milliseconds(2);
/// What is waited for may come nearer when the clock is measured again.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// Measured at every poll, and carried on in between by the monotonic clock.
pub struct DatabaseClock(Mutex<(Instant, Time)>);

impl DatabaseClock {
    /// Until it is measured first: the machine's.
    pub fn new() -> Self {
        Self(Mutex::new((Instant::now(), SystemClock.now())))
    }

    /// `said` came as the answer to a question asked at `asked`.
    pub fn measured(&self, asked: Instant, said: Time) {
        let (heard, way) = (Instant::now(), asked.elapsed());
        let truth = said + delta(way / 2);
        let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let off = truth - (held.1 + delta(heard.saturating_duration_since(held.0)));
        if off.abs() > JITTER + delta(way / 2) {
            *held = (heard, truth);
        }
        drop(held);
        let own = (SystemClock.now() - truth).num_milliseconds() as f64 / 1000.0;
        metrics::gauge!("gatepass_clock_offset_seconds").set(own);
    }
}

fn delta(of: Duration) -> TimeDelta {
    TimeDelta::from_std(of).unwrap_or_default()
}

#[async_trait]
impl Clock for DatabaseClock {
    fn now(&self) -> Time {
        let (at, time) = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        (time + delta(at.elapsed())).trunc_subsecs(3)
    }

    async fn sleep_until(&self, due: Time) {
        while let Ok(left) = (due - self.now()).to_std() {
            if left.is_zero() {
                return;
            }
            tokio::time::sleep(left.min(LOOK_AGAIN)).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_follows_the_database_and_ignores_the_way_there() {
        let clock = DatabaseClock::new();
        let hour_ahead = SystemClock.now() + TimeDelta::hours(1);
        clock.measured(Instant::now(), hour_ahead);
        let off = clock.now() - hour_ahead;
        assert!(off >= TimeDelta::zero() && off < TimeDelta::seconds(5), "{off}");
        let before = clock.now();
        clock.measured(Instant::now(), clock.now());
        assert!(clock.now() >= before, "an answer that says the same does not set it back");
    }
}
