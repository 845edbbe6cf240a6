//! The states of the design, as they stand on the wire.

use serde::{Deserialize, Serialize};
use ts_rs::TS;

/// Pending -> Approved, Denied, Withdrawn, Lapsed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, TS)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
#[ts(export)]
pub enum RequestState {
    Pending,
    Approved,
    Denied,
    Withdrawn,
    Lapsed,
}

/// Scheduled -> Provisioning -> Active -> Ending -> Ended, or Failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, TS)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
#[ts(export)]
pub enum GrantState {
    Scheduled,
    Provisioning,
    Active,
    Ending,
    Ended,
    Failed,
}

/// Why an access ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, TS)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
#[ts(export)]
pub enum EndCause {
    Expired,
    Returned,
    Revoked,
    /// It could not be set up; what may have been left on the target is removed.
    Failed,
    /// Someone took it away on the target before its end.
    Missing,
}

/// Open -> Known (and back), Gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, TS)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
#[ts(export)]
pub enum DriftState {
    Open,
    /// Someone said that it is as it should be, and why.
    Known,
    /// The target no longer shows it.
    Gone,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, TS)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
#[ts(export)]
pub enum Verdict {
    Approve,
    Deny,
}
