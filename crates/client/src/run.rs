//! The loop that keeps a profile in step: the stream's hints, a poll as the truth, a full pull after a sleep.

use crate::api::Hints;
use crate::client::Client;
use crate::ui::Failure;
use gatepass_core::{Code, Time};
use rand::Rng as _;
use std::time::{Duration, Instant};

/// A hint may be lost; this finds what it was about.
const POLL: Duration = Duration::from_secs(60);
/// How often the clocks are compared.
const TICK: Duration = Duration::from_secs(5);
/// The wall clock running ahead of the monotonic one by more than this: the computer slept.
const SLEPT: Duration = Duration::from_secs(15);
/// A connection that held this long was a good one.
const STABLE: Duration = Duration::from_secs(10);
const FIRST_WAIT: Duration = Duration::from_millis(250);
const LONGEST_WAIT: Duration = Duration::from_secs(30);

impl Client {
    /// Keeps in step with the server until dropped. Reconnects by itself; [`Client::status`] says how it stands.
    pub async fn run(&self) {
        let mut backoff = Backoff::default();
        let mut watch = Watch::new(self.0.clock.now());
        loop {
            match self.keep_up(&mut watch).await {
                Ok(lived) if lived >= STABLE => backoff.reset(),
                Ok(_) => {}
                Err(failure) if failure.code == Code::NotJoined => {
                    self.pause(Duration::from_secs(2)).await;
                    continue;
                }
                Err(failure) => {
                    tracing::debug!(code = %failure.code, "sync: {failure}");
                    self.contact(Some(&failure));
                }
            }
            self.pause(backoff.next()).await;
        }
    }

    /// Waits, unless something asks for a sync now.
    async fn pause(&self, wait: Duration) {
        let _ = tokio::time::timeout(wait, self.0.kick.notified()).await;
    }

    /// One connection, from the first sync to the end of its stream: how long it held. A stream that ends is no
    /// failure, servers end them; not getting another one is.
    async fn keep_up(&self, watch: &mut Watch) -> Result<Duration, Failure> {
        let joined = self.joined()?;
        if watch.slept(self.0.clock.now()) {
            self.resync().await?;
        }
        // The stream first: what happens during the sync is hinted at.
        let mut hints = joined.api.hints().await?;
        self.sync().await?;
        let from = Instant::now();
        self.follow(&mut hints, watch).await?;
        Ok(from.elapsed())
    }

    async fn follow(&self, hints: &mut Hints, watch: &mut Watch) -> Result<(), Failure> {
        let mut poll = tokio::time::interval_at(tokio::time::Instant::now() + POLL, POLL);
        let mut tick = tokio::time::interval(TICK);
        loop {
            tokio::select! {
                hint = hints.next() => match hint {
                    Ok(_) => self.sync().await?,
                    Err(ended) => {
                        tracing::debug!("the stream ended: {ended}");
                        return Ok(());
                    }
                },
                () = self.0.kick.notified() => {
                    // Left, or the server moved: begin anew.
                    self.joined()?;
                    self.sync().await?;
                }
                _ = poll.tick() => self.sync().await?,
                _ = tick.tick() => {
                    if watch.look(self.0.clock.now()) {
                        // The connection is likely dead without knowing it.
                        return Ok(());
                    }
                }
            }
        }
    }
}

/// Notices that the computer slept: the wall clock went on, the monotonic one did not.
struct Watch {
    wall: Time,
    monotonic: Instant,
    slept: bool,
}

impl Watch {
    fn new(wall: Time) -> Self {
        Self { wall, monotonic: Instant::now(), slept: false }
    }

    fn look(&mut self, wall: Time) -> bool {
        let passed = (wall - self.wall).to_std().unwrap_or_default();
        let awake = self.monotonic.elapsed();
        *self = Self { slept: self.slept || passed > awake + SLEPT, ..Self::new(wall) };
        self.slept
    }

    /// Whether it slept since this was last asked.
    fn slept(&mut self, wall: Time) -> bool {
        self.look(wall);
        std::mem::take(&mut self.slept)
    }
}

/// Doubling waits with jitter, so that a thousand desktops don't come back in one second.
#[derive(Default)]
struct Backoff(u32);

impl Backoff {
    fn next(&mut self) -> Duration {
        let wait = FIRST_WAIT.saturating_mul(1 << self.0.min(10)).min(LONGEST_WAIT);
        self.0 += 1;
        wait.mul_f64(rand::thread_rng().gen_range(0.5..=1.0))
    }

    fn reset(&mut self) {
        self.0 = 0;
    }
}

pub(crate) async fn wait_a_little(attempt: u32) {
    let mut backoff = Backoff(attempt);
    tokio::time::sleep(backoff.next()).await;
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use chrono::TimeDelta;

    #[test]
    fn a_jump_of_the_wall_clock_is_a_sleep() {
        let start = Time::default();
        let mut watch = Watch::new(start);
        assert!(!watch.look(start + TimeDelta::seconds(1)));
        assert!(watch.look(start + TimeDelta::seconds(3_600)));
        assert!(watch.slept(start + TimeDelta::seconds(3_601)));
        assert!(!watch.slept(start + TimeDelta::seconds(3_602)));
        assert!(!watch.slept(start), "a clock set back is no sleep");
    }

    #[test]
    fn waits_grow_to_a_cap() {
        let mut backoff = Backoff::default();
        assert!(backoff.next() <= FIRST_WAIT);
        for _ in 0..50 {
            assert!(backoff.next() <= LONGEST_WAIT);
        }
        assert!(backoff.next() >= LONGEST_WAIT / 2);
    }
}
