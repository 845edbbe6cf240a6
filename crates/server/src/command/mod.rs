//! The subcommands that take more than a few lines.

mod connector;
mod doctor;
mod erase;
mod import;
mod log;
mod migrate;
mod revoke_all;
mod serve;
mod ssh_ca;
mod verify_log;

pub use connector::Connector;
pub use doctor::Doctor;
pub use erase::Erase;
pub use import::Import;
pub use log::Log;
pub use migrate::Migrate;
pub use revoke_all::RevokeAll;
pub use serve::{serve, work};
pub use ssh_ca::SshCa;
pub use verify_log::VerifyLog;
