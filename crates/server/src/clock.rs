//! The edge's clock: the only place that asks what time it is.

use async_trait::async_trait;
use chrono::SubsecRound as _;
use gatepass_core::Time;

/// Time as the server knows it. One clock per server; everything else takes time as an argument.
#[async_trait]
pub trait Clock: Send + Sync {
    /// Now, truncated to milliseconds.
    fn now(&self) -> Time;

    /// Returns once `now() >= due`, also when the clock is set or the machine sleeps in between.
    async fn sleep_until(&self, due: Time);
}

/// The machine's clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

/// A timer does not notice that the clock was set; looking again this often bounds how late that makes it.
const LOOK_AGAIN: std::time::Duration = std::time::Duration::from_secs(5);

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
