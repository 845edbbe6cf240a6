//! Identifiers. Made at the edge (UUIDv7), never here.

use serde::{Deserialize, Serialize};
use std::fmt;
use ts_rs::TS;
use uuid::Uuid;

macro_rules! uuid_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, TS)]
        #[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
        #[serde(transparent)]
        #[ts(export, type = "string")]
        pub struct $name(pub Uuid);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl std::str::FromStr for $name {
            type Err = uuid::Error;
            fn from_str(s: &str) -> Result<Self, Self::Err> {
                Uuid::parse_str(s).map(Self)
            }
        }
    };
}

uuid_id!(/// A person, opaque: the log never names people otherwise.
    PersonId);
uuid_id!(/// One installation of one person.
    DeviceId);
uuid_id!(/// A signed command; the idempotency key of a write.
    CommandId);
uuid_id!(/// A request; equal to the id of the command that asked.
    RequestId);
uuid_id!(/// An access given by an approved request.
    GrantId);
uuid_id!(/// Access on a target that no grant explains.
    DriftId);
uuid_id!(/// One event of the log.
    EventId);

impl From<CommandId> for RequestId {
    fn from(id: CommandId) -> Self {
        Self(id.0)
    }
}

/// A request's short number for people, `R-3187`; dense per server, given by the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, TS)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(transparent)]
#[ts(type = "number")]
pub struct Number(pub u64);

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "R-{}", self.0)
    }
}

/// Reads `R-3187`, `r-3187`; `None` for anything else.
pub fn parse_number(s: &str) -> Option<Number> {
    let digits = s.strip_prefix("R-").or_else(|| s.strip_prefix("r-"))?;
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    digits.parse().ok().map(Number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_numbers_read_back() {
        assert_eq!(parse_number(&Number(3187).to_string()), Some(Number(3187)));
        for wrong in ["R-", "R-+1", "3187", "R-1x", "R-99999999999999999999999"] {
            assert_eq!(parse_number(wrong), None, "{wrong}");
        }
    }
}
