//! The edge's clock: the server's is the same machine's.

use chrono::SubsecRound as _;
use gatepass_core::Time;

/// Now, in whole milliseconds.
#[allow(clippy::disallowed_methods, reason = "this is the edge")]
pub fn now() -> Time {
    chrono::Utc::now().trunc_subsecs(3)
}

/// Now, as fine as the machine has it.
#[allow(clippy::disallowed_methods, reason = "this is the edge")]
pub fn exact() -> Time {
    chrono::Utc::now()
}
