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
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, TS)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
#[ts(export)]
pub enum Verdict {
    Approve,
    Deny,
}
