//! The loop that keeps a profile in step: the stream's hints, a poll as the truth, a full pull after a sleep.

use crate::api::{Ended, Hints};
use crate::client::Client;
use crate::comeback::Comeback;
use crate::ui::Failure;
use gatepass_core::{Code, Time};
use std::time::{Duration, Instant};

/// A hint may be lost; this finds what it was about.
const POLL: Duration = Duration::from_secs(60);
/// How often the clocks are compared.
const TICK: Duration = Duration::from_secs(5);
/// The wall clock running ahead of the monotonic one by more than this: the computer slept.
const SLEPT: Duration = Duration::from_secs(15);
/// How often a profile that has not joined is looked at: another process may join it.
const NOT_JOINED: Duration = Duration::from_secs(2);

impl Client {
    /// Keeps in step with the server until dropped. Reconnects by itself; [`Client::status`] says how it stands.
    /// Between a server's goodbye and the time it named, it stands as it stood: nothing failed, and reads and
    /// writes go to whoever answers at the address now.
    pub async fn run(&self) {
        let mut comeback = Comeback::default();
        let mut watch = Watch::new(self.0.clock.now());
        loop {
            let wait = match self.keep_up(&mut watch).await {
                Ok((ended, held)) => {
                    tracing::debug!("the stream {ended}");
                    comeback.after(&ended, held)
                }
                Err(failure) if failure.code == Code::NotJoined => NOT_JOINED,
                Err(failure) => {
                    tracing::debug!(code = %failure.code, "sync: {failure}");
                    self.contact(Some(&failure));
                    comeback.failed()
                }
            };
            self.rest(wait).await;
        }
    }

    /// Waits, unless something asks for a sync now. The poll goes on.
    async fn rest(&self, wait: Duration) {
        let mut left = wait;
        while !left.is_zero() {
            let step = left.min(POLL);
            if tokio::time::timeout(step, self.0.kick.notified()).await.is_ok() {
                return;
            }
            left -= step;
            if !left.is_zero() {
                // How it went is in the status.
                let _ = self.sync().await;
            }
        }
    }

    /// One connection, from the first sync to the end of its stream: how it ended, and how long it held. A stream
    /// that ends is no failure, servers end them; not getting another one is.
    async fn keep_up(&self, watch: &mut Watch) -> Result<(Ended, Duration), Failure> {
        let joined = self.joined()?;
        if watch.slept(self.0.clock.now()) {
            self.resync().await?;
        }
        // The stream first: what happens during the sync is hinted at.
        let mut hints = joined.api.hints().await?;
        let from = Instant::now();
        self.sync().await?;
        let ended = self.follow(&mut hints, watch).await?;
        Ok((ended, from.elapsed()))
    }

    async fn follow(&self, hints: &mut Hints, watch: &mut Watch) -> Result<Ended, Failure> {
        let mut poll = tokio::time::interval_at(tokio::time::Instant::now() + POLL, POLL);
        let mut tick = tokio::time::interval(TICK);
        loop {
            tokio::select! {
                hint = hints.next() => match hint {
                    Ok(size) => {
                        self.joined()?.api.heard_of(size);
                        self.sync().await?;
                    }
                    Err(ended) => return Ok(ended),
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
                        return Ok(Ended::Over);
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
}
