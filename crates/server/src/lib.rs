//! The Gatepass server, also to be embedded: [`start`] runs it inside the process.

pub mod app;
pub mod auth;
pub mod backup;
pub mod clock;
pub mod config;
mod connect;
pub mod doctor;
pub mod erase;
mod error;
mod flow;
mod gate;
pub mod import;
pub mod invite;
mod jobs;
mod limits;
mod listen;
pub mod log;
mod mark;
mod metrics;
mod observe;
mod peer;
mod people;
mod publish;
mod reconcile;
mod retention;
pub mod revoke;
mod router;
mod routes;
pub mod seen;
mod serve;
pub mod signing;
pub mod store;
mod tail;
#[cfg(feature = "testing")]
pub mod testing;
pub mod tls;
pub mod verify;
pub mod verify_log;
mod views;
mod witness;
pub mod worker;

pub use config::{Config, ConfigError};
pub use connect::connector;
pub use serve::{Options, Running, StartError, check, open_store, shared_database, start};

pub(crate) use gatepass_core::Time;
