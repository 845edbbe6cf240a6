//! Texts, which lie beside the log: where they are, and how they go.

use crate::Time;
use gatepass_core::id::{DriftId, EventId, PersonId, RequestId};
use serde::Deserialize;

/// The part of an event that tells how long its texts are kept.
#[derive(Deserialize)]
pub(super) struct Header {
    pub id: EventId,
    pub at: Time,
    pub kind: String,
    pub drift: Option<DriftId>,
}

/// An event by its place in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    pub seq: u64,
    pub event: EventId,
}

/// An event that has texts beside the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Worded {
    pub position: Position,
    pub at: Time,
    /// As in the event: `request.created`.
    pub kind: String,
    /// Whether nothing is left to happen to the request or the drift it belongs to.
    pub over: bool,
}

/// What goes of a person beside the change's texts: the names of their devices, and their invites. While there is
/// anything of theirs that [`Store::held`](super::Store::held) would answer, a device of theirs is enabled, or an event
/// after `seen` tells of them, it is a conflict.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Erased {
    pub person: PersonId,
    /// As far as the log was read for their texts.
    pub seen: u64,
    /// Undecided requests of others, which an approval of theirs that counts no more does not hold up.
    pub voided: Vec<RequestId>,
}

/// What the device of a person who was erased is called.
pub const NO_DEVICE_NAME: &str = "Erased device";
