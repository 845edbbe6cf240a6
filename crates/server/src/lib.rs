//! The Gatepass server, also to be embedded: [`start`] runs it inside the process.

pub mod app;
pub mod auth;
pub mod backup;
pub mod clock;
pub mod config;
mod connect;
mod error;
mod flow;
pub mod invite;
mod gate;
mod jobs;
mod limits;
pub mod log;
mod listen;
mod metrics;
mod observe;
mod peer;
mod people;
mod reconcile;
mod router;
mod routes;
mod serve;
pub mod store;
mod tail;
#[cfg(feature = "testing")]
pub mod testing;
pub mod verify;
mod views;
pub mod tls;

pub use config::{Config, ConfigError};
pub use serve::{Options, Running, StartError, check, open_store, start};

pub(crate) use gatepass_core::Time;
