//! The subcommands that operators run beside the servers.

mod doctor;
mod import;
mod migrate;

pub use doctor::Doctor;
pub use import::Import;
pub use migrate::Migrate;
