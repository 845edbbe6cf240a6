//! The subcommands that operators run beside the servers.

mod import;
mod migrate;

pub use import::Import;
pub use migrate::Migrate;
