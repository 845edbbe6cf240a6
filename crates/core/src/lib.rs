//! The pure core of Gatepass: no I/O, no clock, no randomness. Time, ids and the catalogue are arguments.

pub mod catalogue;
pub mod command;
pub mod directory;
pub mod drift;
pub mod duration;
pub mod erase;
pub mod error;
pub mod event;
pub mod id;
pub mod quorum;
pub mod report;
pub mod request;
pub mod retention;
pub mod sentence;
pub mod text;
pub mod view;
pub mod wire;

pub use error::{Code, Refusal};

/// A point in time, always UTC, with millisecond precision (the edge truncates).
pub type Time = chrono::DateTime<chrono::Utc>;
