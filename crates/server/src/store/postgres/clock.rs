//! The database's clock: the time that all nodes go by, however wrong their own clocks are.

use crate::Time;
use crate::clock::{BOUND, Clock, Line, SystemClock, uptime};
use async_trait::async_trait;
use chrono::{SubsecRound as _, TimeDelta};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// A difference of less is the way to the database, not the clock.
const JITTER: TimeDelta = TimeDelta::milliseconds(2);
/// What is waited for may come nearer when the clock is measured again.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// Measured at every poll, and carried on in between by the monotonic clock. As [`SteadyClock`], it does not go back
/// with a database whose clock is set back: only by so little as clocks are corrected by.
///
/// [`SteadyClock`]: crate::clock::SteadyClock
pub struct DatabaseClock(Mutex<Held>);

struct Held {
    at: (Instant, Time),
    /// The latest time that was known. None until it was measured: the machine's own is no knowledge.
    line: Option<Line>,
}

impl DatabaseClock {
    /// Until it is measured first: the machine's.
    pub fn new() -> Self {
        Self(Mutex::new(Held { at: (Instant::now(), SystemClock.now()), line: None }))
    }

    /// `said` came as the answer to a question asked at `asked`.
    pub fn measured(&self, asked: Instant, said: Time) {
        let (heard, way) = (Instant::now(), asked.elapsed());
        let truth = said + delta(way / 2);
        let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let off = truth - (held.at.1 + delta(heard.saturating_duration_since(held.at.0)));
        let known = held.line.as_ref().map(|line| line.at(uptime()));
        if known.is_some_and(|known| known - truth > BOUND) {
            // Another one would be lengthened by what it went back.
            metrics::gauge!("gatepass_clock_set_back_seconds").set(seconds(known.unwrap_or(truth) - truth));
            drop(held);
            return;
        }
        metrics::gauge!("gatepass_clock_set_back_seconds").set(0.0);
        if off.abs() > JITTER + delta(way / 2) {
            held.at = (heard, truth);
        }
        match &mut held.line {
            Some(line) => drop(line.told(uptime(), truth)),
            None => held.line = Some(Line::new(uptime(), truth)),
        }
        drop(held);
        metrics::gauge!("gatepass_clock_offset_seconds").set(seconds(SystemClock.now() - truth));
    }
}

fn seconds(of: TimeDelta) -> f64 {
    of.num_milliseconds() as f64 / 1000.0
}

fn delta(of: Duration) -> TimeDelta {
    TimeDelta::from_std(of).unwrap_or_default()
}

#[async_trait]
impl Clock for DatabaseClock {
    fn now(&self) -> Time {
        let (at, time) = self.0.lock().unwrap_or_else(PoisonError::into_inner).at;
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

    fn at_least(&self, time: Time) {
        let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let up = uptime();
        let line = held.line.get_or_insert_with(|| Line::new(up, time));
        let known = line.told(up, time);
        if held.at.1 + delta(held.at.0.elapsed()) < known {
            held.at = (Instant::now(), known);
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

    #[test]
    fn a_database_set_back_takes_no_time_with_it() {
        let clock = DatabaseClock::new();
        let real = SystemClock.now();
        clock.measured(Instant::now(), real);
        clock.measured(Instant::now(), real - TimeDelta::days(2));
        assert!(clock.now() >= real);
        clock.measured(Instant::now(), real - TimeDelta::seconds(2));
        let now = clock.now();
        assert!(
            now < real + TimeDelta::milliseconds(500),
            "a small correction is followed: {now} after {real}"
        );
        // However often it is corrected, not further in all.
        for n in 1..=10 {
            clock.measured(Instant::now(), real - TimeDelta::seconds(2 * n));
        }
        assert!(clock.now() > real - BOUND);
    }
}
