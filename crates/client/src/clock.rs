//! The edge's clock. Everything else gets time from here, so that tests can give their own.

use chrono::SubsecRound as _;
use gatepass_core::Time;
use std::sync::Arc;

/// This computer's wall clock.
#[derive(Clone)]
pub struct Clock(Arc<dyn Fn() -> Time + Send + Sync>);

impl Clock {
    #[allow(clippy::disallowed_methods, reason = "this is the edge")]
    pub fn system() -> Self {
        Self(Arc::new(chrono::Utc::now))
    }

    /// A clock of one's own.
    pub fn of(now: impl Fn() -> Time + Send + Sync + 'static) -> Self {
        Self(Arc::new(now))
    }

    /// Now, in whole milliseconds.
    pub fn now(&self) -> Time {
        (self.0)().trunc_subsecs(3)
    }
}
