//! The edge's clock: the only place that asks what time it is.

use async_trait::async_trait;
use chrono::{SubsecRound as _, TimeDelta};
use gatepass_core::Time;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// Time as the server knows it. One clock per server; everything else takes time as an argument.
#[async_trait]
pub trait Clock: Send + Sync {
    /// Now, truncated to milliseconds.
    fn now(&self) -> Time;

    /// Returns once `now() >= due`, also when the clock is set or the machine sleeps in between.
    async fn sleep_until(&self, due: Time);

    /// From now on it is at least this late: what was known before this process began.
    fn at_least(&self, _: Time) {}
}

/// Clocks that are kept by a time server differ by milliseconds, and asking one over a network takes less than a second.
/// So what differs by more is wrong, and what differs by less is nobody's loss: an access may end so much early or late
/// by another clock than its own.
pub const BOUND: TimeDelta = TimeDelta::seconds(5);

/// The machine's clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

/// A timer does not notice that the clock was set; looking again this often bounds how late that makes it.
const LOOK_AGAIN: Duration = Duration::from_secs(5);

#[async_trait]
impl Clock for SystemClock {
    #[allow(clippy::disallowed_methods)]
    fn now(&self) -> Time {
        chrono::Utc::now().trunc_subsecs(3)
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

/// The latest time that is known, carried on by how long the machine has been up: that nobody sets.
#[derive(Debug)]
pub struct Line {
    uptime: Duration,
    time: Time,
}

impl Line {
    pub const fn new(uptime: Duration, time: Time) -> Self {
        Self { uptime, time }
    }

    /// What is known to have passed by now.
    pub fn at(&self, uptime: Duration) -> Time {
        self.time + TimeDelta::from_std(uptime.saturating_sub(self.uptime)).unwrap_or_default()
    }

    /// Moves to `told`, unless that is earlier than what is known.
    pub fn told(&mut self, uptime: Duration, told: Time) -> Time {
        let known = self.at(uptime);
        if told <= known {
            return known;
        }
        *self = Self { uptime, time: told };
        told
    }
}

/// The machine's clock, except that it does not go back: what was to end at a time ends after the time that was to pass,
/// and not days later because somebody set the clock. Set forward it is followed at once; see `jobs/ahead.rs` for what
/// that must not end.
#[derive(Debug)]
pub struct SteadyClock(Mutex<Line>);

impl SteadyClock {
    pub fn new() -> Self {
        Self(Mutex::new(Line::new(uptime(), SystemClock.now())))
    }
}

impl Default for SteadyClock {
    fn default() -> Self {
        Self::new()
    }
}

#[async_trait]
impl Clock for SteadyClock {
    fn now(&self) -> Time {
        let (up, wall) = (uptime(), SystemClock.now());
        let now = self.0.lock().unwrap_or_else(PoisonError::into_inner).told(up, wall);
        metrics::gauge!("gatepass_clock_set_back_seconds")
            .set((now - wall).num_milliseconds() as f64 / 1000.0);
        now.trunc_subsecs(3)
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
        self.0.lock().unwrap_or_else(PoisonError::into_inner).told(uptime(), time);
    }
}

/// How long this machine has been up, its sleep included where the system says so.
pub fn uptime() -> Duration {
    #[cfg(target_os = "linux")]
    {
        let up = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
        Duration::new(u64::try_from(up.tv_sec).unwrap_or(0), u32::try_from(up.tv_nsec).unwrap_or(0))
    }
    #[cfg(not(target_os = "linux"))]
    {
        static FROM: std::sync::LazyLock<std::time::Instant> =
            std::sync::LazyLock::new(std::time::Instant::now);
        FROM.elapsed()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn noon() -> Time {
        "2026-11-17T12:00:00Z".parse().unwrap()
    }

    #[test]
    fn a_clock_set_back_takes_no_time_with_it() {
        let up = Duration::from_secs;
        let mut line = Line::new(up(100), noon());
        let two_days = TimeDelta::days(2);
        assert_eq!(line.told(up(110), noon() + TimeDelta::seconds(10)), noon() + TimeDelta::seconds(10));
        assert_eq!(
            line.told(up(120), noon() + TimeDelta::seconds(20) - two_days),
            noon() + TimeDelta::seconds(20)
        );
        assert_eq!(
            line.told(up(180), noon() + TimeDelta::seconds(80) - two_days),
            noon() + TimeDelta::seconds(80)
        );
        // Forward it goes, and not back again with it.
        let ahead = noon() + two_days;
        assert_eq!(line.told(up(190), ahead), ahead);
        assert_eq!(line.told(up(191), noon() + TimeDelta::seconds(91)), ahead + TimeDelta::seconds(1));
    }

    #[test]
    fn it_begins_no_earlier_than_what_was_known() {
        let clock = SteadyClock::new();
        let known = SystemClock.now() + TimeDelta::hours(1);
        clock.at_least(known);
        assert!(clock.now() >= known && clock.now() < known + TimeDelta::minutes(1));
        clock.at_least(noon());
        assert!(clock.now() >= known);
    }
}
