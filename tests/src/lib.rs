//! The whole of Gatepass on one machine, for tests and for the tour: a private desktop session with a real
//! notification daemon, tray watcher and keyring, the real server, a real PostgreSQL, and people with their windows.
//!
//! Everything here panics when something does not come about: a test that can't run has failed. Whatever was
//! started is ended by its process id when dropped, and also when the test's process dies.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

pub mod bins;
pub mod desktop;
pub mod notifications;
pub mod person;
pub mod process;
pub mod server;
pub mod session;
pub mod soak;
pub mod tray;
pub mod wait;
pub mod world;

pub use desktop::Desktop;
pub use person::Person;
pub use server::Server;
pub use session::Session;
pub use wait::{eventually, until};
pub use world::World;
